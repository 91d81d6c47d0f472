//! The end of a mailbox.

use crate::{drain, opened, with_room};
use restante_core::addressable::OnClose;
use restante_core::{
    Accept, Addressable, Closed, DeadCause, DeadLetter, ExitReason, Lane, LeaseError, Mailbox, Recipient,
    SendError, SendOptions, TryReceiveError, WeakAddress,
};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// Row B5, clauses 1.3, 1.6: a receiver drains, then gets `Closed`.
#[tokio::test]
async fn the_last_address_closes_and_the_receiver_drains() {
    let (m, a, mut r) = with_room(4);
    let weak = a.downgrade();
    let b = weak.upgrade().unwrap();
    let erased = a.recipient();
    drop((m, a, b));
    erased.try_send(1).unwrap();
    assert!(!erased.is_closed());
    drop(erased);
    assert!(weak.upgrade().is_none());
    assert_eq!(r.receive().await, Ok(1));
    assert_eq!(r.receive().await, Err(Closed));
    assert_eq!(r.receive().await, Err(Closed), "and stays so");
}

/// Row B5, clause 1.6: a receiver that waits meanwhile is woken.
#[tokio::test]
async fn a_waiting_receiver_hears_of_the_destruction() {
    let (m, a, mut r) = with_room::<u8>(4);
    let waiting = tokio::spawn(async move { r.receive().await });
    tokio::task::yield_now().await;
    m.destroy(ExitReason::shutdown_with("moved"));
    assert_eq!(waiting.await.unwrap(), Err(Closed));
    assert_eq!(a.closed_reason(), Some(ExitReason::shutdown_with("moved")));
    assert!(matches!(a.try_send(1), Err(SendError::Closed(1))));
}

/// Row B5, clauses 4.5, 14.3: what will not be read is dead-lettered, and says why.
#[test]
fn destroy_without_a_reader_drains_to_the_dead_letters() {
    let (_d, dead, mut letters) = with_room(8);
    let settings = Mailbox::settings().name("orders").dead_letters(dead.recipient());
    let (m, a, mut r) = opened(settings);
    (0..3).for_each(|i| a.try_send(i).unwrap());
    a.try_send_with(9, SendOptions::new().lane(Lane::Control)).unwrap();
    assert_eq!(r.try_receive(), Ok(9));
    assert_eq!(r.try_receive(), Ok(0));
    drop(r);
    m.destroy(ExitReason::Shutdown);
    let letters = drain(&mut letters);
    assert_eq!(letters.iter().filter_map(|l| l.body).collect::<Vec<_>>(), [1, 2]);
    assert!(letters.iter().all(|l| l.name == "orders" && l.cause == DeadCause::Closed(ExitReason::Shutdown)));
    let ledger = a.stats().ledger;
    assert_eq!((ledger.sent, ledger.handled, ledger.dead_lettered, ledger.queued), (4, 2, 2, 0));
}

/// Clause 4.5.
#[test]
fn a_reader_that_goes_before_the_end_leaves_the_rest_to_the_dead_letters() {
    let (_d, dead, mut letters) = with_room(8);
    let (m, a, mut r) = opened(Mailbox::settings().dead_letters(dead.recipient()));
    (0..3).for_each(|i| a.try_send(i).unwrap());
    assert!(m.close() && !m.close());
    assert_eq!(r.try_receive(), Ok(0));
    assert!(m.receiver().is_err());
    drop(r);
    assert_eq!(drain(&mut letters).len(), 2);
    assert_eq!(m.receiver().map(drop), Err(LeaseError::Closed));
    assert_eq!(m.audit().map(|l| l.lost()), Some(0));
}

#[derive(Debug)]
struct Rude(u32);
impl Drop for Rude {
    fn drop(&mut self) {
        assert!(self.0 == 0 || std::thread::panicking(), "{} is rude", self.0);
    }
}

/// A message whose drop panics does no harm, wherever it is dropped.
#[test]
fn rude_messages_are_dropped_quietly() {
    let (m, a, mut r) = with_room(8);
    let keyed = SendOptions::new().key(1_u8);
    a.try_send_with(Rude(1), keyed).unwrap();
    a.try_send_with(Rude(2), keyed).unwrap();
    assert_eq!(m.stats().ledger.coalesced, 1);
    a.try_send(Rude(3)).unwrap();
    assert_eq!(r.purge(|m| m.0 == 2), 1);
    assert_eq!(r.audit().lost(), 0);
    drop(r);
    m.close();
    let ledger = m.audit().unwrap();
    assert_eq!((ledger.dead_lettered, ledger.queued, ledger.lost()), (1, 0, 0));
}

/// Clause 4.5.
#[test]
fn a_full_dead_letter_mailbox_stops_nobody() {
    let (_d, dead, mut letters) = with_room(1);
    let (m, a, r) = opened(Mailbox::settings().dead_letters(dead.recipient()));
    (1..4).for_each(|i| a.try_send(Rude(i)).unwrap());
    drop(r);
    m.close();
    assert_eq!(m.audit().map(|l| (l.dead_lettered, l.lost())), Some((3, 0)));
    let mut letter = letters.try_receive().unwrap();
    letter.body.as_mut().unwrap().0 = 0;
    assert!(matches!(letters.try_receive(), Err(TryReceiveError::Empty)));
}

/// Clause 26.1: who settles a mailbox in the closer's stead, by a mere look, has those told who asked to be told first before what
/// is queued is buried.
#[test]
fn a_look_that_settles_has_those_told_who_asked_to_be_told_first() {
    /// Asked to be told first, before another one; looks.
    struct Looks(WeakAddress<u8>);
    impl OnClose for Looks {
        fn on_close(&self, _: &ExitReason) {
            self.0.upgrade().map(|a| a.audit());
        }
    }
    #[derive(Default)]
    struct Told(AtomicBool);
    impl OnClose for Told {
        fn on_close(&self, _: &ExitReason) {
            self.0.store(true, SeqCst);
        }
    }
    /// Takes dead letters, and notes whether that one had been told.
    struct Takes(Arc<Told>, Arc<Mutex<Vec<bool>>>);
    impl Accept<DeadLetter<u8>> for Takes {
        fn accept(&self, _: DeadLetter<u8>, _: SendOptions) -> Result<(), SendError<DeadLetter<u8>>> {
            self.1.lock().unwrap().push(self.0.0.load(SeqCst));
            Ok(())
        }
        fn is_closed(&self) -> bool {
            false
        }
    }
    let (told, letters) = (Arc::<Told>::default(), Arc::default());
    let taker = Recipient::new(Takes(Arc::clone(&told), Arc::clone(&letters)));
    let mailbox = Mailbox::with(Mailbox::settings().dead_letters(taker)).unwrap();
    let a = mailbox.address();
    let looks: Arc<dyn OnClose> = Arc::new(Looks(a.downgrade()));
    let also: Arc<dyn OnClose> = told;
    assert!(a.tell_first(Arc::downgrade(&looks)) && a.tell_first(Arc::downgrade(&also)));
    a.try_send(1).unwrap();
    assert!(mailbox.close());
    assert_eq!(*letters.lock().unwrap(), [true]);
}
