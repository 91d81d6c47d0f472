//! One task and its handle: await, yield, shut down, ignore, drop.

use super::{Alive, Heard, LONG, all_gone, exited, forever, settle, sleep};
use crate::support::listen;
use restante_core::ExitReason;
use restante_supervisor::Shutdown;
use restante_supervisor::task::{Task, TaskError, TaskSupervisor};
use std::time::Duration;
use tokio::sync::oneshot;

const GRACE: Shutdown = Shutdown::Timeout(LONG);

/// Elixir Task.Supervisor: `async/1 spawns tasks under the supervisor`. Row G5, clauses 20.1, 20.4: it is known while it
/// runs, its result comes, then it is gone.
#[tokio::test(start_paused = true)]
async fn a_task_runs_under_its_supervisor() {
    let tasks = TaskSupervisor::new();
    let (go, gone) = oneshot::channel::<u32>();
    let task = tasks.task().name("waits").async_(async { Ok(gone.await?) }).unwrap();
    settle().await;
    let known = tasks.children();
    assert_eq!((known.len(), &*known[0].name, Some(known[0].id)), (1, "waits", task.id()));
    assert!(!task.is_finished());
    go.send(7).unwrap();
    assert_eq!(task.await, Ok(7));
    assert_eq!((tasks.count(), tasks.children().len()), (0, 0));
}

/// Elixir Task: `await/2 exits on timeout`. Clause 20.7: here it is a value.
#[tokio::test(start_paused = true)]
async fn an_await_has_a_time_limit() {
    let tasks = TaskSupervisor::new();
    for limit in [Duration::ZERO, Duration::from_secs(5)] {
        assert_eq!(tasks.async_(forever()).unwrap().await_(limit).await, Err(TaskError::Timeout));
    }
    assert_eq!(tasks.async_(sleep(4999)).unwrap().await_(Duration::from_secs(5)).await, Ok(4999));
    assert_eq!(tasks.async_(sleep(1)).unwrap().await_(Duration::MAX).await, Ok(1));
}

/// Elixir Task: `await/2 demonitors and unalias on timeout`. Clauses 20.4, 20.6, 20.7: nothing comes afterwards; a bonded
/// task goes with its handle, another goes on.
#[tokio::test(start_paused = true)]
async fn after_a_time_out_a_bonded_task_is_aborted_and_another_goes_on() {
    let tasks = TaskSupervisor::new();
    let alive = Alive::default();
    let (done, told) = oneshot::channel();
    let (bonded, free) = (alive.one(), alive.one());
    let bonded = tasks.async_(async move {
        let _held = bonded;
        forever().await
    });
    let free = tasks.async_nolink(async move {
        let _held = free;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _ = done.send(());
        Ok(())
    });
    assert_eq!(bonded.unwrap().await_(Duration::ZERO).await, Err(TaskError::Timeout));
    assert_eq!(free.unwrap().await_(Duration::ZERO).await, Err(TaskError::Timeout));
    settle().await;
    assert_eq!((alive.count(), tasks.count()), (1, 1));
    told.await.expect("the other one went on");
    all_gone(&tasks).await;
    assert_eq!(alive.count(), 0);
}

/// Elixir Task: `await/2 exits on normal exit`. Clause 20.3.
#[tokio::test]
async fn a_task_that_ends_normally_without_a_result_is_an_error() {
    let tasks = TaskSupervisor::new();
    let task: Task<u32> = tasks.async_(async { Err(ExitReason::Normal) }).unwrap();
    assert_eq!(task.await, Err(TaskError::Exited(ExitReason::Normal)));
}

/// Elixir Task.Supervisor: `await/1 exits on task error`. Row G3, clause 20.3: a panic is told to who waits and reported
/// once; the supervisor goes on.
#[tokio::test]
async fn a_panic_is_told_to_who_waits() {
    let heard = Heard::default();
    let _listens = listen(heard.clone());
    let tasks = TaskSupervisor::new();
    let task: Task<u32> = tasks.task().name("oops").async_(async { panic!("boom") }).unwrap();
    let Err(TaskError::Exited(ExitReason::Panic(panic))) = task.await else { panic!("it panicked") };
    assert_eq!(panic.message, "boom");
    let errors = heard.at("ERROR");
    assert_eq!(errors, ["ERROR message=task failed task=\"oops\" reason=panic: boom"]);
    assert_eq!(tasks.async_(async { Ok(1) }).unwrap().await, Ok(1));
    assert_eq!(heard.at("ERROR").len(), 1);
}

/// Elixir Task: `await/2 exits on task exit`. Clause 20.3: `Err(reason)` and `?` are our `exit(reason)`.
#[tokio::test]
async fn a_failure_is_told_with_its_reason() {
    let tasks = TaskSupervisor::new();
    let task = tasks.async_(async { Ok("x".parse::<u32>()?) }).unwrap();
    let error = task.await.unwrap_err();
    assert_eq!(error.to_string(), "the task ended: error: invalid digit found in string");
}

/// Elixir Task: `completed/1`.
#[tokio::test]
async fn a_completed_task_needs_no_supervisor() {
    assert_eq!(Task::completed(1).await, Ok(1));
    assert_eq!(Task::completed(2).yield_(Duration::ZERO).await, Some(Ok(2)));
    assert_eq!(Task::completed(3).shutdown(GRACE).await, Some(Ok(3)));
    assert_eq!((Task::completed(4).id(), Task::completed(4).is_finished()), (None, true));
}

/// Elixir Task: `ignore/1 discards on time replies`, `discards on-time failures`, `can ignore completed tasks`. Clause
/// 20.10.
#[tokio::test]
async fn to_ignore_a_task_gives_what_is_there_already() {
    let tasks = TaskSupervisor::new();
    let (done, failed) = (tasks.async_(async { Ok(1) }), tasks.async_(async { exited::<u32>("oops") }));
    settle().await;
    assert_eq!(done.unwrap().ignore(), Some(Ok(1)));
    assert_eq!(failed.unwrap().ignore(), Some(exited("oops")));
    assert_eq!(Task::completed(3).ignore(), Some(Ok(3)));
}

/// Elixir Task: `ignore/1 discards late replies`, `discards late failures`. Clause 20.10: the task goes on, unbonded.
#[tokio::test]
async fn an_ignored_task_goes_on() {
    let tasks = TaskSupervisor::new();
    let (go, gone) = oneshot::channel::<u32>();
    let (done, told) = oneshot::channel();
    let task = tasks.async_(async {
        let _ = done.send(gone.await?);
        exited::<u32>("oops")
    });
    assert_eq!(task.unwrap().ignore(), None);
    settle().await;
    assert_eq!(tasks.count(), 1);
    go.send(5).unwrap();
    assert_eq!(told.await, Ok(5));
    settle().await;
    assert_eq!(tasks.count(), 0);
}

/// Elixir Task: `yield/2 returns nil on timeout`. Clause 20.8: and can be asked again.
#[tokio::test(start_paused = true)]
async fn a_yield_leaves_a_task_alone_that_still_runs() {
    let tasks = TaskSupervisor::new();
    let mut task = tasks.async_(sleep(100)).unwrap();
    assert_eq!(task.yield_(Duration::ZERO).await, None);
    assert_eq!(task.yield_(Duration::from_millis(99)).await, None);
    assert_eq!(task.yield_(Duration::from_millis(2)).await, Some(Ok(100)));
    assert_eq!(task.yield_(LONG).await, Some(Err(ExitReason::NoProcess)), "the result can be had once");
    assert_eq!(task.await, Err(TaskError::Exited(ExitReason::NoProcess)));
}

/// Elixir Task: `yield/2 return exit on normal exit`. Clause 20.8.
#[tokio::test]
async fn a_yield_tells_how_a_task_ended() {
    let tasks = TaskSupervisor::new();
    let mut normal: Task<u32> = tasks.async_(async { Err(ExitReason::Normal) }).unwrap();
    assert_eq!(normal.yield_(LONG).await, Some(Err(ExitReason::Normal)));
    let mut failed = tasks.async_(async { exited::<u32>("oops") }).unwrap();
    assert_eq!(failed.yield_(LONG).await, Some(exited("oops")));
}

/// Clause 20.8: a branch of `select!` that loses costs nothing.
#[tokio::test(start_paused = true)]
async fn a_task_that_is_polled_by_reference_loses_nothing() {
    let tasks = TaskSupervisor::new();
    let mut task = tasks.async_(sleep(10)).unwrap();
    let mut ticks = 0;
    let made = loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(3)) => ticks += 1,
            made = &mut task => break made,
        }
    };
    assert_eq!((made, ticks), (Ok(10), 3));
}

/// Elixir Task: `shutdown/2 returns {:ok, result} when reply and normal :DOWN in message queue`, and the same with
/// `:brutal_kill`. Clause 20.9.
#[tokio::test]
async fn a_shutdown_gives_the_result_that_came_before() {
    let tasks = TaskSupervisor::new();
    for how in [GRACE, Shutdown::BrutalKill] {
        let task = tasks.async_(async { Ok(1) }).unwrap();
        settle().await;
        assert_eq!(task.shutdown(how).await, Some(Ok(1)));
    }
}

/// Elixir Task: `shutdown/2 returns nil on shutting down task`, `returns nil on killing task`. Clause 20.9.
#[tokio::test(start_paused = true)]
async fn a_task_that_ended_for_its_shutdown_has_nothing_to_say() {
    let tasks = TaskSupervisor::new();
    for how in [GRACE, Shutdown::BrutalKill, Shutdown::Infinity] {
        assert_eq!(tasks.async_(forever()).unwrap().shutdown(how).await, None, "{how:?}");
        assert_eq!(tasks.count(), 0, "it is gone when that returns");
        assert_eq!(tasks.async_nolink(forever()).unwrap().shutdown(how).await, None, "{how:?}");
    }
}

/// Elixir Task: `shutdown/2 returns exit on abnormal :DOWN in message queue`, `returns exit on normal :DOWN`, `returns nil
/// on shutdown :DOWN`, `returns exit on killed :DOWN`, and the four with `:brutal_kill`. Clause 20.9: the table.
#[tokio::test]
async fn a_shutdown_tells_of_an_end_for_another_reason() {
    let tasks = TaskSupervisor::new();
    let check = async |reason: ExitReason, how, says: Option<ExitReason>| {
        let ended: Task<u32> = tasks.async_(std::future::ready(Err(reason.clone()))).unwrap();
        settle().await;
        assert_eq!(ended.shutdown(how).await, says.map(Err), "{reason} {how:?}");
    };
    let brutal = Shutdown::BrutalKill;
    for reason in [ExitReason::error("abnormal"), ExitReason::Normal] {
        check(reason.clone(), GRACE, Some(reason.clone())).await;
        check(reason.clone(), brutal, Some(reason)).await;
    }
    check(ExitReason::Shutdown, GRACE, None).await;
    check(ExitReason::Shutdown, brutal, Some(ExitReason::Shutdown)).await;
    check(ExitReason::Killed, GRACE, Some(ExitReason::Killed)).await;
    check(ExitReason::Killed, brutal, None).await;
}

/// Elixir Task: `shutdown/2 returns {:exit, :noproc} if task handled`. Clause 20.9.
#[tokio::test]
async fn a_shutdown_after_the_result_was_taken_finds_nobody() {
    let tasks = TaskSupervisor::new();
    for how in [GRACE, Shutdown::BrutalKill] {
        let mut task = tasks.async_(async { Ok(1) }).unwrap();
        assert_eq!(task.yield_(LONG).await, Some(Ok(1)));
        assert_eq!(task.shutdown(how).await, Some(Err(ExitReason::NoProcess)));
    }
}

/// Elixir Task: `shutdown/2 returns exit on killing task after shutdown timeout`. Clauses 20.9, 20.14, failure mode 18: a
/// task that never awaits is given up, and stays in the list until it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_never_awaits_is_given_up() {
    let tasks = TaskSupervisor::new();
    let (entered, inside) = oneshot::channel();
    let (let_go, stuck) = std::sync::mpsc::channel::<()>();
    let task: Task<u32> = tasks
        .async_(async move {
            entered.send(()).expect("the test waits");
            let _ = stuck.recv();
            Ok(1)
        })
        .unwrap();
    inside.await.unwrap();
    let id = task.id().unwrap();
    assert_eq!(task.shutdown(Shutdown::Timeout(Duration::ZERO)).await, Some(Err(ExitReason::Killed)));
    assert_eq!(tasks.children()[0].id, id);
    let_go.send(()).unwrap();
    all_gone(&tasks).await;
}

/// Clauses 20.4, 20.6: a dropped handle.
#[tokio::test]
async fn a_dropped_handle_aborts_a_bonded_task_only() {
    let tasks = TaskSupervisor::new();
    let alive = Alive::default();
    let held = || {
        let held = alive.one();
        async move {
            let _held = held;
            forever().await
        }
    };
    drop(tasks.async_(held()).unwrap());
    drop(tasks.async_nolink(held()).unwrap());
    assert_eq!(alive.count(), 2, "nothing happens in the drop itself");
    settle().await;
    assert_eq!((alive.count(), tasks.count()), (1, 1));
}

/// Clause 20.4: what a task holds goes with it, and so do its own bonded tasks.
#[tokio::test]
async fn tasks_of_a_task_end_with_it() {
    let tasks = TaskSupervisor::new();
    let weak = tasks.downgrade();
    let outer = tasks.async_(async move {
        let tasks = weak.upgrade().expect("the test has one");
        let inner = tasks.async_(forever())?;
        drop(tasks);
        Ok(inner.await?)
    });
    settle().await;
    assert_eq!(tasks.count(), 2);
    drop(outer);
    settle().await;
    assert_eq!(tasks.count(), 0);
}

/// Failure mode 21: a future that panics in its drop. Clause 20.3.
#[tokio::test]
async fn a_future_that_panics_in_its_drop_changes_nothing() {
    struct Rude;
    impl Drop for Rude {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "rude drop");
        }
    }
    /// Holds something rude beyond its return.
    struct Keeps(Rude, bool);
    impl Future for Keeps {
        type Output = Result<u32, ExitReason>;
        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Self::Output> {
            if self.1 { std::task::Poll::Ready(Ok(3)) } else { std::task::Poll::Pending }
        }
    }
    let heard = Heard::default();
    let _listens = listen(heard.clone());
    let tasks = TaskSupervisor::new();
    assert_eq!(tasks.async_(Keeps(Rude, true)).unwrap().await, Ok(3));
    assert_eq!(tasks.async_(Keeps(Rude, false)).unwrap().shutdown(GRACE).await, None);
    assert_eq!((tasks.count(), heard.at("ERROR").len()), (0, 2));
}
