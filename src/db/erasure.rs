//! The end of an account's rows, table by table. What stays says nothing of anybody: of a deposit a
//! keyed hash of its place on the chain, so that it cannot be credited again; of a derived address
//! that it was issued; of an operator's decision that it was made.

use diesel::prelude::*;

use super::models::deposits::DepositRow;
use super::models::{deposit_cases, journal, tombstones};
use super::schema::{
    accounts, api_keys, audit_log, deposit_addresses, deposit_claims, deposit_refunds, deposits,
    email_tokens, ledger_entries, log_in_steps, outbox, recovery_codes, refused_requests, sessions,
    unsubscribe_tokens, usage_logs, wallet_challenges, wallets,
};
use super::{AnyConnection, DbError};
use crate::domain::email_address::spellings;
use crate::domain::ids::AccountId;
use crate::domain::journal_event::JournalEvent;
use crate::domain::tombstone::TombstoneKey;

/// Erases an account and all that is its own. Must run in a write transaction that has found it
/// due: what still refers to it makes this fail as a whole.
///
/// # Errors
/// [`DbError::Query`], [`DbError::OtherSecret`].
pub fn erase(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    id: AccountId,
    email: &str,
) -> Result<(), DbError> {
    deposit_cases::erase(conn, id)?;
    bury_deposits(conn, key, id)?;
    let own = super::models::deposit_addresses::of_account(conn, id)?;
    diesel::update(deposit_addresses::table.filter(deposit_addresses::account_id.eq(id)))
        .set(deposit_addresses::account_id.eq(None::<AccountId>))
        .execute(conn)?;
    // After that, which waits for whoever is just writing about the address.
    if let Some(own) = own {
        super::models::arrivals::forget_address(conn, own.address)?;
    }
    diesel::update(audit_log::table.filter(audit_log::account_id.eq(id)))
        // Words that somebody has typed may name a person.
        .set((audit_log::account_id.eq(None::<AccountId>), audit_log::detail.eq("")))
        .execute(conn)?;

    diesel::delete(deposit_claims::table.filter(deposit_claims::account_id.eq(id)))
        .execute(conn)?;
    diesel::delete(wallet_challenges::table.filter(wallet_challenges::account_id.eq(id)))
        .execute(conn)?;
    diesel::delete(wallets::table.filter(wallets::account_id.eq(id))).execute(conn)?;

    diesel::delete(usage_logs::table.filter(usage_logs::account_id.eq(id))).execute(conn)?;
    diesel::delete(ledger_entries::table.filter(ledger_entries::account_id.eq(id)))
        .execute(conn)?;
    diesel::delete(refused_requests::table.filter(refused_requests::account_id.eq(id)))
        .execute(conn)?;
    diesel::delete(api_keys::table.filter(api_keys::account_id.eq(id))).execute(conn)?;

    diesel::delete(sessions::table.filter(sessions::account_id.eq(id))).execute(conn)?;
    diesel::delete(log_in_steps::table.filter(log_in_steps::account_id.eq(id))).execute(conn)?;
    diesel::delete(recovery_codes::table.filter(recovery_codes::account_id.eq(id)))
        .execute(conn)?;
    // Whatever else was on its way to that mailbox is not wanted any more either.
    let spellings = spellings(email);
    let links = email_tokens::account_id.eq(id).or(email_tokens::email.eq_any(&spellings));
    diesel::delete(email_tokens::table.filter(links)).execute(conn)?;
    diesel::delete(unsubscribe_tokens::table.filter(unsubscribe_tokens::account_id.eq(id)))
        .execute(conn)?;
    let mails = outbox::account_id.eq(id).or(outbox::recipient.eq_any(&spellings));
    diesel::delete(outbox::table.filter(mails)).execute(conn)?;

    diesel::delete(accounts::table.find(id)).execute(conn)?;
    journal::note(conn, &JournalEvent::AccountErased { account: id })
}

/// Leaves of each deposit what keeps it from being credited again.
fn bury_deposits(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    id: AccountId,
) -> Result<(), DbError> {
    let mine: Vec<DepositRow> = deposits::table
        .filter(deposits::account_id.eq(id))
        .select(DepositRow::as_select())
        .load(conn)?;
    let ids: Vec<i64> = mine.iter().map(|row| row.id).collect();
    diesel::delete(deposit_refunds::table.filter(deposit_refunds::deposit_id.eq_any(&ids)))
        .execute(conn)?;
    tombstones::bury(conn, key, &mine)?;
    tombstones::delete(conn, &mine)
}
