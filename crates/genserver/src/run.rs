//! The loop: one incarnation of a server, from `init` to `terminate`. One screen; what happens between two messages is in
//! [`crate::next`], what a callback may do in [`crate::context`].

use crate::context::Context;
use crate::executor::{CellRef, Started};
use crate::guarded::{Guarded, fail_orphans};
use crate::serve::{Callbacks, Serve};
use crate::server::{GenServer, Init, InitKind};
use crate::start::Lent;
use restante_core::{ExitReason, Phase, drop_quietly};
use std::future::Future;

/// Runs one incarnation. Ends having noted its exit in the cell; never panics.
///
/// No `async fn`, because the arguments of one lie in its future twice.
#[expect(clippy::manual_async_fn, reason = "the arguments of an `async fn` lie in its future twice")]
pub(crate) fn run<S: GenServer>(
    cell: CellRef<S>,
    incarnation: u32,
    lent: Lent<S>,
) -> impl Future<Output = ()> + Send {
    async move {
        let mut ctx = Context::new(cell, incarnation);
        let Some(mut state) = begin(lent, &mut ctx).await else {
            drop_quietly(ctx);
            return;
        };
        let served = Guarded::new(ctx.lend(), serve(&mut state, &mut ctx)).await;
        let served = ctx.kept(served);
        // Here every way out has come together.
        let reason = ctx.over(served);
        let reason = end(&mut state, &mut ctx, reason).await;
        ctx.bury(state, &reason);
    }
}

/// `init`, and what it says.
async fn begin<S: GenServer>(lent: Lent<S>, ctx: &mut Context<S>) -> Option<S> {
    let lent_to = ctx.lend();
    // In a block of its own, so that the call itself, which may panic as well, is made under the net.
    let init = Guarded::new(lent_to, async { S::init(lent.get(), ctx).await }).await;
    begun(lent, ctx, init)
}

/// What follows from what `init` says: the state, where there is one.
pub(crate) fn begun<S: GenServer, T>(
    lent: Lent<S>,
    ctx: &mut Context<S>,
    init: Result<Init<T>, ExitReason>,
) -> Option<T> {
    let init = ctx.kept(init);
    if let (Lent::Kept(keeper), Ok(Init(InitKind::Ok { .. }))) = (&lent, &init) {
        keeper.started(ctx.incarnation());
    }
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

/// `terminate`, unless the incarnation was killed. Why it has ended then: that, or what `terminate` failed with.
#[expect(clippy::manual_async_fn, reason = "see `run`")]
fn end<S: GenServer>(
    state: &mut S,
    ctx: &mut Context<S>,
    reason: ExitReason,
) -> impl Future<Output = ExitReason> + Send {
    async move {
        // A caller's stack is no place for an end.
        ctx.own_task().await;
        if ctx.cell.turn_state(|turn_state| turn_state.killed) {
            return reason;
        }
        ctx.take_up(Phase::Terminate, "terminate");
        let lent_to = ctx.lend();
        let terminated = Guarded::new(lent_to, async { state.terminate(&reason, ctx).await }).await;
        match ctx.kept(terminated) {
            Ok(()) => reason,
            Err(worse) => {
                ctx.note_exit(&worse);
                worse
            }
        }
    }
}

/// Handles what comes, until the end. One net for all of it: a panic, a handler's error or a kill ends this future and
/// leaves the state, which it only borrows. What was in hand then is noted in the cell.
fn serve<'a, S: GenServer>(
    state: &'a mut S,
    ctx: &'a mut Context<S>,
) -> impl Future<Output = Result<ExitReason, ExitReason>> + Send + 'a {
    Serve::new(
        state,
        ctx,
        Callbacks {
            call: S::handle_call,
            cast: S::handle_cast,
            info: S::handle_info,
            proceed: |state: &'a mut S, (), ctx: &'a mut Context<S>| state.handle_continue(ctx),
            timeout: |state: &'a mut S, (), ctx: &'a mut Context<S>| state.handle_timeout(ctx),
        },
    )
}
