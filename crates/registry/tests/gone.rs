//! What the registry's errors say of whom they were for.

use crate::support::{Counter, counts};
use restante_core::{ExitReason, Mailbox, SendError, SettingsError};
use restante_genserver::{CallError, Context, GenServer, Init, Reply, ServerRef, Step, StopError, start};
use restante_registry::keys::{KeyError, MetaError, NotRegistered};
use restante_registry::{
    CallToError, CreateError, GroupSendError, Groups, InvalidName, JoinError, LookupError, Member, Name,
    NotJoined, RegisterError, Registry, SendToError, StopToError,
};
use std::convert::Infallible;
use std::time::Duration;
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(1);

/// Never answers, and never comes to its stop.
#[derive(Debug)]
struct Slow;

impl GenServer for Slow {
    type Args = ();
    type Call = Reply<()>;
    type Cast = ();
    type Info = ();

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self))
    }

    async fn handle_call(&mut self, _reply: Reply<()>, _: &mut Context<Self>) -> Step {
        std::future::pending().await
    }
}

fn registering() -> Vec<(RegisterError, bool)> {
    vec![
        (RegisterError::MailboxDoesNotExist(Uuid::nil()), true),
        (RegisterError::Ended(ExitReason::Shutdown), true),
        (RegisterError::ActorDied(ExitReason::Killed), true),
        (RegisterError::Unanswered(CallError::Closed), true),
        (RegisterError::Unanswered(CallError::NoReply), false),
        (RegisterError::InvalidName(InvalidName::Empty), false),
        (RegisterError::Settings(SettingsError::ZeroCapacity), false),
        (RegisterError::Timeout(LONG), false),
        (RegisterError::WouldBlock, false),
    ]
}

/// Clause 6.17: an error of a registration or a creation says whether what it was for is gone, and so does one that carries it.
#[test]
fn a_registration_and_a_creation_say_whether_their_target_is_gone() {
    for (error, gone) in registering() {
        assert_eq!(error.is_gone(), gone, "{error}");
        assert_eq!(CreateError::<Infallible>::Refused(error.clone()).is_gone(), gone, "{error}");
    }
    assert!(CreateError::<Infallible>::Closed(ExitReason::Normal).is_gone());
    assert!(CreateError::<Infallible>::GivenUp.is_gone());
    assert!(!CreateError::Failed("no disk").is_gone());
    assert!(!CreateError::<Infallible>::Panicked(ExitReason::Normal).is_gone());
    assert!(!CreateError::<Infallible>::Timeout(LONG).is_gone());
}

/// Clause 6.17: each verb that takes a name says whether whom it was for is gone.
#[tokio::test]
async fn a_verb_by_name_says_whether_its_target_is_gone() {
    let registry = Registry::start();
    let unknown = registry.whereis::<ServerRef<Counter>>("c").unwrap_err();
    assert!(unknown.is_gone(), "{unknown}");
    let stopped = registry.stop::<Counter>("c", ExitReason::Normal, LONG).await.unwrap_err();
    assert!(stopped.is_gone(), "{stopped}");
    assert!(registry.cast::<Counter>("c", 1).unwrap_err().is_gone());

    let counter = start::<Counter>(0).await.unwrap();
    registry.register(&counter, "c").await.unwrap();
    let another = registry.whereis::<restante_core::Address<u8>>("c").unwrap_err();
    assert!(matches!(another, LookupError::WrongType { .. }) && !another.is_gone(), "{another}");
    assert!(
        !CallToError::Lookup(another.clone()).is_gone() && !StopToError::Lookup(another.clone()).is_gone()
    );
    assert!(!SendToError::Lookup(another, ()).is_gone());
    counter.close(ExitReason::Normal);
    let closed = registry.whereis::<ServerRef<Counter>>("c").unwrap_err();
    assert!(matches!(closed, LookupError::Closed { .. }) && closed.is_gone(), "{closed}");

    assert!(CallToError::Call(CallError::Exited(ExitReason::Normal)).is_gone());
    assert!(!CallToError::Call(CallError::Timeout).is_gone());
    assert!(SendToError::Send(SendError::Closed(())).is_gone());
    assert!(!SendToError::Send(SendError::Full(())).is_gone());
    assert!(StopToError::Stop(StopError::NotRunning).is_gone());
    assert!(!StopToError::Stop(StopError::Timeout).is_gone());
    assert_eq!(registry.sizes(), counts(0, 0));
}

/// Clause 6.17: a verb that takes a name says which server did not answer, or end, in time.
#[tokio::test(start_paused = true)]
async fn a_verb_by_name_says_who_was_late() {
    let registry = Registry::start();
    let slow = start::<Slow>(()).await.unwrap();
    registry.register(&slow, "slow").await.unwrap();
    let name: Name<Slow> = Name::new("slow");
    let who = std::any::type_name::<Slow>();
    for late in [
        registry.call::<Slow, ()>("slow", |reply| reply).await.unwrap_err(),
        name.of(&registry).call(|reply| reply).await.unwrap_err(),
        registry.enter(name.call(|reply| reply)).await.unwrap_err(),
    ] {
        assert!(!late.is_gone());
        assert_eq!(late.to_string(), format!("{who} {}: no reply within the time allowed", slow.id()));
        let CallToError::Timeout(about) = late else { panic!("{late:?}") };
        assert_eq!((about.id(), about.error()), (slow.id(), &CallError::Timeout));
    }
    for late in [
        registry.stop::<Slow>("slow", ExitReason::Normal, LONG).await.unwrap_err(),
        name.of(&registry).stop(ExitReason::Normal, LONG).await.unwrap_err(),
        registry.enter(name.stop(ExitReason::Normal, LONG)).await.unwrap_err(),
    ] {
        assert!(!late.is_gone());
        let StopToError::Timeout(about) = late else { panic!("{late:?}") };
        assert_eq!((about.id(), about.error()), (slow.id(), &StopError::Timeout));
    }
    slow.kill();
    slow.join().await;
}

/// Clause 6.17: memberships, keys and what is put beside them.
#[test]
fn groups_and_keys_say_whether_their_target_is_gone() {
    assert!(JoinError::Closed { member: Uuid::nil() }.is_gone() && NotJoined.is_gone());
    assert!(KeyError::HolderClosed.is_gone() && NotRegistered.is_gone() && MetaError::Absent.is_gone());
    assert!(!KeyError::KeyTaken { holder: Uuid::nil() }.is_gone());
    assert!(!MetaError::WrongType { stored: "u8" }.is_gone());
}

/// Clauses 6.17, 29.3: a group whose only members have closed has none for a message; one that is there and full refuses it.
#[test]
fn a_group_without_an_open_member_is_gone() {
    let groups = Groups::<u32>::new();
    assert!(groups.send("pool", 1).unwrap_err().is_gone());
    let full = Mailbox::with(Mailbox::settings().capacity(1)).unwrap();
    groups.join("pool", &Member::address(&full.address())).unwrap();
    assert!(groups.send("pool", 1).is_ok());
    let refused = groups.send("pool", 2).unwrap_err();
    assert!(!refused.is_gone(), "{refused}");
    assert!(matches!(refused, GroupSendError::Refused { tried: 1, last: SendError::Full(2) }));
    full.close();
    assert!(groups.send("pool", 3).unwrap_err().is_gone());
}
