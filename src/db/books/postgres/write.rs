//! Everything that a group usually changes, in one statement. It changes all of an account or
//! nothing.

use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::sql_types::BigInt;

use super::columns::{Columns, Unnested};
use crate::db::books::{Changes, ReservationRow, UsageRow};
use crate::db::prepared_once::prepared_once;
use crate::domain::clock::UnixMillis;

/// The statement.
pub(super) struct Write<'a> {
    balances: Unnested<'a>,
    seen: Unnested<'a>,
    opened: Unnested<'a>,
    rewritten: Unnested<'a>,
    closed: Unnested<'a>,
    usage: Unnested<'a>,
    entries: Unnested<'a>,
    keys: Unnested<'a>,
}

/// Takes the accounts that are in the version that was read, and their keys, without waiting for
/// any, and changes them. One for which an exchange is to be opened that is settled is not: what is
/// remembered does not say so.
const ACCOUNTS: &str = "),
held AS MATERIALIZED (
    SELECT accounts.id FROM accounts JOIN change ON change.account_id = accounts.id
    WHERE accounts.xmin::text::bigint = change.version AND NOT EXISTS (
        SELECT FROM seen LEFT JOIN api_keys ON api_keys.id = seen.id
        WHERE seen.account_id = accounts.id
            AND api_keys.xmin::text::bigint IS DISTINCT FROM seen.version
    ) AND NOT EXISTS (
        SELECT FROM opening JOIN usage_logs ON usage_logs.id = opening.id
        WHERE opening.account_id = accounts.id
    )
    ORDER BY accounts.id
    FOR NO KEY UPDATE OF accounts SKIP LOCKED
),
written AS (
    UPDATE accounts
    SET available_nanousd = accounts.available_nanousd + change.available,
        reserved_nanousd = accounts.reserved_nanousd + change.reserved,
        at_risk_nanousd = accounts.at_risk_nanousd + change.at_risk,
        first_charged_at = change.charged
    FROM change JOIN held ON held.id = change.account_id
    WHERE accounts.id = change.account_id
    RETURNING accounts.id, accounts.xmin::text::bigint AS version
)";

impl<'a> Write<'a> {
    pub(super) fn of(changes: &'a Changes<'a>) -> Self {
        let balances = Columns::of(&changes.balances)
            .integer("account_id", |change| change.account_id.0)
            .integer("version", |change| change.version)
            .integer("available", |change| change.available_nanousd.as_nanos())
            .integer("reserved", |change| change.reserved_nanousd.as_nanos())
            .integer("at_risk", |change| change.at_risk_nanousd.as_nanos())
            .maybe_integer("charged", |change| change.first_charged_at.map(UnixMillis::as_millis));
        let rewritten = Columns::of(&changes.changed)
            .integer("account_id", |row| row.account_id.0)
            .text("id", |row| &row.id)
            .integer("amount", |row| row.amount_nanousd.as_nanos())
            .text("record", |row| &row.record)
            .integer("risk", |row| row.risk_nanousd.as_nanos());
        let closed = Columns::of(&changes.closed)
            .integer("account_id", |row| row.account_id.0)
            .text("id", |row| &row.id);
        let entries = Columns::of(changes.entries)
            .integer("account_id", |row| row.account_id.0)
            .text("kind", |row| row.kind.as_str())
            .text("reference", |row| &row.reference)
            .integer("amount_nanousd", |row| row.amount_nanousd.as_nanos())
            .integer("created_at", |row| row.created_at.as_millis());
        let keys = Columns::of(&changes.keys)
            .integer("account_id", |key| key.account_id.0)
            .integer("id", |key| key.id.0)
            .integer("spent", |key| key.spent_nanousd.as_nanos())
            .integer("month", |key| key.month.number())
            .integer("month_spent", |key| key.month_spent_nanousd.as_nanos())
            .maybe_integer("last_used_at", |key| key.last_used_at.map(UnixMillis::as_millis))
            .maybe_integer("paused_until", |key| key.paused_until.map(UnixMillis::as_millis));
        let seen = Columns::of(&changes.seen)
            .integer("account_id", |key| key.account_id.0)
            .integer("id", |key| key.id.0)
            .integer("version", |key| key.version);
        Self {
            balances: balances.unnested(),
            seen: seen.unnested(),
            opened: opened(&changes.opened),
            rewritten: rewritten.unnested(),
            closed: closed.unnested(),
            usage: usage(changes.usage),
            entries: entries.unnested(),
            keys: keys.unnested(),
        }
    }
}

fn opened<'a>(rows: &'a [&'a ReservationRow]) -> Unnested<'a> {
    Columns::of(rows)
        .text("id", |row| &row.id)
        .integer("account_id", |row| row.account_id.0)
        .integer("api_key_id", |row| row.api_key_id.0)
        .text("node_id", |row| &row.node_id)
        .integer("amount_nanousd", |row| row.amount_nanousd.as_nanos())
        .text("record", |row| &row.record)
        .integer("created_at", |row| row.created_at.as_millis())
        .integer("risk_nanousd", |row| row.risk_nanousd.as_nanos())
        .unnested()
}

fn usage(rows: &[UsageRow]) -> Unnested<'_> {
    Columns::of(rows)
        .text("id", |row| &row.id)
        .integer("account_id", |row| row.account_id.0)
        .integer("api_key_id", |row| row.api_key_id.0)
        .integer("created_at", |row| row.created_at.as_millis())
        .text("endpoint", |row| row.endpoint.as_str())
        .text("requested_model", |row| &row.requested_model)
        .maybe_text("served_model", |row| row.served_model.as_deref())
        .maybe_text("upstream", |row| row.upstream.as_deref())
        .integer("input_tokens", |row| row.input_tokens)
        .integer("output_tokens", |row| row.output_tokens)
        .integer("cache_write_5m_tokens", |row| row.cache_write_5m_tokens)
        .integer("cache_write_1h_tokens", |row| row.cache_write_1h_tokens)
        .integer("cache_read_tokens", |row| row.cache_read_tokens)
        .integer("web_searches", |row| row.web_searches)
        .maybe_text("service_tier", |row| row.service_tier.as_deref())
        .maybe_text("inference_geo", |row| row.inference_geo.as_deref())
        .maybe_text("speed", |row| row.speed.as_deref())
        .text("price_version", |row| &row.price_version)
        .integer("cost_nanousd", |row| row.cost_nanousd.as_nanos())
        .maybe_integer("first_byte_ms", |row| row.first_byte_ms)
        .integer("latency_ms", |row| row.latency_ms)
        .small("http_status", |row| row.http_status)
        .text("ending", |row| row.ending.code())
        .flag("is_estimated", |row| row.is_estimated)
        .unnested()
}

impl QueryFragment<Pg> for Write<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH change AS (SELECT * FROM ");
        self.balances.push("change", &mut out)?;
        out.push_sql("), seen AS (SELECT * FROM ");
        self.seen.push("seen", &mut out)?;
        out.push_sql("), opening AS (SELECT * FROM ");
        self.opened.push("opening", &mut out)?;
        out.push_sql(ACCOUNTS);
        out.push_sql(", opened AS (INSERT INTO reservations (");
        self.opened.push_names(&mut out);
        out.push_sql(
            ") SELECT opening.* FROM opening JOIN written ON written.id = opening.account_id)",
        );
        insert(("used", "usage_logs"), &self.usage, &mut out)?;
        insert(("entered", "ledger_entries"), &self.entries, &mut out)?;
        let reservations = "UPDATE reservations
            SET amount_nanousd = given.amount, record = given.record, risk_nanousd = given.risk
            FROM ";
        alter(("rewritten", reservations, "reservations"), &self.rewritten, &mut out)?;
        let reservations = "DELETE FROM reservations USING ";
        alter(("closed", reservations, "reservations"), &self.closed, &mut out)?;
        let keys = "UPDATE api_keys
            SET spent_nanousd = given.spent, month = given.month,
                month_spent_nanousd = given.month_spent, last_used_at = given.last_used_at,
                paused_until = given.paused_until
            FROM ";
        alter(("charged", keys, "api_keys"), &self.keys, &mut out)?;
        out.push_sql(" SELECT id, version FROM written");
        Ok(())
    }
}

/// Puts the rows of accounts that are written into a table.
fn insert<'b>(
    (name, table): (&str, &str),
    rows: &'b Unnested<'_>,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    for part in [", ", name, " AS (INSERT INTO ", table, " ("] {
        out.push_sql(part);
    }
    rows.push_names(out);
    out.push_sql(") SELECT given.* FROM ");
    rows.push("given", out)?;
    out.push_sql(" JOIN written ON written.id = given.account_id)");
    Ok(())
}

/// Changes or deletes the rows of a table that belong to accounts that are written.
fn alter<'b>(
    (name, statement, table): (&str, &str, &str),
    rows: &'b Unnested<'_>,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    for part in [", ", name, " AS (", statement] {
        out.push_sql(part);
    }
    rows.push("given", out)?;
    out.push_sql(" JOIN written ON written.id = given.account_id WHERE ");
    out.push_sql(table);
    out.push_sql(".id = given.id)");
    Ok(())
}

impl Query for Write<'_> {
    type SqlType = (BigInt, BigInt);
}

prepared_once!(PgConnection: Write<'_> => Write<'static>);
