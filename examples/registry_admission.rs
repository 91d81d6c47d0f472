//! Slow creations, admitted by a registry: 200 sessions are asked for at once, each takes 3 s to make, and 100 at a time may be made.
//!
//! ```sh
//! cargo run --example registry_admission          # ten times as fast
//! cargo run --example registry_admission -- 1     # in real time
//! ```
//!
//! What you will see: 100 creations start, 100 are refused at once, and told when to come again; they come, spread by jitter, when
//! the first have ended, and nobody is refused a second time. A plain thread looks names up all the while, and waits for
//! none of it. At the end nothing is left over.
#![expect(clippy::print_stdout, reason = "an example prints")]

use restante::prelude::*;
use restante::registry::Retry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const SESSIONS: usize = 200;
const LIMIT: usize = 100;

struct Session(usize);

#[gen_server]
impl Session {
    #[init]
    fn init(number: &usize) -> Self {
        Self(*number)
    }
    #[call]
    fn number(&self) -> usize {
        self.0
    }
}

/// How long look-ups took: how many for each ns, those above all in the last place.
struct Latencies {
    counts: Vec<u64>,
    found: u64,
    longest: Duration,
}

impl Latencies {
    /// Looks all sessions up, over and over.
    fn measure(registry: &Registry, over: &AtomicBool) -> Self {
        let names: Vec<String> = (0..SESSIONS).map(name).collect();
        let mut all = Self { counts: vec![0; 100_001], found: 0, longest: Duration::ZERO };
        while !over.load(Ordering::Relaxed) {
            for name in &names {
                let began = Instant::now();
                let found = registry.find(name, |_: &ServerRef<Session>| ()).is_some();
                let took = began.elapsed();
                all.found += u64::from(found);
                all.longest = all.longest.max(took);
                let last = all.counts.len() - 1;
                all.counts[usize::try_from(took.as_nanos()).unwrap_or(last).min(last)] += 1;
            }
        }
        all
    }

    /// All but one in 1000 took no longer, in ns.
    fn p999(&self) -> usize {
        let mut slower = self.counts.iter().sum::<u64>() / 1000;
        for (ns, count) in self.counts.iter().enumerate().rev() {
            let Some(left) = slower.checked_sub(*count) else { return ns };
            slower = left;
        }
        0
    }
}

fn name(number: usize) -> String {
    format!("session/{number}")
}

/// One line: how much the registry has to do.
fn show(registry: &Registry, at: Duration, started: usize, created: usize) {
    let now = registry.capacity();
    println!(
        "{:>5.2} s [{:<20}] {:>3} % | started {started}, refused {}, created {created} | next in {:?}",
        at.as_secs_f64(),
        "#".repeat(now.load_percentage as usize / 5),
        now.load_percentage,
        now.total_refusals,
        now.retry_after,
    );
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let faster = std::env::args().nth(1).map_or(Ok(10), |text| text.parse::<u32>())?.max(1);
    let (slow, retry_after) = (Duration::from_secs(3) / faster, Duration::from_secs(5) / faster);
    let registry =
        Registry::builder().name("sessions").max_concurrent_creates(LIMIT).retry_after(retry_after).start();
    let over = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (registry, over) = (registry.clone(), Arc::clone(&over));
        move || Latencies::measure(&registry, &over)
    });
    println!("{SESSIONS} sessions at once, {slow:?} each, {LIMIT} at a time");
    let began = Instant::now();
    let (start_told, mut starting) = mpsc::channel(SESSIONS);
    let mut creations = JoinSet::new();
    for number in 0..SESSIONS {
        let (registry, start_told) = (registry.clone(), start_told.clone());
        creations.spawn(async move {
            let make = || {
                let start_told = start_told.clone();
                async move {
                    start_told.send(began.elapsed()).await.ok();
                    tokio::time::sleep(slow).await; // as for a connection that is made
                    start::<Session>(number).await
                }
            };
            registry.create_with_retry(name(number), Retry::default(), make).await
        });
    }
    let (mut starts, mut sessions) = (Vec::new(), Vec::new());
    let mut tick = tokio::time::interval(Duration::from_secs(1) / faster);
    while sessions.len() < SESSIONS {
        tokio::select! {
            Some(at) = starting.recv() => starts.push(at),
            Some(created) = creations.join_next() => sessions.push(created??),
            _ = tick.tick() => show(&registry, began.elapsed(), starts.len(), sessions.len()),
        }
    }
    show(&registry, began.elapsed(), starts.len(), sessions.len());
    over.store(true, Ordering::Relaxed);
    let latencies = reader.join().map_err(|_| "the reader panicked")?;

    starts.sort_unstable();
    for wave in starts.chunk_by(|one, next| next.saturating_sub(*one) < slow / 2) {
        println!("a wave: {} started, from {:?} to {:?}", wave.len(), wave[0], wave[wave.len() - 1]);
    }
    let Latencies { found, longest, .. } = latencies;
    println!("the reader: found {found} sessions; p99.9 {} ns, at most {longest:?}", latencies.p999());
    println!(
        "session/42 is number {}",
        registry.whereis::<ServerRef<Session>>("session/42")?.number().await?
    );

    drop(sessions); // the last references: the names go with them
    println!("left over: {}, {}", registry.sizes(), registry.capacity());
    let report = registry.shutdown(Duration::from_secs(1)).await;
    println!("the registry has ended {}", if report.is_clean() { "cleanly" } else { "with remains" });
    Ok(())
}
