//! What `tracing` is told of a server that is traced.

use super::log::{Moment, Observed};
use crate::server::GenServer;

/// One step.
pub(super) fn event<S: GenServer>(mailbox: &str, step: &Observed<'_, S>) {
    let server = std::any::type_name::<S>();
    let Observed { incarnation, phase, name, .. } = step;
    match &step.moment {
        Moment::Taken => tracing::info!(server, mailbox, incarnation, %phase, name, "message taken"),
        Moment::Done { took } => {
            tracing::info!(server, mailbox, incarnation, %phase, name, ?took, "message done");
        }
        Moment::Failed { took, reason } => {
            tracing::info!(server, mailbox, incarnation, %phase, name, ?took, %reason, "message failed");
        }
    }
}
