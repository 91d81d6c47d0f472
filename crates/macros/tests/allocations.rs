//! What a protocol's reference costs.

use restante::prelude::*;
use restante::protocol;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "a global allocator cannot be had without")]
// SAFETY: every call is handed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending counts no more.
        let _ = TAKEN.try_with(|taken| taken.set(taken.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here and there.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from the system's allocator, as all do.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Holds a number.
#[protocol]
trait Holds {
    #[call]
    fn get(&self) -> u64;
    #[cast]
    fn put(&mut self, n: u64);
}

struct Counter(u64);

#[gen_server]
impl Counter {
    #[init]
    fn init() -> Self {
        Self(0)
    }
    #[call(protocol = Holds)]
    fn get(&self) -> u64 {
        self.0
    }
    #[cast(protocol = Holds)]
    fn put(&mut self, n: u64) {
        self.0 = n;
    }
}

/// The allocations of so many casts and calls, once as many have been made before.
macro_rules! allocations {
    ($n:expr, $server:expr) => {{
        let mut taken = 0;
        for counts in [false, true] {
            let before = TAKEN.get();
            for n in 0..$n {
                $server.put(n)?;
                assert_eq!($server.get().await?, n);
            }
            taken = if counts { TAKEN.get() - before } else { 0 };
        }
        taken
    }};
}

/// Clause 24.6: a call through a protocol's reference is one allocation more than one without, a cast none.
#[tokio::test]
async fn a_call_through_a_protocol_is_one_allocation() -> Result<(), Box<dyn std::error::Error>> {
    const CALLS: u64 = 1000;
    let counter = start::<Counter>(()).await?;
    let erased = HoldsRef::from(counter.clone());
    let (direct, through) = (allocations!(CALLS, counter), allocations!(CALLS, erased));
    assert_eq!(through - direct, 1000, "{direct} directly");
    Ok(())
}
