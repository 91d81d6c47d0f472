//! Clauses to the letter: what each says beside what the other topics show of it.

use crate::support::{Counter, Idle, mailbox};
use restante_core::addressable::OnClose;
use restante_core::{Address, Addressable, ExitReason, Mailbox, SendError, SendOptions};
use restante_genserver::{ServerRef, start};
use restante_registry::{EntryRef, Groups, Member, Outcome, Registry, Topics, What};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, Weak};
use std::thread;

/// A string is tried as a name, then as an id, whatever the actor is doing: it is asked nothing.
/// Clause 26.4.
#[tokio::test]
async fn a_look_up_asks_nobody() {
    let registry = Registry::start();
    let counter = start::<Counter>(1).await.unwrap();
    registry.register(&counter, "x").await.unwrap();
    let (id, text) = (counter.id(), counter.id().to_string());
    registry.sys().suspend();
    for whom in ["x", text.as_str()] {
        assert_eq!(registry.id_of(whom), Some(id), "{whom}");
        assert_eq!(registry.find(whom, ServerRef::<Counter>::id), Some(id), "{whom}");
        assert_eq!(registry.with(whom, ServerRef::<Counter>::id).unwrap(), id, "{whom}");
        assert!(registry.whereis::<ServerRef<Counter>>(whom).is_ok() && registry.contains(whom), "{whom}");
        registry.cast::<Counter>(whom, 1).unwrap();
    }
    for nobody in ["", "y", "00000000-0000-0000-0000-000000000000"] {
        assert!(!registry.contains(nobody) && registry.id_of(nobody).is_none(), "{nobody:?}");
        assert!(registry.whereis::<ServerRef<Counter>>(nobody).is_err(), "{nobody:?}");
    }
    assert!(registry.find("x", ServerRef::<Idle>::id).is_none(), "it is another type");
    registry.sys().resume();
}

/// What an entry owns, as it looks around in its drop.
struct LooksAround {
    registry: Registry,
    at: Address<u8>,
    seen: Arc<Mutex<Vec<[bool; 4]>>>,
}

impl Drop for LooksAround {
    fn drop(&mut self) {
        let Self { registry, at, seen } = self;
        let by_key = registry.entry_by_key("kind", "key").is_some();
        let look = [registry.contains("x"), by_key, registry.contains(at.id()), at.is_closed()];
        seen.lock().unwrap().push(look);
    }
}

/// Names and keys first, then the mailbox is out, then what its entry owns goes, then it closes.
/// Clause 26.7.
#[tokio::test]
async fn what_is_destroyed_goes_in_order() {
    let registry = Registry::start();
    let (at, seen) = (mailbox(), Arc::new(Mutex::new(Vec::new())));
    registry.register(&at, "x").await.unwrap();
    registry.add_key(at.id(), "kind", "key").await.unwrap();
    let owned = LooksAround { registry: registry.clone(), at: at.clone(), seen: Arc::clone(&seen) };
    assert!(registry.entry("x").unwrap().own(owned).is_ok());
    let before = registry.history(usize::MAX).len();
    assert!(registry.destroy(at.id(), ExitReason::Shutdown));
    assert_eq!(*seen.lock().unwrap(), [[false, false, false, false]], "all are off, and it is open");
    assert_eq!(at.closed_reason(), Some(ExitReason::Shutdown));
    let told: Vec<_> = registry.history(usize::MAX).split_off(before);
    let kinds = told.iter().map(|change| match change.what {
        What::Unregistered(..) => "name",
        What::KeyRemoved(..) => "key",
        What::Destroyed(_) => "mailbox",
        _ => "another",
    });
    assert_eq!(kinds.collect::<Vec<_>>(), ["name", "key", "mailbox"]);
}

/// Of the threads that destroy, remove and close a mailbox at once, one ends the entry: what that thread says is told of the
/// end.
/// Clause 26.7.
#[test]
fn of_those_who_destroy_remove_and_close_at_once_one_ends_the_entry() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let registry = Registry::builder().history(100_000).start();
    let mut by = [0; 3];
    for _ in 0..200 {
        let (at, gone) = (mailbox(), Arc::new(AtomicUsize::new(0)));
        registry.register_blocking(&at, "x").unwrap();
        let entry: EntryRef = registry.entry("x").unwrap();
        assert!(entry.own(Counted(Arc::clone(&gone))).is_ok());
        let begin = Barrier::new(3);
        let (destroyed, removed) = thread::scope(|scope| {
            let all = (&registry, &at, &begin);
            let destroys = scope.spawn(move || {
                all.2.wait();
                all.0.destroy(all.1.id(), ExitReason::Killed)
            });
            let removes = scope.spawn(move || {
                all.2.wait();
                all.0.remove(all.1.id())
            });
            begin.wait();
            at.close_mailbox(ExitReason::Shutdown);
            (destroys.join().unwrap(), removes.join().unwrap())
        });
        let ending = entry.ending().expect("it has ended");
        let expected = match (destroyed, removed) {
            (true, false) => Outcome::Destroyed,
            (false, true) => Outcome::Removed,
            (false, false) => Outcome::Closed,
            (true, true) => panic!("both did"),
        };
        by[expected as usize] += 1;
        assert_eq!((ending.outcome, gone.load(Ordering::Relaxed)), (expected, 1));
        let ends = registry.history(usize::MAX).into_iter().filter(|change| change.id == at.id());
        assert_eq!(ends.filter(|change| matches!(change.what, What::Destroyed(_))).count(), 1);
        assert!(!registry.contains("x"));
    }
}

/// A scope ends with the last handle to its registry, which the future that is in it has as well.
/// Clause 28.3.
#[tokio::test]
async fn a_scope_ends_with_the_last_handle() {
    let registry = Registry::start();
    let at = mailbox();
    registry.register(&at, "inside").await.unwrap();
    let entry = registry.entry("inside").unwrap();
    let mut inside = Box::pin(registry.enter(async {
        assert!(Registry::current().contains("inside"));
        std::future::pending::<()>().await;
    }));
    let nested = registry.nested().start();
    drop(registry);
    assert!(futures::poll!(&mut inside).is_pending());
    assert_eq!(entry.ending(), None, "the future is in it");
    drop(inside);
    assert_eq!(entry.ending(), None, "another is nested in it");
    drop(nested);
    assert_eq!(entry.ending().map(|ending| ending.outcome), Some(Outcome::RegistryEnded));
    assert!(!at.is_closed(), "the mailbox lives on");
}

/// Tells of what it sees when the mailbox closes.
struct Sees(Groups<u32>, Mutex<Vec<usize>>);

impl OnClose for Sees {
    fn on_close(&self, _: &ExitReason) {
        self.1.lock().unwrap().push(self.0.count("g"));
    }
}

/// What this thread did is seen at once, whatever others do at the same time; and what it has heard of.
/// Clause 29.3.
#[test]
fn a_thread_sees_what_it_did_while_others_write() {
    let groups = Groups::<u32>::new();
    thread::scope(|scope| {
        for n in 0..3_u32 {
            let groups = &groups;
            scope.spawn(move || {
                let mailbox = Mailbox::<u32>::new();
                let me = Member::address(&mailbox.address());
                let mine =
                    |groups: &Groups<u32>| groups.members("g").iter().filter(|member| **member == me).count();
                for _ in 0..500 {
                    groups.join("g", &me).unwrap();
                    assert_eq!(mine(groups), 1, "{n} has joined");
                    groups.leave("g", &me).unwrap();
                    assert_eq!(mine(groups), 0, "{n} has left");
                }
            });
        }
    });
    // By the time that its monitors hear of a member's end, no thread sees the member in a group any more.
    let mailbox = Mailbox::<u32>::new();
    let address = mailbox.address();
    groups.join("g", &Member::address(&address)).unwrap();
    let seen = Arc::new(Sees(groups.clone(), Mutex::new(Vec::new())));
    let late: Weak<dyn OnClose> = Arc::<Sees>::downgrade(&seen);
    assert!(address.tell_first(late), "told after the scope, which came first");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (note, there) = (Arc::clone(&heard), groups.clone());
    address.monitor(restante_core::monitor::Watch::Mailbox, move |_| {
        note.lock().unwrap().push(there.count("g"));
    });
    mailbox.close();
    assert_eq!((&*seen.1.lock().unwrap(), &*heard.lock().unwrap()), (&vec![0], &vec![0]));
}

/// What is sent to all is delivered by the caller itself, one copy to each membership: each copy has arrived when the call
/// returns, or comes back with its member and the reason. The call waits for no member.
/// Clause 29.5.
#[test]
fn each_copy_is_delivered_by_the_caller_or_comes_back() {
    let (open, full, closing) =
        (Mailbox::<u32>::new(), Mailbox::with(Mailbox::settings().capacity(1)).unwrap(), Mailbox::new());
    let by = Arc::new(Mutex::new(Vec::new()));
    let member = |mailbox: &Mailbox<u32>| {
        let by = Arc::clone(&by);
        Member::new(&mailbox.address(), move |at: &Address<u32>, message, options: SendOptions| {
            by.lock().unwrap().push(thread::current().id());
            at.try_send_with(message, options)
        })
    };
    let members = [member(&open), member(&open), member(&full), member(&closing)];
    let topics = Topics::<u32>::new();
    for one in &members {
        topics.subscribe("t", one).unwrap();
    }
    full.address().try_send(0).unwrap();
    for sent in [1, 2] {
        let published = match sent {
            1 => topics.publish("t", sent),
            _ => topics.groups().broadcast("t", sent),
        };
        let back = published.refused.iter().map(|refused| refused.member.id());
        assert_eq!((published.delivered, back.collect::<Vec<_>>()), (3, vec![full.id()]));
        let refused = published.refused.into_iter().next().unwrap();
        assert!(matches!(refused.error, SendError::Full(back) if back == sent), "its own copy");
    }
    assert_eq!(*by.lock().unwrap(), vec![thread::current().id(); 8]);
    assert_eq!((open.stats().depth, full.stats().depth, closing.stats().depth), (4, 1, 2));
    let mut receiver = open.receiver().unwrap();
    let got: Vec<_> = std::iter::from_fn(|| receiver.try_receive().ok()).collect();
    assert_eq!(got, [1, 1, 2, 2], "in the order in which they were sent");
    closing.close();
    assert_eq!(topics.publish("t", 3).delivered, 2, "who has closed is in it no more");
}
