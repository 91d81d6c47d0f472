//! Servers and mailboxes that keep each other open, in chains that are longer than any stack.

use restante_core::Mailbox;
use restante_genserver::{Context, ExitReason, GenServer, Init, Next, Reply, ServerRef, Step, link, start};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Runtime};

/// More than could end within one another.
const LONG: usize = 30_000;
/// Of the threads here.
const STACK: usize = 1 << 20;

/// What a link of the chain keeps.
type Kept = Option<ServerRef<Chained>>;

struct Chained {
    _kept: Kept,
    count: &'static AtomicUsize,
}

impl Drop for Chained {
    fn drop(&mut self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl GenServer for Chained {
    type Args = (Mutex<Kept>, &'static AtomicUsize);
    type Call = Reply<()>;
    type Cast = Kept;
    type Info = ();

    async fn init((kept, count): &Self::Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { _kept: kept.lock().unwrap().take(), count }))
    }
    async fn handle_call(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Step {
        reply.send(());
        Ok(Next::go())
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A count of ended servers that lives as long as they do.
fn count() -> &'static AtomicUsize {
    Box::leak(Box::new(AtomicUsize::new(0)))
}

/// On a thread with a small stack.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().expect("it does not overflow");
}

fn chain(runtime: &Runtime, count: &'static AtomicUsize) -> Kept {
    runtime.block_on(async {
        let mut last = None;
        for _ in 0..LONG {
            last = start::<Chained>((Mutex::new(last), count)).await.ok();
        }
        last
    })
}

/// Row H6, clause 13.8: each server is kept by the state of the next; their runtime has gone.
#[test]
fn a_long_chain_of_servers_ends_after_their_runtime() {
    on_a_small_stack(|| {
        let (runtime, count) = (runtime(), count());
        let last = chain(&runtime, count);
        drop(runtime);
        drop(last);
        assert_eq!(count.load(Ordering::Relaxed), LONG, "all have ended when the drop returns");
    });
}

/// Row H6, clause 13.8: the same while it lives, and as it goes.
#[test]
fn a_long_chain_of_servers_ends_with_their_runtime() {
    on_a_small_stack(|| {
        let (runtime, count) = (runtime(), count());
        let last = chain(&runtime, count);
        runtime.block_on(async { last.as_ref().unwrap().call(|reply| reply).await.unwrap() });
        drop(last);
        drop(runtime);
        assert_eq!(count.load(Ordering::Relaxed), LONG);
    });
}

/// Row H6, clause 13.8: linked servers whose runtime has gone, each of which ends the next.
#[test]
fn a_long_chain_of_links_ends_after_the_runtime() {
    on_a_small_stack(|| {
        let (runtime, count) = (runtime(), count());
        let all: Vec<_> = runtime.block_on(async {
            let mut all = Vec::new();
            for _ in 0..LONG {
                let next = start::<Chained>((Mutex::new(None), count)).await.unwrap();
                if let Some(last) = all.last() {
                    link(last, &next);
                }
                all.push(next);
            }
            all
        });
        drop(runtime);
        all[0].kill();
        assert_eq!(count.load(Ordering::Relaxed), LONG);
        assert!(all.iter().all(|server| !server.is_alive()));
    });
}

/// A message that is a mailbox, with such a message in it.
struct Nested {
    _mailbox: Mailbox<Nested>,
}

/// Row H6, clause 13.8: mailboxes in the messages of mailboxes.
#[test]
fn a_long_chain_of_nested_mailboxes_ends() {
    on_a_small_stack(|| {
        let mut outer = Mailbox::<Nested>::new();
        for _ in 0..100_000 {
            let next = Mailbox::new();
            next.address().try_send(Nested { _mailbox: outer }).unwrap();
            outer = next;
        }
        drop(outer);
    });
}

/// Row H6, clause 13.8: servers whose last reference lies in a message of the next one's mailbox.
#[test]
fn a_long_chain_of_queued_references_ends() {
    on_a_small_stack(|| {
        let (runtime, count) = (runtime(), count());
        let last = runtime.block_on(async {
            let mut last: Kept = None;
            for _ in 0..LONG {
                let next = start::<Chained>((Mutex::new(None), count)).await.unwrap();
                next.cast(last).unwrap();
                last = Some(next);
            }
            last
        });
        drop(runtime);
        drop(last);
        assert_eq!(count.load(Ordering::Relaxed), LONG);
    });
}
