//! Deposits: rows and queries. A row changes only from the revision that was read, so that two who
//! decide at once cannot both be right.

use diesel::prelude::*;

use crate::db::schema::{deposit_refunds, deposits};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState, RefundState};
use crate::domain::evm::{BlockHash, ChainId, EvmAddress, RawAmount, TxHash};
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;

/// How long at most a credit that came early keeps its account from being erased and itself from
/// being paid back, in milliseconds: a week.
pub const PROVISIONAL_MAX: i64 = 7 * 86_400_000;

/// A deposit as the table holds it.
#[derive(
    Clone, Debug, PartialEq, Eq, Queryable, QueryableByName, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = deposits, treat_none_as_null = true)]
pub struct DepositRow {
    /// Row number, never shown. 0 in a row that is to be inserted by [`insert`].
    #[diesel(skip_insertion)]
    pub id: i64,
    /// The name that people and APIs use.
    pub public_id: String,
    /// The chain.
    pub chain_id: ChainId,
    /// The transaction.
    pub tx_hash: TxHash,
    /// Place of the log within its receipt, or −1−k for the k-th value-carrying call.
    pub ordinal: i64,
    /// The token's contract; `None` for the native coin.
    pub token: Option<EvmAddress>,
    /// Who paid: the log's sender, or the call's.
    pub payer: EvmAddress,
    /// Which of our addresses got it.
    pub payee: EvmAddress,
    /// In the smallest unit.
    pub raw_amount: RawAmount,
    /// The block it is in, or was in.
    pub block_number: i64,
    /// That block's hash.
    pub block_hash: BlockHash,
    /// That block's time in milliseconds since the epoch.
    pub block_time: UnixMillis,
    /// Where it stands.
    pub state: DepositState,
    /// Why it stands there, where that needs a reason.
    pub reason: Option<DepositReason>,
    /// Whose it is, once that is known.
    pub account_id: Option<AccountId>,
    /// The link that says so; `None` for an address of the account's own.
    pub wallet_id: Option<i64>,
    /// What it is worth, once that is known.
    pub value_nanousd: Option<NanoUsd>,
    /// The feed that priced it.
    pub price_feed: Option<EvmAddress>,
    /// The feed's round, decimal.
    pub price_round: Option<String>,
    /// The round's answer, decimal.
    pub price_answer: Option<String>,
    /// How often it has been credited, this time included.
    pub credit_number: i64,
    /// Counts the changes of this row.
    pub revision: i64,
    /// When to look at it again.
    pub check_at: UnixMillis,
    /// When it was first seen.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// When it was credited before its block was final. That
    /// happens once, and stays written whatever becomes of it.
    pub early_credit_at: Option<UnixMillis>,
    /// With how much.
    pub early_value_nanousd: Option<NanoUsd>,
    /// Whether it is credited, and it is not known yet that its block has become final.
    pub is_provisional: bool,
}

impl DepositRow {
    /// Whether its block may yet turn out to be gone, as far as that is waited for.
    #[must_use]
    pub fn is_provisional_at(&self, now: UnixMillis) -> bool {
        let since = now.plus_millis(-PROVISIONAL_MAX);
        self.is_provisional && self.early_credit_at.is_some_and(|at| at > since)
    }
}

/// Stores a deposit that was not known.
///
/// # Errors
/// [`DbError::Query`]; a second row for one transfer is one.
pub fn insert(conn: &mut AnyConnection, row: &DepositRow) -> Result<(), DbError> {
    diesel::insert_into(deposits::table).values(row).execute(conn)?;
    Ok(())
}

/// Writes `row` over the one of the same id and revision, which is then one higher. Whether there
/// was one.
pub fn change(
    conn: &mut AnyConnection,
    row: &DepositRow,
    now: UnixMillis,
) -> Result<bool, DbError> {
    let current =
        deposits::table.filter(deposits::id.eq(row.id).and(deposits::revision.eq(row.revision)));
    let next =
        DepositRow { revision: row.revision.saturating_add(1), updated_at: now, ..row.clone() };
    Ok(diesel::update(current).set(next).execute(conn)? > 0)
}

/// The deposit of a public name.
pub fn find(conn: &mut AnyConnection, public_id: &str) -> Result<Option<DepositRow>, DbError> {
    let row = deposits::table
        .filter(deposits::public_id.eq(public_id))
        .select(DepositRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// The deposit of a row number.
pub fn get(conn: &mut AnyConnection, id: i64) -> Result<Option<DepositRow>, DbError> {
    let row = deposits::table.find(id).select(DepositRow::as_select()).first(conn).optional()?;
    Ok(row)
}

/// All deposits of one transaction, in the order of their ordinals.
pub fn of_transaction(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
) -> Result<Vec<DepositRow>, DbError> {
    let rows = deposits::table
        .filter(deposits::chain_id.eq(chain_id))
        .filter(deposits::tx_hash.eq(tx_hash))
        .order(deposits::ordinal)
        .select(DepositRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// The deposits of a transaction hash on whichever chain. Reads the whole table: for people who ask
/// once.
pub fn of_hash(conn: &mut AnyConnection, tx_hash: TxHash) -> Result<Vec<DepositRow>, DbError> {
    let rows = deposits::table
        .filter(deposits::tx_hash.eq(tx_hash))
        .order(deposits::id)
        .select(DepositRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Keeps the deposits of a transaction as they are until the caller's write transaction ends, but
/// for what the caller does: all in one order, so that no two wait for each other. On SQLite a
/// write transaction does so anyway.
pub fn lock_transaction(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
) -> Result<(), DbError> {
    if let AnyConnection::Postgres(conn) = conn {
        let _held: Vec<i64> = deposits::table
            .filter(deposits::chain_id.eq(chain_id))
            .filter(deposits::tx_hash.eq(tx_hash))
            .order(deposits::ordinal)
            .select(deposits::id)
            .for_no_key_update()
            .load(conn)?;
    }
    Ok(())
}

/// A page of an account's deposits, newest first, beginning below the row number `before`.
pub fn of_account(
    conn: &mut AnyConnection,
    account_id: AccountId,
    before: i64,
    limit: i64,
) -> Result<Vec<DepositRow>, DbError> {
    let rows = deposits::table
        .filter(deposits::account_id.eq(account_id))
        .filter(deposits::id.lt(before))
        .order(deposits::id.desc())
        .limit(limit)
        .select(DepositRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Which deposits are wanted; what is `None` is not asked about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// In this state, as people are told it: what was credited and paid back whole counts as
    /// refunded.
    pub state: Option<DepositState>,
    /// Of this account.
    pub account_id: Option<AccountId>,
    /// On this chain.
    pub chain_id: Option<ChainId>,
    /// Mined at that moment or later.
    pub from: Option<UnixMillis>,
    /// Mined before that moment.
    pub before: Option<UnixMillis>,
}

/// A page of deposits, oldest first, beginning above the row number `after`.
pub fn page(
    conn: &mut AnyConnection,
    filter: &Filter,
    after: i64,
    limit: i64,
) -> Result<Vec<DepositRow>, DbError> {
    let mut query = deposits::table
        .filter(deposits::id.gt(after))
        .order(deposits::id)
        .limit(limit)
        .select(DepositRow::as_select())
        .into_boxed();
    if let Some(state) = filter.state {
        let is_back = diesel::dsl::exists(
            deposit_refunds::table
                .filter(deposit_refunds::deposit_id.eq(deposits::id))
                .filter(deposit_refunds::state.eq(RefundState::Posted))
                .filter(deposits::state.eq(DepositState::Credited))
                .filter(deposit_refunds::amount_nanousd.nullable().ge(deposits::value_nanousd)),
        );
        query = match state {
            DepositState::Refunded => query.filter(deposits::state.eq(state).or(is_back)),
            DepositState::Credited => {
                query.filter(deposits::state.eq(state)).filter(diesel::dsl::not(is_back))
            }
            _ => query.filter(deposits::state.eq(state)),
        };
    }
    if let Some(account_id) = filter.account_id {
        query = query.filter(deposits::account_id.eq(account_id));
    }
    if let Some(chain_id) = filter.chain_id {
        query = query.filter(deposits::chain_id.eq(chain_id));
    }
    if let Some(from) = filter.from {
        query = query.filter(deposits::block_time.ge(from));
    }
    if let Some(before) = filter.before {
        query = query.filter(deposits::block_time.lt(before));
    }
    Ok(query.load(conn)?)
}

/// How many deposits of each chain are in each state, as (chain, state, count).
pub fn counts(conn: &mut AnyConnection) -> Result<Vec<(ChainId, DepositState, i64)>, DbError> {
    let rows = deposits::table
        .group_by((deposits::chain_id, deposits::state))
        .select((deposits::chain_id, deposits::state, diesel::dsl::count_star()))
        .order((deposits::chain_id, deposits::state))
        .load(conn)?;
    Ok(rows)
}

/// What was credited on a chain before its block was final, since a moment: to an account, whatever
/// became of it; and to all of them, as far as it may still be lost or was.
pub fn credited_early(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    account_id: AccountId,
    since: UnixMillis,
) -> Result<(NanoUsd, NanoUsd), DbError> {
    let rows: Vec<(Option<AccountId>, Option<NanoUsd>, DepositState, bool)> = deposits::table
        .filter(deposits::chain_id.eq(chain_id))
        .filter(deposits::early_credit_at.gt(since))
        .select((
            deposits::account_id,
            deposits::early_value_nanousd,
            deposits::state,
            deposits::is_provisional,
        ))
        .load(conn)?;
    let (mut own, mut at_risk) = (0_i64, 0_i64);
    for (owner, value, state, is_provisional) in rows {
        let value = value.unwrap_or_default().as_nanos();
        if is_provisional || state != DepositState::Credited {
            at_risk = at_risk.saturating_add(value);
        }
        if owner == Some(account_id) {
            own = own.saturating_add(value);
        }
    }
    Ok((NanoUsd::from_nanos(own), NanoUsd::from_nanos(at_risk)))
}

/// What was credited early in blocks that are final by now, those that have waited longest first.
pub fn provisional(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    (final_number, now): (i64, UnixMillis),
    limit: i64,
) -> Result<Vec<DepositRow>, DbError> {
    let rows = deposits::table
        .filter(deposits::chain_id.eq(chain_id).and(deposits::early_credit_at.is_not_null()))
        .filter(deposits::is_provisional.eq(true).and(deposits::block_number.le(final_number)))
        .filter(deposits::check_at.le(now))
        .order((deposits::check_at, deposits::id))
        .limit(limit)
        .select(DepositRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Deposits in blocks above `ancestor` that a reorganisation concerns.
pub fn above(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    ancestor: i64,
) -> Result<Vec<DepositRow>, DbError> {
    let gone = [
        DepositState::Orphaned,
        DepositState::Reversed,
        DepositState::Refunded,
        DepositState::Erased,
    ];
    let rows = deposits::table
        .filter(deposits::chain_id.eq(chain_id))
        .filter(deposits::block_number.gt(ancestor))
        .filter(deposits::state.ne_all(gone))
        .order(deposits::id)
        .select(DepositRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Deposits of an account and asset that are too small so far.
pub fn below_minimum(
    conn: &mut AnyConnection,
    account_id: AccountId,
    chain_id: ChainId,
    token: Option<EvmAddress>,
) -> Result<Vec<DepositRow>, DbError> {
    let mut query = deposits::table
        .filter(deposits::account_id.eq(account_id))
        .filter(deposits::chain_id.eq(chain_id))
        .filter(deposits::state.eq(DepositState::BelowMinimum))
        .order(deposits::id)
        .select(DepositRow::as_select())
        .into_boxed();
    query = match token {
        Some(token) => query.filter(deposits::token.eq(token)),
        None => query.filter(deposits::token.is_null()),
    };
    Ok(query.load(conn)?)
}

/// Deposits that wait for a proof of `payer`: on one chain, or on all.
pub fn unattributed_of(
    conn: &mut AnyConnection,
    payer: EvmAddress,
    chain_id: Option<ChainId>,
) -> Result<Vec<DepositRow>, DbError> {
    let mut query = deposits::table
        .filter(deposits::payer.eq(payer))
        .filter(deposits::state.eq(DepositState::Unattributed))
        .order(deposits::id)
        .select(DepositRow::as_select())
        .into_boxed();
    if let Some(chain_id) = chain_id {
        query = query.filter(deposits::chain_id.eq(chain_id));
    }
    Ok(query.load(conn)?)
}
