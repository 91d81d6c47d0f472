//! What operators have asked of one mailbox's server, behind a lock of its own: neither RUN nor the senders' lock is needed to
//! ask, so the holders of those are not waited for.
//!
//! Who adds a wish lets go of this lock, and then sets SYS ([`StateWord::call_for`]); the loop looks here when it finds SYS. No
//! user code runs, and nothing of a user's is dropped, under the lock; hooks are taken out while they run.
//!
//! [`StateWord::call_for`]: restante_core::word::StateWord::call_for

use super::log::{LogEntry, Observed, Ring, discard_each};
use crate::server::GenServer;
use restante_core::{ExitReason, drop_quietly, quiet};
use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::Span;

/// A question to the state: run once, between two messages.
pub(super) type Question<S> = Box<dyn FnOnce(&mut S) + Send>;

/// See [`Sys::install`](super::Sys::install).
pub(super) type HookFn<S> = Box<dyn FnMut(&Observed<'_, S>) -> ControlFlow<()> + Send>;

struct Hook<S: GenServer> {
    name: Arc<str>,
    run: HookFn<S>,
}

/// What operators have asked.
pub(crate) struct SysRequests<S: GenServer> {
    list: Mutex<List<S>>,
    /// As in the list; for senders, who look without the lock.
    traced: AtomicBool,
    /// The span of the message in hand, while the server is traced. Used by the holder of RUN, and so by one thread at a time.
    span: Mutex<Option<Box<Span>>>,
}

struct List<S: GenServer> {
    suspended: bool,
    traced: bool,
    log: Option<Ring>,
    hooks: Vec<Hook<S>>,
    /// The names of those hooks that are out, being run, and are still wanted when they come back. (Meanwhile `hooks` holds
    /// those that came after them.)
    out: Vec<Arc<str>>,
    /// Questions by number, each for one incarnation. As many as askers wait: who stops waiting takes theirs back.
    questions: VecDeque<(u64, u32, Question<S>)>,
    next: u64,
}

impl<S: GenServer> Default for SysRequests<S> {
    fn default() -> Self {
        let list = List {
            suspended: false,
            traced: false,
            log: None,
            hooks: Vec::new(),
            out: Vec::new(),
            questions: VecDeque::new(),
            next: 0,
        };
        Self { list: Mutex::new(list), traced: AtomicBool::new(false), span: Mutex::new(None) }
    }
}

impl<S: GenServer> fmt::Debug for SysRequests<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SysRequests")
    }
}

/// What the loop is to do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    /// A question waits for this incarnation.
    pub(super) question: bool,
    pub(super) suspended: bool,
    /// Each step is to be told of.
    pub(super) watched: bool,
}

impl Wanted {
    /// Whether SYS stays.
    pub(super) fn any(self) -> bool {
        self.question || self.suspended || self.watched
    }
}

impl<S: GenServer> List<S> {
    /// Those of all hooks, in the order in which they run.
    fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.out.iter().chain(self.hooks.iter().map(|hook| &hook.name))
    }
}

/// What hooks hold is the user's, and two that panic in one drop would end the program.
fn drop_each<S: GenServer>(hooks: Vec<Hook<S>>) {
    for hook in hooks {
        drop_quietly(hook);
    }
}

impl<S: GenServer> SysRequests<S> {
    fn list(&self) -> MutexGuard<'_, List<S>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mailbox has settled: no step will come that a hook could be told of.
    pub(crate) fn drop_hooks(&self) {
        let hooks = std::mem::take(&mut self.list().hooks);
        drop_each(hooks);
    }

    pub(super) fn suspend(&self, on: bool) -> bool {
        std::mem::replace(&mut self.list().suspended, on) != on
    }

    pub(super) fn trace(&self, on: bool) -> bool {
        self.traced.store(on, Ordering::Relaxed);
        std::mem::replace(&mut self.list().traced, on)
    }

    /// A message has been taken in hand, with this span.
    pub(super) fn put_span(&self, span: Option<Box<Span>>) {
        let old = std::mem::replace(&mut *self.span.lock().unwrap_or_else(PoisonError::into_inner), span);
        drop(old);
    }

    /// The span of the message in hand, which has none from now on.
    pub(crate) fn take_span(&self) -> Option<Box<Span>> {
        self.span.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Lends the span of the message in hand, if it has one; outside the lock.
    pub(crate) fn with_span(&self, enter_or_exit: fn(&Span)) {
        if let Some(span) = self.take_span() {
            enter_or_exit(&span);
            self.put_span(Some(span));
        }
    }

    /// Whether senders are to say in which span they are.
    pub(crate) fn is_traced(&self) -> bool {
        self.traced.load(Ordering::Relaxed)
    }

    pub(super) fn keep_log(&self, entries: usize) {
        let mut list = self.list();
        let (kept, gone) = Ring::resized(list.log.take(), entries);
        list.log = kept;
        drop(list);
        discard_each(gone);
    }

    pub(super) fn log(&self) -> Vec<LogEntry> {
        self.list().log.as_ref().map(Ring::entries).unwrap_or_default()
    }

    pub(super) fn install(&self, name: Arc<str>, run: HookFn<S>) -> bool {
        let hook = Hook { name, run };
        let mut list = self.list();
        if list.names().any(|taken| *taken == hook.name) {
            drop(list);
            drop_quietly(hook);
            return false;
        }
        list.hooks.push(hook);
        true
    }

    pub(super) fn remove(&self, name: &str) -> bool {
        let mut list = self.list();
        if let Some(at) = list.out.iter().position(|out| &**out == name) {
            // It does not come back.
            list.out.remove(at);
            return true;
        }
        let Some(at) = list.hooks.iter().position(|h| &*h.name == name) else { return false };
        let hook = list.hooks.remove(at);
        drop(list);
        drop_quietly(hook);
        true
    }

    pub(super) fn watch_nothing(&self) {
        self.trace(false);
        let mut list = self.list();
        let hooks = std::mem::take(&mut list.hooks);
        // Those that are out do not come back.
        list.out.clear();
        let log = list.log.take();
        drop(list);
        drop_each(hooks);
        drop(log);
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.list().suspended
    }

    /// What is watched: tracing, entries of the log at most, names of hooks.
    pub(super) fn watched(&self) -> (bool, bool, Vec<Arc<str>>) {
        let list = self.list();
        (list.traced, list.log.is_some(), list.names().cloned().collect())
    }

    /// Adds a question for one incarnation: its number.
    pub(super) fn ask(&self, incarnation: u32, question: Question<S>) -> u64 {
        let mut list = self.list();
        let number = list.next;
        list.next += 1;
        list.questions.push_back((number, incarnation, question));
        number
    }

    /// Takes a question back; false when the loop has it already.
    pub(super) fn withdraw(&self, number: u64) -> bool {
        let mut list = self.list();
        let Some(at) = list.questions.iter().position(|(n, ..)| *n == number) else { return false };
        let question = list.questions.remove(at);
        drop(list);
        drop_quietly(question);
        true
    }

    /// The next question of an incarnation. (Those of earlier ones wait for their askers, who hear of the end, to take them
    /// back.)
    pub(super) fn next_question(&self, incarnation: u32) -> Option<Question<S>> {
        let mut list = self.list();
        let at = list.questions.iter().position(|(_, i, _)| *i == incarnation)?;
        list.questions.remove(at).map(|(_, _, question)| question)
    }

    /// What an incarnation is to do.
    pub(super) fn wanted(&self, incarnation: u32) -> Wanted {
        let list = self.list();
        Wanted {
            question: list.questions.iter().any(|(_, i, _)| *i == incarnation),
            suspended: list.suspended,
            watched: list.traced || list.log.is_some() || list.names().next().is_some(),
        }
    }

    /// Tells of a step: the log, then the hooks; whether it is to be traced.
    pub(super) fn tell(&self, entry: impl FnOnce() -> LogEntry, step: &Observed<'_, S>) -> bool {
        let mut list = self.list();
        let traced = list.traced;
        let hooks = std::mem::take(&mut list.hooks);
        list.out = hooks.iter().map(|hook| Arc::clone(&hook.name)).collect();
        let gone = list.log.as_mut().and_then(|ring| ring.push(entry()));
        drop(list);
        drop_quietly(gone);
        if !hooks.is_empty() {
            self.run(hooks, step);
        }
        traced
    }

    fn run(&self, mut hooks: Vec<Hook<S>>, step: &Observed<'_, S>) {
        let mut done = Vec::new();
        for (at, hook) in hooks.iter_mut().enumerate() {
            match catch_unwind(AssertUnwindSafe(|| (hook.run)(step))) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => done.push(at),
                Err(payload) => {
                    let reason = ExitReason::from_panic(payload);
                    quiet::run("a subscriber", || {
                        tracing::warn!(
                            server = std::any::type_name::<S>(), hook = %hook.name, %reason,
                            "a hook panicked, and was removed"
                        );
                    });
                    done.push(at);
                }
            }
        }
        // Removed from the end, so that the places of those before stay what they are.
        let done: Vec<_> = done.into_iter().rev().map(|at| hooks.remove(at)).collect();
        let mut list = self.list();
        let wanted = std::mem::take(&mut list.out);
        let (mut kept, gone): (Vec<_>, Vec<_>) = hooks.into_iter().partition(|h| wanted.contains(&h.name));
        kept.append(&mut list.hooks);
        list.hooks = kept;
        drop(list);
        drop_each(done);
        drop_each(gone);
    }
}
