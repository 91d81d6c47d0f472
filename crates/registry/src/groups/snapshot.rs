//! All groups of a scope at one instant.

use super::books::Table;
use super::current::Counted;
use super::member_list::{MemberList, Members};
use super::monitor::GroupEvent;
use super::scope::GroupName;
use scc::Guard;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

/// All groups of a scope at one instant, with their members. It does not change any more, and shares its lists with the scope:
/// to take one costs a count for each group and none for a member.
pub struct ScopeSnapshot<T: Send + 'static, K: GroupName = Arc<str>>(Lists<T, K>);

type Lists<T, K> = HashMap<K, Counted<MemberList<T>>, foldhash::fast::RandomState>;

impl<T: Send + 'static, K: GroupName> ScopeSnapshot<T, K> {
    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members of a group; none where there is no such group.
    pub fn members<Q>(&self, group: &Q) -> Members<'_, T>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        Members(self.0.get(group).map(|list| &**list))
    }

    /// All groups with their members, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, Members<'_, T>)> {
        self.0.iter().map(|(group, list)| (group, Members(Some(&**list))))
    }

    /// Looks at all groups, without a lock: each as it was at some instant during the look. A group that did not change
    /// meanwhile is there, and as it is.
    pub(super) fn look(table: &Table<T, K>) -> Self {
        let guard = Guard::new();
        let mut lists = Lists::with_capacity_and_hasher(table.len(), foldhash::fast::RandomState::default());
        for (group, known) in table.iter(&guard) {
            let list = known.list.counted();
            if list.len() > 0 {
                // While the table grows an entry may be met twice.
                lists.insert(group.clone(), list);
            }
        }
        Self(lists)
    }

    /// The snapshot with what happened during the look.
    pub(super) fn with(mut self, changes: Changes<T, K>) -> Self {
        match changes {
            Changes::TooMany(all) => all,
            Changes::These(events, now) => {
                for (event, list) in events.iter().zip(now) {
                    match list {
                        Some(list) => drop(self.0.insert(event.group.clone(), list)),
                        None => drop(self.0.remove(&event.group)),
                    }
                }
                self
            }
        }
    }
}

/// What happened during a look at all groups.
pub(super) enum Changes<T: Send + 'static, K: GroupName> {
    /// These events, and how each one's group is after all of them.
    These(Vec<Arc<GroupEvent<T, K>>>, Vec<Option<Counted<MemberList<T>>>>),
    /// More than was kept: so all groups are now.
    TooMany(ScopeSnapshot<T, K>),
}

impl<T: Send + 'static, K: GroupName + fmt::Debug> fmt::Debug for ScopeSnapshot<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
