//! The loop's place: an allocation that one incarnation leaves to the next.

use super::cell_ref::CellRef;
use crate::server::GenServer;
use crate::stand_in::{self, Casting};
use crate::start::Lent;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Cx, Poll};

pub(super) type Body<S> = Pin<Box<dyn Loop<S>>>;

/// A loop in an allocation that the next incarnation's can have after it.
pub(super) trait Loop<S: GenServer>: Future<Output = ()> + Send {
    /// Drops the loop that is there, which is mostly over, and makes the next one in its place.
    fn begin(self: Pin<&mut Self>, cell: CellRef<S>, incarnation: u32, lent: Lent<S>);
}

pin_project! {
    /// What makes loops, and the present one. (A loop's type has no name, but they are all of one.)
    struct LoopSlot<F, Make> {
        make: Make,
        #[pin]
        present: F,
    }
}

impl<F: Future<Output = ()>, Make> Future for LoopSlot<F, Make> {
    type Output = ();
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<()> {
        self.project().present.poll(cx)
    }
}

impl<S, F, Make> Loop<S> for LoopSlot<F, Make>
where
    S: GenServer,
    F: Future<Output = ()> + Send,
    Make: Fn(CellRef<S>, u32, Lent<S>) -> F + Send,
{
    fn begin(self: Pin<&mut Self>, cell: CellRef<S>, incarnation: u32, lent: Lent<S>) {
        let mut this = self.project();
        this.present.set((this.make)(cell, incarnation, lent));
    }
}

/// The first loop of an allocation.
pub(super) fn first_loop<S: GenServer>(cell: CellRef<S>, incarnation: u32, lent: Lent<S>) -> Body<S> {
    let make = crate::run::run::<S>;
    Box::pin(LoopSlot { make, present: make(cell, incarnation, lent) })
}

/// The loop of a stand-in.
pub(super) fn stage<S: GenServer>(
    cell: CellRef<S>,
    incarnation: u32,
    lent: Lent<S>,
    casting: &Casting<S>,
) -> Body<S> {
    let casting = Arc::clone(casting);
    let make =
        move |cell, incarnation, lent| stand_in::perform::<S>(cell, incarnation, lent, Arc::clone(&casting));
    let present = make(cell, incarnation, lent);
    Box::pin(LoopSlot { make, present })
}
