//! The supervisor's behaviour, through its public face.

mod cancel;
mod children;
mod crash_report;
mod dynamic;
mod escalation;
mod groups;
mod partition;
mod reasons;
mod redelivery;
mod restarting;
mod runtimes;
mod shutdown;
mod significant;
mod starting;
mod strategies;
mod support;
mod survives;
mod task;
