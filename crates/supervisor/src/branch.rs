//! A supervisor: its table under one short lock, its place in the tree, and what its children tell it.
//!
//! A child's word (`child_begins`, `child_started`, `child_ended`) comes on the child's own task and is dealt with there: a
//! restart of one never waits for anything else that the supervisor does. What takes longer, a start or an end of the
//! whole and a group restart, is done by one task at a time ([`crate::perform`]), which is there only while there is
//! something to do. Nothing of a child is called under the lock.

use crate::child::{Child, Post};
use crate::child_spec::{ChildId, ChildKind, ChildSpec};
use crate::perform::Performer;
use crate::rt::{Mutex, MutexGuard, Runtime};
use crate::rules::{AddError, Attempt, Early, Life, Origin, Outcome, Rules, Settings, Then};
use crate::shutdown::ShutdownReport;
use futures::future::BoxFuture;
use restante_core::clock::{self, Instant};
use restante_core::{Exit, ExitReason, Ledger, Phase, Stats, drop_quietly};
use restante_genserver::StartError;
use restante_genserver::keeper::{Beginner, End, Verdict};
use std::cell::LazyCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// The table that is kept of children.
pub(crate) type Table = Rules<Arc<dyn Child>>;

/// A supervisor.
pub(crate) struct Branch {
    /// Tells it from every other.
    pub(crate) serial: u64,
    pub(crate) name: Option<Arc<str>>,
    /// How long a killed child may take to end before it is abandoned.
    pub(crate) grace: Duration,
    desk: Mutex<Desk>,
    /// Rung when the performer may have to do something else, and when the last child is down.
    pub(crate) bell: Notify,
    post: OnceLock<Post>,
}

/// What lies under the lock.
#[expect(clippy::struct_excessive_bools, reason = "each is a note of its own")]
pub(crate) struct Desk {
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
    /// Who wait for the end.
    joiners: Vec<oneshot::Sender<Exit>>,
    pub(crate) last_exit: Option<Exit>,
    pub(crate) report: ShutdownReport,
    /// An incarnation that was told to end between the word of the supervisor above, that it may begin, and its begin.
    doomed: Option<Doomed>,
    /// A supervisor lives by itself: nobody need hold on to it while it is up.
    me: Option<Arc<Branch>>,
    pub(crate) rt: Option<Runtime>,
    /// There will be no other incarnation.
    pub(crate) closed: bool,
    /// Somebody waits, and would hear nothing if the runtime shut down: there is a lookout for that.
    watched: bool,
    /// The counters of mailboxes that have left the table.
    pub(crate) retired: Ledger,
    /// Those that have left the table, and whose counters have not come to rest.
    unsettled: Vec<Arc<dyn Child>>,
}

/// The counters of a closed mailbox, or of all below a supervisor, once nothing can change them any more.
fn at_rest(child: &dyn Child) -> Option<Ledger> {
    child.audit().filter(|ledger| ledger.queued == 0 && ledger.in_hand == 0)
}

/// See [`Desk`].
struct Doomed {
    incarnation: u32,
    reason: ExitReason,
    brutal: bool,
}

/// The lock, held. What was thrown away under it goes when it is given up.
pub(crate) struct DeskGuard<'a>(Option<MutexGuard<'a, Desk>>);

impl std::ops::Deref for DeskGuard<'_> {
    type Target = Desk;
    fn deref(&self) -> &Desk {
        self.0.as_ref().expect("it is held until it is dropped")
    }
}

impl std::ops::DerefMut for DeskGuard<'_> {
    fn deref_mut(&mut self) -> &mut Desk {
        self.0.as_mut().expect("it is held until it is dropped")
    }
}

impl Drop for DeskGuard<'_> {
    fn drop(&mut self) {
        let Some(mut desk) = self.0.take() else { return };
        if desk.rules.trash.is_empty() {
            return;
        }
        let trash = std::mem::take(&mut desk.rules.trash);
        drop(desk);
        if let Some(reason) = drop_quietly(trash) {
            tracing::error!(%reason, "an error panicked in its drop");
        }
    }
}

impl Desk {
    fn can_begin(&self) -> Result<(), StartError> {
        if self.closed {
            return Err(StartError::Closed);
        }
        if self.rules.life != Life::Down {
            return Err(StartError::AlreadyStarted);
        }
        Ok(())
    }
}

impl Branch {
    pub(crate) fn new(name: Option<Arc<str>>, settings: Settings, seed: u64, grace: Duration) -> Arc<Self> {
        // (A name, and nothing that others are ordered by: a plain counter of the standard library, under any test.)
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            name,
            grace,
            desk: Mutex::new(Desk {
                rules: Rules::new(settings, seed),
                performing: false,
                brutal: false,
                up_since: None,
                ending_since: None,
                late: None,
                incarnation: 0,
                starting: None,
                joiners: Vec::new(),
                doomed: None,
                last_exit: None,
                report: ShutdownReport::default(),
                me: None,
                rt: None,
                closed: false,
                watched: false,
                retired: Ledger::default(),
                unsettled: Vec::new(),
            }),
            bell: Notify::new(),
            post: OnceLock::new(),
        })
    }

    /// The lock. For moments, and never while anything of a child is called.
    pub(crate) fn desk(&self) -> DeskGuard<'_> {
        DeskGuard(Some(self.desk.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(crate) fn parent(&self) -> Option<(Arc<Self>, u64)> {
        let post = self.post.get()?;
        Some((post.branch.upgrade()?, post.key))
    }

    /// What it is called where no supervisor above gives it an id.
    pub(crate) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("supervisor")
    }

    /// Puts a child into the table: see [`Rules::add`].
    pub(crate) fn add(self: &Arc<Self>, spec: ChildSpec, added: bool) -> Result<(u64, u32), AddError> {
        let supervisor = spec.child.kind() == ChildKind::Supervisor;
        let (key, start) = {
            let mut desk = self.desk();
            let id = spec.table_id(desk.rules.settings.dynamic);
            let options = desk.rules.shared(spec.options);
            let (key, start) = desk.rules.add(id, Arc::clone(&spec.child), options, added)?;
            if supervisor {
                desk.rules.note_supervisor(key);
            }
            (key, start)
        };
        let child = Arc::clone(&spec.child);
        if child.adopt(Post { branch: Arc::downgrade(self), key }) {
            return Ok((key, start));
        }
        let (tell, _child) = {
            let mut desk = self.desk();
            (desk.rules.rest(key), desk.rules.remove(key))
        };
        self.tell(tell);
        Err(AddError::Supervised)
    }

    /// What a child is called: its id, else its mailbox's name, else its number.
    pub(crate) fn id_of(desk: &Desk, key: u64) -> ChildId {
        desk.rules
            .get(key)
            .map_or_else(|| ChildId::from(format!("#{key}")), |entry| name_of(entry.id(), &*entry.child, key))
    }

    /// A child is about to begin an incarnation.
    pub(crate) fn child_begins(&self, key: u64, incarnation: u32, by: Beginner) -> bool {
        self.desk().rules.begins(key, incarnation, by)
    }

    /// Its `init` has returned.
    pub(crate) fn child_started(&self, key: u64, incarnation: u32) {
        self.desk().rules.started(key, incarnation, clock::now);
    }

    /// It has ended, and holds its lease still.
    pub(crate) fn child_ended(self: &Arc<Self>, key: u64, end: &End) -> Verdict {
        let now = LazyCell::new(clock::now);
        let early = self.desk().rules.goes_on(key, end, || *now);
        match early {
            Early::Again => {
                self.report(key, end, Outcome::Restarts);
                Verdict::Again
            }
            Early::Settle(attempted) => {
                let (branch, end, now) = (Arc::clone(self), end.clone(), *now);
                Verdict::Leave(Some(Box::new(move || branch.settle(key, &end, now, attempted))))
            }
        }
    }

    /// The same, once the lease is given back.
    fn settle(self: &Arc<Self>, key: u64, end: &End, now: Instant, attempted: Option<Attempt>) {
        let heard = is_heard();
        let (mut then, down, rt, who) = {
            let mut desk = self.desk();
            // (Before it leaves the table, if it does.)
            let who = if heard { desk.who(key) } else { None };
            let id = desk.is_ending().then(|| Self::id_of(&desk, key));
            let then = desk.rules.ended(key, end, now, attempted);
            if let (Some(Outcome::Unexpected), Some(id)) = (then.report, id) {
                desk.report.unexpected.push((id.to_string(), end.exit.reason.clone()));
            }
            if end.orphaned {
                desk.rules.end(ExitReason::Killed);
            }
            let rt = then.after.is_some().then(|| desk.rt.clone()).flatten();
            (then, desk.rules.live == 0, rt, who)
        };
        if let (Some(outcome), Some(who)) = (then.report, who) {
            let after = self.desk().who(key);
            self.report_on(&after.unwrap_or(who), end, outcome);
        }
        if let (Some((pause, epoch)), Some(rt)) = (then.after.take(), rt) {
            let weak = Arc::downgrade(self);
            rt.spawn(async move {
                Runtime::sleep(pause).await;
                let Some(branch) = weak.upgrade() else { return };
                let due = branch.desk().rules.is_due(key, epoch);
                if let Some(child) = due {
                    child.again();
                }
            });
        }
        self.act(then, &end.exit.reason, key);
        if down {
            self.bell.notify_waiters();
        }
        // (The last one may end when the performer has gone with its runtime: another one sees to the rest.)
        if end.orphaned || down && self.desk().is_ending() {
            // In a runtime that has shut down the performer is dropped at once, which ends the rest.
            self.ensure_performer();
        }
    }

    /// Does what was decided.
    fn act(self: &Arc<Self>, then: Then<Arc<dyn Child>>, reason: &ExitReason, key: u64) {
        if then.clear_out {
            let child = self.desk().rules.get(key).map(|entry| Arc::clone(&entry.child));
            if let Some(child) = child {
                child.clear_out(reason);
            }
        }
        if let Some(gone) = then.gone {
            self.retire(&gone, reason);
        }
        for waiting in then.tell {
            let _ = waiting.send(());
        }
        if then.perform {
            self.ensure_performer();
        }
    }

    /// A child has left the table: its mailbox closes, and what it counted is kept.
    pub(crate) fn retire(&self, child: &Arc<dyn Child>, reason: &ExitReason) {
        child.close(reason.clone());
        match at_rest(&**child) {
            Some(ledger) => self.desk().retired += ledger,
            // Somebody looks at it just now, or it was abandoned in a handler: it counts on.
            None => self.desk().unsettled.push(Arc::clone(child)),
        }
        self.settle_accounts(2);
    }

    /// Looks again at so many of those that left the table before their counters had come to rest.
    fn settle_accounts(&self, most: usize) {
        let some: Vec<_> = self.desk().unsettled.iter().rev().take(most).map(Arc::clone).collect();
        for child in some {
            let Some(ledger) = at_rest(&*child) else { continue };
            let mut desk = self.desk();
            // (Unless somebody else has just done so.)
            if let Some(at) = desk.unsettled.iter().position(|other| Arc::ptr_eq(other, &child)) {
                desk.unsettled.swap_remove(at);
                desk.retired += ledger;
            }
        }
    }

    /// Sees to it that somebody performs what is noted.
    pub(crate) fn ensure_performer(self: &Arc<Self>) {
        let rt = {
            let mut desk = self.desk();
            if desk.performing {
                drop(desk);
                self.bell.notify_waiters();
                return;
            }
            desk.performing = desk.rt.is_some();
            desk.rt.clone()
        };
        if let Some(rt) = rt {
            rt.spawn(Performer::new(Arc::clone(self)).perform());
        }
    }

    /// Begins an incarnation of the supervisor: the performer will start its children. `sure`: the supervisor above has said
    /// already that it may.
    ///
    /// The supervisor above is asked before anything is noted, so that one that is refused gets in nobody's way. (Where there
    /// is one above, only one can be let begin.)
    pub(crate) fn begin(
        self: &Arc<Self>,
        waiting: Option<oneshot::Sender<Result<(), StartError>>>,
        sure: bool,
    ) -> Result<u32, StartError> {
        let rt = Runtime::current();
        let by = if waiting.is_some() { Beginner::Starter } else { Beginner::Task };
        let next = {
            let mut desk = self.desk();
            desk.can_begin()?;
            desk.rt = rt.or(desk.rt.take());
            if desk.rt.is_none() {
                return Err(StartError::NoRuntime);
            }
            desk.incarnation + 1
        };
        if !sure
            && let Some((parent, key)) = self.parent()
            && !parent.child_begins(key, next, by)
        {
            return Err(StartError::Supervised);
        }
        let mut desk = self.desk();
        desk.can_begin()?;
        desk.rules.begin_anew();
        desk.brutal = false;
        desk.watched = false;
        desk.ending_since = None;
        desk.late = None;
        for (_, old) in std::mem::take(&mut desk.report).unexpected {
            desk.rules.trash.put(old);
        }
        desk.incarnation += 1;
        desk.me = Some(Arc::clone(self));
        desk.starting = waiting;
        if let Some(doomed) = desk.doomed.take().filter(|doomed| doomed.incarnation == desk.incarnation) {
            desk.brutal = doomed.brutal;
            desk.rules.end(doomed.reason);
        }
        Ok(desk.incarnation)
    }

    /// All children are up.
    pub(crate) fn up(self: &Arc<Self>) {
        let (waiting, incarnation) = {
            let mut desk = self.desk();
            if desk.rules.life != Life::Starting {
                return;
            }
            desk.rules.life = Life::Up;
            desk.up_since = Some(clock::now());
            (desk.starting.take(), desk.incarnation)
        };
        if let Some((parent, key)) = self.parent() {
            parent.child_started(key, incarnation);
        }
        if let Some(waiting) = waiting {
            let _ = waiting.send(Ok(()));
        }
    }

    /// All children are down (or abandoned): the incarnation is over. True: the supervisor above wants the next at once.
    pub(crate) fn down(self: &Arc<Self>) -> bool {
        let top = self.parent().is_none();
        let (exit, me, waiting, joiners, gone, closed) = {
            let mut desk = self.desk();
            let Life::Ending(reason) = desk.rules.life.clone() else { return false };
            let phase = if desk.starting.is_some() { Phase::Init } else { Phase::Idle };
            let exit = Exit::new(reason, phase, None, desk.incarnation);
            desk.rules.life = Life::Down;
            if let Some(old) = desk.last_exit.replace(exit.clone()) {
                desk.rules.trash.put(old.reason);
            }
            desk.closed |= top;
            let settings = &desk.rules.settings;
            let gone: Vec<u64> = if desk.closed {
                desk.rules.children.keys().copied().collect()
            } else if settings.keep_children {
                Vec::new()
            } else {
                desk.rules
                    .children
                    .iter()
                    .filter(|(_, e)| e.origin != Origin::Spec)
                    .map(|(key, _)| *key)
                    .collect()
            };
            let gone: Vec<_> = gone.into_iter().filter_map(|key| desk.rules.remove(key)).collect();
            let waiting = desk.starting.take();
            (exit, desk.me.take(), waiting, std::mem::take(&mut desk.joiners), gone, desk.closed)
        };
        for child in gone {
            self.retire(&child, &exit.reason);
        }
        let verdict =
            self.parent().map(|(parent, key)| parent.child_ended(key, &End::new(exit.clone(), closed)));
        let again = match verdict {
            Some(Verdict::Again) => true,
            Some(Verdict::Leave(Some(settle))) => {
                settle();
                false
            }
            _ => false,
        };
        if let Some(waiting) = waiting {
            let _ = waiting.send(Err(StartError::Failed(exit.reason.clone())));
        }
        for joiner in joiners {
            let _ = joiner.send(exit.clone());
        }
        drop(me);
        again
    }

    /// Begins the incarnation that the supervisor above has been promised; if it cannot, that one is told.
    pub(crate) fn begin_again(self: &Arc<Self>) {
        let Err(error) = self.begin(None, true) else { return };
        let Some((parent, key)) = self.parent() else { return };
        let never = Exit::new(error.into(), Phase::Init, None, self.desk().incarnation + 1);
        if let Verdict::Leave(Some(settle)) = parent.child_ended(key, &End::new(never, true)) {
            settle();
        }
    }

    /// The supervisor is to end.
    pub(crate) fn end(self: &Arc<Self>, reason: ExitReason, brutal: bool) {
        let now = clock::now();
        {
            let mut desk = self.desk();
            if desk.rules.life == Life::Down {
                return;
            }
            if brutal && !desk.brutal {
                desk.brutal = true;
                desk.late = desk.ending_since.map(|since| now.saturating_duration_since(since));
            }
            desk.ending_since.get_or_insert(now);
            desk.rules.end(reason);
        }
        self.ensure_performer();
    }

    /// Tells when the present incarnation has ended; at once when there is none.
    pub(crate) fn join(self: &Arc<Self>) -> Result<oneshot::Receiver<Exit>, Exit> {
        let (tell, told) = oneshot::channel();
        let lookout = {
            let mut desk = self.desk();
            if desk.rules.life == Life::Down {
                return Err(desk
                    .last_exit
                    .clone()
                    .unwrap_or_else(|| Exit::new(ExitReason::NoProcess, Phase::Idle, None, 0)));
            }
            desk.joiners.push(tell);
            let rt = if desk.watched { None } else { desk.rt.clone() };
            rt.map(|rt| {
                let (tell, told) = oneshot::channel();
                desk.joiners.push(tell);
                desk.watched = true;
                (rt, Lookout { branch: Arc::clone(self), incarnation: desk.incarnation, told, done: false })
            })
        };
        if let Some((rt, lookout)) = lookout {
            rt.spawn(lookout.look());
        }
        Ok(told)
    }

    /// The supervisors above and this one, from the top, as a path.
    pub(crate) fn path(self: &Arc<Self>) -> String {
        let mut names = Vec::new();
        let mut at = Arc::clone(self);
        loop {
            let above = at.parent();
            names.push(match &above {
                Some((parent, key)) => Self::id_of(&parent.desk(), *key).to_string(),
                None => at.label().to_owned(),
            });
            match above {
                Some((parent, _)) => at = parent,
                None => break,
            }
        }
        names.reverse();
        names.join("/")
    }

    /// One event for an end that calls for one, while the child is in the table.
    pub(crate) fn report(self: &Arc<Self>, key: u64, end: &End, outcome: Outcome) {
        if !is_heard() {
            return;
        }
        let who = self.desk().who(key);
        if let Some(who) = who {
            self.report_on(&who, end, outcome);
        }
    }

    fn report_on(self: &Arc<Self>, who: &Who, end: &End, outcome: Outcome) {
        let exit = &end.exit;
        let outcome = match outcome {
            Outcome::Restarts => "it is restarted",
            Outcome::Rests => "it is not restarted",
            Outcome::Goes => "it is gone for good",
            Outcome::GivesUp => "restarted too often: its supervisor gives up",
            Outcome::Escalates => "its supervisor gives up with it",
            Outcome::Unexpected => "it was told to stop, and ended otherwise",
            Outcome::Late => "it was told to stop, did not in its time, and was killed",
            Outcome::NotStarted => "it did not start: its supervisor is rolled back",
        };
        tracing::error!(
            supervisors = %self.path(),
            child = %who.id(),
            server = who.child.type_name(),
            incarnation = exit.incarnation,
            restarts = who.restarts,
            reason = %exit.reason,
            phase = %exit.phase,
            in_hand = exit.message.unwrap_or_default(),
            outcome,
            "child ended"
        );
    }
}

/// Whether anybody listens to reports. (Not to be asked under a lock: who listens is somebody else's code.)
fn is_heard() -> bool {
    tracing::enabled!(tracing::Level::ERROR)
}

/// A child, for a report.
pub(crate) struct Who {
    id: Option<ChildId>,
    key: u64,
    child: Arc<dyn Child>,
    restarts: u64,
}

impl Who {
    fn id(&self) -> ChildId {
        name_of(self.id.as_ref(), &*self.child, self.key)
    }
}

/// What a child is called: its id, else its mailbox's name, else its number.
fn name_of(id: Option<&ChildId>, child: &dyn Child, key: u64) -> ChildId {
    id.cloned()
        .or_else(|| child.name().map(ChildId::from))
        .unwrap_or_else(|| ChildId::from(format!("#{key}")))
}

impl Desk {
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.rules.life, Life::Ending(_))
    }

    fn who(&self, key: u64) -> Option<Who> {
        let entry = self.rules.get(key)?;
        let (id, child) = (entry.id().cloned(), Arc::clone(&entry.child));
        Some(Who { id, key, child, restarts: entry.restarts() })
    }
}

/// Sees to it that who waits for the end of an incarnation hears of it even when its runtime shuts down. (A tree in which
/// nothing happens has no other task there.)
struct Lookout {
    branch: Arc<Branch>,
    incarnation: u32,
    told: oneshot::Receiver<Exit>,
    done: bool,
}

impl Lookout {
    async fn look(mut self) {
        let _ = (&mut self.told).await;
        self.done = true;
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        let same = !self.done && self.branch.desk().incarnation == self.incarnation;
        if same {
            self.branch.orphaned();
        }
    }
}

impl Child for Branch {
    fn adopt(self: Arc<Self>, post: Post) -> bool {
        // Two that come below each other at once must not both look before either has its place.
        static PLACING: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _alone = PLACING.lock().unwrap_or_else(PoisonError::into_inner);
        // (One that is up has nobody above it, and must not come under itself; neither must one that is not.)
        let is_down = self.desk().rules.life == Life::Down;
        is_down && !self.is_above(&post) && self.post.set(post).is_ok()
    }

    fn is_free(&self) -> bool {
        self.post.get().is_none()
    }

    fn start(self: Arc<Self>) -> BoxFuture<'static, Result<(), StartError>> {
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            let incarnation = self.begin(Some(tell), false)?;
            self.ensure_performer();
            let mut guard = StartGuard { branch: &self, incarnation, done: false };
            let started = told.await;
            guard.done = true;
            started.unwrap_or(Err(StartError::Failed(ExitReason::Killed)))
        })
    }

    fn again(self: Arc<Self>) {
        if self.begin(None, false).is_ok() {
            self.ensure_performer();
        }
    }

    fn order_stop(&self, incarnation: u32, reason: ExitReason) {
        self.end_incarnation(incarnation, reason, false);
    }

    fn kill(&self, incarnation: u32, reason: ExitReason) {
        self.end_incarnation(incarnation, reason, true);
    }

    fn close(&self, reason: ExitReason) {
        let children: Vec<_> = {
            let mut desk = self.desk();
            desk.closed = true;
            if desk.rules.life != Life::Down {
                // It closes them when it is down.
                return;
            }
            let keys: Vec<u64> = desk.rules.children.keys().copied().collect();
            keys.into_iter().filter_map(|key| desk.rules.remove(key)).collect()
        };
        for child in children {
            self.retire(&child, &reason);
        }
    }

    fn clear_out(&self, reason: &ExitReason) {
        let children: Vec<_> = self.desk().rules.children.values().map(|e| Arc::clone(&e.child)).collect();
        for child in children {
            child.clear_out(reason);
        }
    }

    fn kind(&self) -> ChildKind {
        ChildKind::Supervisor
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn type_name(&self) -> &'static str {
        "Supervisor"
    }

    fn stats(&self) -> Option<Stats> {
        None
    }

    fn audit(&self) -> Option<Ledger> {
        self.settle_accounts(usize::MAX);
        let (mut sum, children): (Ledger, Vec<_>) = {
            let desk = self.desk();
            let present = desk.rules.children.values().map(|e| &e.child);
            (desk.retired, present.chain(&desk.unsettled).map(Arc::clone).collect())
        };
        for child in children {
            sum += child.audit()?;
        }
        Some(sum)
    }

    fn as_branch(self: Arc<Self>) -> Option<Arc<Branch>> {
        Some(self)
    }
}

impl Branch {
    /// Whether this place lies somewhere below it.
    fn is_above(&self, post: &Post) -> bool {
        let mut at = post.branch.upgrade();
        while let Some(branch) = at {
            if branch.serial == self.serial {
                return true;
            }
            at = branch.parent().map(|(above, _)| above);
        }
        false
    }

    fn end_incarnation(&self, incarnation: u32, reason: ExitReason, brutal: bool) {
        let me = {
            let mut desk = self.desk();
            if desk.incarnation + 1 == incarnation {
                // The supervisor above has just let it begin: another thread is about to.
                let brutal = brutal || desk.doomed.as_ref().is_some_and(|doomed| doomed.brutal);
                desk.doomed = Some(Doomed { incarnation, reason, brutal });
                return;
            }
            if desk.incarnation != incarnation {
                return;
            }
            desk.me.clone()
        };
        if let Some(me) = me {
            me.end(reason, brutal);
        }
    }
}

/// A start that nobody waits for any more ends.
struct StartGuard<'a> {
    branch: &'a Arc<Branch>,
    incarnation: u32,
    done: bool,
}

impl Drop for StartGuard<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.branch.end_incarnation(self.incarnation, ExitReason::Shutdown, false);
        }
    }
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Supervisor({})", self.name.as_deref().unwrap_or("-"))
    }
}
