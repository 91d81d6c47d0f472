//! The users' values that are left in a mailbox when its memory goes.

use super::cold::Cold;
use super::mail_cell::MailCell;
use crate::lanes::Lanes;
use crate::later;
use crate::options::Meta;
use crate::quiet;
use crate::settings::Settings;
use crate::waiters::Waiters;

/// The last memory of a mailbox: what is in it may be the last of other mailboxes, and goes in its turn.
impl<M: 'static, X: ?Sized> Drop for MailCell<M, X> {
    fn drop(&mut self) {
        let (shared, own) = self.word.get_mut();
        let unread = |lanes: &mut Lanes<M>| (!lanes.is_empty()).then(|| std::mem::take(lanes));
        let left = Remains {
            lanes: [unread(&mut shared.lanes), unread(&mut own.lanes)],
            waiters: shared.waiters.take(),
            cold: shared.cold.take(),
            hand: own.hand.take(),
            settings: self.settings.take(),
        };
        if !left.is_nothing() {
            later::let_go(left, Remains::discard);
        }
    }
}

/// What of the users' is left in a mailbox whose memory goes.
struct Remains<M> {
    pub(super) lanes: [Option<Lanes<M>>; 2],
    pub(super) waiters: Option<Box<Waiters>>,
    pub(super) cold: Option<Box<Cold>>,
    pub(super) hand: Option<Box<Meta>>,
    pub(super) settings: Option<Box<Settings<M>>>,
}

impl<M> Remains<M> {
    fn is_nothing(&self) -> bool {
        self.lanes.iter().all(Option::is_none)
            && self.waiters.is_none()
            && self.cold.is_none()
            && self.hand.is_none()
            && self.settings.is_none()
    }

    /// Drops it piece by piece, so that a rude one neither keeps the next from going nor meets it on an unwinding stack.
    pub(super) fn discard(self) {
        self.lanes.into_iter().flatten().for_each(|mut lanes| lanes.discard());
        if let Some(mut waiters) = self.waiters {
            waiters.dismiss().into_iter().for_each(|waker| quiet::discard("a waker", waker));
        }
        if let Some(cold) = self.cold {
            cold.discard();
        }
        quiet::discard("a span", self.hand);
        if let Some(settings) = self.settings {
            settings.let_go();
        }
    }
}
