//! Whose an entry is when the creation that made it is not taken: the server's own, another creation's, another's.

use crate::support::{AGES, counts, nothing_left};
use futures::poll;
use restante_core::ExitReason;
use restante_genserver::{Context, GenServer, Init, Next, Reply, ServerRef, Step};
use restante_registry::{CreateError, InScope, NewEntry, Registry};
use restante_supervisor::{DynamicRef, DynamicSupervisor};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Where a server registers itself.
#[derive(Debug, Clone)]
struct Place {
    registry: Registry,
    /// In its `init`, and in its first handler: under these names, which may be the same.
    names: Option<[&'static str; 2]>,
}

#[derive(Debug)]
struct Child;

fn failed(error: &dyn std::fmt::Display) -> ExitReason {
    ExitReason::error(error.to_string())
}

impl GenServer for Child {
    type Args = Place;
    type Call = Reply<u32>;
    type Cast = ();
    type Info = ();

    async fn init(place: &Place, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        if let Some([first, second]) = place.names {
            let me = ctx.server().clone();
            place.registry.register(&me, first).await.map_err(|error| failed(&error))?;
            place.registry.add_key(me.id(), "kind", first).await.map_err(|error| failed(&error))?;
            place.registry.register_id(me.id(), second).await.map_err(|error| failed(&error))?;
        }
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, reply: Reply<u32>, ctx: &mut Context<Self>) -> Step {
        reply.send(ctx.incarnation());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, (): (), _: &mut Context<Self>) -> Step {
        panic!("as told")
    }
}

type Made = Result<ServerRef<Child>, String>;
type Making = Pin<Box<dyn Future<Output = Made> + Send>>;

async fn start(above: DynamicRef, place: Place) -> Made {
    above.start_new::<Child>(place).await.map_err(|error| error.to_string())
}

async fn create(registry: &Registry, name: &str, make: impl Future<Output = Made> + Send + 'static) -> Made {
    registry.create(name, make).await.map_err(|error| error.to_string())
}

/// A registry and a supervisor, and what a server there is given that registers itself, or does not.
async fn ground() -> (Registry, DynamicRef, Place, Place) {
    let registry = Registry::start();
    let above = DynamicSupervisor::new().intensity(3, SECOND).start().await.unwrap();
    let place = |names| Place { registry: registry.clone(), names };
    let (silent, known) = (place(None), place(Some(["own", "own too"])));
    (registry, above, silent, known)
}

/// A creation under the name `x` whose caller goes when all is done.
async fn is_cut_off(registry: &Registry, make: impl Future<Output = Made> + Send + 'static) {
    let mut create = Box::pin(registry.create("x", make));
    assert!(poll!(&mut create).is_pending());
    tokio::time::sleep(SECOND).await;
    assert!(registry.contains("x"), "it has been created, and not been taken");
    drop(create);
    tokio::time::sleep(10 * SECOND).await;
    assert!(!registry.contains("x"));
}

/// A server that has registered itself is no other caller's by that: if the caller goes after the entry was made, the server
/// ends, and the next server may register itself too.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn a_server_that_registers_in_its_init_does_not_outlive_its_creation() {
    let (registry, above, _, known) = ground().await;
    for _ in 0..2 {
        is_cut_off(&registry, start(above.clone(), known.clone())).await;
        assert_eq!((above.count_children().specs, registry.sizes()), (0, counts(0, 0)));
    }
    let taken = create(&registry, "x", start(above.clone(), known)).await.unwrap();
    assert_eq!(registry.id_of("own"), Some(taken.id()));
    assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
    nothing_left(&registry).await;
}

/// What a server registers after the entry was made is the server's own as well: here the server has crashed, and its `init`
/// runs again.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn a_server_that_registers_again_before_it_is_taken_does_not_outlive_its_creation() {
    let _quiet = restante_testkit::quiet_panics("as told");
    let (registry, above, _, known) = ground().await;
    let mut create = Box::pin(registry.create("x", start(above.clone(), known)));
    assert!(poll!(&mut create).is_pending());
    tokio::time::sleep(SECOND).await;
    let found = registry.whereis::<ServerRef<Child>>("x").unwrap();
    found.cast(()).unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(found.call(|reply| reply).await, Ok(2));
    drop(create);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!((above.count_children().specs, registry.sizes()), (0, counts(0, 0)));
    assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
}

/// What a creation's own code, or a task that the creation took along, has registered keeps the created server no more than
/// the name that the server was created under.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn what_a_creation_registers_itself_does_not_keep_what_it_made() {
    let (registry, above, silent, _) = ground().await;
    let (its, books) = (above.clone(), registry.clone());
    is_cut_off(&registry, async move {
        let child = start(its, silent).await?;
        let told = |error: &dyn std::fmt::Display| error.to_string();
        books.insert(&child).await.map_err(|error| told(&error))?;
        books.add_key(child.id(), "kind", "k").await.map_err(|error| told(&error))?;
        let along = {
            let (books, child) = (books.clone(), child.clone());
            tokio::spawn(async move { books.register(&child, "along").await }.in_scope())
        };
        along.await.unwrap().map_err(|error| told(&error))?;
        Ok(child)
    })
    .await;
    assert_eq!((above.count_children().specs, registry.sizes()), (0, counts(0, 0)));
    assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
}

/// Two creations that are given the same server: the end of the one leaves it to the other.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn a_server_that_another_creation_was_given_as_well_stays() {
    let (registry, above, silent, _) = ground().await;
    let (tell, told) = tokio::sync::oneshot::channel::<ServerRef<Child>>();
    let same = async move { told.await.map_err(|error| error.to_string()) };
    let mut second = Box::pin(registry.create("x", same));
    assert!(poll!(&mut second).is_pending());
    tokio::time::sleep(SECOND).await;
    let its = above.clone();
    let first = create(&registry, "y", async move {
        let child = start(its, silent).await?;
        tell.send(child.clone()).unwrap();
        Ok(child)
    });
    let first = first.await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(registry.id_of("x"), Some(first.id()));
    drop(second);
    tokio::time::sleep(10 * SECOND).await;
    assert!(first.is_alive());
    assert_eq!((above.count_children().specs, registry.sizes()), (1, counts(1, 1)));
    assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
}

/// Of a creation within another: what the outer one goes on with, having taken the inner one's server.
type Outer = fn(Registry, DynamicRef, Place, ServerRef<Child>) -> Making;

fn fails(_: Registry, _: DynamicRef, _: Place, _: ServerRef<Child>) -> Making {
    Box::pin(async { Err("as told".to_owned()) })
}

fn gives_it(_: Registry, _: DynamicRef, _: Place, inner: ServerRef<Child>) -> Making {
    Box::pin(async { Ok(inner) })
}

fn gives_one_more(_: Registry, above: DynamicRef, place: Place, _: ServerRef<Child>) -> Making {
    Box::pin(start(above, place))
}

/// Makes a key for the inner creation's server first.
fn gives_it_a_key(registry: Registry, above: DynamicRef, place: Place, inner: ServerRef<Child>) -> Making {
    Box::pin(async move {
        registry.add_key(inner.id(), "kind", "k").await.map_err(|error| error.to_string())?;
        start(above, place).await
    })
}

/// Is told that another caller has registered the inner creation's server.
fn lets_another_have_it(
    registry: Registry,
    above: DynamicRef,
    place: Place,
    inner: ServerRef<Child>,
) -> Making {
    Box::pin(async move {
        tokio::spawn(async move { registry.register(&inner, "another's").await }).await.unwrap().unwrap();
        start(above, place).await
    })
}

/// The outer creation: it creates another within it, of a server that it owns something with, and goes on so.
fn within(
    registry: &Registry,
    above: &DynamicRef,
    place: &Place,
    owned: &Arc<()>,
    outer: Outer,
) -> impl Future<Output = Made> + Send + 'static {
    let (registry, above, place, owned) = (registry.clone(), above.clone(), place.clone(), Arc::clone(owned));
    async move {
        let (its, own) = (above.clone(), place.clone());
        let inner = registry.create("inner", async move {
            let child = start(its, own).await?;
            Ok::<_, String>(NewEntry::new(child).own(owned))
        });
        let inner = inner.await.map_err(|error| error.to_string())?;
        outer(registry, above, place, inner).await
    }
}

/// What the code of a creation takes from another creation is undone with it, down to what that one's entry owns; at any depth.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn a_creation_that_is_not_taken_undoes_what_it_took_from_others() {
    let (registry, above, silent, _) = ground().await;
    let owned = Arc::new(());
    for outer in [gives_it as Outer, gives_one_more, gives_it_a_key] {
        is_cut_off(&registry, within(&registry, &above, &silent, &owned, outer)).await;
        assert_eq!((above.count_children().specs, registry.sizes()), (0, counts(0, 0)));
        assert_eq!(Arc::strong_count(&owned), 1, "its entry has ended");
    }
    let failed = registry.create("x", within(&registry, &above, &silent, &owned, fails)).await;
    assert!(matches!(failed, Err(CreateError::Failed(_))), "{failed:?}");
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!((above.count_children().specs, registry.sizes()), (0, counts(0, 0)));

    // The middle one is taken, and the outer one is not.
    let (books, its) = (registry.clone(), above.clone());
    let middle = within(&registry, &above, &silent, &owned, gives_one_more);
    let failed = create(&registry, "x", async move {
        create(&books, "middle", middle).await?;
        assert_eq!((its.count_children().active, books.sizes()), (2, counts(2, 2)));
        Err("as told".to_owned())
    });
    assert!(failed.await.is_err());
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!((above.count_children().specs, registry.sizes()), (0, counts(0, 0)));
    assert_eq!(Arc::strong_count(&owned), 1);
    assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
}

/// The inner one's entry stays where another has been granted it meanwhile, and its server with it; all of it stays where the
/// outer one's entry does.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn what_a_creation_took_and_another_was_granted_stays() {
    let (registry, above, silent, _) = ground().await;
    let owned = Arc::new(());
    is_cut_off(&registry, within(&registry, &above, &silent, &owned, lets_another_have_it)).await;
    let found = registry.whereis::<ServerRef<Child>>("another's").unwrap();
    assert_eq!(found.call(|reply| reply).await, Ok(1));
    assert_eq!((above.count_children().specs, registry.sizes()), (1, counts(1, 1)));
    assert_eq!(Arc::strong_count(&owned), 2, "the entry has it");
    above.terminate_child(&found).await.unwrap();

    let mut create =
        Box::pin(registry.create("x", within(&registry, &above, &silent, &owned, gives_one_more)));
    assert!(poll!(&mut create).is_pending());
    tokio::time::sleep(SECOND).await;
    let found = registry.whereis::<ServerRef<Child>>("x").unwrap();
    registry.register(&found, "another's").await.unwrap();
    drop(create);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!((above.count_children().active, registry.sizes()), (2, counts(2, 2)));
    assert!(registry.contains("inner") && !registry.contains("x"));
    assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
}

/// Once the outer one has been taken, what it took is its caller's as what it made is.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn what_a_creation_that_was_taken_took_from_others_lives_on() {
    let (registry, above, silent, _) = ground().await;
    let owned = Arc::new(());
    for (outer, left) in [(gives_it as Outer, (1, counts(1, 2))), (gives_one_more, (2, counts(2, 2)))] {
        create(&registry, "x", within(&registry, &above, &silent, &owned, outer)).await.unwrap();
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!((above.count_children().active, registry.sizes()), left);
        for name in ["x", "inner"] {
            let found = registry.whereis::<ServerRef<Child>>(name).ok();
            if let Some(child) = found {
                above.terminate_child(&child).await.unwrap();
            }
        }
        assert_eq!((registry.sizes(), Arc::strong_count(&owned)), (counts(0, 0), 1));
    }
    assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
}

/// A task that a creation took along is too late if it takes something after the creation has been undone: what the task
/// takes is undone at once. What the task takes after the creation has been taken is the task's own.
/// Clause 27.7.
#[tokio::test(start_paused = true)]
async fn what_a_task_takes_that_a_creation_took_along_is_the_creations() {
    let (registry, above, silent, _) = ground().await;
    for (fails, left) in [(true, 0), (false, 2)] {
        let (books, its, place) = (registry.clone(), above.clone(), silent.clone());
        let made = create(&registry, "x", async move {
            let (more, one) = (start(its.clone(), place.clone()), start(its, place));
            let late = async move {
                tokio::time::sleep(SECOND).await;
                create(&books, "late", more).await
            };
            drop(tokio::spawn(late.in_scope()));
            if fails { Err("as told".to_owned()) } else { one.await }
        });
        assert_eq!(made.await.is_err(), fails);
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(above.count_children().specs, left);
        assert_eq!(registry.contains("late"), !fails);
    }
    assert!(above.as_supervisor().shutdown(AGES).await.is_clean());
}
