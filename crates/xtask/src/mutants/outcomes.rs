//! What became of each change; kept between runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::PathBuf;

use super::Mutant;
use crate::report::Failure;
use crate::tools::root;

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With the test that failed.
    Noticed(String),
    Unnoticed,
    /// It does not compile.
    Unviable,
}

/// Of all changes of this run.
#[derive(Debug)]
pub(super) struct Outcomes {
    file: PathBuf,
    /// What earlier runs have found: key and print of the function → outcome.
    known: BTreeMap<(String, u64), Outcome>,
    wanted: Vec<Mutant>,
    /// What the unit tests did not notice in this run, and the public tests were not asked about: the time was up.
    half_asked: BTreeSet<u32>,
}

/// A text's fingerprint.
pub(super) fn print(text: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Outcomes {
    pub(super) fn open(file: PathBuf) -> Self {
        let text = fs::read_to_string(&file).unwrap_or_default();
        Self {
            file,
            known: text.lines().filter_map(parse).collect(),
            wanted: Vec::new(),
            half_asked: BTreeSet::new(),
        }
    }

    pub(super) fn expect(&mut self, mutant: &Mutant) {
        self.wanted.push(mutant.clone());
    }

    /// Notes a change that the unit tests did not notice. The public tests are asked next, if there is time.
    pub(super) fn ask_further(&mut self, number: u32) {
        self.half_asked.insert(number);
    }

    fn of(&self, mutant: &Mutant) -> Option<&Outcome> {
        self.known.get(&(mutant.key.clone(), mutant.print))
    }

    /// Whether it need not be tried again: a test may have come for what was not noticed.
    pub(super) fn is_settled(&self, mutant: &Mutant) -> bool {
        matches!(self.of(mutant), Some(Outcome::Noticed(_) | Outcome::Unviable))
    }

    /// Notes an outcome, at once on disk as well: a run may be ended at any time.
    pub(super) fn record(&mut self, mutant: &Mutant, outcome: Outcome) -> Result<(), Failure> {
        if outcome == Outcome::Unnoticed {
            println!("unnoticed: {}:{} {}", mutant.path, mutant.line, mutant.key);
        }
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.file)?;
        writeln!(file, "{}", line(&mutant.key, mutant.print, &outcome))?;
        self.known.insert((mutant.key.clone(), mutant.print), outcome);
        Ok(())
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.wanted.iter().filter(|mutant| self.of(mutant).is_some_and(&is)).count()
    }

    /// The crates of which fewer than `share` in a hundred changes were noticed, with how many.
    pub(super) fn crates_below(&self, share: usize) -> Vec<String> {
        let mut crates = BTreeMap::<&str, (usize, usize)>::new();
        for mutant in &self.wanted {
            let of = mutant.path.split('/').nth(1).unwrap_or_default();
            let (noticed, tried) = crates.entry(of).or_default();
            match self.of(mutant) {
                Some(Outcome::Noticed(_)) => (*noticed, *tried) = (*noticed + 1, *tried + 1),
                Some(Outcome::Unnoticed) => *tried += 1,
                Some(Outcome::Unviable) | None => {}
            }
        }
        let below = crates.iter().filter(|(_, (noticed, tried))| noticed * 100 < tried * share);
        below.map(|(of, (noticed, tried))| format!("{of} {noticed} of {tried}")).collect()
    }

    fn noticed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Noticed(_)))
    }

    fn tried(&self) -> usize {
        self.count(|outcome| *outcome != Outcome::Unviable)
    }

    /// Prints, file by file, how many were noticed, and what was not.
    pub(super) fn say(&self) {
        let equivalent = equivalent();
        let mut files = BTreeMap::<&str, (usize, usize)>::new();
        let mut unnoticed = String::new();
        for mutant in &self.wanted {
            let (noticed, tried) = files.entry(&mutant.path).or_default();
            match self.of(mutant) {
                Some(Outcome::Noticed(_)) => (*noticed, *tried) = (*noticed + 1, *tried + 1),
                Some(Outcome::Unnoticed) => {
                    *tried += 1;
                    let why = if equivalent.contains(&mutant.key) { " (changes nothing)" } else { "" };
                    let _ = writeln!(unnoticed, "{}:{} {}{why}", mutant.path, mutant.line, mutant.key);
                }
                Some(Outcome::Unviable) | None => {}
            }
        }
        println!("\nunnoticed:\n{unnoticed}");
        for (file, (noticed, tried)) in files.iter().filter(|(_, (_, tried))| *tried > 0) {
            println!("{:>4} of {tried:<4} {:>3} %  {file}", noticed, noticed * 100 / tried);
        }
    }

    /// How many were noticed. A share is given only where each change was tried to the end.
    pub(super) fn verdict(&self) -> String {
        let (noticed, tried) = (self.noticed(), self.tried());
        let open = self.wanted.iter().filter(|mutant| self.of(mutant).is_none());
        let (half, untried): (Vec<_>, Vec<_>) =
            open.partition(|mutant| self.half_asked.contains(&mutant.number));
        if half.is_empty() && untried.is_empty() {
            let share = (noticed * 100).checked_div(tried).unwrap_or(100);
            return format!("{noticed} of {tried} changes noticed, {share} %");
        }
        format!(
            "{noticed} changes noticed, {} not; the time was up: {} were not noticed by the unit tests and the public \
             tests were not asked, {} were not tried",
            tried - noticed,
            half.len(),
            untried.len()
        )
    }
}

/// The keys of the changes that change nothing: `key | reason`.
fn equivalent() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("crates/xtask/mutants-equivalent.txt")).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" | ")).map(|(key, _)| key.to_owned()).collect()
}

fn line(key: &str, print: u64, outcome: &Outcome) -> String {
    let (word, by) = match outcome {
        Outcome::Noticed(by) => ("noticed", by.as_str()),
        Outcome::Unnoticed => ("unnoticed", ""),
        Outcome::Unviable => ("unviable", ""),
    };
    format!("{print:016x}\t{word}\t{by}\t{key}")
}

fn parse(line: &str) -> Option<((String, u64), Outcome)> {
    let mut parts = line.splitn(4, '\t');
    let print = u64::from_str_radix(parts.next()?, 16).ok()?;
    let (word, by, key) = (parts.next()?, parts.next()?, parts.next()?);
    let outcome = match word {
        "noticed" => Outcome::Noticed(by.to_owned()),
        "unnoticed" => Outcome::Unnoticed,
        "unviable" => Outcome::Unviable,
        _ => return None,
    };
    Some(((key.to_owned(), print), outcome))
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, BTreeSet, Mutant, Outcome, Outcomes, equivalent, line, parse};
    use crate::tools::root;

    #[test]
    fn an_outcome_is_read_as_it_was_written() {
        for outcome in [Outcome::Noticed("a::b".to_owned()), Outcome::Unnoticed, Outcome::Unviable] {
            let written = line("a.rs f: `<` is `<=`", 7, &outcome);
            assert_eq!(parse(&written), Some((("a.rs f: `<` is `<=`".to_owned(), 7), outcome)));
        }
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn each_crate_is_measured_by_itself() {
        let mut outcomes = Outcomes {
            file: "unused".into(),
            known: BTreeMap::new(),
            wanted: Vec::new(),
            half_asked: BTreeSet::new(),
        };
        for (n, (of, outcome)) in [
            ("core", Outcome::Noticed(String::new())),
            ("core", Outcome::Noticed(String::new())),
            ("core", Outcome::Unviable),
            ("registry", Outcome::Noticed(String::new())),
            ("registry", Outcome::Unnoticed),
        ]
        .into_iter()
        .enumerate()
        {
            let (path, key) = (format!("crates/{of}/src/a.rs"), n.to_string());
            outcomes.known.insert((key.clone(), 0), outcome);
            outcomes.expect(&Mutant { number: 0, path, line: 0, key, print: 0 });
        }
        assert_eq!(outcomes.crates_below(90), ["registry 1 of 2"]);
        assert!(outcomes.crates_below(50).is_empty());
    }

    /// What only the unit tests were asked about is no part of a share.
    #[test]
    fn a_run_that_was_cut_short_gives_no_share() {
        let mut outcomes = Outcomes {
            file: "unused".into(),
            known: BTreeMap::new(),
            wanted: Vec::new(),
            half_asked: BTreeSet::new(),
        };
        for number in 1..=4 {
            let (path, key) = ("crates/core/src/a.rs".to_owned(), number.to_string());
            outcomes.expect(&Mutant { number, path, line: 0, key, print: 0 });
        }
        outcomes.known.insert(("1".to_owned(), 0), Outcome::Noticed(String::new()));
        outcomes.known.insert(("2".to_owned(), 0), Outcome::Unnoticed);
        outcomes.ask_further(3);
        let said = outcomes.verdict();
        assert!(said.starts_with("1 changes noticed, 1 not; ") && !said.contains('%'), "{said}");
        assert!(
            said.contains("1 were not noticed by the unit tests") && said.ends_with("1 were not tried"),
            "{said}"
        );
        for number in ["3", "4"] {
            outcomes.known.insert((number.to_owned(), 0), Outcome::Unnoticed);
        }
        assert_eq!(outcomes.verdict(), "1 of 4 changes noticed, 25 %");
    }

    /// A change that changes nothing is one that exists, and has a reason.
    #[test]
    fn every_equivalent_change_is_one_of_a_file_that_exists() {
        let text =
            std::fs::read_to_string(root().join("crates/xtask/mutants-equivalent.txt")).expect("it is there");
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        assert_eq!(lines.count(), equivalent().len(), "each has a reason, and is listed once");
        for key in equivalent() {
            let path = key.split(' ').next().expect("it begins with a path").to_owned();
            assert!(root().join(&path).is_file(), "{path}");
        }
    }
}
