//! The rows of the books: balances, reservations, usage rows and entries, read and written for a
//! whole group of commands at once.
//!
//! PostgreSQL pays for each round trip, so there all that a group reads is one statement, and all
//! that it usually writes another. SQLite pays for parsing, so there it is one cached statement for
//! each row. `postgres` and `sqlite` are the only places where the two differ.

mod balances;
pub mod keys;
mod memory;
mod passes;
mod postgres;
mod rows;
mod sqlite;

use diesel::dsl::{delete, insert_into, update};
use diesel::prelude::*;

use super::AnyConnection;
use super::schema::{ledger_entries, reservations, usage_logs};
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::Outcome;

pub(crate) use balances::lock;
pub use balances::{BalanceChange, BalanceRow, Busy};
use keys::{KeyBookRow, KeySpent, SeenKey};
pub use memory::BalanceCache;
pub use passes::PassRow;
pub(crate) use passes::{delete_passes, insert_passes, passes_of};
pub use rows::{EntryRow, ReservationRow, UsageRow};

/// What one command has to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandNeeds<'a> {
    /// Whose books.
    pub(crate) account_id: AccountId,
    /// The key, where the command names it.
    pub(crate) key_id: Option<ApiKeyId>,
    /// The exchange: its reservation, or what it was settled at.
    pub(crate) exchange_id: Option<&'a str>,
    /// Whether the key is wanted that the exchange's reservation names.
    pub(crate) is_key_of_exchange: bool,
    /// Whether it wants more held, which counts against a budget.
    pub(crate) is_hold: bool,
    /// Whether its exchange begins with it. Where the answer to an earlier try was lost, nothing is
    /// remembered any more.
    pub(crate) is_new: bool,
}

/// What was found for a group, each row once.
#[derive(Clone, Default)]
pub(crate) struct GroupRows {
    pub(crate) balances: Vec<BalanceRow>,
    pub(crate) reservations: Vec<ReservationRow>,
    pub(crate) keys: Vec<KeyBookRow>,
    /// What the open reservations of a key with a budget may cost at most.
    pub(crate) held: Vec<(ApiKeyId, NanoUsd)>,
    /// Exchanges that are settled, as (id, cost, ending).
    pub(crate) usage: Vec<(String, NanoUsd, Outcome)>,
}

/// What a group usually writes.
pub(crate) struct Changes<'a> {
    /// Of each account of which anything changes.
    pub(crate) balances: Vec<BalanceChange>,
    pub(crate) opened: Vec<&'a ReservationRow>,
    /// Their amounts and records are written anew.
    pub(crate) changed: Vec<&'a ReservationRow>,
    pub(crate) closed: Vec<&'a ReservationRow>,
    pub(crate) usage: &'a [UsageRow],
    pub(crate) entries: &'a [EntryRow],
    pub(crate) keys: Vec<KeySpent>,
    /// Keys that have to be as they were read.
    pub(crate) seen: Vec<SeenKey>,
}

/// Makes a connection ready for the books alone. Everything here is looked up by its key; a plan
/// that was made while tables were small must not read them whole once they have grown.
pub(crate) fn prepare(conn: &mut AnyConnection) -> QueryResult<()> {
    match conn {
        AnyConnection::Postgres(conn) => postgres::prepare(conn),
        AnyConnection::Sqlite(_) => Ok(()),
    }
}

/// Reads what a group's commands have to know, as of one moment.
pub(crate) fn read(conn: &mut AnyConnection, wants: &[CommandNeeds<'_>]) -> QueryResult<GroupRows> {
    match conn {
        AnyConnection::Postgres(conn) => postgres::read(conn, wants),
        AnyConnection::Sqlite(conn) => sqlite::read(conn, wants),
    }
}

/// Within a transaction that holds the accounts of some commands, forgets what may have changed
/// since it was remembered. Says whether what the transaction reads and writes may be remembered
/// behind it.
pub(crate) fn keep_up(
    conn: &mut AnyConnection,
    memory: &mut BalanceCache,
    wants: &[CommandNeeds<'_>],
) -> QueryResult<bool> {
    match conn {
        AnyConnection::Postgres(_) => {
            memory.forget(wants.iter().map(|want| want.account_id));
            Ok(false)
        }
        AnyConnection::Sqlite(conn) => sqlite::keep_up(conn, memory, wants).map(|()| true),
    }
}

/// Writes what a group changes, account by account: of one that is not as it was read, it or a key
/// of it, or that another transaction holds, nothing. Gives those that were written, with their
/// versions.
pub(crate) fn write(
    conn: &mut AnyConnection,
    changes: &Changes<'_>,
) -> QueryResult<Vec<(AccountId, i64)>> {
    if changes.balances.is_empty() {
        return Ok(Vec::new());
    }
    match conn {
        AnyConnection::Postgres(conn) => postgres::write(conn, changes),
        AnyConnection::Sqlite(conn) => sqlite::write(conn, changes),
    }
}

/// An open reservation.
pub(crate) fn open_reservation(
    conn: &mut AnyConnection,
    id: &str,
) -> QueryResult<Option<ReservationRow>> {
    reservations::table.find(id).select(ReservationRow::as_select()).first(conn).optional()
}

/// Whether an entry of that kind and reference exists.
pub(crate) fn entry_exists(
    conn: &mut AnyConnection,
    kind: EntryKind,
    reference: &str,
) -> QueryResult<bool> {
    let count: i64 = ledger_entries::table
        .filter(ledger_entries::kind.eq(kind).and(ledger_entries::reference.eq(reference)))
        .count()
        .get_result(conn)?;
    Ok(count > 0)
}

/// The entries that carry one of these references, oldest first; those of usage and of what was
/// carried forward are not looked through, which are nearly all.
pub fn entries_of(conn: &mut AnyConnection, references: &[String]) -> QueryResult<Vec<EntryRow>> {
    let kinds = [EntryKind::Deposit, EntryKind::Adjustment, EntryKind::Refund, EntryKind::Reversal];
    ledger_entries::table
        .filter(ledger_entries::kind.eq_any(kinds))
        .filter(ledger_entries::reference.eq_any(references))
        .order(ledger_entries::id)
        .select(EntryRow::as_select())
        .load(conn)
}

/// Replaces a recovered usage row by the post that came late.
pub(crate) fn replace_usage(conn: &mut AnyConnection, row: &UsageRow) -> QueryResult<()> {
    update(usage_logs::table.find(&row.id)).set(row).execute(conn)?;
    Ok(())
}

/// Sets the usage entry of a recovered exchange to its late post. What costs nothing has none.
pub(crate) fn replace_usage_entry(conn: &mut AnyConnection, row: &EntryRow) -> QueryResult<()> {
    let entry = ledger_entries::table.filter(
        ledger_entries::kind.eq(EntryKind::Usage).and(ledger_entries::reference.eq(&row.reference)),
    );
    if row.amount_nanousd == NanoUsd::ZERO {
        delete(entry).execute(conn)?;
        return Ok(());
    }
    let amount = ledger_entries::amount_nanousd.eq(row.amount_nanousd);
    if update(entry).set(amount).execute(conn)? == 0 {
        insert_into(ledger_entries::table).values(row).execute(conn)?;
    }
    Ok(())
}

/// Removes the usage rows and entries of exchanges that are open again.
pub(crate) fn forget_usage(conn: &mut AnyConnection, ids: &[String]) -> QueryResult<()> {
    for id in ids {
        delete_passes(conn, id)?;
        delete(usage_logs::table.find(id)).execute(conn)?;
        let entry = ledger_entries::table.filter(
            ledger_entries::kind.eq(EntryKind::Usage).and(ledger_entries::reference.eq(id)),
        );
        delete(entry).execute(conn)?;
    }
    Ok(())
}
