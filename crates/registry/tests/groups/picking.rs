//! One of a group, and all of it.

use super::member;
use restante_core::{Lane, Mailbox, SendError, SendOptions};
use restante_registry::{GroupSendError, Groups, Member, Picker};
use std::collections::HashMap;

fn with_room(room: usize) -> (Mailbox<u32>, Member<u32>) {
    let mailbox = Mailbox::with(Mailbox::settings().capacity(room)).unwrap();
    let member = Member::address(&mailbox.address());
    (mailbox, member)
}

fn received(mailbox: &Mailbox<u32>) -> Vec<u32> {
    let mut receiver = mailbox.receiver().unwrap();
    std::iter::from_fn(|| receiver.try_receive().ok()).collect()
}

/// Row D10: a pool of workers takes turns.
#[test]
fn members_are_picked_in_turn() {
    let groups = Groups::<u32>::new();
    assert_eq!(groups.pick("pool"), None);
    let (mut boxes, workers): (Vec<_>, Vec<_>) = (0..3).map(|_| member()).unzip();
    groups.join_many("pool", &workers).unwrap();
    let picked: Vec<_> = (0..6).map(|_| groups.pick("pool").unwrap().id()).collect();
    assert_eq!(picked[..3], picked[3..]);
    assert!(workers.iter().all(|worker| picked[..3].contains(&worker.id())));
    drop(boxes.remove(1));
    let picked: Vec<_> = (0..4).map(|_| groups.pick("pool").unwrap().id()).collect();
    assert_eq!((picked[0], picked[1]), (picked[2], picked[3]));
    assert!(!picked.contains(&workers[1].id()));
}

/// Row D10: by chance, and the same chance again from the same seed.
#[test]
fn members_are_picked_by_chance() {
    let groups = Groups::<u32>::new();
    let (_boxes, workers): (Vec<_>, Vec<_>) = (0..4).map(|_| member()).unzip();
    groups.join_many("pool", &workers).unwrap();
    let draw = |picker: Picker| -> Vec<_> {
        (0..400).map(|_| groups.pick_by("pool", &picker).unwrap().id()).collect()
    };
    let drawn = draw(Picker::seeded(7));
    assert_eq!(drawn, draw(Picker::seeded(7)));
    assert_ne!(drawn, draw(Picker::seeded(8)));
    let mut times: HashMap<_, usize> = HashMap::new();
    for id in drawn {
        *times.entry(id).or_default() += 1;
    }
    assert!(times.len() == 4 && times.values().all(|times| (60..140).contains(times)), "{times:?}");
    let in_turn = draw(Picker::round_robin());
    assert_eq!(in_turn[..4], in_turn[4..8]);
    assert_eq!(draw(Picker::random()).len(), 400);
}

/// Row D10: a member without room is passed over; when no member has room, the message comes back and says why.
#[test]
fn work_goes_to_whoever_has_room() {
    let groups = Groups::<u32>::new();
    let Err(GroupSendError::NoMembers(7)) = groups.send("pool", 7) else { panic!("there is no pool") };
    let (boxes, workers): (Vec<_>, Vec<_>) = [1, 3].into_iter().map(with_room).unzip();
    groups.join_many("pool", &workers).unwrap();
    let took: Vec<_> = (0..4).map(|n| groups.send("pool", n).unwrap()).collect();
    assert_eq!(took.iter().filter(|id| **id == workers[0].id()).count(), 1);
    match groups.send("pool", 4).unwrap_err() {
        GroupSendError::Refused { tried: 2, last: SendError::Full(4) } => {}
        other => panic!("{other:?}"),
    }
    let refused = groups.send_by("pool", &Picker::seeded(1), 5).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "all 2 members of the group refused the message, the last one because the mailbox is full"
    );
    assert_eq!(refused.into_message(), 5);
    let mut all: Vec<_> = boxes.iter().flat_map(received).collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
}

/// Row G5: the caller itself sends to all; a member that did not take its copy is named, and its copy comes back.
#[test]
fn a_broadcast_says_who_did_not_get_it() {
    let groups = Groups::<u32>::new();
    assert_eq!(groups.broadcast("all", 1).delivered, 0);
    let (boxes, members): (Vec<_>, Vec<_>) = [2, 1, 4].into_iter().map(with_room).unzip();
    groups.join_many("all", &members).unwrap();
    groups.join("all", &members[2]).unwrap();
    let first = groups.broadcast("all", 1);
    assert_eq!((first.delivered, first.is_complete(), first.full()), (4, true, 0));
    let second = groups.broadcast("all", 2);
    assert_eq!((second.delivered, second.is_complete(), second.full()), (3, false, 1));
    let [refused] = &second.refused[..] else { panic!("{second:?}") };
    assert!(refused.member == members[1] && matches!(refused.error, SendError::Full(2)));
    let mut refusals = 0;
    let high = SendOptions::new().lane(Lane::High).ttl(std::time::Duration::ZERO);
    let delivered = groups.broadcast_with("all", 3, high, |_, error| {
        assert!(matches!(error, SendError::Expired(3)));
        refusals += 1;
    });
    assert_eq!((delivered, refusals), (0, 4));
    assert_eq!(boxes.iter().map(received).collect::<Vec<_>>(), [vec![1, 2], vec![1], vec![1, 1, 2, 2]]);
}
