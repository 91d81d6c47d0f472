//! The stack of servers that this thread is polling: which server's code is running here, and for whom.
//!
//! A frame lives on the stack of the poll that it describes; the thread-local points at the innermost one. It tells a
//! call from inside a handler who is calling (for cycles and for the depth of nested callers), and it holds the reply
//! slots whose [`Reply`](crate::Reply) was dropped unanswered in this poll, until it is known why.

use crate::slot::SlotPtr;
use crate::stack;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::Arc;

/// Names a server in errors: its type, and its mailbox's name where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) kind: &'static str,
    pub(crate) name: Option<Arc<str>>,
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => f.write_str(self.kind),
        }
    }
}

/// One poll of one server.
pub(crate) struct Frame {
    /// The cell. Its address is unique among live cells.
    cell: *const (),
    /// How many callers' polls lie below this one on the stack.
    depth: u32,
    /// Where on the stack the outermost of them lies.
    base: usize,
    below: *const Frame,
    orphans: RefCell<Vec<SlotPtr>>,
    /// The slot whose caller is this very thread, if any.
    inline: Option<SlotPtr>,
    /// Where the context lies that the loop lends to its callbacks in this poll; 0: it has lent none yet.
    lent: Cell<usize>,
    kind: &'static str,
}

// Shuttle runs all threads and tasks on one.
#[cfg(shuttle)]
use shuttle::thread_local;

thread_local! {
    static TOP: Cell<*const Frame> = const { Cell::new(std::ptr::null()) };
}

#[inline(always)]
fn top() -> *const Frame {
    #[cfg(not(shuttle))]
    return TOP.get();
    #[cfg(shuttle)]
    return TOP.try_with(Cell::get).unwrap_or(std::ptr::null());
}

#[inline(always)]
fn set_top(frame: *const Frame) {
    #[cfg(not(shuttle))]
    TOP.set(frame);
    #[cfg(shuttle)]
    TOP.with(|top| top.set(frame));
}

/// Puts a frame on the stack while `poll` runs, and takes it off again however it ends.
#[inline(always)]
pub(crate) fn enter<R>(
    cell: *const (),
    kind: &'static str,
    inline: Option<SlotPtr>,
    poll: impl FnOnce() -> R,
) -> R {
    let below = top();
    let here = 0_u8;
    let (depth, base) = with_top(|f| (f.depth + 1, f.base)).unwrap_or_else(|| (0, (&raw const here).addr()));
    let frame = Frame {
        cell,
        depth,
        base,
        below,
        orphans: RefCell::new(Vec::new()),
        inline,
        lent: Cell::new(0),
        kind,
    };
    let result = {
        let _pop = Pop(below, PhantomData);
        set_top(&raw const frame);
        poll()
    };
    if !frame.orphans.borrow().is_empty() {
        frame.fail_the_rest();
    }
    result
}

impl Frame {
    /// The reason why these replies were dropped was not given (an expired call, say): no slot is left without an end.
    #[cold]
    fn fail_the_rest(&self) {
        for slot in self.orphans.take() {
            slot.fail(None);
        }
    }
}

struct Pop<'a>(*const Frame, PhantomData<&'a ()>);

impl Drop for Pop<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        set_top(self.0);
    }
}

/// Lends the innermost frame, if a server is being polled on this thread.
#[expect(unsafe_code, reason = "TOP points into the stack of a poll that is under way")]
#[inline(always)]
fn with_top<R>(f: impl FnOnce(&Frame) -> R) -> Option<R> {
    let top = top();
    // SAFETY: `enter` sets TOP to a frame on its own stack and resets it (in a drop) before that frame goes; so while
    // TOP is not null, the frame lives, and only this thread sees it.
    unsafe { top.as_ref() }.map(f)
}

/// The server whose code is running here.
#[inline(always)]
pub(crate) fn current() -> Option<usize> {
    with_top(|f| f.cell.addr())
}

/// The cell of the server whose code is running here; null where none is. For as long as that poll lasts its RUN is held on
/// this thread, by the poll.
#[inline(always)]
pub(crate) fn cell() -> *const () {
    with_top(|f| f.cell).unwrap_or(std::ptr::null())
}

/// The loop that is polled here lends the context at this address to a callback.
#[inline(always)]
pub(crate) fn lend(context: usize) {
    with_top(|f| f.lent.set(context));
}

/// Whether the context at this address is the one that the loop of this cell, which is being polled here, has lent. (Both are
/// addresses: of a context that has been moved nothing may be read before this.)
#[inline(always)]
pub(crate) fn has_lent(cell: *const (), context: usize) -> bool {
    with_top(|f| std::ptr::eq(f.cell, cell) && f.lent.get() == context).unwrap_or(false)
}

/// Callers' polls that may be nested on one stack ...
pub(crate) const DEPTH: u32 = 16;
/// ... as long as they have taken no more of it than this. (The next one's handler comes on top. A thread of tokio's has 2 MiB
/// unless told otherwise.)
pub(crate) const STACK: usize = 512 << 10;

std::thread_local! {
    /// As `STACK`, where the thread's stack is known to be small.
    static SMALL: Cell<usize> = const { Cell::new(STACK) };
}

/// This thread has a stack of so many bytes: callers' polls take a quarter of it at most, before the last one's handler.
pub(crate) fn on_a_stack_of(bytes: usize) {
    SMALL.set(STACK.min(bytes / 4));
}

/// So much of a stack whose bounds are known is left to the handler that is polled there; of a small one half.
const LEFT: usize = 1 << 20;

std::thread_local! {
    /// Below this address no caller's poll begins on this thread's stack; above all of them until its bounds have been
    /// asked for.
    static LOWEST: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Where the stack ends; 0: that is not known.
    static END: Cell<usize> = const { Cell::new(0) };
}

/// Whether the handler of another server may be polled on this stack, on top of those that are, and of all else that is there.
#[inline(always)]
pub(crate) fn has_room() -> bool {
    let here = 0_u8;
    let here = (&raw const here).addr();
    if here < LOWEST.get() && is_near_the_end(here) {
        return false;
    }
    let top = top();
    top.is_null() || has_room_above()
}

/// On the first question of a thread, and where too little seems to be left.
#[cold]
#[inline(never)]
fn is_near_the_end(here: usize) -> bool {
    if LOWEST.get() == usize::MAX {
        let bounds = stack::bounds();
        END.set(bounds.as_ref().map_or(0, |stack| stack.start));
        LOWEST.set(bounds.map_or(0, |stack| stack.start + LEFT.min(stack.len() / 2)));
    }
    // Elsewhere it is another stack, as a coroutine's, of which nothing is known.
    (END.get()..LOWEST.get()).contains(&here)
}

#[inline(never)]
fn has_room_above() -> bool {
    let here = 0_u8;
    let here = (&raw const here).addr();
    // Stacks grow downwards. Of another stack, as of a coroutine's, nothing is known: the mailbox is the way.
    with_top(|f| f.depth + 1 < DEPTH && f.base.wrapping_sub(here) < SMALL.get()).unwrap_or(true)
}

/// How many callers' polls are nested here.
#[inline(always)]
pub(crate) fn depth() -> u32 {
    with_top(|f| f.depth + 1).unwrap_or(0)
}

/// Whether the caller who waits for this slot is this very thread, below the running handler.
#[inline(always)]
pub(crate) fn is_inline(slot: SlotPtr) -> bool {
    with_top(|f| f.inline == Some(slot)).unwrap_or(false)
}

/// Keeps a slot whose reply was dropped unanswered until the poll tells why. False when no server is being polled.
pub(crate) fn keep_orphan(slot: SlotPtr) -> bool {
    with_top(|f| f.orphans.borrow_mut().push(slot)).is_some()
}

/// Whether replies were dropped in this poll so far.
#[inline(always)]
pub(crate) fn has_orphans() -> bool {
    with_top(|f| f.orphans.try_borrow().is_ok_and(|orphans| !orphans.is_empty())).unwrap_or(false)
}

/// The slots of those replies.
pub(crate) fn take_orphans() -> Vec<SlotPtr> {
    with_top(|f| f.orphans.take()).unwrap_or_default()
}

/// The servers being polled on this thread, innermost first: each waits, on this stack, for the one before it.
#[expect(unsafe_code, reason = "frames below a live frame are alive")]
pub(crate) fn stack() -> Vec<(usize, &'static str)> {
    let mut frames = Vec::new();
    let mut at = top();
    // SAFETY: a frame's `below` is the TOP of an enclosing `enter`, whose frame outlives it.
    while let Some(frame) = unsafe { at.as_ref() } {
        frames.push((frame.cell.addr(), frame.kind));
        at = frame.below;
    }
    frames
}
