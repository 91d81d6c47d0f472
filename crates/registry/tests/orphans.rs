//! What a creation has started under a supervisor, where no caller takes it.

use crate::support::{AGES, nothing_left};
use futures::poll;
use restante_core::ExitReason;
use restante_genserver::{Context, GenServer, Init, Next, Reply, Server, ServerRef, Step};
use restante_registry::{CreateError, InScope, Registry};
use restante_supervisor::{
    DynamicRef, DynamicSupervisor, PartitionSupervisor, Reconfigure, Restart, Supervise, Supervisor,
    SupervisorRef,
};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Takes a second to begin, and to end.
#[derive(Debug)]
struct Slow;

impl GenServer for Slow {
    type Args = ();
    type Call = Reply<()>;
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        tokio::time::sleep(SECOND).await;
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, (): (), _: &mut Context<Self>) -> Step {
        panic!("as told")
    }

    async fn terminate(&mut self, _: &ExitReason, _: &mut Context<Self>) -> Result<(), ExitReason> {
        tokio::time::sleep(SECOND).await;
        Ok(())
    }
}

/// Supervisors of either kind.
#[derive(Clone)]
enum Above {
    Dynamic(DynamicRef),
    Static(SupervisorRef),
}

impl Above {
    async fn both() -> [Self; 2] {
        let dynamic = DynamicSupervisor::new().start().await.unwrap();
        [Self::Dynamic(dynamic), Self::Static(Supervisor::one_for_one().start().await.unwrap())]
    }

    /// Starts a server whose mailbox is there already.
    async fn start(&self, server: Server<Slow>) -> Result<ServerRef<Slow>, String> {
        let at = server.address();
        match self {
            Self::Dynamic(above) => above.start(server, ()).await.map_err(|error| error.to_string()),
            Self::Static(above) => {
                let child = server.child(()).restart(Restart::Permanent);
                above.start_child(child).await.map(|_| at).map_err(|error| error.to_string())
            }
        }
    }

    async fn start_owned(self, server: Server<Slow>) -> Result<ServerRef<Slow>, String> {
        self.start(server).await
    }

    fn children(&self) -> usize {
        self.as_supervisor().count_children().specs
    }

    fn as_supervisor(&self) -> &SupervisorRef {
        match self {
            Self::Dynamic(above) => above.as_supervisor(),
            Self::Static(above) => above,
        }
    }
}

type Making = Pin<Box<dyn Future<Output = Result<ServerRef<Slow>, String>> + Send>>;
/// What a creation does, which takes 1 s to start a child, and another one where it does more.
type Make = fn(Above, Server<Slow>) -> Making;

fn plain(above: Above, server: Server<Slow>) -> Making {
    Box::pin(async move { above.start(server).await })
}

fn waits_on(above: Above, server: Server<Slow>) -> Making {
    Box::pin(async move {
        let child = above.start(server).await?;
        tokio::time::sleep(SECOND).await;
        Ok(child)
    })
}

fn fails(above: Above, server: Server<Slow>) -> Making {
    Box::pin(async move {
        above.start(server).await?;
        Err("as told".to_owned())
    })
}

fn panics(above: Above, server: Server<Slow>) -> Making {
    Box::pin(async move {
        above.start(server).await?;
        panic!("as told")
    })
}

/// The child is started by a task of its own.
fn spawns(above: Above, server: Server<Slow>) -> Making {
    Box::pin(async move { tokio::spawn(async move { above.start(server).await }).await.unwrap() })
}

/// That task is part of the creation, and outlives its future.
fn spawns_along(above: Above, server: Server<Slow>) -> Making {
    Box::pin(async move { tokio::spawn(async move { above.start(server).await }.in_scope()).await.unwrap() })
}

/// The child that it starts is not what it makes.
fn spawns_along_and_fails(above: Above, server: Server<Slow>) -> Making {
    Box::pin(async move {
        tokio::spawn(async move { above.start(server).await }.in_scope()).await.unwrap()?;
        Err("as told".to_owned())
    })
}

/// The task begins with its start when the caller has gone.
fn spawns_along_and_is_late(above: Above, server: Server<Slow>) -> Making {
    let late = async move {
        tokio::time::sleep(SECOND).await;
        above.start(server).await
    };
    Box::pin(async move { tokio::spawn(late.in_scope()).await.unwrap() })
}

/// Adds the child without a start, and starts it by hand. A dynamic supervisor just starts the child, because none of its
/// children stops without going.
fn adds_and_starts(above: Above, server: Server<Slow>) -> Making {
    Box::pin(async move {
        let Above::Static(above) = above else { return above.start(server).await };
        let at = server.address();
        above
            .reconfigure(Reconfigure::new().add_child(server.child(())))
            .map_err(|error| error.to_string())?;
        above.restart_child("child").await.map_err(|error| error.to_string())?;
        Ok(at)
    })
}

fn adds_and_starts_and_fails(above: Above, server: Server<Slow>) -> Making {
    Box::pin(async move {
        adds_and_starts(above, server).await?;
        Err("as told".to_owned())
    })
}

/// Adds the child, and never starts it.
fn adds_and_fails(above: Above, server: Server<Slow>) -> Making {
    Box::pin(async move {
        let Above::Static(above) = above else { return fails(above, server).await };
        above
            .reconfigure(Reconfigure::new().add_child(server.child(())))
            .map_err(|error| error.to_string())?;
        Err("as told".to_owned())
    })
}

fn crashes(above: Above, server: Server<Slow>) -> Making {
    Box::pin(async move {
        let child = above.start(server).await?;
        child.cast(()).map_err(|error| error.to_string())?;
        Ok(child)
    })
}

/// What ends the creation.
enum Out {
    /// The caller, who has not polled since it began to wait, goes after so many milliseconds.
    Goes(u64),
    /// The registry is shut down then.
    Ends(u64),
    /// The creation itself, or its limit, which is that.
    Itself(u64),
}

async fn check(way: &str, make: Make, out: Out) {
    for above in Above::both().await {
        let registry = Registry::start();
        let server = Server::<Slow>::new("child");
        let at = server.address();
        let creation = registry.creation().name("x").keep_open();
        let ms = Duration::from_millis;
        match out {
            Out::Goes(after) => {
                let mut create = Box::pin(creation.run(make(above.clone(), server)));
                assert!(poll!(&mut create).is_pending());
                tokio::time::sleep(ms(after)).await;
                drop(create);
            }
            Out::Ends(after) => {
                let mut create = Box::pin(creation.run(make(above.clone(), server)));
                assert!(poll!(&mut create).is_pending());
                tokio::time::sleep(ms(after)).await;
                registry.shutdown(AGES).await;
                drop(create);
            }
            Out::Itself(limit) => {
                let ended = creation.timeout(ms(limit)).run(make(above.clone(), server)).await;
                assert!(ended.is_err(), "{way}: {ended:?}");
            }
        }
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(above.children(), 0, "{way}");
        assert!(at.is_closed() && !at.is_alive(), "{way}");
        nothing_left(&registry).await;
        assert!(above.as_supervisor().is_alive(), "{way}");
        assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
    }
}

/// Whatever becomes of a creation whose child no caller takes, the child ends under its supervisor, which neither restarts
/// the child nor lists it any more.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn no_way_out_of_a_creation_leaves_a_child_that_nobody_took() {
    let _quiet = restante_testkit::quiet_panics("as told");
    check("the caller goes in init", plain, Out::Goes(500)).await;
    check("the caller goes when all is done", plain, Out::Goes(1500)).await;
    check("the caller goes when the child is up and the rest is not", waits_on, Out::Goes(1500)).await;
    check("the caller goes, the child was started by another task", spawns, Out::Goes(1500)).await;
    check("the caller goes, a task taken along is in init", spawns_along, Out::Goes(500)).await;
    check("the caller goes, a task taken along is done", spawns_along, Out::Goes(1500)).await;
    check("the caller goes before a task taken along starts it", spawns_along_and_is_late, Out::Goes(500))
        .await;
    check("the registry ends, a task taken along is in init", spawns_along, Out::Ends(500)).await;
    check("the limit is over, a task taken along is in init", spawns_along, Out::Itself(500)).await;
    check("it fails when a task taken along is done", spawns_along_and_fails, Out::Itself(9000)).await;
    check("the caller goes while the child is being restarted", crashes, Out::Goes(1500)).await;
    check("the registry ends in init", plain, Out::Ends(500)).await;
    check("the registry ends when all is done", plain, Out::Ends(1500)).await;
    check("the registry ends when the child is up", waits_on, Out::Ends(1500)).await;
    check("the limit is over in init", plain, Out::Itself(500)).await;
    check("the limit is over when the child is up", waits_on, Out::Itself(1500)).await;
    check("it fails when the child is up", fails, Out::Itself(9000)).await;
    check("it panics when the child is up", panics, Out::Itself(9000)).await;
    check("the caller goes, the child was added before it was started", adds_and_starts, Out::Goes(500))
        .await;
    check("the caller goes, the child that was added is up", adds_and_starts, Out::Goes(1500)).await;
    check("it fails when a child that was added is up", adds_and_starts_and_fails, Out::Itself(9000)).await;
    check("it fails when a child has been added", adds_and_fails, Out::Itself(9000)).await;
}

/// A tree of its own that a creation starts, with one server that it gives its caller.
struct Tree {
    supervisor: SupervisorRef,
    server: ServerRef<Slow>,
    make: Making,
}

/// One of each kind; those whose creation `fails` start all the same.
fn trees(fails: bool) -> [(&'static str, Tree); 3] {
    fn tree(
        fails: bool,
        supervisor: &SupervisorRef,
        server: ServerRef<Slow>,
        make: impl Future<Output = Result<(), String>> + Send + 'static,
    ) -> Tree {
        let (supervisor, its) = (supervisor.clone(), server.clone());
        let make = Box::pin(async move {
            make.await?;
            if fails { Err("as told".to_owned()) } else { Ok(its) }
        });
        Tree { supervisor, server, make }
    }
    async fn start(supervisor: SupervisorRef) -> Result<(), String> {
        supervisor.start().await.map_err(|error| error.to_string())
    }

    let server = Server::<Slow>::new("child");
    let at = server.address();
    let plain = Supervisor::one_for_one().child(server.child(())).build().unwrap();
    let plain = tree(fails, &plain, at, start(plain.clone()));

    let server = Server::<Slow>::new("child");
    let at = server.address();
    let dynamic = DynamicSupervisor::new().build();
    let its = dynamic.clone();
    let dynamic = tree(fails, dynamic.as_supervisor(), at, async move {
        start(its.as_supervisor().clone()).await?;
        its.start(server, ()).await.map(drop).map_err(|error| error.to_string())
    });

    let partitions = PartitionSupervisor::<Slow>::new(|_| ()).partitions(1).build().unwrap();
    let (at, supervisor) = (partitions.of(0).unwrap(), partitions.as_supervisor());
    let partitions = tree(fails, supervisor, at, start(supervisor.clone()));
    [("a supervisor", plain), ("a dynamic supervisor", dynamic), ("partitions", partitions)]
}

async fn check_trees(way: &str, fails: bool, out: &Out) {
    for (kind, Tree { supervisor, server, make }) in trees(fails) {
        let registry = Registry::start();
        let ms = Duration::from_millis;
        let creation = registry.creation().name("x");
        match out {
            Out::Itself(limit) => {
                let ended = creation.timeout(ms(*limit)).run(make).await;
                assert!(ended.is_err(), "{way}: {ended:?}");
            }
            Out::Goes(after) | Out::Ends(after) => {
                let mut create = Box::pin(creation.run(make));
                assert!(poll!(&mut create).is_pending());
                tokio::time::sleep(ms(*after)).await;
                if let Out::Ends(_) = out {
                    registry.shutdown(AGES).await;
                    // One that is done is its caller's to take, until that caller goes.
                    let is_done = *after > 1000;
                    assert_eq!(supervisor.is_alive(), is_done, "{kind}, {way}: a shutdown waits for its end");
                }
                drop(create);
            }
        }
        tokio::time::sleep(10 * SECOND).await;
        assert!(!supervisor.is_alive(), "{kind}, {way}");
        assert!(server.is_closed() && !server.is_alive(), "{kind}, {way}");
        nothing_left(&registry).await;
    }
}

/// A tree that a creation starts is the creation's own, as a child is: whatever becomes of a creation that no caller takes,
/// the tree ends with all that is in it.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn no_way_out_of_a_creation_leaves_a_tree_that_nobody_took() {
    check_trees("the caller goes in init", false, &Out::Goes(500)).await;
    check_trees("the caller goes when all is done", false, &Out::Goes(1500)).await;
    check_trees("the registry ends in init", false, &Out::Ends(500)).await;
    check_trees("the registry ends when all is done", false, &Out::Ends(1500)).await;
    check_trees("the limit is over in init", false, &Out::Itself(500)).await;
    check_trees("it fails when the tree is up", true, &Out::Itself(9000)).await;
}

/// A tree that was taken lives on; so does one that was up before the creation, and one whose incarnation is another's by the
/// time the creation is undone.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn a_tree_that_is_anothers_outlives_a_creation_that_nobody_takes() {
    for (kind, Tree { supervisor, server, make }) in trees(false) {
        let registry = Registry::start();
        let taken = registry.create("x", make).await.unwrap();
        let its = supervisor.clone();
        let failed = registry
            .create("y", async move {
                let refused = its.start().await.unwrap_err();
                Err::<ServerRef<Slow>, _>(refused)
            })
            .await;
        assert!(matches!(failed, Err(CreateError::Failed(_))), "{failed:?}");
        drop(taken);
        tokio::time::sleep(10 * SECOND).await;
        assert!(supervisor.is_alive() && server.is_alive(), "{kind}");
        assert!(supervisor.shutdown(AGES).await.is_clean());
    }
}

/// Partitions belong to all their users: partitions that a creation has added stay, whatever becomes of the creation.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn partitions_that_a_creation_has_added_stay() {
    let partitions = PartitionSupervisor::<Slow>::new(|_| ()).partitions(1).start().await.unwrap();
    let registry = Registry::start();
    let its = partitions.clone();
    let failed = registry
        .create("x", async move {
            its.resize(2).await.map_err(|error| error.to_string())?;
            Err::<ServerRef<Slow>, _>("as told".to_owned())
        })
        .await;
    assert!(matches!(failed, Err(CreateError::Failed(_))), "{failed:?}");
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!((partitions.len(), partitions.as_supervisor().count_children().active), (2, 2));
    for partition in partitions.partitions() {
        partition.call(|reply| reply).await.unwrap();
    }
    assert!(partitions.as_supervisor().shutdown(AGES).await.is_clean());
}

/// A child that was there before the creation is another's, and so is one whose entry another was granted meanwhile.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn a_child_that_is_anothers_outlives_a_creation_that_nobody_takes() {
    for above in Above::both().await {
        let registry = Registry::start();
        let before = above.start(Server::new("before")).await.unwrap();
        let its = before.clone();
        let mut create = Box::pin(registry.create("x", async move { Ok::<_, String>(its) }));
        assert!(poll!(&mut create).is_pending());
        tokio::time::sleep(SECOND).await;
        assert!(registry.contains("x"), "it has been created, and not been taken");
        drop(create);
        assert!(!registry.contains("x"));

        let server = Server::new("granted");
        let granted = server.address();
        let mut create = Box::pin(registry.create("y", above.clone().start_owned(server)));
        assert!(poll!(&mut create).is_pending());
        tokio::time::sleep(2 * SECOND).await;
        registry.register(&granted, "another's").await.unwrap();
        drop(create);
        tokio::time::sleep(10 * SECOND).await;
        assert!(before.is_alive() && granted.is_alive());
        assert_eq!((above.children(), registry.contains("y")), (2, false));
        assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
    }
}

/// What was taken lives on.
#[tokio::test(start_paused = true)]
async fn a_child_that_was_taken_lives_on() {
    for above in Above::both().await {
        let registry = Registry::start();
        let child = registry.create("x", above.clone().start_owned(Server::new("taken"))).await.unwrap();
        drop(child);
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!((above.children(), registry.sizes().names), (1, 1));
        assert!(registry.shutdown(AGES).await.is_clean());
        assert_eq!(above.children(), 1, "its supervisor has it");
        assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
    }
}

/// A task that a creation has spawned goes on when its caller goes, as tasks do; and what it starts is its own, unless the
/// creation took it along, and even then once the caller has taken what was created.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn a_task_that_outlives_its_creation_keeps_what_it_starts() {
    for above in Above::both().await {
        let registry = Registry::start();
        let mut create = Box::pin(registry.create("x", spawns(above.clone(), Server::new("detached"))));
        assert!(poll!(&mut create).is_pending());
        tokio::time::sleep(SECOND / 2).await;
        drop(create);
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(
            (above.children(), registry.sizes().names),
            (1, 0),
            "its future has spawned it and let go of it"
        );

        let (its, second) = (above.clone(), Server::new("second"));
        let first = registry
            .create("y", async move {
                let first = its.start(Server::new("first")).await?;
                let later = async move {
                    tokio::time::sleep(SECOND).await;
                    its.start(second).await
                };
                drop(tokio::spawn(later.in_scope()));
                Ok::<_, String>(first)
            })
            .await;
        tokio::time::sleep(10 * SECOND).await;
        assert!(first.unwrap().is_alive());
        assert_eq!(above.children(), 3);
        assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
    }
}

/// Starts children for others.
#[derive(Debug)]
struct Manager(DynamicRef);

impl GenServer for Manager {
    type Args = DynamicRef;
    type Call = Reply<ServerRef<Slow>>;
    type Cast = ();
    type Info = ();

    async fn init(above: &DynamicRef, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self(above.clone())))
    }

    async fn handle_call(&mut self, reply: Reply<ServerRef<Slow>>, _: &mut Context<Self>) -> Step {
        reply.send(self.0.start_new::<Slow>(()).await.map_err(|error| ExitReason::error(error.to_string()))?);
        Ok(Next::go())
    }
}

/// A child that a server starts is that server's, whatever stack the server's handler runs on; except for the child that
/// the creation was about to give its caller.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn a_server_that_was_asked_for_children_keeps_those_that_were_not_created() {
    let above = DynamicSupervisor::new().start().await.unwrap();
    let manager = restante_genserver::start::<Manager>(above.clone()).await.unwrap();
    let registry = Registry::start();
    let (asks, child) = (manager.clone(), async |manager: ServerRef<Manager>| {
        manager.call(|reply| reply).await.map_err(|error| error.to_string())
    });
    let failed = registry
        .create("x", async move {
            let _its_own = child(asks).await?;
            Err::<ServerRef<Slow>, _>("as told".to_owned())
        })
        .await;
    assert!(matches!(failed, Err(CreateError::Failed(_))), "{failed:?}");
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(above.count_children().active, 1);
    let mut create = Box::pin(registry.create("x", async move { child(manager).await }));
    assert!(poll!(&mut create).is_pending());
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(above.count_children().active, 2);
    drop(create);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(above.count_children().specs, 1, "the one that was created has ended");
    assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
}

/// A shutdown of the registry waits for the ends of children that no caller took.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_until_children_that_nobody_took_have_ended() {
    for above in Above::both().await {
        let registry = Registry::start();
        let mut create = Box::pin(registry.create("x", above.clone().start_owned(Server::new("child"))));
        assert!(poll!(&mut create).is_pending());
        tokio::time::sleep(2 * SECOND).await;
        drop(create);
        assert_eq!(above.children(), 1, "it takes a second to end");
        assert!(registry.shutdown(AGES).await.is_clean());
        assert_eq!(above.children(), 0);
        assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
    }
}

/// A caller on a plain thread, whose future fails when the child is up, leaves none either.
/// Clause 27.7.
#[test]
fn a_creation_from_a_plain_thread_leaves_no_child() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let registry = runtime.block_on(async { Registry::start() });
    let above = runtime.block_on(DynamicSupervisor::new().start()).unwrap();
    let its = above.clone();
    let failed = registry.creation().name("x").run_blocking(async move {
        its.start_new::<crate::support::Idle>(()).await.map_err(|error| error.to_string())?;
        Err::<ServerRef<Slow>, _>("as told".to_owned())
    });
    assert!(matches!(failed, Err(CreateError::Failed(_))), "{failed:?}");
    assert!(registry.shutdown_blocking(AGES).unwrap().is_clean());
    assert_eq!(above.count_children().specs, 0);
    runtime.block_on(above.as_supervisor().shutdown(AGES));
}
