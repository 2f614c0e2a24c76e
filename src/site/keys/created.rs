//! `/keys/{id}/created`: a new key in clear, once, with what to paste where, and whether a request
//! has arrived with it. The key comes from the form's answer in a sealed cookie
//! ([decision 38](../../../docs/decisions/038-a-new-key-travels-sealed-in-a-cookie.md)); without
//! it, the page is the same but for the key.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::find;
use super::view::KeyView;
use crate::accounts::identity::sessions::LiveSession;
use crate::accounts::keys::IssuedKey;
use crate::api::prices;
use crate::db::models::api_keys::ApiKeyRow;
use crate::domain::money::NanoUsd;
use crate::site::format::Cents;
use crate::site::layout::Frame;
use crate::site::page_error::PageError;
use crate::site::page_request::PageRequest;
use crate::site::price_table;
use crate::site::{Site, page_request};

/// What stands in snippets where the key is not known any more.
const PLACEHOLDER: &str = "YOUR_API_KEY";

#[derive(Template)]
#[template(path = "key_created.html")]
struct KeyCreatedPage {
    frame: Frame,
    key: KeyView,
    /// The key in clear, where this is the one time.
    secret: Option<String>,
    /// What snippets have in its place.
    shown_key: String,
    /// A model for the snippets.
    model: String,
    /// Since when a request counts as one of this secret, for a script.
    since: String,
    is_used: bool,
    balance: Cents,
    has_credit: bool,
}

/// Sends the browser on to the page that shows a key.
///
/// # Errors
/// [`PageError::Unavailable`] without randomness.
pub(super) fn lead_on(
    visit: &mut PageRequest<'_>,
    session: &LiveSession,
    issued: &IssuedKey,
) -> Result<HttpResponse, PageError> {
    let id = &issued.row.public_id;
    let sealed = visit.site.people().seal_key(session, id, &issued.key)?;
    visit.carry_key(&sealed);
    visit.see_other(&format!("/keys/{id}/created"), None)
}

/// `GET /keys/{id}/created`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let row = find(&site, visit).await?;
        let session = visit.person()?;
        if row.revoked_at.is_some() {
            return visit.see_other(&format!("/keys/{}", row.public_id), None);
        }
        let sealed = visit.carried_key();
        let people = visit.site.people();
        let key = sealed.and_then(|sealed| people.open_key(&session, &row.public_id, &sealed));
        let secret = key.map(|key| key.reveal().to_owned());
        let account = people.profile(session.account_id()).await?.row;
        let prices = prices::in_force(site.settings(), site.now());
        let is_shown = secret.is_some();
        let title = if is_shown { "Your new key" } else { "First request" };
        let page = visit.page(&KeyCreatedPage {
            frame: visit.frame(title),
            key: KeyView::of(&row, &site.settings().prices, site.now()),
            shown_key: secret.clone().unwrap_or_else(|| PLACEHOLDER.to_owned()),
            secret,
            model: price_table::example_id(&prices),
            since: row.rotated_at.map(|at| at.to_string()).unwrap_or_default(),
            is_used: is_used(&row),
            balance: Cents(account.available_nanousd),
            has_credit: account.available_nanousd > NanoUsd::ZERO,
        })?;
        if is_shown {
            visit.forget_key();
        }
        Ok(page)
    })
    .await
}

/// Whether a request was settled since the key has this secret. With an overlap, that may have come
/// with the one before.
fn is_used(row: &ApiKeyRow) -> bool {
    match (row.last_used_at, row.rotated_at) {
        (Some(used), Some(rotated)) => used >= rotated,
        (used, _) => used.is_some(),
    }
}
