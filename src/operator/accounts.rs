//! Accounts: finding one, crediting, suspending, resuming, deleting and keeping it.

use std::time::Duration;

use super::{Act, OperatorError};
use crate::accounts::deletion::closing::{self, Closed};
use crate::accounts::suspension;
use crate::db::models::accounts::{self, AccountRow};
use crate::db::models::audit::{self, Decision};
use crate::db::models::credentials;
use crate::db::{AnyConnection, transaction};
use crate::domain::account_status::AccountStatus;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::plain_text::is_plain;
use crate::ledger::{self, Command, Effect, EntryKind};

/// Characters of a reference.
pub const REFERENCE_MAX: usize = 200;

/// The account of a public id or an email address, however that is spelled.
///
/// # Errors
/// [`OperatorError::NoAccount`] and storage.
pub fn find(conn: &mut AnyConnection, name: &str) -> Result<AccountRow, OperatorError> {
    let name = name.trim();
    let found = match accounts::find(conn, &name.to_lowercase())? {
        Some(found) => Some(found),
        // An address may be spelled in another way.
        None => match credentials::of_address(conn, name)? {
            Some(known) => accounts::get(conn, known.id)?,
            None => None,
        },
    };
    found.ok_or_else(|| OperatorError::NoAccount(name.to_owned()))
}

/// A balance that an operator adjusts.
#[derive(Clone, Copy, Debug)]
pub struct Adjustment<'a> {
    /// Below zero it is subtracted.
    pub amount: NanoUsd,
    /// What it is for: the same reference is never booked twice.
    pub reference: &'a str,
}

/// Adds to a balance, or subtracts from it.
///
/// # Errors
/// [`OperatorError`]: a reference or an amount that cannot be booked, the books, storage.
pub fn credit(
    conn: &mut AnyConnection,
    id: AccountId,
    Adjustment { amount, reference }: Adjustment<'_>,
    act: Act<'_>,
) -> Result<(), OperatorError> {
    if reference.trim().is_empty() || reference.len() > REFERENCE_MAX {
        return Err(OperatorError::ReferenceLength);
    }
    if !is_plain(reference) {
        return Err(OperatorError::ReferenceHidden);
    }
    if amount == NanoUsd::ZERO {
        return Err(OperatorError::NoAmount);
    }
    let command = Command::Credit {
        account_id: id,
        kind: EntryKind::Adjustment,
        reference: reference.to_owned(),
        amount,
    };
    transaction::write(conn, |conn| {
        match ledger::apply_within(conn, &[command], act.now)?.first() {
            Some(Effect::Credited) => {}
            Some(Effect::AlreadyCredited) => {
                return Err(OperatorError::ReferenceUsed(reference.to_owned()));
            }
            _ => return Err(OperatorError::AccountGone),
        }
        // The reference stands in the ledger.
        let detail = act.reason.after(&format!("{amount} USD"));
        Ok(audit::write(conn, &Decision::of_account("account_credited", id, &detail), act.now)?)
    })
}

/// Suspends an account until it is resumed, and tells its owner.
///
/// # Errors
/// [`OperatorError::AlreadySuspended`] and storage.
pub fn suspend(conn: &mut AnyConnection, id: AccountId, act: Act<'_>) -> Result<(), OperatorError> {
    stand(conn, id, AccountStatus::Suspended, act)
}

/// Resumes a suspended account, and tells its owner.
///
/// # Errors
/// [`OperatorError::NotSuspended`] and storage.
pub fn resume(conn: &mut AnyConnection, id: AccountId, act: Act<'_>) -> Result<(), OperatorError> {
    stand(conn, id, AccountStatus::Active, act)
}

fn stand(
    conn: &mut AnyConnection,
    id: AccountId,
    status: AccountStatus,
    act: Act<'_>,
) -> Result<(), OperatorError> {
    let (action, already) = match status {
        AccountStatus::Suspended => ("account_suspended", OperatorError::AlreadySuspended),
        AccountStatus::Active => ("account_resumed", OperatorError::NotSuspended),
    };
    transaction::write(conn, |conn| {
        if !suspension::set(conn, id, status, act.now)? {
            return Err(already);
        }
        let decision = Decision::of_account(action, id, act.reason.as_str());
        Ok(audit::write(conn, &decision, act.now)?)
    })
}

/// Begins the deletion of an account, as its owner could, and says when it will be erased.
///
/// # Errors
/// [`OperatorError::BalanceLeft`], [`OperatorError::AccountGone`] and storage.
pub fn delete(
    conn: &mut AnyConnection,
    id: AccountId,
    (waives_balance, grace): (bool, Duration),
    act: Act<'_>,
) -> Result<UnixMillis, OperatorError> {
    transaction::write(conn, |conn| {
        match closing::close(conn, id, waives_balance, grace, act.now)? {
            Closed::Begun { erased_at } => {
                let what = if waives_balance { "balance waived" } else { "" };
                let detail = act.reason.after(what);
                let decision = Decision::of_account("account_closed", id, &detail);
                audit::write(conn, &decision, act.now)?;
                Ok(erased_at)
            }
            Closed::BalanceLeft(left) => Err(OperatorError::BalanceLeft(left)),
            Closed::NoAccount => Err(OperatorError::AccountGone),
        }
    })
}

/// Cancels the deletion of an account.
///
/// # Errors
/// [`OperatorError::NotClosing`] and storage.
pub fn keep(conn: &mut AnyConnection, id: AccountId, act: Act<'_>) -> Result<(), OperatorError> {
    transaction::write(conn, |conn| {
        if !closing::keep(conn, id)? {
            return Err(OperatorError::NotClosing);
        }
        let decision = Decision::of_account("account_kept", id, act.reason.as_str());
        Ok(audit::write(conn, &decision, act.now)?)
    })
}
