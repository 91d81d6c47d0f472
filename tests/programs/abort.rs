//! A program for `tests/abort.rs`, which builds it with `panic = "abort"`: it serves, and at the word `panic` it panics.
#![expect(clippy::print_stdout, reason = "its lines are what the test reads")]

use restante::prelude::*;
use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Doubles what it is given, but cannot double nothing.
struct Doubler;

struct Double(u64, Reply<u64>);

impl GenServer for Doubler {
    type Args = ();
    type Call = Double;
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Doubler))
    }

    async fn handle_call(&mut self, Double(n, reply): Double, _: &mut Context<Self>) -> Step {
        assert_ne!(n, 0, "nothing to double");
        reply.send(2 * n);
        Ok(Next::go())
    }
}

/// Prints each warning and worse: its level and what it says.
struct Printer;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {value:?}");
    }
}

impl Subscriber for Printer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        println!("{}", line.0);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing::subscriber::set_global_default(Printer)?;
    // Two runtimes: what is said once is not said once for each.
    for _ in 0..2 {
        tokio::runtime::Runtime::new()?.block_on(serve())?;
    }
    Ok(())
}

async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let doubler = restante::start::<Doubler>(()).await?;
    println!("twice 21 is {}", doubler.call(|reply| Double(21, reply)).await?);
    if std::env::args().any(|word| word == "panic") {
        let answer = doubler.call(|reply| Double(0, reply)).await;
        println!("outlived the panic: {answer:?}");
    }
    doubler.stop(ExitReason::Shutdown, std::time::Duration::from_secs(5)).await?;
    Ok(())
}
