//! Mail that has to go: rows and queries. A row is put in with what it reports, in one transaction,
//! and goes when its mail has gone. Whoever takes rows holds them for a while, so that no two nodes
//! send the same one at once.

use diesel::prelude::*;

use super::{credentials, credentials_epoch};
use crate::db::schema::{accounts, outbox};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, public_id};
use crate::domain::mail::{MailKind, MailLine};
use crate::domain::unprintable::unprintable;

/// A mail to be written.
pub struct NewMail<'a> {
    /// The occasion.
    pub kind: MailKind,
    /// What makes the occasion the only one of its kind: a second mail of the same reference is not
    /// put in.
    pub reference: String,
    /// Whose account it is about, if it is about one.
    pub account_id: Option<AccountId>,
    /// Where it goes.
    pub recipient: &'a str,
    /// The kind's parameters; `json!({})` where it has none.
    pub params: serde_json::Value,
}

/// A mail that waits.
#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct OutboxRow {
    /// Row number.
    pub id: i64,
    /// The left half of its Message-ID: the same however often it is sent.
    pub message_id: String,
    /// A [`MailKind`].
    pub kind: String,
    /// See [`NewMail::reference`].
    pub reference: String,
    /// Whose account it is about.
    pub account_id: Option<AccountId>,
    /// Where it goes.
    pub recipient: String,
    /// The kind's parameters, as JSON.
    pub params: String,
    /// How often sending it was begun, this time included.
    pub tries: i64,
    /// When it may be taken again.
    pub due_at: UnixMillis,
    /// When it was put in.
    pub created_at: UnixMillis,
    /// Of the account that its link is for, when it was put in: see [`credentials_epoch`]. `None`
    /// if there was none, or it has no such link.
    pub credentials_epoch: Option<i64>,
}

unprintable!(NewMail<'static>, OutboxRow);

// The default is for rows of an earlier version.
#[derive(Insertable)]
#[diesel(table_name = outbox, treat_none_as_default_value = false)]
struct NewOutboxRow<'a> {
    message_id: String,
    kind: &'static str,
    reference: &'a str,
    account_id: Option<AccountId>,
    recipient: &'a str,
    params: String,
    due_at: UnixMillis,
    created_at: UnixMillis,
    is_bulk: bool,
    credentials_epoch: Option<i64>,
    is_notice: bool,
}

/// Puts a mail in; `false` if its kind and reference are there already. Looking for the account
/// costs the same whether or not there is one.
pub fn enqueue(
    conn: &mut AnyConnection,
    mail: &NewMail<'_>,
    now: UnixMillis,
) -> Result<bool, DbError> {
    let credentials_epoch = match (mail.kind.opens_an_account(), mail.account_id) {
        (false, _) => None,
        (true, Some(id)) => credentials_epoch::current(conn, id)?,
        (true, None) => {
            credentials::of_address(conn, mail.recipient)?.map(|account| account.credentials_epoch)
        }
    };
    let (is_bulk, is_notice) = mail.kind.line().stored();
    let row = NewOutboxRow {
        message_id: public_id("msg_")?,
        kind: mail.kind.as_str(),
        reference: &mail.reference,
        account_id: mail.account_id,
        recipient: mail.recipient,
        params: mail.params.to_string(),
        due_at: now,
        created_at: now,
        is_bulk,
        credentials_epoch,
        is_notice,
    };
    let put = on_either!(conn => diesel::insert_into(outbox::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(put > 0)
}

/// Takes the mails of a line that are due longest, and holds them until `held_until`; what has not
/// been finished by then is due again.
pub fn take_due(
    conn: &mut AnyConnection,
    now: UnixMillis,
    held_until: UnixMillis,
    (line, limit): (MailLine, i64),
) -> Result<Vec<OutboxRow>, DbError> {
    if !has_due(conn, now, line)? {
        return Ok(Vec::new());
    }
    transaction::write(conn, |conn| {
        let ids = due_ids(conn, now, (line, limit))?;
        diesel::update(outbox::table.filter(outbox::id.eq_any(&ids)))
            .set((outbox::due_at.eq(held_until), outbox::tries.eq(outbox::tries + 1)))
            .execute(conn)?;
        let rows = outbox::table
            .filter(outbox::id.eq_any(&ids))
            .order(outbox::id)
            .select(OutboxRow::as_select())
            .load(conn)?;
        Ok(rows)
    })
}

/// Looks before it asks for the right to write: mostly there is nothing.
fn has_due(conn: &mut AnyConnection, now: UnixMillis, line: MailLine) -> Result<bool, DbError> {
    let (is_bulk, is_notice) = line.stored();
    let due = outbox::table
        .filter(outbox::is_bulk.eq(is_bulk).and(outbox::is_notice.eq(is_notice)))
        .filter(outbox::due_at.le(now));
    Ok(diesel::select(diesel::dsl::exists(due)).get_result(conn)?)
}

fn due_ids(
    conn: &mut AnyConnection,
    now: UnixMillis,
    (line, limit): (MailLine, i64),
) -> Result<Vec<i64>, DbError> {
    let (is_bulk, is_notice) = line.stored();
    let due = outbox::table
        .filter(outbox::is_bulk.eq(is_bulk).and(outbox::is_notice.eq(is_notice)))
        .filter(outbox::due_at.le(now))
        .order((outbox::due_at, outbox::id))
        .limit(limit)
        .select(outbox::id);
    let ids = match conn {
        AnyConnection::Sqlite(conn) => due.load(conn)?,
        // Rows that another node is taking at this moment are left to it.
        AnyConnection::Postgres(conn) => due.for_update().skip_locked().load(conn)?,
    };
    Ok(ids)
}

/// Tries a mail again later.
pub fn put_off(conn: &mut AnyConnection, id: i64, due_at: UnixMillis) -> Result<(), DbError> {
    diesel::update(outbox::table.find(id)).set(outbox::due_at.eq(due_at)).execute(conn)?;
    Ok(())
}

/// Makes mails due now that would be due after `held_until` only: no node is sending those. Says
/// how many they are.
pub fn hasten(
    conn: &mut AnyConnection,
    now: UnixMillis,
    held_until: UnixMillis,
) -> Result<usize, DbError> {
    let put_off = outbox::table.filter(outbox::due_at.gt(held_until));
    Ok(diesel::update(put_off).set(outbox::due_at.eq(now)).execute(conn)?)
}

/// Removes a mail that has gone, or never will.
pub fn remove(conn: &mut AnyConnection, id: i64) -> Result<(), DbError> {
    diesel::delete(outbox::table.find(id)).execute(conn)?;
    Ok(())
}

/// How many mails wait.
pub fn waiting(conn: &mut AnyConnection) -> Result<i64, DbError> {
    Ok(outbox::table.count().get_result(conn)?)
}

/// Whether an account wants what it need not be told.
pub fn wants_notices(conn: &mut AnyConnection, id: AccountId) -> Result<bool, DbError> {
    let wants = accounts::table.find(id).select(accounts::wants_notices).first::<bool>(conn);
    Ok(wants.optional()?.unwrap_or(false))
}
