//! Keys as their owner handles them: made, limited, paused, rotated, listed, taken back. A key
//! belongs to one account for its life, and whoever else names it is told that there is none.
//!
//! After a change, the node's [`ApiKeyCache`] has to forget the key, so that it counts at once.

mod api_key_cache;
pub mod leaked_keys;
pub mod sealed_key;

use serde_json::json;

use super::identity::AuthError;
use super::identity::people;
use super::identity::sessions::LiveSession;
use crate::db::models::accounts;
use crate::db::models::api_keys::rotation::{self, NewSecret};
use crate::db::models::api_keys::{self, ApiKeyRow};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::api_key::PlainApiKey;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, NoRandomness, public_id};
use crate::domain::key_limits::KeyLimits;
use crate::domain::key_overlap::KeyOverlap;
use crate::domain::key_scopes::{NoScope, Scopes};
use crate::domain::mail::{KeyIssued, MailKind};
use crate::domain::money::NanoUsd;
use crate::domain::plain_text::is_plain;
use crate::domain::price_list::PriceList;
pub use api_key_cache::ApiKeyCache;

/// Longest name of a key.
pub const NAME_MAX: usize = 64;
/// Models that a key may be limited to.
pub const MODELS_MAX: usize = 100;
/// Characters of a client's own word that are said back to it.
const ECHO_MAX: usize = 100;

/// Why a key could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, long, or has characters that are not seen.
    #[error(
        "a key's name must have 1 to {NAME_MAX} visible characters, without control or direction \
         characters"
    )]
    Name,
    /// No scope, or a word that is none.
    #[error(transparent)]
    Scopes(#[from] NoScope),
    /// A list of models that is empty or too long.
    #[error("a key can be limited to 1 to {MODELS_MAX} models, or allow all")]
    Models,
    /// A model that is not sold here.
    #[error("there is no model \"{0}\" here")]
    UnknownModel(String),
    /// A budget below zero.
    #[error("a budget must not be below zero")]
    Budget,
    /// A rate or a number of streams that is zero.
    #[error("a limit of requests or streams must be at least 1")]
    Zero,
    /// A moment that has passed.
    #[error("the expiry of a key must be in the future")]
    Past,
    /// A word that names no overlap.
    #[error("the overlap of a rotation is one of now, 1h, 24h and 7d")]
    Overlap,
    /// The account has as many keys as it may have.
    #[error("an account can have at most {0} keys; revoke one first")]
    TooMany(u32),
    /// The account has no such key.
    #[error("no such key")]
    NotFound,
    /// It has been revoked, and that is for good.
    #[error("the key has been revoked")]
    Revoked,
    /// The session that asks has ended, or may not any more.
    #[error(transparent)]
    Person(#[from] AuthError),
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

impl From<diesel::result::Error> for KeyError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Who makes or changes keys.
#[derive(Clone, Debug)]
pub enum KeyActor {
    /// The operator, for an account.
    Operator(AccountId),
    /// Whoever is logged in, as long as the session is in force.
    Person(LiveSession),
}

impl KeyActor {
    /// Whose keys they are.
    #[must_use]
    pub const fn account_id(&self) -> AccountId {
        match self {
            Self::Operator(id) => *id,
            Self::Person(session) => session.account_id(),
        }
    }

    /// Holds the account for this transaction, and makes sure that they still may.
    fn hold(&self, conn: &mut AnyConnection) -> Result<(), KeyError> {
        match self {
            Self::Operator(id) => Ok(accounts::lock(conn, *id)?),
            Self::Person(session) => Ok(session.hold(conn)?),
        }
    }

    /// Tells the owner of a key that somebody who is logged in has made. What the operator does is
    /// in the audit log.
    fn notify(
        &self,
        conn: &mut AnyConnection,
        issued: &KeyIssued,
        now: UnixMillis,
    ) -> Result<(), KeyError> {
        let Self::Person(session) = self else { return Ok(()) };
        let id = session.account_id();
        let Some(account) = accounts::get(conn, id)? else { return Ok(()) };
        let to = (Some(id), account.email.as_str());
        Ok(people::send(conn, MailKind::KeyIssued, to, json!(issued), now)?)
    }
}

/// A key to be made. Models may go by any name of theirs.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// What to call it.
    pub name: String,
    /// What it may do.
    pub limits: KeyLimits,
}

impl NewKey {
    /// A key for inference, without limits of its own.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), limits: KeyLimits::default() }
    }
}

/// What is to change of a key. `None` leaves as it is; `Some(None)` takes the limit away.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// What to call it.
    pub name: Option<String>,
    /// What it may be used for.
    pub scopes: Option<Scopes>,
    /// The models that it may ask for, by any name of theirs.
    pub models: Option<Option<Vec<String>>>,
    /// What it may cost in a calendar month.
    pub monthly_budget: Option<Option<NanoUsd>>,
    /// What it may cost in its life.
    pub total_budget: Option<Option<NanoUsd>>,
    /// Requests in a minute.
    pub requests_per_minute: Option<Option<u32>>,
    /// Exchanges open at once.
    pub max_streams: Option<Option<u32>>,
    /// From when on it is refused.
    pub expires_at: Option<Option<UnixMillis>>,
    /// Whether its owner has paused it.
    pub is_paused: Option<bool>,
}

/// A key that was just made: the only time that it is known in clear.
pub struct IssuedKey {
    /// Itself.
    pub key: PlainApiKey,
    /// As it is stored.
    pub row: ApiKeyRow,
}

/// Issues a key to an account that has fewer than `most`.
pub fn issue(
    conn: &mut AnyConnection,
    by: &KeyActor,
    new: &NewKey,
    (prices, most): (&PriceList, u32),
    now: UnixMillis,
) -> Result<IssuedKey, KeyError> {
    check_name(&new.name)?;
    let limits = checked(new.limits.clone(), prices)?;
    check_end(&limits, now)?;
    let key = PlainApiKey::random()?;
    let id = public_id("key_")?;
    transaction::write(conn, |conn| {
        by.hold(conn)?;
        let account_id = by.account_id();
        if api_keys::count_unrevoked(conn, account_id)? >= i64::from(most) {
            return Err(KeyError::TooMany(most));
        }
        let secret = (&key.hash(), key.hint());
        api_keys::create(conn, account_id, &id, (&new.name, &limits), secret, now)?;
        let row = api_keys::find(conn, &id)?.ok_or(KeyError::NotFound)?;
        let issued = KeyIssued {
            key_name: row.name.clone(),
            hint: key.hint(),
            is_rotated: false,
            previous_expires_at: None,
        };
        by.notify(conn, &issued, now)?;
        Ok(IssuedKey { key, row })
    })
}

/// An account's keys, oldest first, revoked ones too.
///
/// # Errors
/// [`KeyError::Db`].
pub fn list(conn: &mut AnyConnection, account_id: AccountId) -> Result<Vec<ApiKeyRow>, KeyError> {
    Ok(api_keys::of_account(conn, account_id)?)
}

/// A key of the account.
///
/// # Errors
/// [`KeyError::NotFound`] or [`KeyError::Db`].
pub fn show(
    conn: &mut AnyConnection,
    account_id: AccountId,
    public_id: &str,
) -> Result<ApiKeyRow, KeyError> {
    let found = api_keys::find(conn, public_id)?;
    found.filter(|row| row.account_id == account_id).ok_or(KeyError::NotFound)
}

/// Changes name and limits of a key of the account. What has been spent stays spent.
pub fn change(
    conn: &mut AnyConnection,
    by: &KeyActor,
    public_id: &str,
    change: &KeyChange,
    prices: &PriceList,
    now: UnixMillis,
) -> Result<ApiKeyRow, KeyError> {
    transaction::write(conn, |conn| change_within(conn, by, public_id, change, prices, now))
}

/// The same within a write transaction of the caller's, who has more to write that belongs to it.
///
/// # Errors
/// [`KeyError`]; the transaction must then be given up.
pub fn change_within(
    conn: &mut AnyConnection,
    by: &KeyActor,
    public_id: &str,
    change: &KeyChange,
    prices: &PriceList,
    now: UnixMillis,
) -> Result<ApiKeyRow, KeyError> {
    // Two changes at once follow each other, and neither undoes what the other leaves alone.
    by.hold(conn)?;
    let account_id = by.account_id();
    let row = show(conn, account_id, public_id)?;
    if row.revoked_at.is_some() {
        return Err(KeyError::Revoked);
    }
    let name = change.name.as_deref().unwrap_or(&row.name);
    check_name(name)?;
    let limits = change.applied_to(row.limits(), prices)?;
    if change.expires_at.is_some() {
        check_end(&limits, now)?;
    }
    let paused_at = match change.is_paused {
        Some(true) => row.paused_at.or(Some(now)),
        Some(false) => None,
        None => row.paused_at,
    };
    api_keys::change(conn, row.id, (name, &limits), paused_at)?;
    show(conn, account_id, public_id)
}

/// Gives a key of the account another secret. It stays the same key: name, scopes, limits and what
/// it has spent are those of both secrets, and the one before works until the overlap is over.
///
/// # Errors
/// [`KeyError::NotFound`], [`KeyError::Revoked`], [`KeyError::Person`] or [`KeyError::Db`].
pub fn rotate(
    conn: &mut AnyConnection,
    by: &KeyActor,
    public_id: &str,
    overlap: KeyOverlap,
    now: UnixMillis,
) -> Result<IssuedKey, KeyError> {
    transaction::write(conn, |conn| rotate_within(conn, by, public_id, overlap, now))
}

/// The same within a write transaction of the caller's, who has more to write that belongs to it.
///
/// # Errors
/// As [`rotate`]; the transaction must then be given up.
pub fn rotate_within(
    conn: &mut AnyConnection,
    by: &KeyActor,
    public_id: &str,
    overlap: KeyOverlap,
    now: UnixMillis,
) -> Result<IssuedKey, KeyError> {
    by.hold(conn)?;
    let row = show(conn, by.account_id(), public_id)?;
    if row.revoked_at.is_some() {
        return Err(KeyError::Revoked);
    }
    // Later than the rotation before, also by another node's clock: a restore keeps the last one.
    let now = row.rotated_at.map_or(now, |at| now.max(at.plus_millis(1)));
    let key = PlainApiKey::random()?;
    let previous_expires_at = overlap.ends_at(now);
    let secret = NewSecret { hash: key.hash(), hint: key.hint(), previous_expires_at };
    rotation::rotate(conn, public_id, &secret, now)?;
    let issued = KeyIssued {
        key_name: row.name,
        hint: secret.hint,
        is_rotated: true,
        previous_expires_at: previous_expires_at.map(UnixMillis::as_millis),
    };
    by.notify(conn, &issued, now)?;
    Ok(IssuedKey { key, row: show(conn, by.account_id(), public_id)? })
}

/// Takes a key of the account back, for good. Exchanges that run go on to their end.
///
/// # Errors
/// [`KeyError::NotFound`], [`KeyError::Person`] or [`KeyError::Db`].
pub fn revoke(
    conn: &mut AnyConnection,
    by: &KeyActor,
    public_id: &str,
    now: UnixMillis,
) -> Result<ApiKeyRow, KeyError> {
    transaction::write(conn, |conn| {
        by.hold(conn)?;
        show(conn, by.account_id(), public_id)?;
        api_keys::revoke(conn, public_id, now)?;
        show(conn, by.account_id(), public_id)
    })
}

impl KeyChange {
    fn applied_to(&self, limits: KeyLimits, prices: &PriceList) -> Result<KeyLimits, KeyError> {
        // Models that stay as they are may have left the price list since.
        let (models, kept) = match &self.models {
            Some(models) => (models.clone(), None),
            None => (None, limits.models),
        };
        let changed = checked(
            KeyLimits {
                scopes: self.scopes.unwrap_or(limits.scopes),
                models,
                monthly_budget: self.monthly_budget.unwrap_or(limits.monthly_budget),
                total_budget: self.total_budget.unwrap_or(limits.total_budget),
                requests_per_minute: self.requests_per_minute.unwrap_or(limits.requests_per_minute),
                max_streams: self.max_streams.unwrap_or(limits.max_streams),
                expires_at: self.expires_at.unwrap_or(limits.expires_at),
            },
            prices,
        )?;
        Ok(KeyLimits { models: changed.models.or(kept), ..changed })
    }
}

fn check_name(name: &str) -> Result<(), KeyError> {
    let length = name.chars().count();
    let is_seen = is_plain(name) && !name.trim().is_empty();
    if (1..=NAME_MAX).contains(&length) && is_seen { Ok(()) } else { Err(KeyError::Name) }
}

fn check_end(limits: &KeyLimits, now: UnixMillis) -> Result<(), KeyError> {
    if limits.is_expired(now) { Err(KeyError::Past) } else { Ok(()) }
}

/// The limits with each model under its priced id, once.
fn checked(limits: KeyLimits, prices: &PriceList) -> Result<KeyLimits, KeyError> {
    let budgets = [limits.monthly_budget, limits.total_budget];
    if budgets.into_iter().flatten().any(NanoUsd::is_negative) {
        return Err(KeyError::Budget);
    }
    if [limits.requests_per_minute, limits.max_streams].contains(&Some(0)) {
        return Err(KeyError::Zero);
    }
    let Some(names) = &limits.models else { return Ok(limits) };
    if !(1..=MODELS_MAX).contains(&names.len()) {
        return Err(KeyError::Models);
    }
    let mut models: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        let unknown = || KeyError::UnknownModel(name.chars().take(ECHO_MAX).collect());
        let id = prices.find(name).ok_or_else(unknown)?.id.as_str();
        if !models.iter().any(|known| known == id) {
            models.push(id.to_owned());
        }
    }
    Ok(KeyLimits { models: Some(models), ..limits })
}
