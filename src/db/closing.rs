//! Accounts that are about to be deleted: what stops at once, and which may be erased. Across
//! tables, since that is what closing is.

use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::models::credentials_epoch::{self, Kept};
use super::models::deposits::PROVISIONAL_MAX;
use super::models::journal;
use super::schema::{
    accounts, api_keys, deposit_refunds, deposits, reservations, wallet_challenges, wallets,
};
use super::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositState, RefundState};
use crate::domain::ids::AccountId;
use crate::domain::journal_event::JournalEvent;
use crate::domain::money::NanoUsd;

/// Deposits in these states have not come to an end yet.
const UNFINAL: [DepositState; 3] =
    [DepositState::Seen, DepositState::Confirming, DepositState::Held];

/// An account that is about to be deleted.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub struct ClosingRow {
    /// The account.
    pub id: AccountId,
    /// Its address.
    pub email: String,
    /// Since when; `None` if it is kept.
    pub closing_at: Option<UnixMillis>,
    /// Whether it is erased with whatever is left on it.
    pub closing_waives_balance: bool,
    /// What can be spent.
    pub available_nanousd: NanoUsd,
    /// What open reservations hold.
    pub reserved_nanousd: NanoUsd,
}

/// An account as far as its deletion is concerned.
pub fn get(conn: &mut AnyConnection, id: AccountId) -> Result<Option<ClosingRow>, DbError> {
    Ok(accounts::table.find(id).select(ClosingRow::as_select()).first(conn).optional()?)
}

/// Marks an account, and ends all that could still be done for it: keys, wallets, sessions and
/// links in mail, those too that still wait to be sent. Must run in a write transaction.
pub fn begin(
    conn: &mut AnyConnection,
    id: AccountId,
    waives_balance: bool,
    now: UnixMillis,
) -> Result<(), DbError> {
    diesel::update(accounts::table.find(id))
        .set((accounts::closing_at.eq(now), accounts::closing_waives_balance.eq(waives_balance)))
        .execute(conn)?;
    let alive = api_keys::account_id.eq(id).and(api_keys::revoked_at.is_null());
    diesel::update(api_keys::table.filter(alive))
        .set(api_keys::revoked_at.eq(now))
        .execute(conn)?;
    let linked = wallets::account_id.eq(id).and(wallets::ended_at.is_null());
    diesel::update(wallets::table.filter(linked))
        .set((wallets::ended_at.eq(now), wallets::end_reason.eq("unlinked")))
        .execute(conn)?;
    diesel::delete(wallet_challenges::table.filter(wallet_challenges::account_id.eq(id)))
        .execute(conn)?;
    let since = now.as_millis();
    journal::note(conn, &JournalEvent::AccountClosing { account: id, waives_balance, since })?;
    credentials_epoch::raise(conn, id, Kept::Nobodys)
}

/// Keeps an account after all; `false` if it was not about to be deleted.
pub fn undo(conn: &mut AnyConnection, id: AccountId) -> Result<bool, DbError> {
    let closing = accounts::table.find(id).filter(accounts::closing_at.is_not_null());
    let kept = diesel::update(closing)
        .set((
            accounts::closing_at.eq(None::<UnixMillis>),
            accounts::closing_waives_balance.eq(false),
        ))
        .execute(conn)?;
    if kept > 0 {
        journal::note(conn, &JournalEvent::AccountKept { account: id })?;
    }
    Ok(kept > 0)
}

/// The accounts that may be erased: their wish is not younger than `before`, nothing of theirs is
/// under way, and nothing is left on them that they have not waived.
pub fn due(
    conn: &mut AnyConnection,
    before: UnixMillis,
    limit: i64,
) -> Result<Vec<AccountId>, DbError> {
    due_within(conn, before, (AccountId(0), AccountId(i64::MAX)), limit)
}

/// The accounts whose wish is not younger than `before`, and which stay because something is left
/// on them that they have not waived: their public ids, the oldest wish first.
pub fn stuck(
    conn: &mut AnyConnection,
    before: UnixMillis,
    limit: i64,
) -> Result<Vec<String>, DbError> {
    let ids = accounts::table
        .filter(accounts::closing_at.le(before))
        .filter(
            not(accounts::closing_waives_balance)
                .and(accounts::available_nanousd.gt(NanoUsd::ZERO)),
        )
        .order((accounts::closing_at, accounts::id))
        .limit(limit)
        .select(accounts::public_id)
        .load(conn)?;
    Ok(ids)
}

/// Whether one of them still may, as this transaction sees it.
pub fn is_due(
    conn: &mut AnyConnection,
    id: AccountId,
    before: UnixMillis,
) -> Result<bool, DbError> {
    Ok(!due_within(conn, before, (id, id), 1)?.is_empty())
}

fn due_within(
    conn: &mut AnyConnection,
    before: UnixMillis,
    (first, last): (AccountId, AccountId),
    limit: i64,
) -> Result<Vec<AccountId>, DbError> {
    let open = reservations::table.filter(reservations::account_id.eq(accounts::id));
    // Credited before its block was final. On a chain that nobody reads any more that would never
    // be known.
    let long_ago = before.plus_millis(-PROVISIONAL_MAX);
    let may_be_undone =
        deposits::is_provisional.eq(true).and(deposits::early_credit_at.gt(long_ago));
    let unfinal = deposits::table
        .filter(deposits::account_id.eq(accounts::id.nullable()))
        .filter(deposits::state.eq_any(UNFINAL).or(may_be_undone));
    let held = deposit_refunds::table
        .inner_join(deposits::table.on(deposits::id.eq(deposit_refunds::deposit_id)))
        .filter(deposits::account_id.eq(accounts::id.nullable()))
        .filter(deposit_refunds::state.eq(RefundState::Held));
    let ids = accounts::table
        .filter(accounts::id.between(first, last))
        .filter(accounts::closing_at.le(before))
        .filter(accounts::closing_waives_balance.or(accounts::available_nanousd.le(NanoUsd::ZERO)))
        .filter(not(exists(open)).and(not(exists(unfinal))).and(not(exists(held))))
        .order(accounts::closing_at)
        .limit(limit)
        .select(accounts::id)
        .load(conn)?;
    Ok(ids)
}
