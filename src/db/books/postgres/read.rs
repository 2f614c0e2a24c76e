//! Everything that the commands of a group have to know, in one statement and so as of one moment.

use std::collections::HashSet;
use std::hash::Hash;

use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::sql_types::{BigInt, Nullable, Text};

use super::columns::{Columns, Unnested};
use crate::db::books::keys::KeyBookRow;
use crate::db::books::{BalanceRow, CommandNeeds, GroupRows, ReservationRow};
use crate::db::prepared_once::prepared_once;
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::Outcome;

/// The statement.
pub(super) struct ReadStatement<'a>(Unnested<'a>);

/// What it finds for one command.
pub(super) type CommandRow = (
    Option<BalanceRow>,
    Option<ReservationRow>,
    Option<KeyBookRow>,
    Option<NanoUsd>,
    Option<(String, NanoUsd, Outcome)>,
);

type MaybeBigInt = Nullable<BigInt>;
type Balance =
    (BigInt, Text, BigInt, BigInt, MaybeBigInt, BigInt, MaybeBigInt, MaybeBigInt, BigInt);
type ReservationSql = (Text, BigInt, BigInt, Text, BigInt, Text, BigInt, BigInt);
type Spending = (BigInt, BigInt, BigInt, MaybeBigInt);
type KeySql = (
    BigInt,
    BigInt,
    MaybeBigInt,
    MaybeBigInt,
    MaybeBigInt,
    MaybeBigInt,
    MaybeBigInt,
    MaybeBigInt,
    Spending,
    BigInt,
);
type UsageSql = (Text, BigInt, Text);

/// Up to the rows that are asked for.
const HEAD: &str = "SELECT
    account.id, account.status, account.available_nanousd, account.reserved_nanousd,
    account.low_balance_nanousd, account.at_risk_nanousd, account.first_charged_at,
    account.closing_at, account.xmin::text::bigint,
    open.id, open.account_id, open.api_key_id, open.node_id, open.amount_nanousd, open.record,
    open.created_at, open.risk_nanousd,
    key.id, key.account_id, key.revoked_at, key.paused_at, key.expires_at,
    key.monthly_budget_nanousd, key.total_budget_nanousd, key.last_used_at, key.spent_nanousd,
    key.month, key.month_spent_nanousd, key.paused_until, key.xmin::text::bigint,
    CASE WHEN want.is_hold
        AND (key.monthly_budget_nanousd IS NOT NULL OR key.total_budget_nanousd IS NOT NULL)
        AND row_number() OVER (PARTITION BY want.is_hold, key.id) = 1
    THEN (
        SELECT sum(held.amount_nanousd + held.risk_nanousd)::bigint
        FROM reservations AS held WHERE held.api_key_id = key.id
    ) END,
    settled.id, settled.cost_nanousd, settled.ending
FROM ";

/// And behind them.
const TAIL: &str = "
LEFT JOIN accounts AS account ON account.id = want.account_id
LEFT JOIN reservations AS open ON open.id = want.exchange_id
LEFT JOIN api_keys AS key ON key.id = CASE
    WHEN want.key_id IS NOT NULL THEN want.key_id
    WHEN want.is_key_of_exchange THEN open.api_key_id
END
LEFT JOIN usage_logs AS settled ON settled.id = want.exchange_id AND open.id IS NULL";

impl<'a> ReadStatement<'a> {
    pub(super) fn of(wants: &'a [CommandNeeds<'a>]) -> Self {
        let columns = Columns::of(wants)
            .integer("account_id", |want| want.account_id.0)
            .maybe_integer("key_id", |want| want.key_id.map(|key| key.0))
            .maybe_text("exchange_id", |want| want.exchange_id)
            .flag("is_key_of_exchange", |want| want.is_key_of_exchange)
            .flag("is_hold", |want| want.is_hold);
        Self(columns.unnested())
    }
}

impl QueryFragment<Pg> for ReadStatement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(HEAD);
        self.0.push("want", &mut out)?;
        out.push_sql(TAIL);
        Ok(())
    }
}

impl Query for ReadStatement<'_> {
    type SqlType = (
        Nullable<Balance>,
        Nullable<ReservationSql>,
        Nullable<KeySql>,
        MaybeBigInt,
        Nullable<UsageSql>,
    );
}

prepared_once!(PgConnection: ReadStatement<'_> => ReadStatement<'static>);

/// What all commands find, each row once.
pub(super) fn found(rows: Vec<CommandRow>) -> GroupRows {
    let mut found = GroupRows::default();
    let (mut accounts, mut keys, mut held_by) = (HashSet::new(), HashSet::new(), HashSet::new());
    let (mut open, mut settled) = (HashSet::new(), HashSet::new());
    for (balance, reservation, key, held, usage) in rows {
        let key_id = key.as_ref().map(|key| key.id);
        take(&mut found.balances, balance, &mut accounts, |row| row.id);
        take(&mut found.reservations, reservation, &mut open, |row| row.id.clone());
        take(&mut found.keys, key, &mut keys, |row| row.id);
        take(&mut found.held, key_id.zip(held), &mut held_by, |(id, _)| *id);
        take(&mut found.usage, usage, &mut settled, |(id, ..)| id.clone());
    }
    found
}

fn take<R, Id: Hash + Eq>(
    all: &mut Vec<R>,
    row: Option<R>,
    known: &mut HashSet<Id>,
    id: impl Fn(&R) -> Id,
) {
    all.extend(row.filter(|row| known.insert(id(row))));
}
