//! One message that goes around among servers.

use std::sync::{Arc, OnceLock};

use crate::{
    latch::Latch,
    measured::{Measured, Stopwatch},
    system::{Behaviour, Start, System, Then},
};

/// Sends a token around a circle of servers until it has made `hops` hops.
pub(crate) async fn around<S: System>(servers: usize, hops: u64) -> Measured {
    let latch = Latch::new(1);
    let circle = Arc::new(OnceLock::new());
    let mut members = Vec::new();
    for place in 0..servers {
        let next = (place + 1) % servers;
        let member = Member::<S> { circle: Arc::clone(&circle), next, latch: Arc::clone(&latch) };
        members.push(S::start(Start::BOUNDED, member).await);
    }
    for member in &members {
        assert_eq!(S::call(member, 1).await, 1);
    }
    let first = members[0].clone();
    assert!(circle.set(members).is_ok());

    let watch = Stopwatch::start();
    S::cast_now(&first, hops - 1, 1);
    let made = latch.wait().await;
    let measured = watch.stop(hops);

    assert_eq!(made, hops);
    measured
}

/// Hands a token `(hops to go, hops made)` on to the next one.
struct Member<S: System> {
    /// All of them: a circle cannot be closed by handing out the addresses one by one.
    circle: Arc<OnceLock<Vec<S::Ref<Self>>>>,
    next: usize,
    latch: Arc<Latch>,
}

impl<S: System> Behaviour<S> for Member<S> {
    fn on_cast(&mut self, to_go: u64, made: u64) -> Then {
        if to_go == 0 {
            self.latch.arrive(made);
        } else {
            let circle = self.circle.get().expect("the circle is closed before the token is sent");
            S::cast_now(&circle[self.next], to_go - 1, made + 1);
        }
        Then::Continue
    }
}
