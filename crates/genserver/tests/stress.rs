//! Everything at once, at random: the counters balance in the end, and each sender's order is kept.

use crate::support::{Ask, Lab, Plan, Tell, echo, law};
use restante_genserver::{
    CallError, Context, ExitReason, GenServer, Init, Next, Reply, SendOptions, Server, Step, late_replies,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A small generator (xorshift), seeded from `RESTANTE_SEED` or the clock.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn seed() -> u64 {
    let given = std::env::var("RESTANTE_SEED").ok().and_then(|s| s.parse().ok());
    let seed = given.unwrap_or_else(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |d| d.subsec_nanos().into())
    });
    // Shown where a test fails.
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("RESTANTE_SEED={seed}\n")).unwrap();
    seed.max(1)
}

/// Sees to it that each sender's numbers come in order.
struct Orderly(Arc<Mutex<HashMap<u64, u64>>>);

enum Ask2 {
    Number { from: u64, n: u64, reply: Reply<u64> },
}

impl Orderly {
    fn see(&self, from: u64, n: u64) {
        let before = self.0.lock().unwrap().insert(from, n);
        if before.is_some_and(|b| b >= n) {
            self.0.lock().unwrap().insert(u64::MAX, from);
        }
    }
}

impl GenServer for Orderly {
    type Args = Arc<Mutex<HashMap<u64, u64>>>;
    type Call = Ask2;
    type Cast = (u64, u64);
    type Info = ();

    async fn init(seen: &Self::Args, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self(Arc::clone(seen))))
    }

    async fn handle_call(&mut self, Ask2::Number { from, n, reply }: Ask2, ctx: &mut Context<Self>) -> Step {
        self.see(from, n);
        match n % 7 {
            0 => tokio::task::yield_now().await,
            1 => {
                tokio::spawn(async move { reply.send(n) });
                return Ok(Next::go());
            }
            2 => drop(ctx.receive(Duration::ZERO, |_| false).await),
            _ => {}
        }
        reply.send(n);
        assert!(n % 501 != 500, "boom");
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, (from, n): (u64, u64), _: &mut Context<Self>) -> Step {
        self.see(from, n);
        if n % 17 == 0 {
            tokio::task::yield_now().await;
        }
        if n % 997 == 996 { Err(ExitReason::error("bad luck")) } else { Ok(Next::go()) }
    }
}

/// Rows D1, G4, clauses 2.1, 5.2, 17.1: senders, callers, killers and restarts at random.
#[test]
fn order_and_counters_survive_everything() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let seed = seed();
    let seen = Arc::new(Mutex::new(HashMap::new()));
    let mailbox = Server::<Orderly>::settings().capacity(64).build().unwrap();
    let server = mailbox.address();
    let done = Arc::new(AtomicBool::new(false));
    let until = Instant::now() + Duration::from_millis(1500);
    let keeper = rt.spawn({
        let (server, seen, done) = (server.clone(), Arc::clone(&seen), Arc::clone(&done));
        async move {
            while !done.load(Ordering::SeqCst) {
                let _ = mailbox.start(Arc::clone(&seen)).await;
                server.join().await;
            }
            let _ = mailbox.start(Arc::clone(&seen)).await;
            mailbox
        }
    });
    let senders: Vec<_> = (1..=4u64)
        .map(|from| {
            let server = server.clone();
            rt.spawn(async move {
                let mut dice = Dice(seed.wrapping_mul(from) | 1);
                let mut n = 0;
                while Instant::now() < until {
                    n += 1;
                    match dice.roll(6) {
                        0 => drop(server.cast((from, n))),
                        1 | 2 => server.send((from, n)).await.unwrap(),
                        3 => {
                            let limit = Duration::from_micros(dice.roll(300));
                            let call = server.call(|reply| Ask2::Number { from, n, reply });
                            match call.timeout(limit).await {
                                Ok(answer) => assert_eq!(answer, n),
                                Err(CallError::Timeout | CallError::Exited(_) | CallError::Full) => {}
                                Err(other) => panic!("{other}"),
                            }
                        }
                        _ => match server.call(|reply| Ask2::Number { from, n, reply }).await {
                            Ok(answer) => assert_eq!(answer, n),
                            Err(CallError::Exited(_)) => {}
                            Err(other) => panic!("{other}"),
                        },
                    }
                }
            })
        })
        .collect();
    let threads: Vec<_> = (5..=6u64)
        .map(|from| {
            let server = server.clone();
            std::thread::spawn(move || {
                let mut n = 0;
                while Instant::now() < until {
                    n += 1;
                    if n % 3 == 0 {
                        server.send_blocking((from, n), Duration::MAX).unwrap();
                    } else {
                        match server.call_blocking(|reply| Ask2::Number { from, n, reply }) {
                            Ok(answer) => assert_eq!(answer, n),
                            Err(CallError::Exited(_)) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                    if n % 64 == 0 {
                        server.kill();
                    }
                    if n % 50 == 0 {
                        server.stats();
                        if let Some(ledger) = server.audit() {
                            assert_eq!(ledger.lost(), 0, "{ledger}");
                        }
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    for sender in senders {
        rt.block_on(sender).unwrap();
    }
    done.store(true, Ordering::SeqCst);
    server.kill();
    let mailbox = rt.block_on(keeper).unwrap();
    server.close(ExitReason::Normal);
    rt.block_on(server.join());
    drop(mailbox);
    let ledger = rt.block_on(law(&server));
    assert_eq!(ledger.queued, 0);
    assert_eq!(seen.lock().unwrap().get(&u64::MAX), None, "a sender's order was broken");
    assert!(late_replies() < u64::MAX);
}

/// Closing while others look: every waiting caller is told.
#[test]
fn closing_while_others_look_leaves_nobody_waiting() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let until = Instant::now() + Duration::from_secs(1);
    let mut rounds = 0u32;
    while Instant::now() < until {
        rounds += 1;
        let mailbox = Server::<Lab>::new("closing");
        let lab = mailbox.address();
        let waits = rt.spawn({
            let lab = lab.clone();
            async move { lab.call(echo(1)).timeout(Duration::from_secs(3)).await }
        });
        while lab.stats().depth == 0 {
            std::thread::yield_now();
        }
        let looks = std::thread::spawn({
            let lab = lab.clone();
            move || (0..200).filter_map(|_| lab.audit()).all(|l| l.lost() == 0)
        });
        lab.close(ExitReason::Shutdown);
        let told = rt.block_on(waits).unwrap();
        assert_eq!(told, Err(CallError::Exited(ExitReason::Shutdown)), "round {rounds}");
        assert!(looks.join().unwrap());
        rt.block_on(law(&lab));
    }
}

/// Clause 17.1: lanes, limits and kills at random against one server with a small mailbox.
#[test]
fn lanes_and_limits_at_random_balance() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut dice = Dice(seed());
    rt.block_on(async {
        let settings = Server::<Lab>::settings()
            .capacity(8)
            .overflow(restante_genserver::Overflow::shed_oldest())
            .coalesce(restante_genserver::Coalesce::KeepPlace);
        let mailbox = settings.build().unwrap();
        let lab = mailbox.address();
        let until = Instant::now() + Duration::from_millis(800);
        while Instant::now() < until {
            let lanes = [
                restante_genserver::Lane::High,
                restante_genserver::Lane::Normal,
                restante_genserver::Lane::Low,
            ];
            let lane = lanes[usize::try_from(dice.roll(3)).unwrap()];
            let mut options = SendOptions::new().lane(lane);
            match dice.roll(4) {
                0 => options = options.ttl(Duration::from_micros(dice.roll(50))),
                1 => options = options.key(dice.roll(3)),
                _ => {}
            }
            match dice.roll(40) {
                0 => drop(mailbox.start(Plan::default()).await),
                1 => drop(lab.kill()),
                2 => drop(lab.cast(Tell::Boom)),
                3..10 => {
                    drop(lab.call(Ask::Total).options(options).timeout(Duration::from_micros(200)).await);
                }
                10 => tokio::task::yield_now().await,
                _ => drop(lab.cast_with(Tell::Add(1), options)),
            }
        }
        lab.kill();
        lab.join().await;
        let ledger = law(&lab).await;
        assert!(ledger.sent > 100);
        lab.close(ExitReason::Normal);
        assert_eq!(law(&lab).await.queued, 0);
    });
}
