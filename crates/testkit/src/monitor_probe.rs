//! A probe of what monitors say.

use crate::Probe;
use crate::failure::{At, fail};
use restante_core::monitor::{Event, Watch};
use restante_core::{Exit, ExitReason};
use restante_genserver::{GenServer, ServerRef};
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// Watches a server, from when it is made until it is dropped.
pub struct MonitorProbe {
    probe: Probe<Event>,
    demonitor: Box<dyn Fn() + Send>,
}

impl MonitorProbe {
    /// Watches the incarnation that reads now. Where none does, its end is there at once.
    pub fn of<S: GenServer>(server: &ServerRef<S>) -> Self {
        Self::watching(server, Watch::Incarnation)
    }

    /// Watches the mailbox over all its incarnations.
    pub fn of_mailbox<S: GenServer>(server: &ServerRef<S>) -> Self {
        Self::watching(server, Watch::Mailbox)
    }

    fn watching<S: GenServer>(server: &ServerRef<S>, watch: Watch) -> Self {
        let probe = Probe::new();
        let address = probe.address();
        let id = server.monitor(watch, move |event| drop(address.try_send(event)));
        // Weak: who watches keeps nothing open.
        let weak = server.downgrade();
        let demonitor = Box::new(move || {
            if let Some(server) = weak.upgrade() {
                server.demonitor(id);
            }
        });
        Self { probe, demonitor }
    }

    /// How long to wait for what is expected (default 3 s).
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.probe.limit = limit;
        self
    }

    /// The next event.
    ///
    /// # Panics
    /// When none comes in time.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[track_caller]
    pub fn expect(&mut self) -> impl Future<Output = Event> {
        self.probe.expect()
    }

    /// The next event, which must be an incarnation's end: how it ended.
    ///
    /// # Panics
    /// When another comes, or none.
    ///
    /// # Cancel safety
    /// Nothing is lost but an event that is not the expected one.
    #[track_caller]
    pub fn expect_down(&mut self) -> impl Future<Output = Exit> {
        self.expect_event("the end of an incarnation", Location::caller(), |event| match event {
            Event::Down(exit) => Ok(exit),
            other => Err(other),
        })
    }

    /// The next event, which must be a new incarnation's beginning: its number.
    ///
    /// # Panics
    /// As [`MonitorProbe::expect_down`].
    ///
    /// # Cancel safety
    /// As [`MonitorProbe::expect_down`].
    #[track_caller]
    pub fn expect_started(&mut self) -> impl Future<Output = u32> {
        self.expect_event("the beginning of an incarnation", Location::caller(), |event| match event {
            Event::Started { incarnation } => Ok(incarnation),
            other => Err(other),
        })
    }

    /// The next event, which must be the mailbox's end: why it closed.
    ///
    /// # Panics
    /// As [`MonitorProbe::expect_down`].
    ///
    /// # Cancel safety
    /// As [`MonitorProbe::expect_down`].
    #[track_caller]
    pub fn expect_closed(&mut self) -> impl Future<Output = ExitReason> {
        self.expect_event("the closing of the mailbox", Location::caller(), |event| match event {
            Event::Closed(reason) => Ok(reason),
            other => Err(other),
        })
    }

    /// Waits so long, in which nothing may happen.
    ///
    /// # Panics
    /// As soon as something does.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[track_caller]
    pub fn expect_nothing(&mut self, during: Duration) -> impl Future<Output = ()> {
        self.probe.expect_no_message(during)
    }

    async fn expect_event<T>(
        &mut self,
        what: &'static str,
        at: At,
        take: impl FnOnce(Event) -> Result<T, Event>,
    ) -> T {
        match self.probe.next(self.probe.limit).await.map(take) {
            Some(Ok(value)) => value,
            Some(Err(other)) => fail(format_args!("{what} was expected, this came: {other:?}"), at),
            None => {
                let limit = self.probe.limit;
                fail(format_args!("{what} was expected within {limit:?}, nothing came"), at)
            }
        }
    }
}

impl Drop for MonitorProbe {
    fn drop(&mut self) {
        (self.demonitor)();
    }
}

impl fmt::Debug for MonitorProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MonitorProbe").field(&self.probe).finish()
    }
}
