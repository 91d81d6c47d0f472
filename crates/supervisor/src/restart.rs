//! Which ends call for a restart: OTP's table.

use restante_core::ExitReason;

/// When a child that has ended by itself is restarted.
///
/// So are child tasks ([`TaskSupervisor::start_child_with`](crate::task::TaskSupervisor::start_child_with)); they have no
/// specification and no mailbox, and nothing stays of one that is not.
///
/// Source: OTP `supervisor`, the child specification's `restart`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// After an abnormal end: any but normal and the shutdowns. After one of these its specification stays, and it can be
    /// restarted by hand.
    Transient,
    /// Never. Its specification goes with it, and its mailbox closes.
    Temporary,
}

/// What becomes of a child that has ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Restarts,
    /// The specification stays, without a process.
    Rests,
    /// The specification goes as well.
    Goes,
}

impl Fate {
    /// The fate where specifications do not stay without a process.
    pub(crate) fn without_rest(self) -> Self {
        if self == Self::Rests { Self::Goes } else { self }
    }
}

/// The table.
pub(crate) fn fate(restart: Restart, reason: &ExitReason) -> Fate {
    match (restart, reason.is_orderly()) {
        (Restart::Permanent, _) | (Restart::Transient, false) => Fate::Restarts,
        (Restart::Transient, true) => Fate::Rests,
        (Restart::Temporary, _) => Fate::Goes,
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    /// Row G3: permanent / transient / temporary, by every kind of reason. (OTP `supervisor_SUITE`: `permanent_normal`,
    /// `permanent_shutdown`, `permanent_abnormal` and their transient and temporary brothers.)
    #[test]
    fn the_table_is_that_of_the_manual() {
        use Fate::{Goes, Restarts, Rests};
        let orderly = [ExitReason::Normal, ExitReason::Shutdown, ExitReason::shutdown_with("done")];
        let abnormal = [ExitReason::Killed, ExitReason::error("no"), ExitReason::NoProcess];
        for reason in &orderly {
            let fates = [Restart::Permanent, Restart::Transient, Restart::Temporary].map(|r| fate(r, reason));
            assert_eq!(fates, [Restarts, Rests, Goes], "{reason}");
        }
        for reason in &abnormal {
            let fates = [Restart::Permanent, Restart::Transient, Restart::Temporary].map(|r| fate(r, reason));
            assert_eq!(fates, [Restarts, Restarts, Goes], "{reason}");
        }
    }

    /// Where a child could not be restarted by hand, one that would rest goes.
    #[test]
    fn where_nothing_rests_it_goes() {
        use Fate::{Goes, Restarts, Rests};
        assert_eq!([Restarts, Rests, Goes].map(Fate::without_rest), [Restarts, Goes, Goes]);
    }
}
