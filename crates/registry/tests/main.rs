//! The public behaviour of the registry, a module per topic.

mod admission;
mod again;
mod anywhere;
mod clauses;
mod ends;
mod exits;
mod foreign;
mod gone;
mod groups;
mod heard;
mod instants;
mod keys;
mod lifetimes;
mod looking;
mod names;
mod orphans;
mod properties;
mod rude;
mod scopes;
mod statics;
mod support;
mod topics;
mod universe;
mod verbs;
mod whose;
