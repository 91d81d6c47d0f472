//! Starting: the hand-shake between a starter and `init`, and the mailbox that comes before its server.

mod begin;
mod error;
mod lent;
mod opts;
mod server_mailbox;
mod settings;
mod verbs;

pub use self::begin::start_again;
pub(crate) use self::begin::start_on;
pub use self::error::StartError;
pub(crate) use self::lent::{Lent, Outcome, StartSender};
pub use self::server_mailbox::Server;
pub use self::settings::{DEFAULT_START_TIMEOUT, ServerSettings};
pub use self::verbs::{start, start_link, start_monitor};
