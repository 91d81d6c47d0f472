//! A server's end of a link.

use super::verbs::ExitSignal;
use crate::message::{Message, Order, OrderKind};
use crate::server::GenServer;
use restante_core::link::Linked;
use restante_core::{ExitReason, Lane, SendOptions};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A link's end, as the other side keeps it.
pub(crate) struct LinkEnd<S: GenServer>(
    pub(crate) std::sync::Weak<crate::executor::Cell<S>>,
    pub(crate) usize,
);

impl<S: GenServer> Linked for LinkEnd<S> {
    fn link_id(&self) -> usize {
        self.1
    }

    fn exit_signal(&self, from: usize, reason: &ExitReason) {
        let Some(cell) = self.0.upgrade() else { return };
        // A link binds two incarnations: one that this side has forgotten (or told of already) says nothing any more.
        if !cell.remove_link(from) {
            return;
        }
        if cell.runner.trapping.load(Ordering::Acquire) {
            let signal = OrderKind::Exit(ExitSignal { from, reason: reason.clone() });
            let order = Message::Order(Order { kind: Box::new(signal), incarnation: cell.incarnation() });
            let _ = cell.push_with(order, &SendOptions::new().lane(Lane::Control), false);
        } else if *reason != ExitReason::Normal {
            cell.kill(reason.clone());
        }
    }

    fn add_link(&self, other: Arc<dyn Linked>, id: usize) {
        if let Some(cell) = self.0.upgrade() {
            cell.add_link(id, other);
        }
    }

    fn remove_link(&self, id: usize) {
        if let Some(cell) = self.0.upgrade() {
            cell.remove_link(id);
        }
    }
}
