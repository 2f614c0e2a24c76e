//! Versions of the policy and the terms, and whom of the accounts their notices have come to: rows
//! and queries.

use diesel::prelude::*;

use crate::db::schema::{accounts, policy_versions};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::ids::AccountId;
use crate::domain::policy::{PolicyKind, PolicyVersion};

/// A version, without its text.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = policy_versions)]
pub struct PolicyRow {
    /// Row number.
    pub id: i64,
    /// Which text it is a version of.
    pub kind: PolicyKind,
    /// Counted from 1 for each kind.
    pub number: i64,
    /// The first moment of the day from which it is in force.
    pub in_force_at: UnixMillis,
    /// Whether everybody is told by mail.
    pub is_significant: bool,
    /// The operator's words on what it changes.
    pub words: String,
    /// SHA-256 of its text.
    pub body_hash: Vec<u8>,
    /// When it was published.
    pub published_at: UnixMillis,
    /// The newest account at that time.
    pub last_account_id: AccountId,
    /// The last account that its notices have come to.
    pub noticed_account_id: AccountId,
    /// How many were put into the outbox.
    pub notices: i64,
    /// When the last one was; when it was published, if there are none to be sent.
    pub noticed_at: Option<UnixMillis>,
}

impl PolicyRow {
    /// The day from which it is in force.
    #[must_use]
    pub const fn in_force(&self) -> UtcDay {
        self.in_force_at.day()
    }
}

/// A version to be stored.
pub struct NewPolicy<'a> {
    /// Its name.
    pub version: PolicyVersion,
    /// From when on.
    pub in_force: UtcDay,
    /// Whether everybody is told.
    pub is_significant: bool,
    /// The operator's words.
    pub words: &'a str,
    /// The text.
    pub body: &'a str,
    /// Its SHA-256.
    pub body_hash: &'a [u8; 32],
}

/// Stores a version. Those who have an account now are told, if anybody is.
///
/// # Errors
/// [`DbError::Query`], also where the version is there already.
pub fn create(
    conn: &mut AnyConnection,
    new: &NewPolicy<'_>,
    now: UnixMillis,
) -> Result<(), DbError> {
    let newest: Option<AccountId> =
        accounts::table.select(diesel::dsl::max(accounts::id)).first(conn)?;
    let row = (
        policy_versions::kind.eq(new.version.kind),
        policy_versions::number.eq(new.version.number),
        policy_versions::in_force_at.eq(new.in_force.begin()),
        policy_versions::is_significant.eq(new.is_significant),
        policy_versions::words.eq(new.words),
        policy_versions::body.eq(new.body),
        policy_versions::body_hash.eq(new.body_hash.as_slice()),
        policy_versions::published_at.eq(now),
        policy_versions::last_account_id.eq(newest.unwrap_or(AccountId(0))),
        policy_versions::noticed_account_id.eq(0),
        policy_versions::notices.eq(0),
        policy_versions::noticed_at.eq((!new.is_significant).then_some(now)),
    );
    diesel::insert_into(policy_versions::table).values(row).execute(conn)?;
    Ok(())
}

/// All versions of a text, the newest first.
pub fn all(conn: &mut AnyConnection, kind: PolicyKind) -> Result<Vec<PolicyRow>, DbError> {
    let rows = policy_versions::table
        .filter(policy_versions::kind.eq(kind))
        .order(policy_versions::number.desc())
        .select(PolicyRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// How many versions there are. They are neither changed nor taken back, so that it says whether
/// there is another one.
pub fn count(conn: &mut AnyConnection) -> Result<i64, DbError> {
    Ok(policy_versions::table.count().get_result(conn)?)
}

/// One version.
pub fn get(conn: &mut AnyConnection, version: PolicyVersion) -> Result<Option<PolicyRow>, DbError> {
    let row = policy_versions::table
        .filter(policy_versions::kind.eq(version.kind.as_str()))
        .filter(policy_versions::number.eq(version.number))
        .select(PolicyRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// The text of a version.
pub fn body(conn: &mut AnyConnection, id: i64) -> Result<String, DbError> {
    Ok(policy_versions::table.find(id).select(policy_versions::body).first(conn)?)
}

/// The version whose notices are to be put into the outbox next. Belongs into a write transaction:
/// on PostgreSQL the row stays locked until its end.
pub fn next_to_notice(conn: &mut AnyConnection) -> Result<Option<PolicyRow>, DbError> {
    let next = policy_versions::table
        .filter(policy_versions::noticed_at.is_null())
        .order(policy_versions::id)
        .limit(1)
        .select(policy_versions::id);
    let ids: Vec<i64> = match conn {
        AnyConnection::Sqlite(conn) => next.load(conn)?,
        AnyConnection::Postgres(conn) => next.for_update().load(conn)?,
    };
    let row = policy_versions::table
        .filter(policy_versions::id.eq_any(ids))
        .select(PolicyRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// How many accounts the notices of all versions have still to come to, those that get none among
/// them. `None` if there is nothing to be done.
pub fn left_to_notice(conn: &mut AnyConnection) -> Result<Option<i64>, DbError> {
    let open: Vec<(AccountId, AccountId)> = policy_versions::table
        .filter(policy_versions::noticed_at.is_null())
        .select((policy_versions::noticed_account_id, policy_versions::last_account_id))
        .load(conn)?;
    let mut left = 0_i64;
    for (done, last) in &open {
        let ids = accounts::id.gt(done).and(accounts::id.le(last));
        let count: i64 = accounts::table.filter(ids).count().get_result(conn)?;
        left = left.saturating_add(count);
    }
    Ok((!open.is_empty()).then_some(left))
}

/// The next accounts of a version's notices: which, address, and when their deletion was asked
/// for.
pub fn accounts_to_notice(
    conn: &mut AnyConnection,
    row: &PolicyRow,
    limit: i64,
) -> Result<Vec<(AccountId, String, Option<UnixMillis>)>, DbError> {
    let ids = accounts::id.gt(row.noticed_account_id).and(accounts::id.le(row.last_account_id));
    let found = accounts::table
        .filter(ids)
        .order(accounts::id)
        .limit(limit)
        .select((accounts::id, accounts::email, accounts::closing_at))
        .load(conn)?;
    Ok(found)
}

/// Notes how far a version's notices are. Belongs into the transaction that has put them into the
/// outbox.
pub fn advance(
    conn: &mut AnyConnection,
    id: i64,
    (account_id, put): (AccountId, i64),
    noticed_at: Option<UnixMillis>,
) -> Result<(), DbError> {
    diesel::update(policy_versions::table.find(id))
        .set((
            policy_versions::noticed_account_id.eq(account_id),
            policy_versions::notices.eq(policy_versions::notices + put),
            policy_versions::noticed_at.eq(noticed_at),
        ))
        .execute(conn)?;
    Ok(())
}
