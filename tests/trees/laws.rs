//! What must hold of a story as a whole. (What can be seen to be wrong at once, the log sees.)

use crate::grown::{Child, Tree};
use crate::log::{Attempt, Event, History, Trace};
use restante::RestartLimit;
use std::collections::BTreeSet;

/// Siblings are stopped in reverse order of their start: who is told to stop by its supervisor has nobody behind it.
pub(crate) fn stops_are_in_reverse(tree: &Tree, trace: &Trace) -> Vec<String> {
    let mut alive = BTreeSet::new();
    let mut wrong = Vec::new();
    for (at, event) in trace {
        match event {
            Event::Init(who, _) => drop(alive.insert(*who)),
            Event::Gone(who, _) => drop(alive.remove(who)),
            Event::Terminates(who, _, why) if why == "shutdown" && !tree.leaves[*who].stopped_by_hand => {
                let siblings = &tree.nodes[tree.leaves[*who].under].children;
                let place = siblings.iter().position(|child| *child == Child::Worker(*who));
                let behind = place.map_or(&[][..], |place| &siblings[place + 1..]);
                let left: Vec<usize> = behind
                    .iter()
                    .flat_map(|child| tree.below(*child))
                    .filter(|who| alive.contains(who))
                    .collect();
                if !left.is_empty() {
                    wrong
                        .push(format!("{at:?}: w{who} is told to stop before {left:?}, who stand behind it"));
                }
            }
            _ => {}
        }
    }
    wrong
}

/// No supervisor restarts more often than it may, and none gives up before that.
pub(crate) fn intensities_are_kept(tree: &Tree, histories: &[History]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, (node, history)) in tree.nodes.iter().zip(histories).enumerate() {
        let mut incarnations: BTreeSet<u32> = history.attempts.iter().map(|a| a.incarnation).collect();
        incarnations.extend(history.gave_up.iter().map(|(incarnation, _)| *incarnation));
        // 0: nobody can say whose attempts these were.
        let unclear = incarnations.remove(&0);
        for incarnation in incarnations {
            let of = |attempt: &&Attempt| attempt.incarnation == incarnation;
            let attempts: Vec<Attempt> = history.attempts.iter().filter(of).copied().collect();
            // (Or gave up with one below it: then the child is not its own.)
            let own =
                |limit: &RestartLimit| node.children.iter().any(|child| child.id() == limit.child.as_str());
            let gave_up = history.gave_up.iter().find(|(of, limit)| *of == incarnation && own(limit));
            let Some((max, period)) = node.limit else { continue };
            let many = max as usize + 1;
            // An attempt is known to lie between two looks: certainly too many, and possibly.
            let certain =
                |window: &[Attempt]| window[many - 1].before.saturating_sub(window[0].after) <= period;
            let possible =
                |window: &[Attempt]| window[many - 1].after.saturating_sub(window[0].before) <= period;
            let over = attempts.windows(many).position(certain).map(|first| first + many);
            let ended = history.gave_up.iter().any(|(of, _)| *of == incarnation)
                || history.missed.contains(&incarnation);
            if over.is_some_and(|over| over < attempts.len() || !ended) {
                wrong.push(format!(
                    "s{number}, incarnation {incarnation}: more than {max} attempts in {period:?}, and goes on: {attempts:?}"
                ));
            }
            if let Some((_, limit)) = gave_up.filter(|_| !unclear) {
                let last = attempts.len().checked_sub(many).map(|first| &attempts[first..]);
                if !last.is_some_and(possible) || limit.window != period || limit.count != max + 1 {
                    wrong.push(format!(
                        "s{number} gives up, {limit}, though it may {max} in {period:?}: {attempts:?}"
                    ));
                }
            }
        }
    }
    wrong
}
