//! Who plays a server's incarnations in its stead, for test kits: a stub that answers as told, or the server itself with
//! crashes injected.
//!
//! Not meant for users: it may change in any release. A stand-in is given to a mailbox, and plays all of its incarnations from
//! the next one on, whichever starter begins them. It is told of the same events as the server's own callbacks and under the
//! same net, so a caller or sender cannot tell it from the server. A mailbox without one costs a look at each beginning of an
//! incarnation.
//!
//! What deliberately does not live here: what stand-ins do.

use crate::context::Context;
use crate::executor::CellRef;
use crate::guarded::Guarded;
use crate::message::{CallMessage, Message};
use crate::next::Event;
use crate::run;
use crate::server::{GenServer, Init, InitKind, Next, Step};
use crate::server_ref::ServerRef;
use crate::start::{Lent, Server, StartError, start_on};
use restante_core::{ExitReason, Phase, drop_quietly};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;

/// A callback under way.
pub type Playing<'a, T> = Pin<Box<dyn Future<Output = Result<T, ExitReason>> + Send + 'a>>;

/// Plays one incarnation of an `S`. Its methods stand for the callbacks of [`GenServer`].
pub trait StandIn<S: GenServer>: Send + 'static {
    /// `init`; without arguments where the incarnation was begun by [`start`].
    fn init<'a>(&'a mut self, args: Option<&'a S::Args>, ctx: &'a mut Context<S>) -> Playing<'a, Init<()>>;
    /// Every handler.
    fn play<'a>(&'a mut self, cue: Cue<S>, ctx: &'a mut Context<S>) -> Playing<'a, Next>;
    /// `terminate`.
    fn terminate<'a>(&'a mut self, reason: &'a ExitReason, ctx: &'a mut Context<S>) -> Playing<'a, ()>;
    /// The state of the server itself, where there is one, for operators who ask for it.
    fn state(&mut self) -> Option<&mut S> {
        None
    }
}

/// What is to be handled.
#[derive(Debug)]
pub enum Cue<S: GenServer> {
    /// `handle_call`.
    Call(S::Call),
    /// `handle_cast`.
    Cast(S::Cast),
    /// `handle_info`.
    Info(S::Info),
    /// `handle_continue`.
    Continue,
    /// `handle_timeout`.
    Timeout,
}

/// Makes the stand-in for an incarnation, whose number it is told.
pub type Casting<S> = Arc<dyn Fn(u32) -> Box<dyn StandIn<S>> + Send + Sync>;

/// From the next incarnation on this mailbox is served by stand-ins. False when it is already: the first casting stays.
pub fn cast_for<S: GenServer>(server: &ServerRef<S>, casting: Casting<S>) -> bool {
    server.handle.cell().runner.cast(casting)
}

/// Puts a stand-in before the mailbox, without arguments.
///
/// # Errors
/// As [`Server::start`].
///
/// # Cancel safety
/// As [`Server::start`].
///
/// # Panics
/// When there is no stand-in for the mailbox.
pub async fn start<S: GenServer>(server: &Server<S>) -> Result<(), StartError> {
    assert!(
        server.server().handle.cell().runner.casting().is_some(),
        "a stand-in for this mailbox comes first"
    );
    start_on(server.server(), Lent::Nothing, server.opts()).await
}

/// The state that an `init` has made, and what else it says.
pub fn parts<S>(init: Init<S>) -> (Option<S>, Init<()>) {
    match init.0 {
        InitKind::Ok { state, then } => (Some(state), Init(InitKind::Ok { state: (), then })),
        InitKind::Ignore => (None, Init(InitKind::Ignore)),
        InitKind::StopQuietly(reason) => (None, Init(InitKind::StopQuietly(reason))),
    }
}

/// Plays one incarnation: as [`run::run`], but for who plays.
pub(crate) async fn perform<S: GenServer>(
    cell: CellRef<S>,
    incarnation: u32,
    lent: Lent<S>,
    casting: Casting<S>,
) {
    let mut ctx = Context::new(cell, incarnation);
    let mut role = None;
    let begun = {
        let (role, ctx) = (&mut role, &mut ctx);
        let lent_to = ctx.lend();
        let lent = &lent;
        Guarded::new(lent_to, async move { role.insert(casting(incarnation)).init(lent.given(), ctx).await })
            .await
    };
    let (Some(()), Some(mut role)) = (run::begun(lent, &mut ctx, begun), role) else {
        drop_quietly(ctx);
        return;
    };
    let served = Guarded::new(ctx.lend(), serve(&mut *role, &mut ctx)).await;
    let served = ctx.kept(served);
    let reason = ctx.over(served);
    let reason = end(&mut *role, &mut ctx, reason).await;
    ctx.bury(role, &reason);
}

/// See [`run::run`]'s `end`.
async fn end<S: GenServer>(
    role: &mut dyn StandIn<S>,
    ctx: &mut Context<S>,
    reason: ExitReason,
) -> ExitReason {
    ctx.own_task().await;
    if ctx.cell.turn_state(|turn_state| turn_state.killed) {
        return reason;
    }
    ctx.take_up(Phase::Terminate, "terminate");
    let lent_to = ctx.lend();
    let terminated = Guarded::new(lent_to, async { role.terminate(&reason, ctx).await }).await;
    match ctx.kept(terminated) {
        Ok(()) => reason,
        Err(worse) => {
            ctx.note_exit(&worse);
            worse
        }
    }
}

/// One event after the other: see `serve`, which does the same for a state.
async fn serve<S: GenServer>(
    role: &mut dyn StandIn<S>,
    ctx: &mut Context<S>,
) -> Result<ExitReason, ExitReason> {
    loop {
        let event = poll_fn(|cx| {
            ctx.cell.turn_state(|turn_state| turn_state.mid = true);
            ctx.poll_event(cx)
        })
        .await;
        let step = match cue(role, event, ctx) {
            Ok(cue) => {
                let played = role.play(cue, ctx).await;
                if !ctx.is_own() {
                    // See `Context::kept`.
                    return played.map(|_| ExitReason::Normal);
                }
                played?
            }
            Err(next) => next,
        };
        if let Some(reason) = ctx.finish_step(step) {
            return Ok(reason);
        }
    }
}

/// What is to be handled; else what is to be done without a handler.
fn cue<S: GenServer>(
    role: &mut dyn StandIn<S>,
    event: Event<S>,
    ctx: &mut Context<S>,
) -> Result<Cue<S>, Next> {
    match event {
        Event::Message(Message::Call(CallMessage { call, slot })) => {
            if !slot.is_live() {
                ctx.skip(call, slot);
                return Err(Next::go());
            }
            ctx.take_up(Phase::Call, S::call_name(&call));
            Ok(Cue::Call(call))
        }
        Event::Message(Message::Cast(cast)) => {
            ctx.take_up(Phase::Cast, S::cast_name(&cast));
            Ok(Cue::Cast(cast))
        }
        Event::Message(Message::Info(info)) | Event::Tick(info) => {
            ctx.take_up(Phase::Info, S::info_name(&info));
            Ok(Cue::Info(info))
        }
        Event::Message(other) => ctx.info_of(role.state(), other).map(Cue::Info),
        Event::Continue => {
            ctx.take_up(Phase::Continue, "continue");
            Ok(Cue::Continue)
        }
        Event::Idle => {
            ctx.take_up(Phase::Idle, "timeout");
            Ok(Cue::Timeout)
        }
        Event::Stop(reason) => {
            ctx.take_up(Phase::Idle, "stop");
            Err(Next::stop_with(reason))
        }
    }
}

impl<S: GenServer> Cue<S> {
    /// Has the server itself handle it.
    ///
    /// # Errors
    /// What its handler fails with.
    ///
    /// # Cancel safety
    /// None: a handler is not begun twice.
    pub async fn handled_by(self, state: &mut S, ctx: &mut Context<S>) -> Step {
        match self {
            Self::Call(call) => state.handle_call(call, ctx).await,
            Self::Cast(cast) => state.handle_cast(cast, ctx).await,
            Self::Info(info) => state.handle_info(info, ctx).await,
            Self::Continue => state.handle_continue(ctx).await,
            Self::Timeout => state.handle_timeout(ctx).await,
        }
    }

    /// What kind of event it is, and the message's name.
    pub fn name(&self) -> (Phase, &'static str) {
        match self {
            Self::Call(call) => (Phase::Call, S::call_name(call)),
            Self::Cast(cast) => (Phase::Cast, S::cast_name(cast)),
            Self::Info(info) => (Phase::Info, S::info_name(info)),
            Self::Continue => (Phase::Continue, "continue"),
            Self::Timeout => (Phase::Idle, "timeout"),
        }
    }
}
