//! What a request knows of its server.

use crate::about::Who;
use crate::call;
use crate::executor::Cell;
use crate::frame::Label;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::slot::Outcome;
use crate::{CallError, cycle};
use std::convert::Infallible;
use std::sync::Arc;

/// A server of any type, as the waiter for its answer sees it. It keeps neither the server nor its mailbox open.
pub(crate) trait Target: Send + Sync {
    /// Why there is no answer.
    fn why(&self, missing: Outcome<Infallible>) -> CallError;
    /// The runtime in which the server lives.
    fn rt(&self) -> Option<Arc<Rt>>;
    /// What it is called in errors.
    fn label(&self) -> Label;
    /// What it is called in errors, with its id.
    fn who(&self) -> Who;
}

impl<S: GenServer> Target for Cell<S> {
    fn why(&self, missing: Outcome<Infallible>) -> CallError {
        let Err(error) = call::settle(self, missing);
        error
    }

    fn rt(&self) -> Option<Arc<Rt>> {
        self.runner.rt()
    }

    fn label(&self) -> Label {
        call::label(self)
    }

    fn who(&self) -> Who {
        call::who(self)
    }
}

/// A server that is waited for: the target, and what names it among the waits.
#[derive(Clone)]
pub(crate) struct Asked {
    target: Arc<dyn Target>,
    id: usize,
}

impl Asked {
    pub(crate) fn new<S: GenServer>(cell: &Arc<Cell<S>>) -> Self {
        let (target, id): (Arc<Cell<S>>, _) = (Arc::clone(cell), cell.link_id());
        Self { target, id }
    }

    pub(crate) fn id(&self) -> usize {
        self.id
    }

    pub(crate) fn label(&self) -> Label {
        self.target.label()
    }

    pub(crate) fn who(&self) -> Who {
        self.target.who()
    }

    pub(crate) fn rt(&self) -> Option<Arc<Rt>> {
        self.target.rt()
    }

    /// The caller's view of what the slot says.
    pub(crate) fn settle<T>(&self, outcome: Outcome<T>) -> Result<T, CallError> {
        Err(self.target.why(match outcome {
            Outcome::Value(value) => return Ok(value),
            Outcome::Failed(reason) => Outcome::Failed(reason),
            Outcome::Late => Outcome::Late,
            Outcome::Dead(cause) => Outcome::Dead(cause),
        }))
    }

    /// A wait that goes on: the ring that it is part of by now.
    pub(crate) fn has_closed(&self) -> Option<CallError> {
        cycle::has_closed(self.id, || self.label()).map(|path| CallError::Cycle { path })
    }

    /// The server whose handler runs here, if one does, begins to wait for this one.
    pub(crate) fn wait(&self) -> Result<Option<cycle::Waiting>, CallError> {
        cycle::wait_for(self.id, || self.label()).map_err(|path| CallError::Cycle { path })
    }
}
