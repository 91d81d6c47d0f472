//! The public behaviour of the registry, a module per topic.

mod names;
mod support;
