//! The books in an `SQLite` file: one cached statement for each row, within a write transaction
//! that has the whole file.

mod fixed;

use std::collections::BTreeSet;

use diesel::dsl::{AsExprOf, delete, insert_into};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::keys::{KeyBookRow, SpendingColumns};
use super::{BalanceCache, BalanceRow, Changes, CommandNeeds, GroupRows, ReservationRow};
use crate::db::schema::{accounts, api_keys, ledger_entries, reservations, usage_logs};
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::Outcome;
use fixed::{ChangeBalance, ChangeKey, ChangeReservation, DataVersion, HasBegun};

/// See [`super::keep_up`].
pub(super) fn keep_up(
    conn: &mut SqliteConnection,
    memory: &mut BalanceCache,
    wants: &[CommandNeeds<'_>],
) -> QueryResult<()> {
    memory.keep_up(DataVersion.get_result(conn)?);
    // Of exchanges that are to begin, not all that have begun are remembered.
    for want in wants.iter().filter(|want| want.is_new) {
        if let Some(id) = want.exchange_id
            && memory.knows(want.account_id)
            && HasBegun(id).get_result(conn)?
        {
            memory.forget([want.account_id]);
        }
    }
    Ok(())
}

/// See [`super::read`].
pub(super) fn read(
    conn: &mut SqliteConnection,
    wants: &[CommandNeeds<'_>],
) -> QueryResult<GroupRows> {
    let mut found = GroupRows::default();
    let (mut account_ids, mut key_ids, mut exchange_ids) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut limited = BTreeSet::new();
    for want in wants {
        if account_ids.insert(want.account_id) {
            found.balances.extend(balance(conn, want.account_id)?);
        }
        if let Some(id) = want.exchange_id.filter(|id| exchange_ids.insert(*id)) {
            match reservation(conn, id)? {
                Some(row) => found.reservations.push(row),
                None => found.usage.extend(settled(conn, id)?),
            }
        }
        let key_of_exchange = || {
            let id = want.exchange_id.filter(|_| want.is_key_of_exchange)?;
            Some(found.reservations.iter().rev().find(|row| row.id == id)?.api_key_id)
        };
        let Some(key_id) = want.key_id.or_else(key_of_exchange) else { continue };
        if key_ids.insert(key_id) {
            found.keys.extend(key(conn, key_id)?);
        }
        let has_budget = || found.keys.iter().any(|key| key.id == key_id && key.has_budget());
        if want.is_hold && has_budget() && limited.insert(key_id) {
            found.held.extend(held(conn, key_id)?);
        }
    }
    Ok(found)
}

fn balance(conn: &mut SqliteConnection, id: AccountId) -> QueryResult<Option<BalanceRow>> {
    let columns = (
        accounts::id,
        accounts::status,
        accounts::available_nanousd,
        accounts::reserved_nanousd,
        accounts::low_balance_nanousd,
        accounts::at_risk_nanousd,
        accounts::first_charged_at,
        accounts::closing_at,
        no_version(),
    );
    accounts::table.find(id).select(columns).first(conn).optional()
}

fn reservation(conn: &mut SqliteConnection, id: &str) -> QueryResult<Option<ReservationRow>> {
    reservations::table.find(id).select(ReservationRow::as_select()).first(conn).optional()
}

fn settled(
    conn: &mut SqliteConnection,
    id: &str,
) -> QueryResult<Option<(String, NanoUsd, Outcome)>> {
    let columns = (usage_logs::id, usage_logs::cost_nanousd, usage_logs::ending);
    usage_logs::table.find(id).select(columns).first(conn).optional()
}

fn key(conn: &mut SqliteConnection, id: ApiKeyId) -> QueryResult<Option<KeyBookRow>> {
    let columns = (
        api_keys::id,
        api_keys::account_id,
        api_keys::revoked_at,
        api_keys::paused_at,
        api_keys::expires_at,
        api_keys::monthly_budget_nanousd,
        api_keys::total_budget_nanousd,
        api_keys::last_used_at,
        SpendingColumns::as_select(),
        no_version(),
    );
    api_keys::table.find(id).select(columns).first(conn).optional()
}

/// Nothing changes beside whoever has the whole file. A bound value, as a query with a piece of
/// text in it would be prepared anew each time.
fn no_version() -> AsExprOf<i64, BigInt> {
    0_i64.into_sql::<BigInt>()
}

/// One by one: a sum would be a number without a scale.
fn held(conn: &mut SqliteConnection, key_id: ApiKeyId) -> QueryResult<Vec<(ApiKeyId, NanoUsd)>> {
    let most = reservations::amount_nanousd + reservations::risk_nanousd;
    let held = reservations::table.select((reservations::api_key_id, most));
    held.filter(reservations::api_key_id.eq(key_id)).load(conn)
}

/// See [`super::write`].
pub(super) fn write(
    conn: &mut SqliteConnection,
    changes: &Changes<'_>,
) -> QueryResult<Vec<(AccountId, i64)>> {
    for row in &changes.opened {
        insert_into(reservations::table).values(*row).execute(conn)?;
    }
    for row in &changes.changed {
        ChangeReservation(row).execute(conn)?;
    }
    for row in &changes.closed {
        delete(reservations::table.find(&row.id)).execute(conn)?;
    }
    for row in changes.usage {
        insert_into(usage_logs::table).values(row).execute(conn)?;
    }
    for row in changes.entries {
        insert_into(ledger_entries::table).values(row).execute(conn)?;
    }
    for key in &changes.keys {
        ChangeKey(key).execute(conn)?;
    }
    for balance in changes.balances.iter().filter(|change| change.is_any()) {
        ChangeBalance(balance).execute(conn)?;
    }
    Ok(changes.balances.iter().map(|change| (change.account_id, change.version)).collect())
}
