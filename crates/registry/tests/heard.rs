//! Listening to what the registry tells `tracing`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// The registry's events, down to `debug`, and what is told of foreign code that it has run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<Line>>>);

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub level: Level,
    fields: BTreeMap<&'static str, String>,
}

impl Line {
    /// A field as text; empty where there is none.
    pub(crate) fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    pub(crate) fn message(&self) -> &str {
        self.get("message")
    }
}

struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("restante_registry");
        // Core tells of what panicked under the net.
        *metadata.level() <= Level::DEBUG && (ours || metadata.target() == "restante_core::quiet")
    }
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(Line { level: *event.metadata().level(), fields: fields.0 });
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Heard {
    /// Listens on this thread.
    ///
    /// As long as there has only ever been one listener, `tracing` asks the thread that first comes to an event whether the
    /// event has a listener, and remembers the answer for all threads. Here that is often the thread of another test, which
    /// has no listener. So there are always two.
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        static OTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));
        LazyLock::force(&OTHER);
        let heard = Self::default();
        #[expect(clippy::disallowed_methods, reason = "this is the way")]
        let guard = tracing::subscriber::set_default(heard.clone());
        (heard, guard)
    }

    /// What came since the last look.
    pub(crate) fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// What came of this level since the last look.
    pub(crate) fn take_at(&self, level: Level) -> Vec<Line> {
        self.take().into_iter().filter(|line| line.level == level).collect()
    }
}
