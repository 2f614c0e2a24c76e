//! What operators do about accounts: the verbs (admin actions) behind the command line, which an
//! admin API could use as well. Each is one transaction with its record in the audit log; it takes
//! typed requests and gives typed results. Nothing here prints, and nothing asks who is calling.

pub mod access;
pub mod accounts;
pub mod lookup;
pub mod mail;
mod reason;

pub use reason::{BadReason, Reason};

use crate::db::DbError;
use crate::domain::clock::UnixMillis;
use crate::domain::money::NanoUsd;
use crate::ledger::LedgerError;

/// A decision of an operator: why, and when.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// For the audit log.
    pub reason: &'a Reason,
    /// When it is carried out.
    pub now: UnixMillis,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Neither an id nor an address of an account.
    #[error("there is no account \"{0}\"")]
    NoAccount(String),
    /// It was erased meanwhile.
    #[error("the account no longer exists")]
    AccountGone,
    /// It is suspended.
    #[error("the account is already suspended")]
    AlreadySuspended,
    /// It is not suspended.
    #[error("the account is not suspended")]
    NotSuspended,
    /// Nobody has asked for its deletion.
    #[error("the account is not being deleted")]
    NotClosing,
    /// Its deletion would take money.
    #[error(
        "the account still has {0} USD: refund it first, or use --waive-balance; nothing was \
         changed"
    )]
    BalanceLeft(NanoUsd),
    /// Logging in asks for a password only.
    #[error("the account has no second factor")]
    NoSecondFactor,
    /// Neither running nor in the usage log.
    #[error("there is no request \"{0}\"; its usage row may have been deleted")]
    NoRequest(String),
    /// Too short or too long.
    #[error("a reference must have 1 to {} characters", accounts::REFERENCE_MAX)]
    ReferenceLength,
    /// Two that look alike would count twice.
    #[error("a reference must not contain invisible characters")]
    ReferenceHidden,
    /// It was booked before.
    #[error("the reference \"{0}\" was already used; nothing was changed")]
    ReferenceUsed(String),
    /// Nothing to book.
    #[error("an amount of 0 changes nothing")]
    NoAmount,
    /// Not a reason.
    #[error(transparent)]
    Reason(#[from] BadReason),
    /// The books.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for OperatorError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}
