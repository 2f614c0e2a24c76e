//! Claims of transaction hashes: rows and queries. Which claims are looked up next is fair between
//! accounts.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::db::schema::deposit_claims;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{ClaimReason, ClaimState};
use crate::domain::evm::{ChainId, TxHash};
use crate::domain::ids::AccountId;

/// A claim as the table holds it.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(table_name = deposit_claims)]
pub struct ClaimRow {
    /// Row number, never shown. 0 in a row that is to be inserted by [`submit`].
    #[diesel(skip_insertion)]
    pub id: i64,
    /// The name that people and APIs use.
    pub public_id: String,
    /// Who claims.
    pub account_id: AccountId,
    /// The chain.
    pub chain_id: ChainId,
    /// The transaction.
    pub tx_hash: TxHash,
    /// Where it stands.
    pub state: ClaimState,
    /// Why it stands there, where that needs a reason.
    pub reason: Option<ClaimReason>,
    /// How often it was looked up.
    pub tries: i64,
    /// When to look it up again; `None` once that is over.
    pub check_at: Option<UnixMillis>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
}

/// Stores a claim unless the account has made it before; the stored one either way.
pub fn submit(conn: &mut AnyConnection, row: &ClaimRow) -> Result<ClaimRow, DbError> {
    on_either!(conn => diesel::insert_into(deposit_claims::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    let stored = deposit_claims::table
        .filter(deposit_claims::account_id.eq(row.account_id))
        .filter(deposit_claims::chain_id.eq(row.chain_id))
        .filter(deposit_claims::tx_hash.eq(row.tx_hash))
        .select(ClaimRow::as_select())
        .first(conn)?;
    Ok(stored)
}

/// The claim that an account has made of a transaction.
pub fn of_transaction(
    conn: &mut AnyConnection,
    account_id: AccountId,
    chain_id: ChainId,
    tx_hash: TxHash,
) -> Result<Option<ClaimRow>, DbError> {
    let row = deposit_claims::table
        .filter(deposit_claims::account_id.eq(account_id))
        .filter(deposit_claims::chain_id.eq(chain_id))
        .filter(deposit_claims::tx_hash.eq(tx_hash))
        .select(ClaimRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// The claim of a public name.
pub fn find(conn: &mut AnyConnection, public_id: &str) -> Result<Option<ClaimRow>, DbError> {
    let row = deposit_claims::table
        .filter(deposit_claims::public_id.eq(public_id))
        .select(ClaimRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// A page of an account's claims, newest first, beginning below the row number `before`.
pub fn of_account(
    conn: &mut AnyConnection,
    account_id: AccountId,
    before: i64,
    limit: i64,
) -> Result<Vec<ClaimRow>, DbError> {
    let rows = deposit_claims::table
        .filter(deposit_claims::account_id.eq(account_id))
        .filter(deposit_claims::id.lt(before))
        .order(deposit_claims::id.desc())
        .limit(limit)
        .select(ClaimRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// A page of the claims of one account or of all, oldest first, beginning above the row number
/// `after`.
pub fn page(
    conn: &mut AnyConnection,
    account_id: Option<AccountId>,
    after: i64,
    limit: i64,
) -> Result<Vec<ClaimRow>, DbError> {
    let mut query = deposit_claims::table
        .filter(deposit_claims::id.gt(after))
        .order(deposit_claims::id)
        .limit(limit)
        .select(ClaimRow::as_select())
        .into_boxed();
    if let Some(account_id) = account_id {
        query = query.filter(deposit_claims::account_id.eq(account_id));
    }
    Ok(query.load(conn)?)
}

/// Everybody's claims of a transaction, oldest first.
pub fn of_hash(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
) -> Result<Vec<ClaimRow>, DbError> {
    let rows = deposit_claims::table
        .filter(deposit_claims::chain_id.eq(chain_id))
        .filter(deposit_claims::tx_hash.eq(tx_hash))
        .order(deposit_claims::id)
        .select(ClaimRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Everybody's claims of a transaction hash on whichever chain, oldest first. Reads the whole
/// table: for people who ask once.
pub fn of_any_chain(conn: &mut AnyConnection, tx_hash: TxHash) -> Result<Vec<ClaimRow>, DbError> {
    let rows = deposit_claims::table
        .filter(deposit_claims::tx_hash.eq(tx_hash))
        .order(deposit_claims::id)
        .select(ClaimRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// How many claims of each chain are still looked up, as (chain, count).
pub fn open_counts(conn: &mut AnyConnection) -> Result<Vec<(ChainId, i64)>, DbError> {
    let rows = deposit_claims::table
        .filter(deposit_claims::check_at.is_not_null())
        .group_by(deposit_claims::chain_id)
        .select((deposit_claims::chain_id, diesel::dsl::count_star()))
        .load(conn)?;
    Ok(rows)
}

/// How many claims of an account are still looked up, and how many it made since `since`.
pub fn counts(
    conn: &mut AnyConnection,
    account_id: AccountId,
    since: UnixMillis,
) -> Result<(i64, i64), DbError> {
    let mine = deposit_claims::table.filter(deposit_claims::account_id.eq(account_id));
    let open = mine.filter(deposit_claims::check_at.is_not_null()).count().get_result(conn)?;
    let recent = mine.filter(deposit_claims::created_at.ge(since)).count().get_result(conn)?;
    Ok((open, recent))
}

/// The claims to look up next: of each account the one that was tried least, then of each account
/// its second, and so on; accounts in the order in which they had their last turn, see
/// [`stand_back`]. So neither many claims of one account nor old ones that lead nowhere hold up
/// somebody's new one for longer than one turn of each other account.
pub fn due(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    now: UnixMillis,
    limit: i64,
) -> Result<Vec<ClaimRow>, DbError> {
    // Both databases take `$1`; both have window functions.
    let rows = diesel::sql_query(
        "SELECT id, public_id, account_id, chain_id, tx_hash, state, reason, tries, check_at,
            created_at, updated_at
         FROM (SELECT deposit_claims.*, ROW_NUMBER() OVER
                   (PARTITION BY account_id ORDER BY tries, check_at, id) AS turn
               FROM deposit_claims WHERE chain_id = $1 AND check_at <= $2) AS waiting
         ORDER BY turn, check_at, tries, id LIMIT $3",
    )
    .bind::<BigInt, _>(chain_id)
    .bind::<BigInt, _>(now)
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    Ok(rows)
}

/// Lets the waiting claims of an account, which has its turn now, wait from now on.
pub fn stand_back(
    conn: &mut AnyConnection,
    account_id: AccountId,
    chain_id: ChainId,
    now: UnixMillis,
) -> Result<(), DbError> {
    let waiting = deposit_claims::table
        .filter(deposit_claims::account_id.eq(account_id))
        .filter(deposit_claims::chain_id.eq(chain_id))
        .filter(deposit_claims::check_at.lt(now));
    diesel::update(waiting).set(deposit_claims::check_at.eq(now)).execute(conn)?;
    Ok(())
}

/// Writes what a look-up found.
pub fn set_state(
    conn: &mut AnyConnection,
    id: i64,
    state: ClaimState,
    reason: Option<ClaimReason>,
    check_at: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<(), DbError> {
    diesel::update(deposit_claims::table.find(id))
        .set((
            deposit_claims::state.eq(state),
            deposit_claims::reason.eq(reason),
            deposit_claims::tries.eq(deposit_claims::tries + 1),
            deposit_claims::check_at.eq(check_at),
            deposit_claims::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Begins the look-ups of a refused claim anew.
pub fn reopen(conn: &mut AnyConnection, id: i64, now: UnixMillis) -> Result<(), DbError> {
    diesel::update(deposit_claims::table.find(id))
        .set((
            deposit_claims::state.eq(ClaimState::Submitted),
            deposit_claims::reason.eq(None::<ClaimReason>),
            deposit_claims::tries.eq(0),
            deposit_claims::check_at.eq(now),
            // It counts against the hour like a new one.
            deposit_claims::created_at.eq(now),
            deposit_claims::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Begins the look-ups of claims anew that were given up since their transaction could not be read.
pub fn reopen_unreadable(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
    now: UnixMillis,
) -> Result<(), DbError> {
    for claim in of_hash(conn, chain_id, tx_hash)? {
        if claim.reason == Some(ClaimReason::Unreadable) {
            reopen(conn, claim.id, now)?;
        }
    }
    Ok(())
}

/// Refuses the claims of a transaction that belong to none of `accounts`, whose deposits it holds.
pub fn refuse_others(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
    accounts: &[AccountId],
    now: UnixMillis,
) -> Result<(), DbError> {
    let of_others = deposit_claims::table
        .filter(deposit_claims::chain_id.eq(chain_id))
        .filter(deposit_claims::tx_hash.eq(tx_hash))
        .filter(deposit_claims::account_id.ne_all(accounts));
    diesel::update(of_others)
        .set((
            deposit_claims::state.eq(ClaimState::Rejected),
            deposit_claims::reason.eq(ClaimReason::OtherAccount),
            deposit_claims::check_at.eq(None::<UnixMillis>),
            deposit_claims::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Tells every claim of a transaction that deposits were found in it.
pub fn match_all(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
    now: UnixMillis,
) -> Result<(), DbError> {
    let of_it = deposit_claims::table
        .filter(deposit_claims::chain_id.eq(chain_id))
        .filter(deposit_claims::tx_hash.eq(tx_hash));
    diesel::update(of_it)
        .set((
            deposit_claims::state.eq(ClaimState::Matched),
            deposit_claims::reason.eq(None::<ClaimReason>),
            deposit_claims::check_at.eq(None::<UnixMillis>),
            deposit_claims::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}
