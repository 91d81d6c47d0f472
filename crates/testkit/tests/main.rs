//! What the kit finds, and that it does: each of its assertions is shown to hold and to fail.

mod probes;
mod support;
mod universe;
