//! The public behaviour of the registry, a module per topic.

mod groups;
mod keys;
mod names;
mod properties;
mod statics;
mod support;
mod topics;
mod universe;
