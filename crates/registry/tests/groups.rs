//! Process groups. Where a test answers a case of OTP's `pg_SUITE`, its doc comment names it.

use restante_core::Mailbox;
use restante_registry::{Groups, Member};
use uuid::Uuid;

mod attack;
mod herd;
mod membership;
mod monitors;
mod picking;

/// A mailbox without a reader, as a member.
fn member() -> (Mailbox<u32>, Member<u32>) {
    let mailbox = Mailbox::new();
    let member = Member::address(&mailbox.address());
    (mailbox, member)
}

fn ids(of: &[Member<u32>]) -> Vec<Uuid> {
    let mut ids: Vec<_> = of.iter().map(Member::id).collect();
    ids.sort();
    ids
}

fn members(groups: &Groups<u32>, group: &str) -> Vec<Uuid> {
    ids(&groups.members(group))
}

fn which(groups: &Groups<u32>) -> Vec<String> {
    let mut names: Vec<_> = groups.which_groups().iter().map(ToString::to_string).collect();
    names.sort();
    names
}

const NOBODY: [Uuid; 0] = [];
