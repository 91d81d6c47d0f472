//! The supervisor's behaviour, through its public face.

mod reports;
mod strategies;
mod support;
mod survives;
mod task;
