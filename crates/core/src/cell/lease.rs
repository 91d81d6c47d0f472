//! The lease to read: an incarnation's begin and end.

use super::after::Aftermath;
use super::halves::Own;
use super::mail_cell::{MailCell, Runner};
use crate::error::LeaseError;
use crate::exit::{Exit, ExitReason};
use crate::later;
use crate::link::Linked;
use crate::monitor::Event;
use crate::quiet;
use crate::word::{self, RunGuard};
use std::sync::Arc;
use std::task::Waker;

/// What is left to do when a lease has been given back.
struct GivenBack<M> {
    pub(super) after: Aftermath<M>,
    pub(super) parked: Option<Waker>,
    pub(super) links: Vec<Arc<dyn Linked>>,
    /// Monitors are to be told.
    pub(super) watched: bool,
    /// What the exit has taken the place of. Reasons hold errors of the user's, whose drop is not for under the lock.
    pub(super) last_exit: Option<Exit>,
    pub(super) doom: Option<ExitReason>,
}

impl<M> Default for GivenBack<M> {
    fn default() -> Self {
        Self {
            after: Aftermath::default(),
            parked: None,
            links: Vec::new(),
            watched: false,
            last_exit: None,
            doom: None,
        }
    }
}

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Takes the lease to read. RUN is not taken.
    ///
    /// # Errors
    /// The mailbox has a reader already, or is closed.
    pub fn lease(self: &Arc<Self>) -> Result<u32, LeaseError> {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return Err(LeaseError::Closed);
        }
        if g.bits() & word::LEASED != 0 {
            return Err(LeaseError::Leased);
        }
        g.set(word::LEASED);
        g.clear(word::KILL | word::HALF | word::PEND | word::HOLD | word::ASIDE | word::ORPHAN);
        g.incarnation += 1;
        let incarnation = g.incarnation;
        let watched = g.note_event(|| Event::Started { incarnation });
        drop(g);
        if watched {
            self.tell();
        }
        Ok(incarnation)
    }

    /// Gives the lease back, with RUN, and tells links and monitors how the incarnation ended. Unread messages stay
    /// where they are. With `close` the mailbox closes too.
    ///
    /// The lease is back when this returns; the rest has its turn, where this is deep within other ends.
    pub fn end_lease(self: &Arc<Self>, permit: RunGuard<Self>, exit: Option<Exit>, close: bool) {
        let given = self.return_lease(permit, exit.as_ref(), close);
        self.announce_closing();
        later::in_turn(self, |cell| cell.tell_of_end(given, exit));
    }

    /// [`MailCell::end_lease`], where the end is noted somewhere else as well: `note` does that under a lock of its own, and
    /// calls what it is handed, which gives the lease back, before it lets go of that lock. So the two happen at once for all
    /// who look at both:
    ///
    /// - Who finds the lease given back, in whatever way (a look, a monitor or link that is set late, a start), and then reads
    ///   the note's table, waits there for the lock and finds the end noted.
    /// - Who finds the end noted finds the lease given back.
    ///
    /// Links and monitors are told after `note`. It must not unwind, and must run no foreign code under its lock. The cell's
    /// LOCK is taken under that lock, never the other way round.
    ///
    /// All is done when this returns: where it may be deep within other ends, the caller has its turn already.
    pub fn end_lease_and(
        self: &Arc<Self>,
        permit: RunGuard<Self>,
        exit: Option<Exit>,
        close: bool,
        note: impl FnOnce(&mut dyn FnMut()),
    ) {
        let mut permit = Some(permit);
        let mut given = GivenBack::default();
        {
            let mut give_back = || {
                if let Some(permit) = permit.take() {
                    given = self.return_lease(permit, exit.as_ref(), close);
                }
            };
            note(&mut give_back);
            // A note that has not come to it leaves it to this.
            give_back();
        }
        self.announce_closing();
        self.tell_of_end(given, exit);
    }

    /// What a lease that was given back leads to.
    fn tell_of_end(self: &Arc<Self>, given: GivenBack<M>, exit: Option<Exit>) {
        self.afterwards(given.after);
        quiet::discard("a waker", given.parked);
        quiet::discard("an exit reason", given.last_exit);
        quiet::discard("an exit reason", given.doom);
        if let Some(exit) = exit {
            self.tell_links(given.links, &exit.reason);
            quiet::discard("an exit reason", exit);
        }
        let mut watched = given.watched;
        // Unless the next incarnation has begun: then what is queued is its to drain. Once the mailbox is closed, none begins.
        // This comes before the monitors are told, so that the caller of a join finds nothing half done.
        if self.word.bits_acquire() & (word::CLOSED | word::LEASED) == word::CLOSED {
            // The thread that settles it in our stead tells the monitors afterwards.
            watched &= self.settle();
        }
        if watched {
            self.tell();
        }
    }

    /// Gives lease and RUN back, under the lock.
    fn return_lease(&self, mut permit: RunGuard<Self>, exit: Option<&Exit>, close: bool) -> GivenBack<M> {
        let (_, own) = permit.split();
        own.in_hand = false;
        // Part of a batch has not been read.
        let left = !own.is_empty();
        let mut given = GivenBack::default();
        let mut g = self.word.lock();
        // Together with the lease: no other reader can come in between.
        if let Some(exit) = exit.filter(|_| close && g.bits() & word::CLOSED == 0) {
            given.after.wakers = self.close_locked(&mut g, exit.reason.clone());
        }
        if g.bits() & word::WAIT != 0 {
            // Rule 5 of `word`: there may be no reader to give room back for a long time.
            self.see(&mut g);
            self.grant(&mut g, &mut given.after);
        }
        permit.leave_with(&mut g);
        g.clear(
            word::LEASED
                | word::SCHED
                | word::KILL
                | word::HALF
                | word::PEND
                | word::HOLD
                | word::ASIDE
                | word::ORPHAN,
        );
        if left {
            g.set(word::DATA);
        }
        given.parked = g.take_parked();
        if let Some(exit) = exit {
            let cold = g.cold();
            given.last_exit = cold.last_exit.replace(exit.clone());
            given.doom = cold.doom.take();
            given.links = cold.links.take();
            given.watched = g.note_event(|| Event::Down(exit.clone()));
        }
        given
    }

    /// Ends an incarnation and begins the next one in one step: lease and RUN stay held, so no other reader can come in
    /// between. Links and monitors are told as by [`MailCell::end_lease`] and [`MailCell::lease`]. Returns the number of the
    /// next.
    ///
    /// # Errors
    /// The mailbox is closed: nothing has happened, and the exit comes back.
    pub fn renew_lease(self: &Arc<Self>, own: &mut Own<M>, exit: Exit) -> Result<u32, Exit> {
        let mut g = self.word.lock();
        if g.bits() & word::CLOSED != 0 {
            return Err(exit);
        }
        own.in_hand = false;
        g.clear(word::KILL | word::HALF | word::PEND | word::ASIDE | word::ORPHAN);
        g.incarnation += 1;
        let incarnation = g.incarnation;
        let watched = g.note_event(|| Event::Down(exit.clone()));
        g.note_event(|| Event::Started { incarnation });
        let cold = g.cold();
        let links = cold.links.take();
        let linked = (!links.is_empty()).then(|| exit.reason.clone());
        // Dropped below, outside the lock: reasons hold errors of the user's.
        let old = (cold.last_exit.replace(exit), cold.doom.take());
        drop(g);
        quiet::discard("an exit reason", old.0);
        quiet::discard("an exit reason", old.1);
        if let Some(reason) = linked {
            self.tell_links(links, &reason);
            quiet::discard("an exit reason", reason);
        }
        if watched {
            self.tell();
        }
        Ok(incarnation)
    }

    /// How the last incarnation ended.
    pub fn last_exit(&self) -> Option<Exit> {
        self.word.lock().cold.as_ref().and_then(|c| c.last_exit.clone())
    }

    /// Which incarnation reads, or read last; 0: none yet.
    pub fn incarnation(&self) -> u32 {
        self.word.lock().incarnation
    }
}

impl<M: 'static, X: ?Sized> MailCell<M, X> {
    /// Whether a reader holds the lease.
    pub fn is_leased(&self) -> bool {
        self.word.bits() & word::LEASED != 0
    }
}
