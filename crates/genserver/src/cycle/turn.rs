//! A wait for one's turn at something that one does at a time, and during which one waits for servers.
//!
//! A turn is a node of the graph. A handler that waits for it has an edge there, as it has to a server that it calls. Who
//! has the turn leads from there to the servers that are waited for meanwhile, as a [`Fall`] does: the turn comes back when
//! these have ended, or begun. So a handler of one of those servers hears of the ring, whether it would wait, or waits
//! already when the ring closes: it is woken to look.
//!
//! ```text
//!   handler of p1 ──waits──> turn ══taken══> p1, p2     refused: it would wait for its own end
//!   handler of x  ──waits──> turn ══taken══> p1, p2     waits until they have ended
//! ```
//!
//! Whether it is a handler that has the turn, or a task, makes no difference to those who wait for it.

use super::{Fall, Member, Path, Waiting, ends, has_closed, wait_for};
use crate::frame::Label;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;

/// What one waits for, one after the other.
#[derive(Debug)]
pub struct Turn {
    id: usize,
    /// What it is a turn at, in a path.
    what: &'static str,
}

impl Turn {
    /// It is free; `what` names it in a path.
    pub fn new(what: &'static str) -> Self {
        Self { id: ends::node(), what }
    }

    fn label(&self) -> Label {
        Label { kind: self.what, name: None }
    }

    /// Waits for what gives the turn. A handler that has to wait waits for all who are waited for during that turn.
    ///
    /// # Errors
    /// A ring that this wait closes, or has come to be part of. It has been given up.
    pub async fn wait<T>(&self, given: impl Future<Output = T>) -> Result<T, Path> {
        let mut given = pin!(given);
        // Once it has gone pending, where a handler runs here.
        let mut edge: Option<Waiting> = None;
        std::future::poll_fn(move |cx| {
            if let Poll::Ready(given) = given.as_mut().poll(cx) {
                return Poll::Ready(Ok(given));
            }
            if edge.is_none() {
                edge = wait_for(self.id, || self.label())?;
            } else if let Some(path) = has_closed(self.id, || self.label()) {
                return Poll::Ready(Err(path));
            }
            Poll::Pending
        })
        .await
    }

    /// One has the turn, for as long as what is returned lives; `by` names it in a path.
    pub fn taken(&self, by: &str) -> Taken {
        let mut fall = Fall::new(by);
        fall.down(vec![Member { id: self.id, label: self.label() }]);
        Taken { fall, waited_for: Vec::new() }
    }
}

/// A turn that one has.
#[derive(Debug)]
pub struct Taken {
    fall: Fall,
    waited_for: Vec<Member>,
}

impl Taken {
    /// These, and those before, are waited for during this turn. A handler that runs in one of them is to look.
    pub fn waits_for(&mut self, members: impl IntoIterator<Item = Member>) {
        self.waited_for.extend(members);
        self.fall.stops(self.waited_for.clone());
    }
}
