//! Expected panics stay out of the output.

use std::panic::PanicHookInfo;
use std::sync::{Mutex, Once, PoisonError};

/// The texts of those that are expected, each as often as it was asked for.
static EXPECTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Panics whose message begins with `text` are not printed, on any thread, while what this returns lives. They stay panics.
///
/// Panics that only mention the text are printed all the same, such as an assertion that fails and shows what was expected.
/// With an empty text none is printed, of other tests of the process neither.
///
/// The first call puts a hook before the process's panic hook, for good; with no text expected it does nothing.
pub fn quiet_panics(text: impl Into<String>) -> QuietPanics {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !is_expected(info) {
                usual(info);
            }
        }));
    });
    let text = text.into();
    EXPECTED.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
    QuietPanics { text }
}

fn is_expected(info: &PanicHookInfo<'_>) -> bool {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let Some(text) = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)) else {
        return false;
    };
    EXPECTED.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|expected| text.starts_with(expected))
}

/// Keeps panics out of the output while it lives: see [`quiet_panics`].
#[derive(Debug)]
#[must_use = "panics are quiet while it lives"]
pub struct QuietPanics {
    text: String,
}

impl Drop for QuietPanics {
    fn drop(&mut self) {
        let mut expected = EXPECTED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = expected.iter().position(|text| *text == self.text) {
            expected.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// How many panics of these tests the process's own hook has been told of.
    static TOLD: AtomicUsize = AtomicUsize::new(0);

    fn told(text: &'static str) -> usize {
        assert!(catch_unwind(|| std::panic::panic_any(text)).is_err(), "it is a panic still");
        TOLD.load(Ordering::Relaxed)
    }

    /// Clause 25.4: before the first call nothing is installed, after it the process's hook is told of every panic but
    /// those that begin with a text that is expected at the time. An assertion that shows such a text is none that was
    /// expected.
    #[test]
    fn the_process_s_own_hook_is_told_of_what_nobody_expects() {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>().is_some_and(|text| text.contains("hush")) {
                TOLD.fetch_add(1, Ordering::Relaxed);
            } else {
                usual(info);
            }
        }));
        assert_eq!(told("hush now"), 1);
        let (one, two) = (quiet_panics("hush"), quiet_panics("hush"));
        assert_eq!(told("hush now"), 1);
        assert_eq!(told("assertion failed: hush"), 2);
        drop(one);
        assert_eq!(told("hush now"), 2, "somebody expects it yet");
        drop(two);
        assert_eq!(told("hush now"), 3);
    }
}
