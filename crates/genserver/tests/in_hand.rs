//! The message in hand at a crash: dropped, delivered again, or dead-lettered, by its server's policy.

use crate::support::{Alive, Counted, Gate, Heard, LONG, Log, is_panic, law, listen, settle};
use restante_core::{Mailbox, Receiver};
use restante_genserver::{
    CallError, CallerRuns, Context, DeadCause, DeadLetter, ExitReason, GenServer, InHand, Init, Lane,
    Message, Next, Redeliver, Reply, SendOptions, Server, ServerRef, StartError, Step, late_replies,
    start_again,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What a handler does with its message.
#[derive(Clone)]
enum What {
    Go,
    Panic,
    Fail,
    /// Panics in incarnations before this one.
    PanicBefore(u32),
    /// Opens the first gate, passes the second, goes.
    Pass(Gate, Gate),
    Stop,
    /// Receives the next message by itself, then panics.
    ReceiveThenPanic,
    /// Receives the next message by itself, and returns.
    Receive,
    /// Throws out everything that waits.
    Purge,
    /// Panics, and there is no copy.
    PanicUncopied,
    /// Goes or panics (true); copying panics.
    CopyPanics(bool),
    /// Does this; the copy panics in its drop.
    RudeCopy(Box<What>),
    /// Answers, then panics.
    AnswerThenPanic,
    /// Keeps the reply in the state.
    Keep,
    /// Drops the reply and goes.
    Forget,
    /// Drops the reply, opens the first gate, passes the second.
    ForgetAndPass(Gate, Gate),
    /// Keeps another claim to the reply outside, and panics.
    LeakThenPanic(Arc<Mutex<Vec<Reply<u64>>>>),
    /// A tick in so long.
    TickIn(Duration),
    /// A message that counts itself.
    Counted {
        _one: Arc<Counted>,
    },
}

/// A cast or an info: what it is called, and what is to be done with it.
struct Job(u64, What, Manners);

#[derive(Clone, Copy, PartialEq)]
enum Manners {
    Good,
    /// It panics in its drop.
    Rude,
}

fn job(n: u64, what: What) -> Job {
    Job(n, what, Manners::Good)
}

impl Job {
    fn again(&self) -> Option<Self> {
        match &self.1 {
            What::PanicUncopied => None,
            What::CopyPanics(_) => panic!("no copy"),
            What::RudeCopy(what) => Some(Self(self.0, What::clone(what), Manners::Rude)),
            what => Some(job(self.0, what.clone())),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        assert!(self.2 == Manners::Good || std::thread::panicking(), "rude");
    }
}

struct Ask(Job, Reply<u64>);

/// A server that notes each message that it begins: which one, and in which incarnation.
struct Bench {
    log: Log,
    kept: Vec<Reply<u64>>,
}

impl Bench {
    async fn act(&mut self, what: What, reply: Option<Reply<u64>>, ctx: &mut Context<Self>) -> Step {
        match what {
            What::Panic | What::PanicUncopied | What::CopyPanics(true) => panic!("boom"),
            What::RudeCopy(what) => return Box::pin(self.act(*what, reply, ctx)).await,
            What::PanicBefore(n) => assert!(ctx.incarnation() >= n, "boom"),
            What::Fail => return Err(ExitReason::error("failed")),
            What::Pass(entered, go) => {
                entered.open();
                go.pass().await;
            }
            What::Stop => return Ok(Next::stop()),
            What::Receive | What::ReceiveThenPanic => {
                let Ok(Message::Cast(job)) = ctx.receive(LONG, |_| true).await else { panic!("no cast") };
                self.log.push(format!("received {}", job.0));
                assert!(matches!(what, What::Receive), "boom");
            }
            What::Purge => drop(ctx.purge(|m| matches!(m, Message::Cast(job) if job.0 == 1))),
            What::AnswerThenPanic => {
                reply.unwrap().send(1);
                panic!("boom")
            }
            What::Keep => {
                self.kept.extend(reply);
                return Ok(Next::go());
            }
            What::Forget => return Ok(Next::go()),
            What::ForgetAndPass(entered, go) => {
                drop(reply);
                entered.open();
                go.pass().await;
                return Ok(Next::go());
            }
            What::LeakThenPanic(kept) => {
                kept.lock().unwrap().push(reply.unwrap());
                panic!("boom")
            }
            What::TickIn(after) => {
                ctx.send_after(after, job(99, What::Go));
            }
            What::Go | What::CopyPanics(false) | What::Counted { .. } => {}
        }
        if let Some(reply) = reply {
            reply.send(u64::from(ctx.incarnation()));
        }
        Ok(Next::go())
    }
}

impl GenServer for Bench {
    type Args = Log;
    type Call = Ask;
    type Cast = Job;
    type Info = Job;

    async fn init(log: &Log, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { log: log.clone(), kept: Vec::new() }))
    }
    async fn handle_call(&mut self, Ask(job, reply): Ask, ctx: &mut Context<Self>) -> Step {
        self.log.push(format!("{}@{}", job.0, ctx.incarnation()));
        self.act(job.1.clone(), Some(reply), ctx).await
    }
    async fn handle_cast(&mut self, job: Job, ctx: &mut Context<Self>) -> Step {
        self.log.push(format!("{}@{}", job.0, ctx.incarnation()));
        self.act(job.1.clone(), None, ctx).await
    }
    async fn handle_info(&mut self, job: Job, ctx: &mut Context<Self>) -> Step {
        self.log.push(format!("info {}@{}", job.0, ctx.incarnation()));
        self.act(job.1.clone(), None, ctx).await
    }
    async fn handle_timeout(&mut self, _: &mut Context<Self>) -> Step {
        self.log.push("idle");
        Ok(Next::go())
    }
    fn call_name(_: &Ask) -> &'static str {
        "ask"
    }
    fn cast_name(job: &Job) -> &'static str {
        match job.1 {
            What::Panic => "poison",
            _ => "job",
        }
    }
}

impl Redeliver for Bench {
    fn retry_call(Ask(job, reply): &Ask) -> Option<Ask> {
        Some(Ask(job.again()?, reply.again()))
    }
    fn retry_cast(job: &Job) -> Option<Job> {
        job.again()
    }
    fn retry_info(job: &Job) -> Option<Job> {
        job.again()
    }
}

fn ask(n: u64, what: What) -> impl FnOnce(Reply<u64>) -> Ask {
    move |reply| Ask(job(n, what), reply)
}

/// What a dead letter is about: its message, its name, the number of attempts.
fn told(letter: &DeadLetter<Message<Bench>>) -> (Option<u64>, Option<&'static str>, u32) {
    let body = letter.body.as_ref().map(|message| match message {
        Message::Cast(job) | Message::Info(job) => job.0,
        Message::Call(call) => call.call().0.0,
        other => panic!("{other:?}"),
    });
    (body, letter.message, letter.attempts)
}

/// A bench that is started again whenever it ends, until its mailbox closes.
struct Shop {
    bench: ServerRef<Bench>,
    mailbox: Arc<Server<Bench>>,
    log: Log,
    letters: Receiver<DeadLetter<Message<Bench>>>,
    keeper: Option<JoinHandle<()>>,
}

impl Shop {
    fn closed(policy: InHand) -> Self {
        Self::with(|settings| settings.in_hand(policy))
    }

    fn with(
        settings: impl FnOnce(
            restante_genserver::ServerSettings<Bench>,
        ) -> restante_genserver::ServerSettings<Bench>,
    ) -> Self {
        let dead = Mailbox::new();
        let to = dead.address().recipient();
        let mailbox = Arc::new(settings(Server::settings().dead_letters(to)).build().unwrap());
        let bench = mailbox.address();
        let letters = dead.receiver().unwrap();
        Self { bench, mailbox, log: Log::default(), letters, keeper: None }
    }

    async fn start(&self) {
        self.mailbox.start(self.log.clone()).await.unwrap();
    }

    fn open(&mut self) {
        let (mailbox, log) = (Arc::clone(&self.mailbox), Arc::new(self.log.clone()));
        self.keeper = Some(tokio::spawn(async move {
            loop {
                match mailbox.start_shared(Arc::clone(&log)).await {
                    Ok(bench) => drop(bench.join().await),
                    // Killed before it was up.
                    Err(StartError::Failed(_)) => {}
                    Err(_) => break,
                }
            }
        }));
    }

    fn job(&self, n: u64, what: What) {
        self.bench.cast(job(n, what)).unwrap();
    }

    fn call(&self, n: u64, what: What) -> JoinHandle<Result<u64, CallError>> {
        let bench = self.bench.clone();
        tokio::spawn(async move { bench.call(ask(n, what)).timeout(Duration::MAX).await })
    }

    fn letter(&mut self) -> Option<DeadLetter<Message<Bench>>> {
        self.letters.try_receive().ok()
    }

    /// Lets the keeper go, the present incarnation end, and counts.
    async fn close(mut self) -> restante_genserver::Ledger {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
            let _ = keeper.await;
        }
        self.bench.kill();
        self.bench.join().await;
        law(&self.bench).await
    }
}

/// Row G4, clause 5.10, failure modes 9 and 10: one poison message among a thousand good ones: those are all handled, in
/// order and once; it is tried once and three times more, then dead-lettered.
#[tokio::test(start_paused = true)]
async fn a_poison_message_among_good_ones_is_given_up_and_they_are_not() {
    let mut shop = Shop::closed(InHand::redeliver(3));
    for n in 0..1000 {
        shop.job(n, if n == 500 { What::Panic } else { What::Go });
    }
    shop.open();
    settle().await;
    settle().await;
    let letter = shop.letter().unwrap();
    assert_eq!(told(&letter), (Some(500), Some("poison"), 4));
    assert!(matches!(&letter.cause, DeadCause::InHand(reason) if is_panic(reason, "boom")));
    assert!(shop.letter().is_none());
    let expected = (0..500)
        .map(|n| format!("{n}@1"))
        .chain((1..5).map(|i| format!("500@{i}")))
        .chain((501..1000).map(|n| format!("{n}@5")))
        .collect::<Vec<_>>();
    assert_eq!(shop.log.take(), expected);
    let ledger = shop.close().await;
    assert_eq!((ledger.sent, ledger.handled, ledger.dead_lettered), (1000, 999, 1));
    assert_eq!((ledger.failed, ledger.redelivered, ledger.queued), (0, 3, 0));
}

/// Clause 5.10: what was in hand comes first in the next incarnation, before what waited behind it, and is not sent again.
#[tokio::test(start_paused = true)]
async fn what_was_in_hand_comes_first() {
    for crash in [What::PanicBefore(2), What::PanicBefore(3)] {
        let mut shop = Shop::closed(InHand::redeliver(2));
        shop.job(1, crash.clone());
        shop.job(2, What::Go);
        shop.start().await;
        shop.bench.join().await;
        let ledger = law(&shop.bench).await;
        assert_eq!((ledger.sent, ledger.queued, ledger.redelivered, ledger.failed), (2, 2, 1, 0));
        shop.open();
        settle().await;
        let mut log = shop.log.take();
        assert_eq!(log.pop().unwrap().split('@').next(), Some("2"));
        assert!(log.iter().all(|entry| entry.starts_with("1@")));
        assert_eq!(shop.close().await.handled, 2);
    }
}

/// Clause 5.10: a panic, an error and a kill are crashes; the exit tells of the message as before.
#[tokio::test(start_paused = true)]
async fn panics_errors_and_kills_are_crashes() {
    for end in ["panic", "error", "kill"] {
        let shop = Shop::closed(InHand::redeliver(1));
        let (entered, go) = (Gate::new(), Gate::new());
        shop.start().await;
        shop.job(
            7,
            match end {
                "panic" => What::Panic,
                "error" => What::Fail,
                _ => What::Pass(entered.clone(), go.clone()),
            },
        );
        if end == "kill" {
            entered.pass().await;
            assert!(shop.bench.kill());
        }
        let exit = shop.bench.join().await;
        assert!(exit.message.is_some(), "{end}");
        let ledger = law(&shop.bench).await;
        assert_eq!((ledger.queued, ledger.redelivered, ledger.failed), (1, 1, 0), "{end}");
        // The second attempt.
        go.open();
        shop.start().await;
        settle().await;
        assert_eq!(shop.log.take(), ["7@1", "7@2"], "{end}");
        let ledger = shop.close().await;
        assert_eq!((ledger.handled, ledger.dead_lettered), if end == "kill" { (1, 0) } else { (0, 1) });
    }
}

/// Clause 5.10: a server that stops in order has handled its message, whether its handler orders the stop or another does.
#[tokio::test(start_paused = true)]
async fn an_orderly_stop_delivers_nothing_again() {
    let shop = Shop::closed(InHand::redeliver(3));
    shop.start().await;
    shop.job(1, What::Stop);
    assert!(shop.bench.join().await.reason.is_orderly());
    let ledger = law(&shop.bench).await;
    assert_eq!((ledger.handled, ledger.queued, ledger.redelivered), (1, 0, 0));

    shop.start().await;
    let (entered, go) = (Gate::new(), Gate::new());
    shop.job(2, What::Pass(entered.clone(), go.clone()));
    entered.pass().await;
    let stop = async {
        settle().await;
        go.open();
    };
    assert_eq!(tokio::join!(shop.bench.stop(ExitReason::Shutdown, LONG), stop).0, Ok(()));
    let ledger = shop.close().await;
    assert_eq!((ledger.failed, ledger.queued, ledger.redelivered), (0, 0, 0));
}

/// Clause 5.4: without a policy, or with that of dropping, what was in hand is dropped; a policy that was set can be taken
/// away.
#[tokio::test(start_paused = true)]
async fn dropping_is_the_default_and_can_be_set() {
    let settings: [fn() -> Server<Bench>; 3] = [
        || Server::new("bench"),
        || Server::new("bench").in_hand(InHand::Drop),
        || Server::new("bench").in_hand(InHand::redeliver(9)).in_hand(InHand::Drop),
    ];
    for mailbox in settings {
        let mailbox = mailbox();
        let bench = mailbox.start(Log::default()).await.unwrap();
        let call = bench.call(ask(1, What::Panic)).await;
        assert!(matches!(call, Err(CallError::Exited(reason)) if is_panic(&reason, "boom")));
        bench.join().await;
        let ledger = law(&bench).await;
        assert_eq!((ledger.failed, ledger.queued, ledger.redelivered), (1, 0, 0));
    }
}

/// Clause 5.13: a policy takes the place of another from the next start on, also for what was put back under the first.
#[tokio::test(start_paused = true)]
async fn a_policy_may_take_the_place_of_another() {
    let mailbox = Server::<Bench>::new("bench").in_hand(InHand::redeliver(9));
    let log = Log::default();
    let bench = mailbox.start(log.clone()).await.unwrap();
    bench.cast(job(1, What::Panic)).unwrap();
    bench.join().await;
    let ledger = law(&bench).await;
    assert_eq!((ledger.redelivered, ledger.dead_lettered, ledger.queued), (1, 0, 1));
    let mailbox = mailbox.in_hand(InHand::DeadLetter);
    mailbox.start(log.clone()).await.unwrap();
    bench.join().await;
    let ledger = law(&bench).await;
    assert_eq!((ledger.redelivered, ledger.dead_lettered, ledger.queued), (1, 1, 0));
    assert_eq!(log.take(), ["1@1", "1@2"]);
}

/// Clause 5.13: a policy may be given to a mailbox that is there already, and holds from the next start on; one that goes on
/// from a reference has the same.
#[tokio::test(start_paused = true)]
async fn a_policy_may_come_after_the_mailbox() {
    let mailbox = Server::<Bench>::new("bench");
    let log = Log::default();
    let bench = mailbox.start(log.clone()).await.unwrap();
    let mailbox = mailbox.in_hand(InHand::redeliver(2));
    bench.cast(job(1, What::Panic)).unwrap();
    bench.join().await;
    assert_eq!(law(&bench).await.failed, 1, "it was not yet in force");
    mailbox.start(log.clone()).await.unwrap();
    bench.cast(job(2, What::Panic)).unwrap();
    bench.join().await;
    start_again(&bench, log.clone()).await.unwrap();
    bench.join().await;
    let ledger = law(&bench).await;
    assert_eq!((ledger.redelivered, ledger.queued), (2, 1), "it is still in force");
    start_again(&bench, log.clone()).await.unwrap();
    bench.join().await;
    assert_eq!(law(&bench).await.dead_lettered, 1);
    assert_eq!(log.take(), ["1@1", "2@2", "2@3", "2@4"]);
}

/// Clause 5.10: the caller of a message that is delivered again goes on waiting, and has its reply from the next incarnation.
#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_the_next_attempt() {
    let mut shop = Shop::closed(InHand::redeliver(3));
    shop.open();
    settle().await;
    assert_eq!(shop.bench.call(ask(1, What::PanicBefore(3))).await, Ok(3));
    assert_eq!(shop.log.take(), ["1@1", "1@2", "1@3"]);
    let ledger = shop.close().await;
    assert_eq!((ledger.handled, ledger.redelivered, ledger.failed), (1, 2, 0));
}

/// Clause 5.10: when the last attempt has crashed, the caller hears why; the reply in the dead letter is of no use to it.
#[tokio::test(start_paused = true)]
async fn a_caller_hears_when_its_call_is_given_up() {
    let mut shop = Shop::closed(InHand::redeliver(2));
    shop.open();
    let call = shop.call(1, What::Panic).await.unwrap();
    assert!(matches!(call, Err(CallError::Exited(reason)) if is_panic(&reason, "boom")));
    let letter = shop.letter().unwrap();
    assert_eq!(told(&letter), (Some(1), Some("ask"), 3));
    let Some(Message::Call(call)) = letter.body else { panic!("a call") };
    let Ask(_, reply) = call.into_call();
    assert!(!reply.is_awaited() && !reply.send(1));
    assert_eq!(shop.close().await.dead_lettered, 1);
}

/// Clause 5.10: its reason is that of the crash, not what the mailbox's last exit says by the time that it looks.
#[tokio::test(start_paused = true)]
async fn a_caller_hears_of_its_own_crash() {
    let shop = Shop::closed(InHand::DeadLetter);
    shop.start().await;
    let first = shop.call(1, What::Fail);
    shop.bench.join().await;
    shop.start().await;
    shop.bench.kill();
    shop.bench.join().await;
    shop.bench.close(ExitReason::Shutdown);
    assert_eq!(first.await.unwrap(), Err(CallError::Exited(ExitReason::error("failed"))));
    shop.close().await;
}

/// Clause 5.10: under the policy of dead-lettering each message in hand is; without a copy the letter has no body, and still a
/// name.
#[tokio::test(start_paused = true)]
async fn dead_letters_carry_the_copy_where_there_is_one() {
    let mut shop = Shop::closed(InHand::DeadLetter);
    shop.open();
    shop.job(1, What::Panic);
    shop.job(2, What::PanicUncopied);
    shop.job(3, What::Go);
    shop.bench.info(job(4, What::Fail)).unwrap();
    let call = shop.call(5, What::PanicUncopied).await.unwrap();
    assert!(matches!(call, Err(CallError::Exited(_))));
    let letters: Vec<_> = std::iter::from_fn(|| shop.letter()).collect();
    assert_eq!(
        letters.iter().map(told).collect::<Vec<_>>(),
        [
            (Some(1), Some("poison"), 1),
            (None, Some("job"), 1),
            (Some(4), Some("info"), 1),
            (None, Some("ask"), 1)
        ]
    );
    assert!(letters.iter().all(|l| l.cause.fate() == restante_core::Fate::DeadLettered));
    let ledger = shop.close().await;
    assert_eq!((ledger.dead_lettered, ledger.handled, ledger.failed, ledger.redelivered), (4, 1, 0, 0));
}

/// Clause 5.10: no redelivery at all is the same as dead-lettering, and needs no dead-letter mailbox.
#[tokio::test(start_paused = true)]
async fn none_at_all_is_dead_lettering() {
    let mailbox = Server::<Bench>::new("bench").in_hand(InHand::redeliver(0));
    let bench = mailbox.start(Log::default()).await.unwrap();
    assert!(matches!(bench.call(ask(1, What::Panic)).await, Err(CallError::Exited(_))));
    bench.join().await;
    let ledger = law(&bench).await;
    assert_eq!((ledger.dead_lettered, ledger.redelivered), (1, 0));
}

/// Clause 5.10: what there is no copy of is dropped, and its caller told at once.
#[tokio::test(start_paused = true)]
async fn without_a_copy_there_is_no_second_attempt() {
    let mut shop = Shop::closed(InHand::redeliver(3));
    shop.open();
    settle().await;
    assert!(matches!(shop.bench.call(ask(1, What::PanicUncopied)).await, Err(CallError::Exited(_))));
    shop.job(2, What::PanicUncopied);
    settle().await;
    assert_eq!(shop.log.take(), ["1@1", "2@2"]);
    assert!(shop.letter().is_none());
    let ledger = shop.close().await;
    assert_eq!((ledger.failed, ledger.redelivered), (2, 0));
}

/// Clause 5.10, part 16: a panic in copying is logged; the message is handled without a copy.
#[tokio::test(start_paused = true)]
async fn a_panic_in_copying_is_survived() {
    let heard = Heard::default();
    let _guard = listen(heard.clone());
    let mut shop = Shop::closed(InHand::redeliver(3));
    shop.open();
    assert_eq!(shop.call(1, What::CopyPanics(false)).await.unwrap(), Ok(1));
    assert_eq!(heard.0.take(), ["WARN no copy was made of a message: it is not delivered again"]);
    assert!(matches!(shop.call(2, What::CopyPanics(true)).await.unwrap(), Err(CallError::Exited(_))));
    assert_eq!(shop.call(3, What::Go).await.unwrap(), Ok(2));
    let ledger = shop.close().await;
    assert_eq!((ledger.handled, ledger.failed, ledger.redelivered), (2, 1, 0));
}

/// Part 16: a panic in the drop of a copy is caught, after a handler as well as after a crash; its server is none the worse.
#[tokio::test(start_paused = true)]
async fn a_copy_may_panic_in_its_drop() {
    let heard = Heard::default();
    let _guard = listen(heard.clone());
    let mut shop = Shop::closed(InHand::redeliver(3));
    shop.open();
    shop.job(1, What::RudeCopy(Box::new(What::Go)));
    shop.job(2, What::Go);
    settle().await;
    assert_eq!(heard.0.take(), ["ERROR the copy of a message panicked in its drop"]);
    // Answered, so not delivered again.
    assert_eq!(shop.call(3, What::RudeCopy(Box::new(What::AnswerThenPanic))).await.unwrap(), Ok(1));
    settle().await;
    let crashed = ["ERROR the copy of a message panicked in its drop", "ERROR server crashed"];
    assert_eq!(heard.0.take(), crashed);
    shop.job(4, What::Go);
    settle().await;
    assert_eq!(shop.log.take(), ["1@1", "2@1", "3@1", "4@2"]);
    let ledger = shop.close().await;
    assert_eq!((ledger.handled, ledger.failed), (3, 1));
}

/// Clause 5.11: what is delivered again comes first in its own lane, and no higher.
#[tokio::test(start_paused = true)]
async fn each_is_put_back_into_its_own_lane() {
    for lane in [Lane::Control, Lane::High, Lane::Normal, Lane::Low] {
        let mut shop = Shop::closed(InHand::redeliver(1));
        let at = |lane| SendOptions::new().lane(lane);
        shop.bench.cast_with(job(1, What::PanicBefore(2)), at(lane)).unwrap();
        shop.start().await;
        shop.bench.join().await;
        for (n, lane) in [(2, Lane::Low), (3, Lane::Normal), (4, Lane::High), (5, Lane::Control)] {
            shop.bench.cast_with(job(n, What::Go), at(lane)).unwrap();
        }
        shop.open();
        settle().await;
        let expected = match lane {
            Lane::Control => [1, 5, 4, 3, 2],
            Lane::High => [5, 1, 4, 3, 2],
            Lane::Normal => [5, 4, 1, 3, 2],
            _ => [5, 4, 3, 1, 2],
        };
        let expected: Vec<_> =
            std::iter::once("1@1".to_owned()).chain(expected.map(|n| format!("{n}@2"))).collect();
        assert_eq!(shop.log.take(), expected, "{lane:?}");
        assert_eq!(shop.close().await.handled, 5);
    }
}

/// Clause 5.11: the first of a turn of several lanes may come by a short way; each is known by its lane all the same.
#[tokio::test(start_paused = true)]
async fn lanes_are_told_apart_whatever_came_before() {
    let mut shop = Shop::closed(InHand::redeliver(1));
    let at = |lane| SendOptions::new().lane(lane);
    shop.bench.cast_with(job(1, What::Go), at(Lane::High)).unwrap();
    shop.bench.cast_with(job(2, What::PanicBefore(2)), at(Lane::Normal)).unwrap();
    shop.bench.cast_with(job(3, What::PanicBefore(3)), at(Lane::Low)).unwrap();
    shop.bench.cast_with(job(4, What::Go), at(Lane::Low)).unwrap();
    shop.open();
    settle().await;
    assert_eq!(shop.log.take(), ["1@1", "2@1", "2@2", "3@2", "3@3", "4@3"]);
    assert_eq!(shop.close().await.handled, 4);

    // The last of a higher lane, and behind it one that carries nothing: that one comes by the shortest way.
    let shop = Shop::closed(InHand::redeliver(1));
    shop.bench.cast_with(job(0, What::Go), at(Lane::High)).unwrap();
    shop.bench.cast_with(job(1, What::Go), at(Lane::High)).unwrap();
    shop.job(2, What::PanicBefore(2));
    shop.start().await;
    shop.bench.join().await;
    shop.bench.cast_with(job(3, What::Go), at(Lane::High)).unwrap();
    shop.start().await;
    settle().await;
    assert_eq!(shop.log.take(), ["0@1", "1@1", "2@1", "3@2", "2@2"], "it is in the normal lane");
    assert_eq!(shop.close().await.handled, 4);
}

/// Clause 5.11: it takes up its room and weight again, even where others have been let in meanwhile, and no further sender is
/// let in before there is room anew.
#[tokio::test(start_paused = true)]
async fn it_takes_up_its_room_again() {
    let shop =
        Shop::with(|settings| settings.in_hand(InHand::redeliver(1)).capacity(3).weight_limit(10, |_| 1));
    let (entered, go) = (Gate::new(), Gate::new());
    let heavy = SendOptions::new().weight(6);
    shop.start().await;
    shop.bench.cast_with(job(1, What::Pass(entered.clone(), go.clone())), heavy).unwrap();
    entered.pass().await;
    // The one in hand takes up no room.
    for n in 2..5 {
        shop.bench.cast_with(job(n, What::Go), SendOptions::new().weight(3)).unwrap();
    }
    assert_eq!((shop.bench.stats().depth, shop.bench.stats().weight), (3, 9));
    shop.bench.kill();
    shop.bench.join().await;
    assert_eq!((shop.bench.stats().depth, shop.bench.stats().weight), (4, 15));
    assert!(shop.bench.cast(job(9, What::Go)).is_err());
    let waiting = tokio::spawn({
        let bench = shop.bench.clone();
        async move { bench.send(job(5, What::Go)).await.is_ok() }
    });
    settle().await;
    assert!(!waiting.is_finished());
    go.open();
    shop.start().await;
    assert!(waiting.await.unwrap());
    settle().await;
    assert_eq!(shop.log.take(), ["1@1", "1@2", "2@2", "3@2", "4@2", "5@2"]);
    assert_eq!((shop.bench.stats().depth, shop.bench.stats().weight), (0, 0));
    let ledger = shop.close().await;
    assert_eq!((ledger.sent, ledger.handled), (5, 5));
}

/// Clause 6.2: a caller who gives up while its call waits for another attempt is not worth one: it is skipped and counted, as
/// any other in the queue.
#[tokio::test(start_paused = true)]
async fn a_caller_may_give_up_between_two_attempts() {
    for gone in [true, false] {
        let shop = Shop::closed(InHand::redeliver(3));
        shop.start().await;
        let bench = shop.bench.clone();
        let call = tokio::spawn(async move { bench.call(ask(1, What::PanicBefore(2))).await });
        shop.bench.join().await;
        assert!(!call.is_finished(), "it waits");
        if gone {
            call.abort();
            assert!(call.await.is_err());
        } else {
            assert_eq!(call.await.unwrap(), Err(CallError::Timeout), "after five seconds");
        }
        shop.start().await;
        settle().await;
        assert_eq!(shop.log.take(), ["1@1"]);
        let ledger = shop.close().await;
        let expected = if gone { (1, 0) } else { (0, 1) };
        assert_eq!((ledger.cancelled, ledger.expired), expected);
        assert_eq!((ledger.redelivered, ledger.failed, ledger.queued), (1, 0, 0));
    }
}

/// Clause 5.10: a call that had been answered when its handler crashed is not answered twice: it is dropped.
#[tokio::test(start_paused = true)]
async fn an_answered_call_is_not_tried_again() {
    let mut shop = Shop::closed(InHand::redeliver(3));
    shop.open();
    assert_eq!(shop.call(1, What::AnswerThenPanic).await.unwrap(), Ok(1));
    settle().await;
    assert_eq!(shop.log.take(), ["1@1"]);
    let ledger = shop.close().await;
    assert_eq!((ledger.failed, ledger.redelivered, ledger.queued), (1, 0, 0));
}

/// Clause 6.5: a copy changes nothing for the caller of a handler that returns: a reply that was kept is still good, one that
/// was dropped says so when the handler has returned.
#[tokio::test(start_paused = true)]
async fn a_copy_tells_the_caller_nothing() {
    for policy in [InHand::redeliver(3), InHand::DeadLetter] {
        let shop = Shop::closed(policy);
        shop.start().await;
        assert_eq!(shop.call(1, What::Forget).await.unwrap(), Err(CallError::NoReply));
        let (entered, go) = (Gate::new(), Gate::new());
        let dropped = shop.call(2, What::ForgetAndPass(entered.clone(), go.clone()));
        entered.pass().await;
        settle().await;
        assert!(!dropped.is_finished(), "the handler may crash yet, and be tried again");
        go.open();
        assert_eq!(dropped.await.unwrap(), Err(CallError::NoReply));

        let kept = shop.call(3, What::Keep);
        settle().await;
        assert!(!kept.is_finished());
        // Another message's crash: the kept reply goes with the state.
        shop.job(4, What::Fail);
        assert_eq!(kept.await.unwrap(), Err(CallError::Exited(ExitReason::error("failed"))));
        let ledger = shop.close().await;
        assert_eq!(ledger.handled, 3, "{policy:?}");
    }
}

/// Clause 6.5: who has no reply from a server that stops hears why it stops.
#[tokio::test(start_paused = true)]
async fn a_stop_without_a_reply_tells_why() {
    let shop = Shop::closed(InHand::redeliver(3));
    shop.start().await;
    let call = shop.call(1, What::Stop).await.unwrap();
    assert_eq!(call, Err(CallError::Exited(ExitReason::Normal)));
    shop.close().await;
}

/// Clause 6.4: several replies to one call: the first answer counts, wherever it comes from; the last one to be dropped
/// unanswered says so.
#[tokio::test(start_paused = true)]
async fn the_first_of_several_replies_counts() {
    let shop = Shop::closed(InHand::Drop);
    shop.start().await;
    let late = late_replies();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let call = shop.call(1, What::LeakThenPanic(Arc::clone(&kept)));
    shop.bench.join().await;
    let first = kept.lock().unwrap().pop().unwrap();
    let (second, third) = (first.again(), first.again());
    drop(first);
    settle().await;
    assert!(!call.is_finished() && second.is_awaited());
    assert!(second.send(2) && !third.is_awaited() && !third.send(3));
    assert_eq!(call.await.unwrap(), Ok(2));
    assert_eq!(late_replies(), late, "a second answer is not a late one");

    shop.start().await;
    let call = shop.call(2, What::LeakThenPanic(Arc::clone(&kept)));
    shop.bench.join().await;
    let first = kept.lock().unwrap().pop().unwrap();
    let second = first.again();
    drop(first);
    settle().await;
    assert!(!call.is_finished());
    drop(second);
    assert_eq!(call.await.unwrap(), Err(CallError::NoReply));
    shop.close().await;
}

/// Clause 5.10: of a reply that left the crashed server, and the next attempt, the first to answer counts.
#[tokio::test(start_paused = true)]
async fn a_reply_that_got_away_may_answer_first() {
    let mut shop = Shop::closed(InHand::redeliver(1).backoff(Duration::from_secs(1)));
    let kept = Arc::new(Mutex::new(Vec::new()));
    shop.open();
    let call = shop.call(1, What::LeakThenPanic(Arc::clone(&kept)));
    settle().await;
    let reply = kept.lock().unwrap().pop().unwrap();
    assert!(reply.send(77));
    assert_eq!(call.await.unwrap(), Ok(77));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(shop.log.take(), ["1@1"]);
    let ledger = shop.close().await;
    assert_eq!((ledger.cancelled, ledger.redelivered), (1, 1), "nobody waited for the second attempt");
}

/// Clauses 5.8, 10.6: what a handler had received by itself was handled then; only its own message is in hand, with what that
/// one carried.
#[tokio::test(start_paused = true)]
async fn only_the_handlers_own_message_is_in_hand() {
    let shop = Shop::with(|settings| settings.in_hand(InHand::redeliver(1)).weight_limit(100, |_| 1));
    shop.bench.cast_with(job(1, What::ReceiveThenPanic), SendOptions::new().weight(40)).unwrap();
    shop.bench.cast_with(job(2, What::Go), SendOptions::new().weight(20)).unwrap();
    shop.bench.cast_with(job(3, What::Go), SendOptions::new().lane(Lane::Low).weight(10)).unwrap();
    shop.start().await;
    shop.bench.join().await;
    assert_eq!(shop.log.take(), ["1@1", "received 2"]);
    assert_eq!((shop.bench.stats().depth, shop.bench.stats().weight), (2, 50));
    shop.start().await;
    shop.bench.join().await;
    assert_eq!(shop.log.take(), ["1@2", "received 3"]);
    let ledger = shop.close().await;
    assert_eq!((ledger.handled, ledger.dead_lettered, ledger.queued), (2, 1, 0));
}

/// Clause 5.12: the back-off doubles, holds up the data of every lane behind the message, and is there again for each message.
#[tokio::test(start_paused = true)]
async fn a_back_off_doubles_and_nothing_overtakes() {
    let mut shop = Shop::closed(InHand::redeliver(3).backoff(Duration::from_secs(2)));
    let began = Instant::now();
    shop.open();
    shop.job(1, What::Panic);
    for (n, lane) in [(2, Lane::Normal), (3, Lane::Low), (4, Lane::High)] {
        shop.bench.cast_with(job(n, What::Go), SendOptions::new().lane(lane)).unwrap();
    }
    settle().await;
    // In the high lane before the crash could come.
    assert_eq!(shop.log.take(), ["4@1", "1@1"]);
    shop.bench.cast_with(job(5, What::Go), SendOptions::new().lane(Lane::High)).unwrap();
    for (at, incarnation) in [(2, 2), (6, 3), (14, 4)] {
        let at = Duration::from_secs(at);
        tokio::time::sleep_until(began + at - Duration::from_millis(1)).await;
        settle().await;
        assert!(shop.log.take().iter().all(|entry| !entry.starts_with('1')), "not before {at:?}");
        tokio::time::sleep_until(began + at + Duration::from_millis(2)).await;
        settle().await;
        let log = shop.log.take();
        assert!(log.contains(&format!("1@{incarnation}")), "{at:?}: {log:?}");
        if incarnation == 2 {
            // Its time is over: now the higher lane is the higher lane.
            assert_eq!(log, ["5@2", "1@2"]);
        }
    }
    assert_eq!(shop.letter().map(|l| l.attempts), Some(4));
    shop.job(6, What::PanicBefore(6));
    settle().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let ledger = shop.close().await;
    assert_eq!((ledger.handled, ledger.dead_lettered, ledger.redelivered), (5, 1, 4));
}

/// Clause 5.12: while a message waits out its back-off, timers and the control lane are served, and their handlers work.
#[tokio::test(start_paused = true)]
async fn timers_and_orders_are_served_in_a_back_off() {
    let mut shop = Shop::closed(InHand::redeliver(3).backoff(Duration::from_secs(60)));
    shop.open();
    shop.job(1, What::PanicBefore(2));
    shop.job(2, What::Go);
    settle().await;
    assert_eq!(shop.log.take(), ["1@1"]);
    let control = SendOptions::new().lane(Lane::Control);
    shop.bench.cast_with(job(3, What::TickIn(Duration::from_secs(5))), control).unwrap();
    settle().await;
    assert_eq!(shop.log.take(), ["3@2"], "at once");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(shop.log.take(), ["info 99@2"]);
    // A handler that waits, and one of the other sort meanwhile.
    let (entered, go) = (Gate::new(), Gate::new());
    shop.bench.cast_with(job(4, What::Pass(entered.clone(), go.clone())), control).unwrap();
    entered.pass().await;
    shop.bench.info_with(job(5, What::Go), control).unwrap();
    shop.job(6, What::Go);
    go.open();
    settle().await;
    assert_eq!(shop.log.take(), ["4@2", "info 5@2"]);
    assert_eq!(shop.bench.stats().depth, 3);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(shop.log.take(), ["1@2", "2@2", "6@2"]);
    assert_eq!(shop.close().await.handled, 7 - 1);
}

/// Clause 5.12: what comes in the control lane itself does not wait.
#[tokio::test(start_paused = true)]
async fn the_control_lane_has_no_back_off() {
    let mut shop = Shop::closed(InHand::redeliver(1).backoff(LONG));
    shop.open();
    settle().await;
    shop.bench.cast_with(job(1, What::PanicBefore(2)), SendOptions::new().lane(Lane::Control)).unwrap();
    shop.job(2, What::Go);
    settle().await;
    assert_eq!(shop.log.take(), ["1@1", "1@2", "2@2"]);
    // Nor is anything held up behind it in a later incarnation, nor data that had no part in it.
    shop.bench.cast_with(job(3, What::PanicBefore(3)), SendOptions::new().lane(Lane::Control)).unwrap();
    shop.bench.cast_with(job(4, What::Go), SendOptions::new().lane(Lane::High)).unwrap();
    let began = Instant::now();
    settle().await;
    assert_eq!(
        (shop.log.take(), began.elapsed()),
        (["3@2", "3@3", "4@3"].map(String::from).to_vec(), Duration::ZERO)
    );
    shop.close().await;
}

/// Clause 5.12: an order to stop, or a kill, does not wait for the back-off; the message stays first, with its attempts and
/// what is left of its wait, and the next incarnation, were it started by a supervisor, does not forget.
#[tokio::test(start_paused = true)]
async fn a_stop_wins_over_a_back_off() {
    for killed in [false, true] {
        let mut shop = Shop::closed(InHand::redeliver(1).backoff(Duration::from_secs(60)));
        shop.job(1, What::Panic);
        shop.job(2, What::Go);
        shop.start().await;
        shop.bench.join().await;
        let crash = Instant::now();
        shop.start().await;
        settle().await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        if killed {
            assert!(shop.bench.kill());
            shop.bench.join().await;
        } else {
            assert_eq!(shop.bench.stop(ExitReason::Shutdown, Duration::from_secs(1)).await, Ok(()));
        }
        assert!(crash.elapsed() < Duration::from_secs(22));
        let ledger = law(&shop.bench).await;
        assert_eq!((ledger.queued, ledger.redelivered), (2, 1));
        assert_eq!(shop.log.take(), ["1@1"]);
        shop.start().await;
        settle().await;
        tokio::time::sleep_until(crash + Duration::from_secs(59)).await;
        assert!(shop.log.take().is_empty());
        tokio::time::sleep_until(crash + Duration::from_secs(61)).await;
        assert_eq!(shop.log.take(), ["1@3"]);
        assert_eq!(shop.letter().map(|l| l.attempts), Some(2), "the stopped incarnation is not one");
        shop.close().await;
    }
}

/// Clause 5.12, 14.3: a mailbox that closes in a back-off is drained when that is over; where no server drains it, the letter
/// tells of the attempts.
#[tokio::test(start_paused = true)]
async fn a_close_waits_for_the_back_off() {
    let mut shop = Shop::closed(InHand::redeliver(1).backoff(Duration::from_secs(60)));
    shop.job(1, What::PanicBefore(2));
    shop.start().await;
    shop.bench.join().await;
    shop.start().await;
    assert!(shop.bench.close(ExitReason::Shutdown));
    settle().await;
    assert!(shop.bench.is_alive() && shop.log.take() == ["1@1"]);
    shop.bench.join().await;
    assert_eq!(shop.log.take(), ["1@2"]);
    assert_eq!(shop.close().await.handled, 1);

    shop = Shop::closed(InHand::redeliver(9).backoff(Duration::from_secs(60)));
    let call = shop.call(1, What::Panic);
    settle().await;
    shop.start().await;
    shop.bench.join().await;
    shop.bench.close(ExitReason::Shutdown);
    assert_eq!(call.await.unwrap(), Err(CallError::Exited(ExitReason::Shutdown)));
    let letter = shop.letter().unwrap();
    assert_eq!((told(&letter), letter.cause), ((Some(1), None, 1), DeadCause::Closed(ExitReason::Shutdown)));
    assert_eq!(shop.close().await.dead_lettered, 1);
}

/// Clause 4.2: a time to live runs on through crashes and back-offs.
#[tokio::test(start_paused = true)]
async fn a_message_may_expire_in_its_back_off() {
    let mut shop = Shop::closed(InHand::redeliver(9).backoff(Duration::from_secs(4)));
    shop.bench.cast_with(job(1, What::Panic), SendOptions::new().ttl(Duration::from_secs(10))).unwrap();
    shop.job(2, What::Go);
    shop.open();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(shop.log.take(), ["1@1", "1@2", "2@3"]);
    let letter = shop.letter().unwrap();
    assert_eq!((letter.cause, letter.attempts), (DeadCause::Expired, 2));
    let ledger = shop.close().await;
    assert_eq!((ledger.expired, ledger.redelivered, ledger.handled), (1, 2, 1));
}

/// Clause 5.12: a message that a handler throws out, or receives by itself, while it waits holds up nothing any more.
#[tokio::test(start_paused = true)]
async fn a_message_may_be_taken_out_of_its_back_off() {
    let control = SendOptions::new().lane(Lane::Control);
    for (taker, purged) in [(What::Purge, 1), (What::Receive, 0)] {
        let mut shop = Shop::closed(InHand::redeliver(9).backoff(LONG));
        shop.open();
        shop.job(1, What::Panic);
        shop.job(2, What::Go);
        settle().await;
        shop.bench.cast_with(job(3, taker), control).unwrap();
        settle().await;
        let log = shop.log.take();
        let expected =
            if purged == 1 { vec!["1@1", "3@2", "2@2"] } else { vec!["1@1", "3@2", "received 1", "2@2"] };
        assert_eq!(log, expected);
        // And callers, orders and data come and go as ever.
        shop.job(4, What::Go);
        settle().await;
        assert_eq!(shop.log.take(), ["4@2"]);
        let ledger = shop.close().await;
        assert_eq!((ledger.purged, ledger.handled, ledger.queued), (purged, 4 - purged, 0));
    }
}

/// Clause 9.5: a server whose message waits out its back-off is not idle.
#[tokio::test(start_paused = true)]
async fn a_back_off_is_no_idleness() {
    let shop = Shop::closed(InHand::redeliver(1).backoff(Duration::from_secs(30)));
    shop.job(1, What::PanicBefore(2));
    shop.start().await;
    shop.bench.join().await;
    shop.start().await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(shop.log.take(), ["1@1"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(shop.log.take(), ["1@2"]);
    shop.close().await;
}

/// Clause 5.10: infos that came through the mailbox may be tried again; ticks, which did not, are not.
#[tokio::test(start_paused = true)]
async fn infos_are_tried_again_and_ticks_are_not() {
    let mut shop = Shop::closed(InHand::redeliver(1));
    shop.open();
    settle().await;
    shop.bench.info(job(1, What::PanicBefore(2))).unwrap();
    settle().await;
    assert_eq!(shop.log.take(), ["info 1@1", "info 1@2"]);
    let ledger = shop.close().await;
    assert_eq!((ledger.handled, ledger.redelivered), (1, 1));
}

/// Clause 5.13: callers do not run the handlers of a server that makes copies.
#[tokio::test(start_paused = true)]
async fn callers_do_not_run_the_handlers() {
    for (policy, inline) in [(InHand::Drop, true), (InHand::DeadLetter, false), (InHand::redeliver(1), false)]
    {
        let shop = Shop::with(|settings| settings.caller_runs(CallerRuns::Auto).in_hand(policy));
        shop.start().await;
        let bench = shop.bench.clone();
        let mut call = std::pin::pin!(bench.call(ask(2, What::Go)));
        let first = futures::poll!(call.as_mut());
        assert_eq!(first.is_ready(), inline, "{policy:?}");
        if !inline {
            assert_eq!(call.await, Ok(1));
        }
        shop.close().await;
    }
}

/// Failure mode 10: only the message whose handler had started is counted against; those behind it in the batch are not.
#[tokio::test(start_paused = true)]
async fn only_what_was_begun_is_counted() {
    let mut shop = Shop::closed(InHand::redeliver(5));
    for n in 0..10 {
        shop.job(n, if n == 0 { What::Panic } else { What::Go });
    }
    for _ in 0..3 {
        shop.start().await;
        shop.bench.join().await;
    }
    shop.bench.close(ExitReason::Shutdown);
    let attempts: Vec<_> = std::iter::from_fn(|| shop.letter()).map(|l| l.attempts).collect();
    assert_eq!(attempts, [3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    shop.close().await;
}

/// Clauses 1.4, 5.10: a mailbox that closes with its server keeps nothing for another: what is put back is dead-lettered.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_closes_with_its_server_delivers_nothing_again() {
    let settings = Server::<Bench>::settings().in_hand(InHand::redeliver(3));
    let bench = settings.start(Log::default()).await.unwrap();
    let call = bench.call(ask(1, What::Panic)).await;
    assert!(matches!(call, Err(CallError::Exited(reason)) if is_panic(&reason, "boom")));
    bench.join().await;
    assert_eq!(law(&bench).await.dead_lettered, 1);
}

/// Clause 15.3: the end of a runtime is a kill: what was in hand there is delivered again by the next one.
#[test]
fn what_was_in_hand_when_a_runtime_ended_is_delivered_again() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let shop = Shop::closed(InHand::redeliver(1));
    let first = runtime();
    first.block_on(async {
        shop.start().await;
        shop.job(1, What::Pass(entered.clone(), go.clone()));
        shop.job(2, What::Go);
        entered.pass().await;
    });
    drop(first);
    go.open();
    runtime().block_on(async {
        shop.start().await;
        settle().await;
        assert_eq!(shop.log.take(), ["1@1", "1@2", "2@2"]);
        let ledger = shop.close().await;
        assert_eq!((ledger.handled, ledger.redelivered), (2, 1));
    });
}

/// Every message, every copy and every letter is dropped once.
#[tokio::test(start_paused = true)]
async fn copies_are_dropped_once() {
    let alive = Alive::default();
    let mut shop = Shop::closed(InHand::redeliver(2));
    shop.open();
    for n in 0..10 {
        shop.job(n, What::Counted { _one: Arc::new(alive.one()) });
    }
    shop.job(10, What::Panic);
    settle().await;
    assert_eq!(alive.count(), 0);
    assert_eq!(shop.letter().map(|l| told(&l).0), Some(Some(10)));
    shop.close().await;
}

/// Clause 17.1: crashes, kills, callers who give up and two workers: nothing is lost, and each good message is handled once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_under_crashes_and_kills() {
    for backoff in [Duration::ZERO, Duration::from_millis(1)] {
        let mut shop =
            Shop::with(|settings| settings.capacity(64).in_hand(InHand::redeliver(2).backoff(backoff)));
        shop.open();
        let senders: Vec<_> = (0..4u64)
            .map(|sender| {
                let bench = shop.bench.clone();
                tokio::spawn(async move {
                    let (mut answered, mut given_up) = (0, 0);
                    for n in 0..300 {
                        let what = if n % 50 == 7 { What::Panic } else { What::Go };
                        match n % 3 {
                            0 => bench.send(job(n, what)).await.unwrap(),
                            1 => match bench.call(ask(n, what)).timeout(LONG).await {
                                Ok(_) => answered += 1,
                                Err(CallError::Exited(_)) => given_up += 1,
                                Err(other) => panic!("{other}"),
                            },
                            _ => {
                                let call = bench.call(ask(n, what));
                                let mut call = std::pin::pin!(call);
                                let _ = futures::poll!(call.as_mut());
                            }
                        }
                        if n % 100 == sender {
                            bench.kill();
                        }
                    }
                    (answered, given_up)
                })
            })
            .collect();
        for sender in senders {
            let (answered, given_up) = sender.await.unwrap();
            assert_eq!(answered + given_up, 100);
        }
        while shop.bench.stats().depth > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let bench = shop.bench.clone();
        let ledger = shop.close().await;
        assert_eq!((ledger.lost(), ledger.sent), (0, 1200), "{ledger}");
        assert!(ledger.redelivered > 0 && ledger.dead_lettered > 0, "{ledger}");
        assert_eq!(bench.stats().depth, ledger.queued);
    }
}

/// Clauses 5.7, 23.4: a reply that was dropped is told of while its server is suspended.
#[tokio::test(start_paused = true)]
async fn a_dropped_reply_does_not_wait_for_a_suspended_server() {
    let mut shop = Shop::closed(InHand::redeliver(1));
    shop.open();
    let (entered, go) = (Gate::new(), Gate::new());
    let call = shop.call(1, What::ForgetAndPass(entered.clone(), go.clone()));
    entered.pass().await;
    assert!(shop.bench.sys().suspend());
    go.open();
    let told = tokio::time::timeout(LONG, call).await.expect("it is told");
    assert_eq!(told.unwrap(), Err(CallError::NoReply));
    assert!(shop.bench.sys().status().suspended);
    shop.close().await;
}

/// Clauses 5.12, 23.4: a back-off goes on under a suspension, and each is over when both are: in either order nothing overtakes.
#[tokio::test(start_paused = true)]
async fn a_back_off_and_a_suspension_hold_the_same_mailbox() {
    for resumed_after in [2, 30] {
        let mut shop = Shop::closed(InHand::redeliver(3).backoff(Duration::from_secs(10)));
        shop.open();
        shop.job(1, What::PanicBefore(2));
        settle().await;
        assert_eq!(shop.log.take(), ["1@1"]);
        assert!(shop.bench.sys().suspend());
        shop.job(2, What::Go);
        let control = SendOptions::new().lane(Lane::Control);
        shop.bench.cast_with(job(3, What::Go), control).unwrap();
        // State verbs come through both.
        assert!(shop.bench.sys().get_state(|_| ()).await.is_ok());
        tokio::time::sleep(Duration::from_secs(resumed_after)).await;
        assert_eq!(shop.log.take(), [""; 0]);
        assert!(shop.bench.sys().resume());
        settle().await;
        if resumed_after < 10 {
            // The back-off lets the control lane through, as without a suspension.
            assert_eq!(shop.log.take(), ["3@2"]);
            assert!(shop.bench.sys().get_state(|_| ()).await.is_ok());
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_eq!(shop.log.take(), ["1@2", "2@2"]);
        } else {
            let mut all = shop.log.take();
            all.sort_unstable();
            assert_eq!(all, ["1@2", "2@2", "3@2"]);
        }
        assert_eq!(shop.call(4, What::Go).await.unwrap(), Ok(2));
        shop.close().await;
    }
}

/// Clauses 5.12, 23.4: an order to stop comes through a back-off under a suspension; what was put back is still there.
#[tokio::test(start_paused = true)]
async fn a_suspended_server_in_a_back_off_can_be_stopped() {
    let mut shop = Shop::closed(InHand::redeliver(3).backoff(Duration::from_secs(10)));
    shop.start().await;
    shop.job(1, What::PanicBefore(2));
    shop.bench.join().await;
    shop.start().await;
    settle().await;
    assert!(shop.bench.sys().suspend());
    settle().await;
    shop.bench.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(shop.log.take(), ["1@1"]);
    // The next one is suspended as well; killed at once, it is followed by a third.
    shop.start().await;
    assert!(shop.bench.kill());
    shop.bench.join().await;
    shop.open();
    assert!(shop.bench.sys().resume());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(shop.log.take(), ["1@4"]);
    shop.close().await;
}

/// Clauses 5.12, 23.1: since when a handler that began in a back-off waits is known.
#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_in_a_back_off_shows_since_when() {
    let mut shop = Shop::closed(InHand::redeliver(3).backoff(Duration::from_secs(10)));
    shop.open();
    shop.job(1, What::PanicBefore(2));
    settle().await;
    let (entered, go) = (Gate::new(), Gate::new());
    let control = SendOptions::new().lane(Lane::Control);
    shop.bench.cast_with(job(2, What::Pass(entered.clone(), go.clone())), control).unwrap();
    entered.pass().await;
    settle().await;
    let now = shop.bench.sys().status().in_hand.unwrap();
    assert!(now.name == "job" && now.since.is_some(), "{now:?}");
    go.open();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(shop.log.take(), ["1@1", "2@2", "1@2"]);
    shop.close().await;
}
