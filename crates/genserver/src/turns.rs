//! How long a turn of a server's task is, and how the task is woken for the next one where more is to be done.
//!
//! Tokio looks at its driver (timers, sockets) when no task is ready, and else after every 61st poll. A task that wakes
//! itself at the end of its turn is ready at once: a few servers with deep queues would keep their worker from the driver for
//! 61 turns. Tokio's own tasks are *deferred* at the end of their budget: woken after the next look at the driver. But where
//! other tasks are ready all the time that look comes after 61 polls of theirs, and a deferred task has one turn in all that
//! time. Which of the two a worker is like cannot be asked; so it is measured, by the thread, in polls.
//!
//! ```text
//!             a look at the driver                    ends of turns with more to do
//!  MEASURED ──────────────────────▶ … , a whole lap: ──┬─ PROBE of them and no look yet: ALONE ── each end is deferred
//!     ▲                                                └─ a look before that:         IN COMPANY ── SHARE ends of a lap
//!     └──────────────── after LAPS laps and PAUSE_MS ─────────────────────────────────────────┘     wake plainly, then
//!                                                                                                    they are deferred
//! ```
//!
//! - A *lap* lasts from one look at the driver to the next. That there was one is told by a waker of ours, the herald, which
//!   lies among the deferred ones and is used up with them.
//! - While it is measured all ends wake plainly, so that the driver comes after 61 polls; those of servers among them tell
//!   how many others there were. Turns are short then: the driver does not wait for long.
//! - Alone, with all servers deferred, the queue is empty after a turn of each, and the driver comes. A server that
//!   is the only one has longer turns.
//! - In company a server has its share of the 61 polls, whatever else is ready.
//!
//! The end of a turn costs as much as dozens of quick messages, most of it the look at the driver. So a turn of quick ones is
//! made longer, by a clock: the driver waits no longer than for tokio's own tasks, which take more time for fewer messages.
//!
//! Threads of our own (`thread`) and callers know nothing of this: there a wake-up is a plain one.

use restante_core::clock;
use restante_core::word::Senders;
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Cx, Wake, Waker};

/// Messages of a turn. (One less than a multiple of what the loop counts by, so that a turn of one message looks at no
/// clock.)
pub(crate) const TURN: u8 = 127;
/// Messages of a turn where no other server has deep queues: the driver waits half as long again as for a task of tokio's that
/// uses up its budget.
const LONG_TURN: u8 = if cfg!(shuttle) { 127 } else { 191 };
/// While a turn is quick it is made longer by so many messages, ...
pub(crate) const MORE: u16 = 64;
/// ... so often ...
pub(crate) const LONGER: u8 = 3;
/// ... and it is quick for so many microseconds: less than a task of tokio's takes that receives 128 times.
pub(crate) const QUICK_US: u16 = if cfg!(shuttle) { 0 } else { 10 };
/// Messages of a turn while it is measured who else is ready.
const SHORT_TURN: u8 = 3;
/// A lap is measured after so many laps, so that what is measured is a small part where laps are long ...
const LAPS: u16 = 100;
/// ... and after so many milliseconds, so that it is where they are short.
const PAUSE_MS: u32 = 20;
/// So many ends of turns in a lap that is measured, and no other task is ready. (Tokio looks after 61 polls.)
const PROBE: u16 = 56;
/// Ends of turns in a lap that wake plainly where another task is ready.
const SHARE: u16 = 16;
/// So many ends of turns in a lap, and the herald has been lost with a runtime.
const LOST: u16 = 512;

/// A turn has been quick if no more microseconds have passed from its first look at the clock to its end.
pub(crate) const QUICK_TURN_US: u16 = 200;

/// When senders who wait for room are left to the server's next turn.
///
/// Within a turn they are woken when the mailbox is half empty. Were they woken at each end of a turn too, eight senders would
/// be woken for some three hundred slots, of which the first takes all but seven. So a quick turn that ends with more to do
/// leaves them to the next one, but not twice in a row. Slow handlers do not make them wait for half a mailbox.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// The end of the turn before has left them.
    left: bool,
}

impl Patience {
    /// A turn ends with more to do; whether senders wait, and whether the turn was quick.
    pub(crate) fn senders(&mut self, wait: bool, quick: bool) -> Senders {
        self.left = wait && quick && !self.left;
        if self.left { Senders::Later } else { Senders::Unserved }
    }
}

/// What follows the end of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    /// The task is to be woken after the next look at the driver.
    pub(crate) deferred: bool,
    /// Messages of the next turn.
    pub(crate) turn: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the middle of a lap, and from the next look on a whole one.
    Measured {
        whole: bool,
    },
    Alone,
    Company,
}

/// The rule, for one thread.
#[derive(Debug)]
struct Rule {
    state: State,
    /// Ends of turns in this lap.
    ends: u16,
    /// Laps until it may be measured again.
    laps: u16,
    /// When it was measured last, in coarse milliseconds.
    measured: u32,
    /// There was one end of a turn in the last lap.
    single: bool,
}

impl Rule {
    const fn new() -> Self {
        Self { state: State::Measured { whole: false }, ends: 0, laps: 0, measured: 0, single: false }
    }

    /// A turn ends with more to do, at this coarse millisecond; whether the driver was looked at since the last one did.
    fn end(&mut self, looked: bool, now: u32) -> Next {
        if looked {
            self.lap(now);
        }
        self.ends = self.ends.saturating_add(1);
        if self.ends >= PROBE && matches!(self.state, State::Measured { .. }) {
            self.settle(State::Alone, now);
        }
        match self.state {
            State::Measured { .. } => Next { deferred: false, turn: SHORT_TURN },
            State::Company => Next { deferred: self.ends > SHARE, turn: TURN },
            State::Alone => Next { deferred: true, turn: if self.single { LONG_TURN } else { TURN } },
        }
    }

    /// The driver has been looked at.
    fn lap(&mut self, now: u32) {
        self.single = self.ends == 1;
        self.ends = 0;
        match self.state {
            State::Measured { whole: false } => self.state = State::Measured { whole: true },
            State::Measured { whole: true } => self.settle(State::Company, now),
            State::Alone | State::Company if self.laps > 0 => self.laps -= 1,
            State::Alone | State::Company if now.wrapping_sub(self.measured) < PAUSE_MS => {}
            State::Alone | State::Company => self.state = State::Measured { whole: false },
        }
    }

    fn settle(&mut self, state: State, now: u32) {
        (self.state, self.laps, self.measured, self.single) = (state, LAPS, now, false);
    }
}

/// Tells by its end that the driver has been looked at.
struct Herald;

impl Wake for Herald {
    fn wake(self: Arc<Self>) {}
}

struct Thread {
    rule: Rule,
    herald: Option<Arc<Herald>>,
}

thread_local! {
    static POST: RefCell<Thread> = const { RefCell::new(Thread { rule: Rule::new(), herald: None }) };
}

/// A turn on a worker of tokio's has ended with more to do: what follows.
#[cold]
pub(crate) fn end() -> Next {
    let plain = Next { deferred: false, turn: TURN };
    if cfg!(shuttle) {
        return plain;
    }
    let next = POST.try_with(|post| post.try_borrow_mut().map(|mut post| post.end()));
    next.ok().and_then(Result::ok).unwrap_or(plain)
}

impl Thread {
    fn end(&mut self) -> Next {
        // The other count lies with the deferred wakers, until they are woken.
        let out = self.herald.as_ref().map(|herald| Arc::strong_count(herald) > 1);
        let looked = match out {
            Some(true) if self.rule.ends < LOST => false,
            Some(true) => {
                self.herald = None;
                true
            }
            Some(false) => true,
            None => false,
        };
        if looked || out.is_none() {
            let herald = self.herald.get_or_insert_with(|| Arc::new(Herald));
            defer(&Waker::from(Arc::clone(herald)));
        }
        self.rule.end(looked, clock::coarse_ms_u32())
    }
}

/// Has a waker woken after the next look at the driver; at once where there is none.
pub(crate) fn defer(waker: &Waker) {
    // It is pending at its first poll, and done with: tokio has a clone of the waker.
    let yields = pin!(tokio::task::yield_now());
    let _ = yields.poll(&mut Cx::from_waker(waker));
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// What happens from one look at the driver to the next.
    #[derive(Debug, Clone, Copy, Default)]
    struct Lap {
        polls: usize,
        turns: usize,
        messages: u64,
        measured: bool,
    }

    /// A worker of tokio's with so many servers that have deep queues and so many other tasks that are always ready. A lap
    /// lasts a millisecond, so that laps alone decide when it is measured again.
    fn worker(servers: usize, others: usize, laps: usize) -> Vec<Lap> {
        paced_worker(servers, others, laps, 1)
    }

    /// A [`worker`] with so many laps in a millisecond.
    fn paced_worker(servers: usize, others: usize, laps: usize, laps_a_ms: usize) -> Vec<Lap> {
        let mut rule = Rule::new();
        let mut queue: VecDeque<Option<u8>> = (0..servers).map(|_| Some(TURN)).collect();
        queue.extend((0..others).map(|_| None));
        let (mut all, mut deferred, mut looked) = (Vec::new(), Vec::new(), false);
        let mut lap = Lap::default();
        // The lap begins in the middle of 61 polls.
        let mut tick = 40;
        while all.len() < laps {
            if tick % 61 == 0 || queue.is_empty() {
                queue.extend(deferred.drain(..).rev());
                looked = true;
                all.push(std::mem::take(&mut lap));
            }
            tick += 1;
            lap.polls += 1;
            let task = queue.pop_front().expect("one is ready");
            let Some(turn) = task else {
                queue.push_back(None);
                continue;
            };
            lap.turns += 1;
            lap.messages += u64::from(turn);
            let now = u32::try_from(1 + all.len() / laps_a_ms).expect("it is not long");
            let next = rule.end(std::mem::take(&mut looked), now);
            lap.measured |= matches!(rule.state, State::Measured { .. });
            if next.deferred {
                deferred.push(Some(next.turn));
            } else {
                queue.push_back(Some(next.turn));
            }
        }
        all
    }

    /// Clause 9.7: servers that are alone on a worker let it look at the driver after one turn of each.
    #[test]
    fn servers_with_deep_queues_let_their_worker_look_at_the_driver() {
        for servers in [2, 3, 8, 20] {
            let laps = worker(servers, 0, 2000);
            let measured = laps.iter().filter(|lap| lap.measured).count();
            assert!(
                measured <= 3 * laps.len() / usize::from(LAPS),
                "{servers}: {measured} laps are measured"
            );
            for (n, lap) in laps.iter().enumerate() {
                // Short turns as long as it is measured, and those that each has begun before.
                let most = 2 * servers as u64 * u64::from(TURN) + 61 * u64::from(SHORT_TURN);
                assert!(lap.messages <= most, "{servers}: {lap:?}, lap {n}");
            }
            let polls: usize = laps.iter().map(|lap| lap.polls).sum();
            assert!(polls <= laps.len() * (servers + 4), "{servers}: {polls} polls in {} laps", laps.len());
        }
    }

    /// Clause 9.7: where laps are short, a small part of them is measured.
    #[test]
    fn a_worker_with_short_laps_is_seldom_measured() {
        let (laps_a_ms, laps) = (200, 80_000);
        for servers in [1, 8] {
            let measured =
                paced_worker(servers, 0, laps, laps_a_ms).iter().filter(|lap| lap.measured).count();
            let pauses = laps / laps_a_ms / PAUSE_MS as usize;
            assert!((pauses / 2..=3 * pauses).contains(&measured), "{servers}: {measured} laps of {laps}");
        }
    }

    /// Clause 9.7: a server that is the only one has longer turns, and the driver is looked at after each.
    #[test]
    fn a_server_that_is_alone_has_longer_turns() {
        let laps = worker(1, 0, 2000);
        let long = laps.iter().filter(|lap| lap.messages == u64::from(LONG_TURN) && lap.polls == 1).count();
        assert!(long > laps.len() * 9 / 10, "{long} of {}", laps.len());
    }

    /// Clause 9.7: beside tasks that are always ready a server is not left with one turn in 61 polls.
    #[test]
    fn a_server_beside_tasks_that_are_always_ready_has_its_share() {
        for (servers, others) in [(1, 8), (1, 20), (1, 60), (4, 8), (8, 8), (8, 1)] {
            let laps = worker(servers, others, 2000);
            let (polls, turns) = laps.iter().fold((0, 0), |(p, t), lap| (p + lap.polls, t + lap.turns));
            let fair = (polls * servers / (servers + others)).min(2000 * (usize::from(SHARE) + servers));
            assert!(turns * 10 >= fair * 7, "{servers} beside {others}: {turns} turns in {polls} polls");
        }
    }

    /// Clause 3.3: senders who wait for room are left to the next turn by a quick one, and not twice in a row.
    #[test]
    fn senders_are_left_to_the_next_turn_by_a_quick_one_and_once() {
        let mut patience = Patience::default();
        for (wait, quick, left) in [
            (true, false, false),
            (true, true, true),
            (true, true, false),
            (true, true, true),
            (true, false, false),
            (true, true, true),
            (false, true, false),
            (true, true, true),
        ] {
            let senders = patience.senders(wait, quick);
            assert_eq!(senders == Senders::Later, left, "{wait} {quick}");
        }
    }

    /// A herald that was lost with its runtime is replaced.
    #[test]
    fn a_lost_herald_is_replaced() {
        let lost = Arc::new(Herald);
        let kept = Arc::clone(&lost);
        let mut post = Thread { rule: Rule::new(), herald: Some(lost) };
        // Outside of a runtime all that is deferred is woken at once.
        for _ in 0..=LOST {
            post.end();
        }
        assert!(post.herald.as_ref().is_some_and(|herald| !Arc::ptr_eq(herald, &kept)));
        assert!(post.rule.ends < LOST);
    }
}
