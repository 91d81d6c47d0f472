//! Servers by name: looked up alone, beside another reader, beside a writer, and cast to.
//!
//! Readers are threads of their own, with a core each; the runtime's one worker has the servers, and the writer where
//! there is one.

use std::{
    hint::black_box,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use tokio::{sync::oneshot, task::yield_now};

use crate::{
    directory::Directory,
    measured::{Measured, Stopwatch},
    system::{Behaviour, Start, System, Then},
};

/// How many names there are beside those that the writer registers and unregisters.
const NAMES: usize = 10_000;

/// How many names the writer has at most at a time.
const OTHERS: usize = 1000;

/// After how many starts the driver lets the new servers run.
const YIELD_EVERY: usize = 256;

/// Who else is at the directory while one thread reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Nobody,
    Reader,
    Writer,
}

/// What comes of it: a look-up, and a write where there was a writer.
pub(crate) struct Lookups {
    pub(crate) read: Measured,
    pub(crate) write: Option<Measured>,
}

/// Looks up names, `count` times in each reader.
pub(crate) async fn by_name<S: System>(beside: Beside, count: u64) -> Option<Lookups> {
    let named = Arc::new(Named::<S>::new().await?);
    if beside == Beside::Writer {
        let (read, write) = beside_writer(&named, count).await;
        named.end().await;
        return Some(Lookups { read, write: Some(write) });
    }

    let readers: u8 = if beside == Beside::Reader { 2 } else { 1 };
    let gate = Arc::new(Barrier::new(readers.into()));
    let reading: Vec<_> = (0..readers).map(|seed| reader(&named, &gate, seed, count)).collect();
    let mut all = Vec::new();
    for measured in reading {
        all.push(measured.await.expect("the reader ends well"));
    }
    named.end().await;

    let mut read = all[0];
    if beside == Beside::Reader {
        read.ns_per_op = f64::midpoint(all[0].ns_per_op, all[1].ns_per_op);
        // Each has counted for both.
        read.allocs_per_op = read.allocs_per_op.map(|count| count / 2.0);
    }
    Some(Lookups { read, write: None })
}

/// Starts a thread that reads once all of them are ready.
fn reader<S: System>(
    named: &Arc<Named<S>>,
    gate: &Arc<Barrier>,
    seed: u8,
    count: u64,
) -> oneshot::Receiver<Measured> {
    let (done, measured) = oneshot::channel();
    let (named, gate) = (Arc::clone(named), Arc::clone(gate));
    thread::spawn(move || {
        let names = shuffled("server", NAMES, seed.into());
        // What the first look-up of a thread costs over others is not the question.
        named.look_up(&names, 1);
        gate.wait();
        let watch = Stopwatch::start();
        let looked_up = named.look_up(&names, count);
        let _ = done.send(watch.stop(looked_up));
    });
    measured
}

/// A reader, and this task as the writer, which writes for as long as the reader reads.
async fn beside_writer<S: System>(named: &Arc<Named<S>>, count: u64) -> (Measured, Measured) {
    let others = shuffled("other", OTHERS, 0);
    let mut spare = Vec::new();
    for _ in &others {
        spare.push(S::start(Start::UNBOUNDED, Spare).await);
        yield_now().await;
    }
    named.write(&others, &spare).await;

    let ended = Arc::new(AtomicBool::new(false));
    let reading = reader(named, &Arc::new(Barrier::new(1)), 0, count);
    let reading = {
        let ended = Arc::clone(&ended);
        tokio::spawn(async move {
            let measured = reading.await;
            ended.store(true, Ordering::Relaxed);
            measured
        })
    };
    let mut writes = 0;
    let watch = Stopwatch::start();
    while !ended.load(Ordering::Relaxed) {
        writes += named.write(&others, &spare).await;
        // The writer's worker is also the one that is told of the reader's end.
        yield_now().await;
    }
    let write = watch.stop(writes);

    let read = reading.await.expect("the task ends well").expect("the reader ends well");
    // What the writer allocated meanwhile is not the reader's.
    (Measured { allocs_per_op: None, ..read }, write)
}

/// Looks up a name and casts to what is found there, which does not run meanwhile: the worker is busy here. So of
/// `ROUNDS` casts to a server one finds it idle.
pub(crate) async fn and_cast<S: System>(count: u64) -> Option<Measured> {
    const ROUNDS: u64 = 20;
    let named = Named::<S>::new().await?;
    let names = shuffled("server", NAMES, 0);
    let burst = ROUNDS * NAMES as u64;
    // The first burst is to wake what sleeps, and to grow the queues.
    let bursts = count.div_ceil(burst) + 1;

    let mut sum = Measured::default();
    for n in 0..bursts {
        let watch = Stopwatch::start();
        for _ in 0..ROUNDS {
            for name in &names {
                assert!(named.cast(name));
            }
        }
        let measured = watch.stop(burst * (bursts - 1));
        if n > 0 {
            sum.ns_per_op += measured.ns_per_op;
            sum.allocs_per_op =
                measured.allocs_per_op.map(|count| count + sum.allocs_per_op.unwrap_or_default());
        }
        named.heard(burst * (n + 1)).await;
    }
    named.end().await;
    Some(sum)
}

/// The directory, and the servers in it.
struct Named<S: System> {
    directory: S::Directory,
    /// The driver keeps them alive.
    _servers: Vec<S::Ref<Hearer>>,
    heard: Arc<AtomicU64>,
}

impl<S: System> Named<S> {
    async fn new() -> Option<Self> {
        let directory = S::directory().await?;
        let heard = Arc::new(AtomicU64::new(0));
        let mut servers = Vec::new();
        for (i, name) in shuffled("server", NAMES, 99).iter().enumerate() {
            let behaviour = Hearer { number: number(name), heard: Arc::clone(&heard) };
            servers.push(directory.start(name, behaviour).await);
            if i % YIELD_EVERY == 0 {
                yield_now().await;
            }
        }
        Some(Self { directory, _servers: servers, heard })
    }

    /// Looks up all names, again and again, `count` of them at least; how many it were.
    fn look_up(&self, names: &[Box<str>], count: u64) -> u64 {
        let mut done = 0;
        while done < count {
            for name in names {
                let found = self.directory.with(name, |server: &S::Ref<Hearer>| {
                    black_box(server);
                });
                assert!(found.is_some());
            }
            done += names.len() as u64;
        }
        done
    }

    fn cast(&self, name: &str) -> bool {
        let cast = |server: &S::Ref<Hearer>| S::cast_now(server, number(name), 0);
        self.directory.with(name, cast).is_some()
    }

    /// Waits until the servers have heard of so many casts.
    async fn heard(&self, count: u64) {
        while self.heard.load(Ordering::Relaxed) < count {
            yield_now().await;
        }
        assert_eq!(self.heard.load(Ordering::Relaxed), count);
    }

    /// Registers these names, and unregisters them; how many writes it were.
    async fn write(&self, names: &[Box<str>], servers: &[S::Ref<Spare>]) -> u64 {
        for (name, server) in names.iter().zip(servers) {
            self.directory.register(name, server, Spare).await;
        }
        for name in names {
            self.directory.unregister(name).await;
        }
        2 * names.len() as u64
    }

    /// Sees that each name has led to its server all along, and that none does once it has been taken back.
    async fn end(&self) {
        let before = self.heard.load(Ordering::Relaxed);
        let names = shuffled("server", NAMES, 0);
        for name in &names {
            assert!(self.cast(name), "{name} is found");
        }
        self.heard(before + NAMES as u64).await;
        for name in &names {
            self.directory.unregister(name).await;
            assert!(!self.cast(name), "{name} is free");
        }
    }
}

/// A server that is cast its own number, by those who know its name.
struct Hearer {
    number: u64,
    heard: Arc<AtomicU64>,
}

impl<S: System> Behaviour<S> for Hearer {
    fn on_cast(&mut self, a: u64, _: u64) -> Then {
        assert_eq!(a, self.number, "a name leads to its own server");
        self.heard.fetch_add(1, Ordering::Relaxed);
        Then::Continue
    }
}

/// A server that is given a name, now and then.
struct Spare;

impl<S: System> Behaviour<S> for Spare {
    fn on_cast(&mut self, _: u64, _: u64) -> Then {
        Then::Continue
    }
}

/// Names in an order of their own for each seed, which is neither that in which they were registered nor that of
/// another reader. Their text lies in that order too: reading it is not the question.
fn shuffled(kind: &str, count: usize, seed: u64) -> Vec<Box<str>> {
    let mut numbers: Vec<_> = (0..count).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut numbers);
    numbers.into_iter().map(|number| format!("{kind}-{number:05}").into_boxed_str()).collect()
}

/// The number of the server of this name, from its last five digits.
fn number(name: &str) -> u64 {
    name.bytes()
        .rev()
        .take(5)
        .zip([1, 10, 100, 1000, 10_000])
        .map(|(b, unit)| u64::from(b - b'0') * unit)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_up_once_and_tells_its_number() {
        let names = shuffled("server", 1000, 7);
        let mut numbers: Vec<_> = names.iter().map(|name| number(name)).collect();
        assert_ne!(names, shuffled("server", 1000, 8));
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..1000));
    }
}
