//! What can be asked of a server by its name: a twin for each verb of its reference.

use crate::support::{AGES, Idle};
use restante_core::monitor::{Event, Watch};
use restante_core::{ExitReason, SendError};
use restante_genserver::{Context, GenServer, Init, Next, Reply, Server, ServerRef, Step, StopError, start};
use restante_registry::{LookupError, Name, Registry, SendToError, StopToError};
use std::sync::{Arc, Mutex};

/// Adds up what it is informed of.
#[derive(Debug)]
struct Sum(u64);

impl GenServer for Sum {
    type Args = ();
    type Call = Reply<u64>;
    type Cast = u64;
    type Info = u64;

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self(0)))
    }

    async fn handle_call(&mut self, reply: Reply<u64>, _: &mut Context<Self>) -> Step {
        reply.send(self.0);
        Ok(Next::go())
    }

    async fn handle_info(&mut self, n: u64, _: &mut Context<Self>) -> Step {
        self.0 += n;
        Ok(Next::go())
    }
}

const SUM: Name<Sum> = Name::new("sum");

/// Each verb of a reference has a twin that takes a name, in a registry and by a typed name.
/// Clause 26.13.
#[tokio::test]
async fn a_server_is_informed_asked_monitored_and_stopped_by_its_name() {
    let registry = Registry::start();
    let told = Arc::new(Mutex::new(Vec::new()));
    let note = |who: &'static str| {
        let told = Arc::clone(&told);
        move |event| {
            if let Event::Down(exit) = event {
                told.lock().unwrap().push((who, exit.reason));
            }
        }
    };
    let server = Server::<Sum>::new("sum");
    server.start(()).await.unwrap();
    registry.register(&server.address(), "sum").await.unwrap();
    registry.info::<Sum>("sum", 1).unwrap();
    SUM.of(&registry).info(2).unwrap();
    let requests = [
        registry.send_request::<Sum, u64>("sum", |reply| reply).unwrap(),
        SUM.of(&registry).send_request(|reply| reply).unwrap(),
        registry.enter_sync(|| SUM.send_request(|reply| reply)).unwrap(),
    ];
    for request in requests {
        assert_eq!(request.await, Ok(3));
    }
    registry.monitor::<Sum>("sum", Watch::Incarnation, note("by name")).unwrap();
    SUM.of(&registry).monitor(Watch::Incarnation, note("by typed name")).unwrap();
    registry.stop::<Sum>("sum", ExitReason::Normal, AGES).await.unwrap();
    assert_eq!(
        *told.lock().unwrap(),
        [("by name", ExitReason::Normal), ("by typed name", ExitReason::Normal)]
    );
    assert!(registry.contains("sum"), "the mailbox is there");
    let again = registry.stop::<Sum>("sum", ExitReason::Normal, AGES).await;
    assert!(matches!(again, Err(StopToError::Stop(StopError::NotRunning))), "{again:?}");
    server.start(()).await.unwrap();
    registry.enter(SUM.stop(ExitReason::Shutdown, AGES)).await.unwrap();
    server.server().close(ExitReason::Normal);
    let refused = SUM.of(&registry).info(7);
    assert!(matches!(refused, Err(SendToError::Lookup(LookupError::Closed { .. }, 7))), "{refused:?}");
}

/// A name that leads nowhere, or to another type, is an error at once: nothing was made, and nothing is monitored.
/// Clause 26.13.
#[tokio::test]
async fn where_nobody_has_the_name_nothing_happens() {
    let registry = Registry::start();
    let other: ServerRef<Idle> = start(()).await.unwrap();
    registry.register(&other, "sum").await.unwrap();
    let asked = registry.send_request::<Sum, u64>("sum", |_| panic!("it is another type"));
    assert!(matches!(asked, Err(LookupError::WrongType { .. })));
    let monitored = registry.monitor::<Sum>("nobody", Watch::Mailbox, |_| panic!("nobody is there"));
    assert!(matches!(monitored, Err(LookupError::NotFound(_))));
    let stopped = SUM.of(&registry).stop(ExitReason::Normal, AGES).await;
    assert!(matches!(stopped, Err(StopToError::Lookup(_))), "{stopped:?}");
    assert!(other.is_alive());
    let full = Server::<Sum>::settings().name("full").capacity(1).build().unwrap();
    registry.register(&full.address(), "full").await.unwrap();
    registry.info::<Sum>("full", 1).unwrap();
    let refused = registry.info::<Sum>("full", 2);
    assert!(matches!(refused, Err(SendToError::Send(SendError::Full(2)))), "{refused:?}");
}
