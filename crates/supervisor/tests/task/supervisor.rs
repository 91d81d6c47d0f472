//! The supervisor: its bound, its children, how it ends them.

use super::{Alive, Heard, LONG, all_gone, exited, forever, settle, sleep};
use crate::support::listen;
use restante_core::ExitReason;
use restante_supervisor::task::{Task, TaskError, TaskStartError, TaskSupervisor, TerminateError};
use restante_supervisor::{Restart, Shutdown};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// A child that takes a while.
async fn pause() -> Result<(), ExitReason> {
    sleep(100).await.map(drop)
}

/// Elixir Task.Supervisor: `counts and returns children`. Row G5, clause 20.1.
#[tokio::test(start_paused = true)]
async fn children_are_counted_and_listed() {
    let tasks = TaskSupervisor::builder().name("jobs").build();
    assert_eq!((tasks.count(), tasks.children().len(), tasks.name()), (0, 0, Some("jobs")));
    let first = tasks.task().name("first").start_child(pause()).unwrap();
    tokio::time::advance(Duration::from_secs(1) / 100).await;
    let second = tasks.start_child(pause()).unwrap();
    let children = tasks.children();
    assert_eq!(children.iter().map(|task| task.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!((&*children[0].name, children[0].age), ("first", Duration::from_millis(10)));
    assert!(children[1].name.contains("supervisor"), "the type of its future: {}", children[1].name);
    assert_eq!((children[1].age, children[1].restarts), (Duration::ZERO, 0));
    all_gone(&tasks).await;
}

/// Elixir Task.Supervisor: `async/1 raises when :max_children is reached`, `async_nolink/1 raises when :max_children is
/// reached`. Row G3, clauses 20.1, 20.2: a refusal says how many there are, and drops the future.
#[tokio::test]
async fn a_start_beyond_the_bound_is_refused() {
    let tasks = TaskSupervisor::builder().max_children(1).build();
    let alive = Alive::default();
    let task = tasks.async_nolink(forever()).unwrap();
    let held = alive.one();
    let refused = tasks.async_(async move {
        drop(held);
        Ok(())
    });
    let full = TaskStartError::MaxChildren { active: 1, max: 1 };
    assert_eq!(refused.unwrap_err(), full);
    assert_eq!(alive.count(), 0);
    assert_eq!(tasks.async_nolink(forever()).unwrap_err(), full);
    assert_eq!(tasks.start_child(async { Ok(()) }).unwrap_err(), full);
    assert_eq!(task.shutdown(Shutdown::BrutalKill).await, None);
    assert_eq!(tasks.async_(async { Ok(1) }).unwrap().await, Ok(1), "there is a place again");
}

/// Elixir Task.Supervisor: `start_child/1`. Clause 20.13: the task has no holder, and runs.
#[tokio::test]
async fn a_child_runs_by_itself() {
    let tasks = TaskSupervisor::new();
    let (done, told) = oneshot::channel();
    let id = tasks
        .start_child(async {
            let _ = done.send(1);
            Ok(())
        })
        .unwrap();
    assert_eq!(tasks.children()[0].id, id);
    assert_eq!(told.await, Ok(1));
    settle().await;
    assert_eq!(tasks.count(), 0);
}

/// Elixir Task.Supervisor: `start_child/1 with custom restart`. Row G3, clause 20.13.
#[tokio::test(start_paused = true)]
async fn a_permanent_child_starts_again_whatever_its_reason() {
    let tasks = TaskSupervisor::new();
    let (ready, mut told) = mpsc::unbounded_channel();
    let id = tasks
        .start_child_with(Restart::Permanent, move || {
            let (end, ended) = oneshot::channel();
            ready.send(end).expect("the test listens");
            async move { ended.await? }
        })
        .unwrap();
    for (restarts, reason) in [ExitReason::Shutdown, ExitReason::Normal].into_iter().enumerate() {
        let end: oneshot::Sender<Result<(), ExitReason>> = told.recv().await.unwrap();
        let child = tasks.children().remove(0);
        assert_eq!((child.id, child.restarts as usize), (id, restarts), "it stays the same child");
        end.send(Err(reason)).unwrap();
    }
    told.recv().await.expect("it has started again");
    assert_eq!(tasks.terminate_child(id).await, Ok(()));
    assert_eq!(tasks.count(), 0, "one that is told to end does not start again");
}

/// A transient child that fails so often before it ends well: how often it was started.
async fn transient(tasks: &TaskSupervisor, panics: u32, after: Duration) -> u32 {
    let starts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&starts);
    tasks
        .start_child_with(Restart::Transient, move || {
            let n = counted.fetch_add(1, Ordering::Relaxed);
            assert!(n != 0 || panics == 0, "the first one panics in the closure");
            async move {
                tokio::time::sleep(after).await;
                assert!(n >= panics, "oops");
                Ok(())
            }
        })
        .unwrap();
    all_gone(tasks).await;
    starts.load(Ordering::Relaxed)
}

/// Row G3, clause 20.13: after a failure, and not after a good end; at most 3 times in 5 s.
#[tokio::test(start_paused = true)]
async fn a_transient_child_starts_again_when_it_fails() {
    let heard = Heard::default();
    let _listens = listen(heard.clone());
    let tasks = TaskSupervisor::new();
    assert_eq!(transient(&tasks, 0, Duration::ZERO).await, 1);
    assert_eq!(transient(&tasks, 3, Duration::ZERO).await, 4);
    assert_eq!((heard.at("WARN").len(), heard.at("ERROR").len()), (3, 0));
    assert_eq!(transient(&tasks, 9, Duration::ZERO).await, 4, "given up");
    assert_eq!(heard.at("ERROR").len(), 1);
    assert_eq!(transient(&tasks, 9, Duration::from_secs(2)).await, 10, "slow enough");
    assert_eq!(tasks.async_(async { Ok(1) }).unwrap().await, Ok(1), "the supervisor lives");
}

/// Row G3, clause 20.13: whatever its end.
#[tokio::test]
async fn a_temporary_child_never_starts_again() {
    let tasks = TaskSupervisor::new();
    for reason in [ExitReason::Normal, ExitReason::Shutdown, ExitReason::Killed, ExitReason::error("oops")] {
        let starts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&starts);
        let make = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let reason = reason.clone();
            async { Err(reason) }
        };
        tasks.start_child_with(Restart::Temporary, make).unwrap();
        all_gone(&tasks).await;
        assert_eq!(starts.load(Ordering::Relaxed), 1);
    }
}

/// Clause 20.13: the bound on restarts is a setting.
#[tokio::test]
async fn a_child_that_fails_at_once_does_not_do_so_for_ever() {
    let tasks = TaskSupervisor::new();
    let starts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&starts);
    let make = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { exited::<()>("oops") }
    };
    tasks.task().intensity(7, LONG).start_child_with(Restart::Permanent, make).unwrap();
    while tasks.count() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(starts.load(Ordering::Relaxed), 8);
}

/// Clause 21.24: a limit that would never count anything is refused, and nothing is started.
#[tokio::test]
async fn a_period_of_zero_is_refused() {
    let tasks = TaskSupervisor::new();
    for max in [0, 1, u32::MAX] {
        let task = tasks.task().intensity(max, Duration::ZERO);
        let refused = task.start_child_with(Restart::Permanent, || async { exited::<()>("oops") });
        assert_eq!(refused, Err(TaskStartError::ZeroPeriod));
    }
    assert_eq!(tasks.count(), 0);
}

/// Elixir Task.Supervisor: `terminate_child/2`. Clause 20.14.
#[tokio::test]
async fn a_child_may_be_ended() {
    let tasks = TaskSupervisor::new();
    let alive = Alive::default();
    let held = alive.one();
    let id = tasks
        .start_child(async move {
            let _held = held;
            forever().await.map(drop)
        })
        .unwrap();
    assert_eq!(tasks.terminate_child(id).await, Ok(()));
    assert_eq!((tasks.count(), alive.count()), (0, 0));
    assert_eq!(tasks.terminate_child(id).await, Err(TerminateError::NotFound));
}

/// Elixir Task.Supervisor: `async/1 with custom shutdown`, `async_nolink/1 with custom shutdown`. Clause 20.15: the reason
/// tells how it was ended.
#[tokio::test]
async fn the_way_in_which_a_task_is_ended_is_its_own() {
    let tasks = TaskSupervisor::new();
    let brutal = || tasks.task().shutdown(Shutdown::BrutalKill);
    let ended: Vec<Task<u32>> = vec![
        tasks.async_(forever()).unwrap(),
        brutal().async_(forever()).unwrap(),
        brutal().async_nolink(forever()).unwrap(),
    ];
    assert!(tasks.shutdown(LONG).await.is_empty());
    let reasons = [ExitReason::Shutdown, ExitReason::Killed, ExitReason::Killed];
    for (task, reason) in ended.into_iter().zip(reasons) {
        assert_eq!(task.await, Err(TaskError::Exited(reason)));
    }
    let brutal = TaskSupervisor::builder().shutdown(Shutdown::BrutalKill).build();
    let task = brutal.async_(forever()).unwrap();
    assert!(brutal.shutdown(LONG).await.is_empty());
    assert_eq!(task.await, Err(TaskError::Exited(ExitReason::Killed)), "the supervisor's default");
}

/// Clauses 20.2, 20.15: after a shutdown nothing starts.
#[tokio::test]
async fn a_supervisor_that_was_shut_down_takes_no_more_tasks() {
    let tasks = TaskSupervisor::new();
    assert!(!tasks.is_closed());
    assert!(tasks.shutdown(Duration::ZERO).await.is_empty());
    assert!(tasks.is_closed());
    assert_eq!(tasks.async_(async { Ok(1) }).unwrap_err(), TaskStartError::Closed);
    assert!(tasks.shutdown(LONG).await.is_empty(), "and may be told again");
}

/// Failure mode 18, clauses 20.14, 20.15: a shutdown ends in its time and names who did not stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_names_the_tasks_that_do_not_stop() {
    let heard = Heard::default();
    let _listens = listen(heard.clone());
    let tasks = TaskSupervisor::new();
    let (entered, inside) = oneshot::channel();
    let (let_go, stuck) = std::sync::mpsc::channel::<()>();
    tasks.start_child(async { forever().await.map(drop) }).unwrap();
    // Its own time bounds the shutdown too: no test's patience is needed.
    let id = tasks
        .task()
        .name("never awaits")
        .shutdown(Shutdown::Timeout(Duration::from_millis(1)))
        .start_child(async move {
            entered.send(()).expect("the test waits");
            let _ = stuck.recv();
            Ok(())
        })
        .unwrap();
    inside.await.unwrap();
    assert_eq!(tasks.terminate_child(id).await, Err(TerminateError::Stuck));
    let report = tasks.shutdown(Duration::from_millis(1)).await;
    assert_eq!(report.left.iter().map(|task| &*task.name).collect::<Vec<_>>().last(), Some(&"never awaits"));
    let warnings = heard.at("WARN");
    assert!(warnings.len() == 1 && warnings[0].contains("never awaits"), "{warnings:?}");
    let_go.send(()).unwrap();
    // A shutdown waits no longer for it than its own limit, however busy the machine.
    while tasks.count() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(tasks.shutdown(LONG).await.is_empty());
}

/// Clause 20.16: the last handle takes the tasks along; a weak one, and the tasks' own handles, do not count.
#[tokio::test]
async fn the_last_handle_takes_the_tasks_along() {
    let tasks = TaskSupervisor::new();
    let (other, weak) = (tasks.clone(), tasks.downgrade());
    let alive = Alive::default();
    let held = alive.one();
    let task = tasks.async_nolink(async move {
        let _held = held;
        forever().await
    });
    drop(tasks);
    settle().await;
    assert_eq!((alive.count(), weak.upgrade().is_some()), (1, true));
    drop(other);
    assert!(weak.upgrade().is_none());
    assert_eq!(task.unwrap().await, Err(TaskError::Exited(ExitReason::Shutdown)));
    assert_eq!(alive.count(), 0);
}

/// Failure mode 20, clause 20.16: drops on a plain thread, while the runtime is elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn handles_may_be_dropped_anywhere() {
    let tasks = TaskSupervisor::new();
    let (bonded, free) = (tasks.async_(forever()).unwrap(), tasks.async_nolink(forever()).unwrap());
    let dropped = tokio::task::spawn_blocking(|| {
        std::thread::spawn(move || {
            drop(bonded);
            drop(tasks);
        })
        .join()
    });
    dropped.await.unwrap().expect("no drop panics");
    assert_eq!(free.await, Err(TaskError::Exited(ExitReason::Shutdown)));
}

/// Clauses 20.2, 20.3: where there is no runtime, where one was given, and when that ends.
#[test]
fn a_start_needs_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(TaskSupervisor::new().async_(forever()).unwrap_err(), TaskStartError::NoRuntime);
    let tasks = TaskSupervisor::builder().runtime(runtime.handle().clone()).build();
    let task = tasks.async_(async { Ok(1) }).unwrap();
    assert_eq!(runtime.block_on(task), Ok(1));
    let (waits, free) = (tasks.async_(forever()).unwrap(), tasks.async_nolink(forever()).unwrap());
    drop(runtime);
    assert_eq!(tasks.count(), 0, "a runtime's end is the end of its tasks");
    let late = tasks.async_(forever()).unwrap();
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for task in [waits, free, late] {
        assert_eq!(other.block_on(task), Err(TaskError::Exited(ExitReason::Killed)));
    }
}

/// Elixir Task.Supervisor: `async/1 with $callers`, `start_child/1 with $callers`. Clause 20.21: what a task logs stands
/// in the span of its starter.
#[tokio::test]
async fn a_task_runs_in_the_span_of_its_starter() {
    let heard = Heard::default();
    let _listens = listen(heard.clone());
    let tasks = TaskSupervisor::new();
    let task = tracing::info_span!("request").in_scope(|| {
        tasks.async_(async {
            tokio::task::yield_now().await;
            tracing::error!(target: "restante_supervisor::test", "one");
            exited::<u32>("two")
        })
    });
    tracing::error!(target: "restante_supervisor::test", "outside");
    task.unwrap().await.unwrap_err();
    let ends: Vec<_> = heard.at("ERROR").iter().map(|line| line.ends_with("in request")).collect();
    assert_eq!(ends, [false, true, true]);
}

/// Row G3, clause 20.3: neither panics nor many of them end the supervisor; each is reported once.
#[tokio::test]
async fn no_failure_of_a_task_ends_its_supervisor() {
    let heard = Heard::default();
    let _listens = listen(heard.clone());
    let tasks = TaskSupervisor::new();
    for _ in 0..100 {
        tasks.start_child(async { panic!("boom") }).unwrap();
    }
    while tasks.count() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(heard.at("ERROR").len(), 100);
    assert_eq!(tasks.async_(async { Ok(1) }).unwrap().await, Ok(1));
    assert_eq!(heard.at("ERROR").len(), 100);
}

/// Clause 20.1: starts and ends from many threads leave nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tasks_leave_nothing_behind() {
    let tasks = TaskSupervisor::builder().max_children(2000).build();
    let alive = Alive::default();
    let mut handles = Vec::new();
    for n in 0..1000_u32 {
        let held = alive.one();
        handles.push(tasks.async_(async move {
            let _held = held;
            if n % 2 == 0 { Ok(n) } else { forever().await }
        }));
    }
    for (n, task) in handles.into_iter().enumerate() {
        let task = task.unwrap();
        if n % 2 == 0 {
            assert_eq!(task.await, Ok(u32::try_from(n).unwrap()));
        }
    }
    assert!(tasks.shutdown(LONG).await.is_empty());
    assert_eq!((tasks.count(), alive.count()), (0, 0));
}

/// Panics when it is woken.
struct Rude;
impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        panic!("as told: a rude waker")
    }
}

/// Row H6: of those who wait for the end of a task, or of all, one has a waker that panics; the others hear of it at once.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_nobody_from_hearing_of_a_tasks_end() {
    let waker = Waker::from(Arc::new(Rude));
    let mut rudely = Context::from_waker(&waker);
    let tasks = TaskSupervisor::new();
    let began = Instant::now();

    let id = tasks.start_child(async { forever().await.map(drop) }).unwrap();
    settle().await;
    let mut rude = Box::pin(tasks.terminate_child(id));
    assert!(rude.as_mut().poll(&mut rudely).is_pending());
    assert_eq!(tasks.terminate_child(id).await, Ok(()));
    assert_eq!(rude.await, Ok(()));

    tasks.start_child(async { forever().await.map(drop) }).unwrap();
    settle().await;
    let mut rude = Box::pin(tasks.shutdown(LONG));
    assert!(rude.as_mut().poll(&mut rudely).is_pending());
    assert!(tasks.shutdown(LONG).await.is_empty());
    assert!(rude.await.is_empty());
    assert_eq!(began.elapsed(), Duration::ZERO, "the clock stands still while nobody waits for it");
}
