//! Putting mailboxes and names in, by the actor; taking them out, at once.

use crate::actor::{Answer, Ask, Command, Newcomer, Where};
use crate::admission::{Overloaded, Place};
use crate::ending::Outcome;
use crate::error::RegisterError;
use crate::grant::Granted;
use crate::name_text::NameText;
use crate::record::Record;
use crate::registry::Registry;
use crate::secondary::{Label, SecondaryKey};
use restante_core::{Addressable, ExitReason, Mailbox, Settings};
use restante_genserver::{CallError, DEFAULT_CALL_TIMEOUT, Reply};
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use uuid::Uuid;

/// Additions.
impl Registry {
    /// Puts a name on a mailbox, which comes into the registry with it if it is not in yet. A mailbox may have several names;
    /// a name is one mailbox's.
    ///
    /// The name stays over restarts of the server behind the mailbox, and is free again when the mailbox closes.
    ///
    /// # Errors
    /// [`RegisterError`], and nothing has changed. [`NameAlreadyExists`](RegisterError::NameAlreadyExists) also where it is the
    /// same mailbox that has the name; [`MailboxDoesNotExist`](RegisterError::MailboxDoesNotExist) where it has closed.
    ///
    /// # Cancel safety
    /// Dropped, the name is not registered.
    #[track_caller]
    pub fn register<R: Addressable>(
        &self,
        mailbox: &R,
        name: impl AsRef<str>,
    ) -> impl Future<Output = Result<(), RegisterError>> + Send {
        let by = Location::caller();
        let addition = self.registration(mailbox, name, by);
        async move { self.add(addition?).await }
    }

    /// Puts a name on the mailbox of this id, which is in the registry.
    ///
    /// # Errors
    /// As [`Registry::register`].
    ///
    /// # Cancel safety
    /// As [`Registry::register`].
    #[track_caller]
    pub fn register_id(
        &self,
        id: Uuid,
        name: impl AsRef<str>,
    ) -> impl Future<Output = Result<(), RegisterError>> + Send {
        let by = Location::caller();
        let name = NameText::new(name);
        async move { self.add(Addition::Label { id, label: Label::Name(name?), by }).await }
    }

    /// Has a mailbox in the registry, without a name: to be found by its id, or by keys. One that is in stays as it is.
    ///
    /// # Errors
    /// As [`Registry::register`].
    ///
    /// # Cancel safety
    /// As [`Registry::register`].
    #[track_caller]
    pub fn insert<R: Addressable>(
        &self,
        mailbox: &R,
    ) -> impl Future<Output = Result<(), RegisterError>> + Send {
        let ask = self.addition(mailbox, Vec::new(), Location::caller());
        async move { self.add(ask?).await }
    }

    /// The same of many, in one command: an answer each, in their order.
    ///
    /// # Errors
    /// As [`Registry::register`]: of the command, and of each.
    ///
    /// # Cancel safety
    /// Dropped, none is in that was not before.
    #[track_caller]
    pub fn insert_many<'a, R: Addressable>(
        &self,
        mailboxes: impl IntoIterator<Item = &'a R>,
    ) -> impl Future<Output = Result<Vec<Result<(), RegisterError>>, RegisterError>> + Send {
        let by = Location::caller();
        let Many { newcomers, closed } = self.many(mailboxes);
        async move {
            let answers = self.ask(|reply| Ask::InsertMany { newcomers, by, reply }).await?;
            Ok(closed.with(answers))
        }
    }

    /// Makes a mailbox that is in the registry, without a name. It is a creation like others ([`Registry::creation`]), only a short
    /// one.
    ///
    /// # Errors
    /// As [`Registry::register`]; [`RegisterError::Overloaded`] where no place is free, and then no mailbox is made;
    /// [`RegisterError::Settings`] where the settings make none.
    ///
    /// # Cancel safety
    /// Dropped, there is no mailbox.
    #[track_caller]
    pub fn create_mailbox<M: Send + 'static>(
        &self,
        settings: Settings<M>,
    ) -> impl Future<Output = Result<Mailbox<M>, RegisterError>> + Send {
        let by = Location::caller();
        let made = self.make_mailbox(settings);
        async move {
            let (mut place, mailbox) = made?;
            self.add(self.addition(&mailbox.address(), Vec::new(), by)?).await?;
            place.succeeded();
            Ok(mailbox)
        }
    }

    /// Gives a mailbox that is in the registry a secondary key, such as the conversation that it serves.
    ///
    /// # Errors
    /// As [`Registry::register`], with [`KeyAlreadyExists`](RegisterError::KeyAlreadyExists).
    ///
    /// # Cancel safety
    /// As [`Registry::register`].
    #[track_caller]
    pub fn add_key(
        &self,
        id: Uuid,
        kind: &'static str,
        key: impl Into<Arc<str>>,
    ) -> impl Future<Output = Result<(), RegisterError>> + Send {
        let by = Location::caller();
        let label = Label::Key(SecondaryKey::new(kind, key));
        async move { self.add(Addition::Label { id, label, by }).await }
    }
}

/// Removals: done when they return, from anywhere, whatever the actor is doing.
impl Registry {
    /// Takes a name off its mailbox, which stays in the registry. False: nobody has it.
    #[track_caller]
    pub fn unregister(&self, name: &str) -> bool {
        let by = Location::caller();
        // (What is no name, nobody has.)
        NameText::new(name).is_ok_and(|name| self.0.books.remove_label(&Label::Name(name), Some(by)))
    }

    /// Takes all its names off a mailbox, which stays in the registry: how many it had.
    #[track_caller]
    pub fn unregister_all(&self, id: Uuid) -> usize {
        self.0.books.remove_names(id, Some(Location::caller()))
    }

    /// Takes a secondary key off its mailbox. False: nobody has it.
    #[track_caller]
    pub fn remove_key(&self, kind: &'static str, key: &str) -> bool {
        self.0.books.remove_label(&Label::Key(SecondaryKey::new(kind, key)), Some(Location::caller()))
    }

    /// Takes a mailbox out of the registry, with its names and keys and what its entry owns; it lives on. False: it is not in.
    #[track_caller]
    pub fn remove(&self, id: Uuid) -> bool {
        self.0.books.remove(id, Outcome::Removed, ExitReason::Normal, Some(Location::caller()))
    }

    /// Takes a mailbox out of the registry and closes it: its names and keys first, so that nobody finds a name whose mailbox
    /// has gone; then what its entry owns; then the mailbox. A receiver that waits drains what is queued, then it is told
    /// `Closed`; where nobody reads, what is queued is dead-lettered. False: it is not in.
    ///
    /// Idempotent under concurrency: of those who destroy it at once, one does.
    #[track_caller]
    pub fn destroy(&self, id: Uuid, reason: ExitReason) -> bool {
        self.0.books.remove(id, Outcome::Destroyed, reason, Some(Location::caller()))
    }
}

/// Mailboxes that are to come in together.
pub(crate) struct Many {
    pub(crate) newcomers: Vec<Newcomer>,
    pub(crate) closed: ClosedOnes,
}

/// Those of them that have closed, each in its place: they are not asked for.
pub(crate) struct ClosedOnes(Vec<Option<RegisterError>>);

impl ClosedOnes {
    /// The others' answers between theirs, accepted.
    pub(crate) fn with(self, answers: Vec<Answer>) -> Vec<Result<(), RegisterError>> {
        let mut answers = answers.into_iter().map(|answer| answer.map(Granted::accept));
        let closed = self.0.into_iter();
        closed.filter_map(|closed| closed.map_or_else(|| answers.next(), |error| Some(Err(error)))).collect()
    }
}

/// What is asked for to be added.
pub(crate) enum Addition {
    Entry { record: Arc<Record>, labels: Vec<Label>, by: Where },
    Label { id: Uuid, label: Label, by: Where },
}

impl Registry {
    /// A place for a creation.
    pub(crate) fn admit(&self) -> Result<Place, RegisterError> {
        self.0.admission.admit(|| self.queued()).map_err(|overloaded| self.overloaded(overloaded))
    }

    /// A mailbox, and the place for it, which comes first.
    pub(crate) fn make_mailbox<M: Send + 'static>(
        &self,
        settings: Settings<M>,
    ) -> Result<(Place, Mailbox<M>), RegisterError> {
        let place = self.admit()?;
        Ok((place, Mailbox::with(settings)?))
    }

    pub(crate) fn many<'a, R: Addressable>(&self, mailboxes: impl IntoIterator<Item = &'a R>) -> Many {
        let (mut newcomers, mut closed) = (Vec::new(), Vec::new());
        for mailbox in mailboxes {
            let newcomer = self.newcomer(mailbox);
            closed.push(newcomer.as_ref().err().cloned());
            newcomers.extend(newcomer.map(|record| Newcomer { record, labels: Vec::new() }));
        }
        Many { newcomers, closed: ClosedOnes(closed) }
    }

    fn overloaded(&self, overloaded: Overloaded) -> RegisterError {
        tracing::warn!(registry = self.name(), %overloaded, "a registry refused");
        RegisterError::Overloaded(overloaded)
    }

    fn newcomer<R: Addressable>(&self, mailbox: &R) -> Result<Arc<Record>, RegisterError> {
        let id = mailbox.mailbox_id();
        // (Where it is in already that record will do. Should it be taken out until then, the actor makes another.)
        if let Some(known) = self.0.books.find_id(id, Arc::clone) {
            return Ok(known);
        }
        Record::new(mailbox, id, &self.0.books).ok_or(RegisterError::MailboxDoesNotExist(id))
    }

    pub(crate) fn registration<R: Addressable>(
        &self,
        mailbox: &R,
        name: impl AsRef<str>,
        by: Where,
    ) -> Result<Addition, RegisterError> {
        self.addition(mailbox, vec![Label::Name(NameText::new(name)?)], by)
    }

    pub(crate) fn addition<R: Addressable>(
        &self,
        mailbox: &R,
        labels: Vec<Label>,
        by: Where,
    ) -> Result<Addition, RegisterError> {
        Ok(Addition::Entry { record: self.newcomer(mailbox)?, labels, by })
    }

    pub(crate) async fn add(&self, addition: Addition) -> Result<(), RegisterError> {
        self.ask(|reply| addition.into_ask(reply)).await??.accept();
        Ok(())
    }

    pub(crate) fn add_blocking(&self, addition: Addition) -> Result<(), RegisterError> {
        self.ask_blocking(|reply| addition.into_ask(reply))??.accept();
        Ok(())
    }

    /// Asks the actor.
    pub(crate) async fn ask<T: Send>(
        &self,
        make: impl FnOnce(Reply<T>) -> Ask + Send,
    ) -> Result<T, RegisterError> {
        let asked = self.0.actor.call(|reply| Command(make(reply))).await;
        asked.map_err(|error| self.refused(error))
    }

    /// Asks the actor from a plain thread.
    pub(crate) fn ask_blocking<T: Send>(
        &self,
        make: impl FnOnce(Reply<T>) -> Ask,
    ) -> Result<T, RegisterError> {
        let asked = self.0.actor.call_blocking(|reply| Command(make(reply)));
        asked.map_err(|error| self.refused(error))
    }

    /// What an unanswered question means.
    pub(crate) fn refused(&self, error: CallError) -> RegisterError {
        match error {
            CallError::Timeout => RegisterError::Timeout(DEFAULT_CALL_TIMEOUT),
            CallError::Cycle { path } => RegisterError::Cycle(path),
            CallError::Full => {
                let active = self.0.admission.active();
                self.overloaded(self.0.admission.refuse(active, self.queued()))
            }
            CallError::WouldBlock => RegisterError::WouldBlock,
            // (With the registry's end, or in the middle of a command.)
            CallError::Exited(reason) if !self.0.actor.is_closed() && self.ended().is_none() => {
                RegisterError::ActorDied(reason)
            }
            CallError::Exited(reason) => RegisterError::Ended(self.ended().unwrap_or(reason)),
            _ => RegisterError::Ended(self.ended().unwrap_or(ExitReason::NoProcess)),
        }
    }
}

impl Addition {
    fn into_ask(self, reply: Reply<Answer>) -> Ask {
        match self {
            Addition::Entry { record, labels, by } => {
                Ask::Insert { newcomer: Newcomer { record, labels }, by, reply }
            }
            Addition::Label { id, label, by } => Ask::AddLabel { id, label, by, reply },
        }
    }
}
