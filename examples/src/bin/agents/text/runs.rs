//! A chunk cut into runs at ASCII separators, and the fold that joins the runs at the edges of chunks.
//!
//! A *separator* is an ASCII byte that no word contains: anything but letters, digits and `' _ . ,`. It is also never
//! part of a longer UTF-8 sequence, so what lies between two separators (a *run*) can be read by itself, and cut
//! characters are made whole with cut words. Bytes that are no UTF-8 become U+FFFD within their run.

use super::Chunk;
use super::analysis::Absorbed;
use std::borrow::Cow;

/// The longest run that is read in one piece, in bytes. A longer one is cut each so many bytes from its beginning (at
/// the start of a character); a word that happens to lie there counts as two. Texts have no such runs, except in scripts
/// without spaces, whose characters count one by one.
pub(super) const RUN_MAX: usize = 4096;

/// What is gathered from the runs of a text.
pub(super) trait Gather: Default {
    /// A run that begins at this byte of the file. Runs come in the order of the file.
    fn run(&mut self, start: u64, run: &str);

    /// The bytes of a whole chunk, for what needs no runs.
    fn raw(&mut self, _bytes: &[u8]) {}

    /// What was gathered from what follows in the file.
    fn merge(&mut self, later: Self);
}

/// What one chunk gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part<G> {
    start: u64,
    end: u64,
    /// Up to the first separator: belongs to a run of the chunk before.
    head: Box<[u8]>,
    inner: G,
    /// After the last separator; none when the chunk has no separator and the head is all of it.
    tail: Option<Box<[u8]>>,
}

/// The parts of a file so far, joined.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fold<G> {
    end: u64,
    /// The run that the file breaks off in, less the pieces of [`RUN_MAX`] that are gathered already.
    tail: Vec<u8>,
    sum: G,
}

/// Gathers from one chunk what lies between its separators.
pub(super) fn part<G: Gather>(chunk: &Chunk) -> Part<G> {
    let bytes = &chunk.bytes[..];
    let mut inner = G::default();
    inner.raw(bytes);
    let (start, end) = (chunk.start, chunk.end());
    let Some(first) = bytes.iter().position(|b| is_separator(*b)) else {
        return Part { start, end, head: bytes.into(), inner, tail: None };
    };
    let mut from = first + 1;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        if is_separator(*byte) {
            gather(&mut inner, start + from as u64, &bytes[from..at]);
            from = at + 1;
        }
    }
    Part { start, end, head: bytes[..first].into(), inner, tail: Some(bytes[from..].into()) }
}

impl<G: Gather> Fold<G> {
    /// Where the next part has to begin, in bytes.
    pub(super) fn next(&self) -> u64 {
        self.end
    }

    /// Takes the next part in; a part that was taken in before changes nothing.
    pub(super) fn absorb(&mut self, part: Part<G>) -> Absorbed {
        let absorbed = Absorbed::of(self.end, part.start);
        if absorbed != Absorbed::Taken {
            return absorbed;
        }
        let run_start = self.end - self.tail.len() as u64;
        self.tail.extend_from_slice(&part.head);
        self.end = part.end;
        if let Some(tail) = part.tail {
            gather(&mut self.sum, run_start, &self.tail);
            self.sum.merge(part.inner);
            self.tail.clear();
            self.tail.extend_from_slice(&tail);
        } else {
            self.sum.merge(part.inner);
        }
        self.cut_tail();
        absorbed
    }

    /// The end of the file: what was gathered.
    pub(super) fn finish(mut self) -> G {
        gather(&mut self.sum, self.end - self.tail.len() as u64, &self.tail);
        self.sum
    }

    /// Gathers the pieces of an over-long run that are certain, so that the tail stays short.
    fn cut_tail(&mut self) {
        let mut from = 0;
        let start = self.end - self.tail.len() as u64;
        // One byte more than a piece: so the piece is cut where `gather` cuts it when it sees the whole run.
        while self.tail.len() - from > RUN_MAX {
            let piece = piece(&self.tail[from..]);
            gather(&mut self.sum, start + from as u64, &self.tail[from..from + piece]);
            from += piece;
        }
        self.tail.drain(..from);
    }
}

/// Hands a whole run over, in pieces of [`RUN_MAX`] bytes at most.
fn gather<G: Gather>(sum: &mut G, mut start: u64, mut run: &[u8]) {
    while !run.is_empty() {
        let (now, rest) = run.split_at(piece(run));
        match String::from_utf8_lossy(now) {
            Cow::Borrowed(text) => sum.run(start, text),
            Cow::Owned(text) => sum.run(start, &text),
        }
        start += now.len() as u64;
        run = rest;
    }
}

/// How many bytes of a run its first piece takes.
fn piece(run: &[u8]) -> usize {
    if run.len() <= RUN_MAX {
        return run.len();
    }
    let is_start = |at: &usize| run[*at] & 0b1100_0000 != 0b1000_0000;
    (RUN_MAX - 3..=RUN_MAX).rev().find(is_start).unwrap_or(RUN_MAX)
}

fn is_separator(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric() && !matches!(byte, b'\'' | b'_' | b'.' | b',')
}

#[cfg(test)]
mod tests {
    use super::super::cutting;
    use super::*;

    #[derive(Default)]
    struct Letters(usize);

    impl Gather for Letters {
        fn run(&mut self, _: u64, run: &str) {
            assert!(run.len() <= RUN_MAX);
            self.0 += run.chars().count();
        }

        fn merge(&mut self, later: Self) {
            self.0 += later.0;
        }
    }

    #[test]
    fn a_run_without_an_end_is_held_in_pieces() {
        let file = "語".repeat(100_000);
        let mut fold = Fold::<Letters>::default();
        for chunk in cutting::cut(file.as_bytes(), &[5000, 1, 70_000]) {
            assert_eq!(fold.absorb(part(&chunk)), Absorbed::Taken);
            assert!(fold.tail.len() <= RUN_MAX);
        }
        assert_eq!(fold.finish().0, 100_000, "no character is cut");
    }
}
