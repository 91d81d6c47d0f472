//! The extractive summariser: the sentences that say most of what a text is about, in the order of the text.

use super::analysis::Absorbed;
use super::sentence::{Sentence, SentencesPart, Span};
use super::terms::{Terms, with_term};
use super::word::words;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};

/// How many sentences are remembered. When there are more, a quarter of them stays: those whose terms are most frequent
/// among the ones remembered. So in a text of more sentences than this, the summary is taken from the best of each part of it,
/// not from all. Sentences come in the order of the file, whatever the chunks are, so the cuts do not show.
pub(crate) const POOL_MAX: usize = 4096;

/// A sentence that ends within so many bytes from the beginning counts half as much again.
const EARLY: u64 = 2048;

/// The sentences of a file so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sentences {
    end: u64,
    span: Span,
    pool: Vec<Sentence>,
}

impl Sentences {
    /// Where the next part has to begin, in bytes.
    pub(super) fn next(&self) -> u64 {
        self.end
    }

    /// Takes the next part in; a part that was taken in before changes nothing.
    pub(super) fn absorb(&mut self, part: SentencesPart) -> Absorbed {
        let absorbed = Absorbed::of(self.end, part.start());
        if absorbed != Absorbed::Taken {
            return absorbed;
        }
        let start = part.start();
        let (end, head, inner, tail) = part.into_edges();
        let pool = &mut self.pool;
        self.span.go_on(&head, start + head.len() as u64, |sentence| remember(pool, sentence));
        for sentence in inner {
            remember(pool, sentence);
        }
        if let Some(tail) = tail {
            self.span = tail;
        }
        self.end = end;
        absorbed
    }

    /// The end of the file, which ends a sentence as white space does.
    pub(super) fn finish(&mut self) {
        let pool = &mut self.pool;
        self.span.go_on(b"\n", self.end + 1, |sentence| remember(pool, sentence));
    }

    /// The `n` sentences that together say most of what these terms say, in the order of the text.
    ///
    /// Greedily: the best sentence first, and a term that is said counts less for the others. All in whole numbers;
    /// ties go to what comes first.
    pub(super) fn choose(&self, terms: &Terms, n: usize) -> Vec<String> {
        let mut weights = HashMap::new();
        let mut rated: Vec<Rated> = Vec::new();
        let mut seen = HashSet::new();
        for sentence in self.pool.iter().filter(|sentence| seen.insert(&*sentence.text)) {
            rated.push(Rated::new(sentence, &mut weights, |_, term| terms.count(term)));
        }
        let mut chosen = Vec::new();
        let mut said = HashSet::new();
        while chosen.len() < n {
            let scores = rated.iter().enumerate();
            let Some((_, at)) = scores.map(|(at, r)| (Reverse(r.score(&weights, &said)), at)).min() else {
                break;
            };
            let best = rated.remove(at);
            said.extend(best.terms);
            chosen.push(best.sentence);
        }
        chosen.sort_unstable_by_key(|sentence| sentence.end);
        chosen.into_iter().map(|sentence| sentence.text.clone()).collect()
    }
}

/// Adds a sentence, and thins the pool out when it is full.
fn remember(pool: &mut Vec<Sentence>, sentence: Sentence) {
    if pool.len() == POOL_MAX {
        thin_out(pool);
    }
    pool.push(sentence);
}

/// Keeps a quarter of what may be remembered: the best by the terms of the pool itself, each text once.
fn thin_out(pool: &mut Vec<Sentence>) {
    let mut seen = HashSet::new();
    let is_new: Vec<bool> = pool.iter().map(|sentence| seen.insert(&*sentence.text)).collect();
    let mut counts: HashMap<TermId, u64> = HashMap::new();
    for sentence in pool.iter() {
        for term in terms_of(&sentence.text, |_, _| {}) {
            *counts.entry(term).or_default() += 1;
        }
    }
    let mut weights = HashMap::new();
    let nothing_said = HashSet::new();
    let mut ranks: Vec<(Reverse<u64>, usize)> = Vec::new();
    for (at, sentence) in pool.iter().enumerate().filter(|(at, _)| is_new[*at]) {
        let rated = Rated::new(sentence, &mut weights, |term, _| counts.get(&term).copied().unwrap_or(0));
        ranks.push((Reverse(rated.score(&weights, &nothing_said)), at));
    }
    ranks.sort_unstable();
    let stay: BTreeSet<usize> = ranks.into_iter().take(POOL_MAX / 4).map(|(_, at)| at).collect();
    let mut at = 0;
    pool.retain(|_| {
        at += 1;
        stay.contains(&(at - 1))
    });
}

/// Stands for a term: its hash, the same on each machine. Should two terms ever share one, they weigh as one.
type TermId = u64;

/// A sentence with what its score is made of.
struct Rated<'a> {
    sentence: &'a Sentence,
    terms: Vec<TermId>,
    words: u64,
}

impl<'a> Rated<'a> {
    /// Looks up the weight of each term that is not known yet: about the root of its count, in 1/256, so that one frequent
    /// term does not outweigh all others; a term that is used once says little.
    fn new(
        sentence: &'a Sentence,
        weights: &mut HashMap<TermId, u64>,
        count: impl Fn(TermId, &str) -> u64,
    ) -> Self {
        let weight = |id, term: &str| (count(id, term).saturating_sub(1) << 16).isqrt() + 64;
        let terms = terms_of(&sentence.text, |id, term| {
            weights.entry(id).or_insert_with(|| weight(id, term));
        });
        Self { sentence, terms, words: words(&sentence.text).count() as u64 }
    }

    /// The weight of its terms by its length, a third for what is said already; short sentences are held to the length of
    /// a middling one.
    fn score(&self, weights: &HashMap<TermId, u64>, said: &HashSet<TermId>) -> u64 {
        let mut weight = 0;
        for term in &self.terms {
            let full = weights.get(term).copied().unwrap_or(0);
            weight += if said.contains(term) { full / 3 } else { full };
        }
        let score = weight * 16 / (self.words.max(8) + 4);
        if self.sentence.end < EARLY { score * 3 / 2 } else { score }
    }
}

/// The different terms of a sentence; each word that is one is handed over.
fn terms_of(text: &str, mut each: impl FnMut(TermId, &str)) -> Vec<TermId> {
    let mut terms = Vec::new();
    for word in words(text) {
        with_term(word, |term| {
            // FNV-1a.
            let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
            let id = term.bytes().fold(0xCBF2_9CE4_8422_2325, step);
            each(id, term);
            terms.push(id);
        });
    }
    terms.sort_unstable();
    terms.dedup();
    terms
}

#[cfg(test)]
mod tests {
    use super::super::sentence::sentences;
    use super::super::{Chunk, cutting};
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    fn gathered(file: &[u8], lengths: &[usize]) -> Vec<Sentence> {
        let mut fold = Sentences::default();
        for chunk in cutting::cut(file, lengths) {
            assert_eq!(fold.absorb(sentences(&chunk)), Absorbed::Taken);
        }
        fold.finish();
        fold.pool
    }

    #[test]
    fn a_file_may_end_with_its_last_sentence() {
        let found = gathered(b"This sentence is the last one of it.", &[4]);
        assert_eq!(found[0].text, "This sentence is the last one of it.");
    }

    #[test]
    fn the_pool_is_thinned_out_and_what_matters_stays() {
        let mut file = String::new();
        for n in 0..12_000_u32 {
            let (a, b) = (n.wrapping_mul(2_654_435_761) % 9973, n.wrapping_mul(40_503) % 9967);
            writeln!(file, "Number{a} of place{b} and then thing{n} with what{}.", a + b)
                .expect("it is a string");
            if n % 100 == 0 {
                writeln!(
                    file,
                    "The mailbox keeps its messages when the supervisor restarts server number{n}."
                )
                .expect("it is a string");
            }
        }
        let found = gathered(file.as_bytes(), &[65_536]);
        assert!(found.len() <= POOL_MAX, "{}", found.len());
        let important = found.iter().filter(|sentence| sentence.text.contains("mailbox")).count();
        assert!(important == 120, "{important}");
        assert_eq!(found, gathered(file.as_bytes(), &[1, 9_999, 300_000]), "wherever the file is cut");
    }

    proptest! {
        #[test]
        fn sentences_do_not_depend_on_the_cuts(file in cutting::file(), lengths in cutting::lengths()) {
            prop_assert_eq!(gathered(&file, &lengths), gathered(&file, &[usize::MAX / 2]));
        }

        /// The reference: one span that goes through all of it, without any part.
        #[test]
        fn sentences_are_those_of_one_pass(file in cutting::file()) {
            let (mut span, mut found) = (Span::default(), Vec::new());
            span.go_on(&[&file[..], b"\n"].concat(), file.len() as u64 + 1, |sentence| found.push(sentence));
            prop_assert_eq!(gathered(&file, &[100]), found);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            sentences(&Chunk { start: 0, bytes: bytes.into() });
        }
    }
}
