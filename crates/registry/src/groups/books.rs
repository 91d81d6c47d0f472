//! Who is where: decided under the scope's lock, published for readers.
//!
//! Two records of one truth. The table (group → list) is what readers see; the books (member → its places in the lists) are
//! for writers, so that a leave costs the same in a group of two and in one of a hundred thousand.

use super::current::Current;
use super::member::Member;
use super::member_list::MemberList;
use super::scope::{GroupName, Tie};
use scc::HashIndex;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use uuid::Uuid;

/// What readers see. A group that is in it has members, but for the moment in which it is being taken out.
pub(super) type Table<T, K> = HashIndex<K, Arc<Group<T>>, foldhash::fast::RandomState>;

/// A group: its list, and whose turn it is.
pub(super) struct Group<T: Send + 'static> {
    pub(super) list: Current<MemberList<T>>,
    pub(super) turn: AtomicUsize,
}

/// Where everybody is.
pub(super) struct Books<T: Send + 'static, K: GroupName> {
    at: HashMap<Uuid, Places<T, K>>,
}

/// Where a member is: who is told of its end, and in each group its places in the list, in the order of its joins.
pub(super) struct Places<T: Send + 'static, K: GroupName> {
    pub(super) tie: Arc<Tie<T, K>>,
    pub(super) member: Member<T>,
    groups: HashMap<K, Vec<usize>>,
}

impl<T: Send + 'static, K: GroupName> Books<T, K> {
    pub(super) fn new() -> Self {
        Self { at: HashMap::new() }
    }

    pub(super) fn knows(&self, id: Uuid) -> bool {
        self.at.contains_key(&id)
    }

    /// Enters a member, of whose end the scope is told from now on. The caller lets it join a group in the same section.
    pub(super) fn admit(&mut self, member: Member<T>, tie: Arc<Tie<T, K>>) {
        self.at.insert(member.id(), Places { tie, member, groups: HashMap::new() });
    }

    /// The opposite, where it joined nothing.
    pub(super) fn dismiss(&mut self, id: Uuid) -> Option<Places<T, K>> {
        self.at.remove(&id)
    }

    /// Puts members that are known into a group, once for each time that they are named.
    pub(super) fn join(&mut self, table: &Table<T, K>, group: &K, members: &[Member<T>]) {
        let known = table.peek_with(group, |_, known| Arc::clone(known));
        let mut list =
            known.as_ref().map_or_else(MemberList::new, |known| known.list.with(MemberList::clone));
        for member in members {
            let place = list.push(member.clone());
            let places = self.at.get_mut(&member.id()).expect("it was admitted under the same lock");
            match places.groups.get_mut(group) {
                Some(places) => places.push(place),
                None => drop(places.groups.insert(group.clone(), vec![place])),
            }
        }
        let Some(known) = known else {
            let new = Group { list: Current::new(list), turn: AtomicUsize::new(0) };
            let added = table.insert_sync(group.clone(), Arc::new(new));
            debug_assert!(added.is_ok(), "nobody else writes");
            return;
        };
        known.list.set(list);
    }

    /// Takes each of these out of a group once, if it is there: who was, and the group's name. Who is nowhere any more goes
    /// to `gone`.
    pub(super) fn leave<Q>(
        &mut self,
        table: &Table<T, K>,
        group: &Q,
        ids: impl Iterator<Item = Uuid>,
        gone: &mut Vec<Places<T, K>>,
    ) -> Option<(K, Vec<Member<T>>)>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let (name, known) = table.peek_with(group, |name, known| (name.clone(), Arc::clone(known)))?;
        let mut list = known.list.with(MemberList::clone);
        let mut left = Vec::new();
        for id in ids {
            let Some(places) = self.at.get_mut(&id) else { continue };
            let Some(of_group) = places.groups.get_mut(group) else { continue };
            let place = of_group.pop().expect("who has no place in a group is not recorded there");
            if of_group.is_empty() {
                places.groups.remove(group);
            }
            if places.groups.is_empty() {
                gone.extend(self.at.remove(&id));
            }
            let (member, moved) = list.take(place);
            left.push(member);
            if let Some(moved) = moved {
                self.moved(moved, group, list.len(), place);
            }
        }
        if left.is_empty() {
            return None;
        }
        let empty = list.len() == 0;
        // An emptied list is published first, because a reader that has found the group must not keep its last member's
        // memory.
        known.list.set(list);
        if empty {
            table.remove_sync(&name);
        }
        Some((name, left))
    }

    /// The groups that a member is in.
    pub(super) fn groups_of(&self, id: Uuid) -> Vec<K> {
        self.at.get(&id).map(|places| places.groups.keys().cloned().collect()).unwrap_or_default()
    }

    /// How many times a member is in a group.
    pub(super) fn times(&self, id: Uuid, group: &K) -> usize {
        self.at.get(&id).and_then(|places| places.groups.get(group)).map_or(0, Vec::len)
    }

    /// All members that are still known.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Places<T, K>> {
        self.at.values()
    }

    fn moved<Q>(&mut self, id: Uuid, group: &Q, from: usize, to: usize)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let of_group = self.at.get_mut(&id).and_then(|places| places.groups.get_mut(group));
        let place = of_group.and_then(|places| places.iter_mut().find(|place| **place == from));
        *place.expect("whoever is in a list has its place recorded") = to;
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use crate::{Groups, Member};
    use restante_core::Mailbox;
    use std::collections::HashMap;
    use uuid::Uuid;

    /// The books and the table agree after every step, against a multiset per group.
    #[test]
    fn random_joins_leaves_and_ends_agree_with_a_model() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..20 {
            let groups = Groups::<u8, u8>::new();
            let mut boxes: Vec<_> = (0..90).map(|_| Mailbox::<u8>::new()).map(Some).collect();
            let members: Vec<_> =
                boxes.iter().flatten().map(|mailbox| Member::address(&mailbox.address())).collect();
            let mut model: HashMap<u8, HashMap<Uuid, usize>> = HashMap::new();
            for _ in 0..600 {
                let (group, who) = (random.u8(..3), random.usize(..members.len()));
                let member = &members[who];
                let times = model.entry(group).or_default().entry(member.id()).or_default();
                match random.u8(..40) {
                    0 => {
                        boxes[who] = None;
                        for of_group in model.values_mut() {
                            of_group.remove(&member.id());
                        }
                    }
                    1..25 => {
                        let joined = groups.join(group, member);
                        assert_eq!(joined.is_ok(), boxes[who].is_some());
                        *times += usize::from(joined.is_ok());
                    }
                    _ => {
                        let left = groups.leave(&group, member);
                        assert_eq!(left.is_ok(), *times > 0);
                        *times -= usize::from(left.is_ok());
                    }
                }
                for group in 0..3 {
                    let mut seen: HashMap<Uuid, usize> = HashMap::new();
                    groups.members(&group).iter().for_each(|m| *seen.entry(m.id()).or_default() += 1);
                    let expected = model.entry(group).or_default();
                    expected.retain(|_, times| *times > 0);
                    assert_eq!(&seen, expected);
                    assert_eq!(groups.which_groups().contains(&group), !seen.is_empty());
                    assert_eq!(groups.scope.table.contains(&group), !seen.is_empty());
                }
            }
        }
    }
}
