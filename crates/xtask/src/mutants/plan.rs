//! Which files are changed, and which tests should notice.

/// Files of one crate and the tests that suit them.
#[derive(Debug)]
pub(super) struct Group {
    /// The crate's folder.
    pub(super) of: &'static str,
    /// Below `crates/<of>/src/`; with a `/` at its end, all files in that folder.
    pub(super) files: &'static [&'static str],
    /// The modules of `tests/main.rs` that are asked after the unit tests. (Not all: a crate's take minutes, hundreds of times.)
    pub(super) public: &'static [&'static str],
}

/// The crates, in the order in which they are tried.
pub(super) const CRATES: [&str; 4] = ["core", "supervisor", "genserver", "registry"];

/// The rules: what decides, and is told the time.
pub(super) const GROUPS: [Group; 8] = [
    Group {
        of: "core",
        files: &["room.rs", "lanes.rs", "waiters.rs", "counters.rs", "overflow/"],
        public: &[],
    },
    Group {
        of: "supervisor",
        files: &["rules/", "backoff.rs", "intensity.rs", "restart.rs", "tempo.rs"],
        public: &[
            "restarting",
            "strategies",
            "groups",
            "significant",
            "escalation",
            "children",
            "shutdown",
            "reports",
            "starting",
            "refused",
            "reasons",
            "given_up",
            "told",
            "cancel",
            "reconfigure",
        ],
    },
    Group { of: "genserver", files: &["cycle.rs", "cycle/"], public: &["cycles"] },
    Group { of: "genserver", files: &["in_hand.rs"], public: &["in_hand"] },
    Group { of: "genserver", files: &["timer.rs"], public: &["timers", "rounds"] },
    Group { of: "registry", files: &["admission.rs"], public: &["admission"] },
    Group {
        of: "registry",
        files: &["books.rs", "books/"],
        public: &["names", "ends", "looking", "lifetimes", "properties"],
    },
    // What stands in a file of its own only because it is used twice.
    Group { of: "registry", files: &["retry.rs", "starts.rs"], public: &["admission"] },
];

/// Modules of `tests/main.rs` that are not asked: they measure memory or time, or take long at random.
pub(super) const NOT_ASKED: [&str; 3] = ["stress::", "memory::", "attack::"];

impl Group {
    /// Whether a file, `crates/…/src/….rs`, is one of these.
    pub(super) fn holds(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix(&format!("crates/{}/src/", self.of)) else { return false };
        let named = |file: &&str| path == *file || file.ends_with('/') && path.starts_with(*file);
        self.files.iter().any(named) && !path.ends_with("tests.rs")
    }
}

#[cfg(test)]
mod tests {
    use super::GROUPS;
    use crate::tools::root;

    #[test]
    fn every_file_of_the_list_exists() {
        for group in &GROUPS {
            for file in group.files {
                let path = root().join("crates").join(group.of).join("src").join(file);
                assert!(path.exists(), "{}", path.display());
            }
        }
    }

    #[test]
    fn a_folder_s_tests_are_no_rules() {
        assert!(GROUPS[1].holds("crates/supervisor/src/rules/ends.rs"));
        assert!(!GROUPS[1].holds("crates/supervisor/src/rules/tests.rs"));
        assert!(!GROUPS[1].holds("crates/core/src/backoff.rs"));
    }
}
