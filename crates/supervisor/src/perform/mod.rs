//! What takes a supervisor longer than a decision: starting all its children, stopping them, and restarting a group. One
//! task at a time does it, and is there only while there is something to do, or a caller has still to hear of a start.
//!
//! Whatever it waits for, it stops waiting when something more urgent is noted: the supervisor's end, or a group restart
//! that takes in more children. What it had begun it leaves in a state from which the next job goes on.
//!
//! | room | its one idea |
//! |---|---|
//! | `start` | Starting what is wanted, in order. |
//! | `group` | Stopping a group and starting it again. |
//! | `stop` | Stopping one child, within its own limit. |
//! | `stop_all` | Stopping everything, in turn or together. |
//! | `notes` | What the report of the whole's end says of each. |
//!
//! What deliberately does not live here: decisions ([`crate::rules`]), and the restart of one child, which the child's own
//! task sees to ([`crate::branch`]).

mod group;
mod notes;
mod start;
mod stop;
mod stop_all;

pub use start::ChildNotStarted;
pub(crate) use start::{ignored, why_not_started};
pub(crate) use stop::stop_one;

use crate::branch::{SupervisorCore, SupervisorState};
use crate::rt::Runtime;
use crate::rules::{Group, Life, Stopping};
use group::restart_group;
use restante_core::ExitReason;
use start::start_wanted;
use std::sync::Arc;
use stop_all::stop_all;

enum Job {
    Start,
    Group(Group),
    End,
    /// Nothing as yet: the caller that awaits the start has still to hear of it, and ends the supervisor if it goes away
    /// instead.
    Stay,
}

/// Does what is noted, until there is nothing more.
pub(crate) struct Performer {
    branch: Arc<SupervisorCore>,
    done: bool,
}

impl Performer {
    /// To be spawned: from here on it is a performer, also if it is never polled.
    pub(crate) fn new(branch: Arc<SupervisorCore>) -> Self {
        Self { branch, done: false }
    }

    pub(crate) async fn perform(mut self) {
        let branch = &self.branch;
        while let Some(job) = next_job(branch) {
            match job {
                Job::Start => {
                    if start_wanted(branch, 0).await {
                        branch.up();
                    }
                }
                Job::Group(group) => {
                    restart_group(branch, group).await;
                    // Without a pause, and with an `init` that fails at once, nothing else waits here.
                    Runtime::yield_now().await;
                }
                Job::End => {
                    stop_all(branch).await;
                    // The mailboxes of those that have gone for good are closed by who saw them end.
                    branch.until(|locked| locked.rules.leaving == 0).await;
                    if branch.down() {
                        Runtime::yield_now().await;
                        branch.begin_again();
                    }
                }
                Job::Stay => {
                    branch.until(|locked| !locked.awaited || SupervisorCore::is_interrupted(locked)).await;
                }
            }
        }
        self.done = true;
    }
}

/// The most urgent thing to do; none: the performer has gone, as of this moment.
fn next_job(branch: &SupervisorCore) -> Option<Job> {
    let mut locked = branch.lock();
    if matches!(locked.rules.life, Life::Ending(_)) {
        return Some(Job::End);
    }
    if let Some(group) = locked.rules.group.take() {
        locked.rules.falling = Some(group);
        return Some(Job::Group(group));
    }
    if locked.rules.life == Life::Starting {
        return Some(Job::Start);
    }
    if locked.awaited && locked.rules.life == Life::Up {
        return Some(Job::Stay);
    }
    locked.performing = false;
    None
}

impl Drop for Performer {
    fn drop(&mut self) {
        if !self.done {
            self.branch.orphaned();
        }
    }
}

impl SupervisorCore {
    /// Kills all that is left, because the supervisor's runtime has shut down and no performer will run there. The
    /// supervisor is down when that has ended, which mostly is at once.
    pub(crate) fn orphaned(self: &Arc<Self>) {
        let live = {
            let mut locked = self.lock();
            if locked.rules.life == Life::Down {
                locked.performing = false;
                return;
            }
            // Until this is done it need not be begun again for each child that ends by it.
            locked.performing = true;
            locked.brutal = true;
            // Otherwise the supervisor above would begin it again, in a runtime that is no more.
            locked.orphaned = true;
            locked.rules.end(ExitReason::Killed);
            locked.rules.live_keys()
        };
        for key in live {
            let stopping = self.lock().rules.stops(key, false);
            match stopping {
                Stopping::Down | Stopping::Abandoned | Stopping::Unbegun => {}
                Stopping::Cancelled(tell) => self.cancelled(key, tell),
                Stopping::Tell { child, incarnation, .. } => child.kill(incarnation, ExitReason::Killed),
            }
        }
        let down = {
            let mut locked = self.lock();
            locked.performing = false;
            locked.rules.live == 0
        };
        if down {
            self.down();
        }
    }

    /// Waits until `holds`, which is looked at again when the bell is rung.
    pub(crate) async fn until(&self, holds: impl Fn(&SupervisorState) -> bool) {
        loop {
            // Listen first, then look: or the bell could be rung in between.
            let rung = self.bell.notified();
            if holds(&self.lock()) {
                return;
            }
            rung.await;
        }
    }

    /// Something more urgent than a start has been noted.
    fn is_interrupted(locked: &SupervisorState) -> bool {
        matches!(locked.rules.life, Life::Ending(_) | Life::Down) || locked.rules.group.is_some()
    }

    /// Tells those who wait for a child's end; and the performer, if it was the last.
    pub(crate) fn tell(&self, tell: Vec<tokio::sync::oneshot::Sender<()>>) {
        for waiting in tell {
            crate::branch::tell(waiting, ());
        }
        if self.lock().rules.live == 0 {
            self.bell.notify_waiters();
        }
    }
}
