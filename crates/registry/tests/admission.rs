//! Who may create, and what those who may not are told.

use crate::heard::Heard;
use crate::support::{free_again, mailbox, nothing_left, sizes};
use futures::future::join_all;
use restante_core::{Address, Mailbox, SettingsError};
use restante_registry::{
    CreateError, DEFAULT_MAX_CONCURRENT_CREATES, MAX_CONCURRENT_CREATES, Overloaded, RegisterError, Registry,
    Retry,
};
use std::convert::Infallible;
use std::future::Future;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Level;

const SLOW: Duration = Duration::from_secs(3);

/// When creations began.
type Starts = Arc<Mutex<Vec<Instant>>>;

/// Takes so long, and notes when it begins.
fn slow(
    starts: &Starts,
    time: Duration,
) -> impl Future<Output = Result<Address<u8>, Infallible>> + Send + 'static {
    let starts = Arc::clone(starts);
    async move {
        starts.lock().unwrap().push(Instant::now());
        tokio::time::sleep(time).await;
        Ok(mailbox())
    }
}

#[track_caller]
fn refusal<R: std::fmt::Debug, E: std::fmt::Debug>(result: &Result<R, CreateError<E>>) -> Overloaded {
    *result.as_ref().unwrap_err().overloaded().unwrap_or_else(|| panic!("not a refusal: {result:?}"))
}

/// Looks a name up all the time, on a thread of its own.
struct Reader {
    looks: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Reader {
    fn start(registry: &Registry, name: &'static str) -> Self {
        let (looks, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (registry, count, stop) = (registry.clone(), Arc::clone(&looks), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let found = registry.find(name, |address: &Address<u8>| address.id()).is_some();
                assert!(found, "it is there all the time");
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { looks, over, thread: Some(thread) }
    }

    /// Returns when it has looked anew, and found: the test hangs where it cannot.
    fn goes_on(looks: &AtomicU64) {
        let before = looks.load(Ordering::Relaxed);
        while looks.load(Ordering::Relaxed) < before + 2 {
            std::thread::yield_now();
        }
    }

    fn stop(mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Row F8: exactly as many start as there are places; the others are told at once.
/// Clause 27.1.
#[tokio::test(start_paused = true)]
async fn two_hundred_creates_at_once_fill_the_places_and_the_rest_is_refused_at_once() {
    let registry = Registry::start();
    let (starts, began) = (Starts::default(), Instant::now());
    let create = async |i: u32| {
        let result = registry.create(format!("c{i}"), slow(&starts, SLOW)).await;
        (result, began.elapsed())
    };
    let results = join_all((0..200).map(create)).await;
    let (done, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(|(result, _)| result.is_ok());
    assert_eq!((done.len(), refused.len()), (100, 100));
    assert_eq!(*starts.lock().unwrap(), vec![began; 100], "who is refused is not polled");
    assert!(done.iter().all(|(_, after)| *after == SLOW), "{done:?}");
    for (result, after) in refused {
        let overloaded = refusal(&result);
        assert_eq!((overloaded.active, overloaded.max), (100, 100));
        assert_eq!((overloaded.retry_after, after), (Duration::from_secs(5), Duration::ZERO));
    }
    assert_eq!(registry.sizes(), sizes(100, 100));
    let capacity = registry.capacity();
    assert_eq!((capacity.total_creates, capacity.total_failures, capacity.total_refusals), (100, 0, 100));
    drop(done);
    nothing_left(&registry).await;
}

/// Rows F1, F3 and F8: all come through in two waves, nothing is left over, and readers never wait.
#[tokio::test(start_paused = true)]
async fn two_hundred_creates_come_through_in_two_waves_while_readers_read() {
    let registry = Registry::start();
    let known = mailbox();
    registry.register(&known, "known").await.unwrap();
    let reader = Reader::start(&registry, "known");
    let (starts, began) = (Starts::default(), Instant::now());
    let seed = 1..;
    let create = async |(i, seed): (u32, u64)| {
        let retry = Retry::default().seed(seed);
        let make = || {
            let (make, looks) = (slow(&starts, SLOW), Arc::clone(&reader.looks));
            async move {
                Reader::goes_on(&looks);
                make.await
            }
        };
        let created = registry.create_with_retry(format!("c{i}"), retry, make).await.unwrap();
        Reader::goes_on(&reader.looks);
        created
    };
    let mut created = join_all((0..200).zip(seed).map(create)).await;
    let after: Vec<_> = starts.lock().unwrap().iter().map(|start| *start - began).collect();
    let (first, second): (Vec<_>, Vec<_>) = after.iter().partition(|after| after.is_zero());
    assert_eq!((first.len(), second.len()), (100, 100), "two waves");
    let again = Duration::from_secs(5)..=Duration::from_millis(6251);
    assert!(second.iter().all(|after| again.contains(after)), "{second:?}");
    let capacity = registry.capacity();
    assert_eq!((capacity.active_creates, capacity.queued), (0, 0));
    assert_eq!((capacity.total_creates, capacity.total_failures, capacity.total_refusals), (200, 0, 100));
    assert_eq!(registry.sizes(), sizes(201, 201));
    assert!(registry.validate_consistency().is_consistent());
    for (i, address) in created.iter().enumerate() {
        assert_eq!(registry.id_of(&format!("c{i}")), Some(address.id()));
    }
    created.clear();
    assert_eq!(registry.sizes(), sizes(1, 1));
    reader.stop();
    drop(known);
    nothing_left(&registry).await;
}

/// Row F2: the limit is exact.
/// Clause 27.1.
#[tokio::test(start_paused = true)]
async fn of_n_and_one_slow_creates_exactly_one_is_refused() {
    for n in [1_usize, 10, 100] {
        let registry = Registry::builder().max_concurrent_creates(n).start();
        let starts = Starts::default();
        let create = |i| registry.create(format!("c{i}"), slow(&starts, SLOW));
        let (done, refused): (Vec<_>, Vec<_>) =
            join_all((0..=n).map(create)).await.into_iter().partition(Result::is_ok);
        assert_eq!((done.len(), refused.len(), starts.lock().unwrap().len()), (n, 1, n));
        drop((done, refused));
        nothing_left(&registry).await;
    }
}

/// Row F3: every field, on the way up and down again.
#[tokio::test(start_paused = true)]
async fn capacity_tells_how_much_there_is_to_do() {
    let registry = Registry::builder().max_concurrent_creates(4).start();
    let idle = registry.capacity();
    assert!(idle.can_accept_more);
    assert_eq!((idle.active_creates, idle.max_concurrent, idle.load_percentage), (0, 4, 0));
    assert_eq!((idle.retry_after, idle.average_create_time), (Duration::ZERO, None));
    assert_eq!((idle.total_creates, idle.total_failures, idle.total_refusals, idle.queued), (0, 0, 0, 0));
    let starts = Starts::default();
    let mut running = Vec::new();
    for (active, load, wait_ms) in [(1, 25, 0), (2, 50, 0), (3, 75, 100), (4, 100, 5000)] {
        let mut creation = Box::pin(registry.create(format!("c{active}"), slow(&starts, SLOW)));
        assert!(futures::poll!(&mut creation).is_pending());
        running.push(creation);
        let now = registry.capacity();
        assert_eq!((now.active_creates, now.load_percentage), (active, load));
        assert_eq!((now.retry_after.as_millis(), now.can_accept_more), (wait_ms, active < 4));
    }
    let overloaded = refusal(&registry.create("c5", slow(&starts, SLOW)).await);
    assert_eq!((overloaded.active, overloaded.max), (4, 4));
    let created = join_all(running).await;
    let failed = registry.create("c6", async { Err::<Address<u8>, _>("no") }).await;
    assert_eq!(failed.unwrap_err(), CreateError::Failed("no"));
    let over = registry.capacity();
    assert_eq!((over.active_creates, over.load_percentage, over.can_accept_more), (0, 0, true));
    assert_eq!((over.total_creates, over.total_failures, over.total_refusals), (5, 1, 1));
    assert_eq!(over.average_create_time, Some(SLOW), "of those that succeeded");
    assert!(created.iter().all(Result::is_ok));
}

/// Row F2: at run time; what is under way stays.
#[tokio::test(start_paused = true)]
async fn the_limit_is_changed_at_run_time() {
    let registry = Registry::builder().max_concurrent_creates(0).start();
    let starts = Starts::default();
    let overloaded = refusal(&registry.create("c", slow(&starts, SLOW)).await);
    assert_eq!((overloaded.active, overloaded.max), (0, 0));
    assert!(!registry.capacity().can_accept_more);
    assert_eq!(registry.set_max_concurrent_creates(2), 0);
    let mut two = Vec::from(["a", "b"].map(|name| Box::pin(registry.create(name, slow(&starts, SLOW)))));
    for creation in &mut two {
        assert!(futures::poll!(creation).is_pending());
    }
    assert_eq!(registry.set_max_concurrent_creates(1), 2);
    assert_eq!(registry.capacity().load_percentage, 200);
    assert_eq!(refusal(&registry.create("c", slow(&starts, SLOW)).await).active, 2);
    assert!(join_all(two).await.iter().all(Result::is_ok));
    drop(registry.create("c", slow(&starts, SLOW)).await.unwrap());
    nothing_left(&registry).await;
}

/// A mailbox that is made by the registry takes a place too.
#[tokio::test]
async fn making_a_mailbox_is_a_creation() {
    let registry = Registry::builder().max_concurrent_creates(0).start();
    let refused = registry.create_mailbox(Mailbox::<u8>::settings()).await.unwrap_err();
    assert!(matches!(refused, RegisterError::Overloaded(_)), "{refused}");
    registry.set_max_concurrent_creates(1);
    drop(registry.create_mailbox(Mailbox::<u8>::settings()).await.unwrap());
    let capacity = registry.capacity();
    assert_eq!((capacity.total_creates, capacity.total_failures, capacity.total_refusals), (1, 0, 1));
    nothing_left(&registry).await;
}

/// The place comes first, then the mailbox; settings that make none are an error, and the place is free again.
#[tokio::test]
async fn settings_that_make_no_mailbox_are_refused_and_give_the_place_back() {
    let registry = Registry::builder().max_concurrent_creates(1).start();
    let bad = || Mailbox::<u8>::settings().capacity(0);
    for _ in 0..3 {
        let refused = registry.create_mailbox(bad()).await.unwrap_err();
        assert_eq!(refused, RegisterError::Settings(SettingsError::ZeroCapacity));
    }
    registry.set_max_concurrent_creates(0);
    let refused = registry.create_mailbox(bad()).await.unwrap_err();
    assert!(matches!(refused, RegisterError::Overloaded(_)), "{refused}");
    registry.set_max_concurrent_creates(1);
    let capacity = registry.capacity();
    assert_eq!((capacity.active_creates, capacity.total_creates), (0, 0));
    let there = registry.clone();
    let blocking = std::thread::spawn(move || there.create_mailbox_blocking(bad()).unwrap_err());
    assert_eq!(blocking.join().unwrap(), RegisterError::Settings(SettingsError::ZeroCapacity));
    drop(registry.create_mailbox(Mailbox::<u8>::settings()).await.unwrap());
    nothing_left(&registry).await;
}

/// Row F2: the actor's queue is bounded; a caller that finds it full is told at once, and the caller's place is free again.
#[tokio::test(start_paused = true)]
async fn a_full_queue_is_overload() {
    let registry = Registry::builder().queue(3).max_concurrent_creates(10).start();
    let boxes: Vec<_> = (0..5).map(|_| mailbox()).collect();
    registry.register(&boxes[0], "first").await.unwrap();
    assert!(registry.sys().suspend());
    let mut queued: Vec<_> =
        (1..4).map(|i| Box::pin(registry.register(&boxes[i], format!("queued {i}")))).collect();
    for registration in &mut queued {
        assert!(futures::poll!(registration).is_pending());
    }
    assert_eq!(registry.capacity().queued, 3);
    let began = Instant::now();
    let refused = registry.register(&boxes[4], "last").await.unwrap_err();
    let RegisterError::Overloaded(overloaded) = refused else { panic!("{refused}") };
    assert_eq!((overloaded.queued, overloaded.active, overloaded.max), (3, 0, 10));
    let overloaded = refusal(&registry.create("last", slow(&Starts::default(), SLOW)).await);
    assert_eq!((overloaded.queued, began.elapsed()), (3, Duration::ZERO));
    let capacity = registry.capacity();
    assert_eq!((capacity.active_creates, capacity.total_refusals), (0, 2));
    assert_eq!((capacity.total_creates, capacity.total_failures), (0, 0), "who was refused did not begin");
    assert!(registry.sys().resume());
    assert!(join_all(queued).await.iter().all(Result::is_ok));
    assert_eq!(registry.sizes(), sizes(4, 4));
    free_again(&registry, "last").await;
}

/// Rows F2 and F3: a refusal is retried no sooner than suggested, so often as asked, and other errors are not.
/// Clause 27.6.
#[tokio::test(start_paused = true)]
async fn a_retry_honours_the_delay_and_gives_up() {
    let registry = Registry::builder().max_concurrent_creates(0).retry_after(Duration::from_secs(7)).start();
    let began = Instant::now();
    let tries = Arc::new(AtomicU64::new(0));
    let make = || {
        tries.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, Infallible>(mailbox()) }
    };
    let retry = Retry::default().attempts(3).jitter(0.0);
    let given_up = refusal(&registry.create_with_retry("c", retry, make).await);
    assert_eq!((given_up.max, tries.load(Ordering::Relaxed)), (0, 3));
    assert_eq!(began.elapsed(), Duration::from_secs(14));
    registry.set_max_concurrent_creates(1);
    let fails = || {
        tries.fetch_add(1, Ordering::Relaxed);
        async { Err::<Address<u8>, _>("no") }
    };
    let failed = registry.create_with_retry("c", retry, fails).await;
    assert_eq!((failed.unwrap_err(), tries.load(Ordering::Relaxed)), (CreateError::Failed("no"), 4));
    let none = Retry::default().attempts(0);
    drop(registry.create_with_retry("c", none, make).await.expect("zero counts as one"));
    nothing_left(&registry).await;
}

/// Row F2: logged at the start; refusals are warnings.
#[tokio::test]
async fn the_limit_and_refusals_are_told_to_tracing() {
    let (heard, _guard) = Heard::listen();
    let registry = Registry::builder().name("told").max_concurrent_creates(1).queue(9).start();
    let info = heard.take_at(Level::INFO);
    assert_eq!(info.len(), 1, "{info:?}");
    assert_eq!(["registry", "max_concurrent_creates", "queue"].map(|f| info[0].get(f)), ["told", "1", "9"]);
    registry.set_max_concurrent_creates(0);
    let info = heard.take_at(Level::INFO);
    assert_eq!(["old", "max"].map(|field| info[0].get(field)), ["1", "0"]);
    refusal(&registry.create("c", slow(&Starts::default(), SLOW)).await);
    let warnings = heard.take_at(Level::WARN);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].get("registry"), "told");
    assert!(warnings[0].get("overloaded").contains("0 of 0"), "{warnings:?}");
}

/// Says to this test, run again by itself, what it is to find.
const EXPECTED: &str = "RESTANTE_TEST_EXPECTED_LIMIT";

/// Row F2: the environment says what the limit is where the builder does not. The test runs in a process of its own, since
/// what the environment says is every thread's.
#[test]
fn the_environment_says_the_limit() {
    if let Ok(expected) = std::env::var(EXPECTED) {
        let limit = Registry::start().capacity().max_concurrent;
        assert_eq!(limit.to_string(), expected);
        let told = Registry::builder().max_concurrent_creates(3).start();
        assert_eq!(told.capacity().max_concurrent, 3, "the builder goes first");
        return;
    }
    let default = DEFAULT_MAX_CONCURRENT_CREATES.to_string();
    for (says, expected) in [("7", "7"), (" 12 ", "12"), ("0", "0"), ("many", &*default), ("-1", &*default)] {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "admission::the_environment_says_the_limit"])
            .env(MAX_CONCURRENT_CREATES, says)
            .env(EXPECTED, expected)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && text.contains("1 passed"), "{says}: {text}");
    }
}
