//! Random operations of one thread, beside a reference model. (Of several threads: see `instants`.)

use crate::support::counts;
use proptest::prelude::*;
use restante_core::{Address, ExitReason, Mailbox};
use restante_registry::{Changes, Followed, Holder, RegisterError, Registry, Snapshot};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use uuid::Uuid;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const KEYS: [&str; 2] = ["1", "2"];
const SLOTS: usize = 5;

/// What is done to a slot's mailbox, a name, a key.
#[derive(Debug, Clone, Copy)]
enum Op {
    /// The slot gets a new mailbox.
    Open(usize),
    /// The slot gets a new mailbox by a creation, under a name.
    Create(usize, usize),
    /// A creation under a name is begun, and given up.
    GiveUp(usize),
    Register(usize, usize),
    /// By id.
    RegisterId(usize, usize),
    /// A registration is polled so often, and dropped.
    Drop(usize, usize, u8),
    Insert(usize),
    Unregister(usize),
    UnregisterAll(usize),
    AddKey(usize, usize),
    RemoveKey(usize),
    Destroy(usize),
    Remove(usize),
    Close(usize),
    /// The last reference goes.
    LetGo(usize),
    KillActor,
    Compact,
}

fn op() -> impl Strategy<Value = Op> {
    let (slot, name, key) = (0..SLOTS, 0..NAMES.len(), 0..KEYS.len());
    prop_oneof![
        2 => slot.clone().prop_map(Op::Open),
        4 => (slot.clone(), name.clone()).prop_map(|(s, n)| Op::Create(s, n)),
        1 => name.clone().prop_map(Op::GiveUp),
        6 => (slot.clone(), name.clone()).prop_map(|(s, n)| Op::Register(s, n)),
        3 => (slot.clone(), name.clone()).prop_map(|(s, n)| Op::RegisterId(s, n)),
        2 => (slot.clone(), name.clone(), 0..4u8).prop_map(|(s, n, polls)| Op::Drop(s, n, polls)),
        2 => slot.clone().prop_map(Op::Insert),
        3 => name.prop_map(Op::Unregister),
        1 => slot.clone().prop_map(Op::UnregisterAll),
        2 => (slot.clone(), key.clone()).prop_map(|(s, k)| Op::AddKey(s, k)),
        1 => key.prop_map(Op::RemoveKey),
        1 => slot.clone().prop_map(Op::Destroy),
        1 => slot.clone().prop_map(Op::Remove),
        1 => slot.clone().prop_map(Op::Close),
        1 => slot.prop_map(Op::LetGo),
        1 => Just(Op::KillActor),
        1 => Just(Op::Compact),
    ]
}

/// A mailbox as the model has it.
struct Known {
    mailbox: Mailbox<u8>,
    open: bool,
    is_in: bool,
    names: Vec<usize>,
    keys: Vec<usize>,
}

/// The registry, and what it should be.
struct Bench {
    registry: Registry,
    slots: [Option<Known>; SLOTS],
    followed: Snapshot,
    changes: Changes,
}

type Answer = Result<(), RegisterError>;

impl Bench {
    fn new() -> Self {
        let registry = Registry::builder().history(64).start();
        let (followed, changes) = registry.follow();
        Self { registry, slots: Default::default(), followed, changes }
    }

    fn holder(&self, holds: impl Fn(&Known) -> bool) -> Option<&Known> {
        self.slots.iter().flatten().find(|known| known.is_in && holds(known))
    }

    fn named(&self, name: usize) -> Option<&Known> {
        self.holder(|known| known.names.contains(&name))
    }

    fn keyed(&self, key: usize) -> Option<&Known> {
        self.holder(|known| known.keys.contains(&key))
    }

    /// Takes the mailbox out of the model's books.
    fn out(known: &mut Known) -> bool {
        known.names.clear();
        known.keys.clear();
        std::mem::replace(&mut known.is_in, false)
    }

    /// What a registration of this slot's mailbox is to answer.
    fn expected(&self, slot: usize, name: usize, must_be_in: bool) -> Option<Answer> {
        let known = self.slots[slot].as_ref()?;
        let absent = || Err(RegisterError::MailboxDoesNotExist(known.mailbox.id()));
        Some(match self.named(name) {
            _ if !known.open || (must_be_in && !known.is_in) => absent(),
            Some(holder) if holder.mailbox.id() == known.mailbox.id() => Ok(()),
            Some(holder) => Err(taken(NAMES[name], Holder::Mailbox(holder.mailbox.id()))),
            None => Ok(()),
        })
    }

    fn put_on(&mut self, slot: usize, name: usize) {
        let known = self.slots[slot].as_mut().expect("it is there");
        known.is_in = true;
        if !known.names.contains(&name) {
            known.names.push(name);
        }
    }

    /// A mailbox in its slot; what was there goes.
    fn place(&mut self, slot: usize, mailbox: Mailbox<u8>, names: Vec<usize>) {
        let is_in = !names.is_empty();
        self.slots[slot] = Some(Known { mailbox, open: true, is_in, names, keys: Vec::new() });
    }

    async fn apply(&mut self, op: Op) {
        let registry = self.registry.clone();
        match op {
            Op::Open(slot) => self.place(slot, Mailbox::new(), Vec::new()),
            Op::Create(slot, name) => {
                let mailbox = Mailbox::<u8>::new();
                let at = mailbox.address();
                let made = async move {
                    tokio::task::yield_now().await;
                    Ok::<_, Infallible>(at)
                };
                let created = registry.create::<Address<u8>, _, _, _>(NAMES[name], made).await;
                assert_eq!(created.is_ok(), self.named(name).is_none(), "{created:?}");
                if created.is_ok() {
                    self.place(slot, mailbox, vec![name]);
                }
            }
            Op::GiveUp(name) => self.give_up(name).await,
            Op::Register(slot, name) => {
                let Some(expected) = self.expected(slot, name, false) else { return };
                let at = self.slots[slot].as_ref().expect("it is there").mailbox.address();
                assert_eq!(registry.register(&at, NAMES[name]).await, expected);
                if expected.is_ok() {
                    self.put_on(slot, name);
                }
            }
            Op::RegisterId(slot, name) => {
                let Some(expected) = self.expected(slot, name, true) else { return };
                let id = self.slots[slot].as_ref().expect("it is there").mailbox.id();
                assert_eq!(registry.register_id(id, NAMES[name]).await, expected);
                if expected.is_ok() {
                    self.put_on(slot, name);
                }
            }
            Op::Drop(slot, name, polls) => {
                let Some(expected) = self.expected(slot, name, false) else { return };
                let at = self.slots[slot].as_ref().expect("it is there").mailbox.address();
                if let Some(answer) = polled(registry.register(&at, NAMES[name]), polls).await {
                    assert_eq!(answer, expected);
                    if expected.is_ok() {
                        self.put_on(slot, name);
                    }
                }
                // The last reference is to be the slot's own.
                drop(at);
            }
            Op::Unregister(name) => {
                assert_eq!(registry.unregister(NAMES[name]), self.named(name).is_some());
                self.slots.iter_mut().flatten().for_each(|known| known.names.retain(|n| *n != name));
            }
            Op::RemoveKey(key) => {
                assert_eq!(registry.remove_key("k", KEYS[key]), self.keyed(key).is_some());
                self.slots.iter_mut().flatten().for_each(|known| known.keys.retain(|k| *k != key));
            }
            Op::AddKey(slot, key) => {
                let holder = self.keyed(key).map(|known| known.mailbox.id());
                let Some(known) = &mut self.slots[slot] else { return };
                let added = registry.add_key(known.mailbox.id(), "k", KEYS[key]).await;
                let free = holder.is_none_or(|holder| holder == known.mailbox.id());
                assert_eq!(added.is_ok(), known.is_in && free, "{added:?}");
                if added.is_ok() && holder.is_none() {
                    known.keys.push(key);
                }
            }
            Op::KillActor => drop(registry.actor().kill()),
            Op::Compact => drop(registry.compact()),
            Op::Insert(slot)
            | Op::UnregisterAll(slot)
            | Op::Destroy(slot)
            | Op::Remove(slot)
            | Op::Close(slot)
            | Op::LetGo(slot) => self.apply_to(op, slot).await,
        }
    }

    async fn apply_to(&mut self, op: Op, slot: usize) {
        let registry = &self.registry;
        let Some(known) = &mut self.slots[slot] else { return };
        let id = known.mailbox.id();
        match op {
            Op::Insert(_) => {
                let inserted = registry.insert(&known.mailbox.address()).await;
                assert_eq!(inserted.is_ok(), known.open, "{inserted:?}");
                known.is_in |= known.open;
            }
            Op::UnregisterAll(_) => {
                assert_eq!(registry.unregister_all(id), std::mem::take(&mut known.names).len());
            }
            Op::Destroy(_) => {
                known.open &= !known.is_in;
                assert_eq!(registry.destroy(id, ExitReason::Shutdown), Self::out(known));
            }
            Op::Remove(_) => assert_eq!(registry.remove(id), Self::out(known)),
            Op::Close(_) => {
                known.mailbox.close();
                known.open = false;
                Self::out(known);
            }
            _ => self.slots[slot] = None,
        }
    }

    /// A creation that is under way holds its name; given up, it holds nothing.
    async fn give_up(&mut self, name: usize) {
        let registry = &self.registry;
        // The actor may have been killed just now: a caller that has an answer finds the actor up.
        let nobody: [&Address<u8>; 0] = [];
        assert_eq!(registry.insert_many(nobody).await, Ok(Vec::new()));
        let never = pending::<Result<Address<u8>, Infallible>>();
        let mut creation = Box::pin(registry.create::<Address<u8>, _, _, _>(NAMES[name], never));
        let begun = polled(creation.as_mut(), 5).await;
        let mailbox = Mailbox::<u8>::new();
        match (begun, self.named(name)) {
            (Some(refused), Some(_)) => drop(refused.expect_err("the name is taken")),
            (None, None) => {
                let refused = registry.register(&mailbox.address(), NAMES[name]).await;
                assert_eq!(refused, Err(taken(NAMES[name], Holder::Creation)));
            }
            (begun, _) => panic!("{begun:?}"),
        }
        drop(creation);
        while registry.capacity().active_creates > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// All of it, in every way in which one can look.
    fn check(&mut self) {
        let registry = &self.registry;
        let mut ids = BTreeMap::new();
        let (mut mailboxes, mut names) = (0, 0);
        for known in self.slots.iter().flatten() {
            let id = known.mailbox.id();
            assert_eq!(
                (registry.contains(id), known.mailbox.address().is_closed()),
                (known.is_in, !known.open)
            );
            mailboxes += u64::from(known.is_in);
            names += known.names.len() as u64;
            let of: Vec<&str> = known.names.iter().map(|n| NAMES[*n]).collect();
            assert_eq!(registry.names_of(id), of, "in the order in which it got them");
            ids.extend(known.names.iter().map(|name| (*name, id)));
        }
        for (n, name) in NAMES.iter().enumerate() {
            assert_eq!(registry.id_of(*name), ids.get(&n).copied(), "{name}");
        }
        for (k, key) in KEYS.iter().enumerate() {
            let here = registry.entry_by_key("k", key).map(|entry| entry.id());
            assert_eq!(here, self.keyed(k).map(|known| known.mailbox.id()));
        }
        assert_eq!(registry.sizes(), counts(mailboxes, names));
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.sizes(), counts(mailboxes, names));
        let consistency = registry.validate_consistency();
        assert!(consistency.is_consistent(), "{consistency:?}");
        while let Some(followed) = self.changes.try_next() {
            let Followed::Change(change) = followed else { panic!("{followed:?}") };
            self.followed.apply(&change);
            assert!(self.followed.validate().is_consistent(), "{change}");
            assert_eq!(self.followed.sizes(), change.after, "{change}");
        }
        assert_eq!(all(&self.followed), all(&snapshot), "a snapshot and the changes since");
    }
}

pub(crate) fn all(snapshot: &Snapshot) -> (u64, Vec<Uuid>, Vec<(String, Uuid)>) {
    let mut mailboxes: Vec<_> = snapshot.mailboxes().collect();
    let mut names: Vec<_> = snapshot.names().map(|(name, id)| (name.to_string(), id)).collect();
    mailboxes.sort_unstable();
    names.sort_unstable();
    (snapshot.seq(), mailboxes, names)
}

pub(crate) fn taken(name: &str, holder: Holder) -> RegisterError {
    let name = restante_registry::NameText::new(name).expect("it is a name");
    RegisterError::NameAlreadyExists { name, holder }
}

/// What a future answers within so many polls; others get a turn in between.
pub(crate) async fn polled<F: Future>(future: F, polls: u8) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    /// Rows B2, B5 to B8: whatever is done, the registry is what the model is, and says so in every way.
    /// Clause 26.3.
    #[test]
    fn a_registry_is_what_its_operations_made_it(ops in prop::collection::vec(op(), 100)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new();
            for op in ops {
                bench.apply(op).await;
                bench.check();
            }
            bench.slots = Default::default();
            bench.check();
            prop_assert_eq!(bench.registry.sizes(), counts(0, 0));
            Ok(())
        })?;
    }
}

/// Row F4: an actor that dies again and again is up again each time before the waiting callers give up.
#[tokio::test]
async fn an_actor_that_is_killed_often_keeps_nobody_waiting() {
    let registry = Registry::start();
    let mailbox = Mailbox::<u8>::new();
    for n in 0..12 {
        registry.actor().kill();
        // A kill that comes to an actor that is about to begin may take the command along.
        while let Err(error) = registry.register(&mailbox.address(), n.to_string()).await {
            assert!(matches!(error, RegisterError::ActorDied(_)), "{error}");
        }
    }
    assert_eq!(registry.sizes(), counts(1, 12));
}
