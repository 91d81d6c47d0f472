//! A start: RUN and lease are taken, `init` is begun, and its result awaited.

use super::error::StartError;
use super::lent::{Lent, Outcome};
use super::opts::Opts;
use crate::call::label;
use crate::context::Context;
use crate::cycle;
use crate::executor::{Cell, Executor, NewCell, NoLease, new_cell};
use crate::keeper::Beginner;
use crate::server::GenServer;
use crate::server_ref::ServerRef;
use crate::tracker;
use restante_core::ExitReason;
#[cfg(not(any(loom, shuttle)))]
use restante_core::alarm::at_most;
use restante_core::handle::Handle;
use restante_core::monitor::{Event, MonitorId, Watch};
#[cfg(any(loom, shuttle))]
use restante_core::timeout::at_most;
use restante_core::word::{LEASED, RUN, RunGuard};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

/// How long the end of an `init` that was killed for its time is waited for.
const GRACE: Duration = Duration::from_secs(1);

pub(super) async fn start_with<S: GenServer>(
    new: NewCell<S>,
    args: S::Args,
    opts: Opts<S>,
) -> Result<ServerRef<S>, StartError> {
    let (rt, at_home) = opts.rt()?;
    // A fresh cell begins with lease and RUN: no other thread knows of it yet.
    let cell = new_cell(new, LEASED | RUN, true, Some(rt));
    cell.runner.never_inline.store(opts.never_inline(), Ordering::Relaxed);
    opts.equip(&cell);
    cell.runner.move_to(opts.threads(&cell)?);
    tracker::note(&cell, opts.made, None);
    let server = ServerRef::new(Handle::first(cell));
    opts.watch(&server);
    begin(&server, 1, Lent::Given(args), opts.timeout, at_home).await?;
    Ok(server)
}

/// Begins an incarnation on a cell that has a home and whose lease and RUN are held, and waits for `init`.
pub(super) async fn begin<S: GenServer>(
    server: &ServerRef<S>,
    incarnation: u32,
    lent: Lent<S>,
    limit: Duration,
    at_home: bool,
) -> Result<(), StartError> {
    let cell = server.handle.cell();
    let mut told = None;
    let at_once = Executor::begin(cell, incarnation, lent, at_home, || {
        let (tell, tells) = tokio::sync::oneshot::channel();
        told = Some(tells);
        tell
    });
    let outcome = match (at_once, told) {
        (Some(outcome), _) => outcome,
        (None, None) => Outcome::Stopped(ExitReason::Killed),
        (None, Some(mut told)) => {
            // From here on the starter waits; if it goes, so does the server.
            let mut guard = StartGuard { cell, incarnation, done: false };
            let _waiting =
                cycle::wait_for(cell.link_id(), || label(cell)).map_err(|path| StartError::Cycle { path })?;
            let Some(outcome) = at_most(limit, &mut told).await else {
                drop(guard);
                // Awaited by a monitor, because `told` would be content with a start that came a moment too late.
                if cell.incarnation() == incarnation {
                    at_most(GRACE, &mut Box::pin(server.join())).await;
                }
                return Err(StartError::Timeout);
            };
            guard.done = true;
            outcome.unwrap_or(Outcome::Stopped(ExitReason::Killed))
        }
    };
    match outcome {
        Outcome::Started => Ok(()),
        Outcome::Ignored => Err(StartError::Ignored),
        Outcome::Stopped(reason) => Err(StartError::Failed(reason)),
    }
}

struct StartGuard<'a, S: GenServer> {
    pub(super) cell: &'a Arc<Cell<S>>,
    pub(super) incarnation: u32,
    pub(super) done: bool,
}

impl<S: GenServer> Drop for StartGuard<'_, S> {
    fn drop(&mut self) {
        if !self.done {
            self.cell.kill_incarnation(Some(self.incarnation), ExitReason::Killed);
        }
    }
}

pub(super) async fn linked<S: GenServer, P: GenServer>(
    started: impl Future<Output = Result<ServerRef<S>, StartError>> + Send,
    parent: &mut Context<P>,
) -> Result<ServerRef<S>, StartError> {
    let server = started.await?;
    parent.link(&server);
    Ok(server)
}

pub(super) async fn monitored<S: GenServer>(
    started: impl Future<Output = Result<ServerRef<S>, StartError>> + Send,
    notify: impl FnMut(Event) + Send + 'static,
) -> Result<(ServerRef<S>, MonitorId), StartError> {
    let server = started.await?;
    let id = server.monitor(Watch::Incarnation, notify);
    Ok((server, id))
}

/// Starts on a mailbox that is there already. RUN is taken before the lease, because from the lease on senders would wake a
/// task.
pub(crate) async fn start_on<S: GenServer>(
    server: &ServerRef<S>,
    lent: Lent<S>,
    opts: &Opts<S>,
) -> Result<(), StartError> {
    let (rt, at_home) = opts.rt()?;
    let cell = server.handle.cell();
    let threads = opts.threads(cell)?;
    let mut spin = restante_core::sync::Spin::default();
    loop {
        if cell.runner.is_kept() && !matches!(lent, Lent::Kept(_)) {
            // Before anything is touched: a keeper that would have an incarnation begin does not mean this one.
            return Err(StartError::Supervised);
        }
        if cell.is_leased() {
            return Err(StartError::AlreadyStarted);
        }
        if cell.is_closed() {
            return Err(StartError::Closed);
        }
        // Without a lease RUN is held only for a look (an audit) or by another starter: for a moment. Or what lies there is
        // dropped: then it is perhaps the drop of a message that asks, on the very stack that holds RUN. So others have their
        // turn.
        if let Some(permit) = RunGuard::enter_quietly(cell) {
            // A keeper comes under RUN as well: one that has come meanwhile is the first.
            if cell.runner.is_kept() && !matches!(lent, Lent::Kept(_)) {
                Cell::<S>::leave_quietly_by(permit);
                return Err(StartError::Supervised);
            }
            permit.give_up();
            break;
        }
        spin.wait();
        others_turn().await;
    }
    // Before the lease: from then on the task of an older home would end this incarnation with its runtime.
    let settle = || {
        cell.runner.settle_in(rt);
        if threads.is_some() {
            cell.runner.move_to(threads);
        }
    };
    match Executor::lease(cell, Beginner::Starter, settle) {
        Ok(incarnation) => {
            opts.equip(cell);
            tracker::note(cell, opts.made, None);
            begin(server, incarnation, lent, opts.timeout, at_home).await
        }
        Err(NoLease::Refused) => Err(StartError::Supervised),
        Err(NoLease::Closed) => {
            // Closed in between: no other thread will see to it.
            cell.runner.move_to(None);
            Err(StartError::Closed)
        }
        Err(NoLease::Taken) => Err(StartError::AlreadyStarted),
    }
}

/// Pending once, and to be polled again at once.
async fn others_turn() {
    let mut over = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Starts a server on the mailbox of a reference, whose server has ended: for a starter that has no [`Server`](crate::Server)
/// at hand.
///
/// # Errors
/// As [`Server::start`](crate::Server::start).
///
/// # Cancel safety
/// As [`Server::start`](crate::Server::start).
pub async fn start_again<S: GenServer>(server: &ServerRef<S>, args: S::Args) -> Result<(), StartError> {
    start_on(server, Lent::Given(args), &Opts::default()).await
}
