//! The tokenizer and counter: how much text there is.

use super::Chunk;
use super::runs::{self, Gather};
use super::word::words;

/// How much text there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Bytes.
    pub(crate) bytes: u64,
    /// Lines; the last one counts with or without its line feed.
    pub(crate) lines: u64,
    /// Characters, that is, bytes that begin one in UTF-8.
    pub(crate) characters: u64,
    /// Words, as `word` defines them.
    pub(crate) words: u64,
}

/// What the counter says of one chunk.
pub(super) type CountsPart = runs::Part<Counting>;

/// Counts in one chunk.
pub(super) fn count(chunk: &Chunk) -> CountsPart {
    runs::part(chunk)
}

/// Counts, and what is known of the last line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counting {
    counts: Counts,
    in_line: bool,
}

impl Counting {
    pub(super) fn counts(&self) -> Counts {
        Counts { lines: self.counts.lines + u64::from(self.in_line), ..self.counts }
    }
}

impl Gather for Counting {
    fn run(&mut self, _: u64, run: &str) {
        self.counts.words += words(run).count() as u64;
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.counts.bytes += bytes.len() as u64;
        for byte in bytes {
            self.counts.lines += u64::from(*byte == b'\n');
            self.counts.characters += u64::from(byte & 0b1100_0000 != 0b1000_0000);
        }
        self.in_line = bytes.last().map_or(self.in_line, |last| *last != b'\n');
    }

    fn merge(&mut self, later: Self) {
        self.counts.bytes += later.counts.bytes;
        self.counts.lines += later.counts.lines;
        self.counts.characters += later.counts.characters;
        self.counts.words += later.counts.words;
        if later.counts.bytes > 0 {
            self.in_line = later.in_line;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Absorbed, cutting};
    use super::*;
    use proptest::prelude::*;

    fn counted(file: &[u8], lengths: &[usize]) -> Counts {
        let mut fold = runs::Fold::default();
        for chunk in cutting::cut(file, lengths) {
            assert_eq!(fold.absorb(count(&chunk)), Absorbed::Taken);
        }
        fold.finish().counts()
    }

    #[test]
    fn lines_words_and_characters_are_counted() {
        let counts = counted("Two lines, fünf words.\nThe end".as_bytes(), &[1000]);
        assert_eq!(counts, Counts { bytes: 31, lines: 2, characters: 30, words: 6 });
        assert_eq!(counted(b"", &[1]), Counts::default());
        assert_eq!(counted(b"a\n", &[1]).lines, 1);
    }

    proptest! {
        /// The count of one pass over the whole file is the reference.
        #[test]
        fn the_count_does_not_depend_on_the_cuts(file in cutting::file(), lengths in cutting::lengths()) {
            prop_assert_eq!(counted(&file, &lengths), counted(&file, &[usize::MAX / 2]));
        }

        /// The reference of the reference: words over the decoded text, where no run is cut.
        #[test]
        fn the_count_is_that_of_the_words(text in "[a-zé ’'_.,0-9\n語]{0,300}", lengths in cutting::lengths()) {
            prop_assert_eq!(counted(text.as_bytes(), &lengths).words, words(&text).count() as u64);
        }
    }
}
