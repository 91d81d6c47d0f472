//! What a server has in hand, in one word that anybody may read at any time: the phase of its life, and the name of the
//! message.
//!
//! Who asks a server that sits inside a blocking handler (`sys`, the watchdog) cannot have RUN, and so cannot look at its
//! turn state. A name is a pointer and a length, and read in two steps it could be half of one name and half of another. So
//! both lie in one word, with the phase: one plain store a message, where there were three.
//!
//! One of the rooms of this crate that hold `unsafe`. INVARIANT (current message): the word is 0, or made by [`pack`] of a
//! `&'static str`.

use restante_core::Phase;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bits of the phase, at the bottom; then those of the length; the rest is the pointer.
const PHASE: u32 = 4;
const LEN: u32 = 12;
const PHASE_MASK: u64 = (1 << PHASE) - 1;
const LEN_MASK: u64 = (1 << LEN) - 1;
/// Bits that are left for a pointer: enough for all addresses that today's systems give to programs. (A name that lies
/// elsewhere, or is longer than 4095 bytes, is told as "message".)
const PTR: u32 = u64::BITS - PHASE - LEN;

/// The word. Written by the holder of RUN, read by all. Not one of `sync`'s atomics: it orders nothing but the bytes of a
/// name, and models need not try what becomes of it.
pub(crate) struct CurrentMessage(AtomicU64);

impl CurrentMessage {
    /// Nothing in hand, in this phase.
    pub(crate) fn new(phase: Phase) -> Self {
        Self(AtomicU64::new(pack(phase, "")))
    }

    /// A callback of this phase has been given what is called so.
    #[inline(always)]
    pub(crate) fn take_up(&self, phase: Phase, name: &'static str) {
        // Release pairs with the acquire of the name's reader: its bytes may have been written, and leaked, only now.
        self.0.store(pack(phase, name), Ordering::Release);
    }

    /// Nothing is in hand.
    #[inline(always)]
    pub(crate) fn put_down(&self, phase: Phase) {
        self.0.store(u64::from(number(phase)), Ordering::Relaxed);
    }

    /// The word itself, to tell one content from another.
    pub(crate) fn bits(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The phase.
    pub(crate) fn phase(&self) -> Phase {
        phase_of(self.0.load(Ordering::Relaxed))
    }

    /// Phase and name; the name is empty where nothing is in hand.
    pub(crate) fn get(&self) -> (Phase, &'static str) {
        let word = self.0.load(Ordering::Acquire);
        (phase_of(word), name_of(word))
    }

    /// The name.
    pub(crate) fn name(&self) -> &'static str {
        self.get().1
    }
}

impl fmt::Debug for CurrentMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (phase, name) = self.get();
        write!(f, "CurrentMessage({phase}, {name:?})")
    }
}

#[inline(always)]
fn pack(phase: Phase, name: &'static str) -> u64 {
    let (at, len) = (name.as_ptr().expose_provenance() as u64, name.len() as u64);
    if at >> PTR != 0 || len > LEN_MASK {
        return pack_other(phase);
    }
    at << (PHASE + LEN) | len << PHASE | u64::from(number(phase))
}

#[cold]
#[inline(never)]
fn pack_other(phase: Phase) -> u64 {
    const OTHER: &str = "message";
    let at = OTHER.as_ptr().expose_provenance() as u64;
    if at >> PTR != 0 {
        return u64::from(number(phase));
    }
    at << (PHASE + LEN) | (OTHER.len() as u64) << PHASE | u64::from(number(phase))
}

#[expect(unsafe_code, reason = "invariant (current message)")]
fn name_of(word: u64) -> &'static str {
    let len = usize::try_from(word >> PHASE & LEN_MASK).unwrap_or_default();
    let at = usize::try_from(word >> (PHASE + LEN)).unwrap_or_default();
    if len == 0 || at == 0 {
        return "";
    }
    let at = std::ptr::with_exposed_provenance::<u8>(at);
    // SAFETY: invariant (current message): pointer and length are those of one `&'static str`, whose provenance `pack` exposed.
    let bytes = unsafe { std::slice::from_raw_parts(at, len) };
    // SAFETY: the bytes of a `str`.
    unsafe { std::str::from_utf8_unchecked(bytes) }
}

#[inline(always)]
const fn number(phase: Phase) -> u8 {
    match phase {
        Phase::Init => 0,
        Phase::Continue => 1,
        Phase::Call => 2,
        Phase::Cast => 3,
        Phase::Info => 4,
        Phase::Terminate => 5,
        _ => 6,
    }
}

const fn phase_of(word: u64) -> Phase {
    match word & PHASE_MASK {
        0 => Phase::Init,
        1 => Phase::Continue,
        2 => Phase::Call,
        3 => Phase::Cast,
        4 => Phase::Info,
        5 => Phase::Terminate,
        _ => Phase::Idle,
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    const PHASES: [Phase; 7] =
        [Phase::Init, Phase::Continue, Phase::Call, Phase::Cast, Phase::Info, Phase::Terminate, Phase::Idle];

    #[test]
    fn what_is_put_into_the_word_comes_out_of_it() {
        let long: &'static str = Box::leak("n".repeat(4095).into_boxed_str());
        for phase in PHASES {
            for name in ["add", "Größe", long, ""] {
                let hand = CurrentMessage::new(Phase::Init);
                hand.take_up(phase, name);
                assert_eq!(hand.get(), (phase, name));
                hand.put_down(phase);
                assert_eq!(hand.get(), (phase, ""));
            }
        }
    }

    #[test]
    fn a_name_that_does_not_fit_is_told_as_a_message() {
        let longer: &'static str = Box::leak("n".repeat(4096).into_boxed_str());
        let hand = CurrentMessage::new(Phase::Init);
        hand.take_up(Phase::Cast, longer);
        assert_eq!(hand.get(), (Phase::Cast, "message"));
    }

    /// A name that was made at run time is whole where it is read, on whatever machine. (Under miri: no data race.)
    #[test]
    fn a_name_that_was_just_made_is_read_whole() {
        let hand = CurrentMessage::new(Phase::Idle);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                loop {
                    match hand.name() {
                        "" => std::thread::yield_now(),
                        name => return name.len(),
                    }
                }
            });
            hand.take_up(Phase::Call, Box::leak("made just now".to_owned().into_boxed_str()));
            assert_eq!(reader.join().expect("it has read"), 13);
        });
    }

    /// Readers on other threads see one of the names that were written, whole.
    #[test]
    fn no_reader_sees_half_a_name() {
        let hand = CurrentMessage::new(Phase::Idle);
        let names = ["a", "a longer name", "the longest name of them all"];
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let name = hand.name();
                    assert!(name.is_empty() || names.contains(&name), "{name}");
                }
            });
            for n in 0..100_000_usize {
                hand.take_up(Phase::Cast, names[n % names.len()]);
            }
            done.store(true, Ordering::Relaxed);
            reader.join().expect("it has seen whole names only");
        });
    }
}
