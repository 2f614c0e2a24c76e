//! Exports of any length in constant memory: a page at a time, each in a short read of its own,
//! oldest first. What is admitted after an export has begun is not in it.

use serde::Serialize;

use super::UsageDocument;
use super::statement::{self, EntryDocument};
use crate::db::models::ledger_entries;
use crate::db::models::usage_logs::{self, UsageFilter, UsagePlace};
use crate::db::{AnyConnection, DbError};
use crate::domain::ids::AccountId;

/// Rows in a piece.
const PAGE: i64 = 500;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, with a line of names; words are safe in a spreadsheet.
    Csv,
    /// A JSON object on each line.
    JsonLines,
}

impl Format {
    /// The name that it goes by.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Csv, Self::JsonLines].into_iter().find(|format| format.extension() == name)
    }

    /// The end of a file's name.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }

    /// For `content-type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::JsonLines => "application/jsonl",
        }
    }
}

/// Why an export cannot go on. What has been written of it is not all.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A row does not turn into JSON.
    #[error("a row cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// A row does not turn into CSV.
    #[error("a row cannot be written as CSV")]
    Csv(#[from] csv::Error),
    /// An archive cannot be written.
    #[error("an archive cannot be written")]
    Zip(#[from] zip::result::ZipError),
    /// The account is gone.
    #[error("the account no longer exists")]
    Gone,
}

/// An export that is being read.
pub struct Export {
    source: ExportPosition,
    format: Format,
    has_mark: bool,
    is_begun: bool,
    is_done: bool,
    rows: u64,
}

enum ExportPosition {
    Usage { filter: UsageFilter, after: Option<UsagePlace> },
    Ledger { account_id: AccountId, last: i64, above: i64, balance: i64 },
}

impl Export {
    /// The usage rows that a filter lets pass.
    #[must_use]
    pub const fn of_usage(filter: UsageFilter, format: Format) -> Self {
        let source = ExportPosition::Usage { filter, after: None };
        Self { source, format, has_mark: false, is_begun: false, is_done: false, rows: 0 }
    }

    /// All ledger entries of an account up to now.
    pub fn of_ledger(
        conn: &mut AnyConnection,
        account_id: AccountId,
        format: Format,
    ) -> Result<Self, DbError> {
        let newest = ledger_entries::page(conn, account_id, None, i64::MAX, 1)?;
        let last = newest.first().map_or(0, |entry| entry.id);
        let source = ExportPosition::Ledger { account_id, last, above: 0, balance: 0 };
        Ok(Self { source, format, has_mark: false, is_begun: false, is_done: false, rows: 0 })
    }

    /// The same with a byte order mark before CSV, by which Excel knows UTF-8.
    #[must_use]
    pub const fn with_mark(mut self, has_mark: bool) -> Self {
        self.has_mark = has_mark;
        self
    }

    /// How it is written.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Rows that have been read so far.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The next piece; `None` once all has been read. The first piece of CSV has the names of the
    /// columns, even if no row follows.
    ///
    /// # Errors
    /// [`ExportError`]; the export has to be given up then.
    pub fn next_piece(&mut self, conn: &mut AnyConnection) -> Result<Option<Vec<u8>>, ExportError> {
        if self.is_done {
            return Ok(None);
        }
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let (piece, count) = match &mut self.source {
            ExportPosition::Usage { filter, after } => {
                let rows = usage_logs::following(conn, filter, after.as_ref(), PAGE)?;
                if let Some(last) = rows.last() {
                    *after = Some(UsagePlace::from(&last.row));
                }
                let documents = rows.iter().map(UsageDocument::from);
                let piece = match self.format {
                    Format::Csv => csv(
                        is_first.then_some(&USAGE_COLUMNS[..]),
                        documents.map(UsageDocument::for_spreadsheet),
                    )?,
                    Format::JsonLines => json_lines(documents)?,
                };
                (piece, rows.len())
            }
            ExportPosition::Ledger { account_id, last, above, balance } => {
                let rows = ledger_entries::following(conn, *account_id, (*above, *last), PAGE)?;
                *above = rows.last().map_or(*above, |row| row.id);
                let documents = rows.iter().map(|row| {
                    *balance = balance.saturating_add(row.amount_nanousd.as_nanos());
                    statement::document(row, Some(*balance))
                });
                let piece = match self.format {
                    Format::Csv => csv(
                        is_first.then_some(&LEDGER_COLUMNS[..]),
                        documents.map(EntryDocument::for_spreadsheet),
                    )?,
                    Format::JsonLines => json_lines(documents)?,
                };
                (piece, rows.len())
            }
        };
        self.rows = self.rows.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        let piece = if is_first && self.has_mark && self.format == Format::Csv {
            [BYTE_ORDER_MARK, &piece].concat()
        } else {
            piece
        };
        self.is_done = i64::try_from(count).unwrap_or(PAGE) < PAGE;
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// The fields of [`UsageDocument`].
const USAGE_COLUMNS: [&str; 23] = [
    "id",
    "created_at",
    "key_id",
    "key_name",
    "endpoint",
    "requested_model",
    "served_model",
    "input_tokens",
    "output_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_read_tokens",
    "web_searches",
    "service_tier",
    "inference_geo",
    "speed",
    "price_version",
    "cost",
    "first_byte_ms",
    "latency_ms",
    "http_status",
    "ending",
    "is_estimated",
];

/// The fields of [`EntryDocument`].
const LEDGER_COLUMNS: [&str; 8] =
    ["id", "created_at", "kind", "meaning", "reference", "about", "amount", "balance"];

fn csv<T: Serialize>(
    names: Option<&[&str]>,
    documents: impl Iterator<Item = T>,
) -> Result<Vec<u8>, ExportError> {
    let mut writer = csv::WriterBuilder::new()
        .has_headers(false)
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    if let Some(names) = names {
        writer.write_record(names)?;
    }
    for document in documents {
        writer.serialize(document)?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()).into())
}

fn json_lines<T: Serialize>(documents: impl Iterator<Item = T>) -> Result<Vec<u8>, ExportError> {
    let mut text = Vec::new();
    for document in documents {
        serde_json::to_writer(&mut text, &document)?;
        text.push(b'\n');
    }
    Ok(text)
}
