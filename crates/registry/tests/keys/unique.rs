//! Unique keys.

use super::{Clerk, mailbox, seen};
use restante_core::addressable::{Addressable, OnClose};
use restante_core::{Address, ExitReason};
use restante_genserver::{ServerRef, start};
use restante_registry::keys::{KeyError, KeyEvent, Keys, MetaError, NotRegistered};
use std::sync::{Arc, Mutex, Weak};

type Names = Keys<&'static str, u32>;

/// Case `counts 0 keys in an empty registry`, `empty list for empty registry`.
#[test]
fn an_empty_registry_counts_and_shows_nothing() {
    let keys = Names::unique();
    assert_eq!(keys.count(), 0);
    assert_eq!(keys.select(|entry| Some(*entry.key())), Vec::<&str>::new());
    assert_eq!(keys.count_select(|_| true), 0);
    assert!(keys.lookup("hello").is_empty());
}

/// Case `counts the number of keys in a registry`.
#[test]
fn each_registration_counts() {
    let (_m, me) = mailbox();
    let keys = Names::unique();
    keys.register(&me, "hello", 1).unwrap();
    keys.register(&me, "world", 2).unwrap();
    assert_eq!(keys.count(), 2);
}

/// Case `has unique registrations`. Differs: the holder's own key gets the new value.
/// Clause 30.2.
#[test]
fn a_holder_may_register_its_unique_key_again() {
    let (_m, me) = mailbox();
    let keys = Names::unique();
    let registration = keys.register(&me, "hello", 1).unwrap();
    assert_eq!((registration.key(), registration.holder_id()), (&"hello", me.id()));
    assert_eq!((keys.keys_of(&me), keys.values_of(&"hello", &me)), (vec!["hello"], vec![1]));

    let mut listener = keys.listen(8);
    let again = keys.register(&me, "hello", 2).unwrap();
    assert_eq!(again.number(), registration.number(), "it is the registration that it was");
    assert_eq!((keys.keys_of(&me), keys.values_of(&"hello", &me)), (vec!["hello"], vec![2]));
    assert_eq!((registration.value(), keys.count()), (Some(2), 1));
    let told = listener.try_next().expect("its value is new");
    assert!(matches!(told, KeyEvent::Updated { .. }), "{told:?}");
    assert!(listener.try_next().is_none());

    keys.register(&me, "world", 3).unwrap();
    assert_eq!(keys.keys_of(&me), ["hello", "world"]);
}

/// Case `has unique registrations across processes`.
/// Clause 30.2.
#[test]
fn who_comes_second_is_told_who_holds_the_key() {
    let ((_m, me), (_n, other)) = (mailbox(), mailbox());
    let keys = Names::unique();
    keys.register(&other, "hello", 1).unwrap();
    let refused = keys.register(&me, "hello", 2).unwrap_err();
    assert_eq!(refused, KeyError::KeyTaken { holder: other.id() });
    assert!(refused.to_string().contains(&other.id().to_string()));
    assert!(keys.keys_of(&me).is_empty() && keys.values_of(&"hello", &me).is_empty());
    assert_eq!(seen(&keys.lookup("hello")), [(other.id(), 1)]);
}

/// Cases `doesn't grow ets on already_registered`, `doesn't grow ets on already_registered across processes`.
#[test]
fn a_refusal_leaves_nothing_behind() {
    let ((_m, me), (n, other)) = (mailbox(), mailbox());
    let keys: Keys<&str, Arc<()>> = Keys::unique();
    let mut listener = keys.listen(8);
    keys.register(&me, "hello", Arc::new(())).unwrap();
    let value = Arc::new(());
    keys.register(&other, "hello", Arc::clone(&value)).unwrap_err();
    n.close();
    assert_eq!(keys.register(&other, "free", Arc::clone(&value)).unwrap_err(), KeyError::HolderClosed);
    assert_eq!((keys.count(), Arc::strong_count(&value)), (1, 1));
    assert!(listener.try_next().is_some_and(|event| event.seq() == 1));
    assert!(listener.try_next().is_none());
}

/// Takes over a key as soon as its holder has closed: before the registry itself has heard of it.
struct Heir {
    keys: Names,
    closing: Address<u32>,
    next: Address<u32>,
    seen: Mutex<Vec<Result<(), KeyError>>>,
}

impl OnClose for Heir {
    fn on_close(&self, _: &ExitReason) {
        assert!(self.keys.lookup("hello").is_empty(), "a closed holder is not shown");
        assert_eq!(self.keys.count(), 2, "the registry has not heard of it yet");
        let late = self.keys.register(&self.closing, "late", 3).map(drop);
        assert_eq!(late, Err(KeyError::HolderClosed));
        let taken = self.keys.register(&self.next, "hello", 2).map(drop);
        self.seen.lock().unwrap().push(taken);
    }
}

/// Case `has unique registrations even if partition is delayed`: a stale holder is replaced at once.
/// Clause 30.2.
#[test]
fn a_closed_holder_is_replaced_before_the_registry_has_heard_of_it() {
    let ((m, holder), (_n, next)) = (mailbox(), mailbox());
    let keys = Names::unique();
    let heir = Arc::new(Heir { keys: keys.clone(), closing: holder.clone(), next, seen: Mutex::default() });
    let told: Weak<Heir> = Arc::downgrade(&heir);
    // Told before the registry, which asks to be told later.
    assert!(holder.tell_first(told));
    keys.register(&holder, "hello", 1).unwrap();
    keys.register(&holder, "world", 1).unwrap();
    let mut listener = keys.listen(8);
    m.close();
    assert_eq!(*heir.seen.lock().unwrap(), [Ok(())]);
    assert_eq!(seen(&keys.lookup("hello")), [(heir.next.id(), 2)]);
    assert_eq!((keys.count(), keys.keys_of(&heir.next)), (1, vec!["hello"]));
    let told: Vec<_> = std::iter::from_fn(|| listener.try_next()).map(|event| format!("{event:?}")).collect();
    let kinds: Vec<_> = told.iter().map(|event| event.split('(').next().unwrap()).collect();
    assert_eq!(kinds, ["Unregistered", "Registered", "Unregistered"], "{told:?}");
}

/// Cases `supports match patterns`, `supports guard conditions`.
#[test]
fn a_look_up_takes_a_predicate() {
    let (_m, me) = mailbox();
    let keys: Keys<&str, (u32, char)> = Keys::unique();
    keys.register(&me, "hello", (1, 'a')).unwrap();
    assert_eq!(keys.lookup_match("hello", |(n, _)| *n > 0).len(), 1);
    assert!(keys.lookup_match("hello", |(n, _)| *n > 1).is_empty());
    assert!(keys.lookup_match("world", |_| true).is_empty());
}

/// Cases `count_match supports match patterns`, `count_match supports guard conditions`.
#[test]
fn a_count_takes_a_predicate() {
    let (_m, me) = mailbox();
    let keys = Names::unique();
    keys.register(&me, "hello", 1).unwrap();
    assert_eq!(keys.count_match("hello", |n| *n > 0), 1);
    assert_eq!(keys.count_match("hello", |n| *n > 1), 0);
    assert_eq!(keys.count_match("world", |_| true), 0);
}

/// Cases `unregister_match supports patterns`, `unregister_match supports guards`.
#[test]
fn unregistering_takes_a_predicate() {
    let ((_m, me), (_n, other)) = (mailbox(), mailbox());
    let keys = Names::unique();
    keys.register(&me, "hello", 1).unwrap();
    assert_eq!(keys.unregister_match(&"hello", &me, |n| *n > 1), 0);
    assert_eq!(keys.unregister_match(&"hello", &other, |_| panic!("it is not the other's")), 0);
    assert_eq!(seen(&keys.lookup("hello")), [(me.id(), 1)]);
    assert_eq!(keys.unregister_match(&"hello", &me, |n| *n < 2), 1);
    assert!(keys.lookup("hello").is_empty());
}

/// Case `compares using ===`: by `Eq`, and whatever borrows alike finds it.
#[test]
fn keys_are_compared_with_eq() {
    let (_m, me) = mailbox();
    let keys: Keys<String, u32> = Keys::unique();
    keys.register(&me, "1".to_owned(), 1).unwrap();
    keys.register(&me, "1.0".to_owned(), 2).unwrap();
    assert_eq!(keys.keys_of(&me), ["1", "1.0"]);
    assert_eq!((keys.value_of("1"), keys.value_of("1.0"), keys.value_of("")), (Some(1), Some(2), None));
}

/// Case `updates current process value`.
/// Clause 30.4.
#[test]
fn only_the_holder_updates_and_else_the_function_is_not_called() {
    let ((_m, me), (_n, other)) = (mailbox(), mailbox());
    let keys = Names::unique();
    let raise = |_: &u32| panic!("it is not called");
    assert_eq!(keys.update_value(&"hello", &me, raise), Err(NotRegistered));
    keys.register(&other, "hello", 7).unwrap();
    assert_eq!(keys.update_value(&"hello", &me, raise), Err(NotRegistered));

    let registration = keys.register(&me, "world", 1).unwrap();
    assert_eq!(keys.update_value(&"world", &me, |n| n + 1), Ok((2, 1)));
    assert_eq!(registration.update_value(|n| n * 10), Ok((20, 2)));
    assert_eq!((seen(&keys.lookup("world")), keys.keys_of(&me)), (vec![(me.id(), 20)], vec!["world"]));
    assert_eq!(keys.values_of(&"world", &me), [20]);

    assert!(registration.unregister());
    assert_eq!(registration.update_value(raise), Err(NotRegistered));
}

/// Case `dispatches to a single key`.
#[test]
fn dispatch_is_not_called_for_nobody() {
    let (m, me) = mailbox();
    let keys = Names::unique();
    assert_eq!(keys.dispatch("hello", |_| panic!("there is nobody")), None::<()>);
    assert_eq!(keys.with("hello", <[_]>::len), 0);
    keys.register(&me, "hello", 5).unwrap();
    let caller = std::thread::current().id();
    let sent = keys.dispatch("hello", |entries| {
        assert_eq!(std::thread::current().id(), caller);
        let [entry] = entries else { panic!("one") };
        entry.lent::<Address<u32>>().expect("it was registered as such").try_send(*entry.value())
    });
    assert!(sent.is_some_and(|sent| sent.is_ok()));
    assert_eq!(m.receiver().unwrap().try_receive(), Ok(5));
}

/// Row G5: a caller whose own closure panics hurts no other caller.
#[test]
fn a_panic_in_a_closure_is_the_callers_alone() {
    super::quiet();
    let (_m, me) = mailbox();
    let keys = Names::unique();
    let registration = keys.register(&me, "hello", 5).unwrap();
    let caught = |f: &mut dyn FnMut()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).expect_err("it panics");
    };
    caught(&mut || keys.dispatch("hello", |_| panic!("told to")).unwrap());
    caught(&mut || keys.with("hello", |_| panic!("told to")));
    caught(&mut || drop(keys.select(|_| -> Option<()> { panic!("told to") })));
    caught(&mut || assert_eq!(keys.unregister_match(&"hello", &me, |_| panic!("told to")), 0));
    caught(&mut || assert!(registration.update_value(|_| panic!("told to")).is_ok()));
    assert_eq!(registration.update_value(|n| n + 1), Ok((6, 5)));
    assert_eq!(keys.unregister(&"hello", &me), 1);
}

/// Cases `unregisters process by key`, `unregisters with no entries`.
#[test]
fn unregistering_is_always_fine() {
    let ((_m, me), (_n, other)) = (mailbox(), mailbox());
    let keys = Names::unique();
    assert_eq!(keys.unregister(&"hello", &me), 0);
    keys.register(&me, "hello", 1).unwrap();
    keys.register(&me, "world", 2).unwrap();
    assert_eq!(keys.unregister(&"hello", &other), 0, "it is not the other's");
    assert_eq!(keys.unregister(&"hello", &me), 1);
    assert_eq!(keys.keys_of(&me), ["world"]);
    assert_eq!(keys.unregister(&"world", &me), 1);
    assert!(keys.keys_of(&me).is_empty());
    assert_eq!(keys.register(&other, "hello", 3).map(|registration| registration.value()), Ok(Some(3)));
}

/// Case `via callbacks`: a key names a server, by its own type.
#[tokio::test]
async fn a_key_leads_to_its_server_without_a_cast() {
    let clerk = start::<Clerk>(()).await.unwrap();
    let keys: Keys<String, ()> = Keys::unique();
    keys.register(&clerk, "clerk".to_owned(), ()).unwrap();
    let found: ServerRef<Clerk> = keys.whereis("clerk").expect("it is there");
    assert_eq!(found.call(|incarnation| incarnation).await.unwrap(), 1);
    assert!(keys.whereis::<Address<u32>, _>("clerk").is_none(), "it is another type");
    assert!(keys.whereis::<ServerRef<Clerk>, _>("nobody").is_none());
    let other = start::<Clerk>(()).await.unwrap();
    let refused = keys.register(&other, "clerk".to_owned(), ()).unwrap_err();
    assert_eq!(refused, KeyError::KeyTaken { holder: clerk.id() });
}

/// Cases `select all`, `select supports full match specs`, `select supports guard conditions`.
#[test]
fn select_picks_and_shapes() {
    let ((_m, me), (_n, other)) = (mailbox(), mailbox());
    let keys = Names::unique();
    keys.register(&me, "one", 1).unwrap();
    keys.register(&other, "two", 2).unwrap();
    keys.register(&me, "three", 3).unwrap();
    let all = keys.select(|entry| Some((*entry.key(), entry.holder_id(), *entry.value())));
    assert_eq!(all, [("one", me.id(), 1), ("two", other.id(), 2), ("three", me.id(), 3)]);
    let mine = keys.select(|entry| (entry.holder_id() == me.id()).then(|| *entry.value()));
    assert_eq!(mine, [1, 3]);
    assert_eq!(keys.select(|entry| (*entry.value() > 1).then(|| *entry.key())), ["two", "three"]);
}

/// Cases `count_select supports match specs`, `count_select supports guard conditions`.
#[test]
fn count_select_counts_what_is_such() {
    let (_m, me) = mailbox();
    let keys = Names::unique();
    for (key, value) in [("one", 1), ("two", 2), ("three", 3)] {
        keys.register(&me, key, value).unwrap();
    }
    assert_eq!(keys.count_select(|entry| *entry.value() > 1 && *entry.key() != "two"), 1);
}

/// The documentation of `Registry.put_meta/3`, `meta/2` and `delete_meta/2`.
#[test]
fn metadata_is_typed() {
    let keys = Names::unique();
    assert_eq!(keys.meta::<u32>("limit"), Err(MetaError::Absent));
    keys.put_meta("limit", 7_u32);
    assert_eq!(keys.meta("limit"), Ok(7_u32));
    keys.put_meta("limit", 8_u32);
    assert_eq!(keys.clone().meta("limit"), Ok(8_u32));
    assert_eq!(keys.meta::<String>("limit"), Err(MetaError::WrongType { stored: "u32" }));
    keys.put_meta("limit", "none".to_owned());
    assert_eq!(keys.meta("limit"), Ok("none".to_owned()));
    assert!(keys.delete_meta("limit") && !keys.delete_meta("limit"));
    assert_eq!(keys.meta::<String>("limit"), Err(MetaError::Absent));
    keys.put_meta("limit", ());
    assert_eq!(keys.meta("limit"), Ok(()));
}

/// What is printed says how much there is and nothing of what it holds.
#[test]
fn it_prints_itself() {
    let (_m, me) = mailbox();
    let keys = Names::unique();
    let registration = keys.register(&me, "hello", 1).unwrap();
    keys.put_meta("limit", 1);
    let _lock = keys.try_lock(&"other").expect("it is free");
    assert_eq!(format!("{keys:?}"), r#"Keys { kind: Unique, count: 1, locked: 1, meta: {"limit"} }"#);
    let id = me.id();
    assert_eq!(
        format!("{registration:?}"),
        format!(r#"Registration {{ key: "hello", holder: {id}, number: 1, .. }}"#)
    );
    assert!(format!("{:?}", keys.lookup("hello")).contains(r#"key: "hello", value: 1"#));
}
