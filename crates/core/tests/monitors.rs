//! Monitors: of an incarnation, and of a mailbox.

use crate::with_room;
use restante_core::cell::{MailCell, Parked};
use restante_core::handle::Handle;
use restante_core::link::Linked;
use restante_core::monitor::{Event, Watch};
use restante_core::word::{self, RunGuard};
use restante_core::{Address, ExitReason};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

type Heard = Arc<Mutex<Vec<Event>>>;

fn listen(a: &Address<u8>, watch: Watch) -> Heard {
    let heard = Heard::default();
    let h = Arc::clone(&heard);
    a.monitor(watch, move |event| h.lock().unwrap().push(event));
    heard
}

fn told(heard: &Heard) -> Vec<String> {
    let said = |e: Event| match e {
        Event::Started { incarnation } => format!("started {incarnation}"),
        Event::Down(exit) => format!("down {}: {}", exit.incarnation, exit.reason),
        Event::Closed(reason) => format!("closed: {reason}"),
        other => format!("{other:?}"),
    };
    heard.lock().unwrap().drain(..).map(said).collect()
}

/// Clause 12.3.
#[test]
fn a_monitor_of_a_mailbox_hears_of_everything_in_order() {
    let (m, a, r) = with_room(1);
    let heard = listen(&a, Watch::Mailbox);
    drop(r);
    drop(m.receiver());
    m.destroy(ExitReason::Shutdown);
    assert_eq!(told(&heard), ["down 1: normal", "started 2", "down 2: normal", "closed: shutdown"]);
}

/// Clause 12.3.
#[test]
fn a_monitor_of_an_incarnation_hears_of_its_end_once() {
    let (m, a, r) = with_room(1);
    let heard = listen(&a, Watch::Incarnation);
    let crash = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _r = r;
        panic!("crash");
    }));
    assert!(crash.is_err());
    assert_eq!(told(&heard), ["down 1: error: the receiver was dropped by a panic"]);
    drop(m.receiver());
    m.close();
    assert!(told(&heard).is_empty());
}

/// Clause 12.3.
#[test]
fn a_monitor_is_told_at_once_where_nobody_reads() {
    let (m, a, r) = with_room(1);
    drop(r);
    assert_eq!(told(&listen(&a, Watch::Incarnation)), ["down 1: normal"]);
    assert!(told(&listen(&a, Watch::Mailbox)).is_empty());
    m.close();
    assert_eq!(told(&listen(&a, Watch::Mailbox)), ["closed: normal"]);
}

/// Clause 12.6.
#[test]
fn a_monitor_that_was_taken_down_hears_nothing() {
    let (_m, a, r) = with_room::<u8>(1);
    let heard = Heard::default();
    let h = Arc::clone(&heard);
    let id = a.monitor(Watch::Mailbox, move |event| h.lock().unwrap().push(event));
    assert!(a.demonitor(id));
    assert!(!a.demonitor(id));
    drop(r);
    assert!(told(&heard).is_empty());
    assert_eq!(Arc::strong_count(&heard), 1, "its notice is dropped");
}

/// Clause 12.6.
#[test]
fn a_monitor_may_take_down_itself_and_others_while_it_is_told() {
    let (m, a, r) = with_room::<u8>(1);
    let ids = Arc::new(Mutex::new(Vec::new()));
    let first = Heard::default();
    let (h, all, b) = (Arc::clone(&first), Arc::clone(&ids), a.clone());
    let id = a.monitor(Watch::Mailbox, move |event| {
        h.lock().unwrap().push(event);
        for id in all.lock().unwrap().iter() {
            b.demonitor(*id);
        }
    });
    let second = Heard::default();
    let h = Arc::clone(&second);
    let other = a.monitor(Watch::Mailbox, move |event| h.lock().unwrap().push(event));
    ids.lock().unwrap().extend([id, other]);
    drop(r);
    drop(m.receiver());
    assert_eq!(told(&first), ["down 1: normal"]);
    assert!(told(&second).is_empty(), "taken down before its turn came");
}

/// Clause 12.5.
#[test]
fn a_panic_in_a_notice_goes_no_further() {
    struct Rude;
    impl Drop for Rude {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "dropped");
        }
    }
    let (_m, a, r) = with_room(1);
    for watch in [Watch::Incarnation, Watch::Mailbox] {
        let rude = Rude;
        a.monitor(watch, move |_| {
            let _keep = &rude;
            panic!("told");
        });
    }
    let heard = listen(&a, Watch::Mailbox);
    drop(r);
    let rude = Rude;
    let at_once = a.monitor(Watch::Incarnation, move |_| {
        let _keep = &rude;
        panic!("told at once");
    });
    assert!(!a.demonitor(at_once));
    assert_eq!(told(&heard), ["down 1: normal"]);
}

/// Clause 12.4: a notice that starts the next reader: what happens meanwhile is told afterwards, in order.
#[test]
fn a_notice_may_start_the_next_reader() {
    let (m, a, r) = with_room::<u8>(1);
    let m = Arc::new(Mutex::new(m));
    let b = Arc::clone(&m);
    a.monitor(Watch::Incarnation, move |_| drop(b.lock().unwrap().receiver()));
    let heard = listen(&a, Watch::Mailbox);
    drop(r);
    assert_eq!(told(&heard), ["down 1: normal", "started 2", "down 2: normal"]);
}

/// Clause 12.6: a monitor's id is its own among all mailboxes and incarnations: elsewhere it takes nothing down, also while
/// something is told there.
#[test]
fn a_monitors_id_is_one_monitors_only() {
    let (m, a, r) = with_room::<u8>(1);
    let (_other, b, s) = with_room::<u8>(1);
    let (heard, other) = (Heard::default(), Heard::default());
    let (h, o) = (Arc::clone(&heard), Arc::clone(&other));
    let of_a = a.monitor(Watch::Incarnation, move |event| h.lock().unwrap().push(event));
    let of_b = b.monitor(Watch::Incarnation, move |event| o.lock().unwrap().push(event));
    assert_ne!(of_a, of_b);
    assert!(!a.demonitor(of_b) && !b.demonitor(of_a));
    // What is told first takes down the other mailbox's id here, and then that of this mailbox's last incarnation.
    let c = a.clone();
    a.monitor(Watch::Mailbox, move |_| assert!(!c.demonitor(of_b)));
    drop(r);
    assert_eq!(told(&heard), ["down 1: normal"]);
    let next = m.receiver().unwrap();
    let second = Heard::default();
    let h = Arc::clone(&second);
    let of_next = a.monitor(Watch::Incarnation, move |event| h.lock().unwrap().push(event));
    assert!(of_next != of_a && of_next != of_b);
    assert!(!a.demonitor(of_a));
    drop(next);
    assert_eq!(told(&second), ["down 2: normal"]);
    drop(s);
    assert_eq!(told(&other), ["down 1: normal"]);
}

/// Row H6: one of many who watch a mailbox, or are linked with its reader, is found without a walk along all of them, which would keep
/// senders waiting. (With such a walk this takes minutes.)
#[test]
fn many_who_watch_one_mailbox_go_one_by_one() {
    const MANY: usize = 100_000;
    struct Side;
    impl Linked for Side {
        fn link_id(&self) -> usize {
            0
        }
        fn exit_signal(&self, _: usize, _: &ExitReason) {}
        fn add_link(&self, _: Arc<dyn Linked>, _: usize) {}
        fn remove_link(&self, _: usize) {}
    }
    let handle = Handle::first(Arc::new(MailCell::<u8, Parked>::plain(Some(4), word::LEASED, Parked)));
    let told = Arc::new(AtomicUsize::new(0));
    let ids: Vec<_> = (0..MANY)
        .map(|id| {
            let told = Arc::clone(&told);
            handle.cell().add_link(id, Arc::new(Side));
            handle.cell().monitor(Watch::Mailbox, Box::new(move |_| _ = told.fetch_add(1, SeqCst)))
        })
        .collect();
    assert_eq!(handle.bonds(), (MANY, MANY));
    for (link, id) in ids.into_iter().enumerate().rev().skip(1) {
        assert!(handle.demonitor(id) && handle.remove_link(link));
    }
    assert_eq!(handle.bonds(), (1, 1));
    handle.cell().close(ExitReason::Normal);
    handle.cell().end_lease(RunGuard::enter(handle.cell()).unwrap(), None, false);
    assert_eq!(told.load(SeqCst), 1, "the last one");
}
