//! The loop: one incarnation of a server, from `init` to `terminate`. One screen; what happens between two messages is in
//! [`crate::next`], what a callback may do in [`crate::context`].

use crate::context::Context;
use crate::guarded::{Guarded, fail_orphans};
use crate::message::{CallMessage, Message, OrderKind};
use crate::next::Event;
use crate::seat::CellRef;
use crate::server::{GenServer, Init, InitKind};
use crate::start::{Lent, Outcome};
use restante_core::word::KILL;
use restante_core::{ExitReason, Phase, drop_quietly};

/// Runs one incarnation. Ends having noted its exit in the cell; never panics.
pub(crate) async fn run<S: GenServer>(cell: CellRef<S>, lent: Lent<S>) {
    let mut ctx = Context::new(cell.again());
    let init = Guarded::new(cell.again(), S::init(lent.get(), &mut ctx)).await;
    drop_quietly(lent);
    let mut state = match init {
        Ok(Init(InitKind::Ok { state, then })) => {
            fail_orphans(None);
            ctx.apply(then);
            ctx.started();
            state
        }
        Ok(Init(InitKind::Ignore)) => return ctx.not_started(Outcome::Ignored, ExitReason::Normal),
        Ok(Init(InitKind::StopQuietly(reason))) => {
            return ctx.not_started(Outcome::Stopped(reason.clone()), reason);
        }
        Err(reason) => {
            ctx.report(&reason);
            return ctx.not_started(Outcome::Stopped(reason.clone()), reason);
        }
    };
    let reason = loop {
        let event = match ctx.try_next() {
            Some(message) => Event::Message(message),
            None => ctx.next().await,
        };
        let step = match event {
            Event::Message(Message::Cast(cast)) => {
                ctx.take_up(Phase::Cast, S::cast_name(&cast));
                Guarded::new(cell.again(), state.handle_cast(cast, &mut ctx)).await
            }
            Event::Message(Message::Call(CallMessage { call, slot })) => {
                if !slot.is_live() {
                    ctx.skip(call, slot);
                    continue;
                }
                ctx.take_up(Phase::Call, S::call_name(&call));
                Guarded::new(cell.again(), state.handle_call(call, &mut ctx)).await
            }
            Event::Message(Message::Info(info)) => {
                ctx.take_up(Phase::Info, S::info_name(&info));
                Guarded::new(cell.again(), state.handle_info(info, &mut ctx)).await
            }
            Event::Message(Message::Order(order)) => {
                ctx.take_up(Phase::Idle, "order");
                match *order.0 {
                    OrderKind::Stop(reason) => Ok(crate::Next::stop_with(reason)),
                    OrderKind::Exit(signal) => match ctx.trapped(signal) {
                        Some(info) => Guarded::new(cell.again(), state.handle_info(info, &mut ctx)).await,
                        None => Ok(crate::Next::go()),
                    },
                }
            }
            Event::Tick(info) => {
                ctx.enter(Phase::Info, S::info_name(&info));
                Guarded::new(cell.again(), state.handle_info(info, &mut ctx)).await
            }
            Event::Continue => {
                ctx.enter(Phase::Continue, "continue");
                Guarded::new(cell.again(), state.handle_continue(&mut ctx)).await
            }
            Event::Idle => {
                ctx.enter(Phase::Idle, "timeout");
                Guarded::new(cell.again(), state.handle_timeout(&mut ctx)).await
            }
            Event::Stop(reason) => {
                ctx.enter(Phase::Idle, "");
                break reason;
            }
        };
        if let Some(reason) = ctx.finish_step(step) {
            break reason;
        }
    };
    // Here every way out has come together. A caller's stack is no place for an end.
    let killed = cell.gate().bits() & KILL != 0;
    ctx.note_exit(&reason);
    ctx.own_task().await;
    if !killed {
        ctx.enter(Phase::Terminate, "terminate");
        if let Err(worse) = Guarded::new(cell.again(), state.terminate(&reason, &mut ctx)).await {
            ctx.note_exit(&worse);
        }
    }
    ctx.report(&ctx.exit_reason());
    if let Some(in_drop) = drop_quietly(state) {
        tracing::error!(server = std::any::type_name::<S>(), reason = %in_drop, "the state panicked in its drop");
    }
    // Replies lie in the state, and in what the context keeps (timers): their callers hear the reason.
    let reason = ctx.exit_reason();
    drop_quietly(ctx);
    fail_orphans(Some(&reason));
}
