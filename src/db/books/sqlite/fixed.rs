//! The statements of the books in an `SQLite` file that Diesel would prepare anew each time.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::sqlite::Sqlite;

use crate::db::books::keys::KeySpent;
use crate::db::books::{BalanceChange, ReservationRow};
use crate::db::prepared_once::prepared_once;

/// Adds a group's change to an account.
pub(super) struct ChangeBalance<'a>(pub(super) &'a BalanceChange);

/// Sets what a key has cost.
pub(super) struct ChangeKey<'a>(pub(super) &'a KeySpent);

/// Sets the amounts and the record of an open reservation.
pub(super) struct ChangeReservation<'a>(pub(super) &'a ReservationRow);

/// Whether an exchange is open or settled.
pub(super) struct HasBegun<'a>(pub(super) &'a str);

/// A number that another connection's commit changes, and none of one's own
/// (<https://sqlite.org/pragma.html#pragma_data_version>).
pub(super) struct DataVersion;

impl QueryFragment<Sqlite> for ChangeBalance<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let change = self.0;
        out.push_sql("UPDATE accounts SET available_nanousd = available_nanousd + ");
        out.push_bind_param::<BigInt, _>(&change.available_nanousd)?;
        out.push_sql(", reserved_nanousd = reserved_nanousd + ");
        out.push_bind_param::<BigInt, _>(&change.reserved_nanousd)?;
        out.push_sql(", at_risk_nanousd = at_risk_nanousd + ");
        out.push_bind_param::<BigInt, _>(&change.at_risk_nanousd)?;
        out.push_sql(", first_charged_at = ");
        out.push_bind_param::<Nullable<BigInt>, _>(&change.first_charged_at)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<BigInt, _>(&change.account_id)
    }
}

impl QueryFragment<Sqlite> for ChangeKey<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let spent = self.0;
        out.push_sql("UPDATE api_keys SET spent_nanousd = ");
        out.push_bind_param::<BigInt, _>(&spent.spent_nanousd)?;
        out.push_sql(", month = ");
        out.push_bind_param::<BigInt, _>(&spent.month)?;
        out.push_sql(", month_spent_nanousd = ");
        out.push_bind_param::<BigInt, _>(&spent.month_spent_nanousd)?;
        out.push_sql(", last_used_at = ");
        out.push_bind_param::<Nullable<BigInt>, _>(&spent.last_used_at)?;
        out.push_sql(", paused_until = ");
        out.push_bind_param::<Nullable<BigInt>, _>(&spent.paused_until)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<BigInt, _>(&spent.id)
    }
}

impl QueryFragment<Sqlite> for ChangeReservation<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let row = self.0;
        out.push_sql("UPDATE reservations SET amount_nanousd = ");
        out.push_bind_param::<BigInt, _>(&row.amount_nanousd)?;
        out.push_sql(", risk_nanousd = ");
        out.push_bind_param::<BigInt, _>(&row.risk_nanousd)?;
        out.push_sql(", record = ");
        out.push_bind_param::<Text, _>(&row.record)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<Text, _>(&row.id)
    }
}

impl QueryFragment<Sqlite> for HasBegun<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT EXISTS (SELECT 1 FROM reservations WHERE id = ");
        out.push_bind_param::<Text, _>(self.0)?;
        out.push_sql(") OR EXISTS (SELECT 1 FROM usage_logs WHERE id = ");
        out.push_bind_param::<Text, _>(self.0)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryFragment<Sqlite> for DataVersion {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("PRAGMA data_version");
        Ok(())
    }
}

impl Query for HasBegun<'_> {
    type SqlType = Bool;
}

impl Query for DataVersion {
    type SqlType = BigInt;
}

prepared_once! {
    SqliteConnection:
    ChangeBalance<'_> => ChangeBalance<'static>,
    ChangeKey<'_> => ChangeKey<'static>,
    ChangeReservation<'_> => ChangeReservation<'static>,
    HasBegun<'_> => HasBegun<'static>,
    DataVersion => DataVersion,
}
