//! Whose turn it is: deposits that are to be moved on, in an order that is fair between those who
//! pay; and what a whole transaction's deposits need to get their owners at once.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};

use super::deposits::DepositRow;
use super::wallets::{EVERY_CHAIN, WalletRow};
use crate::db::schema::{deposit_addresses, deposits, wallets};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState};
use crate::domain::evm::{ChainId, EvmAddress, TxHash};
use crate::domain::ids::AccountId;

/// Values in one list of a statement.
const LIST: usize = 500;

#[derive(QueryableByName)]
struct Transaction {
    #[diesel(sql_type = Binary)]
    tx_hash: TxHash,
}

/// Transactions with deposits that have no owner yet: of each payer the one that has waited
/// longest, then of each payer its second, and so on. So neither who pays often nor who pays in
/// many pieces holds up anybody else.
pub fn seen(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    now: UnixMillis,
    limit: i64,
) -> Result<Vec<TxHash>, DbError> {
    // Both databases take `$1`; both have window functions.
    let found: Vec<Transaction> = diesel::sql_query(
        "SELECT tx_hash
         FROM (SELECT tx_hash, first_at, first_id,
                      ROW_NUMBER() OVER (PARTITION BY payer ORDER BY first_at, first_id) AS turn
               FROM (SELECT tx_hash, payer, MIN(check_at) AS first_at, MIN(id) AS first_id
                     FROM deposits WHERE chain_id = $1 AND state = 'seen' AND check_at <= $2
                     GROUP BY tx_hash, payer) AS transactions) AS waiting
         GROUP BY tx_hash ORDER BY MIN(turn), MIN(first_at), MIN(first_id) LIMIT $3",
    )
    .bind::<BigInt, _>(chain_id)
    .bind::<BigInt, _>(now)
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    Ok(found.into_iter().map(|one| one.tx_hash).collect())
}

/// What confirms in blocks above `above` up to `up_to`: of each account the one that has waited
/// longest, then of each account its second, and so on. So an account that pays often and little
/// holds up nobody else. The deposits of a transaction are looked at together: each transaction has
/// one turn before any has its second, whatever the number of its accounts.
pub fn confirming(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    (above, up_to): (i64, i64),
    now: UnixMillis,
    limit: i64,
) -> Result<Vec<DepositRow>, DbError> {
    // Both databases take `$1`; both have window functions.
    let rows = diesel::sql_query(
        "SELECT id, public_id, chain_id, tx_hash, ordinal, token, payer, payee, raw_amount,
            block_number, block_hash,
                block_time, state, reason, account_id, wallet_id, value_nanousd, price_feed,
                price_round, price_answer,
                credit_number, revision, check_at, created_at, updated_at, early_credit_at,
                early_value_nanousd, is_provisional
         FROM (SELECT of_accounts.*,
                      ROW_NUMBER() OVER (PARTITION BY tx_hash ORDER BY turn, check_at, id) AS
                      tx_turn
               FROM (SELECT deposits.*, ROW_NUMBER() OVER (PARTITION BY account_id ORDER BY
               check_at, id) AS turn
                     FROM deposits WHERE chain_id = $1 AND state = 'confirming' AND block_number >
                     $2
                                     AND block_number <= $3 AND check_at <= $4) AS of_accounts) AS
                                     waiting
         ORDER BY tx_turn, turn, check_at, id LIMIT $5",
    )
    .bind::<BigInt, _>(chain_id)
    .bind::<BigInt, _>(above)
    .bind::<BigInt, _>(up_to)
    .bind::<BigInt, _>(now)
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    Ok(rows)
}

/// Deposits of one transaction that confirm and are due, in the order of their ordinals: they are
/// looked at together.
pub fn confirming_of(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
    (final_number, now): (i64, UnixMillis),
    limit: i64,
) -> Result<Vec<DepositRow>, DbError> {
    let rows = deposits::table
        .filter(deposits::chain_id.eq(chain_id))
        .filter(deposits::tx_hash.eq(tx_hash))
        .filter(deposits::state.eq(DepositState::Confirming))
        .filter(deposits::block_number.le(final_number))
        .filter(deposits::check_at.le(now))
        .order((deposits::check_at, deposits::ordinal))
        .limit(limit)
        .select(DepositRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Deposits of a chain that nobody has although their payer was proven at their time or since.
pub fn overlooked(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    limit: i64,
) -> Result<Vec<DepositRow>, DbError> {
    let proof = wallets::table
        .filter(wallets::address.eq(deposits::payer))
        .filter(wallets::chain_id.eq_any([EVERY_CHAIN, chain_id]))
        .filter(
            wallets::ended_at.is_null().or(wallets::ended_at.gt(deposits::block_time.nullable())),
        );
    let rows = deposits::table
        .filter(deposits::chain_id.eq(chain_id))
        .filter(deposits::state.eq(DepositState::Unattributed))
        .filter(diesel::dsl::exists(proof))
        .order(deposits::id)
        .limit(limit)
        .select(DepositRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// An address with the account that it was derived for.
pub type DerivedAddress = (EvmAddress, Option<AccountId>);

/// Of these addresses the ones that were derived for accounts, with whose each is; `None` for one
/// that is gone.
pub fn derived_among(
    conn: &mut AnyConnection,
    addresses: &[EvmAddress],
) -> Result<Vec<DerivedAddress>, DbError> {
    let mut found = Vec::new();
    for some in addresses.chunks(LIST) {
        let rows: Vec<DerivedAddress> = deposit_addresses::table
            .filter(deposit_addresses::address.eq_any(some))
            .select((deposit_addresses::address, deposit_addresses::account_id))
            .load(conn)?;
        found.extend(rows);
    }
    Ok(found)
}

/// Every link of these addresses that counts on a chain, in the order of their proofs.
pub fn links_among(
    conn: &mut AnyConnection,
    addresses: &[EvmAddress],
    chain_id: ChainId,
) -> Result<Vec<WalletRow>, DbError> {
    let mut found = Vec::new();
    for some in addresses.chunks(LIST) {
        let rows = wallets::table
            .filter(wallets::address.eq_any(some))
            .filter(wallets::chain_id.eq_any([EVERY_CHAIN, chain_id]))
            .order((wallets::proven_at, wallets::id))
            .select(WalletRow::as_select())
            .load(conn)?;
        found.extend(rows);
    }
    Ok(found)
}

/// What deposits that were seen are from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Their state.
    pub state: DepositState,
    /// Why.
    pub reason: Option<DepositReason>,
    /// Whose they are.
    pub account_id: Option<AccountId>,
    /// The link that says so.
    pub wallet_id: Option<i64>,
}

/// Gives an owner to deposits that were seen and still are, of the revision in which they were
/// read. Whether all were.
pub fn hand_over(
    conn: &mut AnyConnection,
    (ids, revision): (&[i64], i64),
    owner: Owner,
    now: UnixMillis,
) -> Result<bool, DbError> {
    let mut changed = 0_usize;
    for some in ids.chunks(LIST) {
        let seen = deposits::table
            .filter(deposits::id.eq_any(some))
            .filter(deposits::revision.eq(revision))
            .filter(deposits::state.eq(DepositState::Seen));
        let rows = diesel::update(seen)
            .set((
                deposits::state.eq(owner.state.as_str()),
                deposits::reason.eq(owner.reason),
                deposits::account_id.eq(owner.account_id),
                deposits::wallet_id.eq(owner.wallet_id),
                deposits::check_at.eq(now),
                deposits::revision.eq(deposits::revision + 1),
                deposits::updated_at.eq(now),
            ))
            .execute(conn)?;
        changed = changed.saturating_add(rows);
    }
    Ok(changed == ids.len())
}
