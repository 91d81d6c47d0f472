//! All changes of a file in one program: each changed function holds its body once for every change of it, and which one runs
//! is asked for when the program runs. So a crate is built once for hundreds of changes.
//!
//! ```text
//! fn f(a: u8) -> bool { a < 3 }
//! fn f(a: u8) -> bool { match crate::mutant_here() { 17 => { a <= 3 } 18 => { a >= 3 } _ => { a < 3 } } }
//! ```

use super::operators::{Change, Place};
use std::ops::Range;

/// What [`Woven::text`] asks for its number: appended to the crate's `lib.rs`. 0 is what is written in the tree.
pub(super) const CHOOSER: &str = r#"
#[doc(hidden)]
#[allow(missing_docs, unreachable_pub, dead_code)]
pub fn mutant_here() -> u32 {
    static CHOSEN: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| std::env::var("RESTANTE_MUTANT").ok().and_then(|n| n.parse().ok()).unwrap_or(0))
}
"#;

/// A change with its number.
#[derive(Debug, Clone)]
pub(super) struct Numbered {
    pub(super) number: u32,
    pub(super) change: Change,
}

/// A file with changes to choose from.
#[derive(Debug, Default)]
pub(super) struct Woven {
    pub(super) text: String,
    /// The lines of each change's body, by its number.
    pub(super) arms: Vec<(u32, Range<usize>)>,
    /// The lines of each function with all its bodies, and their numbers.
    pub(super) functions: Vec<(Range<usize>, Vec<u32>)>,
}

/// Weaves the changes of each place into its function.
pub(super) fn weave(source: &str, places: &[(Place, Vec<Numbered>)]) -> Woven {
    let mut woven = Woven::default();
    let mut done = 0;
    for (place, changes) in places.iter().filter(|(place, changes)| place.woven && !changes.is_empty()) {
        woven.text.push_str(&source[done..place.start]);
        let first = woven.line();
        woven.text.push_str("{ match crate::mutant_here() {\n");
        for Numbered { number, change } in changes {
            let from = woven.line();
            woven.text += &[&number.to_string(), " => ", &changed(source, place, change), "\n"].concat();
            let lines = from..woven.line();
            woven.arms.push((*number, lines));
        }
        woven.text += &["_ => ", &source[place.start..place.end], "\n} }"].concat();
        let lines = first..woven.line() + 1;
        woven.functions.push((lines, changes.iter().map(|change| change.number).collect()));
        done = place.end;
    }
    woven.text.push_str(&source[done..]);
    woven
}

/// The place with this change.
pub(super) fn changed(source: &str, place: &Place, change: &Change) -> String {
    format!("{}{}{}", &source[place.start..change.start], change.with, &source[change.end..place.end])
}

impl Woven {
    /// The line that is being written, from 1.
    fn line(&self) -> usize {
        self.text.bytes().filter(|byte| *byte == b'\n').count() + 1
    }

    /// Which changes an error in this line is to be blamed on: that of the body it lies in, else all of the function.
    pub(super) fn blamed(&self, line: usize) -> Vec<u32> {
        if let Some((number, _)) = self.arms.iter().find(|(_, lines)| lines.contains(&line)) {
            return vec![*number];
        }
        let function = self.functions.iter().find(|(lines, _)| lines.contains(&line));
        function.map_or_else(Vec::new, |(_, numbers)| numbers.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::operators::places;
    use super::{Numbered, weave};

    #[test]
    fn each_change_is_an_arm_and_an_error_in_it_is_its_own() {
        let source = "fn f(a: u8) -> bool {\n    a < 3\n}\nfn g() {}\n";
        let mut number = 0;
        let numbered: Vec<_> = places(source)
            .into_iter()
            .map(|place| {
                let changes = place.changes.clone().into_iter();
                let changes = changes.map(|change| {
                    number += 1;
                    Numbered { number, change }
                });
                (place, changes.collect::<Vec<_>>())
            })
            .collect();
        let woven = weave(source, &numbered);
        assert!(woven.text.contains("_ => {\n    a < 3\n}\n} }\nfn g() {}"), "{}", woven.text);
        assert!(woven.text.contains("3 => {\n    a <= 3\n}"), "{}", woven.text);
        let (of, lines) = woven.arms[2].clone();
        assert_eq!((of, woven.blamed(lines.start)), (3, vec![3]));
        assert_eq!(woven.blamed(1).len(), woven.arms.len());
        assert!(woven.blamed(1000).is_empty());
    }
}
