//! One event for an abnormal end, with all that is known of it.

use crate::support::{Log, Tell, listen, noted, quiet, relentless, worker};
use restante_supervisor::Supervisor;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Writes down the events at error level.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Clause 21.19: one event for a crash, with the chain of supervisors and what is known of the end; none for an orderly stop.
#[tokio::test]
async fn a_crash_is_one_event_with_the_chain_of_supervisors() {
    quiet();
    let errors = Errors::default();
    let _guard = listen(errors.clone());
    let log = Log::new();
    let (a, spec) = worker("a", &log);
    let below = relentless(Supervisor::one_for_one()).child(spec).into_child("below").unwrap();
    let tree = relentless(Supervisor::one_for_one()).name("top").child(below).start().await.unwrap();
    a.cast(Tell::Panic).unwrap();
    noted(&a).await;
    let seen = std::mem::take(&mut *errors.0.lock().unwrap());
    let [event] = &seen[..] else { panic!("{seen:?}") };
    let parts = ["supervisors=top/below ", "child=a ", "incarnation=1 ", "restarts=1 ", "phase=handle_cast "];
    for part in parts.into_iter().chain(["told to", "it is restarted"]) {
        assert!(event.contains(part), "{part}: {event}");
    }
    assert!(tree.shutdown(Duration::from_secs(1)).await.is_clean());
    assert!(errors.0.lock().unwrap().is_empty(), "an orderly end is none");
}
