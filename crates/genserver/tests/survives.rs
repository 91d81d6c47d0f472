//! What survives what: a test for each thing that could be lost, over each way in which an incarnation ends while its
//! mailbox stays (a panic, an error, a kill, a stop), and then over the mailbox's own end.
//!
//! | what | after any of those ends | after the mailbox's | shown here by | and elsewhere by |
//! |---|---|---|---|---|
//! | address and name | the same | closed | `address_and_name` | `leases` in core |
//! | queued messages | kept, in their lanes and in order | dead-lettered | `queued_messages` | `tests/survival.rs`, `stress`, `casts::what_is_left_at_the_closing_is_dead_lettered` |
//! | the message in hand | failed and dropped; a stop lets it end | the same | `the_message_in_hand` | `smoke`, `life::a_kill_interrupts_a_pending_handler` |
//! | its caller | hears the reason at once, or has its reply | the same | `the_caller_in_hand` | `calls::a_call_in_hand_fails_with_its_servers_reason`, `receive::a_received_call_is_in_hand` |
//! | queued callers | wait, and are answered | hear the reason | `queued_callers` | `calls::queued_callers_are_answered_by_the_next_incarnation`, `calls::waiting_callers_hear_of_the_closing` |
//! | deferred replies in the state | their callers hear the reason | the same | `deferred_replies` | `calls::a_kept_reply_ends_with_the_state`, `life::a_reply_in_a_timer_is_told_of_the_end` |
//! | what a selective receive skipped | queued, as before | dead-lettered | `what_a_selective_receive_skipped` | `receive::a_crash_in_the_middle_leaves_the_skipped_in_order` |
//! | timers; times to live | cancelled; run on | cancelled | `timers_and_times_to_live` | `timers::no_tick_reaches_a_later_incarnation` |
//! | monitors and links | of the incarnation: told, then gone; of the mailbox: stay | told | `monitors_and_links` | `life::monitors_watch_an_incarnation_or_a_mailbox`, `life::a_link_does_not_pass_to_the_next_incarnation` |
//! | the state | dropped; `init` makes a new one | dropped | `the_state` | `bad_input::a_state_may_panic_in_its_drop` |
//!
//! Other policies for the message in hand, and its caller: `in_hand`. Restarts by a supervisor and names in a registry come
//! with those.

use crate::support::{Alive, Ask, Gate, LONG, Lab, Note, Plan, Tell, ask, echo, law, say, settle, tell};
use restante_core::Mailbox;
use restante_genserver::{
    CallError, DeadCause, ExitReason, Init, Lane, Message, Next, SendError, SendOptions, Server, ServerRef,
    link, start,
};
use restante_testkit::MonitorProbe;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How an incarnation ends while its mailbox stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Panic,
    Error,
    Kill,
    Stop,
}

const ENDS: [End; 4] = [End::Panic, End::Error, End::Kill, End::Stop];

impl End {
    fn is(self, reason: &ExitReason) -> bool {
        match self {
            Self::Panic => matches!(reason, ExitReason::Panic(p) if p.message == "boom"),
            Self::Error => *reason == ExitReason::error("failed"),
            Self::Kill => *reason == ExitReason::Killed,
            Self::Stop => *reason == ExitReason::Shutdown,
        }
    }

    /// Ends the server, whose handler is under way; `go` lets the handler go on.
    async fn come(self, lab: &ServerRef<Lab>, go: impl FnOnce()) {
        match self {
            Self::Panic | Self::Error => go(),
            Self::Kill => assert!(lab.kill()),
            Self::Stop => {
                let later = async {
                    settle().await;
                    go();
                };
                assert_eq!(tokio::join!(lab.stop(ExitReason::Shutdown, LONG), later).0, Ok(()));
            }
        }
        let exit = lab.join().await;
        assert!(self.is(&exit.reason), "{self:?}: {}", exit.reason);
    }
}

/// A call whose handler is under way, and ends as it is told: with a panic, an error, or a reply.
struct Busy {
    end: End,
    lab: ServerRef<Lab>,
    go: Gate,
    call: JoinHandle<Result<u64, CallError>>,
}

impl Busy {
    async fn begin(lab: &ServerRef<Lab>, end: End) -> Self {
        let (entered, go) = (Gate::new(), Gate::new());
        let gates = (entered.clone(), go.clone());
        let job = ask(move |lab, _, reply| {
            lab.log.push("begun");
            Box::pin(async move {
                gates.0.open();
                gates.1.pass().await;
                match end {
                    End::Panic => panic!("boom"),
                    End::Error => return Err(ExitReason::error("failed")),
                    End::Kill | End::Stop => reply.send(1),
                };
                Ok(Next::go())
            })
        });
        let caller = lab.clone();
        let call = tokio::spawn(async move { caller.call(job).timeout(Duration::MAX).await });
        entered.pass().await;
        Self { end, lab: lab.clone(), go, call }
    }

    /// The end; what the caller heard.
    async fn end(self) -> Result<u64, CallError> {
        self.end.come(&self.lab, || self.go.open()).await;
        settle().await;
        assert!(self.call.is_finished(), "{:?}: the caller is told at once", self.end);
        self.call.await.unwrap()
    }
}

/// Clauses 5.1, 5.7, failure mode 8: address, id, name, settings and counters stay. When the mailbox closes, it refuses.
#[tokio::test(start_paused = true)]
async fn address_and_name() {
    for end in ENDS {
        let mailbox = Server::<Lab>::settings().name("kept").capacity(3).build().unwrap();
        let lab = mailbox.address();
        let id = lab.id();
        mailbox.start(Plan::default()).await.unwrap();
        let _ = Busy::begin(&lab, end).await.end().await;
        assert!(!lab.is_alive() && !lab.is_closed());
        for n in 0..3 {
            lab.cast(Tell::Say(n)).unwrap();
        }
        assert!(matches!(lab.cast(Tell::Say(3)), Err(SendError::Full(_))), "the bound stays");
        let again = mailbox.start(Plan::default()).await.unwrap();
        assert!(again.same_server(&lab));
        assert_eq!((lab.id(), lab.name(), lab.incarnation()), (id, Some("kept"), 2));
        assert_eq!(lab.call(Ask::Total).await, Ok(0));
        let ledger = law(&lab).await;
        // The order to stop is a message too.
        let all = 5 + u64::from(end == End::Stop);
        assert_eq!(ledger.handled + ledger.failed, all, "counted over both incarnations");

        assert!(lab.close(ExitReason::Shutdown));
        lab.join().await;
        assert!(matches!(lab.cast(Tell::Say(9)), Err(SendError::Closed(Tell::Say(9)))));
        assert!(lab.is_closed() && mailbox.start(Plan::default()).await.is_err());
    }
}

/// Clauses 5.2, 4.5, failure mode 8: queued messages stay, in their lanes and in order, those of a batch that was begun
/// included. What is left when the mailbox closes is dead-lettered.
#[tokio::test(start_paused = true)]
async fn queued_messages() {
    for end in ENDS {
        let dead = Mailbox::new();
        let plan = Plan::default();
        let mailbox = Server::<Lab>::settings().dead_letters(dead.address().recipient()).build().unwrap();
        let lab = mailbox.address();
        let busy = tokio::spawn({
            let lab = lab.clone();
            async move { Busy::begin(&lab, end).await }
        });
        settle().await;
        // In one batch with the message that is in hand at the end.
        lab.cast(Tell::Say(20)).unwrap();
        mailbox.start(plan.clone()).await.unwrap();
        let busy = busy.await.unwrap();
        let to = |lane, n| lab.cast_with(Tell::Say(n), SendOptions::new().lane(lane)).unwrap();
        for n in [1, 2] {
            to(Lane::Low, 30 + n);
            to(Lane::Normal, 20 + n);
            to(Lane::High, 10 + n);
        }
        let _ = busy.end().await;
        plan.log.take();
        mailbox.start(plan.clone()).await.unwrap();
        settle().await;
        assert_eq!(plan.log.take(), ["11", "12", "20", "21", "22", "31", "32"], "{end:?}");

        let _ = Busy::begin(&lab, end).await.end().await;
        (0..3).for_each(|n| to(Lane::Normal, n));
        assert!(lab.close(ExitReason::Shutdown));
        let mut letters = dead.receiver().unwrap();
        for n in 0..3 {
            let letter = letters.try_receive().unwrap();
            assert_eq!(letter.cause, DeadCause::Closed(ExitReason::Shutdown));
            assert!(matches!(letter.body, Some(Message::Cast(Tell::Say(k))) if k == n));
        }
        assert_eq!(law(&lab).await.dead_lettered, 3);
    }
}

/// Clauses 5.4, 14.1, failure mode 9: the message in hand is counted as failed and not handled again; a stop lets it end.
#[tokio::test(start_paused = true)]
async fn the_message_in_hand() {
    for end in ENDS {
        let plan = Plan::default();
        let mailbox = Server::<Lab>::new("in hand");
        let lab = mailbox.start(plan.clone()).await.unwrap();
        let _ = Busy::begin(&lab, end).await.end().await;
        mailbox.start(plan.clone()).await.unwrap();
        assert_eq!(lab.call(echo(1)).await, Ok(1));
        let begun = plan.log.take().iter().filter(|line| *line == "begun").count();
        assert_eq!(begun, 1, "{end:?}");
        assert_eq!(law(&lab).await.failed, u64::from(end != End::Stop));
    }
}

/// Clauses 5.4, 14.1: the caller of the message in hand hears the reason at once, or, of a stop, has its reply.
#[tokio::test(start_paused = true)]
async fn the_caller_in_hand() {
    for end in ENDS {
        for keeps in [true, false] {
            let mailbox = keeps.then(|| Server::<Lab>::new("in hand"));
            let lab = match &mailbox {
                Some(mailbox) => mailbox.start(Plan::default()).await.unwrap(),
                None => start::<Lab>(Plan::default()).await.unwrap(),
            };
            match Busy::begin(&lab, end).await.end().await {
                Ok(reply) => assert_eq!((reply, end), (1, End::Stop)),
                Err(CallError::Exited(reason)) => assert!(end != End::Stop && end.is(&reason), "{reason}"),
                Err(other) => panic!("{end:?}: {other}"),
            }
            law(&lab).await;
        }
    }
}

/// Clauses 5.3, 4.6: queued callers wait for the next incarnation. When the mailbox closes they hear the reason.
#[tokio::test(start_paused = true)]
async fn queued_callers() {
    for end in ENDS {
        for closes in [false, true] {
            let mailbox = Server::<Lab>::new("queue");
            let lab = mailbox.start(Plan::default()).await.unwrap();
            let busy = Busy::begin(&lab, end).await;
            let queued = tokio::spawn({
                let lab = lab.clone();
                async move { lab.call(echo(7)).await }
            });
            settle().await;
            let _ = busy.end().await;
            assert!(!queued.is_finished(), "{end:?}");
            if closes {
                lab.close(ExitReason::Shutdown);
                assert_eq!(queued.await.unwrap(), Err(CallError::Exited(ExitReason::Shutdown)));
            } else {
                mailbox.start(Plan::default()).await.unwrap();
                assert_eq!(queued.await.unwrap(), Ok(7));
            }
            law(&lab).await;
        }
    }
}

/// Clause 5.5: a reply that was kept in the state tells its caller why the state has gone, whatever the end.
#[tokio::test(start_paused = true)]
async fn deferred_replies() {
    for end in ENDS {
        let mailbox = Server::<Lab>::new("keeps");
        let lab = mailbox.start(Plan::default()).await.unwrap();
        let kept = tokio::spawn({
            let lab = lab.clone();
            async move { lab.call(Ask::Keep).timeout(Duration::MAX).await }
        });
        settle().await;
        let _ = Busy::begin(&lab, end).await.end().await;
        assert!(kept.is_finished(), "{end:?}: at once");
        let Err(CallError::Exited(reason)) = kept.await.unwrap() else { panic!("{end:?}: no reason") };
        assert!(end.is(&reason), "{reason}");
        law(&lab).await;
    }
}

/// Clauses 5.8, 10.3, failure mode 8: what a selective receive had skipped stays where it was; what it had taken does not.
#[tokio::test(start_paused = true)]
async fn what_a_selective_receive_skipped() {
    for end in ENDS {
        let plan = Plan::default();
        let mailbox = Server::<Lab>::new("selects");
        let lab = mailbox.start(plan.clone()).await.unwrap();
        lab.cast(tell(move |_, ctx| {
            Box::pin(async move {
                let which = |m: &Message<Lab>| matches!(m, Message::Cast(Tell::Say(9)));
                let _ = ctx.receive(Duration::MAX, which).await;
                match end {
                    End::Panic => panic!("boom"),
                    End::Error => Err(ExitReason::error("failed")),
                    End::Kill | End::Stop => Ok(Next::go()),
                }
            })
        }))
        .unwrap();
        for n in 0..3 {
            lab.cast(Tell::Say(n)).unwrap();
            settle().await;
        }
        end.come(&lab, || lab.cast(Tell::Say(9)).unwrap()).await;
        plan.log.take();
        lab.cast(Tell::Say(3)).unwrap();
        mailbox.start(plan.clone()).await.unwrap();
        assert_eq!(lab.call(echo(4)).await, Ok(4));
        assert_eq!(plan.log.take(), ["0", "1", "2", "3", "4"], "{end:?}");
        law(&lab).await;
    }
}

/// Clauses 5.6, 9.1, 4.2: a server's timers end with it; the time to live of what is queued runs on.
#[tokio::test(start_paused = true)]
async fn timers_and_times_to_live() {
    for end in ENDS {
        let plan = Plan::default();
        let mailbox = Server::<Lab>::settings().ttl(Duration::from_secs(10)).build().unwrap();
        let lab = mailbox.start(plan.clone()).await.unwrap();
        lab.cast(tell(|_, ctx| {
            ctx.send_after(Duration::from_secs(1), say("tick"));
            Box::pin(async { Ok(Next::go()) })
        }))
        .unwrap();
        settle().await;
        let busy = Busy::begin(&lab, end).await;
        lab.cast(Tell::Say(1)).unwrap();
        let _ = busy.end().await;
        plan.log.take();
        tokio::time::sleep(Duration::from_secs(6)).await;
        lab.cast(Tell::Say(2)).unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        mailbox.start(plan.clone()).await.unwrap();
        assert_eq!(lab.call(echo(3)).await, Ok(3));
        tokio::time::sleep(LONG).await;
        assert_eq!(plan.log.take(), ["2", "3"], "{end:?}");
        assert_eq!(law(&lab).await.expired, 1);
    }
}

/// Clauses 5.6, 12.1, 12.3: links and monitors of an incarnation end with it, having been told; monitors of the mailbox
/// stay until it closes.
#[tokio::test(start_paused = true)]
async fn monitors_and_links() {
    for end in ENDS {
        let linked = Plan::default().init(|plan, ctx| {
            ctx.trap_exit(Note::Exit);
            Box::pin(async { Ok(Init::ok(Lab::new(plan))) })
        });
        let other = start::<Lab>(linked.clone()).await.unwrap();
        let mailbox = Server::<Lab>::new("watched");
        let lab = mailbox.start(Plan::default()).await.unwrap();
        let (mut first, mut all) = (MonitorProbe::of(&lab), MonitorProbe::of_mailbox(&lab));
        link(&lab, &other);
        let _ = Busy::begin(&lab, end).await.end().await;
        assert_eq!((first.expect_down().await.incarnation, all.expect_down().await.incarnation), (1, 1));
        assert_eq!(linked.log.take().len(), 1, "{end:?}: the linked one is told");

        mailbox.start(Plan::default()).await.unwrap();
        let _ = Busy::begin(&lab, end).await.end().await;
        lab.close(ExitReason::Shutdown);
        first.expect_nothing(LONG).await;
        assert_eq!((all.expect_started().await, all.expect_down().await.incarnation), (2, 2), "{end:?}");
        assert_eq!(all.expect_closed().await, ExitReason::Shutdown);
        assert_eq!(linked.log.len(), 0, "{end:?}: the link was with the first");
        law(&lab).await;
    }
}

/// Clauses 5.5, 5.7, failure mode 11: the state is dropped before the end is told; `init` makes a new one.
#[tokio::test(start_paused = true)]
async fn the_state() {
    for end in ENDS {
        let alive = Alive::default();
        let mailbox = Server::<Lab>::new("state");
        let lab = mailbox.start(Plan::default()).await.unwrap();
        let thing = alive.one();
        lab.cast(tell(move |lab, _| {
            lab.total = 666;
            lab.things.push(Box::new(thing));
            Box::pin(async { Ok(Next::go()) })
        }))
        .unwrap();
        assert_eq!(lab.call(Ask::Total).await, Ok(666));
        let busy = Busy::begin(&lab, end).await;
        assert_eq!(alive.count(), 1);
        let _ = busy.end().await;
        assert_eq!(alive.count(), 0, "{end:?}");
        mailbox.start(Plan::default()).await.unwrap();
        assert_eq!(lab.call(Ask::Total).await, Ok(0), "{end:?}");
        law(&lab).await;
    }
}
