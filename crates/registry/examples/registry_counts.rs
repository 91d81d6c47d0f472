//! Runs one of the workloads whose instructions are counted: `registry_counts NAME ROUNDS OPS`. It prints nothing.
//!
//! `cargo xtask counts` runs it under valgrind, twice with two sizes, and counts what the difference takes. Each round has a
//! runtime of one thread and a registry of its own, so that the same happens each time.

use std::hint::black_box;
use std::process::ExitCode;

use restante_core::{Address, Mailbox};
use restante_registry::Registry;
use tokio::runtime::{Builder, Runtime};

/// How many names there are before the work begins.
const NAMES: usize = 256;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, rounds, ops] = args.as_slice() else { return usage() };
    let (Ok(rounds), Ok(ops)) = (rounds.parse::<u64>(), ops.parse::<usize>()) else { return usage() };
    let run = match name.as_str() {
        "look-up" => look_up,
        "whereis" => whereis,
        "register" => register,
        _ => return usage(),
    };
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return ExitCode::FAILURE };
    for _ in 0..rounds {
        run(&Round::ready(&runtime), ops);
    }
    ExitCode::SUCCESS
}

struct Round<'a> {
    runtime: &'a Runtime,
    registry: Registry,
    names: Vec<String>,
    /// Whose they are.
    _mailboxes: Vec<Address<u64>>,
    /// That are in, without a name.
    spare: Vec<Address<u64>>,
    /// That nobody has yet.
    others: Vec<String>,
}

impl<'a> Round<'a> {
    fn ready(runtime: &'a Runtime) -> Self {
        let names: Vec<String> = (0..NAMES).map(|n| format!("mailbox-{n:05}")).collect();
        let others = (0..NAMES).map(|n| format!("another-{n:05}")).collect();
        let spare: Vec<Address<u64>> = names.iter().map(|_| Mailbox::new().address()).collect();
        let mailboxes: Vec<Address<u64>> = names.iter().map(|_| Mailbox::new().address()).collect();
        let registry = runtime.block_on(async {
            let registry = Registry::start();
            for (name, mailbox) in names.iter().zip(&mailboxes) {
                registry.register(mailbox, name).await.expect("the name is free");
            }
            for mailbox in &spare {
                registry.insert(mailbox).await.expect("it is open");
            }
            registry
        });
        Self { runtime, registry, names, _mailboxes: mailboxes, spare, others }
    }
}

/// A name is looked up, and its mailbox lent.
fn look_up(round: &Round<'_>, ops: usize) {
    for name in round.names.iter().cycle().take(ops) {
        let found = round.registry.find(name.as_str(), |mailbox: &Address<u64>| {
            black_box(mailbox);
        });
        assert!(found.is_some());
    }
}

/// A name is looked up, and its mailbox kept for a moment.
fn whereis(round: &Round<'_>, ops: usize) {
    for name in round.names.iter().cycle().take(ops) {
        black_box(round.registry.whereis::<Address<u64>>(name.as_str()).expect("it is there"));
    }
}

/// A mailbox that is in gets a name, by the actor, which is taken off again.
fn register(round: &Round<'_>, ops: usize) {
    round.runtime.block_on(async {
        for (mailbox, name) in round.spare.iter().zip(&round.others).cycle().take(ops) {
            round.registry.register(mailbox, name).await.expect("the name is free");
            assert!(round.registry.unregister(name));
        }
    });
}

fn usage() -> ExitCode {
    eprintln!("usage: registry_counts look-up|whereis|register ROUNDS OPS");
    ExitCode::from(2)
}
