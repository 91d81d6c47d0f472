//! A registry gives mailboxes names; an actor admits the writes, reads are lock-free.
//!
//! What deliberately does not live here: servers, supervision, flow control, queues on disk or on engines.

pub mod keys;
