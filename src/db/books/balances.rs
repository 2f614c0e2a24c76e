//! Accounts as the books know them: locked, read, and changed by what a group comes to.

use diesel::connection::SimpleConnection;
use diesel::dsl::update;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable};

use super::load_each;
use crate::db::AnyConnection;
use crate::db::schema::accounts;

/// For how long an account is waited for that has kept its commands waiting for longer.
const SHORT_WAIT: &str = "SET LOCAL lock_timeout = 200";

/// What is done about accounts that another transaction holds. On `SQLite` nobody holds one: a writer has the whole file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Busy {
    /// They are waited for, as long as a statement may wait for a lock.
    #[default]
    Wait,
    /// The same for a moment only.
    WaitShortly,
    /// They are left out.
    Skip,
}

/// An account's balance as stored.
#[derive(Clone, Debug, Queryable)]
pub struct BalanceRow {
    /// Row number of the account.
    pub id: i64,
    /// `active` or `suspended`.
    pub status: String,
    /// Spendable nano-dollars.
    pub available_nanousd: i64,
    /// Held nano-dollars.
    pub reserved_nanousd: i64,
    /// Nano-dollars below which its owner wants to be told.
    pub low_balance_nanousd: Option<i64>,
    /// Nano-dollars that running exchanges may cost beyond what they hold.
    pub at_risk_nanousd: i64,
    /// When an exchange of it was charged for the first time.
    pub first_charged_at: Option<i64>,
    /// Since when it is about to be deleted.
    pub closing_at: Option<i64>,
}

/// By how much a group changes one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceChange {
    /// Row number of the account.
    pub account_id: i64,
    /// Added to what is spendable.
    pub available_nanousd: i64,
    /// Added to what is held.
    pub reserved_nanousd: i64,
    /// Added to what is at risk.
    pub at_risk_nanousd: i64,
    /// When an exchange of it was charged for the first time, in this group or before.
    pub first_charged_at: Option<i64>,
}

/// Locks the accounts' rows in the order of their ids and reads their balances. Those that are busy and are to be skipped
/// are left out.
pub(crate) fn lock_balances(
    conn: &mut AnyConnection,
    ids: &[i64],
    busy: Busy,
) -> QueryResult<Vec<BalanceRow>> {
    let columns = (
        accounts::id,
        accounts::status,
        accounts::available_nanousd,
        accounts::reserved_nanousd,
        accounts::low_balance_nanousd,
        accounts::at_risk_nanousd,
        accounts::first_charged_at,
        accounts::closing_at,
    );
    match conn {
        AnyConnection::Postgres(conn) => {
            let rows = accounts::table
                .filter(accounts::id.eq_any(ids))
                .order(accounts::id)
                .select(columns);
            // Whoever adds a row that refers to an account is not in the way.
            match busy {
                Busy::Skip => rows.for_no_key_update().skip_locked().load(conn),
                Busy::Wait => rows.for_no_key_update().load(conn),
                Busy::WaitShortly => {
                    conn.batch_execute(SHORT_WAIT)?;
                    rows.for_no_key_update().load(conn)
                }
            }
        }
        // BEGIN IMMEDIATE holds the whole file already.
        AnyConnection::Sqlite(conn) => {
            load_each(ids, |id| accounts::table.find(id).select(columns).first(conn).optional())
        }
    }
}

/// Which of the accounts exist, whether or not anybody holds them.
pub(crate) fn existing_accounts(conn: &mut AnyConnection, ids: &[i64]) -> QueryResult<Vec<i64>> {
    accounts::table.filter(accounts::id.eq_any(ids)).select(accounts::id).load(conn)
}

/// Writes each account once, by the sum of what the group changed.
pub(crate) fn change_balances(
    conn: &mut AnyConnection,
    changes: &[BalanceChange],
) -> QueryResult<()> {
    if changes.is_empty() {
        return Ok(());
    }
    match conn {
        AnyConnection::Postgres(conn) => {
            let column = |of: fn(&BalanceChange) -> i64| changes.iter().map(of).collect::<Vec<_>>();
            diesel::sql_query(
                "UPDATE accounts
                 SET available_nanousd = available_nanousd + change.available,
                     reserved_nanousd = reserved_nanousd + change.reserved,
                     at_risk_nanousd = at_risk_nanousd + change.at_risk,
                     first_charged_at = change.charged
                 FROM unnest($1, $2, $3, $4, $5)
                     AS change (id, available, reserved, at_risk, charged)
                 WHERE accounts.id = change.id",
            )
            .bind::<Array<BigInt>, _>(column(|change| change.account_id))
            .bind::<Array<BigInt>, _>(column(|change| change.available_nanousd))
            .bind::<Array<BigInt>, _>(column(|change| change.reserved_nanousd))
            .bind::<Array<BigInt>, _>(column(|change| change.at_risk_nanousd))
            .bind::<Array<Nullable<BigInt>>, _>(
                changes.iter().map(|change| change.first_charged_at).collect::<Vec<_>>(),
            )
            .execute(conn)?;
        }
        AnyConnection::Sqlite(conn) => {
            for change in changes {
                update(accounts::table.find(change.account_id))
                    .set((
                        accounts::available_nanousd
                            .eq(accounts::available_nanousd + change.available_nanousd),
                        accounts::reserved_nanousd
                            .eq(accounts::reserved_nanousd + change.reserved_nanousd),
                        accounts::at_risk_nanousd
                            .eq(accounts::at_risk_nanousd + change.at_risk_nanousd),
                        accounts::first_charged_at.eq(change.first_charged_at),
                    ))
                    .execute(conn)?;
            }
        }
    }
    Ok(())
}
