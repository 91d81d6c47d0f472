//! restante's registry: as a directory like others, and what it does that no other has.

use std::{
    convert::Infallible,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use restante_core::{Address, Mailbox, Settings};
use restante_genserver::ServerRef;
use restante_registry::{Registry, Retry};
use tokio::{sync::oneshot, task::JoinSet, time::sleep};

use super::restante::{Cast, Host, Restante};
use crate::{
    directory::Directory,
    measured::{Measured, Stopwatch, growth_each, percentile_999, resident_bytes},
    system::{Behaviour, Start, System},
    workload::{ADMISSIONS, Registry as Work},
};

/// Lends what it finds.
pub(crate) struct Names(pub(super) Registry);

impl Directory<Restante> for Names {
    async fn start<B: Behaviour<Restante>>(&self, name: &str, behaviour: B) -> ServerRef<Host<B>> {
        let server = Restante::start(Start::UNBOUNDED, behaviour).await;
        self.0.register(&server, name).await.expect("the name is free");
        server
    }

    async fn register<B: Behaviour<Restante>>(&self, name: &str, server: &ServerRef<Host<B>>, _: B) {
        self.0.register(server, name).await.expect("the name is free");
    }

    async fn unregister(&self, name: &str) {
        assert!(self.0.unregister(name));
    }

    #[inline]
    fn with<B: Behaviour<Restante>, R>(
        &self,
        name: &str,
        used: impl FnOnce(&ServerRef<Host<B>>) -> R,
    ) -> Option<R> {
        self.0.find(name, used)
    }
}

pub(super) async fn measure(work: Work, count: u64) -> Measured {
    match work {
        Work::Create => create(count).await,
        Work::Validate => validate(count).await,
        Work::Admission => admission().await,
        Work::CreateBlocking => create_blocking(count).await,
    }
}

fn settings() -> Settings<Cast> {
    Mailbox::settings().unbounded()
}

fn bare_mailbox() -> Mailbox<Cast> {
    let mailbox = Mailbox::with(settings()).expect("sound settings");
    // In a registry it has an id.
    black_box(mailbox.id());
    mailbox
}

/// Creates mailboxes without a name, one after the other. What an entry takes is what they take more than as many that
/// no registry knows of.
async fn create(count: u64) -> Measured {
    let room = usize::try_from(count).expect("a count of mailboxes fits");
    let before = resident_bytes();
    let mut bare = Vec::with_capacity(room);
    for _ in 0..count {
        bare.push(bare_mailbox());
    }
    let bare_each = growth_each(before, count);

    let registry = Registry::start();
    let mut registered = Vec::with_capacity(room);
    let before = resident_bytes();
    let watch = Stopwatch::start();
    for _ in 0..count {
        registered.push(registry.create_mailbox(settings()).await.expect("there is a place"));
    }
    let mut measured = watch.stop(count);
    measured.bytes_per_actor = growth_each(before, count).zip(bare_each).map(|(with, bare)| with - bare);

    assert_eq!(registry.sizes().mailboxes, count);
    for mailbox in registered.iter().step_by(room.div_ceil(1000)) {
        assert_eq!(registry.id_of(mailbox.id()), Some(mailbox.id()));
    }
    measured
}

/// Checks a registry of so many mailboxes, with a name each, by a snapshot: time and again while a thread looks up.
async fn validate(count: u64) -> Measured {
    const TIMES: u64 = 5;
    let registry = Registry::start();
    let mut mailboxes = Vec::new();
    for number in 0..count {
        let mailbox = bare_mailbox();
        registry.register(&mailbox.address(), name(number)).await.expect("the name is free");
        mailboxes.push(mailbox);
    }

    let reader = Reader::start(&registry, count);
    reader.idle().await;
    reader.enter(Phase::Meanwhile);
    let watch = Stopwatch::start();
    for _ in 0..TIMES {
        let found = registry.validate_consistency();
        assert!(found.is_consistent() && found.unnamed_mailboxes.is_empty());
    }
    let measured = watch.stop(TIMES * count);
    reader.end(measured).await
}

/// 200 creations of 30 ms at once, of which 100 are admitted: the others come back as late as they are told, and in no
/// need to come a third time. (Scaled 1:100: 3 s each, and 5 s until one comes back.)
async fn admission() -> Measured {
    const TAKES: Duration = Duration::from_millis(30);
    const RETRY_AFTER: Duration = Duration::from_millis(50);
    const AT_ONCE: u64 = 100;
    let places = usize::try_from(AT_ONCE).expect("it fits");
    let registry = Registry::builder().max_concurrent_creates(places).retry_after(RETRY_AFTER).start();
    let mut mailboxes = Vec::new();
    for number in 0..READ {
        let mailbox = bare_mailbox();
        registry.register(&mailbox.address(), name(number)).await.expect("the name is free");
        mailboxes.push(mailbox);
    }

    let reader = Reader::start(&registry, READ);
    reader.idle().await;
    let started = Arc::new(AtomicU64::new(0));
    let mut creations = JoinSet::new();
    reader.enter(Phase::Meanwhile);
    let watch = Stopwatch::start();
    for number in 0..ADMISSIONS {
        let (registry, started) = (registry.clone(), Arc::clone(&started));
        creations.spawn(async move {
            let make = || {
                let started = Arc::clone(&started);
                async move {
                    started.fetch_add(1, Ordering::Relaxed);
                    sleep(TAKES).await;
                    Ok::<_, Infallible>(bare_mailbox().address())
                }
            };
            let retry = Retry::default();
            registry.create_with_retry(format!("created-{number}"), retry, make).await.expect("it is created")
        });
    }
    // The first wave is under way, and the others have been told.
    while registry.capacity().total_refusals + started.load(Ordering::Relaxed) < ADMISSIONS {
        tokio::task::yield_now().await;
    }
    let refused = registry.capacity().total_refusals;
    assert_eq!((started.load(Ordering::Relaxed), refused), (AT_ONCE, ADMISSIONS - AT_ONCE));
    let created: Vec<Address<Cast>> = creations.join_all().await;
    let measured = watch.stop(1);

    let capacity = registry.capacity();
    assert_eq!(capacity.total_refusals, refused, "two waves: nobody comes a third time");
    assert_eq!((capacity.active_creates, capacity.total_creates), (0, ADMISSIONS));
    assert_eq!(started.load(Ordering::Relaxed), ADMISSIONS);
    drop(created);
    assert_eq!(registry.sizes().mailboxes, READ, "nothing is left over");
    reader.end(measured).await
}

/// Creates under a name each, from a thread that belongs to no runtime. The creation itself has nothing to wait for.
async fn create_blocking(count: u64) -> Measured {
    let registry = Registry::start();
    let (done, measured) = oneshot::channel();
    thread::spawn(move || {
        let mut created: Vec<Address<Cast>> = Vec::new();
        let watch = Stopwatch::start();
        for number in 0..count {
            let make = async { Ok::<_, Infallible>(bare_mailbox().address()) };
            created.push(registry.creation().name(name(number)).run_blocking(make).expect("it is created"));
        }
        let measured = watch.stop(count);
        assert_eq!(registry.sizes().names, count);
        let _ = done.send(measured);
    });
    measured.await.expect("the thread ends well")
}

fn name(number: u64) -> String {
    format!("mailbox-{number:07}")
}

/// A thread that looks up names, and remembers how long each look-up took, the clock's own time included.
struct Reader {
    phase: Arc<AtomicU8>,
    thread: JoinHandle<[Vec<u32>; 2]>,
}

/// How many names a reader looks up, of those that there are.
const READ: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Meanwhile,
    Over,
}

impl Reader {
    /// Looks up names from among `of`, again and again.
    fn start(registry: &Registry, of: u64) -> Self {
        /// More are not remembered; that is the memory of a second or two.
        const MOST: usize = 20_000_000;
        let phase = Arc::new(AtomicU8::new(Phase::Idle as u8));
        let (registry, now) = (registry.clone(), Arc::clone(&phase));
        let thread = thread::spawn(move || {
            let step = of.div_ceil(READ);
            let mut names: Vec<_> = (0..of / step).map(|i| name(i * step)).collect();
            fastrand::Rng::with_seed(1).shuffle(&mut names);
            let mut took = [Phase::Idle, Phase::Meanwhile].map(|_| Vec::new());
            for name in names.iter().cycle() {
                let phase = usize::from(now.load(Ordering::Relaxed));
                let Some(took) = took.get_mut(phase) else { break };
                let began = Instant::now();
                let found = registry.find(name.as_str(), |mailbox: &Address<Cast>| {
                    black_box(mailbox);
                });
                let nanos = began.elapsed().as_nanos();
                assert!(found.is_some());
                if took.len() < MOST {
                    took.push(u32::try_from(nanos).unwrap_or(u32::MAX));
                }
            }
            took
        });
        Self { phase, thread }
    }

    /// Lets it read with nothing else going on.
    async fn idle(&self) {
        sleep(Duration::from_millis(500)).await;
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Ends it; what it has seen goes to what was measured meanwhile.
    async fn end(self, measured: Measured) -> Measured {
        self.enter(Phase::Over);
        let joined = tokio::task::spawn_blocking(|| self.thread.join());
        let took = joined.await.expect("the join ends").expect("the reader ends well");
        let [idle, meanwhile] = took.map(percentile_999);
        Measured { readers_idle_ns: idle, readers_meanwhile_ns: meanwhile, ..measured }
    }
}
