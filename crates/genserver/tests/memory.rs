//! Memory: what a burst takes is given back.

use crate::support::{Ask, LONG, Lab, Plan, Tell, law, settle, tell};
use restante_genserver::{Next, Server, ServerRef};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

/// Counts, for each thread by itself, the bytes that it has taken and not given back: what a test on a runtime of one
/// thread holds is then its own, whichever tests run beside it.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: isize) {
    // No block is bigger than `isize::MAX`; a thread that is ending counts no more.
    let _ = HELD.try_with(|held| held.set(held.get() + sign * bytes.cast_signed()));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "a global allocator cannot be had without")]
// SAFETY: every call is handed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here and there.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(new_size, 1);
        // SAFETY: as in `alloc`; the block came from the system's allocator, as all do.
        unsafe { System.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

fn held() -> isize {
    HELD.get()
}

/// Messages of a burst: each takes some tens of bytes in a buffer.
const BURST: u64 = 20_000;
/// The least that such a burst's buffers take.
const BIG: isize = 200_000;
/// The most that may be left of them: a server keeps buffers of up to 4 KiB on either side.
const SMALL: isize = 8 * 1024;

/// A server with no bound that has been spoken to, so that all that it takes once it has taken.
async fn warm() -> ServerRef<Lab> {
    let lab = Server::<Lab>::settings().unbounded().start(Plan::default()).await.unwrap();
    lab.cast(Tell::Add(0)).unwrap();
    settle().await;
    assert_eq!(lab.call(Ask::Total).await, Ok(0));
    lab
}

async fn burst(lab: &ServerRef<Lab>) {
    for _ in 0..BURST {
        lab.cast(Tell::Add(1)).unwrap();
    }
    assert_eq!(lab.call(Ask::Total).timeout(LONG).await, Ok(BURST));
}

/// OTP `gen_server_SUITE`: `auto_hibernate`. Clause 1.7, failure mode 1: the buffers that a burst has filled are given back
/// within a second of being idle.
#[tokio::test(start_paused = true)]
async fn an_idle_server_gives_back_what_a_burst_took() {
    let lab = warm().await;
    let before = held();
    burst(&lab).await;
    assert!(held() - before > BIG, "{} bytes were held after the burst", held() - before);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(held() - before < SMALL, "{} bytes are held by an idle server", held() - before);
    assert_eq!(lab.call(Ask::Total).await, Ok(BURST), "it is none the worse for it");
    law(&lab).await;
}

/// Clause 1.7, failure mode 1: it makes no difference that the last of the burst was handled after the buffers had
/// changed sides.
#[tokio::test(start_paused = true)]
async fn a_burst_that_ends_in_a_trickle_is_given_back_too() {
    let lab = warm().await;
    let before = held();
    for _ in 0..400 {
        lab.cast(Tell::Add(1)).unwrap();
    }
    let again = tell(|_, ctx| {
        ctx.server().cast(Tell::Add(1)).unwrap();
        Box::pin(async { Ok(Next::go()) })
    });
    lab.cast(again).unwrap();
    settle().await;
    assert!(held() - before > SMALL, "{} bytes were held after the burst", held() - before);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(held() - before < SMALL, "{} bytes are held by an idle server", held() - before);
    assert_eq!(lab.call(Ask::Total).await, Ok(401));
}

/// Clause 1.7: a start that finds a queue whose time is over has nothing to handle, and gives back what the queue lay in.
#[tokio::test(start_paused = true)]
async fn a_start_on_a_queue_that_has_expired_gives_its_buffers_back() {
    let server = Server::<Lab>::settings().unbounded().ttl(Duration::from_millis(20)).build().unwrap();
    let at = server.address();
    let before = held();
    for _ in 0..BURST {
        at.cast(Tell::Add(1)).unwrap();
    }
    tokio::time::advance(Duration::from_millis(50)).await;
    let lab = server.start(Plan::default()).await.unwrap();
    assert_eq!(lab.stats().ledger.expired, BURST);
    assert!(held() - before > BIG, "{} bytes were held after the start", held() - before);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(held() - before < SMALL, "{} bytes are held by an idle server", held() - before);
    law(&lab).await;
}

/// OTP `gen_server_SUITE`: `hibernate`. Clause 1.7, failure mode 1: a server that says `hibernate` gives its buffers back as
/// soon as nothing waits, whatever the time.
#[tokio::test(start_paused = true)]
async fn a_server_that_hibernates_gives_back_what_a_burst_took() {
    let lab = warm().await;
    let before = held();
    burst(&lab).await;
    assert!(held() - before > BIG, "{} bytes were held after the burst", held() - before);
    let began = tokio::time::Instant::now();
    lab.cast(tell(|_, _| Box::pin(async { Ok(Next::hibernate()) }))).unwrap();
    settle().await;
    assert!(held() - before < SMALL, "{} bytes are held by a sleeping server", held() - before);
    assert_eq!(began.elapsed(), Duration::ZERO, "no tick of the sweep has passed");
    assert_eq!(lab.call(Ask::Total).await, Ok(BURST), "it wakes as any server does");
    law(&lab).await;
}

/// Clauses 1.7, 15.3: what a runtime had been asked to look at goes with it; a later incarnation, in another one, gives its
/// buffers back as any does.
#[test]
fn buffers_are_given_back_after_a_runtime_has_ended_under_a_server() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let mailbox = Server::<Lab>::settings().unbounded().build().unwrap();
    let lab = mailbox.address();
    for _ in 0..2 {
        let ends_under_it = runtime();
        ends_under_it.block_on(async {
            mailbox.start(Plan::default()).await.unwrap();
            burst(&lab).await;
        });
        drop(ends_under_it);
        assert!(!lab.is_alive());
    }
    runtime().block_on(async {
        mailbox.start(Plan::default()).await.unwrap();
        let before = held();
        lab.cast(Tell::Add(0)).unwrap();
        burst(&lab).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(before - held() > BIG / 2, "{} bytes are held by an idle server", held());
        law(&lab).await;
    });
}
