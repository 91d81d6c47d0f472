//! Random operations: one thread beside a reference model, several beside readers that look whether all is right at every
//! instant.

use crate::support::counts;
use proptest::prelude::*;
use restante_core::{Address, ExitReason, Mailbox};
use restante_registry::{Changes, Followed, Holder, RegisterError, Registry, Snapshot};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
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
    /// The same by a creation, under a name.
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

    /// It goes out.
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
            Some(holder) => Err(taken(NAMES[name], Holder::Mailbox(holder.mailbox.id()))),
            None => Ok(()),
        })
    }

    fn put_on(&mut self, slot: usize, name: usize) {
        let known = self.slots[slot].as_mut().expect("it is there");
        known.is_in = true;
        known.names.push(name);
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
                // (The last reference is to be the slot's own.)
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
                assert_eq!(added.is_ok(), known.is_in && holder.is_none(), "{added:?}");
                if added.is_ok() {
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
        // (The actor may have been killed just now: whoever is answered finds it up.)
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

fn all(snapshot: &Snapshot) -> (u64, Vec<Uuid>, Vec<(String, Uuid)>) {
    let mut mailboxes: Vec<_> = snapshot.mailboxes().collect();
    let mut names: Vec<_> = snapshot.names().map(|(name, id)| (name.to_string(), id)).collect();
    mailboxes.sort_unstable();
    names.sort_unstable();
    (snapshot.seq(), mailboxes, names)
}

fn taken(name: &str, holder: Holder) -> RegisterError {
    let name = restante_registry::NameText::new(name).expect("it is a name");
    RegisterError::NameAlreadyExists { name, holder }
}

/// What a future answers within so many polls; others get a turn in between.
async fn polled<F: Future>(future: F, polls: u8) -> Option<F::Output> {
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

/// Row F4: an actor that dies again and again is up again each time before those who wait give up.
#[tokio::test]
async fn an_actor_that_is_killed_often_keeps_nobody_waiting() {
    let registry = Registry::start();
    let mailbox = Mailbox::<u8>::new();
    for n in 0..12 {
        registry.actor().kill();
        // (A kill that comes to one that is about to begin may take the command along.)
        while let Err(error) = registry.register(&mailbox.address(), n.to_string()).await {
            assert!(matches!(error, RegisterError::ActorDied(_)), "{error}");
        }
    }
    assert_eq!(registry.sizes(), counts(1, 12));
}

/// Slots that several threads write.
type Shared = [Mutex<Option<Mailbox<u8>>>; SLOTS];

fn address(slots: &Shared, slot: usize) -> Option<Address<u8>> {
    slots[slot].lock().unwrap().as_ref().map(Mailbox::address)
}

/// One random operation, from a plain thread.
fn write(registry: &Registry, slots: &Shared, random: &mut fastrand::Rng, runtime: &tokio::runtime::Handle) {
    let slot = random.usize(..SLOTS);
    let (name, key) = (NAMES[random.usize(..NAMES.len())], KEYS[random.usize(..KEYS.len())]);
    let Some(at) = address(slots, slot) else {
        // (What was there is dropped after the lock.)
        let old = slots[slot].lock().unwrap().replace(Mailbox::new());
        return drop(old);
    };
    let id = at.id();
    match random.u8(..16) {
        0..4 => {
            let registered = registry.register_blocking(&at, name);
            assert!(
                matches!(
                    registered,
                    Ok(())
                        | Err(RegisterError::NameAlreadyExists { .. }
                            | RegisterError::MailboxDoesNotExist(_)
                            | RegisterError::ActorDied(_))
                ),
                "{registered:?}"
            );
            let closed = matches!(registered, Err(RegisterError::MailboxDoesNotExist(_)));
            assert!(!closed || at.is_closed());
        }
        4 => {
            drop(
                registry.creation().name(name).key("k", key).run_blocking(async { Ok::<_, Infallible>(at) }),
            );
        }
        5 => runtime.block_on(async {
            let never = pending::<Result<Address<u8>, Infallible>>();
            drop(polled(registry.create::<Address<u8>, _, _, _>(name, never), random.u8(..6)).await);
        }),
        6 => runtime.block_on(async { drop(polled(registry.register(&at, name), random.u8(..4)).await) }),
        7 => drop(runtime.block_on(registry.add_key(id, "k", key))),
        8 | 9 => drop(registry.unregister(name)),
        10 => drop(registry.unregister_all(id)),
        11 => {
            if registry.destroy(id, ExitReason::Shutdown) {
                assert!(at.is_closed() && registry.find(id, Address::<u8>::id).is_none());
            }
        }
        12 => drop(registry.remove(id)),
        13 => {
            let mailbox = slots[slot].lock().unwrap().take();
            if let Some(mailbox) = mailbox.filter(Mailbox::close) {
                assert_eq!(registry.find(mailbox.id(), Address::<u8>::id), None, "free when it returns");
            }
        }
        14 => {
            drop(at);
            let mailbox = slots[slot].lock().unwrap().take();
            drop(mailbox);
        }
        _ => drop(if random.bool() { registry.actor().kill() } else { registry.compact() > 0 }),
    }
}

/// The number of the last change; equal before and after some looks: nothing was written meanwhile.
fn seq(registry: &Registry) -> u64 {
    registry.history(1).first().map_or(0, |change| change.seq)
}

/// The invariants, at this instant. Whether nobody wrote meanwhile, so that they could be held to.
fn look(registry: &Registry, name: &str) -> bool {
    let before = seq(registry);
    let found = registry.find(name, Address::<u8>::id);
    // (Without regard to whether it is open, as the look by name is.)
    let by_id = found.map(|id| registry.find(id, Address::<u8>::id));
    let names = found.map(|id| registry.entry(id).map(|entry| entry.names()));
    let leads: Vec<_> = names
        .iter()
        .flatten()
        .flatten()
        .map(|name| (name.clone(), registry.find(name, Address::<u8>::id)))
        .collect();
    let quiet = seq(registry) == before;
    if quiet {
        assert!(found.is_none() || by_id == Some(found), "a name without its mailbox: {name} {found:?}");
        for (other, id) in leads {
            assert_eq!(id, found, "a mailbox that is not found by its name {other}");
        }
        if let Some(Some(names)) = names {
            assert!(names.iter().any(|n| *n == *name), "{name} leads to a mailbox with the names {names:?}");
        }
    }
    // One mailbox a name: that is what a snapshot is; what is in it is of one instant.
    let snapshot = registry.snapshot();
    assert!(snapshot.validate().is_consistent(), "{snapshot:?}");
    let consistency = registry.validate_consistency();
    assert!(consistency.is_consistent(), "{consistency:?}");
    let sizes = registry.sizes();
    assert!(sizes.mailboxes <= 1000 && sizes.names <= NAMES.len() as u64, "{sizes}");
    quiet
}

/// Failure modes 14, 16 and 20: three who write and two who read, at once. `RESTANTE_SEED` repeats what each of them does, not
/// how the threads meet.
/// Clause 26.3.
#[test]
fn readers_find_all_right_at_every_instant() {
    const CASES: u64 = 40;
    const STEPS: usize = 100;
    let seed: u64 =
        std::env::var("RESTANTE_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    #[expect(clippy::print_stdout, reason = "a failed run is repeated by its seed")]
    {
        println!("RESTANTE_SEED={seed}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut quiet = 0;
    for case in 0..CASES {
        let registry = Registry::builder().history(32).runtime(runtime.handle().clone()).start();
        let slots = Arc::new(Shared::default());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|n| {
                    let mut random = fastrand::Rng::with_seed(seed ^ (case << 8 | n));
                    let (registry, slots, runtime) = (&registry, &slots, runtime.handle());
                    scope.spawn(move || (0..STEPS).for_each(|_| write(registry, slots, &mut random, runtime)))
                })
                .collect();
            let readers: Vec<_> = (0..2)
                .map(|n| {
                    let (registry, done) = (&registry, &done);
                    scope.spawn(move || {
                        let names = NAMES.iter().cycle().skip(n);
                        let looks = names.take_while(|_| !done.load(Ordering::Acquire));
                        looks.filter(|name| look(registry, name)).count()
                    })
                })
                .collect();
            let written: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            done.store(true, Ordering::Release);
            for reader in readers {
                quiet += reader.join().expect("the readers found all right");
            }
            for writer in written {
                writer.expect("the writers found all right");
            }
        });
        while registry.capacity().active_creates > 0 {
            std::thread::yield_now();
        }
        assert!(NAMES.iter().all(|name| look(&registry, name)), "nobody writes any more");
        drop(slots);
        assert_eq!(registry.sizes(), counts(0, 0), "all have closed");
    }
    assert!(quiet > 0, "the readers never had an instant to themselves");
}
