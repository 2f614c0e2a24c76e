//! Accounts: rows and queries. Balances are changed in `db::books` only.

use diesel::prelude::*;

use super::journal;
use crate::db::schema::accounts;
use crate::db::{AnyConnection, DbError};
use crate::domain::account_status::AccountStatus;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::journal_event::JournalEvent;
use crate::domain::money::NanoUsd;

/// One account.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub struct AccountRow {
    /// Never shown.
    pub id: AccountId,
    /// The name that people and APIs use.
    pub public_id: String,
    /// The address it was opened with, in lower case.
    pub email: String,
    /// How it stands.
    pub status: AccountStatus,
    /// What can be spent; below zero only after an overrun, a reversal or an adjustment.
    pub available_nanousd: NanoUsd,
    /// What open reservations hold.
    pub reserved_nanousd: NanoUsd,
    /// When it was made.
    pub created_at: UnixMillis,
    /// What running exchanges may cost beyond what they hold.
    pub at_risk_nanousd: NanoUsd,
}

#[derive(Insertable)]
#[diesel(table_name = accounts)]
struct NewAccount<'a> {
    public_id: &'a str,
    email: &'a str,
    status: AccountStatus,
    created_at: UnixMillis,
}

/// Opens an account with nothing on it; `None` if the address already has one.
pub fn create(
    conn: &mut AnyConnection,
    public_id: &str,
    email: &str,
    now: UnixMillis,
) -> Result<Option<AccountRow>, DbError> {
    let row = NewAccount { public_id, email, status: AccountStatus::Active, created_at: now };
    let created = on_either!(conn => diesel::insert_into(accounts::table)
        .values(row)
        .on_conflict(accounts::email)
        .do_nothing()
        .execute(conn))?;
    if created > 0 { find(conn, public_id) } else { Ok(None) }
}

/// The account of a public id or an e-mail address.
pub fn find(conn: &mut AnyConnection, name: &str) -> Result<Option<AccountRow>, DbError> {
    let row = accounts::table
        .filter(accounts::public_id.eq(name).or(accounts::email.eq(name)))
        .select(AccountRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// The account of a row number.
pub fn get(conn: &mut AnyConnection, id: AccountId) -> Result<Option<AccountRow>, DbError> {
    Ok(accounts::table.find(id).select(AccountRow::as_select()).first(conn).optional()?)
}

/// Writes how an account stands; `false` if it stands so already, or is
/// not there.
pub fn set_status(
    conn: &mut AnyConnection,
    id: AccountId,
    status: AccountStatus,
) -> Result<bool, DbError> {
    let other = accounts::table.find(id).filter(accounts::status.ne(status));
    if diesel::update(other).set(accounts::status.eq(status)).execute(conn)? == 0 {
        return Ok(false);
    }
    let event = if status.is_active() {
        JournalEvent::AccountResumed { account: id }
    } else {
        JournalEvent::AccountSuspended { account: id }
    };
    journal::note(conn, &event)?;
    Ok(true)
}

/// Notes that an account's owner is told of unusual spending; `false` if that was done since
/// `before`, by whichever node.
pub fn notify_of_spending(
    conn: &mut AnyConnection,
    id: AccountId,
    (before, now): (UnixMillis, UnixMillis),
) -> Result<bool, DbError> {
    let last = accounts::spend_notified_at;
    let quiet = accounts::table.find(id).filter(last.is_null().or(last.lt(before)));
    Ok(diesel::update(quiet).set(last.eq(now)).execute(conn)? > 0)
}

/// Notes that an account's owner is told that credit runs low; `false` if that was done since
/// `before`.
pub fn notify_of_low_balance(
    conn: &mut AnyConnection,
    id: AccountId,
    (before, now): (UnixMillis, UnixMillis),
) -> Result<bool, DbError> {
    let last = accounts::low_balance_notified_at;
    let quiet = accounts::table.find(id).filter(last.is_null().or(last.le(before)));
    Ok(diesel::update(quiet).set(last.eq(now)).execute(conn)? > 0)
}

/// Of which kind of news on deposits an owner is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepositPace {
    /// Credited.
    Credited,
    /// Held, or undone by its chain.
    Trouble,
}

/// Notes that an account's owner is told of a deposit; `false` if that was done since `before`.
pub fn notify_of_deposit(
    conn: &mut AnyConnection,
    id: AccountId,
    pace: DepositPace,
    (before, now): (UnixMillis, UnixMillis),
) -> Result<bool, DbError> {
    let account = accounts::table.find(id);
    let told = match pace {
        DepositPace::Credited => {
            let last = accounts::deposit_notified_at;
            let quiet = account.filter(last.is_null().or(last.le(before)));
            diesel::update(quiet).set(last.eq(now)).execute(conn)?
        }
        DepositPace::Trouble => {
            let last = accounts::deposit_trouble_notified_at;
            let quiet = account.filter(last.is_null().or(last.le(before)));
            diesel::update(quiet).set(last.eq(now)).execute(conn)?
        }
    };
    Ok(told > 0)
}

/// Keeps other transactions that lock the account waiting until this one ends, and leaves a new
/// version of its row: whoever has read the account before, and decided something, finds that it is
/// out of date. On SQLite a write transaction keeps them waiting anyway.
pub fn lock(conn: &mut AnyConnection, id: AccountId) -> Result<(), DbError> {
    if let AnyConnection::Postgres(conn) = conn {
        diesel::update(accounts::table.find(id))
            .set(accounts::status.eq(accounts::status))
            .execute(conn)?;
    }
    Ok(())
}

/// A page of accounts in the order they were opened, beginning behind `after`.
pub fn page(
    conn: &mut AnyConnection,
    after: AccountId,
    limit: i64,
) -> Result<Vec<AccountRow>, DbError> {
    let rows = accounts::table
        .filter(accounts::id.gt(after.0))
        .order(accounts::id)
        .limit(limit)
        .select(AccountRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// The same of those whose address contains a text, in any case of its letters.
pub fn search(
    conn: &mut AnyConnection,
    part: &str,
    after: AccountId,
    limit: i64,
) -> Result<Vec<AccountRow>, DbError> {
    let mut pattern = String::from("%");
    for letter in part.trim().to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    let rows = accounts::table
        .filter(accounts::email.like(pattern).escape('\\'))
        .filter(accounts::id.gt(after.0))
        .order(accounts::id)
        .limit(limit)
        .select(AccountRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// The accounts of these row numbers, in any order.
pub fn of_ids(conn: &mut AnyConnection, ids: &[AccountId]) -> Result<Vec<AccountRow>, DbError> {
    let rows = accounts::table
        .filter(accounts::id.eq_any(ids))
        .select(AccountRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// What a person has asked to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub struct PreferencesRow {
    /// Below which amount a mail says so; `None` is never.
    pub low_balance_nanousd: Option<NanoUsd>,
    /// Whether mail goes out that is not about security or policy.
    pub wants_notices: bool,
}

/// The preferences of an account.
pub fn preferences(
    conn: &mut AnyConnection,
    id: AccountId,
) -> Result<Option<PreferencesRow>, DbError> {
    Ok(accounts::table.find(id).select(PreferencesRow::as_select()).first(conn).optional()?)
}

/// Changes the preferences of an account.
pub fn set_preferences(
    conn: &mut AnyConnection,
    id: AccountId,
    wanted: PreferencesRow,
) -> Result<(), DbError> {
    diesel::update(accounts::table.find(id))
        .set((
            accounts::low_balance_nanousd.eq(wanted.low_balance_nanousd),
            accounts::wants_notices.eq(wanted.wants_notices),
        ))
        .execute(conn)?;
    Ok(())
}

#[derive(QueryableByName)]
struct SumsRow {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    available: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    reserved: i64,
}

/// What is available on all accounts together, and what is reserved. Reads every account.
pub fn sums(conn: &mut AnyConnection) -> Result<(NanoUsd, NanoUsd), DbError> {
    let sql = "SELECT CAST(COALESCE(SUM(available_nanousd), 0) AS BIGINT) AS available, \
               CAST(COALESCE(SUM(reserved_nanousd), 0) AS BIGINT) AS reserved FROM accounts";
    let SumsRow { available, reserved } = diesel::sql_query(sql).get_result(conn)?;
    Ok((NanoUsd::from_nanos(available), NanoUsd::from_nanos(reserved)))
}

/// Notes that a password was set by a link, so that somebody is about to log in with it.
pub fn expect_log_in(
    conn: &mut AnyConnection,
    id: AccountId,
    now: UnixMillis,
) -> Result<(), DbError> {
    let account = diesel::update(accounts::table.find(id));
    account.set(accounts::log_in_expected_at.eq(now)).execute(conn)?;
    Ok(())
}

/// Whether a log-in is expected since `since` or later; another one is not.
pub fn take_expected_log_in(
    conn: &mut AnyConnection,
    id: AccountId,
    since: UnixMillis,
) -> Result<bool, DbError> {
    let expected = accounts::table.find(id).filter(accounts::log_in_expected_at.ge(since));
    let none = accounts::log_in_expected_at.eq(None::<UnixMillis>);
    Ok(diesel::update(expected).set(none).execute(conn)? > 0)
}
