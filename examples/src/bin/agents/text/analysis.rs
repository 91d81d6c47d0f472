//! The session's side: the parts of one file, folded in the order of its chunks.

use super::count::{Counting, Counts};
use super::runs::Fold;
use super::summary::Sentences;
use super::terms::Terms;
use super::tool::{Answer, Part, Tool};
use std::cmp::Ordering;

/// How many terms are shown of a file.
const TERMS_SHOWN: usize = 8;

/// How many sentences a summary has.
const SUMMARY_SENTENCES: usize = 3;

/// How many sentences a model is given to summarise, and how many bytes.
const DIGEST_SENTENCES: usize = 40;
const DIGEST_BYTES: usize = 8 * 1024;

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a part behind a gap was not taken in"]
pub(crate) enum Absorbed {
    /// It was the next one.
    Taken,
    /// It was taken in before (an answer that came twice); nothing changed.
    Again,
    /// A part that belongs before it is missing; nothing changed, and it has to be given again.
    Gap,
}

impl Absorbed {
    pub(super) fn of(next: u64, start: u64) -> Self {
        match start.cmp(&next) {
            Ordering::Equal => Self::Taken,
            Ordering::Less => Self::Again,
            Ordering::Greater => Self::Gap,
        }
    }
}

/// All that is known of a file so far. A clone is a checkpoint: folding goes on from it as from the original.
///
/// # Ordering
///
/// Each tool's parts are folded in the order of their chunks; one tool may be ahead of another. Parts that come in another
/// order or twice are told by [`Absorbed`] and do no harm.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Analysis {
    counts: Fold<Counting>,
    terms: Fold<Terms>,
    sentences: Sentences,
}

/// A term, and how often it is used.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Term {
    pub(crate) term: String,
    pub(crate) count: u64,
}

/// What there is to say of a whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) counts: Counts,
    /// The most telling first.
    pub(crate) terms: Vec<Term>,
    /// Three sentences at most, in the order of the file; fewer, when it has fewer that are fit to be shown.
    pub(crate) summary: Vec<String>,
    /// What a model is given to summarise: the most telling sentences in the order of the file, 8 KiB at most.
    pub(crate) digest: String,
}

impl Analysis {
    /// Where the next part of this tool has to begin, in bytes. Chunks that all tools are past may be forgotten.
    pub(crate) fn next(&self, tool: Tool) -> u64 {
        match tool {
            Tool::Counter => self.counts.next(),
            Tool::Keywords => self.terms.next(),
            Tool::Sentences => self.sentences.next(),
        }
    }

    /// Takes in what a tool said of a chunk.
    pub(crate) fn absorb(&mut self, part: Part) -> Absorbed {
        match part.0 {
            Answer::Counts(part) => self.counts.absorb(part),
            Answer::Terms(part) => self.terms.absorb(part),
            Answer::Sentences(part) => self.sentences.absorb(part),
        }
    }

    /// The end of the file.
    pub(crate) fn finish(self) -> Findings {
        let mut terms = self.terms.finish();
        terms.settle();
        let mut sentences = self.sentences;
        sentences.finish();
        let mut digest = String::new();
        for sentence in sentences.choose(&terms, DIGEST_SENTENCES) {
            if digest.len() + 1 + sentence.len() <= DIGEST_BYTES {
                digest.push_str(&sentence);
                digest.push('\n');
            }
        }
        Findings {
            counts: self.counts.finish().counts(),
            terms: terms.ranked(TERMS_SHOWN).into_iter().map(|(term, count)| Term { term, count }).collect(),
            summary: sentences.choose(&terms, SUMMARY_SENTENCES),
            digest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cutting;
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "A mailbox keeps messages while no server reads them. It rained in the morning of that day.\n\
        The supervisor starts a server again, and the server reads the mailbox where the last one stopped. Somebody had \
        painted the door of the house in green. Messages that wait in a mailbox are not lost when a server crashes.\n";

    fn analysed(file: &[u8], lengths: &[usize]) -> Findings {
        let mut analysis = Analysis::default();
        for chunk in cutting::cut(file, lengths) {
            for tool in Tool::ALL {
                assert_eq!(analysis.absorb(tool.read(&chunk)), Absorbed::Taken);
            }
        }
        analysis.finish()
    }

    #[test]
    fn the_summary_is_what_the_terms_are_about_in_the_order_of_the_text() {
        let findings = analysed(TEXT.as_bytes(), &[10]);
        assert_eq!(findings.terms[0], Term { term: "server".to_owned(), count: 4 });
        assert_eq!(findings.summary.len(), 3);
        assert!(
            findings.summary.iter().all(|sentence| sentence.contains("mailbox")),
            "{:?}",
            findings.summary
        );
        assert!(findings.summary.is_sorted_by_key(|sentence| TEXT.find(&**sentence)));
        assert_eq!(findings.digest.lines().count(), 5);
        assert_eq!(analysed(b"", &[1]), Findings::default());
    }

    #[test]
    fn parts_that_come_twice_or_too_early_do_no_harm() {
        let chunks = cutting::cut(TEXT.as_bytes(), &[100]);
        let mut analysis = Analysis::default();
        for tool in Tool::ALL {
            assert_eq!(analysis.absorb(tool.read(&chunks[1])), Absorbed::Gap);
            for chunk in &chunks {
                assert_eq!(analysis.absorb(tool.read(chunk)), Absorbed::Taken);
                assert_eq!(analysis.absorb(tool.read(chunk)), Absorbed::Again);
                assert_eq!(analysis.absorb(tool.read(&chunks[0])), Absorbed::Again);
                assert_eq!(analysis.next(tool), chunk.end());
            }
        }
        assert_eq!(analysis.finish(), analysed(TEXT.as_bytes(), &[7]));
    }

    proptest! {
        /// What the whole program rests on: neither the cuts nor a crash in between show in the result.
        #[test]
        fn findings_do_not_depend_on_the_cuts(file in cutting::file(), lengths in cutting::lengths()) {
            prop_assert_eq!(analysed(&file, &lengths), analysed(&file, &[usize::MAX / 2]));
        }
    }
}
