//! Additions from plain threads. Inside a runtime they answer [`RegisterError::WouldBlock`] and do nothing.
//! What has a module of its own has its blocking twin there: [`Creation::run_blocking`](crate::Creation::run_blocking),
//! [`Registry::create_with_retry_blocking`], [`Registry::shutdown_blocking`].

use crate::actor::Ask;
use crate::addition::Addition;
use crate::error::RegisterError;
use crate::name_text::NameText;
use crate::registry::Registry;
use crate::secondary::{FewLabels, Label, SecondaryKey};
use restante_core::{Addressable, Mailbox, Settings};
use std::panic::Location;
use std::sync::Arc;
use uuid::Uuid;

impl Registry {
    /// [`Registry::register`] from a plain thread.
    ///
    /// # Errors
    /// As [`Registry::register`], and [`RegisterError::WouldBlock`] inside a runtime.
    #[track_caller]
    pub fn register_blocking<R: Addressable>(
        &self,
        mailbox: &R,
        name: impl AsRef<str>,
    ) -> Result<(), RegisterError> {
        self.add_blocking(self.registration(mailbox, name, Location::caller())?)
    }

    /// [`Registry::register_id`] from a plain thread.
    ///
    /// # Errors
    /// As [`Registry::register_id`] and [`Registry::register_blocking`].
    #[track_caller]
    pub fn register_id_blocking(&self, id: Uuid, name: impl AsRef<str>) -> Result<(), RegisterError> {
        let label = Label::Name(NameText::new(name)?);
        self.add_blocking(Addition::to_id(
            &self.0.books,
            id,
            FewLabels::from([label]),
            Some(Location::caller()),
        ))
    }

    /// [`Registry::insert`] from a plain thread.
    ///
    /// # Errors
    /// As [`Registry::register_blocking`].
    #[track_caller]
    pub fn insert_blocking<R: Addressable>(&self, mailbox: &R) -> Result<(), RegisterError> {
        self.add_blocking(self.addition(mailbox, FewLabels::new(), Location::caller())?)
    }

    /// [`Registry::insert_many`] from a plain thread.
    ///
    /// # Errors
    /// As [`Registry::insert_many`] and [`Registry::register_blocking`].
    #[track_caller]
    pub fn insert_many_blocking<'a, R: Addressable>(
        &self,
        mailboxes: impl IntoIterator<Item = &'a R>,
    ) -> Result<Vec<Result<(), RegisterError>>, RegisterError> {
        let mut many = self.many(mailboxes, Location::caller());
        while let Some(additions) = many.next_few() {
            many.answered(self.ask_blocking(|reply| Ask::AddMany { additions, reply })?);
        }
        Ok(many.accept())
    }

    /// [`Registry::create_mailbox`] from a plain thread.
    ///
    /// # Errors
    /// As [`Registry::create_mailbox`] and [`Registry::register_blocking`].
    #[track_caller]
    pub fn create_mailbox_blocking<M: Send + 'static>(
        &self,
        settings: Settings<M>,
    ) -> Result<Mailbox<M>, RegisterError> {
        let (mut place, mailbox) = self.make_mailbox(settings)?;
        self.add_blocking(self.new_one(&mailbox, Location::caller())?)?;
        place.succeeded();
        Ok(mailbox)
    }

    /// [`Registry::add_key`] from a plain thread.
    ///
    /// # Errors
    /// As [`Registry::add_key`] and [`Registry::register_blocking`].
    #[track_caller]
    pub fn add_key_blocking(
        &self,
        id: Uuid,
        kind: &'static str,
        key: impl Into<Arc<str>>,
    ) -> Result<(), RegisterError> {
        let label = Label::Key(SecondaryKey::new(kind, key));
        self.add_blocking(Addition::to_id(
            &self.0.books,
            id,
            FewLabels::from([label]),
            Some(Location::caller()),
        ))
    }
}
