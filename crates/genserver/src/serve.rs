//! One event after the other: the loop proper, written out as a future.
//!
//! As an `async fn` it would be ten lines, but each message and each answer would go through its frame (design note 0008).
//! Here a handler is made in the place where it is polled. The price: its borrow of state and context is not the
//! compiler's to check.
//!
//! With `slot`, `frame` and `executor` the rooms of this crate that hold `unsafe`. INVARIANT (serve): while `running` holds a
//! future, that future alone touches state and context.

use crate::context::Context;
use crate::message::{CallMessage, Message, OrderKind};
use crate::next::Event;
use crate::server::{GenServer, Next, NextKind, Step};
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

#[expect(unsafe_code, reason = "a store without a drop")]
impl<Call, Cast, Info, Proceed, Timeout> Running<Call, Cast, Info, Proceed, Timeout> {
    /// Puts a handler where there is none. (A plain store would drop what lay there, at each place anew: code, and a
    /// landing pad each, that a panic passes on its way.)
    #[inline(always)]
    fn begin(self: Pin<&mut Self>, handler: Self) {
        debug_assert!(matches!(*self, Self::None), "one handler at a time");
        // SAFETY: nothing pinned is moved or overwritten: there is no handler.
        let place = unsafe { self.get_unchecked_mut() };
        std::mem::forget(std::mem::replace(place, handler));
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
        // SAFETY: it was made of a `&'a mut`, and no other code has it now.
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
    /// A loop over what comes. (The callbacks are functions: a closure that kept the borrows it is given would break the
    /// invariant.)
    pub(crate) fn new(
        state: &'a mut S,
        ctx: &'a mut Context<S>,
        callbacks: Callbacks<Call, Cast, Info, Proceed, Timeout>,
    ) -> Self {
        let lent = Lent { state: NonNull::from(state), ctx: NonNull::from(ctx), lifetime: PhantomData };
        Self { lent, callbacks, running: Running::None }
    }
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
        if matches!(*running, Running::None) {
            // SAFETY: there is no handler.
            unsafe { lent.ctx() }.cell.turn_state(|turn_state| turn_state.mid = true);
        }
        loop {
            if matches!(*running, Running::None) {
                // SAFETY: there is no handler. The one that is made here has them until it is dropped, below or with this.
                let (state, ctx) = unsafe { lent.both() };
                let event = match ctx.try_next() {
                    Some(message) => Event::Message(message),
                    None => ready!(ctx.poll_event(cx)),
                };
                let next = match event {
                    Event::Message(Message::Cast(cast)) => {
                        ctx.take_up(Phase::Cast, S::cast_name(&cast));
                        running
                            .as_mut()
                            .begin(Running::Cast { handler: calls.cast.handler(state, cast, ctx) });
                        None
                    }
                    Event::Message(Message::Call(CallMessage { call, slot })) => {
                        if slot.is_live() {
                            ctx.take_up(Phase::Call, S::call_name(&call));
                            running
                                .as_mut()
                                .begin(Running::Call { handler: calls.call.handler(state, call, ctx) });
                            None
                        } else {
                            ctx.skip(call, slot);
                            Some(Next::go())
                        }
                    }
                    Event::Message(Message::Info(info)) | Event::Tick(info) => {
                        ctx.take_up_rare(Phase::Info, S::info_name(&info));
                        running
                            .as_mut()
                            .begin(Running::Info { handler: calls.info.handler(state, info, ctx) });
                        None
                    }
                    Event::Message(other) => match ctx.info_of(Some(state), other) {
                        Ok(info) => {
                            running
                                .as_mut()
                                .begin(Running::Info { handler: calls.info.handler(state, info, ctx) });
                            None
                        }
                        Err(next) => Some(next),
                    },
                    Event::Continue => {
                        ctx.take_up_rare(Phase::Continue, "continue");
                        running
                            .as_mut()
                            .begin(Running::Proceed { handler: calls.proceed.handler(state, (), ctx) });
                        None
                    }
                    Event::Idle => {
                        ctx.take_up_rare(Phase::Idle, "timeout");
                        running
                            .as_mut()
                            .begin(Running::Timeout { handler: calls.timeout.handler(state, (), ctx) });
                        None
                    }
                    Event::Stop(reason) => {
                        ctx.take_up_rare(Phase::Idle, "stop");
                        Some(Next::stop_with(reason))
                    }
                };
                if let Some(next) = next {
                    // SAFETY: no handler was made.
                    if let Some(reason) = unsafe { lent.ctx() }.finish_step(next) {
                        return Poll::Ready(Ok(reason));
                    }
                    continue;
                }
            }
            let step = match running.as_mut().project() {
                RunningProj::Cast { handler } => other_than_go(ready!(handler.poll(cx))),
                RunningProj::Call { handler } => other_than_go(ready!(handler.poll(cx))),
                RunningProj::Info { handler } => other_than_go(ready!(handler.poll(cx))),
                RunningProj::Proceed { handler } => other_than_go(ready!(handler.poll(cx))),
                RunningProj::Timeout { handler } => other_than_go(ready!(handler.poll(cx))),
                RunningProj::None => continue,
            };
            running.set(Running::None);
            // SAFETY: the handler has just been dropped.
            let ctx = unsafe { lent.ctx() };
            if !ctx.is_own() {
                // See `Context::kept`, by which the end goes.
                return Poll::Ready(step.unwrap_or_else(|| Ok(Next::go())).map(|_| ExitReason::Normal));
            }
            match step {
                None => ctx.finish(None),
                Some(step) => {
                    if let Some(reason) = ctx.finish_step(step?) {
                        return Poll::Ready(Ok(reason));
                    }
                }
            }
        }
    }
}

/// What a handler mostly says is `go`: told from the rest where it is made, it need not be carried through memory.
#[inline(always)]
fn other_than_go(step: Step) -> Option<Step> {
    if matches!(step, Ok(Next(NextKind::Go))) {
        // The step holds nothing. Without this the compiler asks once more whether it does.
        std::mem::forget(step);
        return None;
    }
    Some(step)
}

impl<S: GenServer> Context<S> {
    /// The info that a notice or an order brings to a handler; else what is to be done instead.
    #[cold]
    #[inline(never)]
    pub(crate) fn info_of(&mut self, state: Option<&mut S>, message: Message<S>) -> Result<S::Info, Next> {
        if self.incarnation() != self.cell.incarnation() {
            // An earlier incarnation's context lies here, and would take this one's orders for stale.
            drop_quietly(message);
            return Err(Next::stop_with(self.take_over()));
        }
        match message {
            Message::Notice(notice) if notice.incarnation == self.incarnation() => {
                self.take_up_rare(Phase::Info, S::info_name(&notice.info));
                Ok(notice.info)
            }
            Message::Order(order) if order.incarnation == self.incarnation() => {
                self.take_up_rare(Phase::Idle, "order");
                match *order.kind {
                    OrderKind::Stop(reason) => Err(Next::stop_with(reason)),
                    OrderKind::Sys => {
                        self.serve_sys(state);
                        Err(Next::go())
                    }
                    OrderKind::Exit(signal) => {
                        let info = self.trapped(signal).ok_or_else(Next::go)?;
                        self.take_up_rare(Phase::Info, S::info_name(&info));
                        Ok(info)
                    }
                }
            }
            // For an incarnation that has ended meanwhile.
            stale => {
                self.take_up_rare(Phase::Idle, "stale");
                drop_quietly(stale);
                Err(Next::go())
            }
        }
    }
}
