//! Stops: of one child, by hand or with others, and of the whole; who is down, who is killed, who is left behind. How long
//! a child is waited for is [`crate::perform`]'s.

use super::entry::{Entry, Kill, State};
use super::settings::Life;
use super::table::Rules;
use crate::child_options::Shutdown;
use restante_core::ExitReason;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What to do to stop a child.
pub(crate) enum Stopping<C> {
    /// Nothing.
    Down,
    /// Nothing more can be done.
    Abandoned,
    /// It was about to be restarted, and is no longer.
    Cancelled(Vec<oneshot::Sender<()>>),
    /// A caller is about to start it, and will find that it must not begin.
    Unbegun,
    /// An incarnation is there, to be told.
    Tell {
        child: C,
        incarnation: u32,
        /// There is no state yet that could be cleaned up.
        in_init: bool,
        shutdown: Shutdown,
    },
}

impl<C: Clone> Rules<C> {
    /// The supervisor is to end, for the first reason given; if it is not down.
    pub(crate) fn end(&mut self, reason: ExitReason) {
        if matches!(self.life, Life::Down | Life::Ending(_)) {
            self.aftermath.put(reason);
        } else {
            self.life = Life::Ending(reason);
        }
        if self.life == Life::Down {
            return;
        }
        self.group = None;
        self.falling = None;
        for entry in self.children.values_mut() {
            entry.wanted = false;
        }
    }

    /// A child is down.
    pub(crate) fn rest(&mut self, key: u64) -> Vec<oneshot::Sender<()>> {
        let Some(entry) = self.children.get_mut(&key) else { return Vec::new() };
        let from = entry.state;
        let waiting = entry.rests();
        self.count(from, State::Stopped);
        waiting
    }

    /// Those of these children that wait out the pause before their restart: nothing of them is there, and each is down as
    /// soon as its restart is taken back ([`Rules::rest`]).
    pub(crate) fn in_pause(&self, keys: Range<u64>) -> Vec<u64> {
        let waits = |entry: &Entry<C>| entry.state == State::Restarting && !entry.begun;
        self.children.range(keys).filter(|(_, entry)| waits(entry)).map(|(key, _)| *key).collect()
    }

    /// A child is to be stopped.
    pub(crate) fn stops(&mut self, key: u64, by_hand: bool) -> Stopping<C> {
        let Some(entry) = self.children.get_mut(&key) else { return Stopping::Down };
        entry.wanted &= !by_hand;
        entry.halted |= by_hand;
        let options = Arc::clone(&entry.options);
        let child = entry.child.clone();
        let incarnation = entry.incarnation;
        let begun = entry.begun;
        match entry.state {
            State::Stopped => return Stopping::Down,
            State::Abandoned => return Stopping::Abandoned,
            // It waits for its next incarnation, which will not come.
            State::Restarting if !begun => {
                let told = self.rest(key);
                return Stopping::Cancelled(told);
            }
            _ => {}
        }
        let in_init = matches!(entry.state, State::Starting | State::Rejoining | State::Restarting);
        self.change(key, State::Stopping);
        if !begun {
            // The caller that is about to start it is told no by `begins`.
            return Stopping::Unbegun;
        }
        Stopping::Tell { child, incarnation, in_init, shutdown: options.shutdown }
    }

    /// A child that is to be stopped by hand is not to start with its supervisor.
    pub(crate) fn switch_off(&mut self, key: u64) {
        if let Some(entry) = self.children.get_mut(&key) {
            entry.cold().off = true;
        }
    }

    /// Who asks is told when the child is down; `None`: it is.
    pub(crate) fn listen(&mut self, key: u64) -> Option<oneshot::Receiver<()>> {
        let entry = self.children.get_mut(&key)?;
        if entry.state == State::Stopped {
            return None;
        }
        let (tell, told) = oneshot::channel();
        entry.cold().waiting.push(tell);
        Some(told)
    }

    /// The supervisor kills a child. False: it has done so before, for no lesser cause.
    pub(crate) fn kills(&mut self, key: u64, kill: Kill) -> bool {
        let Some(entry) = self.children.get_mut(&key).filter(|entry| entry.kill < kill) else { return false };
        entry.kill = kill;
        true
    }

    /// A child is left behind.
    pub(crate) fn abandon(&mut self, key: u64) {
        if self.get(key).is_some_and(|entry| entry.state.is_live()) {
            self.change(key, State::Abandoned);
        }
    }

    /// The child that was started last of those before this one that are not down.
    pub(crate) fn last_live(&self, before: u64) -> Option<u64> {
        self.children.range(..before).rev().find(|(_, entry)| entry.state.is_live()).map(|(key, _)| *key)
    }

    /// All that are not down.
    pub(crate) fn live_keys(&self) -> Vec<u64> {
        self.children.iter().filter(|(_, entry)| entry.state.is_live()).map(|(key, _)| *key).collect()
    }

    /// All that were killed, and have not ended even so.
    pub(crate) fn abandoned(&self) -> Vec<u64> {
        let abandoned = self.children.iter().filter(|(_, entry)| entry.state == State::Abandoned);
        abandoned.map(|(key, _)| *key).collect()
    }

    /// Whether nothing of the child has to be waited for.
    pub(crate) fn is_down(&self, key: u64) -> bool {
        self.get(key).is_none_or(|entry| !entry.state.is_live())
    }
}
