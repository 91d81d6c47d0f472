//! The supervisor's behaviour, through its public face.

mod dynamic;
mod strategies;
mod support;
