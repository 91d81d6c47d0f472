//! A tree of servers: every node starts ten children, every leaf reports its number and stops, every node
//! adds up what its children report, reports it and stops.

use std::sync::Arc;

use crate::{
    latch::Latch,
    measured::{Measured, Stopwatch},
    system::{Behaviour, Start, System, Then},
};

const CHILDREN: u64 = 10;

/// Grows a tree with so many leaves, a power of ten. One operation is the whole tree.
pub(crate) async fn tree<S: System>(leaves: u64) -> Measured {
    let latch = Latch::new(1);

    let watch = Stopwatch::start();
    let root = S::start(Start::UNBOUNDED, Node::new(Parent::Driver(Arc::clone(&latch)), 0, leaves)).await;
    let sum = latch.wait().await;
    let measured = watch.stop(1);

    assert_eq!(sum, leaves * (leaves - 1) / 2);
    drop(root);
    measured
}

/// A node over the leaves `first .. first + leaves`.
struct Node<S: System> {
    parent: Parent<S>,
    first: u64,
    leaves: u64,
    sum: u64,
    /// A child whose last address goes would end before it has done its work.
    children: Vec<S::Ref<Self>>,
    reports_missing: u64,
}

enum Parent<S: System> {
    Driver(Arc<Latch>),
    Node(S::Ref<Node<S>>),
}

impl<S: System> Node<S> {
    fn new(parent: Parent<S>, first: u64, leaves: u64) -> Self {
        Self { parent, first, leaves, sum: 0, children: Vec::new(), reports_missing: CHILDREN }
    }

    fn report(&self, sum: u64) -> Then {
        match &self.parent {
            Parent::Driver(latch) => latch.arrive(sum),
            Parent::Node(parent) => S::cast_now(parent, sum, 0),
        }
        Then::Stop
    }
}

impl<S: System> Behaviour<S> for Node<S> {
    const STARTS: bool = true;

    async fn started(&mut self, me: &S::Ref<Self>) -> Then {
        if self.leaves == 1 {
            return self.report(self.first);
        }
        let share = self.leaves / CHILDREN;
        self.children.reserve_exact(10);
        for child in 0..CHILDREN {
            let node = Self::new(Parent::Node(me.clone()), self.first + child * share, share);
            self.children.push(S::start(Start::UNBOUNDED, node).await);
        }
        Then::Continue
    }

    fn on_cast(&mut self, sum: u64, _: u64) -> Then {
        self.sum += sum;
        self.reports_missing -= 1;
        if self.reports_missing == 0 { self.report(self.sum) } else { Then::Continue }
    }
}
