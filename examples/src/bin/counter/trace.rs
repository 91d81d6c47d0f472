//! What `tracing` is told of a server that is traced, as lines on standard output. A program of yours takes
//! `tracing-subscriber`, which can do this and much more.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Shows events of traces, and nothing else.
pub(crate) struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "restante_genserver::sys::trace"
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        // (Whoever does not read our lines any more is found out by those of the program itself.)
        let _ = writeln!(io::stdout(), "  trace:{}", line.0);
    }

    // Of spans none is enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A string takes whatever is written to it.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}:"),
            // There is only one.
            "server" | "mailbox" => Ok(()),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
