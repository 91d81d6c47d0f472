//! A supervisor: its table under one short lock, its place in the tree, and what its children tell it.
//!
//! A child's word (`child_begins`, `child_started`, `child_ended`) comes on the child's own task and is dealt with there: a
//! restart of one never waits for anything else that the supervisor does. What takes longer, a start or an end of the
//! whole and a group restart, is done by one task at a time ([`crate::perform`]), which is there only while there is
//! something to do. Nothing of a child is called under the lock, but for one thing: the step that gives a server's lease back.
//!
//! That step and the change of the table by which an end becomes known are one for all who look at both (clause 12.7):
//!
//! ```text
//!  the child's thread              its mailbox                 the table            monitors, links
//!  ended: no restart               leased                      running              not told
//!  note:  lock the table ──┐
//!         decide           │       leased                      running              not told
//!         give back        │       given back: late monitors   locked: who looks
//!                          │       are told at once            waits
//!         unlock  ─────────┘       given back                  stopped, or gone     not told
//!  tell, then settle               given back                  stopped, or gone     told
//! ```
//!
//! The supervisor's lock is taken first and the cell's second, here alone; nothing takes a supervisor's lock under a cell's.
//! With the lease given back before the table's lock, a monitor that is set in between would be told of an end that the table
//! does not show. With the table changed before the lease, a start by hand would be let begin and find the mailbox taken. A
//! supervisor among the children has no lease: [`SupervisorState::telling`] keeps it alive for those who ask until the
//! table above shows its end.
//!
//! | room | its one idea |
//! |---|---|
//! | `children` | What its children tell it, and what it does about that at once. |
//! | `life` | Its own life: it begins, is up, is told to end, is down; who waits for that. |
//! | `as_child` | What it is to the supervisor above. |
//! | `tempo` | What those above leave it to give up in, and what it leaves to those below. |
//! | `crash_report` | What is said of an end, and of whom. |
//!
//! What deliberately does not live here: decisions ([`crate::rules`]), and anything that waits.

mod as_child;
mod children;
mod crash_report;
mod life;
mod tempo;
#[cfg(all(test, not(shuttle)))]
mod tests;

use crate::child::Child;
use crate::error::SpecError;
use crate::parent_link::Standing;
use crate::rt::{Mutex, MutexGuard, Runtime};
use crate::rules::{Life, Rules, Settings, State};
use crate::shutdown::ShutdownReport;
use restante_core::clock::Instant;
use restante_core::{Exit, ExitReason, Ledger, quiet};
use restante_genserver::StartError;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// The table that is kept of children.
pub(crate) type Table = Rules<Arc<dyn Child>>;

/// A supervisor.
pub(crate) struct SupervisorCore {
    /// Tells it from every other.
    pub(crate) serial: u64,
    pub(crate) name: Option<Arc<str>>,
    /// How long a killed child may take to end before it is abandoned.
    pub(crate) grace: Duration,
    state: Mutex<SupervisorState>,
    /// Rung when the performer may have to do something else, and when the last child is down.
    pub(crate) bell: Notify,
    /// Rung when it is asked to end by one who does not wait. Those who run a tree listen, by wakers of their own.
    pub(crate) requested: Notify,
    post: Standing,
    /// Why it must not start.
    pub(crate) unsound: Option<SpecError>,
}

/// What lies under the lock.
#[expect(clippy::struct_excessive_bools, reason = "each is a note of its own")]
pub(crate) struct SupervisorState {
    pub(crate) rules: Table,
    /// There is a performer.
    pub(crate) performing: bool,
    /// Everything is to end at once.
    pub(crate) brutal: bool,
    /// When its children were all up.
    pub(crate) up_since: Option<Instant>,
    /// When the supervisor began to end.
    pub(crate) ending_since: Option<Instant>,
    /// How long it had been ending when it was told that everything is to end at once.
    pub(crate) late: Option<Duration>,
    pub(crate) incarnation: u32,
    /// Who waits for the start.
    pub(crate) starting: Option<oneshot::Sender<Result<(), StartError>>>,
    /// A caller that does not wait has asked it to end.
    pub(crate) requested: bool,
    /// A caller awaits the start of this incarnation, or has still to hear of it, and would end it by going away.
    pub(crate) awaited: bool,
    /// Who wait for the end, of which incarnation.
    joiners: Vec<(u32, oneshot::Sender<Exit>)>,
    pub(crate) last_exit: Option<Exit>,
    pub(crate) report: ShutdownReport,
    /// An incarnation that was told to end between the word of the supervisor above, that it may begin, and its begin.
    doomed: Option<Doomed>,
    /// Keeps the supervisor alive while it is up: no other holder is needed.
    me: Option<Arc<SupervisorCore>>,
    pub(crate) rt: Option<Runtime>,
    /// Its runtime has shut down under it.
    pub(crate) orphaned: bool,
    /// There will be no other incarnation.
    pub(crate) closed: bool,
    /// This end is for good, as far as is known: no supervisor above will begin it again.
    pub(crate) for_good: bool,
    /// This incarnation is down, and the supervisor above and those who wait for its end have not been told.
    telling: Option<u32>,
    /// The counters of mailboxes that have left the table.
    pub(crate) retired: Ledger,
    /// Those that have left the table, and whose counters have not come to rest.
    unsettled: Vec<Arc<dyn Child>>,
}

/// A child whose mailbox is to be closed, and why: see [`SupervisorCore::close_over`].
pub(crate) type Over = (Arc<dyn Child>, ExitReason);

/// See [`SupervisorState`].
struct Doomed {
    incarnation: u32,
    reason: ExitReason,
    brutal: bool,
}

/// The lock, held. What was thrown away under it goes when it is given up.
pub(crate) struct StateGuard<'a>(Option<MutexGuard<'a, SupervisorState>>);

impl std::ops::Deref for StateGuard<'_> {
    type Target = SupervisorState;
    fn deref(&self) -> &SupervisorState {
        self.0.as_ref().expect("it is held until it is dropped")
    }
}

impl std::ops::DerefMut for StateGuard<'_> {
    fn deref_mut(&mut self) -> &mut SupervisorState {
        self.0.as_mut().expect("it is held until it is dropped")
    }
}

impl Drop for StateGuard<'_> {
    fn drop(&mut self) {
        let Some(mut locked) = self.0.take() else { return };
        if locked.rules.aftermath.is_empty() {
            return;
        }
        let aftermath = std::mem::take(&mut locked.rules.aftermath);
        drop(locked);
        aftermath.discard();
    }
}

/// Tells one that waits. Its waker is not ours, and neither is the drop of what it does not want any more.
pub(crate) fn tell<T>(waiting: oneshot::Sender<T>, what: T) {
    quiet::run("a waker", || drop(waiting.send(what)));
}

impl SupervisorState {
    fn can_begin(&self) -> Result<(), StartError> {
        if self.closed {
            return Err(StartError::Closed);
        }
        if self.rules.life != Life::Down {
            return Err(StartError::AlreadyStarted);
        }
        Ok(())
    }

    /// Whether it is up, or about to be, or those who wait for its end have still to hear of it.
    pub(crate) fn is_alive(&self) -> bool {
        self.rules.life != Life::Down || self.telling.is_some()
    }

    /// A child that is down, and whose supervisor ends for good: its mailbox is to be closed, for this reason. To be asked
    /// wherever a child has come down.
    pub(crate) fn closes_for_good(&mut self, key: u64) -> Option<Over> {
        let Life::Ending(reason) = &self.rules.life else { return None };
        let entry = self.rules.get(key).filter(|entry| self.for_good && entry.state == State::Stopped)?;
        let over = (Arc::clone(&entry.child), reason.clone());
        self.rules.leaving += 1;
        Some(over)
    }

    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.rules.life, Life::Ending(_))
    }
}

impl SupervisorCore {
    pub(crate) fn new(
        name: Option<Arc<str>>,
        settings: Settings,
        seed: u64,
        grace: Duration,
        unsound: Option<SpecError>,
    ) -> Arc<Self> {
        // The serial is a name that orders no other access: a plain counter of the standard library, under any test.
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            name,
            grace,
            state: Mutex::new(SupervisorState {
                rules: Rules::new(settings, seed),
                performing: false,
                brutal: false,
                up_since: None,
                ending_since: None,
                late: None,
                incarnation: 0,
                starting: None,
                requested: false,
                awaited: false,
                joiners: Vec::new(),
                doomed: None,
                last_exit: None,
                report: ShutdownReport::default(),
                me: None,
                rt: None,
                orphaned: false,
                closed: false,
                for_good: false,
                telling: None,
                retired: Ledger::default(),
                unsettled: Vec::new(),
            }),
            bell: Notify::new(),
            requested: Notify::new(),
            post: Standing::default(),
            unsound,
        })
    }

    /// The lock. For moments, and never while anything of a child is called.
    pub(crate) fn lock(&self) -> StateGuard<'_> {
        StateGuard(Some(self.state.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(crate) fn parent(&self) -> Option<(Arc<Self>, u64)> {
        self.post.get()
    }

    /// What it is called where no supervisor above gives it an id.
    pub(crate) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("supervisor")
    }
}

impl fmt::Debug for SupervisorCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Supervisor({})", self.name.as_deref().unwrap_or("-"))
    }
}
