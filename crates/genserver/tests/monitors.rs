//! Monitors that servers have on servers, and their ends: of the one that is watched, of the one that watches, of both.

use crate::support::{Alive, LONG, Lab, Note, Plan, Tell, law, say, settle, tell};
use restante_genserver::monitor::{Event, Watch};
use restante_genserver::tracker::Tracker;
use restante_genserver::{Context, ExitReason, Init, Next, Server, ServerRef, link, start};
use restante_testkit::MonitorProbe;

/// How many monitors and links the server of this name has.
fn bonds(tracker: &Tracker, name: &str) -> (usize, usize) {
    let look =
        tracker.looks().into_iter().find(|look| look.name.as_deref() == Some(name)).expect("it is there");
    (look.monitors, look.links)
}

/// What a server that watches makes of an event.
fn note(event: Event) -> Note {
    match event {
        Event::Started { incarnation } => say(format!("started {incarnation}")),
        Event::Down(exit) => say(format!("down {}", exit.reason)),
        event => say(format!("{event:?}")),
    }
}

/// A server that watches this one from its `init` on.
fn watcher(of: &ServerRef<Lab>, watch: Watch) -> Plan {
    let of = of.clone();
    Plan::default().init(move |plan, ctx| {
        ctx.monitor(&of, watch, note);
        Box::pin(async { Ok(Init::ok(Lab::new(plan))) })
    })
}

/// Every way in which an incarnation ends while its mailbox stays.
const ENDS: [fn(&ServerRef<Lab>); 4] = [
    |lab| lab.cast(Tell::Boom).unwrap(),
    |lab| lab.cast(Tell::Fail).unwrap(),
    |lab| lab.cast(Tell::Stop(ExitReason::Normal)).unwrap(),
    |lab| assert!(lab.kill()),
];

/// Clause 5.6, 12.5: a monitor that a server sets ends with the incarnation that set it, however that ends: the next one is
/// told once of an end, by the monitor of its own.
#[tokio::test(start_paused = true)]
async fn a_monitor_ends_with_the_incarnation_that_set_it() {
    for watch in [Watch::Incarnation, Watch::Mailbox] {
        let tracker = Tracker::switch_on().expect("this is a runtime");
        let kept = Server::<Lab>::new("hub");
        let hub = kept.start(Plan::default()).await.unwrap();
        let server = Server::<Lab>::new("watcher");
        let lab = server.address();
        let plan = watcher(&hub, watch);
        for end in ENDS.iter().cycle().take(40) {
            server.start(plan.clone()).await.unwrap();
            end(&lab);
            lab.join().await;
            assert_eq!(bonds(&tracker, "hub").0, 0, "{watch:?}");
        }
        server.start(plan.clone()).await.unwrap();
        settle().await;
        plan.log.take();
        let before = lab.stats().ledger.sent;
        hub.stop(ExitReason::Normal, LONG).await.unwrap();
        settle().await;
        let told = plan.log.take();
        assert_eq!(told.iter().filter(|entry| *entry == "down normal").count(), 1, "{told:?}");
        // Of a mailbox its closing is told as well.
        assert_eq!(lab.stats().ledger.sent - before, told.len() as u64, "nor was more sent");
        law(&lab).await;
    }
}

/// Clause 12.3: one whose watched server ends first is kept by neither side; nor is one that was taken down, or was told at
/// once because nothing ran.
#[tokio::test(start_paused = true)]
async fn a_watcher_keeps_nothing_of_those_that_have_ended() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let alive = Alive::default();
    for n in 0..30 {
        let other = start::<Lab>(Plan::default()).await.unwrap();
        let (watched, one) = (other.clone(), alive.one());
        lab.cast(tell(move |_, ctx: &mut Context<Lab>| {
            let id = ctx.monitor(&watched, Watch::Incarnation, move |event| {
                let _ = &one;
                note(event)
            });
            if n % 3 == 0 {
                assert!(ctx.demonitor(&watched, id));
            }
            Box::pin(async { Ok(Next::go()) })
        }))
        .unwrap();
        settle().await;
        assert_eq!(alive.count(), usize::from(n % 3 != 0));
        if n % 3 == 1 {
            other.stop(ExitReason::Normal, LONG).await.unwrap();
        } else {
            drop(other);
        }
        settle().await;
        assert_eq!(alive.count(), 0, "{n}");
    }
    law(&lab).await;
}

/// Clause 12.1: nor is a link kept on the other side when either has ended, for whatever reason.
#[tokio::test(start_paused = true)]
async fn a_link_is_kept_on_neither_side() {
    let tracker = Tracker::switch_on().expect("this is a runtime");
    let (one, two) = (Server::<Lab>::new("hub"), Server::<Lab>::new("other"));
    let hub = one.start(traps()).await.unwrap();
    for end in ENDS {
        let other = two.start(Plan::default()).await.unwrap();
        link(&hub, &other);
        assert_eq!((bonds(&tracker, "hub").1, bonds(&tracker, "other").1), (1, 1));
        end(&other);
        other.join().await;
        settle().await;
        assert_eq!((bonds(&tracker, "hub").1, bonds(&tracker, "other").1), (0, 0));
    }
}

fn traps() -> Plan {
    Plan::default().init(|plan, ctx| {
        ctx.trap_exit(Note::Exit);
        Box::pin(async { Ok(Init::ok(Lab::new(plan))) })
    })
}

/// Clause 12.3: a monitor from outside, of the mailbox, goes on over all incarnations: only those of an incarnation's own
/// context end with it.
#[tokio::test(start_paused = true)]
async fn a_monitor_from_outside_stays() {
    let server = Server::<Lab>::new("seen");
    let lab = server.address();
    let mut life = MonitorProbe::of_mailbox(&lab);
    for n in 1..4 {
        server.start(Plan::default()).await.unwrap();
        assert_eq!(life.expect_started().await, n);
        lab.kill();
        assert_eq!(life.expect_down().await.reason, ExitReason::Killed);
    }
}
