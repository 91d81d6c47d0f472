//! The cell of a server, and what lies at its end.

use super::binding::RuntimeBinding;
use super::loop_slot::Body;
use super::turn_state::TurnState;
use crate::current_message::CurrentMessage;
use crate::keeper::Keeper;
use crate::message::Message;
use crate::pace::Pace;
use crate::rt::Rt;
use crate::server::GenServer;
use crate::stand_in::Casting;
use crate::sys::SysRequests;
use crate::thread::ThreadPool;
use crate::turns::{Patience, TURN};
use restante_core::cell::MailCell;
use restante_core::handle::Handle;
use restante_core::{ExitReason, Phase, Settings, quiet};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// A server's mailbox, bookkeeping and loop.
pub(crate) type Cell<S> = MailCell<Message<S>, Executor<S>>;

/// Who runs a server, and what they need for it.
pub(crate) struct Executor<S: GenServer> {
    pub(super) turn_state: UnsafeCell<TurnState<S>>,
    /// The loop of the present incarnation (or of the last, until the next one's takes its place). In an allocation of its
    /// own: a mailbox between two servers does without, and everything else of the cell lies at a fixed place behind a thin
    /// pointer.
    pub(super) body: UnsafeCell<Option<Body<S>>>,
    /// The runtime and task that the mailbox was first served by.
    pub(super) binding: OnceLock<RuntimeBinding>,
    pub(super) cold: OnceLock<Box<Cold<S>>>,
    /// What is in a handler now. Written by the loop and its runners, under RUN.
    pub(crate) current: CurrentMessage,
    /// Since when a handler is half done, where one is (the low bits of coarse ms).
    pub(crate) half_since: AtomicU32,
    pub(crate) trapping: AtomicBool,
    /// Callers never run handlers.
    pub(crate) never_inline: AtomicBool,
    /// The mailbox closes with its server (rather than waiting for the next one).
    pub(crate) owned: AtomicBool,
}

#[expect(unsafe_code, reason = "see the invariant (executor)")]
// SAFETY: turn state and body are handed from thread to thread with RUN (invariant (executor)); all that lies in them is Send.
unsafe impl<S: GenServer> Sync for Executor<S> {}

/// What few mailboxes have.
pub(super) struct Cold<S: GenServer> {
    /// The runtime and task that serve it now, where it has moved to another runtime since.
    pub(super) moved: OnceLock<Mutex<Arc<RuntimeBinding>>>,
    /// The keeper that decides whether another incarnation comes, where there is one.
    pub(super) keeper: OnceLock<Mutex<Option<Weak<dyn Keeper<S>>>>>,
    /// The task is to begin the next incarnation.
    pub(super) again: AtomicBool,
    /// The threads that it runs on, where it does not run on the runtime's: until the mailbox is closed and has no reader.
    pub(super) threads: Mutex<Option<ThreadPool>>,
    /// An incarnation that was killed between its keeper's word and its lease.
    pub(super) doomed: Mutex<Option<Box<(u32, ExitReason)>>>,
    /// What operators have asked of it, where any has.
    sys: OnceLock<Box<SysRequests<S>>>,
    /// Who plays its incarnations, where that is not the server itself.
    pub(super) casting: OnceLock<Casting<S>>,
}

impl<S: GenServer> Default for Cold<S> {
    fn default() -> Self {
        Self {
            moved: OnceLock::new(),
            keeper: OnceLock::new(),
            again: AtomicBool::new(false),
            threads: Mutex::new(None),
            doomed: Mutex::new(None),
            sys: OnceLock::new(),
            casting: OnceLock::new(),
        }
    }
}

/// A cell for a server of type `S` that is not served yet. `bits` are those of a fresh start, or none.
pub(crate) fn new_cell<S: GenServer>(
    settings: NewCell<S>,
    bits: u32,
    owned: bool,
    binding: Option<Arc<Rt>>,
) -> Arc<Cell<S>> {
    let executor = Executor {
        binding: binding.map_or_else(OnceLock::new, |rt| OnceLock::from(RuntimeBinding::new(rt))),
        cold: OnceLock::new(),
        current: CurrentMessage::new(Phase::Init),
        half_since: AtomicU32::new(0),
        trapping: AtomicBool::new(false),
        never_inline: AtomicBool::new(false),
        owned: AtomicBool::new(owned),
        turn_state: UnsafeCell::new(TurnState {
            inline: None,
            left: 0,
            turn: TURN,
            longer: 0,
            patience: Patience::default(),
            mid: true,
            listening: false,
            by_caller: false,
            killed: false,
            held: false,
            half: 0,
            spans: false,
            began: 0,
            began_us: 0,
            pace: Pace::default(),
            watched: 0,
            start: None,
            started: None,
            exit: None,
            retry: None,
        }),
        body: UnsafeCell::new(None),
    };
    match settings {
        NewCell::Plain(capacity) => Arc::new(MailCell::plain(capacity, bits, executor)),
        NewCell::With(settings) => Arc::new(MailCell::new(*settings, bits, executor)),
    }
}

/// What a new cell is made from.
pub(crate) enum NewCell<S: GenServer> {
    /// The default settings, but for the capacity.
    Plain(Option<usize>),
    /// These settings.
    With(Box<Settings<Message<S>>>),
}

/// The last memory of a server: what lies in it is the user's, and goes piece by piece. (Mostly nothing is left.)
impl<S: GenServer> Drop for Executor<S> {
    fn drop(&mut self) {
        quiet::discard("a server's loop", self.body.get_mut().take());
        let turn_state = self.turn_state.get_mut();
        quiet::discard("a call", turn_state.inline.take());
        quiet::discard("a message's copy", turn_state.retry.take());
        quiet::discard("a starter's waker", turn_state.start.take());
        quiet::discard("an exit's reason", turn_state.exit.take());
    }
}

impl<S: GenServer> std::fmt::Debug for Executor<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Executor<{}>", std::any::type_name::<S>())
    }
}

/// A handle of a server's cell.
pub(crate) type ServerHandle<S> = Handle<Message<S>, Executor<S>>;

impl<S: GenServer> Executor<S> {
    /// Who keeps the mailbox served.
    pub(crate) fn keeper(&self) -> Option<Arc<dyn Keeper<S>>> {
        let keeper = self.cold.get()?.keeper.get()?;
        keeper.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }

    /// Whether anybody has kept it.
    pub(crate) fn is_kept(&self) -> bool {
        let keeper = self.cold.get().and_then(|cold| cold.keeper.get());
        keeper.is_some_and(|keeper| keeper.lock().unwrap_or_else(PoisonError::into_inner).is_some())
    }

    /// Gives the mailbox a keeper, unless it has one.
    pub(crate) fn keep(&self, keeper: Weak<dyn Keeper<S>>) -> bool {
        let present = self.cold.get_or_init(Box::default).keeper.get_or_init(Mutex::default);
        let mut present = present.lock().unwrap_or_else(PoisonError::into_inner);
        let free = present.as_ref().is_none_or(|present| present.strong_count() == 0);
        if free {
            *present = Some(keeper);
        }
        free
    }

    /// The mailbox has no keeper any more.
    pub(crate) fn let_go(&self) {
        if let Some(keeper) = self.cold.get().and_then(|cold| cold.keeper.get()) {
            *keeper.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// What operators have asked of it; `None`: nothing so far.
    pub(crate) fn requests(&self) -> Option<&SysRequests<S>> {
        self.cold.get()?.sys.get().map(|requests| &**requests)
    }

    /// What operators have asked of it, made if need be.
    pub(crate) fn requests_or_new(&self) -> &SysRequests<S> {
        self.cold.get_or_init(Box::default).sys.get_or_init(Box::default)
    }

    /// Who plays its incarnations, where that is not the server itself.
    #[inline]
    pub(crate) fn casting(&self) -> Option<&Casting<S>> {
        self.cold.get()?.casting.get()
    }

    /// Has a stand-in play its incarnations, from the next one on. False: one does already.
    pub(crate) fn cast(&self, casting: Casting<S>) -> bool {
        self.cold.get_or_init(Box::default).casting.set(casting).is_ok()
    }
}
