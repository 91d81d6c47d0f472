//! What one writes to make a server.

use crate::context::Context;
use restante_core::ExitReason;
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// What every handler returns. `?` on any standard error ends the server with [`ExitReason::Error`].
pub type Step = Result<Next, ExitReason>;

/// A server: state behind a mailbox, one message at a time.
///
/// Handlers are async; while one waits, the server reads no other message (but may be killed). A panic in any of them
/// ends this incarnation and nothing else: the mailbox, its queued messages and its waiting callers stay.
///
/// Source: OTP `gen_server`. Differs: replies are typed values ([`Reply`](crate::Reply)) carried by the call itself; a
/// reply sent before a stop reaches its caller before `terminate` runs.
///
/// ```
/// use restante_genserver::*;
///
/// struct Counter(u64);
/// enum Ask { Get(Reply<u64>) }
///
/// impl GenServer for Counter {
///     type Args = u64;
///     type Call = Ask;
///     type Cast = u64;
///     type Info = ();
///     async fn init(start: &u64, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
///         Ok(Init::ok(Counter(*start)))
///     }
///     async fn handle_call(&mut self, Ask::Get(reply): Ask, _: &mut Context<Self>) -> Step {
///         reply.send(self.0);
///         Ok(Next::go())
///     }
///     async fn handle_cast(&mut self, n: u64, _: &mut Context<Self>) -> Step {
///         self.0 += n;
///         Ok(Next::go())
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let counter = start::<Counter>(40).await?;
/// counter.cast(2)?;
/// assert_eq!(counter.call(Ask::Get).await?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub trait GenServer: Sized + Send + 'static {
    /// What `init` is given; lent, so that the next incarnation can be given the same.
    type Args: Send + Sync + 'static;
    /// Requests; each variant carries the [`Reply`](crate::Reply) of its own type.
    type Call: Send + 'static;
    /// Messages that no caller waits for.
    type Cast: Send + 'static;
    /// What comes from elsewhere: ticks, notices of monitors and links, results of tasks.
    type Info: Send + 'static;

    /// Makes the state. Messages that come meanwhile wait.
    fn init(
        args: &Self::Args,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Result<Init<Self>, ExitReason>> + Send;

    /// Handles a request. The reply may be sent now, or kept and sent later.
    fn handle_call(&mut self, call: Self::Call, ctx: &mut Context<Self>)
    -> impl Future<Output = Step> + Send;

    /// Handles a cast. Without one of its own, a server logs and goes on.
    fn handle_cast(
        &mut self,
        cast: Self::Cast,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Step> + Send {
        let _ = cast;
        async move {
            ctx.unhandled("a cast");
            Ok(Next::go())
        }
    }

    /// Handles what comes from elsewhere. Without one of its own, a server logs and goes on.
    fn handle_info(
        &mut self,
        info: Self::Info,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Step> + Send {
        let _ = info;
        async move {
            ctx.unhandled("an info");
            Ok(Next::go())
        }
    }

    /// Runs right after whatever returned [`Next::then_continue`] or [`Init::then_continue`], before any message of the
    /// mailbox, even one that the server sent to itself in `init`.
    fn handle_continue(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Step> + Send {
        let _ = ctx;
        async { Ok(Next::go()) }
    }

    /// Runs when the server has been idle for the time it asked for. Without one of its own, a server goes on.
    fn handle_timeout(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Step> + Send {
        let _ = ctx;
        async { Ok(Next::go()) }
    }

    /// Runs at the end of an incarnation: after a stop, an error or a panic of a handler (the state may then be half
    /// changed), and when the mailbox has closed. Not after a kill, an untrapped exit of a linked server, a failed
    /// `init`, or when the runtime shuts down. If it fails itself, its reason replaces the original.
    fn terminate(
        &mut self,
        reason: &ExitReason,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Result<(), ExitReason>> + Send {
        let _ = (reason, ctx);
        async { Ok(()) }
    }

    /// What operators are shown of the state ([`Sys::status_with_state`](crate::Sys::status_with_state)): leave out what
    /// is secret. Without one of its own, a server shows its type and nothing of its contents. Where this fails or panics
    /// a placeholder is shown.
    ///
    /// # Errors
    /// As [`fmt::Display::fmt`].
    fn format_status(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<Self>())
    }

    /// What a call is called in reports and traces; must not show its contents. Like the two below it must do nothing but
    /// look at the message: where the server is busy, operators ask for names under the mailbox's lock.
    #[inline(always)]
    fn call_name(call: &Self::Call) -> &'static str {
        let _ = call;
        "call"
    }

    /// What a cast is called in reports and traces.
    #[inline(always)]
    fn cast_name(cast: &Self::Cast) -> &'static str {
        let _ = cast;
        "cast"
    }

    /// What an info is called in reports and traces.
    #[inline(always)]
    fn info_name(info: &Self::Info) -> &'static str {
        let _ = info;
        "info"
    }
}

/// What `init` made.
#[must_use]
pub struct Init<S>(pub(crate) InitKind<S>);

pub(crate) enum InitKind<S> {
    Ok { state: S, then: Next },
    Ignore,
    StopQuietly(ExitReason),
}

impl<S> Init<S> {
    /// A state, ready for messages.
    pub fn ok(state: S) -> Self {
        Self(InitKind::Ok { state, then: Next::go() })
    }

    /// A state; `handle_continue` runs before any message.
    pub fn then_continue(state: S) -> Self {
        Self(InitKind::Ok { state, then: Next::then_continue() })
    }

    /// A state; `handle_timeout` runs when no message comes for so long.
    pub fn idle_timeout(state: S, after: Duration) -> Self {
        Self(InitKind::Ok { state, then: Next::idle_timeout(after) })
    }

    /// A state that is not expected to be needed soon: buffers are given back.
    pub fn hibernate(state: S) -> Self {
        Self(InitKind::Ok { state, then: Next::hibernate() })
    }

    /// There is nothing to serve: the starter gets [`StartError::Ignored`](crate::StartError::Ignored), which is no
    /// failure.
    pub fn ignore() -> Self {
        Self(InitKind::Ignore)
    }

    /// The server cannot start, and that is not worth a report. (An `Err` of `init` is, and is logged.)
    pub fn stop_quietly(reason: ExitReason) -> Self {
        Self(InitKind::StopQuietly(reason))
    }
}

impl<S> fmt::Debug for Init<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            InitKind::Ok { .. } => "Init::ok",
            InitKind::Ignore => "Init::ignore",
            InitKind::StopQuietly(_) => "Init::stop_quietly",
        })
    }
}

/// What a handler tells the loop.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Next(pub(crate) NextKind);

#[derive(Debug, Clone, Default)]
pub(crate) enum NextKind {
    #[default]
    Go,
    Continue,
    Idle(Duration),
    Hibernate,
    Stop(ExitReason),
}

impl Next {
    /// The next message.
    #[inline(always)]
    pub const fn go() -> Self {
        Self(NextKind::Go)
    }

    /// First `handle_continue`, then the next message.
    pub fn then_continue() -> Self {
        Self(NextKind::Continue)
    }

    /// The next message, or `handle_timeout` when none comes for so long. The time runs from when the server goes idle;
    /// the next message ends it, orders and sys traffic do not. Zero: only if nothing waits. `Duration::MAX`: never.
    pub fn idle_timeout(after: Duration) -> Self {
        Self(NextKind::Idle(after))
    }

    /// The next message, which is not expected soon: once idle, buffers are given back.
    pub fn hibernate() -> Self {
        Self(NextKind::Hibernate)
    }

    /// The server is done: [`ExitReason::Normal`].
    pub fn stop() -> Self {
        Self(NextKind::Stop(ExitReason::Normal))
    }

    /// The server ends for this reason.
    pub fn stop_with(reason: ExitReason) -> Self {
        Self(NextKind::Stop(reason))
    }
}
