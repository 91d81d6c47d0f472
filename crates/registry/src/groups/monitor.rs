//! Monitors of groups: who is there now, and from then on who joins and who leaves.

use super::feed::{Feed, Missed};
use super::member::Member;
use super::scope::{GroupName, Scope, State};
use super::snapshot::{Changes, ScopeSnapshot};
use restante_core::{ExitReason, quiet};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// Something that happened to a group: one operation, all its members in one event.
#[non_exhaustive]
pub struct GroupEvent<T, K = Arc<str>> {
    /// The number of the operation: greater than all before it in this scope. A monitor of the scope sees numbers without
    /// gaps, but for what it is told that it missed.
    pub seq: u64,
    /// The group.
    pub group: K,
    /// What happened.
    pub change: GroupChange,
    /// To whom: who joined or left several times at once is named as many times.
    pub members: Vec<Member<T>>,
}

/// What can happen to members of a group.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GroupChange {
    /// They joined.
    Joined,
    /// They left.
    Left,
    /// Their mailbox has closed, for this reason.
    Closed(ExitReason),
}

impl<T, K> GroupEvent<T, K> {
    /// The ids of the members.
    pub fn ids(&self) -> Vec<Uuid> {
        self.members.iter().map(Member::id).collect()
    }
}

impl<T, K: fmt::Debug> fmt::Debug for GroupEvent<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, group, change, members } = self;
        write!(f, "GroupEvent({seq}: {group:?} {change:?} {members:?})")
    }
}

/// A feed of events of groups.
pub(super) type Events<T, K> = Feed<Arc<GroupEvent<T, K>>>;

/// The feeds that have followers.
pub(super) struct Feeds<T, K> {
    scope: Followed<T, K>,
    groups: HashMap<K, Followed<T, K>>,
}

struct Followed<T, K> {
    feed: Arc<Events<T, K>>,
    followers: usize,
}

impl<T, K> Followed<T, K> {
    fn new() -> Self {
        Self { feed: Arc::new(Feed::new()), followers: 0 }
    }
}

impl<T: Send + 'static, K: GroupName> Feeds<T, K> {
    pub(super) fn new() -> Self {
        Self { scope: Followed::new(), groups: HashMap::new() }
    }

    /// The feeds that an event of this group belongs into.
    pub(super) fn of(&self, group: &K) -> impl Iterator<Item = &Arc<Events<T, K>>> {
        let scope = Some(&self.scope).filter(|scope| scope.followers > 0);
        scope.into_iter().chain(self.groups.get(group)).map(|followed| &followed.feed)
    }

    /// All of them: nothing happens any more.
    pub(super) fn end(&self) -> Vec<Arc<Events<T, K>>> {
        let all = self.groups.values().chain([&self.scope]).map(|followed| Arc::clone(&followed.feed));
        all.inspect(|feed| feed.end()).collect()
    }

    fn follow(&mut self, group: Option<&K>) -> Arc<Events<T, K>> {
        let followed = match group {
            None => &mut self.scope,
            Some(group) => self.groups.entry(group.clone()).or_insert_with(Followed::new),
        };
        followed.followers += 1;
        Arc::clone(&followed.feed)
    }

    /// Ends one following. A feed without followers is forgotten; it comes back, to be dropped elsewhere.
    fn unfollow(&mut self, group: Option<&K>) -> Option<Arc<Events<T, K>>> {
        let followed = match group {
            None => &mut self.scope,
            Some(group) => self.groups.get_mut(group)?,
        };
        followed.followers -= 1;
        if followed.followers > 0 {
            return None;
        }
        match group {
            None => Some(std::mem::replace(&mut self.scope, Followed::new())),
            Some(group) => self.groups.remove(group),
        }
        .map(|followed| followed.feed)
    }
}

/// What both monitors are made of.
struct Follower<T: Send + 'static, K: GroupName> {
    scope: Arc<Scope<T, K>>,
    /// `None`: all groups.
    group: Option<K>,
    /// `None`: taken down.
    feed: Option<Arc<Events<T, K>>>,
    cursor: u64,
    seq: u64,
}

impl<T: Send + 'static, K: GroupName> Follower<T, K> {
    /// Follows from now on. (The caller takes a snapshot, which is what moves the cursor.)
    fn new(scope: &Arc<Scope<T, K>>, group: Option<K>) -> Self {
        let (feed, cursor) = scope.locked(|state, _| {
            let feed = state.feeds.follow(group.as_ref());
            let cursor = feed.next();
            (feed, cursor)
        });
        Self { scope: Arc::clone(scope), group, feed: Some(feed), cursor, seq: 0 }
    }

    async fn next(&mut self) -> Option<Result<Arc<GroupEvent<T, K>>, Missed>> {
        let read = self.feed.as_ref()?.wait(&mut self.cursor).await?;
        Some(self.noted(read))
    }

    fn try_next(&mut self) -> Option<Result<Arc<GroupEvent<T, K>>, Missed>> {
        let read = self.feed.as_ref()?.read(&mut self.cursor)?;
        Some(self.noted(read))
    }

    fn noted(
        &mut self,
        read: Result<Arc<GroupEvent<T, K>>, Missed>,
    ) -> Result<Arc<GroupEvent<T, K>>, Missed> {
        if let Ok(event) = &read {
            self.seq = event.seq;
        }
        read
    }

    /// The cursor goes behind what has happened until now.
    fn catch_up(&mut self, state: &State<T, K>) {
        if let Some(feed) = &self.feed {
            self.cursor = feed.next();
        }
        self.seq = state.seq;
    }

    fn demonitor(&mut self) -> bool {
        let Some(feed) = self.feed.take() else { return false };
        let forgotten = self.scope.clone().locked(|state, _| state.feeds.unfollow(self.group.as_ref()));
        quiet::discard("a feed", forgotten);
        quiet::discard("a feed", feed);
        true
    }
}

impl<T: Send + 'static, K: GroupName> Drop for Follower<T, K> {
    fn drop(&mut self) {
        self.demonitor();
    }
}

/// Follows one group ([`Groups::monitor`](crate::Groups::monitor)), whether it exists or not. Dropping it takes it down.
///
/// # Ordering
/// Events come in the order in which they happened, without a gap after the snapshot, and each once. Where they came faster
/// than the scope's monitor capacity bears, [`Missed`] says in their place how many are gone.
pub struct GroupMonitor<T: Send + 'static, K: GroupName = Arc<str>>(Follower<T, K>);

impl<T: Send + 'static, K: GroupName> GroupMonitor<T, K> {
    pub(super) fn new(scope: &Arc<Scope<T, K>>, group: K) -> (Vec<Member<T>>, Self) {
        let mut monitor = Self(Follower::new(scope, Some(group)));
        (monitor.snapshot(), monitor)
    }

    /// Waits for the next event; `None` after [`GroupMonitor::demonitor`], or when the last handle of the scope has gone and all
    /// has been told.
    ///
    /// # Errors
    /// [`Missed`]: events are gone. What comes next is the oldest that is left; [`GroupMonitor::snapshot`] catches up.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<Result<Arc<GroupEvent<T, K>>, Missed>> {
        self.0.next().await
    }

    /// The next event, if there is one now.
    ///
    /// # Errors
    /// As [`GroupMonitor::next`].
    pub fn try_next(&mut self) -> Option<Result<Arc<GroupEvent<T, K>>, Missed>> {
        self.0.try_next()
    }

    /// The members now. What happened until now will not be told any more, what happens from now on will.
    pub fn snapshot(&mut self) -> Vec<Member<T>> {
        let scope = Arc::clone(&self.0.scope);
        let list = scope.locked(|state, _| {
            self.0.catch_up(state);
            self.0.group.as_ref().and_then(|group| scope.list(group))
        });
        list.iter().flat_map(|list| list.iter()).cloned().collect()
    }

    /// The number of the last operation that this monitor knows of.
    pub fn seq(&self) -> u64 {
        self.0.seq
    }

    /// Takes it down: what has not been read will not be. False the second time.
    ///
    /// Source: `pg:demonitor/2`.
    pub fn demonitor(&mut self) -> bool {
        self.0.demonitor()
    }
}

/// Follows all groups of a scope ([`Groups::monitor_scope`](crate::Groups::monitor_scope)). Dropping it takes it down.
///
/// # Ordering
/// As [`GroupMonitor`], over all groups; numbers have no gaps.
pub struct ScopeMonitor<T: Send + 'static, K: GroupName = Arc<str>>(Follower<T, K>);

impl<T: Send + 'static, K: GroupName> ScopeMonitor<T, K> {
    pub(super) fn new(scope: &Arc<Scope<T, K>>) -> (ScopeSnapshot<T, K>, Self) {
        let mut monitor = Self(Follower::new(scope, None));
        (monitor.snapshot(), monitor)
    }

    /// Waits for the next event; `None` after [`ScopeMonitor::demonitor`], or when the last handle of the scope has gone and all
    /// has been told.
    ///
    /// # Errors
    /// [`Missed`]: events are gone. What comes next is the oldest that is left; [`ScopeMonitor::snapshot`] catches up.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<Result<Arc<GroupEvent<T, K>>, Missed>> {
        self.0.next().await
    }

    /// The next event, if there is one now.
    ///
    /// # Errors
    /// As [`ScopeMonitor::next`].
    pub fn try_next(&mut self) -> Option<Result<Arc<GroupEvent<T, K>>, Missed>> {
        self.0.try_next()
    }

    /// All groups now, with their members: one instant for all of them. What happened until then will not be told any more,
    /// what happens from then on will.
    ///
    /// It is read beside the writers: their lock is held only for what changed during the look.
    pub fn snapshot(&mut self) -> ScopeSnapshot<T, K> {
        let scope = Arc::clone(&self.0.scope);
        let Some(feed) = self.0.feed.clone() else {
            // The monitor is taken down: what changes during a look is not noted for it, so the look is under the lock.
            return scope.locked(|_, _| ScopeSnapshot::look(&scope.table));
        };
        let before = scope.locked(|_, _| feed.next());
        // A group that does not change from here on is read as it is, and any other is in the feed.
        let looked = ScopeSnapshot::look(&scope.table);
        let changes = scope.locked(|state, _| {
            self.0.catch_up(state);
            match feed.since(before) {
                Some(events) => {
                    let now = events.iter().map(|event| scope.list(&event.group)).collect();
                    Changes::These(events, now)
                }
                // More happened than the feed holds: look once more, under the lock, so that no thread writes meanwhile.
                None => Changes::TooMany(ScopeSnapshot::look(&scope.table)),
            }
        });
        // Not under the lock, because what is replaced may be the last to remember a mailbox.
        looked.with(changes)
    }

    /// The number of the last operation that this monitor knows of.
    pub fn seq(&self) -> u64 {
        self.0.seq
    }

    /// Takes it down: what has not been read will not be. False the second time.
    ///
    /// Source: `pg:demonitor/2`.
    pub fn demonitor(&mut self) -> bool {
        self.0.demonitor()
    }
}

impl<T: Send + 'static, K: GroupName + fmt::Debug> fmt::Debug for GroupMonitor<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupMonitor({:?} at {})", self.0.group, self.0.seq)
    }
}

impl<T: Send + 'static, K: GroupName> fmt::Debug for ScopeMonitor<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeMonitor(at {})", self.0.seq)
    }
}
