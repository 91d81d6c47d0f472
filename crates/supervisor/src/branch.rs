//! A supervisor: its table under one short lock, its place in the tree, and what its children tell it.
//!
//! A child's word (`child_begins`, `child_started`, `child_ended`) comes on the child's own task and is dealt with there: a
//! restart of one never waits for anything else that the supervisor does. What takes longer, a start or an end of the
//! whole and a group restart, is done by one task at a time ([`crate::perform`]), which is there only while there is
//! something to do. Nothing of a child is called under the lock.

use crate::child::{Child, Post};
use crate::child_spec::{ChildId, ChildKind, ChildSpec};
use crate::rt::{Mutex, MutexGuard, Runtime};
use crate::rules::{AddError, Attempt, Early, Life, Outcome, Rules, Settings, State, Then};
use crate::shutdown::ShutdownReport;
use futures::future::BoxFuture;
use restante_core::clock::{self, Instant};
use restante_core::{Exit, ExitReason, Ledger, Phase, Stats};
use restante_genserver::StartError;
use restante_genserver::keeper::{End, Verdict};
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// The table that is kept of children.
pub(crate) type Table = Rules<Arc<dyn Child>>;

/// A supervisor.
pub(crate) struct Branch {
    pub(crate) name: Option<Arc<str>>,
    /// How long a killed child may take to end before it is abandoned.
    pub(crate) grace: Duration,
    desk: Mutex<Desk>,
    /// Rung when the performer may have to do something else, and when the last child is down.
    pub(crate) bell: Notify,
    post: OnceLock<Post>,
}

/// What lies under the lock.
pub(crate) struct Desk {
    pub(crate) rules: Table,
    /// There is a performer.
    pub(crate) performing: bool,
    /// Everything is to end at once.
    pub(crate) brutal: bool,
    pub(crate) incarnation: u32,
    /// Who waits for the start.
    pub(crate) starting: Option<oneshot::Sender<Result<(), StartError>>>,
    /// Who wait for the end.
    joiners: Vec<oneshot::Sender<Exit>>,
    pub(crate) last_exit: Option<Exit>,
    pub(crate) report: ShutdownReport,
    /// A supervisor lives by itself: nobody need hold on to it while it is up.
    me: Option<Arc<Branch>>,
    pub(crate) rt: Option<Runtime>,
    /// There will be no other incarnation.
    pub(crate) closed: bool,
    /// The counters of mailboxes that have left the table.
    pub(crate) retired: Ledger,
}

impl Desk {
    /// The supervisor has never been up.
    pub(crate) fn is_first_start(&self) -> bool {
        self.incarnation == 1 && self.rules.life == Life::Starting
    }

    /// What has to be said of this child's end, where it is part of the whole's. (Not so in a group restart or by hand: a
    /// supervisor that lives for long would have more and more to report.)
    pub(crate) fn ending(&mut self, key: u64) -> Option<(ChildId, &mut ShutdownReport)> {
        let ending = matches!(self.rules.life, Life::Ending(_));
        ending.then(|| (Branch::id_of(self, key), &mut self.report))
    }
}

impl Branch {
    pub(crate) fn new(name: Option<Arc<str>>, settings: Settings, seed: u64, grace: Duration) -> Arc<Self> {
        Arc::new(Self {
            name,
            grace,
            desk: Mutex::new(Desk {
                rules: Rules::new(settings, seed),
                performing: false,
                brutal: false,
                incarnation: 0,
                starting: None,
                joiners: Vec::new(),
                last_exit: None,
                report: ShutdownReport::default(),
                me: None,
                rt: None,
                closed: false,
                retired: Ledger::default(),
            }),
            bell: Notify::new(),
            post: OnceLock::new(),
        })
    }

    /// The lock. For moments, and never while anything of a child is called.
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn parent(&self) -> Option<(Arc<Self>, u64)> {
        let post = self.post.get()?;
        Some((post.branch.upgrade()?, post.key))
    }

    /// Puts a child into the table; it is not started.
    pub(crate) fn add(self: &Arc<Self>, spec: ChildSpec, added: bool) -> Result<u64, AddError> {
        let key = {
            let mut desk = self.desk();
            let id = spec.table_id(desk.rules.settings.dynamic);
            desk.rules.add(id, Arc::clone(&spec.child), Arc::new(spec.options), added)?
        };
        let child = Arc::clone(&spec.child);
        if child.adopt(Post { branch: Arc::downgrade(self), key }) {
            return Ok(key);
        }
        self.desk().rules.remove(key);
        Err(AddError::Supervised)
    }

    /// What a child is called: its id, else its mailbox's name, else its number.
    pub(crate) fn id_of(desk: &Desk, key: u64) -> ChildId {
        let entry = desk.rules.get(key);
        entry
            .and_then(|e| e.id().cloned())
            .or_else(|| entry.and_then(|e| e.child.name()).map(ChildId::from))
            .unwrap_or_else(|| ChildId::from(format!("#{key}")))
    }

    /// A child is about to begin an incarnation.
    pub(crate) fn child_begins(&self, key: u64, incarnation: u32) -> bool {
        self.desk().rules.begins(key, incarnation)
    }

    /// Its `init` has returned.
    pub(crate) fn child_started(&self, key: u64, incarnation: u32) {
        self.desk().rules.started(key, incarnation, clock::now);
    }

    /// It has ended, and holds its lease still.
    pub(crate) fn child_ended(self: &Arc<Self>, key: u64, end: &End) -> Verdict {
        let now = clock::now();
        let early = self.desk().rules.goes_on(key, end, now);
        match early {
            Early::Again => {
                self.report(key, end, Outcome::Restarts);
                Verdict::Again
            }
            Early::Settle(attempted) => {
                let (branch, end) = (Arc::clone(self), end.clone());
                Verdict::Leave(Some(Box::new(move || branch.settle(key, &end, now, attempted))))
            }
        }
    }

    /// The same, once the lease is given back.
    fn settle(self: &Arc<Self>, key: u64, end: &End, now: Instant, attempted: Option<Attempt>) {
        let (mut then, down, rt) = {
            let mut desk = self.desk();
            let then = desk.rules.ended(key, end, now, attempted);
            if then.report == Some(Outcome::Unexpected)
                && let Some((id, report)) = desk.ending(key)
            {
                report.unexpected.push((id.to_string(), end.exit.reason.clone()));
            }
            if end.orphaned {
                desk.rules.end(ExitReason::Killed);
            }
            let rt = then.after.is_some().then(|| desk.rt.clone()).flatten();
            (then, desk.rules.live == 0, rt)
        };
        if let Some(outcome) = then.report {
            self.report(key, end, outcome);
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
            if end.orphaned {
                // Nobody performs any more.
                self.down();
            }
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
            self.retire(&*gone, reason);
        }
        for waiting in then.tell {
            let _ = waiting.send(());
        }
        if then.perform {
            self.ensure_performer();
        }
    }

    /// A child has left the table: its mailbox closes, and what it counted is kept.
    pub(crate) fn retire(&self, child: &dyn Child, reason: &ExitReason) {
        child.close(reason.clone());
        if let Some(ledger) = child.audit() {
            self.desk().retired += ledger;
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
            rt.spawn(crate::perform::perform(Arc::clone(self)));
        }
    }

    /// Begins an incarnation of the supervisor: the performer will start its children. `sure`: the supervisor above has said
    /// already that it may.
    pub(crate) fn begin(
        self: &Arc<Self>,
        waiting: Option<oneshot::Sender<Result<(), StartError>>>,
        sure: bool,
    ) -> Result<u32, StartError> {
        let rt = Runtime::current();
        let incarnation = {
            let mut desk = self.desk();
            if desk.closed {
                return Err(StartError::Closed);
            }
            if desk.rules.life != Life::Down {
                return Err(StartError::AlreadyStarted);
            }
            desk.rt = rt.or(desk.rt.take());
            if desk.rt.is_none() {
                return Err(StartError::NoRuntime);
            }
            desk.rules.begin_anew();
            desk.brutal = false;
            desk.report = ShutdownReport::default();
            desk.incarnation += 1;
            desk.incarnation
        };
        if !sure
            && let Some((parent, key)) = self.parent()
            && !parent.child_begins(key, incarnation)
        {
            self.desk().rules.begin_failed();
            return Err(StartError::Supervised);
        }
        let mut desk = self.desk();
        desk.me = Some(Arc::clone(self));
        desk.starting = waiting;
        Ok(incarnation)
    }

    /// All children are up.
    pub(crate) fn up(self: &Arc<Self>) {
        let (waiting, incarnation) = {
            let mut desk = self.desk();
            if desk.rules.life != Life::Starting {
                return;
            }
            desk.rules.life = Life::Up;
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
            let left = desk.rules.children.iter().filter(|(_, e)| e.state == State::Abandoned);
            let left: Vec<String> = left.map(|(key, _)| Self::id_of(&desk, *key).to_string()).collect();
            desk.report.abandoned.extend(left);
            desk.rules.life = Life::Down;
            desk.last_exit = Some(exit.clone());
            desk.closed |= top;
            let settings = &desk.rules.settings;
            let gone: Vec<u64> = if desk.closed {
                desk.rules.children.keys().copied().collect()
            } else if settings.keep_children {
                Vec::new()
            } else {
                desk.rules.children.iter().filter(|(_, e)| e.added).map(|(key, _)| *key).collect()
            };
            let gone: Vec<_> = gone.into_iter().filter_map(|key| desk.rules.remove(key)).collect();
            let waiting = desk.starting.take();
            (exit, desk.me.take(), waiting, std::mem::take(&mut desk.joiners), gone, desk.closed)
        };
        for child in gone {
            self.retire(&*child, &exit.reason);
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
        {
            let mut desk = self.desk();
            if desk.rules.life == Life::Down {
                return;
            }
            desk.brutal |= brutal;
            desk.rules.end(reason);
        }
        self.ensure_performer();
    }

    /// Tells when the present incarnation has ended; at once when there is none.
    pub(crate) fn join(&self) -> Result<oneshot::Receiver<Exit>, Exit> {
        let mut desk = self.desk();
        if desk.rules.life == Life::Down {
            return Err(desk
                .last_exit
                .clone()
                .unwrap_or_else(|| Exit::new(ExitReason::NoProcess, Phase::Idle, None, 0)));
        }
        let (tell, told) = oneshot::channel();
        desk.joiners.push(tell);
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
                None => at.name.as_deref().unwrap_or("supervisor").to_owned(),
            });
            match above {
                Some((parent, _)) => at = parent,
                None => break,
            }
        }
        names.reverse();
        names.join("/")
    }

    /// One event for an end that calls for one.
    pub(crate) fn report(self: &Arc<Self>, key: u64, end: &End, outcome: Outcome) {
        if !tracing::enabled!(tracing::Level::ERROR) {
            return;
        }
        let (child, restarts, kind) = {
            let desk = self.desk();
            let entry = desk.rules.get(key);
            let kind = entry.map_or("", |e| e.child.type_name());
            (Self::id_of(&desk, key), entry.map_or(0, super::rules::Entry::restarts), kind)
        };
        let exit = &end.exit;
        let outcome = match outcome {
            Outcome::Restarts => "it is restarted",
            Outcome::Rests => "it is not restarted",
            Outcome::Goes => "it is gone for good",
            Outcome::GivesUp => "restarted too often: its supervisor gives up",
            Outcome::Escalates => "its supervisor gives up with it",
            Outcome::Unexpected => "it was told to stop, and ended otherwise",
        };
        tracing::error!(
            supervisors = %self.path(),
            %child,
            server = kind,
            incarnation = exit.incarnation,
            restarts,
            reason = %exit.reason,
            phase = %exit.phase,
            in_hand = exit.message.unwrap_or_default(),
            outcome,
            "child ended"
        );
    }
}

impl Child for Branch {
    fn adopt(self: Arc<Self>, post: Post) -> bool {
        self.post.set(post).is_ok()
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
            self.retire(&*child, &reason);
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
        let (mut sum, children): (Ledger, Vec<_>) = {
            let desk = self.desk();
            (desk.retired, desk.rules.children.values().map(|e| Arc::clone(&e.child)).collect())
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
    fn end_incarnation(&self, incarnation: u32, reason: ExitReason, brutal: bool) {
        let mut spin = restante_core::sync::Spin::default();
        let me = loop {
            let desk = self.desk();
            if desk.incarnation >= incarnation || desk.closed {
                break desk.me.clone().filter(|_| desk.incarnation == incarnation);
            }
            drop(desk);
            // The supervisor above has just been promised it: another thread is about to begin it.
            spin.wait();
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
