//! What `tracing` is told of a server that is traced: an event for each step, and a span for each message that its handler
//! runs in.
//!
//! The span of a call is a child of the span that its caller is in, who waits for it. That of a cast or an info is a root of
//! its own, which follows from its sender's: else the messages that a server sends on and on would make one endless trace.
//!
//! A handler is polled now and then, by the holder of RUN; its span lies in the turn state and is entered and left around each
//! poll ([`crate::executor`]). Subscribers are user code: nothing here runs under a lock.

use super::log::{Moment, Observed};
use crate::server::GenServer;
use restante_core::{Phase, quiet};
use std::sync::Arc;
use tracing::{Span, dispatcher};

/// Foreign code: what panics in it is not the server's panic.
const SUBSCRIBER: &str = "a subscriber";

/// One step.
pub(super) fn event<S: GenServer>(mailbox: &str, step: &Observed<'_, S>) {
    let server = std::any::type_name::<S>();
    let Observed { incarnation, phase, name, .. } = step;
    quiet::run(SUBSCRIBER, || match &step.moment {
        Moment::Taken => tracing::info!(server, mailbox, incarnation, %phase, name, "message taken"),
        Moment::Done { took } => {
            tracing::info!(server, mailbox, incarnation, %phase, name, ?took, "message done");
        }
        Moment::Failed { took, reason } => {
            tracing::info!(server, mailbox, incarnation, %phase, name, ?took, %reason, "message failed");
        }
    });
}

/// The span that this thread is in, if anybody listens.
pub(crate) fn current() -> Option<Arc<Span>> {
    let span = Span::current();
    (!span.is_none()).then(|| Arc::new(span))
}

/// The span of a message that was sent in the span `from`; entered. None where there is no subscriber.
pub(super) fn span<S: GenServer>(
    mailbox: &str,
    incarnation: u32,
    phase: Phase,
    name: &'static str,
    from: Option<&Span>,
) -> Option<Box<Span>> {
    let make = || {
        let server = std::any::type_name::<S>();
        let parent = from.filter(|_| phase == Phase::Call).and_then(Span::id);
        let span = tracing::info_span!(parent: parent, "message", server, mailbox, incarnation, %phase, name);
        if phase != Phase::Call {
            span.follows_from(from.and_then(Span::id));
        }
        span
    };
    // Made with the sender's subscriber: an id means nothing to another one, which may panic when it is given it.
    let span = quiet::run(SUBSCRIBER, || {
        match from.and_then(|from| from.with_subscriber(|(_, theirs)| theirs.clone())) {
            Some(theirs) => dispatcher::with_default(&theirs, make),
            None => make(),
        }
    });
    let span = span.filter(|span| !span.is_none())?;
    enter(&span);
    Some(Box::new(span))
}

/// This thread is in the span from now on.
#[cold]
pub(crate) fn enter(span: &Span) {
    quiet::run(SUBSCRIBER, || span.with_subscriber(|(id, dispatch)| dispatch.enter(id)));
}

/// This thread is not in the span any more.
#[cold]
pub(crate) fn exit(span: &Span) {
    quiet::run(SUBSCRIBER, || span.with_subscriber(|(id, dispatch)| dispatch.exit(id)));
}
