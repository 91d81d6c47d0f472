//! The table by itself: every state by every event, and any sequence of events, against what must always hold.

use super::*;
use crate::backoff::Backoff;
use crate::child_options::ChildOptions;
use crate::error::ChildError;
use crate::intensity::Intensity;
use crate::restart::{Fate, Restart, fate};
use crate::strategy::{AutoShutdown, Strategy};
use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as _;
use restante_core::Exit;
use restante_core::ExitReason;
use restante_core::clock::Instant;
use restante_core::{Phase, clock};
use restante_genserver::keeper::{Beginner, End};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) type Table = Rules<()>;

/// What a child's end leads to: before its lease is given back, and after.
pub(super) struct Ended {
    /// The next incarnation has begun in its place.
    pub(super) again: bool,
    pub(super) then: Then<()>,
}

impl std::ops::Deref for Ended {
    type Target = Then<()>;
    fn deref(&self) -> &Then<()> {
        &self.then
    }
}

pub(super) fn ended(rules: &mut Table, key: u64, end: &End, now: Instant) -> Ended {
    match rules.goes_on(key, end, || now) {
        Early::Again => Ended { again: true, then: Then::nothing() },
        Early::Settle(attempted) => Ended { again: false, then: rules.ended(key, end, now, attempted) },
    }
}

const STRATEGIES: [Strategy; 3] = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];

pub(super) fn table(strategy: Strategy, intensity: Intensity) -> Table {
    let settings = Settings {
        strategy,
        intensity,
        limit_given: true,
        backoff: Backoff::NONE,
        auto_shutdown: AutoShutdown::AllSignificant,
        dynamic: false,
        max_children: 100,
        keep_children: false,
    };
    Rules::new(settings, 1)
}

pub(super) fn options(restart: Restart) -> Arc<ChildOptions> {
    let mut options = ChildOptions::of(crate::child_options::ChildKind::Worker);
    options.restart = restart;
    options.significant = restart != Restart::Permanent;
    Arc::new(options)
}

pub(super) fn end(reason: ExitReason, incarnation: u32) -> End {
    End::new(Exit::new(reason, Phase::Idle, None, incarnation), false)
}

/// What holds after every event.
fn invariants(rules: &Table) {
    let live = rules.children.values().filter(|e| e.state.is_live()).count();
    let active = rules.children.values().filter(|e| e.state.is_active()).count();
    assert_eq!((rules.live, rules.active), (live, active), "the counts are those of the table");
    let ids = rules.children.iter().filter_map(|(key, e)| Some((e.id()?.clone(), *key)));
    assert_eq!(ids.collect::<HashMap<_, _>>(), rules.ids, "an id leads to the child that has it");
    for (key, entry) in &rules.children {
        assert!(*key < rules.next_key);
        assert!(!(entry.begun && entry.state == State::Stopped), "{key}: nobody runs where nobody is");
        assert!(entry.state != State::Running || entry.begun, "{key}: who runs has begun");
        let restarts = rules.life == Life::Starting || rules.life == Life::Up;
        assert!(!entry.wanted || restarts, "{key}: nobody is to be started by one that ends");
    }
    if matches!(rules.life, Life::Down | Life::Ending(_)) {
        assert_eq!((rules.group, rules.falling), (None, None), "one that ends restarts no group");
    }
}

/// Begins an incarnation, by the starter or by the child's task, as the state calls for.
pub(super) fn begins(rules: &mut Table, key: u64, incarnation: u32) -> bool {
    let starts =
        rules.get(key).is_some_and(|entry| matches!(entry.state, State::Starting | State::Rejoining));
    let (due, late) =
        if starts { (Beginner::Starter, Beginner::Task) } else { (Beginner::Task, Beginner::Starter) };
    assert!(!rules.begins(key, incarnation, late), "{key}: it is not that one's turn");
    rules.begins(key, incarnation, due)
}

/// Brings a supervisor up with these children, all of them running in their first incarnation.
pub(super) fn up(strategy: Strategy, intensity: Intensity, restarts: &[Restart]) -> Table {
    let mut rules = table(strategy, intensity);
    for (n, restart) in restarts.iter().enumerate() {
        rules.add(Some(format!("c{n}").into()), (), options(*restart), false).expect("there is room");
    }
    rules.begin_anew();
    while let Some((key, child)) = rules.next_wanted(0) {
        assert!(child.is_some());
        assert!(begins(&mut rules, key, 1));
        rules.started(key, 1, clock::now);
    }
    rules.life = Life::Up;
    invariants(&rules);
    rules
}

/// Puts the child with this key into a state, by the events that lead there.
fn lead_to(rules: &mut Table, key: u64, state: State, begun: bool) {
    let stop = |rules: &mut Table| drop(rules.stops(key, false));
    match (state, begun) {
        (State::Running, _) => {}
        (State::Stopped, _) => {
            stop(rules);
            ended(rules, key, &end(ExitReason::Shutdown, 1), clock::now());
        }
        (State::Starting, _) => {
            lead_to(rules, key, State::Stopped, false);
            assert!(rules.starts(key).is_some());
            assert!(!begun || begins(rules, key, 2));
        }
        (State::Rejoining, _) => {
            lead_to(rules, key, State::Stopped, false);
            rules.children.get_mut(&key).expect("it is there").wanted = true;
            assert!(rules.next_wanted(key).is_some());
            assert!(!begun || begins(rules, key, 2));
        }
        (State::Restarting, _) => {
            // After a pause: without one it goes on in place.
            rules.ended(key, &end(ExitReason::Killed, 1), clock::now(), Some(Ok(Duration::from_millis(1))));
            assert!(!begun || begins(rules, key, 2));
        }
        (State::Stopping, true) => stop(rules),
        (State::Stopping, false) => {
            lead_to(rules, key, State::Starting, false);
            stop(rules);
        }
        (State::Abandoned, _) => {
            stop(rules);
            rules.abandon(key);
        }
    }
    let entry = rules.get(key).expect("it is there");
    assert_eq!((entry.state, entry.begun), (state, begun));
}

const STATES: [(State, bool); 11] = [
    (State::Stopped, false),
    (State::Starting, false),
    (State::Starting, true),
    (State::Rejoining, false),
    (State::Rejoining, true),
    (State::Running, true),
    (State::Restarting, false),
    (State::Restarting, true),
    (State::Stopping, false),
    (State::Stopping, true),
    (State::Abandoned, true),
];

/// OTP `supervisor`: what each call by hand is answered in each state of the child.
#[test]
fn every_state_answers_what_is_done_by_hand() {
    use State::{Abandoned, Rejoining, Restarting, Running, Starting, Stopped, Stopping};
    for (state, begun) in STATES {
        let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[Restart::Permanent]);
        lead_to(&mut rules, 0, state, begun);
        let answer = match state {
            Stopped => Ok(()),
            Starting | Running | Stopping => Err(ChildError::Running),
            Rejoining | Restarting => Err(ChildError::Restarting),
            Abandoned => Err(ChildError::Abandoned),
        };
        assert_eq!(rules.must_be_stopped(0), answer, "{state:?}");
        let may_begin = matches!(state, Starting | Rejoining | Restarting) && !begun;
        assert_eq!(begins(&mut rules, 0, 7), may_begin, "{state:?} {begun}: only who was started, and once");
        invariants(&rules);
    }
}

/// Every state by each way in which an incarnation can end: what becomes of the child, and whether another one comes.
#[test]
fn every_state_takes_every_end() {
    let reasons = [ExitReason::Normal, ExitReason::Shutdown, ExitReason::Killed, ExitReason::error("no")];
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        for (state, begun) in STATES {
            if state == State::Restarting && restart == Restart::Temporary {
                continue;
            }
            for reason in &reasons {
                for (closed, ignored) in [(false, false), (true, false), (false, true)] {
                    let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[restart]);
                    lead_to(&mut rules, 0, state, begun);
                    let incarnation = rules.get(0).expect("it is there").incarnation;
                    let mut end = end(reason.clone(), incarnation);
                    (end.ignored, end.closed) = (ignored, closed);
                    let then = ended(&mut rules, 0, &end, clock::now());
                    invariants(&rules);
                    let after = rules.get(0).map(|e| e.state);
                    let expected = match state {
                        State::Stopped => Some(State::Stopped),
                        _ if closed => None,
                        State::Starting | State::Rejoining | State::Stopping | State::Abandoned => {
                            Some(State::Stopped)
                        }
                        State::Restarting if ignored => Some(State::Stopped),
                        State::Restarting => Some(State::Restarting),
                        State::Running => match fate(restart, reason) {
                            Fate::Restarts => Some(State::Restarting),
                            Fate::Rests => Some(State::Stopped),
                            Fate::Goes => None,
                        },
                    };
                    assert_eq!(after, expected, "{restart:?} {state:?} {begun} {reason} {closed} {ignored}");
                    assert_eq!(then.gone.is_some(), expected.is_none());
                    let again = expected == Some(State::Restarting);
                    assert_eq!(then.again || then.after.is_some(), again);
                }
            }
        }
    }
}

/// A word of an incarnation that has been followed by another changes nothing, whatever it says and in whatever state.
#[test]
fn a_stale_incarnation_changes_nothing() {
    for (state, begun) in STATES.into_iter().filter(|(state, begun)| *begun && *state != State::Abandoned) {
        let mut rules = up(Strategy::OneForAll, Intensity::UNLIMITED, &[Restart::Permanent; 2]);
        ended(&mut rules, 0, &end(ExitReason::Killed, 1), clock::now());
        rules.group = None;
        rules.rest(1);
        while let Some((key, _)) = rules.next_wanted(0) {
            assert!(begins(&mut rules, key, 5));
            rules.started(key, 5, clock::now);
        }
        let entry = rules.children.get_mut(&0).expect("it is there");
        (entry.state, entry.begun) = (state, begun);
        let before = (rules.restarts, rules.live, rules.group);
        let then = ended(&mut rules, 0, &end(ExitReason::error("late"), 4), clock::now());
        rules.started(0, 4, clock::now);
        assert!(!then.perform && then.report.is_none() && then.gone.is_none() && then.tell.is_empty());
        assert!(!then.again);
        assert_eq!((rules.restarts, rules.live, rules.group), before);
        let entry = rules.get(0).expect("it is there");
        assert_eq!((entry.state, entry.begun, entry.incarnation), (state, begun, 5));
    }
}

/// A caller that comes late with the failure of a start that is not the present one is not listened to.
#[test]
fn a_stale_start_changes_nothing() {
    for (state, begun) in STATES {
        let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[Restart::Permanent]);
        let epoch = rules.get(0).expect("it is there").epoch;
        lead_to(&mut rules, 0, state, begun);
        if rules.get(0).expect("it is there").epoch == epoch {
            continue;
        }
        rules.start_failed(0, epoch);
        let entry = rules.get(0).expect("it is there");
        assert_eq!((entry.state, entry.begun), (state, begun));
    }
}

/// OTP `supervisor_SUITE`: `significant_bystander`, as a rule: only a child's own end that was not ordered and that is not
/// followed by a restart counts.
#[test]
fn only_ends_of_ones_own_shut_down() {
    for (state, begun) in STATES {
        let mut rules = up(Strategy::OneForOne, Intensity::UNLIMITED, &[Restart::Transient]);
        lead_to(&mut rules, 0, state, begun);
        let incarnation = rules.get(0).expect("it is there").incarnation;
        ended(&mut rules, 0, &end(ExitReason::Normal, incarnation), clock::now());
        assert_eq!(matches!(rules.life, Life::Ending(_)), state == State::Running, "{state:?}");
    }
}

/// A supervisor that is down is ended by nothing.
#[test]
fn what_is_down_does_not_end_again() {
    let mut rules = table(Strategy::OneForOne, Intensity::default());
    rules.end(ExitReason::Killed);
    assert_eq!(rules.life, Life::Down);
}

/// An event, with a child chosen by a number.
#[derive(Debug, Clone)]
enum Event {
    Add(Restart, bool),
    Starts(u8),
    Begins(u8),
    Started(u8),
    Ended(u8, u8, bool, bool),
    Stale(u8),
    StartFailed(u8),
    Stops(u8, bool),
    Abandon(u8),
    Discard(u8),
    Remove(u8),
    /// The performer takes up a group restart, stops the members, and starts the next one that is wanted.
    Perform,
    NextWanted,
    End,
    DownAndAnew,
    Pass(u16),
}

fn event() -> impl proptest::strategy::Strategy<Value = Event> {
    let restart = prop_oneof![Just(Restart::Permanent), Just(Restart::Transient), Just(Restart::Temporary)];
    prop_oneof![
        2 => (restart, any::<bool>()).prop_map(|(r, added)| Event::Add(r, added)),
        3 => any::<u8>().prop_map(Event::Starts),
        8 => any::<u8>().prop_map(Event::Begins),
        8 => any::<u8>().prop_map(Event::Started),
        6 => (any::<u8>(), 0_u8..4, prop::bool::weighted(0.05), prop::bool::weighted(0.1))
            .prop_map(|(n, why, closed, ignored)| Event::Ended(n, why, closed, ignored)),
        2 => any::<u8>().prop_map(Event::Stale),
        2 => any::<u8>().prop_map(Event::StartFailed),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(n, by_hand)| Event::Stops(n, by_hand)),
        1 => any::<u8>().prop_map(Event::Abandon),
        1 => any::<u8>().prop_map(Event::Discard),
        1 => any::<u8>().prop_map(Event::Remove),
        4 => Just(Event::Perform),
        8 => Just(Event::NextWanted),
        1 => Just(Event::End),
        1 => Just(Event::DownAndAnew),
        2 => any::<u16>().prop_map(Event::Pass),
    ]
}

/// Does to the table what its shell would do, or tries to.
fn apply(rules: &mut Table, event: &Event, incarnations: &mut HashMap<u64, u32>, now: &mut Instant) {
    let keys: Vec<u64> = rules.children.keys().copied().collect();
    let pick = |n: &u8| keys.get(usize::from(*n) % keys.len().max(1)).copied();
    let reasons = [ExitReason::Normal, ExitReason::Shutdown, ExitReason::Killed, ExitReason::error("no")];
    match event {
        Event::Add(restart, added) => drop(rules.add(None, (), options(*restart), *added)),
        Event::Starts(n) => {
            if matches!(rules.life, Life::Up | Life::Starting) {
                let _ = pick(n).map(|key| rules.starts(key));
            }
        }
        Event::Begins(n) => {
            let Some(key) = pick(n) else { return };
            let next = incarnations.get(&key).copied().unwrap_or_default() + 1;
            if begins(rules, key, next) {
                incarnations.insert(key, next);
            }
        }
        Event::Started(n) => {
            let Some(key) = pick(n) else { return };
            let at = *now;
            rules.started(key, incarnations.get(&key).copied().unwrap_or_default(), || at);
        }
        Event::Ended(n, why, closed, ignored) => {
            let Some(key) = pick(n).filter(|key| rules.get(*key).is_some_and(|e| e.begun)) else { return };
            let why = reasons[usize::from(*why)].clone();
            let mut end = end(why, incarnations[&key]);
            (end.ignored, end.closed) = (*ignored, *closed);
            ended(rules, key, &end, *now);
        }
        Event::Stale(n) => {
            let Some(key) = pick(n) else { return };
            let Some(old) = incarnations.get(&key).and_then(|n| n.checked_sub(1)) else { return };
            let before = rules.get(key).map(|e| (e.state, e.begun, e.incarnation));
            ended(rules, key, &end(ExitReason::Killed, old), *now);
            rules.started(key, old, clock::now);
            assert_eq!(rules.get(key).map(|e| (e.state, e.begun, e.incarnation)), before);
        }
        Event::StartFailed(n) => {
            let Some(key) = pick(n) else { return };
            let epoch = rules.get(key).expect("it is there").epoch;
            rules.start_failed(key, epoch);
        }
        Event::Stops(n, by_hand) => drop(pick(n).map(|key| rules.stops(key, *by_hand))),
        Event::Abandon(n) => {
            // Only a child that was told to end is abandoned.
            if let Some(key) = pick(n).filter(|k| rules.get(*k).is_some_and(|e| e.state == State::Stopping)) {
                rules.abandon(key);
            }
        }
        Event::Discard(n) => drop(pick(n).map(|key| rules.discard(key))),
        Event::Remove(n) => {
            if let Some(key) = pick(n).filter(|key| rules.must_be_stopped(*key).is_ok()) {
                rules.remove(key);
            }
        }
        Event::Perform => {
            let Some(group) = rules.group.take() else { return };
            rules.falling = Some(group);
            for key in keys.iter().rev().filter(|key| group.takes_in(**key)) {
                if let Stopping::Tell { incarnation, .. } = rules.stops(*key, false) {
                    ended(rules, *key, &end(ExitReason::Shutdown, incarnation), *now);
                }
            }
            rules.falling = None;
        }
        Event::NextWanted => drop(rules.next_wanted(0)),
        Event::End => rules.end(ExitReason::Shutdown),
        Event::DownAndAnew => {
            if matches!(rules.life, Life::Ending(_)) && rules.live == 0 || rules.life == Life::Down {
                rules.begin_anew();
                rules.life = Life::Up;
            }
        }
        Event::Pass(ms) => *now += Duration::from_millis(u64::from(*ms)),
    }
}

proptest! {
    /// Whatever happens in whatever order, the table stays in order with itself.
    #[test]
    fn any_sequence_of_events_keeps_the_table_in_order(
        strategy in prop_oneof![
            Just(Strategy::OneForOne), Just(Strategy::OneForAll), Just(Strategy::RestForOne)
        ],
        restarts in prop::collection::vec(
            prop_oneof![Just(Restart::Permanent), Just(Restart::Transient), Just(Restart::Temporary)], 0..5,
        ),
        limit in prop::option::of(0_u32..5),
        events in prop::collection::vec(event(), 1..200),
    ) {
        let intensity = limit.map_or(Intensity::UNLIMITED, |n| Intensity::new(n, Duration::from_secs(5)));
        let mut rules = up(strategy, intensity, &restarts);
        let mut incarnations: HashMap<u64, u32> = rules.children.keys().map(|key| (*key, 1)).collect();
        let mut now = clock::now();
        for event in &events {
            apply(&mut rules, event, &mut incarnations, &mut now);
            invariants(&rules);
        }
    }

    /// Row G3: in no window there are more restarts than the limit, whatever the gaps and the strategy: with one more the
    /// supervisor ends. Failed attempts count as well.
    #[test]
    fn no_window_has_more_attempts_than_the_limit(
        strategy in prop_oneof![
            Just(Strategy::OneForOne), Just(Strategy::OneForAll), Just(Strategy::RestForOne)
        ],
        max in 0_u32..5,
        crashes in prop::collection::vec((0_u64..3, 0_u64..3000, any::<bool>()), 1..60),
    ) {
        let period = Duration::from_secs(5);
        let mut rules = up(strategy, Intensity::new(max, period), &[Restart::Permanent; 3]);
        let (mut now, mut at) = (clock::now(), Vec::new());
        let mut incarnations = [1_u32; 3];
        for (key, gap, fails) in crashes {
            now += Duration::from_millis(gap);
            let index = usize::try_from(key).expect("it is small");
            at.push(now);
            let then = ended(&mut rules, key, &end(ExitReason::Killed, incarnations[index]), now);
            if fails && rules.life == Life::Up && rules.group.is_some() {
                at.push(now);
                rules.group_start_failed(key, now);
            }
            let within = at.iter().filter(|t| now - **t <= period).count();
            let too_many = within > max as usize;
            prop_assert_eq!(matches!(rules.life, Life::Ending(_)), too_many);
            if too_many {
                prop_assert!(then.perform || fails);
                break;
            }
            // All come back.
            if let Some(group) = rules.group.take() {
                for key in 0..3 {
                    if group.takes_in(key) {
                        rules.rest(key);
                    }
                }
                while let Some((key, _)) = rules.next_wanted(0) {
                    let n = usize::try_from(key).expect("it is small");
                    incarnations[n] += 1;
                    prop_assert!(begins(&mut rules, key, incarnations[n]));
                    rules.started(key, incarnations[n], || now);
                }
            } else {
                incarnations[index] += 1;
                prop_assert!(then.again || begins(&mut rules, key, incarnations[index]));
                rules.started(key, incarnations[index], || now);
            }
            invariants(&rules);
        }
    }

    /// OTP `supervisor`: whom a group restart takes in, by strategy, and who of them is to come back.
    #[test]
    fn a_group_is_those_that_the_strategy_says(
        restarts in prop::collection::vec(
            prop_oneof![Just(Restart::Permanent), Just(Restart::Transient), Just(Restart::Temporary)], 1..8,
        ),
        who: prop::sample::Index,
    ) {
        for strategy in STRATEGIES {
            let key = who.index(restarts.len()) as u64;
            let mut rules = up(strategy, Intensity::UNLIMITED, &restarts);
            rules.settings.auto_shutdown = AutoShutdown::Never;
            ended(&mut rules, key, &end(ExitReason::Killed, 1), clock::now());
            let restarted = restarts[who.index(restarts.len())] != Restart::Temporary;
            let first = match strategy {
                Strategy::OneForAll if restarted => Some(0),
                Strategy::RestForOne if restarted => Some(key),
                _ => None,
            };
            prop_assert_eq!(rules.group.map(|group| group.from), first);
            for (key, entry) in &rules.children {
                let wanted = first.is_some_and(|first| *key >= first)
                    && entry.options.restart != Restart::Temporary;
                prop_assert_eq!(entry.wanted, wanted);
            }
            let (late, _) = rules.add(None, (), options(Restart::Permanent), true).expect("there is room");
            prop_assert!(rules.group.is_none_or(|group| !group.takes_in(late)));
        }
    }
}

/// Failure mode 29: what the table takes for one child in a million.
#[test]
fn an_entry_is_no_bigger_than_48_bytes() {
    assert!(size_of::<Entry<Arc<dyn crate::child::Child>>>() <= 48);
}
