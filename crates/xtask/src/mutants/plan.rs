//! Which files are changed, and which tests should notice.

/// Files of one crate and the tests that suit them.
#[derive(Debug)]
pub(super) struct Group {
    /// The crate's folder.
    pub(super) of: &'static str,
    /// Below `crates/<of>/src/`; with a `/` at its end, all files in that folder.
    pub(super) files: &'static [&'static str],
    /// The modules of unit tests that are asked; none: all.
    pub(super) unit: &'static [&'static str],
    /// The modules of `tests/main.rs` that are asked after the unit tests. (Not all: a crate's take minutes, hundreds of times.)
    pub(super) public: &'static [&'static str],
}

/// The crates, in the order in which they are tried.
pub(super) const CRATES: [&str; 4] = ["core", "supervisor", "genserver", "registry"];

/// The public tests that suit the registry's books.
const BOOKS: &[&str] = &["names", "ends", "looking", "lifetimes", "properties"];

/// The rules: what decides, and is told the time. Changes of two groups are never in one program: a generic function that is
/// there thirty times is built thirty times for each of thirty closures that are passed to it.
pub(super) const GROUPS: [Group; 9] = [
    Group {
        of: "core",
        files: &["room.rs", "lanes.rs", "waiters.rs", "counters.rs", "overflow/"],
        unit: &[],
        public: &[],
    },
    Group {
        of: "supervisor",
        files: &["rules/", "backoff.rs", "intensity.rs", "restart.rs", "tempo.rs"],
        unit: &[],
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
    Group { of: "genserver", files: &["cycle.rs", "cycle/"], unit: &["cycle"], public: &["cycles"] },
    Group {
        of: "genserver",
        files: &["in_hand.rs"],
        unit: &["in_hand"],
        public: &["in_hand", "timers", "trace", "sys", "replies"],
    },
    Group { of: "genserver", files: &["timer.rs"], unit: &["timer"], public: &["timers", "rounds"] },
    // The last two stand in files of their own only because they are used twice.
    Group {
        of: "registry",
        files: &["admission.rs", "retry.rs", "starts.rs"],
        unit: &["admission", "retry", "starts"],
        public: &["admission"],
    },
    Group { of: "registry", files: &["books.rs"], unit: &["books"], public: BOOKS },
    Group { of: "registry", files: &["books/section.rs"], unit: &["books"], public: BOOKS },
    Group {
        of: "registry",
        files: &["books/ends.rs", "books/aftermath.rs", "books/repair.rs", "books/writes.rs"],
        unit: &["books"],
        public: BOOKS,
    },
];

/// Modules that are not asked: they measure memory or time, take long at random, or are others' than the name says (it may stand
/// anywhere in a test's path).
pub(super) const NOT_ASKED: [&str; 4] = ["stress::", "memory::", "attack::", "groups::books::"];

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

    /// The books are listed file by file.
    #[test]
    fn every_file_of_the_books_is_in_a_group() {
        for file in std::fs::read_dir(root().join("crates/registry/src/books")).expect("it is there") {
            let name = file.expect("it can be read").file_name().into_string().expect("it is plain");
            let path = format!("crates/registry/src/books/{name}");
            let held = GROUPS.iter().filter(|group| group.holds(&path)).count();
            assert_eq!(held, usize::from(!name.ends_with("tests.rs")), "{path}");
        }
    }

    #[test]
    fn a_folder_s_tests_are_no_rules() {
        assert!(GROUPS[1].holds("crates/supervisor/src/rules/ends.rs"));
        assert!(!GROUPS[1].holds("crates/supervisor/src/rules/tests.rs"));
        assert!(!GROUPS[1].holds("crates/core/src/backoff.rs"));
    }
}
