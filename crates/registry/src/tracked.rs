//! Names as test kits see them: what is still registered at a test's end is a leak there.
//!
//! Off unless a test kit tracks a runtime ([`restante_genserver::tracker`]); then each name is noted in the runtime of whoever
//! had it put on, whatever runtime the registry lives in: a test that leaves a name in the global registry has left
//! it there itself. A registry that is left over shows by its actor, which is a server among others.

use crate::books::{Books, By};
use crate::name_text::NameText;
use crate::record::Record;
use crate::secondary::Label;
use restante_genserver::tracker::{self, Look, Tracked};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use uuid::Uuid;

/// Names that are tracked: each as long as it is on its mailbox.
pub(crate) type TrackedNames = HashMap<NameText, Arc<TrackedName>>;

/// One name, on one mailbox.
pub(crate) struct TrackedName {
    name: NameText,
    record: Weak<Record>,
}

impl Tracked for TrackedName {
    fn look(&self) -> Option<Look> {
        let record = self.record.upgrade()?;
        let mut look = Look::new("name", record.mailbox.type_name());
        look.name = Some(self.name.as_str().into());
        Some(look)
    }
}

impl Books {
    /// These labels have come on this mailbox, for a caller on this thread; where names are tracked.
    #[cold]
    pub(crate) fn track(&self, id: Uuid, labels: &[Label], by: By) {
        for label in labels {
            let (Label::Name(name), Some(by)) = (label, by) else { continue };
            // It may have been taken off meanwhile.
            let Some(tracked) = self.with_tracked(|tracked| {
                let on_it = |record: &Arc<Record>| (record.id == id).then(|| Arc::downgrade(record));
                let record = self.find_name(name, on_it).flatten()?;
                let this = Arc::new(TrackedName { name: name.clone(), record });
                tracked.insert(name.clone(), Arc::clone(&this));
                Some(this)
            }) else {
                continue;
            };
            let subject: Weak<dyn Tracked> = Arc::<TrackedName>::downgrade(&tracked);
            tracker::track(Arc::as_ptr(&tracked).addr(), &subject, by);
        }
    }
}
