//! Where a registry begins and ends, and who may call it from where.

use crate::heard::Heard;
use crate::support::{AGES, Counter, free_again, made, mailbox, never, nothing_left, sizes};
use futures::FutureExt;
use futures::executor::block_on;
use restante_core::{Address, ExitReason, Mailbox};
use restante_genserver::start;
use restante_registry::{CreateError, LookupError, Outcome, RegisterError, Registry, Retry};
use restante_testkit::{eventually, settled};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tracing::Level;

/// A registry that works: by every way in.
async fn works(registry: &Registry, name: &str) {
    let kept = mailbox();
    registry.register(&kept, name).await.unwrap();
    assert_eq!(registry.id_of(name), Some(kept.id()));
    drop(kept);
    let created: Address<u8> = registry.create(name, made()).await.unwrap();
    assert_eq!(registry.id_of(name), Some(created.id()));
    drop(created);
    assert!(!registry.contains(name));
}

static LAZY: LazyLock<Registry> = LazyLock::new(Registry::start);

/// Row F5: inside either kind of runtime, outside of any, on a plain thread, in a lazy static, the global one.
#[test]
fn a_registry_begins_anywhere() {
    let works = |registry: &Registry| {
        block_on(works(registry, "x"));
        assert_eq!(registry.sizes(), sizes(0, 0));
        registry.clone()
    };
    let outside = works(&Registry::start());
    let on_thread = std::thread::spawn(move || works(&Registry::start())).join().unwrap();
    let lazy = works(&LAZY);
    for runtime in [Builder::new_current_thread().enable_all().build().unwrap(), Runtime::new().unwrap()] {
        let inside = runtime.block_on(async {
            let registry = Registry::start();
            self::works(&registry, "x").await;
            self::works(&outside, "x").await;
            self::works(Registry::global(), "anywhere").await;
            registry
        });
        drop(runtime);
        assert!(inside.ended().is_some(), "it was in that runtime");
    }
    for registry in [outside, on_thread, lazy] {
        works(&registry);
    }
}

/// Row F5: the lazy static is first asked for inside a runtime, which ends. Its registry would end with that runtime: a
/// static that is to live longer is told its runtime, as the global one is.
#[test]
fn the_global_registry_outlives_the_runtime_that_asked_for_it_first() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(works(Registry::global(), "outlives"));
    drop(runtime);
    assert_eq!(Registry::global().ended(), None);
    block_on(works(Registry::global(), "outlives"));
}

/// Row F7: a plain thread waits by itself; inside a runtime it is told not to, and nothing has happened.
#[test]
fn plain_threads_may_wait() {
    let registry = Registry::start();
    let kept = mailbox();
    assert_eq!(registry.register_blocking(&kept, "kept"), Ok(()));
    assert_eq!(registry.register_blocking(&kept, "kept"), Ok(()), "it is its own");
    let taken = registry.register_blocking(&mailbox(), "kept");
    assert!(matches!(taken, Err(RegisterError::NameAlreadyExists { .. })), "{taken:?}");
    let created: Address<u8> = registry.creation().name("x").run_blocking(made()).unwrap();
    assert_eq!(registry.id_of("x"), Some(created.id()));
    let failed = registry.creation().run_blocking(async { Err::<Address<u8>, _>("no") });
    assert_eq!(failed.unwrap_err(), CreateError::Failed("no"));
    let server = registry.creation().name("server").run_blocking(start::<Counter>(1)).unwrap();
    assert_eq!(registry.sizes(), sizes(3, 3));
    drop(server);
    let before = registry.capacity();
    Runtime::new().unwrap().block_on(async {
        assert_eq!(registry.register_blocking(&kept, "y"), Err(RegisterError::WouldBlock));
        let polled = Arc::new(AtomicBool::new(false));
        let note = Arc::clone(&polled);
        let refused = registry.creation().name("y").run_blocking(async move {
            note.store(true, Ordering::Relaxed);
            made().await
        });
        assert_eq!(refused.unwrap_err(), CreateError::Refused(RegisterError::WouldBlock));
        assert!(!polled.load(Ordering::Relaxed));
    });
    assert_eq!((registry.capacity(), registry.contains("y")), (before, false));
}

/// Row F7: what adds has a twin each; those of what comes again wait by themselves.
#[test]
fn each_addition_has_a_twin_for_plain_threads() {
    let registry =
        Registry::builder().max_concurrent_creates(1).retry_after(Duration::from_millis(1)).start();
    let (one, two, closing) = (mailbox(), mailbox(), Mailbox::new());
    let closed = closing.address();
    closing.close();
    let answers = registry.insert_many_blocking([&one, &closed, &two]).unwrap();
    assert_eq!(answers, [Ok(()), Err(RegisterError::MailboxDoesNotExist(closed.id())), Ok(())]);
    assert_eq!(registry.register_id_blocking(one.id(), "one"), Ok(()));
    let twice = registry.register_id_blocking(two.id(), "one");
    assert!(matches!(twice, Err(RegisterError::NameAlreadyExists { .. })), "{twice:?}");
    assert!(matches!(registry.register_id_blocking(one.id(), ""), Err(RegisterError::InvalidName(_))));
    // There is no place for the first two tries; the third makes one.
    let tries = AtomicUsize::new(0);
    registry.set_max_concurrent_creates(0);
    let make = || {
        if tries.fetch_add(1, Ordering::Relaxed) == 2 {
            registry.set_max_concurrent_creates(1);
        }
        made()
    };
    let created: Address<u8> = registry.create_with_retry_blocking("made", Retry::default(), make).unwrap();
    assert_eq!((tries.load(Ordering::Relaxed), registry.id_of("made")), (3, Some(created.id())));
    registry.set_max_concurrent_creates(0);
    let given_up: Result<Address<u8>, _> =
        registry.create_with_retry_blocking("x", Retry::default().attempts(2), made);
    assert!(given_up.unwrap_err().overloaded().is_some());
    let before = registry.sizes();
    Runtime::new().unwrap().block_on(async {
        assert_eq!(registry.register_id_blocking(one.id(), "y"), Err(RegisterError::WouldBlock));
        assert_eq!(registry.insert_many_blocking([&mailbox()]), Err(RegisterError::WouldBlock));
        let refused: Result<Address<u8>, _> =
            registry.create_with_retry_blocking("y", Retry::default(), made);
        assert_eq!(refused.unwrap_err(), CreateError::Refused(RegisterError::WouldBlock));
    });
    assert_eq!(registry.sizes(), before);
}

/// Outside of tokio the registry's runtime times the pauses between tries; where it goes meanwhile, the pause is over.
#[test]
fn a_pause_between_tries_ends_with_the_runtime_that_times_it() {
    let home = Runtime::new().unwrap();
    let registry = Registry::builder()
        .max_concurrent_creates(0)
        .retry_after(Duration::from_secs(600))
        .runtime(home.handle().clone())
        .start();
    let (tell, tried) = std::sync::mpsc::channel();
    let waits = std::thread::spawn(move || {
        let make = || {
            tell.send(()).unwrap();
            made()
        };
        let retry = Retry::default().attempts(2);
        let created: Result<Address<u8>, _> =
            futures::executor::block_on(registry.create_with_retry("x", retry, make));
        created.unwrap_err()
    });
    tried.recv().unwrap();
    home.shutdown_timeout(Duration::from_secs(60));
    assert!(waits.join().unwrap().overloaded().is_some());
}

/// The timer of a pause ends with the caller that waits: nothing of it is left in the registry's runtime.
#[test]
fn the_timer_of_a_pause_ends_with_whoever_waits() {
    let home = Builder::new_current_thread().enable_all().build().unwrap();
    let registry = Registry::builder().max_concurrent_creates(0).runtime(home.handle().clone()).start();
    let tasks = || {
        home.block_on(settled());
        home.metrics().num_alive_tasks()
    };
    let before = tasks();
    let mut waits = Box::pin(registry.create_with_retry("x", Retry::default(), made));
    assert!(waits.as_mut().now_or_never().is_none());
    assert_eq!(tasks(), before + 1);
    drop(waits);
    assert_eq!(tasks(), before);
}

/// A mailbox is in under a name, whose entry has clean-up that never ends.
fn cleans_up_for_ever(registry: &Registry) -> Address<u8> {
    let kept = mailbox();
    registry.register_blocking(&kept, "kept").unwrap();
    assert!(registry.entry("kept").unwrap().on_close(|_| std::future::pending()).is_ok());
    kept
}

/// Outside of tokio there is no timer but the registry's runtime's.
/// Clause 26.11.
#[test]
fn a_shutdown_keeps_its_limit_on_a_foreign_executor() {
    let registry = Registry::start();
    let _kept = cleans_up_for_ever(&registry);
    let report = block_on(registry.shutdown(Duration::from_millis(20)));
    assert_eq!((report.cleanups, report.creations, report.actor_stopped), (1, 0, true));
    // Where that runtime has gone nothing is left to wait for.
    let home = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let registry = Registry::builder().runtime(home.handle().clone()).start();
    let _kept = cleans_up_for_ever(&registry);
    drop(home);
    assert!(block_on(registry.shutdown(AGES)).is_clean());
}

/// What a registry that lives in `home` times: creations, pauses, its end.
async fn keeps_its_limits(home: &Runtime) {
    let registry = Registry::builder()
        .runtime(home.handle().clone())
        .retry_after(Duration::from_millis(1))
        .max_concurrent_creates(1)
        .start();
    let limit = Duration::from_millis(1);
    let late = registry.creation().name("x").timeout(limit).run(never(Arc::new(()))).await;
    assert_eq!(late.unwrap_err(), CreateError::Timeout(limit));
    works(&registry, "x").await;
    let max = registry.set_max_concurrent_creates(0);
    let refused: Result<Address<u8>, _> =
        registry.create_with_retry("x", Retry::default().attempts(3), made).await;
    assert!(refused.unwrap_err().overloaded().is_some());
    registry.set_max_concurrent_creates(max);
    let kept = mailbox();
    registry.register(&kept, "kept").await.unwrap();
    assert!(registry.entry("kept").unwrap().on_close(|_| std::future::pending()).is_ok());
    let report = registry.shutdown(Duration::from_millis(20)).await;
    assert_eq!((report.cleanups, report.creations, report.actor_stopped), (1, 0, true));
}

/// A tokio runtime may have no time driver: a caller that waits there, or on another executor, has its time kept elsewhere.
/// Clauses 26.11 and 27.2.
#[test]
fn limits_are_kept_where_there_is_no_timer() {
    let untimed = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let timed = Runtime::new().unwrap();
    untimed.block_on(keeps_its_limits(&untimed));
    block_on(keeps_its_limits(&untimed));
    timed.block_on(keeps_its_limits(&untimed));
    untimed.block_on(keeps_its_limits(&timed));
}

/// A shutdown keeps its limit even if no thread drives the registry's runtime and there is no other runtime.
/// Clause 26.11.
#[test]
fn a_shutdown_on_a_foreign_executor_keeps_its_limit_whoever_drives_the_registry() {
    let home = Builder::new_current_thread().enable_all().build().unwrap();
    let registry = Registry::builder().runtime(home.handle().clone()).start();
    home.block_on(works(&registry, "x"));
    let report = block_on(registry.shutdown(Duration::from_millis(1)));
    assert!(!report.actor_stopped, "{report:?}");
    assert!(home.block_on(registry.shutdown(AGES)).is_clean());
}

/// Dropping a shutdown stops the waiting, not the end: the actor has been told, or will be when it begins.
#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_dropped_ends_the_registry_all_the_same() {
    for begun in [true, false] {
        let registry = Registry::start();
        if begun {
            let kept = mailbox();
            registry.register(&kept, "kept").await.unwrap();
            assert!(registry.entry("kept").unwrap().on_close(|_| std::future::pending()).is_ok());
            assert!(registry.actor().is_alive());
            assert!(registry.shutdown(AGES).now_or_never().is_none());
        } else {
            let _ = registry.shutdown(AGES).now_or_never();
        }
        settled().await;
        assert!(!registry.actor().is_alive(), "begun: {begun}");
        assert_eq!((registry.ended(), registry.sizes()), (Some(ExitReason::Shutdown), sizes(0, 0)));
    }
}

/// Clause 26.11.
#[test]
fn a_plain_thread_ends_a_registry_within_its_limit() {
    let registry = Registry::start();
    let kept = mailbox();
    registry.register_blocking(&kept, "kept").unwrap();
    let inside = Runtime::new().unwrap();
    let refused = inside.block_on(async { registry.shutdown_blocking(AGES) });
    assert_eq!((refused, registry.contains("kept")), (Err(RegisterError::WouldBlock), true));
    assert!(registry.shutdown_blocking(AGES).unwrap().is_clean());
    assert_eq!((registry.ended(), registry.sizes()), (Some(ExitReason::Shutdown), sizes(0, 0)));
    let registry = Registry::start();
    let _kept = cleans_up_for_ever(&registry);
    let report = registry.shutdown_blocking(Duration::from_millis(20)).unwrap();
    assert_eq!((report.cleanups, report.creations, report.actor_stopped), (1, 0, true));
}

/// No thread drives the registry's runtime: the waiting thread has a clock of its own.
/// Clause 26.11.
#[test]
fn a_plain_thread_waits_for_a_runtime_that_stands_still_no_longer_than_it_said() {
    let home = Builder::new_current_thread().enable_all().build().unwrap();
    let registry = Registry::builder().runtime(home.handle().clone()).start();
    home.block_on(works(&registry, "x"));
    let mut creation =
        Box::pin(registry.create("x", std::future::pending::<Result<Address<u8>, Infallible>>()));
    assert!(home.block_on(async { futures::poll!(&mut creation) }).is_pending());
    let report = registry.shutdown_blocking(Duration::from_millis(1)).unwrap();
    assert!(!report.is_clean(), "{report:?}");
    assert!(home.block_on(registry.shutdown(AGES)).is_clean());
}

/// A plain thread looks after its creation's limit where the creation itself cannot.
/// Clause 27.2.
#[test]
fn a_plain_thread_does_not_wait_for_a_creation_that_blocks_its_worker() {
    let registry = Registry::start();
    let (let_go, blocked) = std::sync::mpsc::channel::<()>();
    let (begun, runs) = std::sync::mpsc::channel();
    let blocks = async move {
        begun.send(()).unwrap();
        blocked.recv().unwrap_err();
        made().await
    };
    let limit = Duration::from_millis(1);
    let late = registry.creation().name("x").timeout(limit).run_blocking(blocks);
    assert_eq!(late.unwrap_err(), CreateError::Timeout(limit));
    runs.recv().unwrap();
    drop(let_go);
    Runtime::new().unwrap().block_on(free_again(&registry, "x"));
}

/// A plain thread does not wait beyond the limit for an actor that does not come to the creation: the limit is for both
/// waits. What was queued leaves name and place.
/// Clause 27.2.
#[test]
fn a_plain_thread_waits_for_the_actor_no_longer_than_its_creation_may_take() {
    let still = Builder::new_current_thread().enable_all().build().unwrap();
    let suspended = Registry::start();
    while !suspended.sys().suspend() {
        std::thread::yield_now();
    }
    let standing = Registry::builder().runtime(still.handle().clone()).start();
    let limit = Duration::from_millis(1);
    for registry in [&suspended, &standing] {
        let (polled, alive) = (Arc::new(AtomicBool::new(false)), Arc::new(()));
        let (note, held) = (Arc::clone(&polled), Arc::clone(&alive));
        let making = async move {
            note.store(true, Ordering::Relaxed);
            never(held).await
        };
        let late = registry.creation().name("x").timeout(limit).run_blocking(making);
        assert_eq!(late.unwrap_err(), CreateError::Timeout(limit));
        assert_eq!((registry.capacity().active_creates, Arc::strong_count(&alive)), (0, 1));
        assert!(!polled.load(Ordering::Relaxed));
    }
    suspended.sys().resume();
    Runtime::new().unwrap().block_on(free_again(&suspended, "x"));
    still.block_on(free_again(&standing, "x"));
}

/// Ends a registry that lives in this runtime.
type End = fn(&Registry, Runtime);

/// Whatever ends while a plain thread waits, it is told.
/// Clause 27.4.
#[test]
fn a_blocking_creation_ends_whatever_becomes_of_its_registry() {
    let ends: [(&str, End); 3] = [
        ("runtime", |_, home| home.shutdown_background()),
        ("registry", |registry, home| {
            home.block_on(registry.shutdown(AGES));
        }),
        ("actor", |registry, home| {
            home.block_on(async { while kill_actor(registry).await {} });
        }),
    ];
    for (what, end) in ends {
        for queued in [false, true] {
            let home = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let registry = Registry::builder().queue(1).runtime(home.handle().clone()).start();
            home.block_on(works(&registry, "x"));
            assert!(!queued || registry.sys().suspend());
            let there = registry.clone();
            let (begun, runs) = std::sync::mpsc::channel();
            let waits = std::thread::spawn(move || {
                let making = async move {
                    begun.send(()).unwrap();
                    std::future::pending::<Result<Address<u8>, Infallible>>().await
                };
                there.creation().name("x").timeout(Duration::MAX).run_blocking(making)
            });
            if queued {
                while registry.capacity().queued == 0 {
                    std::thread::yield_now();
                }
                // A caller that finds the queue full does not wait at all.
                let full: Result<Address<u8>, _> = registry.creation().run_blocking(made());
                assert!(full.unwrap_err().overloaded().is_some());
            } else {
                runs.recv().unwrap();
            }
            end(&registry, home);
            let ended = waits.join().unwrap().unwrap_err();
            let as_expected = match &ended {
                CreateError::GivenUp => !queued,
                CreateError::Refused(RegisterError::Ended(_) | RegisterError::ActorDied(_)) => queued,
                _ => false,
            };
            assert!(as_expected, "{what}, queued: {queued}: {ended}");
        }
    }
}

/// Row F5: when the registry's runtime ends, waiting callers are told, later callers are told at once, and looking up says
/// so.
#[test]
fn a_registry_whose_runtime_has_gone_says_so_at_once() {
    for multi in [false, true] {
        let mut kind = if multi { Builder::new_multi_thread() } else { Builder::new_current_thread() };
        let runtime = kind.enable_all().build().unwrap();
        let registry = Registry::builder().runtime(runtime.handle().clone()).start();
        let kept = mailbox();
        runtime.block_on(registry.register(&kept, "kept")).unwrap();
        let entry = registry.entry("kept").unwrap();
        registry.sys().suspend();
        let mut waits = Box::pin(registry.register(&kept, "waits"));
        assert!(waits.as_mut().now_or_never().is_none());
        let mut creation = Box::pin(registry.create("creation", made()));
        assert!(creation.as_mut().now_or_never().is_none());
        runtime.shutdown_background();
        let ended = |result: Result<(), RegisterError>| match result {
            Err(RegisterError::Ended(reason)) => assert!(!reason.is_orderly(), "{reason}"),
            other => panic!("{other:?}"),
        };
        let created = |result: Result<Address<u8>, CreateError<Infallible>>| match result {
            Err(CreateError::Refused(error)) => ended(Err(error)),
            other => panic!("{other:?}"),
        };
        // A runtime of several threads may end a little later.
        ended(block_on(waits));
        created(block_on(creation));
        while registry.ended().is_none() || entry.ending().is_none() {
            std::thread::yield_now();
        }
        for _ in 0..3 {
            ended(registry.register(&kept, "later").now_or_never().expect("at once"));
            ended(registry.register_id(kept.id(), "later").now_or_never().expect("at once"));
            created(registry.create("later", made()).now_or_never().expect("at once"));
            ended(registry.register_blocking(&kept, "later"));
            created(registry.creation().name("later").run_blocking(made()));
        }
        assert_eq!((registry.sizes(), registry.capacity().active_creates), (sizes(0, 0), 0));
        assert!(matches!(registry.whereis::<Address<u8>>("kept"), Err(LookupError::Closed { ending, .. })
            if ending.outcome == Outcome::RegistryEnded));
        assert!(!kept.is_closed() && entry.ending().is_some());
        assert!(!registry.unregister("kept") && !registry.remove(kept.id()));
    }
}

/// Begun on a runtime that has gone already.
#[test]
fn a_registry_on_a_runtime_that_has_gone_has_ended_from_the_beginning() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let registry = Registry::builder().runtime(handle).start();
    assert!(registry.ended().is_some());
    let refused = registry.register(&mailbox(), "x").now_or_never().expect("at once");
    assert!(matches!(refused, Err(RegisterError::Ended(_))), "{refused:?}");
}

/// The actor dies now, and is up again when this returns; false: the registry has ended.
async fn kill_actor(registry: &Registry) -> bool {
    let before = registry.actor().incarnation();
    eventually(AGES, || registry.actor().kill() || registry.ended().is_some()).await;
    let again = || registry.actor().incarnation() > before && registry.actor().is_alive();
    eventually(AGES, || again() || registry.ended().is_some()).await;
    registry.ended().is_none()
}

/// Row F5: over the surviving books, as often as its supervisor allows.
/// Clause 26.9.
#[tokio::test]
async fn an_actor_that_dies_is_restarted_over_the_books() {
    let (heard, _guard) = Heard::listen();
    let registry = Registry::start();
    let kept = mailbox();
    registry.register(&kept, "kept").await.unwrap();
    for i in 0..50 {
        assert!(kill_actor(&registry).await, "{i}");
        assert_eq!(registry.id_of("kept"), Some(kept.id()));
    }
    works(&registry, "x").await;
    let told = heard.take_at(Level::ERROR);
    assert_eq!(told.len(), 50, "each is told of");
    assert_eq!(told[49].get("incarnation"), "51");
    free_again(&registry, "x").await;
    drop(kept);
    nothing_left(&registry).await;
}

/// Row F5: before its first message, before its `init` is done, before it is polled: wherever the kill comes.
/// Clause 26.9.
#[test]
fn an_actor_that_is_killed_as_it_begins_begins_again() {
    let home = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for n in 0..2000 {
        let registry = Registry::builder().runtime(home.handle().clone()).start();
        // The actor is killed as soon as there is one to kill.
        while !registry.actor().kill() {
            std::hint::spin_loop();
        }
        let kept = mailbox();
        while let Err(error) = registry.register_blocking(&kept, "x") {
            assert!(matches!(error, RegisterError::ActorDied(_)), "{n}: {error}");
        }
        assert_eq!((registry.ended(), registry.id_of("x")), (None, Some(kept.id())));
    }
}

/// Row F5: an actor that dies more often than its supervisor allows is told as critical, and no caller hangs.
/// Clause 26.9.
#[tokio::test]
async fn an_actor_that_dies_too_often_is_the_end() {
    let (heard, _guard) = Heard::listen();
    let registry = Registry::start();
    let kept = mailbox();
    registry.register(&kept, "kept").await.unwrap();
    let mut killed = 0;
    while kill_actor(&registry).await {
        killed += 1;
        assert!(killed <= 200, "it goes on and on");
    }
    assert_eq!(killed, 100);
    let critical: Vec<_> =
        heard.take_at(Level::ERROR).into_iter().filter(|line| line.get("critical") == "true").collect();
    assert_eq!(critical.len(), 1, "{critical:?}");
    let refused = registry.register(&kept, "later").now_or_never().expect("at once").unwrap_err();
    assert!(matches!(&refused, RegisterError::Ended(reason) if !reason.is_orderly()), "{refused}");
    let refused = registry.create("later", made()).now_or_never().expect("at once").unwrap_err();
    assert!(matches!(refused, CreateError::Refused(RegisterError::Ended(_))), "{refused}");
    assert!(!kept.is_closed() && !registry.contains("kept"));
    let report = registry.shutdown(AGES).await;
    assert!(report.is_clean(), "{report:?}");
    assert_ne!(registry.ended(), Some(ExitReason::Shutdown), "why it ended stays");
    nothing_left(&registry).await;
}
