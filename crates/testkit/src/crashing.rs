//! A server that crashes as planned, and is otherwise itself.

use crate::crash_plan::{Crash, CrashPlan, Crashed, Moment};
use restante_core::{ExitReason, Phase};
use restante_genserver::stand_in::{self, Cue, Playing, StandIn};
use restante_genserver::{Context, GenServer, Init, Next, ServerRef};
use std::sync::{Arc, Mutex, PoisonError};

/// The crashes that a plan has caused.
#[derive(Debug, Clone, Default)]
pub struct CrashLog(Arc<Mutex<Vec<Crashed>>>);

impl CrashLog {
    /// Those so far, in their order.
    pub fn crashes(&self) -> Vec<Crashed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many so far.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there was none yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl CrashPlan {
    /// Has the server of this mailbox crash as planned, from its next incarnation on: so before it is started, by any
    /// starter. The server's code is its own, and its callers cannot tell.
    ///
    /// # Panics
    /// When the mailbox has a plan already, or is a stub's.
    #[track_caller]
    pub fn install<S: GenServer>(self, server: &ServerRef<S>) -> CrashLog {
        let log = CrashLog::default();
        let plan = Arc::new(Mutex::new(self));
        let crashed = log.clone();
        let casting = move |_| -> Box<dyn StandIn<S>> {
            Box::new(Crashing { state: None, plan: Arc::clone(&plan), log: crashed.clone() })
        };
        assert!(
            stand_in::cast_for(server, Arc::new(casting)),
            "one plan for {server:?}, and none for a stub"
        );
        log
    }
}

/// One incarnation.
struct Crashing<S> {
    state: Option<S>,
    plan: Arc<Mutex<CrashPlan>>,
    log: CrashLog,
}

impl<S: GenServer> Crashing<S> {
    /// Whether this callback is to crash, and when.
    fn due(&self, phase: Phase, name: &'static str, ctx: &Context<S>) -> Option<(Moment, Crashed)> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let crashed = plan.on_callback(phase, name, ctx.incarnation())?;
        self.log.0.lock().unwrap_or_else(PoisonError::into_inner).push(crashed.clone());
        Some((plan.when(), crashed))
    }

    fn itself(&mut self) -> &mut S {
        self.state.as_mut().expect("`init` comes first")
    }
}

/// Crashes, if it is the moment.
async fn happen<S: GenServer>(
    due: Option<&(Moment, Crashed)>,
    now: Moment,
    ctx: &mut Context<S>,
) -> Result<(), ExitReason> {
    let Some((_, crashed)) = due.filter(|(moment, _)| *moment == now) else { return Ok(()) };
    match crashed.crash {
        #[expect(clippy::panic, reason = "what was asked for")]
        Crash::Panic => panic!("{crashed}"),
        Crash::Error => Err(ExitReason::error(crashed.to_string())),
        Crash::Kill => {
            ctx.server().kill();
            std::future::pending().await
        }
    }
}

impl<S: GenServer> StandIn<S> for Crashing<S> {
    fn state(&mut self) -> Option<&mut S> {
        self.state.as_mut()
    }

    fn init<'a>(&'a mut self, args: Option<&'a S::Args>, ctx: &'a mut Context<S>) -> Playing<'a, Init<()>> {
        Box::pin(async move {
            let args = args.expect("a server is started with its arguments");
            let due = self.due(Phase::Init, "", ctx);
            happen(due.as_ref(), Moment::Before, ctx).await?;
            let (state, init) = stand_in::parts(S::init(args, ctx).await?);
            self.state = state;
            happen(due.as_ref(), Moment::After, ctx).await?;
            Ok(init)
        })
    }

    fn play<'a>(&'a mut self, cue: Cue<S>, ctx: &'a mut Context<S>) -> Playing<'a, Next> {
        Box::pin(async move {
            let (phase, name) = cue.name();
            let due = self.due(phase, name, ctx);
            happen(due.as_ref(), Moment::Before, ctx).await?;
            let next = cue.handled_by(self.itself(), ctx).await?;
            happen(due.as_ref(), Moment::After, ctx).await?;
            Ok(next)
        })
    }

    fn terminate<'a>(&'a mut self, reason: &'a ExitReason, ctx: &'a mut Context<S>) -> Playing<'a, ()> {
        Box::pin(async move {
            let due = self.due(Phase::Terminate, "", ctx);
            happen(due.as_ref(), Moment::Before, ctx).await?;
            self.itself().terminate(reason, ctx).await?;
            happen(due.as_ref(), Moment::After, ctx).await
        })
    }
}
