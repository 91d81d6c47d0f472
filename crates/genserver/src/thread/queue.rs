//! Where runnables wait for a thread: first in, first out, for any number of threads.
//!
//! Bounded by what is in it: a task lies in here at most once, so there are never more than servers and threads.

use super::still::Still;
use async_task::Runnable;

/// What a thread is to do next.
#[derive(Debug)]
pub(super) enum Job {
    /// Something, and what holds a paused clock until it has been run.
    Run(Runnable, Still),
    /// One thread, whichever comes first, is to end; what holds a paused clock until it has.
    Leave(Still),
}

#[cfg(not(shuttle))]
pub(super) use channel::Queue;
#[cfg(shuttle)]
pub(super) use model::Queue;

#[cfg(not(shuttle))]
mod channel {
    use super::Job;
    use crossbeam_channel::{Receiver, Sender, unbounded};

    /// A crossbeam channel, both of whose ends live as long as the crew.
    #[derive(Debug)]
    pub(in crate::thread) struct Queue {
        put: Sender<Job>,
        take: Receiver<Job>,
    }

    impl Queue {
        pub(in crate::thread) fn new() -> Self {
            let (put, take) = unbounded();
            Self { put, take }
        }

        /// Never waits.
        pub(in crate::thread) fn put(&self, job: Job) {
            self.put.send(job).expect("the other end lies in the same value");
        }

        /// Waits for something to do.
        pub(in crate::thread) fn take(&self) -> Job {
            self.take.recv().expect("the other end lies in the same value")
        }
    }
}

#[cfg(shuttle)]
mod model {
    use super::Job;
    use shuttle::sync::{Condvar, Mutex};
    use std::collections::VecDeque;

    /// A queue under a lock, for shuttle, which has no channel for several readers.
    #[derive(Debug)]
    pub(in crate::thread) struct Queue {
        jobs: Mutex<VecDeque<Job>>,
        some: Condvar,
    }

    impl Queue {
        pub(in crate::thread) fn new() -> Self {
            Self { jobs: Mutex::new(VecDeque::new()), some: Condvar::new() }
        }

        pub(in crate::thread) fn put(&self, job: Job) {
            self.jobs.lock().expect("nothing panics under it").push_back(job);
            self.some.notify_one();
        }

        pub(in crate::thread) fn take(&self) -> Job {
            let mut jobs = self.jobs.lock().expect("nothing panics under it");
            loop {
                if let Some(job) = jobs.pop_front() {
                    return job;
                }
                jobs = self.some.wait(jobs).expect("nothing panics under it");
            }
        }
    }
}
