//! Joining, leaving, ending, reading.

use super::{NOBODY, ids, member, members, which};
use restante_core::monitor::{Event, Watch};
use restante_core::{ExitReason, Mailbox};
use restante_genserver::{Context, GenServer, Init, Next, Reply, Server, Step};
use restante_registry::{Groups, JoinError, Member, NotJoined};
use std::sync::{Arc, Mutex};

/// Row G5. `pg_SUITE:pg`: a group is there while it has a member.
#[test]
fn a_group_is_there_from_its_first_join_to_its_last_leave() {
    let groups = Groups::<u32>::new();
    let (_mailbox, one) = member();
    assert_eq!((members(&groups, "workers"), groups.count("workers")), (vec![], 0));
    groups.join("workers", &one).unwrap();
    assert_eq!((members(&groups, "workers"), groups.count("workers")), (vec![one.id()], 1));
    assert_eq!(which(&groups), ["workers"]);
    groups.leave("workers", &one).unwrap();
    assert_eq!((members(&groups, "workers"), groups.count("workers")), (vec![], 0));
    assert_eq!(which(&groups), [""; 0]);
}

/// Row G5. `pg_SUITE:single`, its first half.
/// Clause 29.1.
#[test]
fn who_joins_three_times_has_to_leave_three_times() {
    let groups = Groups::<u32>::new();
    let (_mailbox, one) = member();
    groups.join("single", &one).unwrap();
    groups.join_many("single", &[one.clone(), one.clone()]).unwrap();
    assert_eq!(members(&groups, "single"), [one.id(); 3]);
    assert_eq!(groups.leave("missing", &one), Err(NotJoined));
    assert_eq!(groups.leave_many("single", &[one.clone(), one.clone()]), Ok(2));
    assert_eq!(members(&groups, "single"), [one.id()]);
    groups.leave("single", &one).unwrap();
    assert_eq!(groups.leave("single", &one), Err(NotJoined));
    assert_eq!((members(&groups, "single"), which(&groups).len()), (vec![], 0));
}

/// Row G5. `pg_SUITE:single`, its second half.
#[test]
fn an_end_takes_one_of_two_out() {
    let groups = Groups::<u32>::new();
    let ((_mailbox, one), (other_mailbox, other)) = (member(), member());
    groups.join("single", &one).unwrap();
    groups.join("single", &other).unwrap();
    assert_eq!(members(&groups, "single"), ids(&[one.clone(), other.clone()]));
    other_mailbox.destroy(ExitReason::Killed);
    assert_eq!(members(&groups, "single"), [one.id()]);
    groups.leave("single", &one).unwrap();
}

/// Row G5. `pg_SUITE:errors` and `process_owner_check`: one that cannot be a member spoils the whole join.
/// Clause 29.2.
#[test]
fn who_has_closed_cannot_join_and_nobody_joins_with_it() {
    let groups = Groups::<u32>::new();
    let ((_mailbox, one), (dead_mailbox, dead)) = (member(), member());
    drop(dead_mailbox);
    let refused = Err(JoinError::Closed { member: dead.id() });
    assert_eq!(groups.join("owners", &dead), refused);
    assert_eq!(groups.join_many("owners", &[dead.clone(), dead.clone()]), refused);
    assert_eq!(groups.join_many("owners", &[one.clone(), dead.clone()]), refused);
    assert_eq!((members(&groups, "owners"), which(&groups).len()), (vec![], 0));
    assert_eq!(groups.leave("owners", &one), Err(NotJoined));
    groups.join_many("owners", &[]).unwrap();
    assert_eq!(which(&groups), [""; 0], "nobody makes no group");
    groups.join("owners", &one).unwrap();
}

/// Row G5. `pg_SUITE:leave_exit_race`: whichever comes first, the other finds nothing wrong.
#[test]
fn a_leave_and_an_end_at_once_leave_nothing_behind() {
    let groups = Groups::<u32>::new();
    for _ in 0..100 {
        let (mailbox, one) = member();
        groups.join_many("race", &[one.clone(), one.clone()]).unwrap();
        let ending = std::thread::spawn(move || mailbox.destroy(ExitReason::Normal));
        let left = groups.leave("race", &one);
        ending.join().unwrap();
        assert!(matches!(left, Ok(()) | Err(NotJoined)));
        assert_eq!((members(&groups, "race"), which(&groups).len()), (vec![], 0));
    }
}

/// Row G5. `pg_SUITE:overlay_missing`: a scope hears nothing of what happens in another.
#[test]
fn scopes_know_nothing_of_each_other() {
    let (here, there) = (Groups::<u32>::new(), Groups::<u32>::new());
    let (mailbox, one) = member();
    here.join("group", &one).unwrap();
    assert_eq!((members(&there, "group"), which(&there).len()), (vec![], 0));
    assert_eq!(there.leave("group", &one), Err(NotJoined));
    there.join("group", &one).unwrap();
    here.leave("group", &one).unwrap();
    assert_eq!(members(&there, "group"), [one.id()]);
    here.join("group", &one).unwrap();
    drop(here);
    mailbox.close();
    assert_eq!(members(&there, "group"), NOBODY);
}

/// Row G5. `pg_SUITE:two` and `initial`: what one thread has done the other sees.
#[test]
fn what_another_thread_has_done_is_seen() {
    let groups = Groups::<u32>::new();
    let (one_mailbox, one) = member();
    groups.join("two", &one).unwrap();
    let other = {
        let (groups, one) = (groups.clone(), one.clone());
        let run = move || {
            assert_eq!(members(&groups, "two"), [one.id()]);
            one_mailbox.close();
            assert_eq!(members(&groups, "two"), NOBODY);
            let (mailboxes, joined): (Vec<_>, Vec<_>) = [member(), member()].into_iter().unzip();
            for joined in &joined {
                groups.join("two", joined).unwrap();
            }
            (mailboxes, joined)
        };
        std::thread::spawn(run)
    };
    let (mailboxes, joined) = other.join().unwrap();
    assert_eq!(members(&groups, "two"), ids(&joined));
    drop(mailboxes);
    assert_eq!(members(&groups, "two"), NOBODY);
}

/// Row G5. `pg_SUITE:empty_group_by_remote_leave`: also where they leave in another order than they came in.
#[test]
fn a_group_that_somebody_else_empties_is_gone() {
    let groups = Groups::<u32>::new();
    let ((_one_mailbox, one), (_two_mailbox, two)) = (member(), member());
    groups.join_many("emptied", &[one.clone(), two.clone()]).unwrap();
    let away = groups.clone();
    let (first, second) = (one.clone(), two.clone());
    let leaving = std::thread::spawn(move || away.leave_many("emptied", &[second, first]));
    assert_eq!(leaving.join().unwrap(), Ok(2));
    assert_eq!((members(&groups, "emptied"), which(&groups).len()), (vec![], 0));
    groups.join("emptied", &two).unwrap();
    assert_eq!(members(&groups, "emptied"), [two.id()]);
}

/// Row G5. `pg_SUITE:group_leave`: sixteen joins, four leaves; the end takes all the rest.
#[test]
fn an_end_takes_all_memberships_of_a_member() {
    let groups = Groups::<u32>::new();
    let ((mailbox, many), (_mailbox, stays)) = (member(), member());
    groups.join_many("two", &vec![many.clone(); 16]).unwrap();
    groups.join_many("three", &[stays.clone(), many.clone(), stays.clone()]).unwrap();
    assert_eq!(groups.leave_many("two", &vec![many.clone(); 4]), Ok(4));
    assert_eq!(members(&groups, "two"), [many.id(); 12]);
    mailbox.close();
    assert_eq!((members(&groups, "two"), members(&groups, "three")), (vec![], vec![stays.id(); 2]));
    assert_eq!(which(&groups), ["three"]);
    assert_eq!(groups.leave("three", &many), Err(NotJoined));
    assert_eq!(groups.leave_many("three", &[many, stays.clone(), stays.clone(), stays]), Ok(2));
    assert_eq!(which(&groups), [""; 0]);
}

/// Row G5. `pg_SUITE:disconnected_start`: no runtime is needed, and no server has to be up.
#[test]
fn a_scope_works_on_a_plain_thread_and_from_a_static() {
    static GROUPS: std::sync::LazyLock<Groups<u32>> = std::sync::LazyLock::new(Groups::new);
    let (_mailbox, one) = member();
    let worker = one.clone();
    std::thread::spawn(move || GROUPS.join("anywhere", &worker)).join().unwrap().unwrap();
    assert_eq!(members(&GROUPS, "anywhere"), [one.id()]);
}

struct Counter(u32);

impl GenServer for Counter {
    type Args = ();
    type Call = Reply<u32>;
    type Cast = u32;
    type Info = u64;

    async fn init((): &(), _: &mut Context<Self>) -> Result<Init<Self>, ExitReason> {
        Ok(Init::ok(Self(0)))
    }
    async fn handle_call(&mut self, reply: Reply<u32>, _: &mut Context<Self>) -> Step {
        reply.send(self.0);
        Ok(Next::go())
    }
    async fn handle_cast(&mut self, n: u32, _: &mut Context<Self>) -> Step {
        self.0 += n;
        Ok(Next::go())
    }
    async fn handle_info(&mut self, n: u64, _: &mut Context<Self>) -> Step {
        self.0 += 100 * u32::try_from(n).unwrap();
        Ok(Next::go())
    }
}

/// Row G5. `pg_SUITE:scope_restart`, the other way round: the member restarts, and stays a member.
#[tokio::test(start_paused = true)]
async fn a_membership_outlives_a_restart_and_ends_with_the_mailbox() {
    let server = Server::<Counter>::new("counter");
    let counter = server.start(()).await.unwrap();
    let (casts, infos) = (Groups::<u32>::new(), Groups::<u64>::new());
    casts.join("counters", &Member::casts(&counter)).unwrap();
    infos.join("counters", &Member::infos(&counter)).unwrap();
    assert_eq!(casts.send("counters", 1).unwrap(), counter.id());
    assert_eq!(infos.send("counters", 1).unwrap(), counter.id());
    assert_eq!(counter.call(|reply| reply).await, Ok(101));
    counter.kill();
    counter.join().await;
    server.start(()).await.unwrap();
    assert!(casts.broadcast("counters", 7).is_complete());
    assert_eq!(counter.call(|reply| reply).await, Ok(7), "a fresh state, the old membership");
    counter.close(ExitReason::Shutdown);
    assert_eq!((casts.count("counters"), infos.count("counters")), (0, 0));
}

/// Rows G5, B1. `pg_SUITE:scope_restart`: a new scope begins with nothing, and mailboxes do not remember the old one.
#[test]
fn a_scope_that_has_gone_leaves_nothing_in_its_members() {
    let (_mailbox, one) = member();
    for _ in 0..3 {
        let groups = Groups::<u32>::new();
        assert_eq!(which(&groups), [""; 0]);
        groups.join("again", &one).unwrap();
        assert_eq!(members(&groups, "again"), [one.id()]);
    }
}

/// Row G5. A membership, a member and an unread event hold no mailbox open.
#[test]
fn a_membership_does_not_keep_a_mailbox_open() {
    let groups = Groups::<u32>::new();
    let (_, monitor) = groups.monitor("workers");
    let mailbox = Mailbox::<u32>::new();
    let address = mailbox.address();
    let one = Member::address(&address);
    groups.join("workers", &one).unwrap();
    let copies = groups.members("workers");
    drop(mailbox);
    assert!(!one.is_closed());
    drop(address);
    assert!(one.is_closed());
    assert_eq!((one.closed_reason(), copies), (Some(ExitReason::Normal), vec![one]));
    assert_eq!(groups.count("workers"), 0);
    drop(monitor);
}

/// Row G5. A monitor that hears of a member's end finds the group without that member.
/// Clause 29.2.
#[test]
fn memberships_are_over_before_monitors_of_the_end_fire() {
    let groups = Groups::<u32>::new();
    let mailbox = Mailbox::<u32>::new();
    let address = mailbox.address();
    for n in 0..200 {
        groups.join(format!("group {n}"), &Member::address(&address)).unwrap();
    }
    let found: Arc<Mutex<Vec<usize>>> = Arc::default();
    let (there, seen) = (groups.clone(), Arc::clone(&found));
    address.monitor(Watch::Mailbox, move |event| {
        if matches!(event, Event::Closed(_)) {
            seen.lock().unwrap().push(there.which_groups().len());
        }
    });
    mailbox.destroy(ExitReason::Killed);
    assert_eq!(*found.lock().unwrap(), [0]);
}

/// Row G5. Any term names a group.
#[test]
fn a_groups_name_may_be_of_any_type() {
    let groups = Groups::<u32, (u8, String)>::new();
    let (_mailbox, one) = member();
    groups.join((7, "eu".to_owned()), &one).unwrap();
    assert_eq!(groups.count(&(7, "eu".to_owned())), 1);
    assert_eq!(groups.count(&(8, "eu".to_owned())), 0);
    groups.with_members(&(7, "eu".to_owned()), |members| {
        assert_eq!((members.len(), members.get(0), members.get(1)), (1, Some(&one), None));
    });
}

/// Row G5. While others come and go, a reader sees whole lists: a pair that joins and leaves at once is there or is not.
/// Clause 29.3.
#[test]
fn a_reader_never_sees_half_of_an_operation() {
    let groups = Groups::<u32>::new();
    let (mailboxes, pair): (Vec<_>, Vec<_>) = [member(), member()].into_iter().unzip();
    let (_mailbox, stays) = member();
    groups.join("pairs", &stays).unwrap();
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let (groups, pair) = (groups.clone(), pair.clone());
            std::thread::spawn(move || {
                for _ in 0..2_000 {
                    groups.join_many("pairs", &pair).unwrap();
                    assert_eq!(groups.leave_many("pairs", &pair), Ok(2));
                }
            })
        })
        .collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        let seen = members(&groups, "pairs");
        assert!([1, 3, 5].contains(&seen.len()), "{seen:?}");
        for one in [&pair[0], &pair[1]] {
            assert_eq!(seen.iter().filter(|id| **id == one.id()).count(), seen.len() / 2);
        }
    }
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(members(&groups, "pairs"), [stays.id()]);
    drop(mailboxes);
}
