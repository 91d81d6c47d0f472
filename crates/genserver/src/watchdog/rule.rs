//! When a handler has held its thread for too long: told the time, and what is seen at it.

use std::time::{Duration, Instant};

/// What is seen of a thread at one moment: a server is polled there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    /// Which poll of that thread.
    pub(super) poll: u64,
    /// Is another one for each message.
    pub(super) mark: (u64, u64),
    /// When the poll began, if this is still its first message. When another message began is not known.
    pub(super) begun: Option<Instant>,
}

/// What came of a look.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// A hold that was told of is over, after so long.
    pub(super) ended: Option<Duration>,
    /// One is to be told of.
    pub(super) holds: Option<Duration>,
}

/// One thread, as it was last seen.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    sight: Sight,
    from: Instant,
    /// When it was last seen.
    last: Instant,
    told: bool,
}

impl Watch {
    /// Looks at what is there now.
    pub(super) fn look(&mut self, threshold: Duration, now: Instant, sight: Option<Sight>) -> Look {
        let mut look = Look::default();
        let goes_on = match (&mut self.seen, sight) {
            (Some(seen), Some(sight)) if seen.is(sight) => {
                seen.last = now;
                true
            }
            _ => false,
        };
        if !goes_on {
            let begins =
                sight.map(|sight| Seen { sight, from: sight.begun.unwrap_or(now), last: now, told: false });
            if let Some(over) = std::mem::replace(&mut self.seen, begins).filter(|over| over.told) {
                // It ended somewhere between the last look and this one.
                look.ended = Some(over.last.saturating_duration_since(over.from));
            }
        }
        if let Some(seen) = &mut self.seen {
            let held = now.saturating_duration_since(seen.from);
            if held >= threshold && !seen.told && look.ended.is_none() {
                seen.told = true;
                look.holds = Some(held);
            }
        }
        look
    }
}

impl Seen {
    fn is(&self, sight: Sight) -> bool {
        (self.sight.poll, self.sight.mark) == (sight.poll, sight.mark)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const LIMIT: Duration = Duration::from_millis(10);

    /// At so many ms, a poll and how many messages it has handled (if it is a server's), what is said: `Some(Ok)` of a hold,
    /// `Some(Err)` of its end, in ms.
    type Row = (u32, Option<(u64, u64)>, Option<Result<u32, u32>>);

    /// Each poll begins at the time that its number says.
    fn check(rows: &[Row]) {
        let start = Instant::now();
        let mut watch = Watch::default();
        for &(at, sight, expected) in rows {
            let sight = sight.map(|(poll, handled)| {
                let begun = start + u32::try_from(poll).expect("small") * MS;
                Sight { poll, mark: (1, handled), begun: (handled == 0).then_some(begun) }
            });
            let look = watch.look(LIMIT, start + at * MS, sight);
            let expected = Look {
                holds: expected.and_then(Result::ok).map(|ms| ms * MS),
                ended: expected.and_then(Result::err).map(|ms| ms * MS),
            };
            assert_eq!(look, expected, "at {at} ms");
        }
    }

    #[test]
    fn a_message_that_holds_its_thread_is_told_once_and_when_it_is_over() {
        check(&[
            (2, Some((0, 0)), None),
            (9, Some((0, 0)), None),
            (10, Some((0, 0)), Some(Ok(10))),
            (30, Some((0, 0)), None),
            (33, None, Some(Err(30))),
            (40, None, None),
        ]);
    }

    #[test]
    fn a_poll_of_many_messages_holds_nothing_for_long() {
        check(&[
            (2, Some((0, 0)), None),
            (9, Some((0, 100)), None),
            (18, Some((0, 200)), None),
            (27, Some((0, 300)), None),
            (36, None, None),
        ]);
    }

    #[test]
    fn a_later_message_of_a_poll_counts_from_when_it_was_first_seen() {
        check(&[(5, Some((0, 3)), None), (14, Some((0, 3)), None), (15, Some((0, 3)), Some(Ok(10)))]);
    }

    #[test]
    fn the_same_count_in_another_poll_is_another_message() {
        check(&[
            (5, Some((0, 0)), None),
            (13, Some((8, 0)), None),
            (17, Some((8, 0)), None),
            (18, Some((8, 0)), Some(Ok(10))),
        ]);
    }

    #[test]
    fn one_that_is_long_when_it_is_first_seen_is_told_after_the_end_of_the_last() {
        check(&[
            (10, Some((0, 0)), Some(Ok(10))),
            (40, Some((20, 0)), Some(Err(10))),
            (41, Some((20, 0)), Some(Ok(21))),
            (42, None, Some(Err(21))),
        ]);
    }
}
