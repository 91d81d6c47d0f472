//! Orders to end the incarnation that reads.

use super::mail_cell::{MailCell, Runner};
use crate::exit::ExitReason;
use crate::quiet;
use crate::word;
use std::sync::Arc;

impl<M: Send + 'static, X: Runner<M> + ?Sized> MailCell<M, X> {
    /// Ends the present incarnation at its next await, for this reason (the first one given counts). False when none
    /// reads.
    pub fn kill(self: &Arc<Self>, reason: ExitReason) -> bool {
        self.kill_incarnation(None, reason)
    }

    /// Like `kill`, but for one incarnation where one is named: a later incarnation goes on.
    pub fn kill_incarnation(self: &Arc<Self>, which: Option<u32>, reason: ExitReason) -> bool {
        let mut g = self.word.lock();
        if g.bits() & word::LEASED == 0 || which.is_some_and(|n| n != g.incarnation) {
            drop(g);
            quiet::discard("an exit reason", reason);
            return false;
        }
        let cold = g.cold();
        let late = if cold.doom.is_none() { cold.doom.replace(reason) } else { Some(reason) };
        let owes = g.raise(word::KILL);
        let parked = if owes { g.take_parked() } else { None };
        drop(g);
        if owes {
            self.wake(parked);
        }
        quiet::discard("an exit reason", late);
        true
    }

    /// Why the present incarnation is to be killed.
    pub fn doom(&self) -> ExitReason {
        self.word.lock().cold.as_ref().and_then(|c| c.doom.clone()).unwrap_or(ExitReason::Killed)
    }

    /// As above; `None`: there is no reader, or it is not to be killed.
    pub fn doomed(&self) -> Option<ExitReason> {
        let g = self.word.lock();
        let doomed = word::LEASED | word::KILL;
        (g.bits() & doomed == doomed).then(|| g.cold.as_ref().and_then(|c| c.doom.clone()))?
    }
}
