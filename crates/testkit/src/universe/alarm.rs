//! A universe that does not come to its end is told so.

use std::convert::Infallible;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// Rings once, when so much real time has passed. From a thread of its own: the universe's clock may stand still for ever, and
/// its runtime have nothing left that would wake it.
pub(super) struct Alarm {
    rung: oneshot::Receiver<()>,
    /// Dropped with the alarm, and then the thread ends.
    _off: mpsc::Sender<Infallible>,
}

impl Alarm {
    pub(super) fn after(limit: Duration) -> Self {
        let ((off, is_off), (ring, rung)) = (mpsc::channel(), oneshot::channel());
        let waits = move || {
            if is_off.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                // Refused when the universe has just ended.
                let _ = ring.send(());
            }
        };
        std::thread::Builder::new()
            .name("universe's alarm".into())
            .spawn(waits)
            .expect("there is room for a thread");
        Self { rung, _off: off }
    }

    /// Ready when it has rung.
    pub(super) fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        std::pin::Pin::new(&mut self.rung).poll(cx).map(drop)
    }
}
