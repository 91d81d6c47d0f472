//! The law as an assertion, what comes about by itself, time for rules, quiet panics.

use crate::support::{Ask, SECOND, Tell, counter, fails};
use restante_core::{Ledger, Mailbox};
use restante_genserver::Server;
use restante_supervisor::{Supervise, Supervisor};
use restante_testkit::{
    FakeClock, Universe, assert_conserved, assert_conserved_when_idle, eventually, quiet_panics, settled,
};
use std::cell::Cell;
use std::time::Duration;

#[test]
fn the_law_is_asserted_of_whatever_counts() {
    Universe::new().run(async |_| {
        let mailbox = Mailbox::<u32>::new();
        mailbox.address().try_send(1).unwrap();
        assert_eq!(assert_conserved!(mailbox).queued, 1);
        let server = counter().await;
        server.cast(Tell::Sleep(2 * SECOND)).unwrap();
        settled().await;
        assert_eq!(assert_conserved!(server).in_hand, 1);
        server.cast(Tell::Add(1)).unwrap();
        assert_eq!(assert_conserved_when_idle!(server).handled, 2);
        let child = Server::<crate::support::Counter>::new("child");
        let address = child.address();
        let tree = Supervisor::one_for_one().child(child.child(0)).start().await.unwrap();
        address.call(Ask::Total).await.unwrap();
        let all = assert_conserved!(mailbox, mailbox.address(), server, address, tree, Ledger::default());
        assert_eq!((all.sent, all.handled, all.queued), (1 + 1 + 2 + 1 + 1, 2 + 1 + 1, 2));
        tree.shutdown(SECOND).await;
    });
}

#[test]
fn a_law_that_does_not_hold_is_told_term_by_term() {
    let mut wrong = Ledger::default();
    (wrong.sent, wrong.handled, wrong.shed) = (3, 1, 1);
    let said = fails(async |_| assert_conserved!(wrong));
    assert!(said.contains("does not hold for `wrong`: sent 3 = handled 1 + shed 1; lost 1"), "{said}");
    assert!(fails(async |_| assert_conserved_when_idle!(wrong)).contains("lost 1"));
}

#[test]
fn what_is_not_idle_or_at_rest_is_told() {
    let busy = fails(async |_| {
        let server = counter().await;
        server.cast(Tell::Sleep(Duration::from_secs(3600))).unwrap();
        server.cast(Tell::Add(1)).unwrap();
        assert_conserved_when_idle!(server)
    });
    assert!(
        busy.contains("`server` was not idle within 3s: sent 2 = handled 0 + in hand 1 + queued 1"),
        "{busy}"
    );
    for idle in [false, true] {
        let awake = fails(async |_| {
            let mailbox = Mailbox::<u32>::new();
            let mut receiver = mailbox.receiver().unwrap();
            assert!(receiver.try_receive().is_err());
            if idle { assert_conserved_when_idle!(mailbox) } else { assert_conserved!(mailbox) }
        });
        assert!(awake.contains("`mailbox` did not come to rest within 3s"), "{awake}");
    }
}

#[test]
fn what_comes_about_by_itself_is_waited_for_in_paused_time() {
    Universe::new().run(async |world| {
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let set = done.clone();
        world.spawn(async move {
            tokio::time::sleep(Duration::from_secs(1 << 16)).await;
            set.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let looks = Cell::new(0);
        eventually(Duration::from_secs(1 << 17), || {
            looks.set(looks.get() + 1);
            done.load(std::sync::atomic::Ordering::Relaxed)
        })
        .await;
        assert!(looks.get() < 2000, "{} looks", looks.get());
    });
    let said = fails(async |_| eventually(SECOND, || false).await);
    assert!(said.contains("did not within 1s"), "{said}");
}

/// Time that is paused runs out at once for a thread that lives by the wall clock.
#[test]
fn what_a_plain_thread_brings_about_is_waited_for_in_real_time() {
    Universe::new().run(async |_| {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let set = done.clone();
        let thread = std::thread::spawn(move || {
            released.recv().unwrap();
            set.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let began = tokio::time::Instant::now();
        eventually(SECOND, || {
            if began.elapsed() >= SECOND {
                // The clock that is paused has run out: only now the thread goes on.
                let _ = release.send(());
            }
            done.load(std::sync::atomic::Ordering::Relaxed)
        })
        .await;
        thread.join().unwrap();
    });
}

/// A rule of ours that takes `now`, table by table.
#[test]
fn a_fake_clock_drives_a_rule() {
    let mut clock = FakeClock::default();
    let began = clock.now();
    assert_eq!(clock.now(), began);
    assert_eq!(clock.advance(SECOND), began + SECOND);
    assert_eq!(clock.elapsed(), SECOND);
}

#[test]
fn quiet_panics_are_panics_still() {
    let (one, two) = (quiet_panics("hush"), quiet_panics("hush"));
    drop(one);
    assert!(std::panic::catch_unwind(|| panic!("hush now")).is_err());
    drop(two);
}
