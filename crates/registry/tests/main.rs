//! The public behaviour of the registry, a module per topic.

mod groups;
mod names;
mod support;
mod topics;
