//! What accounts log in with: password, second factor, and the address that proves them. Columns of
//! `accounts` that nothing but logging in reads. Whatever changes them begins a new epoch, in the
//! same transaction.

use diesel::dsl::{exists, sql};
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::credentials_epoch::{self, Kept};
use super::journal;
use crate::db::schema::{accounts, sessions};
use crate::db::{AnyConnection, DbError};
use crate::domain::account_status::AccountStatus;
use crate::domain::clock::UnixMillis;
use crate::domain::email_address;
use crate::domain::ids::AccountId;
use crate::domain::journal_event::{ChangedCredential, JournalEvent};
use crate::domain::unprintable::unprintable;

/// What one account logs in with. Has no `Debug`.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub struct Credentials {
    /// The account.
    pub id: AccountId,
    /// The address, in lower case.
    pub email: String,
    /// How it stands.
    pub status: AccountStatus,
    /// bcrypt's text; `None` before the first password.
    pub password_hash: Option<String>,
    /// The key of its second factor, sealed.
    pub totp_secret: Option<Vec<u8>>,
    /// Since when the second factor is asked for.
    pub totp_enabled_at: Option<UnixMillis>,
    /// The step of the code that was used last. One that is not later is not taken.
    pub totp_last_step: Option<i64>,
    /// When its owner asked for it to be deleted.
    pub closing_at: Option<UnixMillis>,
    /// How often these have changed: see [`credentials_epoch`].
    pub credentials_epoch: i64,
}

unprintable!(Credentials);

impl Credentials {
    /// Whether a second factor is asked for.
    #[must_use]
    pub const fn has_totp(&self) -> bool {
        self.totp_enabled_at.is_some()
    }
}

/// Those of the account of an address, however it is spelled.
pub fn of_address(conn: &mut AnyConnection, text: &str) -> Result<Option<Credentials>, DbError> {
    let spellings = email_address::spellings(text);
    let found = accounts::table
        .filter(accounts::email.eq_any(&spellings))
        .select(Credentials::as_select())
        .load(conn)?;
    let rank = |known: &Credentials| spellings.iter().position(|one| *one == known.email);
    Ok(found.into_iter().min_by_key(rank))
}

/// Those of an account.
pub fn get(conn: &mut AnyConnection, id: AccountId) -> Result<Option<Credentials>, DbError> {
    Ok(accounts::table.find(id).select(Credentials::as_select()).first(conn).optional()?)
}

/// Ends what was asked for under the credentials of before, and notes for the journal which one
/// changes.
fn begin_epoch(
    conn: &mut AnyConnection,
    account: AccountId,
    credential: ChangedCredential,
    kept: Kept,
) -> Result<(), DbError> {
    journal::note(conn, &JournalEvent::CredentialsChanged { account, credential })?;
    credentials_epoch::raise(conn, account, kept)
}

/// Takes a password away: from then on its owner sets a new one by a link in a mail.
pub fn clear_password(conn: &mut AnyConnection, id: AccountId) -> Result<(), DbError> {
    diesel::update(accounts::table.find(id))
        .set(accounts::password_hash.eq(None::<String>))
        .execute(conn)?;
    Ok(())
}

/// Stores the hash of a new password. Must run in a write transaction.
pub fn set_password(
    conn: &mut AnyConnection,
    id: AccountId,
    hash: &str,
    kept: Kept,
) -> Result<(), DbError> {
    begin_epoch(conn, id, ChangedCredential::Password, kept)?;
    renew_hash(conn, id, hash)
}

/// Stores another hash of the same password.
pub fn renew_hash(conn: &mut AnyConnection, id: AccountId, hash: &str) -> Result<(), DbError> {
    let account = diesel::update(accounts::table.find(id));
    account.set(accounts::password_hash.eq(hash)).execute(conn)?;
    Ok(())
}

/// Changes the address. Another account that has it is a violation of the table's rules. The
/// sessions go on: the change is made by a link, which knows of none. Must run in a write
/// transaction.
pub fn set_email(conn: &mut AnyConnection, id: AccountId, email: &str) -> Result<(), DbError> {
    begin_epoch(conn, id, ChangedCredential::Address, Kept::All)?;
    diesel::update(accounts::table.find(id)).set(accounts::email.eq(email)).execute(conn)?;
    Ok(())
}

/// Begins to set up a second factor in a session, with a sealed key.
pub fn begin_totp(conn: &mut AnyConnection, session: i64, sealed: &[u8]) -> Result<(), DbError> {
    let row = diesel::update(sessions::table.find(session));
    row.set(sessions::totp_secret.eq(Some(sealed))).execute(conn)?;
    Ok(())
}

/// The sealed key of the second factor that is being set up in a session; `None` if there is none,
/// or the session has ended.
pub fn pending_totp(conn: &mut AnyConnection, session: i64) -> Result<Option<Vec<u8>>, DbError> {
    let in_force = sessions::credentials_epoch.eq(accounts::credentials_epoch);
    let sealed: Option<Option<Vec<u8>>> = sessions::table
        .inner_join(accounts::table)
        .filter(sessions::id.eq(session).and(in_force))
        .select(sessions::totp_secret)
        .first(conn)
        .optional()?;
    Ok(sealed.flatten())
}

/// From now on the second factor of this sealed key is asked for, and not the code of `step` again.
/// Must run in a write transaction.
pub fn enable_totp(
    conn: &mut AnyConnection,
    id: AccountId,
    (sealed, step): (&[u8], i64),
    kept: Kept,
    now: UnixMillis,
) -> Result<(), DbError> {
    begin_epoch(conn, id, ChangedCredential::SecondFactor, kept)?;
    diesel::update(accounts::table.find(id))
        .set((
            accounts::totp_secret.eq(Some(sealed)),
            accounts::totp_last_step.eq(step),
            accounts::totp_enabled_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Uses a step of the second factor up; `false` if it, or a later one, was used before.
pub fn use_totp_step(conn: &mut AnyConnection, id: AccountId, step: i64) -> Result<bool, DbError> {
    let unused = accounts::totp_last_step.is_null().or(accounts::totp_last_step.lt(step));
    let used = diesel::update(accounts::table.find(id).filter(unused))
        .set(accounts::totp_last_step.eq(step))
        .execute(conn)?;
    Ok(used > 0)
}

/// Takes the second factor away. Must run in a write transaction.
pub fn clear_totp(conn: &mut AnyConnection, id: AccountId, kept: Kept) -> Result<(), DbError> {
    begin_epoch(conn, id, ChangedCredential::SecondFactor, kept)?;
    diesel::update(accounts::table.find(id))
        .set((
            accounts::totp_secret.eq(None::<Vec<u8>>),
            accounts::totp_enabled_at.eq(None::<UnixMillis>),
            accounts::totp_last_step.eq(None::<i64>),
        ))
        .execute(conn)?;
    Ok(())
}

/// Keys of second factors that an earlier version has left unsealed, at most so many. They are
/// known by the one length that a key has, and a sealed one has not.
pub fn unsealed_totps(
    conn: &mut AnyConnection,
    limit: i64,
) -> Result<Vec<(AccountId, Vec<u8>)>, DbError> {
    let rows: Vec<(AccountId, Option<Vec<u8>>)> = accounts::table
        .filter(sql::<Bool>("length(totp_secret) = 20"))
        .order(accounts::id)
        .limit(limit)
        .select((accounts::id, accounts::totp_secret))
        .load(conn)?;
    Ok(rows.into_iter().filter_map(|(id, key)| Some((id, key?))).collect())
}

/// Puts the sealed key in the place of the plain one, if that is still there.
pub fn replace_totp(
    conn: &mut AnyConnection,
    id: AccountId,
    plain: &[u8],
    sealed: &[u8],
) -> Result<(), DbError> {
    let account = accounts::table.find(id).filter(accounts::totp_secret.eq(plain));
    diesel::update(account).set(accounts::totp_secret.eq(sealed)).execute(conn)?;
    Ok(())
}

/// Whether a key of a second factor is stored that only the secret outside opens.
pub fn are_any_sealed(conn: &mut AnyConnection) -> Result<bool, DbError> {
    let sealed = accounts::table.filter(sql::<Bool>("length(totp_secret) <> 20"));
    Ok(diesel::select(exists(sealed.select(accounts::id))).get_result(conn)?)
}

/// Drops the keys of all second factors, since nobody can open them any more. A code is asked for
/// as before: a recovery code is one. Gives the number of accounts that this is about.
pub fn forget_totps(conn: &mut AnyConnection) -> Result<usize, DbError> {
    diesel::update(sessions::table.filter(sessions::totp_secret.is_not_null()))
        .set(sessions::totp_secret.eq(None::<Vec<u8>>))
        .execute(conn)?;
    let forgotten = diesel::update(accounts::table.filter(accounts::totp_secret.is_not_null()))
        .set(accounts::totp_secret.eq(None::<Vec<u8>>))
        .execute(conn)?;
    Ok(forgotten)
}
