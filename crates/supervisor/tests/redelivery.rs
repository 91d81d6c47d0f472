//! The message in hand at a crash has a policy, and a supervisor that restarts its server: poison among good ones.

use crate::support::quiet;
use restante_core::{DeadLetter, ExitReason, Mailbox};
use restante_genserver::{
    CallError, Context, GenServer, InHand, Init, Message, Next, Redeliver, Reply, Server, ServerRef, Step,
};
use restante_supervisor::{Backoff, Intensity, Supervise, Supervisor, SupervisorRef};
use restante_testkit::assert_conserved;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Panics over what it is told to.
struct Taster {
    seen: Seen,
}

type Seen = Arc<Mutex<Vec<u32>>>;

#[derive(Debug, Clone)]
enum Dish {
    Good(u32),
    /// Every server that tastes it dies.
    Poison(u32),
    /// The first so many die.
    Off(u32, Arc<Mutex<u32>>),
}

impl Dish {
    fn taste(&self, seen: &Seen) -> u32 {
        let n = match self {
            Self::Good(n) => *n,
            Self::Poison(_) => panic!("told to"),
            Self::Off(n, left) => {
                let mut left = left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if *left > 0 {
                    *left -= 1;
                    drop(left);
                    panic!("told to");
                }
                *n
            }
        };
        seen.lock().unwrap().push(n);
        n
    }
}

struct Ask(Dish, Reply<u32>);

impl GenServer for Taster {
    type Args = Seen;
    type Call = Ask;
    type Cast = Dish;
    type Info = ();
    async fn init(seen: &Seen, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { seen: Arc::clone(seen) }))
    }
    async fn handle_call(&mut self, Ask(dish, reply): Ask, _: &mut Context<Self>) -> Step {
        reply.send(dish.taste(&self.seen));
        Ok(Next::go())
    }
    async fn handle_cast(&mut self, dish: Dish, _: &mut Context<Self>) -> Step {
        dish.taste(&self.seen);
        Ok(Next::go())
    }
}

impl Redeliver for Taster {
    fn retry_call(Ask(dish, reply): &Ask) -> Option<Ask> {
        Some(Ask(dish.clone(), reply.again()))
    }
    fn retry_cast(dish: &Dish) -> Option<Dish> {
        Some(dish.clone())
    }
}

struct Table {
    tree: SupervisorRef,
    taster: ServerRef<Taster>,
    seen: Seen,
    letters: Mailbox<DeadLetter<Message<Taster>>>,
}

async fn table(policy: InHand, adjust: impl FnOnce(Supervisor) -> Supervisor) -> Table {
    quiet();
    let letters = Mailbox::new();
    let server = Server::<Taster>::settings()
        .name("taster")
        .capacity(4096)
        .dead_letters(letters.address().recipient())
        .in_hand(policy)
        .build()
        .unwrap();
    let (taster, seen) = (server.address(), Seen::default());
    let supervisor = adjust(Supervisor::one_for_one().backoff(Backoff::NONE));
    let tree = supervisor.child(server.child(Arc::clone(&seen))).start().await.unwrap();
    Table { tree, taster, seen, letters }
}

/// Row G4, failure modes 9 and 10: one poison among 1,000: the others are handled once each and in order, and only the poison
/// is dead-lettered, after its attempts.
#[tokio::test]
async fn only_the_poison_is_given_up() {
    let t = table(InHand::Redeliver { max: 3, backoff: Duration::ZERO }, |s| {
        s.with_intensity(Intensity::UNLIMITED)
    })
    .await;
    for n in 0..1000 {
        t.taster.cast(if n == 500 { Dish::Poison(n) } else { Dish::Good(n) }).unwrap();
    }
    assert_eq!(t.taster.call(|reply| Ask(Dish::Good(1000), reply)).await, Ok(1000));
    let good: Vec<u32> = (0..=1000).filter(|n| *n != 500).collect();
    assert_eq!(*t.seen.lock().unwrap(), good);
    let letter = t.letters.receiver().unwrap().receive().await.unwrap();
    assert!(matches!(letter.body, Some(Message::Cast(Dish::Poison(500)))), "{letter:?}");
    assert_eq!((letter.attempts, t.tree.restarts(), t.taster.incarnation()), (4, 4, 5));
    let ledger = assert_conserved!(t.tree);
    assert_eq!((ledger.dead_lettered, ledger.redelivered, ledger.failed), (1, 3, 0));
}

/// Row G4: the caller of a call that is delivered again waits, and has its reply from a later incarnation.
#[tokio::test]
async fn a_caller_is_answered_by_a_later_incarnation() {
    let relentless = |s: Supervisor| s.with_intensity(Intensity::UNLIMITED);
    let t = table(InHand::Redeliver { max: 3, backoff: Duration::ZERO }, relentless).await;
    let off = Dish::Off(7, Arc::new(Mutex::new(2)));
    assert_eq!(t.taster.call(|reply| Ask(off, reply)).await, Ok(7));
    assert_eq!(t.taster.incarnation(), 3);
    let poison = t.taster.call(|reply| Ask(Dish::Poison(1), reply)).await;
    assert!(matches!(poison, Err(CallError::Exited(ExitReason::Panic(_)))), "{poison:?}");
}

/// Row G4: attempts are restarts, so a poison that may be tried more often than the supervisor restarts makes that give up;
/// with no supervisor above, the message is dead-lettered with all the rest, and its caller hears why.
#[tokio::test(start_paused = true)]
async fn a_supervisor_may_give_up_before_the_policy_does() {
    let t = table(InHand::Redeliver { max: 100, backoff: Duration::ZERO }, |s| s).await;
    let call = t.taster.call(|reply| Ask(Dish::Poison(1), reply)).timeout(Duration::MAX).await;
    assert!(matches!(call, Err(CallError::Exited(_))), "{call:?}");
    let exit = t.tree.join().await;
    assert!(restante_supervisor::RestartLimit::of(&exit.reason).is_some(), "{exit}");
    assert_eq!((t.taster.incarnation(), assert_conserved!(t.taster).dead_lettered), (4, 1));
}
