//! Wallets that accounts have proven, and the challenges for proving them: rows and queries.

use diesel::prelude::*;

use super::journal;
use crate::db::schema::{wallet_challenges, wallets};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{ChainId, EvmAddress};
use crate::domain::ids::AccountId;
use crate::domain::journal_event::JournalEvent;

/// `chain_id` of a key pair, which is the same on every chain.
pub const EVERY_CHAIN: ChainId = ChainId(0);

/// A link between a wallet and an account, in force or ended.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = wallets)]
pub struct WalletRow {
    /// Row number, never shown. 0 in a row that is to be inserted by [`link`].
    #[diesel(skip_insertion)]
    pub id: i64,
    /// The name that people and APIs use.
    pub public_id: String,
    /// Whose wallet it is, or was.
    pub account_id: AccountId,
    /// `eoa` or `contract`.
    pub kind: String,
    /// The chain of a contract; [`EVERY_CHAIN`] for a key pair.
    pub chain_id: ChainId,
    /// Its address.
    pub address: EvmAddress,
    /// Of a contract: the hash that it was asked about.
    pub proof_hash: Option<Vec<u8>>,
    /// Of a contract: the signature that it accepted.
    pub proof_signature: Option<Vec<u8>>,
    /// Since when.
    pub proven_at: UnixMillis,
    /// Until when, if it has ended.
    pub ended_at: Option<UnixMillis>,
    /// `unlinked` by its account, or `moved` to another.
    pub end_reason: Option<String>,
    /// What its owner calls it.
    pub label: Option<String>,
}

/// The link of a row number.
pub fn get(conn: &mut AnyConnection, id: i64) -> Result<Option<WalletRow>, DbError> {
    Ok(wallets::table.find(id).select(WalletRow::as_select()).first(conn).optional()?)
}

/// A link of an account by its public name.
pub fn find(
    conn: &mut AnyConnection,
    account_id: AccountId,
    public_id: &str,
) -> Result<Option<WalletRow>, DbError> {
    let row = wallets::table
        .filter(wallets::public_id.eq(public_id).and(wallets::account_id.eq(account_id)))
        .select(WalletRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// The link in force of a wallet, as it is told apart: a key pair by its address, a contract by
/// chain and address.
pub fn in_force(
    conn: &mut AnyConnection,
    address: EvmAddress,
    chain_id: ChainId,
) -> Result<Option<WalletRow>, DbError> {
    let row = wallets::table
        .filter(wallets::address.eq(address))
        .filter(wallets::chain_id.eq(chain_id))
        .filter(wallets::ended_at.is_null())
        .select(WalletRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// The links of an account, newest first: those in force, and those that were moved away from it.
pub fn of_account(
    conn: &mut AnyConnection,
    account_id: AccountId,
) -> Result<Vec<WalletRow>, DbError> {
    let rows = wallets::table
        .filter(wallets::account_id.eq(account_id))
        .filter(wallets::ended_at.is_null().or(wallets::end_reason.eq("moved")))
        .order(wallets::id.desc())
        .select(WalletRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// How many wallets an account has in force.
pub fn count(conn: &mut AnyConnection, account_id: AccountId) -> Result<i64, DbError> {
    let mine = wallets::table
        .filter(wallets::account_id.eq(account_id))
        .filter(wallets::ended_at.is_null());
    Ok(mine.count().get_result(conn)?)
}

/// Stores a link.
///
/// # Errors
/// [`DbError::Query`]; a second one in force is one.
pub fn link(conn: &mut AnyConnection, row: &WalletRow) -> Result<(), DbError> {
    diesel::insert_into(wallets::table).values(row).execute(conn)?;
    Ok(())
}

/// Ends a link that is in force; whether it was.
pub fn end(
    conn: &mut AnyConnection,
    id: i64,
    reason: &str,
    now: UnixMillis,
) -> Result<bool, DbError> {
    let current = wallets::table.filter(wallets::id.eq(id).and(wallets::ended_at.is_null()));
    let ended = diesel::update(current)
        .set((wallets::ended_at.eq(now), wallets::end_reason.eq(reason)))
        .execute(conn)?;
    if ended == 0 {
        return Ok(false);
    }
    let wallet = wallets::table.find(id).select(wallets::public_id).first(conn)?;
    journal::note(conn, &JournalEvent::WalletEnded { wallet })?;
    Ok(true)
}

/// Names a link in force of an account, or takes its name away; whether there was one.
pub fn set_label(
    conn: &mut AnyConnection,
    account_id: AccountId,
    public_id: &str,
    label: Option<&str>,
) -> Result<bool, DbError> {
    let current = wallets::table
        .filter(wallets::public_id.eq(public_id).and(wallets::account_id.eq(account_id)))
        .filter(wallets::ended_at.is_null());
    Ok(diesel::update(current).set(wallets::label.eq(label)).execute(conn)? > 0)
}

/// The link of a public name, whoever has it.
pub fn named(conn: &mut AnyConnection, public_id: &str) -> Result<Option<WalletRow>, DbError> {
    let named = wallets::table.filter(wallets::public_id.eq(public_id));
    Ok(named.select(WalletRow::as_select()).first(conn).optional()?)
}

/// A nonce that was given out.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = wallet_challenges)]
pub struct ChallengeRow {
    /// Random letters and digits.
    pub nonce: String,
    /// To whom.
    pub account_id: AccountId,
    /// For a proof on this chain.
    pub chain_id: ChainId,
    /// Of this address.
    pub address: EvmAddress,
    /// When.
    pub issued_at: UnixMillis,
    /// Until when it counts.
    pub expires_at: UnixMillis,
    /// When it was used, if it was.
    pub used_at: Option<UnixMillis>,
}

/// Stores a challenge, and forgets those that ran out before `forget_before`.
pub fn issue(
    conn: &mut AnyConnection,
    row: &ChallengeRow,
    forget_before: UnixMillis,
) -> Result<(), DbError> {
    let old = wallet_challenges::table.filter(wallet_challenges::expires_at.lt(forget_before));
    diesel::delete(old).execute(conn)?;
    diesel::insert_into(wallet_challenges::table).values(row).execute(conn)?;
    Ok(())
}

/// The challenge of a nonce.
pub fn challenge(conn: &mut AnyConnection, nonce: &str) -> Result<Option<ChallengeRow>, DbError> {
    let row = wallet_challenges::table
        .find(nonce)
        .select(ChallengeRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// How many challenges an account got since `since`.
pub fn challenges_since(
    conn: &mut AnyConnection,
    account_id: AccountId,
    since: UnixMillis,
) -> Result<i64, DbError> {
    let recent = wallet_challenges::table
        .filter(wallet_challenges::account_id.eq(account_id))
        .filter(wallet_challenges::issued_at.ge(since));
    Ok(recent.count().get_result(conn)?)
}

/// Uses a nonce up; `false` if it had been.
pub fn use_up(conn: &mut AnyConnection, nonce: &str, now: UnixMillis) -> Result<bool, DbError> {
    let unused = wallet_challenges::table
        .filter(wallet_challenges::nonce.eq(nonce).and(wallet_challenges::used_at.is_null()));
    let used = diesel::update(unused).set(wallet_challenges::used_at.eq(now)).execute(conn)?;
    Ok(used > 0)
}
