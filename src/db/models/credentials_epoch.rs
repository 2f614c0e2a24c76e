//! How often the credentials of an account have changed. Links, waiting mail, sessions and log-ins
//! that are half done remember the count under which they were asked for; under another one they
//! open nothing.

use diesel::prelude::*;

use crate::db::schema::{accounts, email_tokens, log_in_steps, outbox, sessions};
use crate::db::{AnyConnection, DbError};
use crate::domain::email_address::spellings;
use crate::domain::ids::AccountId;
use crate::domain::mail::MailKind;

/// Which sessions of an account go on when its credentials change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// None.
    Nobodys,
    /// The one of this row number, which has made the change.
    Session(i64),
    /// All of them.
    All,
}

/// The count of an account; `None` if there is no such account.
pub fn current(conn: &mut AnyConnection, id: AccountId) -> Result<Option<i64>, DbError> {
    let count = accounts::table.find(id).select(accounts::credentials_epoch).first(conn);
    Ok(count.optional()?)
}

/// Begins a new epoch: ends what was asked for before it, but for the sessions that are `kept`.
/// Belongs into the transaction that changes the credentials, before the change of an address. What
/// somebody else puts in at this moment, under the earlier count, opens nothing either.
pub fn raise(conn: &mut AnyConnection, id: AccountId, kept: Kept) -> Result<(), DbError> {
    diesel::update(accounts::table.find(id))
        .set(accounts::credentials_epoch.eq(accounts::credentials_epoch + 1))
        .execute(conn)?;
    let account = accounts::table.find(id);
    let columns = (accounts::credentials_epoch, accounts::email);
    let Some((count, email)) = account.select(columns).first::<(i64, String)>(conn).optional()?
    else {
        return Ok(());
    };
    move_along(conn, (id, count), kept)?;
    let left = sessions::account_id.eq(id).and(sessions::credentials_epoch.ne(count));
    diesel::delete(sessions::table.filter(left)).execute(conn)?;
    diesel::delete(log_in_steps::table.filter(log_in_steps::account_id.eq(id))).execute(conn)?;
    diesel::delete(email_tokens::table.filter(email_tokens::account_id.eq(id))).execute(conn)?;
    let kinds = MailKind::all().filter(|kind| kind.opens_an_account()).map(MailKind::as_str);
    let asked_by_anybody =
        outbox::account_id.is_null().and(outbox::recipient.eq_any(spellings(&email)));
    let mails = outbox::kind
        .eq_any(kinds.collect::<Vec<&str>>())
        .and(outbox::account_id.eq(id).or(asked_by_anybody).assume_not_null());
    diesel::delete(outbox::table.filter(mails)).execute(conn)?;
    Ok(())
}

/// A second factor that is being set up in them is not taken along.
fn move_along(
    conn: &mut AnyConnection,
    (id, count): (AccountId, i64),
    kept: Kept,
) -> Result<(), DbError> {
    let before = sessions::credentials_epoch.eq(count.saturating_sub(1));
    let mine = sessions::table.filter(sessions::account_id.eq(id).and(before));
    let moved = (sessions::credentials_epoch.eq(count), sessions::totp_secret.eq(None::<Vec<u8>>));
    match kept {
        Kept::Nobodys => {}
        Kept::Session(row) => {
            diesel::update(mine.filter(sessions::id.eq(row))).set(moved).execute(conn)?;
        }
        Kept::All => {
            diesel::update(mine).set(moved).execute(conn)?;
        }
    }
    Ok(())
}
