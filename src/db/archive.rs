//! An account's rows, page by page, for the archive of everything that is held on it: the queries
//! that nothing else asks.

use diesel::prelude::*;

use super::books::{PassRow, ReservationRow};
use super::models::api_keys::ApiKeyRow;
use super::models::audit::AuditRow;
use super::models::deposit_refunds::RefundRow;
use super::models::deposits::DepositRow;
use super::models::outbox::OutboxRow;
use super::models::refused_requests::RefusedRow;
use super::models::sessions::SessionRow;
use super::models::wallets::{ChallengeRow, WalletRow};
use super::schema::{
    accounts, api_keys, audit_log, deposit_refunds, deposits, email_tokens, log_in_steps, outbox,
    refused_requests, reservations, sessions, usage_logs, usage_passes, wallet_challenges, wallets,
};
use super::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;

/// A page's rows, each with the key behind which the next page begins.
pub type ArchivePage<Key, Row> = Result<Vec<(Key, Row)>, DbError>;

/// What else is stored with an account than its balance and what it logs in with.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub struct OtherColumns {
    /// Since when a second factor is asked for.
    pub totp_enabled_at: Option<UnixMillis>,
    /// The step of the code that was used last, of half a minute each.
    pub totp_last_step: Option<i64>,
    /// Below which balance a mail goes out.
    pub low_balance_nanousd: Option<NanoUsd>,
    /// Whether mail goes out that is not about security or policy.
    pub wants_notices: bool,
    /// When its deletion was asked for.
    pub closing_at: Option<UnixMillis>,
    /// Whether it may be erased with whatever is left on it.
    pub closing_waives_balance: bool,
    /// When its owner was last told of unusual spending.
    pub spend_notified_at: Option<UnixMillis>,
    /// When its owner was last told that credit runs low.
    pub low_balance_notified_at: Option<UnixMillis>,
    /// When its owner was last told of a credited deposit that is not large.
    pub deposit_notified_at: Option<UnixMillis>,
    /// The same of one that is held or was undone.
    pub deposit_trouble_notified_at: Option<UnixMillis>,
    /// When a password was set by a link that nobody has logged in with yet.
    pub log_in_expected_at: Option<UnixMillis>,
    /// When a request was charged for the first time.
    pub first_charged_at: Option<UnixMillis>,
    /// Wrong codes of the second factor in the window that began at the next moment.
    pub wrong_codes: i64,
    /// When the first of them was given.
    pub wrong_codes_began_at: Option<UnixMillis>,
    /// When a new password last began their count anew.
    pub wrong_codes_pardoned_at: Option<UnixMillis>,
    /// How often password, address or second factor have changed.
    pub credentials_epoch: i64,
}

/// See [`OtherColumns`].
pub fn other_columns(conn: &mut AnyConnection, id: AccountId) -> Result<OtherColumns, DbError> {
    Ok(accounts::table.find(id).select(OtherColumns::as_select()).first(conn)?)
}

/// A page of a table whose rows are numbered and belong to an account.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $table:ident, $row:ty) => {
        $(#[$doc])*
        pub fn $name(
            conn: &mut AnyConnection,
            id: AccountId,
            after: i64,
            limit: i64,
        ) -> ArchivePage<i64, $row> {
            let rows = $table::table
                .filter($table::account_id.eq(id).and($table::id.gt(after)))
                .order($table::id)
                .limit(limit)
                .select(($table::id, <$row>::as_select()))
                .load(conn)?;
            Ok(rows)
        }
    };
}

numbered! {
    /// Sessions, those among them that are over and not purged yet.
    sessions_of, sessions, SessionRow
}
numbered! {
    /// Keys, the revoked ones among them.
    keys_of, api_keys, ApiKeyRow
}
numbered! {
    /// Links to wallets, the ended ones among them.
    wallets_of, wallets, WalletRow
}
numbered! {
    /// Deposits.
    deposits_of, deposits, DepositRow
}
numbered! {
    /// Mail that waits.
    mail_of, outbox, OutboxRow
}
numbered! {
    /// What operators decided.
    decisions_of, audit_log, AuditRow
}

/// Refunds, each with the name of its deposit.
pub fn refunds_of(
    conn: &mut AnyConnection,
    id: AccountId,
    after: i64,
    limit: i64,
) -> ArchivePage<i64, (RefundRow, String)> {
    let rows: Vec<(RefundRow, String)> = deposit_refunds::table
        .inner_join(deposits::table.on(deposits::id.eq(deposit_refunds::deposit_id)))
        .filter(deposits::account_id.eq(id).and(deposit_refunds::id.gt(after)))
        .order(deposit_refunds::id)
        .limit(limit)
        .select((RefundRow::as_select(), deposits::public_id))
        .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.0.id, row)).collect())
}

/// Running exchanges, each with the name of its key.
pub fn reservations_of(
    conn: &mut AnyConnection,
    id: AccountId,
    after: &str,
    limit: i64,
) -> ArchivePage<String, (ReservationRow, String)> {
    let rows: Vec<(ReservationRow, String)> = reservations::table
        .inner_join(api_keys::table.on(api_keys::id.eq(reservations::api_key_id)))
        .filter(reservations::account_id.eq(id).and(reservations::id.gt(after)))
        .order(reservations::id)
        .limit(limit)
        .select((ReservationRow::as_select(), api_keys::public_id))
        .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.0.id.clone(), row)).collect())
}

/// Counts of refused requests, each with the public id of its key.
pub fn refusals_of(
    conn: &mut AnyConnection,
    id: AccountId,
    after: i64,
    limit: i64,
) -> ArchivePage<i64, (RefusedRow, String)> {
    let rows: Vec<(i64, (RefusedRow, String))> = refused_requests::table
        .inner_join(api_keys::table)
        .filter(refused_requests::account_id.eq(id).and(refused_requests::id.gt(after)))
        .order(refused_requests::id)
        .limit(limit)
        .select((refused_requests::id, (RefusedRow::as_select(), api_keys::public_id)))
        .load(conn)?;
    Ok(rows)
}

/// The passes of answers that took several, behind one of an exchange.
pub fn passes_of(
    conn: &mut AnyConnection,
    id: AccountId,
    (after, ordinal): (&str, i64),
    limit: i64,
) -> Result<Vec<PassRow>, DbError> {
    let is_behind = usage_passes::usage_id
        .gt(after)
        .or(usage_passes::usage_id.eq(after).and(usage_passes::ordinal.gt(ordinal)));
    let rows = usage_passes::table
        .inner_join(usage_logs::table)
        .filter(usage_logs::account_id.eq(id).and(is_behind))
        .order((usage_passes::usage_id, usage_passes::ordinal))
        .limit(limit)
        .select(PassRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Messages to sign.
pub fn challenges_of(
    conn: &mut AnyConnection,
    id: AccountId,
    after: &str,
    limit: i64,
) -> ArchivePage<String, ChallengeRow> {
    let rows = wallet_challenges::table
        .filter(wallet_challenges::account_id.eq(id).and(wallet_challenges::nonce.gt(after)))
        .order(wallet_challenges::nonce)
        .limit(limit)
        .select((wallet_challenges::nonce, ChallengeRow::as_select()))
        .load(conn)?;
    Ok(rows)
}

/// Links in mail that still work or were not purged yet, by their hashes, which go no further: what
/// for, where to, when made and when over. Those of a sign-up are their address's.
pub fn links_of(
    conn: &mut AnyConnection,
    id: AccountId,
    after: &[u8],
    limit: i64,
) -> ArchivePage<Vec<u8>, (String, String, UnixMillis, UnixMillis)> {
    let email: String = accounts::table.find(id).select(accounts::email).first(conn)?;
    let to_nobody = email_tokens::account_id.is_null().and(email_tokens::email.eq(email));
    let mine = email_tokens::account_id.eq(Some(id));
    let rows = email_tokens::table
        .filter(email_tokens::token_hash.gt(after))
        .filter(mine.or(to_nobody))
        .order(email_tokens::token_hash)
        .limit(limit)
        .select((
            email_tokens::token_hash,
            (
                email_tokens::purpose,
                email_tokens::email,
                email_tokens::created_at,
                email_tokens::expires_at,
            ),
        ))
        .load(conn)?;
    Ok(rows)
}

/// Log-ins whose second factor is still to come, by their hashes, which go no further: when they
/// are over, and the wrong codes so far.
pub fn log_ins_of(
    conn: &mut AnyConnection,
    id: AccountId,
    after: &[u8],
    limit: i64,
) -> ArchivePage<Vec<u8>, (UnixMillis, i64)> {
    let rows = log_in_steps::table
        .filter(log_in_steps::account_id.eq(id).and(log_in_steps::token_hash.gt(after)))
        .order(log_in_steps::token_hash)
        .limit(limit)
        .select((log_in_steps::token_hash, (log_in_steps::expires_at, log_in_steps::wrong_codes)))
        .load(conn)?;
    Ok(rows)
}
