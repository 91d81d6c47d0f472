//! What passes between a starter and an incarnation: the arguments there, the outcome back.

use crate::keeper::Keeper;
use crate::server::GenServer;
use restante_core::ExitReason;
use std::fmt;
use std::sync::Arc;

/// What became of `init`.
#[derive(Debug)]
pub(crate) enum Outcome {
    Started,
    Ignored,
    Stopped(ExitReason),
}

/// Where a starter who has to wait is told.
pub(crate) type StartSender = tokio::sync::oneshot::Sender<Outcome>;

/// Arguments, given or lent.
pub(crate) enum Lent<S: GenServer> {
    Given(S::Args),
    Shared(Arc<S::Args>),
    Kept(Arc<dyn Keeper<S>>),
    /// For a stand-in, which needs none.
    Nothing,
}

impl<S: GenServer> Lent<S> {
    pub(crate) fn get(&self) -> &S::Args {
        self.given().expect("only where a stand-in plays is there nothing to lend")
    }

    pub(crate) fn given(&self) -> Option<&S::Args> {
        match self {
            Self::Given(args) => Some(args),
            Self::Shared(args) => Some(args),
            Self::Kept(keeper) => Some(keeper.args()),
            Self::Nothing => None,
        }
    }
}

impl<S: GenServer> fmt::Debug for Lent<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent")
    }
}
