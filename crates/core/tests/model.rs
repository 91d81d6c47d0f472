//! Random operations on random mailboxes, beside a model made of `VecDeque`s.
//!
//! The model knows which messages may be inside and in what order each lane holds them; what the mailbox does must
//! fit that, its bounds must hold after every step, and in the end no message may be lost.

use crate::{drain, poll};
use proptest::prelude::*;
use restante_core::{Coalesce, Lane, Ledger, Mailbox, Overflow, Receiver, SendError, SendOptions, Settings};
use std::collections::VecDeque;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

const LANES: [Lane; 4] = [Lane::Control, Lane::High, Lane::Normal, Lane::Low];

#[derive(Debug, Clone, Copy)]
enum Step {
    Send {
        lane: usize,
        weight: u32,
        key: Option<u8>,
        expired: bool,
    },
    /// A send that would wait, polled once and dropped.
    SendAndCancel,
    Receive,
    Purge(u32),
    Drop,
    Lease,
    Reserve,
    UsePermit,
    DropPermit,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let send = (0..4_usize, 1..4_u32, prop::option::weighted(0.2, 0..3_u8), prop::bool::weighted(0.05))
        .prop_map(|(lane, weight, key, expired)| Step::Send { lane, weight, key, expired });
    prop_oneof![
        40 => send,
        4 => Just(Step::SendAndCancel),
        30 => Just(Step::Receive),
        2 => (2..5_u32).prop_map(Step::Purge),
        3 => Just(Step::Drop),
        6 => Just(Step::Lease),
        5 => Just(Step::Reserve),
        4 => Just(Step::UsePermit),
        3 => Just(Step::DropPermit),
        1 => Just(Step::Close),
    ]
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    capacity: usize,
    weight_limit: Option<u64>,
    /// Wait, reject, shed, fall back.
    overflow: u8,
    coalesce: Option<Coalesce>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let place = prop_oneof![Just(Coalesce::KeepPlace), Just(Coalesce::MoveBack)];
    (1..9_usize, prop::option::of(3..12_u64), 0..4_u8, prop::option::of(place)).prop_map(
        |(capacity, weight_limit, overflow, coalesce)| Shape { capacity, weight_limit, overflow, coalesce },
    )
}

/// What may lie in each lane, oldest first. A message that was shed or replaced leaves it unseen: it shows when a
/// younger one of the same lane comes out.
#[derive(Default)]
struct Model([VecDeque<u32>; 4]);

impl Model {
    fn sent(&mut self, lane: usize, message: u32) {
        self.0[lane].push_back(message);
    }
    /// It came out: everything before it in its lane must be gone for good.
    fn received(&mut self, message: u32, in_order: bool) -> Result<(), TestCaseError> {
        let at = self.0.iter_mut().find_map(|lane| Some((lane.iter().position(|m| *m == message)?, lane)));
        let Some((at, lane)) = at else {
            return Err(TestCaseError::fail(format!("{message} came out twice, or was never sent")));
        };
        if in_order {
            lane.drain(..=at);
        } else {
            lane.remove(at);
        }
        Ok(())
    }
}

fn settings(shape: Shape, fallback: &Mailbox<(u32, u32)>) -> Settings<(u32, u32)> {
    let mut settings = Mailbox::settings().capacity(shape.capacity);
    settings = match shape.overflow {
        0 => settings,
        1 => settings.overflow(Overflow::reject()),
        2 => settings.overflow(Overflow::shed_oldest()),
        _ => settings.overflow(Overflow::fallback(fallback.address().recipient())),
    };
    if let Some(limit) = shape.weight_limit {
        settings = settings.weight_limit(limit, |(_, weight)| *weight);
    }
    match shape.coalesce {
        Some(place) => settings.coalesce(place),
        None => settings,
    }
}

fn run(shape: Shape, steps: &[Step]) -> Result<(), TestCaseError> {
    let other = Mailbox::with(Mailbox::settings().capacity(3)).expect("settings");
    let mailbox = Mailbox::with(settings(shape, &other)).expect("settings");
    let a = mailbox.address();
    let mut model = Model::default();
    let mut reader: Option<Receiver<(u32, u32)>> = None;
    let mut permits = Vec::new();
    // A newer message of a key that keeps the older one's place overtakes what is in between.
    let in_order = shape.coalesce == Some(Coalesce::MoveBack);
    let mut next = 0;
    for step in steps {
        next += 1;
        match *step {
            Step::Send { lane, weight, key, expired } => {
                let mut options = SendOptions::new().lane(LANES[lane]);
                // With keys a lane is in order only where the newer one goes to the back.
                if let Some(key) = key.filter(|_| shape.coalesce.is_some()) {
                    options = options.key(key);
                }
                if expired {
                    options = options.ttl(Duration::ZERO);
                }
                let diverted = mailbox.stats().ledger.diverted;
                match a.try_send_with((next, weight), options) {
                    Ok(()) if mailbox.stats().ledger.diverted == diverted => model.sent(lane, next),
                    Ok(()) => prop_assert_eq!(shape.overflow, 3),
                    Err(SendError::Full((m, _))) => prop_assert_eq!(m, next),
                    Err(SendError::Expired(_)) => prop_assert!(expired),
                    Err(SendError::Closed(_)) => prop_assert!(a.is_closed()),
                    Err(SendError::Shed(_)) => prop_assert_eq!(shape.overflow, 2),
                    Err(SendError::TooHeavy { .. }) => {
                        prop_assert!(shape.weight_limit.is_some_and(|l| u64::from(weight) > l));
                    }
                    Err(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
                }
            }
            Step::SendAndCancel => {
                let diverted = mailbox.stats().ledger.diverted;
                if let Poll::Ready(Ok(())) = poll(pin!(a.send((next, 1))))
                    && mailbox.stats().ledger.diverted == diverted
                {
                    model.sent(2, next);
                }
                prop_assert_eq!(mailbox.stats().waiting_senders, 0);
            }
            Step::Receive => {
                if let Some(Ok((m, _))) = reader.as_mut().map(Receiver::try_receive) {
                    model.received(m, in_order || shape.coalesce.is_none())?;
                }
            }
            Step::Purge(of) => {
                if let Some(reader) = &mut reader {
                    let mut gone = Vec::new();
                    reader.purge(|(m, _)| {
                        let goes = m % of == 0;
                        goes.then(|| gone.push(*m));
                        goes
                    });
                    gone.into_iter().try_for_each(|m| model.received(m, false))?;
                }
            }
            Step::Drop => reader = None,
            Step::Lease => reader = reader.or_else(|| mailbox.receiver().ok()),
            Step::Reserve => permits.extend(a.try_reserve().ok()),
            Step::UsePermit => {
                if let Some(permit) = permits.pop()
                    && permit.send((next, 1)).is_ok()
                {
                    model.sent(2, next);
                }
            }
            Step::DropPermit => drop(permits.pop()),
            Step::Close => {
                // Rare enough that most runs go on to their end.
                if next > 80 {
                    mailbox.close();
                }
            }
        }
        let stats = mailbox.stats();
        let held = if a.is_closed() { 0 } else { permits.len() as u64 };
        prop_assert!(stats.depth + held <= shape.capacity as u64, "{:?} with {} held", stats, held);
        if let Some(limit) = shape.weight_limit {
            prop_assert!(stats.weight + held <= limit, "{:?}", stats);
        }
    }
    permits.clear();
    let ledger: Ledger = match &mut reader {
        Some(reader) => reader.audit(),
        None => mailbox.audit().expect("nobody reads"),
    };
    prop_assert_eq!(ledger.lost(), 0, "{}", ledger);
    if let Some(mut reader) = reader.or_else(|| mailbox.receiver().ok()) {
        let left = drain(&mut reader);
        prop_assert_eq!(left.len() as u64, ledger.queued);
        left.into_iter().try_for_each(|(m, _)| model.received(m, in_order || shape.coalesce.is_none()))?;
        let ledger = reader.audit();
        prop_assert_eq!((ledger.queued, ledger.lost()), (0, 0), "{}", ledger);
        if ledger.shed + ledger.coalesced == 0 && ledger.dead_lettered == 0 && shape.coalesce.is_none() {
            prop_assert!(model.0.iter().all(VecDeque::is_empty), "accepted and never seen: {:?}", model.0);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rows D1, D2, D4, D5, clauses 2.1, 3.1, 17.1: first in first out per lane, bounds after every step, nothing lost
    /// at the end.
    #[test]
    fn a_mailbox_does_what_the_model_does(shape in shape(), steps in prop::collection::vec(step(), 100)) {
        run(shape, &steps)?;
    }

    /// Row D5, clause 2.3: while something waits in the low lane, it is read once in the bound, whatever comes in.
    #[test]
    fn low_is_never_starved(bound in 1..9_u32, sends in prop::collection::vec((1..3_usize, 0..4_u8), 100)) {
        let mailbox = Mailbox::with(Mailbox::settings().unbounded().starvation_bound(bound)).expect("settings");
        let (a, mut r) = (mailbox.address(), mailbox.receiver().expect("lease"));
        for _ in 0..100 {
            a.try_send_with(3, SendOptions::new().lane(Lane::Low)).expect("unbounded");
        }
        let mut passed = 0;
        for (lane, n) in sends {
            for _ in 0..n {
                a.try_send_with(lane, SendOptions::new().lane(LANES[lane])).expect("unbounded");
            }
            if r.try_receive() == Ok(3) { passed = 0 } else { passed += 1 }
            prop_assert!(passed < bound);
        }
    }
}
