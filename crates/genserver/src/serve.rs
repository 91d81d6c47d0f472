//! One event after the other: the loop proper, written out as a future.
//!
//! As an `async fn` it would be ten lines. But there each message goes through the frame of the `async fn`, and its handler's
//! future is told from the others when it is polled and again when it is dropped; here a handler is made, polled and dropped
//! in its own arm (design note 0007). The price: the handler's borrow of state and context is not the compiler's to check.
//!
//! With `slot`, `frame` and `seat` the rooms of this crate that hold `unsafe`. INVARIANT (serve): while `running` holds a
//! future, that future alone touches state and context.

use crate::context::Context;
use crate::message::{CallMessage, Message, OrderKind};
use crate::next::Event;
use crate::server::{GenServer, Next, Step};
use pin_project_lite::pin_project;
use restante_core::{ExitReason, Phase, drop_quietly};
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context as Cx, Poll, ready};

/// A callback of one sort: makes the future that handles an `M`. (For functions only: their futures have no names.)
pub(crate) trait Callback<'a, S: GenServer, M> {
    type Handler: Future<Output = Step> + Send;
    fn handler(&self, state: &'a mut S, message: M, ctx: &'a mut Context<S>) -> Self::Handler;
}

impl<'a, S, M, F, H> Callback<'a, S, M> for F
where
    S: GenServer,
    F: Fn(&'a mut S, M, &'a mut Context<S>) -> H,
    H: Future<Output = Step> + Send,
{
    type Handler = H;
    #[inline(always)]
    fn handler(&self, state: &'a mut S, message: M, ctx: &'a mut Context<S>) -> H {
        self(state, message, ctx)
    }
}

/// The callbacks of a server.
pub(crate) struct Callbacks<Call, Cast, Info, Proceed, Timeout> {
    pub(crate) call: Call,
    pub(crate) cast: Cast,
    pub(crate) info: Info,
    /// `handle_continue`.
    pub(crate) proceed: Proceed,
    pub(crate) timeout: Timeout,
}

pin_project! {
    /// Handles events until a handler says stop or fails.
    pub(crate) struct Serve<'a, S, Call, Cast, Info, Proceed, Timeout>
    where
        S: GenServer,
        Call: Callback<'a, S, S::Call>,
        Cast: Callback<'a, S, S::Cast>,
        Info: Callback<'a, S, S::Info>,
        Proceed: Callback<'a, S, ()>,
        Timeout: Callback<'a, S, ()>,
    {
        lent: Lent<'a, S>,
        callbacks: Callbacks<Call, Cast, Info, Proceed, Timeout>,
        #[pin]
        running: Running<Call::Handler, Cast::Handler, Info::Handler, Proceed::Handler, Timeout::Handler>,
    }
}

pin_project! {
    /// The handler that is under way.
    #[project = RunningProj]
    enum Running<Call, Cast, Info, Proceed, Timeout> {
        None,
        Call { #[pin] handler: Call },
        Cast { #[pin] handler: Cast },
        Info { #[pin] handler: Info },
        Proceed { #[pin] handler: Proceed },
        Timeout { #[pin] handler: Timeout },
    }
}

/// State and context, lent for as long as the loop lasts.
struct Lent<'a, S: GenServer> {
    state: NonNull<S>,
    ctx: NonNull<Context<S>>,
    lifetime: PhantomData<&'a mut (S, Context<S>)>,
}

#[expect(unsafe_code, reason = "these are borrows, only not by name")]
// SAFETY: as `&mut S` and `&mut Context<S>`, which are Send because what they point at is.
unsafe impl<'a, S: GenServer> Send for Lent<'a, S>
where
    &'a mut S: Send,
    &'a mut Context<S>: Send,
{
}

#[expect(unsafe_code, reason = "invariant (serve)")]
impl<'a, S: GenServer> Lent<'a, S> {
    /// The context.
    ///
    /// # Safety
    /// No handler holds it, and none is given it while the reference lives.
    #[inline(always)]
    unsafe fn ctx(&mut self) -> &mut Context<S> {
        // SAFETY: it was made of a `&'a mut`, and nobody else has it now.
        unsafe { self.ctx.as_mut() }
    }

    /// Both, for one handler.
    ///
    /// # Safety
    /// The borrows end, with the handler, before either is asked for again.
    #[inline(always)]
    unsafe fn both(&mut self) -> (&'a mut S, &'a mut Context<S>) {
        // SAFETY: as in `ctx`.
        let state = unsafe { self.state.as_mut() };
        // SAFETY: as in `ctx`.
        (state, unsafe { self.ctx.as_mut() })
    }
}

impl<'a, S, Call, Cast, Info, Proceed, Timeout> Serve<'a, S, Call, Cast, Info, Proceed, Timeout>
where
    S: GenServer,
    Call: Callback<'a, S, S::Call>,
    Cast: Callback<'a, S, S::Cast>,
    Info: Callback<'a, S, S::Info>,
    Proceed: Callback<'a, S, ()>,
    Timeout: Callback<'a, S, ()>,
{
    /// A loop over what comes.
    pub(crate) fn new(
        state: &'a mut S,
        ctx: &'a mut Context<S>,
        callbacks: Callbacks<Call, Cast, Info, Proceed, Timeout>,
    ) -> Self {
        let lent = Lent { state: NonNull::from(state), ctx: NonNull::from(ctx), lifetime: PhantomData };
        Self { lent, callbacks, running: Running::None }
    }
}

/// Puts a handler in its place and polls it there for the first time; if it is done, the place is empty again.
macro_rules! begin {
    ($running:ident, $cx:ident, $sort:ident, $callback:expr, $message:expr, $state:ident, $ctx:ident) => {{
        let handler = $callback.handler($state, $message, $ctx);
        $running.set(Running::$sort { handler });
        let RunningProj::$sort { handler } = $running.as_mut().project() else {
            unreachable!("set just now")
        };
        let step = handler.poll($cx);
        if step.is_ready() {
            $running.set(Running::None);
        }
        step
    }};
}

#[expect(unsafe_code, reason = "invariant (serve)")]
impl<'a, S, Call, Cast, Info, Proceed, Timeout> Future for Serve<'a, S, Call, Cast, Info, Proceed, Timeout>
where
    S: GenServer,
    Call: Callback<'a, S, S::Call>,
    Cast: Callback<'a, S, S::Cast>,
    Info: Callback<'a, S, S::Info>,
    Proceed: Callback<'a, S, ()>,
    Timeout: Callback<'a, S, ()>,
{
    type Output = Result<ExitReason, ExitReason>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (lent, calls, mut running) = (this.lent, this.callbacks, this.running);
        let mut step = if running.is_none() {
            // SAFETY: there is no handler.
            unsafe { lent.ctx() }.cell.desk(|desk| desk.mid = true);
            None
        } else {
            Some(ready!(running.as_mut().poll_again(cx)))
        };
        loop {
            // SAFETY: there is no handler (any more).
            let ctx = unsafe { lent.ctx() };
            if let Some(step) = step
                && let Some(reason) = ctx.finish_step(step?)
            {
                return Poll::Ready(Ok(reason));
            }
            let message = match ctx.try_next() {
                Some(message) => message,
                None => match ready!(ctx.poll_event(cx)) {
                    Event::Message(message) => message,
                    Event::Tick(info) => Message::Info(info),
                    Event::Stop(reason) => {
                        ctx.take_up(Phase::Idle, "stop");
                        step = Some(Ok(Next::stop_with(reason)));
                        continue;
                    }
                    Event::Continue => {
                        ctx.take_up(Phase::Continue, "continue");
                        // SAFETY: as below.
                        let (state, ctx) = unsafe { lent.both() };
                        step = Some(ready!(begin!(running, cx, Proceed, calls.proceed, (), state, ctx)));
                        continue;
                    }
                    Event::Idle => {
                        ctx.take_up(Phase::Idle, "timeout");
                        // SAFETY: as below.
                        let (state, ctx) = unsafe { lent.both() };
                        step = Some(ready!(begin!(running, cx, Timeout, calls.timeout, (), state, ctx)));
                        continue;
                    }
                },
            };
            // SAFETY: they go to one handler, which is dropped (in `begin!`, in `poll_again` or with this) before they are asked
            // for again.
            let (state, ctx) = unsafe { lent.both() };
            let polled = match message {
                Message::Cast(cast) => {
                    ctx.take_up(Phase::Cast, S::cast_name(&cast));
                    begin!(running, cx, Cast, calls.cast, cast, state, ctx)
                }
                Message::Call(CallMessage { call, slot }) => {
                    if slot.is_live() {
                        ctx.take_up(Phase::Call, S::call_name(&call));
                        begin!(running, cx, Call, calls.call, call, state, ctx)
                    } else {
                        ctx.skip(call, slot);
                        NOTHING
                    }
                }
                Message::Info(info) => {
                    ctx.take_up(Phase::Info, S::info_name(&info));
                    begin!(running, cx, Info, calls.info, info, state, ctx)
                }
                other => match ctx.info_of(other) {
                    Ok(info) => begin!(running, cx, Info, calls.info, info, state, ctx),
                    Err(next) => Poll::Ready(Ok(next)),
                },
            };
            step = Some(ready!(polled));
        }
    }
}

/// What an event comes to that no handler has to do with.
const NOTHING: Poll<Step> = Poll::Ready(Ok(Next::go()));

impl<S: GenServer> Context<S> {
    /// The info that a notice or an order brings to a handler; else what is to be done instead.
    #[cold]
    #[inline(never)]
    fn info_of(&mut self, message: Message<S>) -> Result<S::Info, Next> {
        match message {
            Message::Notice(notice) if notice.incarnation == self.incarnation() => {
                self.take_up(Phase::Info, S::info_name(&notice.info));
                Ok(notice.info)
            }
            Message::Order(order) if order.incarnation == self.incarnation() => {
                self.take_up(Phase::Idle, "order");
                match *order.kind {
                    OrderKind::Stop(reason) => Err(Next::stop_with(reason)),
                    OrderKind::Exit(signal) => {
                        let info = self.trapped(signal).ok_or_else(Next::go)?;
                        self.take_up(Phase::Info, S::info_name(&info));
                        Ok(info)
                    }
                }
            }
            // For an incarnation that has ended meanwhile.
            stale => {
                self.take_up(Phase::Idle, "stale");
                drop_quietly(stale);
                Err(Next::go())
            }
        }
    }
}

impl<Call, Cast, Info, Proceed, Timeout> Running<Call, Cast, Info, Proceed, Timeout>
where
    Call: Future<Output = Step>,
    Cast: Future<Output = Step>,
    Info: Future<Output = Step>,
    Proceed: Future<Output = Step>,
    Timeout: Future<Output = Step>,
{
    #[inline(always)]
    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Goes on with a handler that went pending.
    #[inline(never)]
    fn poll_again(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Step> {
        let step = match self.as_mut().project() {
            RunningProj::None => NOTHING,
            RunningProj::Call { handler } => handler.poll(cx),
            RunningProj::Cast { handler } => handler.poll(cx),
            RunningProj::Info { handler } => handler.poll(cx),
            RunningProj::Proceed { handler } => handler.poll(cx),
            RunningProj::Timeout { handler } => handler.poll(cx),
        };
        if step.is_ready() {
            self.set(Self::None);
        }
        step
    }
}
