//! What `init` and the handlers of a server written with `gen_server` may return, beside what [`GenServer`] itself asks
//! for.
//!
//! Traits, so that the macro need not guess types from their names: an alias is as good as what it stands for.

use crate::server::{GenServer, Init, Next, Step};
use restante_core::ExitReason;

/// What a handler may return: `()`, [`Next`], [`Step`], or `Result<(), E>`, whose error ends the server as `?` would.
#[diagnostic::on_unimplemented(
    message = "a handler does not return `{Self}`",
    label = "this is neither `()`, `Next`, `Step` nor `Result<(), E>`",
    note = "a value for whoever asked is returned by a `#[call]`; casts and infos are answered to nobody",
    note = "the `E` of a `Result` is an `ExitReason`, or any `std::error::Error + Send + Sync`"
)]
pub trait IntoStep {
    /// As the loop wants it.
    ///
    /// # Errors
    /// The handler's own.
    fn into_step(self) -> Step;
}

impl IntoStep for () {
    #[inline(always)]
    fn into_step(self) -> Step {
        Ok(Next::go())
    }
}

impl IntoStep for Next {
    #[inline(always)]
    fn into_step(self) -> Step {
        Ok(self)
    }
}

impl<T, E> IntoStep for Result<T, E>
where
    T: IntoStep,
    ExitReason: From<E>,
{
    #[inline(always)]
    fn into_step(self) -> Step {
        self?.into_step()
    }
}

/// What the `init` of a server `S` may return: `S` itself, [`Init<S>`], or a `Result` of either, whose error fails the
/// start.
#[diagnostic::on_unimplemented(
    message = "`init` does not return `{Self}`",
    label = "this is neither `Self`, `Init<Self>` nor a `Result` of one of them",
    note = "the error of a `Result` is an `ExitReason`, or any `std::error::Error + Send + Sync`"
)]
pub trait IntoInit<S> {
    /// As the start wants it.
    ///
    /// # Errors
    /// The `init`'s own.
    fn into_init(self) -> Result<Init<S>, ExitReason>;
}

impl<S: GenServer> IntoInit<S> for S {
    #[inline(always)]
    fn into_init(self) -> Result<Init<S>, ExitReason> {
        Ok(Init::ok(self))
    }
}

impl<S> IntoInit<S> for Init<S> {
    #[inline(always)]
    fn into_init(self) -> Result<Init<S>, ExitReason> {
        Ok(self)
    }
}

impl<S, T, E> IntoInit<S> for Result<T, E>
where
    T: IntoInit<S>,
    ExitReason: From<E>,
{
    #[inline(always)]
    fn into_init(self) -> Result<Init<S>, ExitReason> {
        self?.into_init()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::server::NextKind;

    /// Row G1: an error of a handler is the server's end, whatever it returns besides.
    #[test]
    fn a_handler_may_return_less_than_a_step() {
        let goes_on = |step: Step| matches!(step, Ok(Next(NextKind::Go)));
        assert!(goes_on(().into_step()));
        assert!(goes_on(Ok::<_, std::fmt::Error>(()).into_step()));
        assert!(matches!(Next::hibernate().into_step(), Ok(Next(NextKind::Hibernate))));
        assert!(matches!(Ok::<_, ExitReason>(Next::stop()).into_step(), Ok(Next(NextKind::Stop(_)))));
        let failed = Err::<(), _>(std::fmt::Error).into_step();
        assert!(matches!(failed, Err(ExitReason::Error(_))), "{failed:?}");
        let failed = Err::<Next, _>(ExitReason::Shutdown).into_step();
        assert!(matches!(failed, Err(ExitReason::Shutdown)), "{failed:?}");
    }
}
