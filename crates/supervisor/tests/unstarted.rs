//! What those hear who wait in the queue of a child that does not start.

use crate::support::{AGES, Args, Ask, Log, OnInit, Worker, quiet, settle};
use restante_core::ExitReason;
use restante_genserver::{
    CallError, Context, GenServer, Init, Next, Reply, Server, ServerSettings, StartError, Step,
};
use restante_supervisor::{
    ChildNotStarted, ChildSpec, DynamicSupervisor, Restart, StartChildError, Started, Supervise, Supervisor,
    TreeError,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a child is started.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    StartChild,
    Dynamic,
    Tree,
}

const ALL: [By; 3] = [By::StartChild, By::Dynamic, By::Tree];

/// Why it did not start.
async fn start(by: By, child: ChildSpec) -> StartError {
    match by {
        By::StartChild => {
            let above = Supervisor::one_for_one().start().await.unwrap();
            let started = above.start_child(child).await;
            assert!(above.shutdown(AGES).await.is_clean());
            match started {
                Ok(Started::Ignored) => StartError::Ignored,
                Err(StartChildError::Start(error)) => error,
                other => panic!("{other:?}"),
            }
        }
        By::Dynamic => {
            let above = DynamicSupervisor::new().start().await.unwrap();
            let started = above.start_child(child).await;
            assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
            let Err(StartChildError::Start(error)) = started else { panic!("{started:?}") };
            error
        }
        By::Tree => match Supervisor::one_for_one().child(child).start().await {
            Err(TreeError::Start(error)) => error,
            other => panic!("{other:?}"),
        },
    }
}

/// What a caller hears who has waited in the queue since before the start, and one who comes after it.
async fn heard(settings: ServerSettings<Worker>, by: By, init: OnInit) -> (StartError, [CallError; 2]) {
    let log = Log::new();
    log.on_init("a", [init]);
    let server = settings.name("a").build().unwrap();
    let (waits, comes_late) = (server.address(), server.address());
    let waiting = tokio::spawn(async move { waits.call(Ask::Get).timeout(AGES).await });
    while comes_late.stats().depth == 0 {
        tokio::task::yield_now().await;
    }
    let args = Args { name: "a", log, terminate: Duration::ZERO };
    let error = start(by, server.child(args).restart(Restart::Temporary)).await;
    let heard = waiting.await.unwrap().unwrap_err();
    (error, [heard, comes_late.call(Ask::Get).await.unwrap_err()])
}

/// What `heard` is where a start failed so.
fn reason(by: By, error: &StartError) -> ExitReason {
    match error {
        StartError::Failed(reason) => reason.clone(),
        StartError::Ignored => ExitReason::Normal,
        error => {
            assert!(by != By::Tree, "a tree that does not start fails: {error}");
            error.clone().into()
        }
    }
}

async fn check(settings: impl Fn() -> ServerSettings<Worker>, by: By, init: OnInit) {
    let (error, [waited, late]) = heard(settings(), by, init.clone()).await;
    let why = reason(by, &error);
    assert_eq!(waited, CallError::Exited(why.clone()), "{by:?} {init:?}: {error:?}");
    let CallError::Exited(late) = late else { panic!("{by:?} {init:?}: {late:?}") };
    assert_ne!(late, ExitReason::Shutdown, "{by:?} {init:?}");
    let said = match (&error, &init) {
        (StartError::Failed(ExitReason::Panic(_)), OnInit::Panic)
        | (StartError::Ignored, OnInit::Ignore)
        | (StartError::Timeout, OnInit::Hang) => true,
        (StartError::Failed(reason), _) => match ExitReason::clone(reason) {
            ExitReason::Error(error) => match error.downcast_ref::<ChildNotStarted>() {
                Some(child) => by == By::Tree && child.child.as_str() == "a",
                None => error.to_string() == "init failed",
            },
            _ => false,
        },
        _ => false,
    };
    assert!(said, "{by:?} {init:?}: {error:?}");
}

fn patient() -> ServerSettings<Worker> {
    Server::settings().start_timeout(Duration::from_secs(1))
}

/// A caller that waits in the queue of a child that does not start hears why: the reason that its starter is told.
/// Clause 21.15.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_child_that_does_not_start_hears_why() {
    quiet();
    for by in ALL {
        for init in [OnInit::Fail, OnInit::Panic, OnInit::Hang] {
            check(patient, by, init).await;
        }
    }
    for by in [By::StartChild, By::Dynamic] {
        check(patient, by, OnInit::Ignore).await;
    }
}

/// Clause 21.15, on a thread of the server's own.
#[tokio::test]
async fn who_waits_for_a_child_on_its_own_thread_hears_why() {
    quiet();
    for by in ALL {
        for init in [OnInit::Fail, OnInit::Panic] {
            check(|| patient().own_thread(), by, init).await;
        }
        check(|| patient().own_thread().start_timeout(Duration::from_millis(1)), by, OnInit::Hang).await;
    }
    for by in [By::StartChild, By::Dynamic] {
        check(|| patient().own_thread(), by, OnInit::Ignore).await;
    }
}

/// A start that its caller gives up, and one that ends with its supervisor, are no failures.
/// Clause 21.15.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_child_whose_start_was_given_up_hears_of_a_shutdown() {
    let log = Log::new();
    log.on_init("a", [OnInit::Hang]);
    let above = Arc::new(DynamicSupervisor::new().start().await.unwrap());
    let server = Server::<Worker>::new("a");
    let waits = server.address();
    let waiting = tokio::spawn(async move { waits.call(Ask::Get).timeout(AGES).await });
    settle().await;
    let args = Args { name: "a", log, terminate: Duration::ZERO };
    let starter = tokio::spawn({
        let above = Arc::clone(&above);
        async move { above.start(server, args).await.map(drop) }
    });
    settle().await;
    starter.abort();
    let heard = waiting.await.unwrap().unwrap_err();
    assert_eq!(heard, CallError::Exited(ExitReason::Shutdown));
    assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
}

/// A server that is never started.
struct Keeps;

impl GenServer for Keeps {
    type Args = Mutex<Option<ChildSpec>>;
    type Call = Reply<()>;
    type Cast = ();
    type Info = ();

    async fn init(_: &Self::Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }
}

/// Clause 13.8: the arguments of a child may keep another one.
#[test]
fn a_long_chain_of_children_in_arguments_goes_on_a_small_stack() {
    let on_a_small_stack = std::thread::Builder::new().stack_size(1 << 20);
    let goes = || {
        let mut last = None;
        for _ in 0..30_000 {
            last = Some(Server::<Keeps>::new("keeps").child(Mutex::new(last)));
        }
        drop(last);
    };
    on_a_small_stack.spawn(goes).unwrap().join().expect("it does not overflow");
}
