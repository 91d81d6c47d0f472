//! OTP's "register in `init`": what each incarnation of a server asks for again is its own still.

use crate::support::{Idle, mailbox, sizes};
use futures::poll;
use restante_core::{Address, ExitReason, Mailbox};
use restante_genserver::{Context, GenServer, Init, Next, Reply, Server, Step};
use restante_registry::keys::Keys;
use restante_registry::{Groups, Member, RegisterError, Registry, Topics};
use restante_supervisor::{Backoff, Intensity, Supervise, Supervisor};
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

/// Where a server puts itself.
#[derive(Debug, Clone)]
struct Places {
    registry: Registry,
    unique: Keys<&'static str, u32>,
    duplicate: Keys<&'static str, u32>,
    groups: Groups<u32>,
    topics: Topics<u32>,
}

/// Registers everywhere in its `init`.
#[derive(Debug)]
struct Known;

impl GenServer for Known {
    type Args = Places;
    type Call = Reply<u32>;
    type Cast = u32;
    type Info = ();

    async fn init(places: &Places, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        let failed = |error: &dyn std::fmt::Display| ExitReason::error(error.to_string());
        let (me, incarnation) = (ctx.server().clone(), ctx.incarnation());
        places.registry.register(&me, "x").await.map_err(|error| failed(&error))?;
        places.registry.register_id(me.id(), "y").await.map_err(|error| failed(&error))?;
        places.registry.add_key(me.id(), "kind", "z").await.map_err(|error| failed(&error))?;
        places.unique.register(&me, "u", incarnation).map_err(|error| failed(&error))?;
        places.duplicate.register_once(&me, "d", incarnation).map_err(|error| failed(&error))?;
        let member = Member::casts(&me);
        places.groups.join_once("g", &member).map_err(|error| failed(&error))?;
        places.topics.subscribe_once("t", &member).map_err(|error| failed(&error))?;
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, reply: Reply<u32>, ctx: &mut Context<Self>) -> Step {
        reply.send(ctx.incarnation());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, _: u32, _: &mut Context<Self>) -> Step {
        panic!("as told")
    }
}

/// A server that registers in `init` comes back from a crash, and nothing is registered twice.
/// Clauses 26.2, 29.1 and 30.2.
#[tokio::test(start_paused = true)]
async fn a_server_that_registers_in_init_comes_back() {
    let _quiet = restante_testkit::quiet_panics("as told");
    let places = Places {
        registry: Registry::start(),
        unique: Keys::unique(),
        duplicate: Keys::duplicate(),
        groups: Groups::new(),
        topics: Topics::new(),
    };
    let server = Server::<Known>::new("known");
    let at = server.address();
    let tree = Supervisor::one_for_one()
        .with_intensity(Intensity::UNLIMITED)
        .backoff(Backoff::NONE)
        .child(server.child(places.clone()))
        .start()
        .await
        .unwrap();
    let changes = places.registry.history(usize::MAX).len();
    for incarnation in 2..6 {
        at.cast(0).unwrap();
        assert_eq!(at.call(|reply| reply).await, Ok(incarnation));
        assert_eq!(places.registry.names_of(at.id()), ["x", "y"]);
        assert_eq!(places.registry.entry_by_key("kind", "z").map(|entry| entry.id()), Some(at.id()));
        assert_eq!(places.unique.values_of(&"u", &at), [incarnation]);
        assert_eq!(places.duplicate.values_of(&"d", &at), [incarnation]);
        assert_eq!((places.groups.count("g"), places.topics.count("t")), (1, 1));
    }
    assert_eq!(places.registry.history(usize::MAX).len(), changes, "nothing has changed");
    assert!(tree.shutdown(Duration::from_secs(9)).await.is_clean());
    assert_eq!(places.registry.sizes(), sizes(0, 0));
}

/// A registration that is dropped takes nothing off that was there before it, nor what another call was granted since; and the
/// last of those that were all dropped leaves nothing.
/// Clause 26.2.
#[tokio::test]
async fn a_registration_that_is_dropped_leaves_what_others_were_granted() {
    let registry = Registry::start();
    let at = mailbox();
    registry.insert(&at).await.unwrap();
    let register = || registry.register(&at, "x");
    let mut both = [Box::pin(register()), Box::pin(register())];
    answered(&registry, &mut both).await;
    let [first, second] = both;
    assert!(registry.contains("x"));
    drop(first);
    assert!(registry.contains("x"), "the other one was granted it as well");
    drop(second);
    assert!(!registry.contains("x"), "nobody was told that it is on");
    register().await.unwrap();
    let mut again = [Box::pin(register())];
    answered(&registry, &mut again).await;
    drop(again);
    assert!(registry.contains("x"), "it was there before");
    // What is taken off and put on again is another's.
    let mut again = [Box::pin(register())];
    answered(&registry, &mut again).await;
    assert!(registry.unregister("x"));
    register().await.unwrap();
    drop(again);
    assert!(registry.contains("x"));
}

/// The actor has answered all of these, and none has taken its answer.
async fn answered<F: Future>(registry: &Registry, asked: &mut [Pin<Box<F>>]) {
    // A suspended actor does not run on this stack.
    registry.sys().suspend();
    for future in asked {
        assert!(poll!(future).is_pending());
    }
    registry.sys().resume();
    registry.insert_many([] as [&Address<u8>; 0]).await.unwrap();
}

/// What another has is refused as ever, and a creation's name as well.
/// Clause 26.2.
#[tokio::test]
async fn what_is_anothers_is_refused() {
    let registry = Registry::start();
    let (one, other) = (mailbox(), mailbox());
    registry.register(&one, "x").await.unwrap();
    registry.add_key(one.id(), "kind", "k").await.unwrap();
    registry.insert(&other).await.unwrap();
    let refused = registry.register_id(other.id(), "x").await;
    assert!(matches!(refused, Err(RegisterError::NameAlreadyExists { .. })), "{refused:?}");
    let refused = registry.add_key(other.id(), "kind", "k").await;
    assert!(matches!(refused, Err(RegisterError::KeyAlreadyExists { .. })), "{refused:?}");
    let never = std::future::pending::<Result<Address<u8>, std::convert::Infallible>>();
    let mut creation = pin!(registry.create("held", never));
    assert!(poll!(creation.as_mut()).is_pending());
    registry.insert(&one).await.unwrap();
    let refused = registry.register(&one, "held").await;
    assert!(matches!(refused, Err(RegisterError::NameAlreadyExists { .. })), "{refused:?}");
}

/// Who has joined by count goes on counting: `join_once` adds nothing to it, and monitors hear nothing of it.
/// Clause 29.1.
#[test]
fn who_is_in_joins_once_without_a_word() {
    let groups = Groups::<u8>::new();
    let inside = Mailbox::new();
    let member = Member::address(&inside.address());
    let (_, mut monitor) = groups.monitor("g");
    for _ in 0..3 {
        groups.join_once("g", &member).unwrap();
    }
    assert_eq!(groups.count("g"), 1);
    assert!(monitor.try_next().is_some() && monitor.try_next().is_none(), "one event");
    groups.join("g", &member).unwrap();
    groups.join_once("g", &member).unwrap();
    assert_eq!(groups.count("g"), 2);
    assert_eq!((groups.leave("g", &member), groups.leave("g", &member)), (Ok(()), Ok(())));
    assert!(groups.leave("g", &member).is_err());
    inside.close();
    assert!(groups.join_once("g", &member).is_err(), "who has closed cannot join");
}

/// A unique key that was registered again is one registration, which any of its references ends.
/// Clause 30.2.
#[tokio::test]
async fn a_key_that_was_registered_again_is_one_registration() {
    let server = restante_genserver::start::<Idle>(()).await.unwrap();
    let keys = Keys::<&str, u8>::duplicate();
    keys.register(&server, "k", 1).unwrap();
    keys.register(&server, "k", 2).unwrap();
    let first = keys.register_once(&server, "k", 3).unwrap();
    assert_eq!(keys.values_of(&"k", &server), [3, 2], "the first has the new value");
    let guard = first.into_guard();
    drop(guard);
    assert_eq!(keys.values_of(&"k", &server), [2]);
}
