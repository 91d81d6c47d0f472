//! What the table answers, question by question: who is in it and what is counted, which start is whose, who is told, and
//! what is remembered of an end.

use super::aftermath::Aftermath;
use super::ends::Early;
use super::tests::{Table, begins, end, ended, options, table, up};
use super::*;
use crate::child_options::{ChildId, ChildOptions};
use crate::intensity::Intensity;
use crate::restart::Restart;
use crate::strategy::{AutoShutdown, Strategy};
use restante_core::ExitReason;
use restante_core::clock;
use restante_genserver::keeper::Beginner;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const ALL: [State; 7] = [
    State::Stopped,
    State::Starting,
    State::Rejoining,
    State::Running,
    State::Restarting,
    State::Stopping,
    State::Abandoned,
];

fn unlimited(restarts: &[Restart]) -> Table {
    let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, restarts);
    rules.settings.auto_shutdown = AutoShutdown::Never;
    rules
}

fn change(rules: &mut Table, key: u64, change: impl FnOnce(&mut ChildOptions)) {
    let entry = rules.children.get_mut(&key).expect("it is there");
    change(Arc::make_mut(&mut entry.options));
}

fn add(rules: &mut Table, id: Option<&'static str>, added: bool) -> Result<(u64, u32), AddError> {
    rules.add(id.map(ChildId::from), (), options(Restart::Permanent), added)
}

fn tell_all(waiting: Vec<tokio::sync::oneshot::Sender<()>>) {
    for tell in waiting {
        tell.send(()).expect("somebody waits");
    }
}

/// Stops a child that runs, as an order does.
fn stop(rules: &mut Table, key: u64) {
    assert!(matches!(rules.stops(key, false), Stopping::Tell { .. }));
    let incarnation = rules.get(key).expect("it is there").incarnation;
    ended(rules, key, &end(ExitReason::Shutdown, incarnation), clock::now());
}

/// Ids lead to children and are free again when they have left; keys are not used again. Children of a dynamic supervisor
/// have names, and are not found by them.
#[test]
fn an_id_is_one_childs_while_it_is_in_the_table() {
    let mut rules = table(Strategy::OneForOne, Intensity::default());
    assert_eq!((rules.leaving, rules.supervisors, rules.restarts), (0, 0, 0));
    assert_eq!(add(&mut rules, Some("a"), false).map(|(key, _)| key), Ok(0));
    assert_eq!(add(&mut rules, None, false).map(|(key, _)| key), Ok(1));
    assert_eq!((rules.key_of("a"), rules.key_of("b")), (Some(0), None));
    assert_eq!(add(&mut rules, Some("a"), false), Err(AddError::Taken { key: 0 }));
    assert_eq!((rules.id_of(0), rules.id_of(1)), ("a".into(), "#1".into()));
    assert_eq!((rules.remove(0), rules.remove(0), rules.leaving), (Some(()), None, 1));
    assert_eq!((rules.key_of("a"), rules.id_of(0)), (None, "#0".into()));
    assert_eq!(add(&mut rules, Some("a"), false).map(|(key, _)| key), Ok(2));
    assert_eq!((rules.remove(1), rules.leaving), (Some(()), 2));
    rules.settings.dynamic = true;
    for key in [3, 4] {
        assert_eq!(add(&mut rules, Some("many"), false).map(|(key, _)| key), Ok(key));
        assert_eq!(rules.id_of(key), "many".into());
    }
    assert_eq!(rules.key_of("many"), None);
}

/// Clause 23.3: there are as many children as the limit says, and not one more.
#[test]
fn the_table_holds_as_many_as_the_limit_says() {
    let mut rules = table(Strategy::OneForOne, Intensity::default());
    rules.settings.max_children = 2;
    assert!(add(&mut rules, None, false).is_ok() && add(&mut rules, None, false).is_ok());
    assert_eq!(add(&mut rules, None, false), Err(AddError::Full { active: 2 }));
    rules.remove(0);
    assert!(add(&mut rules, None, false).is_ok());
}

/// A child is added to one that is up or starts; it is its adder's to start, and was never there if that comes to nothing.
#[test]
fn a_child_is_added_to_one_that_is_up_and_is_its_adders_until_it_is_up() {
    let mut rules = unlimited(&[]);
    for life in [Life::Down, Life::Ending(ExitReason::Shutdown)] {
        rules.life = life;
        assert_eq!(add(&mut rules, None, true), Err(AddError::Down));
        assert!(add(&mut rules, Some("spec"), false).is_ok());
        rules.remove(rules.key_of("spec").expect("it was added"));
    }
    rules.life = Life::Up;
    let (key, start) = add(&mut rules, None, true).expect("it is up");
    assert_eq!((rules.get(key).map(|e| e.state), rules.live, rules.active), (Some(State::Starting), 1, 1));
    assert!(rules.is_tentative(key) && !rules.is_moot(key, start));
    assert_eq!(rules.discard_start(key, start + 1), None, "another start's failure");
    rules.start_failed(key, start);
    assert_eq!((rules.discard_start(key, start), rules.get(key).is_none()), (Some(()), true));
    assert!(rules.is_moot(key, start) && !rules.is_tentative(key));
    // One that had nothing to serve stays, and so does one that came up.
    let (kept, _) = add(&mut rules, None, true).expect("it is up");
    rules.keep(kept);
    assert!(!rules.is_tentative(kept));
    let (came_up, _) = add(&mut rules, None, true).expect("it is up");
    assert!(begins(&mut rules, came_up, 1));
    rules.started(came_up, 1, clock::now);
    assert!(!rules.is_tentative(came_up));
    assert_eq!(rules.get(came_up).map(|e| e.origin), Some(Origin::Added));
    assert!(!rules.is_tentative(99));
    rules.keep(99);
}

/// Clause 21.9: who was added while its group was about to fall comes back with that, unless it is temporary.
#[test]
fn one_that_comes_up_while_its_group_falls_is_wanted() {
    for restart in [Restart::Permanent, Restart::Temporary] {
        for falls in [true, false] {
            let mut rules = unlimited(&[Restart::Permanent]);
            let (key, _) = rules.add(None, (), options(restart), true).expect("it is up");
            assert!(begins(&mut rules, key, 1));
            if falls {
                rules.group = Some(Group { from: 0, until: key + 1, pause: Duration::ZERO });
            }
            rules.started(key, 1, clock::now);
            let wanted = rules.get(key).is_some_and(|e| e.wanted);
            assert_eq!(wanted, falls && restart == Restart::Permanent, "{restart:?}");
        }
    }
    // One of the first specification is wanted when the group has fallen, and not before.
    let mut rules = unlimited(&[Restart::Permanent]);
    stop(&mut rules, 0);
    rules.starts(0).expect("it is stopped");
    assert!(begins(&mut rules, 0, 2));
    rules.group = Some(Group { from: 0, until: 1, pause: Duration::ZERO });
    rules.started(0, 2, clock::now);
    assert!(rules.get(0).is_some_and(|e| !e.wanted && e.origin == Origin::Spec));
}

/// Options that are the same are kept once.
#[test]
fn children_with_the_same_options_share_them() {
    let mut rules = table(Strategy::OneForOne, Intensity::default());
    let of = |restart| (*options(restart)).clone();
    let first = rules.shared(of(Restart::Permanent));
    assert!(Arc::ptr_eq(&first, &rules.shared(of(Restart::Permanent))));
    let other = rules.shared(of(Restart::Transient));
    assert_eq!((first.restart, other.restart), (Restart::Permanent, Restart::Transient));
    assert!(Arc::ptr_eq(&other, &rules.shared(of(Restart::Transient))));
}

/// A supervisor among the children is counted once, until it leaves.
#[test]
fn supervisors_among_the_children_are_counted() {
    let mut rules = unlimited(&[Restart::Permanent; 3]);
    for key in [0, 0, 2, 99] {
        rules.note_supervisor(key);
    }
    assert_eq!(rules.supervisors, 2);
    for (key, left) in [(1, 2), (0, 1), (2, 0)] {
        stop(&mut rules, key);
        rules.remove(key);
        assert_eq!(rules.supervisors, left, "{key}");
    }
}

/// Clause 21.14: who is waited for, and who has a process, in each state.
#[test]
fn what_is_counted_follows_the_state() {
    use State::{Abandoned, Rejoining, Restarting, Stopped};
    for state in ALL {
        assert_eq!(state.is_live(), !matches!(state, Stopped | Abandoned), "{state:?}");
        assert_eq!(state.is_active(), !matches!(state, Stopped | Rejoining | Restarting), "{state:?}");
    }
    let mut rules = unlimited(&[Restart::Permanent; 3]);
    assert_eq!((rules.live, rules.active), (3, 3));
    assert!(ended(&mut rules, 0, &end(ExitReason::Killed, 1), clock::now()).again);
    assert_eq!((rules.live, rules.active), (3, 2), "one is being restarted");
    stop(&mut rules, 1);
    assert_eq!((rules.live, rules.active), (2, 1), "one is stopped");
    rules.stops(2, false);
    assert_eq!((rules.live_keys(), rules.last_live(99), rules.last_live(2)), (vec![0, 2], Some(2), Some(0)));
    assert_eq!(
        (rules.is_down(0), rules.is_down(1), rules.is_down(2), rules.is_down(9)),
        (false, true, false, true)
    );
    rules.abandon(2);
    rules.abandon(1);
    assert_eq!((rules.abandoned(), rules.live_keys()), (vec![2], vec![0]));
    assert_eq!((rules.live, rules.active, rules.is_down(2)), (1, 1, true));
}

/// Clause 21.15: restarts are counted, of each child and of all.
#[test]
fn restarts_and_last_ends_are_remembered() {
    let mut rules = unlimited(&[Restart::Permanent; 2]);
    let of =
        |rules: &Table, key| rules.get(key).map(|e| (e.restarts(), e.last_exit().map(|x| x.incarnation)));
    assert_eq!((rules.restarts, of(&rules, 0)), (0, Some((0, None))));
    for n in 1..=3 {
        assert!(ended(&mut rules, 0, &end(ExitReason::Killed, n), clock::now()).again);
        rules.started(0, n + 1, clock::now);
        assert_eq!((rules.restarts, of(&rules, 0)), (u64::from(n), Some((u64::from(n), Some(n)))));
    }
    assert_eq!(of(&rules, 1), Some((0, None)));
    let up_since = rules.get(0).and_then(Entry::pauses_up_since);
    assert!(up_since.is_some_and(|at| at <= clock::now()));
    // A child that has neither id nor history needs no place for them.
    let (key, _) = add(&mut rules, None, false).expect("there is room");
    assert_eq!((of(&rules, key), rules.get(key).and_then(Entry::pauses_up_since)), (Some((0, None)), None));
}

/// Reasons that are not asked for any more are dropped outside the lock: what an end replaces, and what leaves with its
/// child.
#[test]
fn reasons_that_are_replaced_are_kept_for_after_the_lock() {
    let mut rules = unlimited(&[Restart::Permanent]);
    let crash = |rules: &mut Table, incarnation| {
        let end = end(ExitReason::error("no"), incarnation);
        assert_eq!(rules.goes_on(0, &end, clock::now), Early::Again);
        rules.started(0, incarnation + 1, clock::now);
        !std::mem::take(&mut rules.aftermath).is_empty()
    };
    assert_eq!([1, 2, 3].map(|incarnation| crash(&mut rules, incarnation)), [false, true, true]);
    stop(&mut rules, 0);
    assert!(!std::mem::take(&mut rules.aftermath).is_empty(), "the stop replaces the crash");
    rules.remove(0);
    assert!(!std::mem::take(&mut rules.aftermath).is_empty(), "its last end goes with it");
    rules.end(ExitReason::Shutdown);
    assert!(rules.aftermath.is_empty());
    rules.end(ExitReason::Killed);
    assert_eq!(rules.life, Life::Ending(ExitReason::Shutdown), "the first reason counts");
    assert!(!rules.aftermath.is_empty(), "and the other is not dropped here");
}

/// An error that is known by the count of those dropped, and whose drop panics.
#[derive(Debug)]
struct Rude(Arc<AtomicU32>);
impl std::fmt::Display for Rude {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("rude")
    }
}
impl std::error::Error for Rude {}
impl Drop for Rude {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::panic::resume_unwind(Box::new("rude"));
    }
}

/// Each is dropped by itself, once it is asked for, and not before.
#[test]
fn the_trash_holds_all_and_drops_each_by_itself() {
    let dropped = Arc::default();
    let mut aftermath = Aftermath::default();
    assert!(aftermath.is_empty());
    for _ in 0..3 {
        aftermath.put(ExitReason::Error(Arc::new(Rude(Arc::clone(&dropped)))));
        assert!(!aftermath.is_empty());
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
    aftermath.discard();
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

/// Of temporary children that come and go nothing is kept; of all others the last end is.
#[test]
fn a_last_end_is_kept_where_somebody_may_ask_for_it() {
    for (dynamic, restart, kept) in [
        (true, Restart::Temporary, false),
        (true, Restart::Permanent, true),
        (false, Restart::Temporary, true),
        (false, Restart::Permanent, true),
    ] {
        let mut rules = unlimited(&[restart]);
        rules.settings.dynamic = dynamic;
        stop(&mut rules, 0);
        let last = rules.get(0).map(|e| e.last_exit().is_some());
        assert_eq!(last, Some(kept), "{restart:?}, dynamic: {dynamic}");
    }
}

/// Clause 21.23: what a supervisor below may take to give up follows from the settings and from those above; the one that
/// has worked it out sees whether anything has changed since.
#[test]
fn what_is_left_to_a_supervisor_below_is_known_to_be_old() {
    let ms = Duration::from_millis;
    let mut rules = up(Strategy::OneForOne, Intensity::new(3, ms(6000)), &[Restart::Permanent]);
    let mut seen = vec![rules.tempo_below(0)];
    assert_eq!(seen[0].0, Some(ms(1000)));
    assert!(!rules.hear_of_tempo(None), "no change");
    assert_eq!(rules.tempo_below(0), seen[0]);
    assert!(rules.hear_of_tempo(Some(ms(800))) && !rules.hear_of_tempo(Some(ms(800))));
    seen.push(rules.tempo_below(0));
    assert_eq!(seen[1].0, Some(ms(100)));
    let settings = Settings { intensity: Intensity::new(3, ms(300)), ..rules.settings.clone() };
    rules.change_settings(settings);
    seen.push(rules.tempo_below(0));
    assert_eq!(seen[2].0, Some(ms(50)));
    assert!(rules.hear_of_tempo(None));
    seen.push(rules.tempo_below(0));
    let mut numbers: Vec<_> = seen.iter().map(|(_, number)| *number).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 4, "{seen:?}");
    assert_eq!(rules.tempo_below(99).0, None);
}

/// Each start has a name: a caller that comes back with its failure finds that it is over, or that another is under way.
#[test]
fn a_start_is_known_from_those_before_it() {
    let mut rules = unlimited(&[Restart::Permanent]);
    stop(&mut rules, 0);
    let ((), first) = rules.starts(0).expect("it is stopped");
    assert!(rules.starts(0).is_none(), "one at a time");
    assert!(!rules.is_moot(0, first));
    rules.start_failed(0, first);
    assert_eq!(rules.get(0).map(|e| e.state), Some(State::Stopped));
    assert!(!rules.is_moot(0, first), "it is the last that was decided over it");
    let ((), second) = rules.starts(0).expect("it is stopped");
    assert!(second != first && rules.is_moot(0, first) && !rules.is_moot(0, second));
    assert_eq!(
        (rules.discard_start(0, first), rules.discard_failed(0, first, &ExitReason::Killed)),
        (None, None)
    );
    assert!(rules.get(0).is_some_and(|e| !e.discarded));
    assert!(begins(&mut rules, 0, 2));
    rules.started(0, 2, clock::now);
    // The next incarnation begins in its place: no start is under way any more.
    assert!(ended(&mut rules, 0, &end(ExitReason::Killed, 2), clock::now()).again);
    assert!(rules.is_moot(0, second));
    // A child that was stopped by hand since has not failed, until it is started again.
    rules.started(0, 3, clock::now);
    rules.stops(0, true);
    ended(&mut rules, 0, &end(ExitReason::Shutdown, 3), clock::now());
    assert!(rules.get(0).is_some_and(|e| e.halted));
    let ((), third) = rules.starts(0).expect("it is stopped");
    assert!(!rules.is_moot(0, third));
    rules.stops(0, true);
    assert!(rules.is_moot(0, third), "it was stopped by hand");
}

/// A start that has come to nothing: no incarnation is there, or the one that has come up at the last moment is killed.
#[test]
fn a_start_that_is_given_up_leaves_nobody() {
    for (begun, is_up) in [(false, false), (true, false), (true, true)] {
        let mut rules = unlimited(&[Restart::Permanent]);
        stop(&mut rules, 0);
        let ((), start) = rules.starts(0).expect("it is stopped");
        let mut waits = rules.listen(0).expect("it is not down");
        if begun {
            assert!(begins(&mut rules, 0, 2));
        }
        if is_up {
            rules.started(0, 2, clock::now);
        }
        let told = rules.start_failed(0, start);
        let entry = rules.get(0).expect("it is there");
        if begun {
            assert_eq!((entry.state, entry.kill, told.len()), (State::Stopping, Kill::Plain, 0));
            assert!(
                !rules.kills(0, Kill::Plain) && rules.kills(0, Kill::Late),
                "it is killed once for each cause"
            );
            let then = ended(&mut rules, 0, &end(ExitReason::Killed, 2), clock::now());
            assert_eq!(then.tell.len(), 1);
        } else {
            assert_eq!((entry.state, told.len()), (State::Stopped, 1));
            tell_all(told);
            assert!(waits.try_recv().is_ok());
        }
        // The next incarnation has not been killed.
        rules.starts(0).expect("it is stopped");
        assert!(begins(&mut rules, 0, 3));
        assert!(rules.kills(0, Kill::Plain));
    }
}

/// A specification goes when its child is down, at once or with its end, for the reason of the start that failed.
#[test]
fn a_specification_goes_when_its_child_is_down() {
    let mut rules = unlimited(&[Restart::Permanent; 2]);
    stop(&mut rules, 0);
    assert_eq!((rules.discard(0), rules.get(0).is_none(), rules.discard(0)), (Some(()), true, None));
    assert_eq!(rules.discard(1), None);
    assert!(
        rules
            .get(1)
            .is_some_and(|e| e.discarded && e.goes_with_its_end(&rules.settings, &ExitReason::Killed))
    );
    rules.stops(1, false);
    let then = ended(&mut rules, 1, &end(ExitReason::Shutdown, 1), clock::now());
    assert!(then.gone.is_some() && then.why.is_none() && rules.get(1).is_none());
    // A start that failed, whose incarnation has not ended yet.
    let (key, start) = add(&mut rules, None, true).expect("it is up");
    assert!(begins(&mut rules, key, 1));
    rules.start_failed(key, start);
    for why in [ExitReason::error("one"), ExitReason::NoProcess] {
        assert_eq!(rules.discard_failed(key, start, &why), None);
    }
    assert!(!rules.aftermath.is_empty(), "the reason that was replaced");
    let then = ended(&mut rules, key, &end(ExitReason::Killed, 1), clock::now());
    assert_eq!((then.gone.is_some(), then.why.as_deref()), (true, Some(&ExitReason::NoProcess)));
    // One that is down goes at once, and its mailbox closes for the reason that is at hand.
    let (key, start) = add(&mut rules, None, true).expect("it is up");
    rules.start_failed(key, start);
    assert_eq!(rules.discard_failed(key, start, &ExitReason::Killed), Some(()));
    assert_eq!(rules.discard_failed(key, start, &ExitReason::Killed), None);
}

/// Clause 21.8: which children leave the table with an end that leaves their supervisor up.
#[test]
fn who_leaves_the_table_with_its_end() {
    for dynamic in [false, true] {
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            for halted in [false, true] {
                for state in ALL {
                    let mut rules = unlimited(&[restart]);
                    rules.settings.dynamic = dynamic;
                    let entry = rules.children.get_mut(&0).expect("it is there");
                    (entry.state, entry.halted) = (state, halted);
                    for reason in [ExitReason::Shutdown, ExitReason::Killed] {
                        let rests = restart == Restart::Transient && reason == ExitReason::Shutdown;
                        let goes = match state {
                            State::Running => restart == Restart::Temporary || dynamic && rests,
                            State::Stopping => restart == Restart::Temporary || dynamic && halted,
                            _ => false,
                        };
                        assert_eq!(
                            entry.goes_with_its_end(&rules.settings, &reason),
                            goes,
                            "{state:?} {restart:?} {dynamic} {halted} {reason}"
                        );
                    }
                    assert_eq!(rules.goes_when_stopped(0), dynamic || restart == Restart::Temporary);
                    let entry = rules.children.get_mut(&0).expect("it is there");
                    entry.discarded = true;
                    assert!(entry.goes_with_its_end(&rules.settings, &ExitReason::Killed));
                    for wanted in [false, true] {
                        entry.wanted = wanted;
                        assert_eq!(entry.rests_meanwhile(), wanted && state == State::Stopped, "{state:?}");
                    }
                }
            }
        }
    }
    assert!(!unlimited(&[]).goes_when_stopped(0));
}

/// Who waits for a child's end, and who waits out a pause for it, hears when it is down; who asks later is told at once.
#[test]
fn who_waits_for_an_end_is_told_once() {
    let mut rules = unlimited(&[Restart::Permanent]);
    let mut waiting = [(); 2].map(|()| rules.listen(0).expect("it runs"));
    rules.stops(0, false);
    let then = ended(&mut rules, 0, &end(ExitReason::Shutdown, 1), clock::now());
    assert_eq!(then.tell.len(), 2);
    tell_all(then.then.tell);
    assert!(waiting.iter_mut().all(|told| told.try_recv().is_ok()));
    assert!(rules.listen(0).is_none() && rules.listen(99).is_none() && rules.rest(0).is_empty());
    // A pause before a restart is over when the child is stopped.
    rules.starts(0).expect("it is stopped");
    assert!(begins(&mut rules, 0, 2));
    rules.started(0, 2, clock::now);
    let pause = Some(Ok(Duration::from_secs(1)));
    let after = rules.ended(0, &end(ExitReason::Killed, 2), clock::now(), pause).after;
    let (_, epoch) = after.expect("it is restarted later");
    assert!(rules.is_due(0, epoch).is_some());
    let mut told = rules.pauses(0).expect("it is there");
    assert!(told.try_recv().is_err() && rules.pauses(99).is_none());
    let Stopping::Cancelled(tell) = rules.stops(0, true) else { panic!("nobody was there") };
    assert_eq!(tell.len(), 1);
    tell_all(tell);
    assert!(told.try_recv().is_ok() && rules.is_due(0, epoch).is_none());
}

/// What is not in the table begins nothing.
#[test]
fn one_that_has_left_does_not_begin() {
    let mut rules = unlimited(&[]);
    for by in [Beginner::Starter, Beginner::Task] {
        assert!(!rules.begins(0, 1, by));
    }
    assert!(rules.starts(0).is_none() && rules.start_failed(0, 0).is_empty() && rules.is_moot(0, 0));
}

/// A fresh incarnation of the supervisor has no group restart of the one before it.
#[test]
fn a_supervisor_begins_anew_without_groups() {
    let mut rules = unlimited(&[Restart::Permanent; 2]);
    let group = Group { from: 0, until: 2, pause: Duration::ZERO };
    (rules.group, rules.falling) = (Some(group), Some(group));
    rules.begin_anew();
    assert_eq!((&rules.life, rules.group, rules.falling), (&Life::Starting, None, None));
    (rules.life, rules.group, rules.falling) = (Life::Up, Some(group), Some(group));
    rules.end(ExitReason::Shutdown);
    assert_eq!((rules.group, rules.falling), (None, None));
}

/// Clause 21.9: a start that fails within a group restart has the group fall again: all of it, or from that child on.
#[test]
fn a_start_that_fails_within_a_group_restart_has_it_fall_again() {
    for (strategy, from) in [(Strategy::OneForAll, 0), (Strategy::RestForOne, 1), (Strategy::OneForOne, 1)] {
        let mut rules = up(strategy, Intensity::new(1, Duration::from_secs(5)), &[Restart::Permanent; 3]);
        assert_eq!(rules.group_start_failed(1, clock::now()), Some(Outcome::Restarts));
        let group = rules.group.expect("it is due again");
        assert_eq!((group.from, group.until), (from, 3), "{strategy:?}");
        assert_eq!(rules.group_start_failed(1, clock::now()), Some(Outcome::GivesUp));
        assert!(matches!(rules.life, Life::Ending(_)));
        assert_eq!(rules.group_start_failed(1, clock::now()), None, "it ends already");
    }
}

/// A start of several that a group restart interrupts is taken up by that restart, so that no child is forgotten.
#[test]
fn what_was_not_started_joins_the_group_that_interrupts() {
    let fresh = |strategy| up(strategy, Intensity::UNLIMITED, &[Restart::Permanent; 4]);
    let want = |rules: &mut Table, key: u64| rules.children.get_mut(&key).expect("it is there").wanted = true;
    let group = |from| Some(Group { from, until: 4, pause: Duration::from_secs(1) });
    for (due, wanted, starting, from) in [
        (Some(2), Some(0), None, Some(0)),
        (Some(2), Some(1), Some(0), Some(0)),
        (Some(2), Some(0), Some(1), Some(0)),
        (Some(2), None, Some(1), Some(1)),
        (Some(2), None, Some(2), Some(2)),
        (Some(2), None, Some(3), Some(2)),
        (Some(2), Some(3), None, Some(2)),
        (Some(2), None, None, Some(2)),
        (None, Some(0), Some(1), None),
    ] {
        let mut rules = fresh(Strategy::RestForOne);
        rules.group = due.and_then(group);
        if let Some(key) = wanted {
            want(&mut rules, key);
        }
        rules.put_off(starting);
        assert_eq!(rules.group.map(|group| group.from), from, "{due:?} {wanted:?} {starting:?}");
        assert_eq!(rules.group.map(|group| group.pause.as_secs()), from.map(|_| 1), "its pause stays");
        if from < due {
            assert!(rules.children.range(from.unwrap_or(4)..).all(|(_, entry)| entry.wanted));
        }
    }
    // A pause that was interrupted: the group that has come takes in the one before, and who waits to be started.
    for (before, now, wanted, expected) in [
        ((0, 2, 5), (1, 4, 1), None, (0, 4, 5)),
        ((1, 4, 1), (2, 3, 5), None, (1, 4, 5)),
        ((2, 3, 0), (2, 3, 0), Some(1), (1, 4, 0)),
    ] {
        let of = |(from, until, pause)| Group { from, until, pause: Duration::from_secs(pause) };
        let mut rules = fresh(Strategy::RestForOne);
        if let Some(key) = wanted {
            want(&mut rules, key);
        }
        rules.group = Some(of(now));
        rules.resume(of(before));
        assert_eq!(rules.group, Some(of(expected)), "{before:?} {now:?}");
    }
    let mut rules = fresh(Strategy::RestForOne);
    rules.resume(Group { from: 0, until: 1, pause: Duration::ZERO });
    assert_eq!(rules.group, None, "what interrupted it was no group");
}

/// Clauses 21.6 and 21.12: what the performer has to do after an end.
#[test]
fn the_performer_is_called_for_groups_and_for_the_end() {
    for (strategy, performs) in
        [(Strategy::OneForOne, false), (Strategy::OneForAll, true), (Strategy::RestForOne, true)]
    {
        let mut rules = up(strategy, Intensity::UNLIMITED, &[Restart::Permanent; 2]);
        assert_eq!(ended(&mut rules, 1, &end(ExitReason::Killed, 1), clock::now()).perform, performs);
    }
    let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[Restart::Transient]);
    assert!(
        ended(&mut rules, 0, &end(ExitReason::Normal, 1), clock::now()).perform,
        "the last significant one"
    );
    let mut rules = up(Strategy::OneForOne, Intensity::new(0, Duration::from_secs(5)), &[Restart::Permanent]);
    assert!(ended(&mut rules, 0, &end(ExitReason::Killed, 1), clock::now()).perform, "it gives up");
}

/// Clause 21.7: a supervisor that has given up takes the one above with it where that was asked for; another end does not.
#[test]
fn only_one_that_has_given_up_escalates() {
    let limit = RestartLimit { child: "below".into(), count: 4, window: Duration::from_secs(5) };
    let gave_up = ExitReason::Error(Arc::new(limit));
    for (escalate, reason, report) in [
        (true, &gave_up, Outcome::Escalates),
        (false, &gave_up, Outcome::Restarts),
        (true, &ExitReason::Killed, Outcome::Restarts),
    ] {
        let mut rules = unlimited(&[Restart::Permanent]);
        change(&mut rules, 0, |options| options.escalate = escalate);
        let then = rules.ended(0, &end(reason.clone(), 1), clock::now(), None);
        assert_eq!(then.report, Some(report), "{escalate} {reason}");
        let life = if report == Outcome::Escalates { Life::Ending(reason.clone()) } else { Life::Up };
        assert_eq!(rules.life, life);
    }
}

/// What is more than the next incarnation in its place is settled when the lease has been given back.
#[test]
fn only_a_plain_restart_goes_on_in_place() {
    for (closed, orphaned, escalate, again) in [
        (false, false, false, true),
        (true, false, false, false),
        (false, true, false, false),
        (false, false, true, false),
    ] {
        let mut rules = unlimited(&[Restart::Permanent]);
        change(&mut rules, 0, |options| options.escalate = escalate);
        let mut end = end(ExitReason::Killed, 1);
        (end.closed, end.orphaned) = (closed, orphaned);
        assert_eq!(
            rules.goes_on(0, &end, clock::now) == Early::Again,
            again,
            "{closed} {orphaned} {escalate}"
        );
    }
}
