//! The keys of second factors as they are kept: sealed under the secret outside the database.
//! Whoever only reads the database, or a backup of it, can make no code.

use crate::db::models::credentials::{self, Credentials};
use crate::db::models::tombstones;
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::ids::AccountId;
use crate::domain::sealing::SealingKey;
use crate::domain::tombstone::TombstoneKey;

/// Bytes of a key: as many as its hash has (RFC 4226).
pub(super) const BYTES: usize = 20;
/// Keys that are sealed in one transaction.
const BATCH: i64 = 100;

/// The key of an account's second factor; `None` if it has none, or one that was lost together with
/// the secret outside.
///
/// # Errors
/// [`DbError::Unreadable`] if the secret outside does not open it.
pub(super) fn of(key: &SealingKey, known: &Credentials) -> Result<Option<Vec<u8>>, DbError> {
    let Some(stored) = &known.totp_secret else { return Ok(None) };
    open(key, stored, known.id).map(Some)
}

/// Opens what is stored. A node of an earlier version, which runs beside this one while they are
/// replaced, stores plain keys; the next start seals them.
///
/// # Errors
/// [`DbError::Unreadable`].
pub(super) fn open(key: &SealingKey, stored: &[u8], of: AccountId) -> Result<Vec<u8>, DbError> {
    if stored.len() == BYTES {
        return Ok(stored.to_vec());
    }
    key.open(stored, of).ok_or_else(unreadable)
}

pub(super) const fn unreadable() -> DbError {
    DbError::Unreadable { what: "second factor" }
}

/// Seals what an earlier version has stored plain; how many keys that were. May be broken off and
/// repeated at any time.
pub fn seal_plain(conn: &mut AnyConnection, key: &TombstoneKey) -> Result<usize, DbError> {
    let mut sealed = 0_usize;
    loop {
        let count = transaction::write(conn, |conn| {
            let rows = credentials::unsealed_totps(conn, BATCH)?;
            if !rows.is_empty() {
                tombstones::must_be_known(conn, key)?;
            }
            for (id, plain) in &rows {
                let row = key.sealing().seal(plain, *id)?;
                credentials::replace_totp(conn, *id, plain, &row)?;
            }
            Ok::<_, DbError>(rows.len())
        })?;
        if count == 0 {
            return Ok(sealed);
        }
        sealed = sealed.saturating_add(count);
    }
}
