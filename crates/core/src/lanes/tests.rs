//! The lanes and their order, by themselves.

use super::*;

fn lanes(control: u32, high: u32, normal: u32, low: u32) -> Lanes<u32> {
    let mut l = Lanes::default();
    for (lane, n) in [(Lane::Control, control), (Lane::High, high), (Lane::Normal, normal), (Lane::Low, low)]
    {
        (0..n).for_each(|i| l.lane_mut(lane).push_plain(i));
    }
    l
}

/// Row D5: the highest lane first.
#[test]
fn the_highest_lane_that_holds_something_is_read() {
    let mut order = LaneOrder::new(64);
    for (l, expected) in [
        (lanes(0, 0, 0, 0), None),
        (lanes(1, 1, 1, 1), Some(Lane::Control)),
        (lanes(0, 1, 1, 1), Some(Lane::High)),
        (lanes(0, 0, 1, 1), Some(Lane::Normal)),
        (lanes(0, 0, 0, 1), Some(Lane::Low)),
    ] {
        assert_eq!(order.next(&l), expected);
    }
}

/// Row D5: a bound on starvation, for every lane but the highest.
#[test]
fn normal_is_read_once_in_the_bound_under_a_flood_of_high() {
    let mut order = LaneOrder::new(8);
    let l = lanes(0, 1, 1, 1);
    let read: Vec<_> = (0..80).filter_map(|_| order.next(&l)).collect();
    for lane in [Lane::Normal, Lane::Low] {
        let longest = read.split(|r| *r == lane).map(<[_]>::len).max();
        assert!(longest < Some(9), "{lane:?}: {read:?}");
    }
}

/// Row D5: a bound on starvation.
#[test]
fn low_is_read_once_in_the_bound() {
    for bound in [1, 2, 7, 64] {
        let mut order = LaneOrder::new(bound);
        let l = lanes(0, 1, 1, 1);
        let read: Vec<_> = (0..bound * 3).map(|_| order.next(&l)).collect();
        assert_eq!(read.iter().filter(|r| **r == Some(Lane::Low)).count(), 3, "bound {bound}: {read:?}");
    }
}

#[test]
fn metas_appear_with_the_first_message_that_carries_one_and_go_with_the_last() {
    let mut f = Fifo::default();
    f.push_plain(1);
    f.push(2, Meta::default().with_key(7));
    f.push_plain(3);
    assert_eq!(f.pop_plain(), None, "metas need the long way");
    assert_eq!(f.pop(), Some((1, Meta::default())));
    assert_eq!(f.find_key(7), Some(0));
    assert_eq!(f.pop(), Some((2, Meta::default().with_key(7))));
    assert_eq!(f.pop(), Some((3, Meta::default())));
    assert!(f.metas.is_none());
}

#[test]
fn taking_keeps_the_order_and_the_limit() {
    let (mut a, mut b) = (Fifo::default(), Fifo::default());
    (0..3).for_each(|i| a.push_plain(i));
    (3..9).for_each(|i| b.push_plain(i));
    a.take_from(&mut b, 4);
    assert_eq!((a.len(), b.len()), (7, 2));
    assert!(a.iter().copied().eq(0..7));
}

fn keyed(key: u32) -> Meta {
    Meta::default().with_key(u128::from(key))
}

/// What a lane holds is what a list of pairs would hold, whatever carries something and wherever it goes in or out.
#[test]
fn what_messages_carry_stays_with_them() {
    let mut random = 12_345_u32;
    let mut next = move |n: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % n
    };
    for _ in 0..200 {
        let (mut lane, mut other) = (Fifo::default(), Fifo::default());
        let (mut model, mut beside) = (VecDeque::new(), VecDeque::new());
        for message in 0..60 {
            let meta = if next(4) == 0 { keyed(next(3)) } else { Meta::default() };
            let at = usize::try_from(next(8)).unwrap();
            match next(9) {
                0 | 1 => {
                    lane.push(message, meta.clone());
                    model.push_back((message, meta));
                }
                2 => {
                    lane.push_plain(message);
                    model.push_back((message, Meta::default()));
                }
                3 => {
                    lane.push_front(message, meta.clone());
                    model.push_front((message, meta));
                }
                4 => assert_eq!(lane.pop(), model.pop_front()),
                5 => assert_eq!(lane.remove(at), model.remove(at)),
                6 => {
                    let old =
                        model.get_mut(at).map(|place| std::mem::replace(place, (message, meta.clone())));
                    assert_eq!(lane.replace(at, message, meta), old);
                }
                7 => {
                    other.push(message, meta.clone());
                    beside.push_back((message, meta));
                }
                _ => {
                    lane.take_from(&mut other, at);
                    if model.is_empty() && beside.len() <= at {
                        model.append(&mut beside);
                    } else {
                        model.extend(beside.drain(..at.min(beside.len())));
                    }
                }
            }
            let metas: Vec<_> = (0..lane.len()).map(|i| lane.meta(i).cloned().unwrap_or_default()).collect();
            assert!(lane.iter().zip(&metas).eq(model.iter().map(|(m, meta)| (m, meta))));
            for key in 0..3_u32 {
                let newest = model.iter().rposition(|(_, meta)| meta.key() == Some(u128::from(key)));
                assert_eq!(lane.find_key(u128::from(key)), newest, "the newest with the key");
            }
            let carries = lane.metas.as_ref().is_some_and(|m| m.plain + m.rest.len() == lane.len());
            assert!(carries || lane.metas.is_none() && model.iter().all(|(_, meta)| meta.is_plain()));
        }
    }
}

/// The senders' lock is held meanwhile: what the first message that carries something costs does not follow from how many
/// lie before it.
#[test]
fn the_first_that_carries_something_costs_no_more_behind_many() {
    let mut lane = Fifo::default();
    (0..10_000).for_each(|i| lane.push_plain(i));
    let before = lane.buffer_bytes();
    lane.push(10_000, keyed(1));
    assert!(lane.buffer_bytes() - before < 1000, "{} bytes more", lane.buffer_bytes() - before);
    assert_eq!(lane.find_key(1), Some(10_000));
}

/// Clause 1.7: buffers of every lane are given back, those that are used beside those that are not.
#[test]
fn every_lane_gives_its_buffers_back() {
    let used = lanes(1, 1, 1, 1);
    let bare = used.buffer_bytes();
    for lane in Lanes::<u32>::ORDER {
        let mut l = lanes(1, 1, 1, 1);
        (0..1000).for_each(|i| l.lane_mut(lane).push(i, keyed(i)));
        let full = l.buffer_bytes();
        assert!(full > bare + 4000, "{lane:?}");
        (0..1000).for_each(|_| drop(l.lane_mut(lane).pop()));
        assert_eq!(l.buffer_bytes(), full, "{lane:?}: kept while nothing asks for it");
        l.shrink();
        let one = size_of::<u32>() + size_of::<Meta>();
        assert!(l.buffer_bytes() <= bare + one, "{lane:?}: {} of {bare}", l.buffer_bytes());
        assert_eq!(l.len(), 4);
    }
    // One of the side lanes that are made together is in use, and the other not.
    for (high, low) in [(1, 0), (0, 1)] {
        let mut l = lanes(0, high, 0, low);
        for lane in [Lane::High, Lane::Low, Lane::Control] {
            (0..1000).for_each(|i| l.lane_mut(lane).push_plain(i));
            while l.lane(lane).is_some_and(|l| l.len() > 1) {
                l.lane_mut(lane).pop();
            }
        }
        l.lane_mut(Lane::Control).pop();
        l.lane_mut(if high == 1 { Lane::Low } else { Lane::High }).pop();
        l.shrink();
        assert!(l.buffer_bytes() < 250, "{} bytes for one message", l.buffer_bytes());
        assert_eq!(l.len(), 1);
        // The data lanes go with their last message, and all with the last of all.
        let with_data = l.buffer_bytes();
        l.lane_mut(Lane::Control).push_plain(0);
        let data = if high == 1 { Lane::High } else { Lane::Low };
        l.lane_mut(data).pop();
        l.shrink();
        assert!(l.buffer_bytes() < with_data);
        l.lane_mut(Lane::Control).pop();
        l.shrink();
        assert_eq!(l.buffer_bytes(), 0);
    }
}

/// Under the lock little is moved: a long queue is taken whole, and put behind what the batch holds afterwards.
#[test]
fn a_long_queue_is_taken_whole_and_appended_afterwards() {
    for (batch, queued, whole) in [(0, 5000, false), (1, 5000, true), (5, 2, true), (5, 1, false)] {
        let mut own = lanes(0, 0, batch, 0);
        own.normal.shrink();
        if batch == 5 && queued == 1 {
            own.normal.items.reserve(1);
        }
        let mut queue = Lanes::default();
        (batch..batch + queued).for_each(|i| queue.lane_mut(Lane::Normal).push_plain(i));
        queue.lane_mut(Lane::Low).push_plain(0);
        let queued_bytes = queue.buffer_bytes();
        let much = own.take_quickly(&mut queue, usize::MAX);
        assert_eq!(much.is_some(), whole, "{batch} and {queued}");
        assert!(queue.is_empty() && (queue.buffer_bytes() == 0 || !whole), "{queued_bytes}");
        own.append(much);
        assert!(own.normal.iter().copied().eq(0..batch + queued));
        assert_eq!(own.side_len(), 1);
    }
    let mut own = lanes(0, 0, 1, 0);
    let mut queue = lanes(0, 0, 5000, 0);
    assert!(own.take_quickly(&mut queue, 32).is_none(), "a small batch is moved in no time");
    assert_eq!((own.len(), queue.len()), (32, 4969));
}

/// Clause 2.3: the bound unless set. (`next` is asked before each message.)
#[test]
fn unless_set_the_bound_on_starvation_is_64() {
    let mut order = LaneOrder::new(LaneOrder::DEFAULT_BOUND);
    let l = lanes(0, 1, 0, 1);
    let read: Vec<_> = (0..128).filter_map(|_| order.next(&l)).collect();
    let low: Vec<_> = (0..128).filter(|i| read[*i] == Lane::Low).collect();
    assert_eq!(low, [63, 127]);
}

#[test]
fn where_nothing_is_carried_the_short_way_is_open() {
    let mut f = Fifo::default();
    f.push_plain(1);
    f.push_plain(2);
    assert_eq!((f.get(0), f.get(1), f.get(2)), (Some(&1), Some(&2), None));
    assert_eq!((f.pop_plain(), f.pop_plain(), f.pop_plain()), (Some(1), Some(2), None));
    // It is open again when the last that carries something was taken out, from wherever it lay.
    f.push_plain(3);
    f.push(4, keyed(7));
    assert_eq!(f.remove(1), Some((4, keyed(7))));
    assert_eq!(f.pop_plain(), Some(3));
}

/// All of a lane into an empty one is a swap: nothing is moved, however much it is.
#[test]
fn a_lane_that_fits_whole_is_taken_with_its_buffer() {
    for limit in [8, 9] {
        let (mut a, mut b) = (Fifo::default(), Fifo::default());
        (0..8).for_each(|i| b.push_plain(i));
        let place = std::ptr::from_ref(b.get(0).expect("it is there"));
        a.take_from(&mut b, limit);
        assert_eq!((a.len(), b.len(), b.buffer_bytes()), (8, 0, 0), "limit {limit}");
        assert!(std::ptr::eq(a.get(0).expect("it came along"), place), "limit {limit}");
    }
    // The side lanes as well, if together they are no more than the limit.
    for (limit, bytes_left) in [(8, 0), (9, 0)] {
        let (mut a, mut b) = (lanes(0, 0, 0, 0), lanes(2, 3, 0, 3));
        a.take_from(&mut b, limit);
        assert_eq!((a.side_len(), b.side_len(), b.buffer_bytes()), (8, 0, bytes_left), "limit {limit}");
    }
}

/// The limit is one of each lane of data, counting what lies there before. Orders and notices have none.
#[test]
fn each_lane_takes_no_more_than_its_limit() {
    for before in [0, 2] {
        let (mut a, mut b) = (lanes(0, before, before, before), lanes(9, 9, 9, 9));
        a.take_from(&mut b, 4);
        for lane in [Lane::High, Lane::Normal, Lane::Low] {
            assert_eq!(a.lane(lane).map(Fifo::len), Some(4), "{lane:?} had {before}");
            assert_eq!(b.lane(lane).map(Fifo::len), Some(5 + before as usize), "{lane:?} had {before}");
        }
        assert_eq!((a.control_len(), b.control_len()), (9, 0));
    }
}

/// A message that panics in its drop, and is known by the count of those dropped.
struct Rude(std::rc::Rc<std::cell::Cell<u32>>);
impl Drop for Rude {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        std::panic::resume_unwind(Box::new("rude"));
    }
}

/// Dropping what is left drops each by itself: one that panics costs the others nothing, and is not reported.
#[test]
fn what_is_discarded_is_dropped_one_by_one() {
    let dropped = std::rc::Rc::default();
    let mut lanes = Lanes::default();
    for lane in Lanes::<Rude>::ORDER {
        lanes.lane_mut(lane).push_plain(Rude(std::rc::Rc::clone(&dropped)));
        lanes.lane_mut(lane).push(Rude(std::rc::Rc::clone(&dropped)), keyed(1));
    }
    lanes.discard();
    assert_eq!((dropped.get(), lanes.len()), (8, 0));
    let mut never_used = Lanes::<Rude>::default();
    never_used.discard();
    assert_eq!(never_used.buffer_bytes(), 0, "nothing is made in order to be dropped");
}

/// A mailbox that gets one notice in its life pays for little more than the notice.
#[test]
fn one_notice_takes_the_room_of_one() {
    let mut l = Lanes::default();
    for n in 1..4 {
        l.lane_mut(Lane::Control).push_plain(0_u64);
        assert_eq!((l.control_len(), l.side_len(), l.len()), (n, n, n));
        if n == 1 {
            assert_eq!(l.buffer_bytes(), size_of::<SideLanes<u64>>() + size_of::<u64>());
        }
    }
    let mut one_by_one = Lanes::default();
    for _ in 0..10 {
        one_by_one.lane_mut(Lane::Control).push_plain(0_u64);
        one_by_one.lane_mut(Lane::Control).pop();
    }
    assert_eq!(one_by_one.buffer_bytes(), size_of::<SideLanes<u64>>() + size_of::<u64>());
}

/// What is moved under the lock is at most [`QUICK`] messages, and into a buffer that has the room.
#[test]
fn little_is_moved_under_the_lock_and_much_is_not() {
    for (limit, queued, room, whole) in [
        (QUICK, QUICK + 1, 0, false),
        (QUICK + 1, QUICK + 1, 2 * QUICK, true),
        (QUICK + 1, QUICK, 2 * QUICK, false),
        (QUICK + 1, 10, 10, false),
        (QUICK + 1, 11, 10, true),
    ] {
        let mut own =
            Lanes { normal: Fifo { items: VecDeque::with_capacity(room + 1), metas: None }, side: None };
        own.normal.push_plain(0);
        assert_eq!(own.spare(), room);
        let mut queue = lanes(0, 0, u32::try_from(queued).unwrap(), 0);
        let much = own.take_quickly(&mut queue, limit);
        assert_eq!(much.is_some(), whole, "{queued} of at most {limit} into {room}");
    }
}

/// Clause 1.7: an empty queue gives up all its buffers, to be dropped after the lock; a short one what it does not need;
/// in a long one nothing is moved.
#[test]
fn buffers_are_given_back_under_the_lock_where_that_takes_no_time() {
    let mut empty = lanes(10, 10, 10, 10);
    for lane in Lanes::<u32>::ORDER {
        while empty.lane_mut(lane).pop().is_some() {}
    }
    let bytes = empty.buffer_bytes();
    let spare = empty.slim().expect("its buffers come back");
    assert_eq!((spare.buffer_bytes(), empty.buffer_bytes()), (bytes, 0));
    for (n, shrunk) in [(1, true), (QUICK, true), (QUICK + 1, false)] {
        let mut l = lanes(0, 0, u32::try_from(n).unwrap(), 0);
        l.normal.items.reserve_exact(5000);
        assert!(l.slim().is_none());
        assert_eq!((l.len(), l.buffer_bytes() == n * size_of::<u32>()), (n, shrunk), "{n}");
    }
}

/// Lanes that were made once and hold nothing are as if they had never been.
#[test]
fn lanes_that_are_empty_are_not_read() {
    let mut order = LaneOrder::new(1);
    let mut l = lanes(1, 0, 0, 0);
    l.lane_mut(Lane::Control).pop();
    assert_eq!(order.next(&l), None);
    l.lane_mut(Lane::High);
    assert_eq!(order.next(&l), None);
    l.lane_mut(Lane::Normal).push_plain(1);
    assert_eq!((order.next(&l), order.next(&l)), (Some(Lane::Normal), Some(Lane::Normal)));
}

/// Clause 2.3: a lower lane is read once in the bound, from the first message on; only what is passed while something waits
/// there counts.
#[test]
fn a_lane_that_waits_is_due_after_the_bound_and_one_that_was_empty_is_not() {
    let mut order = LaneOrder::new(4);
    let mut read = |l: &Lanes<u32>, n: usize| (0..n).map(|_| order.next(l)).collect::<Vec<_>>();
    let (high, normal, low) = (Some(Lane::High), Some(Lane::Normal), Some(Lane::Low));
    assert_eq!(read(&lanes(0, 1, 1, 0), 8), [high, high, high, normal, high, high, high, normal]);
    assert_eq!(read(&lanes(0, 1, 0, 1), 8), [high, high, high, low, high, high, high, low]);
    // Long without a low one, and without a normal one: neither is due when it comes.
    assert!(read(&lanes(0, 1, 0, 0), 10).iter().all(|lane| *lane == high));
    assert_eq!(read(&lanes(0, 1, 1, 1), 2), [high, high]);
    let mut order = LaneOrder::new(4);
    assert!((0..10).all(|_| order.next(&lanes(0, 0, 1, 0)) == normal));
    let _ = order.next(&lanes(1, 0, 1, 0));
    let after: Vec<_> = (0..4).map(|_| order.next(&lanes(0, 0, 1, 1))).collect();
    assert_eq!(after, [normal, normal, normal, low]);
}

/// What a look shows: so many from a place on, each with its attempts, and nothing beyond the end.
#[test]
fn a_range_ends_with_the_lane() {
    let mut f = Fifo::default();
    f.push_plain(0);
    f.push(1, Meta::default().with_attempts(3));
    f.push_plain(2);
    let look = |index, most| f.range(index, most).map(|(m, n)| (*m, n)).collect::<Vec<_>>();
    assert_eq!(look(0, 2), [(0, 0), (1, 3)]);
    assert_eq!(look(1, 9), [(1, 3), (2, 0)]);
    assert_eq!(look(1, usize::MAX), [(1, 3), (2, 0)]);
    assert!(look(3, 1).is_empty() && look(9, 9).is_empty() && look(0, 0).is_empty());
    assert!(f.iter().copied().eq(0..3));
}

/// What is taken out keeps its order and what it carries, and so does the rest.
#[test]
fn what_is_extracted_leaves_the_others_in_order() {
    let mut f = Fifo::default();
    (0..6).for_each(|i| f.push(i, if i % 2 == 0 { keyed(i) } else { Meta::default() }));
    assert!(f.extract(|_, _| false).is_empty());
    assert!(f.iter().copied().eq(0..6));
    assert_eq!(f.extract(|m, meta| *m == 3 || meta.key() == Some(4)), [(3, Meta::default()), (4, keyed(4))]);
    let rest: Vec<_> = std::iter::from_fn(|| f.pop()).collect();
    assert_eq!(rest, [(0, keyed(0)), (1, Meta::default()), (2, keyed(2)), (5, Meta::default())]);
}
