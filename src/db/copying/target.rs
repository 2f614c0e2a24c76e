//! The database that is copied into: whether it may be, how far it is, and its end.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};

use super::tables::{LEFT_OUT, TABLES};
use super::{CopyError, CopySource};
use crate::db::{AnyConnection, compatibility, migrate};

/// Keeps two from copying into one database.
const TRY_LOCK: &str = "SELECT pg_try_advisory_lock(7361756963653) AS yes";
/// Who has it.
const HOLDER: &str = "SELECT pid FROM pg_locks
     WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) | objid::bigint =
     7361756963653
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
/// A copy that was killed leaves its connection to the server for a moment.
const TRIES: u32 = 20;

/// How far a table is.
#[derive(Debug, Default)]
pub(super) struct CopyProgress {
    /// The last row's, as the source's literals.
    pub(super) behind: Option<String>,
    pub(super) copied: i64,
    pub(super) is_whole: bool,
}

#[derive(QueryableByName)]
struct Yes {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

#[derive(QueryableByName)]
struct Comment {
    #[diesel(sql_type = Nullable<Text>)]
    comment: Option<String>,
}

#[derive(QueryableByName)]
struct LockHolder {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct PlaceRow {
    #[diesel(sql_type = Nullable<Text>)]
    place: Option<String>,
    #[diesel(sql_type = BigInt)]
    copied: i64,
    #[diesel(sql_type = Bool)]
    is_whole: bool,
}

#[derive(QueryableByName)]
struct SourceRow {
    #[diesel(sql_type = Text)]
    identity: String,
    #[diesel(sql_type = Text)]
    stamp: String,
}

/// Has the database for this copy alone, and makes it ready: an empty one gets its schema, and an
/// unfinished copy of the same source is gone on with. Whether it is one.
pub(super) fn prepare(target: &mut AnyConnection, source: &CopySource) -> Result<bool, CopyError> {
    let conn = postgres(target)?;
    lock(conn)?;
    conn.batch_execute("SET bytea_output = 'hex'; SET synchronous_commit = off")?;
    let found = tables(conn)?;
    if !found.iter().any(|name| name == "sluice_copy") {
        let is_empty = refuse_unless_empty(conn, &found);
        if is_empty.is_err() {
            refuse_if_whole(conn, source)?;
        }
        is_empty?;
        migrate::run_pending(target)?;
        let others = migrations(target)?;
        if let Some(one) = difference(&others, &source.migrations) {
            return Err(CopyError::OtherSchema(one));
        }
        begin(postgres(target)?, source)?;
        return Ok(false);
    }
    let sql = "SELECT identity, stamp FROM sluice_copy_source";
    let known: SourceRow = diesel::sql_query(sql).get_result(conn)?;
    if known.identity != source.identity {
        return Err(CopyError::OtherCopy);
    }
    if migrations(target)? != source.migrations {
        return Err(CopyError::OtherVersion);
    }
    if known.stamp != source.stamp {
        return Err(CopyError::SourceChanged);
    }
    Ok(true)
}

pub(super) fn postgres(target: &mut AnyConnection) -> Result<&mut PgConnection, CopyError> {
    match target {
        AnyConnection::Postgres(conn) => Ok(conn),
        AnyConnection::Sqlite(_) => Err(CopyError::NotPostgres),
    }
}

fn lock(conn: &mut PgConnection) -> Result<(), CopyError> {
    let mut tries = 1_u32;
    loop {
        if diesel::sql_query(TRY_LOCK).get_result::<Yes>(conn)?.yes {
            return Ok(());
        }
        let holder: Option<LockHolder> = diesel::sql_query(HOLDER).get_result(conn).optional()?;
        if let Some(LockHolder { pid }) = holder.filter(|_| tries >= TRIES) {
            return Err(CopyError::Busy(pid));
        }
        conn.batch_execute("SELECT pg_sleep(0.5)")?;
        tries = tries.saturating_add(1);
    }
}

/// Without those of extensions, which a managed service may put into every database.
fn tables(conn: &mut PgConnection) -> Result<Vec<String>, CopyError> {
    let sql = "SELECT c.relname::text AS name FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
               WHERE c.relkind IN ('r', 'p') AND NOT EXISTS (
                   SELECT 1 FROM pg_depend d
                   WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
               ORDER BY c.relname";
    let rows: Vec<NameRow> = diesel::sql_query(sql).load(conn)?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// The versions of the migrations that were run, oldest first.
pub(super) fn migrations(conn: &mut AnyConnection) -> Result<Vec<String>, CopyError> {
    let sql = "SELECT version AS name FROM __diesel_schema_migrations ORDER BY version";
    let rows: Vec<NameRow> = diesel::sql_query(sql).load(conn)?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// A migration that one side has and the other lacks.
fn difference(one: &[String], other: &[String]) -> Option<String> {
    let alone = |all: &[String], others: &[String]| {
        all.iter().find(|version| !others.contains(version)).cloned()
    };
    alone(one, other).or_else(|| alone(other, one))
}

fn refuse_unless_empty(conn: &mut PgConnection, found: &[String]) -> Result<(), CopyError> {
    let is_ours = |name: &str| {
        TABLES.contains(&name)
            || LEFT_OUT.iter().any(|(left_out, _)| *left_out == name)
            || name == "__diesel_schema_migrations"
    };
    for name in found {
        if !is_ours(name) {
            return Err(CopyError::NotOurs(name.clone()));
        }
        if TABLES.contains(&name.as_str()) || name == "nodes" {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {name}) AS yes");
            if diesel::sql_query(sql).get_result::<Yes>(conn)?.yes {
                return Err(CopyError::NotEmpty(name.clone()));
            }
        }
    }
    Ok(())
}

/// A copy is known by the comment that its end leaves.
fn refuse_if_whole(conn: &mut PgConnection, source: &CopySource) -> Result<(), CopyError> {
    let sql = "SELECT obj_description(to_regclass('schema_compatibility'), 'pg_class') AS comment";
    let found: Comment = diesel::sql_query(sql).get_result(conn)?;
    let Some(comment) = found.comment else { return Ok(()) };
    if comment == mark(source) {
        return Err(CopyError::Whole);
    }
    let is_of_it = comment.contains(&source.identity);
    if is_of_it { Err(CopyError::WholeOfBefore) } else { Ok(()) }
}

/// Digits and letters, which need no quoting.
fn mark(source: &CopySource) -> String {
    format!("copy of {} {}", source.identity, source.stamp)
}

/// From here on nobody serves from the database until the copy is whole.
fn begin(conn: &mut PgConnection, source: &CopySource) -> Result<(), CopyError> {
    conn.transaction(|conn| {
        conn.batch_execute(
            "CREATE TABLE sluice_copy (table_name TEXT PRIMARY KEY, place TEXT, copied BIGINT NOT
                NULL,
                 is_whole BOOLEAN NOT NULL);
             CREATE TABLE sluice_copy_source (identity TEXT NOT NULL, stamp TEXT NOT NULL);",
        )?;
        diesel::sql_query("INSERT INTO sluice_copy_source (identity, stamp) VALUES ($1, $2)")
            .bind::<Text, _>(&source.identity)
            .bind::<Text, _>(&source.stamp)
            .execute(conn)?;
        diesel::sql_query("UPDATE schema_compatibility SET oldest_generation = $1")
            .bind::<BigInt, _>(compatibility::UNFINISHED)
            .execute(conn)?;
        Ok(())
    })
}

/// How far a table is.
pub(super) fn place(conn: &mut PgConnection, table: &str) -> Result<CopyProgress, CopyError> {
    let sql = "SELECT place, copied, is_whole FROM sluice_copy WHERE table_name = $1";
    let row: Option<PlaceRow> =
        diesel::sql_query(sql).bind::<Text, _>(table).get_result(conn).optional()?;
    Ok(row.map_or_else(CopyProgress::default, |row| CopyProgress {
        behind: row.place,
        copied: row.copied,
        is_whole: row.is_whole,
    }))
}

/// Notes how far a table is, in the transaction that brought it there.
pub(super) fn note(conn: &mut PgConnection, table: &str, place: &CopyProgress) -> QueryResult<()> {
    diesel::sql_query(
        "INSERT INTO sluice_copy (table_name, place, copied, is_whole) VALUES ($1, $2, $3, $4)
         ON CONFLICT (table_name) DO UPDATE
         SET place = excluded.place, copied = excluded.copied, is_whole = excluded.is_whole",
    )
    .bind::<Text, _>(table)
    .bind::<Nullable<Text>, _>(&place.behind)
    .bind::<BigInt, _>(place.copied)
    .bind::<Bool, _>(place.is_whole)
    .execute(conn)?;
    Ok(())
}

/// From here on it can be served, by the programs that the source's schema is for. A comment tells
/// of which source it is.
pub(super) fn finish(conn: &mut PgConnection, source: &CopySource) -> Result<(), CopyError> {
    for table in TABLES {
        conn.batch_execute(&format!("ANALYZE {table}"))?;
    }
    conn.batch_execute("SET synchronous_commit = on")?;
    conn.transaction(|conn| {
        diesel::sql_query("UPDATE schema_compatibility SET oldest_generation = $1")
            .bind::<BigInt, _>(source.oldest_generation)
            .execute(conn)?;
        conn.batch_execute(&format!(
            "COMMENT ON TABLE schema_compatibility IS '{}';
             DROP TABLE sluice_copy; DROP TABLE sluice_copy_source",
            mark(source)
        ))
    })?;
    Ok(())
}
