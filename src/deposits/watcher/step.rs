//! What a look at a deposit says.

use crate::chain::facts::TxFacts;
use crate::db::models::deposits::DepositRow;

/// What a look at a deposit says.
pub(super) enum DepositStep {
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
