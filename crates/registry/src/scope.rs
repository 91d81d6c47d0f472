//! Scopes: which registry a name is looked up in where none is named.
//!
//! A scope is a registry. Outside of all, it is the [global](Registry::global) one. A task enters another for the length of a
//! future ([`Registry::enter`]); what it spawns does not follow, unless it is told to ([`InScope`]): a scope that spread by
//! itself would end unseen. A scope dies with its registry: with the last handle, or with the future of
//! [`Registry::scoped`].
//!
//! | made by | finds | is told of to those who look in vain elsewhere |
//! |---|---|---|
//! | [`Registry::start`] | its own names only: isolated | yes |
//! | [`Registry::nested`] | its own names, then those of what it is nested in | yes |
//! | [`Registry::tenant`] | its own names only | no: a tenant is not to learn of another's names |
//!
//! Handlers of servers use the registry that they are given, not the current one: they run in the server's task or on a
//! caller's stack, with whatever scope that has.

use crate::registry::{Inner, Registry, RegistryBuilder};
use restante_supervisor::nursery;
use std::future::Future;
use std::sync::{Arc, Weak};

tokio::task_local! {
    static SCOPE: Registry;
}

/// Tenants of a registry, by name.
pub(crate) type Tenants = std::collections::HashMap<Arc<str>, Weak<Inner>>;

impl Registry {
    /// The registry of the scope that this task (or thread) is in; outside of all, the global one.
    pub fn current() -> Self {
        Self::with_current(Self::clone)
    }

    /// Lends it: outside of all scopes cheaper by a count.
    pub fn with_current<T>(f: impl FnOnce(&Self) -> T) -> T {
        // A clone: while a task-local value is lent, `f` could enter no other scope.
        match SCOPE.try_with(Self::clone) {
            Ok(registry) => f(&registry),
            Err(_) => f(Self::global()),
        }
    }

    /// Runs a future in this registry's scope. Nested scopes end inside out.
    ///
    /// # Cancel safety
    /// As the future's.
    pub fn enter<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        SCOPE.scope(self.clone(), future)
    }

    /// Runs a function in this registry's scope, on this thread.
    pub fn enter_sync<T>(&self, f: impl FnOnce() -> T) -> T {
        SCOPE.sync_scope(self.clone(), f)
    }

    /// Runs a future in an isolated scope of its own, which ends with it: its names, keys and what its entries own go, and
    /// asynchronous clean-up is begun.
    ///
    /// # Cancel safety
    /// Dropped, the scope ends as well.
    pub async fn scoped<F: Future>(future: F) -> F::Output {
        let scope = EndsWithIt(Self::builder().name("scope").start());
        scope.0.enter(future).await
    }

    /// Settings of a registry that is nested in this one: what it does not find by itself it looks for here. Names of its own
    /// hide equal ones here. Like this one, unless told otherwise.
    pub fn nested(&self) -> RegistryBuilder {
        let mut builder = self.0.settings.clone().name(format!("{} > nested", self.name()));
        builder.parent = Some(self.clone());
        builder
    }

    /// The registry of one tenant of this one: the same for the same name while anybody has a handle to it. Isolated; with
    /// places for creations of its own.
    #[must_use]
    pub fn tenant(&self, tenant: &str) -> Self {
        let known = |tenants: &Tenants| tenants.get(tenant).and_then(Weak::upgrade).map(Self);
        if let Some(registry) = known(&self.0.tenants.lock()) {
            return registry;
        }
        // Begun outside of the lock; where two begin one at once, the first to come back stays.
        let mut builder = self.0.settings.clone().name(format!("{} / {tenant}", self.name()));
        builder.parent = None;
        builder.private = true;
        let fresh = builder.start();
        let mut tenants = self.0.tenants.lock();
        let first = known(&tenants);
        if first.is_none() {
            tenants.retain(|_, registry| registry.strong_count() > 0);
            tenants.insert(tenant.into(), Arc::downgrade(&fresh.0));
        }
        drop(tenants);
        first.unwrap_or(fresh)
    }
}

/// A scope that ends here, whatever other handles to it there are.
struct EndsWithIt(Registry);

impl Drop for EndsWithIt {
    fn drop(&mut self) {
        self.0.0.end();
    }
}

/// Takes the scope along to where a future is run.
pub trait InScope: Future + Sized {
    /// The future, in the scope that this task is in now: for what is spawned.
    ///
    /// Where a creation's future spawns it ([`Registry::create`]), it is part of that creation as well: what it starts under
    /// supervisors is ended with what the creation has started itself, unless the caller takes what was created. Once it has,
    /// what goes on being started is the task's own; where the caller has gone, it is ended at once.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use restante_registry::{InScope, Registry};
    /// Registry::scoped(async {
    ///     let here = Registry::current();
    ///     let there = tokio::spawn(async { Registry::current() }.in_scope()).await.unwrap();
    ///     assert!(there.is(&here));
    ///     let elsewhere = tokio::spawn(async { Registry::current() }).await.unwrap();
    ///     assert!(elsewhere.is(Registry::global()));
    /// })
    /// .await;
    /// # });
    /// ```
    fn in_scope(self) -> impl Future<Output = Self::Output> + use<Self> {
        Registry::current().enter(nursery::tend_here(self))
    }
}

impl<F: Future> InScope for F {}
