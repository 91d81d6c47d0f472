//! Why something ended: the reason, and where in its life it was.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Arc, Once, OnceLock};

/// Why a server or a mailbox ended. Cheap to clone.
///
/// It is not a `std::error::Error` itself, so that `?` can turn every such error into [`ExitReason::Error`].
///
/// Source: OTP exit reasons (`normal`, `shutdown`, `{shutdown, Term}`, `killed`, anything else).
#[non_exhaustive]
#[derive(Clone)]
pub enum ExitReason {
    /// It was done.
    Normal,
    /// It was told to stop, in order.
    Shutdown,
    /// It was told to stop, in order, and told why.
    ShutdownWith(Arc<str>),
    /// It was killed: `terminate` did not run.
    Killed,
    /// There never was one: what one hears who asks for the end of a server that was not started.
    NoProcess,
    /// A callback panicked.
    Panic(Arc<PanicInfo>),
    /// A callback returned an error; its sources are kept.
    Error(Arc<dyn Error + Send + Sync>),
}

/// What is known of a panic.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PanicInfo {
    /// The panic's message, or a placeholder when its payload is not text.
    pub message: String,
    /// File, line and column; only after [`install_panic_hook`], since nothing but a hook sees it.
    pub location: Option<String>,
}

impl ExitReason {
    /// An error with this text.
    pub fn error(message: impl Into<String>) -> Self {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Message(String);
        Self::Error(Arc::new(Message(message.into())))
    }

    /// A shutdown with this reason.
    pub fn shutdown_with(reason: impl Into<Arc<str>>) -> Self {
        Self::ShutdownWith(reason.into())
    }

    /// Normal or one of the shutdowns: nothing that calls for a report or for a transient child's restart.
    pub fn is_orderly(&self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown | Self::ShutdownWith(_))
    }

    /// The error's sources, outermost first; empty for every other reason.
    pub fn source_chain(&self) -> Vec<String> {
        let Self::Error(error) = self else { return Vec::new() };
        let mut chain = vec![error.to_string()];
        let mut next = error.source();
        while let Some(source) = next {
            chain.push(source.to_string());
            next = source.source();
        }
        chain
    }

    /// The reason for a caught panic. Takes care of payloads that panic when they are dropped.
    pub fn from_panic(payload: Box<dyn Any + Send>) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic whose payload is not text".to_owned());
        drop_quietly(payload);
        Self::Panic(Arc::new(PanicInfo { message, location: location() }))
    }
}

impl PartialEq for ExitReason {
    /// Equal kinds with equal texts; two errors are equal when they print alike.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ShutdownWith(a), Self::ShutdownWith(b)) => a == b,
            (Self::Panic(a), Self::Panic(b)) => a.message == b.message,
            (Self::Error(a), Self::Error(b)) => a.to_string() == b.to_string(),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for ExitReason {
    fn from(error: E) -> Self {
        Self::Error(Arc::new(error))
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::ShutdownWith(why) => write!(f, "shutdown: {why}"),
            Self::Killed => f.write_str("killed"),
            Self::NoProcess => f.write_str("no such process"),
            Self::Panic(p) => match &p.location {
                Some(at) => write!(f, "panic: {} at {at}", p.message),
                None => write!(f, "panic: {}", p.message),
            },
            Self::Error(_) => write!(f, "error: {}", self.source_chain().join(": ")),
        }
    }
}

impl fmt::Debug for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExitReason({self})")
    }
}

/// Where in its life a server was when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// In `init`.
    Init,
    /// In `handle_continue`.
    Continue,
    /// In a call handler.
    Call,
    /// In a cast handler.
    Cast,
    /// In an info handler.
    Info,
    /// Between two messages.
    Idle,
    /// In `terminate`.
    Terminate,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "init",
            Self::Continue => "handle_continue",
            Self::Call => "handle_call",
            Self::Cast => "handle_cast",
            Self::Info => "handle_info",
            Self::Idle => "idle",
            Self::Terminate => "terminate",
        })
    }
}

/// How an incarnation ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Exit {
    /// Why.
    pub reason: ExitReason,
    /// Where in its life it was.
    pub phase: Phase,
    /// The name of the message in hand, if one was.
    pub message: Option<&'static str>,
    /// Which incarnation of its mailbox it was, counted from 1.
    pub incarnation: u32,
    /// How it was ending when `terminate` failed, was killed or broken off: with `terminate`'s own reason above, and that
    /// phase.
    pub before: Option<Box<Exit>>,
}

impl Exit {
    /// An exit in this phase.
    pub fn new(reason: ExitReason, phase: Phase, message: Option<&'static str>, incarnation: u32) -> Self {
        Self { reason, phase, message, incarnation, before: None }
    }

    /// An exit in `terminate`, which came to this while the incarnation ended as `before` says.
    pub fn of_terminate(reason: ExitReason, before: Self) -> Self {
        let incarnation = before.incarnation;
        Self { before: Some(Box::new(before)), ..Self::new(reason, Phase::Terminate, None, incarnation) }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.reason, self.phase)?;
        if let Some(name) = self.message {
            write!(f, " of {name}")?;
        }
        if let Some(before) = &self.before {
            write!(f, ", after {before}")?;
        }
        Ok(())
    }
}

/// Drops a value of unknown manners: a panic in its drop is caught, and so is one in the drop of that panic's payload, which
/// is then forgotten. Returns the reason of the first panic, if there was one.
pub fn drop_quietly<T>(value: T) -> Option<ExitReason> {
    let payload = catch_unwind(AssertUnwindSafe(move || drop(value))).err()?;
    let message = payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic in a drop".to_owned());
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(second);
    }
    Some(ExitReason::Panic(Arc::new(PanicInfo { message, location: location() })))
}

thread_local! {
    static LOCATION: std::cell::Cell<Option<String>> = const { std::cell::Cell::new(None) };
}

/// Where the panic was that has just been caught. (Not known where the thread's locals are gone: a mailbox may be dropped with
/// them.)
fn location() -> Option<String> {
    LOCATION.try_with(std::cell::Cell::take).ok().flatten()
}

/// Makes [`PanicInfo::location`] known: chains a hook that notes where a panic happened before the present hook runs.
/// Once per process; later calls do nothing. Never called by the library itself.
pub fn install_panic_hook() {
    type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;
    // In a static, and not in the hook itself: ThreadSanitizer does not see the lock that the library has around hooks.
    static PREVIOUS: OnceLock<Hook> = OnceLock::new();
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        PREVIOUS.get_or_init(std::panic::take_hook);
        std::panic::set_hook(Box::new(|info| {
            let _ = LOCATION.try_with(|at| at.set(info.location().map(ToString::to_string)));
            if let Some(previous) = PREVIOUS.get() {
                previous(info);
            }
        }));
    });
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    struct Rude;
    impl Drop for Rude {
        fn drop(&mut self) {
            std::panic::panic_any(RudeToo);
        }
    }
    struct RudeToo;
    impl Drop for RudeToo {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "again");
        }
    }

    /// Row G2: reasons and what they say.
    #[test]
    fn reasons_print_with_their_sources() {
        let io = std::io::Error::other("x".parse::<i32>().unwrap_err());
        let reason = ExitReason::from(io);
        assert_eq!(reason.to_string(), "error: invalid digit found in string");
        assert!(!reason.is_orderly() && ExitReason::shutdown_with("full").is_orderly());
        assert_eq!(ExitReason::shutdown_with("full").to_string(), "shutdown: full");
    }

    /// Failure mode 21: a payload that panics in its drop.
    #[test]
    fn rude_drops_are_caught() {
        assert!(matches!(drop_quietly(Rude), Some(ExitReason::Panic(_))));
        let caught = catch_unwind(|| std::panic::panic_any(RudeToo)).unwrap_err();
        assert!(matches!(ExitReason::from_panic(caught), ExitReason::Panic(_)));
    }
}
