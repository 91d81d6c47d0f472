//! Putting mailboxes and names in, by the actor; taking them out, at once.

use crate::actor::{Ask, Command, Where};
use crate::addition::{Addition, Answer};
use crate::admission::{AdmissionPermit, Overloaded};
use crate::ending::Outcome;
use crate::error::RegisterError;
use crate::name_text::NameText;
use crate::record::Record;
use crate::registry::Registry;
use crate::secondary::{FewLabels, Label, SecondaryKey};
use restante_core::{Addressable, ExitReason, Mailbox, Settings, quiet};
use restante_genserver::{CallError, DEFAULT_CALL_TIMEOUT, Reply};
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Additions.
impl Registry {
    /// Puts a name on a mailbox, which comes into the registry with it if it is not in yet. A mailbox may have several names;
    /// a name is one mailbox's.
    ///
    /// The name stays over restarts of the server behind the mailbox, and is free again when the mailbox closes. (Meant for a
    /// few names a mailbox: each further one copies the list of those that it has.)
    ///
    /// A mailbox that has the name keeps it: so a server may register in its `init`, which each of its incarnations runs.
    ///
    /// # Errors
    /// [`RegisterError`], and nothing has changed. [`NameAlreadyExists`](RegisterError::NameAlreadyExists) where another has
    /// the name; [`MailboxDoesNotExist`](RegisterError::MailboxDoesNotExist) where it has closed.
    ///
    /// # Cancel safety
    /// Dropped, the name is not registered, unless the mailbox had it before, or has been given it by another call.
    ///
    /// **Source**: `register/2`. **Differs**: who has the name is a mailbox, which may be given it again.
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
        async move {
            self.add(Addition::to_id(&self.0.books, id, FewLabels::from([Label::Name(name?)]), Some(by)))
                .await
        }
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
        let ask = self.addition(mailbox, FewLabels::new(), Location::caller());
        async move { self.add(ask?).await }
    }

    /// The same of many, in commands of up to 1024, so that others' come between: an answer each, in their order.
    ///
    /// # Errors
    /// As [`Registry::register`]: of each; of all, where a command is not answered, and then none is in that was not before.
    ///
    /// # Cancel safety
    /// Dropped, none is in that was not before.
    #[track_caller]
    pub fn insert_many<'a, R: Addressable>(
        &self,
        mailboxes: impl IntoIterator<Item = &'a R>,
    ) -> impl Future<Output = Result<Vec<Result<(), RegisterError>>, RegisterError>> + Send {
        let by = Location::caller();
        let mut many = self.many(mailboxes, by);
        async move {
            while let Some(additions) = many.next_few() {
                let answers = self.ask(|reply| Ask::AddMany { additions, reply }).await?;
                many.answered(answers);
                // The actor may have run on this stack.
                if many.to_ask.len() > 0 {
                    tokio::task::yield_now().await;
                }
            }
            Ok(many.accept())
        }
    }

    /// Makes a mailbox that is in the registry, without a name. It is a creation like others ([`Registry::creation`]), only a
    /// short one.
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
            self.add(self.new_one(&mailbox, by)?).await?;
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
        async move { self.add(Addition::to_id(&self.0.books, id, FewLabels::from([label]), Some(by))).await }
    }
}

/// Removals: done when they return, from anywhere, whatever the actor is doing.
impl Registry {
    /// Takes a name off its mailbox, which stays in the registry. False: it has no holder.
    #[track_caller]
    pub fn unregister(&self, name: &str) -> bool {
        self.0.books.remove_name(name, Some(Location::caller()))
    }

    /// Takes all its names off a mailbox, which stays in the registry: how many it had.
    #[track_caller]
    pub fn unregister_all(&self, id: Uuid) -> usize {
        self.0.books.remove_names(id, Some(Location::caller()))
    }

    /// Takes a secondary key off its mailbox. False: it has no holder.
    #[track_caller]
    pub fn remove_key(&self, kind: &'static str, key: &str) -> bool {
        self.0.books.remove_key(kind, key, Some(Location::caller()))
    }

    /// Takes a mailbox out of the registry, with its names and keys and what its entry owns; it lives on. False: it is not in.
    #[track_caller]
    pub fn remove(&self, id: Uuid) -> bool {
        self.0.books.remove(id, Outcome::Removed, ExitReason::Normal, Some(Location::caller()))
    }

    /// Takes a mailbox out of the registry and closes it: its names and keys first, so that no caller finds a name whose
    /// mailbox has gone; then what its entry owns; then the mailbox. A receiver that waits drains what is queued, then it is
    /// told `Closed`; without a reader, what is queued is dead-lettered. False: it is not in.
    ///
    /// Idempotent under concurrency: of those who destroy it at once, one does. It is in no more when this returns true, though
    /// another writer brought it in again before it closed.
    #[track_caller]
    pub fn destroy(&self, id: Uuid, reason: ExitReason) -> bool {
        self.0.books.destroy(id, reason, Some(Location::caller()))
    }
}

/// How many mailboxes come in by one command: the actor does nothing else meanwhile.
const FEW: usize = 1024;

/// Mailboxes that are to come in together, a few at a time. Dropped before the last is answered, none is in that was not
/// before.
pub(crate) struct Many {
    to_ask: std::vec::IntoIter<Addition>,
    /// Those that were asked for, not accepted yet.
    answers: Vec<Answer>,
    /// Those that have closed, each in its place: they are not asked for.
    closed: Vec<Option<RegisterError>>,
    asked: bool,
}

impl Many {
    /// What to ask for next. (Nothing at all is asked for once: whether the registry answers.)
    pub(crate) fn next_few(&mut self) -> Option<Vec<Addition>> {
        let few: Vec<_> = self.to_ask.by_ref().take(FEW).collect();
        let first = !std::mem::replace(&mut self.asked, true);
        (first || !few.is_empty()).then_some(few)
    }

    pub(crate) fn answered(&mut self, answers: Vec<Answer>) {
        self.answers.extend(answers);
    }

    /// All answers, in the mailboxes' order.
    pub(crate) fn accept(self) -> Vec<Result<(), RegisterError>> {
        let answers = self.answers.into_iter();
        let mut answers = answers.map(|answer| answer.map(Addition::accept).map_err(|error| *error));
        let closed = self.closed.into_iter();
        closed.filter_map(|closed| closed.map_or_else(|| answers.next(), |error| Some(Err(error)))).collect()
    }
}

impl Registry {
    /// A place for a creation.
    pub(crate) fn admit(&self) -> Result<AdmissionPermit, RegisterError> {
        self.0.admission.admit(|| self.queued()).map_err(|overloaded| self.overloaded(overloaded))
    }

    /// A mailbox, and the place for it, which comes first.
    pub(crate) fn make_mailbox<M: Send + 'static>(
        &self,
        settings: Settings<M>,
    ) -> Result<(AdmissionPermit, Mailbox<M>), RegisterError> {
        let place = self.admit()?;
        Ok((place, Mailbox::with(settings)?))
    }

    /// The addition of a mailbox that has just been made, and is not in. No caller has its id yet: a look for it would be in
    /// vain.
    pub(crate) fn new_one<M: Send + 'static>(
        &self,
        mailbox: &Mailbox<M>,
        by: Where,
    ) -> Result<Addition, RegisterError> {
        let (address, id) = (mailbox.address(), mailbox.id());
        let record =
            Record::new(&address, id, &self.0.books).ok_or(RegisterError::MailboxDoesNotExist(id))?;
        Ok(Addition::of(record, FewLabels::new(), Some(by)))
    }

    pub(crate) fn many<'a, R: Addressable>(
        &self,
        mailboxes: impl IntoIterator<Item = &'a R>,
        by: Where,
    ) -> Many {
        let (mut additions, mut closed) = (Vec::new(), Vec::new());
        for mailbox in mailboxes {
            let addition = self.addition(mailbox, FewLabels::new(), by);
            closed.push(addition.as_ref().err().cloned());
            additions.extend(addition);
        }
        Many { to_ask: additions.into_iter(), answers: Vec::new(), closed, asked: false }
    }

    fn overloaded(&self, overloaded: Overloaded) -> RegisterError {
        quiet::run(
            "a subscriber",
            || tracing::warn!(registry = self.name(), %overloaded, "a registry refused"),
        );
        RegisterError::Overloaded(overloaded)
    }

    fn record_of<R: Addressable>(&self, mailbox: &R) -> Result<Arc<Record>, RegisterError> {
        let id = mailbox.mailbox_id();
        // Where it is in already that record will do. Should it be taken out until then, the actor makes another.
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
        self.addition(mailbox, FewLabels::from([Label::Name(NameText::new(name)?)]), by)
    }

    pub(crate) fn addition<R: Addressable>(
        &self,
        mailbox: &R,
        labels: FewLabels,
        by: Where,
    ) -> Result<Addition, RegisterError> {
        Ok(Addition::of(self.record_of(mailbox)?, labels, Some(by)))
    }

    pub(crate) async fn add(&self, addition: Addition) -> Result<(), RegisterError> {
        let answer = self.ask(|reply| Ask::Add { addition, reply }).await?;
        answer.map(Addition::accept).map_err(|error| *error)
    }

    pub(crate) fn add_blocking(&self, addition: Addition) -> Result<(), RegisterError> {
        let answer = self.ask_blocking(|reply| Ask::Add { addition, reply })?;
        answer.map(Addition::accept).map_err(|error| *error)
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
        self.ask_blocking_for(DEFAULT_CALL_TIMEOUT, make)
    }

    /// The same with a limit of its own.
    pub(crate) fn ask_blocking_for<T: Send>(
        &self,
        limit: Duration,
        make: impl FnOnce(Reply<T>) -> Ask,
    ) -> Result<T, RegisterError> {
        let asked = self.0.actor.call_blocking_timeout(limit, |reply| Command(make(reply)));
        asked.map_err(|error| self.refused(error))
    }

    /// What an unanswered question means.
    pub(crate) fn refused(&self, error: CallError) -> RegisterError {
        match error {
            CallError::Timeout => RegisterError::Timeout(DEFAULT_CALL_TIMEOUT),
            CallError::Cycle { path } => RegisterError::Cycle(path),
            CallError::Full | CallError::Shed => self.overloaded(self.refuse()),
            CallError::RateLimited { retry_after } => {
                self.overloaded(Overloaded { retry_after, ..self.refuse() })
            }
            CallError::WouldBlock => RegisterError::WouldBlock,
            // With the registry's end, or in the middle of a command.
            CallError::Exited(reason) if !self.0.actor.is_closed() && self.ended().is_none() => {
                RegisterError::ActorDied(reason)
            }
            CallError::Exited(reason) => RegisterError::Ended(self.ended().unwrap_or(reason)),
            CallError::Closed => {
                let why = self.ended().or_else(|| self.0.actor.why_closed());
                RegisterError::Ended(why.unwrap_or(ExitReason::NoProcess))
            }
            // The actor drops no reply that anybody waits for, and no command weighs anything; calls may come to fail
            // otherwise.
            unanswered => RegisterError::Unanswered(unanswered),
        }
    }

    fn refuse(&self) -> Overloaded {
        self.0.admission.refuse(self.0.admission.active(), self.queued())
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    /// A caller that was not answered is not told that a registry has ended which has not.
    #[test]
    fn what_an_unanswered_command_means() {
        let registry = Registry::start();
        let soon = Duration::from_millis(3);
        for (error, after) in [
            (CallError::Full, crate::DEFAULT_RETRY_AFTER),
            (CallError::Shed, crate::DEFAULT_RETRY_AFTER),
            (CallError::RateLimited { retry_after: soon }, soon),
        ] {
            let refused = registry.refused(error);
            assert!(matches!(&refused, RegisterError::Overloaded(o) if o.retry_after == after), "{refused}");
        }
        for error in [CallError::NoReply, CallError::TooHeavy { weight: 2, limit: 1 }] {
            assert_eq!(registry.refused(error.clone()), RegisterError::Unanswered(error));
        }
        let killed = || CallError::Exited(ExitReason::Killed);
        assert_eq!(registry.refused(killed()), RegisterError::ActorDied(ExitReason::Killed));
        assert_eq!(registry.ended(), None);
        // Its actor was closed for good: that is why, and nothing else is known.
        let why = ExitReason::shutdown_with("why");
        registry.actor().close(why.clone());
        assert!(matches!(registry.refused(CallError::Closed), RegisterError::Ended(reason)
            if Some(&reason) == registry.ended().as_ref() || reason == why));
    }
}
