//! Typed names: constants that lead to a mailbox without a cast.

use crate::by_name::{self, CallToError, SendToError, StopToError};
use crate::cached::Cached;
use crate::error::RegisterError;
use crate::lookup::LookupError;
use crate::registry::Registry;
use restante_core::monitor::{Event, MonitorId, Watch};
use restante_core::{Address, Addressable, ExitReason};
use restante_genserver::{GenServer, Reply, Request, ServerRef};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

/// A name whose mailbox is known to be of one type: a constant that both sides share. It looks in the
/// [current](Registry::current) registry; [`TypedName::of`] in another.
///
/// ```
/// use restante_registry::Name;
/// # use restante_genserver::{Context, ExitReason, GenServer, Init, Next, Reply, Step, start};
/// # struct Counter(u64);
/// # impl GenServer for Counter {
/// #     type Args = u64; type Call = Reply<u64>; type Cast = u64; type Info = ();
/// #     async fn init(n: &u64, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> { Ok(Init::ok(Self(*n))) }
/// #     async fn handle_call(&mut self, reply: Reply<u64>, _: &mut Context<Self>) -> Step { reply.send(self.0); Ok(Next::go()) }
/// #     async fn handle_cast(&mut self, n: u64, _: &mut Context<Self>) -> Step { self.0 += n; Ok(Next::go()) }
/// # }
/// const COUNTER: Name<Counter> = Name::new("counter");
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let counter = start::<Counter>(40).await?;
/// COUNTER.register(&counter).await?;
/// COUNTER.cast(2)?; // look-up and cast in one
/// assert_eq!(COUNTER.call(|reply| reply).await?, 42); // look-up and call in one
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct TypedName<R> {
    text: &'static str,
    /// Names nothing that is owned.
    leads_to: PhantomData<fn() -> R>,
}

/// The name of a server.
pub type Name<S> = TypedName<ServerRef<S>>;
/// The name of a mailbox without a server.
pub type MailboxName<M> = TypedName<Address<M>>;

impl<R> TypedName<R> {
    /// This name. (Whether the text is one is found out when it is registered.)
    pub const fn new(text: &'static str) -> Self {
        Self { text, leads_to: PhantomData }
    }

    /// Its text.
    pub const fn text(&self) -> &'static str {
        self.text
    }
}

impl<R: Addressable> TypedName<R> {
    /// The name in this registry, instead of the current one.
    pub fn of<'a>(&self, registry: &'a Registry) -> NameIn<'a, R> {
        NameIn { name: *self, registry }
    }

    /// Puts the name on a mailbox: see [`Registry::register`].
    ///
    /// # Errors
    /// As [`Registry::register`].
    ///
    /// # Cancel safety
    /// As [`Registry::register`].
    #[track_caller]
    pub fn register(&self, mailbox: &R) -> impl Future<Output = Result<(), RegisterError>> + Send + use<R> {
        let registry = Registry::current();
        let addition = registry.registration(mailbox, self.text, std::panic::Location::caller());
        async move { registry.add(addition?).await }
    }

    /// Takes the name off its holder; false: it has none.
    #[track_caller]
    pub fn unregister(&self) -> bool {
        Registry::with_current(|registry| registry.unregister(self.text))
    }
}

/// A typed name in one registry.
pub struct NameIn<'a, R> {
    name: TypedName<R>,
    registry: &'a Registry,
}

impl<R: Addressable> NameIn<'_, R> {
    /// Puts the name on a mailbox: see [`Registry::register`].
    ///
    /// # Errors
    /// As [`Registry::register`].
    ///
    /// # Cancel safety
    /// As [`Registry::register`].
    #[track_caller]
    pub fn register(&self, mailbox: &R) -> impl Future<Output = Result<(), RegisterError>> + Send {
        self.registry.register(mailbox, self.name.text)
    }

    /// Takes the name off its holder; false: it has none.
    #[track_caller]
    pub fn unregister(&self) -> bool {
        self.registry.unregister(self.name.text)
    }
}

/// What a name does through a registry: the one that it is of, or the current one.
macro_rules! verbs {
    ($name:ident<$($registry:lifetime,)? _>) => {
        impl<R: Addressable> $name<$($registry,)? R> {
            /// The mailbox, for keeps: see [`Registry::whereis`].
            ///
            /// # Errors
            /// [`LookupError`].
            pub fn whereis(&self) -> Result<R, LookupError> {
                self.within(|registry, text| registry.whereis(text))
            }

            /// Lends the mailbox: see [`Registry::with`].
            ///
            /// # Errors
            /// [`LookupError`].
            pub fn with<T>(&self, f: impl FnOnce(&R) -> T) -> Result<T, LookupError> {
                self.within(|registry, text| registry.with(text, f))
            }

            /// The same where the reason of a failure is not wanted: see [`Registry::find`].
            pub fn find<T>(&self, f: impl FnOnce(&R) -> T) -> Option<T> {
                self.within(|registry, text| registry.find(text, f))
            }

            /// The name, to be asked for often, in the registry that is meant now: see [`Registry::cached`].
            #[must_use]
            pub fn cached(&self) -> Cached<R> {
                self.within(|registry, text| registry.cached(text))
            }
        }

        impl<S: GenServer> $name<$($registry,)? ServerRef<S>> {
            /// Calls, and waits for the reply: 5 s at most. See [`Registry::call`].
            ///
            /// # Errors
            /// [`CallToError`].
            ///
            /// # Cancel safety
            /// As [`ServerRef::call`]'s.
            pub async fn call<T: Send>(
                &self,
                make: impl FnOnce(Reply<T>) -> S::Call + Send,
            ) -> Result<T, CallToError> {
                by_name::call(&self.whereis()?, make).await
            }

            /// Sends a cast, at once or not at all: see [`Registry::cast`].
            ///
            /// # Errors
            /// As [`Registry::cast`].
            pub fn cast(&self, cast: S::Cast) -> Result<(), SendToError<S::Cast>> {
                self.within(|registry, text| registry.cast::<S>(text, cast))
            }

            /// Sends an info, at once or not at all: see [`Registry::info`].
            ///
            /// # Errors
            /// As [`Registry::info`].
            pub fn info(&self, info: S::Info) -> Result<(), SendToError<S::Info>> {
                self.within(|registry, text| registry.info::<S>(text, info))
            }

            /// Sends a request, without waiting for the response: see [`Registry::send_request`].
            ///
            /// # Errors
            /// As [`Registry::send_request`].
            pub fn send_request<T: Send>(
                &self,
                make: impl FnOnce(Reply<T>) -> S::Call,
            ) -> Result<Request<T>, LookupError> {
                self.within(|registry, text| registry.send_request::<S, T>(text, make))
            }

            /// Tells the server to end, and waits for that, at most so long: see [`Registry::stop`].
            ///
            /// # Errors
            /// As [`Registry::stop`].
            ///
            /// # Cancel safety
            /// As [`ServerRef::stop`]'s.
            pub async fn stop(&self, reason: ExitReason, limit: Duration) -> Result<(), StopToError> {
                by_name::stop(&self.whereis()?, reason, limit).await
            }

            /// Monitors the server: see [`Registry::monitor`].
            ///
            /// # Errors
            /// As [`Registry::monitor`].
            pub fn monitor(
                &self,
                watch: Watch,
                notify: impl FnMut(Event) + Send + 'static,
            ) -> Result<MonitorId, LookupError> {
                self.within(|registry, text| registry.monitor::<S>(text, watch, notify))
            }
        }
    };
}

verbs!(TypedName<_>);
verbs!(NameIn<'_, _>);

impl<R> TypedName<R> {
    /// Lends the current registry.
    fn within<T>(&self, f: impl FnOnce(&Registry, &'static str) -> T) -> T {
        Registry::with_current(|registry| f(registry, self.text))
    }
}

impl<R> NameIn<'_, R> {
    /// Lends the registry that it is in.
    fn within<T>(&self, f: impl FnOnce(&Registry, &'static str) -> T) -> T {
        f(self.registry, self.name.text)
    }
}

impl<R> Clone for TypedName<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for TypedName<R> {}

impl<R> fmt::Debug for TypedName<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:?}, {})", self.text, std::any::type_name::<R>())
    }
}

impl<R> fmt::Debug for NameIn<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {:?}", self.name, self.registry)
    }
}
