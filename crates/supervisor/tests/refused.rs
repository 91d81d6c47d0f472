//! What a supervisor refuses is as it was before: a server that runs goes on, a mailbox stays open with what is queued, and
//! the specification can be offered to another.

use crate::support::{AGES, Args, Log, Tell, Worker, again, counts, noted, quiet, settled, worker};
use restante_core::ExitReason;
use restante_genserver::{Context, GenServer, Init, Next, Server, ServerRef, StartError, Step, start_again};
use restante_supervisor::{
    ChildSpec, DynamicSupervisor, Reconfigure, ReconfigureError, Restart, SpecError, StartChildError,
    Started, Supervise, Supervisor,
};
use std::future::Future as _;
use std::time::Duration;

fn args(name: &'static str, log: &Log) -> Args {
    Args { name, log: log.clone(), terminate: Duration::ZERO }
}

/// A server that runs by itself and has noted something, and its specification.
async fn running(name: &'static str, log: &Log) -> (ServerRef<Worker>, ChildSpec) {
    let server = Server::<Worker>::new(name);
    let running = server.start(args(name, log)).await.unwrap();
    running.cast(Tell::Note(1)).unwrap();
    (running, server.child(args(name, log)))
}

/// The server runs as if nothing had happened, and has no supervisor.
async fn goes_on(server: &ServerRef<Worker>) {
    settled().await;
    assert_eq!((noted(server).await, server.incarnation()), (vec![1], 1));
    assert!(server.is_alive() && !server.is_closed());
    server.stop(ExitReason::Normal, AGES).await.unwrap();
    server.cast(Tell::Note(2)).unwrap();
    start_again(server, args("again", &Log::new())).await.expect("it has no supervisor");
    assert_eq!(noted(server).await, [2]);
}

/// Clause 21.25: a server that runs without a supervisor is refused on all roads, and goes on.
#[tokio::test(start_paused = true)]
async fn a_running_server_that_is_refused_goes_on() {
    let log = Log::new();
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let already = Err(StartChildError::Start(StartError::AlreadyStarted));

    let (p, spec) = running("p", &log).await;
    assert_eq!(tree.start_child(spec).await, already);
    goes_on(&p).await;

    let (p, spec) = running("p", &log).await;
    assert_eq!(Supervisor::one_for_one().child(spec).build().unwrap_err(), SpecError::Running("p".into()));
    goes_on(&p).await;

    let (p, spec) = running("p", &log).await;
    let refused = tree.reconfigure(Reconfigure::new().add_child(spec));
    assert_eq!(refused, Err(ReconfigureError::Spec(SpecError::Running("p".into()))));
    goes_on(&p).await;

    let rooms = DynamicSupervisor::new().start().await.unwrap();
    let (p, spec) = running("p", &log).await;
    assert_eq!(rooms.start_child(spec).await.map(drop), already.clone().map(drop));
    goes_on(&p).await;

    let server = Server::<Worker>::new("p");
    let p = server.start(args("p", &log)).await.unwrap();
    p.cast(Tell::Note(1)).unwrap();
    assert_eq!(rooms.start(server, args("p", &log)).await.map(drop), already.map(drop));
    goes_on(&p).await;
    assert_eq!((counts(&tree), rooms.count_children().specs), ([0; 4], 0));
    assert!(tree.shutdown(AGES).await.is_clean());
}

/// Clause 21.25: refused for whatever reason, a server that runs goes on.
#[tokio::test(start_paused = true)]
async fn a_running_server_goes_on_whatever_it_is_refused_for() {
    let log = Log::new();
    let tree = Supervisor::one_for_one().child(again("p", &log)).start().await.unwrap();
    let (p, spec) = running("p", &log).await;
    assert_eq!(tree.start_child(spec).await, Err(StartChildError::AlreadyStarted("p".into())), "by its id");
    goes_on(&p).await;
    let (p, spec) = running("p", &log).await;
    assert!(tree.start_child(spec.significant(true)).await.is_err(), "by its options");
    goes_on(&p).await;
    let full = DynamicSupervisor::new().max_children(0).start().await.unwrap();
    let (p, spec) = running("p", &log).await;
    assert!(matches!(full.start_child(spec).await, Err(StartChildError::MaxChildren { .. })));
    goes_on(&p).await;
    tree.shutdown(AGES).await;
    let (p, spec) = running("p", &log).await;
    assert_eq!(tree.start_child(spec).await, Err(StartChildError::Down));
    goes_on(&p).await;
    let (p, spec) = running("p", &log).await;
    assert_eq!(tree.reconfigure(Reconfigure::new().add_child(spec)), Err(ReconfigureError::Closed));
    goes_on(&p).await;
    let (p, spec) = running("p", &log).await;
    drop(spec);
    goes_on(&p).await;
}

/// Offered and refused, a mailbox that is not being read keeps what is queued, and its specification is good for another
/// supervisor: with the arguments that it had.
async fn is_good_for_another(server: &ServerRef<Worker>, spec: ChildSpec, log: &Log) {
    assert!(!server.is_closed());
    log.take();
    let other = Supervisor::one_for_one().start().await.unwrap();
    assert_eq!(other.start_child(spec).await, Ok(Started::Running));
    assert_eq!(noted(server).await, [7]);
    assert_eq!(log.take(), [format!("+{}", server.name().unwrap())]);
    assert!(other.shutdown(AGES).await.is_clean() && server.is_closed());
}

fn queued(name: &'static str, log: &Log) -> (ServerRef<Worker>, ChildSpec) {
    let (server, spec) = worker(name, log);
    server.cast(Tell::Note(7)).unwrap();
    (server, spec)
}

/// Clause 21.25: an id that is taken, by a child that runs or one that rests.
#[tokio::test(start_paused = true)]
async fn a_duplicate_is_given_back_with_its_queue_and_its_arguments() {
    let log = Log::new();
    let tree = Supervisor::one_for_one().child(again("a", &log)).start().await.unwrap();
    let (a, spec) = queued("a", &log);
    assert_eq!(tree.start_child(spec.clone()).await, Err(StartChildError::AlreadyStarted("a".into())));
    tree.terminate_child("a").await.unwrap();
    assert_eq!(tree.start_child(spec.clone()).await, Err(StartChildError::AlreadyPresent("a".into())));
    let duplicate = SpecError::DuplicateId("a".into());
    let refused = tree.reconfigure(Reconfigure::new().add_child(spec.clone()));
    assert_eq!(refused, Err(ReconfigureError::Spec(duplicate.clone())));
    is_good_for_another(&a, spec, &log).await;
}

/// Clause 21.25: where the whole is refused because of one, all others are given back too.
#[tokio::test(start_paused = true)]
async fn those_that_came_before_the_one_that_is_refused_are_given_back() {
    quiet();
    let log = Log::new();
    let (a, sa) = queued("a", &log);
    let (b, sb) = queued("b", &log);
    let (p, sp) = running("p", &log).await;
    let sub = Supervisor::one_for_one().child(again("w", &log)).build().unwrap();
    let supervisor = Supervisor::one_for_one().child(sa.clone()).child(sub.child("sub"));
    assert!(supervisor.child(sb.clone().id("a")).build().is_err(), "an id that is there twice");
    let supervisor = Supervisor::one_for_one().child(sa.clone()).child(sub.child("sub")).child(sp.clone());
    assert!(supervisor.start().await.is_err(), "one that runs");
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let change = Reconfigure::new().add_child(sa.clone()).add_child(sub.child("sub")).add_child(sb.clone());
    assert!(tree.reconfigure(change.add_child(sp)).is_err());
    goes_on(&p).await;
    sub.start().await.expect("it has no supervisor");
    sub.shutdown(AGES).await;
    is_good_for_another(&a, sa, &log).await;
    is_good_for_another(&b, sb, &log).await;
}

/// Clause 21.25: clones of a specification are one child. The first supervisor that takes it has it.
#[tokio::test(start_paused = true)]
async fn clones_of_a_specification_are_one_child() {
    let log = Log::new();
    let (a, spec) = queued("a", &log);
    let tree = Supervisor::one_for_one().child(spec.clone()).start().await.unwrap();
    let other = Supervisor::one_for_one().start().await.unwrap();
    let refused = other.start_child(spec.clone().restart(Restart::Temporary)).await;
    assert_eq!(refused, Err(StartChildError::Spec(SpecError::Supervised("a".into()))));
    drop(spec);
    assert_eq!(noted(&a).await, [7]);
    assert_eq!(start_again(&a, args("a", &log)).await, Err(StartError::Supervised));
    tree.shutdown(AGES).await;
    assert!(a.is_closed());
}

/// Clause 21.25: a mailbox that was refused can be started by hand, as before, whether or not a clone was kept. One whose
/// specification is dropped without having been refused closes.
#[tokio::test(start_paused = true)]
async fn a_specification_that_was_refused_is_dropped_without_harm() {
    let log = Log::new();
    let tree = Supervisor::one_for_one().child(again("a", &log)).start().await.unwrap();
    for road in 0..4 {
        let (a, spec) = queued("a", &log);
        let zero = Supervisor::one_for_one().intensity(1, Duration::ZERO);
        match road {
            0 => assert!(tree.start_child(spec).await.is_err()),
            1 => assert!(tree.reconfigure(Reconfigure::new().add_child(spec)).is_err()),
            2 => assert!(zero.child(spec).build().is_err()),
            _ => assert!(Supervisor::one_for_one().child(again("a", &log)).child(spec).build().is_err()),
        }
        start_again(&a, args("a", &log)).await.unwrap();
        assert_eq!(noted(&a).await, [7], "{road}");
    }
    let (a, spec) = queued("a", &log);
    drop(spec);
    let (b, spec) = queued("b", &log);
    drop(Supervisor::one_for_one().child(spec).build().unwrap());
    assert!(a.is_closed() && b.is_closed());
}

/// Clause 21.25: a supervisor that is down, is about to end, or whose runtime has gone, refuses as any other does: what was
/// offered to it is as it was before.
#[tokio::test(start_paused = true)]
async fn what_is_offered_to_a_supervisor_that_is_down_is_given_back() {
    let log = Log::new();
    let ended = Supervisor::one_for_one().start().await.unwrap();
    ended.shutdown(AGES).await;
    let unstarted = Supervisor::one_for_one().build().unwrap();
    let (_slow, spec) = crate::support::slow_worker("slow", &log, Duration::from_secs(1));
    let ending = Supervisor::one_for_one().child(spec).start().await.unwrap();
    assert!(ending.request_stop());
    let rooms = DynamicSupervisor::new().build();
    for road in 0..4 {
        let (a, spec) = queued("a", &log);
        let refused = match road {
            0 => ended.start_child(spec).await.map(drop),
            1 => unstarted.start_child(spec).await.map(drop),
            2 => ending.start_child(spec).await.map(drop),
            _ => rooms.start_child(spec).await.map(drop),
        };
        assert_eq!(refused, Err(StartChildError::Down), "{road}");
        start_again(&a, args("a", &log)).await.unwrap();
        assert_eq!(noted(&a).await, [7], "{road}");
    }
}

/// Clause 21.26: an id, a reference and a key lead to each other, in a static tree too.
#[tokio::test(start_paused = true)]
async fn a_child_is_found_by_its_reference_and_its_reference_by_the_child() {
    let log = Log::new();
    let ((a, sa), (b, sb)) = (worker("a", &log), worker("b", &log));
    let sub = Supervisor::one_for_one().child(sb).build().unwrap();
    let tree =
        Supervisor::one_for_one().child(sa.id("id of a")).child(sub.child("sub")).start().await.unwrap();
    let key = tree.key_of(&a).expect("it is a child");
    let info = tree.child_info(key).unwrap();
    assert_eq!((info.id.as_str(), info.key), ("id of a", key));
    let found = info.server::<Worker>().expect("of that type");
    found.cast(Tell::Note(3)).unwrap();
    assert_eq!(noted(&a).await, [3]);
    assert!(info.supervisor().is_none());
    let below = tree.which_children()[0].supervisor().expect("it is one");
    assert!(tree.which_children()[0].server::<Worker>().is_none());
    assert_eq!((tree.key_of(&b), below.key_of(&b).is_some()), (None, true));
    assert_eq!(below.which_children()[0].key, below.key_of(&b).unwrap());
    assert_eq!(
        tree.terminate(below.key_of(&b).unwrap()).await,
        Err(restante_supervisor::ChildError::NotFound)
    );
    tree.terminate(key).await.unwrap();
    assert!(!a.is_alive());
    tree.delete_child("id of a").unwrap();
    assert!(tree.key_of(&a).is_none() && tree.child_info(key).is_none() && info.server::<Worker>().is_none());
}

/// Clause 21.26: nothing to serve is a value where the specification stays to be named, and an error where no child is left.
#[tokio::test(start_paused = true)]
async fn an_init_with_nothing_to_serve_is_told_of_in_two_ways() {
    use crate::support::OnInit;
    let log = Log::new();
    log.on_init("a", [OnInit::Ignore, OnInit::Ignore]);
    let tree = Supervisor::one_for_one().start().await.unwrap();
    assert_eq!(tree.start_child(worker("a", &log).1).await, Ok(Started::Ignored));
    assert_eq!(counts(&tree), [1, 0, 0, 1]);
    let rooms = DynamicSupervisor::new().start().await.unwrap();
    let (a, spec) = worker("a", &log);
    assert_eq!(rooms.start_child(spec).await, Err(StartChildError::Start(StartError::Ignored)));
    assert!(a.is_closed() && rooms.count_children().specs == 0);
}

/// Its mailbox may hold what comes back to it in its drop.
#[derive(Debug)]
struct Holder;

/// How a message comes back to the mailbox that it lies in.
type Back = fn(Server<Holder>) -> bool;

#[derive(Debug)]
struct ComesBack(Option<(Server<Holder>, Back, std::sync::mpsc::Sender<bool>)>);

impl Drop for ComesBack {
    fn drop(&mut self) {
        if let Some((server, back, tell)) = self.0.take() {
            let _ = tell.send(back(server));
        }
    }
}

impl GenServer for Holder {
    type Args = ();
    type Call = ();
    type Cast = ComesBack;
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, (): (), _: &mut Context<Self>) -> Step {
        Ok(Next::go())
    }
}

/// Row H6: a message that is dropped as its mailbox is closed may offer that mailbox to a supervisor, or start a server there:
/// neither waits for the close to be through, which waits for the drop.
#[tokio::test]
async fn a_message_may_come_back_to_its_mailbox_as_that_closes() {
    let builds: Back = |server| Supervisor::one_for_one().child(server.child(())).build().is_ok();
    let starts: Back = |server| {
        let start = std::pin::pin!(server.start(()));
        let polled = start.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        matches!(polled, std::task::Poll::Ready(Err(StartError::Closed)))
    };
    for back in [builds, starts] {
        let (tell, told) = std::sync::mpsc::channel();
        let server = Server::<Holder>::new("holder");
        let at = server.address();
        at.cast(ComesBack(Some((server, back, tell)))).unwrap();
        assert!(at.close(ExitReason::Shutdown));
        assert_eq!(told.recv(), Ok(true));
        assert_eq!(at.stats().ledger.lost(), 0);
    }
}
