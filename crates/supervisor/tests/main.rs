//! The supervisor's behaviour, through its public face.

mod dynamic;
mod redelivery;
mod strategies;
mod support;
mod survives;
mod task;
