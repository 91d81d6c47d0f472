//! What the supervisor's errors say of what was addressed.

use restante_core::ExitReason;
use restante_genserver::{StartError, ThreadError};
use restante_supervisor::task::{TaskError, TaskStartError, TerminateError};
use restante_supervisor::{
    ChildError, ChildId, NoPartitions, PartitionError, ReconfigureError, ResizeError, SpecError,
    StartChildError, TreeError,
};

fn id() -> ChildId {
    ChildId::from("a")
}

fn spec() -> SpecError {
    SpecError::DuplicateId(id())
}

/// Starts that found what was to be started gone, and starts that did not.
fn starts() -> [(StartError, bool); 7] {
    [
        (StartError::Closed, true),
        (StartError::Thread(ThreadError::ShutDown), true),
        (StartError::Ignored, false),
        (StartError::Failed(ExitReason::Normal), false),
        (StartError::Timeout, false),
        (StartError::AlreadyStarted, false),
        (StartError::Supervised, false),
    ]
}

/// Clause 6.17: no supervisor, no child, no partition, no task: each error says so, and one that carries another says what
/// that one says.
#[test]
fn an_error_says_whether_its_target_is_gone() {
    for (start, gone) in starts() {
        assert_eq!(start.is_gone(), gone, "{start}");
        assert_eq!(TreeError::Start(start.clone()).is_gone(), gone, "{start}");
        assert_eq!(StartChildError::Start(start.clone()).is_gone(), gone, "{start}");
        assert_eq!(ChildError::Start(start.clone()).is_gone(), gone, "{start}");
        assert_eq!(PartitionError::Start(start.clone()).is_gone(), gone, "{start}");
        assert_eq!(ResizeError::Start { partition: 0, error: start.clone() }.is_gone(), gone, "{start}");
    }
    assert!(!TreeError::Spec(spec()).is_gone());

    assert!(StartChildError::Down.is_gone());
    for there in [
        StartChildError::AlreadyStarted(id()),
        StartChildError::AlreadyPresent(id()),
        StartChildError::MaxChildren { active: 1, max: 1 },
        StartChildError::Spec(spec()),
    ] {
        assert!(!there.is_gone(), "{there}");
    }

    assert!(ChildError::NotFound.is_gone() && ChildError::Down.is_gone());
    for there in [ChildError::Running, ChildError::Restarting, ChildError::Abandoned] {
        assert!(!there.is_gone(), "{there}");
    }

    assert!(ReconfigureError::NotFound(id()).is_gone() && ReconfigureError::Closed.is_gone());
    for there in [
        ReconfigureError::Spec(spec()),
        ReconfigureError::MaxChildren { children: 2, max: 1 },
        ReconfigureError::Dynamic,
    ] {
        assert!(!there.is_gone(), "{there}");
    }

    assert!(NoPartitions.is_gone() && ResizeError::Down.is_gone());
    assert!(!ResizeError::Abandoned { partition: 0 }.is_gone());
    assert!(!ResizeError::Spec { partition: 0, error: spec() }.is_gone());
    assert!(!PartitionError::NoPartitions.is_gone() && !PartitionError::Spec(spec()).is_gone());

    let tasks = [
        (TaskStartError::Closed, true),
        (TaskStartError::MaxChildren { active: 1, max: 1 }, false),
        (TaskStartError::ZeroPeriod, false),
        (TaskStartError::NoRuntime, false),
    ];
    for (start, gone) in tasks {
        assert_eq!(start.is_gone(), gone, "{start}");
        assert_eq!(TaskError::Start(start).is_gone(), gone, "{start}");
    }
    assert!(TaskError::Exited(ExitReason::NoProcess).is_gone() && !TaskError::Timeout.is_gone());
    assert!(TerminateError::NotFound.is_gone() && !TerminateError::Stuck.is_gone());
}
