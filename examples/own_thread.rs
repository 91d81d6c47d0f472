//! A server that blocks, on a thread of its own, beside one that does not; and the watchdog, which tells them apart.
//!
//! ```sh
//! cargo run -p restante-examples --example own_thread
//! ```
//!
//! What you will see: this crate's sources are read and hashed by a server whose handlers block. The runtime has one thread
//! only, and its other server goes on answering meanwhile. Then the same work is done by a server on the runtime's thread:
//! the watchdog names it, and nobody is answered until it has finished.
#![expect(clippy::print_stdout, reason = "an example prints")]

use restante::ThreadPool;
use restante::prelude::*;
use restante::watchdog::Watchdog;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

/// Reads files and hashes them, blocking its thread.
struct Hasher64;

struct Hash {
    folder: PathBuf,
    reply: Reply<Result<(usize, u64), String>>,
}

impl GenServer for Hasher64 {
    type Args = ();
    type Call = Hash;
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Hasher64))
    }

    fn call_name(_: &Hash) -> &'static str {
        "hash"
    }

    async fn handle_call(&mut self, Hash { folder, reply }: Hash, _: &mut Context<Self>) -> Step {
        let mut hasher = DefaultHasher::new();
        let hashed = hash(&folder, &mut hasher).map(|files| (files, hasher.finish()));
        reply.send(hashed.map_err(|e| format!("{}: {e}", folder.display())));
        Ok(Next::go())
    }
}

/// Hashes what lies in a folder, again and again for a tenth of a second: how many files it has read.
fn hash(folder: &Path, hasher: &mut DefaultHasher) -> io::Result<usize> {
    let began = Instant::now();
    let mut files = 0;
    while files == 0 || began.elapsed() < Duration::from_millis(100) {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                hasher.write(&fs::read(&path)?);
                files += 1;
            }
        }
    }
    Ok(files)
}

/// Answers at once.
struct Pulse(u64);

impl GenServer for Pulse {
    type Args = ();
    type Call = Reply<u64>;
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Pulse(0)))
    }

    async fn handle_call(&mut self, reply: Reply<u64>, _: &mut Context<Self>) -> Step {
        self.0 += 1;
        reply.send(self.0);
        Ok(Next::go())
    }
}

/// Has the sources hashed, and asks the other server every millisecond meanwhile: how often that answered.
async fn hash_and_ask(
    hasher: &ServerRef<Hasher64>,
    pulse: &ServerRef<Pulse>,
) -> Result<u64, Box<dyn std::error::Error>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut hashed = std::pin::pin!(hasher.call(|reply| Hash { folder, reply }).into_future());
    let mut answers = 0;
    loop {
        tokio::select! {
            result = &mut hashed => {
                let (files, hash) = result??;
                println!("  {files} files read, hash {hash:016x}");
                return Ok(answers);
            }
            () = tokio::time::sleep(Duration::from_millis(1)) => {
                pulse.call(|reply| reply).await?;
                answers += 1;
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _watchdog = Watchdog::builder()
        .on_hold(|hold| {
            let verb = if hold.ended { "held" } else { "holds" };
            println!("  watchdog: {} {verb} a worker thread with {:?}", hold.server, hold.message);
        })
        .start()?;
    let pulse = start::<Pulse>(()).await?;

    println!("on a thread of its own:");
    let threads = ThreadPool::builder(1).name("hashing").build();
    let hasher = Server::settings().name("hasher").thread_pool(&threads).start(()).await?;
    let answers = hash_and_ask(&hasher, &pulse).await?;
    println!("  meanwhile the other server answered: {}", if answers > 0 { "yes" } else { "no" });

    println!("on the runtime's only thread:");
    let blocking = Server::settings().name("blocking").start(()).await?;
    let answers = hash_and_ask(&blocking, &pulse).await?;
    println!("  meanwhile the other server answered: {}", if answers > 0 { "yes" } else { "no" });

    let report = threads.shutdown(Duration::from_secs(1)).await;
    println!(
        "shut down: {} server ended, {} left, {} threads left",
        report.ended,
        report.left.len(),
        report.threads_left
    );
    Ok(())
}
