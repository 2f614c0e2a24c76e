//! The rows of the books: balances, reservations, usage rows and entries, read and written for a
//! whole group of commands at once.
//!
//! PostgreSQL pays for each round trip, so there a group is a constant number of set-based
//! statements. SQLite pays for parsing, so there it is one cached statement for each row. This
//! file is the only place where the two differ.

mod balances;
pub mod keys;
mod passes;

use diesel::dsl::{delete, insert_into, update};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};

use super::AnyConnection;
use super::schema::{ledger_entries, reservations, usage_logs};
use crate::domain::usage_record::UsageRecord;

pub use balances::{BalanceChange, BalanceRow, Busy};
pub(crate) use balances::{change_balances, existing_accounts, lock_balances};
pub use passes::PassRow;
pub(crate) use passes::{delete_passes, insert_passes, passes_of};

/// An open reservation.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = reservations)]
pub struct ReservationRow {
    /// The exchange's name.
    pub id: String,
    /// Whose money is held.
    pub account_id: i64,
    /// Which key asked.
    pub api_key_id: i64,
    /// The node that runs the exchange.
    pub node_id: String,
    /// How much is held.
    pub amount_nanousd: i64,
    /// The usage row to write if the node dies, as JSON of counts and names.
    pub record: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// What it may cost beyond what is held.
    pub risk_nanousd: i64,
}

/// A ledger entry.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = ledger_entries)]
pub struct EntryRow {
    /// Whose books.
    pub account_id: i64,
    /// One of the entry kinds.
    pub kind: String,
    /// Unique within its kind.
    pub reference: String,
    /// Signed nano-dollars; a charge is negative.
    pub amount_nanousd: i64,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// A usage row as the table holds it.
#[derive(Clone, Debug, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = usage_logs, treat_none_as_null = true)]
#[expect(missing_docs, reason = "each field is documented on `UsageRecord`")]
pub struct UsageRow {
    pub id: String,
    pub account_id: i64,
    pub api_key_id: i64,
    pub created_at: i64,
    pub endpoint: String,
    pub requested_model: String,
    pub served_model: Option<String>,
    pub upstream: Option<String>,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cache_write_5m_tokens: i64,
    pub cache_write_1h_tokens: i64,
    pub cache_read_tokens: i64,
    pub web_searches: i64,
    pub service_tier: Option<String>,
    pub inference_geo: Option<String>,
    pub speed: Option<String>,
    pub price_version: String,
    pub cost_nanousd: i64,
    pub first_byte_ms: Option<i64>,
    pub latency_ms: i64,
    pub http_status: i32,
    pub ending: String,
    pub is_estimated: bool,
}

impl From<&UsageRecord> for UsageRow {
    fn from(record: &UsageRecord) -> Self {
        Self {
            id: record.id.as_str().to_owned(),
            account_id: record.account_id.0,
            api_key_id: record.api_key_id.0,
            created_at: record.created_at.as_millis(),
            endpoint: record.endpoint.as_str().to_owned(),
            requested_model: record.requested_model.clone(),
            served_model: record.served_model.clone(),
            upstream: record.upstream.clone(),
            input_tokens: record.input_tokens,
            output_tokens: record.output_tokens,
            cache_write_5m_tokens: record.cache_write_5m_tokens,
            cache_write_1h_tokens: record.cache_write_1h_tokens,
            cache_read_tokens: record.cache_read_tokens,
            web_searches: record.web_searches,
            service_tier: record.service_tier.clone(),
            inference_geo: record.inference_geo.clone(),
            speed: record.speed.clone(),
            price_version: record.price_version.clone(),
            cost_nanousd: record.cost.as_nanos(),
            first_byte_ms: record.first_byte_ms,
            latency_ms: record.latency_ms,
            http_status: record.http_status,
            ending: record.ending.as_str().to_owned(),
            is_estimated: record.is_estimated,
        }
    }
}

/// The reservations among `ids` that are open.
pub(crate) fn open_reservations(
    conn: &mut AnyConnection,
    ids: &[String],
) -> QueryResult<Vec<ReservationRow>> {
    let columns = ReservationRow::as_select;
    match conn {
        AnyConnection::Postgres(conn) => {
            reservations::table.filter(reservations::id.eq_any(ids)).select(columns()).load(conn)
        }
        AnyConnection::Sqlite(conn) => load_each(ids, |id| {
            reservations::table.find(id).select(ReservationRow::as_select()).first(conn).optional()
        }),
    }
}

/// The usage rows among `ids` that exist, as (id, cost, ending).
pub(crate) fn settled_usage(
    conn: &mut AnyConnection,
    ids: &[String],
) -> QueryResult<Vec<(String, i64, String)>> {
    let columns = (usage_logs::id, usage_logs::cost_nanousd, usage_logs::ending);
    match conn {
        AnyConnection::Postgres(conn) => {
            usage_logs::table.filter(usage_logs::id.eq_any(ids)).select(columns).load(conn)
        }
        AnyConnection::Sqlite(conn) => {
            load_each(ids, |id| usage_logs::table.find(id).select(columns).first(conn).optional())
        }
    }
}

/// Whether an entry of that kind and reference exists.
pub(crate) fn entry_exists(
    conn: &mut AnyConnection,
    kind: &str,
    reference: &str,
) -> QueryResult<bool> {
    let count: i64 = ledger_entries::table
        .filter(ledger_entries::kind.eq(kind).and(ledger_entries::reference.eq(reference)))
        .count()
        .get_result(conn)?;
    Ok(count > 0)
}

/// The entries that carry one of these references, oldest first; those of usage and of what was carried forward are not
/// looked through, which are nearly all.
///
/// # Errors
/// The database's.
pub fn entries_of(conn: &mut AnyConnection, references: &[String]) -> QueryResult<Vec<EntryRow>> {
    ledger_entries::table
        .filter(ledger_entries::kind.eq_any(["deposit", "adjustment", "refund", "reversal"]))
        .filter(ledger_entries::reference.eq_any(references))
        .order(ledger_entries::id)
        .select(EntryRow::as_select())
        .load(conn)
}

/// Stores new reservations.
pub(crate) fn insert_reservations(
    conn: &mut AnyConnection,
    rows: &[&ReservationRow],
) -> QueryResult<()> {
    match conn {
        AnyConnection::Postgres(conn) if !rows.is_empty() => {
            insert_into(reservations::table).values(rows.to_vec()).execute(conn)?;
        }
        AnyConnection::Postgres(_) => {}
        AnyConnection::Sqlite(conn) => {
            for row in rows {
                insert_into(reservations::table).values(*row).execute(conn)?;
            }
        }
    }
    Ok(())
}

/// Writes the amounts and records of open reservations anew.
pub(crate) fn update_reservations(
    conn: &mut AnyConnection,
    rows: &[&ReservationRow],
) -> QueryResult<()> {
    match conn {
        AnyConnection::Postgres(conn) if !rows.is_empty() => {
            let texts = |of: fn(&ReservationRow) -> &str| {
                rows.iter().map(|row| of(row).to_owned()).collect::<Vec<_>>()
            };
            let numbers =
                |of: fn(&ReservationRow) -> i64| rows.iter().map(|row| of(row)).collect::<Vec<_>>();
            diesel::sql_query(
                "UPDATE reservations
                 SET amount_nanousd = change.amount, record = change.record,
                     risk_nanousd = change.risk
                 FROM unnest($1, $2, $3, $4) AS change (id, amount, record, risk)
                 WHERE reservations.id = change.id",
            )
            .bind::<Array<Text>, _>(texts(|row| &row.id))
            .bind::<Array<BigInt>, _>(numbers(|row| row.amount_nanousd))
            .bind::<Array<Text>, _>(texts(|row| &row.record))
            .bind::<Array<BigInt>, _>(numbers(|row| row.risk_nanousd))
            .execute(conn)?;
        }
        AnyConnection::Postgres(_) => {}
        AnyConnection::Sqlite(conn) => {
            for row in rows {
                update(reservations::table.find(&row.id))
                    .set((
                        reservations::amount_nanousd.eq(row.amount_nanousd),
                        reservations::record.eq(&row.record),
                        reservations::risk_nanousd.eq(row.risk_nanousd),
                    ))
                    .execute(conn)?;
            }
        }
    }
    Ok(())
}

/// Closes reservations.
pub(crate) fn delete_reservations(conn: &mut AnyConnection, ids: &[&str]) -> QueryResult<()> {
    match conn {
        AnyConnection::Postgres(conn) if !ids.is_empty() => {
            delete(reservations::table.filter(reservations::id.eq_any(ids))).execute(conn)?;
        }
        AnyConnection::Postgres(_) => {}
        AnyConnection::Sqlite(conn) => {
            for id in ids {
                delete(reservations::table.find(id)).execute(conn)?;
            }
        }
    }
    Ok(())
}

/// Stores new usage rows.
pub(crate) fn insert_usage(conn: &mut AnyConnection, rows: &[UsageRow]) -> QueryResult<()> {
    match conn {
        AnyConnection::Postgres(conn) if !rows.is_empty() => {
            insert_into(usage_logs::table).values(rows).execute(conn)?;
        }
        AnyConnection::Postgres(_) => {}
        AnyConnection::Sqlite(conn) => {
            for row in rows {
                insert_into(usage_logs::table).values(row).execute(conn)?;
            }
        }
    }
    Ok(())
}

/// Replaces a recovered usage row by the post that came late.
pub(crate) fn replace_usage(conn: &mut AnyConnection, row: &UsageRow) -> QueryResult<()> {
    update(usage_logs::table.find(&row.id)).set(row).execute(conn)?;
    Ok(())
}

/// Appends entries.
pub(crate) fn insert_entries(conn: &mut AnyConnection, rows: &[EntryRow]) -> QueryResult<()> {
    match conn {
        AnyConnection::Postgres(conn) if !rows.is_empty() => {
            insert_into(ledger_entries::table).values(rows).execute(conn)?;
        }
        AnyConnection::Postgres(_) => {}
        AnyConnection::Sqlite(conn) => {
            for row in rows {
                insert_into(ledger_entries::table).values(row).execute(conn)?;
            }
        }
    }
    Ok(())
}

/// Sets the usage entry of a recovered exchange to its late post. What costs nothing has none.
pub(crate) fn replace_usage_entry(conn: &mut AnyConnection, row: &EntryRow) -> QueryResult<()> {
    let entry = ledger_entries::table
        .filter(ledger_entries::kind.eq("usage").and(ledger_entries::reference.eq(&row.reference)));
    if row.amount_nanousd == 0 {
        delete(entry).execute(conn)?;
        return Ok(());
    }
    let amount = ledger_entries::amount_nanousd.eq(row.amount_nanousd);
    if update(entry).set(amount).execute(conn)? == 0 {
        insert_entries(conn, std::slice::from_ref(row))?;
    }
    Ok(())
}

/// Removes the usage rows and entries of exchanges that are open again.
pub(crate) fn forget_usage(conn: &mut AnyConnection, ids: &[String]) -> QueryResult<()> {
    for id in ids {
        delete_passes(conn, id)?;
        delete(usage_logs::table.find(id)).execute(conn)?;
        let entry = ledger_entries::table
            .filter(ledger_entries::kind.eq("usage").and(ledger_entries::reference.eq(id)));
        delete(entry).execute(conn)?;
    }
    Ok(())
}

/// One cached lookup for each id.
fn load_each<Id, Row>(
    ids: &[Id],
    mut find: impl FnMut(&Id) -> QueryResult<Option<Row>>,
) -> QueryResult<Vec<Row>> {
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        rows.extend(find(id)?);
    }
    Ok(rows)
}
