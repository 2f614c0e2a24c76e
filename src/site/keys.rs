//! `/keys`: API keys as their owner handles them. A new one is shown on the answer to its form, and
//! never again.

mod form;

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::flash::Flash;
use super::format::{SignedDollars, TimeElement};
use super::layout::Frame;
use super::page_error::PageError;
use super::page_request::PageRequest;
use super::{Site, page_request};
use crate::accounts::keys::{self, KeyActor, KeyError, NewKey};
use crate::db::models::api_keys::ApiKeyRow;
use crate::domain::clock::UnixMillis;
use crate::domain::key_limits::KeyState;
use crate::domain::mail::BudgetPeriod;
use form::KeyForm;

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Frame,
    keys: Vec<KeyView>,
    form: KeyForm,
    refusal: Option<String>,
}

#[derive(Template)]
#[template(path = "key.html")]
struct KeyPage {
    frame: Frame,
    key: KeyView,
    form: KeyForm,
    refusal: Option<String>,
    /// What is wrong with the wish to revoke it.
    revoke_refusal: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "key_made.html")]
struct KeyMadePage {
    frame: Frame,
    id: String,
    name: String,
    secret: String,
}

/// A key as pages show it.
struct KeyView {
    id: String,
    name: String,
    state: &'static str,
    state_title: &'static str,
    /// What the state means for the next request.
    state_words: &'static str,
    month_spent: SignedDollars,
    monthly_budget: Option<SignedDollars>,
    spent: SignedDollars,
    total_budget: Option<SignedDollars>,
    scopes: String,
    models: String,
    expires_at: Option<TimeElement>,
    last_used_at: Option<TimeElement>,
    created_at: TimeElement,
    is_revoked: bool,
}

impl KeyView {
    fn of(row: &ApiKeyRow, now: UnixMillis) -> Self {
        let (limits, spending) = (row.limits(), row.spending());
        let state = row.state(now);
        let (state_title, state_words) = words(state);
        Self {
            id: row.public_id.clone(),
            name: row.name.clone(),
            state: state.as_str(),
            state_title,
            state_words,
            month_spent: SignedDollars(spending.month_spent_at(now)),
            monthly_budget: limits.monthly_budget.map(SignedDollars),
            spent: SignedDollars(spending.spent),
            total_budget: limits.total_budget.map(SignedDollars),
            scopes: limits.scopes.names().collect::<Vec<_>>().join(", "),
            models: limits.models.map_or_else(|| "all".to_owned(), |models| models.join(", ")),
            expires_at: limits.expires_at.map(TimeElement),
            last_used_at: row.last_used_at.map(TimeElement),
            created_at: TimeElement(row.created_at),
            is_revoked: state == KeyState::Revoked,
        }
    }
}

/// Title and meaning of a state.
const fn words(state: KeyState) -> (&'static str, &'static str) {
    match state {
        KeyState::Active => ("Active", "Requests are accepted."),
        KeyState::Paused(BudgetPeriod::Month) => (
            "Paused",
            "Monthly budget reached. The key resumes when the next month begins (UTC), or once you \
             raise the budget.",
        ),
        KeyState::Paused(BudgetPeriod::Total) => {
            ("Paused", "Total budget reached. Raise it to resume.")
        }
        KeyState::PausedByOwner => ("Paused", "You have paused it. Its requests are refused."),
        KeyState::Expired => ("Expired", "It has expired. Set a later expiry to use it again."),
        KeyState::Revoked => ("Revoked", "Permanently refused."),
    }
}

/// `GET /keys`
pub(super) async fn list(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let form = KeyForm::blank(&site.settings().prices);
        let page = list_page(&site, visit, form, None).await?;
        visit.page(&page)
    })
    .await
}

async fn list_page(
    site: &Site,
    visit: &PageRequest<'_>,
    form: KeyForm,
    refusal: Option<String>,
) -> Result<KeysPage, PageError> {
    let (account_id, now) = (visit.person()?.account_id(), site.now());
    let rows = site.run(move |conn| keys::list(conn, account_id)).await?;
    // Those that still count come first, the latest at the top.
    let mut keys: Vec<KeyView> = rows.iter().rev().map(|row| KeyView::of(row, now)).collect();
    keys.sort_by_key(|key| key.is_revoked);
    Ok(KeysPage { frame: visit.frame("API keys"), keys, form, refusal })
}

/// `POST /keys`
pub(super) async fn create(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let by = KeyActor::Person(visit.actor()?);
        let fields = visit.form().await?;
        let form = KeyForm::sent(&fields, &site.settings().prices);
        let limits = match form.limits() {
            Ok(limits) => limits,
            Err(words) => {
                let page = list_page(&site, visit, form, Some(words.to_owned())).await?;
                return visit.page_again(&page);
            }
        };
        let new = NewKey { name: form.name.clone(), limits };
        let (prices, now) = (Arc::clone(&site.settings().prices), site.now());
        let most = site.settings().accounts.keys_max_per_account;
        let issued =
            site.attempt(move |conn| keys::issue(conn, &by, &new, (&prices, most), now)).await?;
        match issued {
            Ok(issued) => visit.page(&KeyMadePage {
                frame: visit.frame("Your new key"),
                id: issued.row.public_id,
                name: issued.row.name,
                secret: issued.key.reveal().to_owned(),
            }),
            Err(error) => {
                let words = told(error)?;
                let page = list_page(&site, visit, form, Some(words)).await?;
                visit.page_again(&page)
            }
        }
    })
    .await
}

/// `GET /keys/{id}`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let row = find(&site, visit).await?;
        let form = KeyForm::of(&row, &site.settings().prices);
        visit.page(&key_page(&site, visit, &row, form, None))
    })
    .await
}

/// `POST /keys/{id}`
pub(super) async fn change(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let by = KeyActor::Person(visit.actor()?);
        let fields = visit.form().await?;
        let row = find(&site, visit).await?;
        let prices = Arc::clone(&site.settings().prices);
        let form = KeyForm::sent(&fields, &prices);
        let change = match form.change_of(&KeyForm::of(&row, &prices)) {
            Ok(change) => change,
            Err(words) => {
                let page = key_page(&site, visit, &row, form, Some(words.to_owned()));
                return visit.page_again(&page);
            }
        };
        let (id, now) = (row.public_id.clone(), site.now());
        let changed =
            site.attempt(move |conn| keys::change(conn, &by, &id, &change, &prices, now)).await?;
        match changed {
            Ok(changed) => {
                site.parts.api.keys.forget(changed.id);
                let location = format!("/keys/{}", changed.public_id);
                visit.see_other(&location, Some(Flash::KeyChanged))
            }
            Err(error) => {
                let words = told(error)?;
                visit.page_again(&key_page(&site, visit, &row, form, Some(words)))
            }
        }
    })
    .await
}

/// `POST /keys/{id}/revoke`
pub(super) async fn revoke(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let by = KeyActor::Person(visit.actor()?);
        let fields = visit.form().await?;
        let row = find(&site, visit).await?;
        if !fields.has("sure") {
            let form = KeyForm::of(&row, &site.settings().prices);
            let mut page = key_page(&site, visit, &row, form, None);
            page.revoke_refusal = Some("Tick the box to confirm. This cannot be undone.");
            return visit.page_again(&page);
        }
        let (id, now) = (row.public_id, site.now());
        let revoked = site.run(move |conn| keys::revoke(conn, &by, &id, now)).await?;
        site.parts.api.keys.forget(revoked.id);
        visit.see_other("/keys", Some(Flash::KeyRevoked))
    })
    .await
}

/// The key that the path names, if it is the visitor's.
async fn find(site: &Site, visit: &PageRequest<'_>) -> Result<ApiKeyRow, PageError> {
    let account_id = visit.person()?.account_id();
    let id = visit.part("id").to_owned();
    site.run(move |conn| keys::show(conn, account_id, &id)).await
}

fn key_page(
    site: &Site,
    visit: &PageRequest<'_>,
    row: &ApiKeyRow,
    form: KeyForm,
    refusal: Option<String>,
) -> KeyPage {
    let key = KeyView::of(row, site.now());
    let frame = visit.frame(format!("Key {}", key.name));
    KeyPage { frame, key, form, refusal, revoke_refusal: None }
}

/// Where there is no form to say it on.
impl From<KeyError> for PageError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Db(error) => error.into(),
            KeyError::Random(_) => Self::Unavailable,
            KeyError::Person(error) => error.into(),
            _ => Self::NotFound,
        }
    }
}

/// What a refusal says on its form; a fault where nobody can mend it there.
fn told(error: KeyError) -> Result<String, PageError> {
    match error {
        KeyError::Db(_) | KeyError::Random(_) | KeyError::Person(_) | KeyError::NotFound => {
            Err(error.into())
        }
        other => {
            let words = other.to_string();
            let mut letters = words.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            Ok(first.into_iter().chain(letters).chain(['.']).collect())
        }
    }
}
