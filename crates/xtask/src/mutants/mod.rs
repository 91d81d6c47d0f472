//! Small changes of the rules, one at a time, and whether the tests notice: a test that never fails proves nothing.
//!
//! ```text
//! plan (files, tests) ─> operators (changes) ─> trial (one crate) ─> outcomes (kept), the share noticed
//!
//! trial: weave all changes ─> check, until what does not compile is out
//!        weave a portion   ─> the unit tests, with one change chosen at a time
//!        weave a portion of what those did not notice ─> the public tests, the fitting ones first
//! ```
//!
//! Changes that cannot be chosen while a program runs (of constants, in `const fn`s) are built one by one. Nothing is ever
//! written outside of the target folder. Outcomes are kept there: what was noticed is not tried again while its function
//! stays as it is. Changes that change nothing are listed in `mutants-equivalent.txt` with a reason; they count as unnoticed.

mod changed;
mod lexer;
mod operators;
mod outcomes;
mod plan;
mod tests_of;
mod tree;
mod trial;
mod weave;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use self::operators::Place;
use self::outcomes::Outcomes;
use self::plan::{CRATES, GROUPS};
use self::tree::{Tree, Until};
use self::trial::Crate;
use self::weave::Numbered;
use crate::report::{Failure, Report};
use crate::tools::root;

/// How long building and trying may take together in `ci`.
pub(crate) const BUDGET: Duration = Duration::from_secs(120);

/// How many of a hundred changes must be noticed, in each crate.
const SHARE_MIN: usize = 90;

/// One change, with where it is.
#[derive(Debug, Clone)]
struct Mutant {
    number: u32,
    path: String,
    line: usize,
    /// The function, and which of its changes: what stays as lines move.
    key: String,
    /// Of the function's text.
    print: u64,
}

/// The places of a file, each with its changes.
type Places = Vec<(Place, Vec<Numbered>)>;

/// What is to be tried.
#[derive(Debug, Default)]
struct Files {
    /// Path → source, places with their changes.
    all: BTreeMap<String, (String, Places)>,
    mutants: Vec<Mutant>,
}

/// Tries the changes of the files whose path contains one of `names` (none: of all on the list), and fails where fewer than
/// [`SHARE_MIN`] in a hundred of a crate's are noticed.
pub(crate) fn mutants(report: &mut Report, names: &[String]) -> Result<(), Failure> {
    report.step("mutants", || {
        let files =
            Files::read(|path, _| names.is_empty() || names.iter().any(|name| path.contains(name.as_str())))?;
        if files.mutants.is_empty() {
            return Err(Failure::Verdict("no file of the list has such a name".to_owned()));
        }
        let outcomes = try_all(files, Until::NEVER)?;
        let weak = outcomes.crates_below(SHARE_MIN);
        if !weak.is_empty() {
            return Err(Failure::Verdict(format!(
                "{}; at least {SHARE_MIN} % of each crate's are to be noticed: {}",
                outcomes.verdict(),
                weak.join(", ")
            )));
        }
        Ok(outcomes.verdict())
    })
}

/// Tries the changes of the lines that a change has touched, for at most [`BUDGET`], building included. Says what was not noticed
/// and what was not tried, and passes.
pub(crate) fn mutants_of_change(report: &mut Report) -> Result<(), Failure> {
    let Some((base, lines)) = changed::lines() else {
        report.skip("mutants", "there is no history to compare with");
        return Ok(());
    };
    let touched =
        |path: &str, line: usize| lines.get(path).is_some_and(|of| of.iter().any(|of| of.contains(&line)));
    let files = Files::read(touched)?;
    let base = &base[..base.len().min(10)];
    if files.mutants.is_empty() {
        report.skip("mutants", &format!("no line of a rule has changed since {base}"));
        return Ok(());
    }
    report.step("mutants of what has changed", || {
        Ok(format!("since {base}: {}", try_all(files, Until::within(BUDGET))?.verdict()))
    })
}

impl Files {
    /// The changes that are wanted, by path and line.
    fn read(wanted: impl Fn(&str, usize) -> bool) -> Result<Self, Failure> {
        let mut files = Self::default();
        for path in rule_files()? {
            let source = fs::read_to_string(root().join(&path))?;
            let mut seen = BTreeMap::<String, usize>::new();
            let places = operators::places(&source).into_iter().map(|place| {
                let print = outcomes::print(&source[place.start..place.end]);
                let mut numbered = Vec::new();
                for change in &place.changes {
                    let line = source[..change.start].matches('\n').count() + 1;
                    let what = format!("{} {}: {}", path, place.name, change.what);
                    let nth = seen.entry(what.clone()).or_default();
                    *nth += 1;
                    let key = if *nth == 1 { what } else { format!("{what} ({nth})") };
                    if wanted(&path, line) {
                        let number = u32::try_from(files.mutants.len() + 1).expect("not so many");
                        files.mutants.push(Mutant { number, path: path.clone(), line, key, print });
                        numbered.push(Numbered { number, change: change.clone() });
                    }
                }
                (place, numbered)
            });
            let places: Vec<_> = places.collect();
            files.all.insert(path, (source, places));
        }
        Ok(files)
    }

    fn mutant(&self, number: u32) -> &Mutant {
        &self.mutants[number as usize - 1]
    }
}

/// The files of the list, relative to the root.
fn rule_files() -> Result<BTreeSet<String>, Failure> {
    let mut found = BTreeSet::new();
    for group in &GROUPS {
        let source = root().join("crates").join(group.of).join("src");
        collect(&source, &format!("crates/{}/src", group.of), &mut found)?;
    }
    found.retain(|path| GROUPS.iter().any(|group| group.holds(path)));
    Ok(found)
}

fn collect(folder: &Path, name: &str, found: &mut BTreeSet<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &path, found)?;
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            found.insert(path);
        }
    }
    Ok(())
}

/// Tries what has not been noticed before, crate by crate, until the time is up. Each crate gets an equal share of what is left.
fn try_all(mut files: Files, until: Until) -> Result<Outcomes, Failure> {
    let tree = Tree::copy()?;
    let mut outcomes = Outcomes::open(tree.build.with_file_name("outcomes.txt"));
    for mutant in &files.mutants {
        outcomes.expect(mutant);
    }
    let open = |of: &&'static str| -> BTreeSet<u32> {
        let here = format!("crates/{of}/");
        let mutants = files.mutants.iter().filter(|mutant| mutant.path.starts_with(&here));
        mutants.filter(|mutant| !outcomes.is_settled(mutant)).map(|mutant| mutant.number).collect()
    };
    let open: Vec<_> =
        CRATES.iter().map(|of| (*of, open(of))).filter(|(_, numbers)| !numbers.is_empty()).collect();
    let mut left = open.len();
    for (of, numbers) in open {
        println!("{of}: {} changes to try", numbers.len());
        Crate::new(of, &tree, &mut files, until.share(left))?.try_all(numbers, &mut outcomes)?;
        left -= 1;
    }
    outcomes.say();
    Ok(outcomes)
}
