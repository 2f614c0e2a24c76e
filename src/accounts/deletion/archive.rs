//! Everything that is held on an account, as one ZIP in constant memory: a page at a time, each in
//! a short read of its own, compressed as it comes. The manifest stands last, for it has the sum of
//! each file.

mod documents;
pub mod parts;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::{SimpleFileOptions, StreamWriter};

use self::parts::ArchivePart;
use crate::accounts::usage::export::{Export, ExportError, Format};
use crate::db::models::usage_logs::UsageFilter;
use crate::db::models::{
    accounts, arrivals, credentials, deposit_addresses, deposit_claims, recovery_codes,
};
use crate::db::{AnyConnection, DbError, archive};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::to_hex;
use crate::domain::ids::AccountId;

/// Rows in a page.
const PAGE: i64 = 500;
/// Where the archive says what is in it.
const MANIFEST: &str = "manifest.json";
/// Counts the changes of what is in an archive.
const FORMAT_VERSION: u32 = 1;

/// An archive that is being written.
pub struct Archive {
    account_id: AccountId,
    manifest: Manifest,
    zip: ZipWriter<StreamWriter<ZipBuffer>>,
    outlet: ZipBuffer,
    waiting: VecDeque<ArchivePart>,
    open: Option<OpenPart>,
    is_done: bool,
}

/// A file that is being written.
struct OpenPart {
    part: ArchivePart,
    source: PartSource,
    sum: Sha256,
    bytes: u64,
    rows: u64,
}

/// Where its next page comes from.
enum PartSource {
    Export(Box<Export>),
    Pages(After),
}

/// The key of the last row that was read, by the kind of key that its table has.
#[derive(Default)]
struct After {
    number: i64,
    text: String,
    bytes: Vec<u8>,
}

/// What is in an archive.
#[derive(Serialize)]
struct Manifest {
    format: &'static str,
    version: u32,
    account_id: String,
    made_at: String,
    note: &'static str,
    files: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    table: &'static str,
    description: &'static str,
    rows: u64,
    bytes: u64,
    sha256: String,
}

impl Archive {
    /// Begins the archive of an account.
    ///
    /// # Errors
    /// [`ExportError::Gone`] and others.
    pub fn begin(
        conn: &mut AnyConnection,
        account_id: AccountId,
        now: UnixMillis,
    ) -> Result<Self, ExportError> {
        let account = accounts::get(conn, account_id)?.ok_or(ExportError::Gone)?;
        let outlet = ZipBuffer::default();
        Ok(Self {
            account_id,
            manifest: Manifest {
                format: "sluice-archive",
                version: FORMAT_VERSION,
                account_id: account.public_id,
                made_at: now.to_string(),
                note: "Each file was read page by page while the service went on: what was added \
                    meanwhile may be in one file and not in another.",
                files: Vec::new(),
            },
            zip: ZipWriter::new_stream(outlet.clone()),
            outlet,
            waiting: ArchivePart::ALL.into(),
            open: None,
            is_done: false,
        })
    }

    /// The next piece; `None` once all has been read. It may be empty: then what was read is still
    /// being compressed.
    ///
    /// # Errors
    /// [`ExportError`]; the archive has to be given up then.
    pub fn next_piece(&mut self, conn: &mut AnyConnection) -> Result<Option<Vec<u8>>, ExportError> {
        if self.is_done {
            return Ok(None);
        }
        let open = match self.open.take() {
            Some(open) => Some(open),
            None => match self.waiting.pop_front() {
                Some(part) => Some(self.start(conn, part)?),
                None => None,
            },
        };
        match open {
            Some(open) => self.write_page(conn, open)?,
            None => self.finish()?,
        }
        Ok(Some(self.outlet.take()))
    }

    fn start(
        &mut self,
        conn: &mut AnyConnection,
        part: ArchivePart,
    ) -> Result<OpenPart, ExportError> {
        self.zip.start_file(part.file(), options())?;
        let (id, csv) = (self.account_id, Format::Csv);
        let source = match part {
            ArchivePart::Usage => {
                PartSource::Export(Box::new(Export::of_usage(UsageFilter::all(id), csv)))
            }
            ArchivePart::Ledger => PartSource::Export(Box::new(Export::of_ledger(conn, id, csv)?)),
            _ => PartSource::Pages(After::default()),
        };
        Ok(OpenPart { part, source, sum: Sha256::new(), bytes: 0, rows: 0 })
    }

    fn write_page(
        &mut self,
        conn: &mut AnyConnection,
        mut open: OpenPart,
    ) -> Result<(), ExportError> {
        let (text, is_last) = match &mut open.source {
            PartSource::Export(export) => {
                let piece = export.next_piece(conn)?;
                open.rows = export.rows();
                let is_last = piece.is_none();
                (piece.unwrap_or_default(), is_last)
            }
            PartSource::Pages(after) => {
                let rows = page(conn, open.part, self.account_id, after)?;
                let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
                open.rows = open.rows.saturating_add(count);
                let is_one = matches!(open.part, ArchivePart::Account | ArchivePart::Addresses);
                let is_last = is_one || i64::try_from(rows.len()).unwrap_or(PAGE) < PAGE;
                (lines(&rows)?, is_last)
            }
        };
        self.zip.write_all(&text).map_err(zip::result::ZipError::from)?;
        open.sum.update(&text);
        open.bytes = open.bytes.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        if is_last {
            self.manifest.files.push(Listed {
                name: open.part.file(),
                table: open.part.table(),
                description: open.part.description(),
                rows: open.rows,
                bytes: open.bytes,
                sha256: to_hex(&open.sum.finalize()).trim_start_matches("0x").to_owned(),
            });
        } else {
            self.open = Some(open);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        self.zip.start_file(MANIFEST, options())?;
        let mut text = serde_json::to_vec_pretty(&self.manifest)?;
        text.push(b'\n');
        self.zip.write_all(&text).map_err(zip::result::ZipError::from)?;
        // The directory is written when the writer ends.
        let zip = std::mem::replace(&mut self.zip, ZipWriter::new_stream(ZipBuffer::default()));
        zip.finish()?;
        self.is_done = true;
        Ok(())
    }
}

/// Nobody knows beforehand how long a file will be.
fn options() -> SimpleFileOptions {
    SimpleFileOptions::default().large_file(true).unix_permissions(0o600)
}

fn lines(rows: &[Value]) -> Result<Vec<u8>, ExportError> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, row)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// The next rows of a file as JSON.
fn page(
    conn: &mut AnyConnection,
    part: ArchivePart,
    id: AccountId,
    after: &mut After,
) -> Result<Vec<Value>, DbError> {
    let number = after.number;
    let After { number: last_number, text, bytes } = after;
    Ok(match part {
        ArchivePart::Account => account(conn, id)?.into_iter().collect(),
        ArchivePart::Addresses => {
            let row = deposit_addresses::of_account(conn, id)?;
            row.iter().map(documents::address).collect()
        }
        ArchivePart::Arrivals => {
            let rows = arrivals::page(conn, Some(id), number, PAGE)?;
            let rows = rows.into_iter().map(|(row, _)| (row.id, row)).collect();
            each(rows, last_number, documents::arrival)
        }
        ArchivePart::Sessions => {
            let rows = archive::sessions_of(conn, id, number, PAGE)?;
            each(rows, last_number, documents::session)
        }
        ArchivePart::Keys => {
            each(archive::keys_of(conn, id, number, PAGE)?, last_number, documents::key)
        }
        ArchivePart::Wallets => {
            each(archive::wallets_of(conn, id, number, PAGE)?, last_number, documents::wallet)
        }
        ArchivePart::Refusals => {
            let rows = archive::refusals_of(conn, id, number, PAGE)?;
            each(rows, last_number, documents::refusal)
        }
        ArchivePart::Deposits => {
            each(archive::deposits_of(conn, id, number, PAGE)?, last_number, documents::deposit)
        }
        ArchivePart::Refunds => {
            each(archive::refunds_of(conn, id, number, PAGE)?, last_number, documents::refund)
        }
        ArchivePart::Mail => {
            each(archive::mail_of(conn, id, number, PAGE)?, last_number, documents::mail)
        }
        ArchivePart::Decisions => {
            let rows = archive::decisions_of(conn, id, number, PAGE)?;
            each(rows, last_number, documents::decision)
        }
        ArchivePart::Claims => {
            let rows = deposit_claims::page(conn, Some(id), number, PAGE)?;
            let rows = rows.into_iter().map(|row| (row.id, row)).collect();
            each(rows, last_number, documents::claim)
        }
        ArchivePart::Running => {
            let rows = archive::reservations_of(conn, id, text, PAGE)?;
            each(rows, text, documents::running)
        }
        ArchivePart::Passes => {
            let rows = archive::passes_of(conn, id, (text, number), PAGE)?;
            if let Some(last) = rows.last() {
                (*text, *last_number) = (last.usage_id.clone(), last.ordinal);
            }
            rows.iter().map(documents::pass).collect()
        }
        ArchivePart::Challenges => {
            let rows = archive::challenges_of(conn, id, text, PAGE)?;
            each(rows, text, documents::challenge)
        }
        ArchivePart::Links => {
            each(archive::links_of(conn, id, bytes, PAGE)?, bytes, documents::link)
        }
        ArchivePart::LogIns => {
            let rows = archive::log_ins_of(conn, id, bytes, PAGE)?;
            each(rows, bytes, documents::log_in)
        }
        // These are exports.
        ArchivePart::Usage | ArchivePart::Ledger => Vec::new(),
    })
}

/// The documents of a page, whose last key is kept.
fn each<Key, Row>(
    rows: Vec<(Key, Row)>,
    last: &mut Key,
    document: impl Fn(&Row) -> Value,
) -> Vec<Value> {
    let mut documents = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        documents.push(document(&row));
        *last = key;
    }
    documents
}

fn account(conn: &mut AnyConnection, id: AccountId) -> Result<Option<Value>, DbError> {
    let Some(row) = accounts::get(conn, id)? else { return Ok(None) };
    let other = archive::other_columns(conn, id)?;
    let known = credentials::get(conn, id)?;
    let has_password = known.is_some_and(|known| known.password_hash.is_some());
    let codes_left = recovery_codes::left(conn, id)?;
    Ok(Some(documents::account(&row, &other, (has_password, codes_left))))
}

/// Takes what the compression gives, until it is fetched.
#[derive(Clone, Default)]
struct ZipBuffer(Arc<Mutex<Vec<u8>>>);

impl ZipBuffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for ZipBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
