//! Handlers that use state and context for as long as they hold them: after every await, and in their drop, however they
//! come to an end.
//!
//! Among the unit tests, because those are what `cargo xtask valgrind` runs: a handler that outlived what it borrows would
//! show here as a use of freed memory, and without valgrind as a line out of order in the log.

use crate::*;
use futures::future::Either;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Cx, Poll};
use std::time::Duration;

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, entry: String) {
        self.0.lock().unwrap().push(entry);
    }
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
    /// Waits until so much has happened.
    async fn reach(&self, len: usize) {
        while self.all().len() < len {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// How a handler ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Go,
    Fail,
    Panic,
    /// It panics when it is dropped, otherwise done.
    Rude,
    /// It waits until it is killed.
    Never,
    /// It waits until it is killed, and panics when it is dropped for that.
    RudeNever,
}

const ENDS: [End; 6] = [End::Go, End::Fail, End::Panic, End::Rude, End::Never, End::RudeNever];

/// What a handler is to do.
#[derive(Debug, Clone, Copy)]
struct Work {
    /// How often it goes pending before its end.
    pends: u32,
    end: End,
    /// A future that is written out: it still holds its borrows when it is done, and lets go when the loop drops it.
    by_hand: bool,
}

/// The callback that is to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Call,
    Cast,
    Info,
    Continue,
    Timeout,
}

const SORTS: [Sort; 5] = [Sort::Call, Sort::Cast, Sort::Info, Sort::Continue, Sort::Timeout];

struct Plan {
    log: Log,
    sort: Sort,
    work: Work,
}

/// A server whose state lies on the heap, where valgrind sees each use of it after its end.
struct Frail {
    log: Log,
    touched: Box<u32>,
    /// For the callbacks that no message leads to.
    due: Work,
}

impl Drop for Frail {
    fn drop(&mut self) {
        self.log.push(format!("state dropped, touched {} times", self.touched));
    }
}

/// What a handler borrows.
struct Held<'s, 'c> {
    state: &'s mut Frail,
    ctx: &'c mut Context<Frail>,
    end: End,
}

impl Held<'_, '_> {
    fn touch(&mut self, what: &str) {
        *self.state.touched += 1;
        self.state.log.push(what.to_owned());
        assert_eq!((self.ctx.incarnation(), self.ctx.server().incarnation()), (1, 1));
        // Timers lie in the context's own memory.
        let timer = self.ctx.send_after(Duration::from_secs(3600), self.state.due);
        assert!(self.ctx.cancel_timer(timer));
    }
}

impl Drop for Held<'_, '_> {
    fn drop(&mut self) {
        self.touch("handler dropped");
        if matches!(self.end, End::Rude | End::RudeNever) {
            unwind("rude");
        }
    }
}

/// Pending once.
#[derive(Default)]
struct Once(bool);

impl Future for Once {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Panics without the hook, whose backtraces would take minutes under valgrind.
fn unwind(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}

fn finish(end: End) -> Poll<Step> {
    match end {
        End::Go | End::Rude => Poll::Ready(Ok(Next::go())),
        End::Fail => Poll::Ready(Err(ExitReason::error("failed"))),
        End::Panic => unwind("boom"),
        End::Never | End::RudeNever => Poll::Pending,
    }
}

async fn by_async(mut held: Held<'_, '_>, work: Work) -> Step {
    held.touch("begun");
    for _ in 0..work.pends {
        Once::default().await;
        held.touch("again");
    }
    match finish(work.end) {
        Poll::Ready(step) => step,
        Poll::Pending => pending().await,
    }
}

struct ByHand<'s, 'c> {
    held: Held<'s, 'c>,
    work: Work,
    polled: u32,
}

impl Future for ByHand<'_, '_> {
    type Output = Step;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<Step> {
        let what = if self.polled == 0 { "begun" } else { "again" };
        self.held.touch(what);
        self.polled += 1;
        if self.polled <= self.work.pends {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        finish(self.work.end)
    }
}

fn handler<'s, 'c>(
    state: &'s mut Frail,
    work: Work,
    ctx: &'c mut Context<Frail>,
) -> impl Future<Output = Step> + Send + use<'s, 'c> {
    let held = Held { state, ctx, end: work.end };
    if work.by_hand {
        Either::Left(ByHand { held, work, polled: 0 })
    } else {
        Either::Right(by_async(held, work))
    }
}

impl GenServer for Frail {
    type Args = Plan;
    type Call = (Work, Reply<()>);
    type Cast = Work;
    type Info = Work;

    async fn init(plan: &Plan, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        let state = Self { log: plan.log.clone(), touched: Box::new(0), due: plan.work };
        Ok(match plan.sort {
            Sort::Continue => Init::then_continue(state),
            Sort::Timeout => Init::idle_timeout(state, Duration::from_millis(1)),
            _ => Init::ok(state),
        })
    }

    fn handle_call(
        &mut self,
        (work, reply): (Work, Reply<()>),
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Step> + Send {
        reply.send(());
        handler(self, work, ctx)
    }

    fn handle_cast(&mut self, work: Work, ctx: &mut Context<Self>) -> impl Future<Output = Step> + Send {
        handler(self, work, ctx)
    }

    fn handle_info(&mut self, work: Work, ctx: &mut Context<Self>) -> impl Future<Output = Step> + Send {
        handler(self, work, ctx)
    }

    fn handle_continue(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Step> + Send {
        handler(self, self.due, ctx)
    }

    fn handle_timeout(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Step> + Send {
        handler(self, self.due, ctx)
    }

    async fn terminate(&mut self, _: &ExitReason, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.log.push("terminated".to_owned());
        Ok(())
    }
}

/// A server that has been given its work.
async fn given(log: &Log, sort: Sort, work: Work) -> ServerRef<Frail> {
    let server = start::<Frail>(Plan { log: log.clone(), sort, work }).await.expect("it starts");
    match sort {
        // The server is idle: this very stack polls the handler first.
        Sort::Call => {
            let _ = server.call(|reply| (work, reply)).await;
        }
        Sort::Cast => server.cast(work).expect("room"),
        Sort::Info => server.info(work).expect("room"),
        Sort::Continue | Sort::Timeout => {}
    }
    server
}

/// Every callback, every end, at the first poll and at later ones: the handler has state and context until it is dropped,
/// and that is before `terminate` and before the state goes.
#[tokio::test(start_paused = true)]
async fn a_handler_has_state_and_context_until_it_is_dropped() {
    for (sort, end, pends) in
        SORTS.into_iter().flat_map(|s| ENDS.into_iter().flat_map(move |e| (0..3).map(move |p| (s, e, p))))
    {
        for by_hand in [false, true] {
            let (log, work) = (Log::default(), Work { pends, end, by_hand });
            let case = format!("{sort:?}, {work:?}");
            let server = given(&log, sort, work).await;
            let mut expected = vec!["begun".to_owned()];
            expected.extend((0..pends).map(|_| "again".to_owned()));
            log.reach(expected.len()).await;
            expected.push("handler dropped".to_owned());
            let touched = expected.len();
            match end {
                End::Go => {
                    log.reach(touched).await;
                    assert_eq!(server.stop(ExitReason::Shutdown, Duration::MAX).await, Ok(()), "{case}");
                }
                End::Never | End::RudeNever => assert!(server.kill(), "{case}"),
                End::Fail | End::Panic | End::Rude => {}
            }
            let exit = server.join().await;
            let says = match end {
                End::Go => ExitReason::Shutdown.to_string(),
                End::Fail => ExitReason::error("failed").to_string(),
                End::Never | End::RudeNever => ExitReason::Killed.to_string(),
                End::Panic => "boom".to_owned(),
                End::Rude => "rude".to_owned(),
            };
            assert!(exit.reason.to_string().contains(&says), "{case}: {}", exit.reason);
            if !matches!(end, End::Never | End::RudeNever) {
                expected.push("terminated".to_owned());
            }
            expected.push(format!("state dropped, touched {touched} times"));
            assert_eq!(log.all(), expected, "{case}");
        }
    }
}

/// A handler that is done leaves its place to the next one, of any sort, in the same turn.
#[tokio::test(start_paused = true)]
async fn one_handler_after_the_other_has_state_and_context() {
    for by_hand in [false, true] {
        let (log, work) = (Log::default(), Work { pends: 0, end: End::Go, by_hand });
        let server = given(&log, Sort::Continue, work).await;
        for n in 0..30 {
            let work = Work { pends: u32::from(n % 4 == 3), ..work };
            server.cast(work).expect("room");
            server.info(work).expect("room");
        }
        server.call(|reply| (work, reply)).await.expect("an answer");
        assert_eq!(server.stop(ExitReason::Normal, Duration::MAX).await, Ok(()));
        // 62 handlers with a beginning and an end, and 14 that go on in between.
        assert_eq!(log.all().last().expect("it has ended"), "state dropped, touched 138 times");
    }
}

/// The runtime goes with a handler half done: the handler goes before what it borrows.
#[test]
fn a_handler_has_state_and_context_when_the_runtime_goes() {
    for (sort, end) in
        SORTS.into_iter().flat_map(|s| [End::Never, End::RudeNever].into_iter().map(move |e| (s, e)))
    {
        for by_hand in [false, true] {
            let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let (log, work) = (Log::default(), Work { pends: 1, end, by_hand });
            let server = rt.block_on(async {
                let server = given(&log, sort, work).await;
                log.reach(2).await;
                server
            });
            drop(rt);
            assert!(!server.is_alive());
            let expected = ["begun", "again", "handler dropped", "state dropped, touched 3 times"];
            assert_eq!(log.all(), expected, "{sort:?}, {work:?}");
        }
    }
}
