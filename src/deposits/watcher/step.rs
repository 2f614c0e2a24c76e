//! A deposit that is looked at, and what a look at it says.

use crate::chain::facts::TxFacts;
use crate::db::deposits::DepositRow;
use crate::deposits::DepositError;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{BlockHash, EvmAddress, TxHash};

/// A deposit's row, read into what its columns mean.
pub(super) struct Read {
    pub(super) row: DepositRow,
    pub(super) tx_hash: TxHash,
    pub(super) payer: EvmAddress,
    pub(super) block_hash: BlockHash,
    pub(super) mined_at: UnixMillis,
}

/// What a look at a deposit says.
pub(super) enum Step {
    /// The row as it should be now.
    Change(DepositRow),
    /// Its facts have changed: they are stored anew.
    Renew(TxFacts),
    /// Its block is not on the chain.
    Gone,
    /// Its value is known; it may be credited.
    Credit(DepositRow),
    /// It has moved on.
    Done,
    /// Somebody has changed it, or it goes on by itself.
    Later,
    /// Providers do not agree on it, and the chain is in trouble until they do.
    Doubt(String),
    /// It waits for something that says nothing about the chain's state.
    Wait(&'static str),
}

impl TryFrom<DepositRow> for Read {
    type Error = DepositError;

    fn try_from(row: DepositRow) -> Result<Self, DepositError> {
        let unreadable = || DepositError::Unreadable(row.public_id.clone());
        Ok(Self {
            tx_hash: TxHash::from_slice(&row.tx_hash).ok_or_else(unreadable)?,
            payer: EvmAddress::from_slice(&row.payer).ok_or_else(unreadable)?,
            block_hash: BlockHash::from_slice(&row.block_hash).ok_or_else(unreadable)?,
            mined_at: UnixMillis::from_millis(row.block_time),
            row,
        })
    }
}
