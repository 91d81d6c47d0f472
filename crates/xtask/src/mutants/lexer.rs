//! As much of Rust's lexical grammar as telling an operator from a text needs: comments and blanks are left out, texts and
//! numbers are one token each.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier or a keyword.
    Word,
    /// An integer, with its suffix.
    Int,
    /// A text, a character, a float, a lifetime: nothing that is changed.
    Other,
    Open,
    Close,
    Punct,
}

/// A token, as a range of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    pub(super) fn text<'a>(&self, source: &'a str) -> &'a str {
        &source[self.start..self.end]
    }
}

/// The operators of several characters, longest first. (`>>` is two tokens: it closes two lists of types as well.)
const LONG: [&str; 20] = [
    "..=", "...", "<<=", ">>=", "==", "!=", "<=", ">=", "&&", "||", "+=", "-=", "*=", "/=", "|=", "&=", "->",
    "=>", "::", "..",
];

/// All tokens of `source`, which compiles.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let bytes = source.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        let byte = bytes[at];
        if byte.is_ascii_whitespace() {
            at += 1;
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            at += comment(rest);
        } else {
            let (kind, length) = token(rest);
            found.push(Token { kind, start: at, end: at + length });
            at += length;
        }
    }
    found
}

/// The length of a block comment, which may hold others.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The token that `rest` begins with, and its length.
fn token(rest: &str) -> (Kind, usize) {
    let first = rest.chars().next().expect("there is something left");
    if let Some(length) = text(rest) {
        return (Kind::Other, length);
    }
    match first {
        '\'' => (Kind::Other, quoted_or_lifetime(rest)),
        '0'..='9' => number(rest),
        '(' | '[' | '{' => (Kind::Open, 1),
        ')' | ']' | '}' => (Kind::Close, 1),
        _ if is_word(first) => (Kind::Word, rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())),
        _ => {
            let long = LONG.iter().find(|long| rest.starts_with(**long));
            (Kind::Punct, long.map_or(first.len_utf8(), |long| long.len()))
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a text, of whatever prefix: `"…"`, `b"…"`, `r#"…"#`.
fn text(rest: &str) -> Option<usize> {
    let prefix = ["\"", "b\"", "c\""].into_iter().find(|prefix| rest.starts_with(prefix));
    if let Some(prefix) = prefix {
        let mut escaped = false;
        for (at, c) in rest.char_indices().skip(prefix.len()) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Some(at + 1),
                _ => {}
            }
        }
        return Some(rest.len());
    }
    let after = ["r", "br", "cr"].into_iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(rest.len() - body.len() + length)
}

/// `'a'`, `'\''` or `'a`.
fn quoted_or_lifetime(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            rest[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(rest.len(), |(at, _)| at + 3)
        }
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 1 + rest[1..].find(|c: char| !is_word(c)).unwrap_or(rest.len() - 1),
        },
        None => 1,
    }
}

fn number(rest: &str) -> (Kind, usize) {
    let whole = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    let fraction =
        rest[whole..].strip_prefix('.').filter(|after| after.starts_with(|c: char| c.is_ascii_digit()));
    match fraction {
        Some(after) => (Kind::Other, whole + 1 + after.find(|c: char| !is_word(c)).unwrap_or(after.len())),
        None => (Kind::Int, whole),
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, tokens};

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).iter().map(|token| token.text(source)).collect()
    }

    #[test]
    fn texts_and_comments_hide_operators() {
        assert_eq!(
            texts("a /* < /* + */ */ < \"b < c\" // d < e\n&& r#\"\"<\"#"),
            ["a", "<", "\"b < c\"", "&&", "r#\"\"<\"#"]
        );
        assert_eq!(texts(r#"'<' '\'' '\\' b"\"<" 'a <"#), ["'<'", r"'\''", r"'\\'", r#"b"\"<""#, "'a", "<"]);
    }

    #[test]
    fn numbers_are_whole_and_floats_are_left_alone() {
        let source = "1_000u64 0.5 0..8 x.0";
        assert_eq!(texts(source), ["1_000u64", "0.5", "0", "..", "8", "x", ".", "0"]);
        let ints = tokens(source).iter().filter(|token| token.kind == Kind::Int).count();
        assert_eq!(ints, 4);
    }

    #[test]
    fn an_operator_of_two_characters_is_one_token() {
        assert_eq!(texts("a<=b=>c->d::e==f"), ["a", "<=", "b", "=>", "c", "->", "d", "::", "e", "==", "f"]);
        assert_eq!(texts("Vec<Vec<u8>>"), ["Vec", "<", "Vec", "<", "u8", ">", ">"]);
    }
}
