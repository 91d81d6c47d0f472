//! A runtime without a time driver: a supervisor keeps its pauses and limits there too.

use crate::support::quiet;
use restante_core::ExitReason;
use restante_genserver::{Context, GenServer, Init, Next, Reply, Server, ServerRef, Step};
use restante_supervisor::{Backoff, ChildSpec, Intensity, Shutdown, Stage, Strategy, Supervise, Supervisor};
use std::time::Duration;

struct Unit;

#[derive(Debug)]
enum Do {
    Panic,
    /// Tells that it has begun, and never comes to an end.
    Hang(tokio::sync::oneshot::Sender<()>),
}

impl GenServer for Unit {
    type Args = ();
    /// Which incarnation answers.
    type Call = Reply<u32>;
    type Cast = Do;
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, reply: Reply<u32>, ctx: &mut Context<Self>) -> Step {
        reply.send(ctx.incarnation());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, order: Do, _: &mut Context<Self>) -> Step {
        match order {
            Do::Panic => panic!("told to"),
            Do::Hang(begun) => {
                begun.send(()).expect("the test waits for it");
                std::future::pending().await
            }
        }
    }
}

fn unit(name: &str) -> (ServerRef<Unit>, ChildSpec) {
    let server = Server::<Unit>::new(name);
    (server.address(), server.child(()))
}

fn untimed(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
}

const MOMENT: Duration = Duration::from_millis(5);

/// Clause 15.6: the pause before a restart, of one child and of a group, is kept without a time driver.
#[test]
fn without_a_time_driver_a_restart_comes_after_its_pause() {
    quiet();
    for strategy in [Strategy::OneForOne, Strategy::OneForAll] {
        untimed(async {
            let ((a, sa), (b, sb)) = (unit("a"), unit("b"));
            let tree = Supervisor::new(strategy)
                .with_intensity(Intensity::UNLIMITED)
                .backoff(Backoff::new(MOMENT, MOMENT))
                .child(sa)
                .child(sb)
                .start()
                .await
                .unwrap();
            // The first restart comes at once, those after it after a pause.
            for incarnation in 2..5 {
                a.cast(Do::Panic).unwrap();
                assert_eq!(a.call(|reply| reply).await, Ok(incarnation));
                assert!(b.call(|reply| reply).await.is_ok());
            }
            assert!(tree.shutdown(Duration::MAX).await.is_clean());
        });
    }
}

/// Clause 15.6: so are the limit of a child that does not end, and the deadline of the whole.
#[test]
fn without_a_time_driver_what_is_late_is_killed() {
    for (limit, deadline) in [(Shutdown::Timeout(MOMENT), Duration::MAX), (Shutdown::Infinity, MOMENT)] {
        untimed(async {
            let (a, spec) = unit("a");
            let tree = Supervisor::one_for_one().child(spec.shutdown(limit)).start().await.unwrap();
            let (begun, hangs) = tokio::sync::oneshot::channel();
            a.cast(Do::Hang(begun)).unwrap();
            hangs.await.unwrap();
            let report = tree.shutdown(deadline).await;
            assert_eq!(report.stage, Stage::Cancel, "{report}");
            assert_eq!(report.killed.len(), 1, "{report}");
            assert_eq!(a.join().await.reason, ExitReason::Killed);
        });
    }
}
