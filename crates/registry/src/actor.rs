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
use restante_core::quiet;
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
    /// Some do, as many as one command may bring; an answer each, in their order.
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
            quiet::run("a subscriber", || {
                tracing::error!(registry = &*books.name, incarnation, %sizes, "a registry's actor died: it goes on over its books");
            });
            look_through(&books);
        }
        Ok(Init::ok(Self { books }))
    }

    async fn handle_call(&mut self, call: Command, _: &mut Context<Self>) -> Step {
        // An answer that no caller waits for any more is dropped, and undoes itself.
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

/// Looks the books through, and repairs what is wrong. It runs beside the actor, because a million names take seconds and the
/// actor serves meanwhile. Where a look is under way already, that one begins again when it is done. The registry's end waits
/// for the look.
fn look_through(books: &Arc<Books>) {
    let Some(looks) = Looks::begin(books) else { return };
    rt::beside(&books.reaper, move || looks.look(validate_and_repair));
}

fn validate_and_repair(books: &Books) {
    let found = books.validate();
    if !found.is_consistent() {
        let repaired = books.repair();
        quiet::run("a subscriber", || {
            tracing::error!(registry = &*books.name, ?found, ?repaired, "the books were inconsistent");
        });
    }
}

/// The right to look the books through: one has it at a time. Dropped before it is done (it panicked, or its runtime went), the
/// next incarnation of the actor has it; what was asked for meanwhile is not looked at.
struct Looks {
    books: Arc<Books>,
    done: bool,
}

impl Looks {
    /// Asks for a look. `None`: another task has the right already, and will look again.
    fn begin(books: &Arc<Books>) -> Option<Self> {
        let asked = books.looks.fetch_add(1, Ordering::AcqRel);
        (asked == 0).then(|| Self { books: Arc::clone(books), done: false })
    }

    /// As often as was asked for, but once for all who asked meanwhile.
    fn look(mut self, look: impl Fn(&Books)) {
        while !self.done {
            let asked = self.books.looks.load(Ordering::Acquire);
            look(&self.books);
            self.done =
                self.books.looks.compare_exchange(asked, 0, Ordering::AcqRel, Ordering::Acquire).is_ok();
        }
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.books.looks.store(0, Ordering::Release);
        if std::thread::panicking() {
            quiet::run("a subscriber", || {
                tracing::error!(registry = &*self.books.name, "the look through a registry's books panicked");
            });
        }
    }
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

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use restante_core::Reaper;
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn books() -> Arc<Books> {
        let reaper = Reaper::new(crate::background::runtime());
        Arc::new(Books::new("looked through".into(), 8, reaper))
    }

    /// Clause 26.12.
    #[test]
    fn the_books_are_looked_through_again_after_a_look_that_panicked() {
        let books = books();
        let looks = Looks::begin(&books).unwrap();
        assert!(Looks::begin(&books).is_none(), "one looks at a time");
        let panicked =
            catch_unwind(AssertUnwindSafe(|| looks.look(|_| std::panic::resume_unwind(Box::new("as told")))));
        assert!(panicked.is_err());
        // One that is dropped before it has begun is nothing else.
        drop(Looks::begin(&books).unwrap());
        assert!(Looks::begin(&books).is_some());
    }

    #[test]
    fn who_asks_meanwhile_has_the_books_looked_through_again() {
        let (books, looked) = (books(), Cell::new(0));
        Looks::begin(&books).unwrap().look(|_| {
            looked.set(looked.get() + 1);
            // Asks twice in the first look and once in the second: each counts as one further look.
            (looked.get()..3).for_each(|_| assert!(Looks::begin(&books).is_none()));
        });
        assert_eq!(looked.get(), 3);
        assert!(Looks::begin(&books).is_some(), "nobody looks any more");
    }
}
