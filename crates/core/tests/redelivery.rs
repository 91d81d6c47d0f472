//! What behaviours do with a cell: a message put back for another attempt.

use restante_core::cell::{MailCell, Parked};
use restante_core::word::{LEASED, RunGuard};
use restante_core::{Lane, Mailbox, SendError, SendOptions};
use std::sync::Arc;

/// Failure mode 9: a redelivered message keeps its place, its weight and its count.
#[test]
fn a_message_that_is_put_back_weighs_what_it_weighed() {
    let settings = Mailbox::settings().weight_limit(10, |w: &u32| *w);
    let cell = Arc::new(MailCell::new(settings, LEASED, Parked));
    cell.push(6).unwrap();
    cell.push(4).unwrap();
    for attempt in 1..4 {
        let mut permit = RunGuard::enter(&cell).unwrap();
        let (c, own) = permit.split();
        assert_eq!(c.take(own), Some(6));
        assert_eq!(own.attempts(), attempt - 1);
        c.put_back(own, 6, Lane::Normal, attempt);
        MailCell::leave_by(permit, restante_core::word::DATA);
        assert_eq!((cell.stats().depth, cell.stats().weight), (2, 10));
        assert!(matches!(cell.push(1), Err(SendError::Full(1))));
    }
    let mut permit = RunGuard::enter(&cell).unwrap();
    let (c, own) = permit.split();
    assert_eq!((c.take(own), c.take(own), c.take(own)), (Some(6), Some(4), None));
    assert_eq!((cell.stats().depth, cell.stats().weight), (0, 0));
    cell.push_with(10, &SendOptions::new(), false).unwrap();
}
