//! A server that answers as told.

use crate::Probe;
use crate::failure::fail;
use restante_core::{Address, ExitReason, Phase};
use restante_genserver::stand_in::{self, Cue, Playing, StandIn};
use restante_genserver::{Context, GenServer, Init, Next, Server, ServerRef, ServerSettings, StartError};
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Stands for a server of type `S`: its mailbox, its reference and its life are a real one's, but no code of
/// `S` runs. What comes is handled by the closures that were given ([`StubServer::on_call`]), else kept for the
/// test ([`StubServer::expect_call`]), which answers when it likes.
///
/// The holders of the reference cannot tell: calls have their deadlines, a full mailbox is full, monitors and links hear of
/// its end. A closure that panics crashes it. [`StubServer::start_again`] puts the next incarnation before the same
/// mailbox.
pub struct StubServer<S: GenServer> {
    server: Server<S>,
    inbox: Probe<Received<S>>,
    script: Arc<Script<S>>,
    held: watch::Sender<bool>,
}

/// What came to a stub.
pub enum Received<S: GenServer> {
    /// A call, with its reply in it.
    Call(S::Call),
    /// A cast.
    Cast(S::Cast),
    /// An info.
    Info(S::Info),
}

type On<M> = Mutex<Option<Box<dyn FnMut(M) + Send>>>;

/// What the stub does by itself.
struct Script<S: GenServer> {
    call: On<S::Call>,
    cast: On<S::Cast>,
    info: On<S::Info>,
}

impl<S: GenServer> StubServer<S> {
    /// A stub with the default settings, started.
    ///
    /// # Errors
    /// [`StartError::NoRuntime`] outside of a runtime.
    ///
    /// # Cancel safety
    /// Nothing is left.
    #[track_caller]
    pub fn start() -> impl Future<Output = Result<Self, StartError>> {
        let server = Self::over(Server::new(format!("stub of {}", std::any::type_name::<S>())));
        async move {
            stand_in::start(&server.server).await?;
            Ok(server)
        }
    }

    /// A stub whose mailbox has these settings, started.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Cancel safety
    /// As [`StubServer::start`].
    #[track_caller]
    pub fn start_with(settings: ServerSettings<S>) -> impl Future<Output = Result<Self, StartError>> {
        let server = settings.build();
        async move {
            let server = Self::over(server?);
            stand_in::start(&server.server).await?;
            Ok(server)
        }
    }

    fn over(server: Server<S>) -> Self {
        let inbox = Probe::new();
        let script = Arc::new(Script { call: On::default(), cast: On::default(), info: On::default() });
        let (held, holds) = watch::channel(false);
        let (to, plays) = (inbox.address(), Arc::clone(&script));
        stand_in::cast_for(
            server.server(),
            Arc::new(move |_| {
                Box::new(Stub { to: to.clone(), script: Arc::clone(&plays), held: holds.clone() })
            }),
        );
        Self { server, inbox, script, held }
    }

    /// Its reference, for the code under test.
    pub fn server(&self) -> ServerRef<S> {
        self.server.address()
    }

    /// How long to wait for what is expected (default 3 s).
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.inbox.limit = limit;
        self
    }

    /// From now on calls are handled by this, which answers by their replies.
    pub fn on_call(&self, f: impl FnMut(S::Call) + Send + 'static) -> &Self {
        set(&self.script.call, f);
        self
    }

    /// From now on casts are handled by this.
    pub fn on_cast(&self, f: impl FnMut(S::Cast) + Send + 'static) -> &Self {
        set(&self.script.cast, f);
        self
    }

    /// From now on infos are handled by this.
    pub fn on_info(&self, f: impl FnMut(S::Info) + Send + 'static) -> &Self {
        set(&self.script.info, f);
        self
    }

    /// The stub is busy while what this returns lives: with the next message that comes, the others wait in its mailbox.
    pub fn hold(&self) -> Hold<'_> {
        self.held.send_replace(true);
        Hold(&self.held)
    }

    /// Puts the next incarnation before the mailbox, after a crash, a kill or a stop.
    ///
    /// # Errors
    /// [`StartError::AlreadyStarted`] while one reads, [`StartError::Closed`].
    ///
    /// # Cancel safety
    /// As [`Server::start`].
    pub async fn start_again(&self) -> Result<(), StartError> {
        stand_in::start(&self.server).await
    }

    /// The next message, whatever it is.
    ///
    /// # Panics
    /// When none comes in time.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[track_caller]
    pub fn expect(&mut self) -> impl Future<Output = Received<S>> {
        self.inbox.expect()
    }

    /// The next message, which must be a call: the test answers it, or drops it.
    ///
    /// # Panics
    /// When another comes, or none.
    ///
    /// # Cancel safety
    /// Nothing is lost but a message that is not the expected one.
    #[track_caller]
    pub fn expect_call(&mut self) -> impl Future<Output = S::Call> {
        self.expect_kind("a call", |received| match received {
            Received::Call(call) => Ok(call),
            other => Err(other),
        })
    }

    /// The next message, which must be a cast.
    ///
    /// # Panics
    /// As [`StubServer::expect_call`].
    ///
    /// # Cancel safety
    /// As [`StubServer::expect_call`].
    #[track_caller]
    pub fn expect_cast(&mut self) -> impl Future<Output = S::Cast> {
        self.expect_kind("a cast", |received| match received {
            Received::Cast(cast) => Ok(cast),
            other => Err(other),
        })
    }

    /// The next message, which must be an info.
    ///
    /// # Panics
    /// As [`StubServer::expect_call`].
    ///
    /// # Cancel safety
    /// As [`StubServer::expect_call`].
    #[track_caller]
    pub fn expect_info(&mut self) -> impl Future<Output = S::Info> {
        self.expect_kind("an info", |received| match received {
            Received::Info(info) => Ok(info),
            other => Err(other),
        })
    }

    /// Waits so long, in which nothing may come (that no closure handles).
    ///
    /// # Panics
    /// As soon as something does.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[track_caller]
    pub fn expect_no_message(&mut self, during: Duration) -> impl Future<Output = ()> {
        self.inbox.expect_no_message(during)
    }

    #[track_caller]
    fn expect_kind<T>(
        &mut self,
        what: &'static str,
        take: impl FnOnce(Received<S>) -> Result<T, Received<S>>,
    ) -> impl Future<Output = T> {
        let (at, limit) = (Location::caller(), self.inbox.limit);
        async move {
            match self.inbox.next(limit).await.map(take) {
                Some(Ok(message)) => message,
                Some(Err(other)) => fail(format_args!("{what} was expected, this came: {other:?}"), at),
                None => fail(format_args!("{what} was expected within {limit:?}, nothing came"), at),
            }
        }
    }
}

fn set<M>(on: &On<M>, f: impl FnMut(M) + Send + 'static) {
    *on.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(f));
}

/// Handles a message by the closure, if there is one.
fn by_closure<M>(on: &On<M>, message: M) -> Result<(), M> {
    match on.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        Some(f) => {
            f(message);
            Ok(())
        }
        None => Err(message),
    }
}

/// One incarnation.
struct Stub<S: GenServer> {
    to: Address<Received<S>>,
    script: Arc<Script<S>>,
    held: watch::Receiver<bool>,
}

impl<S: GenServer> StandIn<S> for Stub<S> {
    fn init<'a>(&'a mut self, _: Option<&'a S::Args>, _: &'a mut Context<S>) -> Playing<'a, Init<()>> {
        Box::pin(async { Ok(Init::ok(())) })
    }

    fn play<'a>(&'a mut self, cue: Cue<S>, _: &'a mut Context<S>) -> Playing<'a, Next> {
        Box::pin(async move {
            // A stub that has been dropped does not hold the server back any more.
            let _ = self.held.wait_for(|held| !held).await;
            let left = match cue {
                Cue::Call(call) => by_closure(&self.script.call, call).map_err(Received::Call),
                Cue::Cast(cast) => by_closure(&self.script.cast, cast).map_err(Received::Cast),
                Cue::Info(info) => by_closure(&self.script.info, info).map_err(Received::Info),
                Cue::Continue | Cue::Timeout => Ok(()),
            };
            if let Err(message) = left {
                // Refused only once the test has let go of the stub.
                drop(self.to.send(message).await);
            }
            Ok(Next::go())
        })
    }

    fn terminate<'a>(&'a mut self, _: &'a ExitReason, _: &'a mut Context<S>) -> Playing<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Keeps a stub busy: see [`StubServer::hold`].
#[derive(Debug)]
#[must_use = "the stub is held while it lives"]
pub struct Hold<'a>(&'a watch::Sender<bool>);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

impl<S: GenServer> fmt::Debug for Received<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (phase, name) = match self {
            Self::Call(call) => (Phase::Call, S::call_name(call)),
            Self::Cast(cast) => (Phase::Cast, S::cast_name(cast)),
            Self::Info(info) => (Phase::Info, S::info_name(info)),
        };
        write!(f, "`{name}` for {phase}")
    }
}

impl<S: GenServer> fmt::Debug for StubServer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StubServer<{}>({:?})", std::any::type_name::<S>(), self.inbox)
    }
}
