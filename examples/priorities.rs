//! The messages of an agent session, each family with the lane, weight and key that fits it.
//!
//! Tool results are large and wanted soon: high lane, weighed in bytes. Client data comes in bursts: normal lane. System
//! events can wait: low lane. A change of context is idempotent: it carries a key, so that of several only the newest
//! waits; and it makes what waits of the old context worthless: the session purges it.
//!
//! ```sh
//! cargo run -p restante-examples --example priorities
//! ```
//!
//! What you will see: a tool result that does not fit is given back; of three changes of context the newest is handled,
//! and throws out the client data of the old one; lines come by lane and not as they were sent; nothing is lost.
#![expect(clippy::print_stdout, reason = "an example prints")]

use restante::prelude::*;
use restante::{Coalesce, Ledger};
use std::time::Duration;

/// A session of an agent: it only says what it handles, and when.
struct Session {
    context: u32,
}

enum Event {
    ToolResult(Vec<u8>),
    Client { context: u32, text: &'static str },
    System(&'static str),
    ContextChange(u32),
}

impl GenServer for Session {
    type Args = ();
    type Call = Reply<Ledger>;
    type Cast = Event;
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Session { context: 1 }))
    }

    async fn handle_call(&mut self, reply: Reply<Ledger>, ctx: &mut Context<Self>) -> Step {
        reply.send(ctx.audit());
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, event: Event, ctx: &mut Context<Self>) -> Step {
        match event {
            Event::ToolResult(bytes) => println!("tool result, {} bytes", bytes.len()),
            Event::Client { context, text } => println!("client (context {context}): {text}"),
            Event::System(what) => println!("system: {what}"),
            Event::ContextChange(new) => {
                let stale = ctx.purge(|message| {
                    matches!(message, Message::Cast(Event::Client { context, .. }) if *context != new)
                });
                println!("context {} -> {new}: {stale} stale messages purged", self.context);
                self.context = new;
            }
        }
        Ok(Next::go())
    }
}

/// What a message weighs: its bytes, where it has many.
fn weight(message: &Message<Session>) -> u32 {
    match message {
        Message::Cast(Event::ToolResult(bytes)) => u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        _ => 1,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::<Session>::settings()
        .name("session")
        .capacity(256)
        .weight_limit(64 * 1024, weight)
        .coalesce(Coalesce::KeepPlace)
        .overflow(Overflow::reject())
        .build()?;
    let session = server.address();

    // Nobody reads yet, so all of this waits together.
    let (high, low) = (SendOptions::new().lane(Lane::High), SendOptions::new().lane(Lane::Low));
    session.cast_with(Event::System("heartbeat"), low)?;
    for text in ["hello", "are you there?"] {
        session.cast(Event::Client { context: 1, text })?;
    }
    // Only one of these will be handled: they have one key, and the newest takes the place of the one that waits.
    let change = high.key(1_u64);
    for context in [2, 3, 4] {
        session.cast_with(Event::ContextChange(context), change)?;
    }
    session.cast(Event::Client { context: 4, text: "a new topic" })?;
    session.cast_with(Event::ToolResult(vec![0; 40 * 1024]), high)?;

    // By count there is room, by weight there is not: the sender has its message back and decides.
    match session.cast_with(Event::ToolResult(vec![0; 40 * 1024]), high) {
        Err(refused @ SendError::Full(_)) => println!("refused for now: {refused}"),
        other => println!("unexpected: {other:?}"),
    }
    match session.cast_with(Event::ToolResult(vec![0; 80 * 1024]), high) {
        Err(refused) => println!("refused for ever: {refused}"),
        Ok(()) => println!("unexpected: it fits"),
    }

    server.start(()).await?;
    // In the low lane, so that it is answered after all else.
    let ledger = session.call(|reply| reply).options(low).await?;
    println!("{ledger}");

    // Control overtakes whatever waits: the session ends before it comes to these.
    for _ in 0..100 {
        session.cast(Event::System("too late"))?;
    }
    session.stop(ExitReason::Shutdown, Duration::from_secs(1)).await?;
    println!("{} messages wait for the next incarnation", session.stats().depth);
    Ok(())
}
