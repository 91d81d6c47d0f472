//! A look at what is queued.

use super::Sys;
use crate::message::Message;
use crate::server::GenServer;
use restante_core::Lane;
use restante_core::look::Looked;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is queued, in the order in which it would be read if nothing else came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peek {
    /// The messages that were looked at.
    pub messages: Vec<Peeked>,
    /// How many more are queued: beyond what was asked for, and those below.
    pub more: u64,
    /// Whether some could not be looked at: the server has taken them for its present turn, and a handler is on its thread right
    /// now. (Of those of a server on its own thread it is at most one of each lane but the one that is in hand. What any
    /// server has taken from the control lane along with others is not known of at all.)
    pub partial: bool,
}

/// A queued message: what it is called, never what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peeked {
    /// The lane it waits in.
    pub lane: Lane,
    /// What it is called.
    pub name: &'static str,
    /// How many handlers have started on it before.
    pub attempts: u32,
}

impl<S: GenServer> Sys<'_, S> {
    /// The names of the first `most` messages that are queued. Senders wait for a few of them at a time, however many are queued.
    pub fn peek(&self, most: usize) -> Peek {
        let mut seen = Vec::new();
        let looked = self.look_over(most, |lane, name, attempts| seen.push(Peeked { lane, name, attempts }));
        let all = self.queued(looked);
        Peek { more: all.saturating_sub(seen.len() as u64), messages: seen, partial: all > looked.queued }
    }

    /// How many of each name are queued (of a long queue that sheds or coalesces meanwhile: to within what it does), and of
    /// those that cannot be looked at (see [`Peek::partial`]) under the name `"?"`.
    pub fn frequencies(&self) -> BTreeMap<&'static str, u64> {
        let mut by_name = BTreeMap::new();
        let mut count = |(name, n): (&'static str, u64)| {
            if n > 0 {
                *by_name.entry(name).or_insert(0) += n;
            }
        };
        let mut run = ("", 0);
        let looked = self.look_over(usize::MAX, |_, name, _| {
            // Senders wait meanwhile, so the place of a run of one name is looked up once.
            if run.0 != name {
                count(std::mem::replace(&mut run, (name, 0)));
            }
            run.1 += 1;
        });
        count(run);
        let unseen = self.queued(looked) - looked.queued;
        if unseen > 0 {
            by_name.insert("?", unseen);
        }
        by_name
    }

    fn look_over(&self, most: usize, mut each: impl FnMut(Lane, &'static str, u32)) -> Looked {
        self.cell().look_over(most, |lane, message, attempts| each(lane, name_of(message), attempts))
    }

    /// How many are queued, what could not be looked at included.
    fn queued(&self, looked: Looked) -> u64 {
        if looked.complete { looked.queued } else { self.message_queue_len().max(looked.queued) }
    }
}

/// What a message is called. (The names are the user's, and may be asked for under a lock.)
fn name_of<S: GenServer>(message: &Message<S>) -> &'static str {
    catch_unwind(AssertUnwindSafe(|| message.name())).unwrap_or_else(|payload| {
        drop(restante_core::ExitReason::from_panic(payload));
        "<no name>"
    })
}
