//! Plain threads and servers: `call_blocking`, `send_blocking`, and where they refuse to block.
//!
//! ```sh
//! cargo run -p restante-examples --example blocking
//! ```
//!
//! What you will see: four threads without any async code count through a mailbox with room for two messages, waiting
//! for room where there is none; each has its answers. A call to a busy server from a thread that drives the runtime
//! is refused, since it would stop a worker that the server may need.
#![expect(clippy::print_stdout, reason = "an example prints")]

use restante::prelude::*;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

struct Counter(u64);

enum Ask {
    Get(Reply<u64>),
    Sleep(Duration, Reply<()>),
}

impl GenServer for Counter {
    type Args = ();
    type Call = Ask;
    type Cast = u64;
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Counter(0)))
    }

    async fn handle_call(&mut self, call: Ask, _: &mut Context<Self>) -> Step {
        match call {
            Ask::Get(reply) => {
                reply.send(self.0);
            }
            Ask::Sleep(time, reply) => {
                tokio::time::sleep(time).await;
                reply.send(());
            }
        }
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, n: u64, _: &mut Context<Self>) -> Step {
        self.0 += n;
        Ok(Next::go())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::new()?;
    let server = Server::<Counter>::settings().capacity(2).runtime(runtime.handle().clone()).build()?;
    let counter = server.address();
    runtime.block_on(server.start(()))?;

    // Each of them waits for room again and again, at most a second each time.
    thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let counter = counter.clone();
            scope.spawn(move || {
                for _ in 0..1000 {
                    if let Err(refused) = counter.send_blocking(1, Duration::from_secs(1)) {
                        println!("thread {name}: {refused}");
                    }
                }
                match counter.call_blocking(Ask::Get) {
                    Ok(sum) => println!("thread {name}: its thousand is among the {sum} so far"),
                    Err(e) => println!("thread {name}: {e}"),
                }
            });
        }
    });
    println!("all together: {}", counter.call_blocking(Ask::Get)?);

    // The limit is the caller's own; the server goes on, and its late reply is discarded.
    let began = Instant::now();
    let slow = |reply| Ask::Sleep(Duration::from_millis(300), reply);
    let result = counter.call_blocking_timeout(Duration::from_millis(50), slow);
    println!("a slow call: {result:?} after {} ms at least", began.elapsed().as_millis() / 50 * 50);

    // The server still sleeps. To wait for it on a worker of the runtime could stop the very thread that wakes it.
    let inside = runtime.block_on(async { counter.call_blocking(Ask::Get) });
    println!("the same from async code: {inside:?}");
    println!("there, await instead: {:?}", runtime.block_on(counter.call(Ask::Get)));

    runtime.block_on(counter.stop(ExitReason::Shutdown, Duration::from_secs(1)))?;
    Ok(())
}
