//! One crate whose changes are tried: first those that compile are found, then the unit tests are asked, and about what those did
//! not notice the public ones.
//!
//! What is built at once is bounded ([`WOVEN_MAX`]): generic code that holds hundreds of bodies takes gigabytes to build.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use super::Files;
use super::outcomes::{Outcome, Outcomes};
use super::plan::{GROUPS, Group, NOT_ASKED};
use super::tests_of::{Ended, Tests};
use super::tree::{Built, Tree, Until};
use super::weave::{CHOOSER, Numbered, Woven, changed, weave};
use crate::report::Failure;

/// How often a build is tried again without what does not compile: an error of types hides those of borrows.
const CHECKS_MAX: usize = 12;

/// Bytes of bodies that are woven into one program.
const WOVEN_MAX: usize = 400_000;

/// How much where the time is short: what is built soon is asked soon.
const WOVEN_MAX_IN_A_HURRY: usize = 60_000;

/// A test program of the crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Program {
    Unit,
    Public,
}

/// The tests that are asked about a group's changes, with their limit of time.
type Asked = (Tests, Duration);

pub(super) struct Crate<'a> {
    of: &'static str,
    tree: &'a Tree,
    files: &'a mut Files,
    until: Until,
    /// Its `lib.rs` as the copy has it: the work tree may change meanwhile.
    own_lib: String,
    /// What was found without any change, by the group's place in the list.
    asked: BTreeMap<(Program, usize), Asked>,
}

impl<'a> Crate<'a> {
    pub(super) fn new(
        of: &'static str,
        tree: &'a Tree,
        files: &'a mut Files,
        until: Until,
    ) -> std::io::Result<Self> {
        let own_lib = fs::read_to_string(tree.root.join(lib(of)))?;
        Ok(Self { of, tree, files, until, own_lib, asked: BTreeMap::new() })
    }

    fn lib(&self) -> String {
        lib(self.of)
    }

    /// Tries these, until the time is up.
    pub(super) fn try_all(mut self, mut open: BTreeSet<u32>, outcomes: &mut Outcomes) -> Result<(), Failure> {
        let singles = self.singles(&open);
        open.retain(|number| !singles.contains(number));
        self.leave_out_what_does_not_compile(&mut open, outcomes)?;
        let unnoticed = self.ask(Program::Unit, &open, outcomes)?;
        for number in &unnoticed {
            outcomes.ask_further(*number);
        }
        for number in self.ask(Program::Public, &unnoticed, outcomes)? {
            outcomes.record(self.files.mutant(number), Outcome::Unnoticed)?;
        }
        // The next crate, and the next run, find the copy as it should be.
        self.write(&BTreeSet::new())?;
        for number in singles {
            if let Some(outcome) = self.try_single(number)? {
                outcomes.record(self.files.mutant(number), outcome)?;
            }
        }
        Ok(())
    }

    /// The changes that are open and cannot be woven.
    fn singles(&self, open: &BTreeSet<u32>) -> Vec<u32> {
        let places = self.files.all.values().flat_map(|(_, places)| places);
        let single = places.filter(|(place, _)| !place.woven).flat_map(|(_, changes)| changes);
        single.map(|change| change.number).filter(|number| open.contains(number)).collect()
    }

    fn woven(&self, path: &str, chosen: &BTreeSet<u32>) -> Woven {
        let (source, places) = &self.files.all[path];
        let chosen = |changes: &Vec<Numbered>| {
            changes.iter().filter(|change| chosen.contains(&change.number)).cloned().collect::<Vec<_>>()
        };
        weave(
            source,
            &places.iter().map(|(place, changes)| (place.clone(), chosen(changes))).collect::<Vec<_>>(),
        )
    }

    fn paths(&self) -> Vec<String> {
        let prefix = format!("crates/{}/", self.of);
        self.files.all.keys().filter(|path| path.starts_with(&prefix)).cloned().collect()
    }

    /// Writes all files of the crate with these changes woven in.
    fn write(&self, chosen: &BTreeSet<u32>) -> Result<BTreeMap<String, Woven>, Failure> {
        let chooser = if chosen.is_empty() { "" } else { CHOOSER };
        self.tree.write(&self.lib(), &format!("{}{chooser}", self.own_lib))?;
        let mut all = BTreeMap::new();
        for path in self.paths() {
            let woven = self.woven(&path, chosen);
            self.tree.write(&path, &woven.text)?;
            all.insert(path, woven);
        }
        Ok(all)
    }

    /// Leaves out what the compiler blames until it is content.
    fn leave_out_what_does_not_compile(
        &mut self,
        open: &mut BTreeSet<u32>,
        outcomes: &mut Outcomes,
    ) -> Result<(), Failure> {
        if open.is_empty() {
            return Ok(());
        }
        for _ in 0..CHECKS_MAX {
            let woven = self.write(open)?;
            let check = format!("check --message-format=short -p restante-{} --lib", self.of);
            let said = match self.tree.cargo(&check, self.until)? {
                Built::Well(_) => return Ok(()),
                Built::Badly(said) => said,
                Built::NoTime => {
                    open.clear();
                    return Ok(());
                }
            };
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
                open.remove(&number);
                outcomes.record(self.files.mutant(number), Outcome::Unviable)?;
            }
        }
        Err(Failure::Verdict("what does not compile could not be left out".to_owned()))
    }

    /// These changes, so many at a time as one program may hold, and of one group.
    fn portions(&self, numbers: &BTreeSet<u32>) -> Vec<BTreeSet<u32>> {
        let most = if self.until.left() == Duration::MAX { WOVEN_MAX } else { WOVEN_MAX_IN_A_HURRY };
        let mut all = Vec::new();
        for group in GROUPS.iter().filter(|group| group.of == self.of) {
            let files = self.files.all.iter().filter(|(path, _)| group.holds(path));
            let places = files.flat_map(|(_, (_, places))| places);
            let sizes = places.flat_map(|(place, changes)| {
                changes.iter().map(|change| (change.number, place.end - place.start))
            });
            all.extend(portions(sizes.filter(|(number, _)| numbers.contains(number)), most));
        }
        all
    }

    /// Asks the tests of a program about these changes, and returns those of which they noticed nothing.
    fn ask(
        &mut self,
        program: Program,
        numbers: &BTreeSet<u32>,
        outcomes: &mut Outcomes,
    ) -> Result<BTreeSet<u32>, Failure> {
        let mut unnoticed = BTreeSet::new();
        let portions = self.portions(numbers);
        println!("{} {program:?}: {} changes in {} programs", self.of, numbers.len(), portions.len());
        for portion in portions {
            self.write(&portion)?;
            let tests = match self.build(program)? {
                Ok(tests) => tests,
                Err(Built::NoTime) => return Ok(unnoticed),
                Err(Built::Well(said) | Built::Badly(said)) => {
                    println!("{said}");
                    return Err(Failure::Verdict("what compiled does not build".to_owned()));
                }
            };
            for number in portion {
                let Some(asked) = self.asked(program, number, &tests)? else { return Ok(unnoticed) };
                match notice(&asked, number, self.until)? {
                    None => return Ok(unnoticed),
                    Some(Outcome::Unnoticed) => drop(unnoticed.insert(number)),
                    Some(outcome) => outcomes.record(self.files.mutant(number), outcome)?,
                }
            }
        }
        Ok(unnoticed)
    }

    /// Builds a test program, or says why there is none.
    fn build(&self, program: Program) -> Result<Result<Tests, Built>, Failure> {
        let target = match program {
            Program::Unit => "--lib",
            Program::Public => "--test main",
        };
        let build = format!("test --no-run -p restante-{} {target}", self.of);
        let said = match self.tree.cargo(&build, self.until)? {
            Built::Well(said) => said,
            other => return Ok(Err(other)),
        };
        let Some(program) = said.lines().find_map(executable) else {
            return Err(Failure::Verdict("cargo names no test program".to_owned()));
        };
        Ok(Ok(Tests {
            program: self.tree.root.join(program),
            folder: self.tree.root.join("crates").join(self.of),
            only: Vec::new(),
            skip: NOT_ASKED.map(str::to_owned).to_vec(),
        }))
    }

    /// The tests that are asked about this change; `None` where there was no time to learn what they say without it.
    fn asked(&mut self, program: Program, number: u32, tests: &Tests) -> Result<Option<Asked>, Failure> {
        let path = &self.files.mutant(number).path;
        let group = GROUPS.iter().position(|group| group.holds(path)).expect("it is on the list");
        if let Some(asked) = self.asked.get(&(program, group)) {
            return Ok(Some(asked.clone()));
        }
        let mut tests = asked_of(program, &GROUPS[group], tests);
        let Some(took) = tests.baseline(self.until.left())? else { return Ok(None) };
        println!("{program:?} {:?}: {:.1} s without any change", tests.only, took.as_secs_f64());
        let asked = (tests, took * 4 + Duration::from_secs(15));
        self.asked.insert((program, group), asked.clone());
        Ok(Some(asked))
    }

    /// Builds with one change in its file, and asks.
    fn try_single(&mut self, number: u32) -> Result<Option<Outcome>, Failure> {
        let path = self.files.mutant(number).path.clone();
        let mut outcome = Some(Outcome::Unnoticed);
        for program in [Program::Unit, Program::Public] {
            // What the tests say without it is asked first: of the program as it is in the tree.
            let group = GROUPS.iter().position(|group| group.holds(&path));
            if group.is_none_or(|group| !self.asked.contains_key(&(program, group))) {
                self.write(&BTreeSet::new())?;
                let Ok(tests) = self.build(program)? else { return Ok(None) };
                if self.asked(program, number, &tests)?.is_none() {
                    return Ok(None);
                }
            }
            let (source, places) = &self.files.all[&path];
            let found = places.iter().find_map(|(place, changes)| {
                changes.iter().find(|change| change.number == number).map(|change| (place, &change.change))
            });
            let (place, change) = found.expect("it is in its file");
            let (before, after) = (&source[..place.start], &source[place.end..]);
            self.tree.write(&path, &format!("{before}{}{after}", changed(source, place, change)))?;
            outcome = match self.build(program)? {
                Err(Built::NoTime) => None,
                Err(_) => Some(Outcome::Unviable),
                Ok(tests) => match self.asked(program, number, &tests)? {
                    None => None,
                    Some(asked) => notice(&asked, 0, self.until)?,
                },
            };
            if outcome != Some(Outcome::Unnoticed) {
                break;
            }
        }
        self.write(&BTreeSet::new())?;
        Ok(outcome)
    }
}

/// The root of a crate.
fn lib(of: &str) -> String {
    format!("crates/{of}/src/lib.rs")
}

/// What of a program is asked.
fn asked_of(program: Program, group: &Group, tests: &Tests) -> Tests {
    let modules = if program == Program::Unit { group.unit } else { group.public };
    Tests { only: modules.iter().map(|module| format!("{module}::")).collect(), ..tests.clone() }
}

/// Asks the tests about a change; `None` where the time was up before an answer.
fn notice((tests, limit): &Asked, number: u32, until: Until) -> Result<Option<Outcome>, Failure> {
    Ok(match tests.run(number, (*limit).min(until.left()))? {
        Ended::Passed => Some(Outcome::Unnoticed),
        Ended::Failed(name) => Some(Outcome::Noticed(name)),
        Ended::TooLong if until.is_over() => None,
        Ended::TooLong => Some(Outcome::Noticed("too long".to_owned())),
    })
}

/// Cuts a list of numbers with sizes into pieces of at most `most` together; one that is larger by itself is a piece.
fn portions(sizes: impl Iterator<Item = (u32, usize)>, most: usize) -> Vec<BTreeSet<u32>> {
    let (mut all, mut held) = (Vec::<BTreeSet<u32>>::new(), 0);
    for (number, size) in sizes {
        match all.last_mut() {
            Some(last) if held + size <= most => {
                last.insert(number);
                held += size;
            }
            _ => {
                all.push(BTreeSet::from([number]));
                held = size;
            }
        }
    }
    all
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
    use super::{BTreeSet, error_at, executable, portions};

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

    #[test]
    fn no_program_holds_more_than_it_may_and_each_change_is_in_one() {
        let sizes = [(1, 4), (2, 4), (3, 3), (5, 20), (6, 1), (7, 9)];
        let pieces = [vec![1, 2], vec![3], vec![5], vec![6, 7]].map(BTreeSet::from_iter);
        assert_eq!(portions(sizes.into_iter(), 10), pieces);
        assert!(portions(std::iter::empty(), 10).is_empty());
    }
}
