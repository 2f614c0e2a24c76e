//! The books: what a balance is, and every command that changes one.
//!
//! Two phases: `reserve`, then `post` or `void`. For every account the sum of its entries equals
//! what is available plus what is reserved, always. Commands come in groups: [`apply`] locks the
//! accounts, decides the commands in order in memory, and writes each account once, all in one
//! transaction. Every command is idempotent: it carries an id made beforehand and may be repeated
//! without harm, so that an unknown commit is resolved by asking again.

mod account;
pub mod actor;
mod apply;
mod command;
mod group;
mod keys;
mod notices;
pub mod parked;
mod rows;
#[cfg(test)]
mod tests;
mod verify;

pub use crate::db::books::{BalanceCache, Busy};
pub use crate::domain::entry_kind::EntryKind;
pub use apply::{apply, apply_unless, apply_within, prepare};
pub use command::{Command, Effect, Hold, Shortage};
pub use verify::{Discrepancy, Report, verify};

use crate::db::DbError;

/// Why a group could not be applied. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Storage failed; a commit may or may not have landed.
    #[error("the ledger cannot be written")]
    Db(#[from] DbError),
    /// A sum left 64 bits.
    #[error("a balance would not fit its column")]
    Amount(#[from] crate::domain::money::MoneyError),
    /// A usage record does not turn into text.
    #[error("a usage record cannot be stored")]
    Record(#[source] serde_json::Error),
}

impl LedgerError {
    /// Whether the database as a whole is away, so that no other command would fare better now.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_away())
    }

    /// Whether the same command would fail again for certain.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Db(error) => error.is_refusal(),
            Self::Amount(_) | Self::Record(_) => true,
        }
    }
}

impl From<diesel::result::Error> for LedgerError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}
