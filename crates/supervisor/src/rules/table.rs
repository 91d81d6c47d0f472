//! The table: who comes into it and who leaves it, under which key and id, and what is counted of all. When a child is to
//! leave is decided in the other rooms.

use super::aftermath::Aftermath;
use super::entry::{Cold, Entry, Kill, Origin, State};
use super::group::Group;
use super::settings::{Life, Settings};
use crate::child_options::{ChildId, ChildOptions};
use crate::error::SpecError;
use crate::intensity::Window;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The table and what is decided by it.
pub(crate) struct Rules<C> {
    pub(crate) settings: Settings,
    /// By key: in the order of their start.
    pub(crate) children: BTreeMap<u64, Entry<C>>,
    pub(super) ids: HashMap<ChildId, u64>,
    pub(super) next_key: u64,
    /// Children that are not down.
    pub(crate) live: usize,
    /// Children that have ended for good, and whose mailboxes are about to be closed.
    pub(crate) leaving: usize,
    /// Children with a process.
    pub(crate) active: usize,
    /// Children that are supervisors.
    pub(crate) supervisors: usize,
    /// The options that the last child was given: a million of them mostly have the same.
    pub(super) last_options: Option<Arc<ChildOptions>>,
    pub(crate) life: Life,
    pub(crate) group: Option<Group>,
    /// The performer is stopping this group.
    pub(crate) falling: Option<Group>,
    /// What the supervisor may take to give up, for those above to be able to (see [`crate::tempo`]).
    pub(super) above: Option<Duration>,
    /// Counts what was changed of that or of the settings.
    pub(super) changes: u64,
    pub(super) window: Window,
    pub(super) rng: fastrand::Rng,
    pub(crate) restarts: u64,
    /// Reasons that are not asked for any more. An error in one is user code, and its drop may do anything, so they are not
    /// dropped under the lock.
    pub(crate) aftermath: Aftermath,
}

/// Why a child could not be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AddError {
    Taken {
        key: u64,
    },
    Full {
        active: usize,
    },
    Down,
    Supervised,
    /// It runs, and no supervisor has started it.
    Running,
    /// It makes no sense beside the settings.
    Spec(SpecError),
}

impl<C: Clone> Rules<C> {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            children: BTreeMap::new(),
            ids: HashMap::new(),
            next_key: 0,
            live: 0,
            leaving: 0,
            active: 0,
            supervisors: 0,
            last_options: None,
            life: Life::Down,
            group: None,
            falling: None,
            above: None,
            changes: 0,
            window: Window::default(),
            rng: fastrand::Rng::with_seed(seed),
            restarts: 0,
            aftermath: Aftermath::default(),
        }
    }

    /// The key of the child with this id.
    pub(crate) fn key_of(&self, id: &str) -> Option<u64> {
        self.ids.get(id).copied()
    }

    pub(crate) fn get(&self, key: u64) -> Option<&Entry<C>> {
        self.children.get(&key)
    }

    /// A child's name: its id, else its number.
    pub(crate) fn id_of(&self, key: u64) -> ChildId {
        self.get(key).and_then(Entry::id).cloned().unwrap_or_else(|| ChildId::from(format!("#{key}")))
    }

    /// Adds a child: stopped, or, where it is `added` to a running supervisor, about to be started by the caller that adds
    /// it. Returns its key, and what names that start.
    pub(crate) fn add(
        &mut self,
        id: Option<ChildId>,
        child: C,
        options: Arc<ChildOptions>,
        added: bool,
    ) -> Result<(u64, u32), AddError> {
        if added && matches!(self.life, Life::Down | Life::Ending(_)) {
            return Err(AddError::Down);
        }
        let indexed = id.as_ref().filter(|_| !self.settings.dynamic);
        if let Some(key) = indexed.and_then(|id| self.ids.get(id)) {
            return Err(AddError::Taken { key: *key });
        }
        if self.children.len() >= self.settings.max_children {
            return Err(AddError::Full { active: self.children.len() });
        }
        let key = self.take_key();
        self.insert(key, id, child, options, if added { Origin::Tentative } else { Origin::Spec });
        // A child that is added belongs to its starter from the first moment that others see it.
        let start = if added { self.starts(key).map_or(0, |(_, start)| start) } else { 0 };
        Ok((key, start))
    }

    /// Takes a key that no other child has.
    pub(crate) fn take_key(&mut self) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        key
    }

    /// Puts a child into the table, whose id and key no other child has there.
    pub(crate) fn insert(
        &mut self,
        key: u64,
        id: Option<ChildId>,
        child: C,
        options: Arc<ChildOptions>,
        origin: Origin,
    ) {
        if let Some(id) = id.as_ref().filter(|_| !self.settings.dynamic) {
            self.ids.insert(id.clone(), key);
        }
        let cold = id.map(|id| Box::new(Cold { id: Some(id), ..Cold::default() }));
        let entry = Entry {
            child,
            options,
            cold,
            incarnation: 0,
            epoch: 0,
            state: State::Stopped,
            begun: false,
            wanted: false,
            origin,
            discarded: false,
            supervisor: false,
            halted: false,
            kill: Kill::No,
        };
        self.children.insert(key, entry);
    }

    /// These options, in one place for all children that have the same.
    pub(crate) fn shared(&mut self, options: ChildOptions) -> Arc<ChildOptions> {
        match &self.last_options {
            Some(last) if **last == options => Arc::clone(last),
            _ => Arc::clone(self.last_options.insert(Arc::new(options))),
        }
    }

    /// Whether the last child that came had other options.
    pub(crate) fn is_news(&self, options: &ChildOptions) -> bool {
        self.last_options.as_deref() != Some(options)
    }

    /// A child that has just been added is a supervisor.
    pub(crate) fn note_supervisor(&mut self, key: u64) {
        if let Some(entry) = self.children.get_mut(&key).filter(|entry| !entry.supervisor) {
            entry.supervisor = true;
            self.supervisors += 1;
        }
    }

    /// A child's state changes, and with it what is counted. In the table or, with its entry, on the way out of it.
    pub(super) fn count(&mut self, from: State, to: State) {
        self.live = self.live + usize::from(to.is_live()) - usize::from(from.is_live());
        self.active = self.active + usize::from(to.is_active()) - usize::from(from.is_active());
    }

    pub(super) fn change(&mut self, key: u64, to: State) {
        let Some(entry) = self.children.get_mut(&key) else { return };
        let from = std::mem::replace(&mut entry.state, to);
        self.count(from, to);
    }

    /// Takes a stopped child out of the table. The caller closes it, and then it has left.
    pub(crate) fn remove(&mut self, key: u64) -> Option<C> {
        let entry = self.children.remove(&key)?;
        self.count(entry.state, State::Stopped);
        self.leaving += 1;
        self.supervisors -= usize::from(entry.supervisor);
        if let Some(id) = entry.id().filter(|_| !self.settings.dynamic) {
            self.ids.remove(id);
        }
        if let Some(old) = entry.cold.and_then(|cold| cold.last_exit) {
            self.aftermath.put(old.reason);
        }
        Some(entry.child)
    }
}
