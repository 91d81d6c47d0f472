//! Every form of a handler, as its users write them.

use restante::monitor::{Event, Watch};
use restante::prelude::*;
use restante::{CallError, CallerRuns, IntoInit};
use std::time::Duration;

type Tested = Result<(), Box<dyn std::error::Error>>;

/// Divided by nothing.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("divided by nothing")]
struct ByNothing;

/// All there is to be had at once.
struct Counter {
    n: u64,
    ticks: u64,
    log: Vec<&'static str>,
    asked: Option<Reply<u64>>,
}

#[gen_server]
impl Counter {
    const PERIOD: Duration = Duration::from_secs(1);

    #[init]
    async fn init(start: &u64, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        tokio::task::yield_now().await;
        ctx.send_after(Duration::from_millis(10), CounterInfo::Note("after"));
        Ok(Init::then_continue(Self::with(*start)))
    }

    fn with(n: u64) -> Self {
        Self { n, ticks: 0, log: Vec::new(), asked: None }
    }

    #[call]
    fn get(&self) -> u64 {
        self.n
    }

    #[call]
    fn reset(&mut self) {
        self.n = 0;
    }

    #[call]
    async fn slowly(&mut self, pause: Duration) -> u64 {
        tokio::time::sleep(pause).await;
        self.n
    }

    #[call]
    fn divide(&self, by: u64, plus: u64) -> Result<u64, ByNothing> {
        Ok(self.n.checked_div(by).ok_or(ByNothing)? + plus)
    }

    #[call]
    fn take(&mut self, ctx: &mut Context<Self>, n: u64) -> (u32, Next) {
        self.n -= n;
        (ctx.incarnation(), if self.n == 0 { Next::stop() } else { Next::then_continue() })
    }

    #[call]
    fn later(&mut self, reply: Reply<u64>) {
        self.asked = Some(reply);
    }

    #[call]
    fn checked(&mut self, limit: u64, reply: Reply<&'static str>) -> Result<(), ByNothing> {
        if self.n > limit {
            return Err(ByNothing);
        }
        reply.send("within");
        Ok(())
    }

    #[call]
    fn log(&self) -> Vec<&'static str> {
        self.log.clone()
    }

    #[cast]
    fn add(&mut self, mut n: u64) {
        n += self.n;
        self.n = n;
    }

    #[cast]
    async fn answer(&mut self) -> Step {
        tokio::task::yield_now().await;
        match self.asked.take() {
            Some(reply) => reply.send(self.n),
            None => return Err(ByNothing.into()),
        };
        Ok(Next::go())
    }

    #[cast]
    fn subtract(&mut self, n: u64) -> Result<(), ByNothing> {
        self.n = self.n.checked_sub(n).ok_or(ByNothing)?;
        Ok(())
    }

    #[cast]
    fn finish(&mut self) -> Next {
        Next::stop_with(ExitReason::Shutdown)
    }

    #[cast]
    fn rest(&mut self) -> Next {
        Next::idle_timeout(Duration::from_millis(100))
    }

    #[cast]
    fn watch(&mut self, other: ServerRef<Counter>, ctx: &mut Context<Self>) {
        ctx.monitor(&other, Watch::Incarnation, CounterInfo::Noticed);
    }

    #[info]
    fn note(&mut self, text: &'static str) {
        self.log.push(text);
    }

    #[info]
    fn noticed(&mut self, event: Event) {
        if let Event::Down(exit) = event {
            self.log.push(if exit.reason == ExitReason::Normal { "normal" } else { "not normal" });
        }
    }

    #[info(every = Self::PERIOD)]
    fn tick(&mut self) {
        self.ticks += 1;
        self.log.push("tick");
    }

    #[info(every = "400ms")]
    async fn tock(&mut self, ctx: &mut Context<Self>) -> Step {
        self.log.push("tock");
        ctx.cancel_timer_key("none");
        Ok(Next::go())
    }

    #[then_continue]
    fn go_on(&mut self) {
        self.log.push("continue");
    }

    #[timeout]
    async fn idle(&mut self) -> Result<(), ByNothing> {
        self.log.push("idle");
        Ok(())
    }

    #[terminate]
    fn end(&mut self, reason: &ExitReason) -> Result<(), ExitReason> {
        if self.n == 13 { Err(ExitReason::error(format!("unlucky, after {reason}"))) } else { Ok(()) }
    }
}

/// Row G1: an argument, a reply; a call's limit is 5 s, or its own.
#[tokio::test(start_paused = true)]
async fn a_call_replies_with_what_its_method_returns() -> Tested {
    let counter = start::<Counter>(40).await?;
    assert_eq!(counter.get().await?, 40);
    counter.add(2)?;
    assert_eq!(counter.slowly(Duration::from_secs(4)).await?, 42);
    assert_eq!(counter.slowly(Duration::from_secs(6)).await, Err(CallError::Timeout));
    assert_eq!(counter.slowly(Duration::from_secs(6)).timeout(Duration::from_secs(20)).await?, 42);
    let limit = Duration::from_secs(7);
    assert_eq!(counter.slowly_timeout(Duration::from_secs(6), limit).await?, 42);
    assert_eq!(counter.slowly_timeout(Duration::from_secs(8), limit).await, Err(CallError::Timeout));
    counter.reset().await?;
    let through_the_mailbox = counter.try_get().caller_runs(CallerRuns::Never);
    assert_eq!(through_the_mailbox.await, Err(CallError::Timeout), "nobody replies at once");
    assert_eq!(counter.get().await?, 0);
    assert_eq!(counter.try_get().await?, 0);
    Ok(())
}

/// Row G1, clauses 24.1, 24.2: an error in a call's `Result` is the caller's; that of a cast is the server's end.
#[tokio::test(start_paused = true)]
async fn a_call_replies_with_its_error_and_a_cast_ends_by_it() -> Tested {
    let counter = start::<Counter>(42).await?;
    assert_eq!(counter.divide(0, 1).await?, Err(ByNothing));
    assert_eq!(counter.divide(2, 1).await?, Ok(22));
    assert!(counter.is_alive());
    counter.subtract(43)?;
    assert_eq!(counter.join().await.reason, ExitReason::from(ByNothing));
    Ok(())
}

/// Row G1, clause 24.3: reply and stop, reply and continue.
#[tokio::test(start_paused = true)]
async fn a_call_may_say_what_comes_next() -> Tested {
    let counter = start::<Counter>(2).await?;
    assert_eq!(counter.take(1).await?, 1);
    assert_eq!(counter.log().await?, ["continue", "continue"]);
    assert_eq!(counter.take(1).await?, 1, "the reply comes before the end");
    assert_eq!(counter.join().await.reason, ExitReason::Normal);
    Ok(())
}

/// Row G1: a reply that is kept, and sent by another handler.
#[tokio::test(start_paused = true)]
async fn a_reply_may_be_deferred() -> Tested {
    let counter = start::<Counter>(42).await?;
    let asked = counter.later();
    let answered = async {
        assert_eq!(counter.get().await?, 42);
        counter.answer()?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (asked, answered) = tokio::join!(asked, answered);
    answered?;
    assert_eq!(asked?, 42);
    assert_eq!(counter.checked(50).await?, "within");
    let reason = ExitReason::from(ByNothing);
    assert_eq!(
        counter.checked(41).await,
        Err(CallError::Exited(reason)),
        "a reply in hand goes with its server"
    );
    Ok(())
}

/// Row G1, clause 24.2: what a cast may return: a step, and what comes next.
#[tokio::test(start_paused = true)]
async fn a_cast_may_say_what_comes_next() -> Tested {
    let counter = start::<Counter>(1).await?;
    counter.rest()?;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(counter.log().await?, ["continue", "after", "idle"]);
    counter.finish()?;
    assert_eq!(counter.join().await.reason, ExitReason::Shutdown);
    let counter = start::<Counter>(1).await?;
    counter.answer()?;
    assert_eq!(counter.join().await.reason, ExitReason::from(ByNothing), "nobody had asked");
    Ok(())
}

/// Row G1: ticks that the attribute sets up, infos by hand, notices of monitors.
#[tokio::test(start_paused = true)]
async fn infos_are_variants_that_timers_and_monitors_make() -> Tested {
    let (counter, other) = (start::<Counter>(1).await?, start::<Counter>(1).await?);
    counter.watch(other.clone())?;
    counter.info(CounterInfo::Note("by hand"))?;
    assert_eq!(counter.get().await?, 1);
    other.take(1).await?;
    other.join().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let log = counter.log().await?;
    assert_eq!(log, ["continue", "by hand", "normal", "after", "tock", "tock", "tick"]);
    Ok(())
}

/// Clause 24.4: the first tick comes one period after `init` began, however long that takes, and late handlers do not delay the
/// next ones.
#[tokio::test(start_paused = true)]
async fn ticks_keep_their_rate() -> Tested {
    struct Metronome(Vec<u128>, tokio::time::Instant);
    #[gen_server]
    impl Metronome {
        #[init]
        async fn init(pause: &Duration) -> Self {
            let began = tokio::time::Instant::now();
            tokio::time::sleep(*pause).await;
            Self(Vec::new(), began)
        }
        #[info(every = "1s")]
        async fn tick(&mut self) {
            self.0.push(self.1.elapsed().as_millis());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        #[call]
        fn ticks(&self) -> Vec<u128> {
            self.0.clone()
        }
    }
    let metronome = start::<Metronome>(Duration::from_millis(700)).await?;
    tokio::time::sleep(Duration::from_millis(2900)).await;
    assert_eq!(metronome.ticks().await?, [1000, 2000, 3000]);
    Ok(())
}

/// Clause 24.5: where no server replies at once, or none has room, that is the answer.
#[tokio::test(start_paused = true)]
async fn a_try_form_does_not_wait() -> Tested {
    let began = tokio::time::Instant::now();
    let unread = Server::<Counter>::new("unread");
    assert_eq!(unread.address().try_get().await, Err(CallError::Timeout), "nobody reads");
    let server = Server::<Counter>::settings().capacity(1).build()?;
    let counter = server.address();
    counter.add(1)?;
    assert!(matches!(counter.try_get().await, Err(CallError::Full | CallError::Timeout)), "no room");
    server.start(40).await?;
    assert_eq!(counter.get().await?, 41);
    assert_eq!(counter.try_get().await?, 41);
    assert_eq!(began.elapsed(), Duration::ZERO);
    Ok(())
}

/// Row G1: `terminate` runs, and has the last word.
#[tokio::test(start_paused = true)]
async fn terminate_may_fail() -> Tested {
    let counter = start::<Counter>(13).await?;
    counter.finish()?;
    assert_eq!(counter.join().await.reason, ExitReason::error("unlucky, after shutdown"));
    Ok(())
}

/// Row A3: synchronous callers have the same methods.
#[test]
fn a_plain_thread_has_the_blocking_forms() -> Tested {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    let counter = runtime.block_on(start::<Counter>(40))?;
    counter.add_blocking(2)?;
    assert_eq!(counter.get_blocking()?, 42);
    assert_eq!(counter.divide_blocking(2, 0)?, Ok(21));
    Ok(())
}

/// Row G1: a request is sent at once, in the order of what else is sent, and its reply is there when it is asked for.
#[tokio::test(start_paused = true)]
async fn a_request_is_waited_for_later() -> Tested {
    let counter = start::<Counter>(40).await?;
    let (first, divided) = (counter.get_request(), counter.divide_request(0, 1));
    counter.add(2)?;
    let second = counter.get_request();
    assert_eq!(counter.get().await?, 42);
    assert_eq!((second.await?, first.await?, divided.await?), (42, 40, Err(ByNothing)));
    counter.finish()?;
    counter.join().await;
    counter.close(ExitReason::Shutdown);
    let refused = counter.get_request().await;
    assert_eq!((refused.is_err(), refused), (true, counter.get().await), "for the same reason as any call");
    Ok(())
}

/// Row G1: casts that wait for room, for ever or so long, and those that do not.
#[tokio::test(start_paused = true)]
async fn a_cast_waits_for_room_in_three_ways() -> Tested {
    let server = Server::<Counter>::settings().capacity(1).build()?;
    let counter = server.address();
    counter.add(1)?;
    let refused = counter.add(2);
    assert!(
        matches!(refused, Err(SendError::Full(CounterCast::Add(2)))),
        "the message comes back: {refused:?}"
    );
    let limit = Duration::from_secs(1);
    assert!(matches!(counter.add_timeout(3, limit).await, Err(SendError::Timeout(CounterCast::Add(3)))));
    let waiting = counter.send_add(4);
    let (sent, started) = tokio::join!(waiting, server.start(0));
    sent?;
    started?;
    assert_eq!(counter.get().await?, 5);
    Ok(())
}

/// Handlers are plain methods: what they do can be tested without a server.
#[test]
fn handlers_are_methods() {
    let mut counter = Counter::with(1);
    counter.add(2);
    counter.tick();
    assert_eq!((counter.get(), counter.ticks), (3, 1));
    assert_eq!(counter.divide(0, 0), Err(ByNothing));
}

/// Reports name messages by their methods, and never show what they carry.
#[test]
fn messages_are_called_as_their_methods() {
    assert_eq!(CounterInfo::Tick.name(), "tick");
    assert_eq!(Counter::cast_name(&CounterCast::Add(7)), "add");
    assert_eq!(format!("{:?} {:?}", CounterCast::Add(7), CounterInfo::Note("secret")), "add note");
}

mod inits {
    use super::*;

    macro_rules! server {
        ($name:ident, fn init($($arg:ident: $ty:ty),*) -> $out:ty $body:block) => {
            #[derive(Debug)]
            struct $name(String);
            #[gen_server]
            impl $name {
                #[init]
                fn init($($arg: $ty),*) -> $out $body
                #[call]
                fn text(&self) -> String {
                    self.0.clone()
                }
            }
        };
    }

    server!(
        Nothing,
        fn init() -> Self {
            Self("nothing".into())
        }
    );
    server!(
        Text,
        fn init(text: &str) -> Self {
            Self(text.into())
        }
    );
    server!(
        List,
        fn init(parts: &[String]) -> Init<Self> {
            Init::ok(Self(parts.concat()))
        }
    );
    server!(
        Several,
        fn init(n: &u8, text: &str) -> Result<Self, std::fmt::Error> {
            if *n == 0 { Err(std::fmt::Error) } else { Ok(Self(text.repeat((*n).into()))) }
        }
    );
    server!(
        Ignored,
        fn init() -> Result<Init<Self>, ExitReason> {
            Ok(Init::ignore())
        }
    );

    /// Row G1: what `init` may be lent, and what it may return.
    #[tokio::test]
    async fn init_has_as_many_forms_as_are_of_use() -> Tested {
        assert_eq!(start::<Nothing>(()).await?.text().await?, "nothing");
        assert_eq!(start::<Text>("text".into()).await?.text().await?, "text");
        assert_eq!(start::<List>(vec!["a".into(), "b".into()]).await?.text().await?, "ab");
        assert_eq!(start::<Several>((2, "ab".into())).await?.text().await?, "abab");
        let failed = start::<Several>((0, String::new())).await;
        assert!(matches!(failed, Err(StartError::Failed(_))), "{failed:?}");
        assert!(matches!(start::<Ignored>(()).await, Err(StartError::Ignored)));
        let made: Result<Init<Nothing>, ExitReason> = Nothing::init().into_init();
        assert!(made.is_ok());
        Ok(())
    }
}
