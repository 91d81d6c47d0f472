//! Whole registries, with their actor and its supervisor: callers that go, an actor that is killed, servers that crash.

use super::*;
use crate::Registry;
use crate::create::NewEntry;
use crate::error::CreateError;
use crate::lookup::LookupError;
use crate::secondary::Holder;
use restante_core::monitor::{Event, Watch};
use restante_genserver::{Context, GenServer, Init, Next, Reply, Server, ServerRef, Step};
use restante_supervisor::{Intensity, Supervise, Supervisor};
use shuttle::future::{block_on, yield_now};
use shuttle::rand::{Rng, thread_rng};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

const SCHEDULES: usize = 5_000;
pub(super) const EVER: Duration = Duration::MAX;

pub(super) fn whole<Fut: Future<Output = ()> + 'static>(
    model: impl Fn(Registry) -> Fut + Send + Sync + Clone + 'static,
) {
    explore(SCHEDULES, move || {
        block_on(async {
            // Private: other models' threads have registries of their own.
            let mut builder = Registry::builder().name("model").max_concurrent_creates(4);
            builder.private = true;
            let registry = builder.start();
            model(registry.clone()).await;
            over(registry).await;
        });
    });
}

/// Nothing is under way any more; ends the registry, and waits until nothing refers to it.
async fn over(registry: Registry) {
    // A creation that was given up ends in its own task.
    while registry.capacity().active_creates > 0 {
        yield_now().await;
    }
    let books = Arc::clone(&registry.0.books);
    settled(&books);
    assert!(registry.shutdown(EVER).await.is_clean());
    assert_eq!(books.sizes(), Sizes::default());
    drop(registry);
    // What is left when a schedule is over is torn down task by task, and one may then wait for another in vain.
    while Arc::strong_count(&books) > 1 {
        yield_now().await;
    }
    settled(&books);
}

pub(super) fn spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> {
    let task = shuttle::future::spawn(future);
    async move { task.await.unwrap() }
}

/// Drops a future before one of its polls, or when it is done; what it gave then.
async fn for_a_while<F: Future>(future: F) -> Option<F::Output> {
    for_polls(6, future).await
}

/// The same, before one of so many polls.
pub(super) async fn for_polls<F: Future>(most: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..thread_rng().gen_range(0..most) {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

fn create(
    registry: &Registry,
    at: &Address<u32>,
) -> impl Future<Output = Result<Address<u32>, CreateError<Infallible>>> + use<> {
    let (registry, at) = (registry.clone(), at.clone());
    async move {
        registry
            .creation()
            .name("x")
            .key("k", "1")
            .run(async move {
                yield_now().await;
                Ok::<_, Infallible>(NewEntry::new(at))
            })
            .await
    }
}

/// Rows F1 and F2: a caller that goes at whatever point leaves names and places free; two do not get one name.
#[test]
fn shuttle_creations_of_one_name_and_a_caller_who_goes() {
    whole(|registry| async move {
        let (one, two) = (mailbox(), mailbox());
        let goes = {
            let creation = create(&registry, &one.1);
            spawn(async move { for_a_while(creation).await })
        };
        let other = create(&registry, &two.1);
        let stays = spawn(other);
        let (gone, stayed) = (goes.await, stays.await);
        let id = match (&gone, &stayed) {
            (Some(Ok(_)), Err(error)) => {
                assert!(
                    matches!(error, CreateError::Refused(RegisterError::NameAlreadyExists { .. })),
                    "{error:?}"
                );
                one.1.id()
            }
            (None | Some(Err(_)), Ok(_)) => two.1.id(),
            // It was held by the one who went, and was free a moment later.
            (None, Err(CreateError::Refused(RegisterError::NameAlreadyExists { .. }))) => {
                while registry.capacity().active_creates > 0 {
                    yield_now().await;
                }
                // By then the entry, too, if there was one.
                while registry.contains("x") {
                    yield_now().await;
                }
                assert!(create(&registry, &two.1).await.is_ok());
                two.1.id()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(registry.id_of("x"), Some(id));
        assert_eq!(registry.entry_by_key("k", "1").map(|entry| entry.id()), Some(id));
    });
}

/// Rows F1, F2 and F4: a creation is given up at any point, beside one who looks its name up and an actor that dies. What was
/// found and is undone has gone from its name before its mailbox closes, and is seen to have ended; name and places are free.
/// Clause 27.4.
#[test]
fn shuttle_a_creation_that_is_dropped_and_a_look_up_and_the_actor() {
    whole(|registry| async move {
        let books = Arc::clone(&registry.0.books);
        let goes = {
            let registry = registry.clone();
            let make = async {
                yield_now().await;
                let (_mailbox, at) = mailbox();
                Ok::<_, Infallible>(at)
            };
            spawn(async move { for_polls(16, registry.create::<Address<u32>, _, _, _>("x", make)).await })
        };
        let finder = {
            let books = Arc::clone(&books);
            thread::spawn(move || {
                let mut found: Option<Arc<Record>> = None;
                for _ in 0..12 {
                    looked(&books, "x");
                    let Some(here) = books.find_name("x", Arc::clone) else { continue };
                    let has_closed = here.mailbox.has_closed();
                    let again = books.find_name("x", |record| Arc::ptr_eq(record, &here));
                    assert!(!has_closed || again.is_none(), "its name goes before it closes");
                    assert!(found.replace(Arc::clone(&here)).is_none_or(|other| Arc::ptr_eq(&other, &here)));
                }
                found
            })
        };
        // It is up: one that was killed before would be the registry's end.
        while registry.insert_many([] as [&Address<u32>; 0]).await.is_err() {}
        registry.actor().kill();
        let (gone, found) = (goes.await, finder.join().unwrap());
        match &gone {
            Some(Ok(at)) => {
                assert_eq!(registry.id_of("x"), Some(at.id()));
                assert!(found.is_none_or(|found| found.id == at.id() && !found.is_gone()));
            }
            Some(Err(CreateError::Refused(RegisterError::ActorDied(_)))) => assert!(found.is_none()),
            None => {
                while registry.capacity().active_creates > 0 || registry.sizes() != Sizes::default() {
                    yield_now().await;
                }
                if let Some(found) = found {
                    // The entry went first.
                    while !found.mailbox.has_closed() {
                        yield_now().await;
                    }
                    let undone = Ending::new(Outcome::Abandoned, ExitReason::Normal);
                    assert!(found.is_gone() && books.find_id(found.id, |_| ()).is_none());
                    assert_eq!(found.ending().as_ref(), Some(&undone));
                    assert_eq!(endings(&books, found.id), [undone]);
                }
            }
            other => panic!("{other:?}"),
        }
        drop(gone);
        assert_eq!(registry.sizes(), Sizes::default());
        while registry.capacity().active_creates > 0 {
            yield_now().await;
        }
        let places = [(); 4].map(|()| registry.admit().expect("all places are free"));
        drop(places);
        let (_again, at) = mailbox();
        // The kill may still be on its way.
        while let Err(error) = registry.register(&at, "x").await {
            assert!(matches!(error, RegisterError::ActorDied(_)), "{error:?}");
        }
        assert_eq!(registry.id_of("x"), Some(at.id()));
    });
}

/// Who keeps what a name led to asks anew once it has been taken off.
/// Clause 26.10.
#[test]
fn shuttle_cached_and_another_mailbox_of_the_same_name() {
    whole(|registry| async move {
        let (one, two) = (mailbox(), mailbox());
        registry.register(&one.1, "x").await.unwrap();
        let (off, on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let reader = thread::spawn({
            let mut cached = registry.cached::<Address<u32>>("x");
            let (off, on, one, two) = (Arc::clone(&off), Arc::clone(&on), one.1.id(), two.1.id());
            move || {
                for _ in 0..4 {
                    let (was_off, was_on) = (off.load(SeqCst), on.load(SeqCst));
                    match cached.get().map(Address::id) {
                        Ok(id) if id == one => assert!(!was_off, "it was taken off"),
                        Ok(id) => assert_eq!(id, two),
                        Err(error) => assert!(!was_on, "{error}"),
                    }
                }
            }
        });
        assert!(registry.unregister("x"));
        off.store(true, SeqCst);
        registry.register(&two.1, "x").await.unwrap();
        on.store(true, SeqCst);
        reader.join().unwrap();
    });
}

/// Row F4: whatever becomes of the actor, a caller that asked it is answered, and what was answered is so.
#[test]
fn shuttle_the_actor_is_killed_beside_a_creation_and_a_registration() {
    whole(|registry| async move {
        let (one, two) = (mailbox(), mailbox());
        let creator = spawn(create(&registry, &one.1));
        let registrar = {
            let (registry, at) = (registry.clone(), two.1.clone());
            spawn(async move { registry.register(&at, "y").await })
        };
        let goes = {
            let (registry, at) = (registry.clone(), two.1.clone());
            spawn(async move { for_a_while(async { registry.register(&at, "z").await }).await })
        };
        // One that is killed before it was ever up did not start, and its registry has ended.
        registry.insert(&two.1).await.unwrap();
        registry.actor().kill();
        yield_now().await;
        registry.actor().kill();
        let (created, registered, gone) = (creator.await, registrar.await, goes.await);
        assert!(
            registered.is_ok() || matches!(registered, Err(RegisterError::ActorDied(_))),
            "{registered:?}"
        );
        assert!(
            created.is_ok() || matches!(created, Err(CreateError::Refused(RegisterError::ActorDied(_)))),
            "{created:?}"
        );
        assert_eq!((registry.contains("x"), registry.contains("y")), (created.is_ok(), registered.is_ok()));
        if let Some(gone) = &gone {
            assert_eq!(registry.contains("z"), gone.is_ok(), "{gone:?}");
        }
        while gone.is_none() && registry.contains("z") {
            yield_now().await;
        }
        assert_eq!(registry.unregister("z"), matches!(gone, Some(Ok(()))));
        // The second kill may still be on its way.
        loop {
            match registry.register(&two.1, "z").await {
                Err(RegisterError::ActorDied(_)) => assert!(!registry.contains("z"), "nothing has changed"),
                answer => break assert_eq!(answer, Ok(())),
            }
        }
    });
}

/// What is found for keeps is open; what is cloned while it is lent counts.
#[test]
fn shuttle_look_up_and_the_last_reference() {
    whole(|registry| async move {
        let (last, at) = mailbox();
        registry.register(&at, "x").await.unwrap();
        drop(at);
        let finder = {
            let registry = registry.clone();
            thread::spawn(move || match registry.whereis::<Address<u32>>("x") {
                Ok(found) => {
                    assert!(!found.is_closed(), "it is held");
                    assert_eq!(registry.id_of("x"), Some(found.id()));
                    found.try_send(1).unwrap();
                }
                Err(error) => assert!(matches!(error, LookupError::Closed { .. }), "{error:?}"),
            })
        };
        let lent = {
            let registry = registry.clone();
            thread::spawn(move || {
                // It may have closed by now; dropping the clone is no second end.
                drop(registry.find("x", |at: &Address<u32>| at.clone()));
            })
        };
        let id = last.id();
        drop(last);
        finder.join().unwrap();
        lent.join().unwrap();
        assert!(!registry.contains("x"));
        assert_eq!(registry.sizes(), Sizes::default());
        assert_eq!(endings(&registry.0.books, id), [Ending::new(Outcome::Closed, ExitReason::Normal)]);
    });
}

/// A registration says that a mailbox is not there only where it has closed.
#[test]
fn shuttle_register_and_remove() {
    whole(|registry| async move {
        let (_open, at) = mailbox();
        registry.register(&at, "x").await.unwrap();
        let remover = {
            let (registry, id) = (registry.clone(), at.id());
            thread::spawn(move || registry.remove(id))
        };
        assert_eq!(registry.register(&at, "y").await, Ok(()));
        assert!(remover.join().unwrap());
        assert!(!registry.contains("x"));
    });
}

/// The registry ends beside those who add: each is answered, and nothing stays.
#[test]
fn shuttle_shutdown_beside_a_creation_and_a_registration() {
    whole(|registry| async move {
        let (one, two) = (mailbox(), mailbox());
        let creator = spawn(create(&registry, &one.1));
        let registrar = {
            let (registry, at) = (registry.clone(), two.1.clone());
            spawn(async move { registry.register(&at, "y").await })
        };
        let report = registry.shutdown(EVER).await;
        assert!(report.is_clean(), "{report:?}");
        let (created, registered) = (creator.await, registrar.await);
        assert!(matches!(registered, Ok(()) | Err(RegisterError::Ended(_))), "{registered:?}");
        assert!(
            matches!(
                created,
                Ok(_) | Err(CreateError::GivenUp | CreateError::Refused(RegisterError::Ended(_)))
            ),
            "{created:?}"
        );
        assert_eq!(registry.sizes(), Sizes::default());
    });
}

struct Worker;

impl GenServer for Worker {
    /// The tree has a holder.
    type Args = Arc<()>;
    type Call = Reply<()>;
    type Cast = ();
    type Info = ();

    async fn init(_: &Arc<()>, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, (): (), _: &mut Context<Self>) -> Step {
        // Past the hook, which would print thousands of times.
        std::panic::resume_unwind(Box::new("told to"))
    }
}

/// Rows B6 and 15: a name stays over crashes and restarts, is no other's meanwhile, and free at the final end.
#[test]
fn shuttle_look_up_and_crash_and_restart_and_the_final_end() {
    whole(|registry| async move {
        let server = Server::<Worker>::settings().build().unwrap();
        let (at, id) = (server.address(), server.address().id());
        let tree_is_there = Arc::new(());
        let tree = Supervisor::one_for_one()
            .with_intensity(Intensity::UNLIMITED)
            .backoff(restante_supervisor::Backoff::NONE)
            .child(server.child(Arc::clone(&tree_is_there)))
            .start()
            .await
            .unwrap();
        registry.register(&at, "w").await.unwrap();
        let (other, next) = mailbox();
        let told = Arc::new(Mutex::new(None));
        at.monitor(Watch::Mailbox, {
            let (books, told, next) = (Arc::clone(&registry.0.books), Arc::clone(&told), next.clone());
            move |event| {
                if let Event::Closed(_) = event {
                    *told.lock().unwrap() = Some(super::register(&books, &next, "w"));
                }
            }
        });
        let finder = {
            let registry = registry.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    assert_eq!(registry.find("w", ServerRef::<Worker>::id), Some(id));
                }
            })
        };
        at.cast(()).unwrap();
        at.cast(()).unwrap();
        let name = NameText::new("w").unwrap();
        let taken = RegisterError::NameAlreadyExists { name, holder: Holder::Mailbox(id) };
        assert_eq!(registry.register(&next, "w").await, Err(taken));
        at.call(|reply| reply).await.unwrap();
        finder.join().unwrap();
        assert_eq!((registry.id_of("w"), at.incarnation()), (Some(id), 3));
        tree.shutdown(EVER).await;
        // The last monitor may be told just now.
        while told.lock().unwrap().is_none() {
            yield_now().await;
        }
        assert_eq!(told.lock().unwrap().take(), Some(Ok(())));
        assert_eq!(registry.id_of("w"), Some(next.id()));
        drop((tree, at));
        while Arc::strong_count(&tree_is_there) > 1 {
            yield_now().await;
        }
        drop((other, next));
    });
}
