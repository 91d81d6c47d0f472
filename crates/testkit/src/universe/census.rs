//! What there is in a universe, and what of it is a leak: a rule over numbers.

use crate::failure::At;
use restante_genserver::tracker::Look;
use std::fmt;

/// What can be left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A server that runs: others refer to it, or it to itself.
    Server,
    /// A server's mailbox that has no reader, and that can still be sent to.
    Mailbox,
    /// A timer of a server that runs.
    Timer,
    /// A monitor that was not taken down, on a mailbox that is still there.
    Monitor,
    /// A link between servers that run.
    Link,
    /// A reply that is held and has not been sent.
    Reply,
    /// A task, other than those that servers run on.
    Task,
    /// A name in a registry.
    Name,
}

/// Something that is left over.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Leak {
    /// Of what kind.
    pub kind: Kind,
    /// How many.
    pub count: usize,
    /// Whose, and where it was made.
    pub of: String,
}

/// What may be left over.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    pub(crate) kinds: Vec<Kind>,
    /// Of servers, or the last part of their types'.
    pub(crate) names: Vec<String>,
}

/// What there is in a universe at one moment: see [`World::census`](crate::World::census).
#[derive(Debug, Clone)]
pub struct Census {
    looks: Vec<Look>,
    replies: usize,
    /// Other than those of servers, and than those of `spawned`.
    unnamed_tasks: usize,
    spawned: Vec<At>,
}

impl Census {
    pub(crate) fn new(looks: Vec<Look>, replies: usize, tasks: usize, spawned: Vec<At>) -> Self {
        let of_servers = looks.iter().filter(|look| look.has_task).count();
        let unnamed_tasks = tasks.saturating_sub(of_servers + spawned.len());
        Self { looks, replies, unnamed_tasks, spawned }
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Server => self.looks.iter().filter(|look| look.kind == "server" && look.alive).count(),
            Kind::Mailbox => self.looks.iter().filter(|look| is_unread(look)).count(),
            Kind::Timer => self.looks.iter().map(|look| look.timers).sum(),
            Kind::Monitor => self.looks.iter().map(|look| look.monitors).sum(),
            Kind::Link => self.looks.iter().map(|look| look.links).sum(),
            Kind::Reply => self.replies,
            Kind::Task => self.unnamed_tasks + self.spawned.len(),
            Kind::Name => self.looks.iter().filter(|look| look.kind == "name").count(),
        }
    }

    /// The kinds of which there are more than at `before`, and how many more.
    pub fn since(&self, before: &Self) -> Vec<Leak> {
        let more = |kind| {
            let (was, is) = (before.count(kind), self.count(kind));
            (is > was).then(|| Leak { kind, count: is - was, of: format!("{was} before, {is} now") })
        };
        KINDS.into_iter().filter_map(more).collect()
    }

    /// Everything that is there and not allowed.
    pub(crate) fn leaks(&self, allowed: &Allowed) -> Vec<Leak> {
        let mut leaks = Vec::new();
        let mut add = |kind, count, of: String| {
            if count > 0 && !allowed.kinds.contains(&kind) {
                leaks.push(Leak { kind, count, of });
            }
        };
        for look in self.looks.iter().filter(|look| !allowed.names(look)) {
            let of = format!("of {}", Place(look));
            if look.kind == "name" {
                add(Kind::Name, 1, Place(look).to_string());
                continue;
            }
            add(Kind::Server, usize::from(look.alive), Place(look).to_string());
            add(Kind::Mailbox, usize::from(is_unread(look)), of.clone());
            add(Kind::Timer, look.timers, of.clone());
            add(Kind::Monitor, look.monitors, format!("on{}", &of[2..]));
            add(Kind::Link, look.links, of);
        }
        add(Kind::Reply, self.replies, "held and not sent".to_owned());
        for at in &self.spawned {
            add(Kind::Task, 1, format!("spawned at {at}"));
        }
        add(Kind::Task, self.unnamed_tasks, "not spawned through the world".to_owned());
        leaks
    }
}

const KINDS: [Kind; 8] = [
    Kind::Server,
    Kind::Mailbox,
    Kind::Timer,
    Kind::Monitor,
    Kind::Link,
    Kind::Reply,
    Kind::Task,
    Kind::Name,
];

/// A mailbox that waits for its next server.
fn is_unread(look: &Look) -> bool {
    look.kind == "server" && !look.alive && !look.closed
}

impl Allowed {
    fn names(&self, look: &Look) -> bool {
        let last = look.type_name.rsplit("::").next().unwrap_or_default();
        self.names.iter().any(|name| look.name.as_deref() == Some(name) || last == name)
    }
}

/// A tracked thing, for people.
struct Place<'a>(&'a Look);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let look = self.0;
        if let Some(name) = &look.name {
            write!(f, "`{name}`, a ")?;
        }
        f.write_str(look.type_name)?;
        if look.incarnation > 1 {
            write!(f, " (incarnation {})", look.incarnation)?;
        }
        if look.queued > 0 {
            write!(f, " ({} queued)", look.queued)?;
        }
        look.made.map_or(Ok(()), |at| write!(f, ", made at {at}"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Mailbox => "mailbox",
            Self::Timer => "timer",
            Self::Monitor => "monitor",
            Self::Link => "link",
            Self::Reply => "reply",
            Self::Task => "task",
            Self::Name => "name",
        })
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, count, of } = self;
        match (kind, count) {
            (_, 1) => write!(f, "1 {kind}: {of}"),
            (Kind::Mailbox, n) => write!(f, "{n} mailboxes: {of}"),
            (Kind::Reply, n) => write!(f, "{n} replies: {of}"),
            (_, n) => write!(f, "{n} {kind}s: {of}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server of this name, in this state, with one of everything.
    fn look(name: &str, alive: bool, closed: bool) -> Look {
        let mut look = Look::new("server", "a::Server");
        look.name = Some(name.into());
        (look.alive, look.closed, look.has_task) = (alive, closed, alive);
        (look.timers, look.monitors, look.links) = (1, 1, 1);
        look
    }

    fn kinds(census: &Census, allowed: &Allowed) -> Vec<Kind> {
        census.leaks(allowed).iter().map(|leak| leak.kind).collect()
    }

    #[test]
    fn what_is_there_is_a_leak_unless_it_is_allowed() {
        let none = Allowed::default();
        let census = |look| Census::new(vec![look], 0, 1, Vec::new());
        let alive = census(look("a", true, false));
        assert_eq!(kinds(&alive, &none), [Kind::Server, Kind::Timer, Kind::Monitor, Kind::Link]);
        assert_eq!(kinds(&census(look("a", false, false)), &none)[0], Kind::Mailbox);
        // A mailbox that is closed is no leak itself; and the task is then no server's.
        let kinds_of_closed = kinds(&census(look("a", false, true)), &none);
        assert_eq!(kinds_of_closed, [Kind::Timer, Kind::Monitor, Kind::Link, Kind::Task]);
        for name in ["a", "Server"] {
            assert!(kinds(&alive, &Allowed { kinds: Vec::new(), names: vec![name.to_owned()] }).is_empty());
        }
        let but_timers = Allowed { kinds: vec![Kind::Server, Kind::Monitor, Kind::Link], names: Vec::new() };
        assert_eq!(kinds(&alive, &but_timers), [Kind::Timer]);
    }

    #[test]
    fn tasks_of_servers_are_not_counted_again() {
        let at = std::panic::Location::caller();
        let census = Census::new(vec![look("a", true, false)], 2, 4, vec![at]);
        assert_eq!((census.count(Kind::Task), census.count(Kind::Reply)), (3, 2));
        let said: Vec<_> = census.leaks(&Allowed::default()).iter().map(ToString::to_string).collect();
        assert_eq!(
            said[4..],
            [
                "2 replies: held and not sent".to_owned(),
                format!("1 task: spawned at {at}"),
                "2 tasks: not spawned through the world".to_owned(),
            ]
        );
    }

    #[test]
    fn growth_is_by_kind() {
        let before = Census::new(vec![look("a", true, false)], 1, 1, Vec::new());
        let after = Census::new(vec![look("a", true, false), look("b", true, false)], 0, 2, Vec::new());
        let more: Vec<_> = after.since(&before).iter().map(|leak| (leak.kind, leak.count)).collect();
        assert_eq!(more, [(Kind::Server, 1), (Kind::Timer, 1), (Kind::Monitor, 1), (Kind::Link, 1)]);
        assert!(before.since(&before).is_empty());
    }
}
