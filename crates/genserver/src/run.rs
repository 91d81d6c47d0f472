//! The loop: one incarnation of a server, from `init` to `terminate`. One screen; what happens between two messages is in
//! [`crate::next`], what a callback may do in [`crate::context`].

use crate::context::Context;
use crate::guarded::{Guarded, fail_orphans};
use crate::message::{CallMessage, Message, OrderKind};
use crate::next::Event;
use crate::seat::{CellRef, Started};
use crate::server::{GenServer, Init, InitKind, Next, Step};
use crate::start::Lent;
use pin_project_lite::pin_project;
use restante_core::{ExitReason, Phase, drop_quietly};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Cx, Poll};

/// Runs one incarnation. Ends having noted its exit in the cell; never panics.
///
/// (Not an `async fn`: the arguments of one lie in its future twice.)
#[expect(clippy::manual_async_fn, reason = "the arguments of an `async fn` lie in its future twice")]
pub(crate) fn run<S: GenServer>(cell: CellRef<S>, lent: Lent<S>) -> impl Future<Output = ()> + Send {
    async move {
        let mut ctx = Context::new(cell);
        let Some(mut state) = begin(lent, &mut ctx).await else {
            drop_quietly(ctx);
            return;
        };
        let served = Guarded::new(ctx.cell.again(), serve(&mut state, &mut ctx)).await;
        // Here every way out has come together. A caller's stack is no place for an end.
        ctx.over(served);
        ctx.own_task().await;
        end(&mut state, &mut ctx).await;
        ctx.bury(state);
    }
}

/// `init`, and what it says.
async fn begin<S: GenServer>(lent: Lent<S>, ctx: &mut Context<S>) -> Option<S> {
    let cell = ctx.cell.again();
    // In a block of its own, so that the call itself, which may panic as well, is made under the net.
    let init = Guarded::new(cell, async { S::init(lent.get(), ctx).await }).await;
    drop_quietly(lent);
    match init {
        Ok(Init(InitKind::Ok { state, then })) => {
            fail_orphans(None);
            ctx.apply(then);
            ctx.started();
            return Some(state);
        }
        Ok(Init(InitKind::Ignore)) => ctx.not_started(Started::Ignored, &ExitReason::Normal),
        Ok(Init(InitKind::StopQuietly(reason))) => ctx.not_started(Started::Stopped, &reason),
        Err(reason) => {
            ctx.report(&reason);
            ctx.not_started(Started::Stopped, &reason);
        }
    }
    None
}

/// `terminate`, unless the incarnation was killed.
async fn end<S: GenServer>(state: &mut S, ctx: &mut Context<S>) {
    if ctx.cell.desk(|desk| desk.killed) {
        return;
    }
    ctx.take_up(Phase::Terminate, "terminate");
    let reason = ctx.exit_reason();
    let cell = ctx.cell.again();
    if let Err(worse) = Guarded::new(cell, async { state.terminate(&reason, ctx).await }).await {
        ctx.note_exit(&worse);
    }
}

/// Handles what comes, until the end. One net for all of it: a panic, a handler's error or a kill ends this future and
/// leaves the state, which it only borrows. What was in hand then is noted in the cell.
#[expect(clippy::manual_async_fn, reason = "the arguments of an `async fn` lie in its future twice")]
fn serve<S: GenServer>(
    state: &mut S,
    ctx: &mut Context<S>,
) -> impl Future<Output = Result<ExitReason, ExitReason>> + Send {
    async move {
        loop {
            // A message is handed on before anything is awaited, so that it never lies in this future itself.
            let step = if let Some(message) = ctx.try_next() {
                dispatch(Event::Message(message), state, ctx).await
            } else {
                let event = ctx.next().await;
                dispatch(event, state, ctx).await
            };
            if let Some(reason) = ctx.finish_step(step?) {
                return Ok(reason);
            }
        }
    }
}

/// Calls the handler of an event: nothing of it runs before it is polled. Where there is no handler for it, the future is
/// the step itself.
#[inline(always)]
fn dispatch<'a, S: GenServer>(
    event: Event<S>,
    state: &'a mut S,
    ctx: &'a mut Context<S>,
) -> impl Future<Output = Step> + Send + 'a {
    match event {
        Event::Message(Message::Cast(cast)) => {
            ctx.take_up(Phase::Cast, S::cast_name(&cast));
            Handler::Cast { handler: state.handle_cast(cast, ctx) }
        }
        Event::Message(Message::Call(CallMessage { call, slot })) => {
            if !slot.is_live() {
                ctx.skip(call, slot);
                return Handler::None { next: Next::go() };
            }
            ctx.take_up(Phase::Call, S::call_name(&call));
            Handler::Call { handler: state.handle_call(call, ctx) }
        }
        Event::Message(Message::Info(info)) | Event::Tick(info) => {
            ctx.take_up(Phase::Info, S::info_name(&info));
            Handler::Info { handler: state.handle_info(info, ctx) }
        }
        Event::Message(Message::Order(order)) => {
            ctx.take_up(Phase::Idle, "order");
            if order.incarnation != ctx.incarnation() {
                // For one that has ended meanwhile.
                return Handler::None { next: Next::go() };
            }
            match *order.kind {
                OrderKind::Stop(reason) => Handler::None { next: Next::stop_with(reason) },
                OrderKind::Exit(signal) => match ctx.trapped(signal) {
                    Some(info) => Handler::Info { handler: state.handle_info(info, ctx) },
                    None => Handler::None { next: Next::go() },
                },
            }
        }
        Event::Message(Message::Notice(notice)) => {
            if notice.incarnation != ctx.incarnation() {
                ctx.take_up(Phase::Idle, "notice");
                restante_core::drop_quietly(notice);
                return Handler::None { next: Next::go() };
            }
            ctx.take_up(Phase::Info, S::info_name(&notice.info));
            Handler::Info { handler: state.handle_info(notice.info, ctx) }
        }
        Event::Continue => {
            ctx.take_up(Phase::Continue, "continue");
            Handler::Continue { handler: state.handle_continue(ctx) }
        }
        Event::Idle => {
            ctx.take_up(Phase::Idle, "timeout");
            Handler::Timeout { handler: state.handle_timeout(ctx) }
        }
        Event::Stop(reason) => {
            ctx.take_up(Phase::Idle, "stop");
            Handler::None { next: Next::stop_with(reason) }
        }
    }
}

pin_project! {
    /// The future of one event's handler. (Nested `Either`s would do the same in as many calls as they are deep.)
    #[project = HandlerProj]
    enum Handler<Cast, Call, Info, Continue, Timeout> {
        Cast { #[pin] handler: Cast },
        Call { #[pin] handler: Call },
        Info { #[pin] handler: Info },
        Continue { #[pin] handler: Continue },
        Timeout { #[pin] handler: Timeout },
        None { next: Next },
    }
}

impl<Cast, Call, Info, Continue, Timeout> Future for Handler<Cast, Call, Info, Continue, Timeout>
where
    Cast: Future<Output = Step>,
    Call: Future<Output = Step>,
    Info: Future<Output = Step>,
    Continue: Future<Output = Step>,
    Timeout: Future<Output = Step>,
{
    type Output = Step;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Step> {
        match self.project() {
            HandlerProj::Cast { handler } => handler.poll(cx),
            HandlerProj::Call { handler } => handler.poll(cx),
            HandlerProj::Info { handler } => handler.poll(cx),
            HandlerProj::Continue { handler } => handler.poll(cx),
            HandlerProj::Timeout { handler } => handler.poll(cx),
            HandlerProj::None { next } => Poll::Ready(Ok(std::mem::take(next))),
        }
    }
}
