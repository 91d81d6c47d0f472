//! The stack of servers that this thread is polling: which server's code is running here, and for whom.
//!
//! A frame lives on the stack of the poll that it describes; the thread-local points at the innermost one. It tells a
//! call from inside a handler who is calling (for cycles and for the depth of nested callers), and it holds the reply
//! slots whose [`Reply`](crate::Reply) was dropped unanswered in this poll, until it is known why.

use crate::slot::SlotPtr;
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
    /// The cell's address: unique among live cells.
    id: usize,
    /// How many callers' polls lie below this one on the stack.
    depth: u32,
    below: *const Frame,
    orphans: RefCell<Vec<SlotPtr>>,
    /// The slot whose caller is this very thread, if any.
    inline: Option<SlotPtr>,
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
    id: usize,
    kind: &'static str,
    inline: Option<SlotPtr>,
    poll: impl FnOnce() -> R,
) -> R {
    let below = top();
    let depth = with_top(|f| f.depth + 1).unwrap_or(0);
    let frame = Frame { id, depth, below, orphans: RefCell::new(Vec::new()), inline, kind };
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
    /// Nobody has said why these replies were dropped (an expired call, say): no slot is left without an end.
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
    with_top(|f| f.id)
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
        frames.push((frame.id, frame.kind));
        at = frame.below;
    }
    frames
}
