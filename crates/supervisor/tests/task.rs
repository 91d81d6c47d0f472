//! Tasks. A test that answers to one of Elixir's says which (`Elixir Task: "…"`): what that asserts, in our words.

mod handle;
mod links;
mod many;
mod rude;
mod stream;
mod supervisor;

use restante_core::ExitReason;
use restante_supervisor::task::TaskSupervisor;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

/// The longest that a test waits for anything.
const LONG: Duration = Duration::from_secs(60);

/// What a task that fails for `reason` has for an outcome.
fn exited<T>(reason: &str) -> Result<T, ExitReason> {
    Err(ExitReason::error(reason))
}

/// A task that never ends by itself.
async fn forever() -> Result<u32, ExitReason> {
    std::future::pending().await
}

/// A task that sleeps so many milliseconds, and makes their number.
async fn sleep(ms: u64) -> Result<u64, ExitReason> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(ms)
}

/// Lets the tasks of the runtime, which has one thread, do what they can without time passing.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Waits, with time going on, until all tasks are gone.
async fn all_gone(tasks: &TaskSupervisor) {
    let gone = async {
        while tasks.count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, gone).await.expect("the tasks are gone");
}

/// Counts the values that are alive.
#[derive(Debug, Clone, Default)]
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn one(&self) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted(self.clone())
    }
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Counted(Alive);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Hears what the crate logs on the threads that it is set for: level, message, reason and span of each event.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Events>>);

#[derive(Debug, Default)]
struct Events {
    lines: Vec<String>,
    /// The spans, by number; and which are entered.
    spans: Vec<&'static Metadata<'static>>,
    within: Vec<u64>,
}

impl Events {
    fn span(&self, id: u64) -> &'static Metadata<'static> {
        self.spans[usize::try_from(id).unwrap() - 1]
    }
}

impl Heard {
    /// The events of this level and above, so far.
    fn at(&self, level: &str) -> Vec<String> {
        let events = self.0.lock().unwrap();
        events.lines.iter().filter(|line| line.starts_with(level)).cloned().collect()
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if ["message", "task", "reason", "left"].contains(&field.name()) {
            self.0 = format!("{} {}={value:?}", self.0, field.name());
        }
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("restante_supervisor") || metadata.is_span()
    }
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(event.metadata().level().to_string());
        event.record(&mut fields);
        let mut events = self.0.lock().unwrap();
        if let Some(id) = events.within.last() {
            fields.0 = format!("{} in {}", fields.0, events.span(*id).name());
        }
        events.lines.push(fields.0);
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut events = self.0.lock().unwrap();
        events.spans.push(span.metadata());
        Id::from_u64(events.spans.len() as u64)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, id: &Id) {
        self.0.lock().unwrap().within.push(id.into_u64());
    }
    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().within.pop();
    }
    fn current_span(&self) -> Current {
        let events = self.0.lock().unwrap();
        let Some(id) = events.within.last() else { return Current::none() };
        Current::new(Id::from_u64(*id), events.span(*id))
    }
}
