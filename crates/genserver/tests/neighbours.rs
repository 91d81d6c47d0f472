//! Who else runs on a worker beside servers with deep queues: the runtime's driver, and tasks that are always ready. Counted in
//! polls and messages, on a runtime of one thread.

use restante_genserver::{Context, ExitReason, GenServer, Init, Next, Reply, Server, ServerRef, Step, start};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::yield_now;

/// Passes each token on to the next.
struct Relay {
    next: Option<ServerRef<Relay>>,
    passed: Arc<AtomicU64>,
    /// How long it takes for a token.
    takes: Duration,
}

/// A turn of messages that take so long each is not made longer, however quick the machine is.
const SLOW: Duration = Duration::from_micros(1);

fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

enum Tell {
    Next(ServerRef<Relay>),
    Token,
}

impl GenServer for Relay {
    type Args = (Arc<AtomicU64>, Duration);
    type Call = Reply<()>;
    type Cast = Tell;
    type Info = ();

    async fn init((passed, takes): &Self::Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { next: None, passed: Arc::clone(passed), takes: *takes }))
    }
    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }
    async fn handle_cast(&mut self, tell: Tell, _: &mut Context<Self>) -> Step {
        match tell {
            Tell::Next(next) => self.next = Some(next),
            Tell::Token => {
                spin(self.takes);
                self.passed.fetch_add(1, Ordering::Relaxed);
                if let Some(next) = &self.next {
                    let _ = next.cast(Tell::Token);
                }
            }
        }
        Ok(Next::go())
    }
}

/// A ring of so many servers, with so many tokens in all.
async fn ring(servers: usize, tokens: usize, takes: Duration) -> (Vec<ServerRef<Relay>>, Arc<AtomicU64>) {
    let passed = Arc::default();
    let mut all = Vec::new();
    for _ in 0..servers {
        let settings = restante_genserver::Server::<Relay>::settings().unbounded();
        all.push(settings.start((Arc::clone(&passed), takes)).await.unwrap());
    }
    for (n, server) in all.iter().enumerate() {
        server.cast(Tell::Next(all[(n + 1) % servers].clone())).unwrap();
    }
    for n in 0..tokens {
        all[n % servers].cast(Tell::Token).unwrap();
    }
    (all, passed)
}

/// A ring of so many tasks, by hand, with so many tokens in all: tasks and channels of tokio's.
fn ring_by_hand(tasks: usize, tokens: usize) -> Arc<AtomicU64> {
    let passed: Arc<AtomicU64> = Arc::default();
    let mut ends: Vec<_> = (0..tasks).map(|_| mpsc::unbounded_channel()).collect();
    let senders: Vec<_> = ends.iter().map(|(sender, _)| sender.clone()).collect();
    for n in 0..tokens {
        senders[n % tasks].send(()).unwrap();
    }
    for (n, (_, mut receiver)) in ends.drain(..).enumerate() {
        let (next, passed) = (senders[(n + 1) % tasks].clone(), Arc::clone(&passed));
        tokio::spawn(async move {
            while let Some(()) = receiver.recv().await {
                spin(SLOW);
                passed.fetch_add(1, Ordering::Relaxed);
                let _ = next.send(());
            }
        });
    }
    passed
}

/// How many messages are passed between two looks at the driver, in the mean and at most.
async fn messages_between_looks(passed: &AtomicU64) -> (u64, u64) {
    const LOOKS: u64 = 400;
    // The ring settles down first.
    for _ in 0..50 {
        yield_now().await;
    }
    let (began, mut last, mut most) = (passed.load(Ordering::Relaxed), passed.load(Ordering::Relaxed), 0);
    for _ in 0..LOOKS {
        yield_now().await;
        let now = passed.load(Ordering::Relaxed);
        most = most.max(now - last);
        last = now;
    }
    ((last - began) / LOOKS, most)
}

/// Runs something on a thread and a runtime of its own.
fn alone<T: Send + 'static>(what: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(move || runtime().block_on(what)).join().unwrap()
}

/// Clause 9.7: servers with deep queues let their worker look at its driver as often as tokio's own tasks do, give or take a
/// factor of two.
#[test]
fn deep_queues_do_not_keep_the_driver_waiting() {
    for servers in [1, 2, 8, 32] {
        let theirs =
            alone(async move { messages_between_looks(&ring_by_hand(servers, 512 * servers)).await });
        let ours = alone(async move {
            let (_all, passed) = ring(servers, 512 * servers, SLOW).await;
            messages_between_looks(&passed).await
        });
        assert!(ours.0 > 0 && ours.0 <= 2 * theirs.0, "{servers}: {ours:?} messages, by hand {theirs:?}");
        assert!(ours.1 <= 4 * theirs.1, "{servers}: {ours:?} messages, by hand {theirs:?}");
    }
}

/// Clause 9.7: a turn is 127 messages, and each server with a deep queue has one between two looks.
#[test]
fn between_two_looks_each_server_has_a_turn() {
    for servers in [2, 8] {
        let most_often = alone(async move {
            let (_all, passed) = ring(servers, 512 * servers, SLOW).await;
            let mut times = std::collections::BTreeMap::<u64, u32>::new();
            let mut last = 0;
            for _ in 0..500 {
                yield_now().await;
                let now = passed.load(Ordering::Relaxed);
                *times.entry(now - last).or_default() += 1;
                last = now;
            }
            times.into_iter().max_by_key(|(_, times)| *times).unwrap().0
        });
        assert_eq!(most_often, 127 * servers as u64);
    }
}

/// Clause 9.7: a turn of quick messages is longer, up to a bound.
#[test]
fn quick_messages_do_not_keep_the_driver_waiting_either() {
    for servers in [1, 2, 8] {
        let (_, most) = alone(async move {
            let (_all, passed) = ring(servers, 4096 * servers, Duration::ZERO).await;
            messages_between_looks(&passed).await
        });
        let bound = (191 + 192) * servers as u64;
        assert!(most <= 2 * bound, "{servers}: {most} messages, at most {bound} a lap");
    }
}

/// Clause 9.7: beside tasks that are always ready, a server with a deep queue has turns as they have.
#[tokio::test]
async fn a_server_has_its_turns_beside_tasks_that_are_always_ready() {
    const OTHERS: u64 = 8;
    const TURNS: u64 = 2000;
    let (all, passed) = ring(1, 512, SLOW).await;
    let polls = Arc::new(AtomicU64::new(0));
    let (turns, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for _ in 0..OTHERS {
        let (polls, passed, turns) = (Arc::clone(&polls), Arc::clone(&passed), Arc::clone(&turns));
        let (over, mut last) = (Arc::clone(&over), 0);
        let watches = tasks.is_empty();
        tasks.push(tokio::spawn(poll_fn(move |cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            let now = passed.load(Ordering::Relaxed);
            if watches && std::mem::replace(&mut last, now) != now {
                // The server has had a turn, at least one, since this was polled.
                let turns = turns.fetch_add(1, Ordering::Relaxed) + 1;
                over.fetch_or(turns == TURNS, Ordering::Relaxed);
            }
            if over.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let polls = polls.load(Ordering::Relaxed);
    assert!(polls <= TURNS * OTHERS * 3 / 2, "{TURNS} turns among {polls} polls of {OTHERS} others");
    drop(all);
}

/// Clauses 7.2, 9.7: no message steps in between two turns: a call behind a deep queue comes after what was sent before.
#[tokio::test]
async fn a_call_behind_a_deep_queue_keeps_its_place() {
    let passed: Arc<AtomicU64> = Arc::default();
    let server = start::<Relay>((Arc::clone(&passed), Duration::ZERO)).await.unwrap();
    for n in 1..=50 {
        for _ in 0..700 {
            server.cast(Tell::Token).unwrap();
        }
        for _ in 0..n % 5 {
            yield_now().await;
        }
        server.call(|reply| reply).await.unwrap();
        assert_eq!(passed.load(Ordering::Relaxed), 700 * n);
    }
}

/// How many messages a server has handled when a sender who waits for room is woken, where a message takes so long.
async fn woken_at(takes: Duration) -> u64 {
    /// Notes how far the server is.
    struct Woken(Arc<AtomicU64>, AtomicU64);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.1.store(self.0.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
    let passed = Arc::new(AtomicU64::new(0));
    let server =
        Server::<Relay>::settings().capacity(1024).start((Arc::clone(&passed), takes)).await.unwrap();
    while server.cast(Tell::Token).is_ok() {}
    let woken = Arc::new(Woken(Arc::clone(&passed), AtomicU64::new(0)));
    let mut waiting = Box::pin(server.send(Tell::Token));
    let waker = std::task::Waker::from(Arc::clone(&woken));
    assert!(waiting.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    while passed.load(Ordering::Relaxed) < 1024 {
        yield_now().await;
    }
    woken.1.load(Ordering::Relaxed)
}

/// Clause 3.3: at the end of a turn of slow messages, which is at a look at the clock, a sender who waits is given room.
#[test]
fn a_slow_turn_leaves_no_sender_waiting() {
    let woken_at = alone(woken_at(Duration::from_micros(300)));
    assert!(woken_at < 512 && woken_at % 16 == 15, "{woken_at}");
}

/// Clause 3.3: a quick turn, of 127 messages or some times 64 more, leaves a sender who waits to the next, which has 3 here, and
/// that one does not.
#[test]
fn a_quick_turn_leaves_a_sender_to_the_next() {
    // A turn in which another process had the machine is slow.
    let mut all = (0..100).map(|_| alone(woken_at(Duration::ZERO)));
    assert!(all.any(|woken_at| woken_at < 512 && woken_at % 64 == 2));
}
