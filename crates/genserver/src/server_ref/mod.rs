//! The reference of a server: identity, messages, lifecycle.

mod addressable;
mod calls;
mod lifecycle;
mod recipient;
mod reference;
mod send;

pub use self::lifecycle::StopError;
pub use self::recipient::CallRecipient;
pub use self::reference::{ServerRef, WeakServerRef};
pub use self::send::CastPermit;
