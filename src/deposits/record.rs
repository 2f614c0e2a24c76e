//! From agreed facts to rows. All fields are read afresh at every inclusion: after a reorganisation another transfer
//! may stand at the same place of the same transaction.

use super::DepositError;
use super::ours::{Bearing, Ours};
use crate::chain::facts::{Transfer, TxFacts};
use crate::db::deposits::{self, DepositRow};
use crate::db::{AnyConnection, DbError, tombstones};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState};
use crate::domain::evm::ChainId;
use crate::domain::ids::public_id;
use crate::domain::tombstone::TombstoneKey;

/// What a transaction holds for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// All its deposits.
    pub rows: Vec<DepositRow>,
    /// Whether there was one of an account that is erased.
    pub is_buried: bool,
}

/// Stores what of a transaction pays us, but for what was credited to accounts that are erased. Must run in a write
/// transaction.
///
/// # Errors
/// [`DepositError`].
pub fn record(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    chain_id: ChainId,
    facts: &TxFacts,
    ours: &Ours,
    now: UnixMillis,
) -> Result<Recorded, DepositError> {
    let mut is_buried = false;
    let known = deposits::of_transaction(conn, chain_id, facts.tx_hash)?;
    let is_deposit = |transfer: &&Transfer| ours.bearing(transfer) == Bearing::Deposit;
    for transfer in facts.transfers.iter().filter(is_deposit) {
        let seen = seen(chain_id, facts, transfer, now)?;
        match known.iter().find(|row| row.ordinal == seen.ordinal) {
            // Asked about after the rows were read: an erasure in between has taken the row and left this.
            None if tombstones::is_buried(conn, &tombstones::of(key, &seen))? => is_buried = true,
            None => deposits::insert(conn, &seen)?,
            Some(row) => {
                if let Some(renewed) = renewed(row, seen) {
                    // The row was read in this transaction, or another has decided since: then that stands.
                    deposits::change(conn, &renewed, now)?;
                }
            }
        }
    }
    let rows = deposits::of_transaction(conn, chain_id, facts.tx_hash)?;
    Ok(Recorded { rows, is_buried })
}

fn seen(
    chain_id: ChainId,
    facts: &TxFacts,
    transfer: &Transfer,
    now: UnixMillis,
) -> Result<DepositRow, DepositError> {
    Ok(DepositRow {
        id: 0,
        public_id: public_id("dep_")?,
        chain_id: chain_id.0,
        tx_hash: facts.tx_hash.as_bytes().to_vec(),
        ordinal: transfer.ordinal.into(),
        token: transfer.asset.to_column(),
        payer: transfer.from.as_bytes().to_vec(),
        payee: transfer.to.as_bytes().to_vec(),
        raw_amount: transfer.raw.to_string(),
        block_number: i64::try_from(facts.block_number).unwrap_or(i64::MAX),
        block_hash: facts.block_hash.as_bytes().to_vec(),
        block_time: facts.block_time.as_millis(),
        state: DepositState::Seen.as_str().to_owned(),
        reason: None,
        account_id: None,
        wallet_id: None,
        value_nanousd: None,
        price_feed: None,
        price_round: None,
        price_answer: None,
        credit_number: 0,
        revision: 0,
        check_at: now.as_millis(),
        created_at: now.as_millis(),
        updated_at: now.as_millis(),
    })
}

/// The row of a transfer that was seen in a block again; `None` where it stays as it is.
fn renewed(row: &DepositRow, seen: DepositRow) -> Option<DepositRow> {
    let is_refund = row.reason.as_deref() == Some(DepositReason::RefundPending.as_str());
    let is_same_block = row.block_hash == seen.block_hash;
    let may_renew = match row.state()? {
        // Gone before: it is back, perhaps in the very block that had left the chain.
        DepositState::Orphaned | DepositState::Reversed => true,
        DepositState::Seen
        | DepositState::Confirming
        | DepositState::Unattributed
        | DepositState::BelowMinimum => !is_same_block,
        DepositState::Held => !is_same_block && !is_refund,
        // A credit stands until its block is known to be gone; decisions stand for good.
        DepositState::Credited
        | DepositState::Rejected
        | DepositState::Refunded
        | DepositState::Erased => false,
    };
    may_renew.then(|| DepositRow {
        id: row.id,
        public_id: row.public_id.clone(),
        credit_number: row.credit_number,
        revision: row.revision,
        created_at: row.created_at,
        ..seen
    })
}

/// Takes a deposit off the chain: its block is gone. A credit is undone by [`super::credit::reverse`] instead.
/// Whether the row changed.
///
/// # Errors
/// [`DbError`].
pub fn orphan(
    conn: &mut AnyConnection,
    row: &DepositRow,
    now: UnixMillis,
) -> Result<bool, DbError> {
    let is_refund = row.reason.as_deref() == Some(DepositReason::RefundPending.as_str());
    let stays = matches!(
        row.state(),
        None | Some(
            DepositState::Credited
                | DepositState::Rejected
                | DepositState::Refunded
                | DepositState::Erased
        )
    );
    if stays || is_refund {
        return Ok(false);
    }
    let gone = DepositRow {
        state: DepositState::Orphaned.as_str().to_owned(),
        reason: None,
        value_nanousd: None,
        price_feed: None,
        price_round: None,
        price_answer: None,
        ..row.clone()
    };
    deposits::change(conn, &gone, now)
}

/// Takes a row out of the way whose transfer was credited to an account that is erased: the next start buries it. Whether
/// the row changed.
///
/// # Errors
/// [`DbError`].
pub fn set_erased(
    conn: &mut AnyConnection,
    row: &DepositRow,
    now: UnixMillis,
) -> Result<bool, DbError> {
    let erased = DepositRow {
        state: DepositState::Erased.as_str().to_owned(),
        reason: Some(DepositReason::ErasedAccount.as_str().to_owned()),
        ..row.clone()
    };
    deposits::change(conn, &erased, now)
}
