//! Accounts and what is theirs: opening them, keys, usage, the ledger; and recognising who is
//! asking.

pub mod deletion;
pub mod identity;
pub mod keys;
pub mod spending;
pub mod suspension;
pub mod usage;

use crate::db::models::accounts::{self, AccountRow};
use crate::db::models::{credentials, email_tokens as links};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::email_address;
use crate::domain::ids::{NoRandomness, public_id};

/// Characters that are repeated of what is no address.
const EMAIL_SHOWN: usize = 254;

/// Why an account could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not an address.
    #[error("\"{0}\" is not an email address")]
    BadEmail(String),
    /// The address has an account.
    #[error("{0} already has an account")]
    EmailTaken(String),
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// An e-mail address in the form in which accounts are told apart.
///
/// # Errors
/// [`AccountError::BadEmail`].
pub fn parse_email(text: &str) -> Result<String, AccountError> {
    let refuse = || AccountError::BadEmail(text.chars().take(EMAIL_SHOWN).collect());
    email_address::canonical(text).ok_or_else(refuse)
}

/// Opens an account with nothing on it.
pub fn open(
    conn: &mut AnyConnection,
    email: &str,
    now: UnixMillis,
) -> Result<AccountRow, AccountError> {
    let email = parse_email(email)?;
    links::lock_sign_ups(conn, &email)?;
    if credentials::of_address(conn, &email)?.is_some() {
        return Err(AccountError::EmailTaken(email));
    }
    let account = accounts::create(conn, &public_id("acct_")?, &email, now)?;
    let Some(account) = account else { return Err(AccountError::EmailTaken(email)) };
    // From now on they would open a second one.
    links::remove_sign_ups(conn, &email)?;
    Ok(account)
}
