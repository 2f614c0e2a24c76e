//! Sessions of people who are logged in: rows and queries. Only the SHA-256 of a token is ever
//! here.

use diesel::prelude::*;

use super::credentials_epoch;
use crate::db::schema::{accounts, sessions};
use crate::db::{AnyConnection, DbError};
use crate::domain::account_status::AccountStatus;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::secret_token::TokenHash;

/// One session, without its token's hash.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = sessions)]
pub struct SessionRow {
    /// Row number, never shown.
    pub id: i64,
    /// The name that people and APIs use.
    pub public_id: String,
    /// Who is logged in.
    pub account_id: AccountId,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last used, to some minutes.
    pub last_seen_at: UnixMillis,
    /// When it ends at the latest.
    pub expires_at: UnixMillis,
}

#[derive(Insertable)]
#[diesel(table_name = sessions)]
struct NewSessionRow<'a> {
    public_id: &'a str,
    account_id: AccountId,
    token_hash: &'a [u8],
    created_at: UnixMillis,
    last_seen_at: UnixMillis,
    expires_at: UnixMillis,
    credentials_epoch: i64,
}

/// Stores a new session, under the credentials that its account has now.
pub fn create(
    conn: &mut AnyConnection,
    public_id: &str,
    account_id: AccountId,
    token_hash: &TokenHash,
    (now, expires_at): (UnixMillis, UnixMillis),
) -> Result<(), DbError> {
    let credentials_epoch = credentials_epoch::current(conn, account_id)?.unwrap_or_default();
    let row = NewSessionRow {
        public_id,
        account_id,
        token_hash: token_hash.as_bytes(),
        created_at: now,
        last_seen_at: now,
        expires_at,
        credentials_epoch,
    };
    diesel::insert_into(sessions::table).values(row).execute(conn)?;
    Ok(())
}

/// Drops the sessions whose time is up.
pub fn forget_expired(conn: &mut AnyConnection, now: UnixMillis) -> Result<(), DbError> {
    diesel::delete(sessions::table.filter(sessions::expires_at.le(now))).execute(conn)?;
    Ok(())
}

/// The session of a token, whether or not its time is up, its account's status, and since when that
/// is closing. `None` if the account's credentials have changed since.
pub fn by_hash(
    conn: &mut AnyConnection,
    token_hash: &TokenHash,
) -> Result<Option<(SessionRow, AccountStatus, Option<UnixMillis>)>, DbError> {
    let found = sessions::table
        .inner_join(accounts::table)
        .filter(sessions::token_hash.eq(token_hash.as_bytes().as_slice()))
        .filter(sessions::credentials_epoch.eq(accounts::credentials_epoch))
        .select((SessionRow::as_select(), accounts::status, accounts::closing_at))
        .first(conn)
        .optional()?;
    Ok(found)
}

/// How the account of a session stands: its status, and since when it is closing. `None` if the
/// session has ended, or the account's credentials have changed since.
pub fn standing(
    conn: &mut AnyConnection,
    session: &SessionRow,
) -> Result<Option<(AccountStatus, Option<UnixMillis>)>, DbError> {
    // Row numbers of sessions that have ended may be given again.
    let found = sessions::table
        .inner_join(accounts::table)
        .filter(sessions::account_id.eq(session.account_id))
        .filter(sessions::public_id.eq(&session.public_id))
        .filter(sessions::credentials_epoch.eq(accounts::credentials_epoch))
        .select((accounts::status, accounts::closing_at))
        .first(conn)
        .optional()?;
    Ok(found)
}

/// Notes that a session is in use.
pub fn touch(conn: &mut AnyConnection, id: i64, now: UnixMillis) -> Result<(), DbError> {
    diesel::update(sessions::table.find(id)).set(sessions::last_seen_at.eq(now)).execute(conn)?;
    Ok(())
}

/// The sessions of an account whose time is not up, newest first.
pub fn of_account(
    conn: &mut AnyConnection,
    account_id: AccountId,
    now: UnixMillis,
) -> Result<Vec<SessionRow>, DbError> {
    let rows = sessions::table
        .inner_join(accounts::table)
        .filter(sessions::account_id.eq(account_id))
        .filter(sessions::credentials_epoch.eq(accounts::credentials_epoch))
        .filter(sessions::expires_at.gt(now))
        .order(sessions::id.desc())
        .select(SessionRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Ends one session of an account; `false` if it has none of that name.
pub fn end(
    conn: &mut AnyConnection,
    account_id: AccountId,
    public_id: &str,
) -> Result<bool, DbError> {
    let session = sessions::table
        .filter(sessions::account_id.eq(account_id).and(sessions::public_id.eq(public_id)));
    Ok(diesel::delete(session).execute(conn)? > 0)
}

/// Ends all sessions of an account; says how many.
pub fn end_all(conn: &mut AnyConnection, account_id: AccountId) -> Result<usize, DbError> {
    let all = sessions::table.filter(sessions::account_id.eq(account_id));
    Ok(diesel::delete(all).execute(conn)?)
}
