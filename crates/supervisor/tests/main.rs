//! The supervisor's behaviour, through its public face.

mod reconfigure;
mod reports;
mod root;
mod strategies;
mod stubborn;
mod support;
mod tree;
