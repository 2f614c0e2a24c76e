//! The end of an account's rows, table by table. What stays says nothing of anybody: of a deposit its place on the
//! chain, so that it cannot be credited again; of a derived address that it was issued; of an operator's decision that
//! it was made.

use diesel::prelude::*;

use super::schema::{
    accounts, api_keys, audit_log, deposit_addresses, deposit_claims, deposit_refunds, deposits,
    email_tokens, ledger_entries, log_in_steps, outbox, recovery_codes, sessions,
    unsubscribe_tokens, usage_logs, wallet_challenges, wallets,
};
use super::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState};
use crate::domain::evm::EvmAddress;
use crate::domain::ids::AccountId;

/// Erases an account and all that is its own. Must run in a write transaction that has found it due: what still refers
/// to it makes this fail as a whole.
///
/// # Errors
/// [`DbError::Query`].
pub fn erase(
    conn: &mut AnyConnection,
    id: AccountId,
    email: &str,
    now: UnixMillis,
) -> Result<(), DbError> {
    erase_deposits(conn, id, now)?;
    let AccountId(id) = id;
    diesel::update(deposit_addresses::table.filter(deposit_addresses::account_id.eq(id)))
        .set(deposit_addresses::account_id.eq(None::<i64>))
        .execute(conn)?;
    diesel::update(audit_log::table.filter(audit_log::account_id.eq(id)))
        .set(audit_log::account_id.eq(None::<i64>))
        .execute(conn)?;

    diesel::delete(deposit_claims::table.filter(deposit_claims::account_id.eq(id)))
        .execute(conn)?;
    diesel::delete(wallet_challenges::table.filter(wallet_challenges::account_id.eq(id)))
        .execute(conn)?;
    diesel::delete(wallets::table.filter(wallets::account_id.eq(id))).execute(conn)?;

    diesel::delete(usage_logs::table.filter(usage_logs::account_id.eq(id))).execute(conn)?;
    diesel::delete(ledger_entries::table.filter(ledger_entries::account_id.eq(id)))
        .execute(conn)?;
    diesel::delete(api_keys::table.filter(api_keys::account_id.eq(id))).execute(conn)?;

    diesel::delete(sessions::table.filter(sessions::account_id.eq(id))).execute(conn)?;
    diesel::delete(log_in_steps::table.filter(log_in_steps::account_id.eq(id))).execute(conn)?;
    diesel::delete(recovery_codes::table.filter(recovery_codes::account_id.eq(id)))
        .execute(conn)?;
    // Whatever else was on its way to that address is not wanted any more either.
    let links = email_tokens::account_id.eq(id).or(email_tokens::email.eq(email));
    diesel::delete(email_tokens::table.filter(links)).execute(conn)?;
    diesel::delete(unsubscribe_tokens::table.filter(unsubscribe_tokens::account_id.eq(id)))
        .execute(conn)?;
    let mails = outbox::account_id.eq(id).or(outbox::recipient.eq(email));
    diesel::delete(outbox::table.filter(mails)).execute(conn)?;

    diesel::delete(accounts::table.find(id)).execute(conn)?;
    Ok(())
}

/// Leaves of each deposit what keeps it from being credited again, and no name, value or payer.
fn erase_deposits(
    conn: &mut AnyConnection,
    AccountId(id): AccountId,
    now: UnixMillis,
) -> Result<(), DbError> {
    let mine: Vec<i64> =
        deposits::table.filter(deposits::account_id.eq(id)).select(deposits::id).load(conn)?;
    diesel::delete(deposit_refunds::table.filter(deposit_refunds::deposit_id.eq_any(&mine)))
        .execute(conn)?;
    // What has left the chain may be mined again: then it is a new transfer of nobody's.
    let gone = [DepositState::Orphaned, DepositState::Reversed].map(DepositState::as_str);
    diesel::update(deposits::table.filter(deposits::id.eq_any(&mine)))
        .filter(deposits::state.ne_all(gone))
        .set((
            deposits::state.eq(DepositState::Erased.as_str()),
            deposits::reason.eq(DepositReason::ErasedAccount.as_str()),
        ))
        .execute(conn)?;
    diesel::update(deposits::table.filter(deposits::id.eq_any(&mine)))
        .set((
            deposits::payer.eq(EvmAddress::ZERO.as_bytes()),
            deposits::raw_amount.eq("0"),
            deposits::account_id.eq(None::<i64>),
            deposits::wallet_id.eq(None::<i64>),
            deposits::value_nanousd.eq(None::<i64>),
            deposits::price_feed.eq(None::<Vec<u8>>),
            deposits::price_round.eq(None::<String>),
            deposits::price_answer.eq(None::<String>),
            // Its entries go too, and the books count both.
            deposits::credit_number.eq(0),
            deposits::revision.eq(deposits::revision + 1),
            deposits::updated_at.eq(now.as_millis()),
        ))
        .execute(conn)?;
    Ok(())
}
