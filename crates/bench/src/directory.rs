//! What the drivers ask of a system that gives its servers names.

use crate::{
    supervised::Lacking,
    system::{Behaviour, System},
};

/// A local registry: servers by name. Dropping it takes no name back.
pub(crate) trait Directory<S: System>: Send + Sync + 'static {
    /// Starts a server under a name that is free, behind an unbounded mailbox.
    fn start<B: Behaviour<S>>(&self, name: &str, behaviour: B) -> impl Future<Output = S::Ref<B>> + Send;

    /// Gives a name that is free to a server that runs; returns when it is found there.
    ///
    /// A system in which only a start gives a name starts `instead`: that is what a user would have to do.
    fn register<B: Behaviour<S>>(
        &self,
        name: &str,
        server: &S::Ref<B>,
        instead: B,
    ) -> impl Future<Output = ()> + Send;

    /// Takes a name back; returns when it is free again. Where only its server's end frees it, the server ends.
    fn unregister(&self, name: &str) -> impl Future<Output = ()> + Send;

    /// Looks a name up, sees that it is a server of this kind, and uses its address: in place where the system lends
    /// it, else as the handle that the look-up returns. `None`: the name is free.
    fn with<B: Behaviour<S>, R>(&self, name: &str, used: impl FnOnce(&S::Ref<B>) -> R) -> Option<R>;
}

impl<S: System> Directory<S> for Lacking {
    async fn start<B: Behaviour<S>>(&self, _: &str, _: B) -> S::Ref<B> {
        match *self {}
    }

    async fn register<B: Behaviour<S>>(&self, _: &str, _: &S::Ref<B>, _: B) {
        match *self {}
    }

    async fn unregister(&self, _: &str) {
        match *self {}
    }

    fn with<B: Behaviour<S>, R>(&self, _: &str, _: impl FnOnce(&S::Ref<B>) -> R) -> Option<R> {
        match *self {}
    }
}
