//! Publish and subscribe.

use restante_core::{ExitReason, Mailbox, SendError, SendOptions};
use restante_registry::{GroupChange, JoinError, Member, NotJoined, Topics};
use std::sync::Arc;

fn subscriber<T: Send + 'static>(room: usize) -> (Mailbox<T>, Member<T>) {
    let mailbox = Mailbox::with(Mailbox::settings().capacity(room)).unwrap();
    let member = Member::address(&mailbox.address());
    (mailbox, member)
}

fn received<T: Send + 'static>(mailbox: &Mailbox<T>) -> Vec<T> {
    let mut receiver = mailbox.receiver().unwrap();
    std::iter::from_fn(|| receiver.try_receive().ok()).collect()
}

/// Row G5: publish and subscribe by topic.
#[test]
fn subscribers_of_a_topic_get_what_is_published_to_it() {
    let topics = Topics::<Arc<str>>::new();
    let ((weather, one), (sports, two)) = (subscriber(9), subscriber(9));
    assert_eq!(topics.publish("weather", "nobody hears".into()).delivered, 0);
    topics.subscribe("weather", &one).unwrap();
    topics.subscribe("weather", &two).unwrap();
    topics.subscribe("sports", &two).unwrap();
    assert_eq!(topics.publish("weather", "rain".into()).delivered, 2);
    assert_eq!(topics.publish("sports", "1:0".into()).delivered, 1);
    topics.unsubscribe("weather", &one).unwrap();
    assert_eq!(topics.unsubscribe("weather", &one), Err(NotJoined));
    assert_eq!(topics.publish("weather", "sun".into()).delivered, 1);
    assert_eq!(received(&weather), ["rain".into()]);
    assert_eq!(received(&sports), ["rain".into(), "1:0".into(), "sun".into()]);
    let mut names: Vec<_> = topics.which_topics().into_iter().collect();
    names.sort();
    assert_eq!((names, topics.count("sports")), (vec!["sports".into(), "weather".into()], 1));
}

/// Rows G5, D4: a publisher never waits, and nothing is dropped in silence.
/// Clause 29.5.
#[test]
fn a_full_subscriber_is_reported_with_the_message_and_holds_nobody_up() {
    let topics = Topics::<u32>::new();
    let ((slow, small), (fast, large)) = (subscriber(1), subscriber(9));
    topics.subscribe("ticks", &small).unwrap();
    topics.subscribe("ticks", &large).unwrap();
    assert!(topics.publish("ticks", 1).is_complete());
    let published = topics.publish("ticks", 2);
    assert_eq!((published.delivered, published.full()), (1, 1));
    let refused = published.refused.into_iter().next().unwrap();
    assert_eq!((refused.member.id(), refused.error.into_message()), (slow.id(), 2));
    let mut dropped = Vec::new();
    let delivered = topics.publish_with("ticks", 3, SendOptions::new(), |who, error| {
        assert!(matches!(error, SendError::Full(3)));
        dropped.push(who.id());
    });
    assert_eq!((delivered, dropped), (1, vec![slow.id()]));
    assert_eq!((received(&slow), received(&fast)), (vec![1], vec![1, 2, 3]));
}

/// Row G5: a token holds a subscription, and only that one.
#[test]
fn a_dropped_subscription_unsubscribes() {
    let topics = Topics::<u32>::new();
    let (mailbox, one) = subscriber(9);
    topics.subscribe("news", &one).unwrap();
    let token = topics.subscription("news", &one).unwrap();
    assert_eq!((&**token.topic(), topics.count("news")), ("news", 2));
    assert_eq!(topics.publish("news", 1).delivered, 2);
    drop(token);
    assert_eq!((topics.publish("news", 2).delivered, received(&mailbox)), (1, vec![1, 1, 2]));
    let token = topics.subscription("news", &one).unwrap();
    drop(mailbox);
    assert_eq!(topics.count("news"), 0);
    drop(token);
    assert_eq!(topics.subscription("news", &one).unwrap_err(), JoinError::Closed { member: one.id() });
}

/// Row G5: a subscriber's end unsubscribes, and the monitors of the topic hear of it.
#[test]
fn an_end_unsubscribes() {
    let topics = Topics::<u32>::new();
    let (mailbox, one) = subscriber(9);
    let (_, mut monitor) = topics.groups().monitor("news");
    topics.subscribe("news", &one).unwrap();
    mailbox.destroy(ExitReason::Killed);
    assert_eq!(topics.publish("news", 1).delivered, 0);
    assert!(topics.which_topics().is_empty());
    let changes = [(); 2].map(|()| monitor.try_next().unwrap().unwrap().change.clone());
    assert_eq!(changes, [GroupChange::Joined, GroupChange::Closed(ExitReason::Killed)]);
}

/// Rows G5, D1: two publishers, two subscribers: the order of each publisher is kept with each subscriber.
/// Clause 29.5.
#[test]
fn each_publishers_order_is_kept_with_each_subscriber() {
    let topics = Topics::<(u8, u32)>::new();
    let boxes: Vec<_> = (0..2)
        .map(|_| {
            let (mailbox, member) = subscriber(4_000);
            topics.subscribe("order", &member).unwrap();
            mailbox
        })
        .collect();
    let publishers: Vec<_> = (0..2)
        .map(|publisher| {
            let topics = topics.clone();
            std::thread::spawn(move || {
                (0..2_000).for_each(|n| assert!(topics.publish("order", (publisher, n)).is_complete()));
            })
        })
        .collect();
    for publisher in publishers {
        publisher.join().unwrap();
    }
    for mailbox in &boxes {
        let all = received(mailbox);
        for publisher in 0..2 {
            let of_one = all.iter().filter(|(from, _)| *from == publisher).map(|(_, n)| *n);
            assert!(of_one.eq(0..2_000));
        }
    }
}

/// Row G5: a subscriber whose own messages are of another type.
#[test]
fn a_subscriber_may_take_what_is_published_in_a_form_of_its_own() {
    #[derive(Debug, PartialEq)]
    enum Desk {
        News(u32),
    }
    let topics = Topics::<u32>::new();
    let desk = Mailbox::<Desk>::with(Mailbox::settings().capacity(1)).unwrap();
    let member = Member::new(&desk.address(), |desk, news, options| {
        desk.try_send_with(Desk::News(news), options).map_err(|refused| refused.map(|Desk::News(news)| news))
    });
    topics.subscribe("news", &member).unwrap();
    assert!(topics.publish("news", 1).is_complete());
    assert!(matches!(topics.publish("news", 2).refused[0].error, SendError::Full(2)));
    assert_eq!(received(&desk), [Desk::News(1)]);
}
