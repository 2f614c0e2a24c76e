//! What enough providers could not read or agree on: rows and queries. One that lasts is a case for
//! a person.

use diesel::prelude::*;

use super::deposits::DepositRow;
use crate::db::schema::{deposit_cases, deposit_claims, deposits};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit_case::{CaseKind, CaseState};
use crate::domain::evm::{ChainId, TxHash};
use crate::domain::ids::AccountId;

/// A case, or what may become one, as the table holds it.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = deposit_cases, treat_none_as_null = true)]
pub struct CaseRow {
    /// Row number, never shown. 0 in a row that is to be inserted.
    #[diesel(skip_insertion, skip_update)]
    pub id: i64,
    /// The name that people use.
    pub public_id: String,
    /// The chain.
    pub chain_id: ChainId,
    /// The transaction.
    pub tx_hash: TxHash,
    /// What it is about.
    pub kind: CaseKind,
    /// The deposit's, where it is about one; else 0.
    pub ordinal: i64,
    /// Where it stands.
    pub state: CaseState,
    /// Where the transaction was seen, if that is known.
    pub block_number: Option<i64>,
    /// What was said about it last.
    pub detail: String,
    /// Since when it is so.
    pub doubted_at: UnixMillis,
    /// When it became a case.
    pub opened_at: Option<UnixMillis>,
    /// When the row was last changed.
    pub updated_at: UnixMillis,
}

/// What a row is about: transaction, kind, ordinal.
pub type Subject = (TxHash, CaseKind, i64);

impl CaseRow {
    /// What it is about.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        (self.tx_hash, self.kind, self.ordinal)
    }
}

/// Stores a row unless there is one about the same.
pub fn insert(conn: &mut AnyConnection, row: &CaseRow) -> Result<(), DbError> {
    on_either!(conn => diesel::insert_into(deposit_cases::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(())
}

/// Writes a row over the one of the same number, if that is still in the state `from`. Whether it
/// was.
pub fn change(
    conn: &mut AnyConnection,
    row: &CaseRow,
    from: CaseState,
    now: UnixMillis,
) -> Result<bool, DbError> {
    let current = deposit_cases::table
        .filter(deposit_cases::id.eq(row.id))
        .filter(deposit_cases::state.eq(from));
    let next = CaseRow { updated_at: now, ..row.clone() };
    Ok(diesel::update(current).set(next).execute(conn)? > 0)
}

/// The row about something.
pub fn about(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    (tx_hash, kind, ordinal): Subject,
) -> Result<Option<CaseRow>, DbError> {
    let row = deposit_cases::table
        .filter(deposit_cases::chain_id.eq(chain_id))
        .filter(deposit_cases::tx_hash.eq(tx_hash))
        .filter(deposit_cases::kind.eq(kind))
        .filter(deposit_cases::ordinal.eq(ordinal))
        .select(CaseRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// Forgets what is settled. One that was dismissed stays, as what a person has decided.
pub fn forget(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    (tx_hash, kind, ordinal): Subject,
) -> Result<(), DbError> {
    let settled = deposit_cases::table
        .filter(deposit_cases::chain_id.eq(chain_id))
        .filter(deposit_cases::tx_hash.eq(tx_hash))
        .filter(deposit_cases::kind.eq(kind))
        .filter(deposit_cases::ordinal.eq(ordinal))
        .filter(deposit_cases::state.ne(CaseState::Dismissed));
    diesel::delete(settled).execute(conn)?;
    Ok(())
}

/// Forgets what is settled about a deposit, as [`forget`] does.
pub fn forget_deposit(conn: &mut AnyConnection, row: &DepositRow) -> Result<(), DbError> {
    forget(conn, row.chain_id, (row.tx_hash, CaseKind::Deposit, row.ordinal))
}

/// Every row of a chain.
pub fn of_chain(conn: &mut AnyConnection, chain_id: ChainId) -> Result<Vec<CaseRow>, DbError> {
    let rows = deposit_cases::table
        .filter(deposit_cases::chain_id.eq(chain_id))
        .order(deposit_cases::id)
        .select(CaseRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// The row of a public name.
pub fn find(conn: &mut AnyConnection, public_id: &str) -> Result<Option<CaseRow>, DbError> {
    let row = deposit_cases::table
        .filter(deposit_cases::public_id.eq(public_id))
        .select(CaseRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// A page of the rows in a state, oldest first, beginning above the row number `after`.
pub fn page(
    conn: &mut AnyConnection,
    state: CaseState,
    chain_id: Option<ChainId>,
    after: i64,
    limit: i64,
) -> Result<Vec<CaseRow>, DbError> {
    let mut query = deposit_cases::table
        .filter(deposit_cases::id.gt(after))
        .filter(deposit_cases::state.eq(state))
        .order(deposit_cases::id)
        .limit(limit)
        .select(CaseRow::as_select())
        .into_boxed();
    if let Some(chain_id) = chain_id {
        query = query.filter(deposit_cases::chain_id.eq(chain_id));
    }
    Ok(query.load(conn)?)
}

/// How many open cases come of claims of an account.
pub fn count_of_claimant(conn: &mut AnyConnection, id: AccountId) -> Result<i64, DbError> {
    let claimed = deposit_claims::table
        .filter(deposit_claims::account_id.eq(id))
        .filter(deposit_claims::chain_id.eq(deposit_cases::chain_id))
        .filter(deposit_claims::tx_hash.eq(deposit_cases::tx_hash));
    let count = deposit_cases::table
        .filter(deposit_cases::kind.eq(CaseKind::Claim))
        .filter(deposit_cases::state.eq(CaseState::Open))
        .filter(diesel::dsl::exists(claimed))
        .count()
        .get_result(conn)?;
    Ok(count)
}

/// Forgets what is about transactions of an account that is erased. Must run before its deposits
/// and claims go.
pub fn erase(conn: &mut AnyConnection, id: AccountId) -> Result<(), DbError> {
    let claimed = deposit_claims::table
        .filter(deposit_claims::account_id.eq(id))
        .filter(deposit_claims::chain_id.eq(deposit_cases::chain_id))
        .filter(deposit_claims::tx_hash.eq(deposit_cases::tx_hash));
    let paid = deposits::table
        .filter(deposits::account_id.eq(id))
        .filter(deposits::chain_id.eq(deposit_cases::chain_id))
        .filter(deposits::tx_hash.eq(deposit_cases::tx_hash));
    diesel::delete(deposit_cases::table.filter(diesel::dsl::exists(claimed))).execute(conn)?;
    diesel::delete(deposit_cases::table.filter(diesel::dsl::exists(paid))).execute(conn)?;
    Ok(())
}
