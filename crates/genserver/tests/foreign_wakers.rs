//! Wakers and values that panic, at the reply slots: a caller's waker may panic when it is woken or dropped, a reply when
//! it is dropped. Neither is the affair of the server that answers, of the sweep that keeps the default limit, or of the
//! next caller.

use crate::support::{Ask, Gate, LONG, Lab, Plan, Rude, pass, settle, tell};
use restante_core::ExitReason;
use restante_genserver::{
    CallError, Context as Ctx, GenServer, Init, Next, Reply, Requests, Server, StartError, Step, start,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Panics when it is woken, or only when it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Panics {
    Woken,
    Dropped,
}

struct RudeWaker(Panics);

impl Wake for RudeWaker {
    fn wake(self: Arc<Self>) {
        assert!(self.0 != Panics::Woken, "rude wake");
    }
}

impl Drop for RudeWaker {
    fn drop(&mut self) {
        assert!(self.0 != Panics::Dropped || std::thread::panicking(), "rude drop of a waker");
    }
}

const BOTH: [Panics; 2] = [Panics::Woken, Panics::Dropped];

/// Polls once with a waker of which the future then has the last clone.
fn poll_rudely<F: Future + ?Sized>(future: Pin<&mut F>, panics: Panics) -> Poll<F::Output> {
    // The waker's drop here is not the last while the future keeps a clone; where it keeps none, the panic is this test's.
    let waker = Waker::from(Arc::new(RudeWaker(panics)));
    let polled = future.poll(&mut Context::from_waker(&waker));
    if polled.is_ready() {
        std::mem::forget(waker);
    }
    polled
}

/// Clause 6.1: a waker that panics when the sweep wakes it ends no sweep: the limits of all other calls are kept.
#[tokio::test(start_paused = true)]
async fn the_sweep_goes_on_after_a_waker_that_panics() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    for panics in BOTH {
        let mut rude: Vec<_> = (0..3).map(|_| Box::pin(lab.call(Ask::Never))).collect();
        for call in &mut rude {
            assert!(poll_rudely(call.as_mut(), panics).is_pending());
        }
        // One that began with them, and one that begins when they are over.
        let beside = tokio::time::timeout(LONG, lab.call(Ask::Never)).await;
        assert_eq!(beside, Ok(Err(CallError::Timeout)), "{panics:?}");
        let later = tokio::time::timeout(LONG, lab.call(Ask::Never)).await;
        assert_eq!(later, Ok(Err(CallError::Timeout)), "{panics:?}");
        for call in rude {
            assert_eq!(call.await, Err(CallError::Timeout), "{panics:?}");
        }
    }
}

/// Clauses 6.18, 13.2: a caller's waker that panics is not its server's panic, whatever the server tells that caller, and the
/// caller has its outcome all the same.
#[tokio::test]
async fn a_callers_waker_that_panics_does_not_end_the_server() {
    for panics in BOTH {
        let lab = start::<Lab>(Plan::default()).await.unwrap();
        let (entered, go) = (Gate::new(), Gate::new());
        let mut held = Box::pin(lab.call(pass(&entered, &go)));
        assert!(poll_rudely(held.as_mut(), panics).is_pending());
        entered.pass().await;
        let asks: [fn(Reply<u64>) -> Ask; 3] = [|r| Ask::Echo(7, r), Ask::Forget, Ask::Keep];
        let mut calls: Vec<_> = asks.into_iter().map(|ask| Box::pin(lab.call(ask))).collect();
        for call in &mut calls {
            assert!(poll_rudely(call.as_mut(), panics).is_pending());
        }
        go.open();
        lab.cast(tell(|lab, _| {
            Box::pin(async {
                lab.kept.drain(..).for_each(|r| _ = r.send(3));
                Ok(Next::go())
            })
        }))
        .unwrap();
        assert_eq!(lab.call(Ask::Total).await, Ok(0), "{panics:?}: it goes on");
        assert_eq!(lab.incarnation(), 1);
        assert_eq!(held.await, Ok(1));
        let mut told = Vec::new();
        for call in calls {
            told.push(call.await);
        }
        assert_eq!(told, [Ok(7), Err(CallError::NoReply), Ok(3)], "{panics:?}");
    }
}

/// Clause 4.6: nor does it hold up a closing that has other callers to tell.
#[tokio::test]
async fn a_callers_waker_that_panics_does_not_hold_up_an_end() {
    for panics in BOTH {
        let server = Server::<Lab>::settings().build().unwrap();
        let lab = server.address();
        let mut calls: Vec<_> = (0..4).map(|_| Box::pin(lab.call(Ask::Total))).collect();
        for call in &mut calls {
            assert!(poll_rudely(call.as_mut(), panics).is_pending());
        }
        let mut requests: Requests<u32, u64> = Requests::new();
        requests.add(1, lab.send_request(Ask::Total));
        let mut next = Box::pin(requests.next());
        assert!(poll_rudely(next.as_mut(), panics).is_pending());
        lab.close(ExitReason::Shutdown);
        for call in calls {
            assert_eq!(call.await, Err(CallError::Exited(ExitReason::Shutdown)), "{panics:?}");
        }
        assert_eq!(next.await, Some((1, Err(CallError::Exited(ExitReason::Shutdown)))));
    }
}

/// Clause 6.3: a caller that polls anew with another waker drops the old one, and is none the worse for its panic.
#[tokio::test]
async fn the_drop_of_an_old_waker_costs_no_outcome() {
    let lab = start::<Lab>(Plan::default()).await.unwrap();
    let (entered, go) = (Gate::new(), Gate::new());
    let mut call = Box::pin(lab.call(pass(&entered, &go)));
    assert!(poll_rudely(call.as_mut(), Panics::Dropped).is_pending());
    assert!(poll_rudely(call.as_mut(), Panics::Dropped).is_pending());
    go.open();
    assert_eq!(call.await, Ok(1));
    let (entered, go) = (Gate::new(), Gate::new());
    let mut given_up = Box::pin(lab.call(pass(&entered, &go)));
    assert!(poll_rudely(given_up.as_mut(), Panics::Dropped).is_pending());
    drop(given_up);
    go.open();
    assert_eq!(lab.call(Ask::Total).await, Ok(0));
}

/// Answers with a value that panics when it is dropped, when it is let.
struct Rudely;

#[derive(Debug)]
struct Value(Rude);

impl GenServer for Rudely {
    type Args = Gate;
    type Call = (Gate, Reply<Value>);
    type Cast = ();
    type Info = ();
    async fn init(_: &Gate, _: &mut Ctx<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }
    async fn handle_call(&mut self, (go, reply): (Gate, Reply<Value>), _: &mut Ctx<Self>) -> Step {
        go.pass().await;
        reply.send(Value(Rude));
        Ok(Next::go())
    }
}

/// Clause 15.5, 6.3: a reply that its caller does not take is dropped with the call's future, or in the handler where it
/// comes too late: its panic is neither the caller's nor the server's.
#[tokio::test]
async fn a_reply_that_is_not_wanted_may_panic_in_its_drop() {
    let rude = start::<Rudely>(Gate::new()).await.unwrap();
    for late in [false, true] {
        let go = Gate::new();
        let mut call = Box::pin(rude.call(|reply| (go.clone(), reply)));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        if late {
            drop(call);
            go.open();
            settle().await;
        } else {
            go.open();
            settle().await;
            drop(call);
        }
        assert!(rude.is_alive(), "late: {late}");
    }
    assert_eq!(rude.incarnation(), 1);
}

/// Starts a server on this mailbox when it is woken, and notes what became of that.
struct Starts(Arc<Server<Lab>>, std::sync::Mutex<Vec<Poll<Result<(), StartError>>>>);

impl Wake for Starts {
    fn wake(self: Arc<Self>) {
        let mut starts = Box::pin(self.0.start(Plan::default()));
        let polled = starts.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.1.lock().unwrap().push(polled.map(|started| started.map(drop)));
    }
}

/// Clauses 13.9, 5.3: a caller that hears that the mailbox was closed may ask at once, on the stack that tells it, for a server
/// there: it is told that the mailbox is closed.
#[tokio::test]
async fn a_start_from_the_waker_of_a_caller_that_is_told_of_the_close_ends() {
    let mailbox = Arc::new(Server::<Lab>::new("unread"));
    let address = mailbox.server().clone();
    let mut call = Box::pin(address.call(|r| Ask::Echo(1, r)));
    let starts = Arc::new(Starts(Arc::clone(&mailbox), std::sync::Mutex::default()));
    assert!(call.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&starts)))).is_pending());
    address.close(ExitReason::Shutdown);
    let heard = std::mem::take(&mut *starts.1.lock().unwrap());
    assert_eq!(heard, [Poll::Ready(Err(StartError::Closed))]);
    assert!(call.await.is_err());
}
