//! Waiting for several tasks at once.

use super::handle::{Outcome, Task, TaskError};
use super::shutdown;
use crate::child_options::Shutdown;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use restante_core::ExitReason;
use restante_core::shield::shield;
use restante_core::timeout::at_most;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Cx, Poll, ready};
use std::time::Duration;

/// Waits for all results, at most so long, and returns them in the order of the tasks. Fails as soon as one task does.
///
/// After a failure or a time-out the handles are dropped: bonded tasks are aborted, others go on.
///
/// # Errors
/// [`TaskError::Timeout`], [`TaskError::Exited`].
///
/// # Cancel safety
/// Dropping the future drops the handles.
pub async fn await_many<T>(
    tasks: impl IntoIterator<Item = Task<T>>,
    limit: Duration,
) -> Result<Vec<T>, TaskError> {
    let mut tasks: Vec<_> = tasks.into_iter().collect();
    let mut results: Vec<Option<T>> = Vec::with_capacity(tasks.len());
    for task in &mut tasks {
        results.push(task.try_outcome().transpose().map_err(TaskError::Exited)?);
    }
    let mut waiting = waiting(&mut tasks, &results);
    let mut all = shield(async {
        while let Some((index, outcome)) = waiting.next().await {
            results[index] = Some(outcome?);
        }
        Ok(())
    });
    let ended = at_most(limit, &mut all).await;
    drop(all);
    drop(waiting);
    ended.ok_or(TaskError::Timeout)?.map_err(TaskError::Exited)?;
    Ok(results.into_iter().flatten().collect())
}

/// What [`yield_many`] does with the tasks that have not ended when its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnTimeout {
    /// Leaves them alone: they can be asked again.
    #[default]
    Nothing,
    /// Lets them go on by themselves, as [`Task::ignore`] does; their results can no longer be had.
    Ignore,
    /// Ends them, and waits for that, as [`Task::shutdown`] with [`Shutdown::BrutalKill`] does.
    KillTask,
}

/// How long [`yield_many`] waits unless told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// How [`yield_many`] waits.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct YieldMany {
    timeout: Duration,
    limit: usize,
    on_timeout: OnTimeout,
}

impl Default for YieldMany {
    /// For all, at most 5 s; those that still run are left alone.
    fn default() -> Self {
        Self { timeout: DEFAULT_TIMEOUT, limit: usize::MAX, on_timeout: OnTimeout::Nothing }
    }
}

impl YieldMany {
    /// The defaults: for all, at most 5 s; those that still run are left alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most so long. Zero looks once; `Duration::MAX` is for ever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Only until so many have ended.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// What becomes of those that have not ended when the time is over. (Not of those that the limit left over.)
    pub fn on_timeout(mut self, on_timeout: OnTimeout) -> Self {
        self.on_timeout = on_timeout;
        self
    }
}

/// Waits for tasks and says of each, in order, how it ended, or `None` if it has not. A task whose result had been taken
/// counts as ended: [`ExitReason::NoProcess`].
///
/// # Cancel safety
/// Dropping the future loses the results that have come since it was first polled. To lose none, call it with a time of
/// zero, or [`Task::yield_`].
pub async fn yield_many<T>(tasks: &mut [Task<T>], how: YieldMany) -> Vec<Option<Result<T, ExitReason>>> {
    let mut outcomes: Vec<_> = tasks.iter().map(|_| None).collect();
    let mut left = look(tasks, &mut outcomes, how.limit);
    if left == 0 {
        return outcomes;
    }
    if !how.timeout.is_zero() {
        let mut waiting = waiting(tasks, &outcomes);
        let mut enough = shield(async {
            while left > 0 {
                let Some((index, outcome)) = waiting.next().await else { return };
                outcomes[index] = Some(outcome);
                left -= 1;
            }
        });
        let in_time = at_most(how.timeout, &mut enough).await.is_some();
        drop(enough);
        drop(waiting);
        if in_time || look(tasks, &mut outcomes, left) == 0 {
            return outcomes;
        }
    }
    let late = tasks.iter_mut().zip(&mut outcomes).filter(|(_, outcome)| outcome.is_none());
    match how.on_timeout {
        OnTimeout::Nothing => {}
        OnTimeout::Ignore => late.for_each(|(task, _)| task.let_go()),
        OnTimeout::KillTask => kill(late).await,
    }
    outcomes
}

/// Takes what there is, in order and without waiting, up to the limit: what is left of that.
fn look<T>(tasks: &mut [Task<T>], outcomes: &mut [Option<Result<T, ExitReason>>], limit: usize) -> usize {
    let mut left = limit.min(outcomes.iter().filter(|outcome| outcome.is_none()).count());
    for (task, outcome) in tasks.iter_mut().zip(outcomes) {
        if left == 0 {
            break;
        }
        if outcome.is_none() {
            *outcome = task.try_outcome();
            left -= usize::from(outcome.is_some());
        }
    }
    left
}

/// Kills them all, then waits for all. A result that came before the end is one.
async fn kill<'a, T: 'a>(
    late: impl Iterator<Item = (&'a mut Task<T>, &'a mut Option<Result<T, ExitReason>>)>,
) {
    let how = Shutdown::BrutalKill;
    let killed = shutdown::reason(how);
    let mut late: Vec<_> = late.collect();
    for (task, _) in &late {
        task.doom(&killed);
    }
    let mut ending: FuturesUnordered<_> = late
        .iter_mut()
        .enumerate()
        .map(|(index, (task, _))| Indexed { index, outcome: Outcome(task) })
        .collect();
    let mut ended = Vec::new();
    let mut all = shield(async {
        while let Some(outcome) = ending.next().await {
            ended.push(outcome);
        }
    });
    at_most(shutdown::limit(how), &mut all).await;
    drop(all);
    drop(ending);
    for (index, outcome) in ended {
        if !matches!(&outcome, Err(reason) if *reason == killed) {
            *late[index].1 = Some(outcome);
        }
    }
}

/// The tasks of which nothing is known yet.
fn waiting<'a, T, O>(tasks: &'a mut [Task<T>], known: &[Option<O>]) -> FuturesUnordered<Indexed<'a, T>> {
    let tasks = tasks.iter_mut().zip(known).enumerate().filter(|(_, (_, known))| known.is_none());
    tasks.map(|(index, (task, _))| Indexed { index, outcome: Outcome(task) }).collect()
}

/// Which one, and how it ended. One future each in a set of them: a task that is woken is polled, and no other.
struct Indexed<'a, T> {
    index: usize,
    outcome: Outcome<'a, T>,
}

impl<T> Future for Indexed<'_, T> {
    type Output = (usize, Result<T, ExitReason>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(cx));
        Poll::Ready((self.index, outcome))
    }
}
