//! API keys: rows and queries. Only the SHA-256 of a key is ever here. What a key has cost is
//! written with the books.

pub mod rotation;

use std::sync::Arc;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql};
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::journal;
use crate::db::books::keys::SpendingColumns;
use crate::db::schema::{accounts, api_keys};
use crate::db::{AnyConnection, DbError};
use crate::domain::account_status::AccountStatus;
use crate::domain::api_key::ApiKeyHash;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::journal_event::JournalEvent;
use crate::domain::key_limits::{KeyLimits, KeySpending, KeyState};
use crate::domain::key_scopes::Scopes;
use crate::domain::money::NanoUsd;
use crate::domain::plain_text::shown_name;

/// The name of a key as it is read: names from before hidden characters were refused are shown
/// without them, wherever they are shown.
pub struct ShownName(String);

impl From<ShownName> for String {
    fn from(name: ShownName) -> Self {
        name.0
    }
}

impl<DB: Backend> Queryable<Text, DB> for ShownName
where
    String: FromSql<Text, DB>,
{
    type Row = String;

    fn build(name: String) -> deserialize::Result<Self> {
        Ok(Self(shown_name(&name).into_owned()))
    }
}

/// One key, without its hash.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub struct ApiKeyRow {
    /// Never shown.
    pub id: ApiKeyId,
    /// The name that people and APIs use.
    pub public_id: String,
    /// Whose key it is.
    pub account_id: AccountId,
    /// What its owner calls it.
    #[diesel(deserialize_as = ShownName)]
    pub name: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was taken back, if it was.
    pub revoked_at: Option<UnixMillis>,
    /// When an exchange of it was last settled.
    pub last_used_at: Option<UnixMillis>,
    /// When its owner was last told that a budget has stopped it.
    pub pause_notified_at: Option<UnixMillis>,
    /// What tells it from others, `sluice_…mpqN`; keys of earlier versions have none.
    pub hint: Option<String>,
    /// Since when its owner has paused it.
    pub paused_at: Option<UnixMillis>,
    /// When it got its secret, if that is not its first.
    pub rotated_at: Option<UnixMillis>,
    /// The hint of the secret before.
    pub previous_hint: Option<String>,
    /// Until when the secret before goes on working.
    pub previous_expires_at: Option<UnixMillis>,
    /// See [`ApiKeyRow::limits`].
    #[diesel(embed)]
    pub limits: LimitColumns,
    /// See [`ApiKeyRow::spending`].
    #[diesel(embed)]
    pub spending: SpendingColumns,
}

/// The limits of a key as they are stored.
#[derive(Clone, Debug, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = api_keys, treat_none_as_null = true)]
pub struct LimitColumns {
    scopes: String,
    models: Option<String>,
    monthly_budget_nanousd: Option<NanoUsd>,
    total_budget_nanousd: Option<NanoUsd>,
    requests_per_minute: Option<i64>,
    max_streams: Option<i64>,
    expires_at: Option<UnixMillis>,
}

impl ApiKeyRow {
    /// What it may do.
    #[must_use]
    pub fn limits(&self) -> KeyLimits {
        self.limits.read()
    }

    /// What it has cost.
    #[must_use]
    pub fn spending(&self) -> KeySpending {
        self.spending.read()
    }

    /// How it stands at a moment.
    #[must_use]
    pub fn state(&self, now: UnixMillis) -> KeyState {
        let marks = (self.revoked_at.is_some(), self.paused_at.is_some());
        KeyState::of(&self.limits(), &self.spending(), marks, now)
    }

    /// Until when the secret before its rotation works, if it still does.
    #[must_use]
    pub fn overlap_ends_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.previous_expires_at.filter(|ends| *ends > now && self.revoked_at.is_none())
    }
}

impl LimitColumns {
    fn write(limits: &KeyLimits) -> Self {
        Self {
            scopes: limits.scopes.to_string(),
            models: limits.models.as_ref().map(|models| serde_json::json!(models).to_string()),
            monthly_budget_nanousd: limits.monthly_budget,
            total_budget_nanousd: limits.total_budget,
            requests_per_minute: limits.requests_per_minute.map(i64::from),
            max_streams: limits.max_streams.map(i64::from),
            expires_at: limits.expires_at,
        }
    }

    fn read(&self) -> KeyLimits {
        let count = |stored: Option<i64>| stored.map(|count| u32::try_from(count).unwrap_or(1));
        KeyLimits {
            scopes: Scopes::stored(&self.scopes),
            // A list that does not read allows nothing rather than everything.
            models: self
                .models
                .as_deref()
                .map(|text| serde_json::from_str(text).unwrap_or_default()),
            monthly_budget: self.monthly_budget_nanousd,
            total_budget: self.total_budget_nanousd,
            requests_per_minute: count(self.requests_per_minute),
            max_streams: count(self.max_streams),
            expires_at: self.expires_at,
        }
    }
}

#[derive(Insertable)]
#[diesel(table_name = api_keys)]
struct NewApiKeyRow<'a> {
    public_id: &'a str,
    account_id: AccountId,
    name: &'a str,
    hash: &'a [u8],
    hint: String,
    created_at: UnixMillis,
    #[diesel(embed)]
    limits: LimitColumns,
}

/// Stores a new key.
pub fn create(
    conn: &mut AnyConnection,
    account_id: AccountId,
    public_id: &str,
    (name, limits): (&str, &KeyLimits),
    (hash, hint): (&ApiKeyHash, String),
    now: UnixMillis,
) -> Result<(), DbError> {
    let row = NewApiKeyRow {
        public_id,
        account_id,
        name,
        hash: hash.as_bytes().as_slice(),
        hint,
        created_at: now,
        limits: LimitColumns::write(limits),
    };
    diesel::insert_into(api_keys::table).values(row).execute(conn)?;
    Ok(())
}

/// Who a key speaks for, and what it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHolder {
    /// The account.
    pub account_id: AccountId,
    /// The key.
    pub api_key_id: ApiKeyId,
    /// The key has been revoked, or its account is about to be deleted and has no keys in force.
    pub is_revoked: bool,
    /// Its owner has paused it.
    pub is_paused: bool,
    /// The account has been suspended.
    pub is_suspended: bool,
    /// What the account had, what is held of it included, when it was looked up.
    pub funds: NanoUsd,
    /// What the key may do. A secret that was replaced ends with its overlap at the latest.
    pub limits: Arc<KeyLimits>,
}

/// Key, account, when it was revoked and paused, the account's standing and since when it is
/// closing, what it has and what is held of that, limits, its hash and when the one before ends.
type HolderRow = (
    ApiKeyId,
    AccountId,
    (Option<UnixMillis>, Option<UnixMillis>),
    (AccountStatus, Option<UnixMillis>),
    (NanoUsd, NanoUsd),
    LimitColumns,
    (Vec<u8>, Option<UnixMillis>),
);

/// The holder of a key, revoked or not; `None` if no such key was ever made.
pub fn holder(conn: &mut AnyConnection, hash: &ApiKeyHash) -> Result<Option<KeyHolder>, DbError> {
    let wanted = hash.as_bytes().as_slice();
    let row: Option<HolderRow> = api_keys::table
        .inner_join(accounts::table)
        .filter(api_keys::previous_hash.eq(wanted).or(api_keys::hash.eq(wanted)))
        .select((
            api_keys::id,
            api_keys::account_id,
            (api_keys::revoked_at, api_keys::paused_at),
            (accounts::status, accounts::closing_at),
            (accounts::available_nanousd, accounts::reserved_nanousd),
            LimitColumns::as_select(),
            (api_keys::hash, api_keys::previous_expires_at),
        ))
        .first(conn)
        .optional()?;
    let Some((key, account, (revoked_at, paused_at), (status, closing_at), funds, limits, secret)) =
        row
    else {
        return Ok(None);
    };
    let mut limits = limits.read();
    let (current, previous_ends) = secret;
    if current != wanted {
        // The secret before: not a moment longer than it was given.
        let ends = previous_ends.unwrap_or(UnixMillis::from_millis(0));
        limits.expires_at = Some(limits.expires_at.map_or(ends, |at| at.min(ends)));
    }
    Ok(Some(KeyHolder {
        account_id: account,
        api_key_id: key,
        is_revoked: revoked_at.is_some() || closing_at.is_some(),
        is_paused: paused_at.is_some(),
        is_suspended: !status.is_active(),
        funds: NanoUsd::from_nanos(funds.0.as_nanos().saturating_add(funds.1.as_nanos())),
        limits: Arc::new(limits),
    }))
}

/// A key, and whom to tell of it.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct KeyOwner {
    /// Its public id.
    pub public_id: String,
    /// What its owner calls it.
    #[diesel(deserialize_as = ShownName)]
    pub name: String,
    /// What tells it from others.
    pub hint: Option<String>,
    /// When it was taken back; `None` if it is in force.
    pub revoked_at: Option<UnixMillis>,
    /// The account.
    pub account_id: AccountId,
    /// The account's address.
    pub email: String,
}

impl KeyOwner {
    /// What its owner knows it by.
    #[must_use]
    pub fn name_with_hint(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} ({hint})", self.name),
            None => self.name.clone(),
        }
    }
}

/// The key of a hash with its owner; `None` if no such key was ever made, or if that secret was
/// replaced and has ended.
pub fn owner(
    conn: &mut AnyConnection,
    hash: &ApiKeyHash,
    now: UnixMillis,
) -> Result<Option<KeyOwner>, DbError> {
    let hash = hash.as_bytes().as_slice();
    let is_before = api_keys::previous_hash.eq(hash).and(api_keys::previous_expires_at.gt(now));
    let owner = api_keys::table
        .inner_join(accounts::table)
        .filter(is_before.or(api_keys::hash.eq(hash)))
        .select((
            api_keys::public_id,
            api_keys::name,
            api_keys::hint,
            api_keys::revoked_at,
            accounts::id,
            accounts::email,
        ))
        .first(conn)
        .optional()?;
    Ok(owner)
}

/// All keys of an account, oldest first.
pub fn of_account(
    conn: &mut AnyConnection,
    account_id: AccountId,
) -> Result<Vec<ApiKeyRow>, DbError> {
    let rows = api_keys::table
        .filter(api_keys::account_id.eq(account_id))
        .order(api_keys::id)
        .select(ApiKeyRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// The key of a public id, whoever has it.
pub fn find(conn: &mut AnyConnection, public_id: &str) -> Result<Option<ApiKeyRow>, DbError> {
    let row = api_keys::table
        .filter(api_keys::public_id.eq(public_id))
        .select(ApiKeyRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// The key of a row number.
pub fn get(conn: &mut AnyConnection, id: ApiKeyId) -> Result<Option<ApiKeyRow>, DbError> {
    Ok(api_keys::table.find(id).select(ApiKeyRow::as_select()).first(conn).optional()?)
}

/// When a key of each of these accounts was last used.
pub fn last_used(
    conn: &mut AnyConnection,
    ids: &[AccountId],
) -> Result<Vec<(AccountId, Option<UnixMillis>)>, DbError> {
    let used = api_keys::table
        .filter(api_keys::account_id.eq_any(ids))
        .group_by(api_keys::account_id)
        .select((api_keys::account_id, diesel::dsl::max(api_keys::last_used_at)))
        .load(conn)?;
    Ok(used)
}

/// How many keys of an account have not been revoked.
pub fn count_unrevoked(conn: &mut AnyConnection, account_id: AccountId) -> Result<i64, DbError> {
    let keys = api_keys::table
        .filter(api_keys::account_id.eq(account_id).and(api_keys::revoked_at.is_null()));
    Ok(keys.count().get_result(conn)?)
}

/// Writes the name and limits of a key, and since when its owner has paused it; what a budget has
/// refused before it refuses no more.
pub fn change(
    conn: &mut AnyConnection,
    id: ApiKeyId,
    (name, limits): (&str, &KeyLimits),
    paused_at: Option<UnixMillis>,
) -> Result<(), DbError> {
    let columns = LimitColumns::write(limits);
    diesel::update(api_keys::table.find(id))
        .set((
            api_keys::name.eq(name),
            columns,
            api_keys::paused_at.eq(paused_at),
            api_keys::paused_until.eq(None::<UnixMillis>),
        ))
        .execute(conn)?;
    Ok(())
}

/// Notes that a key's owner is told that a budget has stopped it; `false` if that was done since
/// `before`, whatever has become of the budget.
pub fn notify_of_pause(
    conn: &mut AnyConnection,
    id: ApiKeyId,
    (before, now): (UnixMillis, UnixMillis),
) -> Result<bool, DbError> {
    let last = api_keys::pause_notified_at;
    let quiet = api_keys::table.find(id).filter(last.is_null().or(last.le(before)));
    Ok(diesel::update(quiet).set(last.eq(now)).execute(conn)? > 0)
}

/// Revokes a key for good. `None` if there is no such key; else whether it had been alive.
pub fn revoke(
    conn: &mut AnyConnection,
    public_id: &str,
    now: UnixMillis,
) -> Result<Option<bool>, DbError> {
    let alive = api_keys::table
        .filter(api_keys::public_id.eq(public_id).and(api_keys::revoked_at.is_null()));
    let revoked = diesel::update(alive).set(api_keys::revoked_at.eq(now)).execute(conn)?;
    if revoked > 0 {
        journal::note(conn, &JournalEvent::KeyRevoked { key: public_id.to_owned() })?;
        return Ok(Some(true));
    }
    let known = api_keys::table.filter(api_keys::public_id.eq(public_id)).count();
    let known: i64 = known.get_result(conn)?;
    Ok((known > 0).then_some(false))
}
