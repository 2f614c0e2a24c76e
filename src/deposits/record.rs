//! From agreed facts to rows. All fields are read afresh at every inclusion: after a reorganisation
//! another transfer may stand at the same place of the same transaction.

use std::collections::{HashMap, HashSet};

use super::DepositError;
use super::parcels::{Parcel, TOP, is_same, parcels};
use super::recipients::Recipients;
use crate::chain::facts::{Transfer, TxFacts};
use crate::db::models::deposits::{self, DepositRow};
use crate::db::models::{deposit_cases, tombstones};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState};
use crate::domain::evm::{ChainId, EvmAddress};
use crate::domain::ids::public_id;
use crate::domain::tombstone::TombstoneKey;

/// Payer, payee and token.
type RouteColumns = (EvmAddress, EvmAddress, Option<EvmAddress>);

/// What a transaction holds for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// All its deposits.
    pub rows: Vec<DepositRow>,
    /// Whether there was one of an account that is erased.
    pub is_buried: bool,
}

/// Stores what of a transaction pays us, but for what was credited to accounts that are erased.
/// Must run in a write transaction.
pub fn record(
    conn: &mut AnyConnection,
    key: &TombstoneKey,
    chain_id: ChainId,
    facts: &TxFacts,
    ours: &Recipients,
    now: UnixMillis,
) -> Result<Recorded, DepositError> {
    let mut is_buried = false;
    deposits::lock_transaction(conn, chain_id, facts.tx_hash)?;
    let known = deposits::of_transaction(conn, chain_id, facts.tx_hash)?;
    let places: HashMap<i64, &DepositRow> = known.iter().map(|row| (row.ordinal, row)).collect();
    let parcels = parcels(facts, ours);
    let kept = laid_out_otherwise(&known, facts, &parcels);
    for Parcel { transfer, is_dust } in &parcels {
        let token = transfer.asset.to_column();
        if kept.contains(&(transfer.from, transfer.to, token)) {
            continue;
        }
        match places.get(&transfer.ordinal.into()) {
            None if *is_dust => {}
            None => {
                let seen = seen(chain_id, facts, transfer, now)?;
                // Asked about after the rows were read: an erasure in between has taken the row and
                // left this.
                if tombstones::is_buried(conn, &tombstones::of(key, &seen))? {
                    is_buried = true;
                } else {
                    deposits::insert(conn, &seen)?;
                }
            }
            Some(&row) => {
                if let Some(renewed) = renewed(row, seen(chain_id, facts, transfer, now)?) {
                    // The row was read in this transaction, or another has decided since: then that
                    // stands.
                    deposits::change(conn, &renewed, now)?;
                }
            }
        }
    }
    let rows = deposits::of_transaction(conn, chain_id, facts.tx_hash)?;
    Ok(Recorded { rows, is_buried })
}

/// Of which payer, payee and coin what stands already was added up in another way: by an earlier
/// version, or under another limit of dust. That stays as it is: the same money must not make a
/// second row.
fn laid_out_otherwise(
    known: &[DepositRow],
    facts: &TxFacts,
    parcels: &[Parcel],
) -> HashSet<RouteColumns> {
    let places: HashMap<i64, &Transfer> =
        parcels.iter().map(|one| (one.transfer.ordinal.into(), &one.transfer)).collect();
    // What contracts moved inside is not among facts that were read without a trace.
    let is_readable = |row: &&DepositRow| facts.is_traced || row.ordinal >= TOP;
    let is_known_so =
        |row: &DepositRow| places.get(&row.ordinal).is_some_and(|transfer| is_same(transfer, row));
    known
        .iter()
        .filter(is_readable)
        .filter(|row| stands_still(row, facts) && !is_known_so(row))
        .map(|row| (row.payer, row.payee, row.token))
        .collect()
}

/// Whether a row is not read anew by what is in that block.
fn stands_still(row: &DepositRow, facts: &TxFacts) -> bool {
    match row.state {
        DepositState::Orphaned | DepositState::Reversed => false,
        DepositState::Seen
        | DepositState::Confirming
        | DepositState::Unattributed
        | DepositState::BelowMinimum => row.block_hash == facts.block_hash,
        _ => true,
    }
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
        chain_id,
        tx_hash: facts.tx_hash,
        ordinal: transfer.ordinal.into(),
        token: transfer.asset.to_column(),
        payer: transfer.from,
        payee: transfer.to,
        raw_amount: transfer.raw,
        block_number: i64::try_from(facts.block_number).unwrap_or(i64::MAX),
        block_hash: facts.block_hash,
        block_time: facts.block_time,
        state: DepositState::Seen,
        reason: None,
        account_id: None,
        wallet_id: None,
        value_nanousd: None,
        price_feed: None,
        price_round: None,
        price_answer: None,
        credit_number: 0,
        revision: 0,
        check_at: now,
        created_at: now,
        updated_at: now,
        early_credit_at: None,
        early_value_nanousd: None,
        is_provisional: false,
    })
}

/// The row of a transfer that was seen in a block again; `None` where it stays as it is.
fn renewed(row: &DepositRow, seen: DepositRow) -> Option<DepositRow> {
    let is_refund = row.reason == Some(DepositReason::RefundPending);
    let is_same_block = row.block_hash == seen.block_hash;
    let may_renew = match row.state {
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
        // It counts for its day, whatever became of it.
        early_credit_at: row.early_credit_at,
        early_value_nanousd: row.early_value_nanousd,
        revision: row.revision,
        created_at: row.created_at,
        ..seen
    })
}

/// Takes a deposit off the chain: its block is gone. A credit is undone by
/// [`super::credit::reverse`] instead. Whether the row changed.
pub fn orphan(
    conn: &mut AnyConnection,
    row: &DepositRow,
    now: UnixMillis,
) -> Result<bool, DbError> {
    let is_refund = row.reason == Some(DepositReason::RefundPending);
    let stays = matches!(
        row.state,
        DepositState::Credited
            | DepositState::Rejected
            | DepositState::Refunded
            | DepositState::Erased
    );
    if stays || is_refund {
        return Ok(false);
    }
    let gone = DepositRow {
        state: DepositState::Orphaned,
        reason: None,
        value_nanousd: None,
        price_feed: None,
        price_round: None,
        price_answer: None,
        ..row.clone()
    };
    let is_gone = deposits::change(conn, &gone, now)?;
    if is_gone {
        deposit_cases::forget_deposit(conn, &gone)?;
    }
    Ok(is_gone)
}

/// Takes a row out of the way whose transfer was credited to an account that is erased: the next
/// start buries it. Whether the row changed.
pub fn set_erased(
    conn: &mut AnyConnection,
    row: &DepositRow,
    now: UnixMillis,
) -> Result<bool, DbError> {
    let erased = DepositRow {
        state: DepositState::Erased,
        reason: Some(DepositReason::ErasedAccount),
        ..row.clone()
    };
    deposits::change(conn, &erased, now)
}
