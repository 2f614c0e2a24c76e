//! Attributes, values, credits and refunds transfers. Decides from rows and from facts that a
//! quorum of providers agrees on; only [`watcher`] asks providers.

pub mod addresses;
pub mod arrivals;
pub mod attribution;
pub mod cases;
pub mod challenge;
pub mod claims;
pub mod clipboard;
pub mod credit;
pub mod notices;
pub mod parcels;
pub mod payment_uri;
pub mod proof_error;
pub mod recipients;
pub mod record;
pub mod refund;
pub mod review;
pub mod siwe;
pub mod standing;
pub mod valuation;
pub mod wallets;
pub mod watcher;

use crate::db::DbError;
use crate::domain::ids::NoRandomness;
use crate::ledger::LedgerError;

/// Why a deposit could not be moved on. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DepositError {
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The books.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// A stored row does not read back.
    #[error("deposit {0} cannot be read")]
    Unreadable(String),
    /// It was credited to an account that is erased, and is not credited again.
    #[error("deposit {0} was credited before, to an account that has been erased")]
    Buried(String),
    /// The books hold a credit that the deposit does not know of.
    #[error("deposit {0} and the books contradict each other")]
    Contradiction(String),
    /// Somebody else reads the chain by now.
    #[error("another node reads this chain now")]
    Overtaken,
}

impl From<diesel::result::Error> for DepositError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}
