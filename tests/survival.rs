//! What survives a crash, as a user of the facade sees it: two servers, one mailbox each, incarnation after incarnation.

use restante::monitor::{Event, Watch};
use restante::prelude::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Writes down what it handles; breaks when it is told to.
struct Scribe {
    log: Arc<Mutex<Vec<String>>>,
}

enum Ask {
    Echo(u32, Reply<u32>),
    Break(Reply<u32>),
    Keep(Reply<u32>),
}

enum Note {
    Write(u32),
    Break,
}

impl GenServer for Scribe {
    type Args = Arc<Mutex<Vec<String>>>;
    type Call = Ask;
    type Cast = Note;
    type Info = ();

    async fn init(log: &Self::Args, ctx: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        write(log, format!("init {}", ctx.incarnation()));
        Ok(Init::ok(Scribe { log: Arc::clone(log) }))
    }

    async fn handle_call(&mut self, call: Ask, _: &mut Context<Self>) -> Step {
        match call {
            Ask::Echo(n, reply) => {
                write(&self.log, format!("echo {n}"));
                reply.send(n);
            }
            Ask::Break(reply) => {
                drop(reply);
                return Err(ExitReason::error("broken by a call"));
            }
            Ask::Keep(reply) => {
                // Kept over an await: the handler is interrupted here.
                std::future::pending::<()>().await;
                reply.send(0);
            }
        }
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, note: Note, _: &mut Context<Self>) -> Step {
        match note {
            Note::Write(n) => write(&self.log, format!("write {n}")),
            Note::Break => return Err(ExitReason::error("broken by a cast")),
        }
        Ok(Next::go())
    }

    async fn terminate(&mut self, reason: &ExitReason, _: &mut Context<Self>) -> Result<(), ExitReason> {
        write(&self.log, format!("terminate: {reason}"));
        Ok(())
    }
}

fn write(log: &Mutex<Vec<String>>, line: String) {
    log.lock().expect("nobody panics while writing").push(line);
}

/// Row A2, row D1, row G1, clauses 5.1, 5.2, 5.3, 5.4, 5.5: the address, the queued messages, their order and their
/// callers survive; the state and the message in hand do not.
#[tokio::test]
async fn queued_messages_and_their_callers_survive_a_crash() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let server = Server::<Scribe>::new("scribe");
    let scribe = server.address();
    scribe.cast(Note::Write(1)).unwrap();
    scribe.cast(Note::Break).unwrap();
    scribe.cast(Note::Write(2)).unwrap();
    let (echo, ()) = tokio::join!(scribe.call(|reply| Ask::Echo(3, reply)), async {
        scribe.cast(Note::Write(4)).unwrap();
        server.start(Arc::clone(&log)).await.unwrap();
        assert_eq!(scribe.join().await.reason.to_string(), "error: broken by a cast");
        assert_eq!(scribe.audit().map(|l| (l.failed, l.queued, l.lost())), Some((1, 3, 0)));
        server.start(Arc::clone(&log)).await.unwrap();
    });
    assert_eq!(echo, Ok(3));
    scribe.stop(ExitReason::Shutdown, Duration::from_secs(1)).await.unwrap();
    let lines = log.lock().unwrap().clone();
    let expected = [
        "init 1",
        "write 1",
        "terminate: error: broken by a cast",
        "init 2",
        "write 2",
        "echo 3",
        "write 4",
        "terminate: shutdown",
    ];
    assert_eq!(lines, expected);
    assert_eq!(scribe.audit().map(|l| l.lost()), Some(0));
}

/// Row G1, row G2, clauses 5.4, 12.3, 14.2: the caller of the message in hand hears the reason at once; a kill interrupts
/// a handler at its await and skips `terminate`; monitors of the mailbox see all incarnations.
#[tokio::test]
async fn whoever_is_in_hand_hears_why_and_monitors_see_every_incarnation() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::new(Mutex::new(Vec::new()));
    let server = Server::<Scribe>::new("scribe");
    let scribe = server.address();
    let heard = Arc::clone(&events);
    scribe.monitor(Watch::Mailbox, move |event| {
        heard.lock().unwrap().push(match event {
            Event::Started { incarnation } => format!("started {incarnation}"),
            Event::Down(exit) => format!("down {}: {}", exit.incarnation, exit.reason),
            Event::Closed(reason) => format!("closed: {reason}"),
            other => format!("{other:?}"),
        });
    });
    server.start(Arc::clone(&log)).await.unwrap();
    let broken = scribe.call(Ask::Break).await;
    assert_eq!(broken, Err(CallError::Exited(ExitReason::error("broken by a call"))));
    scribe.join().await;

    server.start(Arc::clone(&log)).await.unwrap();
    let (killed, ()) = tokio::join!(scribe.call(Ask::Keep), async {
        assert!(scribe.kill());
    });
    assert_eq!(killed, Err(CallError::Exited(ExitReason::Killed)));
    scribe.join().await;
    let lines = log.lock().unwrap().clone();
    assert_eq!(
        lines,
        ["init 1", "terminate: error: broken by a call", "init 2"],
        "no terminate after a kill"
    );

    assert!(scribe.close(ExitReason::shutdown_with("done")));
    assert_eq!(
        *events.lock().unwrap(),
        [
            "started 1",
            "down 1: error: broken by a call",
            "started 2",
            "down 2: killed",
            "closed: shutdown: done"
        ]
    );
    let refused = scribe.cast(Note::Write(9));
    assert!(matches!(refused, Err(SendError::Closed(Note::Write(9)))), "a refused message comes back");
}
