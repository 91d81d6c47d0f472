//! What happens to a tree: a start, some thirty steps in which everything may go wrong, and then a time in which nothing does.

use crate::grown::{Child, Leaf, Node, Tree};
use crate::laws;
use crate::log::{Event, Log, Trace};
use crate::worker::{Ask, OnInit, Tell, What};
use restante::{ChildState, Restart, Shutdown, Strategy, SupervisorRef};
use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes: what has not happened by then never will.
const HOUR: Duration = Duration::from_secs(3600);

const STEPS: u32 = 30;

/// Tells the story of a seed: what happened.
pub(crate) fn tell(seed: u64) -> Trace {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime can be had");
    runtime.block_on(async {
        let mut dice = fastrand::Rng::with_seed(seed);
        let log = Log::new();
        let tree = Tree::grow(&log, &mut dice);
        let mut story = Story { dice, log, tree, sent: 0, calls: Vec::new(), tasks: Vec::new(), done: 0 };
        story.run().await;
        story.end().await
    })
}

struct Story {
    dice: fastrand::Rng,
    log: Log,
    tree: Tree,
    /// Messages that were sent: they are numbered by it.
    sent: u64,
    /// To whom, and the task that waits for the answer.
    calls: Vec<(usize, JoinHandle<()>)>,
    /// What was begun by hand.
    tasks: Vec<JoinHandle<()>>,
    /// What was begun in a task of its own: it is numbered by it.
    done: usize,
}

impl Story {
    async fn run(&mut self) {
        for _ in 0..self.dice.u32(..4) {
            self.cast();
        }
        if self.dice.u32(..8) == 0 {
            self.plan_init();
        }
        let started = self.tree.root().start().await;
        self.log.note(Event::Comes(0, format!("{started:?}")));
        for _ in 0..STEPS {
            for _ in 0..self.dice.u32(1..4) {
                self.step();
            }
            let pause = match self.dice.u32(..10) {
                0..4 => None,
                4..7 => Some(self.dice.u64(1..50)),
                7..9 => Some(self.dice.u64(50..1000)),
                _ => Some(self.dice.u64(1000..8000)),
            };
            match pause {
                None => tokio::task::yield_now().await,
                Some(ms) => sleep(Duration::from_millis(ms)).await,
            }
            self.check();
        }
    }

    /// Nothing that can be seen at once is wrong.
    fn check(&self) {
        self.log.look();
        for node in &self.tree.nodes {
            let (counts, infos) = (node.supervisor.count_children(), node.supervisor.which_children());
            assert_eq!(counts.specs, infos.len());
            assert_eq!(counts.workers + counts.supervisors, counts.specs);
        }
        let notes = self.log.notes();
        if notes.wrong.is_empty() {
            return;
        }
        let (wrong, trace) = (notes.wrong.clone(), notes.trace.clone());
        // Panicking with the log in hand would hide this behind another panic.
        drop(notes);
        fail(&wrong, &trace);
    }
}

/// Says what is wrong, after what it came to that.
fn fail(wrong: &[String], trace: &Trace) -> ! {
    let lines: Vec<String> = trace.iter().map(|(at, event)| format!("{at:?} {event:?}")).collect();
    panic!("{}\n\n{}", lines.join("\n"), wrong.join("\n"));
}

/// One thing that happens.
impl Story {
    fn step(&mut self) {
        match self.dice.u32(..40) {
            0..4 => self.call(),
            4..6 => self.kill_worker(),
            6 => self.kill_supervisor(),
            7 => self.shut_down_supervisor(),
            8..11 => self.plan_init(),
            11..13 => self.plan_terminate(),
            13..16 => self.terminate_child(),
            16..19 => self.restart_child(),
            19 => self.delete_child(),
            20..22 => self.start_child(),
            22 => self.close(),
            _ => self.cast(),
        }
    }

    fn note(&self, what: String) {
        self.log.note(Event::Does(what));
    }

    fn worker(&mut self) -> usize {
        self.dice.usize(..self.tree.leaves.len())
    }

    /// A supervisor that is not the root, if there is one.
    fn below(&mut self) -> Option<usize> {
        let many = self.tree.nodes.len();
        (many > 1).then(|| self.dice.usize(1..many))
    }

    /// A child at random: its supervisor, its id, and who it is.
    fn child(&mut self) -> (SupervisorRef, String, Child) {
        let node = &self.tree.nodes[self.dice.usize(..self.tree.nodes.len())];
        let child = node.children[self.dice.usize(..node.children.len())];
        (node.supervisor.clone(), child.id(), child)
    }

    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.dice.u64(1..most))
    }

    fn what(&mut self) -> What {
        match self.dice.u32(..16) {
            0..3 => What::Panic,
            3 => What::Fail,
            4 => What::Stop,
            5 => What::Sleep(self.millis(8000)),
            6 => What::LatePanic(self.millis(1000)),
            _ => What::Note,
        }
    }

    fn cast(&mut self) {
        let (who, what) = (self.worker(), self.what());
        self.sent += 1;
        let tell = Tell(self.sent * 2, what);
        let sent = self.tree.leaves[who].server.cast(tell).map_err(|e| e.to_string());
        self.note(format!("cast {tell:?} to w{who}: {sent:?}"));
        if sent.is_ok() {
            self.tree.leaves[who].casts.push(tell.0);
        }
    }

    fn call(&mut self) {
        let (who, what) = (self.worker(), self.what());
        self.sent += 1;
        let tell = Tell(self.sent * 2 + 1, what);
        let limit = if self.dice.bool() { Duration::MAX } else { self.millis(4000) };
        let (server, log) = (self.tree.leaves[who].server.clone(), self.log.clone());
        self.note(format!("call {tell:?} to w{who}, {limit:?}"));
        let task = tokio::spawn(async move {
            let answer = server.call(|reply| Ask(tell, reply)).timeout(limit).await;
            log.note(Event::Comes(usize::MAX, format!("call {} to w{who}: {answer:?}", tell.0)));
            if answer.is_ok_and(|n| n != tell.0) {
                log.wrong(format!("call {} to w{who} has another's answer", tell.0));
            }
        });
        self.calls.push((who, task));
    }

    fn kill_worker(&mut self) {
        let who = self.worker();
        let killed = self.tree.leaves[who].server.kill();
        self.note(format!("kill w{who}: {killed}"));
    }

    fn kill_supervisor(&mut self) {
        if let Some(number) = self.below() {
            self.note(format!("kill s{number}"));
            self.tree.nodes[number].supervisor.kill();
        }
    }

    fn shut_down_supervisor(&mut self) {
        if let Some(number) = self.below() {
            let (supervisor, limit) = (self.tree.nodes[number].supervisor.clone(), self.millis(20_000));
            self.begin(&format!("shut down s{number} within {limit:?}"), async move {
                supervisor.shutdown(limit).await
            });
        }
    }

    fn plan_init(&mut self) {
        let who = self.worker();
        for _ in 0..self.dice.u32(1..4) {
            let init = match self.dice.u32(..8) {
                0 | 1 => OnInit::Fail,
                2 => OnInit::Panic,
                3 => OnInit::Ignore,
                4 | 5 => OnInit::Slow(self.millis(3000)),
                6 => OnInit::SlowFail(self.millis(1000)),
                _ => OnInit::Succeed,
            };
            self.tree.leaves[who].may_rest |= matches!(init, OnInit::Ignore);
            self.note(format!("w{who} will start with {init:?}"));
            self.log.plan_init(who, init);
        }
    }

    fn plan_terminate(&mut self) {
        let (who, long) = (self.worker(), self.millis(8000));
        self.note(format!("w{who} will take {long:?} to end"));
        self.log.plan_terminate(who, long);
    }

    /// Does something in a task of its own, and notes what came of it.
    fn begin<T: Debug>(&mut self, what: &str, does: impl Future<Output = T> + Send + 'static) {
        self.done += 1;
        let (number, log) = (self.done, self.log.clone());
        self.note(format!("{number}: {what}"));
        self.tasks.push(tokio::spawn(async move {
            let outcome = format!("{:?}", does.await);
            log.note(Event::Comes(number, outcome));
        }));
    }

    fn terminate_child(&mut self) {
        let (supervisor, id, child) = self.child();
        self.tree.stopped_by_hand(child);
        let log = self.log.clone();
        self.begin(&format!("terminate {id}"), async move {
            let asked = Moment::of(&supervisor, &id);
            let mut stopped = pin!(supervisor.terminate_child(&id));
            let mut at_once = poll_fn(|cx| Poll::Ready(stopped.as_mut().poll(cx))).await;
            if at_once.is_pending() {
                // The stop is made by a task of its own, which has its first turn now.
                tokio::task::yield_now().await;
                if asked.falls_into_init(Moment::of(&supervisor, &id)) {
                    log.note(Event::TakenBack(id.clone()));
                }
                at_once = poll_fn(|cx| Poll::Ready(stopped.as_mut().poll(cx))).await;
            }
            let stopped = match at_once {
                Poll::Ready(stopped) => stopped,
                Poll::Pending => stopped.await,
            };
            stopped.map_err(|e| e.to_string())
        });
    }

    fn restart_child(&mut self) {
        let (supervisor, id, child) = self.child();
        let limit = if self.dice.u32(..4) == 0 { self.millis(500) } else { Duration::MAX };
        self.tree.started_by_hand(child);
        self.begin(&format!("restart {id} within {limit:?}"), async move {
            let restarted = timeout(limit, supervisor.restart_child(&id)).await;
            restarted.map(|restarted| restarted.map_err(|e| e.to_string()))
        });
    }

    fn delete_child(&mut self) {
        let (supervisor, id, child) = self.child();
        let deleted = supervisor.delete_child(&id).map_err(|e| e.to_string());
        if deleted.is_ok() {
            self.tree.stopped_by_hand(child);
        }
        self.note(format!("delete {id}: {deleted:?}"));
    }

    fn start_child(&mut self) {
        let under = self.dice.usize(..self.tree.nodes.len());
        let (who, spec) = self.tree.leaf(&self.log, &mut self.dice, under);
        self.tree.nodes[under].children.push(Child::Worker(who));
        self.tree.leaves[who].added = true;
        self.tree.started_by_hand(Child::Worker(who));
        if self.dice.bool() {
            let init = [OnInit::Fail, OnInit::Ignore, OnInit::Slow(self.millis(2000))][self.dice.usize(..3)];
            self.log.plan_init(who, init);
        }
        let supervisor = self.tree.nodes[under].supervisor.clone();
        let limit = if self.dice.u32(..4) == 0 { self.millis(500) } else { Duration::MAX };
        self.begin(&format!("start w{who} under s{under} within {limit:?}"), async move {
            let started = timeout(limit, supervisor.start_child(spec)).await;
            started.map(|started| started.map_err(|e| e.to_string()))
        });
    }

    fn close(&mut self) {
        if self.dice.bool() {
            let who = self.worker();
            self.tree.stopped_by_hand(Child::Worker(who));
            let closed = self.tree.leaves[who].server.close(restante::ExitReason::Normal);
            self.note(format!("close w{who}: {closed}"));
        }
    }
}

/// Where a child is in its life, as far as a stop by hand asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// It is to be started again, and has not begun.
    Waits,
    /// It is being started again, and has not come up.
    InInit,
    Stopping,
    Other,
}

impl Moment {
    fn of(supervisor: &SupervisorRef, id: &str) -> Self {
        let Some(info) = supervisor.which_children().into_iter().find(|info| info.id.as_str() == id) else {
            return Self::Other;
        };
        let ended = info.last_exit.map_or(0, |exit| exit.incarnation);
        match info.state {
            ChildState::Restarting if info.incarnation > ended => Self::InInit,
            ChildState::Restarting => Self::Waits,
            ChildState::Stopping => Self::Stopping,
            _ => Self::Other,
        }
    }

    /// Whether a stop that was asked for at this moment and has been made by the next one fell into the `init` of a restart.
    fn falls_into_init(self, next: Self) -> bool {
        self == Self::InInit || self == Self::Waits && next == Self::Stopping
    }
}

/// A child as its supervisor shows it.
struct Seen {
    child: Child,
    state: ChildState,
    restart: Restart,
}

/// When nothing goes wrong any more.
impl Story {
    /// Everything that was begun comes to its end: the whole trace.
    async fn end(mut self) -> Trace {
        self.note("no more faults".to_owned());
        self.log.plan_nothing();
        for task in std::mem::take(&mut self.tasks) {
            if timeout(HOUR, task).await.is_err() {
                self.log.wrong("something that was begun by hand does not end".to_owned());
            }
        }
        self.settle().await;
        self.check();
        if self.tree.root().is_alive() {
            for _ in 0..3 {
                self.probe().await;
                self.check();
            }
            let running = self.running();
            let report = self.tree.root().shutdown(HOUR).await;
            self.note(format!("shutdown: {report}"));
            if !report.is_clean() || report.stopped != running.len() {
                self.log.wrong(format!("the shutdown: {report}, of {running:?}"));
            }
        }
        self.bury().await;
        let mut wrong = laws::stops_are_in_reverse(&self.tree, &self.log.notes().trace);
        wrong.extend(laws::intensities_are_kept(&self.tree, &self.log.histories()));
        self.log.notes().wrong.extend(wrong);
        self.check();
        std::mem::take(&mut self.log.notes().trace)
    }

    fn seen(&self, node: usize) -> Vec<Seen> {
        let supervisor = &self.tree.nodes[node].supervisor;
        let infos = supervisor.which_children().into_iter().rev();
        infos
            .map(|info| Seen {
                child: Child::of(info.id.as_str()),
                state: info.state,
                restart: supervisor.child_options(info.id.as_str()).expect("it is there").restart,
            })
            .collect()
    }

    /// All workers that run, below all supervisors that do.
    fn running(&self) -> Vec<usize> {
        let mut nodes = vec![0];
        let mut running = Vec::new();
        while let Some(node) = nodes.pop() {
            for seen in self.seen(node).into_iter().filter(|seen| seen.state == ChildState::Running) {
                match seen.child {
                    Child::Worker(who) => running.push(who),
                    Child::Supervisor(below) => nodes.push(below),
                }
            }
        }
        running
    }

    /// Waits until all that is queued has been handled, and judges what is left.
    async fn settle(&mut self) {
        for _ in 0..100 {
            sleep(Duration::from_secs(60)).await;
            let busy = |who: &usize| {
                let ledger = self.tree.leaves[*who].server.audit();
                ledger.is_none_or(|ledger| ledger.queued + ledger.in_hand > 0)
            };
            let restless = |node: usize| {
                self.seen(node)
                    .iter()
                    .any(|seen| !matches!(seen.state, ChildState::Running | ChildState::Stopped))
            };
            if !self.tree.root().is_alive()
                || !self.running().iter().any(busy) && !(0..self.tree.nodes.len()).any(restless)
            {
                break;
            }
        }
        if !self.tree.root().is_alive() {
            return;
        }
        for node in 0..self.tree.nodes.len() {
            self.judge_node(node);
        }
        for who in self.running() {
            self.judge_worker(who);
        }
    }

    /// Its children run, or have a reason to rest.
    fn judge_node(&self, node: usize) {
        let up = self.tree.nodes[node].supervisor.is_alive();
        // Clause 21.27: one that was stopped by hand in the `init` of a group's restart leaves those after it stopped.
        let Node { strategy, children, .. } = &self.tree.nodes[node];
        let after_one_taken_back = |child: Child| {
            let mut before = children.iter().take_while(|other| **other != child);
            *strategy == Strategy::RestForOne && before.any(|other| self.log.was_taken_back(&other.id()))
        };
        for seen in self.seen(node) {
            let may_rest = match seen.child {
                Child::Worker(who) => self.tree.leaves[who].may_rest,
                Child::Supervisor(below) => self.tree.nodes[below].may_rest,
            } || after_one_taken_back(seen.child);
            let rests = seen.state == ChildState::Stopped;
            let fine = match seen.state {
                ChildState::Running => up,
                ChildState::Stopped => !up || may_rest || seen.restart != Restart::Permanent,
                _ => false,
            };
            if !fine {
                self.log.wrong(format!("s{node} (up: {up}): {} is {:?}", seen.child.id(), seen.state));
            }
            if let Child::Supervisor(below) = seen.child
                && self.tree.nodes[below].supervisor.is_alive() == rests
            {
                let truth = &self.tree.nodes[below].supervisor;
                self.log.wrong(format!(
                    "s{node} takes s{below} to be {:?}: it is alive: {}, {:?}",
                    seen.state,
                    truth.is_alive(),
                    truth.which_children()
                ));
            }
        }
    }

    /// It has handled all, and answered all.
    fn judge_worker(&self, who: usize) {
        let leaf: &Leaf = &self.tree.leaves[who];
        let Some(ledger) = leaf.server.audit() else {
            return self.log.wrong(format!("w{who} does not come to rest"));
        };
        if ledger.lost() != 0 || ledger.queued + ledger.in_hand > 0 {
            self.log.wrong(format!("w{who} has not handled all: {ledger}"));
        }
        if ledger.dead_lettered == 0
            && let Some(cast) = leaf.casts.iter().find(|cast| !self.log.was_handled(**cast))
        {
            self.log.wrong(format!("w{who} has not handled {cast}: {ledger}"));
        }
        if self.calls.iter().any(|(to, task)| *to == who && !task.is_finished()) {
            self.log.wrong(format!("w{who} is idle and has not answered"));
        }
    }

    /// The end of everything: what is closed tells its callers, and has lost nothing.
    async fn bury(&mut self) {
        self.note("all is over".to_owned());
        for leaf in &self.tree.leaves {
            leaf.server.close(restante::ExitReason::Normal);
        }
        for (who, task) in std::mem::take(&mut self.calls) {
            if timeout(HOUR, task).await.is_err() {
                self.log.wrong(format!("a call to w{who} was never answered"));
            }
        }
        sleep(Duration::from_secs(60)).await;
        let mut left = 0;
        for (who, leaf) in self.tree.leaves.iter().enumerate() {
            left += u64::from(leaf.server.is_alive());
            match leaf.server.audit() {
                Some(ledger) if ledger.lost() == 0 && ledger.queued + ledger.in_hand == 0 => {}
                ledger => self.log.wrong(format!("w{who} in the end: {ledger:?}")),
            }
        }
        if left > 0 {
            self.log.wrong(format!("{left} workers are left"));
        }
    }
}

/// One crash in a tree that is at rest: who is stopped and started, and in what order, follows from the strategy.
impl Story {
    async fn probe(&mut self) {
        let running = self.running();
        let fit = |who: &usize| {
            let leaf = &self.tree.leaves[*who];
            let node = &self.tree.nodes[leaf.under];
            leaf.restart == Restart::Permanent && node.limit.is_none_or(|(max, _)| max > 0)
        };
        let fit: Vec<usize> = running.into_iter().filter(fit).collect();
        // What waits before somebody who rests may be another crash.
        let waits =
            self.tree.leaves.iter().any(|leaf| !leaf.server.is_closed() && leaf.server.stats().depth > 0);
        if fit.is_empty() || waits {
            return;
        }
        let victim = fit[self.dice.usize(..fit.len())];
        let under = self.tree.leaves[victim].under;
        let seen = self.seen(under);
        let place = seen.iter().position(|seen| seen.child == Child::Worker(victim)).expect("it runs there");
        let members = match self.tree.nodes[under].strategy {
            Strategy::OneForOne => place..place + 1,
            Strategy::OneForAll => 0..seen.len(),
            Strategy::RestForOne => place..seen.len(),
        };
        let mut expected = vec![format!("{victim} terminates"), format!("{victim} gone")];
        for member in seen[members.clone()].iter().rev().filter(|seen| seen.child != Child::Worker(victim)) {
            self.expect_stop(member, &mut expected);
        }
        for member in seen[members].iter().filter(|seen| seen.restart != Restart::Temporary) {
            self.expect_start(member.child, &mut expected);
        }
        self.note(format!("probe: w{victim} crashes"));
        let mark = self.log.notes().trace.len();
        self.sent += 1;
        let crash = self.tree.leaves[victim].server.cast(Tell(self.sent * 2, What::Panic));
        crash.expect("it is idle, and its mailbox open");
        // Longer than any period, pause and time to be healthy again.
        sleep(Duration::from_secs(60)).await;
        let seen: Vec<String> = self.log.notes().trace[mark..].iter().filter_map(|(_, e)| brief(e)).collect();
        if seen != expected {
            self.log.wrong(format!("expected {expected:?}, seen {seen:?}"));
        }
    }

    fn expect_stop(&self, member: &Seen, expected: &mut Vec<String>) {
        if member.state != ChildState::Running {
            return;
        }
        match member.child {
            Child::Worker(who) => {
                if self.tree.leaves[who].shutdown != Shutdown::BrutalKill {
                    expected.push(format!("{who} terminates"));
                }
                expected.push(format!("{who} gone"));
            }
            Child::Supervisor(below) => {
                for member in self.seen(below).iter().rev() {
                    self.expect_stop(member, expected);
                }
            }
        }
    }

    fn expect_start(&self, child: Child, expected: &mut Vec<String>) {
        match child {
            // Whose mailbox was closed leaves the table instead.
            Child::Worker(who) if self.tree.leaves[who].server.is_closed() => {}
            Child::Worker(who) => expected.extend([format!("{who} init"), format!("{who} up")]),
            Child::Supervisor(below) => {
                let keeps = self.tree.nodes[below].keeps;
                let added = |child| matches!(child, Child::Worker(who) if self.tree.leaves[who].added);
                for member in self.seen(below).iter().filter(|member| keeps || !added(member.child)) {
                    self.expect_start(member.child, expected);
                }
            }
        }
    }
}

fn brief(event: &Event) -> Option<String> {
    match event {
        Event::Init(who, _) => Some(format!("{who} init")),
        Event::Up(who, _) => Some(format!("{who} up")),
        Event::Terminates(who, ..) => Some(format!("{who} terminates")),
        Event::Gone(who, _) => Some(format!("{who} gone")),
        _ => None,
    }
}
