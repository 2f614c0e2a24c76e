//! Where commands print: tables for people, one JSON document for programs.

use std::io::{self, Write};

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::domain::plain_text::is_hidden;

/// Standard output for results, standard error for complaints.
pub(super) struct Output {
    results: Box<dyn Write>,
    complaints: Box<dyn Write>,
}

impl Output {
    pub(super) fn standard() -> Self {
        Self { results: Box::new(io::stdout()), complaints: Box::new(io::stderr()) }
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.results, "{text}")
    }

    pub(super) fn json(&mut self, document: &serde_json::Value) -> io::Result<()> {
        writeln!(self.results, "{document:#}")
    }

    pub(super) fn table<Row>(&mut self, header: &[&str], rows: Row) -> io::Result<()>
    where
        Row: IntoIterator<Item = Vec<String>>,
    {
        let mut table = Table::new();
        table.load_style(NOTHING);
        if !header.is_empty() {
            table.set_header(header);
        }
        table.add_rows(rows.into_iter().map(|row| row.into_iter().map(|cell| printable(&cell))));
        writeln!(self.results, "{table}")
    }

    /// How far something is, beside the results.
    pub(super) fn progress(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.complaints, "{text}")
    }

    /// A question, whose answer is typed behind it.
    pub(super) fn ask(&mut self, text: &str) -> io::Result<()> {
        write!(self.complaints, "{text}")?;
        self.complaints.flush()
    }

    /// Text that has its line ends already.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.results.write_all(text.as_bytes())
    }

    /// A list that is printed page by page, however long it is: tables below one another, or one
    /// JSON array.
    pub(super) const fn listing<'a>(
        &'a mut self,
        header: &'a [&'a str],
        is_json: bool,
    ) -> Listing<'a> {
        Listing { output: self, header, is_json, is_empty: true }
    }

    /// The error with its causes. If even that cannot be printed, the exit code still tells.
    pub(super) fn complain(&mut self, error: &dyn std::error::Error) {
        let mut text = format!("sluice: {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            text.push_str("\n  because: ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        drop(writeln!(self.complaints, "{text}"));
    }

    /// Where the manual explains what was complained of; nothing if it is empty.
    pub(super) fn remark(&mut self, pages: &str) {
        if !pages.is_empty() {
            drop(writeln!(self.complaints, "sluice: see {pages}"));
        }
    }
}

/// See [`Output::listing`].
pub(super) struct Listing<'a> {
    output: &'a mut Output,
    header: &'a [&'a str],
    is_json: bool,
    is_empty: bool,
}

impl Listing<'_> {
    /// Prints a page of items, each as a document and as a line of the table.
    pub(super) fn page(&mut self, items: Vec<(serde_json::Value, Vec<String>)>) -> io::Result<()> {
        if !self.is_json {
            self.is_empty = false;
            return self.output.table(self.header, items.into_iter().map(|(_, line)| line));
        }
        for (document, _) in items {
            let before = if self.is_empty { "[\n  " } else { ",\n  " };
            self.is_empty = false;
            // Within its strings, JSON has no line ends.
            let document = format!("{document:#}").replace('\n', "\n  ");
            self.output.text(&format!("{before}{document}"))?;
        }
        Ok(())
    }

    pub(super) fn end(self) -> io::Result<()> {
        match (self.is_json, self.is_empty) {
            (true, true) => self.output.text("[]\n"),
            (true, false) => self.output.text("\n]\n"),
            (false, true) => self.output.table(self.header, []),
            (false, false) => Ok(()),
        }
    }
}

/// What a provider or a stranger wrote must not steer the operator's terminal.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| if is_hidden(c) { c.escape_default().to_string() } else { c.into() };
    text.chars().map(shown).collect()
}

/// The same for text of several lines, without its last line end.
pub(super) fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}
