//! Leases: which nodes are alive, so that a dead one's reservations can be recovered.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;

use crate::db::compatibility::{GENERATION, VERSION};
use crate::db::schema::{nodes, reservations};
use crate::db::{AnyConnection, DbError, time};
use crate::domain::clock::{Clock, UnixMillis};
use crate::domain::ids::AccountId;

/// What a node finds when it renews its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// By the clock that leases are kept by.
    pub now: UnixMillis,
    /// Its own lease had run out, or was gone: others may have taken it for dead. Never so the
    /// first time.
    pub has_lapsed: bool,
    /// Another node's lease has run out: it died, or it could not be renewed.
    pub is_another_silent: bool,
    /// Nodes whose lease runs, with this one.
    pub living: u32,
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug)]
pub struct NodeReport {
    /// When it started, by the clock that leases are kept by; `None` for now.
    pub started_at: Option<UnixMillis>,
    /// How often its lease had run out.
    pub lapses: i64,
    /// Exchanges that run on it.
    pub open_exchanges: i64,
    /// How many may.
    pub max_streams: i64,
}

/// Takes or renews the lease of `node_id` for a span, the first time if `word` has no start. Gives
/// what it finds, and by how many milliseconds the node's clock is ahead of the database's, below
/// zero where it is behind.
pub fn renew(
    conn: &mut AnyConnection,
    (node_id, word): (&str, &NodeReport),
    span: Duration,
    clock: &Clock,
) -> Result<(Renewed, i64), DbError> {
    let now = time::now(conn, clock)?;
    let drift_millis = clock.now().millis_ahead_of(now);
    let expires_at = now.plus(span);
    let leases: Vec<(String, UnixMillis)> =
        nodes::table.select((nodes::id, nodes::lease_expires_at)).load(conn)?;
    let (own, others): (Vec<_>, Vec<_>) = leases.into_iter().partition(|(id, _)| id == node_id);
    let runs = |(_, until): &(String, UnixMillis)| *until >= now;
    // One that was given up for silence may come behind a later one.
    let own_row = nodes::table.find(node_id);
    let later = own.iter().map(|(_, until)| *until).max().unwrap_or(expires_at).max(expires_at);
    let said = (
        nodes::version.eq(VERSION),
        nodes::generation.eq(GENERATION),
        nodes::started_at.eq(word.started_at.unwrap_or(now)),
        nodes::drift_ms.eq(drift_millis),
        nodes::lapses.eq(word.lapses),
        nodes::open_exchanges.eq(word.open_exchanges),
        nodes::max_streams.eq(word.max_streams),
    );
    let renewed =
        diesel::update(own_row).set((nodes::lease_expires_at.eq(later), said)).execute(conn)?;
    if renewed == 0 {
        let row = (nodes::id.eq(node_id), nodes::lease_expires_at.eq(expires_at), said);
        diesel::insert_into(nodes::table).values(row).execute(conn)?;
    }
    let renewed = Renewed {
        now,
        has_lapsed: word.started_at.is_some() && !own.iter().any(runs),
        is_another_silent: !others.iter().all(runs),
        living: u32::try_from(others.iter().filter(|one| runs(one)).count())
            .unwrap_or(u32::MAX)
            .saturating_add(1),
    };
    Ok((renewed, drift_millis))
}

/// A node as the operator sees it. An older program says nothing of itself.
#[derive(Clone, Debug, Default, Queryable, Selectable)]
#[diesel(table_name = nodes)]
pub struct NodeRow {
    /// Its name.
    pub id: String,
    /// Until when it counts as alive; `None` if only what it left open is known.
    #[diesel(select_expression = nodes::lease_expires_at.nullable())]
    pub lease_expires_at: Option<UnixMillis>,
    /// Of its program.
    pub version: Option<String>,
    /// Of its program.
    pub generation: Option<i64>,
    /// Since when it runs.
    pub started_at: Option<UnixMillis>,
    /// How far its clock is ahead.
    pub drift_ms: Option<i64>,
    /// How often its lease had run out.
    pub lapses: Option<i64>,
    /// Exchanges that ran at its last word.
    pub open_exchanges: Option<i64>,
    /// How many may.
    pub max_streams: Option<i64>,
}

/// All nodes by name, each with how many reservations of its are open; those among them of which
/// only these are left.
pub fn list(conn: &mut AnyConnection) -> Result<Vec<(NodeRow, i64)>, DbError> {
    let open: Vec<(String, i64)> = reservations::table
        .group_by(reservations::node_id)
        .select((reservations::node_id, diesel::dsl::count_star()))
        .load(conn)?;
    let mut open: BTreeMap<String, i64> = open.into_iter().collect();
    let rows: Vec<NodeRow> =
        nodes::table.order(nodes::id).select(NodeRow::as_select()).load(conn)?;
    let mut rows: Vec<(NodeRow, i64)> = rows
        .into_iter()
        .map(|row| {
            let open = open.remove(&row.id).unwrap_or(0);
            (row, open)
        })
        .collect();
    rows.extend(open.into_iter().map(|(id, open)| (NodeRow { id, ..NodeRow::default() }, open)));
    Ok(rows)
}

/// Forgets nodes whose lease ran out before a moment and of which nothing is open.
pub fn forget_dead(conn: &mut AnyConnection, before: UnixMillis) -> Result<(), DbError> {
    let open = reservations::table.select(reservations::node_id);
    let dead = nodes::lease_expires_at.lt(before).and(nodes::id.ne_all(open));
    diesel::delete(nodes::table.filter(dead)).execute(conn)?;
    Ok(())
}

/// The first node by name of those whose lease runs.
pub fn first(conn: &mut AnyConnection, now: UnixMillis) -> Result<Option<String>, DbError> {
    let living = nodes::table.filter(nodes::lease_expires_at.ge(now)).order(nodes::id);
    Ok(living.select(nodes::id).first(conn).optional()?)
}

/// Whether a node's lease runs.
pub fn is_alive(conn: &mut AnyConnection, node_id: &str, now: UnixMillis) -> Result<bool, DbError> {
    let alive = nodes::table.find(node_id).filter(nodes::lease_expires_at.ge(now));
    Ok(diesel::select(diesel::dsl::exists(alive)).get_result(conn)?)
}

/// Gives the lease back at a clean stop.
pub fn release(conn: &mut AnyConnection, node_id: &str) -> Result<(), DbError> {
    diesel::delete(nodes::table.find(node_id)).execute(conn)?;
    Ok(())
}

/// Until when the leases of these nodes run, as (id, moment); whoever wants to renew one of
/// them waits for the end of the transaction. One that somebody else holds is renewed at this
/// moment, or looked at by another node: it counts as running for ever.
pub(crate) fn hold_leases(
    conn: &mut AnyConnection,
    node_ids: &[String],
) -> QueryResult<Vec<(String, UnixMillis)>> {
    let columns = (nodes::id, nodes::lease_expires_at);
    let leases =
        || nodes::table.filter(nodes::id.eq_any(node_ids)).order(nodes::id).select(columns);
    match conn {
        AnyConnection::Postgres(conn) => {
            let mut held: Vec<(String, UnixMillis)> =
                leases().for_update().skip_locked().load(conn)?;
            if held.len() < node_ids.len() {
                let all: Vec<(String, UnixMillis)> = leases().load(conn)?;
                let is_held = |id: &String| held.iter().any(|(known, _)| known == id);
                let busy: Vec<_> = all.into_iter().filter(|(id, _)| !is_held(id)).collect();
                held.extend(
                    busy.into_iter().map(|(id, _)| (id, UnixMillis::from_millis(i64::MAX))),
                );
            }
            Ok(held)
        }
        AnyConnection::Sqlite(conn) => leases().load(conn),
    }
}

/// The oldest reservations of nodes without a running lease, as (id, account). What is parked waits
/// for an operator.
pub fn orphaned_reservations(
    conn: &mut AnyConnection,
    now: UnixMillis,
    limit: i64,
) -> Result<Vec<(String, AccountId)>, DbError> {
    let alive = nodes::table.filter(nodes::lease_expires_at.ge(now)).select(nodes::id);
    let rows = reservations::table
        .filter(reservations::node_id.ne_all(alive).and(reservations::parked_at.is_null()))
        .order(reservations::created_at)
        .limit(limit)
        .select((reservations::id, reservations::account_id))
        .load(conn)?;
    Ok(rows)
}

/// Forgets every lease. Right only where this process holds the database alone (SQLite).
pub fn forget_all(conn: &mut AnyConnection) -> Result<(), DbError> {
    diesel::delete(nodes::table).execute(conn)?;
    Ok(())
}
