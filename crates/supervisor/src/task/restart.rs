//! A child task that starts again, by the rules that all children have ([`fate`], [`Intensity`]). It has no pauses, and no
//! supervisor gives up with it: a task whose restarts are too many is done, and its supervisor goes on.

use super::record::Record;
use super::supervisor::Table;
use crate::intensity::{Intensity, Window};
use crate::restart::{Fate, Restart, fate};
use futures::FutureExt as _;
use restante_core::{ExitReason, clock, quiet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Runs what `make` makes, and again, as often as the rules let it.
pub(super) async fn restarting<M, F>(
    mut make: M,
    restart: Restart,
    intensity: Intensity,
    record: Arc<Record>,
    table: Arc<Table>,
) -> Result<(), ExitReason>
where
    M: FnMut() -> F + Send,
    F: Future<Output = Result<(), ExitReason>> + Send,
{
    let mut window = Window::default();
    loop {
        // The closure runs under the net as well.
        let run = AssertUnwindSafe(async { make().await }).catch_unwind().await;
        let outcome = run.unwrap_or_else(|payload| Err(ExitReason::from_panic(payload)));
        let reason = match &outcome {
            Ok(()) => &ExitReason::Normal,
            Err(reason) => reason,
        };
        if fate(restart, reason) != Fate::Restarts {
            return outcome;
        }
        let (supervisor, task) = (table.label(), &*record.name);
        if window.note(clock::now, intensity).is_err() {
            // The failure itself is reported with the end.
            quiet::run("a tracing subscriber", || {
                tracing::warn!(supervisor, task, id = %record.id, %reason, "task has started again too often");
            });
            return outcome;
        }
        record.restarts.fetch_add(1, Ordering::Relaxed);
        quiet::run("a tracing subscriber", || {
            tracing::warn!(supervisor, task, id = %record.id, %reason, "task starts again");
        });
        // A task that fails at once is not to keep its thread for itself.
        tokio::task::yield_now().await;
    }
}
