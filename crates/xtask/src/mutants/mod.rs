//! Small changes of the rules, one at a time, and whether the tests notice: a test that never fails proves nothing.
//!
//! ```text
//! plan (files, tests) ─> operators (changes) ─> weave (all of a crate's in one program) ─> check, until what does not
//!                                                                                           compile is out
//!        tests_of: the fitting tests with one change chosen, then all of the crate's ─> outcomes (kept), the share noticed
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
mod weave;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use self::operators::Place;
use self::outcomes::{Outcome, Outcomes};
use self::plan::{GROUPS, Group, NOT_ASKED};
use self::tests_of::{Ended, Tests};
use self::tree::Tree;
use self::weave::{CHOOSER, Numbered, Woven, changed, weave};
use crate::report::{Failure, Report, announce};
use crate::tools::root;

/// How long trying may take in `ci`.
pub(crate) const BUDGET: Duration = Duration::from_secs(300);

/// How many of a hundred changes must be noticed.
const SHARE_MIN: usize = 90;

/// How often a build is tried again without what does not compile: an error of types hides those of borrows.
const CHECKS_MAX: usize = 12;

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
/// [`SHARE_MIN`] in a hundred are noticed.
pub(crate) fn mutants(report: &mut Report, names: &[String]) -> Result<(), Failure> {
    report.step("mutants", || {
        let files =
            Files::read(|path, _| names.is_empty() || names.iter().any(|name| path.contains(name.as_str())))?;
        if files.mutants.is_empty() {
            return Err(Failure::Verdict("no file of the list has such a name".to_owned()));
        }
        let outcomes = try_all(files, None)?;
        let (noticed, tried) = (outcomes.noticed(), outcomes.tried());
        if noticed * 100 < tried * SHARE_MIN {
            return Err(Failure::Verdict(format!(
                "{}; at least {SHARE_MIN} % are to be noticed",
                outcomes.verdict()
            )));
        }
        Ok(outcomes.verdict())
    })
}

/// Tries the changes of the lines that a change has touched, for at most [`BUDGET`]. Says what was not noticed, and passes.
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
        let began = Instant::now();
        Ok(format!("since {base}: {}", try_all(files, Some(began + BUDGET))?.verdict()))
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

/// Tries what has not been noticed before, crate by crate, until the time is up.
fn try_all(mut files: Files, until: Option<Instant>) -> Result<Outcomes, Failure> {
    let tree = Tree::copy()?;
    let mut outcomes = Outcomes::open(tree.build.with_file_name("outcomes.txt"));
    for mutant in &files.mutants {
        outcomes.expect(mutant);
    }
    for of in ["core", "supervisor", "genserver", "registry"] {
        let open: BTreeSet<u32> = files
            .mutants
            .iter()
            .filter(|mutant| {
                mutant.path.starts_with(&format!("crates/{of}/")) && !outcomes.is_settled(mutant)
            })
            .map(|mutant| mutant.number)
            .collect();
        if !open.is_empty() {
            Crate { of, tree: &tree, files: &mut files, open }.try_all(&mut outcomes, until)?;
        }
    }
    outcomes.say();
    Ok(outcomes)
}

/// One crate whose changes are tried.
struct Crate<'a> {
    of: &'static str,
    tree: &'a Tree,
    files: &'a mut Files,
    open: BTreeSet<u32>,
}

impl Crate<'_> {
    fn try_all(&mut self, outcomes: &mut Outcomes, until: Option<Instant>) -> Result<(), Failure> {
        let late = || until.is_some_and(|until| Instant::now() >= until);
        let singles = self.singles();
        self.open.retain(|number| !singles.contains(number));
        self.weave_what_compiles(outcomes)?;
        let programs =
            self.programs()?.ok_or_else(|| Failure::Verdict("what compiled does not build".to_owned()))?;
        for group in GROUPS.iter().filter(|group| group.of == self.of) {
            let mut asked = None;
            for number in self.open.clone() {
                let mutant = self.files.mutant(number).clone();
                if !group.holds(&mutant.path) || late() {
                    continue;
                }
                if asked.is_none() {
                    asked = Some(Self::asked(group, &programs)?);
                }
                let outcome = notice(asked.as_ref().expect("just made"), number)?;
                outcomes.record(&mutant, outcome)?;
            }
        }
        for number in singles {
            if late() {
                break;
            }
            let outcome = self.try_single(number)?;
            outcomes.record(self.files.mutant(number), outcome)?;
        }
        // The next run finds the copy as it should be.
        for (path, (source, _)) in &self.files.all {
            self.tree.write(path, source)?;
        }
        Ok(())
    }

    /// The changes that are open and cannot be woven.
    fn singles(&self) -> Vec<u32> {
        let places = self.files.all.values().flat_map(|(_, places)| places);
        let single = places.filter(|(place, _)| !place.woven).flat_map(|(_, changes)| changes);
        single.map(|change| change.number).filter(|number| self.open.contains(number)).collect()
    }

    fn woven(&self, path: &str) -> Woven {
        let (source, places) = &self.files.all[path];
        let open = |changes: &Vec<Numbered>| {
            changes.iter().filter(|change| self.open.contains(&change.number)).cloned().collect::<Vec<_>>()
        };
        weave(
            source,
            &places.iter().map(|(place, changes)| (place.clone(), open(changes))).collect::<Vec<_>>(),
        )
    }

    fn paths(&self) -> Vec<String> {
        let prefix = format!("crates/{}/", self.of);
        self.files.all.keys().filter(|path| path.starts_with(&prefix)).cloned().collect()
    }

    /// Writes the woven files, and leaves out what the compiler blames until it is content.
    fn weave_what_compiles(&mut self, outcomes: &mut Outcomes) -> Result<(), Failure> {
        let lib = format!("crates/{}/src/lib.rs", self.of);
        let own = fs::read_to_string(root().join(&lib))?;
        self.tree.write(&lib, &format!("{own}{CHOOSER}"))?;
        for _ in 0..CHECKS_MAX {
            let mut woven = BTreeMap::new();
            for path in self.paths() {
                let file = self.woven(&path);
                self.tree.write(&path, &file.text)?;
                woven.insert(path, file);
            }
            let mut check =
                self.tree.cargo(&format!("check --message-format=short -p restante-{} --lib", self.of));
            announce(&check);
            let output = check.stdout(Stdio::null()).output()?;
            if output.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr);
            let blamed: BTreeSet<u32> = said
                .lines()
                .filter_map(error_at)
                .flat_map(|(path, line)| woven.get(path).map_or_else(Vec::new, |file| file.blamed(line)))
                .collect();
            if blamed.is_empty() {
                println!("{said}");
                return Err(Failure::Verdict("the compiler blames none of the changes".to_owned()));
            }
            for number in blamed {
                self.open.remove(&number);
                outcomes.record(self.files.mutant(number), Outcome::Unviable)?;
            }
        }
        Err(Failure::Verdict("what does not compile could not be left out".to_owned()))
    }

    /// Builds the test programs: the unit tests', then the public ones'; `None` where that fails.
    fn programs(&self) -> Result<Option<Vec<Tests>>, Failure> {
        let mut build = self.tree.cargo(&format!("test --no-run -p restante-{} --lib --test main", self.of));
        announce(&build);
        let output = build.stdout(Stdio::null()).output()?;
        if !output.status.success() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let folder = self.tree.root.join("crates").join(self.of);
        let programs = said.lines().filter_map(executable).map(|program| Tests {
            program: self.tree.root.join(program),
            folder: folder.clone(),
            only: Vec::new(),
            skip: NOT_ASKED.map(str::to_owned).to_vec(),
        });
        Ok(Some(programs.collect()))
    }

    /// The tests that are asked, in order, each with its limit of time.
    fn asked(group: &Group, programs: &[Tests]) -> Result<Vec<(Tests, Duration)>, Failure> {
        let [unit, public] = programs else {
            return Err(Failure::Verdict("there are not two test programs".to_owned()));
        };
        let only = |tests: &Tests, modules: &[&str]| Tests {
            only: modules.iter().map(|module| format!("{module}::")).collect(),
            ..tests.clone()
        };
        let mut stages = vec![only(unit, group.unit), only(public, group.public)];
        if !group.public.is_empty() {
            let mut rest = public.clone();
            rest.skip.extend(group.public.iter().map(|module| format!("{module}::")));
            stages.push(rest);
        }
        let mut asked = Vec::new();
        for mut tests in stages {
            let took = tests.baseline()?;
            println!(
                "{} {:?}: {:.1} s without any change",
                tests.program.display(),
                tests.only,
                took.as_secs_f64()
            );
            asked.push((tests, took * 4 + Duration::from_secs(15)));
        }
        Ok(asked)
    }

    /// Builds with one change in its file, and asks.
    fn try_single(&self, number: u32) -> Result<Outcome, Failure> {
        let mutant = self.files.mutant(number);
        let (source, places) = &self.files.all[&mutant.path];
        let found = places.iter().find_map(|(place, changes)| {
            changes.iter().find(|change| change.number == number).map(|change| (place, &change.change))
        });
        let (place, change) = found.expect("it is in its file");
        let text =
            format!("{}{}{}", &source[..place.start], changed(source, place, change), &source[place.end..]);
        // The other files may stay woven: nothing of them is chosen.
        self.tree.write(&mutant.path, &text)?;
        let outcome = match self.programs()? {
            None => Outcome::Unviable,
            Some(programs) => {
                let skip: Vec<String> = NOT_ASKED.map(str::to_owned).to_vec();
                let limit = Duration::from_secs(240);
                let asked: Vec<_> = programs
                    .into_iter()
                    .map(|tests| (Tests { skip: skip.clone(), ..tests }, limit))
                    .collect();
                notice(&asked, 0)?
            }
        };
        self.tree.write(&mutant.path, &self.woven(&mutant.path).text)?;
        Ok(outcome)
    }
}

/// Asks one program after the other.
fn notice(asked: &[(Tests, Duration)], number: u32) -> Result<Outcome, Failure> {
    for (tests, limit) in asked {
        match tests.run(number, *limit)? {
            Ended::Passed => {}
            Ended::Failed(name) => return Ok(Outcome::Noticed(name)),
            Ended::TooLong => return Ok(Outcome::Noticed("too long".to_owned())),
        }
    }
    Ok(Outcome::Unnoticed)
}

/// The compiler's `crates/core/src/room.rs:12:5: error[E0308]: …`.
fn error_at(line: &str) -> Option<(&str, usize)> {
    let (place, _) = line.split_once(": error")?;
    let mut parts = place.splitn(3, ':');
    Some((parts.next()?, parts.next()?.parse().ok()?))
}

/// Cargo's `  Executable unittests src/lib.rs (/…/restante_core-1234)`.
fn executable(line: &str) -> Option<&str> {
    let (_, program) = line.trim_start().strip_prefix("Executable ")?.rsplit_once('(')?;
    program.strip_suffix(')')
}

#[cfg(test)]
mod tests {
    use super::{error_at, executable};

    #[test]
    fn the_compiler_s_complaints_and_cargo_s_programs_are_read() {
        assert_eq!(
            error_at("crates/core/src/a.rs:12:5: error[E0308]: mismatched"),
            Some(("crates/core/src/a.rs", 12))
        );
        assert_eq!(error_at("crates/core/src/a.rs:12:5: warning: unused"), None);
        assert_eq!(error_at("error: could not compile"), None);
        assert_eq!(
            executable("  Executable unittests src/lib.rs (/x/restante_core-1)"),
            Some("/x/restante_core-1")
        );
        assert_eq!(executable("    Finished `test` profile"), None);
    }
}
