//! Several tasks at once: `await_many`, `yield_many`.

use super::{LONG, exited, forever, settle, sleep};
use restante_core::ExitReason;
use restante_supervisor::task::{
    OnTimeout, Task, TaskError, TaskSupervisor, YieldMany, await_many, yield_many,
};
use std::time::Duration;
use tokio::time::Instant;

/// Elixir Task: `await_many/2 returns list of replies`, `returns replies in input order ignoring response order`. Clause
/// 20.11.
#[tokio::test(start_paused = true)]
async fn many_are_awaited_in_the_order_in_which_they_were_given() {
    let tasks = TaskSupervisor::new();
    let many: Vec<_> = [30, 10, 20].map(|ms| tasks.async_(sleep(ms)).unwrap()).into();
    let start = Instant::now();
    assert_eq!(await_many(many, LONG).await, Ok(vec![30, 10, 20]));
    assert_eq!(start.elapsed(), Duration::from_millis(30), "they ran side by side");
}

/// Elixir Task: `await_many/2 returns an empty list immediately`.
#[tokio::test]
async fn none_are_awaited_at_once() {
    assert_eq!(await_many(Vec::<Task<u32>>::new(), Duration::ZERO).await, Ok(Vec::new()));
    assert_eq!(await_many([Task::completed(1)], Duration::ZERO).await, Ok(vec![1]));
}

/// Elixir Task: `await_many/2 exits on timeout`. Clause 20.11: the bonded ones are aborted.
#[tokio::test(start_paused = true)]
async fn many_have_one_time_limit() {
    let tasks = TaskSupervisor::new();
    for limit in [Duration::ZERO, Duration::from_secs(1)] {
        let many = [tasks.async_(async { Ok(1) }).unwrap(), tasks.async_(forever()).unwrap()];
        assert_eq!(await_many(many, limit).await, Err(TaskError::Timeout));
        settle().await;
        assert_eq!(tasks.count(), 0);
    }
}

/// Elixir Task: `await_many/2 exits immediately when any task exits`, `exits immediately when any task crashes`, `exits
/// immediately on any task error`. Clause 20.11.
#[tokio::test(start_paused = true)]
async fn many_fail_as_soon_as_one_does() {
    let tasks = TaskSupervisor::new();
    let fails = [
        tasks.async_(async { Err(ExitReason::Normal) }).unwrap(),
        tasks.async_(async { exited("unknown") }).unwrap(),
        tasks.async_(async { panic!("oops") }).unwrap(),
    ];
    let start = Instant::now();
    for (task, reason) in fails.into_iter().zip(["normal", "error: unknown", "panic: oops"]) {
        let Err(TaskError::Exited(why)) = await_many([tasks.async_(forever()).unwrap(), task], LONG).await
        else {
            panic!("one has failed");
        };
        assert_eq!(why.to_string(), reason);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    settle().await;
    assert_eq!(tasks.count(), 0);
}

fn at_once() -> YieldMany {
    YieldMany::new().timeout(Duration::ZERO)
}

/// Elixir Task: `yield_many/2 returns results from multiple tasks`, `returns nil on timeout by default`, `return exit on
/// normal exit`. Clause 20.12.
#[tokio::test(start_paused = true)]
async fn many_are_yielded_as_far_as_they_are() {
    let tasks = TaskSupervisor::new();
    let mut many = [
        tasks.async_(async { Ok(1) }).unwrap(),
        tasks.async_(sleep(10_000)).unwrap(),
        tasks.async_(async { Err(ExitReason::Normal) }).unwrap(),
    ];
    settle().await;
    let outcomes = yield_many(&mut many, at_once()).await;
    assert_eq!(outcomes, [Some(Ok(1)), None, Some(Err(ExitReason::Normal))]);
    let rest = &mut many[1..2];
    assert_eq!(yield_many(rest, YieldMany::new()).await, [None], "5 s unless told otherwise");
    assert_eq!(yield_many(rest, YieldMany::new().timeout(Duration::MAX)).await, [Some(Ok(10_000))]);
}

/// Elixir Task: `yield_many/2 shuts down on timeout when configured`. Clause 20.12.
#[tokio::test(start_paused = true)]
async fn many_may_be_killed_when_their_time_is_over() {
    let tasks = TaskSupervisor::new();
    let mut many = [tasks.async_(forever()).unwrap(), tasks.async_(forever()).unwrap()];
    let how = at_once().on_timeout(OnTimeout::KillTask);
    assert_eq!(yield_many(&mut many, how).await, [None, None]);
    assert_eq!(tasks.count(), 0, "they are gone when that returns");
}

/// Elixir Task: `yield_many/2 ignores on timeout when configured`. Clause 20.12.
#[tokio::test(start_paused = true)]
async fn many_may_be_ignored_when_their_time_is_over() {
    let tasks = TaskSupervisor::new();
    let (go, gone) = tokio::sync::oneshot::channel::<u32>();
    let mut many = [tasks.async_(async { Ok(gone.await?) }).unwrap()];
    assert_eq!(yield_many(&mut many, at_once().on_timeout(OnTimeout::Ignore)).await, [None]);
    let [ignored] = many;
    drop(ignored);
    settle().await;
    assert_eq!(tasks.count(), 1, "it goes on, though its handle has gone");
    go.send(1).unwrap();
    settle().await;
    assert_eq!(tasks.count(), 0);
}

/// Elixir Task: `yield_many/2 returns results from multiple tasks with limit`. Clause 20.12: what is beyond the limit is
/// there for the next.
#[tokio::test]
async fn as_many_as_are_wanted_are_yielded() {
    let tasks = TaskSupervisor::new();
    let mut many = [
        tasks.async_(async { Ok(1) }).unwrap(),
        tasks.async_(forever()).unwrap(),
        tasks.async_(async { Err(ExitReason::Normal) }).unwrap(),
    ];
    settle().await;
    let one = YieldMany::new().limit(1).timeout(Duration::MAX);
    assert_eq!(yield_many(&mut many, one).await, [Some(Ok(1)), None, None]);
    assert_eq!(yield_many(&mut many[1..], one).await, [None, Some(Err(ExitReason::Normal))]);
}

/// Elixir Task: `yield_many/2 returns once all tasks have replied below limit`. Clause 20.12.
#[tokio::test]
async fn a_limit_beyond_the_number_of_tasks_is_that_number() {
    let tasks = TaskSupervisor::new();
    let mut many = [tasks.async_(async { Ok(1) }).unwrap()];
    let two = YieldMany::new().limit(2).timeout(Duration::MAX);
    assert_eq!(yield_many(&mut many, two).await, [Some(Ok(1))]);
}

/// Elixir Task: `yield_many/2 returns results from multiple tasks with limit and on timeout`. Clause 20.12: the limit
/// leaves the others alone.
#[tokio::test(start_paused = true)]
async fn who_is_left_over_by_the_limit_is_not_late() {
    let tasks = TaskSupervisor::new();
    let mut many = [tasks.async_(forever()).unwrap(), tasks.async_(async { Ok(1) }).unwrap()];
    let how = YieldMany::new().limit(1).on_timeout(OnTimeout::KillTask);
    assert_eq!(yield_many(&mut many, how.timeout(Duration::MAX)).await, [None, Some(Ok(1))]);
    assert_eq!(tasks.count(), 1);
    assert_eq!(yield_many(&mut many[..1], how.timeout(Duration::ZERO)).await, [None]);
    assert_eq!(tasks.count(), 0);
}

/// Clauses 20.11, 20.12: what has ended is seen at the first look, however many (tokio's budget is 128 per poll).
#[tokio::test]
async fn one_look_sees_all_that_have_ended() {
    let tasks = TaskSupervisor::new();
    let start =
        || -> Vec<Task<usize>> { (0..1000).map(|n| tasks.async_(async move { Ok(n) }).unwrap()).collect() };
    let (mut many, others) = (start(), start());
    while tasks.count() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(yield_many(&mut many, at_once()).await.iter().all(Option::is_some));
    assert_eq!(await_many(others, Duration::ZERO).await, Ok((0..1000).collect()));
}
