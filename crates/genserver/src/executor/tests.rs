//! What unwinds under RUN, and what an idle server takes.

use super::Cell;
use super::poll::Held;
use crate::message::Message;
use crate::{Context, GenServer, Init, Next, Reply, Step};
use restante_core::ExitReason;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

struct Adder(u64);

enum Ask {
    Add(u64, Reply<u64>),
}

impl GenServer for Adder {
    type Args = u64;
    type Call = Ask;
    type Cast = u64;
    type Info = ();
    async fn init(start: &u64, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self(*start)))
    }
    async fn handle_call(&mut self, Ask::Add(n, reply): Ask, _: &mut Context<Self>) -> Step {
        self.0 += n;
        reply.send(self.0);
        Ok(Next::go())
    }
}

/// Row H6: whatever unwinds where RUN is held by code of ours ends the incarnation, and RUN is given up: who waits for the end
/// hears of it, and the next incarnation can come.
#[tokio::test]
async fn what_unwinds_under_run_ends_the_incarnation() {
    let server = crate::Server::<Adder>::settings().build().expect("they are good");
    let at = server.start(1).await.expect("it starts");
    let cell = Arc::clone(at.handle.cell());
    assert!(cell.word().enter_quietly());
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _held = Held(&cell);
        panic!("nobody has foreseen this");
    }));
    assert!(unwound.is_err());
    assert_eq!(
        at.join().await.reason.to_string(),
        "error: the server's runner panicked outside of its callbacks"
    );
    server.start(5).await.expect("it starts again");
    assert_eq!(at.call(|reply| Ask::Add(1, reply)).await, Ok(6));
}

/// What an idle server takes: its cell and its loop. Both are budgeted: a million servers pay for each byte.
#[tokio::test]
async fn an_idle_server_is_small() {
    fn size_of_loop<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }
    // With the counts of its `Arc` and the allocator's own word it fills a block of 512.
    assert!(size_of::<Cell<Adder>>() <= 488, "{}", size_of::<Cell<Adder>>());
    // With the allocator's own word it fills a block of 240.
    assert!(size_of_loop(crate::run::run::<Adder>) <= 232, "{}", size_of_loop(crate::run::run::<Adder>));
    assert!(size_of::<Message<Adder>>() <= 40);
    let server = crate::start::<Adder>(1).await.expect("it starts");
    assert_eq!(server.call(|reply| Ask::Add(1, reply)).await, Ok(2));
}
