//! Where commands print: tables for people, one JSON document for programs.

use std::io::{self, Write};

use comfy_table::Table;
use comfy_table::presets::NOTHING;

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
        table.add_rows(rows);
        writeln!(self.results, "{table}")
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
}
