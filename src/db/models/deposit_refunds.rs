//! Refunds of deposits: rows and queries.

use std::collections::HashMap;

use diesel::prelude::*;

use super::deposits::DepositRow;
use super::journal;
use crate::db::schema::deposit_refunds;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::RefundState;
use crate::domain::evm::TxHash;
use crate::domain::journal_event::{HashText, JournalEvent};
use crate::domain::money::NanoUsd;

/// A refund.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = deposit_refunds)]
pub struct RefundRow {
    /// Row number, never shown. 0 in a row that is to be inserted by [`insert`].
    #[diesel(skip_insertion)]
    pub id: i64,
    /// The name that people use; the reference of its ledger entries.
    pub public_id: String,
    /// Of which deposit.
    pub deposit_id: i64,
    /// Where it stands.
    pub state: RefundState,
    /// What was taken from the balance for it; 0 for a deposit that was never credited.
    pub amount_nanousd: NanoUsd,
    /// The transaction that paid it.
    pub tx_hash: Option<TxHash>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
}

/// The refund of a deposit that is held or posted, if there is one.
pub fn of_deposit(conn: &mut AnyConnection, deposit_id: i64) -> Result<Option<RefundRow>, DbError> {
    let row = deposit_refunds::table
        .filter(deposit_refunds::deposit_id.eq(deposit_id))
        .filter(deposit_refunds::state.ne(RefundState::Cancelled))
        .select(RefundRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// Every refund of these deposits, the cancelled ones included, oldest first.
pub fn of_deposits(
    conn: &mut AnyConnection,
    deposit_ids: &[i64],
) -> Result<Vec<RefundRow>, DbError> {
    let rows = deposit_refunds::table
        .filter(deposit_refunds::deposit_id.eq_any(deposit_ids))
        .order(deposit_refunds::id)
        .select(RefundRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// The refunds of these deposits that are held or posted, by the row numbers of the deposits.
pub fn standing(
    conn: &mut AnyConnection,
    deposits: &[DepositRow],
) -> Result<HashMap<i64, RefundRow>, DbError> {
    let ids: Vec<i64> = deposits.iter().map(|row| row.id).collect();
    let refunds = of_deposits(conn, &ids)?.into_iter();
    let refunds = refunds.filter(|refund| refund.state != RefundState::Cancelled);
    Ok(refunds.map(|refund| (refund.deposit_id, refund)).collect())
}

/// Stores a refund.
///
/// # Errors
/// [`DbError::Query`]; a second one that is not cancelled is one.
pub fn insert(conn: &mut AnyConnection, row: &RefundRow) -> Result<(), DbError> {
    diesel::insert_into(deposit_refunds::table).values(row).execute(conn)?;
    Ok(())
}

/// Ends a refund that is held; whether it was.
pub fn close(
    conn: &mut AnyConnection,
    id: i64,
    state: RefundState,
    tx_hash: Option<TxHash>,
    now: UnixMillis,
) -> Result<bool, DbError> {
    let held = deposit_refunds::table
        .filter(deposit_refunds::id.eq(id).and(deposit_refunds::state.eq(RefundState::Held)));
    let closed = diesel::update(held)
        .set((
            deposit_refunds::state.eq(state),
            deposit_refunds::tx_hash.eq(tx_hash),
            deposit_refunds::updated_at.eq(now),
        ))
        .execute(conn)?;
    if closed == 0 {
        return Ok(false);
    }
    let refund = deposit_refunds::table.find(id).select(deposit_refunds::public_id).first(conn)?;
    let event = match tx_hash {
        Some(hash) => JournalEvent::RefundPosted { refund, tx_hash: HashText(hash.0) },
        None => JournalEvent::RefundCancelled { refund },
    };
    journal::note(conn, &event)?;
    Ok(true)
}

/// The refund of a public name.
pub fn find(conn: &mut AnyConnection, public_id: &str) -> Result<Option<RefundRow>, DbError> {
    let named = deposit_refunds::table.filter(deposit_refunds::public_id.eq(public_id));
    Ok(named.select(RefundRow::as_select()).first(conn).optional()?)
}
