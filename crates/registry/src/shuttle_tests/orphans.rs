//! Supervised children of creations, and callers that go at any moment between the start and the take.

use super::whole::{EVER, for_polls, spawn, whole};
use super::*;
use restante_genserver::{Context, GenServer, Init, Next, Reply, ServerRef, Step};
use restante_supervisor::DynamicSupervisor;
use restante_supervisor::nursery::tend_here;
use shuttle::future::yield_now;

#[derive(Debug)]
struct Child;

impl GenServer for Child {
    /// The child has a holder.
    type Args = Arc<()>;
    type Call = Reply<()>;
    type Cast = ();
    type Info = ();

    async fn init(_: &Arc<()>, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        yield_now().await;
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }
}

/// Whenever the caller goes, the child is the caller's, under its name, or it has left its supervisor; beside one who looks the
/// name up, and perhaps has the entry granted to another name, with which the child stays.
/// Clause 27.7.
#[test]
fn shuttle_a_supervised_child_of_a_creation_whose_caller_goes() {
    whole(|registry| async move {
        let above = DynamicSupervisor::new().start().await.unwrap();
        let is_there = Arc::new(());
        let goes = {
            let (registry, above, args) = (registry.clone(), above.clone(), Arc::clone(&is_there));
            let make = async move {
                let child = above.start_new::<Child>(args).await.map_err(|error| error.to_string())?;
                yield_now().await;
                Ok::<_, String>(child)
            };
            spawn(async move { for_polls(20, registry.create("x", make)).await })
        };
        let another = {
            let registry = registry.clone();
            spawn(async move {
                let found = registry.whereis::<ServerRef<Child>>("x").ok()?;
                registry.register(&found, "y").await.ok()
            })
        };
        let (gone, granted) = (goes.await, another.await);
        while registry.capacity().active_creates > 0 {
            yield_now().await;
        }
        match &gone {
            Some(Ok(child)) => {
                assert_eq!(registry.id_of("x"), Some(child.id()));
                child.call(|reply| reply).await.unwrap();
                assert_eq!(above.count_children().specs, 1);
            }
            Some(Err(error)) => panic!("{error:?}"),
            None if granted.is_some() => {
                // Where the entry had gone before, it came in again with that name, and its child closes it.
                while registry.contains("x") {
                    yield_now().await;
                }
                while registry.contains("y") != (above.count_children().specs > 0) {
                    yield_now().await;
                }
            }
            None => {
                while above.count_children().specs > 0 || Arc::strong_count(&is_there) > 1 {
                    yield_now().await;
                }
                assert!(!registry.contains("x"));
            }
        }
        drop(gone);
        assert!(above.as_supervisor().shutdown(EVER).await.is_clean());
        drop(above);
        while Arc::strong_count(&is_there) > 1 {
            yield_now().await;
        }
    });
}

/// A child that is started by a task which the creation has spawned and taken along: it starts before the caller
/// goes, while it goes, or later.
/// Clause 27.7.
#[test]
fn shuttle_a_child_of_a_task_that_a_creation_took_along() {
    whole(|registry| async move {
        let above = DynamicSupervisor::new().start().await.unwrap();
        let is_there = Arc::new(());
        let goes = {
            let (registry, above, args) = (registry.clone(), above.clone(), Arc::clone(&is_there));
            let make = async move {
                let along = tend_here(async move { above.start_new::<Child>(args).await });
                spawn(along).await.map_err(|error| error.to_string())
            };
            spawn(async move { for_polls(20, registry.create("x", make)).await })
        };
        let gone = goes.await;
        while registry.capacity().active_creates > 0 {
            yield_now().await;
        }
        match &gone {
            Some(Ok(child)) => {
                assert_eq!(registry.id_of("x"), Some(child.id()));
                assert_eq!(above.count_children().specs, 1);
            }
            Some(Err(error)) => panic!("{error:?}"),
            None => {
                while above.count_children().specs > 0 || Arc::strong_count(&is_there) > 1 {
                    yield_now().await;
                }
                assert!(!registry.contains("x"));
            }
        }
        drop(gone);
        assert!(above.as_supervisor().shutdown(EVER).await.is_clean());
        drop(above);
        while Arc::strong_count(&is_there) > 1 {
            yield_now().await;
        }
    });
}

/// A creation within another one, which gives its caller what it took: whenever that one goes, the child is there
/// under both names, or under neither; unless another has had the inner entry granted.
/// Clause 27.7.
#[test]
fn shuttle_a_creation_within_another_whose_caller_goes() {
    whole(|registry| async move {
        let above = DynamicSupervisor::new().start().await.unwrap();
        let is_there = Arc::new(());
        let goes = {
            let (within, registry) = (registry.clone(), registry.clone());
            let (above, args) = (above.clone(), Arc::clone(&is_there));
            let inner =
                async move { above.start_new::<Child>(args).await.map_err(|error| error.to_string()) };
            let make = async move {
                let child = within.create("inner", inner).await.map_err(|error| error.to_string())?;
                yield_now().await;
                Ok::<_, String>(child)
            };
            spawn(async move { for_polls(30, registry.create("x", make)).await })
        };
        let another = {
            let registry = registry.clone();
            spawn(async move {
                let found = registry.whereis::<ServerRef<Child>>("inner").ok()?;
                registry.register(&found, "y").await.ok()
            })
        };
        let (gone, granted) = (goes.await, another.await);
        while registry.capacity().active_creates > 0 {
            yield_now().await;
        }
        match &gone {
            Some(Ok(child)) => {
                let id = Some(child.id());
                assert_eq!((registry.id_of("x"), registry.id_of("inner")), (id, id));
                assert_eq!(above.count_children().specs, 1);
            }
            Some(Err(error)) => panic!("{error:?}"),
            None if granted.is_some() => {
                // (It is one entry. Where it was granted to the other one after the outer creation had it, all that this one
                // took stays with it, the inner name as well.)
                while registry.contains("x") {
                    yield_now().await;
                }
                while registry.contains("y") != (above.count_children().specs > 0) {
                    yield_now().await;
                }
            }
            None => {
                while above.count_children().specs > 0 || Arc::strong_count(&is_there) > 1 {
                    yield_now().await;
                }
                assert!(!registry.contains("x") && !registry.contains("inner"));
            }
        }
        drop(gone);
        assert!(above.as_supervisor().shutdown(EVER).await.is_clean());
        drop(above);
        while Arc::strong_count(&is_there) > 1 {
            yield_now().await;
        }
    });
}
