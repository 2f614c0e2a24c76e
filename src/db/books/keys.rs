//! What keys have cost and hold, read and written for a whole group at once. The lock on the account's row covers its
//! keys: whoever writes these columns holds it.

use diesel::dsl::update;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable};

use super::load_each;
use crate::db::AnyConnection;
use crate::db::api_keys::SpendingColumns;
use crate::db::schema::{api_keys, reservations};

/// A key as the ledger sees it.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub struct KeyBookRow {
    /// Row number.
    pub id: i64,
    /// When it was taken back, if it was.
    pub revoked_at: Option<i64>,
    /// When it ends, if it does.
    pub expires_at: Option<i64>,
    /// Nano-dollars in a month.
    pub monthly_budget_nanousd: Option<i64>,
    /// Nano-dollars in its life.
    pub total_budget_nanousd: Option<i64>,
    /// When an exchange of it was last settled.
    pub last_used_at: Option<i64>,
    /// What it has cost.
    #[diesel(embed)]
    pub spending: SpendingColumns,
}

/// What a key has cost after a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpent {
    /// Row number.
    pub id: i64,
    /// Nano-dollars in its life.
    pub spent_nanousd: i64,
    /// The month's number.
    pub month: i64,
    /// Nano-dollars in that month.
    pub month_spent_nanousd: i64,
    /// When an exchange of it was last settled.
    pub last_used_at: Option<i64>,
    /// A budget has stopped it until then.
    pub paused_until: Option<i64>,
}

/// The keys among `ids`.
pub(crate) fn keys(conn: &mut AnyConnection, ids: &[i64]) -> QueryResult<Vec<KeyBookRow>> {
    match conn {
        AnyConnection::Postgres(conn) => api_keys::table
            .filter(api_keys::id.eq_any(ids))
            .select(KeyBookRow::as_select())
            .load(conn),
        AnyConnection::Sqlite(conn) => load_each(ids, |id| {
            api_keys::table.find(id).select(KeyBookRow::as_select()).first(conn).optional()
        }),
    }
}

/// What the open reservations of these keys may cost at most, as (key, nano-dollars), one by one.
pub(crate) fn held_by(conn: &mut AnyConnection, ids: &[i64]) -> QueryResult<Vec<(i64, i64)>> {
    let most = reservations::amount_nanousd + reservations::risk_nanousd;
    let held = reservations::table.select((reservations::api_key_id, most));
    match conn {
        AnyConnection::Postgres(conn) => {
            held.filter(reservations::api_key_id.eq_any(ids)).load(conn)
        }
        AnyConnection::Sqlite(conn) => {
            let mut all = Vec::new();
            for id in ids {
                all.extend(held.filter(reservations::api_key_id.eq(id)).load::<(i64, i64)>(conn)?);
            }
            Ok(all)
        }
    }
}

/// Writes each key once.
pub(crate) fn change_keys(conn: &mut AnyConnection, changes: &[KeySpent]) -> QueryResult<()> {
    if changes.is_empty() {
        return Ok(());
    }
    match conn {
        AnyConnection::Postgres(conn) => {
            let column = |of: fn(&KeySpent) -> i64| changes.iter().map(of).collect::<Vec<_>>();
            let moments =
                |of: fn(&KeySpent) -> Option<i64>| changes.iter().map(of).collect::<Vec<_>>();
            diesel::sql_query(
                "UPDATE api_keys
                 SET spent_nanousd = change.spent, month = change.month,
                     month_spent_nanousd = change.month_spent,
                     last_used_at = change.last_used_at, paused_until = change.paused_until
                 FROM unnest($1, $2, $3, $4, $5, $6)
                     AS change (id, spent, month, month_spent, last_used_at, paused_until)
                 WHERE api_keys.id = change.id",
            )
            .bind::<Array<BigInt>, _>(column(|change| change.id))
            .bind::<Array<BigInt>, _>(column(|change| change.spent_nanousd))
            .bind::<Array<BigInt>, _>(column(|change| change.month))
            .bind::<Array<BigInt>, _>(column(|change| change.month_spent_nanousd))
            .bind::<Array<Nullable<BigInt>>, _>(moments(|change| change.last_used_at))
            .bind::<Array<Nullable<BigInt>>, _>(moments(|change| change.paused_until))
            .execute(conn)?;
        }
        AnyConnection::Sqlite(conn) => {
            for change in changes {
                update(api_keys::table.find(change.id))
                    .set((
                        api_keys::spent_nanousd.eq(change.spent_nanousd),
                        api_keys::month.eq(change.month),
                        api_keys::month_spent_nanousd.eq(change.month_spent_nanousd),
                        api_keys::last_used_at.eq(change.last_used_at),
                        api_keys::paused_until.eq(change.paused_until),
                    ))
                    .execute(conn)?;
            }
        }
    }
    Ok(())
}
