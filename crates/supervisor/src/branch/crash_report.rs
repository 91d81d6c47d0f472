//! What is said of an end that calls for it, in one event, and how a child is called there. Which ends do is decided in
//! [`crate::rules`]; who listens is the program's business.

use super::{SupervisorCore, SupervisorState};
use crate::child::Child;
use crate::child_options::ChildId;
use crate::path::step;
use crate::rules::Outcome;
use restante_core::quiet;
use restante_genserver::keeper::End;
use std::sync::Arc;

impl SupervisorCore {
    /// What a child is called: its id, else its mailbox's name, else its number.
    pub(crate) fn id_of(locked: &SupervisorState, key: u64) -> ChildId {
        locked
            .rules
            .get(key)
            .map_or_else(|| ChildId::from(format!("#{key}")), |entry| name_of(entry.id(), &*entry.child, key))
    }

    /// The supervisors above and this one, from the top, as a path.
    pub(crate) fn path(self: &Arc<Self>) -> String {
        let mut names = Vec::new();
        let mut at = Arc::clone(self);
        loop {
            let above = at.parent();
            names.push(match &above {
                Some((parent, key)) => step(Self::id_of(&parent.lock(), *key).as_str()).into_owned(),
                None => step(at.label()).into_owned(),
            });
            match above {
                Some((parent, _)) => at = parent,
                None => break,
            }
        }
        names.reverse();
        names.join("/")
    }

    /// One event for an end that calls for one, while the child is in the table.
    pub(crate) fn report(self: &Arc<Self>, key: u64, end: &End, outcome: Outcome) {
        if !is_heard() {
            return;
        }
        let who = self.lock().who(key);
        if let Some(who) = who {
            self.report_on(&who, end, outcome);
        }
    }

    pub(super) fn report_on(self: &Arc<Self>, who: &Who, end: &End, outcome: Outcome) {
        let exit = &end.exit;
        // An end in order is no failure, whatever its child's type; that it was one too many, or late, is.
        let is_plain =
            matches!(outcome, Outcome::Restarts | Outcome::Rests | Outcome::Goes | Outcome::Unexpected);
        let orderly = exit.reason.is_orderly() && is_plain;
        let outcome = match outcome {
            Outcome::Restarts => "it is restarted",
            Outcome::Rests => "it is not restarted",
            Outcome::Goes => "it is gone for good",
            Outcome::GivesUp => "restarted too often: its supervisor gives up",
            Outcome::Escalates => "its supervisor gives up with it",
            Outcome::Unexpected => "it was told to stop, and ended otherwise",
            Outcome::Late => "it was told to stop, did not in its time, and was killed",
            Outcome::NotStarted => "it did not start: its supervisor is rolled back",
        };
        macro_rules! tell {
            ($level:ident) => {
                tracing::$level!(
                    supervisors = %self.path(),
                    child = %who.id(),
                    server = who.child.type_name(),
                    incarnation = exit.incarnation,
                    restarts = who.restarts,
                    reason = %exit.reason,
                    phase = %exit.phase,
                    in_hand = exit.message.unwrap_or_default(),
                    // Why it was ending when its `terminate` failed.
                    before = exit.before.as_ref().map(tracing::field::display),
                    outcome,
                    "child ended"
                )
            };
        }
        quiet::run("a tracing subscriber", || if orderly { tell!(debug) } else { tell!(error) });
    }
}

/// Whether a subscriber listens to reports. Not to be asked under a lock, because the subscriber is foreign code.
pub(super) fn is_heard() -> bool {
    quiet::run("a tracing subscriber", || tracing::enabled!(tracing::Level::ERROR)).unwrap_or(false)
}

/// A child, for a report.
pub(crate) struct Who {
    id: Option<ChildId>,
    key: u64,
    child: Arc<dyn Child>,
    restarts: u64,
}

impl Who {
    fn id(&self) -> ChildId {
        name_of(self.id.as_ref(), &*self.child, self.key)
    }
}

/// What a child is called: its id, else its mailbox's name, else its number.
fn name_of(id: Option<&ChildId>, child: &dyn Child, key: u64) -> ChildId {
    id.cloned()
        .or_else(|| child.name().map(ChildId::from))
        .unwrap_or_else(|| ChildId::from(format!("#{key}")))
}

impl SupervisorState {
    pub(super) fn who(&self, key: u64) -> Option<Who> {
        let entry = self.rules.get(key)?;
        let (id, child) = (entry.id().cloned(), Arc::clone(&entry.child));
        Some(Who { id, key, child, restarts: entry.restarts() })
    }
}
