//! What a server promises, a module per topic. The clause of OTP that a test answers is in its doc comment.

mod bad_input;
mod calls;
mod casts;
mod cycles;
mod incarnations;
mod life;
mod memory;
mod receive;
mod replies;
mod smoke;
mod start;
mod stress;
mod support;
mod survives;
mod timers;
mod untimed;
