//! What an account is proven by: that it is there, and that it is still what was checked.

use super::AuthError;
use crate::db::AnyConnection;
use crate::db::models::accounts;
use crate::db::models::credentials::{self, Credentials};
use crate::domain::ids::AccountId;

/// The credentials of an account that must be there.
pub(super) fn present(conn: &mut AnyConnection, id: AccountId) -> Result<Credentials, AuthError> {
    let found = credentials::get(conn, id)?;
    // It can only have been erased a moment ago.
    found.ok_or(AuthError::WrongCredentials)
}

/// The credentials as they stand, held for this transaction: if they were changed since the
/// password was checked, the check is worth nothing.
pub(in crate::accounts) fn recheck(
    conn: &mut AnyConnection,
    checked: &Credentials,
) -> Result<Credentials, AuthError> {
    accounts::lock(conn, checked.id)?;
    let known = present(conn, checked.id)?;
    let is_same = known.password_hash == checked.password_hash
        && known.credentials_epoch == checked.credentials_epoch;
    if is_same { Ok(known) } else { Err(AuthError::WrongCredentials) }
}
