//! What may be tried so often on all nodes together, and after a restart: guesses at the password
//! of a mailbox, and mails to one. It is counted in the database under a keyed hash, in the
//! transaction that tells a guess to be wrong or writes the mail, so that there are no more rows
//! than there were checks of passwords and mails. Who tries is not stored: what counts against a
//! client counts on each node (see `throttle`).

use std::time::Duration;

use super::AuthError;
use super::throttle::TooMany;
use crate::config::Accounts;
use crate::db::models::attempts;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::email_address::mailbox;
use crate::domain::ids::AccountId;
use crate::domain::tombstone::TombstoneKey;
use crate::domain::unprintable::unprintable;

/// One thing that is counted, and how often it may be tried.
#[derive(Clone, Copy)]
pub(super) struct SharedAttempts {
    hash: [u8; 32],
    most: u32,
    window: Duration,
}

unprintable!(SharedAttempts);

impl SharedAttempts {
    /// Guesses at the password of whoever has an address, whether or not anybody has.
    pub(super) fn guesses_at(address: &str, secret: &TombstoneKey, settings: &Accounts) -> Self {
        let hash = secret.of_attempts("guess", mailbox(address).as_bytes());
        Self::new(hash, settings.failed_logins_max_from_all, settings)
    }

    /// Mails to an address that somebody asks for.
    pub(super) fn mails_to(address: &str, secret: &TombstoneKey, settings: &Accounts) -> Self {
        let hash = secret.of_attempts("mail to", mailbox(address).as_bytes());
        Self::new(hash, settings.mails_per_address_max, settings)
    }

    /// Mails to wherever an account wants them.
    pub(super) fn mails_from(id: AccountId, secret: &TombstoneKey, settings: &Accounts) -> Self {
        let hash = secret.of_attempts("mail from", &id.0.to_be_bytes());
        Self::new(hash, settings.mails_per_address_max, settings)
    }

    const fn new(hash: [u8; 32], most: u32, settings: &Accounts) -> Self {
        Self { hash, most, window: settings.attempts_window }
    }

    /// Whether one more may be tried.
    ///
    /// # Errors
    /// [`AuthError::TooManyAttempts`].
    pub(super) fn check(&self, conn: &mut AnyConnection, now: UnixMillis) -> Result<(), AuthError> {
        let open = attempts::open_window(conn, &self.hash, now)?;
        match open.filter(|window| window.made >= i64::from(self.most)) {
            Some(window) => Err(too_many(window, now)),
            None => Ok(()),
        }
    }

    /// Counts one that was made. Must run in a write transaction.
    pub(super) fn count(&self, conn: &mut AnyConnection, now: UnixMillis) -> Result<(), DbError> {
        attempts::count(conn, &self.hash, (now, now.plus(self.window)))?;
        Ok(())
    }

    /// Counts one that is made in this transaction, if it may be.
    ///
    /// # Errors
    /// [`AuthError::TooManyAttempts`]; then the transaction must not be committed.
    pub(super) fn take(&self, conn: &mut AnyConnection, now: UnixMillis) -> Result<(), AuthError> {
        let window = attempts::count(conn, &self.hash, (now, now.plus(self.window)))?;
        if window.made > i64::from(self.most) { Err(too_many(window, now)) } else { Ok(()) }
    }

    /// Takes back so many that turned out to be none.
    pub(super) fn take_back(
        &self,
        conn: &mut AnyConnection,
        count: u32,
        now: UnixMillis,
    ) -> Result<(), DbError> {
        attempts::take_back(conn, &self.hash, i64::from(count), now)
    }

    /// Begins anew, since there is nothing left to be guessed at.
    pub(super) fn forget(&self, conn: &mut AnyConnection) -> Result<(), DbError> {
        attempts::forget(conn, &self.hash)
    }
}

fn too_many(window: attempts::AttemptWindow, now: UnixMillis) -> AuthError {
    let left = u64::try_from(window.expires_at.millis_since(now)).unwrap_or(0);
    TooMany { retry_after_secs: left.div_ceil(1000) }.into()
}
