//! Wrong codes of the second factor, counted in the database: on all nodes together, and whichever
//! way they come. Each is given by somebody who knows the password, so its owner is told
//! ([decision 24](../../docs/decisions/024-wrong-codes-are-counted-in-the-database.md)).

use serde_json::json;

use super::{AuthError, people};
use crate::config::Accounts;
use crate::db::models::credentials::Credentials;
use crate::db::models::wrong_codes as rows;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::mail::{MailKind, WrongCodes};

/// What a transaction comes to that counts: a refusal inside is committed with what was counted,
/// one outside rolls it back.
pub(super) type Committed<T> = Result<Result<T, AuthError>, AuthError>;

/// How many wrong codes an account has had. Must be read under its lock.
pub(super) struct Tries {
    count: i64,
    began_at: UnixMillis,
    ends_at: UnixMillis,
    is_full: bool,
}

impl Tries {
    /// Those within the window that is open, or a new one.
    pub(super) fn of(
        conn: &mut AnyConnection,
        id: AccountId,
        settings: &Accounts,
        now: UnixMillis,
    ) -> Result<Self, DbError> {
        let row = rows::get(conn, id)?;
        let began = row.and_then(|row| row.wrong_codes_began_at);
        let open = began.filter(|began| began.plus(settings.wrong_codes_window) > now);
        let count = if open.is_some() { row.map_or(0, |row| row.wrong_codes) } else { 0 };
        let began_at = open.unwrap_or(now);
        Ok(Self {
            count,
            began_at,
            ends_at: began_at.plus(settings.wrong_codes_window),
            is_full: count >= i64::from(settings.wrong_codes_max),
        })
    }

    /// Whether a code that can be guessed is looked at.
    pub(super) const fn may_go_on(&self) -> bool {
        !self.is_full
    }

    /// Counts a wrong code, tells the owner of the account at some number of them, and says how it
    /// is refused.
    pub(super) fn count(
        self,
        conn: &mut AnyConnection,
        known: &Credentials,
        settings: &Accounts,
        now: UnixMillis,
    ) -> Result<AuthError, DbError> {
        if self.is_full {
            let left = self.ends_at.millis_since(now);
            let retry_after_secs = u64::try_from(left).unwrap_or(0).div_ceil(1000);
            return Ok(AuthError::TooManyCodes { retry_after_secs });
        }
        let count = self.count.saturating_add(1);
        rows::set(conn, known.id, count, self.began_at)?;
        // While it is being set up, there is nothing to be guessed at.
        if known.has_totp() && count == i64::from(settings.wrong_codes_before_mail) {
            let window_secs = settings.wrong_codes_window.as_secs();
            let to = (Some(known.id), known.email.as_str());
            let params = json!(WrongCodes { count, window_secs });
            people::send(conn, MailKind::WrongCodes, to, params, now)?;
        }
        Ok(AuthError::WrongCode)
    }
}

/// A new password begins the count anew, since whoever has guessed did so with the old one; but
/// once in a window.
pub(super) fn pardon(
    conn: &mut AnyConnection,
    id: AccountId,
    settings: &Accounts,
    now: UnixMillis,
) -> Result<(), DbError> {
    rows::pardon(conn, id, (now.minus(settings.wrong_codes_window), now))
}
