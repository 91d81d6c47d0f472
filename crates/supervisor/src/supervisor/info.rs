//! What there is to see of children: what each is doing, and how many there are. A snapshot of the table, for people; the
//! tree below is [`crate::tree`]'s.

use super::SupervisorRef;
use crate::branch::{SupervisorCore, SupervisorState};
use crate::child::Child;
use crate::child_options::{ChildId, ChildKind};
use crate::dynamic::ChildKey;
use crate::rules::{Entry, Life, State};
use restante_core::Exit;
use restante_genserver::keeper::TableKey;
use restante_genserver::{GenServer, ServerRef};
use std::sync::{Arc, Weak};

/// What a child is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum ChildState {
    /// No process; its specification stays.
    Stopped,
    /// In `init`, for the first time or by hand.
    Starting,
    /// It reads its mailbox.
    Running,
    /// It has crashed, or its group has, and is about to read its mailbox again.
    Restarting,
    /// It was told to end.
    Stopping,
    /// It was killed, and does not end.
    Abandoned,
}

/// One child, as [`SupervisorRef::which_children`](super::SupervisorRef::which_children) shows it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChildInfo {
    /// Its key in this supervisor's table, never used again.
    pub key: ChildKey,
    /// Its id; where it has none, the name of its mailbox; else its number.
    pub id: ChildId,
    /// Worker or supervisor.
    pub kind: ChildKind,
    /// What it is doing.
    pub state: ChildState,
    /// The type of server that it is.
    pub type_name: &'static str,
    /// How often its own end had it restarted.
    pub restarts: u64,
    /// Its present incarnation, or its last; 0: none yet.
    pub incarnation: u32,
    /// How its last incarnation ended.
    pub last_exit: Option<Exit>,
    child: Weak<dyn Child>,
}

/// What leads on from here.
impl ChildInfo {
    /// The child as a server of this type, whatever it is doing; `None`: it is of another type, or the supervisor has let go
    /// of it.
    pub fn server<S: GenServer>(&self) -> Option<ServerRef<S>> {
        let reference = self.child.upgrade()?.reference()?;
        reference.downcast().ok().map(|server| *server)
    }

    /// The child as a supervisor; `None`: it is a worker, or the supervisor above has let go of it.
    pub fn supervisor(&self) -> Option<SupervisorRef> {
        self.child.upgrade()?.as_branch().map(|branch| SupervisorRef { branch })
    }
}

/// How many children there are. (OTP: `count_children`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ChildCounts {
    /// In the table.
    pub specs: usize,
    /// With a process, one in `init` for the first time included; not those that are being restarted.
    pub active: usize,
    /// Supervisors in the table.
    pub supervisors: usize,
    /// Others in the table.
    pub workers: usize,
}

/// What a child is doing, in such a life of its supervisor.
pub(crate) fn child_state<C>(entry: &Entry<C>, life: &Life) -> ChildState {
    match entry.state {
        State::Stopped if entry.wanted && *life == Life::Starting => ChildState::Starting,
        State::Stopped if entry.wanted => ChildState::Restarting,
        State::Stopped => ChildState::Stopped,
        State::Starting => ChildState::Starting,
        State::Running => ChildState::Running,
        State::Rejoining | State::Restarting => ChildState::Restarting,
        State::Stopping => ChildState::Stopping,
        State::Abandoned => ChildState::Abandoned,
    }
}

impl SupervisorCore {
    /// What there is to see of each child, in the order of their start.
    pub(crate) fn infos(&self) -> Vec<(ChildInfo, Arc<dyn Child>)> {
        let locked = self.lock();
        let children = locked.rules.children.iter();
        children.map(|(key, entry)| (self.info_of(&locked, *key, entry), Arc::clone(&entry.child))).collect()
    }

    /// What there is to see of one child.
    pub(crate) fn info(&self, key: u64) -> Option<ChildInfo> {
        let locked = self.lock();
        locked.rules.get(key).map(|entry| self.info_of(&locked, key, entry))
    }

    fn info_of(&self, locked: &SupervisorState, key: u64, entry: &Entry<Arc<dyn Child>>) -> ChildInfo {
        ChildInfo {
            key: ChildKey(TableKey { table: self.serial, key }),
            id: Self::id_of(locked, key),
            kind: entry.child.kind(),
            state: child_state(entry, &locked.rules.life),
            type_name: entry.child.type_name(),
            restarts: entry.restarts(),
            incarnation: entry.incarnation,
            last_exit: entry.last_exit().cloned(),
            child: Arc::downgrade(&entry.child),
        }
    }
}
