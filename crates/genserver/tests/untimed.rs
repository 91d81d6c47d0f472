//! A runtime without a time driver: what still keeps its limits, and how the rest says that it cannot.

use crate::support::{Ask, Lab, Log, Note, Plan, Tell, law, settle, tell};
use futures::FutureExt;
use restante_genserver::{CallError, ExitReason, Init, Next, Server, StartError, start};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

fn untimed() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

/// Clause 15.6: calls keep the default limit, on one such runtime and beside it on another, and no panic hook hears how that
/// was found out.
#[test]
fn without_a_time_driver_calls_keep_their_default_limit() {
    let panics = Log::default();
    let before = std::panic::take_hook();
    let heard = panics.clone();
    std::panic::set_hook(Box::new(move |info| {
        let said = info.payload_as_str().unwrap_or_default();
        if said.contains(NO_TIMERS) && std::thread::current().name() == Some("asks") {
            heard.push(said);
        } else {
            before(info);
        }
    }));
    let ask = || {
        untimed().block_on(async {
            let lab = start::<Lab>(Plan::default()).await.unwrap();
            let began = Instant::now();
            assert_eq!(lab.call(Ask::Never).await, Err(CallError::Timeout));
            began.elapsed()
        })
    };
    let asked = [(); 2].map(|()| std::thread::Builder::new().name("asks".into()).spawn(ask).unwrap());
    for took in asked.map(|thread| thread.join().unwrap()) {
        assert!(took >= 5 * SECOND, "{took:?}");
    }
    assert_eq!(panics.take(), [""; 0]);
}

/// The message of the panic that `wait` ends in.
async fn panics(wait: impl Future<Output: std::fmt::Debug>) -> String {
    let payload = AssertUnwindSafe(wait).catch_unwind().await.unwrap_err();
    ExitReason::from_panic(payload).to_string()
}

const NO_TIMERS: &str = "timers are disabled";

/// Clause 15.6: a limit of one's own that has to be waited for panics in the caller that set it; none, zero and
/// `Duration::MAX` do not, and no server ends by it.
#[test]
fn without_a_time_driver_other_limits_panic_in_the_caller() {
    untimed().block_on(async {
        let lab = Server::<Lab>::settings().capacity(1).start(Plan::default()).await.unwrap();
        for limit in [Duration::ZERO, Duration::MAX] {
            assert_eq!(lab.call(Ask::Total).timeout(limit).await, Ok(0));
        }
        assert_eq!(lab.call(Ask::Never).timeout(Duration::ZERO).await, Err(CallError::Timeout));
        settle().await;
        let said = panics(lab.call(Ask::Total).timeout(SECOND)).await;
        assert!(said.contains(NO_TIMERS), "{said}");
        // The call that was given up lies in the one slot.
        let said = panics(lab.send_timeout(Tell::Add(1), SECOND)).await;
        assert!(said.contains(NO_TIMERS), "{said}");
        let said = panics(lab.stop(ExitReason::Shutdown, SECOND)).await;
        assert!(said.contains(NO_TIMERS), "{said}");
        assert!(lab.is_alive(), "it hangs in a handler");
        assert!(lab.kill());
        assert_eq!(lab.join().await.reason, ExitReason::Killed);
        assert_eq!(law(&lab).await.sent, 5, "four calls and the order: the cast found no room");
    });
}

/// Clause 15.6: the limit of a start is kept, the library's own and one that was set.
#[test]
fn without_a_time_driver_starts_have_their_limit() {
    untimed().block_on(async {
        let takes_a_turn = Plan::default().init(|plan, _| {
            Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(Init::ok(Lab::new(plan)))
            })
        });
        assert!(start::<Lab>(takes_a_turn).await.is_ok());
        assert!(Server::<Lab>::settings().own_thread().start(Plan::default()).await.is_ok());
        let hangs = Plan::default().init(|_, _| Box::pin(std::future::pending()));
        let limited = Server::<Lab>::settings().start_timeout(SECOND / 1000);
        assert!(matches!(limited.start(hangs).await, Err(StartError::Timeout)));
    });
}

/// Clause 15.6: a server that sets a timer ends by the panic, as by any other.
#[test]
fn without_a_time_driver_timers_end_their_server() {
    let idle = tell(|_, _| Box::pin(async { Ok(Next::idle_timeout(SECOND)) }));
    let timer = tell(|_, ctx| {
        ctx.send_after(SECOND, Note::Boom);
        Box::pin(async { Ok(Next::go()) })
    });
    let sleep = tell(|_, ctx| {
        Box::pin(async {
            let _ = ctx.receive(SECOND, |_| true).await;
            Ok(Next::go())
        })
    });
    untimed().block_on(async {
        for job in [idle, timer, sleep] {
            let plan = Plan::default();
            let lab = start::<Lab>(plan.clone()).await.unwrap();
            lab.cast(job).unwrap();
            let exit = lab.join().await;
            assert!(exit.reason.to_string().contains(NO_TIMERS), "{}", exit.reason);
            assert_eq!(plan.log.len(), 1, "terminate has run");
        }
    });
}
