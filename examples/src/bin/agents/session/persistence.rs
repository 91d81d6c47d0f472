//! Keeps a session's last checkpoint, so that its core need not begin anew.

use super::Session;
use crate::text::Analysis;
use restante::prelude::*;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) struct Persistence {
    args: PersistenceArgs,
    last: Option<Checkpoint>,
    saved: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct PersistenceArgs {
    pub(crate) session: Arc<Session>,
}

/// What a core knew.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    /// For which content of the file.
    pub(crate) content: u32,
    pub(crate) analysis: Analysis,
}

/// What a core tells it. Of checkpoints that wait only the newest counts.
#[derive(Debug)]
pub(crate) enum Keep {
    Save(Box<Checkpoint>),
}

impl Keep {
    /// Checkpoints replace each other.
    pub(crate) const KEY: u128 = 1;
}

/// What a core asks.
pub(crate) struct Load(pub(crate) Reply<Option<Checkpoint>>);

impl GenServer for Persistence {
    type Args = PersistenceArgs;
    type Call = Load;
    type Cast = Keep;
    type Info = ();

    async fn init(args: &PersistenceArgs, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { args: args.clone(), last: None, saved: 0 }))
    }

    async fn handle_call(&mut self, Load(reply): Load, _: &mut Context<Self>) -> Step {
        reply.send(self.last.clone());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, Keep::Save(checkpoint): Keep, _: &mut Context<Self>) -> Step {
        let session = &self.args.session;
        session.strikes.on_message("persistence", &session.file.name, self.saved);
        self.saved += 1;
        self.last = Some(*checkpoint);
        Ok(Next::go())
    }
}
