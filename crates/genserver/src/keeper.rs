//! Who keeps a mailbox served: told of each end of its server, and asked whether another incarnation comes.
//!
//! The ground that supervisors stand on, and not meant for their users: it may change in any release. What deliberately
//! does not live here: when to restart, how often, in what order, after what pause.
//!
//! A kept mailbox's server is started by its keeper alone, in one of two ways: [`start_kept`], for a starter that waits for
//! `init`; or by the mailbox's own task, which goes on with the next incarnation when the keeper says [`Verdict::Again`] or
//! [`again`] is called. Both ask the keeper first ([`Keeper::begins`]), so what a keeper has decided under its lock holds for
//! a beginner that comes late. A beginner that is refused leaves no trace: no lease, no number, no notice.

use crate::call::label;
use crate::cycle::Member;
use crate::executor::{Cell, Executor};
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use crate::start::{Lent, Server, StartError, start_on};
use restante_core::addressable::GivenUp;
use restante_core::word::RunGuard;
use restante_core::{Exit, ExitReason};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

/// Decides over the incarnations of one mailbox. Its methods run on threads that begin and end servers, often with the
/// next message already waiting: they must neither block nor panic, and must not poll or drop what they do not own.
pub trait Keeper<S: GenServer>: Send + Sync + 'static {
    /// What each `init` is lent.
    fn args(&self) -> &S::Args;
    /// How long an `init` may take that no starter waits for. A starter that waits sets its own limit.
    fn start_timeout(&self) -> Duration;
    /// An incarnation is about to begin; false: it must not. After true it does, or the keeper is told of its end.
    fn begins(&self, incarnation: u32, by: Beginner) -> bool;
    /// Its `init` has returned a state.
    fn started(&self, incarnation: u32);
    /// It has ended. Its lease is still held, and stays held if the verdict is [`Verdict::Again`]; the next incarnation's number
    /// is then one more. Else what the verdict holds is run: its [`Note`], which gives the lease back and comes before links and
    /// monitors are told of the end; and after them the [`Settle`] that this returns.
    fn ended(&self, end: &End) -> Verdict;
    /// Where the mailbox stands with the supervisor that decides over it.
    fn place(&self) -> Option<TableKey> {
        None
    }
    /// Ends for good, and forgets, a server that is not wanted and that its keeper has not kept before this moment: see
    /// [`kept_so_far`]. Ordered when this returns; what is returned waits for the end. `None`: there is nothing to end.
    fn end_for_good(&self, since: u64) -> Option<GivenUp> {
        let _ = since;
        None
    }
}

/// How many keepers have taken a mailbox in this process. (A name of moments: a plain counter of the standard library, under any
/// test.)
static KEPT: AtomicU64 = AtomicU64::new(0);

/// How many mailboxes keepers have taken so far: the name of this moment among those of others' [`take_number`].
pub fn kept_so_far() -> u64 {
    // Relaxed, because the moment and what is asked of it lie on one thread, or are ordered by what hands the number on.
    KEPT.load(Ordering::Relaxed)
}

/// A number for a mailbox that a keeper takes now: not below what [`kept_so_far`] said before.
pub fn take_number() -> u64 {
    KEPT.fetch_add(1, Ordering::Relaxed)
}

/// Which server's code runs on this stack, by a number that no two of them share; `None`: no server's.
pub fn on_whose_stack() -> Option<usize> {
    crate::frame::current()
}

/// A place in a keeper's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TableKey {
    /// Whose table: a number that no two of them share.
    pub table: u64,
    /// Which entry: a number that is never used again there.
    pub key: u64,
}

/// Who is about to begin an incarnation. A keeper that has asked one of them for it refuses the other, who is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginner {
    /// A starter, which waits in [`start_kept`].
    Starter,
    /// The mailbox's own task.
    Task,
}

/// How an incarnation ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct End {
    /// Why, and where in its life.
    pub exit: Exit,
    /// `init` said that there is nothing to serve.
    pub ignored: bool,
    /// The mailbox is closed: no other incarnation can come.
    pub closed: bool,
    /// The runtime that it ran on has shut down: no other can come there.
    pub orphaned: bool,
}

impl End {
    /// An end on a runtime that goes on, of an incarnation that had something to serve.
    pub fn new(exit: Exit, closed: bool) -> Self {
        Self { exit, ignored: false, closed, orphaned: false }
    }
}

/// What a keeper says to an end.
pub enum Verdict {
    /// The mailbox's own task begins the next incarnation, at once. (The keeper is not asked again whether it may.)
    Again,
    /// No incarnation comes, until one is started; and what is to be noted at the moment at which the lease is given back.
    Leave(Option<Note>),
}

/// Notes an end in the keeper's table, and gives the lease back by calling what it is handed. It calls that under the lock of
/// its table: then a thread that finds the lease given back, and so the server ended, finds the end noted as well, and the
/// other way round; see [`MailCell::end_lease_and`](restante_core::cell::MailCell::end_lease_and). Links and monitors have not
/// been told. What is left to do when all have been told comes back.
pub type Note = Box<dyn FnOnce(&mut dyn FnMut()) -> Option<Settle> + Send>;

/// What is left to do when an end has been noted and told.
pub type Settle = Box<dyn FnOnce() + Send>;

impl Verdict {
    /// Does all of what is left, for an end without a lease, of which no other server is to be told.
    pub fn settle(self) {
        if let Self::Leave(Some(note)) = self
            && let Some(settle) = note(&mut || ())
        {
            settle();
        }
    }
}

impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Again => "Again",
            Self::Leave(_) => "Leave",
        })
    }
}

/// Why a mailbox was not given a keeper. It is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKept {
    /// It has one that is still there.
    Kept,
    /// A server reads it that no keeper has started.
    Running,
}

/// Gives the mailbox a keeper. A start there without this keeper comes before this or is refused after it, because a starter
/// and this both hold RUN. In front of a closed mailbox that no server reads none will start, so that needs no RUN, which the
/// thread that settles the mailbox may hold for as long as drops of its messages take. This may be called by such a drop.
///
/// # Errors
/// [`NotKept`].
pub fn keep<S: GenServer>(server: &Server<S>, keeper: Weak<dyn Keeper<S>>) -> Result<(), NotKept> {
    let cell = cell(server.server());
    let mut spin = restante_core::sync::Spin::default();
    while !cell.is_leased() {
        // Without a lease RUN is held only for a look or by a starter: for a moment. Or to clear out a mailbox that has a
        // keeper, or to settle a closed one: while users' drops run, this one among them perhaps.
        let Some(permit) = RunGuard::enter_quietly(cell) else {
            if cell.runner.is_kept() {
                return Err(NotKept::Kept);
            }
            if cell.is_closed_unread() {
                return if cell.runner.keep(keeper) { Ok(()) } else { Err(NotKept::Kept) };
            }
            spin.wait();
            continue;
        };
        let kept = (!cell.is_leased()).then(|| cell.runner.keep(keeper));
        Cell::<S>::leave_quietly_by(permit);
        return match kept {
            Some(true) => Ok(()),
            Some(false) => Err(NotKept::Kept),
            None => Err(NotKept::Running),
        };
    }
    Err(if cell.runner.is_kept() { NotKept::Kept } else { NotKept::Running })
}

/// Takes the mailbox's keeper away, which has begun no incarnation: it is as if it had never been there.
pub fn let_go<S: GenServer>(server: &Server<S>) {
    cell(server.server()).runner.let_go();
}

/// Puts a server in front of a kept mailbox, and waits for its `init`.
///
/// # Errors
/// As [`Server::start`].
///
/// # Cancel safety
/// Dropping the future before `init` is done kills the incarnation; the mailbox stays.
pub async fn start_kept<S: GenServer>(
    server: &Server<S>,
    keeper: Arc<dyn Keeper<S>>,
) -> Result<(), StartError> {
    start_on(server.server(), Lent::Kept(keeper), server.opts()).await
}

/// Where the server's keeper has it; `None`: it has no keeper, or none that keeps a table.
pub fn place_of<S: GenServer>(server: &ServerRef<S>) -> Option<TableKey> {
    cell(server).runner.keeper()?.place()
}

/// How long an `init` on this mailbox may take.
pub fn start_timeout<S: GenServer>(server: &Server<S>) -> Duration {
    server.start_timeout()
}

/// The mailbox's own task begins the next incarnation, unless the keeper refuses or there is one by then. Where the mailbox
/// is closed the keeper is told of that ([`End::closed`]), perhaps before this returns.
pub fn again<S: GenServer>(server: &ServerRef<S>) {
    Executor::again_later(cell(server));
}

/// Orders this incarnation, and no later one, to end after the message in hand, for this reason; `terminate` runs.
pub fn order_stop<S: GenServer>(server: &ServerRef<S>, incarnation: u32, reason: ExitReason) {
    server.order_stop(incarnation, reason);
}

/// Ends this incarnation, and no other one, at its next await. One that the keeper has just promised counts already. False: it
/// is over.
pub fn kill<S: GenServer>(server: &ServerRef<S>, incarnation: u32, reason: &ExitReason) -> bool {
    Executor::kill_kept(cell(server), incarnation, reason)
}

/// Dead-letters what is queued, while the mailbox has no reader: how many. The mailbox stays open.
pub fn clear_out<S: GenServer>(server: &ServerRef<S>, reason: &ExitReason) -> u64 {
    cell(server).clear_out(reason)
}

/// Closes the mailbox of a server that was killed and does not end, and dead-letters what is queued there: its callers hear
/// the reason. What the server has taken into its batch is out of reach.
pub fn give_up<S: GenServer>(server: &ServerRef<S>, reason: &ExitReason) {
    cell(server).close(reason.clone());
    cell(server).bury_unread(reason);
}

/// Dead-letters what is queued at a server that was killed and does not end: its callers hear the reason. The mailbox stays as
/// it is. Of no effect on any other.
pub fn bury_unread<S: GenServer>(server: &ServerRef<S>, reason: &ExitReason) -> u64 {
    cell(server).bury_unread(reason)
}

/// The server as the graph of waits knows it: for [`wait_for_ends`](crate::cycle::wait_for_ends).
pub fn member<S: GenServer>(server: &ServerRef<S>) -> Member {
    let cell = cell(server);
    Member { id: cell.link_id(), label: label(cell) }
}

/// Has the handler that is under way, if one is, polled once more.
pub fn nudge<S: GenServer>(server: &ServerRef<S>) {
    Waker::from(Arc::clone(cell(server))).wake();
}

fn cell<S: GenServer>(server: &ServerRef<S>) -> &Arc<Cell<S>> {
    server.handle.cell()
}
