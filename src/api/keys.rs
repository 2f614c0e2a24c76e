//! `/api/v1/keys`: an account's keys. Keys read what is known of them, one of scope `inference` of
//! itself alone; only a person makes and changes them. A key is in clear in one answer, the one
//! that made it.

pub(super) mod rotation;

use std::sync::Arc;

use actix_web::web::{Data, Path};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, Object, Schema};

use super::Api;
use super::answer::{Created, Json, NoContent};
use super::extractors::{AccountCaller, Body, Fields, SessionCaller};
use super::refusal::Refusal;
use super::values::{Dollars, List, Moment, word_of, word_or_null};
use crate::accounts::keys::{self, KeyActor, KeyChange, KeyError, NewKey};
use crate::db::models::api_keys::ApiKeyRow;
use crate::domain::clock::UnixMillis;
use crate::domain::key_limits::{FOR_GOOD, KeyLimits, KeyState, pause_end};
use crate::domain::key_scopes::{NoScope, Scope, Scopes};
use crate::domain::mail::BudgetPeriod;

/// An API key.
#[derive(Debug, Serialize, ToSchema)]
pub struct Key {
    /// Its id.
    #[schema(example = "key_0123456789abcdefghjkmnpq")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// What tells it from other keys: `sluice_…` and its last four characters. Null for keys from
    /// before hints.
    #[schema(example = "sluice_…mpqN")]
    pub hint: Option<String>,
    /// `paused`: its owner has paused it, or a budget is used up. Requests of `paused`, `expired`
    /// and `revoked` keys are refused.
    #[schema(schema_with = states)]
    pub state: &'static str,
    /// The budget that is used up; or `owner`.
    #[schema(schema_with = pauses)]
    pub paused_by: Option<&'static str>,
    /// When a paused key resumes automatically; null if its owner must act.
    pub resumes_at: Option<Moment>,
    /// Its scopes.
    #[schema(schema_with = scopes)]
    pub scopes: Vec<&'static str>,
    /// The models it may use; null for all.
    pub models: Option<Vec<String>>,
    /// Budget in dollars per calendar month, UTC; null for no limit.
    pub monthly_budget: Option<Dollars>,
    /// Total budget in dollars.
    pub total_budget: Option<Dollars>,
    /// Requests per minute, in addition to the account's limit.
    #[schema(value_type = Option<i64>)]
    pub requests_per_minute: Option<u32>,
    /// Concurrent requests, in addition to the account's limit.
    #[schema(value_type = Option<i64>)]
    pub max_streams: Option<u32>,
    /// When it expires.
    pub expires_at: Option<Moment>,
    /// Dollars spent this month.
    pub month_spent: Dollars,
    /// Dollars spent in total.
    pub spent: Dollars,
    /// When it was created.
    pub created_at: Moment,
    /// When its latest request was settled.
    pub last_used_at: Option<Moment>,
    /// When it was revoked.
    pub revoked_at: Option<Moment>,
    /// When it was last rotated.
    pub rotated_at: Option<Moment>,
    /// Hint of the previous secret, while it still works.
    pub previous_hint: Option<String>,
    /// Until when the previous secret works.
    pub previous_expires_at: Option<Moment>,
}

/// A new key.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeKey {
    /// The key itself. It is shown only once: it is not stored and cannot be shown again.
    #[schema(example = "sluice_…")]
    key: String,
    #[serde(flatten)]
    shown: Key,
}

/// A key to create. A missing or null limit means no limit.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedKey {
    /// Its name.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// Its scopes; default: only `inference`.
    #[schema(schema_with = scopes)]
    scopes: Option<Vec<String>>,
    /// The models it may use, by any of their names.
    #[schema(min_items = 1, max_items = 100)]
    models: Option<Vec<String>>,
    /// Budget in dollars per calendar month, UTC.
    monthly_budget: Option<Dollars>,
    /// Total budget in dollars.
    total_budget: Option<Dollars>,
    /// Requests per minute.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 4_294_967_295_u32)]
    requests_per_minute: Option<u32>,
    /// Concurrent requests.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 4_294_967_295_u32)]
    max_streams: Option<u32>,
    /// When it expires; must be in the future.
    expires_at: Option<Moment>,
}

impl Fields for WantedKey {
    const FIELDS: &'static str = "name (text), and if wanted scopes, models (lists of text), \
        monthly_budget, total_budget (dollars as text), requests_per_minute, max_streams \
        (numbers), expires_at (RFC 3339)";
}

/// Changes to a key. Missing fields stay unchanged; null removes a limit.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "left out, null and there are three things")]
pub(super) struct ChangedKey {
    /// Its name.
    #[schema(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// Its scopes; null leaves them unchanged.
    #[schema(schema_with = scopes)]
    scopes: Option<Vec<String>>,
    /// The models it may use, by any of their names.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    models: Option<Option<Vec<String>>>,
    /// Budget in dollars per calendar month, UTC.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Dollars>)]
    monthly_budget: Option<Option<Dollars>>,
    /// Total budget in dollars.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Dollars>)]
    total_budget: Option<Option<Dollars>>,
    /// Requests per minute.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 4_294_967_295_u32)]
    requests_per_minute: Option<Option<u32>>,
    /// Concurrent requests.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 4_294_967_295_u32)]
    max_streams: Option<Option<u32>>,
    /// When it expires; must be in the future.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Moment>)]
    expires_at: Option<Option<Moment>>,
    /// Whether it is paused: requests are refused until it is resumed. Null leaves it unchanged.
    paused: Option<bool>,
}

impl Fields for ChangedKey {
    const FIELDS: &'static str = "any of name (text), scopes, models (lists of text), \
        monthly_budget, total_budget (dollars as text), requests_per_minute, max_streams \
        (numbers), expires_at (RFC 3339), paused (true or false); null takes a limit away";
}

/// A field that is there, null or not.
#[expect(clippy::option_option, reason = "left out, null and there are three things")]
fn given<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from).map(Some)
}

fn scopes() -> RefOr<Schema> {
    let names = word_of(Scope::ALL.map(Scope::as_str), None);
    ArrayBuilder::new().items(names).min_items(Some(1)).into()
}

/// The scopes of a body, where it names any.
fn read_scopes(names: Option<Vec<String>>) -> Result<Option<Scopes>, NoScope> {
    names.map(|names| Scopes::named(names.iter().map(String::as_str))).transpose()
}

fn states() -> Object {
    word_of(["active", "paused", "expired", "revoked"], None)
}

fn pauses() -> Object {
    word_or_null(["monthly_budget", "total_budget", "owner"])
}

/// List keys.
///
/// All keys of the account, oldest first, including revoked ones. A key with scope `inference` but
/// not `read` sees only itself.
#[utoipa::path(
    get, path = "/api/v1/keys", operation_id = "list_keys",
    responses((status = 200, description = "The keys.")),
)]
pub(super) async fn list(
    caller: AccountCaller,
    api: Data<Api>,
) -> Result<Json<List<Key>>, Refusal> {
    let (account_id, now) = (caller.account_id, api.now());
    let sees = caller.sees();
    let rows = api.run(move |conn| keys::list(conn, account_id)).await?;
    let shown = rows.iter().filter(|row| sees.key(row.id));
    Ok(Json(List { data: shown.map(|row| Key::of(row, now)).collect() }))
}

/// Create a key.
///
/// Only this response contains the key itself.
#[utoipa::path(
    post, path = "/api/v1/keys", operation_id = "create_key",
    responses(
        (status = 201, description = "Made."),
        (status = 409, description = "`too_many_keys`: revoke one first."),
        (status = 422,
            description = "`invalid_name`, `invalid_scopes`, `invalid_models`, `unknown_model`, \
                `invalid_budget`, `invalid_limit`, `expires_in_the_past`."),
    ),
)]
pub(super) async fn create(
    caller: SessionCaller,
    api: Data<Api>,
    body: Body<WantedKey>,
) -> Result<Created<MadeKey>, Refusal> {
    let by = KeyActor::Person(caller.session);
    let new = body.0.read().map_err(KeyError::from)?;
    let now = api.now();
    let settings = Arc::clone(&api.parts.context.settings);
    let made = api.run(move |conn| {
        let rules = (settings.prices.as_ref(), settings.accounts.keys_max_per_account);
        keys::issue(conn, &by, &new, rules, now)
    });
    let made = made.await?;
    let key = made.key.reveal().to_owned();
    Ok(Created(MadeKey { key, shown: Key::of(&made.row, now) }))
}

/// Get a key.
///
/// A key with scope `inference` but not `read` can see only itself.
#[utoipa::path(
    get, path = "/api/v1/keys/{id}", operation_id = "get_key",
    params(("id" = String, Path, description = "A key (`key_…`).")),
    responses(
        (status = 200, description = "The status."),
        (status = 404, description = "`not_found`: no key of this account."),
    ),
)]
pub(super) async fn show(
    caller: AccountCaller,
    api: Data<Api>,
    id: Path<String>,
) -> Result<Json<Key>, Refusal> {
    let (account_id, now) = (caller.account_id, api.now());
    let row = api.run(move |conn| keys::show(conn, account_id, &id)).await?;
    if !caller.sees().key(row.id) {
        return Err(Refusal::NotFound);
    }
    Ok(Json(Key::of(&row, now)))
}

/// Update a key.
///
/// Changes name, scopes and limits, but not the amounts spent, and pauses or resumes the key.
/// Changes apply at once on the server that handles this call, and within seconds on all others.
/// Budgets, expiry and a pause apply at once everywhere.
#[utoipa::path(
    patch, path = "/api/v1/keys/{id}", operation_id = "change_key",
    params(("id" = String, Path, description = "A key (`key_…`).")),
    responses(
        (status = 200, description = "Changed."),
        (status = 404, description = "`not_found`: no key of this account."),
        (status = 409, description = "`key_revoked`: a revoked key cannot be changed."),
        (status = 422,
            description = "`invalid_name`, `invalid_scopes`, `invalid_models`, `unknown_model`, \
                `invalid_budget`, `invalid_limit`, `expires_in_the_past`."),
    ),
)]
pub(super) async fn change(
    caller: SessionCaller,
    api: Data<Api>,
    id: Path<String>,
    body: Body<ChangedKey>,
) -> Result<Json<Key>, Refusal> {
    let by = KeyActor::Person(caller.session);
    let change = body.0.read().map_err(KeyError::from)?;
    let now = api.now();
    let prices = Arc::clone(&api.parts.context.settings.prices);
    let changed = api.run(move |conn| keys::change(conn, &by, &id, &change, &prices, now)).await?;
    api.parts.keys.forget(changed.id);
    Ok(Json(Key::of(&changed, now)))
}

/// Revoke a key.
///
/// This cannot be undone. Requests in progress still finish.
#[utoipa::path(
    delete, path = "/api/v1/keys/{id}", operation_id = "revoke_key",
    params(("id" = String, Path, description = "A key (`key_…`).")),
    responses(
        (status = 204, description = "The key is revoked."),
        (status = 404, description = "`not_found`: no key of this account."),
    ),
)]
pub(super) async fn revoke(
    caller: SessionCaller,
    api: Data<Api>,
    id: Path<String>,
) -> Result<NoContent, Refusal> {
    let by = KeyActor::Person(caller.session);
    let now = api.now();
    let row = api.run(move |conn| keys::revoke(conn, &by, &id, now)).await?;
    api.parts.keys.forget(row.id);
    Ok(NoContent)
}

impl Key {
    /// A key as it stands at a moment.
    #[must_use]
    pub fn of(row: &ApiKeyRow, now: UnixMillis) -> Self {
        let (limits, spending, state) = (row.limits(), row.spending(), row.state(now));
        let overlap_ends_at = row.overlap_ends_at(now);
        let (paused_by, resumes_at) = match state {
            KeyState::Paused(period) => {
                let name = match period {
                    BudgetPeriod::Month => "monthly_budget",
                    BudgetPeriod::Total => "total_budget",
                };
                let until = Some(pause_end(period, now)).filter(|until| *until != FOR_GOOD);
                (Some(name), until.map(Moment))
            }
            KeyState::PausedByOwner => (Some("owner"), None),
            _ => (None, None),
        };
        Self {
            id: row.public_id.clone(),
            name: row.name.clone(),
            hint: row.hint.clone(),
            state: state.as_str(),
            paused_by,
            resumes_at,
            scopes: limits.scopes.names().collect(),
            models: limits.models,
            monthly_budget: limits.monthly_budget.map(Dollars),
            total_budget: limits.total_budget.map(Dollars),
            requests_per_minute: limits.requests_per_minute,
            max_streams: limits.max_streams,
            expires_at: limits.expires_at.map(Moment),
            month_spent: Dollars(spending.month_spent_at(now)),
            spent: Dollars(spending.spent),
            created_at: Moment(row.created_at),
            last_used_at: row.last_used_at.map(Moment),
            revoked_at: row.revoked_at.map(Moment),
            rotated_at: row.rotated_at.map(Moment),
            previous_hint: overlap_ends_at.and_then(|_| row.previous_hint.clone()),
            previous_expires_at: overlap_ends_at.map(Moment),
        }
    }
}

impl WantedKey {
    fn read(self) -> Result<NewKey, NoScope> {
        Ok(NewKey {
            name: self.name,
            limits: KeyLimits {
                scopes: read_scopes(self.scopes)?.unwrap_or_default(),
                models: self.models,
                monthly_budget: self.monthly_budget.map(|dollars| dollars.0),
                total_budget: self.total_budget.map(|dollars| dollars.0),
                requests_per_minute: self.requests_per_minute,
                max_streams: self.max_streams,
                expires_at: self.expires_at.map(|moment| moment.0),
            },
        })
    }
}

impl ChangedKey {
    fn read(self) -> Result<KeyChange, NoScope> {
        Ok(KeyChange {
            name: self.name,
            scopes: read_scopes(self.scopes)?,
            models: self.models,
            monthly_budget: self.monthly_budget.map(|given| given.map(|dollars| dollars.0)),
            total_budget: self.total_budget.map(|given| given.map(|dollars| dollars.0)),
            requests_per_minute: self.requests_per_minute,
            max_streams: self.max_streams,
            expires_at: self.expires_at.map(|given| given.map(|moment| moment.0)),
            is_paused: self.paused,
        })
    }
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::NotFound => Self::NotFound,
            KeyError::Person(error) => error.into(),
            KeyError::Db(error) => error.into(),
            other => Self::Key(other),
        }
    }
}
