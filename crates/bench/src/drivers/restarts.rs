//! Crashes, one after the other: from the order to crash to the reply of the next incarnation.

use crate::{
    measured::{Measured, Stopwatch},
    supervised::{Case, Crash, Supervised},
    system::System,
};

/// Crashes one server, again and again. Nothing limits its restarts, and nothing delays them.
pub(crate) async fn sustained<S: System>(crash: Crash, count: u64) -> Option<Measured> {
    let mut server = S::supervised(Case::new(crash, None)).await?;
    assert_eq!(server.number().await, 0);

    let watch = Stopwatch::start();
    crash_repeatedly(&mut server, count).await;
    Some(watch.stop(count))
}

/// Crashes servers `remembered` times each, under supervisors that forget none of it; as many servers as it takes.
pub(crate) async fn remembered<S: System>(remembered: u64, count: u64) -> Option<Measured> {
    let mut servers = Vec::new();
    for _ in 0..(count / remembered).max(1) {
        let mut server = S::supervised(Case::new(Crash::Error, Some(remembered))).await?;
        assert_eq!(server.number().await, 0);
        servers.push(server);
    }

    let watch = Stopwatch::start();
    for server in &mut servers {
        crash_repeatedly(server, remembered).await;
    }
    Some(watch.stop(remembered * servers.len() as u64))
}

async fn crash_repeatedly(server: &mut impl Supervised, count: u64) {
    for incarnation in 1..=count {
        server.crash().await;
        assert_eq!(server.number().await, incarnation, "each crash is followed by one restart");
    }
}
