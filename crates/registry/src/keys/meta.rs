//! What is known of a registry as a whole: values of any type, under names.

use super::error::MetaError;
use super::index::Index;
use crate::sync::Mutex;
use foldhash::fast::RandomState;
use restante_core::quiet;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// One of them.
struct Meta {
    value: Box<dyn Any + Send + Sync>,
    type_name: &'static str,
}

/// Read without locks, written by one at a time. The map owns the values.
pub(super) struct Metadata {
    index: Index<Box<str>, Meta>,
    values: Mutex<HashMap<Box<str>, Arc<Meta>, RandomState>>,
}

/// The number that each of them has: there is one per name.
const ONLY: u64 = 0;

impl Metadata {
    pub(super) fn new() -> Self {
        Self { index: Index::new(), values: Mutex::new(HashMap::default()) }
    }

    pub(super) fn put<T: Any + Send + Sync>(&self, name: &str, value: T) {
        let name: Box<str> = name.into();
        let meta = Arc::new(Meta { value: Box::new(value), type_name: std::any::type_name::<T>() });
        let mut values = self.values.lock();
        let old = values.insert(name.clone(), Arc::clone(&meta));
        if old.is_some() {
            self.index.replace(&name, ONLY, &meta);
        } else {
            self.index.add(&name, ONLY, &meta);
        }
        drop(values);
        quiet::discard("metadata", old);
    }

    pub(super) fn get<T: Any + Clone>(&self, name: &str) -> Result<T, MetaError> {
        let mut found = None;
        self.index.read(name, |meta| found = Some(meta));
        let meta = found.ok_or(MetaError::Absent)?;
        let value = meta.value.downcast_ref::<T>();
        value.cloned().ok_or(MetaError::WrongType { stored: meta.type_name })
    }

    pub(super) fn delete(&self, name: &str) -> bool {
        let mut values = self.values.lock();
        let old = values.remove_entry(name);
        if let Some((name, _)) = &old {
            self.index.take(name);
        }
        drop(values);
        let was_there = old.is_some();
        quiet::discard("metadata", old);
        was_there
    }

    /// Their names.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.values.lock().keys().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
