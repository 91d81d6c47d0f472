//! A scope of groups: joining, leaving, reading.

use super::books::{Books, Places, Table};
use super::current::Counted;
use super::member::Member;
use super::member_list::{MemberList, Members};
use super::monitor::{Events, Feeds, GroupChange, GroupEvent, GroupMonitor, ScopeMonitor};
use super::snapshot::ScopeSnapshot;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use restante_core::addressable::OnClose;
use restante_core::{ExitReason, quiet};
use scc::{Guard, HashIndex};
use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Weak};
use uuid::Uuid;

/// How many events a scope keeps for monitors that have not read them, in all and for each monitored group, unless told
/// otherwise.
pub const DEFAULT_MONITOR_CAPACITY: usize = 1024;

/// How many groups a closed mailbox is taken out of before another thread may have the lock.
const AT_ONCE: usize = 64;

/// What can name a group: an `Arc<str>` (which is what [`Groups`] uses unless told otherwise), a number, a tuple, an enum.
///
/// Its `Clone`, `Eq`, `Hash` and `Drop` run under the scope's lock: they must neither panic nor use the scope.
pub trait GroupName: Clone + Eq + Hash + Send + Sync + 'static {}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> GroupName for K {}

/// A scope of process groups: who takes messages of type `T`, under common names. Cheap to clone; scopes know nothing of each
/// other.
///
/// Any term names a group in `pg`, so names are generic here, and typed: a group is `"workers"`, or `(tenant, shard)` without
/// being written as a string first. Look-ups take whatever the name lends (`&str` for `Arc<str>`).
///
/// # Reads
/// [`members`](Self::members), [`with_members`](Self::with_members), [`count`](Self::count),
/// [`which_groups`](Self::which_groups), picking and [`broadcast`](Self::broadcast) take no lock, ask no server and do not
/// wait. What is promised of them:
/// - One group is read at one instant: a list that was true then, whole.
/// - What this thread did, or has heard of by any means that synchronise, is seen: after `join` or `leave` has returned, and
///   after a monitor of a member's end has fired.
/// - What another thread does at the same time may be seen or not: a member that another thread has just taken out may still
///   be in what was read. A member in a list may close at any time; a send to it is refused then.
///
/// # Ends
/// Membership does not keep a mailbox open. When a mailbox closes its memberships are over before links, monitors and waiting
/// senders hear of it. A restart is no end: the mailbox is the identity, and goes on. Whatever a scope was told of a member's
/// mailbox is forgotten when it left for the last time; the memory goes some operations later. A scope ends with the last handle
/// to it: its monitors are told what they have not read, and then no more.
///
/// Source: OTP's `pg`. Differs: no server, so no scope can be down, and none forgets its members by a restart; members are
/// those of this process, not of a cluster; who has ended cannot join.
///
/// ```
/// use restante_core::Mailbox;
/// use restante_registry::{Groups, Member};
/// let mailbox = Mailbox::<u32>::new();
/// let workers = Groups::<u32>::new();
/// workers.join("thumbnails", &Member::address(&mailbox.address()))?;
/// assert_eq!(workers.count("thumbnails"), 1);
/// workers.send("thumbnails", 7).expect("somebody has room");
/// mailbox.close();
/// assert_eq!(workers.count("thumbnails"), 0);
/// assert!(workers.which_groups().is_empty(), "without members there is no group");
/// # Ok::<_, restante_registry::JoinError>(())
/// ```
pub struct Groups<T: Send + 'static, K: GroupName = Arc<str>> {
    pub(super) scope: Arc<Scope<T, K>>,
}

/// The member cannot join, and none has joined.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The mailbox takes nothing any more.
    #[error("the mailbox {member} is closed")]
    Closed {
        /// Whose.
        member: Uuid,
    },
}

impl JoinError {
    /// Whether the mailbox that was to join is gone, for ever ([`Closed`](Self::Closed)).
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

/// Who would leave was not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has not joined the group")]
pub struct NotJoined;

impl NotJoined {
    /// Whether what was addressed is gone. Always: there is no such membership, or no longer.
    pub fn is_gone(&self) -> bool {
        true
    }
}

/// Joining and leaving.
impl<T: Send + 'static, K: GroupName> Groups<T, K> {
    /// A scope without groups.
    pub fn new() -> Self {
        Self::with_monitor_capacity(DEFAULT_MONITOR_CAPACITY)
    }

    /// A scope that keeps so many events for slow monitors (default: [`DEFAULT_MONITOR_CAPACITY`]; 0 counts as 1): once for
    /// all monitors of the scope, and once for each group that is monitored.
    pub fn with_monitor_capacity(events: usize) -> Self {
        Self { scope: Arc::new(Scope::new(events.max(1))) }
    }

    /// Joins a group, which exists from then on. Who joins k times is there k times, and has to leave k times: in `init`, see
    /// [`Groups::join_once`].
    ///
    /// # Errors
    /// [`JoinError::Closed`]: the mailbox is closed.
    ///
    /// Source: `pg:join/3`.
    pub fn join(&self, group: impl Into<K>, member: &Member<T>) -> Result<(), JoinError> {
        self.join_many(group, std::slice::from_ref(member))
    }

    /// Joins a group, unless it is in it already: what a server does in its `init`, which each of its incarnations runs.
    ///
    /// # Errors
    /// As [`Groups::join`].
    pub fn join_once(&self, group: impl Into<K>, member: &Member<T>) -> Result<(), JoinError> {
        self.scope.join(&group.into(), std::slice::from_ref(member), true)
    }

    /// Several join at once: readers and monitors of the group see none or all of them. Who is named twice joins twice.
    ///
    /// # Errors
    /// [`JoinError::Closed`]: the mailbox of one of them is closed; none has joined.
    pub fn join_many(&self, group: impl Into<K>, members: &[Member<T>]) -> Result<(), JoinError> {
        self.scope.join(&group.into(), members, false)
    }

    /// Leaves a group once. A group without members does not exist any more.
    ///
    /// # Errors
    /// [`NotJoined`]: it was not in the group.
    ///
    /// Source: `pg:leave/3`.
    pub fn leave<Q>(&self, group: &Q, member: &Member<T>) -> Result<(), NotJoined>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.leave_many(group, std::slice::from_ref(member)).map(drop)
    }

    /// Several leave at once, each as many times as it is named and was there. How many memberships are over.
    ///
    /// # Errors
    /// [`NotJoined`]: none of them was in the group.
    pub fn leave_many<Q>(&self, group: &Q, members: &[Member<T>]) -> Result<usize, NotJoined>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.scope.leave(group, members)
    }
}

/// Reading: see [`Groups`] for what is promised.
impl<T: Send + 'static, K: GroupName> Groups<T, K> {
    /// The members of a group; none where there is no such group. Each is cloned: a count for each, which
    /// [`Groups::with_members`] does without.
    pub fn members<Q>(&self, group: &Q) -> Vec<Member<T>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.with_members(group, |members| members.iter().cloned().collect())
    }

    /// Lends the members of a group. Keep it short: while it runs, nothing that is taken out anywhere frees its memory.
    pub fn with_members<Q, R>(&self, group: &Q, read: impl FnOnce(Members<'_, T>) -> R) -> R
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let guard = Guard::new();
        match self.scope.table.peek(group, &guard) {
            Some(known) => known.list.with(|list| read(Members(Some(list)))),
            None => read(Members(None)),
        }
    }

    /// How many members a group has; 0 where there is no such group.
    pub fn count<Q>(&self, group: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.with_members(group, |members| members.len())
    }

    /// The groups that there are. A group that was there all the time of the look is in it, one that was not there at any
    /// time of it is not.
    pub fn which_groups(&self) -> HashSet<K> {
        let guard = Guard::new();
        let groups = self.scope.table.iter(&guard);
        groups
            .filter(|(_, known)| known.list.with(MemberList::len) > 0)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// Monitors.
impl<T: Send + 'static, K: GroupName> Groups<T, K> {
    /// The members of a group now, and a monitor that tells of all that happens to it from now on. Nothing falls between the
    /// two, and nothing is in both. The group need not exist.
    ///
    /// Source: `pg:monitor/2`.
    ///
    /// ```
    /// # use restante_core::Mailbox;
    /// # use restante_registry::{GroupChange, Groups, Member};
    /// let groups = Groups::<u32>::new();
    /// let (now, mut monitor) = groups.monitor("workers");
    /// assert!(now.is_empty());
    /// let mailbox = Mailbox::<u32>::new();
    /// groups.join("workers", &Member::address(&mailbox.address())).expect("it is open");
    /// let event = monitor.try_next().expect("somebody joined").expect("nothing was missed");
    /// assert_eq!((&event.change, event.ids()), (&GroupChange::Joined, vec![mailbox.id()]));
    /// ```
    pub fn monitor(&self, group: impl Into<K>) -> (Vec<Member<T>>, GroupMonitor<T, K>) {
        GroupMonitor::new(&self.scope, group.into())
    }

    /// All groups now with their members, and a monitor that tells of all that happens from now on.
    ///
    /// Source: `pg:monitor_scope/1`.
    pub fn monitor_scope(&self) -> (ScopeSnapshot<T, K>, ScopeMonitor<T, K>) {
        ScopeMonitor::new(&self.scope)
    }
}

impl<T: Send + 'static, K: GroupName> Clone for Groups<T, K> {
    fn clone(&self) -> Self {
        self.scope.handles.fetch_add(1, Ordering::Relaxed);
        Self { scope: Arc::clone(&self.scope) }
    }
}

impl<T: Send + 'static, K: GroupName> Drop for Groups<T, K> {
    fn drop(&mut self) {
        // Counted as an `Arc` counts: the last one comes after all the others.
        if self.scope.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.scope.end();
        }
    }
}

impl<T: Send + 'static, K: GroupName> Default for Groups<T, K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static, K: GroupName> fmt::Debug for Groups<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Groups<{}>({} groups)", std::any::type_name::<T>(), self.scope.table.len())
    }
}

/// What all handles share.
pub(super) struct Scope<T: Send + 'static, K: GroupName> {
    pub(super) table: Table<T, K>,
    state: Mutex<State<T, K>>,
    capacity: usize,
    /// The handles that can have members join; monitors cannot.
    handles: AtomicUsize,
}

/// What writers share.
pub(super) struct State<T: Send + 'static, K: GroupName> {
    pub(super) books: Books<T, K>,
    pub(super) feeds: Feeds<T, K>,
    pub(super) seq: u64,
    /// Joins are refused, and monitors are told nothing.
    ended: bool,
}

/// What is done when the lock is free again: who waits is woken, and nothing that may be a mailbox's last memory is dropped
/// before.
pub(super) struct Aftermath<T: Send + 'static, K: GroupName> {
    bells: Vec<Arc<Events<T, K>>>,
    overwritten: Vec<Arc<GroupEvent<T, K>>>,
    gone: Vec<Places<T, K>>,
    left: Vec<Member<T>>,
}

impl<T: Send + 'static, K: GroupName> Scope<T, K> {
    fn new(capacity: usize) -> Self {
        let state = State { books: Books::new(), feeds: Feeds::new(), seq: 0, ended: false };
        Self { table: HashIndex::default(), state: Mutex::new(state), capacity, handles: AtomicUsize::new(1) }
    }

    /// Does something under the lock, and afterwards what must not be done under it.
    pub(super) fn locked<R>(&self, work: impl FnOnce(&mut State<T, K>, &mut Aftermath<T, K>) -> R) -> R {
        // First in, last out: what the table has been rid of is dropped when a thread's last guard goes, and its drop may run
        // code of the user's, which is not for under the lock.
        let _epoch = Guard::new();
        let mut after =
            Aftermath { bells: Vec::new(), overwritten: Vec::new(), gone: Vec::new(), left: Vec::new() };
        let result = work(&mut self.state.lock(), &mut after);
        for gone in &after.gone {
            let tie: Weak<dyn OnClose> = Arc::<Tie<T, K>>::downgrade(&gone.tie);
            gone.member.tell_no_more(&tie);
        }
        let Aftermath { bells, overwritten, gone, left } = after;
        bells.iter().for_each(|feed| feed.ring_bell());
        // One by one: members have ways of the user's to deliver, reasons errors.
        bells.into_iter().for_each(|feed| quiet::discard("a feed", feed));
        overwritten.into_iter().for_each(|event| quiet::discard("an event of a group", event));
        gone.into_iter().for_each(|places| quiet::discard("a member", places));
        left.into_iter().for_each(|member| quiet::discard("a member", member));
        result
    }

    /// A group's list now.
    pub(super) fn list(&self, group: &K) -> Option<Counted<MemberList<T>>> {
        let list = self.table.peek_with(group, |_, known| known.list.counted())?;
        Some(list).filter(|list| list.len() > 0)
    }

    /// `once`: but for those who are in it.
    fn join(self: &Arc<Self>, group: &K, members: &[Member<T>], once: bool) -> Result<(), JoinError> {
        self.locked(|state, after| {
            let mut admitted: Vec<Uuid> = Vec::new();
            for member in members {
                let id = member.id();
                if state.books.knows(id) {
                    // The thread that closes it may be waiting for the lock to take it out.
                    if !member.is_closed() {
                        continue;
                    }
                } else {
                    let tie = Arc::new(Tie { scope: Arc::downgrade(self), id });
                    let weak: Weak<dyn OnClose> = Arc::<Tie<T, K>>::downgrade(&tie);
                    // Asked under the lock: who closes it from here on takes it out when we are done.
                    if member.tell_first(weak) {
                        state.books.admit(member.clone(), tie);
                        admitted.push(id);
                        continue;
                    }
                }
                after.gone.extend(admitted.into_iter().filter_map(|id| state.books.dismiss(id)));
                return Err(JoinError::Closed { member: id });
            }
            let is_in = |member: &Member<T>| state.books.times(member.id(), group) > 0;
            if !(members.is_empty() || once && members.iter().all(is_in)) {
                state.books.join(&self.table, group, members);
                self.note(state, after, group.clone(), GroupChange::Joined, members.to_vec());
            }
            Ok(())
        })
    }

    fn leave<Q>(&self, group: &Q, members: &[Member<T>]) -> Result<usize, NotJoined>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.locked(|state, after| {
            let ids = members.iter().map(Member::id);
            let (group, left) =
                state.books.leave(&self.table, group, ids, &mut after.gone).ok_or(NotJoined)?;
            let count = left.len();
            self.note(state, after, group, GroupChange::Left, left);
            Ok(count)
        })
    }

    /// The last handle has gone: monitors are told what there is, and then no more.
    fn end(&self) {
        self.locked(|state, after| {
            state.ended = true;
            after.bells.extend(state.feeds.end());
        });
    }

    /// A member's mailbox has closed: it leaves all its groups.
    fn closed(&self, id: Uuid, reason: &ExitReason) {
        // No group is added to them, because the member's joins are refused from now on.
        let groups = self.locked(|state, _| state.books.groups_of(id));
        // Not all under one lock: it may be in very many, and others want to join.
        for some in groups.chunks(AT_ONCE) {
            self.locked(|state, after| {
                for group in some {
                    let times = state.books.times(id, group);
                    let ids = std::iter::repeat_n(id, times);
                    if let Some((group, left)) = state.books.leave(&self.table, group, ids, &mut after.gone) {
                        self.note(state, after, group, GroupChange::Closed(reason.clone()), left);
                    }
                }
            });
        }
    }

    fn note(
        &self,
        state: &mut State<T, K>,
        after: &mut Aftermath<T, K>,
        group: K,
        change: GroupChange,
        members: Vec<Member<T>>,
    ) {
        state.seq += 1;
        let mut feeds = state.feeds.of(&group).cloned().collect::<Vec<_>>();
        if feeds.is_empty() || state.ended {
            after.left.extend(members);
            return;
        }
        let event = Arc::new(GroupEvent { seq: state.seq, group, change, members });
        for feed in &feeds {
            after.overwritten.extend(feed.push(Arc::clone(&event), self.capacity));
        }
        after.bells.append(&mut feeds);
    }
}

/// Is told of a member's end, and tells its scope.
pub(super) struct Tie<T: Send + 'static, K: GroupName> {
    scope: Weak<Scope<T, K>>,
    id: Uuid,
}

impl<T: Send + 'static, K: GroupName> OnClose for Tie<T, K> {
    fn on_close(&self, reason: &ExitReason) {
        if let Some(scope) = self.scope.upgrade() {
            scope.closed(self.id, reason);
        }
    }
}

impl<T: Send + 'static, K: GroupName> Drop for Scope<T, K> {
    /// Mailboxes that live on need not remember a scope that has gone.
    fn drop(&mut self) {
        for places in self.state.lock().books.everybody() {
            let tie: Weak<dyn OnClose> = Arc::<Tie<T, K>>::downgrade(&places.tie);
            places.member.tell_no_more(&tie);
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use crate::{Groups, Member};
    use restante_core::Mailbox;

    /// Reads take no lock; that would hang here, where this thread has it.
    /// Clause 29.3.
    #[test]
    fn groups_are_read_without_a_lock() {
        let groups = Groups::<u8>::new();
        let mailbox = Mailbox::<u8>::new();
        groups.join("g", &Member::address(&mailbox.address())).unwrap();
        let held = groups.scope.state.lock();
        assert_eq!(groups.members("g").len(), 1);
        assert_eq!(groups.with_members("g", |members| members.len()), 1);
        assert_eq!((groups.count("g"), groups.count("none")), (1, 0));
        assert_eq!(groups.which_groups().len(), 1);
        assert_eq!(groups.pick("g").map(|member| member.id()), Some(mailbox.id()));
        assert!(groups.send("g", 1).is_ok_and(|id| id == mailbox.id()));
        assert_eq!(groups.broadcast("g", 2).delivered, 1);
        drop(held);
        assert_eq!(mailbox.stats().depth, 2);
    }
}
