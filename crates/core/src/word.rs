//! The state word: who may touch what, and who must be told. Core's room with `unsafe` (but for one block in `handle`).
//!
//! A mailbox has two halves. What senders touch ([`StateWord::lock`]) lies behind the LOCK bit; what the reader touches
//! lies behind the RUN bit. Both bits, and everything that decides whether a wake-up is due, share one atomic
//! word, so that "take the lock", "become the reader" and "is the reader asleep?" are one and the same instruction.
//!
//! ```text
//!            push: LOCK, …, DATA (+ SCHED while RUN is not set)
//!   IDLE ───────────────────────────────────────────▶ SCHED ──┐
//!    ▲ ▲                                                      │ task polls: RUN, SCHED and NOTE cleared
//!    │ └── caller of an idle server: RUN … leave ──┐          ▼
//!    │                                             └──────── RUN ──▶ handler half done: HALF (+ PEND: data do not wake)
//!    └──────────── leave: nothing noted, no DATA ◀────────────┘
//! ```
//!
//! Rules, and what breaks without them:
//! 1. A locked word belongs to the lock holder alone: everybody else, the runner included, waits for the LOCK bit to
//!    fall before changing any bit. So unlocking is a plain store. (Without it, a bit set meanwhile would be lost.)
//! 2. SCHED is set by exactly one party, which then owes exactly one wake-up; the runner clears it when it enters.
//!    (Without it, two senders wake twice, or none does.)
//! 3. Who finds RUN taken leaves NOTE, and clears SCHED, whose wake-up it was (one who entered quietly left it set); the
//!    holder looks at NOTE in the same instruction that gives RUN up. (Without it, a wake-up that meets a caller's poll is
//!    lost.)
//! 4. A runner that leaves with messages in the taken batch keeps DATA set. (Without it, a caller would find the word
//!    idle and overtake messages that it sent itself.)
//! 5. A reader that gives RUN up while senders wait has first given them what room there is, under the lock: from then on no
//!    room comes free, and who lines up later sees it all. (Without it, a sender that lined up just after the reader's
//!    last look would wait for ever.) A reader may leave that to its next turn where the same instruction finds or sets SCHED.
//! 6. The thread that sets an alarming bit raises the alarm, under the lock or else after the word; the reader takes the
//!    alarm down, with an exchange, before it reads the word, and puts it up again where it finds such a bit or the lock
//!    taken. (Without the exchange, or with a look before it, the reader would never hear of a kill in a long batch.)
//! 7. A reader that waits out a back-off sets HOLD before it looks into the control lane, and keeps PEND when it leaves; who
//!    puts an order there and finds HOLD wakes it in spite of PEND, or leaves NOTE. (Without it, an order to stop would
//!    wait for the back-off to end, or all data would wake a reader that does not want it.) A suspended reader does the same.
//! 8. Who asks for the reader's attention sets SYS after it has written down what it wants; the reader takes SYS down
//!    before it looks once more whether anything is wanted. (Without the second look, what was written down between look and
//!    store would wait for ever.)
//! 9. RUN is a value ([`RunGuard`]) wherever foreign code may run under it. A permit that is dropped, by unwinding say, gives
//!    RUN up as its holder would have: senders who wait are served (rule 5), DATA is set (rule 4), the wake-up that is owed is
//!    made. A holder without a permit (a server's executor, on the hot path) lets nothing unwind out of it. (Without it, a
//!    panic would leave a mailbox that takes messages and never reads one; or it would let the future that holds RUN be
//!    freed before the code that runs in it.)
//!
//! LOCK comes last: its holder takes no other lock and waits for nothing, so it may be taken under any other (a supervisor
//! gives a lease back under its table's lock).
//!
//! LOCK and RUN stand for exclusive borrows, so no safe function takes them away from their holder: LOCK goes with its guard,
//! RUN with its permit, or by an `unsafe` function whose caller answers for it. (Setting RUN without a permit is safe: it only
//! keeps others out.)

use crate::sync::{AtomicU32, Ordering, Spin, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// A thread is inside the senders' half.
pub const LOCK: u32 = 1;
/// A reader is at work: a task's poll, a caller's poll, or an awake receiver.
pub const RUN: u32 = 1 << 1;
/// Something lies in a lane.
pub const DATA: u32 = 1 << 2;
/// A handler is half done and does not read: data need not wake anybody.
pub const PEND: u32 = 1 << 3;
/// A handler is half done: no caller may step in.
pub const HALF: u32 = 1 << 4;
/// A thread wanted to run and found RUN taken.
pub const NOTE: u32 = 1 << 5;
/// A wake-up is under way.
pub const SCHED: u32 = 1 << 6;
/// The incarnation is to end at its next await.
pub const KILL: u32 = 1 << 7;
/// Senders wait for room.
pub const WAIT: u32 = 1 << 8;
/// Something lies in a lane other than normal: the reader looks between two messages.
pub const SIDE: u32 = 1 << 9;
/// No more sends.
pub const CLOSED: u32 = 1 << 10;
/// A reader holds the lease.
pub const LEASED: u32 = 1 << 11;
/// The cell has a task of its own whose waker is set.
pub const TASK: u32 = 1 << 12;
/// Callers may not run handlers themselves (asked for, or the handlers are slow).
pub const ASIDE: u32 = 1 << 13;
/// Sends take the long way: a limit by weight, a time to live, a rate limit or a fallback is set.
pub const POLICY: u32 = 1 << 15;
/// A monitor was taken down while the list of them is out being told.
pub const UNWATCH: u32 = 1 << 16;
/// The runtime died under a poll: the holder of RUN ends the incarnation.
pub const ORPHAN: u32 = 1 << 14;
/// A message waits out its back-off and holds up all data behind it: only what comes in the control lane wakes the reader.
pub const HOLD: u32 = 1 << 17;
/// An operator wants the reader's attention between two messages, or has had it suspended or watched.
pub const SYS: u32 = 1 << 18;
/// What belongs to a guard and a permit, and is neither set nor cleared by anything else.
const OWNED: u32 = LOCK | RUN;
/// What the reader is to see between two messages, without reading the word that senders write all the time.
const ALARMING: u32 = KILL | SIDE | POLICY | SYS;

/// What became of an attempt to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// RUN is ours; the bits are those from before.
    Mine(u32),
    /// Another holds RUN and was left a note.
    Noted,
}

/// What a reader that gives RUN up has done for the senders who wait for room (rule 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Senders {
    /// Nothing: where some wait, RUN stays.
    Unserved,
    /// Nothing; those who wait are left to the reader's next turn. Where none is to come, as [`Senders::Unserved`].
    Later,
    /// They have been given what room there is.
    Served,
}

/// What became of giving RUN up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing to do until a message is sent.
    Asleep,
    /// SCHED is set: the caller owes a wake-up.
    Owes,
    /// RUN is still held: senders wait and have not been served.
    SendersWait,
}

/// The word when a runner came and found RUN taken (rule 3). The wake-up that brought it is spent, so SCHED falls: an audit
/// takes RUN under a wake-up that is under way, and would else leave believing that it is still to come.
#[inline(always)]
const fn noted(s: u32) -> u32 {
    (s | NOTE) & !SCHED
}

/// The word when a holder of RUN that only looked has left. SCHED is set where the reader is wanted.
const fn left_quietly(s: u32) -> u32 {
    let n = s & !(RUN | NOTE);
    let wanted = s & (NOTE | KILL | ORPHAN) != 0 || (s & PEND == 0 && s & DATA != 0);
    if wanted && s & LEASED != 0 { n | SCHED } else { n }
}

/// Two values behind one word: `L` under LOCK, `R` under RUN.
///
/// INVARIANT (L): `locked` is touched only by the thread that moved the word from unlocked to locked, until it stores the word
/// back.
/// INVARIANT (R): `running` is touched only by the thread that set RUN, until it clears RUN with a release.
///
/// The order of the fields is that of memory: senders on another core write word and lock half at every message, so what
/// the reader needs for one must lie a cache line away. (Each half puts what it seldom needs on the side of the other.)
#[repr(C)]
pub struct StateWord<L, R> {
    word: AtomicU32,
    locked: UnsafeCell<L>,
    running: UnsafeCell<R>,
    /// Not 0: an alarming bit may have been set since the reader last looked at the word (rule 6).
    alarm: AtomicU32,
}

#[expect(unsafe_code, reason = "invariants L and R hand each value to one thread at a time")]
// SAFETY: by invariants L and R no value is reached from two threads at once, and both may move between threads.
unsafe impl<L: Send, R: Send> Sync for StateWord<L, R> {}
#[expect(unsafe_code, reason = "see Sync")]
// SAFETY: owning a state word is owning both values.
unsafe impl<L: Send, R: Send> Send for StateWord<L, R> {}

impl<L, R> fmt::Debug for StateWord<L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateWord({:#b})", self.bits())
    }
}

impl<L, R> StateWord<L, R> {
    /// A state word that starts with `bits`.
    pub fn new(bits: u32, locked: L, running: R) -> Self {
        Self {
            word: AtomicU32::new(bits),
            locked: UnsafeCell::new(locked),
            running: UnsafeCell::new(running),
            alarm: AtomicU32::new(bits & ALARMING),
        }
    }

    /// The bits as they are now; a hint, unless the caller holds LOCK or RUN.
    #[inline(always)]
    pub fn bits(&self) -> u32 {
        self.word.load(Ordering::Relaxed)
    }

    /// The bits, ordered after everything that the setting thread did before.
    #[inline]
    pub fn bits_acquire(&self) -> u32 {
        self.word.load(Ordering::Acquire)
    }

    /// Enters the senders' half; spins, then yields, while another thread is in it.
    #[inline(always)]
    pub fn lock(&self) -> Locked<'_, L, R> {
        let s = self.word.load(Ordering::Relaxed);
        // Look first: a failed exchange costs as much as one that succeeds.
        if s & LOCK == 0
            && self.word.compare_exchange(s, s | LOCK, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            return Locked::new(self, s);
        }
        self.lock_slow()
    }

    #[cold]
    #[inline(never)]
    fn lock_slow(&self) -> Locked<'_, L, R> {
        let bits = self.update(|s| Some(s | LOCK)).unwrap_or_default();
        Locked::new(self, bits)
    }

    /// Changes an unlocked word; `None` from `f` leaves it alone. Returns the bits from before when it was changed.
    #[inline]
    fn update(&self, mut f: impl FnMut(u32) -> Option<u32>) -> Option<u32> {
        let mut spin = Spin::default();
        loop {
            let s = self.word.load(Ordering::Relaxed);
            if s & LOCK != 0 {
                spin.wait();
                continue;
            }
            let n = f(s)?;
            // Acquire and release: RUN and LOCK may change hands here in either direction.
            match self.word.compare_exchange(s, n, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(s),
                Err(_) => spin.wait(),
            }
        }
    }

    /// Becomes the reader, or leaves a note for the one that is.
    #[inline]
    pub fn enter(&self) -> Entered {
        let before = self
            .update(|s| Some(if s & RUN != 0 { noted(s) } else { (s | RUN) & !(SCHED | NOTE) }))
            .unwrap_or_default();
        if before & RUN != 0 { Entered::Noted } else { Entered::Mine(before) }
    }

    /// Becomes the reader of an idle cell: nothing queued, no reader at work, an incarnation ready to go on.
    #[inline(always)]
    pub fn enter_idle(&self) -> bool {
        let s = self.word.load(Ordering::Relaxed);
        s & !TASK == LEASED
            && self.word.compare_exchange(s, s | RUN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Becomes the reader if RUN is free, whatever else is the case, without disturbing a wake-up that is under way.
    pub fn enter_quietly(&self) -> bool {
        self.update(|s| (s & RUN == 0).then_some(s | RUN)).is_some()
    }

    /// Gives RUN up. `kept` are the bits (DATA, HALF, PEND) that describe what the runner leaves behind, `senders` what has
    /// been done for those who wait for room.
    ///
    /// # Safety
    /// RUN is the caller's, no [`RunGuard`] stands for it, and no reference to the reader's half is alive, unless RUN stays.
    #[expect(unsafe_code, reason = "the caller's word that RUN is theirs to give up")]
    #[inline(always)]
    pub unsafe fn leave(&self, kept: u32, senders: Senders) -> Left {
        let s = self.word.load(Ordering::Relaxed);
        if kept == 0
            && s & !TASK == LEASED | RUN
            && self.word.compare_exchange(s, s & !RUN, Ordering::Release, Ordering::Relaxed).is_ok()
        {
            return Left::Asleep;
        }
        self.leave_slow(kept, senders)
    }

    #[inline(never)]
    fn leave_slow(&self, kept: u32, senders: Senders) -> Left {
        let after = |s: u32| {
            let n = (s & !(RUN | NOTE | PEND | HALF)) | (kept & !OWNED);
            let wanted = s & (NOTE | KILL | ORPHAN) != 0 || (kept & PEND == 0 && n & DATA != 0);
            if wanted && s & LEASED != 0 { n | SCHED } else { n }
        };
        let before = self.update(|s| {
            let n = after(s);
            let may = match senders {
                Senders::Unserved => s & WAIT == 0,
                Senders::Later => s & WAIT == 0 || n & SCHED != 0,
                Senders::Served => true,
            };
            may.then_some(n)
        });
        match before {
            None => Left::SendersWait,
            // Set before, SCHED is another's, who owes the wake-up.
            Some(s) if after(s) & SCHED != 0 && s & SCHED == 0 => Left::Owes,
            Some(_) => Left::Asleep,
        }
    }

    /// Gives RUN up after a mere look: everything else stays as it was. True when the caller owes a wake-up.
    ///
    /// # Safety
    /// RUN is the caller's, no [`RunGuard`] stands for it, and no reference to the reader's half is alive.
    #[expect(unsafe_code, reason = "the caller's word that RUN is theirs to give up")]
    pub unsafe fn leave_quietly(&self) -> bool {
        self.update(|s| Some(left_quietly(s))).is_some_and(|s| left_quietly(s) & !s & SCHED != 0)
    }

    /// Sets `bits`; true when the caller now owes a wake-up, because the mailbox has a reader that does not run just now.
    pub fn raise(&self, bits: u32) -> bool {
        let bits = bits & !OWNED;
        let mut owes = false;
        self.update(|s| {
            owes = s & LEASED != 0 && s & (RUN | SCHED) == 0;
            let n = s | bits | if owes { SCHED } else { 0 } | if s & RUN != 0 { NOTE } else { 0 };
            (n != s).then_some(n)
        });
        if bits & ALARMING != 0 {
            // Not under the lock, so after the word: the reader finds the bit, or the alarm.
            self.alarm.swap(1, Ordering::AcqRel);
        }
        owes
    }

    /// Asks for the reader's attention between two messages (SYS): one that is in the middle of a handler comes to it by
    /// itself, and is not woken. True when the caller now owes a wake-up.
    pub fn call_for(&self) -> bool {
        let mut owes = false;
        self.update(|s| {
            // Under RUN, HALF and HOLD are what the last poll left behind.
            let half = s & HALF != 0 && s & HOLD == 0;
            owes = s & LEASED != 0 && s & (RUN | SCHED) == 0 && !half;
            Some(s | SYS | if owes { SCHED } else { 0 } | if s & RUN != 0 { NOTE } else { 0 })
        });
        // As in `raise`.
        self.alarm.swap(1, Ordering::AcqRel);
        owes
    }

    /// Says that the runtime has died under the incarnation that holds the lease; false when none does.
    pub fn orphan(&self) -> bool {
        self.update(|s| (s & LEASED != 0).then_some(s | ORPHAN)).is_some()
    }

    /// Sets and clears bits that wake no reader.
    pub fn change(&self, set: u32, clear: u32) {
        debug_assert!(set & ALARMING == 0, "those are set under the lock, or raised");
        let (set, clear) = (set & !OWNED, clear & !OWNED);
        self.update(|s| {
            let n = (s & !clear) | set;
            (n != s).then_some(n)
        });
    }

    /// Something the reader's future waited for is ready: true when the caller now owes a wake-up.
    #[inline]
    pub fn notify(&self) -> bool {
        self.raise(0)
    }

    /// Enters both halves with one instruction. `None` when another holds RUN, who is left a note.
    #[inline]
    pub fn enter_locked(&self) -> Option<Locked<'_, L, R>> {
        let before = self
            .update(|s| Some(if s & RUN != 0 { noted(s) } else { (s | RUN | LOCK) & !(SCHED | NOTE) }))
            .unwrap_or_default();
        // Made only where the lock is ours: dropping it stores the word.
        (before & RUN == 0).then(|| Locked::new(self, (before | RUN) & !(SCHED | NOTE)))
    }

    /// For the reader: whether no alarming bit (KILL, SIDE, POLICY) is set, as far as is known without a look at the word.
    #[inline(always)]
    pub fn is_calm(&self) -> bool {
        self.alarm.load(Ordering::Relaxed) == 0
    }

    /// For the reader: looks at the word, and takes the alarm down if there is no reason for it any more.
    pub fn look(&self) -> u32 {
        let bits = self.bits();
        debug_assert!(bits & RUN != 0, "the alarm is the reader's to take down");
        if bits & (ALARMING | LOCK) != 0 || self.is_calm() {
            return bits;
        }
        // The thread that raised it still holds the lock, or its bits are to be seen (rule 6).
        self.alarm.swap(0, Ordering::AcqRel);
        let bits = self.bits();
        if bits & (ALARMING | LOCK) != 0 {
            self.alarm.swap(1, Ordering::AcqRel);
        }
        bits
    }

    /// Both halves, where no other reference to them is left.
    #[expect(unsafe_code, reason = "the exclusive borrow is both bits at once")]
    pub fn get_mut(&mut self) -> (&mut L, &mut R) {
        // SAFETY: `self` is borrowed exclusively, and the two references are to two fields.
        (self.locked.with_mut(|p| unsafe { &mut *p }), self.running.with_mut(|p| unsafe { &mut *p }))
    }

    /// The reader's half.
    ///
    /// # Safety
    /// The caller holds RUN and lets go of the reference before RUN is given up; no other reference from this
    /// function is alive.
    #[expect(unsafe_code, clippy::mut_from_ref, reason = "RUN is the exclusive borrow (invariant R)")]
    #[inline(always)]
    pub unsafe fn running(&self) -> &mut R {
        debug_assert!(self.bits() & RUN != 0, "the reader's half is touched only under RUN");
        // SAFETY: invariant R, upheld by the caller.
        self.running.with_mut(|p| unsafe { &mut *p })
    }
}

/// The senders' half, for as long as this lives. No user code (drop, wake, clone) may run meanwhile.
///
/// It is shared and sent like the exclusive borrow that it is:
/// ```
/// fn shared<T: Sync>() {}
/// shared::<restante_core::word::Locked<'_, u8, u8>>();
/// ```
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<restante_core::word::Locked<'_, std::cell::Cell<u8>, u8>>();
/// ```
pub struct Locked<'a, L, R> {
    word: &'a StateWord<L, R>,
    bits: u32,
    half: PhantomData<&'a mut L>,
}

impl<L, R> fmt::Debug for Locked<'_, L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locked({:#b})", self.bits)
    }
}

impl<'a, L, R> Locked<'a, L, R> {
    /// LOCK is ours; unlocking will publish these bits.
    #[inline(always)]
    fn new(word: &'a StateWord<L, R>, bits: u32) -> Self {
        Self { word, bits, half: PhantomData }
    }

    /// The bits that unlocking will publish.
    #[inline(always)]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Sets bits, published at unlocking.
    #[inline(always)]
    pub fn set(&mut self, bits: u32) {
        self.bits |= bits & !OWNED;
        if bits & ALARMING != 0 {
            // By the standard's rules a store would do; loom, which keeps no order of plain stores, says otherwise.
            self.word.alarm.swap(1, Ordering::AcqRel);
        }
    }

    /// Clears bits, published at unlocking.
    #[inline(always)]
    pub fn clear(&mut self, bits: u32) {
        self.bits &= !(bits & !OWNED);
    }

    /// Sets bits that a reader is to see soon, one that is at work now included (by NOTE): true when the caller owes a wake-up
    /// after unlocking. [`StateWord::raise`], under the lock.
    pub fn raise(&mut self, bits: u32) -> bool {
        let owes = self.bits & LEASED != 0 && self.bits & (RUN | SCHED) == 0;
        let note = if self.bits & RUN != 0 { NOTE } else { 0 };
        self.set(bits | note | if owes { SCHED } else { 0 });
        owes
    }

    /// Says that data came in: true when the caller owes a wake-up after unlocking.
    #[inline(always)]
    pub fn announce(&mut self, bits: u32) -> bool {
        let owes = self.bits & LEASED != 0 && self.bits & (RUN | PEND | SCHED) == 0;
        self.set(bits | DATA | if owes { SCHED } else { 0 });
        owes
    }

    /// Like `announce`, for the control lane: also wakes a reader that holds back data (rule 7).
    pub fn announce_order(&mut self) -> bool {
        let owes = self.announce(SIDE);
        if owes || self.bits & HOLD == 0 || self.bits & LEASED == 0 {
            return owes;
        }
        if self.bits & RUN != 0 {
            self.set(NOTE);
            return false;
        }
        let owes = self.bits & SCHED == 0;
        self.set(SCHED);
        owes
    }
}

#[expect(unsafe_code, reason = "the LOCK bit is the exclusive borrow (invariant L)")]
impl<L, R> Deref for Locked<'_, L, R> {
    type Target = L;
    #[inline(always)]
    fn deref(&self) -> &L {
        // SAFETY: invariant L: this guard exists only while LOCK is ours.
        self.word.locked.with(|p| unsafe { &*p })
    }
}

#[expect(unsafe_code, reason = "the LOCK bit is the exclusive borrow (invariant L)")]
impl<L, R> DerefMut for Locked<'_, L, R> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut L {
        // SAFETY: invariant L: this guard exists only while LOCK is ours.
        self.word.locked.with_mut(|p| unsafe { &mut *p })
    }
}

impl<L, R> Drop for Locked<'_, L, R> {
    #[inline(always)]
    fn drop(&mut self) {
        // Pairs with the acquire of the next lock, enter or leave: rule 1 makes a plain store enough.
        self.word.word.store(self.bits & !LOCK, Ordering::Release);
    }
}

/// What has a state word at a fixed place.
///
/// # Safety
/// `word` returns the same state word at every call, for as long as the value lives, and its halves are reached by no other
/// means: a [`RunGuard`] takes RUN of the one word and lends the reader's half of the other.
/// ```compile_fail,E0200
/// use restante_core::word::{StateWord, HasStateWord, RunGuard};
/// struct Two(StateWord<(), u8>, StateWord<(), u8>);
/// impl HasStateWord for Two {
///     type Locked = ();
///     type Running = u8;
///     fn word(&self) -> &StateWord<(), u8> { &self.0 }
///     fn abandoned(_: RunGuard<Self>) {}
/// }
/// ```
#[expect(unsafe_code, reason = "permits rely on what an implementation does")]
pub unsafe trait HasStateWord {
    /// What lies under LOCK.
    type Locked;
    /// What lies under RUN.
    type Running;
    /// The state word; the same one at every call.
    fn word(&self) -> &StateWord<Self::Locked, Self::Running>;
    /// Gives RUN up in the place of a holder that is gone (rule 9).
    fn abandoned(permit: RunGuard<Self>);
}

/// RUN, held as a value: for readers that keep it from one call to the next, and wherever foreign code runs under it.
/// Dropping it gives RUN up (rule 9).
///
/// There is one at a time, since nothing safe gives up RUN but by its permit:
/// ```
/// # use restante_core::{cell::{MailCell, Parked}, word::{LEASED, RunGuard}};
/// # let cell = std::sync::Arc::new(MailCell::<u8, Parked>::plain(None, LEASED, Parked));
/// let first = RunGuard::enter(&cell).unwrap();
/// assert!(RunGuard::enter(&cell).is_none());
/// MailCell::leave_by(first, 0);
/// assert!(RunGuard::enter(&cell).is_some());
/// ```
/// ```compile_fail,E0133
/// # use restante_core::{cell::{MailCell, Parked}, word::{LEASED, RunGuard}};
/// # let cell = std::sync::Arc::new(MailCell::<u8, Parked>::plain(None, LEASED, Parked));
/// let first = RunGuard::enter(&cell).unwrap();
/// cell.leave(0);
/// let second = RunGuard::enter(&cell).unwrap();
/// ```
/// ```compile_fail,E0133
/// # use restante_core::{cell::{MailCell, Parked}, word::{LEASED, RunGuard}};
/// # let cell = std::sync::Arc::new(MailCell::<u8, Parked>::plain(None, LEASED, Parked));
/// cell.leave_quietly();
/// ```
/// ```compile_fail,E0133
/// # use restante_core::{cell::{MailCell, Parked}, word::{LEASED, RunGuard}};
/// # let cell = std::sync::Arc::new(MailCell::<u8, Parked>::plain(None, LEASED, Parked));
/// cell.word().leave(0, restante_core::word::Senders::Served);
/// ```
/// ```compile_fail,E0133
/// # use restante_core::{cell::{MailCell, Parked}, word::{LEASED, RunGuard}};
/// # let cell = std::sync::Arc::new(MailCell::<u8, Parked>::plain(None, LEASED, Parked));
/// cell.word().leave_quietly();
/// ```
pub struct RunGuard<C: HasStateWord + ?Sized>(std::sync::Arc<C>);

impl<C: HasStateWord + ?Sized> fmt::Debug for RunGuard<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunGuard")
    }
}

impl<C: HasStateWord + ?Sized> RunGuard<C> {
    /// Takes RUN, clearing what was noted for its holder; `None` when another has it.
    pub fn enter(cell: &std::sync::Arc<C>) -> Option<Self> {
        matches!(cell.word().enter(), Entered::Mine(_)).then(|| Self(std::sync::Arc::clone(cell)))
    }

    /// Takes RUN of an idle cell, as [`StateWord::enter_idle`] does.
    pub fn enter_idle(cell: &std::sync::Arc<C>) -> Option<Self> {
        cell.word().enter_idle().then(|| Self(std::sync::Arc::clone(cell)))
    }

    /// Takes RUN without touching anything else.
    pub fn enter_quietly(cell: &std::sync::Arc<C>) -> Option<Self> {
        cell.word().enter_quietly().then(|| Self(std::sync::Arc::clone(cell)))
    }

    /// RUN that was taken by other means.
    ///
    /// # Safety
    /// RUN is held by the caller, who hands it over to the value: no reference to the reader's half is alive.
    #[expect(unsafe_code, reason = "the caller's word that RUN is ours")]
    pub unsafe fn assume(cell: &std::sync::Arc<C>) -> Self {
        debug_assert!(cell.word().bits() & RUN != 0);
        Self(std::sync::Arc::clone(cell))
    }

    /// The cell.
    pub fn cell(&self) -> &std::sync::Arc<C> {
        &self.0
    }

    /// The cell, and the reader's half of it.
    #[expect(unsafe_code, reason = "this value is RUN")]
    pub fn split(&mut self) -> (&std::sync::Arc<C>, &mut C::Running) {
        // SAFETY: RUN is ours from `enter` to `give_up`, and the borrow ends with that of `self`.
        let running = unsafe { self.0.word().running() };
        (&self.0, running)
    }

    /// Gives RUN up when `guard` unlocks, and what was noted for its holder with it. No wake-up becomes due by this: the
    /// caller knows what is left behind.
    pub fn leave_with(self, guard: &mut Locked<'_, C::Locked, C::Running>) {
        assert!(std::ptr::eq(guard.word, self.0.word()), "the lock is that of the permit's cell");
        guard.bits &= !(RUN | NOTE);
        self.give_up();
    }

    /// Gives RUN up when `guard` unlocks, with everything else as it is: true when the caller owes a wake-up then.
    pub fn leave_quietly_with(self, guard: &mut Locked<'_, C::Locked, C::Running>) -> bool {
        let before = guard.bits;
        self.leave_with(guard);
        guard.bits = left_quietly(before);
        guard.bits & !before & SCHED != 0
    }

    /// Gives RUN up as [`StateWord::leave_quietly`] does: true when the caller owes a wake-up.
    #[expect(unsafe_code, reason = "the value is RUN")]
    pub fn leave_quietly(self) -> bool {
        let cell = std::sync::Arc::clone(&self.0);
        self.give_up();
        // SAFETY: RUN was the value's, which nothing is lent from any more.
        unsafe { cell.word().leave_quietly() }
    }

    /// Parts RUN from its value: it stays set, until the caller, whose it is, gives it up by other means.
    pub fn give_up(self) {
        let this = std::mem::ManuallyDrop::new(self);
        #[expect(unsafe_code, reason = "out of a type with a `Drop` nothing can be moved otherwise")]
        // SAFETY: `this` is neither used again nor dropped: the one field moves out once.
        let cell = unsafe { std::ptr::read(&raw const this.0) };
        drop(cell);
    }
}

impl<C: HasStateWord + ?Sized> Drop for RunGuard<C> {
    fn drop(&mut self) {
        // RUN goes over into another value: this one's is not used again.
        C::abandoned(Self(std::sync::Arc::clone(&self.0)));
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
