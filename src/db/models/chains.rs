//! How far each chain has been read: cursors, recent blocks, candidates. One node reads a chain at
//! a time.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::deposit_cases::{self, CaseRow};
use crate::db::schema::{chain_blocks, chain_candidates, chains, deposit_claims, deposits};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::DepositState;
use crate::domain::deposit_case::{CaseKind, CaseState};
use crate::domain::evm::{BlockHash, ChainId, TxHash};

/// How far a chain has been read.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = chains, treat_none_as_null = true)]
pub struct ChainRow {
    /// The chain.
    pub chain_id: ChainId,
    /// Counts the changes of this row.
    pub revision: i64,
    /// The first block that was looked at, unless the config names one.
    pub first_number: i64,
    /// The last block that was read.
    pub scanned_number: i64,
    /// Its hash.
    pub scanned_hash: BlockHash,
    /// The last block that counts as final.
    pub final_number: i64,
    /// The newest block that enough providers know.
    pub head_number: i64,
    /// `ok`, `degraded` or `stopped`.
    pub status: String,
    /// Why, where it is not ok.
    pub status_detail: Option<String>,
    /// The node that reads it.
    pub node_id: String,
    /// Until when that node may.
    pub lease_expires_at: UnixMillis,
    /// When the row was last changed.
    pub updated_at: UnixMillis,
    /// Milliseconds from block to block, once they have been measured.
    pub block_millis: Option<i64>,
}

/// The row of a chain.
pub fn find(conn: &mut AnyConnection, chain_id: ChainId) -> Result<Option<ChainRow>, DbError> {
    let row = chains::table.find(chain_id).select(ChainRow::as_select()).first(conn);
    Ok(row.optional()?)
}

/// What waits on a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingWork {
    /// Something that can be looked at now: transactions, deposits without an owner, or some that
    /// may be final.
    pub is_due: bool,
    /// Something that goes on once its block is final.
    pub for_finality: bool,
}

/// Whether anything waits on a chain whose blocks up to `final_number` are final. What is put off
/// does not count until it is due: a case for a person may stay open for long.
pub fn waiting(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    final_number: i64,
    now: UnixMillis,
) -> Result<PendingWork, DbError> {
    let candidate = chain_candidates::table
        .filter(chain_candidates::chain_id.eq(chain_id))
        .filter(chain_candidates::check_at.le(now))
        .select(chain_candidates::block_number)
        .first::<i64>(conn)
        .optional()?;
    let moving = [DepositState::Seen, DepositState::Confirming];
    let deposit = deposits::table
        .filter(deposits::chain_id.eq(chain_id).and(deposits::state.eq_any(moving)))
        .select(deposits::id)
        .first::<i64>(conn)
        .optional()?;
    let may_move =
        deposits::state.eq(DepositState::Seen).or(deposits::block_number.le(final_number));
    let due = deposits::table
        .filter(deposits::chain_id.eq(chain_id).and(deposits::state.eq_any(moving)))
        .filter(deposits::check_at.le(now).and(may_move))
        .select(deposits::id)
        .first::<i64>(conn)
        .optional()?;
    // Credited early: its block is looked at again when it is final.
    let provisional = deposits::table
        .filter(deposits::chain_id.eq(chain_id).and(deposits::early_credit_at.is_not_null()))
        .filter(deposits::is_provisional.eq(true))
        .select(deposits::id)
        .first::<i64>(conn)
        .optional()?;
    let claim = deposit_claims::table
        .filter(deposit_claims::chain_id.eq(chain_id).and(deposit_claims::check_at.is_not_null()))
        .select(deposit_claims::id)
        .first::<i64>(conn)
        .optional()?;
    let is_due = candidate.is_some() || due.is_some();
    let for_finality = [candidate, deposit, provisional, claim].iter().any(Option::is_some);
    Ok(PendingWork { is_due, for_finality })
}

/// All chains that were ever read.
pub fn all(conn: &mut AnyConnection) -> Result<Vec<ChainRow>, DbError> {
    Ok(chains::table.order(chains::chain_id).select(ChainRow::as_select()).load(conn)?)
}

/// Begins to read a chain. Another node may have been faster: then nothing changes.
pub fn create(conn: &mut AnyConnection, row: &ChainRow) -> Result<(), DbError> {
    on_either!(conn => diesel::insert_into(chains::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(())
}

/// Writes `row` over the one of the same revision, which is then one higher. Whether there was one:
/// `false` says that another node has taken over, and that nothing may be written on what was read
/// before.
pub fn change(conn: &mut AnyConnection, row: &ChainRow, now: UnixMillis) -> Result<bool, DbError> {
    let current = chains::table
        .filter(chains::chain_id.eq(row.chain_id).and(chains::revision.eq(row.revision)));
    let next =
        ChainRow { revision: row.revision.saturating_add(1), updated_at: now, ..row.clone() };
    Ok(diesel::update(current).set(next).execute(conn)? > 0)
}

/// Whether a chain's row is still as it was read, and by the same node. On PostgreSQL it stays so
/// until the transaction's end.
pub fn hold(conn: &mut AnyConnection, row: &ChainRow) -> Result<bool, DbError> {
    let as_read = chains::table
        .filter(chains::chain_id.eq(row.chain_id).and(chains::revision.eq(row.revision)))
        .filter(chains::node_id.eq(&row.node_id))
        .select(chains::revision);
    let found: Vec<i64> = match conn {
        AnyConnection::Sqlite(conn) => as_read.load(conn)?,
        AnyConnection::Postgres(conn) => as_read.for_no_key_update().load(conn)?,
    };
    Ok(!found.is_empty())
}

/// Notes blocks as they were read; one that was noted before is overwritten.
pub fn note_blocks(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    blocks: &[(i64, BlockHash)],
) -> Result<(), DbError> {
    for (number, hash) in blocks {
        let row = (
            chain_blocks::chain_id.eq(chain_id),
            chain_blocks::number.eq(number),
            chain_blocks::hash.eq(hash),
        );
        on_either!(conn => diesel::insert_into(chain_blocks::table)
            .values(row)
            .on_conflict((chain_blocks::chain_id, chain_blocks::number))
            .do_update()
            .set(chain_blocks::hash.eq(hash))
            .execute(conn))?;
    }
    Ok(())
}

/// The noted blocks up to `number`, newest first.
pub fn blocks_up_to(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    number: i64,
    limit: i64,
) -> Result<Vec<(i64, BlockHash)>, DbError> {
    let rows = chain_blocks::table
        .filter(chain_blocks::chain_id.eq(chain_id).and(chain_blocks::number.le(number)))
        .order(chain_blocks::number.desc())
        .limit(limit)
        .select((chain_blocks::number, chain_blocks::hash))
        .load(conn)?;
    Ok(rows)
}

/// Forgets the blocks outside of `from..=to`.
pub fn keep_blocks(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    from: i64,
    to: i64,
) -> Result<(), DbError> {
    let outside = chain_blocks::number.lt(from).or(chain_blocks::number.gt(to));
    diesel::delete(chain_blocks::table.filter(chain_blocks::chain_id.eq(chain_id).and(outside)))
        .execute(conn)?;
    Ok(())
}

/// Notes transactions that are to be looked into, with their blocks; but for those that a person
/// has dismissed as they stand there.
pub fn note_candidates(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    candidates: &[(TxHash, i64)],
    now: UnixMillis,
) -> Result<(), DbError> {
    for (tx_hash, number) in candidates {
        let about = (*tx_hash, CaseKind::Transaction, 0);
        let case = deposit_cases::about(conn, chain_id, about)?;
        let is_dismissed = |case: CaseRow| {
            case.state == CaseState::Dismissed && case.block_number == Some(*number)
        };
        if case.is_some_and(is_dismissed) {
            continue;
        }
        let row = (
            chain_candidates::chain_id.eq(chain_id),
            chain_candidates::tx_hash.eq(tx_hash),
            chain_candidates::block_number.eq(number),
            chain_candidates::tries.eq(0),
            chain_candidates::check_at.eq(now),
        );
        on_either!(conn => diesel::insert_into(chain_candidates::table)
            .values(row)
            .on_conflict_do_nothing()
            .execute(conn))?;
    }
    Ok(())
}

/// A transaction that is to be looked into.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
#[diesel(table_name = chain_candidates)]
pub struct CandidateRow {
    /// Its hash.
    pub tx_hash: TxHash,
    /// The block that it was seen in.
    pub block_number: i64,
    /// Looks so far.
    pub tries: i64,
}

/// The candidates that are due. New ones and those that were looked at in vain take turns, and so
/// do blocks: neither a block that is full of them nor many that cannot be read hold up the rest.
pub fn due_candidates(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    now: UnixMillis,
    limit: i64,
) -> Result<Vec<CandidateRow>, DbError> {
    // Both databases take `$1`; both have window functions.
    let rows = diesel::sql_query(
        "SELECT tx_hash, block_number, tries
         FROM (SELECT chain_candidates.*, ROW_NUMBER() OVER
                   (PARTITION BY CASE WHEN tries = 0 THEN block_number ELSE -1 END
                    ORDER BY check_at, tx_hash) AS turn
               FROM chain_candidates WHERE chain_id = $1 AND check_at <= $2) AS waiting
         ORDER BY turn, tries, check_at, block_number LIMIT $3",
    )
    .bind::<BigInt, _>(chain_id)
    .bind::<BigInt, _>(now)
    .bind::<BigInt, _>(limit)
    .load(conn)?;
    Ok(rows)
}

/// Puts a candidate off.
pub fn put_off_candidate(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
    until: UnixMillis,
) -> Result<(), DbError> {
    diesel::update(chain_candidates::table.find((chain_id, tx_hash)))
        .set((
            chain_candidates::tries.eq(chain_candidates::tries + 1),
            chain_candidates::check_at.eq(until),
        ))
        .execute(conn)?;
    Ok(())
}

/// Holds a candidate until the transaction ends; in SQLite a write transaction holds everything.
pub fn lock_candidate(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
) -> Result<(), DbError> {
    if let AnyConnection::Postgres(conn) = conn {
        chain_candidates::table
            .find((chain_id, tx_hash))
            .select(chain_candidates::block_number)
            .for_update()
            .first::<i64>(conn)
            .optional()?;
    }
    Ok(())
}

/// Forgets a candidate.
pub fn forget_candidate(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
) -> Result<(), DbError> {
    diesel::delete(chain_candidates::table.find((chain_id, tx_hash))).execute(conn)?;
    Ok(())
}

/// Forgets the candidates of blocks above `ancestor`: those blocks are read again.
pub fn forget_candidates_above(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    ancestor: i64,
) -> Result<(), DbError> {
    let above = chain_candidates::table
        .filter(chain_candidates::chain_id.eq(chain_id))
        .filter(chain_candidates::block_number.gt(ancestor));
    diesel::delete(above).execute(conn)?;
    Ok(())
}
