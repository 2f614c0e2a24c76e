//! Copies an SQLite database that no server uses into an empty PostgreSQL, table by table, and
//! proves that both hold the same. How far it is stands in the target, in the transactions that
//! copy: an interrupted one is gone on with. Until it is whole nobody can serve from the target.
//! The source is only read.

mod tables;
mod tally;
mod target;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use sha2::{Digest, Sha256};

use super::schema::schema_compatibility;
use super::{AnyConnection, ConnectError, DbError, compatibility, file, migrate};
use crate::domain::evm::to_hex;
use tables::TableLayout;
use target::{CopyProgress, postgres};

pub use tables::{LEFT_OUT, TABLES};
pub use tally::TableTally;

/// Bytes of rows in one transaction, beyond one row.
const BATCH_BYTES: usize = 4 << 20;
/// How often it is said how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// Why nothing was copied, or not all.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A server serves from the file, or another copy of it runs.
    #[error("another process has this SQLite file: a server or `sluice migrate-to`; end it first")]
    InUse,
    /// The lock file.
    #[error("the lock file beside the database cannot be used")]
    Lock(#[source] std::io::Error),
    /// The source's file.
    #[error("the SQLite file cannot be read")]
    File(#[source] std::io::Error),
    /// The source is no SQLite database.
    #[error(
        "the settings name PostgreSQL: what is copied is the SQLite database that database.url \
         names"
    )]
    NotSqlite,
    /// The target is no PostgreSQL.
    #[error("the target must be postgres://…")]
    NotPostgres,
    /// The source has tables or columns that would stay behind.
    #[error(
        "version {by} has migrated the SQLite database ({migrations}), which this program \
         (version {}) does not know whole, and so would not copy whole: copy with version {by}, \
         or a newer one",
        compatibility::VERSION
    )]
    NewerSource {
        /// The version that has migrated it.
        by: String,
        /// What is not known.
        migrations: String,
    },
    /// The target's schema is not the source's.
    #[error(
        "the schema versions of the target and the SQLite database differ ({0}): use a database \
         without tables"
    )]
    OtherSchema(String),
    /// Another copy runs.
    #[error(
        "another process is copying into this database, through PostgreSQL's process {0}. If you \
         did not start one, an earlier copy was cut off. Its session ends within a minute, or at \
         once with SELECT pg_terminate_backend({0}). Then start again"
    )]
    Busy(i32),
    /// The target holds something.
    #[error("the target is not empty: it has rows in {0}. Use an empty database")]
    NotEmpty(String),
    /// It was done before.
    #[error(
        "this database is already a complete copy of the SQLite database: set database.url or \
         url_file to it, and move the SQLite file away"
    )]
    Whole,
    /// It was done before, and the source was written to since.
    #[error(
        "this database is a complete copy of the SQLite database, but the SQLite file has changed \
         since, so a process used it again. Compare both before you serve from one; to copy \
         again, use an empty database"
    )]
    WholeOfBefore,
    /// The target is somebody else's.
    #[error(
        "the target is not empty: it has a table {0} that is not Sluice's. Use a separate database"
    )]
    NotOurs(String),
    /// The target is another's copy.
    #[error("the target is an unfinished copy of another database: use an empty one")]
    OtherCopy,
    /// The target was begun by another version.
    #[error(
        "the target is an unfinished copy with another version's schema: use an empty database"
    )]
    OtherVersion,
    /// The source has changed since.
    #[error(
        "the SQLite database has changed since this copy began: drop the target, create it again \
         and start over"
    )]
    SourceChanged,
    /// A row holds what the target cannot.
    #[error(
        "the rows of {table} with the keys {first} to {last} could not be copied. If one of them \
         holds data PostgreSQL cannot store, such as a zero byte in a text, the same command with \
         --batch-rows 1 finds it"
    )]
    NotTaken {
        /// Which table.
        table: &'static str,
        /// The first row's key, as SQLite writes it.
        first: String,
        /// The last row's.
        last: String,
        /// What PostgreSQL says.
        #[source]
        cause: DbError,
    },
    /// A row holds bytes that are no text.
    #[error("the row of {table} with the key {key} holds a text that is not UTF-8")]
    NotText {
        /// Which table.
        table: &'static str,
        /// The row's key, as SQLite writes it.
        key: String,
    },
    /// A table that cannot be read.
    #[error("the table {0} cannot be read as it is stored")]
    Unreadable(&'static str),
    /// Both sides differ.
    #[error(
        "the copy of {table} differs from its source ({source_rows} rows there, {target_rows} \
         here), so it is incomplete. Drop the target, create it again and start over"
    )]
    Differs {
        /// Which table.
        table: &'static str,
        /// Rows in SQLite.
        source_rows: u64,
        /// Rows in PostgreSQL.
        target_rows: u64,
    },
}

impl From<diesel::result::Error> for CopyError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

/// The database that is copied, for this process alone and unchanged until it goes.
pub struct CopySource {
    conn: AnyConnection,
    /// Holds up commands that would write.
    _writer: AnyConnection,
    _lock: File,
    /// By which it is known again.
    identity: String,
    /// By which a change is noticed.
    stamp: String,
    migrations: Vec<String>,
    oldest_generation: i64,
}

#[derive(QueryableByName)]
struct WordRow {
    #[diesel(sql_type = Text)]
    word: String,
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
}

#[derive(QueryableByName)]
struct PlacedLine {
    #[diesel(sql_type = Text)]
    place: String,
    /// As bytes: diesel would mend a text that is not UTF-8.
    #[diesel(sql_type = Binary)]
    line: Vec<u8>,
}

/// Rows that are copied at once, as a JSON array.
struct RowBatch {
    lines: String,
    /// The first one's place.
    first: String,
}

impl CopySource {
    /// Opens a file; `connect` makes connections to it.
    ///
    /// # Errors
    /// [`CopyError::InUse`] while a server has it, [`DbError::Outdated`] and
    /// [`CopyError::NewerSource`] if its schema is not this program's.
    pub fn open(
        path: &Path,
        connect: impl Fn() -> Result<AnyConnection, DbError>,
    ) -> Result<Self, CopyError> {
        std::fs::metadata(path).map_err(CopyError::File)?;
        let lock = file::lock_alone(path).map_err(|error| match error {
            TryLockError::WouldBlock => CopyError::InUse,
            TryLockError::Error(error) => CopyError::Lock(error),
        })?;
        let (mut conn, mut writer) = (connect()?, connect()?);
        refuse_newer(&mut conn)?;
        // What was written so far is then in the file itself, whose time says whether anything came
        // after.
        conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")?;
        writer.batch_execute("BEGIN IMMEDIATE")?;
        let oldest_generation = schema_compatibility::table
            .select(schema_compatibility::oldest_generation)
            .first(&mut conn)?;
        let (identity, migrations) = (identity(&mut conn)?, target::migrations(&mut conn)?);
        let stamp = stamp(path).map_err(CopyError::File)?;
        Ok(Self {
            conn,
            _writer: writer,
            _lock: lock,
            identity,
            stamp,
            migrations,
            oldest_generation,
        })
    }

    /// The source's own connection, to read from.
    pub const fn conn(&mut self) -> &mut AnyConnection {
        &mut self.conn
    }
}

/// An older program may serve a schema that only has more, but would leave behind what it does not
/// know.
fn refuse_newer(conn: &mut AnyConnection) -> Result<(), CopyError> {
    let newer = migrate::newer(conn)?;
    if newer.is_empty() {
        return Ok(());
    }
    let by: Option<String> =
        schema_compatibility::table.select(schema_compatibility::migrated_by).first(conn)?;
    let by = by.unwrap_or_else(|| "unknown".to_owned());
    Err(CopyError::NewerSource { by, migrations: newer.join(", ") })
}

fn sqlite(conn: &mut AnyConnection) -> Result<&mut SqliteConnection, CopyError> {
    match conn {
        AnyConnection::Sqlite(conn) => Ok(conn),
        AnyConnection::Postgres(_) => Err(CopyError::NotSqlite),
    }
}

/// When its migrations were run, and what its secret is known by: no two databases share both.
fn identity(conn: &mut AnyConnection) -> Result<String, CopyError> {
    let sql = "SELECT version || ' ' || run_on AS word FROM __diesel_schema_migrations
               UNION ALL SELECT name || ' ' || hex(value) FROM secret_checks ORDER BY word";
    let words: Vec<WordRow> = diesel::sql_query(sql).load(conn)?;
    let mut hash = Sha256::new();
    for word in words {
        hash.update(word.word.as_bytes());
        hash.update(b"\n");
    }
    Ok(to_hex(&hash.finalize()))
}

fn stamp(path: &Path) -> std::io::Result<String> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata(path)?;
    Ok(format!("{} {}.{:09}", file.len(), file.mtime(), file.mtime_nsec()))
}

/// Copies what is not copied yet. `tell` is told how far it is.
///
/// # Errors
/// [`CopyError`]; the same again goes on from where it was.
pub fn copy(
    source: &mut CopySource,
    target: &mut AnyConnection,
    batch_rows: usize,
    tell: &mut dyn FnMut(&str),
) -> Result<(), CopyError> {
    if target::prepare(target, source)? {
        tell("going on with an unfinished copy");
    }
    let (from, into) = (sqlite(&mut source.conn)?, postgres(target)?);
    for name in TABLES {
        copy_table(name, from, into, (batch_rows, &mut *tell))?;
    }
    go_on_counting(from, into)
}

fn copy_table(
    name: &'static str,
    from: &mut SqliteConnection,
    into: &mut PgConnection,
    (batch_rows, tell): (usize, &mut dyn FnMut(&str)),
) -> Result<(), CopyError> {
    let mut place = target::place(into, name)?;
    if place.is_whole {
        return Ok(());
    }
    let layout = TableLayout::of(name, from)?;
    let sql = format!("SELECT count(*) AS number FROM {name}");
    let all = diesel::sql_query(sql).get_result::<NumberRow>(from)?.number.unwrap_or(0);
    tell(&format!("{name}: {} of {all} rows", place.copied));
    let mut told = Instant::now();
    let insert = layout.insert();
    while !place.is_whole {
        let (batch, next) = read_batch(&layout, from, place, batch_rows)?;
        place = next;
        into.transaction(|conn| {
            if let Some(RowBatch { lines, first }) = batch {
                let inserted = diesel::sql_query(&insert).bind::<Text, _>(lines).execute(conn);
                inserted.map_err(|error| CopyError::NotTaken {
                    table: name,
                    first,
                    last: place.behind.clone().unwrap_or_default(),
                    cause: error.into(),
                })?;
            }
            Ok::<_, CopyError>(target::note(conn, name, &place)?)
        })?;
        if told.elapsed() >= TOLD_EVERY {
            tell(&format!("{name}: {} of {all} rows", place.copied));
            told = Instant::now();
        }
    }
    Ok(())
}

/// The next rows, if there are any, and the place behind them.
fn read_batch(
    layout: &TableLayout,
    from: &mut SqliteConnection,
    before: CopyProgress,
    batch_rows: usize,
) -> Result<(Option<RowBatch>, CopyProgress), CopyError> {
    let sql = layout.read_sqlite(before.behind.as_deref(), batch_rows);
    let (mut lines, mut rows) = (String::new(), 0_i64);
    let (mut first, mut behind) = (None, before.behind);
    let mut is_full = false;
    for line in diesel::sql_query(sql).load_iter::<PlacedLine, _>(from)? {
        let PlacedLine { place, line } = line?;
        let Ok(line) = str::from_utf8(&line) else {
            return Err(CopyError::NotText { table: layout.name, key: place });
        };
        lines.push(if rows == 0 { '[' } else { ',' });
        lines.push_str(line);
        rows = rows.saturating_add(1);
        first.get_or_insert_with(|| place.clone());
        behind = Some(place);
        if lines.len() >= BATCH_BYTES {
            is_full = true;
            break;
        }
    }
    let is_whole = !is_full && usize::try_from(rows).is_ok_and(|rows| rows < batch_rows);
    let batch = first.map(|first| RowBatch { lines: lines + "]", first });
    Ok((batch, CopyProgress { behind, copied: before.copied.saturating_add(rows), is_whole }))
}

/// Ids are not given out twice, nor are those of rows that are gone.
fn go_on_counting(from: &mut SqliteConnection, into: &mut PgConnection) -> Result<(), CopyError> {
    let sql = "SELECT table_name::text AS word FROM information_schema.columns
               WHERE table_schema = current_schema() AND column_name = 'id' AND is_identity =
               'YES'";
    let counted: Vec<WordRow> = diesel::sql_query(sql).load(into)?;
    for WordRow { word: table } in counted {
        let last = "SELECT seq AS number FROM sqlite_sequence WHERE name = ?";
        let last: Option<NumberRow> =
            diesel::sql_query(last).bind::<Text, _>(&table).get_result(from).optional()?;
        if let Some(last) = last.and_then(|last| last.number).filter(|last| *last > 0) {
            let sql = format!("SELECT setval(pg_get_serial_sequence('{table}', 'id'), {last})");
            into.batch_execute(&sql)?;
        }
    }
    Ok(())
}

/// Compares every row of both sides, table by table.
///
/// # Errors
/// [`CopyError::Differs`].
pub fn compare(
    source: &mut CopySource,
    target: &mut AnyConnection,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<(&'static str, TableTally)>, CopyError> {
    let (from, into) = (sqlite(&mut source.conn)?, postgres(target)?);
    let mut tallies = Vec::new();
    for table in TABLES {
        tell(&format!("{table}: comparing"));
        let layout = TableLayout::of(table, from)?;
        let (there, here) =
            (TableTally::of_sqlite(&layout, from)?, TableTally::of_postgres(&layout, into)?);
        if there != here {
            let (source_rows, target_rows) = (there.rows, here.rows);
            return Err(CopyError::Differs { table, source_rows, target_rows });
        }
        tallies.push((table, here));
    }
    Ok(tallies)
}

/// Makes the copy one that can be served.
///
/// # Errors
/// [`CopyError::Db`].
pub fn finish(source: &CopySource, target: &mut AnyConnection) -> Result<(), CopyError> {
    target::finish(postgres(target)?, source)
}

impl From<ConnectError> for CopyError {
    fn from(error: ConnectError) -> Self {
        Self::Db(error.into())
    }
}
