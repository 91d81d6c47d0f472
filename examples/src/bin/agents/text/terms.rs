//! The keyword extractor: which terms a text uses, how often, and where first.
//!
//! A term is a word in lower case that is no stop word, has a letter, and has three characters at least (one is enough for
//! Han and Hiragana) and [`TERM_LEN_MAX`] bytes at most. What a text is about is ranked by [`Terms::ranked`].

use super::runs::{self, Gather};
use super::stop_words::is_stop_word;
use super::word::{stands_alone, words};
use super::{BLOCK, Chunk};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// How many terms are remembered from one block to the next. When a block ends with more, the rarer half is forgotten; a
/// forgotten term that comes back counts from there. So a count can be too low by no more than what the term had when it
/// was forgotten, which was at most the count of each of the 16 384 terms that stayed.
pub(crate) const TERMS_MAX: usize = 32 * 1024;

/// The longest term, in bytes: what is longer is seldom a word.
const TERM_LEN_MAX: usize = 48;

/// A term that is used first within so many bytes from the beginning counts half as much again.
const EARLY: u64 = 4096;

/// What the extractor says of one chunk.
pub(super) type TermsPart = runs::Part<Terms>;

/// Extracts the terms of one chunk.
pub(super) fn terms(chunk: &Chunk) -> TermsPart {
    runs::part(chunk)
}

/// How often a term is used, and where first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) count: u64,
    pub(super) first: u64,
}

impl Use {
    fn merge(&mut self, other: Use) {
        self.count += other.count;
        self.first = self.first.min(other.first);
    }
}

/// The terms of a text: settled for the blocks that are complete, apart for those that are not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Terms {
    settled: HashMap<String, Use>,
    open: BTreeMap<u64, HashMap<String, Use>>,
}

impl Terms {
    /// How often this term is used.
    pub(super) fn count(&self, term: &str) -> u64 {
        let all = std::iter::once(&self.settled).chain(self.open.values());
        all.filter_map(|uses| uses.get(term)).map(|used| used.count).sum()
    }

    /// The end of the text: all blocks are complete.
    pub(super) fn settle(&mut self) {
        self.settle_before(u64::MAX);
    }

    /// The `n` most telling terms, best first, and how often each is used. A plural counts with its singular.
    ///
    /// Telling is what is used often, long, and early; all in whole numbers, ties go by the alphabet. So the order is the
    /// same on each machine.
    pub(super) fn ranked(&self, n: usize) -> Vec<(String, u64)> {
        let mut ranked: Vec<(Reverse<u64>, &str, u64)> = Vec::new();
        for (term, used) in &self.settled {
            let mut used = *used;
            if let Some(other) = self.settled.get(&format!("{term}s")) {
                // The more frequent of the two forms stands for both; the singular, if they are as frequent.
                if other.count > used.count {
                    continue;
                }
                used.merge(*other);
            } else if let Some(one) = term.strip_suffix('s').and_then(|one| self.settled.get(one)) {
                if one.count >= used.count {
                    continue;
                }
                used.merge(*one);
            }
            ranked.push((Reverse(score(term, used)), term, used.count));
        }
        ranked.sort_unstable();
        ranked.into_iter().take(n).map(|(_, term, count)| (term.to_owned(), count)).collect()
    }

    fn settle_before(&mut self, block: u64) {
        while let Some(oldest) = self.open.first_entry().filter(|oldest| *oldest.key() < block) {
            add(&mut self.settled, oldest.remove());
            if self.settled.len() > TERMS_MAX {
                self.forget_the_rare();
            }
        }
    }

    /// Keeps the more frequent half of what may be remembered; among equals, what was used first.
    fn forget_the_rare(&mut self) {
        let mut ranks: Vec<(Reverse<u64>, u64)> =
            self.settled.values().map(|used| (Reverse(used.count), used.first)).collect();
        // Two terms are not first used at the same byte, so the last rank that stays tells them apart.
        let (_, last, _) = ranks.select_nth_unstable(TERMS_MAX / 2 - 1);
        let last = *last;
        self.settled.retain(|_, used| (Reverse(used.count), used.first) <= last);
    }
}

impl Gather for Terms {
    fn run(&mut self, start: u64, run: &str) {
        let uses = self.open.entry(start / BLOCK).or_default();
        let base = run.as_ptr() as usize;
        for word in words(run) {
            let first = start + (word.as_ptr() as usize - base) as u64;
            with_term(word, |term| {
                let once = Use { count: 1, first };
                if let Some(used) = uses.get_mut(term) {
                    used.merge(once);
                } else {
                    uses.insert(term.to_owned(), once);
                }
            });
        }
    }

    fn merge(&mut self, later: Self) {
        for (block, uses) in later.open {
            // What comes later in the file shows that the blocks before are complete.
            self.settle_before(block);
            match self.open.get_mut(&block) {
                Some(ours) => add(ours, uses),
                None => _ = self.open.insert(block, uses),
            }
        }
    }
}

fn add(to: &mut HashMap<String, Use>, uses: HashMap<String, Use>) {
    for (term, used) in uses {
        to.entry(term).and_modify(|ours| ours.merge(used)).or_insert(used);
    }
}

fn score(term: &str, used: Use) -> u64 {
    let length = term.chars().take(16).count() as u64;
    let score = used.count.saturating_mul(8 + length);
    if used.first < EARLY { score.saturating_mul(3) / 2 } else { score }
}

/// Calls `f` with the term that this word stands for, if it stands for one.
pub(super) fn with_term(word: &str, f: impl FnOnce(&str)) {
    if word.len() > TERM_LEN_MAX {
        return;
    }
    let lower: String;
    let term = if word.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) {
        lower = word.to_lowercase();
        &lower
    } else {
        word
    };
    let long_enough =
        term.len() > 2 && (term.is_ascii() || term.chars().count() > 2 || term.starts_with(stands_alone));
    if long_enough && !term.starts_with(|c: char| c.is_numeric()) && !is_stop_word(term) {
        f(term);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Absorbed, cutting};
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    fn gathered(file: &[u8], lengths: &[usize]) -> Terms {
        let mut fold = runs::Fold::default();
        for chunk in cutting::cut(file, lengths) {
            assert_eq!(fold.absorb(terms(&chunk)), Absorbed::Taken);
        }
        let mut terms: Terms = fold.finish();
        terms.settle();
        terms
    }

    #[test]
    fn frequent_long_and_early_terms_come_first_and_stop_words_never() {
        let text =
            "The mailbox and the mailboxes. A supervisor restarts; it restarts the mailbox. 123 of 7th, ab";
        let ranked = gathered(text.as_bytes(), &[1000]).ranked(9);
        let expected = [("restarts", 2), ("mailbox", 2), ("supervisor", 1), ("mailboxes", 1)];
        assert_eq!(ranked, expected.map(|(term, count)| (term.to_owned(), count)));
    }

    #[test]
    fn a_plural_counts_with_its_singular() {
        let ranked = gathered(b"message Messages messages actor actors", &[7]).ranked(9);
        assert_eq!(ranked, [("messages".to_owned(), 3), ("actor".to_owned(), 2)]);
    }

    /// Many different words, one of them frequent: it is found, and memory has a bound.
    #[test]
    fn rare_terms_are_forgotten_and_frequent_ones_are_not() {
        let mut file = String::new();
        for n in 0..200_000 {
            write!(file, "word{n}x ").expect("it is a string");
            if n % 10 == 0 {
                file.push_str("needle ");
            }
        }
        let mut fold = runs::Fold::<Terms>::default();
        for chunk in cutting::cut(file.as_bytes(), &[65536]) {
            assert_eq!(fold.absorb(terms(&chunk)), Absorbed::Taken);
        }
        let mut whole = fold.finish();
        whole.settle();
        assert!(whole.settled.len() <= TERMS_MAX, "{}", whole.settled.len());
        assert_eq!(whole.ranked(1), [("needle".to_owned(), 20_000)]);
        assert_eq!(whole, gathered(file.as_bytes(), &[9_999, 500_000, 3]), "wherever the file is cut");
    }

    proptest! {
        #[test]
        fn terms_do_not_depend_on_the_cuts(file in cutting::file(), lengths in cutting::lengths()) {
            prop_assert_eq!(gathered(&file, &lengths), gathered(&file, &[usize::MAX / 2]));
        }
    }
}
