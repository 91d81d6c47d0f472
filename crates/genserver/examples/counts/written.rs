//! The counter of `workloads`, which is written by hand, here written by the macro.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use restante_genserver::{Reply, ServerRef};
use restante_macros::gen_server;

use crate::workloads::{Asked, Counts};

/// Counts what it is sent, and replies with the count.
pub(crate) struct Written {
    seen: Arc<AtomicU64>,
    count: u64,
}

#[gen_server(pub(crate), crate = "::restante_genserver")]
impl Written {
    #[init]
    fn init(seen: &Arc<AtomicU64>) -> Self {
        Self { seen: Arc::clone(seen), count: 0 }
    }

    #[call]
    fn get(&mut self, x: u64) -> u64 {
        self.count += x;
        self.count
    }

    #[cast]
    fn add(&mut self, a: u64, b: u64) {
        self.count += a + b;
        self.seen.store(self.count, Ordering::Relaxed);
    }
}

impl Counts for Written {
    #[inline]
    fn add(server: &ServerRef<Self>, a: u64, b: u64) {
        WrittenHandle::add(server, a, b).expect("there is room");
    }

    #[inline]
    fn get(
        server: &ServerRef<Self>,
        x: u64,
    ) -> Asked<'_, Self, impl FnOnce(Reply<u64>) -> WrittenCall + Send> {
        WrittenHandle::get(server, x)
    }
}
