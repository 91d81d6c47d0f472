//! What of the table cannot be seen from outside.

use crate::child_options::ChildOptions;

use crate::child_spec::Supervise;
use crate::error::SpecError;
use crate::rules::AddError;
use crate::supervisor::Supervisor;
use crate::{Backoff, DynamicSupervisor, Reconfigure, Restart};
use restante_core::ExitReason;
use restante_genserver::{Context, GenServer, Init, Next, Server, Step};
use std::future::Future as _;
use std::task::{Context as Cx, Waker};
use std::time::Duration;

struct Idle;

impl GenServer for Idle {
    type Args = ();
    type Call = ();
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, (): (), _: &mut Context<Self>) -> Step {
        Ok(Next::go())
    }
}

/// A join that was given up leaves nothing that is kept until the end.
/// Row H6.
#[tokio::test]
async fn those_who_wait_no_more_for_an_end_make_room() {
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let waits = tree.branch.join().unwrap();
    for _ in 0..1000 {
        drop(tree.branch.join());
        let join = std::pin::pin!(tree.join());
        assert!(join.poll(&mut Cx::from_waker(Waker::noop())).is_pending());
        drop(tree.branch.join_incarnation(1));
    }
    assert!(tree.branch.lock().joiners.len() < 100, "{}", tree.branch.lock().joiners.len());
    assert!(tree.shutdown(Duration::from_secs(5)).await.is_clean());
    assert!(waits.await.is_ok(), "who goes on waiting is told");
}

/// A child is looked at by the settings that the supervisor has when it comes into the table.
/// Clause 21.24.
#[tokio::test]
async fn a_child_that_the_settings_refuse_by_now_does_not_come_in() {
    let slow = |options: &mut ChildOptions| {
        let pause = Duration::from_secs(5);
        options.restart = Restart::Permanent;
        options.backoff = Some(Backoff::new(pause, pause));
    };
    let tree = Supervisor::one_for_one().start().await.unwrap();
    let dynamic = DynamicSupervisor::new().start().await.unwrap();
    for tree in [&tree, dynamic.as_supervisor()] {
        let spec = || {
            let mut spec = Server::<Idle>::new("slow").child(());
            slow(&mut spec.options);
            spec
        };
        let before = spec();
        assert_eq!(crate::supervisor::check(&before, &tree.branch.lock().rules.settings), Ok(()));
        tree.reconfigure(Reconfigure::new().intensity(3, Duration::from_secs(4))).unwrap();
        let added = tree.branch.add(before, true);
        assert!(matches!(added, Err(AddError::Spec(SpecError::CannotTrip { .. }))), "{added:?}");
        assert_eq!(tree.count_children().specs, 0);
        assert!(tree.shutdown(Duration::from_secs(5)).await.is_clean());
    }
}
