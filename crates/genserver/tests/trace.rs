//! What `tracing` is told of servers, message by message where it is asked to.

use crate::support::{
    Gate, LONG, Lab, Log, Plan, Tell, ask, echo, is_panic, law, listen, pass, settle, tell,
};
use restante_genserver::watchdog::Watchdog;
use restante_genserver::{ExitReason, Next, Phase, Server, ServerRef, start};
use std::cell::RefCell;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Instrument, Metadata, Subscriber};
use tracing_core::span::Current;

/// Writes down spans and events, and which span each is in.
#[derive(Clone, Default)]
struct Scribe {
    log: Log,
    next: Arc<AtomicU64>,
    spans: Arc<Mutex<Vec<Called>>>,
}

/// A span: its name, that of its message if it is a message's, and what else is known of it.
type Called = (&'static str, String, &'static Metadata<'static>);

thread_local! {
    static INSIDE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

#[derive(Default)]
struct Fields {
    name: String,
    message: String,
    all: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.all, "{}={value:?} ", field.name());
        match field.name() {
            "name" => format!("{value:?}").trim_matches('"').clone_into(&mut self.name),
            "message" => self.message = format!("{value:?}"),
            _ => {}
        }
    }
}

impl Scribe {
    /// What a span is called here: its name and, if it is a message's, the message's.
    fn called(&self, id: u64) -> String {
        let spans = self.spans.lock().unwrap();
        let (name, of, _) = &spans[usize::try_from(id).unwrap() - 1];
        if of.is_empty() { (*name).to_owned() } else { format!("{name} {of}") }
    }

    fn here(&self) -> String {
        let inside = INSIDE.with_borrow(|i| i.last().copied());
        inside.map_or_else(|| "-".to_owned(), |id| self.called(id))
    }
}

impl Subscriber for Scribe {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("restante_genserver") || metadata.target().contains("trace")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        let id = self.next.fetch_add(1, Ordering::SeqCst) + 1;
        self.spans.lock().unwrap().push((span.metadata().name(), fields.name, span.metadata()));
        let parent = match span.parent() {
            Some(parent) => self.called(parent.into_u64()),
            None if span.is_contextual() => self.here(),
            None => "-".to_owned(),
        };
        self.log.push(format!("span {} in {parent}", self.called(id)));
        Id::from_u64(id)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, span: &Id, from: &Id) {
        self.log.push(format!("{} follows {}", self.called(span.into_u64()), self.called(from.into_u64())));
    }
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.log.push(format!(
            "{} {} {} in {}",
            event.metadata().level(),
            fields.message,
            fields.name,
            self.here()
        ));
        // A panic here would be the subscriber's affair alone.
        if fields.all.contains("secret") {
            self.log.push(format!("contents are told of: {}", fields.all));
        }
    }
    fn enter(&self, span: &Id) {
        INSIDE.with_borrow_mut(|i| i.push(span.into_u64()));
    }
    fn exit(&self, span: &Id) {
        if INSIDE.with_borrow_mut(Vec::pop) != Some(span.into_u64()) {
            self.log.push("spans do not nest");
        }
    }
    fn current_span(&self) -> Current {
        INSIDE.with_borrow(|i| match i.last() {
            Some(id) => {
                let metadata = self.spans.lock().unwrap()[usize::try_from(*id).unwrap() - 1].2;
                Current::new(Id::from_u64(*id), metadata)
            }
            None => Current::none(),
        })
    }
}

async fn traced(plan: Plan) -> ServerRef<Lab> {
    Server::<Lab>::settings().name("traced").trace_messages().start(plan).await.unwrap()
}

/// Row G6, clause 23.9: one event a step of a life, and no more than that where no more was asked for.
#[tokio::test(start_paused = true)]
async fn a_life_is_told_step_by_step() {
    let scribe = Scribe::default();
    let _listens = listen(scribe.clone());
    let server = Server::<Lab>::new("life");
    let lab = server.start(Plan::default()).await.unwrap();
    lab.call(echo(1)).await.unwrap();
    lab.cast(Tell::Boom).unwrap();
    lab.join().await;
    server.start(Plan::default()).await.unwrap();
    lab.sys().suspend();
    lab.sys().resume();
    lab.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(
        scribe.log.take(),
        [
            "DEBUG server started  in -",
            "ERROR server crashed  in -",
            "DEBUG server started  in -",
            "INFO server suspended  in -",
            "INFO server resumed  in -",
            "DEBUG server ended  in -",
        ]
    );
}

/// Row G6, clause 23.9. OTP `sys_SUITE`: `trace`, and more: a call's span is a child of its caller's, a cast's follows from
/// its sender's; events inside a handler are inside its span, also after an await, and between two polls no thread is inside
/// it.
#[tokio::test(start_paused = true)]
async fn messages_run_in_spans() {
    let scribe = Scribe::default();
    let _listens = listen(scribe.clone());
    let lab = traced(Plan::default()).await;
    settle().await;
    scribe.log.take();
    let (entered, go) = (Gate::new(), Gate::new());
    let caller = lab.clone();
    let call = pass(&entered, &go);
    let call = tokio::spawn(async move { caller.call(call).await }.instrument(tracing::info_span!("caller")));
    entered.pass().await;
    tracing::info!("meanwhile");
    go.open();
    call.await.unwrap().unwrap();
    settle().await;
    assert_eq!(
        scribe.log.take(),
        [
            "span caller in -",
            "INFO message taken ask in -",
            "span message ask in caller",
            "INFO meanwhile  in -",
            "INFO message done ask in -",
        ]
    );
    let sender = tracing::info_span!("sender");
    sender
        .in_scope(|| {
            lab.cast(tell(|_, _| {
                tracing::info!("before");
                Box::pin(async {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    tracing::info!("after");
                    Ok(Next::go())
                })
            }))
        })
        .unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        scribe.log.take(),
        [
            "span sender in -",
            "INFO message taken tell in -",
            "span message tell in -",
            "message tell follows sender",
            "INFO before  in message tell",
            "INFO after  in message tell",
            "INFO message done tell in -",
        ]
    );
}

/// Clause 23.9: a crash ends the span; tracing can be switched off while a handler is in the middle of something.
#[tokio::test(start_paused = true)]
async fn spans_end_with_their_handlers() {
    let scribe = Scribe::default();
    let _listens = listen(scribe.clone());
    let lab = traced(Plan::default()).await;
    let (entered, go) = (Gate::new(), Gate::new());
    let caller = lab.clone();
    let call = pass(&entered, &go);
    let call = tokio::spawn(async move { caller.call(call).await });
    entered.pass().await;
    assert!(lab.sys().trace(false));
    scribe.log.take();
    go.open();
    call.await.unwrap().unwrap();
    lab.call(echo(1)).await.unwrap();
    assert_eq!(scribe.log.take(), [""; 0], "nothing is told any more");
    lab.sys().trace(true);
    lab.cast(Tell::Boom).unwrap();
    lab.join().await;
    let told = scribe.log.take();
    assert_eq!(
        told,
        [
            "INFO message taken boom in -",
            "span message boom in -",
            "INFO message failed boom in -",
            "ERROR server crashed  in -",
        ]
    );
    // One that is killed in the middle.
    let lab = traced(Plan::default()).await;
    let (entered, go) = (Gate::new(), Gate::new());
    let caller = lab.clone();
    let call = pass(&entered, &go);
    tokio::spawn(async move { caller.call(call).await });
    entered.pass().await;
    lab.kill();
    lab.join().await;
    INSIDE.with_borrow(|inside| assert!(inside.is_empty()));
}

/// Row G6, clause 23.9: nothing is captured where there is no listener.
#[tokio::test(start_paused = true)]
async fn a_traced_server_works_where_nobody_listens() {
    let lab = traced(Plan::default()).await;
    for n in 0..10 {
        lab.cast(Tell::Add(n)).unwrap();
    }
    assert_eq!(lab.call(echo(3)).await, Ok(3));
    assert!(lab.sys().status().traced);
    // What was sent without a listener has nothing of its sender's, though there is a listener when it is handled.
    lab.sys().suspend();
    tracing::info_span!("sender").in_scope(|| lab.cast(Tell::Add(1))).unwrap();
    let scribe = Scribe::default();
    {
        let _listens = listen(scribe.clone());
        tracing::info_span!("listened").in_scope(|| lab.cast(Tell::Add(1))).unwrap();
        lab.sys().resume();
        settle().await;
    }
    let log = scribe.log.take();
    let follows: Vec<_> = log.iter().filter(|line| line.contains("follows")).collect();
    assert_eq!(follows, ["message tell follows listened"], "{log:?}");
    let plain = start::<Lab>(Plan::default()).await.unwrap();
    assert!(!plain.sys().status().traced);
}

/// Clause 23.9: who sends with a subscriber of its own finds the message's span there, and the server is none the worse: a
/// span's id means nothing to another subscriber.
#[tokio::test(start_paused = true)]
async fn a_span_belongs_to_its_senders_subscriber() {
    let (theirs, ours) = (Scribe::default(), Scribe::default());
    let _listens = listen(ours.clone());
    let lab = traced(Plan::default()).await;
    let caller = async {
        let spans = [0; 5].map(|_| tracing::info_span!("earlier"));
        let span = tracing::info_span!("caller");
        let answer = lab.call(echo(1)).instrument(span).await;
        drop(spans);
        answer
    };
    assert_eq!(caller.with_subscriber(theirs.clone()).await, Ok(1));
    assert_eq!((lab.incarnation(), lab.call(echo(2)).await), (1, Ok(2)));
    let told = theirs.log.take();
    assert!(told.contains(&"span message ask in caller".to_owned()), "{told:?}");
    INSIDE.with_borrow(|inside| assert!(inside.is_empty()));
}

/// Panics at whatever it is told of.
struct Grumbles;

impl Subscriber for Grumbles {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("restante")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        panic!("no span")
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        panic!("no event")
    }
    fn enter(&self, _: &Id) {
        panic!("no way in")
    }
    fn exit(&self, _: &Id) {
        panic!("no way out")
    }
}

/// Panics when it is dropped, also where a panic unwinds already.
struct Bitter;

impl Drop for Bitter {
    fn drop(&mut self) {
        panic!("bitter")
    }
}

/// Clause 13.9: a subscriber that panics at each event changes nothing: neither how a server begins, answers, and ends, nor
/// what is said of it.
#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_is_not_the_servers_affair() {
    let _listens = listen(Grumbles);
    for trace in [false, true] {
        for keeps_a_bitter_one in [false, true] {
            let lab = start::<Lab>(Plan::default()).await.unwrap();
            lab.sys().trace(trace);
            assert_eq!(lab.call(echo(1)).await, Ok(1));
            if keeps_a_bitter_one {
                lab.cast(tell(|lab, _| {
                    lab.things.push(Box::new(Bitter));
                    Box::pin(async { Ok(Next::go()) })
                }))
                .unwrap();
            }
            assert_eq!(lab.stop(ExitReason::Normal, LONG).await, Ok(()));
            let exit = lab.join().await;
            assert!(matches!(exit.reason, ExitReason::Normal) && exit.before.is_none(), "{exit:?}");

            let lab = start::<Lab>(Plan::default()).await.unwrap();
            lab.sys().trace(trace);
            lab.cast(Tell::Boom).unwrap();
            let exit = lab.join().await;
            assert!(is_panic(&exit.reason, "boom") && exit.phase == Phase::Cast, "{exit:?}");
            law(&lab).await;
        }
    }
}

/// Panics when it is woken.
struct Rough;

impl std::task::Wake for Rough {
    fn wake(self: Arc<Self>) {
        panic!("rough waker");
    }
}

/// Clauses 23.9, 13.9: a caller's waker that panics inside of a traced poll cuts it short no more than any other; a kill does,
/// and the span is left.
#[tokio::test(start_paused = true)]
async fn a_traced_poll_in_which_a_waker_panics_leaves_its_span() {
    let scribe = Scribe::default();
    let _listens = listen(scribe.clone());
    let lab = traced(Plan::default()).await;
    {
        let mut call = Box::pin(std::future::IntoFuture::into_future(lab.call(ask(|_, _, reply| {
            Box::pin(async move {
                drop(reply);
                std::future::pending().await
            })
        }))));
        let rough = std::task::Waker::from(Arc::new(Rough));
        let polled = call.as_mut().poll(&mut std::task::Context::from_waker(&rough));
        assert!(polled.is_pending());
        // The handler begins, and drops the reply: its caller is woken.
        settle().await;
        assert!(lab.is_alive());
        assert!(lab.kill());
        assert_eq!(lab.join().await.reason, ExitReason::Killed);
    }
    assert!(scribe.log.take().contains(&"span message ask in -".to_owned()));
    INSIDE.with_borrow(|inside| assert!(inside.is_empty(), "{inside:?}"));
}

/// Row D8, clause 23.9: a watchdog and a trace see the same handler, and neither is in the other's way.
#[tokio::test]
async fn a_traced_handler_that_holds_its_worker_is_named() {
    let scribe = Scribe::default();
    let _listens = listen(scribe.clone());
    let lab = traced(Plan::default()).await;
    let (says, hears) = std::sync::mpsc::channel();
    let _watchdog = Watchdog::builder()
        .threshold(Duration::from_millis(5))
        .on_hold(move |hold| {
            if hold.server == "traced" {
                let _ = says.send(hold.message);
            }
        })
        .start()
        .unwrap();
    let held = lab.call(ask(move |_, _, reply| {
        reply.send(u64::from(hears.recv_timeout(LONG) == Ok("ask")));
        tracing::info!(name = "inside", "handler");
        Box::pin(async { Ok(Next::go()) })
    }));
    assert_eq!(held.timeout(LONG).await, Ok(1));
    settle().await;
    assert!(scribe.log.take().contains(&"INFO handler inside in message ask".to_owned()));
    INSIDE.with_borrow(|inside| assert!(inside.is_empty()));
}
