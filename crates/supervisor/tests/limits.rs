//! Limits of restarts and the pauses between them: which go together, and that a child that fails again and again reaches
//! each limit that counts it.

use crate::support::{Args, Ask, Log, OnInit, Tell, Worker, again, listen, quiet, worker};
use restante_core::ExitReason;
use restante_genserver::{ServerRef, StartError};
use restante_supervisor::{
    Backoff, ChildOptions, ChildSpec, DynamicSupervisor, Intensity, PartitionError, PartitionSupervisor,
    Reconfigure, ReconfigureError, RestartLimit, SpecError, StartChildError, Strategy, Supervisor,
    SupervisorRef, TreeError,
};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A worker that never starts again, once it has crashed.
fn doomed(name: &'static str, log: &Log) -> (ServerRef<Worker>, ChildSpec) {
    log.on_init(name, std::iter::once(OnInit::Succeed).chain(std::iter::repeat_n(OnInit::Fail, 10_000)));
    worker(name, log)
}

/// Has a worker crash as soon as it is up, for ever. (What is queued outlives each incarnation.)
async fn crashing(worker: &ServerRef<Worker>) {
    while worker.cast(Tell::Panic).is_ok() {
        while worker.stats().depth > 0 && !worker.is_closed() {
            tokio::time::sleep(ms(1)).await;
        }
    }
    std::future::pending::<()>().await;
}

/// Waits for the end of a supervisor that gives up, on the paused clock: how long that took.
async fn gives_up(tree: &SupervisorRef) -> Duration {
    let begun = Instant::now();
    let exit = tokio::time::timeout(secs(3600), tree.join()).await.expect("it gives up");
    assert!(RestartLimit::of(&exit.reason).is_some(), "{exit}");
    begun.elapsed()
}

/// Clause 21.24: wherever a limit comes in, one whose period is zero is refused, and says whose it is.
#[tokio::test(start_paused = true)]
async fn a_period_of_zero_is_refused() {
    let log = Log::new();
    for max in [0, 1, u32::MAX] {
        let none = SpecError::ZeroPeriod { child: None };
        let of_a = SpecError::ZeroPeriod { child: Some("a".into()) };
        let supervisor = || Supervisor::one_for_one().intensity(max, Duration::ZERO);
        assert_eq!(supervisor().build().unwrap_err(), none);
        assert_eq!(supervisor().into_child("sub").unwrap_err(), none);
        assert_eq!(supervisor().start().await.unwrap_err(), TreeError::Spec(none.clone()));

        let child = || again("a", &log).intensity(max, Duration::ZERO);
        assert_eq!(Supervisor::one_for_one().child(child()).build().unwrap_err(), of_a);
        let tree = Supervisor::one_for_one().child(again("b", &log)).start().await.unwrap();
        assert_eq!(tree.start_child(child()).await, Err(StartChildError::Spec(of_a.clone())));
        let refused =
            |change| assert_eq!(tree.reconfigure(change), Err(ReconfigureError::Spec(none.clone())));
        refused(Reconfigure::new().intensity(max, Duration::ZERO));
        let refused = tree.reconfigure(Reconfigure::new().add_child(child()));
        assert_eq!(refused, Err(ReconfigureError::Spec(of_a.clone())));
        let change =
            move |options: &mut ChildOptions| options.intensity = Some(Intensity::new(max, Duration::ZERO));
        let refused = tree.reconfigure(Reconfigure::new().child("b", change));
        let of_b = SpecError::ZeroPeriod { child: Some("b".into()) };
        assert_eq!(refused, Err(ReconfigureError::Spec(of_b)));

        let refused = DynamicSupervisor::new().intensity(max, Duration::ZERO).start().await.unwrap_err();
        let StartError::Failed(ExitReason::Error(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.downcast_ref(), Some(&none));
        let rooms = DynamicSupervisor::new().default_options(change);
        assert!(matches!(rooms.start().await, Err(StartError::Failed(_))));
        let rooms = DynamicSupervisor::new().start().await.unwrap();
        assert_eq!(rooms.start_child(child()).await, Err(StartChildError::Spec(of_a)));

        let refused = PartitionSupervisor::<Quiet>::new(|_| ()).intensity(max, Duration::ZERO).build();
        assert_eq!(refused.unwrap_err(), PartitionError::Spec(none.clone()));
        let rooms =
            PartitionSupervisor::dynamic(move |_| DynamicSupervisor::new().intensity(max, Duration::ZERO));
        assert_eq!(rooms.start().await.unwrap_err(), PartitionError::Spec(none.clone()));
    }
    assert!(Supervisor::one_for_one().with_intensity(Intensity::UNLIMITED).build().is_ok());
}

/// Clause 21.24: a dynamic supervisor that makes no sense starts nowhere: not by itself, not below another one.
#[tokio::test(start_paused = true)]
async fn a_dynamic_supervisor_that_makes_no_sense_is_refused_by_those_above() {
    let none = SpecError::ZeroPeriod { child: None };
    let unsound = || DynamicSupervisor::new().intensity(1, Duration::ZERO);
    let (rooms, spec) = unsound().into_child("rooms");
    assert_eq!(Supervisor::one_for_one().child(spec).build().unwrap_err(), none);
    assert!(matches!(rooms.as_supervisor().start().await, Err(StartError::Failed(_))));
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let refused = tree.start_child(unsound().into_child("rooms").1).await;
    assert_eq!(refused, Err(StartChildError::Spec(none.clone())));
    let refused = tree.reconfigure(Reconfigure::new().add_child(unsound().into_child("rooms").1));
    assert_eq!(refused, Err(ReconfigureError::Spec(none)));
}

/// A server that does nothing.
struct Quiet;

impl restante_genserver::GenServer for Quiet {
    type Args = ();
    type Call = ();
    type Cast = ();
    type Info = ();
    async fn init(
        (): &(),
        _: &mut restante_genserver::Context<Self>,
    ) -> Result<restante_genserver::Init<Self>, ExitReason> {
        Ok(restante_genserver::Init::ok(Self))
    }
    async fn handle_call(
        &mut self,
        (): (),
        _: &mut restante_genserver::Context<Self>,
    ) -> restante_genserver::Step {
        Ok(restante_genserver::Next::go())
    }
}

/// Clause 21.24: a limit and a back-off that were both set, and with which a child that fails for ever would be restarted for
/// ever: refused, wherever the second of the two comes in.
#[tokio::test(start_paused = true)]
async fn a_pair_that_cannot_trip_is_refused() {
    let log = Log::new();
    let slow = Backoff::new(ms(50), secs(5));
    let cannot = |child: Option<&str>, max, period| SpecError::CannotTrip {
        child: child.map(|id| id.to_owned().into()),
        max,
        period,
        pause: secs(6),
    };
    let (whole, of_a) = (cannot(None, 10, secs(5)), cannot(Some("a"), 10, secs(5)));
    let ten = || Supervisor::one_for_one().intensity(10, secs(5));
    assert_eq!(ten().backoff(slow).build().unwrap_err(), whole);
    assert_eq!(ten().child(again("a", &log).backoff(slow)).build().unwrap_err(), of_a);
    let own = || again("a", &log).intensity(10, secs(5));
    assert_eq!(Supervisor::one_for_one().backoff(slow).child(own()).build().unwrap_err(), of_a);
    assert_eq!(Supervisor::one_for_one().child(own().backoff(slow)).build().unwrap_err(), of_a);
    let unlimited = || Supervisor::one_for_one().with_intensity(Intensity::UNLIMITED).backoff(slow);
    assert_eq!(unlimited().child(own()).build().unwrap_err(), of_a);

    let tree = ten().child(again("b", &log)).start().await.unwrap();
    let refused = tree.start_child(again("a", &log).backoff(slow)).await;
    assert_eq!(refused, Err(StartChildError::Spec(of_a.clone())));
    let refused = |change, error: &SpecError| {
        assert_eq!(tree.reconfigure(change), Err(ReconfigureError::Spec(error.clone())));
    };
    refused(Reconfigure::new().backoff(slow), &whole);
    refused(Reconfigure::new().add_child(again("a", &log).backoff(slow)), &of_a);
    let of_b = cannot(Some("b"), 10, secs(5));
    refused(Reconfigure::new().child("b", move |options| options.backoff = Some(slow)), &of_b);
    // What is there already counts as well, and both at once make sense.
    let hour = Reconfigure::new().intensity(10, secs(3600)).child("b", move |o| o.backoff = Some(slow));
    tree.reconfigure(hour).unwrap();
    refused(Reconfigure::new().intensity(10, secs(5)), &of_b);

    let partitions = PartitionSupervisor::<Quiet>::new(|_| ()).intensity(10, secs(5)).backoff(slow).build();
    assert_eq!(partitions.unwrap_err(), PartitionError::Spec(whole.clone()));
    let rooms = DynamicSupervisor::new().intensity(10, secs(5)).backoff(slow).start().await;
    assert!(matches!(rooms, Err(StartError::Failed(_))));

    // What goes together: a limit that can be reached, none, and one that was not set.
    assert!(ten().backoff(Backoff::new(ms(50), ms(400))).build().is_ok());
    assert!(
        ten().backoff(Backoff::NONE).build().is_ok() && ten().backoff(Backoff::default()).build().is_ok()
    );
    assert!(unlimited().build().is_ok());
    assert!(Supervisor::one_for_one().backoff(slow).build().is_ok());
    assert!(Supervisor::one_for_one().intensity(0, secs(5)).backoff(slow).build().is_ok());
}

/// Clause 21.23: with the default back-off a child that fails again and again reaches its supervisor's limit, whatever that is.
#[tokio::test(start_paused = true)]
async fn the_default_back_off_lets_every_limit_trip() {
    quiet();
    for (max, period) in
        [(3, secs(5)), (10, secs(5)), (100, secs(5)), (1000, secs(5)), (5, ms(100)), (20, secs(60))]
    {
        for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
            let log = Log::new();
            let supervisor = Supervisor::new(strategy).intensity(max, period).child(again("b", &log));
            let (a, sa) = doomed("a", &log);
            let tree = supervisor.child(sa).start().await.unwrap();
            a.cast(Tell::Panic).unwrap();
            let took = gives_up(&tree).await;
            assert!(took <= period, "{max} in {period:?}: {took:?}");
            assert_eq!(tree.restarts(), u64::from(max) + 1);
        }
    }
}

/// Clause 21.23: a limit of the child's own is reached as well, and the default limit, in each kind of supervisor.
#[tokio::test(start_paused = true)]
async fn a_limit_of_its_own_and_the_default_limit_trip_too() {
    quiet();
    let log = Log::new();
    let (a, sa) = doomed("a", &log);
    let supervisor = Supervisor::one_for_one().with_intensity(Intensity::UNLIMITED);
    let tree = supervisor.child(sa.intensity(10, secs(5))).start().await.unwrap();
    a.cast(Tell::Panic).unwrap();
    assert!(gives_up(&tree).await <= secs(5));

    let log = Log::new();
    let (a, sa) = doomed("a", &log);
    let rooms = DynamicSupervisor::new().start().await.unwrap();
    rooms.start_child(sa).await.unwrap();
    a.cast(Tell::Panic).unwrap();
    assert!(gives_up(rooms.as_supervisor()).await <= secs(5));

    let parts =
        PartitionSupervisor::<Worker>::new(move |_| Args { name: "p", log: log.clone(), terminate: ms(0) });
    let parts = parts.partitions(2).start().await.unwrap();
    let crashing = async {
        loop {
            let _ = parts.of(0).unwrap().cast(Tell::Panic);
            tokio::time::sleep(ms(1)).await;
        }
    };
    tokio::select! {
        took = gives_up(parts.as_supervisor()) => assert!(took <= secs(5), "{took:?}"),
        () = crashing => {}
    }
}

/// Clause 21.23: what a supervisor below leaves of the time is enough for those above to give up as well, each in its period.
#[tokio::test(start_paused = true)]
async fn limits_that_are_nested_trip_up_to_the_top() {
    quiet();
    let trees: [&[Option<(u32, u64)>]; 6] = [
        &[None, None],
        &[None, None, None],
        &[Some((10, 5)), Some((10, 5))],
        &[Some((3, 5)), Some((20, 60)), None],
        &[Some((2, 1)), Some((0, 9)), Some((5, 60))],
        &[None, Some((1, 3600)), Some((10, 3600))],
    ];
    for levels in trees {
        let log = Log::new();
        let (a, mut spec) = worker("a", &log);
        for limit in levels.iter().skip(1).rev() {
            let supervisor = Supervisor::one_for_one().child(spec);
            let supervisor =
                limit.iter().fold(supervisor, |s, (max, period)| s.intensity(*max, secs(*period)));
            spec = supervisor.into_child("sub").unwrap();
        }
        let supervisor = Supervisor::one_for_one().child(spec);
        let supervisor =
            levels[0].iter().fold(supervisor, |s, (max, period)| s.intensity(*max, secs(*period)));
        let tree = supervisor.start().await.unwrap();
        tokio::select! {
            took = gives_up(&tree) => assert!(took < secs(30), "{levels:?}: {took:?}"),
            () = crashing(&a) => {}
        }
    }
}

/// Clause 21.23: what changes further up counts below from the next restart on, however far below.
#[tokio::test(start_paused = true)]
async fn a_limit_that_is_set_further_up_later_is_heard_of_below() {
    quiet();
    for levels in 1..3 {
        let log = Log::new();
        let (a, mut spec) = worker("a", &log);
        for _ in 0..levels {
            spec = Supervisor::one_for_one().intensity(10, secs(3600)).child(spec).into_child("sub").unwrap();
        }
        let tree = Supervisor::one_for_one().with_intensity(Intensity::UNLIMITED).child(spec);
        let tree = tree.start().await.unwrap();
        tree.reconfigure(Reconfigure::new().intensity(1, secs(6))).unwrap();
        let took = tokio::select! {
            took = gives_up(&tree) => took,
            () = crashing(&a) => unreachable!("it never ends"),
        };
        // By their own limits alone those below would take too long for that of the top.
        assert!(took < secs(12), "{levels}: {took:?}");
    }
}

/// Clause 21.7: the default pause is never longer than a second and its jitter, also where there is no limit; so a caller
/// in line, who waits 5 s, is answered by the next incarnation.
#[tokio::test(start_paused = true)]
async fn a_default_pause_is_at_most_a_second() {
    quiet();
    let log = Log::new();
    let (a, sa) = worker("a", &log);
    let tree =
        Supervisor::one_for_one().with_intensity(Intensity::UNLIMITED).child(sa).start().await.unwrap();
    log.on_init("a", std::iter::repeat_n(OnInit::Fail, 20));
    let mut at = Instant::now();
    let mut pauses = Vec::new();
    a.cast(Tell::Panic).unwrap();
    for attempt in 1..=20 {
        while tree.restarts() < attempt {
            tokio::time::sleep(ms(1)).await;
        }
        pauses.push(at.elapsed());
        at = Instant::now();
    }
    assert!(pauses.iter().all(|pause| *pause <= ms(1201)), "{pauses:?}");
    assert!(pauses[10..].iter().all(|pause| *pause >= secs(1)), "{pauses:?}");
    assert_eq!(a.call(Ask::Get).await, Ok(Vec::new()), "within the 5 s that a caller waits");
}

/// Clause 21.24: a limit that is set later was set, though it has the value of the default: what it does not go together
/// with is refused.
#[tokio::test(start_paused = true)]
async fn a_limit_that_is_set_to_the_default_counts_as_set() {
    let log = Log::new();
    let slow = again("a", &log).backoff(Backoff::new(secs(5), secs(5)));
    let tree = Supervisor::one_for_one().child(slow).start().await.unwrap();
    let refused = tree.reconfigure(Reconfigure::new().with_intensity(Intensity::default()));
    let why = SpecError::CannotTrip { child: Some("a".into()), max: 3, period: secs(5), pause: secs(6) };
    assert_eq!(refused, Err(ReconfigureError::Spec(why)));
}

/// Clause 21.23: a pause that was set for a supervisor leaves those below less time to give up in, and the limit above is
/// reached all the same.
#[tokio::test(start_paused = true)]
async fn a_pause_that_was_set_for_a_supervisor_lets_the_limit_above_trip() {
    quiet();
    for (set, whole) in [(true, false), (false, true)] {
        let log = Log::new();
        let (a, sa) = worker("a", &log);
        let pause = Backoff::new(ms(1380), ms(1380));
        let sub = Supervisor::one_for_one().intensity(50, secs(5)).child(sa).into_child("sub").unwrap();
        let sub = if set { sub.backoff(pause) } else { sub };
        let tree = Supervisor::one_for_one().intensity(3, secs(5)).child(sub);
        let tree = if whole { tree.backoff(pause) } else { tree };
        let tree = tree.start().await.unwrap();
        tokio::select! {
            took = gives_up(&tree) => assert!(took < secs(10), "{took:?}"),
            () = crashing(&a) => {}
        }
    }
}

/// What is warned of on this thread, which is the only one of its runtime: of which child, if of one.
#[derive(Debug, Clone, Default)]
struct Warned(Arc<Mutex<Vec<String>>>);

/// The child that an event names.
struct Named(Option<String>);

impl Visit for Named {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "child" {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

impl Subscriber for Warned {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("restante_supervisor")
    }
    fn event(&self, event: &Event<'_>) {
        let mut named = Named(None);
        event.record(&mut named);
        self.0.lock().unwrap().push(named.0.unwrap_or_else(|| "(all)".to_owned()));
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Clause 21.24: of a back-off that is too slow for the default limit a warning tells, wherever it comes in, whosever it
/// is; of one that was refused, or that goes together with the limit, none does.
#[tokio::test(start_paused = true)]
async fn a_back_off_that_is_too_slow_for_the_default_limit_is_warned_of() {
    let log = Log::new();
    let warned = Warned::default();
    let _listens = listen(warned.clone());
    let slow = Backoff::new(ms(50), secs(5));
    let said = |expected: &[&str]| assert_eq!(std::mem::take(&mut *warned.0.lock().unwrap()), expected);

    let tree = Supervisor::one_for_one().child(again("a", &log).backoff(slow)).start().await.unwrap();
    said(&["a"]);
    tree.start_child(again("b", &log).backoff(slow)).await.unwrap();
    said(&["b"]);
    assert!(tree.start_child(again("b", &log).backoff(slow)).await.is_err());
    tree.reconfigure(Reconfigure::new().add_child(again("c", &log).backoff(slow))).unwrap();
    said(&["c"]);
    tree.start_child(again("d", &log)).await.unwrap();
    tree.reconfigure(Reconfigure::new().child("d", move |options| options.backoff = Some(slow))).unwrap();
    said(&["d"]);
    tree.reconfigure(Reconfigure::new().backoff(slow)).unwrap();
    said(&["(all)"]);
    // Nothing new is said with another change.
    tree.reconfigure(Reconfigure::new().strategy(Strategy::OneForAll)).unwrap();
    said(&[]);
    assert!(tree.reconfigure(Reconfigure::new().backoff(slow).child("x", |_| {})).is_err());
    said(&[]);
    drop(Supervisor::one_for_one().backoff(slow).child(again("a", &log)).build().unwrap());
    said(&["(all)"]);
    let rooms = DynamicSupervisor::new().default_options(|options| options.backoff = Some(slow));
    drop(rooms.build());
    said(&["default"]);

    // What goes together, and what the limit is not asked of.
    let quick = Backoff::new(ms(50), ms(400));
    drop(Supervisor::one_for_one().backoff(quick).child(again("a", &log).backoff(quick)).build().unwrap());
    let none = Supervisor::one_for_one().with_intensity(Intensity::UNLIMITED).backoff(slow);
    drop(none.child(again("a", &log).backoff(slow)).build().unwrap());
    said(&[]);
}
