//! The conservation law, asserted.

use crate::DEFAULT_LIMIT;
use crate::eventually::some;
use crate::failure::fail;
use restante_core::{Address, Ledger, Mailbox};
use restante_genserver::{GenServer, Server, ServerRef};
use restante_supervisor::SupervisorRef;
use std::panic::Location;
use std::sync::Arc;

/// Whatever counts its messages exactly.
pub trait Audited {
    /// The exact counters; `None` while a handler or receiver is at work there.
    fn audited(&self) -> Option<Ledger>;
}

impl<S: GenServer> Audited for ServerRef<S> {
    fn audited(&self) -> Option<Ledger> {
        self.audit()
    }
}

impl<S: GenServer> Audited for Server<S> {
    fn audited(&self) -> Option<Ledger> {
        self.server().audit()
    }
}

impl<M: Send + 'static> Audited for Mailbox<M> {
    fn audited(&self) -> Option<Ledger> {
        self.audit()
    }
}

impl<M: Send + 'static> Audited for Address<M> {
    fn audited(&self) -> Option<Ledger> {
        self.audit()
    }
}

/// All mailboxes of the tree taken together.
impl Audited for SupervisorRef {
    fn audited(&self) -> Option<Ledger> {
        self.audit()
    }
}

/// What has been counted by a holder that may: a receiver, a server of itself.
impl Audited for Ledger {
    fn audited(&self) -> Option<Ledger> {
        Some(*self)
    }
}

impl<T: Audited + ?Sized> Audited for Arc<T> {
    fn audited(&self) -> Option<Ledger> {
        (**self).audited()
    }
}

impl<A: Audited + ?Sized> Audited for &A {
    fn audited(&self) -> Option<Ledger> {
        (**self).audited()
    }
}

/// Asserts the conservation law of one, like [`assert_conserved!`](crate::assert_conserved), as a function: where there is
/// a future to pass on, as to `block_on`.
///
/// # Panics
/// As there.
///
/// # Cancel safety
/// Nothing is kept.
#[track_caller]
pub fn conserved<A: Audited + ?Sized>(audited: &A) -> impl Future<Output = Ledger> {
    at_rest(audited, std::any::type_name::<A>(), At::new())
}

/// A place in a test, as the macros note it.
#[derive(Debug, Clone, Copy)]
pub struct At(pub(crate) &'static Location<'static>);

impl At {
    /// Here.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "the place is the caller's")]
    pub fn new() -> Self {
        Self(Location::caller())
    }
}

/// The law of one, once no handler or receiver is at work there.
pub async fn at_rest(audited: impl Audited, name: &'static str, at: At) -> Ledger {
    match some(DEFAULT_LIMIT, || audited.audited()).await {
        Some(ledger) => checked(ledger, name, at),
        None => fail(format_args!("`{name}` did not come to rest within {DEFAULT_LIMIT:?}"), at.0),
    }
}

/// The law of one, once nothing is queued or in hand there.
pub async fn at_idle(audited: impl Audited, name: &'static str, at: At) -> Ledger {
    let idle = || audited.audited().filter(|ledger| ledger.queued == 0 && ledger.in_hand == 0);
    match (some(DEFAULT_LIMIT, idle).await, audited.audited()) {
        (Some(ledger), _) => checked(ledger, name, at),
        (None, Some(ledger)) => {
            fail(format_args!("`{name}` was not idle within {DEFAULT_LIMIT:?}: {ledger}"), at.0)
        }
        (None, None) => fail(format_args!("`{name}` did not come to rest within {DEFAULT_LIMIT:?}"), at.0),
    }
}

fn checked(ledger: Ledger, name: &str, at: At) -> Ledger {
    if ledger.lost() != 0 {
        fail(format_args!("the conservation law does not hold for `{name}`: {ledger}"), at.0);
    }
    ledger
}

/// Several taken together.
pub fn total<const N: usize>(ledgers: [Ledger; N]) -> Ledger {
    ledgers.into_iter().fold(Ledger::default(), |mut sum, ledger| {
        sum += ledger;
        sum
    })
}

/// Asserts that `sent` is what was handled, failed, expired, shed, coalesced, diverted, dead-lettered, purged, cancelled,
/// is in hand or queued, for each of these ([`Audited`]), once no handler or receiver is at work there. Returns their
/// counters taken together.
///
/// It awaits: each is waited for 3 s at most, on the clock that tests can pause.
///
/// ```
/// # restante_testkit::Universe::new().run(async |_| {
/// # use restante_core::Mailbox;
/// use restante_testkit::assert_conserved;
/// let (a, b) = (Mailbox::<u8>::new(), Mailbox::<u8>::new());
/// a.address().try_send(1).expect("it has room");
/// assert_eq!(assert_conserved!(a, b).sent, 1);
/// # });
/// ```
///
/// # Panics
/// When it does not hold, with the name and every term; when a handler or receiver stays at work.
#[macro_export]
macro_rules! assert_conserved {
    ($($audited:expr),+ $(,)?) => {
        $crate::expanded::total([$($crate::expanded::at_rest(
            &$audited,
            ::core::stringify!($audited),
            $crate::expanded::At::new(),
        ).await),+])
    };
}

/// [`assert_conserved!`], once nothing is queued or in hand any more either.
///
/// # Panics
/// As there, and when something stays queued or in hand.
#[macro_export]
macro_rules! assert_conserved_when_idle {
    ($($audited:expr),+ $(,)?) => {
        $crate::expanded::total([$($crate::expanded::at_idle(
            &$audited,
            ::core::stringify!($audited),
            $crate::expanded::At::new(),
        ).await),+])
    };
}
