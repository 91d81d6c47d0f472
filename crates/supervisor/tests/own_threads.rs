//! Children that run on threads of their own: where they come back, and what becomes of one that never returns.

use crate::support::{AGES, quiet, relentless};
use restante_genserver::{
    CallError, Context, ExitReason, GenServer, Init, Next, Reply, Server, ServerSettings, Step, ThreadPool,
};
use restante_supervisor::{Restart, Strategy, Supervise, Supervisor};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, ThreadId};
use tokio::sync::oneshot;

/// Says which thread it is on, and blocks it.
struct There;

enum Do {
    Crash,
    /// Says that it has begun; until the other end goes.
    Block(oneshot::Sender<()>, Receiver<()>),
}

impl GenServer for There {
    type Args = ();
    type Call = Reply<ThreadId>;
    type Cast = Do;
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(There))
    }

    async fn handle_call(&mut self, reply: Reply<ThreadId>, _: &mut Context<Self>) -> Step {
        reply.send(thread::current().id());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, what: Do, _: &mut Context<Self>) -> Step {
        match what {
            Do::Crash => panic!("told to"),
            Do::Block(begun, until) => {
                let _ = begun.send(());
                let _ = until.recv();
            }
        }
        Ok(Next::go())
    }
}

/// Rows D8, G4: a restart, of one or of a group, lands on the thread that the child had, and what was queued is handled there.
#[tokio::test]
async fn a_restarted_child_has_the_thread_that_it_had() -> Result<(), CallError> {
    quiet();
    let pool = ThreadPool::new(1);
    let kinds: [&dyn Fn() -> ServerSettings<There>; 2] =
        [&|| Server::settings().own_thread(), &|| Server::settings().thread_pool(&pool)];
    for strategy in [Strategy::OneForOne, Strategy::OneForAll] {
        for settings in kinds {
            let server = settings().build().expect("sound settings");
            let there = server.address();
            let tree = relentless(Supervisor::new(strategy))
                .child(server.child(()))
                .start()
                .await
                .expect("it starts");
            let first = there.call(|reply| reply).await?;
            assert_ne!(first, thread::current().id());
            for n in 2..5 {
                assert!(there.cast(Do::Crash).is_ok());
                // Queued behind the crash: the next incarnation answers.
                assert_eq!(there.call(|reply| reply).timeout(AGES).await?, first);
                assert_eq!(there.incarnation(), n);
            }
            assert!(tree.shutdown(AGES).await.is_clean());
        }
    }
    Ok(())
}

/// Clause 22.5: a child whose handler never returns is left behind with its thread, and named; its supervisor ends.
#[tokio::test]
async fn a_child_that_blocks_for_good_is_left_behind() {
    quiet();
    let server = Server::<There>::settings().own_thread().build().expect("sound settings");
    let there = server.address();
    let spec = server
        .child(())
        .id("stuck")
        .restart(Restart::Temporary)
        .shutdown(restante_supervisor::Shutdown::BrutalKill);
    let tree = Supervisor::one_for_one().abandon_after(std::time::Duration::from_millis(5)).child(spec);
    let tree = tree.start().await.expect("it starts");
    let (go, goes) = channel();
    let (begun, has_begun) = oneshot::channel();
    assert!(there.cast(Do::Block(begun, goes)).is_ok());
    has_begun.await.expect("it begins");
    let report = tree.shutdown(AGES).await;
    assert_eq!(report.abandoned.len(), 1, "{report:?}");
    assert!(!tree.is_alive() && there.is_alive());
    drop(go);
    assert_eq!(there.join().await.reason, ExitReason::Killed);
}
