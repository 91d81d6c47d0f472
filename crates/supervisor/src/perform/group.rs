//! A group restart: its members are stopped, wait out a pause, and are started again. Which they are, and when a group falls,
//! is decided in [`crate::rules`].

use super::start::start_wanted;
use super::stop::stop_one;
use crate::branch::SupervisorCore;
use crate::child::Child;
use crate::restart::Restart;
use crate::rt::Runtime;
use crate::rules::{Group, Life};
use crate::waits::Falling;
use futures::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;

/// Stops the group in reverse order, waits, starts it in order.
pub(super) async fn restart_group(branch: &Arc<SupervisorCore>, group: Group) {
    let members = group.from..group.until;
    branch.take_back(members.clone());
    // With whether each rests: looked up in a list, 10,000 that rest would keep this thread for 10^8 steps.
    let members: Vec<(u64, Arc<dyn Child>, bool)> = {
        let locked = branch.lock();
        let members = locked.rules.children.range(members);
        members.map(|(key, entry)| (*key, Arc::clone(&entry.child), entry.rests_meanwhile())).collect()
    };
    let mut falling = Falling::new(branch);
    for (_, child, _) in members.iter().filter(|(_, _, rests)| *rests) {
        falling.down(child);
    }
    for (key, child, rests) in members.iter().rev() {
        falling.stops(std::iter::once(child));
        {
            let stop = pin!(stop_one(branch, *key, false));
            let ends = pin!(branch.until(|locked| matches!(locked.rules.life, Life::Ending(_) | Life::Down)));
            if let Either::Right(_) = select(stop, ends).await {
                return;
            }
        }
        let temporary = {
            let locked = branch.lock();
            locked.rules.get(*key).is_some_and(|e| e.options.restart == Restart::Temporary)
        };
        if temporary {
            branch.dismiss(*key);
        } else if !rests {
            falling.down(child);
        }
    }
    drop(falling);
    branch.lock().rules.falling = None;
    if !group.pause.is_zero() {
        let pause = pin!(Runtime::sleep(group.pause));
        let interrupted = pin!(branch.until(SupervisorCore::is_interrupted));
        if let Either::Right(_) = select(pause, interrupted).await {
            branch.lock().rules.resume(group);
            return;
        }
    }
    if start_wanted(branch, group.from).await {
        // A group that fell while the supervisor was starting has been started with all the rest.
        branch.up();
    }
}
