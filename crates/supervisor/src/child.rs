//! A child as the supervisor's shell sees it: something that can be started, told to end, killed and closed, and that
//! tells its supervisor when it has begun and when it has ended.

use crate::branch::SupervisorCore;
use crate::child_options::ChildKind;
use crate::child_spec::short_name;
use crate::error::SpecError;
use crate::parent_link::{NotAdopted, ParentLink, Standing};
use futures::future::BoxFuture;
use restante_core::addressable::GivenUp;
use restante_core::{Exit, ExitReason, Ledger, Phase, Stats, drop_quietly, later, quiet};
use restante_genserver::cycle::Member;
use restante_genserver::keeper::{self, Beginner, End, Keeper, NotKept, TableKey, Verdict};
use restante_genserver::sys::InHandNow;
use restante_genserver::{GenServer, Server, StartError};
use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// See the module. None of these may be called under a supervisor's lock.
pub(crate) trait Child: Send + Sync + 'static {
    /// Takes up its post.
    fn adopt(self: Arc<Self>, post: ParentLink) -> Result<(), NotAdopted>;
    /// Gives its post up, where nothing of it has begun: it is as it was before.
    fn release(&self);
    /// Notes that its offerer was told of a refusal.
    fn refused(&self);
    /// Starts an incarnation and waits for its `init`. Dropped before that, it kills it.
    fn start(self: Arc<Self>) -> BoxFuture<'static, Result<(), StartError>>;
    /// Starts an incarnation that is not awaited.
    fn again(self: Arc<Self>);
    /// Tells an incarnation to end in order.
    fn order_stop(&self, incarnation: u32, reason: ExitReason);
    /// Ends an incarnation at its next await.
    fn kill(&self, incarnation: u32, reason: ExitReason);
    /// There will be no other incarnation.
    fn close(&self, reason: ExitReason);
    /// Dead-letters what is queued while there is no reader, or while the present incarnation was killed and does not end.
    /// The mailbox stays open.
    fn clear_out(&self, reason: &ExitReason);
    /// There will be no other incarnation. Where the present one was killed and does not end, those who wait in the queue
    /// are told.
    fn give_up(&self, reason: &ExitReason);
    /// Whether there can be no other incarnation.
    fn is_closed(&self) -> bool;
    /// What it is.
    fn kind(&self) -> ChildKind;
    /// The mailbox's name, where it has one.
    fn name(&self) -> Option<&str>;
    /// What runs there, for people.
    fn type_name(&self) -> &'static str;
    /// Its mailbox as it looks from outside; a supervisor has none.
    fn stats(&self) -> Option<Stats>;
    /// Whether an operator has suspended it.
    fn is_suspended(&self) -> bool {
        false
    }
    /// What a callback of it has now.
    fn in_hand(&self) -> Option<InHandNow> {
        None
    }
    /// Has handlers that are under way in it polled once more.
    fn nudge(&self);
    /// Adds the servers that it is made of, as the graph of waits knows them.
    fn members(&self, into: &mut Vec<Member>);
    /// The exact counters of its mailbox, or of those below it; `None` while one of them is at work.
    fn audit(&self) -> Option<Ledger>;
    /// The supervisor that it is, if it is one.
    fn as_branch(self: Arc<Self>) -> Option<Arc<SupervisorCore>> {
        None
    }
    /// Its reference, where it is a server: a `ServerRef` of its type.
    fn reference(&self) -> Option<Box<dyn Any>> {
        None
    }
    /// Why it could never be started, under any supervisor.
    fn unsound(&self) -> Option<SpecError> {
        None
    }
}

/// A server under a supervisor: its mailbox, and the arguments that each `init` is lent.
pub(crate) struct ServerChild<S: GenServer> {
    server: Server<S>,
    /// There until it is dropped.
    args: Option<S::Args>,
    post: Standing,
}

impl<S: GenServer> ServerChild<S> {
    pub(crate) fn new(server: Server<S>, args: S::Args) -> Arc<Self> {
        Arc::new(Self { server, args: Some(args), post: Standing::default() })
    }

    fn post(&self) -> Option<(Arc<SupervisorCore>, u64)> {
        self.post.get()
    }
}

/// Closes the mailbox, which no other could ever serve: otherwise the holders of an address would go on sending there. A
/// mailbox that was refused, or is served by a server that no supervisor has started, is let be.
impl<S: GenServer> Drop for ServerChild<S> {
    fn drop(&mut self) {
        let server = self.server.server();
        if self.post.is_taken() || !self.post.is_refused() && !server.is_alive() {
            server.close(ExitReason::Shutdown);
        }
        // The arguments are user code, and may panic in their drop: in the middle of a supervisor's work that would leave
        // those above it waiting for ever.
        let Some(args) = self.args.take() else { return };
        // They may own the next one of a long chain.
        later::let_go(args, |args| {
            let Some(reason) = drop_quietly(args) else { return };
            quiet::run("a tracing subscriber", || {
                tracing::error!(server = std::any::type_name::<S>(), %reason, "the arguments of a server panicked in their drop");
            });
        });
    }
}

impl<S: GenServer> Child for ServerChild<S> {
    fn adopt(self: Arc<Self>, post: ParentLink) -> Result<(), NotAdopted> {
        if !self.post.take_up(post) {
            return Err(NotAdopted::Supervised);
        }
        let me: Weak<Self> = Arc::downgrade(&self);
        keeper::keep(&self.server, me).map_err(|why| {
            self.post.give_up();
            match why {
                NotKept::Kept => NotAdopted::Supervised,
                NotKept::Running => NotAdopted::Running,
            }
        })
    }

    fn release(&self) {
        keeper::let_go(&self.server);
        self.post.give_up();
    }

    fn refused(&self) {
        self.post.refuse();
    }

    fn start(self: Arc<Self>) -> BoxFuture<'static, Result<(), StartError>> {
        Box::pin(async move {
            let me: Arc<dyn Keeper<S>> = Arc::clone(&self) as _;
            keeper::start_kept(&self.server, me).await
        })
    }

    fn again(self: Arc<Self>) {
        let server = self.server.server();
        keeper::again(server);
        if server.is_closed() && !server.is_alive() {
            // The child's task may be done, and then would not tell of the end.
            let exit = Exit::new(ExitReason::Normal, Phase::Init, None, server.incarnation());
            self.ended(&End::new(exit, true)).settle();
        }
    }

    fn order_stop(&self, incarnation: u32, reason: ExitReason) {
        keeper::order_stop(self.server.server(), incarnation, reason);
    }

    fn kill(&self, incarnation: u32, reason: ExitReason) {
        keeper::kill(self.server.server(), incarnation, &reason);
    }

    fn close(&self, reason: ExitReason) {
        self.server.server().close(reason);
    }

    fn is_closed(&self) -> bool {
        self.server.server().is_closed()
    }

    fn clear_out(&self, reason: &ExitReason) {
        keeper::clear_out(self.server.server(), reason);
        keeper::bury_unread(self.server.server(), reason);
    }

    fn give_up(&self, reason: &ExitReason) {
        keeper::give_up(self.server.server(), reason);
    }

    fn kind(&self) -> ChildKind {
        ChildKind::Worker
    }

    fn name(&self) -> Option<&str> {
        self.server.server().name()
    }

    fn type_name(&self) -> &'static str {
        short_name::<S>()
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.server.server().stats())
    }

    fn is_suspended(&self) -> bool {
        self.server.server().sys().is_suspended()
    }

    fn in_hand(&self) -> Option<InHandNow> {
        self.server.server().sys().in_hand()
    }

    fn nudge(&self) {
        keeper::nudge(self.server.server());
    }

    fn members(&self, into: &mut Vec<Member>) {
        into.push(keeper::member(self.server.server()));
    }

    fn audit(&self) -> Option<Ledger> {
        self.server.server().audit()
    }

    fn reference(&self) -> Option<Box<dyn Any>> {
        Some(Box::new(self.server.address()))
    }
}

impl<S: GenServer> Keeper<S> for ServerChild<S> {
    fn args(&self) -> &S::Args {
        self.args.as_ref().expect("they are taken when it is dropped, and not before")
    }

    fn start_timeout(&self) -> Duration {
        keeper::start_timeout(&self.server)
    }

    fn begins(&self, incarnation: u32, by: Beginner) -> bool {
        self.post().is_some_and(|(branch, key)| branch.child_begins(key, incarnation, by))
    }

    fn started(&self, incarnation: u32) {
        if let Some((branch, key)) = self.post() {
            branch.child_started(key, incarnation);
        }
    }

    fn ended(&self, end: &End) -> Verdict {
        match self.post() {
            Some((branch, key)) => branch.child_ended(key, end),
            None => Verdict::Leave(None),
        }
    }

    fn place(&self) -> Option<TableKey> {
        self.post().map(|(branch, key)| TableKey { table: branch.serial, key })
    }

    fn end_for_good(&self, since: u64) -> Option<GivenUp> {
        let is_younger = self.post.since().is_some_and(|taken| taken >= since);
        let (branch, key) = self.post().filter(|_| is_younger)?;
        branch.end_for_good(key)
    }
}
