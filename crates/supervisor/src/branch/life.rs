//! A supervisor's own life: it begins, is up, is told to end, is down; who waits for that, and who performs it. What is
//! performed lies in [`crate::perform`].

use super::{Branch, Desk, Doomed};
use crate::perform::Performer;
use crate::rt::Runtime;
use crate::rules::{Life, Origin};
use restante_core::clock::{self, Instant};
use restante_core::{Exit, ExitReason, Phase};
use restante_genserver::StartError;
use restante_genserver::keeper::{Beginner, End, Verdict};
use std::sync::Arc;
use tokio::sync::oneshot;

impl Branch {
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
        if let Some(error) = &self.unsound {
            return Err(StartError::Failed(ExitReason::Error(Arc::new(error.clone()))));
        }
        let rt = Runtime::current();
        let by = if waiting.is_some() { Beginner::Starter } else { Beginner::Task };
        let (next, rt) = {
            let desk = self.desk();
            desk.can_begin()?;
            let rt = rt.or_else(|| desk.rt.clone()).ok_or(StartError::NoRuntime)?;
            (desk.incarnation + 1, rt)
        };
        if !sure
            && let Some((parent, key)) = self.parent()
            && !parent.child_begins(key, next, by)
        {
            return Err(StartError::Supervised);
        }
        self.hear_of_tempo();
        let (tell, told) = oneshot::channel();
        let mut desk = self.desk();
        desk.can_begin()?;
        desk.rt = Some(rt.clone());
        desk.rules.begin_anew();
        desk.brutal = false;
        desk.requested = false;
        desk.orphaned = false;
        desk.joiners.push(tell);
        desk.ending_since = None;
        desk.late = None;
        for (_, old) in std::mem::take(&mut desk.report).unexpected {
            desk.rules.trash.put(old);
        }
        desk.incarnation += 1;
        desk.me = Some(Arc::clone(self));
        desk.awaited = waiting.is_some();
        desk.starting = waiting;
        if let Some(doomed) = desk.doomed.take().filter(|doomed| doomed.incarnation == desk.incarnation) {
            desk.brutal = doomed.brutal;
            desk.rules.end(doomed.reason);
        }
        let incarnation = desk.incarnation;
        drop(desk);
        rt.spawn(Lookout { branch: Arc::clone(self), incarnation, told, done: false }.look());
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
        let (exit, me, waiting, joiners, gone, closed, orphaned) = {
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
            let joiners = std::mem::take(&mut desk.joiners);
            (exit, desk.me.take(), waiting, joiners, gone, desk.closed, desk.orphaned)
        };
        for child in gone {
            self.retire(&child, &exit.reason);
        }
        let verdict = self.parent().map(|(parent, key)| {
            let mut end = End::new(exit.clone(), closed);
            end.orphaned = orphaned;
            parent.child_ended(key, &end)
        });
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
        let noted = self.desk().end(reason, brutal, now);
        if noted {
            self.ensure_performer();
        }
    }

    /// The supervisor is to end, and who asks does not wait. False: it is down.
    pub(crate) fn request_stop(self: &Arc<Self>) -> bool {
        let now = clock::now();
        let noted = {
            let mut desk = self.desk();
            let noted = desk.end(ExitReason::Shutdown, false, now);
            desk.requested |= noted;
            noted
        };
        if noted {
            self.ensure_performer();
            // (Who runs the tree looks as well, and a performer that has just been made rings for nobody.)
            self.bell.notify_waiters();
        }
        noted
    }

    /// Nobody awaits the start of this incarnation any more. Unless it was `heard` of, that ends it.
    ///
    /// What is dropped spawns nothing: as long as a start is awaited the performer stays, and has only to be woken. (Where it
    /// has gone with its runtime, everything has been killed.)
    pub(super) fn start_settled(&self, incarnation: u32, heard: bool) {
        let now = clock::now();
        {
            let mut desk = self.desk();
            if desk.incarnation != incarnation {
                return;
            }
            desk.awaited = false;
            if !heard {
                desk.end(ExitReason::Shutdown, false, now);
            }
        }
        self.bell.notify_waiters();
    }

    pub(super) fn end_incarnation(&self, incarnation: u32, reason: ExitReason, brutal: bool) {
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

    /// Tells when the present incarnation has ended; at once when there is none.
    pub(crate) fn join(self: &Arc<Self>) -> Result<oneshot::Receiver<Exit>, Exit> {
        let mut desk = self.desk();
        if desk.rules.life == Life::Down {
            let never = || Exit::new(ExitReason::NoProcess, Phase::Idle, None, 0);
            return Err(desk.last_exit.clone().unwrap_or_else(never));
        }
        let (tell, told) = oneshot::channel();
        desk.joiners.push(tell);
        Ok(told)
    }
}

impl Desk {
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
