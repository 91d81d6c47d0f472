//! Single decisions, one by one: what is said of an end, whose mail is kept, who comes back with which group, and which word
//! comes too late.

use super::tests::{Table, begins, end, ended, options, table, up};
use super::*;
use crate::backoff::Backoff;
use crate::child_options::{ChildOptions, Shutdown};
use crate::intensity::Intensity;
use crate::restart::Restart;
use crate::strategy::{AutoShutdown, Strategy};
use restante_core::ExitReason;
use restante_core::clock::{self, Instant};
use restante_core::{Exit, Phase};
use restante_genserver::keeper::End;
use std::sync::Arc;
use std::time::Duration;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Changes the options of a child.
fn change(rules: &mut Table, key: u64, change: impl FnOnce(&mut ChildOptions)) {
    let entry = rules.children.get_mut(&key).expect("it is there");
    change(Arc::make_mut(&mut entry.options));
}

fn wanted(rules: &Table) -> Vec<u64> {
    rules.children.iter().filter(|(_, entry)| entry.wanted).map(|(key, _)| *key).collect()
}

/// Stops the members of a group as the performer does, and leaves it in the pause before they are started.
fn fall(rules: &mut Table) -> Group {
    let group = rules.group.take().expect("a group has fallen");
    rules.falling = Some(group);
    let keys: Vec<u64> = rules.children.range(group.from..group.until).map(|(key, _)| *key).collect();
    for key in keys.into_iter().rev() {
        if let Stopping::Tell { incarnation, .. } = rules.stops(key, false) {
            ended(rules, key, &end(ExitReason::Shutdown, incarnation), clock::now());
        }
    }
    rules.falling = None;
    group
}

/// Starts all that are wanted, as this incarnation.
fn rise(rules: &mut Table, incarnation: u32) {
    while let Some((key, child)) = rules.next_wanted(0) {
        assert!(child.is_some() && begins(rules, key, incarnation), "{key}");
        rules.started(key, incarnation, clock::now);
    }
}

/// Clause 21.9: what is queued at a child that rests is kept, unless its options say otherwise.
#[test]
fn the_mail_of_a_child_that_rests_is_kept_unless_it_says_otherwise() {
    for keeps in [true, false] {
        let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[Restart::Transient]);
        rules.settings.auto_shutdown = AutoShutdown::Never;
        change(&mut rules, 0, |options| options.keep_mailbox = keeps);
        let then = ended(&mut rules, 0, &end(ExitReason::Normal, 1), clock::now());
        assert_eq!((then.clear_out, rules.get(0).map(|e| e.state)), (!keeps, Some(State::Stopped)));
    }
    // One that goes or comes back has nothing cleared out.
    for restart in [Restart::Permanent, Restart::Temporary] {
        let mut rules = up(Strategy::OneForAll, Intensity::UNLIMITED, &[restart]);
        rules.settings.auto_shutdown = AutoShutdown::Never;
        change(&mut rules, 0, |options| options.keep_mailbox = false);
        assert!(!ended(&mut rules, 0, &end(ExitReason::Normal, 1), clock::now()).clear_out);
    }
}

/// Clause 21.12: an `init` that had nothing to serve is not the end of a significant child.
#[test]
fn a_significant_child_that_ignores_its_restart_ends_nothing() {
    for ignored in [true, false] {
        for when in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
            let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[Restart::Transient]);
            rules.settings.auto_shutdown = when;
            assert!(ended(&mut rules, 0, &end(ExitReason::Killed, 1), clock::now()).again);
            let mut second = end(ExitReason::Normal, 2);
            second.ignored = ignored;
            if !ignored {
                rules.started(0, 2, clock::now);
            }
            ended(&mut rules, 0, &second, clock::now());
            assert_eq!(rules.get(0).map(|e| e.state), Some(State::Stopped));
            assert_eq!(rules.life == Life::Up, ignored, "{when:?}");
        }
    }
}

/// Clauses 22.6 and 22.12: what is said of a child that was told to end, by how it was told, how it ended, whether it was
/// killed for being late, and whether it may end by itself.
#[test]
fn what_is_said_of_a_child_that_was_told_to_end() {
    use Outcome::{Late, Unexpected};
    let timeout = Shutdown::Timeout(ms(1));
    let (normal, shutdown, with) =
        (ExitReason::Normal, ExitReason::Shutdown, ExitReason::shutdown_with("done"));
    let (killed, error) = (ExitReason::Killed, ExitReason::error("no"));
    let cases = [
        // Told by an order: one of the shutdowns is what it is told.
        (Restart::Permanent, timeout, Kill::No, &shutdown, None),
        (Restart::Permanent, timeout, Kill::No, &with, None),
        (Restart::Permanent, Shutdown::Infinity, Kill::No, &shutdown, None),
        (Restart::Permanent, timeout, Kill::No, &normal, Some(Unexpected)),
        (Restart::Transient, timeout, Kill::No, &normal, None),
        (Restart::Temporary, timeout, Kill::No, &normal, None),
        (Restart::Transient, timeout, Kill::No, &error, Some(Unexpected)),
        (Restart::Permanent, timeout, Kill::No, &killed, Some(Unexpected)),
        // Told by a kill: only that is what it is told.
        (Restart::Permanent, Shutdown::BrutalKill, Kill::Plain, &killed, None),
        (Restart::Permanent, Shutdown::BrutalKill, Kill::Plain, &shutdown, Some(Unexpected)),
        (Restart::Transient, Shutdown::BrutalKill, Kill::Plain, &shutdown, None),
        (Restart::Transient, Shutdown::BrutalKill, Kill::No, &error, Some(Unexpected)),
        // Killed with everything else.
        (Restart::Permanent, timeout, Kill::Plain, &killed, None),
        (Restart::Permanent, timeout, Kill::Plain, &shutdown, None),
        (Restart::Permanent, timeout, Kill::Plain, &error, Some(Unexpected)),
        // Killed because it was late, or on its way out when that came.
        (Restart::Permanent, timeout, Kill::Late, &killed, Some(Late)),
        (Restart::Permanent, timeout, Kill::Late, &shutdown, Some(Late)),
        (Restart::Transient, timeout, Kill::Late, &normal, Some(Late)),
        (Restart::Permanent, timeout, Kill::Late, &normal, Some(Unexpected)),
        (Restart::Permanent, timeout, Kill::Late, &error, Some(Unexpected)),
    ];
    for (restart, shutdown, kill, reason, report) in cases {
        let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[restart]);
        change(&mut rules, 0, |options| options.shutdown = shutdown);
        assert!(matches!(rules.stops(0, false), Stopping::Tell { shutdown: told, .. } if told == shutdown));
        assert_eq!(rules.kills(0, kill), kill != Kill::No);
        let then = ended(&mut rules, 0, &end(reason.clone(), 1), clock::now());
        assert_eq!(then.report, report, "{restart:?} {shutdown:?} {kill:?} {reason}");
    }
}

/// Clause 22.12: an end of its own is worth a word where it is abnormal, or calls for a restart.
#[test]
fn what_is_said_of_a_child_that_ended_by_itself() {
    use Outcome::{GivesUp, Goes, Restarts, Rests};
    let (normal, error) = (ExitReason::Normal, ExitReason::error("no"));
    let cases = [
        (Restart::Transient, &normal, None),
        (Restart::Temporary, &normal, None),
        (Restart::Temporary, &error, Some(Goes)),
        (Restart::Permanent, &normal, Some(Restarts)),
        (Restart::Transient, &error, Some(Restarts)),
    ];
    for (restart, reason, report) in cases {
        let mut rules = up(Strategy::OneForAll, Intensity::UNLIMITED, &[restart]);
        rules.settings.auto_shutdown = AutoShutdown::Never;
        assert_eq!(ended(&mut rules, 0, &end(reason.clone(), 1), clock::now()).report, report, "{restart:?}");
    }
    let mut rules = up(Strategy::OneForAll, Intensity::new(0, ms(1)), &[Restart::Permanent]);
    assert_eq!(ended(&mut rules, 0, &end(normal, 1), clock::now()).report, Some(GivesUp));
    // It had nothing to serve when it was restarted: it rests, and that is an orderly end.
    let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[Restart::Permanent]);
    assert!(ended(&mut rules, 0, &end(error, 1), clock::now()).again);
    let mut nothing = end(ExitReason::error("nothing to serve"), 2);
    nothing.ignored = true;
    assert_eq!(ended(&mut rules, 0, &nothing, clock::now()).report, Some(Rests));
}

/// Clause 21.12: with `AllSignificant` a child that its group is about to start lives.
#[test]
fn a_significant_child_that_waits_for_its_group_lives() {
    let both = [Restart::Transient, Restart::Transient];
    let mut rules = up(Strategy::RestForOne, Intensity::UNLIMITED, &both);
    ended(&mut rules, 1, &end(ExitReason::Killed, 1), clock::now());
    fall(&mut rules);
    assert_eq!((rules.get(1).map(|e| e.state), wanted(&rules)), (Some(State::Stopped), vec![1]));
    ended(&mut rules, 0, &end(ExitReason::Normal, 1), clock::now());
    assert_eq!(rules.life, Life::Up, "the other one comes back");
    rise(&mut rules, 2);
    ended(&mut rules, 1, &end(ExitReason::Normal, 2), clock::now());
    assert_eq!(rules.life, Life::Ending(ExitReason::Shutdown), "and was the last");
}

/// Clause 21.4: falls that overlap become one, from the first of them on, with the longer pause and all children that are
/// there by then.
#[test]
fn falls_that_overlap_become_one() {
    let mut rules = up(Strategy::RestForOne, Intensity::UNLIMITED, &[Restart::Permanent; 4]);
    rules.fall_together(2, ms(30));
    assert_eq!((rules.group, wanted(&rules)), (Some(Group { from: 2, until: 4, pause: ms(30) }), vec![2, 3]));
    rules.fall_together(1, ms(10));
    assert_eq!(
        (rules.group, wanted(&rules)),
        (Some(Group { from: 1, until: 4, pause: ms(30) }), vec![1, 2, 3])
    );
    rules.add(None, (), options(Restart::Temporary), false).expect("there is room");
    rules.add(None, (), options(Restart::Permanent), false).expect("there is room");
    rules.fall_together(3, ms(50));
    assert_eq!(rules.group, Some(Group { from: 1, until: 6, pause: ms(50) }));
    assert_eq!(wanted(&rules), [1, 2, 3, 5], "a temporary one does not come back");
}

/// Clause 21.4: a group whose pause was interrupted by another goes on with it.
#[test]
fn a_group_that_was_interrupted_is_part_of_the_next() {
    let mut rules = up(Strategy::RestForOne, Intensity::UNLIMITED, &[Restart::Permanent; 4]);
    rules.fall_together(1, ms(30));
    let before = fall(&mut rules);
    rules.fall_together(3, ms(10));
    rules.resume(before);
    assert_eq!(rules.group, Some(Group { from: 1, until: 4, pause: ms(30) }));
    assert_eq!(wanted(&rules), [1, 2, 3]);
    // Nothing interrupted it but the end of the whole: nothing is left to go on with.
    rules.group = None;
    rules.resume(before);
    assert_eq!(rules.group, None);
}

/// Clause 21.4: a member that was started by hand when its group had fallen already, and ends by itself before it is
/// stopped, comes back with the group, and counts no attempt.
#[test]
fn a_member_that_ends_while_its_group_falls_comes_back_with_it() {
    for life in [Life::Up, Life::Ending(ExitReason::Shutdown)] {
        let mut rules = up(Strategy::OneForAll, Intensity::UNLIMITED, &[Restart::Permanent; 2]);
        ended(&mut rules, 0, &end(ExitReason::Killed, 1), clock::now());
        rules.falling = rules.group.take();
        rules.children.get_mut(&1).expect("it is there").wanted = false;
        rules.life = life.clone();
        let attempts = rules.restarts;
        ended(&mut rules, 1, &end(ExitReason::Killed, 1), clock::now());
        assert_eq!(rules.get(1).map(|e| (e.state, e.wanted)), Some((State::Stopped, life == Life::Up)));
        assert_eq!(rules.restarts, attempts);
    }
    // One that was told to stop is wanted if its group wants it, and not for its end.
    let mut rules = up(Strategy::OneForAll, Intensity::UNLIMITED, &[Restart::Permanent; 2]);
    ended(&mut rules, 0, &end(ExitReason::Killed, 1), clock::now());
    rules.falling = rules.group.take();
    drop(rules.stops(1, true));
    ended(&mut rules, 1, &end(ExitReason::Shutdown, 1), clock::now());
    assert_eq!(wanted(&rules), [0], "it was stopped by hand");
}

/// Clause 21.27: what a child that was stopped by hand in the `init` of its restart takes back.
#[test]
fn a_stop_by_hand_takes_back_what_comes_after_it_under_rest_for_one() {
    let cases = [
        (Strategy::RestForOne, true, vec![]),
        (Strategy::RestForOne, false, vec![2, 3]),
        (Strategy::OneForAll, true, vec![2, 3]),
    ];
    for (strategy, by_hand, left) in cases {
        let mut rules = up(strategy, Intensity::UNLIMITED, &[Restart::Permanent; 4]);
        ended(&mut rules, 1, &end(ExitReason::Killed, 1), clock::now());
        fall(&mut rules);
        assert!(rules.next_wanted(1).is_some() && begins(&mut rules, 1, 2));
        drop(rules.stops(1, by_hand));
        ended(&mut rules, 1, &end(ExitReason::Shutdown, 2), clock::now());
        rules.taken_back(1);
        rules.children.get_mut(&0).expect("it is there").wanted = false;
        assert_eq!(wanted(&rules), left, "{strategy:?} {by_hand}");
    }
}

/// Clause 21.27: what a group wants that has fallen since the restart began is not taken back with it, whether it takes in
/// the child that was stopped or only those that came after it.
#[test]
fn a_stop_by_hand_takes_back_nothing_of_a_later_fall() {
    for (falls, left) in [(0, vec![0, 1, 2, 3]), (3, vec![3])] {
        let mut rules = up(Strategy::RestForOne, Intensity::UNLIMITED, &[Restart::Permanent; 4]);
        ended(&mut rules, 1, &end(ExitReason::Killed, 1), clock::now());
        fall(&mut rules);
        assert!(rules.next_wanted(1).is_some() && begins(&mut rules, 1, 2));
        drop(rules.stops(1, true));
        rules.fall_together(falls, Duration::ZERO);
        ended(&mut rules, 1, &end(ExitReason::Shutdown, 2), clock::now());
        rules.taken_back(1);
        assert_eq!(wanted(&rules), left, "{falls}");
    }
}

/// A partition that is switched off does not start with its supervisor, until it is started by hand.
#[test]
fn what_is_switched_off_stays_off_until_it_is_started() {
    let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[Restart::Permanent; 3]);
    let anew = |rules: &mut Table| {
        for key in 0..3 {
            rules.rest(key);
        }
        rules.life = Life::Down;
        rules.begin_anew();
        rules.life = Life::Up;
        wanted(rules)
    };
    rules.switch_off(1);
    assert_eq!(anew(&mut rules), [0, 2]);
    assert_eq!(anew(&mut rules), [0, 2], "and the next time too");
    assert!(rules.starts(1).is_some());
    assert_eq!(anew(&mut rules), [0, 1, 2]);
}

/// Clause 21.14: a pause that has been overtaken (the child was stopped, started again, or has crashed once more) starts no
/// child.
#[test]
fn a_pause_that_was_overtaken_starts_nobody() {
    fn crashed(rules: &mut Table, incarnation: u32) -> u32 {
        let then = rules.ended(0, &end(ExitReason::Killed, incarnation), clock::now(), Some(Ok(ms(5))));
        let (pause, epoch) = then.after.expect("it waits");
        assert_eq!(pause, ms(5));
        epoch
    }
    let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[Restart::Permanent]);
    let first = crashed(&mut rules, 1);
    assert!(rules.is_due(0, first).is_some());
    assert!(begins(&mut rules, 0, 2), "it was started");
    assert!(rules.is_due(0, first).is_none(), "and is not started twice");
    rules.started(0, 2, clock::now);
    assert!(rules.is_due(0, first).is_none());
    let second = crashed(&mut rules, 2);
    assert!(rules.is_due(0, first).is_none() && rules.is_due(0, second).is_some());
    assert!(matches!(rules.stops(0, true), Stopping::Cancelled(_)));
    assert!(rules.is_due(0, second).is_none(), "it was stopped by hand");
    assert!(rules.starts(0).is_some() && begins(&mut rules, 0, 3));
    rules.started(0, 3, clock::now);
    let third = crashed(&mut rules, 3);
    assert!(rules.is_due(0, second).is_none() && rules.is_due(0, third).is_some());
}

/// Clause 21.7: health counts from the last time that the child came up, each time anew.
#[test]
fn a_child_is_healthy_by_the_last_time_that_it_came_up() {
    let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[Restart::Permanent]);
    rules.settings.backoff = Backoff::new(ms(100), ms(300)).jitter_percent(0);
    let mut at = clock::now();
    let mut incarnation = 1;
    let mut crash = |rules: &mut Table, up_for: u64| {
        at += ms(up_for);
        let ended = ended(rules, 0, &end(ExitReason::Killed, incarnation), at);
        incarnation += 1;
        if ended.again {
            rules.started(0, incarnation, || at);
            return 0;
        }
        let (pause, _) = ended.after.expect("it waits");
        at += pause;
        assert!(begins(rules, 0, incarnation));
        rules.started(0, incarnation, || at);
        u64::try_from(pause.as_millis()).expect("it is short")
    };
    let pauses = [0, 10, 10, 199, 200, 10, 200, 0].map(|up_for| crash(&mut rules, up_for));
    assert_eq!(pauses, [0, 100, 200, 300, 0, 100, 0, 100]);
}

/// Clause 21.6: an attempt counts when it is decided on, whatever becomes of it; exactly a period ago counts; a limit of
/// the child's own counts beside.
#[test]
fn an_attempt_counts_when_it_is_decided_on() {
    let period = ms(1000);
    let start = clock::now();
    let at = |n: u64| -> Instant { start + ms(n) };
    for (second, too_many) in [(999, true), (1000, true), (1001, false)] {
        let mut rules = up(Strategy::OneForOne, Intensity::new(1, period), &[Restart::Permanent]);
        assert!(ended(&mut rules, 0, &end(ExitReason::Killed, 1), at(0)).again);
        // The child fails in `init`, which took its time.
        let then = ended(&mut rules, 0, &end(ExitReason::error("init"), 2), at(second));
        assert_eq!(matches!(rules.life, Life::Ending(_)), too_many, "{second}");
        assert_eq!(then.report.is_some(), too_many);
    }
    for (own, ends) in [(1, true), (2, false)] {
        let mut rules = up(Strategy::OneForOne, Intensity::new(5, period), &[Restart::Permanent; 2]);
        change(&mut rules, 0, |options| options.intensity = Some(Intensity::new(own, period)));
        for n in 1..3 {
            ended(&mut rules, 1, &end(ExitReason::Killed, n), at(0));
            rules.started(1, n + 1, || at(0));
        }
        for n in 1..3 {
            ended(&mut rules, 0, &end(ExitReason::Killed, n), at(0));
            rules.started(0, n + 1, || at(0));
        }
        assert_eq!(matches!(rules.life, Life::Ending(_)), ends, "its own only");
        if let Life::Ending(reason) = &rules.life {
            let limit = RestartLimit::of(reason).expect("it gave up");
            assert_eq!((limit.child.as_str(), limit.count, limit.window), ("c0", 2, period));
        }
    }
    // Anew, everything counts anew: those of the child as well.
    let mut rules = up(Strategy::OneForOne, Intensity::new(1, period), &[Restart::Permanent]);
    change(&mut rules, 0, |options| options.intensity = Some(Intensity::new(1, period)));
    for n in [1, 3] {
        assert!(ended(&mut rules, 0, &end(ExitReason::Killed, n), at(0)).again, "{n}");
        rules.rest(0);
        rules.life = Life::Down;
        rules.begin_anew();
        rise(&mut rules, n + 2);
        rules.life = Life::Up;
    }
}

/// An end without a place in the table is no child's.
#[test]
fn a_child_that_is_not_there_ends_nothing() {
    let mut rules = table(Strategy::OneForOne, Intensity::UNLIMITED);
    rules.begin_anew();
    let never = End::new(Exit::new(ExitReason::Killed, Phase::Idle, None, 1), false);
    let then = ended(&mut rules, 7, &never, clock::now());
    assert!(!then.again && then.report.is_none() && !then.perform);
}
