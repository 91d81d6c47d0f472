//! What the kit finds, and that it does: each of its assertions is shown to hold and to fail.

mod asserts;
mod crashes;
mod probes;
mod stubs;
mod support;
mod universe;
