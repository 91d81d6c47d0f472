//! The public behaviour of the registry, a module per topic.

mod admission;
mod exits;
mod heard;
mod names;
mod support;
