//! One of those who keep the targets busy.

use super::target::{Ask, Target, Tell, What};
use super::tree::Forest;
use super::{STUCK, is_ours};
use futures::future::join_all;
use restante::{CallError, SendError, ServerRef, SupervisorRef};

/// Calls that one sender makes at once, each to another target.
const BURST: usize = 4;

/// Sends until its share of panics is on the way.
pub(super) struct Sender {
    number: usize,
    /// Panics that are left.
    share: u64,
    targets: Vec<ServerRef<Target>>,
    branches: Vec<SupervisorRef>,
    dice: fastrand::Rng,
    sent: Sent,
}

/// What a sender has to say in the end.
#[derive(Debug)]
pub(super) struct Sent {
    /// Messages that were accepted, by target. As they are numbered from 1, the last one's number as well.
    pub(super) accepted: Vec<u64>,
    pub(super) calls: u64,
    /// Calls that ended with an end of their server.
    pub(super) exited: u64,
    pub(super) kills: u64,
    /// What should not have happened.
    pub(super) faults: Vec<String>,
}

impl Sent {
    pub(super) fn new(targets: usize) -> Self {
        Self { accepted: vec![0; targets], calls: 0, exited: 0, kills: 0, faults: Vec::new() }
    }

    /// Notes what came of a call; false: it was in hand when its server ended.
    pub(super) fn answered(&mut self, at: usize, answer: Result<u64, CallError>) -> bool {
        self.calls += 1;
        self.accepted[at] += 1;
        match answer {
            Ok(_) => return true,
            Err(CallError::Exited(reason)) if is_ours(&reason) => self.exited += 1,
            Err(error) => {
                self.faults.push(format!("a call to target {at}: {error}"));
                return true;
            }
        }
        false
    }
}

impl Sender {
    pub(super) fn new(number: usize, share: u64, forest: &Forest, dice: fastrand::Rng) -> Self {
        Self {
            number,
            share,
            targets: forest.targets.iter().map(|(target, _)| target.clone()).collect(),
            branches: forest.branches.clone(),
            dice,
            sent: Sent::new(forest.targets.len()),
        }
    }

    pub(super) async fn run(mut self) -> Sent {
        while self.share > 0 && self.sent.faults.is_empty() {
            let at = self.dice.usize(..self.targets.len());
            match self.dice.u32(..64) {
                0..10 => self.panic(at, false).await,
                10 => self.panic(at, true).await,
                11..14 => self.cast(at, What::Fail).await,
                14 => self.cast(at, What::LatePanic).await,
                15 => self.cast(at, What::Stop).await,
                16..20 => self.call(at, What::Note).await,
                20 => self.call(at, What::Yield).await,
                21 => self.burst(at).await,
                22 => self.kill(at),
                23..28 => self.cast(at, What::Yield).await,
                _ => self.cast(at, What::Note).await,
            }
        }
        self.sent
    }

    fn tell(&self, at: usize, what: What) -> Tell {
        Tell { from: self.number, n: self.sent.accepted[at] + 1, what }
    }

    async fn panic(&mut self, at: usize, in_call: bool) {
        self.share -= 1;
        if in_call { self.call(at, What::Panic).await } else { self.cast(at, What::Panic).await }
    }

    /// A cast that is tried once, and where there is no room waits for it.
    async fn cast(&mut self, at: usize, what: What) {
        let tell = self.tell(at, what);
        let sent = match self.targets[at].cast(tell) {
            Err(SendError::Full(tell)) => self.targets[at].send_timeout(tell, STUCK).await,
            other => other,
        };
        match sent {
            Ok(()) => self.sent.accepted[at] += 1,
            Err(error) => self.sent.faults.push(format!("a cast to target {at}: {error}")),
        }
    }

    async fn call(&mut self, at: usize, what: What) {
        let tell = self.tell(at, what);
        let answer = self.targets[at].call(|reply| Ask { tell, reply }).timeout(STUCK).await;
        self.note(at, tell, answer);
    }

    fn note(&mut self, at: usize, tell: Tell, answer: Result<u64, CallError>) {
        if let Ok(n) = answer
            && n != tell.n
        {
            self.sent.faults.push(format!("target {at} answered {n} to {}", tell.n));
        }
        self.sent.answered(at, answer);
    }

    /// Several calls at once, to targets that stand side by side.
    async fn burst(&mut self, first: usize) {
        let many = BURST.min(self.targets.len());
        let at = |n: usize| (first + n) % self.targets.len();
        let asked: Vec<(usize, Tell)> = (0..many).map(|n| (at(n), self.tell(at(n), What::Note))).collect();
        let answers = join_all(asked.iter().map(|(at, tell)| {
            let tell = *tell;
            self.targets[*at].call(move |reply| Ask { tell, reply }).timeout(STUCK)
        }))
        .await;
        for ((at, tell), answer) in asked.into_iter().zip(answers) {
            self.note(at, tell, answer);
        }
    }

    /// Kills a target, or now and then a supervisor with all that is below it.
    fn kill(&mut self, at: usize) {
        if self.dice.u32(..16) == 0 {
            let branch = self.dice.usize(..self.branches.len());
            self.branches[branch].kill();
            self.sent.kills += 1;
        } else {
            self.sent.kills += u64::from(self.targets[at].kill());
        }
    }
}
