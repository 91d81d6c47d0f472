//! Several of one kind, and which of them a key belongs to.

use crate::support::{Args, Ask, Log, OnInit, Tell, Worker, noted, quiet, settle};
use restante_core::ExitReason;
use restante_genserver::{Server, ServerRef, StartError};
use restante_supervisor::{
    Backoff, DynamicSupervisor, Intensity, NoPartitions, PartitionError, PartitionRef, PartitionSupervisor,
    ResizeError, Shutdown, Supervisor,
};
use restante_testkit::assert_conserved;
use std::collections::HashSet;
use std::time::Duration;

const NAMES: [&str; 9] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"];

/// Workers called p0, p1, …
fn workers(log: &Log) -> PartitionSupervisor<Worker> {
    let log = log.clone();
    let with_args = move |n: usize| Args { name: NAMES[n], log: log.clone(), terminate: Duration::ZERO };
    PartitionSupervisor::new(with_args).with_intensity(Intensity::UNLIMITED).backoff(Backoff::NONE)
}

/// Which partition a reference is of.
fn number(partitions: &PartitionRef<Worker>, server: &ServerRef<Worker>) -> Option<usize> {
    partitions.partitions().position(|partition| partition.same_server(server))
}

/// The counts of specs and of active children.
fn counts(partitions: &PartitionRef<Worker>) -> (usize, usize) {
    let counts = partitions.as_supervisor().count_children();
    (counts.specs, counts.active)
}

/// Row G3. Elixir `PartitionSupervisor`: "on success with atom name".
#[tokio::test]
async fn there_are_as_many_as_threads_can_run_and_all_are_reached() {
    let log = Log::new();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let with_args = move |_| Args { name: "p", log: log.clone(), terminate: Duration::ZERO };
    let partitions = PartitionSupervisor::<Worker>::new(with_args).start().await.unwrap();
    assert_eq!((partitions.len(), counts(&partitions)), (threads, (threads, threads)));
    for n in 0..100_u32 {
        partitions.of(("user", n)).unwrap().cast(Tell::Note(n)).unwrap();
    }
    let mut all = Vec::new();
    for partition in partitions.partitions() {
        all.extend(noted(partition).await);
    }
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    assert!(partitions.as_supervisor().shutdown(Duration::from_secs(1)).await.is_clean());
}

/// Elixir `PartitionSupervisor`: "`with_arguments`".
#[tokio::test]
async fn each_is_given_arguments_of_its_own_and_keys_go_round() {
    let log = Log::new();
    let partitions = workers(&log).partitions(3).start().await.unwrap();
    assert_eq!(log.take(), ["+p0", "+p1", "+p2"]);
    let of = |key: i64| number(&partitions, partitions.of_ref(key).unwrap());
    assert_eq!([0, 1, 2, 3, -1, i64::MIN].map(of), [0, 1, 2, 0, 1, 2].map(Some));
    let name = String::from("a name");
    let by_name = partitions.of(&name).unwrap();
    assert!(by_name.same_server(partitions.of_ref("a name").unwrap()));
}

/// Elixir `PartitionSupervisor`: "raises on bad partitions".
#[tokio::test]
async fn there_must_be_one_to_begin_with() {
    let none = workers(&Log::new()).partitions(0).start().await;
    assert_eq!(none.unwrap_err(), PartitionError::NoPartitions);
}

/// A partition's mailbox has the settings that it is given, and settings that make none are told with its number.
#[tokio::test]
async fn each_has_settings_of_its_own() {
    let log = Log::new();
    let make = |capacities: [usize; 2]| {
        let log = log.clone();
        PartitionSupervisor::<Worker>::with_settings(
            move |n| Server::settings().capacity(capacities[n]),
            move |n| Args { name: NAMES[n], log: log.clone(), terminate: Duration::ZERO },
        )
        .partitions(2)
    };
    let partitions = make([3, 5]).build().unwrap();
    let capacities = partitions.partitions().map(|partition| partition.stats().capacity);
    assert_eq!(capacities.collect::<Vec<_>>(), [Some(3), Some(5)]);
    let refused = make([3, 0]).build();
    assert!(matches!(refused, Err(PartitionError::Settings { partition: 1, .. })), "{refused:?}");
}

/// Elixir `PartitionSupervisor`: "is synchronous" (`stop/1`).
#[tokio::test]
async fn when_it_is_stopped_all_partitions_have_ended() {
    let log = Log::new();
    let partitions = workers(&log).partitions(2).start().await.unwrap();
    let a = partitions.of(0).unwrap();
    log.take();
    assert!(partitions.as_supervisor().shutdown(Duration::from_secs(1)).await.is_clean());
    assert_eq!(log.take(), ["-p1", "-p0"]);
    assert!(a.is_closed() && partitions.of_ref(1).unwrap().is_closed());
    assert_eq!(partitions.resize(3).await, Err(ResizeError::Down));
}

/// Row G3: a partition's crash is its own affair.
#[tokio::test]
async fn one_that_crashes_is_restarted_by_itself() {
    quiet();
    let log = Log::new();
    let partitions = workers(&log).partitions(3).start().await.unwrap();
    for partition in partitions.partitions() {
        partition.cast(Tell::Note(1)).unwrap();
    }
    let second = partitions.of(1).unwrap();
    second.cast(Tell::Panic).unwrap();
    second.cast(Tell::Note(2)).unwrap();
    assert_eq!(noted(&second).await, [2]);
    assert_eq!(partitions.partitions().map(ServerRef::incarnation).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(noted(partitions.of_ref(0).unwrap()).await, [1]);
    assert!(second.same_server(partitions.of_ref(1).unwrap()), "the reference holds over a restart");
}

/// Elixir `PartitionSupervisor`: "resizes the number of children".
#[tokio::test]
async fn it_shrinks_and_grows_and_specifications_stay() {
    let log = Log::new();
    let partitions = workers(&log).partitions(8).start().await.unwrap();
    let mut before = 8;
    let there_and_back = (0..=8).rev().chain(0..=8).chain([5, 2, 7, 0, 8, 3, 6, 1, 4]);
    for size in there_and_back {
        assert_eq!(partitions.resize(size).await, Ok(before));
        assert_eq!((partitions.len(), counts(&partitions)), (size, (8, size)));
        let reached: HashSet<_> =
            (0..8).filter_map(|key| partitions.of(key).ok()).map(|server| server.id()).collect();
        assert_eq!(reached.len(), size);
        for partition in partitions.partitions() {
            assert!(noted(partition).await.is_empty(), "it runs");
        }
        before = size;
    }
}

/// Elixir `PartitionSupervisor`: "raises on lookup after resizing to zero".
#[tokio::test]
async fn without_any_a_look_up_is_an_error() {
    let log = Log::new();
    let partitions = workers(&log).partitions(2).start().await.unwrap();
    assert_eq!(partitions.resize(0).await, Ok(2));
    assert!(partitions.is_empty() && partitions.partitions().len() == 0);
    assert_eq!(partitions.of(0).unwrap_err(), NoPartitions);
    assert_eq!(partitions.of_ref("name").unwrap_err(), NoPartitions);
    assert_eq!(partitions.resize(2).await, Ok(0));
    assert!(noted(partitions.of_ref(0).unwrap()).await.is_empty());
}

/// Differs from Elixir `PartitionSupervisor`: "raises if trying to increase the number of partitions".
#[tokio::test]
async fn it_grows_beyond_what_it_started_with() {
    let log = Log::new();
    let partitions = workers(&log).partitions(1).start().await.unwrap();
    let first = partitions.of(0).unwrap();
    assert_eq!(partitions.resize(9).await, Ok(1));
    assert_eq!((partitions.len(), counts(&partitions)), (9, (9, 9)));
    assert!(first.same_server(partitions.of_ref(9).unwrap()), "what was there stays where it was");
    assert_eq!(log.take(), NAMES.map(|name| format!("+{name}")));
}

/// What is queued in a partition that is switched off waits for it.
#[tokio::test]
async fn a_mailbox_waits_for_its_partition_to_be_switched_on() {
    let log = Log::new();
    let partitions = workers(&log).partitions(2).start().await.unwrap();
    let second = partitions.of(1).unwrap();
    partitions.resize(1).await.unwrap();
    second.cast(Tell::Note(7)).unwrap();
    settle().await;
    assert_eq!((second.is_alive(), second.is_closed(), second.stats().depth), (false, false, 1));
    partitions.resize(2).await.unwrap();
    assert_eq!(noted(&second).await, [7]);
    partitions.resize(1).await.unwrap();
    second.cast(Tell::Note(8)).unwrap();
    partitions.as_supervisor().shutdown(Duration::from_secs(1)).await;
    assert!(second.is_closed());
    assert_eq!(assert_conserved!(second).dead_lettered, 1);
}

/// A growth that fails leaves what there was.
#[tokio::test]
async fn a_partition_that_does_not_start_takes_back_the_growth() {
    quiet();
    let log = Log::new();
    let partitions = workers(&log).partitions(1).start().await.unwrap();
    log.on_init("p2", [OnInit::Panic]);
    let failed = partitions.resize(4).await;
    assert!(
        matches!(
            &failed,
            Err(ResizeError::Start { partition: 2, error: StartError::Failed(ExitReason::Panic(_)) })
        ),
        "{failed:?}"
    );
    assert_eq!((partitions.len(), counts(&partitions)), (1, (2, 1)));
    assert_eq!(partitions.resize(4).await, Ok(1));
    assert_eq!((partitions.len(), counts(&partitions)), (4, (4, 4)));
    assert_eq!(log.take(), ["+p0", "+p1", "-p1", "+p1", "+p2", "+p3"]);
}

/// A resize that is not awaited any more can be made good by the next.
#[tokio::test(start_paused = true)]
async fn a_resize_that_was_given_up_is_finished_by_the_next() {
    let log = Log::new();
    let slow = {
        let log = log.clone();
        move |n: usize| Args { name: NAMES[n], log: log.clone(), terminate: Duration::from_secs(1) }
    };
    let partitions = PartitionSupervisor::<Worker>::new(slow).partitions(4).start().await.unwrap();
    let brief = Duration::from_millis(500);
    assert!(tokio::time::timeout(brief, partitions.resize(1)).await.is_err());
    assert_eq!((partitions.len(), counts(&partitions)), (1, (4, 4)), "three are still ending");
    assert_eq!(partitions.resize(4).await, Ok(1));
    assert_eq!((partitions.len(), counts(&partitions)), (4, (4, 4)));
    assert_eq!(partitions.partitions().map(ServerRef::incarnation).collect::<Vec<_>>(), [1, 2, 2, 2]);
    log.on_init("p4", [OnInit::Hang]);
    assert!(tokio::time::timeout(brief, partitions.resize(6)).await.is_err());
    assert_eq!(partitions.len(), 4);
    assert_eq!(partitions.resize(5).await, Ok(4));
    assert_eq!((partitions.len(), counts(&partitions)), (5, (5, 5)));
}

/// A supervisor that is restarted by another has as many partitions as before, those that were added included, over the
/// same mailboxes; those switched off stay so.
#[tokio::test]
async fn a_restart_from_above_leaves_the_number_as_it_is() {
    quiet();
    let log = Log::new();
    let (partitions, spec) = workers(&log).partitions(2).into_child("words").unwrap();
    let tree = Supervisor::one_for_one()
        .with_intensity(Intensity::UNLIMITED)
        .backoff(Backoff::NONE)
        .child(spec)
        .start()
        .await
        .unwrap();
    partitions.resize(4).await.unwrap();
    partitions.resize(3).await.unwrap();
    partitions.as_supervisor().kill();
    partitions.as_supervisor().join().await;
    let mut incarnations = Vec::new();
    for partition in partitions.partitions() {
        incarnations.push(partition.call(Ask::Incarnation).await.unwrap());
    }
    settle().await;
    assert_eq!((incarnations, counts(&partitions)), (vec![2, 2, 2], (4, 3)));
    assert!(tree.shutdown(Duration::from_secs(1)).await.is_clean());
}

/// The limit that partitions are given to end is theirs, when they are switched off as well.
#[tokio::test(start_paused = true)]
async fn a_partition_that_takes_too_long_to_end_is_killed() {
    let log = Log::new();
    let with_args =
        move |n: usize| Args { name: NAMES[n], log: log.clone(), terminate: Duration::from_secs(9) };
    let limit = Duration::from_secs(2);
    let partitions = PartitionSupervisor::<Worker>::new(with_args)
        .shutdown(Shutdown::Timeout(limit))
        .partitions(3)
        .start()
        .await
        .unwrap();
    let third = partitions.of(2).unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(partitions.resize(1).await, Ok(3));
    assert_eq!((began.elapsed(), third.last_exit().unwrap().reason), (limit, ExitReason::Killed));
}

/// Failure mode 29. Elixir `PartitionSupervisor`: "with supervisors" (`count_children/1`).
#[tokio::test]
async fn dynamic_supervisors_are_partitions_too() {
    let log = Log::new();
    let rooms = PartitionSupervisor::dynamic(|_| DynamicSupervisor::new().max_children(10));
    let rooms = rooms.partitions(3).start().await.unwrap();
    let counts = rooms.as_supervisor().count_children();
    assert_eq!((counts.specs, counts.active, counts.supervisors, counts.workers), (3, 3, 3, 0));
    for user in 0..9_u32 {
        let args = Args { name: "room", log: log.clone(), terminate: Duration::ZERO };
        rooms.of(user).unwrap().start_new::<Worker>(args).await.unwrap();
    }
    assert_eq!(rooms.partitions().map(|room| room.capacity().active).collect::<Vec<_>>(), [3, 3, 3]);
    rooms.resize(1).await.unwrap();
    assert_eq!(rooms.of_ref(2).unwrap().capacity().active, 3, "all keys belong to the first");
    assert!(rooms.as_supervisor().shutdown(Duration::from_secs(1)).await.is_clean());
}

/// Look-ups beside a resize find a partition that is or was switched on, and never wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_go_on_beside_a_resize() {
    let log = Log::new();
    let partitions = workers(&log).partitions(8).start().await.unwrap();
    let reader = {
        let partitions = partitions.clone();
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let read = tokio::task::spawn_blocking(move || {
            let mut looked = 0_u64;
            while stopped.try_recv().is_err() {
                assert!(partitions.of(looked).is_ok() && partitions.of_ref("name").is_ok());
                looked += 1;
            }
            looked
        });
        (stop, read)
    };
    for size in [1, 8, 3, 9, 2, 8].into_iter().cycle().take(120) {
        partitions.resize(size).await.unwrap();
    }
    let _ = reader.0.send(());
    assert!(reader.1.await.unwrap() > 0);
    assert!(partitions.as_supervisor().shutdown(Duration::from_secs(1)).await.is_clean());
}
