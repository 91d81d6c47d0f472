//! Links between servers.

use crate::context::LinkEnd;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use restante_core::link::{self, Linked};
use std::sync::Arc;

fn end<S: GenServer>(server: &ServerRef<S>) -> Arc<dyn Linked> {
    let cell = server.handle.cell();
    Arc::new(LinkEnd(Arc::downgrade(cell), cell.link_id()))
}

impl<S: GenServer> ServerRef<S> {
    /// This server's side of a link, for what is bonded with it and is no server itself, such as a task.
    #[doc(hidden)]
    pub fn link_end(&self) -> Arc<dyn Linked> {
        end(self)
    }
}

/// Bonds two servers: see [`Context::link`](crate::Context::link). For a caller that has the references of both.
pub fn link<A: GenServer, B: GenServer>(a: &ServerRef<A>, b: &ServerRef<B>) {
    let (a_end, b_end) = (end(a), end(b));
    link::link(&a_end, &b_end);
    // One that has ended already will not tell any more: it is told for it, and nothing is left of the bond for the next
    // incarnation of either.
    for (dead, dead_end, lives) in [(gone(a), &a_end, &b_end), (gone(b), &b_end, &a_end)] {
        if let Some((id, reason)) = dead {
            dead_end.remove_link(lives.link_id());
            lives.exit_signal(id, &reason);
        }
    }
}

fn gone<S: GenServer>(server: &ServerRef<S>) -> Option<(usize, restante_core::ExitReason)> {
    let cell = server.handle.cell();
    (!cell.is_leased()).then(|| {
        let reason =
            cell.last_exit().map_or_else(|| restante_core::ExitReason::error("no such server"), |e| e.reason);
        (cell.link_id(), reason)
    })
}

/// Ends the bond.
pub fn unlink<A: GenServer, B: GenServer>(a: &ServerRef<A>, b: &ServerRef<B>) {
    link::unlink(&*end(a), &*end(b));
}
