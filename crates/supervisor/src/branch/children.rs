//! What children tell their supervisor, on their own tasks, and what is done about it there and then; who comes into the
//! table and what is kept of who leaves it. What an end means is decided in [`crate::rules`].

use super::crash_report::{Who, is_heard};
use super::{Over, SupervisorCore};
use crate::child::Child;
use crate::child_options::ChildKind;
use crate::child_spec::ChildSpec;
use crate::parent_link::{NotAdopted, ParentLink};
use crate::path::step;
use crate::rt::Runtime;
use crate::rules::{AddError, Attempt, Early, Outcome, State, Then};
use crate::supervisor::check_options;
use futures::future::{Either, select};
use restante_core::clock::{self, Instant};
use restante_core::{ExitReason, Ledger};
use restante_genserver::keeper::{Beginner, End, Settle, Verdict};
use std::cell::LazyCell;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

impl SupervisorCore {
    /// Puts a child into the table: see [`Rules::add`].
    pub(crate) fn add(self: &Arc<Self>, spec: ChildSpec, added: bool) -> Result<(u64, u32), AddError> {
        let supervisor = spec.child.kind() == ChildKind::Supervisor;
        let (key, start) = {
            let mut locked = self.lock();
            // Its supervisor may have been reconfigured since it was looked at.
            check_options(&spec.id, &spec.options, &locked.rules.settings).map_err(AddError::Spec)?;
            let id = spec.table_id(locked.rules.settings.dynamic);
            let options = locked.rules.shared(spec.options);
            let (key, start) = locked.rules.add(id, Arc::clone(&spec.child), options, added)?;
            if supervisor {
                locked.rules.note_supervisor(key);
            }
            (key, start)
        };
        let child = Arc::clone(&spec.child);
        let Err(why) = child.adopt(ParentLink::new(self, key)) else {
            return Ok((key, start));
        };
        let (tell, _child) = {
            let mut locked = self.lock();
            (locked.rules.rest(key), locked.rules.remove(key))
        };
        // The child was not adopted: another supervisor has it, or it runs by itself. So it is not closed here.
        self.has_left();
        self.tell(tell);
        Err(match why {
            NotAdopted::Supervised => AddError::Supervised,
            NotAdopted::Running => AddError::Running,
        })
    }

    /// Gives all children back, of a supervisor that comes to nothing: they are as they were before it had them.
    pub(crate) fn give_back_all(&self) {
        let children: Vec<_> = {
            let mut locked = self.lock();
            let keys: Vec<u64> = locked.rules.children.keys().copied().collect();
            keys.into_iter().filter_map(|key| locked.rules.remove(key)).collect()
        };
        for child in children {
            child.release();
            child.refused();
            // The child is given back, and not closed.
            self.has_left();
        }
    }

    /// A child that never began has left the table: it is as it was before, and its mailbox is not closed.
    pub(crate) fn give_back(&self, child: &Arc<dyn Child>) {
        child.release();
        self.has_left();
    }

    /// A child is about to begin an incarnation.
    pub(crate) fn child_begins(&self, key: u64, incarnation: u32, by: Beginner) -> bool {
        self.lock().rules.begins(key, incarnation, by)
    }

    /// Its `init` has returned.
    pub(crate) fn child_started(&self, key: u64, incarnation: u32) {
        self.lock().rules.started(key, incarnation, clock::now);
    }

    /// It has ended, and holds its lease still.
    pub(crate) fn child_ended(self: &Arc<Self>, key: u64, end: &End) -> Verdict {
        let now = LazyCell::new(clock::now);
        let early = self.lock().rules.goes_on(key, end, || *now);
        match early {
            Early::Again => {
                self.report(key, end, Outcome::Restarts);
                Verdict::Again
            }
            Early::Settle(attempted) => {
                let (branch, end, now) = (Arc::clone(self), end.clone(), *now);
                Verdict::Leave(Some(Box::new(move |give_back| {
                    branch.note_end(key, end, now, attempted, give_back)
                })))
            }
        }
    }

    /// Notes an end that has not been told yet: the table shows it from here on, and the child's lease is given back under
    /// the same hold of the table's lock. So a reader that learns from one of them that the child has ended finds it ended
    /// in the other. Returns what is left to do: calling the child and those who wait for it, which may take its time.
    fn note_end(
        self: Arc<Self>,
        key: u64,
        end: End,
        now: Instant,
        attempted: Option<Attempt>,
        give_back: &mut dyn FnMut(),
    ) -> Option<Settle> {
        let heard = is_heard();
        let noted = {
            let mut locked = self.lock();
            // Looked up before the child leaves the table, if it does.
            let who = if heard { locked.who(key) } else { None };
            let id = locked.is_ending().then(|| Self::id_of(&locked, key));
            let then = locked.rules.ended(key, &end, now, attempted);
            if let (Some(Outcome::Unexpected), Some(id)) = (then.report, id) {
                locked.report.unexpected.push((step(id.as_str()).into_owned(), end.exit.reason.clone()));
            }
            if end.orphaned {
                locked.rules.end(ExitReason::Killed);
            }
            let pause = then.after.and_then(|(pause, epoch)| {
                Some(Pause { rt: locked.rt.clone()?, length: pause, epoch, told: locked.rules.pauses(key)? })
            });
            let over = locked.closes_for_good(key);
            give_back();
            Noted { then, down: locked.rules.live == 0, pause, who, over }
        };
        if noted.is_nothing() && !end.orphaned {
            return None;
        }
        Some(Box::new(move || self.settle(key, &end, noted)))
    }

    /// All have been told of the end: does what follows from it.
    fn settle(self: &Arc<Self>, key: u64, end: &End, noted: Noted) {
        let Noted { then, down, pause, who, over } = noted;
        self.close_over(over);
        if let (Some(outcome), Some(who)) = (then.report, who) {
            let after = self.lock().who(key);
            self.report_on(&after.unwrap_or(who), end, outcome);
        }
        if let Some(Pause { rt, length, epoch, told }) = pause {
            let weak = Arc::downgrade(self);
            rt.spawn(async move {
                // The sender told this task, or was dropped with the table: there will be no restart after this pause.
                if let Either::Right(_) = select(pin!(Runtime::sleep(length)), told).await {
                    return;
                }
                let Some(branch) = weak.upgrade() else { return };
                let due = branch.lock().rules.is_due(key, epoch);
                if let Some(child) = due {
                    child.again();
                }
            });
        }
        self.act(then, &end.exit.reason, key);
        if down {
            self.bell.notify_waiters();
        }
        // The last child may end when the performer has gone with its runtime: another performer sees to the rest.
        if end.orphaned || down && self.lock().is_ending() {
            // In a runtime that has shut down the performer is dropped at once, which ends the rest.
            self.ensure_performer();
        }
    }

    /// Does what was decided.
    fn act(self: &Arc<Self>, then: Then<Arc<dyn Child>>, reason: &ExitReason, key: u64) {
        if then.clear_out {
            let child = self.lock().rules.get(key).map(|entry| Arc::clone(&entry.child));
            if let Some(child) = child {
                child.clear_out(reason);
            }
        }
        if let Some(gone) = then.gone {
            self.retire(&gone, then.why.as_deref().unwrap_or(reason));
        }
        for waiting in then.tell {
            super::tell(waiting, ());
        }
        if then.perform {
            self.ensure_performer();
        }
    }

    /// Takes the child of this id out of the table if it is stopped and its mailbox has been closed meanwhile. The
    /// supervisor is not told of such a close while the child does not run.
    pub(crate) fn forget_closed(&self, id: &str) {
        let (key, child) = {
            let locked = self.lock();
            let Some(key) = locked.rules.key_of(id) else { return };
            let Some(entry) = locked.rules.get(key).filter(|_| locked.rules.must_be_stopped(key).is_ok())
            else {
                return;
            };
            (key, Arc::clone(&entry.child))
        };
        if !child.is_closed() {
            return;
        }
        let gone = {
            let mut locked = self.lock();
            if locked.rules.must_be_stopped(key).is_ok() { locked.rules.remove(key) } else { None }
        };
        if let Some(gone) = gone {
            self.retire(&gone, &ExitReason::Shutdown);
        }
    }

    /// A child that was stopped leaves the table, and its mailbox closes: now, or, where it does not end, the mailbox now,
    /// so that those hear who wait in its queue, and the child when it has ended.
    pub(crate) fn dismiss(&self, key: u64) {
        let (gone, left) = {
            let mut locked = self.lock();
            let left = locked.rules.get(key).filter(|entry| entry.state == State::Abandoned);
            let left = left.map(|entry| Arc::clone(&entry.child));
            (locked.rules.discard(key), left)
        };
        if let Some(left) = left {
            left.give_up(&ExitReason::Killed);
        }
        if let Some(gone) = gone {
            self.retire(&gone, &ExitReason::Shutdown);
        }
    }

    /// A child has left the table: its mailbox closes, and what it counted is kept. The supervisor is not down before
    /// that. (It may have been killed and not have ended, and so may one below it: those who wait in such a queue hear as
    /// well.)
    pub(crate) fn retire(&self, child: &Arc<dyn Child>, reason: &ExitReason) {
        child.give_up(reason);
        self.has_left();
        match at_rest(&**child) {
            Some(ledger) => self.lock().retired += ledger,
            // Another reader looks at it just now, or it was abandoned in a handler: it counts on.
            None => self.lock().unsettled.push(Arc::clone(child)),
        }
        self.settle_accounts(2);
    }

    /// The mailbox of one that had ended for good is closed.
    pub(super) fn has_left(&self) {
        let last = {
            let mut locked = self.lock();
            locked.rules.leaving -= 1;
            locked.rules.leaving == 0
        };
        if last {
            self.bell.notify_waiters();
        }
    }

    /// Looks again at so many of those that left the table before their counters had come to rest.
    pub(super) fn settle_accounts(&self, most: usize) {
        let some: Vec<_> = self.lock().unsettled.iter().rev().take(most).map(Arc::clone).collect();
        for child in some {
            let Some(ledger) = at_rest(&*child) else { continue };
            let mut locked = self.lock();
            // Another thread may just have done so.
            if let Some(at) = locked.unsettled.iter().position(|other| Arc::ptr_eq(other, &child)) {
                locked.unsettled.swap_remove(at);
                locked.retired += ledger;
            }
        }
    }
}

/// A pause before a restart, to be waited out by a task.
struct Pause {
    rt: Runtime,
    length: Duration,
    epoch: u32,
    /// There is nothing more to wait for.
    told: oneshot::Receiver<()>,
}

/// An end that the table shows, and what follows from it.
struct Noted {
    then: Then<Arc<dyn Child>>,
    /// It was the last that was live.
    down: bool,
    pause: Option<Pause>,
    who: Option<Who>,
    /// The supervisor ends for good, and with it this mailbox, for that reason.
    over: Option<Over>,
}

impl Noted {
    fn is_nothing(&self) -> bool {
        let Then { perform, gone, clear_out, tell, report, .. } = &self.then;
        let follows = *perform || self.pause.is_some() || gone.is_some() || *clear_out || !tell.is_empty();
        !(follows || report.is_some() || self.down || self.over.is_some())
    }
}

/// The counters of a closed mailbox, or of all below a supervisor, once nothing can change them any more.
fn at_rest(child: &dyn Child) -> Option<Ledger> {
    child.audit().filter(|ledger| ledger.queued == 0 && ledger.in_hand == 0)
}
