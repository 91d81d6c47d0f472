//! What a server promises, a module per topic. The clause of `docs/SEMANTICS.md` that a test shows is in its doc
//! comment (`Clause 5.2:`), as is the row of `docs/REQUIREMENTS_STATUS.md` (`Row G1:`).

mod bad_input;
mod calls;
mod casts;
mod chains;
mod cycles;
mod deep;
mod entered;
mod foreign_wakers;
mod in_hand;
mod incarnations;
mod life;
mod memory;
mod moved_context;
mod neighbours;
mod otp_gen_server;
mod otp_messages;
mod otp_proc_lib;
mod own_threads;
mod receive;
mod replies;
mod request;
mod requests;
mod rounds;
mod smoke;
mod start;
mod stress;
mod support;
mod survives;
mod sys;
mod sys_attack;
mod timers;
mod trace;
mod untimed;
mod unwinding;
mod watchdog;
