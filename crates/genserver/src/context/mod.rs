//! What a callback may do beside handling its message.

mod bookkeeping;
mod ending;
mod link_end;
mod own;
mod verbs;

pub(crate) use self::link_end::LinkEnd;
pub use self::own::Context;
pub(crate) use self::own::astray;
pub use self::verbs::ExitSignal;
