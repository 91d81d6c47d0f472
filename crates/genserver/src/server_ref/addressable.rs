//! What a registry asks of a reference.

use super::reference::ServerRef;
use crate::call::label;
use crate::server::GenServer;
use restante_core::ExitReason;
use restante_core::addressable::{Addressable, GivenUp, OnClose};
use restante_core::handle::Handle;
use uuid::Uuid;

impl<S: GenServer> Addressable for ServerRef<S> {
    fn mailbox_id(&self) -> Uuid {
        self.id()
    }
    #[inline(always)]
    fn has_closed(&self) -> bool {
        self.is_closed()
    }
    fn why_closed(&self) -> Option<ExitReason> {
        self.handle.closed_reason()
    }
    fn close_mailbox(&self, reason: ExitReason) -> bool {
        self.close(reason)
    }
    fn label(&self) -> String {
        label(self.handle.cell()).to_string()
    }
    fn counted(&self) -> Option<Self> {
        Self::upgrade(self.handle.cell())
    }
    fn uncounted(&self) -> Self {
        Self::new(Handle::uncounted(self.handle.cell()))
    }
    fn drop_uncounted(self) {
        self.handle.drop_uncounted();
    }
    fn tell_first(&self, whom: std::sync::Weak<dyn OnClose>) -> bool {
        self.handle.cell().tell_first(whom)
    }
    fn tell_no_more_at(&self, whom: usize) -> bool {
        self.handle.cell().tell_no_more(whom)
    }
    fn is_served_here(&self) -> bool {
        crate::frame::current() == Some(self.handle.cell().link_id())
    }
    fn give_up(&self, since: u64) -> Option<GivenUp> {
        self.handle.cell().runner.keeper()?.end_for_good(since)
    }
}
