//! What is done in each workload, written once for all systems.

mod calls;
mod casts;
mod children;
mod counter;
mod dispatch;
mod hops;
mod lifecycle;
mod lookups;
mod neighbours;
mod queues;
mod restarts;
mod skynet;

pub(crate) use dispatch::drive;
