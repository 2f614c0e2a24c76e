//! What accounts log in with: password, second factor, and the address that proves them. Columns of `accounts` that
//! nothing but logging in reads.

use diesel::prelude::*;

use super::schema::accounts;
use super::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::unprintable::unprintable;

/// What one account logs in with. Has no `Debug`.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub struct Credentials {
    /// Row number.
    pub id: i64,
    /// The address, in lower case.
    pub email: String,
    /// `active` or `suspended`.
    pub status: String,
    /// bcrypt's text; `None` before the first password.
    pub password_hash: Option<String>,
    /// The key of its second factor; without `totp_enabled_at` it is only being set up.
    pub totp_secret: Option<Vec<u8>>,
    /// Since when the second factor is asked for.
    pub totp_enabled_at: Option<i64>,
    /// The step of the code that was used last. One that is not later is not taken.
    pub totp_last_step: Option<i64>,
    /// When its owner asked for it to be deleted.
    pub closing_at: Option<i64>,
}

unprintable!(Credentials);

impl Credentials {
    /// The row number as the rest of the crate carries it.
    #[must_use]
    pub const fn account_id(&self) -> AccountId {
        AccountId(self.id)
    }

    /// Whether a second factor is asked for.
    #[must_use]
    pub const fn has_totp(&self) -> bool {
        self.totp_enabled_at.is_some()
    }
}

/// Those of the accounts of several spellings of an address, in any order.
///
/// # Errors
/// [`DbError::Query`].
pub fn of_emails(conn: &mut AnyConnection, emails: &[String]) -> Result<Vec<Credentials>, DbError> {
    let rows = accounts::table
        .filter(accounts::email.eq_any(emails))
        .select(Credentials::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Those of an account.
///
/// # Errors
/// [`DbError::Query`].
pub fn get(conn: &mut AnyConnection, id: AccountId) -> Result<Option<Credentials>, DbError> {
    Ok(accounts::table.find(id.0).select(Credentials::as_select()).first(conn).optional()?)
}

/// Stores a password's hash.
///
/// # Errors
/// [`DbError::Query`].
pub fn set_password(conn: &mut AnyConnection, id: AccountId, hash: &str) -> Result<(), DbError> {
    let account = diesel::update(accounts::table.find(id.0));
    account.set(accounts::password_hash.eq(hash)).execute(conn)?;
    Ok(())
}

/// Changes the address. Another account that has it is a violation of the table's rules.
///
/// # Errors
/// [`DbError::Query`].
pub fn set_email(conn: &mut AnyConnection, id: AccountId, email: &str) -> Result<(), DbError> {
    diesel::update(accounts::table.find(id.0)).set(accounts::email.eq(email)).execute(conn)?;
    Ok(())
}

/// Begins to set up a second factor; `false` if one is asked for already.
///
/// # Errors
/// [`DbError::Query`].
pub fn set_totp(conn: &mut AnyConnection, id: AccountId, secret: &[u8]) -> Result<bool, DbError> {
    let account = accounts::table.find(id.0).filter(accounts::totp_enabled_at.is_null());
    let set = diesel::update(account)
        .set((accounts::totp_secret.eq(Some(secret)), accounts::totp_last_step.eq(None::<i64>)))
        .execute(conn)?;
    Ok(set > 0)
}

/// From now on the second factor is asked for.
///
/// # Errors
/// [`DbError::Query`].
pub fn enable_totp(
    conn: &mut AnyConnection,
    id: AccountId,
    now: UnixMillis,
) -> Result<(), DbError> {
    diesel::update(accounts::table.find(id.0))
        .set(accounts::totp_enabled_at.eq(now.as_millis()))
        .execute(conn)?;
    Ok(())
}

/// Uses a step of the second factor up; `false` if it, or a later one, was used before.
///
/// # Errors
/// [`DbError::Query`].
pub fn use_totp_step(conn: &mut AnyConnection, id: AccountId, step: i64) -> Result<bool, DbError> {
    let unused = accounts::totp_last_step.is_null().or(accounts::totp_last_step.lt(step));
    let used = diesel::update(accounts::table.find(id.0).filter(unused))
        .set(accounts::totp_last_step.eq(step))
        .execute(conn)?;
    Ok(used > 0)
}

/// Takes the second factor away.
///
/// # Errors
/// [`DbError::Query`].
pub fn clear_totp(conn: &mut AnyConnection, id: AccountId) -> Result<(), DbError> {
    diesel::update(accounts::table.find(id.0))
        .set((
            accounts::totp_secret.eq(None::<Vec<u8>>),
            accounts::totp_enabled_at.eq(None::<i64>),
            accounts::totp_last_step.eq(None::<i64>),
        ))
        .execute(conn)?;
    Ok(())
}
