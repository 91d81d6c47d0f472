//! Every way out of a creation or registration leaves the name, the key and the place free.
//!
//! Long because there are so many ways out, a test each.

use crate::support::{AGES, free_again, made, mailbox, never, nothing_left, sizes};
use futures::poll;
use restante_core::{Address, ExitReason};
use restante_genserver::{Context, GenServer, Init, ServerRef, StartError, Step, start};
use restante_registry::{CreateError, Holder, Outcome, RegisterError, Registry, Signal};
use restante_testkit::{eventually, quiet_panics, settled};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context as Cx, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

type Created<E = Infallible> = Result<Address<u8>, CreateError<E>>;

/// A future whose drop panics.
struct Nasty<F>(F);

impl<F: Future + Unpin> Future for Nasty<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<F::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<F> Drop for Nasty<F> {
    fn drop(&mut self) {
        panic!("as told, in a drop");
    }
}

fn nasty<F: Future>(future: F) -> Nasty<Pin<Box<F>>> {
    Nasty(Box::pin(future))
}

/// Polls it once: it is under way.
async fn begin<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(poll!(&mut future).is_pending());
    future
}

#[tokio::test]
async fn an_error() {
    let registry = Registry::start();
    let failed: Created<&str> = registry.create("x", async { Err::<Address<u8>, _>("no") }).await;
    assert_eq!(failed.unwrap_err(), CreateError::Failed("no"));
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

#[tokio::test]
async fn a_panic() {
    let _quiet = quiet_panics("as told");
    let registry = Registry::start();
    let panicking = async {
        tokio::task::yield_now().await;
        made().await.map(|_| -> Address<u8> { panic!("as told") })
    };
    let failed: Created = registry.create("x", panicking).await;
    let Err(CreateError::Panicked(ExitReason::Panic(info))) = failed else { panic!("{failed:?}") };
    assert!(info.message.contains("as told"), "{info:?}");
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

/// In its drop, whatever else became of it: success, an error, its time over, the caller's giving up.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_future_in_its_drop() {
    let _quiet = quiet_panics("as told");
    let registry = Registry::start();
    let panicked: Created = registry.create("x", nasty(made())).await;
    assert!(matches!(panicked, Err(CreateError::Panicked(_))), "{panicked:?}");
    let panicked: Created<u8> = registry.create("x", nasty(async { Err::<Address<u8>, _>(1) })).await;
    assert!(matches!(panicked, Err(CreateError::Panicked(_))), "{panicked:?}");
    let late: Created = registry.create("x", nasty(pending::<Result<Address<u8>, _>>())).await;
    assert_eq!(late.unwrap_err(), CreateError::Timeout(restante_registry::DEFAULT_CREATE_TIMEOUT));
    drop(begin(registry.create("x", nasty(pending::<Result<Address<u8>, Infallible>>()))).await);
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

/// A creation that is refused by the actor is dropped there: what its drop does is no matter of the actor's.
#[tokio::test]
async fn a_drop_that_panics_does_not_end_the_actor() {
    let _quiet = quiet_panics("as told");
    let registry = Registry::start();
    let taken = mailbox();
    registry.register(&taken, "x").await.unwrap();
    let incarnation = registry.actor().incarnation();
    let refused: Created = registry.create("x", nasty(made())).await;
    assert!(
        matches!(refused, Err(CreateError::Refused(RegisterError::NameAlreadyExists { .. }))),
        "{refused:?}"
    );
    assert!(registry.sys().suspend());
    let queued = begin(registry.create("x", nasty(made()))).await;
    assert!(registry.sys().resume());
    let refused: Created = queued.await;
    assert!(
        matches!(refused, Err(CreateError::Refused(RegisterError::NameAlreadyExists { .. }))),
        "{refused:?}"
    );
    assert_eq!(registry.actor().incarnation(), incarnation);
    drop(taken);
    free_again(&registry, "x").await;
}

/// Clause 27.2.
#[tokio::test(start_paused = true)]
async fn its_time_is_over() {
    let registry = Registry::start();
    let limit = Duration::from_secs(2);
    let dropped = Arc::new(());
    let held = Arc::clone(&dropped);
    let never = never(held);
    let late: Created = registry.creation().name("x").timeout(limit).run(never).await;
    assert_eq!(late.unwrap_err(), CreateError::Timeout(limit));
    assert_eq!(Arc::strong_count(&dropped), 1, "it was dropped");
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

#[tokio::test]
async fn the_caller_goes_before_the_first_poll() {
    let registry = Registry::start();
    drop(registry.create("x", made()));
    drop(registry.register(&mailbox(), "x"));
    assert_eq!(registry.capacity().active_creates, 0);
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

/// Row F2: a caller that gives up takes the command back, and the caller's place is free at once.
#[tokio::test]
async fn the_caller_goes_while_queued() {
    let registry = Registry::builder().max_concurrent_creates(1).start();
    assert!(registry.sys().suspend());
    for _ in 0..10 {
        let dropped = Arc::new(());
        let held = Arc::clone(&dropped);
        let creation = begin(registry.create("x", async move {
            let made = made().await;
            drop(held);
            made
        }))
        .await;
        assert_eq!(registry.capacity().active_creates, 1);
        drop(creation);
        assert_eq!((registry.capacity().active_creates, Arc::strong_count(&dropped)), (0, 1), "at once");
        let (kept, add) = (mailbox(), mailbox());
        drop(begin(registry.register(&kept, "x")).await);
        drop(begin(registry.insert(&add)).await);
        drop(begin(registry.insert_many([&kept, &add])).await);
        drop(begin(registry.register_id(kept.id(), "x")).await);
        drop(begin(registry.add_key(kept.id(), "kind", "x")).await);
        drop(begin(registry.create_mailbox(restante_core::Mailbox::<u8>::settings())).await);
        assert_eq!((registry.capacity().active_creates, registry.sizes()), (0, sizes(0, 0)));
    }
    assert!(registry.sys().resume());
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

#[tokio::test]
async fn the_caller_goes_while_the_task_runs() {
    let registry = Registry::start();
    let dropped = Arc::new(());
    let (begun, runs) = oneshot::channel();
    let held = Arc::clone(&dropped);
    let never = async move {
        begun.send(()).unwrap();
        never(held).await
    };
    // The creation's limit is never over: the creation is to end by itself.
    let creation = begin(registry.creation().name("x").timeout(Duration::MAX).run(never)).await;
    runs.await.unwrap();
    let absent = registry.whereis::<Address<u8>>("x").unwrap_err().to_string();
    assert!(absent.contains("it is being created"), "{absent}");
    let refused = registry.register(&mailbox(), "x").await.unwrap_err();
    assert!(
        matches!(refused, RegisterError::NameAlreadyExists { holder: Holder::Creation, .. }),
        "{refused}"
    );
    drop(creation);
    eventually(AGES, || Arc::strong_count(&dropped) == 1).await;
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

/// What was created is in the books already, and the caller has gone: the entry goes, and what it owned.
/// Clause 27.4.
#[tokio::test(start_paused = true)]
async fn the_caller_goes_just_as_it_succeeds() {
    let registry = Registry::start();
    let mut changes = registry.changes();
    let owned = Arc::new(());
    let creation = begin(registry.creation().name("x").own(Arc::clone(&owned)).run(made())).await;
    settled().await;
    assert_eq!(registry.sizes(), sizes(1, 1), "it is done");
    let entry = registry.entry("x").unwrap();
    drop(creation);
    assert_eq!((registry.sizes(), Arc::strong_count(&owned)), (sizes(0, 0), 1));
    let Signal::Closed(ending) = entry.closed().await else { panic!("another signal") };
    assert_eq!(ending.outcome, Outcome::Abandoned);
    let told = std::iter::from_fn(|| changes.try_next()).count();
    assert_eq!(told, 4, "created, registered, unregistered, destroyed");
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

/// A registration is given up just as it succeeds, at every step of its way.
/// Clause 26.2.
#[tokio::test(start_paused = true)]
async fn a_registration_that_nobody_takes_is_undone() {
    let registry = Registry::start();
    let (kept, other, more) = (mailbox(), mailbox(), [mailbox(), mailbox()]);
    registry.insert(&kept).await.unwrap();
    registry.sys().suspend();
    let register = begin(registry.register(&other, "a")).await;
    let again = begin(registry.register(&kept, "b")).await;
    let by_id = begin(registry.register_id(kept.id(), "c")).await;
    let key = begin(registry.add_key(kept.id(), "kind", "k")).await;
    let insert = begin(registry.insert_many(&more)).await;
    registry.sys().resume();
    settled().await;
    assert_eq!(registry.sizes(), sizes(4, 3));
    assert!(registry.entry_by_key("kind", "k").is_some());
    drop((register, again, by_id, key, insert));
    assert_eq!(registry.sizes(), sizes(1, 0));
    assert!(registry.contains(kept.id()) && registry.entry_by_key("kind", "k").is_none());
    for name in ["a", "b", "c"] {
        free_again(&registry, name).await;
    }
}

/// Other callers' commands come between those of many additions. Until the last addition is answered, giving up undoes them
/// all, and so does the registry's end.
#[tokio::test(start_paused = true)]
async fn many_additions_come_in_a_few_at_a_time_and_all_or_none() {
    let many: Vec<_> = (0..2500).map(|_| mailbox()).collect();
    let (kept, asked) = (mailbox(), 1024);
    for ends in [false, true] {
        let registry = Registry::start();
        registry.insert(&many[0]).await.unwrap();
        registry.sys().suspend();
        let mut insert = begin(registry.insert_many(&many)).await;
        let between = begin(registry.register(&kept, "between")).await;
        registry.sys().resume();
        settled().await;
        // The rest of the insert has not been asked for yet, because `insert` has not been polled again.
        assert_eq!(registry.sizes(), sizes(asked + 1, 1));
        between.await.unwrap();
        assert!(poll!(&mut insert).is_pending(), "others have their turn in the caller's runtime too");
        assert_eq!(registry.sizes(), sizes(asked + 1, 1));
        assert!(poll!(&mut insert).is_pending());
        settled().await;
        assert_eq!(registry.sizes(), sizes(2 * asked + 1, 1));
        if ends {
            assert!(registry.shutdown(AGES).await.is_clean());
            assert_eq!(insert.await, Err(RegisterError::Ended(ExitReason::Shutdown)));
            continue;
        }
        drop(insert);
        assert_eq!(registry.sizes(), sizes(2, 1));
        assert!(registry.contains(many[0].id()), "it was in before");
        let answers = registry.insert_many(&many).await.unwrap();
        assert_eq!((answers.len(), answers.iter().all(Result::is_ok)), (2500, true));
        assert_eq!(registry.sizes(), sizes(2501, 1));
    }
}

/// A caller that gives its own name up leaves the names of other callers that registered the same mailbox meanwhile.
#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_undone_and_no_more() {
    let registry = Registry::start();
    let shared = mailbox();
    registry.sys().suspend();
    let given_up = begin(registry.register(&shared, "given up")).await;
    registry.sys().resume();
    settled().await;
    registry.register(&shared, "wanted").await.unwrap();
    registry.add_key(shared.id(), "kind", "wanted").await.unwrap();
    drop(given_up);
    assert_eq!(registry.names_of(shared.id()), ["wanted"]);
    assert_eq!(registry.entry_by_key("kind", "wanted").unwrap().id(), shared.id());
    // Two callers that both gave up leave nothing.
    let two = mailbox();
    registry.sys().suspend();
    let first = begin(registry.register(&two, "first")).await;
    let second = begin(registry.register(&two, "second")).await;
    registry.sys().resume();
    settled().await;
    drop(first);
    assert_eq!(registry.names_of(two.id()), ["second"]);
    drop(second);
    assert!(!registry.contains(two.id()));
    // A registration that is given up takes no entry along that came after the one it knows.
    registry.sys().suspend();
    let first = begin(registry.register(&two, "first")).await;
    registry.sys().resume();
    settled().await;
    assert!(registry.remove(two.id()));
    registry.register(&two, "second").await.unwrap();
    drop(first);
    assert_eq!(registry.names_of(two.id()), ["second"]);
    for name in ["first", "given up"] {
        free_again(&registry, name).await;
    }
}

/// The entry that was there when it was asked for has been taken out by the time it is done; the mailbox is open.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_was_taken_out_meanwhile_comes_in_again() {
    let registry = Registry::start();
    let moved = mailbox();
    registry.register(&moved, "before").await.unwrap();
    registry.sys().suspend();
    let register = begin(registry.register(&moved, "x")).await;
    let insert = begin(registry.insert_many([&moved])).await;
    assert!(registry.remove(moved.id()));
    registry.sys().resume();
    assert_eq!(register.await, Ok(()));
    assert_eq!(insert.await, Ok(vec![Ok(())]));
    assert_eq!(registry.names_of(moved.id()), ["x"]);
    drop(moved);
    nothing_left(&registry).await;
}

/// Rows F5 and 14: a command that waits for the actor outlives it.
#[tokio::test]
async fn the_actor_dies_with_the_command_queued() {
    let registry = Registry::start();
    let early = mailbox();
    registry.register(&early, "early").await.unwrap();
    registry.sys().suspend();
    let before = registry.actor().incarnation();
    let creation = begin(registry.create("x", made())).await;
    let kept = mailbox();
    let registration = begin(registry.register(&kept, "y")).await;
    assert!(registry.actor().kill());
    eventually(AGES, || registry.actor().incarnation() > before && registry.actor().is_alive()).await;
    registry.sys().resume();
    let created: Created = creation.await;
    assert_eq!(registry.id_of("x"), Some(created.unwrap().id()));
    assert_eq!(registration.await, Ok(()));
    drop((kept, early));
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

/// Row F5: what runs does not depend on it.
#[tokio::test]
async fn the_actor_dies_again_and_again_while_the_task_runs() {
    let registry = Registry::start();
    let (go, gate) = oneshot::channel();
    let creation = begin(registry.create("x", async move {
        gate.await.unwrap();
        made().await
    }))
    .await;
    for _ in 0..5 {
        let before = registry.actor().incarnation();
        eventually(AGES, || registry.actor().kill()).await;
        eventually(AGES, || registry.actor().incarnation() > before && registry.actor().is_alive()).await;
        let refused = registry.register(&mailbox(), "x").await.unwrap_err();
        assert!(
            matches!(refused, RegisterError::NameAlreadyExists { holder: Holder::Creation, .. }),
            "{refused}"
        );
        assert_eq!(registry.capacity().active_creates, 1);
    }
    go.send(()).unwrap();
    let created: Created = creation.await;
    assert_eq!(registry.id_of("x"), Some(created.unwrap().id()));
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

/// Row F2: the registry's end is every creation's, queued or running; nothing hangs.
#[tokio::test(start_paused = true)]
async fn the_registry_is_shut_down_meanwhile() {
    let registry = Registry::start();
    let dropped = Arc::new(());
    let held = Arc::clone(&dropped);
    let running = begin(registry.create("x", never(held))).await;
    settled().await;
    registry.sys().suspend();
    let (queued, kept) = (begin(registry.create("y", made())).await, mailbox());
    let registration = begin(registry.register(&kept, "z")).await;
    let report = registry.shutdown(Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    let (running, queued): (Created, Created) = (running.await, queued.await);
    assert_eq!(running.unwrap_err(), CreateError::GivenUp);
    let ended = RegisterError::Ended(ExitReason::Shutdown);
    assert_eq!(queued.unwrap_err(), CreateError::Refused(ended.clone()));
    assert_eq!(registration.await, Err(ended.clone()));
    assert_eq!(registry.register(&kept, "z").await, Err(ended.clone()));
    let later: Created = registry.create("z", made()).await;
    assert_eq!(later.unwrap_err(), CreateError::Refused(ended));
    assert_eq!((Arc::strong_count(&dropped), registry.capacity().active_creates), (1, 0));
    assert_eq!(registry.ended(), Some(ExitReason::Shutdown));
    nothing_left(&registry).await;
    assert!(registry.shutdown(Duration::from_secs(1)).await.is_clean(), "once more is nothing more");
}

/// The last handle is the creating task's own: both go.
#[tokio::test]
async fn the_last_handle_goes_meanwhile() {
    let registry = Registry::start();
    let mut changes = registry.changes();
    let dropped = Arc::new(());
    let held = Arc::clone(&dropped);
    let kept = mailbox();
    registry.register(&kept, "kept").await.unwrap();
    let (begun, runs) = oneshot::channel();
    let task = tokio::spawn(async move {
        let creation = registry.create("x", async move {
            begun.send(()).unwrap();
            never(held).await
        });
        creation.await.map(drop)
    });
    runs.await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    eventually(AGES, || Arc::strong_count(&dropped) == 1).await;
    let mut told = Vec::new();
    loop {
        match changes.next().await {
            restante_registry::Followed::Change(change) => told.push(change.operation()),
            restante_registry::Followed::Ended => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, ["create", "register", "unregister", "destroy"]);
    assert!(!kept.is_closed(), "a mailbox is not its registry's");
}

/// The creation runs in its caller's runtime, which ends: the registry, in another, goes on.
/// Clause 27.2.
#[test]
fn the_runtime_of_the_caller_goes_meanwhile() {
    let here = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let there = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let registry = Registry::builder().runtime(here.handle().clone()).start();
    here.block_on(async {
        let (begun, runs) = oneshot::channel();
        let creator = registry.clone();
        let task = there.spawn(async move {
            let never = async move {
                begun.send(()).unwrap();
                pending::<Result<Address<u8>, Infallible>>().await
            };
            creator.create("x", never).await.map(drop)
        });
        runs.await.unwrap();
        // The second creation's caller stays, while its runtime goes.
        let handle = there.handle().clone();
        let entered = handle.enter();
        let stays = begin(registry.create("y", pending::<Result<Address<u8>, Infallible>>())).await;
        drop(entered);
        eventually(AGES, || registry.capacity().active_creates == 2).await;
        there.shutdown_background();
        let left: Created = stays.await;
        assert_eq!(left.unwrap_err(), CreateError::GivenUp);
        assert!(task.await.unwrap_err().is_cancelled());
        free_again(&registry, "x").await;
        free_again(&registry, "y").await;
        nothing_left(&registry).await;
    });
}

/// What was created had closed.
#[tokio::test]
async fn what_was_created_had_closed() {
    let registry = Registry::start();
    let why = ExitReason::shutdown_with("early");
    let reason = why.clone();
    let closed: Created = registry
        .create("x", async move {
            let address = mailbox();
            restante_core::Addressable::close_mailbox(&address, reason);
            Ok(address)
        })
        .await;
    assert_eq!(closed.unwrap_err(), CreateError::Closed(why));
    let shut = mailbox();
    restante_core::Addressable::close_mailbox(&shut, ExitReason::Normal);
    assert_eq!(registry.register(&shut, "x").await, Err(RegisterError::MailboxDoesNotExist(shut.id())));
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

/// The mailbox closes while its registration waits for the actor.
#[tokio::test]
async fn what_is_registered_closes_while_queued() {
    let registry = Registry::start();
    let (new, known) = (mailbox(), mailbox());
    registry.insert(&known).await.unwrap();
    registry.sys().suspend();
    let (id, known_id) = (new.id(), known.id());
    let registration = begin(registry.register(&new, "x")).await;
    restante_core::Addressable::close_mailbox(&new, ExitReason::Normal);
    let key = begin(registry.add_key(known_id, "kind", "k")).await;
    drop(known);
    registry.sys().resume();
    assert_eq!(registration.await, Err(RegisterError::MailboxDoesNotExist(id)));
    assert_eq!(key.await, Err(RegisterError::MailboxDoesNotExist(known_id)));
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

/// Clause 27.3.
#[tokio::test]
async fn the_name_is_taken_while_queued() {
    let registry = Registry::start();
    registry.sys().suspend();
    let taken = mailbox();
    let first = begin(registry.register(&taken, "x")).await;
    let polled = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&polled);
    let second = begin(registry.create("x", async move {
        note.store(true, Ordering::Relaxed);
        made().await
    }))
    .await;
    registry.sys().resume();
    assert_eq!(first.await, Ok(()));
    let refused: Created = second.await;
    let Err(CreateError::Refused(RegisterError::NameAlreadyExists { holder, .. })) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(holder, Holder::Mailbox(taken.id()));
    assert!(!polled.load(Ordering::Relaxed), "its future was not polled");
    drop(taken);
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

/// Row B2: all or nothing, of names and secondary keys.
#[tokio::test]
async fn one_of_several_labels_is_taken() {
    let registry = Registry::start();
    let taken = mailbox();
    registry.register(&taken, "taken").await.unwrap();
    registry.add_key(taken.id(), "kind", "taken").await.unwrap();
    let before = registry.sizes();
    let creation = || registry.creation().name("x").key("kind", "x").name("y");
    let refused: Created = creation().name("taken").run(made()).await;
    assert!(
        matches!(refused, Err(CreateError::Refused(RegisterError::NameAlreadyExists { .. }))),
        "{refused:?}"
    );
    let refused: Created = creation().key("kind", "taken").run(made()).await;
    assert!(
        matches!(refused, Err(CreateError::Refused(RegisterError::KeyAlreadyExists { .. }))),
        "{refused:?}"
    );
    let refused: Created = creation().name("").run(made()).await;
    assert!(matches!(refused, Err(CreateError::Refused(RegisterError::InvalidName(_)))), "{refused:?}");
    assert_eq!((registry.sizes(), registry.capacity().active_creates), (before, 0));
    let created: Created = creation().run(made()).await;
    let created = created.unwrap();
    assert_eq!(registry.names_of(created.id()), ["x", "y"]);
    assert_eq!(registry.entry_by_key("kind", "x").unwrap().id(), created.id());
    drop(created);
    assert!(registry.entry_by_key("kind", "x").is_none());
    free_again(&registry, "x").await;
    free_again(&registry, "y").await;
}

/// Fails in `init`.
#[derive(Debug)]
struct Stillborn;

impl GenServer for Stillborn {
    type Args = ();
    type Call = ();
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Err(ExitReason::error("no database"))
    }

    async fn handle_call(&mut self, (): (), _: &mut Context<Self>) -> Step {
        unreachable!("it never starts")
    }
}

#[tokio::test]
async fn a_server_whose_init_fails() {
    let registry = Registry::start();
    let failed: Result<ServerRef<Stillborn>, CreateError<StartError>> =
        registry.create("x", start::<Stillborn>(())).await;
    let Err(CreateError::Failed(StartError::Failed(reason))) = &failed else { panic!("{failed:?}") };
    assert!(reason.to_string().contains("no database"), "{reason}");
    free_again(&registry, "x").await;
    nothing_left(&registry).await;
}

/// What is created is in already, under another name: one entry, with both.
#[tokio::test(start_paused = true)]
async fn what_is_created_is_registered_already() {
    let registry = Registry::start();
    let known = mailbox();
    registry.register(&known, "known").await.unwrap();
    let again = known.clone();
    let twice: Created = registry.create("x", async { Ok::<_, Infallible>(again) }).await;
    assert_eq!(twice.unwrap().id(), known.id());
    assert_eq!(registry.names_of(known.id()), ["known", "x"]);
    assert!(registry.unregister("x"));
    let again = known.clone();
    let given_up = begin(registry.create("x", async { Ok::<_, Infallible>(again) })).await;
    settled().await;
    assert!(registry.contains("x"));
    drop(given_up);
    assert_eq!(registry.names_of(known.id()), ["known"], "what was there before stays");
    let again = known.clone();
    let refused: Created = registry.create("known", async { Ok::<_, Infallible>(again) }).await;
    assert!(refused.is_err());
    free_again(&registry, "x").await;
    drop(known);
    nothing_left(&registry).await;
}

/// Row 14: whenever a caller gives up, after however many polls, nothing of it stays.
/// Clause 27.4.
#[tokio::test(start_paused = true)]
async fn giving_up_after_any_number_of_polls_leaves_nothing() {
    let registry = Registry::start();
    let kept = mailbox();
    let polls = AtomicUsize::new(0);
    for suspended in [true, false] {
        for most in 0..6 {
            if suspended {
                registry.sys().suspend();
            }
            let slow = async {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                made().await
            };
            let mut creation: Pin<Box<dyn Future<Output = Created>>> = Box::pin(registry.create("x", slow));
            let mut registration = Box::pin(registry.register(&kept, "y"));
            let mut done = (false, false);
            for _ in 0..most {
                polls.fetch_add(1, Ordering::Relaxed);
                done.0 = done.0 || poll!(&mut creation).is_ready();
                done.1 = done.1 || poll!(&mut registration).is_ready();
                if suspended && most > 3 {
                    registry.sys().resume();
                }
                tokio::task::yield_now().await;
            }
            drop((creation, registration));
            registry.sys().resume();
            // What has come to the caller is the caller's to drop or to unregister.
            assert_eq!(registry.unregister("y"), done.1);
            assert_eq!(registry.remove(kept.id()), done.1);
            free_again(&registry, "x").await;
            free_again(&registry, "y").await;
            nothing_left(&registry).await;
        }
    }
    assert_eq!(polls.into_inner(), 30);
}

/// A way for a creation under a name to come to nothing.
#[derive(Debug, Clone, Copy)]
enum Way {
    Error,
    Panic,
    PanicInDrop,
    TimeOver,
    NeverPolled,
    GivenUpQueued,
    GivenUpQueuedAndPanicInDrop,
    AbortedQueued,
    GivenUpRunning,
    AbortedRunning,
    GivenUpAsItSucceeds,
    Closed,
    AnotherLabelTaken,
    NoPlace,
}

const WAYS: [Way; 14] = [
    Way::Error,
    Way::Panic,
    Way::PanicInDrop,
    Way::TimeOver,
    Way::NeverPolled,
    Way::GivenUpQueued,
    Way::GivenUpQueuedAndPanicInDrop,
    Way::AbortedQueued,
    Way::GivenUpRunning,
    Way::AbortedRunning,
    Way::GivenUpAsItSucceeds,
    Way::Closed,
    Way::AnotherLabelTaken,
    Way::NoPlace,
];

/// A task that creates, aborted while that is queued or once it runs. (Its time is never over: it is to end by itself.)
async fn aborted(registry: &Registry, queued: bool) {
    let begun = Arc::new(AtomicBool::new(false));
    let (creator, note) = (registry.clone(), Arc::clone(&begun));
    let task = tokio::spawn(async move {
        let never = async move {
            note.store(true, Ordering::Relaxed);
            pending::<Result<Address<u8>, Infallible>>().await
        };
        creator.creation().name("x").timeout(Duration::MAX).run(never).await.map(drop)
    });
    let so_far = || if queued { registry.capacity().queued == 1 } else { begun.load(Ordering::Relaxed) };
    eventually(AGES, so_far).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(begun.load(Ordering::Relaxed), !queued);
}

/// Begins a creation under `x`, which fails.
async fn fail(registry: &Registry, way: Way) {
    let never = pending::<Result<Address<u8>, Infallible>>;
    match way {
        Way::Error => {
            let failed: Created<u8> = registry.create("x", async { Err::<Address<u8>, _>(1) }).await;
            assert_eq!(failed.unwrap_err(), CreateError::Failed(1));
        }
        Way::Panic => {
            let panicking = async { made().await.map(|_| -> Address<u8> { panic!("as told") }) };
            let failed: Created = registry.create("x", panicking).await;
            assert!(matches!(failed, Err(CreateError::Panicked(_))), "{failed:?}");
        }
        Way::PanicInDrop => {
            let failed: Created = registry.create("x", nasty(made())).await;
            assert!(matches!(failed, Err(CreateError::Panicked(_))), "{failed:?}");
        }
        Way::TimeOver => {
            let failed: Created = registry.create("x", never()).await;
            assert!(matches!(failed, Err(CreateError::Timeout(_))), "{failed:?}");
        }
        Way::NeverPolled => drop(registry.create("x", made())),
        Way::GivenUpQueued => {
            registry.sys().suspend();
            drop(begin(registry.create("x", made())).await);
            assert_eq!(registry.capacity().active_creates, 0, "at once");
            registry.sys().resume();
        }
        Way::GivenUpQueuedAndPanicInDrop => {
            registry.sys().suspend();
            drop(begin(registry.create("x", nasty(made()))).await);
            assert_eq!(registry.capacity().active_creates, 0, "at once");
            registry.sys().resume();
        }
        Way::AbortedQueued => {
            registry.sys().suspend();
            aborted(registry, true).await;
            assert_eq!(registry.capacity().active_creates, 0, "at once");
            registry.sys().resume();
        }
        Way::GivenUpRunning => {
            let creation = registry.creation().name("x").timeout(Duration::MAX);
            let creation = begin(creation.run(never())).await;
            settled().await;
            drop(creation);
        }
        Way::AbortedRunning => aborted(registry, false).await,
        Way::GivenUpAsItSucceeds => {
            // The test keeps the mailbox open.
            let kept = mailbox();
            let made = kept.clone();
            let creation = begin(registry.create("x", async { Ok::<_, Infallible>(made) })).await;
            settled().await;
            assert!(registry.contains("x"), "it is done");
            drop(creation);
            assert!(!registry.contains("x") && !kept.is_closed());
        }
        Way::Closed => {
            let closed = async {
                let address = mailbox();
                restante_core::Addressable::close_mailbox(&address, ExitReason::Normal);
                Ok(address)
            };
            let failed: Created = registry.create("x", closed).await;
            assert_eq!(failed.unwrap_err(), CreateError::Closed(ExitReason::Normal));
        }
        Way::AnotherLabelTaken => {
            let taken = mailbox();
            registry.register(&taken, "taken").await.unwrap();
            let failed: Created = registry.creation().name("x").name("taken").run(made()).await;
            assert!(matches!(failed, Err(CreateError::Refused(_))), "{failed:?}");
        }
        Way::NoPlace => {
            let place = begin(registry.create("place", never())).await;
            let failed: Created = registry.create("x", made()).await;
            let overloaded = matches!(failed, Err(CreateError::Refused(RegisterError::Overloaded(_))));
            assert!(overloaded, "{failed:?}");
            drop(place);
        }
    }
}

/// Rows F1 and F2: register, fail, register again, three times over, by each of the ways out. There is one place, so that a
/// place that is not given back is missed.
/// Clause 27.4.
#[tokio::test(start_paused = true)]
async fn a_name_is_registered_and_a_creation_fails_and_it_is_registered_again() {
    let _quiet = quiet_panics("as told");
    for way in WAYS {
        let registry = Registry::builder().max_concurrent_creates(1).start();
        for _ in 0..3 {
            let before = mailbox();
            registry.register(&before, "x").await.unwrap_or_else(|error| panic!("{way:?}: {error}"));
            drop(before);
            fail(&registry, way).await;
            free_again(&registry, "x").await;
            nothing_left(&registry).await;
        }
    }
}

/// The registry ends while plain threads wait for its actor, and while one waits for what is created: none hangs.
/// Clause 26.9.
#[tokio::test]
async fn the_registry_ends_while_plain_threads_wait() {
    let registry = Registry::start();
    let (begun, runs) = oneshot::channel();
    let running = {
        let registry = registry.clone();
        let never = async move {
            begun.send(()).unwrap();
            pending::<Result<Address<u8>, Infallible>>().await
        };
        std::thread::spawn(move || -> Created { registry.creation().name("x").run_blocking(never) })
    };
    // A place is taken before anything is queued: a taken place does not tell that the creation runs.
    runs.await.unwrap();
    registry.sys().suspend();
    let (kept, queued) = (mailbox(), registry.clone());
    let registering = std::thread::spawn(move || queued.register_blocking(&kept, "y"));
    let queued = registry.clone();
    let creating =
        std::thread::spawn(move || -> Created { queued.creation().name("z").run_blocking(made()) });
    eventually(AGES, || registry.capacity().queued == 2).await;
    assert!(registry.shutdown(Duration::from_secs(10)).await.is_clean());
    let ended = RegisterError::Ended(ExitReason::Shutdown);
    assert_eq!(registering.join().unwrap(), Err(ended.clone()));
    assert_eq!(creating.join().unwrap().unwrap_err(), CreateError::Refused(ended));
    assert_eq!(running.join().unwrap().unwrap_err(), CreateError::GivenUp);
    nothing_left(&registry).await;
}

/// Its end drops what is under way, whatever that does in its drop.
#[tokio::test(start_paused = true)]
async fn the_registry_is_shut_down_and_a_future_panics_in_its_drop() {
    let _quiet = quiet_panics("as told");
    let registry = Registry::start();
    let running = begin(registry.create("x", nasty(pending::<Result<Address<u8>, Infallible>>()))).await;
    settled().await;
    registry.sys().suspend();
    let queued = begin(registry.create("y", nasty(made()))).await;
    assert!(registry.shutdown(Duration::from_secs(10)).await.is_clean());
    let (running, queued): (Created, Created) = (running.await, queued.await);
    assert_eq!(running.unwrap_err(), CreateError::GivenUp);
    let ended = RegisterError::Ended(ExitReason::Shutdown);
    assert_eq!(queued.unwrap_err(), CreateError::Refused(ended));
    nothing_left(&registry).await;
}

/// The runtime in which the registry lives ends, with a creation that runs elsewhere, and with commands in its queue.
/// Clause 26.9.
#[tokio::test]
async fn the_runtime_of_the_registry_goes_meanwhile() {
    let there = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let registry = Registry::builder().runtime(there.handle().clone()).start();
    let (go, gate) = oneshot::channel();
    let slow = async move {
        gate.await.unwrap();
        made().await
    };
    let running = begin(registry.create("x", slow)).await;
    eventually(AGES, || registry.capacity().queued == 0).await;
    registry.sys().suspend();
    let (queued, kept) = (begin(registry.create("y", made())).await, mailbox());
    let registration = begin(registry.register(&kept, "z")).await;
    there.shutdown_background();
    let queued: Created = queued.await;
    assert!(matches!(queued, Err(CreateError::Refused(RegisterError::Ended(_)))), "{queued:?}");
    let registered = registration.await;
    assert!(matches!(registered, Err(RegisterError::Ended(_))), "{registered:?}");
    // A creation that runs in its caller's runtime is refused when it is done, once the registry has ended after its actor.
    eventually(AGES, || registry.ended().is_some()).await;
    let _ = go.send(());
    let running: Created = running.await;
    let refused =
        matches!(running, Err(CreateError::GivenUp | CreateError::Refused(RegisterError::Ended(_))));
    assert!(refused, "{running:?}");
    assert_eq!((registry.sizes(), registry.capacity().active_creates), (sizes(0, 0), 0));
}

/// The registry ends with its runtime. A creation that runs in its caller's runtime ends with the registry: the waiting
/// caller is told, and the creation's place is free.
/// Clauses 26.9 and 27.4.
#[tokio::test]
async fn a_creation_is_given_up_when_the_runtime_of_its_registry_goes() {
    let there = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let registry = Registry::builder().runtime(there.handle().clone()).start();
    let never = pending::<Result<Address<u8>, Infallible>>();
    let running = begin(registry.creation().name("x").timeout(Duration::MAX).run(never)).await;
    eventually(AGES, || registry.capacity().queued == 0 && registry.capacity().active_creates == 1).await;
    there.shutdown_background();
    eventually(AGES, || registry.ended().is_some()).await;
    let told: Created = tokio::time::timeout(Duration::from_secs(5), running).await.expect("it is told");
    assert_eq!(told.unwrap_err(), CreateError::GivenUp);
    assert_eq!(registry.capacity().active_creates, 0);
}
