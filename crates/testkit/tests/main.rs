//! What the kit finds, and that it does: each of its assertions is shown to hold and to fail.

mod asserts;
mod crashes;
mod probes;
mod rude;
mod stubs;
mod support;
mod universe;
