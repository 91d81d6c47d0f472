//! Servers on threads of their own, under shuttle: its threads and locks stand in for the system's and for the channel. A
//! thread that does not end shows as a deadlock.

use super::{ThreadError, ThreadPool};
use crate::shuttle_tests::{Args, Ask, EVER, Probe, Seen, Tell, explore};
use crate::{ExitReason, SendError, Server, StartError};
use shuttle::future::block_on;
use shuttle::thread;

fn args(seen: &Seen, slow: bool) -> Args {
    Args { seen: seen.clone(), slow }
}

/// Clauses 14.2, 5.2: a kill meets handlers on their own thread, one of which awaits. That incarnation ends as killed, at most
/// the message in hand is lost, and the next incarnation handles the rest.
#[test]
fn shuttle_a_kill_meets_handlers_on_their_own_thread() {
    explore(|| async {
        let seen = Seen::default();
        let server = Server::<Probe>::settings().own_thread().build().expect("sound settings");
        let probe = server.start(args(&seen, false)).await.expect("it starts");
        for tell in [Tell::Note(1), Tell::Later(2), Tell::Note(3)] {
            assert!(probe.cast(tell).is_ok());
        }
        let victim = probe.clone();
        let killer = thread::spawn(move || assert!(victim.kill(), "it runs until then"));
        let exit = probe.join().await;
        assert_eq!((exit.reason, exit.incarnation), (ExitReason::Killed, 1));
        killer.join().expect("it has killed");
        server.start(args(&seen, false)).await.expect("the mailbox is there");
        let all = probe.call(Ask::Get).timeout(EVER).await.expect("it answers");
        let missing = [1, 2, 3].iter().filter(|n| !all.contains(n)).count();
        assert!(all.is_sorted() && missing <= 1, "{all:?}");
        probe.close(ExitReason::Normal);
        probe.join().await;
    });
}

/// Clause 14.3: what was accepted before the close is handled, and then the thread ends.
#[test]
fn shuttle_a_close_meets_senders_of_a_server_on_its_own_thread() {
    explore(|| async {
        let seen = Seen::default();
        let probe =
            Server::<Probe>::settings().own_thread().start(args(&seen, false)).await.expect("it starts");
        let to = probe.clone();
        let sender = thread::spawn(move || {
            let sent = [101, 102].map(|n| to.cast(Tell::Note(n)));
            sent.iter().take_while(|sent| sent.is_ok()).count()
        });
        probe.close(ExitReason::Shutdown);
        let accepted = sender.join().expect("it has sent");
        assert_eq!(probe.join().await.reason, ExitReason::Shutdown);
        assert_eq!(seen.of(1), [101, 102][..accepted]);
        assert!(matches!(probe.cast(Tell::Note(103)), Err(SendError::Closed(_))));
    });
}

/// Clause 11.1: a kill meets a start whose `init` runs on its own thread. Whatever comes of it is said, and another start
/// follows.
#[test]
fn shuttle_a_kill_meets_a_start_on_its_own_thread() {
    explore(|| async {
        let seen = Seen::default();
        let server = Server::<Probe>::settings().own_thread().build().expect("sound settings");
        let probe = server.address();
        let victim = probe.clone();
        let killer = thread::spawn(move || victim.kill());
        let started = server.start(args(&seen, true)).await.map(drop);
        let killed = killer.join().expect("it has tried");
        match started {
            Ok(()) => {}
            Err(StartError::Failed(ExitReason::Killed)) => assert!(killed),
            Err(other) => panic!("{other}"),
        }
        if killed {
            assert_eq!(probe.join().await.reason, ExitReason::Killed);
            server.start(args(&seen, true)).await.expect("the mailbox is there");
        }
        assert_eq!(probe.call(|reply| Ask::Echo(1, reply)).timeout(EVER).await, Ok(1));
        probe.close(ExitReason::Normal);
    });
}

/// A pool's last handle goes while its last server ends: its thread ends, once.
#[test]
fn shuttle_a_pool_ends_with_its_last_handle_and_server() {
    explore(|| async {
        let seen = Seen::default();
        let pool = ThreadPool::new(1);
        let probe = Server::<Probe>::settings()
            .thread_pool(&pool)
            .start(args(&seen, false))
            .await
            .expect("it starts");
        let dropper = thread::spawn(move || drop(pool));
        assert!(probe.cast(Tell::Later(1)).is_ok());
        assert!(probe.cast(Tell::Panic).is_ok());
        probe.join().await;
        assert_eq!(seen.all(), [1]);
        dropper.join().expect("it has dropped it");
    });
}

/// A pool is shut down while a server starts on it: that one starts and is stopped, or does not start; and all threads end.
#[test]
fn shuttle_a_pool_is_shut_down_while_a_server_starts_there() {
    explore(|| async {
        let seen = Seen::default();
        let pool = ThreadPool::new(2);
        let (early, late) = [(); 2].map(|()| Server::<Probe>::settings().thread_pool(&pool)).into();
        let early = early.start(args(&seen, false)).await.expect("it starts");
        let told = seen.clone();
        let starter = thread::spawn(move || {
            let server = late.build().expect("sound settings");
            match block_on(server.start(args(&told, true))) {
                Ok(probe) => drop(block_on(probe.join())),
                Err(StartError::Thread(ThreadError::ShutDown) | StartError::Failed(ExitReason::Killed)) => {}
                Err(other) => panic!("{other}"),
            }
            // It has ended, and with it the last message that anybody waits for.
            assert!(!server.address().is_alive());
        });
        let report = pool.shutdown(EVER).await;
        assert!(report.left.is_empty() && report.threads_left == 0, "{report:?}");
        assert!(!early.is_alive());
        starter.join().expect("it has an end");
    });
}
