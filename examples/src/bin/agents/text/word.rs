//! What a word is.
//!
//! A word is a longest run of letters and digits (Unicode's alphabetic and numeric characters) and the marks upon them.
//! An apostrophe or an underscore between two of them belongs to the word (`don't`, `handle_call`); a full stop or a comma
//! does between two digits (`3.14`). Han, Hiragana and Thai are written without spaces: Han and Hiragana characters count as a
//! word each, Thai as it stands between its spaces. A hyphen separates.

use unicode_width::UnicodeWidthChar;

/// The words of `text`, in order, as slices of it.
pub(super) fn words(text: &str) -> Words<'_> {
    Words { text, at: 0 }
}

/// Iterator of [`words`].
#[derive(Debug)]
pub(super) struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let (skipped, first) = rest.char_indices().find(|(_, c)| is_letter(*c))?;
        let word = &rest[skipped..];
        let mut end = first.len_utf8();
        if stands_alone(first) {
            end += marks(&word[end..]);
        } else {
            let mut last = first;
            // Nearly all letters are these.
            let plain = word.bytes().take_while(u8::is_ascii_alphanumeric).count();
            if plain > 0 {
                last = char::from(word.as_bytes()[plain - 1]);
                end = plain;
            }
            while let Some((c, joined)) = continuation(last, &word[end..]) {
                last = c;
                end += joined;
            }
        }
        self.at += skipped + end;
        Some(&word[..end])
    }
}

/// How the word that ends with `last` goes on in `rest`: its next letter, and the bytes up to the end of that letter.
fn continuation(last: char, rest: &str) -> Option<(char, usize)> {
    let mut chars = rest.chars();
    let c = chars.next()?;
    if is_mark(c) {
        return Some((last, c.len_utf8()));
    }
    if is_letter(c) {
        return (!stands_alone(c)).then_some((c, c.len_utf8()));
    }
    let after = chars.next()?;
    let joins = match c {
        '\'' | '\u{2019}' | '_' => is_letter(after) && !stands_alone(after),
        '.' | ',' => last.is_ascii_digit() && after.is_ascii_digit(),
        _ => false,
    };
    joins.then(|| (after, c.len_utf8() + after.len_utf8()))
}

/// How many bytes of marks `rest` begins with.
fn marks(rest: &str) -> usize {
    rest.chars().take_while(|c| is_mark(*c)).map(char::len_utf8).sum()
}

fn is_letter(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() } else { c.is_alphanumeric() }
}

/// What takes no room of its own sits on the letter before it: accents, viramas, joiners. A zero-width space separates.
fn is_mark(c: char) -> bool {
    !c.is_ascii() && c != '\u{200b}' && c != '\u{feff}' && !c.is_alphanumeric() && c.width() == Some(0)
}

/// Han and Hiragana.
pub(super) fn stands_alone(c: char) -> bool {
    matches!(u32::from(c), 0x3041..=0x309F | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text:?}");
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        check("", &[]);
        check(" -- …!", &[]);
        check("Hello, world: well-known (x86_64)", &["Hello", "world", "well", "known", "x86_64"]);
        check("don't 'quoted' l’été __init__", &["don't", "quoted", "l’été", "init"]);
        check("3.14, 1,000. 2.x end.Next", &["3.14", "1,000", "2", "x", "end", "Next"]);
        check("ΑΒΓ привет", &["ΑΒΓ", "привет"]);
    }

    #[test]
    fn marks_stay_with_their_letter() {
        check("e\u{301}te\u{301} x\u{200b}y", &["e\u{301}te\u{301}", "x", "y"]);
        check("\u{301}abc", &["abc"]);
        check("हिन्दी शब्द", &["हिन्दी", "शब्द"]);
    }

    #[test]
    fn characters_of_scripts_without_spaces_count_one_by_one() {
        check("日本語 text語", &["日", "本", "語", "text", "語"]);
        check("テスト", &["テスト"]);
    }
}
