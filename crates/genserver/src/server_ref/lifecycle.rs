//! A server's end: asked for, awaited, watched.

use super::reference::ServerRef;
use crate::call::label;
use crate::cycle;
use crate::message::{Message, Order, OrderKind};
use crate::server::GenServer;
use restante_core::monitor::{Event, MonitorId, Watch};
use restante_core::{Exit, ExitReason, Lane, SendOptions};
use std::task::Poll;
use std::time::Duration;

struct Demonitor<'a, S: GenServer> {
    pub(super) server: &'a ServerRef<S>,
    pub(super) id: MonitorId,
}

impl<S: GenServer> Drop for Demonitor<'_, S> {
    fn drop(&mut self) {
        self.server.demonitor(self.id);
    }
}

/// Why a stop did not end as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// The mailbox has no reader.
    #[error("the server is not running")]
    NotRunning,
    /// It has not ended yet; the order stands.
    #[error("the server did not end within the time allowed")]
    Timeout,
    /// It ended, but for this reason.
    #[error("the server ended for another reason: {0}")]
    Other(ExitReason),
    /// The caller of the stop is the server itself, or is waited for by it. To end its own server a handler returns
    /// [`Next::stop`](crate::Next::stop), or uses [`ServerRef::request_stop`].
    #[error("the wait for the server's end would close a ring of waiting servers: {path}")]
    Cycle {
        /// The ring.
        path: cycle::Path,
    },
}

impl StopError {
    /// Whether the server is gone: none was running, or it ended for another reason. A supervised server may be started
    /// again under the same address.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotRunning | Self::Other(_))
    }
}

impl<S: GenServer> ServerRef<S> {
    /// Whether an incarnation reads the mailbox now.
    pub fn is_alive(&self) -> bool {
        self.handle.is_leased()
    }

    /// Ends the present incarnation, now: a handler that is under way is dropped at its next await, `terminate` does not
    /// run. Queued messages stay where the mailbox does. False when none was running.
    pub fn kill(&self) -> bool {
        self.handle.cell().kill(ExitReason::Killed)
    }

    /// Tells the present incarnation to end: after the handler that is under way, before everything that is queued.
    /// `terminate` runs. Waits for the end, at most so long; after a time-out the order stands. Zero only tells it.
    ///
    /// # Errors
    /// [`StopError`]; [`StopError::Other`] when the server ended for another reason than this; [`StopError::Cycle`], and no
    /// server is told to stop, where a handler would wait for the end of its own server or of one that waits for it.
    ///
    /// # Cancel safety
    /// Dropping the future stops the waiting; the order stands.
    pub async fn stop(&self, reason: ExitReason, limit: Duration) -> Result<(), StopError> {
        if !self.is_alive() {
            return Err(StopError::NotRunning);
        }
        let incarnation = self.incarnation();
        let mut end = Box::pin(self.join());
        // Listen first, then tell: or the end could come in between.
        let now = std::future::poll_fn(|cx| Poll::Ready(end.as_mut().poll(cx))).await;
        let exit = match now {
            Poll::Ready(exit) => exit,
            Poll::Pending => {
                let cell = self.handle.cell();
                let _waiting = match limit {
                    Duration::ZERO => None,
                    _ => cycle::wait_for(cell.link_id(), || label(cell))
                        .map_err(|path| StopError::Cycle { path })?,
                };
                self.order_stop(incarnation, reason.clone());
                restante_core::timeout::at_most(limit, &mut end).await.ok_or(StopError::Timeout)?
            }
        };
        if exit.reason == reason { Ok(()) } else { Err(StopError::Other(exit.reason)) }
    }

    /// Tells the present incarnation to end as [`ServerRef::stop`] does, and waits for nothing: a handler may ask for its own
    /// server's end in this way, and is obeyed once it has returned. False: none was running.
    pub fn request_stop(&self, reason: ExitReason) -> bool {
        let incarnation = self.incarnation();
        let runs = self.is_alive();
        if runs {
            self.order_stop(incarnation, reason);
        }
        runs
    }

    /// Tells an incarnation to stop.
    pub(crate) fn order_stop(&self, incarnation: u32, reason: ExitReason) {
        let order = Message::Order(Order { kind: Box::new(OrderKind::Stop(reason)), incarnation });
        // Refused only where the mailbox is closed: then the server is ending already.
        let _ = self.handle.cell().push_with(order, &SendOptions::new().lane(Lane::Control), false);
    }

    /// Waits for the end of the present incarnation; if none reads, tells at once how the last one ended.
    ///
    /// # Cancel safety
    /// Dropping the future takes the monitor down.
    pub async fn join(&self) -> Exit {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut tell = Some(tell);
        let id = self.monitor(Watch::Incarnation, move |event| {
            if let (Event::Down(exit), Some(tell)) = (event, tell.take()) {
                let _ = tell.send(exit);
            }
        });
        let guard = Demonitor { server: self, id };
        let exit = told.await;
        drop(guard);
        // The monitor tells before it goes; only a panicking process loses it.
        exit.unwrap_or_else(|_| Exit::new(ExitReason::Killed, restante_core::Phase::Idle, None, 0))
    }

    /// Is told when the present incarnation ends, or of all that happens to the mailbox. `notify` runs on the thread that
    /// ends the server: it must not block.
    pub fn monitor(&self, watch: Watch, notify: impl FnMut(Event) + Send + 'static) -> MonitorId {
        self.handle.cell().monitor(watch, Box::new(notify))
    }

    /// Takes a monitor down; false when it was gone.
    pub fn demonitor(&self, id: MonitorId) -> bool {
        self.handle.demonitor(id)
    }

    /// How the last incarnation ended.
    pub fn last_exit(&self) -> Option<Exit> {
        self.handle.last_exit()
    }

    /// What names this server in [`ExitSignal`](crate::ExitSignal).
    pub fn link_id(&self) -> usize {
        self.handle.cell().link_id()
    }

    /// Takes nothing any more. The present incarnation drains what is queued and ends; where none reads, what is queued
    /// goes to the dead-letter mailbox and its callers hear the reason. False when it was closed already.
    pub fn close(&self, reason: ExitReason) -> bool {
        self.handle.cell().close(reason)
    }
}
