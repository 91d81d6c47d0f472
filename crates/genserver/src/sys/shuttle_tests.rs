//! Operators under shuttle: what they ask meets messages, crashes, kills and ends. A verb that is neither obeyed nor refused
//! shows as a deadlock, since no limit ends.

use crate::shuttle_tests::{Args, Ask, EVER, Probe, Probes, Seen, Tell, down, end, explore, notes, once};
use crate::shuttle_tests::{lasting, probe, spawn};
use crate::sys::{Moment, SysError};
use crate::{CallError, CallerRuns, ExitReason, Message, Server};
use restante_core::word;
use shuttle::thread;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// On the runtime, or on a thread of its own.
async fn started(own_thread: bool) -> (Probes, Seen) {
    if !own_thread {
        return probe(CallerRuns::Auto).await;
    }
    let args = Args::default();
    let seen = args.seen.clone();
    (Server::settings().own_thread().start(args).await.expect("it starts"), seen)
}

/// Nothing is wanted any more: the next call finds the server as if it had never been asked for anything.
async fn is_left_alone(server: &Probes) {
    assert_eq!(server.call(|reply| Ask::Echo(900, reply)).timeout(EVER).await, Ok(900));
    assert_eq!(server.handle.cell().word().bits() & word::SYS, 0, "SYS has come down");
}

/// Clauses 23.4, 3.2: an order to stop comes through, and the call is answered or refused.
fn suspend_call_stop(own_thread: bool) {
    explore(move || async move {
        let (server, seen) = started(own_thread).await;
        let operator = server.clone();
        let operator = thread::spawn(move || assert!(operator.sys().suspend()));
        let caller = server.clone();
        let caller = spawn(async move { caller.call(|reply| Ask::Later(1, reply)).timeout(EVER).await });
        assert_eq!(server.stop(ExitReason::Shutdown, EVER).await, Ok(()));
        match caller.await {
            Ok(n) => assert_eq!((n, seen.all()), (1, vec![1])),
            Err(CallError::Exited(_) | CallError::Closed) => assert!(seen.all().is_empty()),
            Err(other) => panic!("{other}"),
        }
        operator.join().expect("it has suspended");
    });
}

#[test]
fn shuttle_sys_suspend_meets_a_call_and_a_stop() {
    suspend_call_stop(false);
}

#[test]
fn shuttle_sys_suspend_meets_a_call_and_a_stop_on_an_own_thread() {
    suspend_call_stop(true);
}

/// Clause 23.4: once a state verb has answered nothing is handled until the server is resumed; then everything is, in order.
fn suspend_casts_resume(own_thread: bool) {
    explore(move || async move {
        let (server, seen) = started(own_thread).await;
        let to = server.clone();
        let sender = thread::spawn(move || notes(&to, [101, 102, 103]));
        let caller = server.clone();
        let caller = spawn(async move { caller.call(|reply| Ask::Echo(201, reply)).timeout(EVER).await });
        let sys = server.sys().timeout(EVER);
        assert!(sys.suspend());
        let before = sys.get_state(|probe| probe.seen.all()).await.expect("it is asked");
        notes(&server, [301]);
        thread::yield_now();
        let after = sys.get_state(|probe| probe.seen.all()).await.expect("it is asked");
        assert_eq!(before, after, "nothing is handled meanwhile");
        assert!(sys.resume());
        assert_eq!(caller.await, Ok(201));
        sender.join().expect("it has sent");
        is_left_alone(&server).await;
        end(server).await;
        assert_eq!(seen.of(1), [101, 102, 103]);
        assert_eq!(seen.of(3), [301]);
    });
}

#[test]
fn shuttle_sys_a_suspended_server_is_quiet_and_loses_nothing() {
    suspend_casts_resume(false);
}

#[test]
fn shuttle_sys_a_suspended_server_is_quiet_on_its_own_thread() {
    suspend_casts_resume(true);
}

/// Clause 23.4: what is sent once the server has been suspended is not handled before it is resumed.
#[test]
fn shuttle_sys_what_comes_after_a_suspension_waits() {
    explore(|| async {
        let (server, seen) = probe(CallerRuns::Auto).await;
        let to = server.clone();
        let sender = thread::spawn(move || notes(&to, [101]));
        assert!(server.sys().suspend());
        notes(&server, [201]);
        sender.join().expect("it has sent");
        let sys = server.sys().timeout(EVER);
        let all = sys.get_state(|probe| probe.seen.all()).await.expect("it is asked");
        assert!(all.is_empty() || all == [101], "{all:?}");
        assert!(sys.resume());
        end(server).await;
        assert_eq!((seen.of(1), seen.of(2)), (vec![101], vec![201]));
    });
}

/// Clauses 23.2, 23.3: a verb is obeyed exactly when its asker is told so, over a crash and the next incarnation.
#[test]
fn shuttle_sys_replace_state_meets_a_crash_and_the_next_incarnation() {
    explore(|| async {
        let (server, at, args) = lasting().await;
        let told = down(&at);
        let crash = at.clone();
        let crash = thread::spawn(move || crash.cast(Tell::Panic).expect("it is open"));
        let again = spawn(async move {
            told.await.expect("it crashes");
            server.start(args).await.expect("the mailbox is there");
            server
        });
        let applied = Arc::new(AtomicU32::new(0));
        let counts = Arc::clone(&applied);
        let replaced = at
            .sys()
            .timeout(EVER)
            .replace_state(move |old| {
                counts.fetch_add(1, Ordering::SeqCst);
                Ok(Probe::after(old))
            })
            .await;
        match &replaced {
            Ok(()) => assert_eq!(applied.load(Ordering::SeqCst), 1),
            Err(SysError::Exited(_) | SysError::NotRunning) => {}
            Err(other) => panic!("{other}"),
        }
        crash.join().expect("it has been told");
        let server = again.await;
        is_left_alone(&at).await;
        assert_eq!(applied.load(Ordering::SeqCst), u32::from(replaced.is_ok()), "and never later");
        assert_eq!(Arc::strong_count(&applied), 1, "nothing of the question is left");
        drop(server);
        at.close(ExitReason::Normal);
        at.join().await;
    });
}

/// Clauses 23.2, 23.4: a server that is suspended, asked and killed at once refuses or answers.
#[test]
fn shuttle_sys_get_state_meets_a_suspension_and_a_kill() {
    explore(|| async {
        let (server, _) = probe(CallerRuns::Auto).await;
        notes(&server, [101]);
        let operator = server.clone();
        let operator = thread::spawn(move || operator.sys().suspend());
        let victim = server.clone();
        let killer = thread::spawn(move || assert!(victim.kill()));
        let got = server.sys().timeout(EVER).get_state(|probe| probe.seen.all()).await;
        match got {
            Ok(all) => assert!(all.is_empty() || all == [101]),
            Err(SysError::Exited(reason)) => assert_eq!(reason, ExitReason::Killed),
            Err(SysError::NotRunning) => {}
            Err(other) => panic!("{other}"),
        }
        killer.join().expect("it has killed");
        operator.join().expect("it has suspended");
        assert_eq!(server.join().await.reason, ExitReason::Killed);
    });
}

/// Clause 23.7: a hook hears of all that is sent after it was installed, in order, and of nothing that is sent after it was
/// removed.
#[test]
fn shuttle_sys_hooks_come_and_go_among_messages() {
    explore(|| async {
        let (server, seen) = probe(CallerRuns::Auto).await;
        let to = server.clone();
        let sender = thread::spawn(move || notes(&to, [101, 102]));
        let heard = Seen::default();
        let hears = heard.clone();
        assert!(server.sys().install("ear", move |step| {
            if let (Moment::Taken, Some(Message::Cast(Tell::Note(n)))) = (&step.moment, step.message) {
                hears.push(*n);
            }
            ControlFlow::Continue(())
        }));
        notes(&server, [201, 202]);
        assert_eq!(server.call(|reply| Ask::Echo(1, reply)).timeout(EVER).await, Ok(1));
        assert!(server.sys().remove("ear"));
        notes(&server, [301]);
        sender.join().expect("it has sent");
        is_left_alone(&server).await;
        end(server).await;
        assert_eq!(heard.of(2), [201, 202]);
        assert_eq!(heard.of(3), [0; 0]);
        assert_eq!(seen.of(1), [101, 102]);
        assert!(heard.of(1).is_sorted());
    });
}

/// Clause 23.2: a question that is dropped is answered now or never, and nothing of it stays.
#[test]
fn shuttle_sys_a_question_is_dropped_while_the_loop_takes_it() {
    explore(|| async {
        let (server, _) = probe(CallerRuns::Auto).await;
        let asked = Arc::new(AtomicU32::new(0));
        let counts = Arc::clone(&asked);
        {
            let sys = server.sys().timeout(EVER);
            let mut question = Box::pin(sys.get_state(move |_| counts.fetch_add(1, Ordering::SeqCst)));
            let _ = once(&mut question).await;
        }
        is_left_alone(&server).await;
        assert!(asked.load(Ordering::SeqCst) <= 1);
        assert_eq!(Arc::strong_count(&asked), 1);
        end(server).await;
    });
}

/// Clause 23.9: tracing goes on and off under messages, and nothing of them is lost or changes its place.
#[test]
fn shuttle_sys_tracing_goes_on_and_off_among_messages() {
    explore(|| async {
        let (server, seen) = probe(CallerRuns::Auto).await;
        let to = server.clone();
        let sender = thread::spawn(move || notes(&to, [101, 102, 103]));
        let caller = server.clone();
        let caller = spawn(async move { caller.call(|reply| Ask::Later(201, reply)).timeout(EVER).await });
        assert!(!server.sys().trace(true));
        notes(&server, [301]);
        assert!(server.sys().trace(false));
        notes(&server, [302]);
        assert_eq!(caller.await, Ok(201));
        sender.join().expect("it has sent");
        is_left_alone(&server).await;
        end(server).await;
        assert_eq!(seen.of(1), [101, 102, 103]);
        assert_eq!(seen.of(3), [301, 302]);
    });
}
