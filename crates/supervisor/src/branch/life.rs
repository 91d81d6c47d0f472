//! A supervisor's own life: it begins, is up, is told to end, is down; who waits for that, and who performs it. What is
//! performed lies in [`crate::perform`].

use super::{Doomed, Over, SupervisorCore, SupervisorState, tell};
use crate::child::Child;
use crate::perform::Performer;
use crate::rt::Runtime;
use crate::rules::{Entry, Life, Origin, Settings};
use restante_core::clock::{self, Instant};
use restante_core::{Exit, ExitReason, Phase, quiet};
use restante_genserver::StartError;
use restante_genserver::keeper::{Beginner, End, Verdict};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::oneshot;

impl SupervisorCore {
    /// Makes sure that a performer does what is noted.
    pub(crate) fn ensure_performer(self: &Arc<Self>) {
        let rt = {
            let mut locked = self.lock();
            if locked.performing {
                drop(locked);
                self.bell.notify_waiters();
                return;
            }
            locked.performing = locked.rt.is_some();
            locked.rt.clone()
        };
        if let Some(rt) = rt {
            rt.spawn(Performer::new(Arc::clone(self)).perform());
        }
    }

    /// Begins an incarnation of the supervisor: the performer will start its children. `sure`: the supervisor above has said
    /// already that it may.
    ///
    /// The supervisor above is asked before anything is noted, so that an incarnation that is refused gets in no other's
    /// way. Where there is a supervisor above, it lets only one begin.
    pub(crate) fn begin(
        self: &Arc<Self>,
        waiting: Option<oneshot::Sender<Result<(), StartError>>>,
        sure: bool,
    ) -> Result<u32, StartError> {
        if let Some(error) = &self.unsound {
            return Err(StartError::Failed(ExitReason::Error(Arc::new(error.clone()))));
        }
        let rt = Runtime::current();
        let by = if waiting.is_some() { Beginner::Starter } else { Beginner::Task };
        let (next, rt) = {
            let locked = self.lock();
            locked.can_begin()?;
            let rt = rt.or_else(|| locked.rt.clone()).ok_or(StartError::NoRuntime)?;
            (locked.incarnation + 1, rt)
        };
        if !sure
            && let Some((parent, key)) = self.parent()
            && !parent.child_begins(key, next, by)
        {
            return Err(StartError::Supervised);
        }
        self.hear_of_tempo();
        let (teller, told) = oneshot::channel();
        let mut locked = self.lock();
        locked.can_begin()?;
        locked.rt = Some(rt.clone());
        locked.rules.begin_anew();
        locked.brutal = false;
        locked.requested = false;
        locked.orphaned = false;
        locked.ending_since = None;
        locked.for_good = false;
        locked.late = None;
        for (_, old) in std::mem::take(&mut locked.report).unexpected {
            locked.rules.aftermath.put(old);
        }
        locked.incarnation += 1;
        let begun = locked.incarnation;
        locked.joiners.push((begun, teller));
        locked.me = Some(Arc::clone(self));
        locked.awaited = waiting.is_some();
        locked.starting = waiting;
        if let Some(doomed) = locked.doomed.take().filter(|doomed| doomed.incarnation == locked.incarnation) {
            locked.brutal = doomed.brutal;
            locked.rules.end(doomed.reason);
        }
        let incarnation = locked.incarnation;
        drop(locked);
        rt.spawn(RuntimeGuard { branch: Arc::clone(self), incarnation, told, done: false }.look());
        Ok(incarnation)
    }

    /// All children are up.
    pub(crate) fn up(self: &Arc<Self>) {
        let (waiting, incarnation) = {
            let mut locked = self.lock();
            if locked.rules.life != Life::Starting {
                return;
            }
            locked.rules.life = Life::Up;
            locked.up_since = Some(clock::now());
            (locked.starting.take(), locked.incarnation)
        };
        if let Some((parent, key)) = self.parent() {
            parent.child_started(key, incarnation);
        }
        if let Some(waiting) = waiting {
            tell(waiting, Ok(()));
        }
    }

    /// All children are down (or abandoned): the incarnation is over. True: the supervisor above wants the next at once.
    ///
    /// In this order: the mailboxes of what is gone for good close; then it is down; the supervisor above notes that; what
    /// is gone for good by that closes as well; then those who wait for the end are told. So a caller that finds it ended
    /// finds all of that done.
    pub(crate) fn down(self: &Arc<Self>) -> bool {
        let known = self.ends_for_good();
        let (gone, reason, for_good) = {
            let mut locked = self.lock();
            let Life::Ending(reason) = locked.rules.life.clone() else { return false };
            // What was noted stands: mailboxes have been closed by it.
            let for_good = known || locked.for_good;
            (locked.take_gone(for_good), reason, for_good)
        };
        for child in gone {
            self.retire(&child, &reason);
        }
        let (exit, me, waiting, closed, orphaned) = {
            let mut locked = self.lock();
            // The supervisor may meanwhile have ended with its runtime, on another thread.
            if !locked.is_ending() {
                return false;
            }
            let phase = if locked.starting.is_some() { Phase::Init } else { Phase::Idle };
            let exit = Exit::new(reason, phase, None, locked.incarnation);
            // What those above are told is that it was closed by others; for good or not they know themselves, unless they have
            // come to think otherwise since.
            let closed = locked.closed || for_good && !known;
            locked.closed |= for_good;
            locked.rules.life = Life::Down;
            locked.telling = Some(exit.incarnation);
            if let Some(old) = locked.last_exit.replace(exit.clone()) {
                locked.rules.aftermath.put(old.reason);
            }
            let waiting = locked.starting.take();
            (exit, locked.me.take(), waiting, closed, locked.orphaned)
        };
        let verdict = self.parent().map(|(parent, key)| {
            let mut end = End::new(exit.clone(), closed);
            end.orphaned = orphaned;
            parent.child_ended(key, &end)
        });
        let (again, settle) = match verdict {
            Some(Verdict::Again) => (true, None),
            // A supervisor has no lease: those who ask about its end go by `telling`.
            Some(Verdict::Leave(Some(note))) => (false, note(&mut || ())),
            Some(Verdict::Leave(None)) | None => (false, None),
        };
        // The supervisor above may give up by this very end, or end with it, or let it go.
        if !for_good && !again && self.ends_for_good() {
            let gone = {
                let mut locked = self.lock();
                locked.closed = true;
                locked.take_gone(true)
            };
            for child in gone {
                self.retire(&child, &exit.reason);
            }
        }
        if let Some(waiting) = waiting {
            tell(waiting, Err(StartError::Failed(exit.reason.clone())));
        }
        let joiners: Vec<_> = {
            let mut locked = self.lock();
            locked.telling = locked.telling.filter(|telling| *telling != exit.incarnation);
            locked.joiners.extract_if(.., |(which, _)| *which <= exit.incarnation).collect()
        };
        for (_, joiner) in joiners {
            tell(joiner, exit.clone());
        }
        if let Some(settle) = settle {
            settle();
        }
        drop(me);
        again
    }

    /// Whether no supervisor above will begin this one again after the end that is under way. What is not known yet counts
    /// as no.
    pub(crate) fn ends_for_good(&self) -> bool {
        let Some((parent, key)) = self.parent() else { return true };
        let reason = match &self.lock().rules.life {
            Life::Ending(reason) => Some(reason.clone()),
            _ => None,
        };
        let goes = |entry: &Entry<_>, settings: &Settings| {
            reason.as_ref().is_some_and(|reason| entry.goes_with_its_end(settings, reason))
        };
        let alone = {
            let locked = parent.lock();
            match (&locked.rules.life, locked.rules.get(key)) {
                (Life::Ending(_), Some(_)) => None,
                (_, None) => Some(true),
                // The child was left behind by its parent's last end.
                (Life::Down, Some(_)) => Some(locked.closed),
                (Life::Up, Some(entry)) => Some(goes(entry, &locked.rules.settings)),
                (Life::Starting, Some(_)) => Some(false),
            }
        };
        alone.unwrap_or_else(|| parent.ends_for_good())
    }

    /// Notes whether this end is for good. If it is, what is down already closes, because it will not be read any more.
    pub(crate) fn note_for_good(&self) {
        if self.lock().for_good || !self.ends_for_good() {
            return;
        }
        let over: Vec<_> = {
            let mut locked = self.lock();
            locked.for_good = true;
            let keys: Vec<u64> = locked.rules.children.keys().copied().collect();
            keys.into_iter().filter_map(|key| locked.closes_for_good(key)).collect()
        };
        self.close_over(over);
    }

    /// Closes the mailboxes of what has come down in an end for good ([`SupervisorState::closes_for_good`]).
    pub(crate) fn close_over(&self, over: impl IntoIterator<Item = Over>) {
        for (child, reason) in over {
            child.close(reason);
            self.has_left();
        }
    }

    /// Those of these children that wait out the pause before their restart are down from here on: they are stopped, with
    /// others or with all.
    pub(crate) fn take_back(&self, keys: Range<u64>) {
        let mut tell = Vec::new();
        let over: Vec<_> = {
            let mut locked = self.lock();
            let keys = locked.rules.in_pause(keys);
            tell.extend(keys.iter().flat_map(|key| locked.rules.rest(*key)));
            keys.into_iter().filter_map(|key| locked.closes_for_good(key)).collect()
        };
        self.close_over(over);
        self.tell(tell);
    }

    /// Begins the incarnation that the supervisor above has been promised; if it cannot, that one is told.
    pub(crate) fn begin_again(self: &Arc<Self>) {
        let Err(error) = self.begin(None, true) else { return };
        let Some((parent, key)) = self.parent() else { return };
        let never = Exit::new(error.into(), Phase::Init, None, self.lock().incarnation + 1);
        parent.child_ended(key, &End::new(never, true)).settle();
    }

    /// The supervisor is to end.
    pub(crate) fn end(self: &Arc<Self>, reason: ExitReason, brutal: bool) {
        let now = clock::now();
        let noted = self.lock().end(reason, brutal, now);
        if noted {
            self.ensure_performer();
        }
    }

    /// The supervisor is to end, and who asks does not wait. False: it is down.
    pub(crate) fn request_stop(self: &Arc<Self>) -> bool {
        let now = clock::now();
        let noted = {
            let mut locked = self.lock();
            let noted = locked.end(ExitReason::Shutdown, false, now);
            locked.requested |= noted;
            noted
        };
        if noted {
            self.ensure_performer();
            quiet::run("a waker", || self.requested.notify_waiters());
        }
        noted
    }

    /// Waits until it is asked to end by one who does not wait.
    pub(crate) async fn is_requested(&self) {
        loop {
            // Listen first, then look.
            let rung = self.requested.notified();
            if self.lock().requested {
                return;
            }
            rung.await;
        }
    }

    /// Notes that the start of this incarnation is no longer awaited. Unless the start was `heard` of, that ends the
    /// incarnation.
    ///
    /// A drop spawns nothing: as long as a start is awaited the performer stays, and has only to be woken. Where the
    /// performer has gone with its runtime, everything has been killed.
    pub(super) fn start_settled(&self, incarnation: u32, heard: bool) {
        let now = clock::now();
        {
            let mut locked = self.lock();
            if locked.incarnation != incarnation {
                return;
            }
            locked.awaited = false;
            if !heard {
                locked.end(ExitReason::Shutdown, false, now);
            }
        }
        self.bell.notify_waiters();
    }

    pub(crate) fn end_incarnation(&self, incarnation: u32, reason: ExitReason, brutal: bool) {
        let me = {
            let mut locked = self.lock();
            if locked.incarnation + 1 == incarnation {
                // The supervisor above has just let it begin: another thread is about to.
                let brutal = brutal || locked.doomed.as_ref().is_some_and(|doomed| doomed.brutal);
                locked.doomed = Some(Doomed { incarnation, reason, brutal });
                return;
            }
            if locked.incarnation != incarnation {
                return;
            }
            locked.me.clone()
        };
        if let Some(me) = me {
            me.end(reason, brutal);
        }
    }

    /// Tells when the present incarnation has ended; at once when there is none.
    pub(crate) fn join(self: &Arc<Self>) -> Result<oneshot::Receiver<Exit>, Exit> {
        let mut locked = self.lock();
        if !locked.is_alive() {
            let never = || Exit::new(ExitReason::NoProcess, Phase::Idle, None, 0);
            return Err(locked.last_exit.clone().unwrap_or_else(never));
        }
        // Where the end of an incarnation is just being told, the caller is told with the others.
        let which = if locked.rules.life == Life::Down { locked.telling } else { None };
        let which = which.unwrap_or(locked.incarnation);
        let (gone, told) = locked.join(which);
        drop(locked);
        gone.forget();
        Ok(told)
    }

    /// Tells when this incarnation has ended. `None`: it has.
    pub(crate) fn join_incarnation(&self, incarnation: u32) -> Option<oneshot::Receiver<Exit>> {
        let mut locked = self.lock();
        if locked.incarnation != incarnation || locked.rules.life == Life::Down {
            return None;
        }
        let (gone, told) = locked.join(incarnation);
        drop(locked);
        gone.forget();
        Some(told)
    }
}

/// Those who do not wait for an end any more. For after the lock: each has the last waker that waited for it.
#[must_use]
struct GoneJoiners(Vec<(u32, oneshot::Sender<Exit>)>);

impl GoneJoiners {
    fn forget(self) {
        self.0.into_iter().for_each(|joiner| quiet::discard("a waker", joiner));
    }
}

impl SupervisorState {
    /// One more who waits for the end of this incarnation.
    fn join(&mut self, incarnation: u32) -> (GoneJoiners, oneshot::Receiver<Exit>) {
        let (teller, told) = oneshot::channel();
        let mut gone = Vec::new();
        // Those who do not wait any more make room; amortised, since the list doubles before it is looked through.
        if self.joiners.len() == self.joiners.capacity() {
            gone.extend(self.joiners.extract_if(.., |(_, joiner)| joiner.is_closed()));
        }
        self.joiners.push((incarnation, teller));
        (GoneJoiners(gone), told)
    }

    /// Takes those out of the table that do not outlive this end: all, or those that were added by hand.
    fn take_gone(&mut self, for_good: bool) -> Vec<Arc<dyn Child>> {
        let all = self.closed || for_good;
        let keeps = self.rules.settings.keep_children;
        let goes = |origin: Origin| all || !keeps && origin != Origin::Spec;
        let gone = self.rules.children.iter().filter(|(_, entry)| goes(entry.origin)).map(|(key, _)| *key);
        let gone: Vec<u64> = gone.collect();
        gone.into_iter().filter_map(|key| self.rules.remove(key)).collect()
    }

    /// Notes that the supervisor is to end. False: it is down.
    fn end(&mut self, reason: ExitReason, brutal: bool, now: Instant) -> bool {
        if self.rules.life == Life::Down {
            return false;
        }
        if brutal && !self.brutal {
            self.brutal = true;
            self.late = self.ending_since.map(|since| now.saturating_duration_since(since));
        }
        self.ending_since.get_or_insert(now);
        self.rules.end(reason);
        true
    }
}

/// Sees to it that an incarnation ends with its runtime. (A tree in which nothing happens has no other task there.)
struct RuntimeGuard {
    branch: Arc<SupervisorCore>,
    incarnation: u32,
    told: oneshot::Receiver<Exit>,
    done: bool,
}

impl RuntimeGuard {
    async fn look(mut self) {
        let _ = (&mut self.told).await;
        self.done = true;
    }
}

impl Drop for RuntimeGuard {
    fn drop(&mut self) {
        let same = !self.done && self.branch.lock().incarnation == self.incarnation;
        if same {
            self.branch.orphaned();
        }
    }
}
