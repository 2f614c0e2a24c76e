//! `/keys`: API keys as their owner handles them. A new one is shown once, on the page that the
//! form which made it leads to.

mod created;
mod form;
mod one;
mod view;

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

pub(super) use created::show as created;
pub(super) use one::{change, pause, resume, revoke, rotate, show};

use super::layout::Frame;
use super::page_error::PageError;
use super::page_request::PageRequest;
use super::{Site, page_request};
use crate::accounts::keys::{self, KeyActor, KeyError, NewKey};
use crate::db::models::api_keys::ApiKeyRow;
use form::{KeyField, KeyForm};
use view::KeyView;

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Frame,
    /// Those that the list shows, the latest first.
    keys: Vec<KeyView>,
    /// How many there are in force or resting, and how many have been revoked.
    in_use: usize,
    revoked: usize,
    /// Whether the list shows those that have been revoked.
    shows_revoked: bool,
    form: KeyForm,
    /// What is wrong and in no field.
    refusal: Option<String>,
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
    let shows_revoked = visit.query().word("show") == "revoked";
    let rows = site.run(move |conn| keys::list(conn, account_id)).await?;
    let revoked = rows.iter().filter(|row| row.revoked_at.is_some()).count();
    let shown = rows.iter().rev().filter(|row| row.revoked_at.is_some() == shows_revoked);
    let prices = &site.settings().prices;
    Ok(KeysPage {
        frame: visit.frame("API keys"),
        keys: shown.map(|row| KeyView::of(row, prices, now)).collect(),
        in_use: rows.len().saturating_sub(revoked),
        revoked,
        shows_revoked,
        form,
        refusal,
    })
}

/// `POST /keys`
pub(super) async fn create(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.actor()?;
        let by = KeyActor::Person(session.clone());
        let fields = visit.form().await?;
        let mut form = KeyForm::sent(&fields, &site.settings().prices);
        let Some(limits) = form.limits() else {
            let page = list_page(&site, visit, form, None).await?;
            return visit.page_again(&page);
        };
        let new = NewKey { name: form.name.clone(), limits };
        let (prices, now) = (Arc::clone(&site.settings().prices), site.now());
        let most = site.settings().accounts.keys_max_per_account;
        let issued =
            site.attempt(move |conn| keys::issue(conn, &by, &new, (&prices, most), now)).await?;
        match issued {
            Ok(issued) => created::lead_on(visit, &session, &issued),
            Err(error) => {
                let refusal = form.refuse(error)?;
                let page = list_page(&site, visit, form, refusal).await?;
                visit.page_again(&page)
            }
        }
    })
    .await
}

/// The key that the path names, if it is the visitor's.
async fn find(site: &Site, visit: &PageRequest<'_>) -> Result<ApiKeyRow, PageError> {
    let account_id = visit.person()?.account_id();
    let id = visit.part("id").to_owned();
    site.run(move |conn| keys::show(conn, account_id, &id)).await
}

/// Where there is no form to say it on.
impl From<KeyError> for PageError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Db(error) => error.into(),
            KeyError::Random(_) => Self::Unavailable,
            KeyError::Person(error) => error.into(),
            KeyError::Overlap => Self::Form,
            _ => Self::NotFound,
        }
    }
}

impl KeyForm {
    /// Says what was refused beside its field; what is of no field is handed back.
    ///
    /// # Errors
    /// What nobody can mend on the form.
    fn refuse(&mut self, error: KeyError) -> Result<Option<String>, PageError> {
        let field = match error {
            KeyError::Db(_)
            | KeyError::Random(_)
            | KeyError::Person(_)
            | KeyError::NotFound
            | KeyError::Overlap => return Err(error.into()),
            KeyError::Name => KeyField::Name,
            KeyError::Scopes(_) => KeyField::Scopes,
            KeyError::Models | KeyError::UnknownModel(_) => KeyField::Models,
            KeyError::Past => KeyField::ExpiresAt,
            KeyError::Budget | KeyError::Zero | KeyError::TooMany(_) | KeyError::Revoked => {
                return Ok(Some(sentence(&error)));
            }
        };
        self.mark(field, sentence(&error));
        Ok(None)
    }
}

/// An error's words as a sentence.
fn sentence(error: &KeyError) -> String {
    let words = error.to_string();
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}
