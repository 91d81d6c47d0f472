//! What survives what, under a supervisor: a test for each thing that could be lost, over each way in which a supervised
//! server comes to its next incarnation, and then over its end for good. (`genserver/tests/survives.rs` has the same
//! for a mailbox without a supervisor; the message in hand with a policy of its own has `tests/redelivery.rs`.)
//!
//! | what | panic, then restart | restart of its group | stopped, then started | deleted |
//! |---|---|---|---|---|
//! | address | same | same | same; sends queue | closed |
//! | queued messages, by lane | kept, in order | kept | kept, or dead-lettered (`keep_mailbox(false)`) | dead-lettered |
//! | the message in hand | dropped, counted failed | ends, or is killed at the limit | the same | the same |
//! | its caller | hears the reason at once | has its reply, or hears that it was killed | the same | the same |
//! | replies kept in the state | callers hear the reason | the same | the same | the same |
//! | what a selective receive skipped | queued, in order | the same | the same | dead-lettered |
//! | timers of the instance; times to live | cancelled; run on | the same | the same | cancelled |
//! | monitors of the instance; the mailbox; links | DOWN; told of each incarnation; told | the same | the same | DOWN; closed |
//! | state | made anew by `init` | the same | the same | – |

use crate::support::quiet;
use restante_core::{DeadCause, DeadLetter, ExitReason, Lane, Mailbox, SendOptions};
use restante_genserver::{
    CallError, Context, GenServer, Init, Message, Next, Reply, Server, ServerRef, Step, start,
};
use restante_supervisor::{Backoff, Intensity, Restart, Shutdown, Supervise, Supervisor, SupervisorRef};
use restante_testkit::{MonitorProbe, assert_conserved};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How the next incarnation comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Panic,
    OneForAll,
    RestForOne,
    Stopped,
}

const WAYS: [Way; 4] = [Way::Panic, Way::OneForAll, Way::RestForOne, Way::Stopped];
const LIMIT: Duration = Duration::from_secs(5);

/// Notes what it handles.
struct Vault {
    noted: Vec<u32>,
    kept: Vec<Reply<u32>>,
}

#[derive(Clone, Default)]
struct Shared {
    /// Lets work go on.
    go: Arc<Notify>,
}

enum Tell {
    Note(u32),
    Panic,
    /// A tick after so long.
    Arm(Duration),
    Link(ServerRef<Vault>),
}

enum Ask {
    Noted(Reply<Vec<u32>>),
    /// Handled until the gate opens.
    Work(Reply<u32>),
    Keep(Reply<u32>),
    /// Waits for a note of 99, whatever lies before it.
    Pick(Reply<u32>),
}

impl GenServer for Vault {
    type Args = Shared;
    type Call = (Ask, Shared);
    type Cast = Tell;
    type Info = Shared;

    async fn init(_: &Shared, _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self { noted: Vec::new(), kept: Vec::new() }))
    }

    async fn handle_call(&mut self, (ask, shared): (Ask, Shared), ctx: &mut Context<Self>) -> Step {
        match ask {
            Ask::Noted(reply) => drop(reply.send(self.noted.clone())),
            Ask::Work(reply) => {
                shared.go.notified().await;
                assert!(!self.noted.contains(&13), "told to");
                reply.send(1);
            }
            Ask::Keep(reply) => self.kept.push(reply),
            Ask::Pick(reply) => {
                let wanted = |m: &Message<Self>| matches!(m, Message::Cast(Tell::Note(99)));
                ctx.receive(Duration::MAX, wanted).await?;
                reply.send(99);
            }
        }
        Ok(Next::go())
    }

    async fn handle_cast(&mut self, tell: Tell, ctx: &mut Context<Self>) -> Step {
        match tell {
            Tell::Note(n) => self.noted.push(n),
            Tell::Panic => panic!("told to"),
            Tell::Arm(after) => drop(ctx.send_after(after, Shared::default())),
            Tell::Link(other) => ctx.link(&other),
        }
        Ok(Next::go())
    }

    async fn handle_info(&mut self, _: Shared, _: &mut Context<Self>) -> Step {
        self.noted.push(77);
        Ok(Next::go())
    }
}

/// A vault and, before it, a sibling, under a supervisor.
struct World {
    tree: SupervisorRef,
    sibling: ServerRef<Vault>,
    vault: ServerRef<Vault>,
    shared: Shared,
    letters: Mailbox<DeadLetter<Message<Vault>>>,
}

impl World {
    async fn new(way: Way, keep_mailbox: bool) -> Self {
        quiet();
        let shared = Shared::default();
        let letters = Mailbox::new();
        let sibling = Server::<Vault>::new("sibling");
        let server = Server::<Vault>::settings()
            .name("vault")
            .dead_letters(letters.address().recipient())
            .build()
            .unwrap();
        let (sibling_ref, vault) = (sibling.address(), server.address());
        let supervisor = match way {
            Way::OneForAll => Supervisor::one_for_all(),
            Way::RestForOne => Supervisor::rest_for_one(),
            Way::Panic | Way::Stopped => Supervisor::one_for_one(),
        };
        let tree = supervisor
            .with_intensity(Intensity::UNLIMITED)
            .backoff(Backoff::NONE)
            .child(sibling.child(shared.clone()))
            .child(server.child(shared.clone()).shutdown(Shutdown::Timeout(LIMIT)).keep_mailbox(keep_mailbox))
            .start()
            .await
            .unwrap();
        Self { tree, sibling: sibling_ref, vault, shared, letters }
    }

    /// Ends the vault's incarnation; `queue` is done when it has ended or is about to, and before the next one begins,
    /// where that can be told.
    async fn strike(&self, way: Way, queue: impl FnOnce()) {
        let first = self.vault.incarnation();
        match way {
            Way::Panic => {
                // In a lane that nothing of the queue overtakes.
                let first = SendOptions::new().lane(Lane::High);
                assert!(self.vault.cast_with(Tell::Panic, first).is_ok());
                queue();
            }
            Way::OneForAll | Way::RestForOne => {
                self.sibling.cast(Tell::Panic).unwrap();
                self.sibling.join().await;
                queue();
            }
            Way::Stopped => {
                self.tree.terminate_child("vault").await.unwrap();
                queue();
                self.tree.restart_child("vault").await.unwrap();
            }
        }
        while !(self.vault.incarnation() > first && self.vault.is_alive()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn noted(&self) -> Vec<u32> {
        self.ask(Ask::Noted).await.unwrap()
    }

    async fn ask<T: Send + 'static>(
        &self,
        make: impl FnOnce(Reply<T>) -> Ask + Send,
    ) -> Result<T, CallError> {
        let shared = self.shared.clone();
        self.vault.call(move |reply| (make(reply), shared)).timeout(Duration::MAX).await
    }

    /// A call whose handler is under way.
    async fn work(&self) -> tokio::task::JoinHandle<Result<u32, CallError>> {
        self.begin(Ask::Work).await
    }

    async fn begin(&self, make: fn(Reply<u32>) -> Ask) -> tokio::task::JoinHandle<Result<u32, CallError>> {
        let (vault, shared) = (self.vault.clone(), self.shared.clone());
        let call = tokio::spawn(async move {
            vault.call(move |reply| (make(reply), shared)).timeout(Duration::MAX).await
        });
        settle().await;
        call
    }

    /// Nothing was lost, over all incarnations.
    async fn law(&self) {
        assert_conserved!(self.vault);
    }
}

/// Lets everything go as far as it can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Clause 21.8, row G4: the address is the same over every restart; a deleted child's is closed.
#[tokio::test(start_paused = true)]
async fn the_address() {
    for way in WAYS {
        let world = World::new(way, true).await;
        let id = world.vault.id();
        world.strike(way, || world.vault.cast(Tell::Note(1)).unwrap()).await;
        assert_eq!((world.vault.id(), world.vault.incarnation()), (id, 2), "{way:?}");
        assert_eq!(world.noted().await, [1], "{way:?}: what is sent meanwhile queues");
        world.tree.terminate_child("vault").await.unwrap();
        world.tree.delete_child("vault").unwrap();
        assert!(world.vault.is_closed() && world.vault.cast(Tell::Note(2)).is_err());
    }
}

/// Clause 21.8, row G4: queued messages stay, in their lanes and in order.
#[tokio::test(start_paused = true)]
async fn queued_messages() {
    for way in WAYS {
        let world = World::new(way, true).await;
        world
            .strike(way, || {
                for n in 0..3 {
                    world.vault.cast(Tell::Note(n)).unwrap();
                    let high = SendOptions::new().lane(Lane::High);
                    assert!(world.vault.cast_with(Tell::Note(10 + n), high).is_ok());
                    let low = SendOptions::new().lane(Lane::Low);
                    assert!(world.vault.cast_with(Tell::Note(20 + n), low).is_ok());
                }
            })
            .await;
        settle().await;
        let noted = world.noted().await;
        assert_eq!(noted, [10, 11, 12, 0, 1, 2, 20, 21, 22], "{way:?}");
        world.law().await;
    }
}

/// Clause 21.9: where the mailbox is not kept over a stop, what is queued is dead-lettered; what comes later is not.
/// Deleting dead-letters as well.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_not_kept() {
    for (keep, deletes) in [(false, false), (true, true)] {
        let world = World::new(Way::Stopped, keep).await;
        let call = world.work().await;
        world.vault.cast(Tell::Note(1)).unwrap();
        world.vault.cast(Tell::Note(2)).unwrap();
        let caller = world.begin(Ask::Keep).await;
        let go = Arc::clone(&world.shared.go);
        tokio::join!(async { world.tree.terminate_child("vault").await.unwrap() }, async { go.notify_one() });
        assert_eq!(call.await.unwrap(), Ok(1), "what is in hand ends");
        if deletes {
            assert!(!caller.is_finished(), "it waits");
            world.tree.delete_child("vault").unwrap();
        }
        assert_eq!(caller.await.unwrap(), Err(CallError::Exited(ExitReason::Shutdown)));
        let mut letters = world.letters.receiver().unwrap();
        for _ in 0..3 {
            let letter = letters.receive().await.unwrap();
            assert!(matches!(letter.cause, DeadCause::Closed(ExitReason::Shutdown)), "{letter:?}");
        }
        if !deletes {
            world.vault.cast(Tell::Note(3)).unwrap();
            world.tree.restart_child("vault").await.unwrap();
            assert_eq!(world.noted().await, [3]);
        }
        world.law().await;
    }
}

/// Clauses 21.8, 5.4: the message in hand at a panic is failed, and its caller hears the reason at once; one that is in
/// hand when the child is told to stop ends first, and one that does not is killed with its server at the limit.
#[tokio::test(start_paused = true)]
async fn the_message_in_hand_and_its_caller() {
    let world = World::new(Way::Panic, true).await;
    world.vault.cast(Tell::Note(13)).unwrap();
    let call = world.work().await;
    world.shared.go.notify_one();
    assert!(matches!(call.await.unwrap(), Err(CallError::Exited(ExitReason::Panic(_)))));
    assert_eq!(world.noted().await, [0_u32; 0], "a new incarnation");
    assert_eq!(world.vault.audit().unwrap().failed, 1);
    world.law().await;
    for way in [Way::OneForAll, Way::RestForOne, Way::Stopped] {
        for ends in [true, false] {
            let world = World::new(way, true).await;
            let call = world.work().await;
            let before = tokio::time::Instant::now();
            let go = Arc::clone(&world.shared.go);
            let gate = async {
                settle().await;
                if ends {
                    go.notify_one();
                }
            };
            tokio::join!(world.strike(way, || {}), gate);
            let heard = call.await.unwrap();
            if ends {
                assert_eq!(heard, Ok(1), "{way:?}");
                assert!(before.elapsed() < LIMIT);
            } else {
                assert_eq!(heard, Err(CallError::Exited(ExitReason::Killed)), "{way:?}");
                assert!(before.elapsed() >= LIMIT, "{way:?}: {:?}", before.elapsed());
            }
            assert_eq!(world.vault.audit().unwrap().failed, u64::from(!ends), "{way:?}");
            world.law().await;
        }
    }
}

/// Clauses 21.8, 5.5: callers whose replies were kept in the state hear why it went; the state itself is made anew.
#[tokio::test(start_paused = true)]
async fn deferred_replies_and_the_state() {
    for way in WAYS {
        let world = World::new(way, true).await;
        world.vault.cast(Tell::Note(5)).unwrap();
        let call = world.begin(Ask::Keep).await;
        world.strike(way, || {}).await;
        let heard = call.await.unwrap();
        let fits = match way {
            Way::Panic => matches!(heard, Err(CallError::Exited(ExitReason::Panic(_)))),
            _ => heard == Err(CallError::Exited(ExitReason::Shutdown)),
        };
        assert!(fits, "{way:?}: {heard:?}");
        assert!(world.noted().await.is_empty(), "{way:?}");
        world.law().await;
    }
}

/// Clauses 21.8, 5.8: what a selective receive has skipped stays queued, in order.
#[tokio::test(start_paused = true)]
async fn what_a_selective_receive_skipped() {
    for way in [Way::OneForAll, Way::RestForOne, Way::Stopped] {
        let world = World::new(way, true).await;
        let call = world.begin(Ask::Pick).await;
        for n in 0..4 {
            world.vault.cast(Tell::Note(n)).unwrap();
        }
        settle().await;
        world.strike(way, || world.vault.cast(Tell::Note(4)).unwrap()).await;
        assert_eq!(call.await.unwrap(), Err(CallError::Exited(ExitReason::Killed)), "{way:?}: at the limit");
        assert_eq!(world.noted().await, [0, 1, 2, 3, 4], "{way:?}");
        world.law().await;
    }
}

/// Clauses 21.8, 5.6: an instance's timers end with it; times to live of queued messages run on.
#[tokio::test(start_paused = true)]
async fn timers_and_times_to_live() {
    for way in WAYS {
        let world = World::new(way, true).await;
        world.vault.cast(Tell::Arm(Duration::from_secs(1))).unwrap();
        assert!(world.noted().await.is_empty());
        let short = SendOptions::new().ttl(Duration::from_secs(2));
        world.strike(way, || {}).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(world.noted().await.is_empty(), "{way:?}: no tick reaches a later incarnation");
        world.tree.terminate_child("vault").await.unwrap();
        assert!(world.vault.cast_with(Tell::Note(1), short).is_ok());
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.vault.cast(Tell::Note(2)).unwrap();
        world.tree.restart_child("vault").await.unwrap();
        assert_eq!(world.noted().await, [2], "{way:?}");
        world.law().await;
    }
}

/// Clauses 21.8, 5.6: monitors of an instance are told of its end and gone; those of the mailbox hear of every incarnation,
/// and of its closing; links are told.
#[tokio::test(start_paused = true)]
async fn monitors_and_links() {
    for way in WAYS {
        let world = World::new(way, true).await;
        let mut first = MonitorProbe::of(&world.vault);
        let mut all = MonitorProbe::of_mailbox(&world.vault);
        let linked = start::<Vault>(Shared::default()).await.unwrap();
        world.vault.cast(Tell::Link(linked.clone())).unwrap();
        world.noted().await;
        world.strike(way, || {}).await;
        settle().await;
        assert!(!linked.is_alive(), "{way:?}: a link ends with the incarnation");
        let exit = linked.join().await;
        assert_eq!(matches!(exit.reason, ExitReason::Panic(_)), way == Way::Panic);
        assert_eq!(first.expect_down().await.incarnation, 1, "{way:?}");
        all.expect_down().await;
        assert_eq!(all.expect_started().await, 2, "{way:?}");
        world.tree.terminate_child("vault").await.unwrap();
        world.tree.delete_child("vault").unwrap();
        settle().await;
        first.expect_nothing(Duration::from_secs(1)).await;
        all.expect_down().await;
        assert_eq!(all.expect_closed().await, ExitReason::Shutdown, "{way:?}");
        world.law().await;
    }
}

/// Clause 21.10, row G4: a supervisor that gave up and is restarted from above finds its static children's mailboxes as
/// they were; those of children that were added later are dead-lettered, unless they are kept.
#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_restarted() {
    quiet();
    for keeps in [false, true] {
        let (fixed, added) = (Server::<Vault>::new("fixed"), Server::<Vault>::new("added"));
        let (fixed_ref, added_ref) = (fixed.address(), added.address());
        let below = Supervisor::one_for_one()
            .intensity(0, LIMIT)
            .keep_children(keeps)
            .child(fixed.child(Shared::default()))
            .build()
            .unwrap();
        let above = Supervisor::one_for_one().child(below.child("below")).start().await.unwrap();
        below.start_child(added.child(Shared::default()).restart(Restart::Transient)).await.unwrap();
        fixed_ref.cast(Tell::Panic).unwrap();
        fixed_ref.cast(Tell::Note(1)).unwrap();
        added_ref.cast(Tell::Note(2)).unwrap();
        let waits = {
            let fixed = fixed_ref.clone();
            tokio::spawn(async move { fixed.call(|r| (Ask::Noted(r), Shared::default())).await })
        };
        assert_eq!(waits.await.unwrap(), Ok(vec![1]), "queued cast and queued caller are served by the next");
        assert_eq!((below.incarnation(), below.is_alive(), above.restarts()), (2, true, 1));
        assert_eq!(added_ref.is_closed(), !keeps);
        if keeps {
            assert_eq!(added_ref.incarnation(), 2);
        }
        assert!(above.shutdown(LIMIT).await.is_clean());
        assert!(fixed_ref.is_closed() && added_ref.is_closed(), "nobody is above");
    }
}
