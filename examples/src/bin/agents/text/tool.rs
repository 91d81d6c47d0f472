//! The tools, and what they answer.

use super::Chunk;
use super::count::{CountsPart, count};
use super::sentence::{SentencesPart, sentences};
use super::terms::{TermsPart, terms};

/// A tool: a function from a chunk to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Tool {
    /// The tokenizer and counter.
    Counter,
    /// The keyword extractor.
    Keywords,
    /// The extractive summariser's eye: which sentences there are.
    Sentences,
}

impl Tool {
    /// All of them. A file needs each one for each of its chunks.
    pub(crate) const ALL: [Tool; 3] = [Tool::Counter, Tool::Keywords, Tool::Sentences];

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Keywords => "keywords",
            Self::Sentences => "sentences",
        }
    }

    /// Reads one chunk: some milliseconds of work at most, the same answer each time.
    pub(crate) fn read(self, chunk: &Chunk) -> Part {
        Part(match self {
            Self::Counter => Answer::Counts(count(chunk)),
            Self::Keywords => Answer::Terms(terms(chunk)),
            Self::Sentences => Answer::Sentences(sentences(chunk)),
        })
    }
}

/// What a tool has to say of one chunk; [`Analysis::absorb`](super::Analysis::absorb) takes it in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part(pub(super) Answer);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Counts(CountsPart),
    Terms(TermsPart),
    Sentences(SentencesPart),
}
