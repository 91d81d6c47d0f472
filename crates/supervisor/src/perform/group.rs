//! A group restart: its members are stopped, wait out a pause, and are started again. Which they are, and when a group falls,
//! is decided in [`crate::rules`].

use super::start::start_wanted;
use super::stop::stop_one;
use crate::branch::Branch;
use crate::restart::Restart;
use crate::rt::Runtime;
use crate::rules::{Group, Life};
use futures::future::{Either, select};
use restante_core::ExitReason;
use std::pin::pin;
use std::sync::Arc;

/// Stops the group in reverse order, waits, starts it in order.
pub(super) async fn restart_group(branch: &Arc<Branch>, group: Group) {
    let members = group.from..group.until;
    let members: Vec<u64> = branch.desk().rules.children.range(members).map(|(key, _)| *key).collect();
    for key in members.iter().rev() {
        {
            let stop = pin!(stop_one(branch, *key, false));
            let ends = pin!(branch.until(|desk| matches!(desk.rules.life, Life::Ending(_) | Life::Down)));
            if let Either::Right(_) = select(stop, ends).await {
                return;
            }
        }
        let gone = {
            let mut desk = branch.desk();
            let rules = &mut desk.rules;
            let temporary = rules.get(*key).is_some_and(|e| e.options.restart == Restart::Temporary);
            if temporary { rules.discard(*key) } else { None }
        };
        if let Some(gone) = gone {
            branch.retire(&gone, &ExitReason::Shutdown);
        }
    }
    branch.desk().rules.falling = None;
    if !group.pause.is_zero() {
        let pause = pin!(Runtime::sleep(group.pause));
        let interrupted = pin!(branch.until(Branch::is_interrupted));
        if let Either::Right(_) = select(pause, interrupted).await {
            branch.desk().rules.resume(group);
            return;
        }
    }
    if start_wanted(branch, group.from).await {
        // (A group that fell while the supervisor was starting has been started with all the rest.)
        branch.up();
    }
}
