//! Expected panics stay out of the output.

use std::panic::PanicHookInfo;
use std::sync::{Mutex, Once, PoisonError};

/// The texts of those that are expected, each as often as it was asked for.
static EXPECTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Panics whose message contains `text` are not printed, on any thread, while what this returns lives. They stay panics.
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
    EXPECTED.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|expected| text.contains(expected))
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
