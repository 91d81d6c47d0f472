//! What the tools compute. Pure: no clock, no thread, no file.
//!
//! A file arrives as [`Chunk`]s, cut wherever the reader happened to cut: in the middle of a sentence, a word, a
//! character. A tool is a function from one chunk to a [`Part`] ([`Tool::read`]); the session folds the
//! parts in the order of their chunks ([`Analysis`]). A part therefore carries, beside its result, the bytes at its two
//! edges that only its neighbours can complete:
//!
//! ```text
//!   …the quick bro|wn fox jumps. Over the la|zy dog…
//!                  ^^ head                ^^ tail       everything between is settled by the tool
//! ```
//!
//! However the file was cut, the same bytes give the same result, to the last bit: the property tests at the end of each
//! room cut at random. Where memory has to be bounded, what decides is the position in the file or the order of what is in
//! it, never the end of a chunk. Three bounds make a result an approximation, each documented where it is:
//! [`runs::RUN_MAX`], [`terms::TERMS_MAX`], [`summary::POOL_MAX`].

mod analysis;
mod count;
mod runs;
mod sentence;
mod stop_words;
mod summary;
mod terms;
mod tool;
mod word;

pub(crate) use analysis::{Absorbed, Analysis, Findings, Term};
pub(crate) use count::Counts;
pub(crate) use sentence::split_sentences;
pub(crate) use tool::{Part, Tool};

use bytes::Bytes;

/// Terms are thinned out at multiples of so many bytes of the file: parts hold them by block, not by order.
pub(crate) const BLOCK: u64 = 256 * 1024;

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Where it begins in the file, in bytes.
    pub(crate) start: u64,
    /// What the file holds there; cloning it copies nothing.
    pub(crate) bytes: Bytes,
}

impl Chunk {
    /// Where it ends, in bytes: the start of the next.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

#[cfg(test)]
pub(crate) mod cutting {
    //! Files to cut, and ways to cut them.

    use super::Chunk;
    use bytes::Bytes;
    use proptest::prelude::*;

    /// The same bytes as chunks of these lengths, over and over.
    pub(crate) fn cut(file: &[u8], lengths: &[usize]) -> Vec<Chunk> {
        let (mut at, mut chunks) = (0, Vec::new());
        for length in lengths.iter().cycle() {
            if at == file.len() {
                break;
            }
            let end = (at + length).min(file.len());
            chunks.push(Chunk { start: at as u64, bytes: Bytes::copy_from_slice(&file[at..end]) });
            at = end;
        }
        chunks
    }

    /// Text made of what is hard to cut, and some bytes that are no text.
    pub(crate) fn file() -> impl Strategy<Value = Vec<u8>> {
        let hard = prop::sample::select(vec![
            "The actor reads its mailbox in the order of arrival. ",
            "A supervisor, e.g. this one, starts its children again when they fail! ",
            "don't",
            "l’été",
            "e\u{301}t",
            "3.14",
            "1,000",
            "handle_call",
            "日本語のテキスト。",
            "終わり！",
            "…",
            "i.e. ",
            "Dr. ",
            "J. ",
            " ",
            "\n",
            "\n\n",
            "\r\n",
            ". ",
            ".",
            "! ",
            "?\" ",
            "”",
            "'",
            "_",
            "`",
            ")",
            "# Head\n",
            "- item ",
            "/// ",
            "//! ",
            "> ",
            "```\n",
            "| cell |\n",
            "12. ",
            "Restart ",
            "mailbox ",
            "messages ",
            "message ",
            "É",
            "ß",
            "\u{200d}",
            "\t",
        ]);
        let piece = prop_oneof![
            20 => hard.prop_map(|text| text.as_bytes().to_vec()),
            2 => prop::collection::vec(any::<u8>(), 1..4),
            2 => "[A-Z][a-z]{2,9} [a-z]{2,9} [a-z]{2,9} [a-z]{2,9} [a-z]{2,9} [a-z]{2,9}\\. ".prop_map(String::into_bytes),
            1 => (1_usize..6000).prop_map(|n| "x".repeat(n).into_bytes()),
            1 => (1_usize..2000).prop_map(|n| "語é".repeat(n).into_bytes()),
        ];
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    /// Lengths of chunks, from one byte to more than most files.
    pub(crate) fn lengths() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(prop_oneof![1_usize..8, 1_usize..200, 1_usize..8000], 1..20)
    }
}
