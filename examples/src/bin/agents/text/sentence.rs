//! Sentences: where they end, and which are fit to be shown.
//!
//! A sentence ends after `.`, `!`, `?` or `…`, closing quotes and brackets included, where white space follows; and after
//! `。`, `！` and `？` whatever follows. It does not end after an abbreviation of the list below, a single capital, or a
//! number of one or two digits (the `2.` of a list). What lies between two ends is a *span*. A span may begin with text that
//! is no sentence (a heading, a table, code, what a blank line separates), so the sentence is what follows the last such
//! break in it: only the last [`SPAN_MAX`] bytes of a span are ever looked at, and one that is longer is no sentence.
//!
//! Whether a sentence ends at some byte is told from the [`LOOK_BACK`] bytes before it. So all ends within a chunk are found by
//! the tool, except in its first bytes; those, and the span the chunk breaks off in, are the part's edges.

use super::Chunk;
use super::word::words;

/// How much of the end of a span is kept, in bytes.
const SPAN_MAX: usize = 2048;

/// How far before the white space an end is told from, in bytes: four closing marks, an ellipsis, and [`ABBREVIATION_MAX`].
const LOOK_BACK: usize = 4 * 3 + 3 + ABBREVIATION_MAX + 1;

/// The longest abbreviation that is looked for, in bytes.
const ABBREVIATION_MAX: usize = 7;

/// What a full stop may follow without ending a sentence, in lower case. Not `etc.` and `no.`: they end sentences as often.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "ca", "cf", "dr", "e.g", "ed", "eds", "eq", "fig", "i.e", "jr", "mr", "mrs", "ms", "p",
    "pp", "prof", "resp", "sec", "sr", "st", "viz", "vol", "vs",
];

/// A sentence that may be shown, with single spaces and no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    /// Where it ends in the file, in bytes.
    pub(super) end: u64,
    pub(super) text: String,
}

/// What the summariser's tool says of one chunk.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SentencesPart {
    start: u64,
    end: u64,
    /// Up to the first end that is certain: belongs to the span of the chunk before.
    head: Box<[u8]>,
    inner: Vec<Sentence>,
    /// After the last end; none when no end is certain and the head is the whole chunk.
    tail: Option<Span>,
}

impl SentencesPart {
    /// Where the chunk began, in bytes.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Takes it apart: where it ends, its head, its sentences, its tail.
    pub(super) fn into_edges(self) -> (u64, Box<[u8]>, Vec<Sentence>, Option<Span>) {
        (self.end, self.head, self.inner, self.tail)
    }
}

/// Finds the sentences of one chunk.
pub(super) fn sentences(chunk: &Chunk) -> SentencesPart {
    let bytes = &chunk.bytes[..];
    let (start, end) = (chunk.start, chunk.end());
    let mut inner = Vec::new();
    let mut ends = (0..bytes.len()).filter(|at| ends_at(bytes, *at) == Ends::Yes);
    let Some(first) = ends.next() else {
        return SentencesPart { start, end, head: bytes.into(), inner, tail: None };
    };
    let mut from = first + 1;
    for at in ends {
        let span = Span::between(bytes[from - 1], &bytes[from..=at]);
        inner.extend(span.sentence(start + at as u64 + 1));
        from = at + 1;
    }
    let tail = Some(Span::between(bytes[from - 1], &bytes[from..]));
    SentencesPart { start, end, head: bytes[..=first].into(), inner, tail }
}

/// The first `n` sentences of a text that is held whole, whether fit to be shown or not.
pub(crate) fn split_sentences(text: &str, n: usize) -> Vec<String> {
    let bytes = text.as_bytes();
    let (mut from, mut found) = (0, Vec::new());
    for at in 0..bytes.len() {
        if found.len() < n && ends_at_from_start(bytes, at) {
            found.push(plain(&text[from..=at]));
            from = at + 1;
        }
    }
    if found.len() < n {
        found.push(plain(&text[from..]));
    }
    found.retain(|sentence| !sentence.is_empty());
    found
}

/// The end of what follows the last end of a sentence: the last [`SPAN_MAX`] bytes of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    bytes: Vec<u8>,
    /// Whether it begins where a line does.
    at_line_start: bool,
    /// Whether its beginning is gone.
    is_cut: bool,
}

impl Default for Span {
    /// The empty one at the beginning of a file.
    fn default() -> Self {
        Self { bytes: Vec::new(), at_line_start: true, is_cut: false }
    }
}

impl Span {
    /// What follows the end that this byte completes.
    fn between(end: u8, bytes: &[u8]) -> Self {
        let mut span = Self { bytes: Vec::new(), at_line_start: end == b'\n', is_cut: false };
        span.extend(bytes);
        span
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if let Some(excess) = self.bytes.len().checked_sub(SPAN_MAX).filter(|excess| *excess > 0) {
            self.bytes.drain(..excess);
            self.is_cut = true;
            self.at_line_start = false;
        }
    }

    /// Goes on with the bytes of a chunk, handing over each sentence that ends in them; they end at this byte of the file.
    pub(super) fn go_on(&mut self, bytes: &[u8], end: u64, mut found: impl FnMut(Sentence)) {
        // What is held has no end in it, but tells whether the first bytes of what comes complete one.
        let context = self.bytes.len().min(LOOK_BACK);
        let mut joined = self.bytes[self.bytes.len() - context..].to_vec();
        joined.extend_from_slice(bytes);
        let mut from = context;
        for at in context..joined.len() {
            let ends = if context == LOOK_BACK {
                ends_at(&joined, at) == Ends::Yes
            } else {
                ends_at_from_start(&joined, at)
            };
            if ends {
                self.extend(&joined[from..=at]);
                from = at + 1;
                self.sentence(end - (joined.len() - from) as u64).into_iter().for_each(&mut found);
                *self = Self::between(joined[at], &[]);
            }
        }
        self.extend(&joined[from..]);
    }

    /// The sentence that the whole span ends with, if it is fit to be shown.
    pub(super) fn sentence(&self, end: u64) -> Option<Sentence> {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut sentence = String::new();
        let mut is_whole = !self.is_cut;
        for (n, line) in text.lines().enumerate() {
            let line = match Line::read(line.trim(), n > 0 || self.at_line_start) {
                Line::Goes(line) => line,
                Line::Begins(line) => {
                    sentence.clear();
                    is_whole = true;
                    line
                }
                Line::Breaks => {
                    sentence.clear();
                    is_whole = true;
                    continue;
                }
            };
            sentence.push(' ');
            sentence.push_str(line);
        }
        let text = plain(&sentence);
        (is_whole && is_fit(&text)).then_some(Sentence { end, text })
    }
}

/// What a line does to the sentence before it.
enum Line<'a> {
    /// Goes on with it.
    Goes(&'a str),
    /// Begins another.
    Begins(&'a str),
    /// Stands between sentences.
    Breaks,
}

impl<'a> Line<'a> {
    fn read(line: &'a str, from_its_start: bool) -> Self {
        if !from_its_start {
            return Self::Goes(line);
        }
        // The marks of comments and quotations; the sentence goes on behind them.
        let text = line.trim_start_matches(['/', '>', '!', ' ']);
        if text.is_empty()
            || text.starts_with(['#', '|', '='])
            || text.starts_with("```")
            || text.starts_with("~~~")
        {
            return Self::Breaks;
        }
        let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
        for (bullet, rest) in [("- ", text), ("* ", text), ("+ ", text), (". ", digits), (") ", digits)] {
            if let Some(item) = rest.strip_prefix(bullet) {
                return Self::Begins(item);
            }
        }
        Self::Goes(text)
    }
}

/// Single spaces, no control characters.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.push_str(word);
    }
    plain
}

/// Whether a reader would take it for a sentence: it begins like one, is neither short nor long, and is mostly letters.
fn is_fit(text: &str) -> bool {
    let opening = |c: char| matches!(c, '"' | '\'' | '“' | '‘' | '`' | '*' | '_' | '(' | '«' | '[');
    let Some(first) = text.trim_start_matches(opening).chars().next() else { return false };
    let (mut letters, mut others) = (0, 0);
    for c in text.chars() {
        if c.is_alphabetic() || c == ' ' { letters += 1 } else { others += 1 }
    }
    first.is_alphanumeric()
        && !first.is_lowercase()
        && (24..=500).contains(&text.len())
        && !text.contains(char::REPLACEMENT_CHARACTER)
        && letters >= 4 * others
        && (5..=70).contains(&words(text).count())
}

/// Whether a sentence ends at a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Yes,
    No,
    /// It depends on what is before these bytes.
    Unsure,
}

/// Whether a sentence ends with `bytes[at]`, where `bytes` begin the text or a span.
fn ends_at_from_start(bytes: &[u8], at: usize) -> bool {
    let from = at.saturating_sub(LOOK_BACK);
    if from > 0 {
        return ends_at(&bytes[from..], at - from) == Ends::Yes;
    }
    // A line feed stands for whatever is before: no end is told from further back.
    let mut all = [b'\n'; LOOK_BACK + 2];
    all[1..at + 2].copy_from_slice(&bytes[..=at]);
    ends_at(&all[..at + 2], at + 1) == Ends::Yes
}

/// Whether a sentence ends with `bytes[at]`.
fn ends_at(bytes: &[u8], at: usize) -> Ends {
    match bytes[at] {
        b' ' | b'\n' | b'\t' | b'\r' => ends_before(&bytes[..at]),
        last @ (0x82 | 0x81 | 0x9F) => {
            match at.checked_sub(2).map(|from| (bytes[from], bytes[from + 1], last)) {
                None => Ends::Unsure,
                Some((0xE3, 0x80, 0x82) | (0xEF, 0xBC, 0x81 | 0x9F)) => Ends::Yes,
                Some(_) => Ends::No,
            }
        }
        _ => Ends::No,
    }
}

/// Whether these bytes end with the end of a sentence, now that white space follows.
fn ends_before(mut bytes: &[u8]) -> Ends {
    const WIDE_CLOSERS: [&[u8]; 3] = ["”".as_bytes(), "’".as_bytes(), "»".as_bytes()];
    for _ in 0..4 {
        bytes = match bytes {
            [rest @ .., b'"' | b'\'' | b')' | b']' | b'*' | b'_' | b'`'] => rest,
            _ => WIDE_CLOSERS.iter().find_map(|closer| bytes.strip_suffix(*closer)).unwrap_or(bytes),
        };
    }
    match bytes {
        [.., b'!' | b'?'] => Ends::Yes,
        [rest @ .., b'.'] => ends_before_stop(rest),
        // Nothing is left, or half a character: it may be the end of an ellipsis or of a closing quote.
        [] | [0x80..=0xBF] | [_, 0x80..=0xBF] => Ends::Unsure,
        _ if bytes.ends_with("…".as_bytes()) => Ends::Yes,
        _ => Ends::No,
    }
}

/// Whether a full stop after these bytes ends a sentence.
fn ends_before_stop(bytes: &[u8]) -> Ends {
    let of_word = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'.';
    let length = bytes.iter().rev().take(ABBREVIATION_MAX + 1).take_while(of_word).count();
    let word = &bytes[bytes.len() - length..];
    if length > ABBREVIATION_MAX {
        return Ends::Yes;
    }
    if length == bytes.len() {
        return Ends::Unsure;
    }
    let number = length > 0 && length <= 2 && word.iter().all(u8::is_ascii_digit);
    let initial = length == 1 && word[0].is_ascii_uppercase();
    let abbreviation = ABBREVIATIONS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word));
    if number || initial || abbreviation { Ends::No } else { Ends::Yes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut span = Span::default();
        let mut found = Vec::new();
        span.go_on(format!("{text}\n").as_bytes(), text.len() as u64 + 1, |sentence| found.push(sentence));
        for sentence in &found {
            assert!(sentence.end <= text.len() as u64 + 1);
        }
        assert_eq!(found.iter().map(|sentence| &*sentence.text).collect::<Vec<_>>(), expected, "{text:?}");
    }

    #[test]
    fn a_sentence_ends_with_its_mark_and_white_space() {
        check(
            "The first one ends here, plainly. \"Does the second one end?\" The third ends with three…\nAnd the last one is exciting!",
            &[
                "The first one ends here, plainly.",
                "\"Does the second one end?\"",
                "The third ends with three…",
                "And the last one is exciting!",
            ],
        );
        check(
            "Version 1.2.3 of foo.bar is what e.g. Dr. J. Smith wrote in his log. ok.",
            &["Version 1.2.3 of foo.bar is what e.g. Dr. J. Smith wrote in his log."],
        );
        check(
            "日本語の文はここで終わります。次の文もここで終わるのです！",
            &["日本語の文はここで終わります。", "次の文もここで終わるのです！"],
        );
    }

    #[test]
    fn a_sentence_goes_on_over_lines_and_stops_at_breaks() {
        check(
            "/// A comment that goes on\n/// in the next line of it.",
            &["A comment that goes on in the next line of it."],
        );
        check("# A Heading\nThe text below the heading counts.", &["The text below the heading counts."]);
        check("A paragraph without an end\n\nThe next one is a sentence.", &["The next one is a sentence."]);
        check(
            "Items:\n- The item is a sentence of its own.\n2. The second is one as well, surely.",
            &["The item is a sentence of its own.", "The second is one as well, surely."],
        );
        check(
            "| a | table. |\n```\nlet x = 1;\n```\nAfter the code there is some text.",
            &["After the code there is some text."],
        );
    }

    #[test]
    fn what_is_no_sentence_is_left_out() {
        check(
            "Too short. lower case is how this one begins, so no. let x = foo(bar[1], &baz{2}); // (*&^%. ",
            &[],
        );
        check(&format!("{}.", "Long ".repeat(600)), &[]);
        check(&format!("The beginning is lost, {} And the end is all there is.", " ".repeat(SPAN_MAX)), &[]);
        check("Escapes \u{1b}[31mare not kept in it, at all.", &["Escapes [31mare not kept in it, at all."]);
    }

    #[test]
    fn a_chunk_is_sure_of_all_but_its_first_bytes() {
        let part = sentences(&Chunk {
            start: 7,
            bytes: Bytes::from_static(b"g. This follows. And this, and this one. Tail"),
        });
        assert_eq!(&*part.head, b"g. This follows. ");
        assert_eq!(part.inner.len(), 0, "too short to be shown, though its end is known");
        assert_eq!(part.tail.map(|span| span.bytes), Some(b"Tail".to_vec()));
    }

    #[test]
    fn a_model_s_answer_is_split_as_it_stands() {
        assert_eq!(split_sentences("ok. yes!\nno", 3), ["ok.", "yes!", "no"]);
        assert_eq!(split_sentences("a thing. b thing. c thing. d thing.", 3).len(), 3);
        assert_eq!(split_sentences(" \n", 3), Vec::<String>::new());
    }
}
