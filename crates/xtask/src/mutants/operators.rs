//! What is changed: the operator set, applied to the functions and constants of a file.
//!
//! Everything goes by tokens and relies on rustfmt: a binary operator stands between blanks, a list of types does not. A
//! change that does not compile is none, and is left out when the tree is built.

use super::lexer::{Kind, Token, tokens};

/// A change of a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) with: String,
    /// What is done, in a few words.
    pub(super) what: String,
}

/// A function (or a constant) and the changes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    /// What its changes lie in: a function's body with its braces, a constant's whole item.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether the changes can be chosen while the program runs: not in constants, nor where each would have a type of its own.
    pub(super) woven: bool,
    pub(super) changes: Vec<Change>,
}

/// Comparisons and logic: each with what takes its place. Written between blanks.
const BINARY: [(&str, &[&str]); 12] = [
    ("==", &["!="]),
    ("!=", &["=="]),
    ("<", &["<=", ">="]),
    ("<=", &["<", ">"]),
    (">", &[">=", "<="]),
    (">=", &[">", "<"]),
    ("&&", &["||"]),
    ("||", &["&&"]),
    ("+", &["-"]),
    ("-", &["+"]),
    ("+=", &["-="]),
    ("-=", &["+="]),
];

/// Methods whose opposite has the same type.
const METHODS: [(&str, &str); 18] = [
    ("position", "rposition"),
    ("rposition", "position"),
    ("min", "max"),
    ("max", "min"),
    ("any", "all"),
    ("all", "any"),
    ("first", "last"),
    ("last", "first"),
    ("front", "back"),
    ("pop_front", "pop_back"),
    ("push_back", "push_front"),
    ("push_front", "push_back"),
    ("is_some", "is_none"),
    ("is_none", "is_some"),
    ("saturating_add", "saturating_sub"),
    ("saturating_sub", "saturating_add"),
    ("wrapping_add", "wrapping_sub"),
    ("wrapping_sub", "wrapping_add"),
];

/// Macros whose arguments are not looked at: what they say is no rule.
const SAYING: [&str; 18] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "panic",
    "unreachable",
    "trace",
    "debug",
    "info",
    "warn",
    "error",
    "event",
    "format",
    "format_args",
    "write",
    "thread_local",
];

/// Words that begin no statement that may be dropped.
const KEPT: [&str; 24] = [
    "let", "return", "break", "continue", "use", "const", "static", "fn", "pub", "impl", "struct", "enum",
    "type", "match", "if", "for", "while", "loop", "unsafe", "async", "mod", "trait", "else", "move",
];

/// All changes of `source`, place by place.
pub(super) fn places(source: &str) -> Vec<Place> {
    let all = tokens(source);
    let file = File { source, tokens: &all };
    let mut places = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if let Some(after) = file.skipped(at) {
            at = after;
        } else if let Some((place, after)) = file.function(at).or_else(|| file.constant(at)) {
            places.extend(place);
            at = after;
        } else {
            at += 1;
        }
    }
    places
}

struct File<'a> {
    source: &'a str,
    tokens: &'a [Token],
}

impl File<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text(self.source))
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// The index of what closes the bracket at `at`.
    fn closing(&self, at: usize) -> usize {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(at) {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close if depth == 1 => return index,
                Kind::Close => depth -= 1,
                _ => {}
            }
        }
        self.tokens.len() - 1
    }

    /// The first index from `at` on, outside of brackets that open there, whose text is one of `texts`.
    fn find(&self, mut at: usize, texts: &[&str]) -> Option<usize> {
        while at < self.tokens.len() {
            if texts.contains(&self.text(at)) {
                return Some(at);
            }
            match self.tokens[at].kind {
                Kind::Open => at = self.closing(at) + 1,
                Kind::Close => return None,
                _ => at += 1,
            }
        }
        None
    }

    /// Past an attribute; past its item as well, where that is compiled for tests and models only.
    fn skipped(&self, at: usize) -> Option<usize> {
        if self.text(at) != "#" {
            return None;
        }
        let open = if self.text(at + 1) == "!" { at + 2 } else { at + 1 };
        let close = self.closing(open);
        let attribute = &self.source[self.tokens[open].end..self.tokens[close].start];
        let of_models =
            (attribute.contains("loom") || attribute.contains("shuttle")) && !attribute.contains("not(");
        if !attribute.starts_with("cfg(") || !(attribute.contains("test") || of_models) {
            return Some(close + 1);
        }
        let end = self.find(close + 1, &["{", ";"])?;
        Some(if self.text(end) == "{" { self.closing(end) + 1 } else { end + 1 })
    }

    fn function(&self, at: usize) -> Option<(Option<Place>, usize)> {
        if self.text(at) != "fn" || self.kind(at + 1) != Some(Kind::Word) {
            return None;
        }
        let open = self.find(at + 2, &["{", ";"])?;
        if self.text(open) == ";" {
            return Some((None, open + 1));
        }
        let close = self.closing(open);
        let name = self.text(at + 1).to_owned();
        // What is printed for debugging is no rule.
        if name == "fmt" {
            return Some((None, close + 1));
        }
        let returned = self.returned(at + 2, open);
        let in_const = (at.saturating_sub(3)..at).any(|before| self.text(before) == "const");
        let mut changes = self.defaults(open, close, returned);
        self.changes(open + 1, close, &mut changes);
        let place = Place {
            name,
            start: self.tokens[open].start,
            end: self.tokens[close].end,
            woven: !in_const && !returned.split(' ').any(|word| word == "impl"),
            changes,
        };
        Some((Some(place), close + 1))
    }

    /// The type behind `->`, as it is written.
    fn returned(&self, from: usize, open: usize) -> &str {
        let Some(arrow) = self.find(from, &["->", "{"]).filter(|at| self.text(*at) == "->") else {
            return "";
        };
        let end = self.find(arrow, &["where", "{"]).unwrap_or(open);
        self.source[self.tokens[arrow].end..self.tokens[end].start].trim()
    }

    /// `const NAME: T = …;` outside of functions.
    fn constant(&self, at: usize) -> Option<(Option<Place>, usize)> {
        if !["const", "static"].contains(&self.text(at)) || self.text(at + 2) != ":" {
            return None;
        }
        let equals = self.find(at + 3, &["=", ";"])?;
        let end = self.find(equals, &[";"])?;
        let mut changes = Vec::new();
        self.changes(equals + 1, end, &mut changes);
        let (start, name) = (self.tokens[at].start, self.text(at + 1).to_owned());
        Some((Some(Place { name, start, end: self.tokens[end].end, woven: false, changes }), end + 1))
    }

    /// A body that does nothing but return a default.
    fn defaults(&self, open: usize, close: usize, returned: &str) -> Vec<Change> {
        if close == open + 1 {
            return Vec::new();
        }
        let values: &[&str] = match returned {
            "" => &["{}"],
            "bool" => &["true", "false"],
            "u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64" => &["0", "1"],
            "Duration" => &["std::time::Duration::ZERO"],
            _ if returned.starts_with("Option<") => &["None"],
            _ if returned.starts_with("Result<(),") => &["Ok(())"],
            _ if returned.starts_with('&') || returned.contains("Self") => &[],
            _ => &["Default::default()"],
        };
        let (start, end) = (self.tokens[open].end, self.tokens[close].start);
        let body = self.source[start..end].trim();
        values
            .iter()
            .filter(|value| **value != body)
            .map(|value| Change {
                start,
                end,
                with: format!(" {value} "),
                what: format!("the body is `{value}`"),
            })
            .collect()
    }

    /// The changes of what lies between the two indexes.
    fn changes(&self, from: usize, to: usize, changes: &mut Vec<Change>) {
        let mut at = from;
        while at < to {
            if self.text(at) == "#" {
                at = self.skipped(at).unwrap_or(at + 1);
                continue;
            }
            if self.text(at + 1) == "!"
                && SAYING.contains(&self.text(at))
                && self.kind(at + 2) == Some(Kind::Open)
            {
                at = self.closing(at + 2) + 1;
                continue;
            }
            self.of_token(at, changes);
            self.of_condition(at, to, changes);
            self.of_statement(at, to, changes);
            at += 1;
        }
    }

    fn replace(&self, at: usize, with: &str, changes: &mut Vec<Change>) {
        let token = self.tokens[at];
        let what = format!("`{}` is `{with}`", token.text(self.source));
        changes.push(Change { start: token.start, end: token.end, with: with.to_owned(), what });
    }

    fn of_token(&self, at: usize, changes: &mut Vec<Change>) {
        let text = self.text(at);
        let before = at.checked_sub(1).map_or("", |before| self.text(before));
        match self.tokens[at].kind {
            Kind::Punct if text == "!" && self.stands_before_a_value(at) => {
                let token = self.tokens[at];
                changes.push(Change {
                    start: token.start,
                    end: token.end,
                    with: String::new(),
                    what: "`!` is gone".into(),
                });
            }
            Kind::Punct => {
                let with = BINARY
                    .iter()
                    .find(|(operator, _)| *operator == text)
                    .map_or(&[] as &[&str], |(_, with)| with);
                if self.stands_between_values(at) {
                    for with in with {
                        self.replace(at, with, changes);
                    }
                }
            }
            Kind::Word if text == "true" => self.replace(at, "false", changes),
            Kind::Word if text == "false" => self.replace(at, "true", changes),
            Kind::Word if before == "." => {
                if let Some((_, with)) = METHODS.iter().find(|(method, _)| *method == text) {
                    self.replace(at, with, changes);
                }
            }
            // Not the fields of a tuple.
            Kind::Int if before != "." => {
                let suffix = text.find(|c: char| c.is_ascii_alphabetic());
                let (digits, suffix) = text.split_at(suffix.unwrap_or(text.len()));
                if let Ok(value) = digits.replace('_', "").parse::<u128>() {
                    self.replace(at, &format!("{}{suffix}", value + 1), changes);
                    if value > 0 {
                        self.replace(at, &format!("{}{suffix}", value - 1), changes);
                    }
                }
            }
            _ => {}
        }
    }

    /// `!x`, not `x!(…)` and not `#![…]`.
    fn stands_before_a_value(&self, at: usize) -> bool {
        let glued = at > 0 && self.tokens[at - 1].end == self.tokens[at].start;
        !(glued && self.kind(at - 1) == Some(Kind::Word)) && self.text(at + 1) != "="
    }

    /// A binary operator between blanks, with a value on its left; not a bound of types such as `A + 'static`.
    fn stands_between_values(&self, at: usize) -> bool {
        let Some(left) = at.checked_sub(1) else { return false };
        let (before, here) = (self.tokens[left], self.tokens[at]);
        let blanks =
            before.end < here.start && self.tokens.get(at + 1).is_some_and(|after| here.end < after.start);
        let value = match before.kind {
            Kind::Word => {
                !["return", "move", "in", "if", "match", "while", "else"].contains(&self.text(left))
            }
            Kind::Int | Kind::Other | Kind::Close => true,
            Kind::Punct => self.text(left) == "?",
            Kind::Open => false,
        };
        let bound =
            self.text(at) == "+" && self.text(at + 1).starts_with(|c: char| c == '\'' || c.is_uppercase());
        blanks && value && !bound
    }

    /// `if c {` and `c =>` behind an `if`, `while c {`: the contrary.
    fn of_condition(&self, at: usize, to: usize, changes: &mut Vec<Change>) {
        if !["if", "while"].contains(&self.text(at)) {
            return;
        }
        let Some(end) = self.find(at + 1, &["{", "=>"]).filter(|end| *end < to) else { return };
        if end == at + 1 || (at + 1..end).any(|index| self.text(index) == "let") {
            return;
        }
        let (start, end) = (self.tokens[at + 1].start, self.tokens[end - 1].end);
        let condition = &self.source[start..end];
        changes.push(Change {
            start,
            end,
            with: format!("!({condition})"),
            what: format!("`{}` is negated", short(condition)),
        });
    }

    /// A call or an assignment that stands by itself: gone.
    fn of_statement(&self, at: usize, to: usize, changes: &mut Vec<Change>) {
        let begins = at > 0 && [";", "{", "}", "=>"].contains(&self.text(at - 1));
        let starts = self.kind(at) == Some(Kind::Word) || self.text(at) == "*";
        if !begins || !starts || KEPT.contains(&self.text(at)) || self.text(at + 1) == "!" {
            return;
        }
        let Some(end) = self.find(at, &[";", ",", "=>"]).filter(|end| *end < to && self.text(*end) == ";")
        else {
            return;
        };
        let (start, end) = (self.tokens[at].start, self.tokens[end].end);
        let what = format!("`{}` is gone", short(&self.source[start..end]));
        changes.push(Change { start, end, with: String::new(), what });
    }
}

/// The beginning of a piece of code, on one line.
fn short(code: &str) -> String {
    let line = code.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::places;

    /// What is done to a function with this body.
    fn changed(body: &str) -> Vec<String> {
        let source = format!("fn f() {body}");
        places(&source).remove(0).changes.into_iter().map(|change| change.what).collect()
    }

    #[test]
    fn operators_between_blanks_are_changed_and_types_are_not() {
        assert_eq!(changed("{ let _ = a < b; }")[1..], ["`<` is `<=`", "`<` is `>=`"]);
        assert_eq!(changed("{ let _: Vec<u8> = a::<B>(|| ()); }")[1..], [""; 0]);
        assert_eq!(changed("{ let _: Box<dyn A + Send> = a; }")[1..], [""; 0]);
        assert_eq!(changed("{ let _ = a + b; }")[1..], ["`+` is `-`"]);
    }

    #[test]
    fn conditions_are_negated_and_statements_dropped() {
        let found = changed("{ if a.b(1) { c.d(); } }");
        for what in
            ["the body is `{}`", "`a.b(1)` is negated", "`1` is `2`", "`1` is `0`", "`c.d();` is gone"]
        {
            assert!(found.contains(&what.to_owned()), "{what}: {found:?}");
        }
        assert_eq!(changed("{ if let Some(a) = b {} }").len(), 1);
    }

    #[test]
    fn a_body_returns_a_default_of_its_type() {
        let source = "fn f(a: u8) -> bool { a.g() }\nconst fn h() -> u32 { K }\nfn i() -> impl Fn() { j }";
        let all = places(source);
        assert_eq!(all.iter().map(|place| place.changes.len()).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(all.iter().map(|place| place.woven).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn tests_models_and_what_is_said_are_left_alone() {
        let source = "#[cfg(test)]\nmod tests { fn f() { a == b } }\n#[cfg(all(loom, test))]\nfn g() { c == d }\n#[inline]\nfn h() { assert!(e == f); }";
        let all = places(source);
        assert_eq!((all.len(), all[0].name.as_str(), all[0].changes.len()), (1, "h", 1));
    }

    #[test]
    fn constants_are_off_by_one() {
        let all = places("pub const MAX: u32 = 1_000;");
        assert_eq!(
            all[0].changes.iter().map(|change| change.with.as_str()).collect::<Vec<_>>(),
            ["1001", "999"]
        );
        assert!(!all[0].woven);
    }
}
