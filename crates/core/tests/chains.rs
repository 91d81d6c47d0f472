//! Mailboxes that keep each other, in chains that are longer than any stack.

use restante_core::monitor::{MonitorId, Watch};
use restante_core::{Address, ExitReason, Mailbox, Receiver};

/// More than could end within one another.
const LONG: usize = 50_000;
/// Of the threads here.
const STACK: usize = 1 << 20;

/// On a thread with a small stack.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().expect("it does not overflow");
}

/// A chain in which `next` makes each link out of the one before; its end, on a small stack.
fn chain_ends<L: Send + 'static>(next: fn(Option<L>) -> L) {
    on_a_small_stack(move || {
        let mut last = None;
        for _ in 0..LONG {
            last = Some(next(last));
        }
        drop(last);
    });
}

/// A reader, within whatever the mailbox of the next one keeps.
struct Reads {
    _reader: Receiver<Self>,
}

/// Row H6, clause 13.8: the mailbox has closed, and its reader, which is the last to go, buries a message that is the reader of
/// the next.
#[test]
fn a_long_chain_of_readers_within_messages_ends() {
    chain_ends::<Reads>(|last| {
        let mailbox = Mailbox::new();
        let reader = mailbox.receiver().unwrap();
        if let Some(last) = last {
            mailbox.address().try_send(last).unwrap();
        }
        Reads { _reader: reader }
    });
}

/// Row H6, clause 13.8: the end of a reader is told to a monitor, which keeps the next one.
#[test]
fn a_long_chain_of_readers_within_monitors_ends() {
    chain_ends::<Reads>(|last| {
        let mailbox = Mailbox::new();
        let reader = mailbox.receiver().unwrap();
        mailbox.address().monitor(Watch::Incarnation, move |_| {
            let _ = &last;
        });
        Reads { _reader: reader }
    });
}

/// Keeps an error that an exit reason can be made of.
#[derive(Debug)]
struct Keeps<T>(#[expect(dead_code, reason = "for its drop")] Option<Box<T>>);
impl<T> std::fmt::Display for Keeps<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an error")
    }
}
impl<T: std::fmt::Debug> std::error::Error for Keeps<T> {}

/// Row H6, clause 13.8: why a mailbox has closed is kept as long as its memory, and may keep the next one's.
#[test]
fn a_long_chain_of_mailboxes_within_reasons_ends() {
    #[derive(Debug)]
    struct Closed {
        _address: Address<()>,
    }
    chain_ends::<Closed>(|last| {
        let mailbox = Mailbox::new();
        let address = mailbox.address();
        mailbox.destroy(ExitReason::from(Keeps(last.map(Box::new))));
        Closed { _address: address }
    });
}

/// Row H6, clause 13.8: a message that closes a mailbox in its drop, in which there lies another one.
#[test]
fn a_long_chain_of_mailboxes_that_are_closed_ends() {
    struct Closes {
        mailbox: Mailbox<Self>,
        _also: Address<Self>,
    }
    impl Drop for Closes {
        fn drop(&mut self) {
            self.mailbox.close();
        }
    }
    chain_ends::<Closes>(|last| {
        let mailbox = Mailbox::new();
        if let Some(last) = last {
            mailbox.address().try_send(last).unwrap();
        }
        let also = mailbox.address();
        Closes { mailbox, _also: also }
    });
}

/// Row H6, clause 13.8: a monitor that is taken down, whose closure takes down the next.
#[test]
fn a_long_chain_of_monitors_ends() {
    struct Watches {
        mailbox: Mailbox<()>,
        id: MonitorId,
    }
    impl Drop for Watches {
        fn drop(&mut self) {
            self.mailbox.address().demonitor(self.id);
        }
    }
    chain_ends::<Watches>(|last| {
        let mailbox = Mailbox::new();
        let id = mailbox.address().monitor(Watch::Mailbox, move |_| {
            let _ = &last;
        });
        Watches { mailbox, id }
    });
}
