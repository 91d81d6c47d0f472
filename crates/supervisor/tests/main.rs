//! The supervisor's behaviour, through its public face.

mod dynamic;
mod partition;
mod strategies;
mod support;
