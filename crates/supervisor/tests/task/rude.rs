//! Subscribers of `tracing` that panic, on the threads of tasks.

use super::{LONG, exited, forever, settle};
use crate::support::listen;
use restante_core::ExitReason;
use restante_supervisor::Restart;
use restante_supervisor::task::{TaskError, TaskStartError, TaskSupervisor};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

/// What a subscriber panics at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Nothing,
    Event,
    Enter,
    Exit,
    Clone,
    Close,
}

/// Panics at that, once it has been told to.
#[derive(Debug, Clone)]
struct Rude(Arc<Mutex<At>>);

impl Rude {
    fn come(&self, at: At) {
        let panics = *self.0.lock().unwrap() == at;
        assert!(!panics, "as told");
    }

    fn panics_at(&self, at: At) {
        *self.0.lock().unwrap() = at;
    }
}

impl Subscriber for Rude {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn event(&self, _: &Event<'_>) {
        self.come(At::Event);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {
        self.come(At::Enter);
    }
    fn exit(&self, _: &Id) {
        self.come(At::Exit);
    }
    fn clone_span(&self, id: &Id) -> Id {
        self.come(At::Clone);
        id.clone()
    }
    fn try_close(&self, _: Id) -> bool {
        self.come(At::Close);
        true
    }
    fn current_span(&self) -> Current {
        SPAN.get().map_or_else(Current::none, |of| Current::new(Id::from_u64(1), of))
    }
}

/// What the span is of that is current wherever a rude subscriber listens.
static SPAN: OnceLock<&'static Metadata<'static>> = OnceLock::new();

/// Listens on this thread, and has panicked at nothing yet.
fn rude() -> (Rude, tracing::subscriber::DefaultGuard) {
    let rude = Rude(Arc::new(Mutex::new(At::Nothing)));
    let listens = listen(rude.clone());
    SPAN.get_or_init(|| tracing::info_span!("of the starter").metadata().expect("it is enabled"));
    (rude, listens)
}

/// Row H6: whatever the subscriber does while a task is polled or ends, the task has its outcome, leaves the table and
/// gives its place back.
#[tokio::test(start_paused = true)]
async fn a_rude_subscriber_costs_a_task_nothing() {
    let _quiet = restante_testkit::quiet_panics("as told");
    let (rude, _listens) = rude();
    for at in [At::Event, At::Enter, At::Exit, At::Clone, At::Close] {
        let tasks = TaskSupervisor::builder().max_children(1).build();
        let outcomes: [fn() -> Result<u32, ExitReason>; 3] =
            [|| Ok(1), || exited("why"), || panic!("as told")];
        for (n, outcome) in outcomes.into_iter().enumerate() {
            rude.panics_at(At::Nothing);
            let task = tasks.async_nolink(async move {
                tokio::task::yield_now().await;
                outcome()
            });
            let task = task.unwrap();
            rude.panics_at(at);
            let ended = tokio::time::timeout(LONG, task).await.expect("it ends");
            match n {
                0 => assert_eq!(ended, Ok(1), "{at:?}"),
                1 => assert_eq!(ended, exited("why").map_err(TaskError::Exited), "{at:?}"),
                _ => assert!(ended.is_err(), "{at:?}"),
            }
            assert_eq!(tasks.count(), 0, "{at:?}, {n}");
        }
        rude.panics_at(At::Nothing);
        let id = tasks.start_child(async { forever().await.map(drop) }).unwrap();
        settle().await;
        assert!(matches!(tasks.start_child(async { Ok(()) }), Err(TaskStartError::MaxChildren { .. })));
        rude.panics_at(at);
        assert_eq!(tasks.terminate_child(id).await, Ok(()), "{at:?}");
        assert_eq!(tasks.count(), 0, "{at:?}");
        assert!(tasks.shutdown(LONG).await.left.is_empty(), "{at:?}");
        rude.panics_at(At::Nothing);
    }
}

/// Row H6: a permanent task starts again whatever the subscriber does that is told of it.
#[tokio::test(start_paused = true)]
async fn a_task_starts_again_under_a_rude_subscriber() {
    let _quiet = restante_testkit::quiet_panics("as told");
    let (rude, _listens) = rude();
    let tasks = TaskSupervisor::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let its = Arc::clone(&runs);
    let started = tasks.start_child_with(Restart::Permanent, move || {
        let nth = its.fetch_add(1, Ordering::SeqCst);
        async move { if nth < 2 { exited("why") } else { forever().await.map(drop) } }
    });
    started.unwrap();
    rude.panics_at(At::Event);
    settle().await;
    assert_eq!((runs.load(Ordering::SeqCst), tasks.count()), (3, 1));
    rude.panics_at(At::Nothing);
    assert!(tasks.shutdown(LONG).await.left.is_empty());
}

/// Row H6: a subscriber that panics as a task is started panics into who starts it, and no place is taken by that.
#[tokio::test(start_paused = true)]
async fn a_start_that_its_subscriber_breaks_off_takes_no_place() {
    let _quiet = restante_testkit::quiet_panics("as told");
    let (rude, _listens) = rude();
    let tasks = TaskSupervisor::builder().max_children(1).build();
    rude.panics_at(At::Clone);
    let broken = std::panic::AssertUnwindSafe(|| tasks.start_child(async { Ok(()) }));
    assert!(std::panic::catch_unwind(broken).is_err());
    rude.panics_at(At::Nothing);
    assert_eq!(tasks.count(), 0);
    assert!(tasks.start_child(async { Ok(()) }).is_ok());
}
