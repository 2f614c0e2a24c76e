//! Leases: which nodes are alive, so that a dead one's reservations can be recovered.

use diesel::prelude::*;

use super::schema::{nodes, reservations};
use super::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;

/// Takes or renews the lease of `node_id` until `expires_at`.
///
/// # Errors
/// [`DbError::Query`].
pub fn renew(
    conn: &mut AnyConnection,
    node_id: &str,
    expires_at: UnixMillis,
) -> Result<(), DbError> {
    let expires_at = expires_at.as_millis();
    let renewed = diesel::update(nodes::table.find(node_id))
        .set(nodes::lease_expires_at.eq(expires_at))
        .execute(conn)?;
    if renewed == 0 {
        let row = (nodes::id.eq(node_id), nodes::lease_expires_at.eq(expires_at));
        diesel::insert_into(nodes::table).values(row).execute(conn)?;
    }
    Ok(())
}

/// Whether a node's lease runs.
///
/// # Errors
/// [`DbError::Query`].
pub fn is_alive(conn: &mut AnyConnection, node_id: &str, now: UnixMillis) -> Result<bool, DbError> {
    let alive = nodes::table.find(node_id).filter(nodes::lease_expires_at.ge(now.as_millis()));
    Ok(diesel::select(diesel::dsl::exists(alive)).get_result(conn)?)
}

/// Gives the lease back at a clean stop.
///
/// # Errors
/// [`DbError::Query`].
pub fn release(conn: &mut AnyConnection, node_id: &str) -> Result<(), DbError> {
    diesel::delete(nodes::table.find(node_id)).execute(conn)?;
    Ok(())
}

/// The oldest reservations of nodes without a running lease, as (id, account). What is parked waits for an operator.
///
/// # Errors
/// [`DbError::Query`].
pub fn orphaned_reservations(
    conn: &mut AnyConnection,
    now: UnixMillis,
    limit: i64,
) -> Result<Vec<(String, i64)>, DbError> {
    let alive = nodes::table.filter(nodes::lease_expires_at.ge(now.as_millis())).select(nodes::id);
    let rows = reservations::table
        .filter(reservations::node_id.ne_all(alive).and(reservations::parked_at.is_null()))
        .order(reservations::created_at)
        .limit(limit)
        .select((reservations::id, reservations::account_id))
        .load(conn)?;
    Ok(rows)
}

/// Forgets every lease. Right only where this process holds the database alone (SQLite).
///
/// # Errors
/// [`DbError::Query`].
pub fn forget_all(conn: &mut AnyConnection) -> Result<(), DbError> {
    diesel::delete(nodes::table).execute(conn)?;
    Ok(())
}
