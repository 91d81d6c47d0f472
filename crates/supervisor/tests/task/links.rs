//! Tasks of servers: `async_link`.

use super::{LONG, all_gone, exited, forever, settle};
use restante_core::ExitReason;
use restante_genserver::{Context, ExitSignal, GenServer, Init, Next, Reply, ServerRef, Step, start};
use restante_supervisor::Shutdown;
use restante_supervisor::task::{Task, TaskError, TaskSupervisor};
use std::time::Duration;
use tokio::sync::oneshot;

/// A server with tasks.
struct Owner {
    tasks: TaskSupervisor,
    held: Vec<Task<u32>>,
    signals: Vec<ExitSignal>,
}

type Act = Box<dyn FnOnce(&mut Owner, &mut Context<Owner>) + Send>;

enum Ask {
    Do(Act, Reply<()>),
    /// Waits in the handler for the newest task.
    Await(Duration, Reply<Result<u32, TaskError>>),
    Signals(Reply<Vec<ExitSignal>>),
}

impl GenServer for Owner {
    type Args = TaskSupervisor;
    type Call = Ask;
    type Cast = ();
    type Info = ExitSignal;

    async fn init(tasks: &TaskSupervisor, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { tasks: tasks.clone(), held: Vec::new(), signals: Vec::new() }))
    }

    async fn handle_call(&mut self, call: Ask, ctx: &mut Context<Self>) -> Step {
        match call {
            Ask::Do(act, reply) => {
                act(self, ctx);
                reply.send(());
            }
            Ask::Await(limit, reply) => {
                let task = self.held.pop().expect("there is one");
                let outcome = task.await_(limit).await;
                reply.send(outcome);
            }
            Ask::Signals(reply) => drop(reply.send(std::mem::take(&mut self.signals))),
        }
        Ok(Next::go())
    }

    async fn handle_info(&mut self, signal: ExitSignal, _: &mut Context<Self>) -> Step {
        self.signals.push(signal);
        Ok(Next::go())
    }
}

async fn act(owner: &ServerRef<Owner>, act: impl FnOnce(&mut Owner, &mut Context<Owner>) + Send + 'static) {
    owner.call(|reply| Ask::Do(Box::new(act), reply)).await.expect("the server lives");
}

/// Has the server start a linked task, and hold it.
async fn link(
    owner: &ServerRef<Owner>,
    future: impl Future<Output = Result<u32, ExitReason>> + Send + 'static,
) {
    act(owner, |owner, ctx| owner.held.push(owner.tasks.async_link(ctx, future).unwrap())).await;
}

async fn trap(owner: &ServerRef<Owner>) {
    act(owner, |_, ctx| ctx.trap_exit(|signal| signal)).await;
}

/// A task that fails, or makes 1, when it is told to.
fn when_told(
    fails: bool,
) -> (oneshot::Sender<()>, impl Future<Output = Result<u32, ExitReason>> + Send + 'static) {
    let (go, gone) = oneshot::channel();
    let future = async move {
        let _ = gone.await;
        if fails { exited("oops") } else { Ok(1) }
    };
    (go, future)
}

/// Elixir Task.Supervisor: `async/1 spawns tasks under the supervisor` (the link). Row G5, clause 20.5: a linked task
/// that fails ends its server.
#[tokio::test]
async fn a_linked_task_that_fails_ends_its_server() {
    let tasks = TaskSupervisor::new();
    let owner = start::<Owner>(tasks.clone()).await.unwrap();
    let (go, future) = when_told(true);
    link(&owner, future).await;
    assert_eq!(tasks.count(), 1);
    go.send(()).unwrap();
    assert_eq!(owner.join().await.reason, ExitReason::error("oops"));
    assert_eq!(tasks.count(), 0);
}

/// Elixir Task: `await/2 exits on task error` (with `trap_exit`). Clause 20.5: who traps exits is told, and has the error.
#[tokio::test]
async fn a_server_that_traps_exits_is_told_which_task_failed() {
    let tasks = TaskSupervisor::new();
    let owner = start::<Owner>(tasks.clone()).await.unwrap();
    trap(&owner).await;
    let (go, future) = when_told(true);
    let (tell, told) = oneshot::channel();
    act(&owner, |owner, ctx| {
        let task = owner.tasks.async_link(ctx, future).unwrap();
        tell.send(task.link_id()).unwrap();
        owner.held.push(task);
    })
    .await;
    go.send(()).unwrap();
    let outcome = owner.call(|reply| Ask::Await(LONG, reply)).await.unwrap();
    assert_eq!(outcome, Err(TaskError::Exited(ExitReason::error("oops"))));
    settle().await;
    let signals = owner.call(Ask::Signals).await.unwrap();
    assert_eq!((signals.len(), Some(signals[0].from)), (1, told.await.unwrap()));
    assert_eq!(signals[0].reason, ExitReason::error("oops"));
}

/// Clause 20.5: a result does not end the server; one that traps exits hears of it.
#[tokio::test]
async fn a_linked_task_that_ends_well_does_no_harm() {
    let tasks = TaskSupervisor::new();
    for traps in [false, true] {
        let owner = start::<Owner>(tasks.clone()).await.unwrap();
        if traps {
            trap(&owner).await;
        }
        let (go, future) = when_told(false);
        link(&owner, future).await;
        go.send(()).unwrap();
        assert_eq!(owner.call(|reply| Ask::Await(LONG, reply)).await.unwrap(), Ok(1));
        settle().await;
        let reasons: Vec<_> =
            owner.call(Ask::Signals).await.unwrap().into_iter().map(|signal| signal.reason).collect();
        assert_eq!(reasons, vec![ExitReason::Normal; usize::from(traps)]);
    }
}

/// Clause 20.5: whatever way the server ends, its linked tasks are aborted; also those whose handle is elsewhere.
#[tokio::test]
async fn the_end_of_a_server_aborts_its_linked_tasks() {
    let tasks = TaskSupervisor::new();
    let ends: [(bool, ExitReason); 3] =
        [(true, ExitReason::Killed), (false, ExitReason::Normal), (false, ExitReason::error("oops"))];
    for (kill, reason) in ends {
        let owner = start::<Owner>(tasks.clone()).await.unwrap();
        let (hand, handed) = oneshot::channel();
        act(&owner, |owner, ctx| {
            let task = owner.tasks.async_link(ctx, forever()).unwrap();
            assert!(hand.send(task).is_ok());
        })
        .await;
        let task = handed.await.unwrap();
        if kill {
            assert!(owner.kill());
        } else {
            owner.stop(reason.clone(), LONG).await.unwrap();
        }
        assert_eq!(task.await, Err(TaskError::Exited(reason)));
        assert_eq!(tasks.count(), 0);
    }
}

/// Elixir Task.Supervisor: `async_nolink/1 spawns a task under the supervisor without linking to the caller`. Clause 20.6.
#[tokio::test]
async fn an_unlinked_task_and_its_server_have_nothing_to_do_with_each_other() {
    let tasks = TaskSupervisor::new();
    let owner = start::<Owner>(tasks.clone()).await.unwrap();
    trap(&owner).await;
    let (go, future) = when_told(true);
    act(&owner, |owner, _| owner.held.push(owner.tasks.async_nolink(future).unwrap())).await;
    act(&owner, |owner, _| owner.held.push(owner.tasks.async_nolink(forever()).unwrap())).await;
    go.send(()).unwrap();
    settle().await;
    assert!(owner.call(Ask::Signals).await.unwrap().is_empty());
    assert_eq!(tasks.count(), 1);
    owner.stop(ExitReason::Normal, LONG).await.unwrap();
    settle().await;
    assert_eq!(tasks.count(), 1, "the other one goes on");
}

/// Clause 20.5: to drop a linked task, to let its time run out, to shut it down or to ignore it is no failure of it.
#[tokio::test(start_paused = true)]
async fn the_owner_may_end_a_linked_task() {
    let tasks = TaskSupervisor::new();
    let owner = start::<Owner>(tasks.clone()).await.unwrap();
    trap(&owner).await;
    link(&owner, forever()).await;
    let outcome = owner.call(|reply| Ask::Await(Duration::from_secs(1), reply)).await.unwrap();
    assert_eq!(outcome, Err(TaskError::Timeout));
    link(&owner, forever()).await;
    act(&owner, |owner, _| owner.held.clear()).await;
    link(&owner, forever()).await;
    let (hand, handed) = oneshot::channel();
    act(&owner, |owner, _| assert!(hand.send(owner.held.pop().unwrap()).is_ok())).await;
    assert_eq!(handed.await.unwrap().shutdown(Shutdown::BrutalKill).await, None);
    all_gone(&tasks).await;
    let (go, future) = when_told(true);
    link(&owner, future).await;
    act(&owner, |owner, _| assert!(owner.held.pop().unwrap().ignore().is_none())).await;
    go.send(()).unwrap();
    all_gone(&tasks).await;
    assert!(owner.call(Ask::Signals).await.unwrap().is_empty(), "it heard of none of them");
}

/// Clauses 20.5, 20.15: any other that ends a linked task ends its server, as a linked server's end would.
#[tokio::test]
async fn the_supervisor_s_shutdown_reaches_the_servers_of_its_tasks() {
    let tasks = TaskSupervisor::new();
    let owner = start::<Owner>(tasks.clone()).await.unwrap();
    link(&owner, forever()).await;
    assert!(tasks.shutdown(LONG).await.is_empty());
    assert_eq!(owner.join().await.reason, ExitReason::Shutdown);
}

/// Clause 20.5: a link binds an incarnation.
#[tokio::test]
async fn a_later_incarnation_has_nothing_to_do_with_the_tasks_of_an_earlier() {
    let tasks = TaskSupervisor::new();
    let server = restante_genserver::Server::<Owner>::new("owner");
    let owner = server.address();
    server.start(tasks.clone()).await.unwrap();
    link(&owner, forever()).await;
    owner.kill();
    owner.join().await;
    server.start(tasks.clone()).await.unwrap();
    settle().await;
    assert_eq!(tasks.count(), 0);
    assert!(owner.call(Ask::Signals).await.unwrap().is_empty());
}
