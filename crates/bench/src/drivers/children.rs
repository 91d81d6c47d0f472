//! A supervisor that is given many children, and has them taken away.

use crate::{
    measured::{Measured, Stopwatch},
    supervised::Dynamic,
    system::System,
};

/// What comes of starting and stopping the same children.
pub(crate) struct Children {
    pub(crate) start: Measured,
    pub(crate) stop: Measured,
}

/// Starts `count` children one after the other, `population` under each supervisor, then stops them likewise.
///
/// The number of children in all is the same for every population, and so is the memory they take: what differs is
/// how many one supervisor has.
pub(crate) async fn come_and_go<S: System>(population: u64, count: u64) -> Option<Children> {
    let population = population.min(count);
    let mut families = Vec::new();
    for _ in 0..count / population {
        let mut supervisor = S::dynamic().await?;
        // What the first child costs over others is not the question.
        let first = supervisor.start().await;
        supervisor.stop(first).await;
        let room = usize::try_from(population).expect("a count of children fits");
        families.push((supervisor, Vec::with_capacity(room)));
    }
    let count = population * families.len() as u64;

    let watch = Stopwatch::start();
    for (supervisor, children) in &mut families {
        for _ in 0..population {
            children.push(Some(supervisor.start().await));
        }
    }
    let start = watch.stop(count);

    let watch = Stopwatch::start();
    for (supervisor, children) in &mut families {
        for index in scattered(children.len()) {
            let child = children[index].take().expect("each comes up once");
            supervisor.stop(child).await;
        }
    }
    let stop = watch.stop(count);

    Some(Children { start, stop })
}

/// All indices, each once, in an order that favours neither the eldest nor the youngest: a supervisor that searches
/// its children from one end, or closes gaps, is to show it.
fn scattered(len: usize) -> impl Iterator<Item = usize> {
    /// A prime that divides no population.
    const STEP: usize = 7919;
    (0..len).map(move |i| i * STEP % len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scattered_order_has_every_index_once() {
        for len in [1, 10, 1000, 10_000, 100_000] {
            let mut indices: Vec<_> = scattered(len).collect();
            indices.sort_unstable();
            assert!(indices.into_iter().eq(0..len), "{len}");
        }
    }
}
