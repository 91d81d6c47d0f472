//! The registry's actor: what adds to the books comes by it, one after the other.
//!
//! It keeps nothing but a way to the books, which outlive it: a new incarnation goes on over the same ones, with the commands
//! that wait in its mailbox. What takes long runs beside it, in a task of its own ([`crate::creation`]), which also outlives
//! it. No command waits for anything, so the actor cannot be ended in the middle of one.

use crate::addition::{Addition, Answer};
use crate::books::Books;
use crate::creation::{Queued, Running};
use crate::error::RegisterError;
use crate::rt;
use crate::sync::Ordering;
use restante_genserver::{Context, ExitReason, GenServer, Init, Next, Reply, Step};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// The actor of a registry, as a server among others: to be looked at by `sys`.
pub struct RegistryActor {
    books: Arc<Books>,
}

/// What the actor is asked.
pub struct Command(pub(crate) Ask);

pub(crate) enum Ask {
    /// A mailbox comes in, or one that is in gets labels.
    Add { addition: Addition, reply: Reply<Answer> },
    /// Many do; an answer each, in their order.
    AddMany { additions: Vec<Addition>, reply: Reply<Vec<Answer>> },
    /// A creation begins.
    Begin { job: Queued, reply: Reply<Result<Running, RegisterError>> },
}

pub(crate) type Where = &'static Location<'static>;
/// What the actor is made with.
pub struct ActorArgs(pub(crate) Arc<Books>);

impl GenServer for RegistryActor {
    type Args = ActorArgs;
    type Call = Command;
    type Cast = ();
    type Info = ();

    async fn init(args: &ActorArgs, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        let books = Arc::clone(&args.0);
        let incarnation = ctx.incarnation();
        if incarnation > 1 {
            let sizes = books.sizes();
            tracing::error!(registry = &*books.name, incarnation, %sizes, "a registry's actor died: it goes on over its books");
            look_through(&books);
        }
        Ok(Init::ok(Self { books }))
    }

    async fn handle_call(&mut self, call: Command, _: &mut Context<Self>) -> Step {
        // (An answer that nobody waits for any more is dropped, and undoes itself.)
        match call.0 {
            Ask::Add { addition, reply } => {
                reply.send(addition.perform(&self.books));
            }
            Ask::AddMany { additions, reply } => {
                reply.send(additions.into_iter().map(|addition| addition.perform(&self.books)).collect());
            }
            Ask::Begin { job, reply } => {
                if let Some(job) = job.take() {
                    reply.send(job.begin());
                }
            }
        }
        Ok(Next::go())
    }

    fn call_name(call: &Command) -> &'static str {
        call.0.name()
    }
}

/// Looks the books through, and repairs what is wrong: beside the actor, which serves meanwhile, since of a million names it
/// takes seconds. Where somebody does so already, he begins again when he is done. (The registry's end waits for it.)
fn look_through(books: &Arc<Books>) {
    if books.looks.fetch_add(1, Ordering::AcqRel) > 0 {
        return;
    }
    let looks = Arc::clone(books);
    rt::beside(&books.reaper, move || {
        loop {
            let asked = looks.looks.load(Ordering::Acquire);
            let found = looks.validate();
            if !found.is_consistent() {
                let repaired = looks.repair();
                tracing::error!(registry = &*looks.name, ?found, ?repaired, "the books were inconsistent");
            }
            if looks.looks.compare_exchange(asked, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    });
}

impl Ask {
    fn name(&self) -> &'static str {
        match self {
            Ask::Add { .. } => "add",
            Ask::AddMany { .. } => "add_many",
            Ask::Begin { .. } => "begin",
        }
    }
}

impl fmt::Debug for RegistryActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryActor({})", self.books.name)
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({})", self.0.name())
    }
}

impl fmt::Debug for ActorArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorArgs({})", self.0.name)
    }
}
