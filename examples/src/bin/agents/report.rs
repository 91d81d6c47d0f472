//! What is printed: for machines, for people, and the line at the end.
//!
//! The same results give the same bytes: files are sorted by name, numbers are whole, nothing tells the time.

use crate::files::Skipped;
use crate::text::{Counts, Findings, Term};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use std::fmt;
use std::io::{self, Write};

/// Who wrote a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Summariser {
    /// Our own, which takes sentences out of the text.
    Extract,
    /// The model that was asked.
    Model,
}

/// The results of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FileReport {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) characters: u64,
    pub(crate) words: u64,
    pub(crate) terms: Vec<Term>,
    pub(crate) summary: Vec<String>,
    pub(crate) summarised_by: Summariser,
    /// Why the model was asked and did not do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model_error: Option<String>,
}

impl FileReport {
    /// What our own tools found.
    pub(crate) fn new(name: String, findings: Findings) -> Self {
        let Findings { counts, terms, summary, .. } = findings;
        let Counts { bytes, lines, characters, words } = counts;
        Self {
            name,
            bytes,
            lines,
            characters,
            words,
            terms,
            summary,
            summarised_by: Summariser::Extract,
            model_error: None,
        }
    }
}

/// Sums over the files that were finished, and how many were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    pub(crate) files: u64,
    pub(crate) skipped: u64,
    /// Files that were not done with when the program was interrupted.
    pub(crate) unfinished: u64,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) characters: u64,
    pub(crate) words: u64,
}

/// All results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Results {
    files: Vec<FileReport>,
    skipped: Vec<Skipped>,
    totals: Totals,
}

impl Results {
    /// Sorts and sums up.
    pub(crate) fn new(mut files: Vec<FileReport>, mut skipped: Vec<Skipped>, unfinished: u64) -> Self {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        skipped.sort_by(|a, b| a.name.cmp(&b.name));
        let mut totals = Totals {
            files: files.len() as u64,
            skipped: skipped.len() as u64,
            unfinished,
            ..Totals::default()
        };
        for file in &files {
            totals.bytes += file.bytes;
            totals.lines += file.lines;
            totals.characters += file.characters;
            totals.words += file.words;
        }
        Self { files, skipped, totals }
    }

    #[cfg(test)]
    pub(crate) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// Writes one JSON object, indented, with a line feed at its end.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub(crate) fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut out, self)?;
        writeln!(out)?;
        out.flush()
    }

    /// Writes tables that fit into so many columns.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub(crate) fn write_table(&self, mut out: impl Write, columns: u16) -> io::Result<()> {
        if !self.files.is_empty() {
            let mut table = table(columns, &["File", "Words", "Terms", "Summary"]);
            for file in &self.files {
                let terms: Vec<String> =
                    file.terms.iter().map(|term| format!("{} {}", term.term, term.count)).collect();
                let mut summary = file.summary.join("\n");
                if let Some(e) = &file.model_error {
                    summary = format!("{summary}\n(not by the model: {})", printable(e));
                }
                table.add_row([printable(&file.name), file.words.to_string(), terms.join("\n"), summary]);
            }
            if let Some(words) = table.column_mut(1) {
                words.set_cell_alignment(CellAlignment::Right);
            }
            writeln!(out, "{table}")?;
        }
        if !self.skipped.is_empty() {
            let mut table = table(columns, &["Left out", "Why"]);
            for Skipped { name, why } in &self.skipped {
                table.add_row([printable(name), why.to_string()]);
            }
            writeln!(out, "{table}")?;
        }
        let Totals { files, skipped, unfinished, bytes, lines, characters, words } = self.totals;
        write!(out, "{files} files: {words} words, {lines} lines, {characters} characters, {bytes} bytes")?;
        writeln!(out, "; {skipped} left out, {unfinished} not finished")?;
        out.flush()
    }
}

fn table(columns: u16, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(columns)
        .set_header(header.iter().copied());
    table
}

/// Names and messages may hold anything; a terminal shall not obey it.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { printable.extend(c.escape_default()) } else { printable.push(c) }
    }
    printable
}

/// What was done and undone; its `Display` is the line at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Files that were finished.
    pub(crate) files: u64,
    /// Servers that were started again.
    pub(crate) restarts: u64,
    /// Messages that were handled more than once.
    pub(crate) redeliveries: u64,
    /// Messages that were never handled.
    pub(crate) lost: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, restarts, redeliveries, lost } = self;
        write!(f, "files = {files}, restarts = {restarts}, redeliveries = {redeliveries}, lost = {lost}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Skip;

    fn results() -> Results {
        let findings = |words| Findings {
            counts: Counts { bytes: 9, lines: 2, characters: 8, words },
            terms: vec![Term { term: "mailbox".to_owned(), count: 2 }],
            summary: vec!["A sentence that is long enough for a summary.".to_owned()],
            digest: String::new(),
        };
        let files = vec![
            FileReport::new("b\u{1b}[2J".to_owned(), findings(3)),
            FileReport::new("a".to_owned(), findings(4)),
        ];
        let unreadable = Skip::Unreadable("permission denied".to_owned());
        let skipped = vec![
            Skipped { name: "z".to_owned(), why: unreadable },
            Skipped { name: "y".to_owned(), why: Skip::Empty },
        ];
        Results::new(files, skipped, 1)
    }

    #[test]
    fn machines_read_json_in_a_fixed_order() {
        let mut json = Vec::new();
        results().write_json(&mut json).expect("there is room");
        let read: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
        assert_eq!(read["files"][0]["name"], "a");
        assert_eq!(read["files"][0]["terms"][0]["term"], "mailbox");
        assert_eq!(read["files"][1]["summarised_by"], "extract");
        assert_eq!(read["skipped"][0], serde_json::json!({"name": "y", "reason": "empty"}));
        let unreadable =
            serde_json::json!({"name": "z", "reason": "unreadable", "detail": "permission denied"});
        assert_eq!(read["skipped"][1], unreadable);
        assert_eq!(read["totals"]["words"], 7);
        assert!(json.ends_with(b"}\n"));
    }

    #[test]
    fn people_read_a_table_that_fits_and_does_nothing_to_their_terminal() {
        for columns in [40, 80, 200] {
            let mut table = Vec::new();
            results().write_table(&mut table, columns).expect("there is room");
            let table = String::from_utf8(table).expect("it is text");
            let body = table.lines().filter(|line| !line.starts_with("2 files"));
            for line in body {
                assert!(line.chars().count() <= usize::from(columns), "{columns}:\n{table}");
            }
            assert!(table.contains("mailbox") && !table.contains('\u{1b}'), "{table}");
            assert!(table.contains("2 files: 7 words") && table.contains("1 not finished"), "{table}");
        }
    }

    #[test]
    fn the_line_at_the_end_is_as_it_is_promised() {
        let tally = Tally { files: 3, restarts: 2, redeliveries: 1, lost: 0 };
        assert_eq!(tally.to_string(), "files = 3, restarts = 2, redeliveries = 1, lost = 0");
    }
}
