//! Smoke.
use restante_genserver::*;
use std::time::Duration;

#[derive(Debug)]
struct Counter {
    n: u64,
}
#[derive(Debug)]
enum Ask {
    Get(Reply<u64>),
    Sleep(Duration, Reply<u64>),
    Boom(#[allow(dead_code)] Reply<u64>),
    Never(#[allow(dead_code)] Reply<u64>),
}
impl GenServer for Counter {
    type Args = u64;
    type Call = Ask;
    type Cast = u64;
    type Info = ();
    async fn init(n: &u64, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Counter { n: *n }))
    }
    async fn handle_call(&mut self, call: Ask, _: &mut Context<Self>) -> Step {
        match call {
            Ask::Get(r) => {
                r.send(self.n);
            }
            Ask::Sleep(d, r) => {
                tokio::time::sleep(d).await;
                r.send(self.n);
            }
            Ask::Boom(_r) => panic!("boom"),
            Ask::Never(_r) => std::future::pending::<()>().await,
        }
        Ok(Next::go())
    }
    async fn handle_cast(&mut self, n: u64, _: &mut Context<Self>) -> Step {
        self.n += n;
        Ok(Next::go())
    }
}
async fn check() {
    let c = start::<Counter>(1).await.unwrap();
    c.cast(41).unwrap();
    assert_eq!(c.call(Ask::Get).await, Ok(42));
    assert_eq!(c.call(Ask::Get).await, Ok(42));
    assert_eq!(c.call(|r| Ask::Sleep(Duration::from_millis(5), r)).await, Ok(42));
    for i in 0..5000 {
        c.send(i).await.unwrap();
    }
    assert_eq!(c.call(Ask::Get).await, Ok(42 + 4999 * 5000 / 2));
    let s = Server::<Counter>::new("counter");
    let a = s.address();
    a.cast(5).unwrap();
    s.start(1).await.unwrap();
    assert_eq!(a.call(Ask::Get).await, Ok(6));
    let e = a.call(Ask::Boom).await;
    assert!(matches!(e, Err(CallError::Exited(ExitReason::Panic(_)))), "{e:?}");
    a.cast(7).unwrap();
    a.join().await;
    s.start(1).await.unwrap();
    assert_eq!(a.call(Ask::Get).await, Ok(8));
    let b = a.clone();
    let j = tokio::spawn(async move { b.call(Ask::Never).await });
    tokio::time::sleep(Duration::from_millis(5)).await;
    a.kill();
    let e = j.await.unwrap();
    assert_eq!(e, Err(CallError::Exited(ExitReason::Killed)));
    a.join().await;
    let l = a.audit().unwrap();
    assert_eq!(l.lost(), 0, "{l}");
    s.start(1).await.unwrap();
    a.stop(ExitReason::Shutdown, Duration::from_secs(1)).await.unwrap();
    let l = c.audit().unwrap();
    assert_eq!(l.lost(), 0, "{l}");
}
#[tokio::test]
async fn one() {
    check().await
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two() {
    tokio::spawn(check()).await.unwrap()
}
