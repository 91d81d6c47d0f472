//! A program for `tests/signals.rs`: a tree that is run until a signal comes, as its words say.
#![expect(clippy::print_stdout, reason = "its lines are what the test reads")]

use restante::prelude::*;
use restante_supervisor::{ChildState, RunOptions, Shutdown, Supervise, Supervisor};
use std::future::pending;
use std::process::ExitCode;
use std::time::Duration;

/// Says when it starts and ends.
struct Worker(Args);

struct Args {
    name: &'static str,
    /// Its `init` does not return.
    starts_for_ever: bool,
    /// Its `terminate` does not.
    ends_for_ever: bool,
}

impl GenServer for Worker {
    type Args = Args;
    type Call = std::convert::Infallible;
    type Cast = ();
    type Info = ();

    async fn init(args: &Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        println!("{} starts", args.name);
        if args.starts_for_ever {
            pending::<()>().await;
        }
        Ok(Init::ok(Worker(Args { ..*args })))
    }

    async fn handle_call(&mut self, never: Self::Call, _: &mut Context<Self>) -> Step {
        match never {}
    }

    async fn handle_cast(&mut self, (): (), _: &mut Context<Self>) -> Step {
        // As an error, so that nothing is said on standard error.
        Err(ExitReason::error("it was told to"))
    }

    async fn terminate(&mut self, _: &ExitReason, _: &mut Context<Self>) -> Result<(), ExitReason> {
        println!("{} ends", self.0.name);
        if self.0.ends_for_ever {
            pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let told = |word: &str| words.iter().any(|w| w == word);
    let (a, b) = (Server::<Worker>::new("a"), Server::<Worker>::new("b"));
    let last = b.address();
    let a = a.child(Args { name: "a", starts_for_ever: false, ends_for_ever: false });
    let b = b.child(Args { name: "b", starts_for_ever: told("starting"), ends_for_ever: told("ending") });
    let tree = Supervisor::one_for_one().intensity(0, Duration::from_secs(1));
    let tree = tree.child(a).child(b.shutdown(Shutdown::Infinity)).build()?;
    if told("unused") {
        tree.start().await?;
        println!("up");
        tree.join().await;
        return Ok(ExitCode::FAILURE);
    }
    let deadline = if told("hurried") { Duration::from_millis(50) } else { Duration::MAX };
    let running = tokio::spawn(tree.clone().run(RunOptions::default().deadline(deadline)));
    while !told("starting") && tree.tree().state != ChildState::Running {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if !told("starting") {
        println!("up");
    }
    if told("crashing") {
        last.cast(())?;
    }
    let outcome = running.await??;
    println!("{}", outcome.to_string().split(" after ").next().unwrap_or_default());
    Ok(outcome.exit_code().into())
}
