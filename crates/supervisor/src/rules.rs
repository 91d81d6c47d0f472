//! What a supervisor decides, and the table that it decides by. Synchronous: an event and the time go in, what is to be
//! done comes out ([`Then`]); [`crate::branch`] and [`crate::perform`] do it.
//!
//! ```text
//!  a child:    Stopped ──start──> Starting ──init──> Running ──order──> Stopping ──end──> Stopped
//!                                     │ fails            │ ends by itself, and fate says so
//!                                     v                  v
//!                                  Stopped          Restarting ──begins, init──> Running
//!                                                        └──fails: counts, and again──┘
//!  the whole:  Down ──start──> Starting ──all are up──> Up ──> Ending(why) ──all are down──> Down
//! ```
//!
//! `Starting` belongs to somebody who waits for `init`, and who decides over its failure; `Restarting` to the child's own
//! task. A group restart is a note ([`Group`]) that the performer works off: its members are `Stopped` and *wanted*
//! meanwhile. A child's key is never used again, and neither is an incarnation's number, so a late word is known as such.

use crate::backoff::{Backoff, Pauses};
use crate::child_spec::{ChildId, ChildOptions, Shutdown};
use crate::intensity::{Intensity, Window};
use crate::restart::{Fate, Restart, fate};
use crate::strategy::{AutoShutdown, Strategy};
use crate::supervisor::ChildError;
use restante_core::clock::Instant;
use restante_core::{Exit, ExitReason};
use restante_genserver::keeper::{Beginner, End};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a supervisor is told about itself.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    pub(crate) backoff: Backoff,
    pub(crate) auto_shutdown: AutoShutdown,
    /// Children come and go: no order among them, and they go together.
    pub(crate) dynamic: bool,
    pub(crate) max_children: usize,
    /// Children that were added later survive a restart of the supervisor.
    pub(crate) keep_children: bool,
}

/// Where a supervisor is in its life.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Life {
    Down,
    Starting,
    Up,
    Ending(ExitReason),
}

/// Where a child is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Stopped,
    Starting,
    Running,
    Restarting,
    Stopping,
    /// It was killed, and still does not end.
    Abandoned,
}

impl State {
    /// Whether it has to be waited for before the supervisor is down.
    pub(crate) fn is_live(self) -> bool {
        !matches!(self, Self::Stopped | Self::Abandoned)
    }

    /// Whether it counts as a child with a process.
    pub(crate) fn is_active(self) -> bool {
        !matches!(self, Self::Stopped | Self::Restarting)
    }
}

/// How a child came into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// With its supervisor.
    Spec,
    /// It is being added by hand and is not up yet: if it does not come up, it will never have been.
    Tentative,
    /// By hand.
    Added,
}

/// One child. Of these there may be a million: a test holds it to 48 bytes.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself, whatever the state")]
pub(crate) struct Entry<C> {
    pub(crate) child: C,
    pub(crate) options: Arc<ChildOptions>,
    /// What only children that have an id, or a history, need.
    rare: Option<Box<Rare>>,
    /// The last incarnation that has begun.
    pub(crate) incarnation: u32,
    /// Counts what was decided over it: who comes back to it after a pause sees whether that still holds.
    epoch: u32,
    pub(crate) state: State,
    /// The present incarnation has begun.
    begun: bool,
    /// A group restart will start it.
    pub(crate) wanted: bool,
    pub(crate) origin: Origin,
    /// It leaves the table when it is down.
    discarded: bool,
    supervisor: bool,
    /// It was stopped by hand since it was last started: that it did not start is nobody's failure.
    halted: bool,
    /// Whether the supervisor has killed the present incarnation.
    kill: Kill,
}

/// See [`Entry::kill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Kill {
    #[default]
    No,
    /// Without asking it to end.
    Plain,
    /// It had been asked, or its supervisor had, and the time was over.
    Late,
}

/// See [`Entry`].
#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) id: Option<ChildId>,
    pauses: Pauses,
    window: Window,
    pub(crate) restarts: u64,
    pub(crate) last_exit: Option<Exit>,
    /// It does not start with its supervisor either, until somebody starts it by hand.
    off: bool,
    /// Who wait for its end.
    waiting: Vec<oneshot::Sender<()>>,
}

impl<C> Entry<C> {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn id(&self) -> Option<&ChildId> {
        self.rare.as_ref().and_then(|rare| rare.id.as_ref())
    }

    fn is_off(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.off)
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.restarts)
    }

    pub(crate) fn last_exit(&self) -> Option<&Exit> {
        self.rare.as_ref().and_then(|rare| rare.last_exit.as_ref())
    }

    fn is_tentative(&self) -> bool {
        self.origin == Origin::Tentative
    }

    /// When its last incarnation that came up did, where that is noted.
    pub(crate) fn pauses_up_since(&self) -> Option<Instant> {
        self.rare.as_ref().and_then(|rare| rare.pauses.up_since())
    }

    /// Whether this start is the last thing that was decided over it, but for its end.
    fn is_of(&self, start: u32) -> bool {
        self.epoch == start || self.epoch == start.wrapping_add(1) && self.state == State::Stopped
    }

    fn rests(&mut self) -> Vec<oneshot::Sender<()>> {
        self.state = State::Stopped;
        self.begun = false;
        self.kill = Kill::No;
        self.epoch += 1;
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.waiting)).unwrap_or_default()
    }
}

/// A group restart that is due or under way: of all children from one key on, up to the last that was there when the
/// group fell. (Who is added later is not stopped by it.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) from: u64,
    /// The first key that is not in it.
    pub(crate) until: u64,
    pub(crate) pause: Duration,
}

/// What came of counting an attempt to restart: the pause before it, or that it is one too many.
pub(crate) type Attempt = Result<Duration, RestartLimit>;

/// What can be said of an end before the lease is given back.
#[derive(Debug, PartialEq)]
pub(crate) enum Early {
    /// The next incarnation begins in its place.
    Again,
    /// All the rest; with the attempt, if one has been counted.
    Settle(Option<Attempt>),
}

impl Group {
    fn takes_in(&self, key: u64) -> bool {
        (self.from..self.until).contains(&key)
    }
}

/// What is to be done after a decision, outside the lock.
pub(crate) struct Then<C> {
    /// The performer has something to do: a group restart, or the supervisor's own end.
    pub(crate) perform: bool,
    /// The child's own task goes on after this pause, if its epoch is still that.
    pub(crate) after: Option<(Duration, u32)>,
    /// It has left the table: its mailbox closes.
    pub(crate) gone: Option<C>,
    /// It rests, and what is queued is not kept.
    pub(crate) clear_out: bool,
    /// Who waited for this.
    pub(crate) tell: Vec<oneshot::Sender<()>>,
    /// This is worth a report; with what came of it.
    pub(crate) report: Option<Outcome>,
}

/// What came of an end, for the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Restarts,
    Rests,
    Goes,
    GivesUp,
    Escalates,
    /// It ended while it was told to, but for another reason.
    Unexpected,
    /// It was told to end, did not in its time, and was killed.
    Late,
    /// It did not start with its supervisor, which is rolled back.
    NotStarted,
}

impl<C> Then<C> {
    fn nothing() -> Self {
        Self { perform: false, after: None, gone: None, clear_out: false, tell: Vec::new(), report: None }
    }
}

/// A supervisor gave up: one of its children had to be restarted too often.
///
/// The [`ExitReason::Error`] of a supervisor that ended so; see [`RestartLimit::of`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("child {child} was restarted too often: {count} attempts in {window:?}")]
#[non_exhaustive]
pub struct RestartLimit {
    /// The child whose end was one too many.
    pub child: ChildId,
    /// Restarts within the window, that one included.
    pub count: u32,
    /// The period that was set.
    pub window: Duration,
}

impl RestartLimit {
    /// The limit that this reason tells of, if it does.
    pub fn of(reason: &ExitReason) -> Option<&Self> {
        match reason {
            ExitReason::Error(error) => error.downcast_ref(),
            _ => None,
        }
    }
}

/// The table and what is decided by it.
pub(crate) struct Rules<C> {
    pub(crate) settings: Settings,
    /// By key: in the order of their start.
    pub(crate) children: BTreeMap<u64, Entry<C>>,
    ids: HashMap<ChildId, u64>,
    next_key: u64,
    /// Children that are not down.
    pub(crate) live: usize,
    /// Children with a process.
    pub(crate) active: usize,
    /// Children that are supervisors.
    pub(crate) supervisors: usize,
    /// The options that the last child was given: a million of them mostly have the same.
    last_options: Option<Arc<ChildOptions>>,
    pub(crate) life: Life,
    pub(crate) group: Option<Group>,
    /// The performer is stopping this group.
    pub(crate) falling: Option<Group>,
    window: Window,
    rng: fastrand::Rng,
    pub(crate) restarts: u64,
    /// Reasons that nobody asks for any more. An error in one is somebody else's, and its drop may do anything: not under the
    /// lock.
    pub(crate) trash: Trash,
}

/// See [`Rules::trash`]. Mostly of one, which costs no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct Trash(Option<ExitReason>, Vec<ExitReason>);

impl Trash {
    pub(crate) fn put(&mut self, reason: ExitReason) {
        if let Some(before) = self.0.replace(reason) {
            self.1.push(before);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// Why a child could not be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AddError {
    Taken { key: u64 },
    Full { active: usize },
    Down,
    Supervised,
}

impl<C: Clone> Rules<C> {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            children: BTreeMap::new(),
            ids: HashMap::new(),
            next_key: 0,
            live: 0,
            active: 0,
            supervisors: 0,
            last_options: None,
            life: Life::Down,
            group: None,
            falling: None,
            window: Window::default(),
            rng: fastrand::Rng::with_seed(seed),
            restarts: 0,
            trash: Trash::default(),
        }
    }

    /// The key of the child with this id.
    pub(crate) fn key_of(&self, id: &str) -> Option<u64> {
        self.ids.get(id).copied()
    }

    pub(crate) fn get(&self, key: u64) -> Option<&Entry<C>> {
        self.children.get(&key)
    }

    /// A child's name: its id, else its number.
    pub(crate) fn id_of(&self, key: u64) -> ChildId {
        self.get(key).and_then(Entry::id).cloned().unwrap_or_else(|| ChildId::from(format!("#{key}")))
    }

    /// Adds a child: stopped, or, where it is `added` to a running supervisor, about to be started by whoever adds it. Its
    /// key, and what names that start.
    pub(crate) fn add(
        &mut self,
        id: Option<ChildId>,
        child: C,
        options: Arc<ChildOptions>,
        added: bool,
    ) -> Result<(u64, u32), AddError> {
        if added && matches!(self.life, Life::Down | Life::Ending(_)) {
            return Err(AddError::Down);
        }
        let indexed = id.as_ref().filter(|_| !self.settings.dynamic);
        if let Some(key) = indexed.and_then(|id| self.ids.get(id)) {
            return Err(AddError::Taken { key: *key });
        }
        if self.children.len() >= self.settings.max_children {
            return Err(AddError::Full { active: self.children.len() });
        }
        let key = self.take_key();
        self.insert(key, id, child, options, if added { Origin::Tentative } else { Origin::Spec });
        // A child that is added is somebody's who starts it, from the first moment that others see it.
        let start = if added { self.starts(key).map_or(0, |(_, start)| start) } else { 0 };
        Ok((key, start))
    }

    /// A key that nobody else has.
    pub(crate) fn take_key(&mut self) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        key
    }

    /// Puts a child into the table, whose id and key nobody else has there.
    pub(crate) fn insert(
        &mut self,
        key: u64,
        id: Option<ChildId>,
        child: C,
        options: Arc<ChildOptions>,
        origin: Origin,
    ) {
        if let Some(id) = id.as_ref().filter(|_| !self.settings.dynamic) {
            self.ids.insert(id.clone(), key);
        }
        let rare = id.map(|id| Box::new(Rare { id: Some(id), ..Rare::default() }));
        let entry = Entry {
            child,
            options,
            rare,
            incarnation: 0,
            epoch: 0,
            state: State::Stopped,
            begun: false,
            wanted: false,
            origin,
            discarded: false,
            supervisor: false,
            halted: false,
            kill: Kill::No,
        };
        self.children.insert(key, entry);
    }

    /// These options, in one place for all children that have the same.
    pub(crate) fn shared(&mut self, options: ChildOptions) -> Arc<ChildOptions> {
        match &self.last_options {
            Some(last) if **last == options => Arc::clone(last),
            _ => Arc::clone(self.last_options.insert(Arc::new(options))),
        }
    }

    /// A child that has just been added is a supervisor.
    pub(crate) fn note_supervisor(&mut self, key: u64) {
        if let Some(entry) = self.children.get_mut(&key).filter(|entry| !entry.supervisor) {
            entry.supervisor = true;
            self.supervisors += 1;
        }
    }

    /// A child's state changes, and with it what is counted. In the table or, with its entry, on the way out of it.
    fn count(&mut self, from: State, to: State) {
        self.live = self.live + usize::from(to.is_live()) - usize::from(from.is_live());
        self.active = self.active + usize::from(to.is_active()) - usize::from(from.is_active());
    }

    fn change(&mut self, key: u64, to: State) {
        let Some(entry) = self.children.get_mut(&key) else { return };
        let from = std::mem::replace(&mut entry.state, to);
        self.count(from, to);
    }

    /// Takes a stopped child out of the table.
    pub(crate) fn remove(&mut self, key: u64) -> Option<C> {
        let entry = self.children.remove(&key)?;
        self.count(entry.state, State::Stopped);
        self.supervisors -= usize::from(entry.supervisor);
        if let Some(id) = entry.id().filter(|_| !self.settings.dynamic) {
            self.ids.remove(id);
        }
        if let Some(old) = entry.rare.and_then(|rare| rare.last_exit) {
            self.trash.put(old.reason);
        }
        Some(entry.child)
    }

    /// Somebody will start this child and wait for its `init`. What names this start among all others: whoever comes
    /// back with its failure may find that it is over, and that another is under way.
    pub(crate) fn starts(&mut self, key: u64) -> Option<(C, u32)> {
        let entry = self.children.get_mut(&key)?;
        entry.wanted = false;
        if entry.state != State::Stopped {
            return None;
        }
        if let Some(rare) = entry.rare.as_mut() {
            rare.off = false;
        }
        entry.begun = false;
        entry.halted = false;
        entry.epoch += 1;
        let start = (entry.child.clone(), entry.epoch);
        self.change(key, State::Starting);
        Some(start)
    }

    /// Whether a child is stopped, and nobody is about to start it.
    pub(crate) fn must_be_stopped(&self, key: u64) -> Result<(), ChildError> {
        let entry = self.get(key).ok_or(ChildError::NotFound)?;
        match entry.state {
            State::Stopped if entry.wanted => Err(ChildError::Restarting),
            State::Stopped => Ok(()),
            State::Restarting => Err(ChildError::Restarting),
            State::Abandoned => Err(ChildError::Abandoned),
            State::Starting | State::Running | State::Stopping => Err(ChildError::Running),
        }
    }

    /// Whether a child that was stopped by hand leaves the table.
    pub(crate) fn goes_when_stopped(&self, key: u64) -> bool {
        self.settings.dynamic || self.get(key).is_some_and(|e| e.options.restart == Restart::Temporary)
    }

    /// This start has come to nothing, or nobody waits for it any more: nobody is there, or somebody who is being killed (and
    /// may have come up at the last moment).
    pub(crate) fn start_failed(&mut self, key: u64, start: u32) -> Vec<oneshot::Sender<()>> {
        let Some(entry) = self.children.get_mut(&key).filter(|e| e.epoch == start) else { return Vec::new() };
        match entry.state {
            State::Starting | State::Stopping if !entry.begun => self.rest(key),
            State::Starting | State::Running => {
                // (By the start that was given up.)
                entry.kill = Kill::Plain;
                self.change(key, State::Stopping);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Whether a start that has come to nothing is nobody's concern: the child was stopped by hand, or is another's by now.
    pub(crate) fn is_moot(&self, key: u64, start: u32) -> bool {
        self.get(key).is_none_or(|entry| entry.halted || !entry.is_of(start))
    }

    /// Whether a child that was added has not been up yet.
    pub(crate) fn is_tentative(&self, key: u64) -> bool {
        self.get(key).is_some_and(Entry::is_tentative)
    }

    /// A child that was added had nothing to serve: its specification stays.
    pub(crate) fn keep(&mut self, key: u64) {
        if let Some(entry) = self.children.get_mut(&key).filter(|entry| entry.is_tentative()) {
            entry.origin = Origin::Added;
        }
    }

    /// The specification goes with this start, which came to nothing; unless the child is another's by now.
    pub(crate) fn discard_start(&mut self, key: u64, start: u32) -> Option<C> {
        if self.get(key).is_some_and(|entry| entry.is_of(start)) { self.discard(key) } else { None }
    }

    /// The specification goes, now or when the incarnation has ended.
    pub(crate) fn discard(&mut self, key: u64) -> Option<C> {
        let entry = self.children.get_mut(&key)?;
        if entry.state == State::Stopped {
            return self.remove(key);
        }
        entry.discarded = true;
        None
    }

    /// An incarnation is about to begin: whether it may. A child's own task, told to begin before somebody stopped the
    /// child and a third one started it, must not take that one's place.
    pub(crate) fn begins(&mut self, key: u64, incarnation: u32, by: Beginner) -> bool {
        let Some(entry) = self.children.get_mut(&key) else { return false };
        let due = match by {
            Beginner::Starter => State::Starting,
            Beginner::Task => State::Restarting,
        };
        if entry.begun || entry.state != due {
            return false;
        }
        entry.incarnation = incarnation;
        entry.begun = true;
        entry.kill = Kill::No;
        true
    }

    /// Its `init` has returned.
    pub(crate) fn started(&mut self, key: u64, incarnation: u32, now: impl FnOnce() -> Instant) {
        let falls = self.falls(key);
        let Some(entry) = self.children.get_mut(&key) else { return };
        let begins = entry.begun && matches!(entry.state, State::Starting | State::Restarting);
        if entry.incarnation != incarnation || !begins {
            return;
        }
        if entry.origin == Origin::Tentative {
            entry.origin = Origin::Added;
            entry.wanted = falls && entry.options.restart != Restart::Temporary;
        }
        if let Some(rare) = entry.rare.as_mut() {
            rare.pauses.started(now());
        }
        let from = std::mem::replace(&mut entry.state, State::Running);
        self.count(from, State::Running);
    }

    /// An incarnation has ended, and its lease has not been given back yet: whether it simply goes on with the next, which is
    /// what mostly happens. Else all the rest is for [`Rules::ended`], after the lease.
    pub(crate) fn goes_on(&mut self, key: u64, end: &End, now: impl Fn() -> Instant) -> Early {
        let Some(entry) = self.children.get_mut(&key) else { return Early::Settle(None) };
        let comes_back = match entry.state {
            State::Running => fate(entry.options.restart, &end.exit.reason) == Fate::Restarts,
            State::Restarting => !end.ignored,
            _ => false,
        };
        let plain = comes_back
            && entry.begun
            && entry.incarnation == end.exit.incarnation
            && !(end.closed || end.orphaned || entry.options.escalate)
            && self.settings.strategy == Strategy::OneForOne
            && matches!(self.life, Life::Up | Life::Starting);
        if !plain {
            return Early::Settle(None);
        }
        match self.attempt(key, now) {
            Ok(pause) if pause.is_zero() => {}
            other => return Early::Settle(Some(other)),
        }
        let Some(entry) = self.children.get_mut(&key) else { return Early::Settle(None) };
        entry.incarnation += 1;
        entry.epoch += 1;
        let old = entry.rare().last_exit.replace(end.exit.clone());
        let from = std::mem::replace(&mut entry.state, State::Restarting);
        self.count(from, State::Restarting);
        if let Some(old) = old {
            self.trash.put(old.reason);
        }
        Early::Again
    }

    /// An incarnation has ended, and its lease has been given back. `attempted`: the restart has been counted already.
    pub(crate) fn ended(&mut self, key: u64, end: &End, now: Instant, attempted: Option<Attempt>) -> Then<C> {
        let mut then = Then::nothing();
        let falls = self.falls(key);
        let Some(entry) = self.children.get_mut(&key) else { return then };
        if end.exit.incarnation < entry.incarnation || entry.state == State::Stopped {
            return then;
        }
        entry.begun = false;
        let (state, options) = (entry.state, Arc::clone(&entry.options));
        let reason = &end.exit.reason;
        let keeps_history = self.settings.dynamic && options.restart == Restart::Temporary;
        if !keeps_history && let Some(old) = entry.rare().last_exit.replace(end.exit.clone()) {
            self.trash.put(old.reason);
        }
        let ending = matches!(self.life, Life::Down | Life::Ending(_)) || end.orphaned;
        // A group restart will stop it, or is about to: its own end makes no difference.
        // (A temporary one is gone with its end, as ever.)
        let falls = falls && options.restart != Restart::Temporary;
        let settled = match state {
            // Whoever started it or told it to end decides.
            State::Starting | State::Abandoned => true,
            State::Stopping => {
                let told = match options.shutdown {
                    Shutdown::BrutalKill => *reason == ExitReason::Killed,
                    _ => matches!(reason, ExitReason::Shutdown | ExitReason::ShutdownWith(_)),
                };
                // One that may end by itself may do so just when it is told.
                let expected = told || options.restart != Restart::Permanent && reason.is_orderly();
                let killed = *reason == ExitReason::Killed;
                then.report = match entry.kill {
                    Kill::Late if killed || expected => Some(Outcome::Late),
                    Kill::Plain if killed => None,
                    _ => (!expected).then_some(Outcome::Unexpected),
                };
                true
            }
            _ => ending || falls,
        };
        if settled && !end.closed {
            let discarded = entry.discarded;
            // It may have been added or started by hand when the group had been told off already.
            entry.wanted |= falls && !ending && matches!(state, State::Running | State::Restarting);
            then.tell = self.rest(key);
            if discarded {
                then.gone = self.remove(key);
            }
            return then;
        }
        let fate = match state {
            _ if end.closed => Fate::Goes,
            // It had been up, and comes back whatever its type (OTP): only that its `init` has nothing to serve ends that.
            State::Restarting if end.ignored && self.settings.dynamic => Fate::Goes,
            State::Restarting if end.ignored => Fate::Rests,
            State::Restarting => Fate::Restarts,
            // (Nobody could restart it by hand: there is no id to do it by.)
            _ if self.settings.dynamic => fate(options.restart, reason).without_rest(),
            _ => fate(options.restart, reason),
        };
        match fate {
            Fate::Goes | Fate::Rests => {
                let significant = options.significant && !end.ignored && !settled;
                then.tell = self.rest(key);
                if fate == Fate::Goes {
                    then.gone = self.remove(key);
                    then.report = Some(Outcome::Goes);
                } else {
                    then.clear_out = !options.keep_mailbox;
                    then.report = Some(Outcome::Rests);
                }
                then.report = then.report.filter(|_| !reason.is_orderly() || end.closed);
                if significant && self.shuts_down() {
                    self.end(ExitReason::Shutdown);
                    then.perform = true;
                }
            }
            Fate::Restarts => self.restart(key, reason, now, attempted, &mut then),
        }
        then
    }

    /// Whether a group restart is about to stop this child, or has.
    fn falls(&self, key: u64) -> bool {
        [self.falling, self.group].iter().flatten().any(|group| group.takes_in(key))
    }

    /// A child that is up, or was to be, has to be restarted.
    fn restart(
        &mut self,
        key: u64,
        reason: &ExitReason,
        now: Instant,
        attempted: Option<Attempt>,
        then: &mut Then<C>,
    ) {
        let escalates =
            self.get(key).is_some_and(|e| e.options.escalate) && RestartLimit::of(reason).is_some();
        let attempt = match attempted {
            _ if escalates => None,
            Some(attempt) => Some(attempt),
            None => Some(self.attempt(key, || now)),
        };
        let (outcome, why) = match attempt {
            Some(Ok(pause)) => {
                then.report = Some(Outcome::Restarts);
                self.restart_after(key, pause, then);
                return;
            }
            Some(Err(limit)) => (Outcome::GivesUp, ExitReason::Error(Arc::new(limit))),
            None => (Outcome::Escalates, reason.clone()),
        };
        then.report = Some(outcome);
        then.tell = self.rest(key);
        self.end(why);
        then.perform = true;
    }

    fn restart_after(&mut self, key: u64, pause: Duration, then: &mut Then<C>) {
        let first = match self.settings.strategy {
            Strategy::OneForOne => {
                let Some(entry) = self.children.get_mut(&key) else { return };
                entry.epoch += 1;
                then.after = Some((pause, entry.epoch));
                self.change(key, State::Restarting);
                return;
            }
            Strategy::OneForAll => 0,
            Strategy::RestForOne => key,
        };
        then.tell = self.rest(key);
        self.fall_together(first, pause);
        then.perform = true;
    }

    /// An attempt to restart a child: how long to wait before it, or that it is one too many. The clock, which is no small
    /// part of a restart, is read where a limit or a pause depends on it.
    fn attempt(&mut self, key: u64, now: impl Fn() -> Instant) -> Attempt {
        let Some(Entry { options, rare, .. }) = self.children.get_mut(&key) else {
            return Ok(Duration::ZERO);
        };
        self.restarts += 1;
        let rare = rare.get_or_insert_default();
        rare.restarts += 1;
        let intensity = self.settings.intensity;
        let all = self.window.note(&now, intensity).map_err(|count| (count, intensity.period));
        let alone = match options.intensity {
            Some(own) => rare.window.note(&now, own).map_err(|count| (count, own.period)),
            None => Ok(()),
        };
        if let Err((count, window)) = all.and(alone) {
            return Err(RestartLimit { child: self.id_of(key), count, window });
        }
        let backoff = options.backoff.unwrap_or(self.settings.backoff);
        Ok(rare.pauses.next(&backoff, now, &mut self.rng))
    }

    /// A start within a group restart has failed: the group is due again, or the supervisor gives up.
    pub(crate) fn group_start_failed(&mut self, key: u64, now: Instant) -> Option<Outcome> {
        if matches!(self.life, Life::Ending(_) | Life::Down) {
            return None;
        }
        match self.attempt(key, || now) {
            Ok(pause) => {
                // (One for one: the strategy has changed since. This one and those of the group that are not up yet.)
                let first = if self.settings.strategy == Strategy::OneForAll { 0 } else { key };
                self.fall_together(first, pause);
                Some(Outcome::Restarts)
            }
            Err(limit) => {
                self.end(ExitReason::Error(Arc::new(limit)));
                Some(Outcome::GivesUp)
            }
        }
    }

    /// A group restart is due; with one that is due already it becomes one.
    fn fall_together(&mut self, from: u64, pause: Duration) {
        let until = self.next_key;
        let group = self.group.get_or_insert(Group { from, until, pause });
        group.from = group.from.min(from);
        group.until = until;
        group.pause = group.pause.max(pause);
        let from = group.from;
        for entry in self.children.range_mut(from..).map(|(_, entry)| entry) {
            // (Who has been added and was never up is only stopped: whoever added it hears so, and it goes.)
            entry.wanted = entry.options.restart != Restart::Temporary && !entry.is_tentative();
        }
    }

    /// A start of several, this one among them if one is named, was interrupted: if by a group restart, what has not been
    /// started joins that, or nobody would come back to it.
    pub(crate) fn put_off(&mut self, starting: Option<u64>) {
        let Some(group) = self.group else { return };
        let wanted = self.children.range(..group.from).find(|(_, entry)| entry.wanted).map(|(key, _)| *key);
        if let Some(first) = starting.into_iter().chain(wanted).min().filter(|first| *first < group.from) {
            self.fall_together(first, Duration::ZERO);
        }
    }

    /// A group restart has been interrupted in its pause: what interrupted it takes it over.
    pub(crate) fn resume(&mut self, before: Group) {
        if let Some(group) = &mut self.group {
            group.from = group.from.min(before.from);
            group.until = group.until.max(before.until);
            group.pause = group.pause.max(before.pause);
        }
        self.put_off(None);
    }

    /// Whether the end of a significant child is the supervisor's as well.
    fn shuts_down(&self) -> bool {
        match self.settings.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => {
                let lives = |e: &Entry<C>| e.state != State::Stopped || e.wanted;
                !self.children.values().any(|e| e.options.significant && lives(e))
            }
        }
    }

    /// The supervisor is to end, for the first reason given; if it is not down.
    pub(crate) fn end(&mut self, reason: ExitReason) {
        if matches!(self.life, Life::Down | Life::Ending(_)) {
            self.trash.put(reason);
        } else {
            self.life = Life::Ending(reason);
        }
        if self.life == Life::Down {
            return;
        }
        self.group = None;
        self.falling = None;
        for entry in self.children.values_mut() {
            entry.wanted = false;
        }
    }

    /// A child is down.
    pub(crate) fn rest(&mut self, key: u64) -> Vec<oneshot::Sender<()>> {
        let Some(entry) = self.children.get_mut(&key) else { return Vec::new() };
        let from = entry.state;
        let waiting = entry.rests();
        self.count(from, State::Stopped);
        waiting
    }

    /// A child is to be stopped.
    pub(crate) fn stops(&mut self, key: u64, by_hand: bool) -> Stopping<C> {
        let Some(entry) = self.children.get_mut(&key) else { return Stopping::Down };
        entry.wanted &= !by_hand;
        entry.halted |= by_hand;
        let options = Arc::clone(&entry.options);
        let child = entry.child.clone();
        let incarnation = entry.incarnation;
        let begun = entry.begun;
        match entry.state {
            State::Stopped => return Stopping::Down,
            State::Abandoned => return Stopping::Abandoned,
            // It waits for its next incarnation, which will not come.
            State::Restarting if !begun => {
                let told = self.rest(key);
                return Stopping::Cancelled(told);
            }
            _ => {}
        }
        let in_init = matches!(entry.state, State::Starting | State::Restarting);
        self.change(key, State::Stopping);
        if !begun {
            // Whoever is about to start it is told no by `begins`.
            return Stopping::Unbegun;
        }
        Stopping::Tell { child, incarnation, in_init, shutdown: options.shutdown }
    }

    /// A child that is to be stopped by hand is not to start with its supervisor.
    pub(crate) fn switch_off(&mut self, key: u64) {
        if let Some(entry) = self.children.get_mut(&key) {
            entry.rare().off = true;
        }
    }

    /// Who asks is told when the child is down; `None`: it is.
    pub(crate) fn listen(&mut self, key: u64) -> Option<oneshot::Receiver<()>> {
        let entry = self.children.get_mut(&key)?;
        if entry.state == State::Stopped {
            return None;
        }
        let (tell, told) = oneshot::channel();
        entry.rare().waiting.push(tell);
        Some(told)
    }

    /// The supervisor kills a child. False: it has done so before, for no lesser cause.
    pub(crate) fn kills(&mut self, key: u64, kill: Kill) -> bool {
        let Some(entry) = self.children.get_mut(&key).filter(|entry| entry.kill < kill) else { return false };
        entry.kill = kill;
        true
    }

    /// A child is left behind.
    pub(crate) fn abandon(&mut self, key: u64) {
        if self.get(key).is_some_and(|entry| entry.state.is_live()) {
            self.change(key, State::Abandoned);
        }
    }

    /// The child that was started last of those before this one that are not down.
    pub(crate) fn last_live(&self, before: u64) -> Option<u64> {
        self.children.range(..before).rev().find(|(_, entry)| entry.state.is_live()).map(|(key, _)| *key)
    }

    /// All that are not down.
    pub(crate) fn live_keys(&self) -> Vec<u64> {
        self.children.iter().filter(|(_, entry)| entry.state.is_live()).map(|(key, _)| *key).collect()
    }

    /// All that were killed, and have not ended even so.
    pub(crate) fn abandoned(&self) -> Vec<u64> {
        let abandoned = self.children.iter().filter(|(_, entry)| entry.state == State::Abandoned);
        abandoned.map(|(key, _)| *key).collect()
    }

    /// Whether nothing of the child has to be waited for.
    pub(crate) fn is_down(&self, key: u64) -> bool {
        self.get(key).is_none_or(|entry| !entry.state.is_live())
    }

    /// Whether a child whose pause is over is to be started by its own task.
    pub(crate) fn is_due(&self, key: u64, epoch: u32) -> Option<C> {
        let entry = self.get(key)?;
        (entry.state == State::Restarting && !entry.begun && entry.epoch == epoch)
            .then(|| entry.child.clone())
    }

    /// The next child from this key on that is to be started: it is, now.
    pub(crate) fn next_wanted(&mut self, from: u64) -> Option<(u64, Option<(C, u32)>)> {
        let key = self.children.range(from..).find(|(_, entry)| entry.wanted).map(|(key, _)| *key)?;
        Some((key, self.starts(key)))
    }

    /// A fresh incarnation of the supervisor begins.
    pub(crate) fn begin_anew(&mut self) {
        self.life = Life::Starting;
        for entry in self.children.values_mut() {
            entry.wanted = !entry.is_tentative() && !entry.is_off();
            if let Some(rare) = entry.rare.as_mut() {
                rare.window.clear();
            }
        }
        self.group = None;
        self.falling = None;
        self.window.clear();
    }
}

/// What to do to stop a child.
pub(crate) enum Stopping<C> {
    /// Nothing.
    Down,
    /// Nothing more can be done.
    Abandoned,
    /// It was about to be restarted, and is no longer.
    Cancelled(Vec<oneshot::Sender<()>>),
    /// Somebody is about to start it, and will find that it must not begin.
    Unbegun,
    /// An incarnation is there, to be told.
    Tell {
        child: C,
        incarnation: u32,
        /// There is no state yet that could be cleaned up.
        in_init: bool,
        shutdown: Shutdown,
    },
}

#[cfg(all(test, not(shuttle)))]
#[path = "rules_tests.rs"]
mod tests;
