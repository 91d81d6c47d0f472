//! A mailbox that a test reads: what the code under test sends there is expected, one message after the other.

use crate::DEFAULT_LIMIT;
use crate::failure::{Lines, fail};
use restante_core::{Address, Ledger, Mailbox, Receiver, Recipient, Settings, SettingsError};
use std::fmt::{self, Debug};
use std::panic::Location;
use std::time::Duration;
use tokio::time::Instant;

/// Keeps what it is sent, until the test asks for it.
///
/// It has room for 1024 messages, as every mailbox; [`Probe::with`] makes one that is smaller, slower, or sheds.
///
/// # Ordering
/// Messages come in the order of any mailbox: by lane, then as they were sent.
///
/// ```
/// # restante_testkit::Universe::new().run(async |_| {
/// use restante_testkit::Probe;
/// use std::time::Duration;
/// let mut probe = Probe::<u32>::new();
/// let recipient = probe.recipient(); // for the code under test
/// recipient.try_send(7).expect("it has room");
/// probe.expect_where(|n| *n > 5).await;
/// probe.expect_no_message(Duration::from_secs(60)).await; // of paused time
/// # });
/// ```
pub struct Probe<M: Send + 'static> {
    mailbox: Mailbox<M>,
    receiver: Receiver<M>,
    pub(crate) limit: Duration,
}

impl<M: Send + 'static> Probe<M> {
    /// A probe with the default settings.
    pub fn new() -> Self {
        Self::over(Mailbox::new())
    }

    /// A probe whose mailbox has these settings.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting that makes no mailbox.
    pub fn with(settings: Settings<M>) -> Result<Self, SettingsError> {
        Mailbox::with(settings).map(Self::over)
    }

    fn over(mailbox: Mailbox<M>) -> Self {
        let receiver = mailbox.receiver().expect("nobody else knows of this mailbox");
        Self { mailbox, receiver, limit: DEFAULT_LIMIT }
    }

    /// How long to wait for what is expected (default 3 s).
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// An address of it.
    pub fn address(&self) -> Address<M> {
        self.mailbox.address()
    }

    /// An address of it, the mailbox's type erased.
    pub fn recipient(&self) -> Recipient<M> {
        self.mailbox.address().recipient()
    }

    /// The exact counters of its mailbox.
    pub fn audit(&mut self) -> Ledger {
        self.receiver.audit()
    }

    /// Everything that lies there now.
    pub fn drain(&mut self) -> Vec<M> {
        std::iter::from_fn(|| self.receiver.try_receive().ok()).collect()
    }

    /// The next message.
    ///
    /// # Panics
    /// When none comes in time.
    ///
    /// # Cancel safety
    /// Nothing is lost: a message leaves the mailbox only when it is returned.
    #[track_caller]
    pub fn expect(&mut self) -> impl Future<Output = M> {
        self.expect_within(self.limit)
    }

    /// The next message, within this time.
    ///
    /// # Panics
    /// As [`Probe::expect`].
    ///
    /// # Cancel safety
    /// As [`Probe::expect`].
    #[track_caller]
    pub fn expect_within(&mut self, limit: Duration) -> impl Future<Output = M> {
        let at = Location::caller();
        async move {
            match self.next(limit).await {
                Some(message) => message,
                None => fail(format_args!("a message was expected within {limit:?}, none came"), at),
            }
        }
    }

    /// The next so many messages, all within the time for one.
    ///
    /// # Panics
    /// When fewer come.
    ///
    /// # Cancel safety
    /// What had come by then is lost.
    #[track_caller]
    pub fn expect_n(&mut self, n: usize) -> impl Future<Output = Vec<M>> {
        let (at, limit) = (Location::caller(), self.limit);
        async move {
            let until = Instant::now() + limit;
            let mut came = Vec::with_capacity(n);
            while came.len() < n {
                match self.next(until.saturating_duration_since(Instant::now())).await {
                    Some(message) => came.push(message),
                    None => fail(
                        format_args!("{n} messages were expected within {limit:?}, {} came", came.len()),
                        at,
                    ),
                }
            }
            came
        }
    }

    /// The next message, unless time is over.
    pub(crate) async fn next(&mut self, limit: Duration) -> Option<M> {
        // The queue is looked at first: a limit of zero is for what lies there.
        if let Ok(message) = self.receiver.try_receive() {
            return Some(message);
        }
        tokio::time::timeout(limit, self.receiver.receive()).await.ok()?.ok()
    }
}

impl<M: Send + Debug + 'static> Probe<M> {
    /// The next message, which must equal this.
    ///
    /// # Panics
    /// When another comes, or none.
    ///
    /// # Cancel safety
    /// As [`Probe::expect`].
    #[track_caller]
    pub fn expect_eq<T>(&mut self, expected: T) -> impl Future<Output = M>
    where
        M: PartialEq<T>,
        T: Debug,
    {
        let (at, limit) = (Location::caller(), self.limit);
        async move {
            match self.next(limit).await {
                Some(message) if message == expected => message,
                Some(other) => fail(format_args!("{expected:?} was expected, this came: {other:?}"), at),
                None => fail(format_args!("{expected:?} was expected within {limit:?}, nothing came"), at),
            }
        }
    }

    /// The next message, for which this must hold.
    ///
    /// # Panics
    /// As [`Probe::expect_eq`].
    ///
    /// # Cancel safety
    /// As [`Probe::expect`].
    #[track_caller]
    pub fn expect_where(&mut self, holds: impl FnOnce(&M) -> bool) -> impl Future<Output = M> {
        let (at, limit) = (Location::caller(), self.limit);
        async move {
            match self.next(limit).await {
                Some(message) if holds(&message) => message,
                Some(other) => fail(format_args!("another message was expected, this came: {other:?}"), at),
                None => fail(format_args!("a message was expected within {limit:?}, none came"), at),
            }
        }
    }

    /// Waits so long, in which nothing may come.
    ///
    /// # Panics
    /// As soon as something does.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[track_caller]
    pub fn expect_no_message(&mut self, during: Duration) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let began = Instant::now();
            if let Some(message) = self.next(during).await {
                let after = began.elapsed();
                fail(
                    format_args!(
                        "no message was expected for {during:?}, this came after {after:?}: {message:?}"
                    ),
                    at,
                );
            }
        }
    }

    /// The first message for which `is_it` holds; those before it are dropped, and named if it does not come.
    ///
    /// # Panics
    /// When it does not come in time.
    ///
    /// # Cancel safety
    /// What had come by then is lost.
    #[track_caller]
    pub fn fish_for(
        &mut self,
        limit: Duration,
        mut is_it: impl FnMut(&M) -> bool,
    ) -> impl Future<Output = M> {
        let at = Location::caller();
        async move {
            let until = Instant::now() + limit;
            let mut past = Vec::new();
            while let Some(message) = self.next(until.saturating_duration_since(Instant::now())).await {
                if is_it(&message) {
                    return message;
                }
                past.push(message);
            }
            let n = past.len();
            fail(
                format_args!(
                    "what was fished for did not come within {limit:?}; {n} others did:{}",
                    Lines(&past)
                ),
                at,
            )
        }
    }
}

/// The next message of a [`Probe`], which must match the pattern; what the pattern binds, if that is asked for.
///
/// ```
/// # restante_testkit::Universe::new().run(async |_| {
/// # let mut probe = restante_testkit::Probe::<Result<u32, String>>::new();
/// # probe.address().try_send(Ok(7)).expect("it has room");
/// # probe.address().try_send(Ok(8)).expect("it has room");
/// use restante_testkit::expect_matching;
/// let n = expect_matching!(probe, Ok(n) => n);
/// expect_matching!(probe, Ok(m) if m > n);
/// # });
/// ```
///
/// # Panics
/// When another message comes, or none.
#[macro_export]
macro_rules! expect_matching {
    ($probe:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {
        $crate::expect_matching!($probe, $pattern $(if $guard)? => {})
    };
    ($probe:expr, $pattern:pat $(if $guard:expr)? => $value:expr $(,)?) => {
        match $probe.expect().await {
            $pattern $(if $guard)? => $value,
            other => $crate::expanded::mismatch(::core::stringify!($pattern $(if $guard)?), &other),
        }
    };
}

impl<M: Send + 'static> Default for Probe<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Send + 'static> fmt::Debug for Probe<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Probe<{}>({} waiting)", std::any::type_name::<M>(), self.mailbox.stats().depth)
    }
}
