//! One movement of coins or tokens within a transaction, and how many of them one may hold.

use crate::domain::deposit::Asset;
use crate::domain::evm::{EvmAddress, RawAmount};

/// Logs of one transaction, and value-carrying frames of its trace, at most.
pub const TRANSFERS_MAX: usize = 10_000;

/// One movement of coins or tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// For a token the place of its log within the receipt, from 0. For coins −1 − k, with k the
    /// place of the frame among those that carried coins, depth first. Both stay the same when the
    /// transaction is mined again elsewhere, unlike `logIndex`, which counts within the block.
    pub ordinal: i32,
    /// What.
    pub asset: Asset,
    /// Whose it was: for a token topic 1, for coins the sender; inside a transaction the calling
    /// contract, unless it passes on what the sender had sent along.
    pub from: EvmAddress,
    /// Whose it is.
    pub to: EvmAddress,
    /// How much. May be zero for tokens, and anything for forged ones.
    pub raw: RawAmount,
}
