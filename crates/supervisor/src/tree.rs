//! The whole tree at a glance: every supervisor and child, what it does, what waits for it, how it last ended.
//!
//! A look at the tree waits for no supervisor and no child: each supervisor's lock is taken by itself, never two at once,
//! and for some hundred children at a time, so that no restart is held up by a reader that looks at a million. The price:
//! each node is true of a moment of its own. How it is printed: [`render`]; how it becomes JSON: `serialize`.

mod render;
#[cfg(feature = "serde")]
mod serialize;

use crate::branch::{SupervisorCore, SupervisorState};
use crate::child::Child;
use crate::child_options::ChildKind;
use crate::intensity::Intensity;
use crate::path::step;
use crate::rules::{Entry, Life, State};
use crate::strategy::{AutoShutdown, Strategy};
use crate::supervisor::{ChildState, SupervisorRef, child_state};
use restante_core::clock::{self, Instant};
use restante_core::{Exit, Ledger, Stats};
use restante_genserver::sys::InHandNow;
use std::ops::Bound;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

/// A supervisor or one of its children, with all that is below it, as [`SupervisorRef::tree`] found it.
///
/// Printed ([`Tree::render`], `Display`) it is a line for each, indented; for programs the fields are public.
///
/// # As JSON
/// With the feature `serde` it implements `Serialize`. The names stay: those of the fields, and
/// - kinds and states in snake case (`"worker"`, `"one_for_one"`); durations in whole milliseconds (`up_ms`,
///   `oldest_age_ms`, `period_ms`); what is not there is `null`;
/// - `in_hand`: `phase` as text, `name`, `since_ms`;
/// - `last_exit`: `reason` and `phase` as text, `orderly`, `message`, `incarnation`;
/// - `mailbox`: `depth`, `capacity`, `weight`, `oldest_age_ms`, `waiting_senders`, and `ledger`, whose names are those of
///   [`Ledger`], with `lost`;
/// - `supervisor`: as [`SupervisorNode`], its `intensity` as `max` (`null`: without limit) and `period_ms`.
///
/// New names may come; none goes or changes its meaning without a major release.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Tree {
    /// Its id within its supervisor; where it has none, its mailbox's name, else its number. The topmost has its name, else
    /// `supervisor`.
    pub id: String,
    /// The name of its mailbox, or its own as a supervisor.
    pub name: Option<String>,
    /// Worker or supervisor.
    pub kind: ChildKind,
    /// The type of server that it is.
    pub type_name: &'static str,
    /// What it is doing.
    pub state: ChildState,
    /// Whether it is suspended ([`Sys::suspend`](restante_genserver::Sys::suspend)): it runs, perhaps, and handles nothing.
    pub suspended: bool,
    /// What a callback of a worker has now, and for how long it has been waiting there.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize::in_hand"))]
    pub in_hand: Option<InHandNow>,
    /// Its present incarnation, or its last; 0: none yet.
    pub incarnation: u32,
    /// How often its supervisor has tried to restart it because it had ended by itself.
    pub restarts: u64,
    /// How long its present incarnation has been up. `None`: it is not up, or its start was not noted (as of children that
    /// came and went without an id and have never failed).
    #[cfg_attr(feature = "serde", serde(rename = "up_ms", serialize_with = "serialize::ms"))]
    pub up: Option<Duration>,
    /// How its last incarnation that has ended did.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize::exit"))]
    pub last_exit: Option<Exit>,
    /// The mailbox of a worker: how much waits there, how long, how much may, and what has become of the rest.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize::stats"))]
    pub mailbox: Option<Stats>,
    /// What only a supervisor has.
    pub supervisor: Option<SupervisorNode>,
    /// Its children, in the order of their start.
    pub children: Vec<Tree>,
    /// How many more there are: only the first so many were asked for.
    pub more: usize,
}

/// What a [`Tree`] shows of a supervisor only.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SupervisorNode {
    /// Who is restarted together.
    pub strategy: Strategy,
    /// How many restarts, in how long, are too many.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize::intensity"))]
    pub intensity: Intensity,
    /// Whether it ends with its significant children.
    pub auto_shutdown: AutoShutdown,
    /// Its children come and go.
    pub dynamic: bool,
    /// How many restarts it has attempted, over all its incarnations, of children that are gone as well.
    pub restarts: u64,
    /// The counters of mailboxes that have left with their children.
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize::ledger"))]
    pub gone: Ledger,
}

impl SupervisorRef {
    /// All that is below this supervisor, and itself. Waits for nothing; takes time and memory in proportion to the number
    /// of children.
    ///
    /// Each node is true of a moment of its own: a message that moves from one mailbox to another meanwhile may be seen in
    /// both, or in neither.
    ///
    /// ```
    /// # use restante_genserver::*;
    /// use restante_supervisor::{Supervise, Supervisor};
    /// # struct Echo;
    /// # impl GenServer for Echo {
    /// #     type Args = (); type Call = (); type Cast = (); type Info = ();
    /// #     async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> { Ok(Init::ok(Echo)) }
    /// #     async fn handle_call(&mut self, (): (), _: &mut Context<Self>) -> Step { Ok(Next::go()) }
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let store = Supervisor::rest_for_one()
    ///     .child(Server::<Echo>::new("index").child(()))
    ///     .into_child("store")?;
    /// let app = Supervisor::one_for_one().name("app").child(store).start().await?;
    /// let tree = app.tree();
    /// assert_eq!(tree.find("store/index").unwrap().incarnation, 1);
    /// assert_eq!(
    ///     tree.to_string(),
    ///     "app [Supervisor] running, one_for_one, at most 3 restarts in 5s\n\
    ///      └─ store [Supervisor] running, rest_for_one, at most 3 restarts in 5s\n\
    ///      \u{20}  └─ index [Echo] running, 0 of 1024 queued\n"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn tree(&self) -> Tree {
        self.tree_with(usize::MAX)
    }

    /// Shows the tree with at most so many children of each supervisor, the first ones; of the others only the
    /// number ([`Tree::more`]).
    pub fn tree_with(&self, children: usize) -> Tree {
        let branch = &self.branch;
        let seen = branch.parent().and_then(|(parent, key)| {
            let locked = parent.lock();
            locked.rules.get(key).map(|entry| Row::of(&locked, key, entry))
        });
        let row = seen.unwrap_or_else(|| Row::topmost(branch));
        row.node(children, clock::now())
    }
}

/// A child as its supervisor's table shows it: what can be seen under the lock.
struct Row {
    id: String,
    child: Arc<dyn Child>,
    state: ChildState,
    incarnation: u32,
    restarts: u64,
    up_since: Option<Instant>,
    last_exit: Option<Exit>,
}

impl Row {
    fn of(locked: &SupervisorState, key: u64, entry: &Entry<Arc<dyn Child>>) -> Self {
        Self {
            id: SupervisorCore::id_of(locked, key).to_string(),
            child: Arc::clone(&entry.child),
            state: child_state(entry, &locked.rules.life),
            incarnation: entry.incarnation,
            restarts: entry.restarts(),
            up_since: entry.up_since(),
            last_exit: entry.last_exit().cloned(),
        }
    }

    /// A supervisor that has none above it.
    fn topmost(branch: &Arc<SupervisorCore>) -> Self {
        let locked = branch.lock();
        Self {
            id: branch.label().to_owned(),
            child: Arc::clone(branch) as _,
            state: match locked.rules.life {
                Life::Down => ChildState::Stopped,
                Life::Starting => ChildState::Starting,
                Life::Up => ChildState::Running,
                Life::Ending(_) => ChildState::Stopping,
            },
            incarnation: locked.incarnation,
            restarts: 0,
            up_since: locked.up_since.filter(|_| locked.rules.life == Life::Up),
            last_exit: locked.last_exit.clone(),
        }
    }

    /// With what lies outside that lock: the mailbox, or what is below.
    fn node(self, limit: usize, now: Instant) -> Tree {
        let Self { id, child, state, incarnation, restarts, up_since, last_exit } = self;
        let mut tree = Tree {
            id,
            name: child.name().map(str::to_owned),
            kind: child.kind(),
            type_name: child.type_name(),
            state,
            suspended: child.is_suspended(),
            in_hand: child.in_hand(),
            incarnation,
            restarts,
            up: up_since.map(|since| now.saturating_duration_since(since)),
            last_exit,
            mailbox: child.stats(),
            supervisor: None,
            children: Vec::new(),
            more: 0,
        };
        if let Some(branch) = child.as_branch() {
            tree.supervisor = Some(SupervisorNode::of(&branch.lock()));
            (tree.children, tree.more) = children(&branch, limit, now);
        }
        tree
    }
}

impl SupervisorNode {
    fn of(locked: &SupervisorState) -> Self {
        let settings = &locked.rules.settings;
        Self {
            strategy: settings.strategy,
            intensity: settings.intensity,
            auto_shutdown: settings.auto_shutdown,
            dynamic: settings.dynamic,
            restarts: locked.rules.restarts,
            gone: locked.retired,
        }
    }
}

/// Children that are looked at under one lock.
const PAGE: usize = 256;

/// The first children of a supervisor, and how many more there are.
fn children(branch: &SupervisorCore, limit: usize, now: Instant) -> (Vec<Tree>, usize) {
    let mut nodes = Vec::new();
    let mut after = Bound::Unbounded;
    loop {
        let wanted = PAGE.min(limit - nodes.len());
        let (rows, all): (Vec<Row>, usize) = {
            let locked = branch.lock();
            let mut page = locked.rules.children.range((after, Bound::Unbounded)).take(wanted);
            let rows = page.by_ref().map(|(key, entry)| {
                after = Bound::Excluded(*key);
                Row::of(&locked, *key, entry)
            });
            (rows.collect(), locked.rules.children.len())
        };
        let last = rows.len() < PAGE;
        nodes.extend(rows.into_iter().map(|row| row.node(limit, now)));
        if last {
            // Of those that were there when this was begun some may have gone since.
            let more = if nodes.len() < limit { 0 } else { all.saturating_sub(nodes.len()) };
            return (nodes, more);
        }
    }
}

impl Tree {
    /// The node at this path: ids from below this one down, with `/` between. The empty path is this one.
    ///
    /// In a path `/` within an id is written `%2F`, `%` is `%25`, and an empty id is `%`, as in [`Tree::iter`] and in
    /// reports. A path that leads nowhere so is looked for with its ids as they are.
    pub fn find(&self, path: &str) -> Option<&Self> {
        self.at(path).or_else(|| self.like(path))
    }

    /// By steps.
    fn at(&self, path: &str) -> Option<&Self> {
        if path.is_empty() {
            return Some(self);
        }
        let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let mut here = self.children.iter().filter(|child| step(&child.id) == first);
        match rest {
            None => here.next(),
            Some("") => None,
            Some(rest) => here.find_map(|child| child.at(rest)),
        }
    }

    /// By ids as they are, whatever they contain.
    fn like(&self, path: &str) -> Option<&Self> {
        if path.is_empty() {
            return Some(self);
        }
        self.children.iter().find_map(|child| match path.strip_prefix(child.id.as_str())? {
            "" => Some(child),
            rest => child.like(rest.strip_prefix('/').filter(|rest| !rest.is_empty())?),
        })
    }

    /// All nodes with their paths (as [`Tree::find`] takes them), each before those below it; this one first, with an empty
    /// path.
    pub fn iter(&self) -> TreeIter<'_> {
        TreeIter { top: Some(self), below: Vec::new() }
    }

    /// The counters of all mailboxes in it taken together, those that have left included; not those of children that were
    /// left out ([`Tree::more`]). While messages are handled it may be off as [`Stats`] are.
    pub fn ledger(&self) -> Ledger {
        let mut sum = Ledger::default();
        for (_, node) in self {
            if let Some(mailbox) = &node.mailbox {
                sum += mailbox.ledger;
            }
            if let Some(supervisor) = &node.supervisor {
                sum += supervisor.gone;
            }
        }
        sum
    }

    /// All restarts that its supervisors have attempted.
    pub fn restarts(&self) -> u64 {
        self.iter().filter_map(|(_, node)| node.supervisor.as_ref()).map(|node| node.restarts).sum()
    }
}

/// See [`Tree::iter`].
#[derive(Debug)]
pub struct TreeIter<'a> {
    top: Option<&'a Tree>,
    /// The levels that are being walked: the path above, and who is left there.
    below: Vec<(String, slice::Iter<'a, Tree>)>,
}

impl<'a> Iterator for TreeIter<'a> {
    type Item = (String, &'a Tree);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(top) = self.top.take() {
            self.below.push((String::new(), top.children.iter()));
            return Some((String::new(), top));
        }
        loop {
            let (above, level) = self.below.last_mut()?;
            let Some(node) = level.next() else {
                self.below.pop();
                continue;
            };
            let step = step(&node.id);
            let path = if above.is_empty() { step.into_owned() } else { format!("{above}/{step}") };
            if !node.children.is_empty() {
                self.below.push((path.clone(), node.children.iter()));
            }
            return Some((path, node));
        }
    }
}

impl<'a> IntoIterator for &'a Tree {
    type Item = (String, &'a Tree);
    type IntoIter = TreeIter<'a>;

    fn into_iter(self) -> TreeIter<'a> {
        self.iter()
    }
}

impl<C> Entry<C> {
    fn up_since(&self) -> Option<Instant> {
        self.pauses_up_since().filter(|_| self.state == State::Running)
    }
}
