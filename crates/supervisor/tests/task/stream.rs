//! A task per item: `async_stream`.

use super::{Alive, LONG, all_gone, exited, forever, settle, sleep};
use futures::stream::{FusedStream, Stream, StreamExt, poll_fn};
use restante_supervisor::task::{OnItemTimeout, TaskError, TaskStartError, TaskSupervisor};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

type Made<T> = Vec<Result<T, TaskError>>;

/// The concurrencies that Elixir's tests go through with 4 items: as many, fewer, more.
const CONCURRENCIES: [usize; 3] = [4, 2, 8];

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn add_one(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn why<T>(reason: &str) -> Result<T, TaskError> {
    exited(reason).map_err(TaskError::Exited)
}

/// Elixir Task.Supervisor: `async_stream streams an enumerable with fun`, `streams an enumerable without leaking tasks`,
/// `streams an enumerable with slowest first`. Row G5, clause 20.17: in order, whatever ends first.
#[tokio::test(start_paused = true)]
async fn results_come_in_the_order_of_the_items() {
    let tasks = TaskSupervisor::new();
    for max in CONCURRENCIES {
        for items in [[1, 2, 3, 4], [4, 3, 2, 1]] {
            let made: Made<u64> = tasks.async_stream(items, sleep).max_concurrency(max).collect().await;
            assert_eq!(made, items.map(Ok));
            assert_eq!(tasks.count(), 0);
        }
    }
    let none: Made<u64> = tasks.async_stream([], sleep).collect().await;
    assert!(none.is_empty());
}

/// Elixir Task: `async_stream/2 streams an enumerable with ordered: false`. Clause 20.17.
#[tokio::test(start_paused = true)]
async fn unordered_results_come_as_they_are_made() {
    let tasks = TaskSupervisor::new();
    let stream = |max| tasks.async_stream([400, 300, 200, 100], sleep).ordered(false).max_concurrency(max);
    assert_eq!(stream(1).collect::<Made<u64>>().await, [400, 300, 200, 100].map(Ok));
    assert_eq!(stream(4).collect::<Made<u64>>().await, [100, 200, 300, 400].map(Ok));
}

/// Elixir Task.Supervisor: `async_stream streams an enumerable with exits`, `async_stream_nolink streams an enumerable
/// with exits`. Clause 20.19: a failure is an item.
#[tokio::test]
async fn a_failure_is_an_item() {
    let tasks = TaskSupervisor::new();
    for max in CONCURRENCIES {
        let fails = |n: u32| async move { exited::<u32>(&n.to_string()) };
        let made: Made<u32> = tasks.async_stream(1..=4, fails).max_concurrency(max).collect().await;
        assert_eq!(made, ["1", "2", "3", "4"].map(why));
    }
}

/// Clause 20.19: so is a panic, in the closure or in its future.
#[tokio::test]
async fn a_panic_in_the_closure_is_an_item() {
    let tasks = TaskSupervisor::new();
    let stream = tasks.async_stream(1..=4_u32, |n| {
        assert!(n != 2, "in the closure");
        async move {
            assert!(n != 3, "in its future");
            Ok(n)
        }
    });
    let made: Vec<_> = stream.map(|made| made.map_err(|error| error.to_string())).collect().await;
    let said = |what: &str| Err(format!("the task ended: panic: {what}"));
    assert_eq!(made, [Ok(1), said("in the closure"), said("in its future"), Ok(4)]);
}

/// Clause 20.19: a panic of the input is an item, and the last that is pulled; those before it come first.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_input_is_the_last_item() {
    let tasks = TaskSupervisor::new();
    for (ordered, place) in [(true, 2), (false, 0)] {
        let input = (1..=9_u64).inspect(|n| assert!(*n != 3, "in the input"));
        let made: Made<u64> =
            tasks.async_stream(input, sleep).ordered(ordered).max_concurrency(4).collect().await;
        assert_eq!(made.len(), 3, "{made:?}");
        let said = made[place].as_ref().unwrap_err().to_string();
        assert_eq!(said, "the task ended: panic: in the input");
    }
}

/// Elixir Task: `async_stream with max_concurrency, with :on_timeout set to :kill_task`, `async_stream/2 streams an
/// enumerable with ordered: false, on_timeout: :kill_task`. Clause 20.18: the late one is an item, the stream goes on.
#[tokio::test(start_paused = true)]
async fn an_item_has_a_time_limit() {
    let tasks = TaskSupervisor::new();
    let late = || Err(TaskError::Timeout);
    for max in CONCURRENCIES {
        let stream = tasks.async_stream([100, 1, 100, 1], sleep).timeout(ms(50)).max_concurrency(max);
        assert_eq!(stream.collect::<Made<u64>>().await, [late(), Ok(1), late(), Ok(1)]);
        assert_eq!(tasks.count(), 0);
    }
    let unordered = tasks.async_stream([100, 1, 100, 1], sleep).timeout(ms(50)).ordered(false);
    let made: Made<u64> = unordered.max_concurrency(4).collect().await;
    assert_eq!(made, [Ok(1), Ok(1), late(), late()]);
}

/// Clause 20.18: the time of an item runs from its start, also while it is not asked for.
#[tokio::test(start_paused = true)]
async fn an_item_is_late_whoever_is_looking() {
    let tasks = TaskSupervisor::new();
    let mut stream = tasks.async_stream([1, 100], sleep).timeout(ms(50)).max_concurrency(2);
    assert_eq!(stream.next().await, Some(Ok(1)));
    tokio::time::sleep(LONG).await;
    assert_eq!(tasks.count(), 0);
    assert_eq!(stream.next().await, Some(Err(TaskError::Timeout)));
}

/// Elixir Task: `async_stream/2 timeout`. Clause 20.18: told to exit, the stream ends with the first that is late, at
/// once and without those that still run.
#[tokio::test(start_paused = true)]
async fn a_stream_may_end_with_the_first_item_that_is_late() {
    let tasks = TaskSupervisor::new();
    let zero = tasks.async_stream([1], |_: u32| forever()).timeout(Duration::ZERO);
    let made: Made<u32> = zero.on_timeout(OnItemTimeout::Exit).collect().await;
    assert_eq!(made, [Err(TaskError::Timeout)]);
    let start = Instant::now();
    let waits = |n: u64| async move { if n == 2 { sleep(1000).await } else { sleep(n).await } };
    let stream = tasks.async_stream([40, 2, 49, 49, 49], waits).max_concurrency(3).timeout(ms(50));
    let mut stream = pin!(stream.on_timeout(OnItemTimeout::Exit));
    assert_eq!(stream.next().await, Some(Ok(40)));
    assert_eq!(stream.next().await, Some(Err(TaskError::Timeout)));
    assert_eq!(start.elapsed(), ms(50));
    assert_eq!(stream.next().await, None);
    assert!(stream.is_terminated());
    settle().await;
    assert_eq!(tasks.count(), 0);
}

/// Elixir Task: `async_stream/2 streams an enumerable with infinite timeout`. Clause 20.18: also the default of 5 s.
#[tokio::test(start_paused = true)]
async fn an_item_may_have_all_the_time_there_is() {
    let tasks = TaskSupervisor::new();
    let by_default: Made<u64> = tasks.async_stream([4999, 5001], sleep).collect().await;
    assert_eq!(by_default, [Ok(4999), Err(TaskError::Timeout)]);
    let unlimited: Made<u64> = tasks.async_stream([5001], sleep).timeout(Duration::MAX).collect().await;
    assert_eq!(unlimited, [Ok(5001)]);
}

/// Elixir Task: `async_stream/2 does not allow streaming with max_concurrency = 0`. Differs: taken as 1.
#[tokio::test(start_paused = true)]
async fn a_concurrency_of_zero_is_taken_as_one() {
    let tasks = TaskSupervisor::new();
    let start = Instant::now();
    let made: Made<u64> = tasks.async_stream([1, 2], sleep).max_concurrency(0).collect().await;
    assert_eq!((made.len(), start.elapsed()), (2, ms(3)));
}

/// Elixir Task.Supervisor: `async_stream shuts down unused tasks`, `shuts down unused tasks without leaking messages`.
/// Clause 20.20.
#[tokio::test]
async fn a_stream_that_is_dropped_half_way_aborts_its_tasks() {
    let tasks = TaskSupervisor::new();
    let alive = Alive::default();
    for max in CONCURRENCIES {
        let alive = alive.clone();
        let stream = tasks.async_stream([0, 1, 1, 1], move |n: u32| {
            let held = alive.one();
            async move {
                let _held = held;
                if n == 0 { Ok(0) } else { forever().await }
            }
        });
        assert_eq!(stream.max_concurrency(max).take(1).collect::<Made<u32>>().await, [Ok(0)]);
        settle().await;
        assert_eq!(tasks.count(), 0);
    }
    assert_eq!(alive.count(), 0);
}

/// Clause 20.20: 10,000 items, of which the consumer wants 100.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_long_stream_is_left_when_its_consumer_goes() {
    let tasks = TaskSupervisor::new();
    let alive = Alive::default();
    for ordered in [true, false] {
        let pulled = Arc::new(AtomicUsize::new(0));
        let (counted, alive) = (Arc::clone(&pulled), alive.clone());
        let items = (0..10_000_usize).inspect(move |_| add_one(&counted));
        let stream = tasks.async_stream(items, move |n| {
            let held = alive.one();
            async move {
                let _held = held;
                for _ in 0..n % 7 {
                    tokio::task::yield_now().await;
                }
                // Those that will not be asked for do not end by themselves.
                if n < 100 { Ok(n) } else { std::future::pending().await }
            }
        });
        let stream = stream.max_concurrency(16).ordered(ordered).timeout(Duration::MAX);
        let made: Made<usize> = stream.take(100).collect().await;
        assert!(made.len() == 100 && made.iter().all(Result::is_ok));
        let pulled = pulled.load(Ordering::Relaxed);
        assert!(pulled <= 100 + 32, "what is in hand is bounded: {pulled}");
        all_gone(&tasks).await;
    }
    assert_eq!(alive.count(), 0);
    assert!(tasks.shutdown(LONG).await.is_empty());
}

/// Elixir Task.Supervisor: `async_stream raises an error if :max_children is reached with clean stream shutdown`. Clause
/// 20.19: at once, and nothing is left.
#[tokio::test]
async fn a_refused_start_ends_the_stream() {
    let tasks = TaskSupervisor::builder().max_children(1).build();
    let mut stream = pin!(tasks.async_stream(0..3, |_: u32| forever()).max_concurrency(2));
    let refused = TaskStartError::MaxChildren { active: 1, max: 1 };
    assert_eq!(stream.next().await, Some(Err(TaskError::Start(refused))));
    assert_eq!(stream.next().await, None);
    settle().await;
    assert_eq!(tasks.count(), 0);
}

/// Elixir Task: `async_stream with max_concurrency, with inner halt on success`, `with inner halt and slowest first`, `with
/// outer halt on success`, `with outer halt on failure`, `with outer halt and slowest first`.
#[tokio::test(start_paused = true)]
async fn input_and_output_may_be_halted() {
    let tasks = TaskSupervisor::new();
    let fails = |n: u64| async move { exited::<u64>(&n.to_string()) };
    for max in CONCURRENCIES {
        for items in [[1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1]] {
            let expected: Made<u64> = items[..4].iter().copied().map(Ok).collect();
            let inner = tasks.async_stream(items.into_iter().take(4), sleep).max_concurrency(max);
            assert_eq!(inner.collect::<Made<u64>>().await, expected);
            let outer = tasks.async_stream(items, sleep).max_concurrency(max).take(4);
            assert_eq!(outer.collect::<Made<u64>>().await, expected);
        }
        let outer = tasks.async_stream(1..=8, fails).max_concurrency(max).take(4);
        assert_eq!(outer.collect::<Made<u64>>().await, ["1", "2", "3", "4"].map(why));
    }
    all_gone(&tasks).await;
}

/// Elixir Task: `async_stream with max_concurrency, is zippable on success`, `is zippable with slowest first`.
#[tokio::test(start_paused = true)]
async fn two_streams_may_be_zipped() {
    let tasks = TaskSupervisor::new();
    let stream = || tasks.async_stream([4, 3, 2, 1], sleep).max_concurrency(2);
    let pairs: Vec<_> = stream().zip(stream()).collect().await;
    assert_eq!(pairs, [4, 3, 2, 1].map(|n| (Ok(n), Ok(n))));
}

/// Elixir Task.Supervisor: `async_stream with timeout and :zip_input_on_exit set to true`, `with outer halt on failure and
/// :zip_input_on_exit`. Clause 20.17: an ordered stream has a result for each item, so that the two can be zipped.
#[tokio::test(start_paused = true)]
async fn results_may_be_zipped_with_their_items() {
    let tasks = TaskSupervisor::new();
    let late = tasks.async_stream([1, 100], sleep).timeout(ms(50));
    let pairs: Vec<_> = late.zip(futures::stream::iter([1, 100])).collect().await;
    assert_eq!(pairs, [(Ok(1), 1), (Err(TaskError::Timeout), 100)]);
    let fails = tasks.async_stream(1..=8, |n: u32| async move { exited::<u32>(&n.to_string()) });
    let pairs: Vec<_> = fails.zip(futures::stream::iter(1..=8)).take(4).collect().await;
    assert_eq!(pairs, [(why("1"), 1), (why("2"), 2), (why("3"), 3), (why("4"), 4)]);
}

/// Elixir Task.Supervisor: `async_stream consuming from another process`. Clause 20.17.
#[tokio::test]
async fn another_task_may_consume_the_stream() {
    let tasks = TaskSupervisor::new();
    let stream = tasks.async_stream([1, 2, 3], |n: u32| async move { Ok(n) });
    let made = tokio::spawn(stream.collect::<Made<u32>>()).await.unwrap();
    assert_eq!(made, [Ok(1), Ok(2), Ok(3)]);
}

/// Elixir Task: `async_stream/2 wrapping a flat_map/concat with a haltable stream`. Clause 20.17: the input may be a
/// stream that has nothing for a while; what is made meanwhile comes.
#[tokio::test(start_paused = true)]
async fn the_input_may_be_a_stream() {
    let tasks = TaskSupervisor::new();
    let (send, mut receive) = tokio::sync::mpsc::channel(1);
    let input = poll_fn(move |cx| receive.poll_recv(cx));
    let input = futures::stream::iter([7]).take(1).chain(input);
    let mut stream = pin!(tasks.async_stream_of(input, sleep));
    assert_eq!(stream.next().await, Some(Ok(7)));
    assert!(tokio::time::timeout(LONG, stream.next()).await.is_err(), "there is nothing to do");
    send.send(8).await.unwrap();
    assert_eq!(stream.next().await, Some(Ok(8)));
    drop(send);
    assert_eq!(stream.next().await, None);
}

/// Clause 20.17: nothing is pulled before it is asked for, and never more tasks run than may.
#[tokio::test(start_paused = true)]
async fn no_more_tasks_run_than_may() {
    let tasks = TaskSupervisor::new();
    let (running, most) = (Alive::default(), Arc::new(AtomicUsize::new(0)));
    let (counted, seen) = (running.clone(), Arc::clone(&most));
    let stream = tasks.async_stream(0..100, move |n: u64| {
        let held = counted.one();
        seen.fetch_max(counted.count(), Ordering::Relaxed);
        async move {
            let _held = held;
            sleep(n * 7 % 11).await
        }
    });
    let stream = stream.max_concurrency(3).ordered(false);
    settle().await;
    assert_eq!(tasks.count(), 0);
    assert_eq!(stream.count().await, 100);
    assert_eq!(most.load(Ordering::Relaxed), 3);
}

/// Clause 20.17: while a slow first item is awaited, results do not pile up.
#[tokio::test(start_paused = true)]
async fn a_slow_first_item_holds_up_the_input() {
    let check = async |buffer: Option<usize>, in_hand: usize| {
        let tasks = TaskSupervisor::new();
        let pulled = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&pulled);
        let items = (0..1000_u64).inspect(move |_| add_one(&counted));
        let slow_first = |n| async move { if n == 0 { sleep(4000).await } else { sleep(1).await } };
        let mut stream = tasks.async_stream(items, slow_first).max_concurrency(4);
        if let Some(buffer) = buffer {
            stream = stream.buffer(buffer);
        }
        let mut stream = pin!(stream);
        assert!(tokio::time::timeout(ms(3000), stream.next()).await.is_err());
        assert_eq!(pulled.load(Ordering::Relaxed), in_hand, "{buffer:?}");
        assert_eq!(tasks.count(), 1);
        assert_eq!(stream.next().await, Some(Ok(4000)));
        assert_eq!(stream.count().await, 999, "and then it goes on");
    };
    check(None, 8).await;
    check(Some(0), 4).await;
    check(Some(20), 24).await;
}

/// Clauses 20.15, 20.19: the supervisor's shutdown ends its streams.
#[tokio::test]
async fn a_shutdown_ends_a_stream() {
    let tasks = TaskSupervisor::new();
    let mut stream = pin!(tasks.async_stream(0..9, |_: u32| forever()).max_concurrency(2));
    assert!(futures::poll!(stream.next()).is_pending());
    assert!(tasks.shutdown(LONG).await.is_empty());
    assert_eq!(stream.next().await, Some(Err(TaskError::Start(TaskStartError::Closed))));
    assert_eq!(stream.next().await, None);
}

/// Clause 20.17: a stream may be sent, and bounds what it may yield: one more than its items, for a panic of the input.
#[tokio::test]
async fn a_stream_says_how_much_it_may_yield() {
    fn sendable<T: Send>(it: T) -> T {
        it
    }
    let tasks = TaskSupervisor::new();
    let mut stream = sendable(tasks.async_stream(0..3, |n: u32| async move { Ok(n) }));
    assert_eq!(stream.size_hint(), (0, Some(4)));
    assert_eq!(stream.next().await, Some(Ok(0)));
    assert!(stream.size_hint().1 >= Some(2));
    assert_eq!(stream.by_ref().count().await, 2);
    assert_eq!(stream.size_hint(), (0, Some(0)));
    assert!(matches!(futures::poll!(stream.next()), Poll::Ready(None)));
}
