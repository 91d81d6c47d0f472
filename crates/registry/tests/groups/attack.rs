//! Groups, attacked: by what their mailboxes hold, and by counting what they leave behind.

use super::member;
use restante_core::addressable::OnClose;
use restante_core::{Address, Addressable, ExitReason, Mailbox};
use restante_registry::{Groups, Member};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use uuid::Uuid;

/// Uses the scope when it is dropped.
struct Meddler(Groups<u32>, Arc<AtomicUsize>);

impl Drop for Meddler {
    fn drop(&mut self) {
        let (mailbox, one) = member();
        self.0.join("meddled", &one).unwrap();
        let (now, monitor) = self.0.monitor_scope();
        assert!(!now.members("meddled").is_empty());
        drop((mailbox, monitor));
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// Row G5. The last memory of a mailbox may be a group's. What goes with it may be of the user's, and use the scope: it is
/// dropped under no lock, and no later than some operations after the end.
#[test]
fn what_a_mailbox_held_may_use_the_scope_when_it_goes() {
    const MEDDLERS: usize = 200;
    let groups = Groups::<u32>::new();
    let dropped = Arc::new(AtomicUsize::new(0));
    for n in 0..MEDDLERS {
        let meddler = Meddler(groups.clone(), Arc::clone(&dropped));
        let settings = Mailbox::settings().weight_limit(9, move |_| {
            let _ = &meddler;
            1
        });
        let mailbox = Mailbox::with(settings).unwrap();
        let one = Member::address(&mailbox.address());
        groups.join_many("held", &[one.clone(), one.clone()]).unwrap();
        if n % 2 == 0 {
            groups.leave("held", &one).unwrap();
        }
        drop(one);
        drop(mailbox);
    }
    let (_mailbox, one) = member();
    let mut operations = 0;
    while dropped.load(Ordering::Relaxed) < MEDDLERS {
        groups.join("others", &one).unwrap();
        groups.leave("others", &one).unwrap();
        operations += 1;
        assert!(operations < 100_000, "{dropped:?} of {MEDDLERS} are gone");
    }
    assert!(groups.which_groups().is_empty());
}

/// Looks at a group while a member of it is about to be taken out.
struct Early(Groups<u32>, Arc<AtomicUsize>);

impl OnClose for Early {
    fn on_close(&self, _: &ExitReason) {
        let there = self.0.count("pool");
        assert_eq!(self.0.pick("pool"), None, "nobody who has closed is picked");
        let published = self.0.broadcast("pool", 1);
        assert_eq!((published.delivered, published.refused.len()), (0, there));
        assert!(published.refused.iter().all(|refused| refused.member.is_closed()));
        assert!(self.0.join("pool", &published.refused[0].member).is_err(), "and nobody comes back");
        self.1.fetch_add(there, Ordering::Relaxed);
    }
}

/// Row G5. Between a mailbox's closing and the end of its memberships, which only the first to be told can see, the mailbox
/// is not picked, refuses what is sent to all, and cannot join again.
/// Clause 29.3.
#[test]
fn a_member_that_is_just_closing_takes_nothing() {
    let groups = Groups::<u32>::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let mailbox = Mailbox::<u32>::new();
    let address = mailbox.address();
    let early: Arc<dyn OnClose> = Arc::new(Early(groups.clone(), Arc::clone(&seen)));
    assert!(address.tell_first(Arc::downgrade(&early)));
    let one = Member::address(&address);
    groups.join_many("pool", &[one.clone(), one]).unwrap();
    mailbox.close();
    assert_eq!((seen.load(Ordering::Relaxed), groups.count("pool")), (2, 0));
}

/// An address that counts who is to be told of its end.
#[derive(Clone, Debug)]
struct Counting(Address<u32>, Arc<AtomicIsize>);

impl Addressable for Counting {
    fn mailbox_id(&self) -> Uuid {
        self.0.mailbox_id()
    }
    fn has_closed(&self) -> bool {
        self.0.has_closed()
    }
    fn why_closed(&self) -> Option<ExitReason> {
        self.0.why_closed()
    }
    fn close_mailbox(&self, reason: ExitReason) -> bool {
        self.0.close_mailbox(reason)
    }
    fn label(&self) -> String {
        self.0.label()
    }
    fn counted(&self) -> Option<Self> {
        Some(Self(self.0.counted()?, Arc::clone(&self.1)))
    }
    fn uncounted(&self) -> Self {
        Self(self.0.uncounted(), Arc::clone(&self.1))
    }
    fn drop_uncounted(self) {
        self.0.drop_uncounted();
    }
    fn tell_first(&self, whom: Weak<dyn OnClose>) -> bool {
        let told = self.0.tell_first(whom);
        self.1.fetch_add(isize::from(told), Ordering::Relaxed);
        told
    }
    fn tell_no_more_at(&self, whom: usize) -> bool {
        let told = self.0.tell_no_more_at(whom);
        self.1.fetch_sub(isize::from(told), Ordering::Relaxed);
        told
    }
}

/// Row G5. A mailbox that lives long remembers one line for each scope that it is in, and none of those it has left.
#[test]
fn a_mailbox_remembers_no_scope_that_it_has_left() {
    let told = Arc::new(AtomicIsize::new(0));
    let told_now = || told.load(Ordering::Relaxed);
    let mailbox = Mailbox::<u32>::new();
    let counting = Counting(mailbox.address(), Arc::clone(&told));
    let one = Member::new(&counting, |to: &Counting, message, options| to.0.try_send_with(message, options));
    drop(counting);
    let (here, there) = (Groups::<u32>::new(), Groups::<u32>::new());
    here.join_many("a", &[one.clone(), one.clone()]).unwrap();
    here.join("b", &one).unwrap();
    assert_eq!(told_now(), 1);
    there.join("a", &one).unwrap();
    assert_eq!(told_now(), 2);
    assert_eq!(here.leave_many("a", &[one.clone(), one.clone()]), Ok(2));
    assert_eq!(told_now(), 2);
    here.leave("b", &one).unwrap();
    assert_eq!(told_now(), 1);
    drop(there);
    assert_eq!(told_now(), 0);
    let (dead_mailbox, dead) = member();
    drop(dead_mailbox);
    here.join_many("c", &[one.clone(), dead]).unwrap_err();
    assert_eq!((told_now(), here.count("c")), (0, 0));
    here.join("c", &one).unwrap();
    drop(mailbox);
    assert_eq!((told_now(), here.count("c")), (1, 0), "told, and so not taken back");
}
