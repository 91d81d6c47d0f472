//! Duplicate keys.

use super::{mailbox, seen};
use restante_core::Address;
use restante_registry::keys::{KeyKind, Keys, Registered, Registration};

type Topics = Keys<&'static str, u32>;

/// Case `counts the number of keys in a registry`.
#[test]
fn each_registration_of_a_key_counts() {
    let (_m, me) = mailbox();
    let keys = Topics::duplicate();
    keys.register(&me, "hello", 1).unwrap();
    keys.register(&me, "hello", 1).unwrap();
    assert_eq!((keys.count(), keys.kind()), (2, KeyKind::Duplicate));
}

/// Case `has duplicate registrations`.
#[test]
fn a_holder_may_have_a_key_more_than_once() {
    let (_m, me) = mailbox();
    let keys = Topics::duplicate();
    keys.register(&me, "hello", 1).unwrap();
    keys.register(&me, "hello", 1).unwrap();
    assert_eq!((keys.keys_of(&me), keys.values_of(&"hello", &me)), (vec!["hello", "hello"], vec![1, 1]));
    keys.register(&me, "world", 2).unwrap();
    assert_eq!(keys.keys_of(&me), ["hello", "hello", "world"]);
}

/// Case `has duplicate registrations across processes`.
#[test]
fn many_may_have_a_key() {
    let ((_m, me), (_n, other)) = (mailbox(), mailbox());
    let keys = Topics::duplicate();
    keys.register(&other, "hello", 1).unwrap();
    assert!(keys.keys_of(&me).is_empty() && keys.values_of(&"hello", &me).is_empty());
    assert_eq!((keys.keys_of(&other), keys.values_of(&"hello", &other)), (vec!["hello"], vec![1]));
    keys.register(&me, "hello", 2).unwrap();
    assert_eq!((keys.keys_of(&me), keys.values_of(&"hello", &me)), (vec!["hello"], vec![2]));
    assert_eq!(seen(&keys.lookup("hello")), [(other.id(), 1), (me.id(), 2)]);
    assert_eq!(keys.value_of("hello"), Some(1), "of the first");
    assert!(keys.whereis::<Address<u32>, _>("hello").unwrap().same_mailbox(&other));
}

/// Case `dispatches to multiple keys in serial`. (There is no parallel dispatch: see `Keys::dispatch`.)
#[test]
fn dispatch_hands_over_all_of_a_key_in_one_call() {
    let ((m, me), (n, other)) = (mailbox(), mailbox());
    let keys = Topics::duplicate();
    assert_eq!(keys.dispatch("hello", |_| panic!("there is nobody")), None::<()>);
    keys.register(&me, "hello", 1).unwrap();
    keys.register(&other, "hello", 2).unwrap();
    keys.register(&me, "world", 3).unwrap();
    let mut calls = 0;
    let mut send = |entries: &[Registered<&'static str, u32>]| {
        calls += 1;
        for entry in entries {
            entry.lent::<Address<u32>>().unwrap().try_send(*entry.value()).unwrap();
        }
    };
    keys.dispatch("hello", &mut send);
    keys.dispatch("world", &mut send);
    let (mut mine, mut others) = (m.receiver().unwrap(), n.receiver().unwrap());
    assert_eq!([mine.try_receive(), mine.try_receive(), others.try_receive()], [Ok(1), Ok(3), Ok(2)]);
    assert!(mine.try_receive().is_err() && others.try_receive().is_err());
    assert_eq!(calls, 2);
}

/// Cases `unregisters by key`, `unregisters with no entries`.
#[test]
fn unregistering_a_key_takes_all_of_its_holder_and_nothing_of_others() {
    let ((_m, me), (_n, other)) = (mailbox(), mailbox());
    let keys = Topics::duplicate();
    assert_eq!(keys.unregister(&"hello", &me), 0);
    for (holder, key, value) in
        [(&me, "hello", 1), (&other, "hello", 2), (&me, "hello", 3), (&me, "world", 4)]
    {
        keys.register(holder, key, value).unwrap();
    }
    assert_eq!(keys.unregister(&"hello", &me), 2);
    assert_eq!((keys.keys_of(&me), keys.keys_of(&other)), (vec!["world"], vec!["hello"]));
    assert_eq!(keys.unregister(&"world", &me), 1);
    assert_eq!((keys.keys_of(&me), keys.count()), (vec![], 1));
}

/// A registration's own reference means that one alone.
#[test]
fn a_registration_is_ended_by_itself() {
    let (_m, me) = mailbox();
    let keys = Topics::duplicate();
    let registrations: Vec<_> = (0..3).map(|n| keys.register(&me, "hello", n).unwrap()).collect();
    assert!(registrations[1].unregister() && !registrations[1].unregister());
    assert!(!registrations[1].is_registered() && registrations[2].is_registered());
    assert_eq!(keys.values_of(&"hello", &me), [0, 2]);
    let numbers: Vec<_> = registrations.iter().map(Registration::number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let left: Vec<_> = keys.registrations_of(&"hello", &me).iter().map(Registration::number).collect();
    assert_eq!(left, [1, 3]);
}

/// Case `update_value is not supported`: here it is, and keeps the order.
#[test]
fn a_duplicate_registration_is_updated_by_itself() {
    let (_m, me) = mailbox();
    let keys = Topics::duplicate();
    let registrations: Vec<_> = (0..3).map(|n| keys.register(&me, "hello", n).unwrap()).collect();
    assert_eq!(registrations[1].update_value(|n| n + 10), Ok((11, 1)));
    assert_eq!(keys.update_value(&"hello", &me, |n| n + 20), Ok((20, 0)), "the first");
    assert_eq!(keys.values_of(&"hello", &me), [20, 11, 2]);
    assert_eq!(keys.lookup("hello").iter().map(Registered::number).collect::<Vec<_>>(), [1, 2, 3]);
}

/// Cases `supports match patterns`, `supports guards`, `count_match supports match patterns`,
/// `count_match supports guard conditions`.
#[test]
fn predicates_pick_among_the_registrations_of_a_key() {
    let ((_m, me), (_n, other)) = (mailbox(), mailbox());
    let keys = Topics::duplicate();
    keys.register(&me, "hello", 1).unwrap();
    keys.register(&other, "hello", 2).unwrap();
    assert_eq!(seen(&keys.lookup_match("hello", |n| *n > 0)), [(me.id(), 1), (other.id(), 2)]);
    assert_eq!(seen(&keys.lookup_match("hello", |n| *n > 1)), [(other.id(), 2)]);
    assert_eq!([0, 1, 2].map(|least| keys.count_match("hello", |n| *n > least)), [2, 1, 0]);
}

/// Case `uses exact complex keys in lookup and match`.
#[test]
fn a_key_is_what_it_is_and_no_pattern() {
    let (_m, me) = mailbox();
    let keys: Keys<(Option<&str>, &str), u32> = Keys::duplicate();
    keys.register(&me, (None, "topic"), 1).unwrap();
    keys.register(&me, (Some("other"), "topic"), 2).unwrap();
    assert_eq!(keys.lookup(&(None, "topic")).len(), 1);
    assert_eq!(keys.count_match(&(None, "topic"), |_| true), 1);
}

/// Cases `unregister_match supports patterns`, `unregister_match supports guards`.
#[test]
fn unregistering_by_value_leaves_the_others() {
    let (_m, me) = mailbox();
    let keys = Topics::duplicate();
    for value in [1, 2, 2, 3] {
        keys.register(&me, "hello", value).unwrap();
    }
    assert_eq!(keys.unregister_match(&"hello", &me, |n| *n == 2), 2);
    assert_eq!(keys.values_of(&"hello", &me), [1, 3]);
    assert_eq!(keys.unregister_match(&"hello", &me, |n| *n == 2), 0);
    assert_eq!(keys.unregister_match(&"hello", &me, |_| true), 2);
    assert_eq!((keys.count(), keys.lookup("hello").len()), (0, 0));
}

/// Cases `select all`, `select allows multiple specs`, `count_select supports match specs`.
#[test]
fn select_sees_each_registration_once() {
    let (_m, me) = mailbox();
    let keys: Keys<u32, u32> = Keys::duplicate();
    // Enough for the index to grow many times, and for groups of many chunks.
    for n in 0..2_000 {
        keys.register(&me, n % 400, n).unwrap();
        keys.register(&me, 1_000, n).unwrap();
    }
    assert_eq!(
        keys.select(|entry| (*entry.key() != 1_000).then(|| *entry.value())),
        (0..2_000).collect::<Vec<_>>()
    );
    assert_eq!(
        keys.lookup(&1_000).iter().map(|entry| *entry.value()).collect::<Vec<_>>(),
        (0..2_000).collect::<Vec<_>>()
    );
    assert_eq!(keys.count_select(|entry| *entry.key() < 200), 1_000);
    assert_eq!(keys.unregister_match(&1_000, &me, |n| n % 3 > 0), 1_333);
    assert_eq!(keys.values_of(&1_000, &me), (0..2_000).step_by(3).collect::<Vec<_>>());
    assert_eq!((keys.count(), keys.keys_of(&me).len()), (2_667, 2_667));
}
