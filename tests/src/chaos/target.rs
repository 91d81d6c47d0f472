//! The servers that chaos is let loose on, and what is known of each over all its incarnations.

use super::Args;
use restante::{Context, ExitReason, GenServer, Init, Next, Reply, Step};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What all panics and errors here begin with.
pub(super) const CHAOS: &str = "chaos";

/// A message: from whom, which of theirs to this server, and what it does to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tell {
    pub(super) from: usize,
    pub(super) n: u64,
    pub(super) what: What,
}

/// The same, with somebody who waits for the answer.
pub(super) struct Ask {
    pub(super) tell: Tell,
    pub(super) reply: Reply<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Note,
    /// Handled in two polls: a kill may come in between.
    Yield,
    /// Panics at once: nothing can come in between.
    Panic,
    /// Panics in its second poll, unless a kill comes first.
    LatePanic,
    Fail,
    Stop,
}

/// What is known of a server, over all its incarnations.
pub(super) struct Seen {
    /// The number of the last message that came in, by sender.
    last: Box<[AtomicU64]>,
    /// Handlers that began, and those that came to their end.
    pub(super) entered: AtomicU64,
    pub(super) finished: AtomicU64,
    pub(super) panics: AtomicU64,
    /// Messages that came in after a later one of the same sender, or twice.
    pub(super) disorder: AtomicU64,
    /// Incarnations that began while another was there.
    pub(super) crowded: AtomicU64,
    there: AtomicBool,
}

impl Seen {
    pub(super) fn new(senders: usize) -> Args {
        Arc::new(Self {
            last: (0..senders).map(|_| AtomicU64::new(0)).collect(),
            entered: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            disorder: AtomicU64::new(0),
            crowded: AtomicU64::new(0),
            there: AtomicBool::new(false),
        })
    }

    fn enter(&self, tell: Tell) {
        self.entered.fetch_add(1, Ordering::Relaxed);
        // Relaxed everywhere: that one incarnation sees what the last one did is what the mailbox promises.
        if self.last[tell.from].swap(tell.n, Ordering::Relaxed) >= tell.n {
            self.disorder.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn panic(&self) -> ! {
        self.panics.fetch_add(1, Ordering::Relaxed);
        panic!("chaos: told to panic");
    }
}

/// See the module.
pub(super) struct Target {
    seen: Args,
}

impl GenServer for Target {
    type Args = Args;
    type Call = Ask;
    type Cast = Tell;
    type Info = ();

    async fn init(seen: &Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        if seen.there.swap(true, Ordering::Relaxed) {
            seen.crowded.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Init::ok(Self { seen: Arc::clone(seen) }))
    }

    async fn handle_call(&mut self, Ask { tell, reply }: Ask, _: &mut Context<Self>) -> Step {
        let step = self.handle(tell).await;
        if step.is_ok() {
            reply.send(tell.n);
        }
        step
    }

    async fn handle_cast(&mut self, tell: Tell, _: &mut Context<Self>) -> Step {
        self.handle(tell).await
    }
}

impl Target {
    async fn handle(&self, tell: Tell) -> Step {
        let seen = &*self.seen;
        seen.enter(tell);
        let next = match tell.what {
            What::Note => Next::go(),
            What::Yield => {
                tokio::task::yield_now().await;
                Next::go()
            }
            What::Panic => seen.panic(),
            What::LatePanic => {
                tokio::task::yield_now().await;
                panic!("chaos: told to panic late");
            }
            What::Fail => return Err(ExitReason::error("chaos: told to fail")),
            What::Stop => Next::stop(),
        };
        seen.finished.fetch_add(1, Ordering::Relaxed);
        Ok(next)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.seen.there.store(false, Ordering::Relaxed);
    }
}

/// Installs a panic hook that has nothing to say of the panics here, and leaves all others to the one before.
pub fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let said = payload.downcast_ref::<&str>().copied();
            let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            if !said.is_some_and(|said| said.starts_with(CHAOS)) {
                usual(info);
            }
        }));
    });
}
