//! Instructions of send, receive, call and start, counted by gungraun: `cargo bench -p restante-bench --bench counts`.
//!
//! Needs valgrind and gungraun-runner of the same version. It compares with the last run on this machine; the ceilings
//! that always hold are checked by `cargo xtask counts`, on the same workloads.
#![expect(missing_docs, clippy::exit, reason = "so gungraun's macros are made")]

#[path = "../../genserver/examples/counts/workloads.rs"]
mod workloads;

use std::hint::black_box;

use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use workloads::{CallMailbox, Counter, Hop, SendReceive, Start, Workload};

type Cast = workloads::Cast<Counter>;
type Call = workloads::Call<Counter>;

/// Runs `ops` operations and gives the workload back: its end is not counted.
fn count<W: Workload>(workload: W, ops: u64) -> W {
    black_box(&workload).run(black_box(ops));
    workload
}

#[library_benchmark]
#[bench::of_1024(setup = SendReceive::ready)]
fn send_receive(workload: SendReceive) -> SendReceive {
    count(workload, 1024)
}

#[library_benchmark]
#[bench::of_1024(setup = Cast::ready)]
fn cast(workload: Cast) -> Cast {
    count(workload, 1024)
}

#[library_benchmark]
#[bench::of_1024(setup = Hop::ready)]
fn hop(workload: Hop) -> Hop {
    count(workload, 1024)
}

#[library_benchmark]
#[bench::of_32(setup = Call::ready)]
fn call(workload: Call) -> Call {
    count(workload, 32)
}

#[library_benchmark]
#[bench::of_1024(setup = CallMailbox::ready)]
fn call_mailbox(workload: CallMailbox) -> CallMailbox {
    count(workload, 1024)
}

#[library_benchmark]
#[bench::of_128(setup = Start::ready)]
fn start(workload: Start) -> Start {
    count(workload, 128)
}

library_benchmark_group!(name = counts, benchmarks = [send_receive, cast, hop, call, call_mailbox, start]);

main!(
    config =
        LibraryBenchmarkConfig::default().tool(Callgrind::default().soft_limits([(EventKind::Ir, 10.0)])),
    library_benchmark_groups = counts
);
