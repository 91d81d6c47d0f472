//! Kept mailboxes under shuttle, with a toy keeper: what [`crate::keeper`] and the executor owe a mailbox's keeper. Run as
//! `shuttle_tests`, with which this shares its servers.
//!
//! The toy writes down whatever a keeper must never see (two incarnations at a time, one that ends without having begun,
//! a number that comes again), since its methods must not panic; [`Toy::content`] looks at it.

use crate::executor::Cell;
use crate::keeper::{self, Beginner, End, Keeper, Verdict};
use crate::shuttle_tests::{Args, Ask, EVER, Probe, Probes, Tell, balanced, explore, notes, spawn};
use crate::*;
use shuttle::thread;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// Keeps one mailbox, by the simplest rules. A standard lock, held for moments.
struct Toy {
    args: Args,
    book: Mutex<Book>,
}

struct Book {
    /// What it says to an end.
    again: bool,
    refuses: bool,
    /// What has begun and not ended.
    live: Option<u32>,
    last: u32,
    begun: u32,
    started: u32,
    ended: u32,
    refused: u32,
    closed: u32,
    /// Who wait for an end.
    waiting: Vec<oneshot::Sender<()>>,
    wrong: Vec<String>,
}

impl Toy {
    /// A mailbox, its keeper, and the first incarnation.
    async fn keeps(again: bool, args: Args) -> (Arc<Self>, Server<Probe>, Probes) {
        let server = Server::settings().build().unwrap();
        let (toy, at) = (Self::of(&server, again, args), server.address());
        keeper::start_kept(&server, toy.clone()).await.unwrap();
        (toy, server, at)
    }

    fn of(server: &Server<Probe>, again: bool, args: Args) -> Arc<Self> {
        let book = Book {
            again,
            refuses: false,
            live: None,
            last: 0,
            begun: 0,
            started: 0,
            ended: 0,
            refused: 0,
            closed: 0,
            waiting: Vec::new(),
            wrong: Vec::new(),
        };
        let toy = Arc::new(Self { args, book: Mutex::new(book) });
        let weak: Weak<Self> = Arc::downgrade(&toy);
        assert_eq!(keeper::keep(server, weak), Ok(()));
        toy
    }

    fn book<R>(&self, f: impl FnOnce(&mut Book) -> R) -> R {
        f(&mut self.book.lock().unwrap())
    }

    /// Is told of the next end that the keeper is told of.
    fn end(&self) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.book(|book| book.waiting.push(tell));
        told
    }

    /// Nothing was wrong; how many incarnations there have been.
    fn content(&self) -> u32 {
        self.book(|book| {
            assert_eq!(book.wrong, [""; 0]);
            book.begun
        })
    }
}

impl Keeper<Probe> for Toy {
    fn args(&self) -> &Args {
        &self.args
    }

    fn start_timeout(&self) -> Duration {
        EVER
    }

    fn begins(&self, incarnation: u32, _: Beginner) -> bool {
        self.book(|book| {
            if book.refuses || book.live.is_some() {
                book.refused += 1;
                return false;
            }
            if incarnation <= book.last {
                book.wrong.push(format!("{incarnation} begins after {}", book.last));
            }
            (book.live, book.last) = (Some(incarnation), incarnation);
            book.begun += 1;
            true
        })
    }

    fn started(&self, incarnation: u32) {
        self.book(|book| {
            if book.live != Some(incarnation) {
                book.wrong.push(format!("{incarnation} has started, {:?} is live", book.live));
            }
            book.started += 1;
        });
    }

    fn ended(&self, end: &End) -> Verdict {
        let (waiting, again) = self.book(|book| {
            book.closed += u32::from(end.closed);
            if book.live.take().is_some_and(|live| live != end.exit.incarnation) {
                book.wrong.push(format!("{end:?}"));
            }
            book.ended += 1;
            let again = book.again && !end.closed;
            if again {
                // The next one begins in its place, and is not asked for.
                (book.live, book.last) = (Some(end.exit.incarnation + 1), end.exit.incarnation + 1);
                book.begun += 1;
            }
            (std::mem::take(&mut book.waiting), again)
        });
        for waiting in waiting {
            let _ = waiting.send(());
        }
        if again { Verdict::Again } else { Verdict::Leave(None) }
    }
}

/// Ends a mailbox for good, and looks whether all is accounted for.
async fn over(toy: &Toy, server: Server<Probe>, at: Probes) -> Ledger {
    toy.book(|book| book.again = false);
    at.close(ExitReason::Shutdown);
    at.join().await;
    let cell: Arc<Cell<Probe>> = Arc::clone(at.handle.cell());
    drop((server, at));
    let ledger = balanced(&cell);
    assert_eq!((ledger.queued, ledger.in_hand), (0, 0), "{ledger}");
    ledger
}

/// What this mailbox's next reader echoes: the mailbox is served.
async fn served(at: &Probes) {
    assert_eq!(at.call(|reply| Ask::Echo(900, reply)).await, Ok(900));
}

/// Row G4: die × restart × send. Two senders, one of whom crashes the server twice: what is queued survives in order, and
/// nothing but the two messages in hand is lost.
#[test]
fn shuttle_kept_casts_survive_crashes_in_order() {
    explore(|| async {
        let args = Args::default();
        let (toy, server, at) = Toy::keeps(true, args.clone()).await;
        let senders: Vec<_> = (1..=2)
            .map(|sender| {
                let at = at.clone();
                thread::spawn(move || {
                    for n in 0..2 {
                        notes(&at, [sender * 100 + n]);
                        if sender == 1 {
                            at.cast(Tell::Panic).unwrap();
                        }
                    }
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        served(&at).await;
        assert_eq!((args.seen.of(1), args.seen.of(2)), (vec![100, 101], vec![200, 201]));
        let ledger = over(&toy, server, at).await;
        assert_eq!((ledger.failed, ledger.handled), (2, 5));
        assert_eq!(toy.content(), 3);
    });
}

/// Row G4: die × restart × call. Callers are answered, by whichever incarnation, or told: only the one in hand.
#[test]
fn shuttle_kept_callers_are_answered_or_told() {
    explore(|| async {
        let (toy, server, at) = Toy::keeps(true, Args::default()).await;
        let callers: Vec<_> = (1..=2)
            .map(|n| {
                let at = at.clone();
                spawn(async move { at.call(|reply| Ask::Later(n, reply)).await })
            })
            .collect();
        let failed = at.call(Ask::Panic).await;
        assert!(matches!(failed, Err(CallError::Exited(ExitReason::Panic(_)))), "{failed:?}");
        for (caller, n) in callers.into_iter().zip(1..) {
            assert_eq!(caller.await, Ok(n));
        }
        served(&at).await;
        over(&toy, server, at).await;
        assert_eq!(toy.content(), 2);
    });
}

/// Kill × the task that begins the next incarnation: each ends one incarnation or none, and the mailbox is served in the end.
#[test]
fn shuttle_kill_and_renew() {
    explore(|| async {
        let args = Args { slow: true, ..Args::default() };
        let (toy, server, at) = Toy::keeps(true, args.clone()).await;
        let killer = {
            let at = at.clone();
            thread::spawn(move || u32::from(at.kill()) + u32::from(at.kill()))
        };
        notes(&at, [100, 101]);
        at.cast(Tell::Panic).unwrap();
        notes(&at, [102]);
        let killed = killer.join().unwrap();
        served(&at).await;
        assert_eq!(args.seen.of(1), [100, 101, 102]);
        over(&toy, server, at).await;
        let begun = toy.content();
        assert!(begun >= 2 && begun <= 2 + killed, "{begun} {killed}");
    });
}

/// Again × again × audit, after a crash: exactly one incarnation, and no wish is lost to a thread that only looks.
#[test]
fn shuttle_again_from_two_threads() {
    explore(|| async {
        let (toy, server, at) = Toy::keeps(false, Args::default()).await;
        let (first, second) = (toy.end(), toy.end());
        let again = |end: oneshot::Receiver<()>| {
            let at = at.clone();
            spawn(async move {
                end.await.unwrap();
                keeper::again(&at);
            })
        };
        let (first, second) = (again(first), again(second));
        let auditor = {
            let at = at.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    if let Some(ledger) = at.audit() {
                        assert_eq!(ledger.lost(), 0, "{ledger}");
                    }
                }
            })
        };
        at.cast(Tell::Panic).unwrap();
        first.await;
        second.await;
        auditor.join().unwrap();
        served(&at).await;
        over(&toy, server, at).await;
        assert_eq!(toy.content(), 2);
    });
}

/// Start × again: one of them begins; a starter who is late is told so.
#[test]
fn shuttle_start_and_again() {
    explore(|| async {
        let args = Args { slow: true, ..Args::default() };
        let (toy, server, at) = Toy::keeps(false, args).await;
        let end = toy.end();
        at.cast(Tell::Panic).unwrap();
        end.await.unwrap();
        let other = {
            let at = at.clone();
            thread::spawn(move || keeper::again(&at))
        };
        notes(&at, [100]);
        let started = keeper::start_kept(&server, toy.clone()).await;
        other.join().unwrap();
        assert!(
            matches!(started, Ok(()) | Err(StartError::AlreadyStarted | StartError::Supervised)),
            "{started:?}"
        );
        served(&at).await;
        over(&toy, server, at).await;
        assert_eq!(toy.content(), 2);
    });
}

/// A refused start × again: the wish is not lost to a starter who came first and was sent away.
#[test]
fn shuttle_again_and_a_refused_start() {
    explore(|| async {
        let (toy, server, at) = Toy::keeps(false, Args::default()).await;
        let end = toy.end();
        at.cast(Tell::Panic).unwrap();
        end.await.unwrap();
        let stranger = {
            let at = at.clone();
            spawn(async move { start_again(&at, Args::default()).await })
        };
        keeper::again(&at);
        let refused = stranger.await;
        assert!(matches!(refused, Err(StartError::Supervised)), "{refused:?}: only its keeper starts it");
        served(&at).await;
        over(&toy, server, at).await;
        assert_eq!(toy.content(), 2);
    });
}

/// Refusal × stop × again: what was refused leaves no trace, and what is queued waits for who may begin.
#[test]
fn shuttle_a_refused_incarnation_and_a_stop() {
    explore(|| async {
        let args = Args::default();
        let (toy, server, at) = Toy::keeps(true, args.clone()).await;
        let stopper = {
            let at = at.clone();
            spawn(async move { at.stop(ExitReason::Shutdown, EVER).await })
        };
        let refuser = {
            let (toy, at) = (Arc::clone(&toy), at.clone());
            thread::spawn(move || {
                toy.book(|book| book.refuses = true);
                keeper::again(&at);
            })
        };
        notes(&at, [100, 101]);
        let stopped = stopper.await;
        assert_eq!(stopped, Ok(()));
        refuser.join().unwrap();
        toy.book(|book| book.refuses = false);
        // The first restart may have come before the refusal.
        let again = keeper::start_kept(&server, toy.clone()).await;
        assert!(
            matches!(again, Ok(()) | Err(StartError::AlreadyStarted | StartError::Supervised)),
            "{again:?}"
        );
        served(&at).await;
        assert_eq!(args.seen.of(1), [100, 101]);
        let begun = over(&toy, server, at.clone()).await;
        assert_eq!(begun.failed, 0);
        assert_eq!(toy.content(), 2);
        assert_eq!(at.incarnation(), 2, "a refused incarnation has never been");
    });
}

/// Close × the task that begins the next incarnation: the keeper is told that none can come, and no caller waits for ever.
#[test]
fn shuttle_close_and_renew() {
    explore(|| async {
        let (toy, server, at) = Toy::keeps(true, Args::default()).await;
        let closer = {
            let at = at.clone();
            thread::spawn(move || at.close(ExitReason::Shutdown))
        };
        let caller = {
            let at = at.clone();
            spawn(async move { at.call(|reply| Ask::Echo(1, reply)).await })
        };
        let crashed = at.cast(Tell::Panic).is_ok();
        assert!(closer.join().unwrap());
        let answer = caller.await;
        assert!(matches!(answer, Ok(1) | Err(CallError::Closed | CallError::Exited(_))), "{answer:?}");
        at.join().await;
        // Told by the thread that ended the mailbox, which may be about to.
        while toy.book(|book| book.closed == 0) {
            shuttle::future::yield_now().await;
        }
        over(&toy, server, at).await;
        let begun = toy.content();
        assert!(begun <= 1 + u32::from(crashed));
        assert_eq!(toy.book(|book| (book.live, book.closed)), (None, 1));
    });
}

/// Close × again, where the keeper has let a while pass: it is told, though the mailbox's task may have gone by then.
#[test]
fn shuttle_close_and_again() {
    explore(|| async {
        let (toy, server, at) = Toy::keeps(false, Args::default()).await;
        let end = toy.end();
        at.cast(Tell::Panic).unwrap();
        end.await.unwrap();
        let closer = {
            let at = at.clone();
            thread::spawn(move || at.close(ExitReason::Shutdown))
        };
        keeper::again(&at);
        assert!(closer.join().unwrap());
        while toy.book(|book| book.closed == 0) {
            shuttle::future::yield_now().await;
        }
        over(&toy, server, at).await;
        assert!(toy.content() <= 2);
        assert_eq!(toy.book(|book| book.closed), 1);
    });
}

/// Clear out × send × start × again: each message is handled or dead-lettered, and those that come later are handled.
#[test]
fn shuttle_clear_out_and_start() {
    explore(|| async {
        let args = Args::default();
        let (toy, server, at) = Toy::keeps(false, args.clone()).await;
        let end = toy.end();
        at.cast(Tell::Panic).unwrap();
        end.await.unwrap();
        notes(&at, [100]);
        let sender = {
            let at = at.clone();
            thread::spawn(move || notes(&at, [200, 201]))
        };
        let clearer = {
            let at = at.clone();
            thread::spawn(move || keeper::clear_out(&at, &ExitReason::Shutdown))
        };
        keeper::again(&at);
        let cleared = clearer.join().unwrap();
        sender.join().unwrap();
        served(&at).await;
        let handled = args.seen.all().len() as u64 - 1;
        assert_eq!(handled + cleared, 3);
        let ledger = over(&toy, server, at).await;
        assert_eq!((ledger.failed, ledger.dead_lettered), (1, cleared));
        assert_eq!(toy.content(), 2);
    });
}
