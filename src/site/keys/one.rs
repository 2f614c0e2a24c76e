//! `/keys/{id}`: one key, and what its owner does with it.

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::form::KeyForm;
use super::view::KeyView;
use super::{created, find};
use crate::accounts::keys::{self, KeyActor, KeyChange, KeyError};
use crate::db::models::api_keys::ApiKeyRow;
use crate::domain::key_overlap::KeyOverlap;
use crate::site::flash::Flash;
use crate::site::layout::Frame;
use crate::site::page_request::PageRequest;
use crate::site::{Site, page_request};

#[derive(Template)]
#[template(path = "key.html")]
struct KeyPage {
    frame: Frame,
    key: KeyView,
    form: KeyForm,
    /// What is wrong with the form and in no field.
    refusal: Option<String>,
    /// What is wrong with the wish to revoke it.
    revoke_refusal: Option<&'static str>,
    overlaps: [KeyOverlap; 4],
}

/// `GET /keys/{id}`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let row = find(&site, visit).await?;
        let form = KeyForm::of(&row, &site.settings().prices);
        visit.page(&key_page(&site, visit, &row, form, None))
    })
    .await
}

/// `POST /keys/{id}`
pub(in crate::site) async fn change(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let by = KeyActor::Person(visit.actor()?);
        let fields = visit.form().await?;
        let row = find(&site, visit).await?;
        let prices = Arc::clone(&site.settings().prices);
        let mut form = KeyForm::sent(&fields, &prices);
        let Some(change) = form.change_of(&KeyForm::of(&row, &prices)) else {
            return visit.page_again(&key_page(&site, visit, &row, form, None));
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
                let refusal = form.refuse(error)?;
                visit.page_again(&key_page(&site, visit, &row, form, refusal))
            }
        }
    })
    .await
}

/// `POST /keys/{id}/pause`
pub(in crate::site) async fn pause(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    set_paused(http, payload, site, true).await
}

/// `POST /keys/{id}/resume`
pub(in crate::site) async fn resume(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    set_paused(http, payload, site, false).await
}

async fn set_paused(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
    is_paused: bool,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let by = KeyActor::Person(visit.actor()?);
        visit.form().await?;
        let id = visit.part("id").to_owned();
        let (prices, now) = (Arc::clone(&site.settings().prices), site.now());
        let change = KeyChange { is_paused: Some(is_paused), ..KeyChange::default() };
        let changed =
            site.attempt(move |conn| keys::change(conn, &by, &id, &change, &prices, now)).await?;
        match changed {
            Ok(changed) => {
                site.parts.api.keys.forget(changed.id);
                let note = if is_paused { Flash::KeyPaused } else { Flash::KeyResumed };
                visit.see_other("/keys", Some(note))
            }
            // Its page says so.
            Err(KeyError::Revoked) => visit.see_other("/keys?show=revoked", None),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

/// `POST /keys/{id}/rotate`
pub(in crate::site) async fn rotate(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.actor()?;
        let by = KeyActor::Person(session.clone());
        let fields = visit.form().await?;
        let overlap = KeyOverlap::parse(fields.word("overlap")).ok_or(KeyError::Overlap)?;
        let (id, now) = (visit.part("id").to_owned(), site.now());
        let rotated = site.attempt(move |conn| keys::rotate(conn, &by, &id, overlap, now)).await?;
        match rotated {
            Ok(issued) => {
                site.parts.api.keys.forget(issued.row.id);
                created::lead_on(visit, &session, &issued)
            }
            Err(KeyError::Revoked) => visit.see_other("/keys?show=revoked", None),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

/// `POST /keys/{id}/revoke`
pub(in crate::site) async fn revoke(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
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

fn key_page(
    site: &Site,
    visit: &PageRequest<'_>,
    row: &ApiKeyRow,
    form: KeyForm,
    refusal: Option<String>,
) -> KeyPage {
    let key = KeyView::of(row, &site.settings().prices, site.now());
    let frame = visit.frame(format!("Key {}", key.name));
    let overlaps = KeyOverlap::ALL;
    KeyPage { frame, key, form, refusal, revoke_refusal: None, overlaps }
}
