//! What settings hold of others, when the mailbox has ended and its memory has not.

use restante_core::{Address, DeadCause, DeadLetter, Mailbox, Overflow, Settings, WeakAddress};

/// A mailbox of which only its memory is left: what is kept open by its settings.
fn ended<T: Send + 'static>(
    set: impl FnOnce(Settings<u8>, Address<T>) -> Settings<u8>,
) -> [WeakAddressOf<T>; 1] {
    let other = Mailbox::<T>::new();
    let weak = other.address().downgrade();
    let mailbox = Mailbox::with(set(Mailbox::settings(), other.address())).unwrap();
    let memory = mailbox.address().downgrade();
    drop(other);
    assert!(weak.upgrade().is_some(), "the settings keep it open");
    drop(mailbox);
    assert!(memory.upgrade().is_none());
    [WeakAddressOf { weak, _memory: memory }]
}

struct WeakAddressOf<T: Send + 'static> {
    weak: WeakAddress<T>,
    _memory: WeakAddress<u8>,
}

impl<T: Send + 'static> WeakAddressOf<T> {
    fn is_open(&self) -> bool {
        self.weak.upgrade().is_some()
    }
}

/// A mailbox that has ended keeps no other one open, wherever its memory is kept.
/// Clause 1.9.
#[test]
fn an_ended_mailbox_keeps_no_other_open_by_its_settings() {
    let [letters] = ended::<DeadLetter<u8>>(|settings, other| settings.dead_letters(other.recipient()));
    assert!(!letters.is_open(), "its dead letters");
    let [fallback] =
        ended::<u8>(|settings, other| settings.capacity(1).overflow(Overflow::fallback(other.recipient())));
    assert!(!fallback.is_open(), "its fallback");
    let [weighed] = ended::<u8>(|settings, other| {
        settings.weight_limit(9, move |_| u32::try_from(other.stats().depth).unwrap_or(u32::MAX))
    });
    assert!(!weighed.is_open(), "what its measure has");
}

/// What is left in it is dead-lettered first, and its last reader has it until the lease is given back.
/// Clause 1.9.
#[test]
fn the_settings_go_when_all_that_was_left_has_been_dead_lettered() {
    let letters = Mailbox::<DeadLetter<u8>>::new();
    let weak = letters.address().downgrade();
    let taker = letters.receiver().unwrap();
    let mailbox = Mailbox::with(Mailbox::settings().dead_letters(letters.address().recipient())).unwrap();
    drop(letters);
    let (at, mut reader) = (mailbox.address(), mailbox.receiver().unwrap());
    for message in 1..4 {
        at.try_send(message).unwrap();
    }
    mailbox.close();
    assert_eq!(reader.try_receive(), Ok(1));
    assert!(weak.upgrade().is_some(), "somebody reads");
    drop(reader);
    assert!(weak.upgrade().is_none(), "nobody reads, and nothing is left");
    let mut taker = taker;
    for body in [2, 3] {
        let letter = taker.try_receive().unwrap();
        assert_eq!(letter.body, Some(body));
        assert!(matches!(letter.cause, DeadCause::Closed(_)), "{letter:?}");
    }
    drop(at);
}
