//! The shape of the workspace: what lies at its top, who may depend on whom, and which test shows which clause.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The lines of a manifest's tables whose name passes, without comments and blanks.
fn entries(manifest: &str, table: impl Fn(&str) -> bool) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            inside = table(name.trim_end_matches(']'));
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            found.push(line.to_owned());
        }
    }
    found
}

/// The names that a manifest depends on, whether for building, testing or one platform only.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    entries(manifest, |table| table.ends_with("dependencies"))
        .iter()
        .filter_map(|line| line.split(['=', '.']).next())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// Folder name → manifest, of every crate under `crates/`.
fn crates() -> BTreeMap<String, String> {
    let folder = fs::read_dir(root().join("crates")).expect("crates/ exists");
    folder
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .map(|path| {
            let name = path.file_name().expect("listed by name").to_string_lossy().into_owned();
            (name, read(&path.join("Cargo.toml")))
        })
        .collect()
}

/// Row A1: a workspace with these things at its top, and no package of its own there.
#[test]
fn the_top_level_holds_what_a_visitor_expects() {
    for name in [
        "Cargo.toml",
        "crates",
        "examples",
        "docs",
        "tests",
        "rustfmt.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        ".ci/run",
        "docs/ARCHITECTURE.md",
        "docs/SEMANTICS.md",
        "docs/GLOSSARY.md",
        "docs/REQUIREMENTS_STATUS.md",
        "docs/design/README.md",
    ] {
        assert!(root().join(name).exists(), "{name} is missing");
    }
    let manifest = read(&root().join("Cargo.toml"));
    assert!(manifest.contains("[workspace]") && !manifest.contains("[package]"), "the workspace is virtual");
}

/// Row A1: versions, edition and lints are stated once, in the workspace.
#[test]
fn every_crate_takes_the_workspace_s_settings() {
    for (folder, manifest) in crates() {
        for line in ["version.workspace = true", "edition.workspace = true", "license.workspace = true"] {
            assert!(manifest.contains(line), "crates/{folder} says {line} otherwise");
        }
        let lints = entries(&manifest, |table| table == "lints");
        assert_eq!(lints, ["workspace = true"], "crates/{folder} has lints of its own");
        for line in entries(&manifest, |table| table.ends_with("dependencies")) {
            assert!(line.contains("workspace = true"), "crates/{folder} states a version itself: {line}");
        }
    }
}

/// Row A2: which of our crates may depend on which; a crate that is not in this table has no room yet.
#[test]
fn arrows_run_down_the_table_only() {
    let core_and_server: &[&str] = &["core", "genserver"];
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("core", &[] as &[&str]),
        // The macros only in what counts instructions.
        ("genserver", &["core", "macros"]),
        ("supervisor", core_and_server),
        ("registry", &["core", "genserver", "supervisor"]),
        ("flow", core_and_server),
        ("queue", core_and_server),
        ("journal", &["queue"]),
        ("redis", &["queue"]),
        ("nats", &["queue"]),
        ("sqs", &["queue"]),
        // Its tests stand before the facade, as its users do; itself it depends on none.
        ("macros", &["restante"]),
        ("testkit", &["core", "genserver", "supervisor"]),
        ("xtask", &[]),
    ]);
    for (folder, manifest) in crates() {
        // The facade and the bench see everything; nobody sees them.
        if ["restante", "bench", "observer"].contains(&&*folder) {
            continue;
        }
        let Some(allowed) = allowed.get(&*folder) else { panic!("crates/{folder} is not in the table") };
        let built_on = entries(&manifest, |table| table.ends_with("dependencies") && !table.contains("dev-"));
        for name in dependencies(&manifest).iter().filter(|name| name.starts_with("restante")) {
            // The kit knows of those that it tests: only their tests may know of it.
            if name == "restante-testkit" && !built_on.iter().any(|line| line.starts_with(&**name)) {
                continue;
            }
            let on = name.strip_prefix("restante-").unwrap_or("restante");
            assert!(allowed.contains(&on), "crates/{folder} depends on {name}");
        }
    }
}

/// Row A2: a package is named after its folder; the facade re-exports each library crate under a feature of its name.
#[test]
fn folders_packages_and_features_have_one_name() {
    let all = crates();
    let facade = &all["restante"];
    for (folder, manifest) in &all {
        let package = if ["restante", "xtask"].contains(&&**folder) {
            folder.clone()
        } else {
            format!("restante-{folder}")
        };
        assert!(manifest.contains(&format!("name = \"{package}\"")), "crates/{folder} is not {package}");
        if ["core", "restante", "bench", "xtask"].contains(&&**folder) {
            continue;
        }
        let features = entries(facade, |table| table == "features");
        assert!(
            features.iter().any(|line| line.starts_with(&format!("{folder} ="))),
            "the facade has no feature {folder}"
        );
    }
    let lines = read(&root().join("crates/restante/src/lib.rs")).lines().count();
    assert!(lines < 130, "the facade is re-exports: {lines} lines");
}

/// Row A3: built on these, `futures` without its default features.
#[test]
fn the_crates_stand_on_the_parts_that_were_asked_for() {
    let all = crates();
    let libraries: BTreeSet<String> =
        ["core", "genserver"].iter().flat_map(|folder| dependencies(&all[*folder])).collect();
    for part in ["tokio", "uuid", "futures", "tracing", "thiserror", "crossbeam-channel"] {
        assert!(libraries.contains(part), "nothing uses {part}");
    }
    let workspace = entries(&read(&root().join("Cargo.toml")), |table| table == "workspace.dependencies");
    let futures = workspace.iter().find(|line| line.starts_with("futures ")).expect("futures is there");
    assert!(futures.contains("default-features = false"), "{futures}");
}

/// The public errors that never mean that what was addressed is gone, and why.
const NEVER_GONE: [(&str, &str); 8] = [
    ("ChildNotStarted", "lies in the reason of an end, and answers no operation"),
    ("InvalidName", "is about a text"),
    ("Missed", "says that a monitor lags"),
    ("NotFound", "is what `LookupError::NotFound` says more, which has it"),
    ("Overloaded", "says that there is too much of it"),
    ("RestartLimit", "lies in the reason of an end, and answers no operation"),
    ("SettingsError", "is about settings"),
    ("SpecError", "is about a specification"),
];

/// The public types of a source that are errors: those that derive it.
fn errors(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut derived = false;
    for line in source.lines() {
        if line.starts_with("#[derive(") {
            derived = line.contains("thiserror::Error");
        } else if let Some(rest) = line.strip_prefix("pub enum ").or_else(|| line.strip_prefix("pub struct "))
            && std::mem::take(&mut derived)
        {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric()).collect());
        } else if let Some(error) = line.strip_prefix("impl std::error::Error for ") {
            found.push(error.chars().take_while(|c| c.is_alphanumeric()).collect());
        }
    }
    found
}

/// Clause 6.17: each public error says whether what was addressed is gone, or stands in the list with a reason.
#[test]
fn every_error_says_whether_its_target_is_gone() {
    let libraries = ["core", "genserver", "supervisor", "registry", "testkit"];
    let mut silent = BTreeSet::new();
    let mut all = 0;
    for file in libraries.iter().flat_map(|name| sources(&root().join("crates").join(name).join("src"))) {
        // An error of a test is not public.
        if file.file_name().is_some_and(|name| name.to_string_lossy().ends_with("tests.rs")) {
            continue;
        }
        let source = read(&file);
        for error in errors(&source) {
            all += 1;
            let own = ["", "<T>", "<M>", "<E>"].map(|of| format!(" {error}{of} {{"));
            let says = source.split("\nimpl").any(|block| {
                own.iter().any(|own| block.lines().next().is_some_and(|line| line.ends_with(own)))
                    && block.contains("pub fn is_gone(&self) -> bool")
            });
            if !says {
                silent.insert(error);
            }
        }
    }
    assert!(all > 35, "only {all} errors were found");
    let reasons: BTreeSet<_> = NEVER_GONE.iter().map(|(error, _)| (*error).to_owned()).collect();
    assert_eq!(silent, reasons);
}

/// The clauses that no test shows, and why.
const UNCITED: [(&str, &str); 5] = [
    ("5.9", "there is nothing to look at when the process has ended"),
    ("7.5", "its test would hang: a deadlock that nothing can end"),
    ("8.5", "an allowance, which a better rule may do without"),
    ("8.6", "an allowance, as 8.5"),
    ("17.5", "it goes by a clock that tests cannot pause"),
];

/// The numbers of all clauses, but those of the part on known gaps, which go with the change that mends them.
fn clauses() -> BTreeSet<String> {
    let semantics = read(&root().join("docs/SEMANTICS.md"));
    assert!(semantics.contains("## 19. Known gaps"), "the part on known gaps is the 19th");
    semantics
        .lines()
        .filter_map(|line| line.strip_prefix("- **")?.split_once("**"))
        .map(|(number, _)| number.to_owned())
        .filter(|number| !number.starts_with("19."))
        .collect()
}

/// The files with tests in them: everything below these folders that ends in `.rs`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.expect("it can be listed").path())
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                vec![path]
            } else {
                Vec::new()
            }
        })
        .collect()
}

/// The doc comments of the tests in a file, each in one line.
fn test_docs(source: &str) -> Vec<String> {
    let mut docs = Vec::new();
    let mut doc = String::new();
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            docs.push(std::mem::take(&mut doc));
        } else if !line.starts_with("#[") {
            doc.clear();
        }
    }
    docs
}

/// The numbers after the word in `Clause 5.2: …` or `Row G1, clauses 5.2, 6.6: …`.
fn cited(doc: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut listing = false;
    for word in doc.split_whitespace() {
        let number = word.trim_end_matches([',', ':', '.', ')']);
        if ["clause", "clauses", "Clause", "Clauses"].contains(&word.trim_start_matches('(')) {
            listing = true;
        } else if listing && number.starts_with(|c: char| c.is_ascii_digit()) {
            found.push(number.to_owned());
            listing = word.ends_with(',');
        } else {
            listing = false;
        }
    }
    found
}

/// A test says which clauses it shows; each clause there is is shown by one, or stands in the list with a reason.
#[test]
fn every_clause_is_cited_by_a_test_or_has_a_reason() {
    let clauses = clauses();
    let files = ["crates", "tests", "examples"].map(|folder| sources(&root().join(folder))).concat();
    let mut shown = BTreeSet::new();
    for file in files {
        for clause in test_docs(&read(&file)).iter().flat_map(|doc| cited(doc)) {
            assert!(
                clauses.contains(&clause),
                "{} cites clause {clause}, which does not exist",
                file.display()
            );
            shown.insert(clause);
        }
    }
    for (clause, reason) in UNCITED {
        assert!(clauses.contains(clause), "clause {clause} does not exist, and needs no reason");
        assert!(!shown.contains(clause), "clause {clause} is cited, though it is said that {reason}");
        shown.insert(clause.to_owned());
    }
    let silent: Vec<_> = clauses.difference(&shown).collect();
    assert!(silent.is_empty(), "no test cites these clauses: {silent:?}");
}

#[test]
fn citations_are_read_as_they_are_written() {
    assert_eq!(cited(" Row G1, clause 6.1: at most 5.5 s"), ["6.1"]);
    assert_eq!(cited(" Clauses 5.2, 10.3, failure mode 8: as in 7.7"), ["5.2", "10.3"]);
    assert_eq!(cited(" Clause 12.3."), ["12.3"]);
    assert!(cited(" Failure mode 3: none").is_empty());
    let source = "/// Clause 1.1: a\n/// b\n#[test]\n#[ignore]\nfn a() {}\n/// Clause 2.2: no test\nfn b() {}\n#[tokio::test]\nfn c() {}";
    assert_eq!(test_docs(source), [" Clause 1.1: a b", ""]);
}
