//! Programs to read and run; each file's head says what it shows.
//!
//! - `src/bin/counter.rs`: a server is called, crashed, and started again over its mailbox.
//! - `src/bin/agents/`: reads text files: a session each, tools, a model that fails, panics on request.
//! - `priorities.rs`: the messages of an agent session, by lane, weight and key.
//! - `selective.rs`: waiting inside a handler for one message among others.
//! - `blocking.rs`: plain threads that call and send.
