//! What operators decided: rows and queries. Of whose account it was about, the row has its number
//! alone, which goes with the account, as do the words: a public id in `subject` would outlive
//! both.

use diesel::prelude::*;

use crate::db::schema::audit_log;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;

/// A decision as it is stored.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_log)]
pub struct AuditRow {
    /// When it was made.
    pub created_at: UnixMillis,
    /// Which verb.
    pub action: String,
    /// What it was about: the public name of a deposit, else only what kind of thing.
    pub subject: String,
    /// Whose, where it is somebody's.
    pub account_id: Option<AccountId>,
    /// The reason that was given, or what exactly was done.
    pub detail: String,
}

/// A decision to be written down.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// See [`AuditRow::action`].
    pub action: &'a str,
    /// See [`AuditRow::subject`].
    pub subject: &'a str,
    /// See [`AuditRow::account_id`].
    pub account_id: Option<AccountId>,
    /// See [`AuditRow::detail`].
    pub detail: &'a str,
}

impl<'a> Decision<'a> {
    /// About an account.
    #[must_use]
    pub const fn of_account(action: &'a str, id: AccountId, detail: &'a str) -> Self {
        Self { action, subject: "account", account_id: Some(id), detail }
    }

    /// About something that is nobody's.
    #[must_use]
    pub const fn of_nobodys(action: &'a str, subject: &'a str, detail: &'a str) -> Self {
        Self { action, subject, account_id: None, detail }
    }

    /// About a key of an account, by the key's public id.
    #[must_use]
    pub const fn of_key(action: &'a str, id: AccountId, public_id: &'a str) -> Self {
        Self { action, subject: "key", account_id: Some(id), detail: public_id }
    }
}

/// Writes down a decision: in the transaction that carries it out.
pub fn write(
    conn: &mut AnyConnection,
    decision: &Decision<'_>,
    now: UnixMillis,
) -> Result<(), DbError> {
    let row = AuditRow {
        created_at: now,
        action: decision.action.to_owned(),
        subject: decision.subject.to_owned(),
        account_id: decision.account_id,
        detail: decision.detail.to_owned(),
    };
    diesel::insert_into(audit_log::table).values(row).execute(conn)?;
    Ok(())
}

/// What was decided about something, oldest first.
pub fn of(conn: &mut AnyConnection, subject: &str) -> Result<Vec<AuditRow>, DbError> {
    of_all(conn, &[subject])
}

/// What was decided about any of these, oldest first.
pub fn of_all(conn: &mut AnyConnection, subjects: &[&str]) -> Result<Vec<AuditRow>, DbError> {
    let rows = audit_log::table
        .filter(audit_log::subject.eq_any(subjects))
        .order(audit_log::id)
        .select(AuditRow::as_select())
        .load(conn)?;
    Ok(rows)
}
