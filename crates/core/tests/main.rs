//! What a mailbox promises, topic by topic.

#![allow(clippy::many_single_char_names, reason = "m, a, r: mailbox, address, receiver")]

mod chains;
mod closing;
mod foreign;
mod leases;
mod model;
mod monitors;
mod outlets;
#[cfg(any(sanitize_thread, sanitize_address))]
mod planted;
mod policies;
mod receiving;
mod redelivery;
mod sending;
mod threads;
mod waiting;

use restante_core::{Address, Mailbox, Receiver, Settings};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A mailbox with room for so many, an address and its receiver.
fn with_room<M: Send + 'static>(capacity: usize) -> (Mailbox<M>, Address<M>, Receiver<M>) {
    opened(Mailbox::settings().capacity(capacity))
}

fn opened<M: Send + 'static>(settings: Settings<M>) -> (Mailbox<M>, Address<M>, Receiver<M>) {
    let mailbox = Mailbox::with(settings).expect("these settings make a mailbox");
    let (address, receiver) = (mailbox.address(), mailbox.receiver().expect("nobody reads yet"));
    (mailbox, address, receiver)
}

/// Everything that waits.
fn drain<M: Send + 'static>(receiver: &mut Receiver<M>) -> Vec<M> {
    std::iter::from_fn(|| receiver.try_receive().ok()).collect()
}

/// One poll whose wake-up is not heard.
fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
