//! Which registry a name is looked up in where none is named.

use crate::support::{AGES, Counter, mailbox, nothing_left, sizes};
use restante_core::{Address, ExitReason};
use restante_genserver::{ServerRef, start};
use restante_registry::{InScope, LookupError, MailboxName, Name, NewEntry, NotFound, Outcome, Registry};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

const PLACE: MailboxName<u8> = MailboxName::new("scopes::place");
const COUNTER: Name<Counter> = Name::new("scopes::counter");

#[track_caller]
fn absent<T>(looked: Result<T, LookupError>) -> NotFound {
    match looked {
        Err(LookupError::NotFound(absent)) => *absent,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was found"),
    }
}

/// Row B8: the global one unless another is entered; names in the current one; and each end leads back.
/// Clause 28.1.
#[tokio::test]
async fn a_scope_is_entered_and_left() {
    assert!(Registry::current().is(Registry::global()));
    let (outer, inner) = (Registry::start(), Registry::start());
    outer
        .enter(async {
            assert!(Registry::current().is(&outer));
            let counter = start::<Counter>(1).await.unwrap();
            COUNTER.register(&counter).await.unwrap();
            inner
                .enter(async {
                    assert!(Registry::with_current(|registry| registry.is(&inner)));
                    tokio::task::yield_now().await;
                    assert!(Registry::current().is(&inner), "after a pause as well");
                    absent(COUNTER.whereis());
                    let sync = outer.enter_sync(|| COUNTER.with(ServerRef::id));
                    assert_eq!(sync.unwrap(), counter.id());
                    assert!(Registry::current().is(&inner));
                })
                .await;
            assert!(Registry::current().is(&outer));
            COUNTER.cast(2).unwrap();
            assert_eq!(COUNTER.whereis().unwrap().id(), counter.id());
            assert_eq!(COUNTER.of(&outer).with(ServerRef::id).unwrap(), counter.id());
            assert!(COUNTER.unregister() && !COUNTER.unregister());
        })
        .await;
    assert!(Registry::current().is(Registry::global()));
}

/// Row B8: while the current one is lent, others may be entered.
#[test]
fn a_scope_may_be_entered_from_where_the_current_one_is_lent() {
    let (outer, inner) = (Registry::start(), Registry::start());
    let kept = mailbox();
    outer.register_blocking(&kept, PLACE.text()).unwrap();
    outer.enter_sync(|| {
        let seen = Registry::with_current(|registry| {
            assert!(registry.is(&outer));
            inner.enter_sync(|| Registry::current().is(&inner))
        });
        assert!(seen);
        let seen = PLACE.with(|_| inner.enter_sync(|| Registry::current().is(&inner)));
        assert!(seen.unwrap());
    });
}

/// Row B8: what is spawned does not follow by itself, and does on purpose.
/// Clause 28.1.
#[tokio::test]
async fn a_scope_is_carried_on_purpose_only() {
    let scope = Registry::start();
    scope
        .enter(async {
            let spawned = tokio::spawn(async { Registry::current() });
            assert!(spawned.await.unwrap().is(Registry::global()));
            let carried = tokio::spawn(async { Registry::current() }.in_scope());
            assert!(carried.await.unwrap().is(&scope));
            let far =
                async { tokio::spawn(async { Registry::current() }.in_scope()).await.unwrap() }.in_scope();
            assert!(tokio::spawn(far).await.unwrap().is(&scope), "and on");
        })
        .await;
    let outside = tokio::spawn(async { Registry::current() }.in_scope());
    assert!(outside.await.unwrap().is(Registry::global()));
}

/// Row B8: isolated, and it dies with its future, done or dropped: names, what entries own; clean-up begins.
/// Clause 28.3.
#[tokio::test]
async fn a_scope_dies_with_its_future() {
    for dropped in [false, true] {
        let owned = Arc::new(());
        let held = Arc::clone(&owned);
        let seen = Arc::new(Mutex::new(None));
        let note = Arc::clone(&seen);
        let (cleanup, cleaned) = tokio::sync::oneshot::channel();
        let scoped = Registry::scoped(async move {
            let here = Registry::current();
            let created = here
                .create("scopes::inside", async move {
                    let entry = NewEntry::new(mailbox()).own(held).keep_open();
                    Ok::<_, Infallible>(entry.on_close(|ending| async move {
                        cleanup.send(ending.outcome).unwrap();
                    }))
                })
                .await
                .unwrap();
            *note.lock().unwrap() = here.entry(created.id());
            drop((created, here));
            if dropped {
                std::future::pending::<()>().await;
            }
        });
        let mut scoped = Box::pin(scoped);
        let begun = || seen.lock().unwrap().is_some();
        while !begun() {
            let _ = futures::poll!(&mut scoped);
            tokio::task::yield_now().await;
        }
        if dropped {
            assert_eq!(Arc::strong_count(&owned), 2);
        }
        drop(scoped);
        let entry = seen.lock().unwrap().take().unwrap();
        assert_eq!(entry.ending().map(|ending| ending.outcome), Some(Outcome::RegistryEnded));
        assert_eq!(Arc::strong_count(&owned), 1);
        assert_eq!(cleaned.await, Ok(Outcome::RegistryEnded));
        assert!(!Registry::global().contains("scopes::inside"));
    }
}

/// Row B8: what is not found inside is looked for outside; a name inside hides an equal one outside.
/// Clause 28.2.
#[tokio::test]
async fn a_nested_registry_falls_through_and_hides() {
    let outer = Registry::builder().name("outer").start();
    let inner = outer.nested().name("inner").start();
    assert!(inner.parent().unwrap().is(&outer) && outer.parent().is_none());
    let (one, two, other) = (mailbox(), mailbox(), start::<Counter>(1).await.unwrap());
    outer.register(&one, "x").await.unwrap();
    outer.add_key(one.id(), "kind", "x").await.unwrap();
    assert_eq!(inner.whereis::<Address<u8>>("x").unwrap().id(), one.id());
    assert_eq!(inner.id_of(one.id()), Some(one.id()));
    assert_eq!(inner.entry_by_key("kind", "x").unwrap().id(), one.id());
    assert_eq!((inner.sizes(), inner.entries().len()), (sizes(0, 0), 0), "its own only");
    inner.register(&two, "x").await.unwrap();
    assert_eq!(inner.id_of("x"), Some(two.id()));
    assert_eq!(outer.id_of("x"), Some(one.id()));
    absent(outer.whereis::<Address<u8>>(two.id()));
    assert!(inner.unregister("x") && !inner.unregister("x"), "what is outside is not its to take off");
    assert_eq!(inner.id_of("x"), Some(one.id()));
    inner.register(&other, "x").await.unwrap();
    let hidden = inner.whereis::<Address<u8>>("x").unwrap_err();
    assert!(matches!(hidden, LookupError::WrongType { .. }), "{hidden}");
    // A cached name notices either.
    let mut cached = inner.cached::<Address<u8>>("x");
    assert!(cached.get().is_err());
    drop(other);
    assert_eq!(cached.get().unwrap().id(), one.id());
    // What has closed outside is told of inside.
    let why = ExitReason::shutdown_with("why");
    assert!(outer.destroy(one.id(), why.clone()));
    match inner.whereis::<Address<u8>>(one.id()) {
        Err(LookupError::Closed { ending, .. }) => assert_eq!(ending.reason, why),
        other => panic!("{other:?}"),
    }
    assert!(inner.shutdown(AGES).await.is_clean());
    assert_eq!(outer.ended(), None);
    nothing_left(&outer).await;
}

/// Row B8: nested scopes end inside out.
#[tokio::test]
async fn nested_scopes_end_inside_out() {
    struct Noted(&'static str, Arc<Mutex<Vec<&'static str>>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let (outer_log, inner_log) = (Arc::clone(&log), Arc::clone(&log));
    let all = Registry::scoped(async move {
        let outer = Registry::current();
        let kept = mailbox();
        outer.register(&kept, "x").await.unwrap();
        assert!(outer.entry("x").unwrap().own(Noted("outer", outer_log)).is_ok());
        let inner = outer.nested().start();
        drop(outer);
        let inner_scope = inner.enter(async move {
            let also = mailbox();
            Registry::current().register(&also, "y").await.unwrap();
            assert!(Registry::current().entry("y").unwrap().own(Noted("inner", inner_log)).is_ok());
            std::future::pending::<()>().await;
        });
        drop(inner);
        inner_scope.await;
        drop(kept);
    });
    let mut all = Box::pin(all);
    for _ in 0..100 {
        assert!(futures::poll!(&mut all).is_pending());
        tokio::task::yield_now().await;
    }
    drop(all);
    assert_eq!(*log.lock().unwrap(), ["inner", "outer"]);
}

/// Row B8: one tenant, one registry; isolated, with places of its own, and of which others are not told.
/// Clause 28.4.
#[tokio::test]
async fn tenants_are_strangers_to_each_other() {
    let all = Registry::builder().name("all").max_concurrent_creates(3).start();
    let (red, blue) = (all.tenant("red"), all.tenant("blue"));
    assert!(all.tenant("red").is(&red) && !red.is(&blue));
    assert_eq!((red.name(), red.capacity().max_concurrent), ("all / red", 3));
    let kept = mailbox();
    red.register(&kept, "scopes::secret").await.unwrap();
    for stranger in [&all, &blue, Registry::global()] {
        let absent = absent(stranger.whereis::<Address<u8>>("scopes::secret"));
        assert!(absent.elsewhere.is_empty(), "{absent}");
    }
    let nested = red.nested().start();
    assert!(nested.contains("scopes::secret"));
    nested.register(&kept, "scopes::nested secret").await.unwrap();
    let absent = absent(blue.whereis::<Address<u8>>("scopes::nested secret"));
    assert!(absent.elsewhere.is_empty(), "{absent}");
    drop((nested, red));
    assert!(!all.tenant("red").contains("scopes::secret"), "it went with its last handle");
}

/// Row B8: a caller that looks in the wrong scope is told which is the right one.
#[tokio::test]
async fn the_wrong_scope_is_told_in_the_error() {
    let (right, wrong) =
        (Registry::builder().name("right").start(), Registry::builder().name("wrong").start());
    let kept = mailbox();
    right.register(&kept, "scopes::wanted").await.unwrap();
    let found = absent(wrong.whereis::<Address<u8>>("scopes::wanted"));
    assert_eq!(found.elsewhere.iter().map(|name| &**name).collect::<Vec<_>>(), ["right"]);
    let text = found.to_string();
    assert!(text.contains("\"wrong\"") && text.contains("the name is known in \"right\""), "{text}");
    let inside = wrong.enter(async { MailboxName::<u8>::new("scopes::wanted").whereis() }).await;
    assert_eq!(absent(inside).elsewhere.len(), 1);
    drop(kept);
    assert!(absent(wrong.whereis::<Address<u8>>("scopes::wanted")).elsewhere.is_empty());
}
