//! The supervisor's behaviour, through its public face.

mod attack;
mod cancel;
mod children;
mod crash_report;
mod dynamic;
mod escalation;
mod groups;
mod own_threads;
mod partition;
mod reasons;
mod reconfigure;
mod redelivery;
mod reports;
mod restarting;
mod rings;
mod root;
mod runtimes;
mod shutdown;
mod significant;
mod starting;
mod strategies;
mod stubborn;
mod support;
mod survives;
mod task;
mod tree;
