//! Accounts and what is theirs: opening them, keys, usage, the ledger; and recognising who is asking.

pub mod archive;
pub mod closing;
mod email_change;
pub mod email_tokens;
pub mod erasure;
pub mod export;
mod key_ring;
pub mod keys;
pub mod leaked_keys;
pub mod log_in;
pub mod password;
pub mod people;
mod people_error;
pub mod preferences;
mod reset;
pub mod sessions;
mod sign_up;
pub mod spending;
pub mod statement;
pub mod suspension;
pub mod throttle;
pub mod tombstones;
pub mod totp;
pub mod unsubscribe;
pub mod usage;

use crate::db::accounts::AccountRow;
use crate::db::{AnyConnection, DbError, accounts};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{NoRandomness, public_id};
use crate::domain::plain_text::is_hidden;

pub use key_ring::KeyRing;
pub use people::People;
pub use people_error::PeopleError;

/// Longest e-mail address (RFC 5321 §4.5.3.1.3).
const EMAIL_MAX: usize = 254;

/// Why an account could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not an address.
    #[error("\"{0}\" is not an e-mail address")]
    BadEmail(String),
    /// The address has an account.
    #[error("{0} has an account already")]
    EmailTaken(String),
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// An e-mail address in the form in which accounts are told apart: lower case, no white space.
///
/// # Errors
/// [`AccountError::BadEmail`].
pub fn parse_email(text: &str) -> Result<String, AccountError> {
    let refuse = || AccountError::BadEmail(text.chars().take(EMAIL_MAX).collect());
    let (local, host) = text.rsplit_once('@').ok_or_else(refuse)?;
    let is_plain = !text.contains(|c: char| c.is_whitespace() || is_hidden(c));
    let is_host = host.split('.').all(|label| !label.is_empty());
    if local.is_empty() || !is_host || !is_plain || text.len() > EMAIL_MAX {
        return Err(refuse());
    }
    let lower = text.to_lowercase();
    // What mail cannot be sent to is no address here.
    lower.parse::<lettre::Address>().map_err(|_| refuse())?;
    Ok(lower)
}

/// Opens an account with nothing on it.
///
/// # Errors
/// [`AccountError`].
pub fn open(
    conn: &mut AnyConnection,
    email: &str,
    now: UnixMillis,
) -> Result<AccountRow, AccountError> {
    let email = parse_email(email)?;
    let account = accounts::create(conn, &public_id("acct_")?, &email, now)?;
    account.ok_or(AccountError::EmailTaken(email))
}

#[cfg(test)]
mod tests {
    use super::parse_email;

    #[test]
    fn addresses_are_told_apart_without_case() {
        assert_eq!(parse_email("A.b+c@Example.ORG").unwrap(), "a.b+c@example.org");
        let long = format!("{}@example.org", "a".repeat(300));
        for bad in [
            "",
            "a",
            "@b.c",
            "a@",
            "a@b..c",
            "a b@c.d",
            "a@b.c\n",
            "a\u{202e}@b.c",
            "a@b\u{200b}.c",
            &long,
        ] {
            assert!(parse_email(bad).is_err(), "{bad}");
        }
    }
}
