//! `/preferences`: what mail is wanted.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::flash::Flash;
use super::layout::Frame;
use super::page_error::FormError;
use super::{Site, fields, page_request};
use crate::accounts::identity::preferences::AccountPreferences;

#[derive(Template)]
#[template(path = "preferences.html")]
struct PreferencesPage {
    frame: Frame,
    /// Decimal dollars as typed; empty is never.
    low_balance: String,
    wants_notices: bool,
    /// Whether its form was on the page of settings, to which it leads back.
    is_from_settings: bool,
    refusal: Option<String>,
}

/// `GET /preferences`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let known = visit.site.people().preferences(&session).await?;
        visit.page(&PreferencesPage {
            frame: visit.frame("Notifications"),
            is_from_settings: false,
            low_balance: known.low_balance.map(|amount| amount.to_string()).unwrap_or_default(),
            wants_notices: known.wants_notices,
            refusal: None,
        })
    })
    .await
}

/// `POST /preferences`
pub(super) async fn send(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let form = visit.form().await?;
        let (typed, wants_notices) = (form.word("low_balance"), form.has("wants_notices"));
        let is_from_settings = form.word("from") == "settings";
        let stored = match fields::dollars(typed).map_err(FormError::new) {
            Ok(low_balance) => {
                let wanted = AccountPreferences { low_balance, wants_notices };
                let stored = visit.site.people().update_preferences(&session, wanted).await;
                match stored.map_err(FormError::of) {
                    Ok(()) => Ok(()),
                    Err(refusal) => Err(refusal?),
                }
            }
            Err(refusal) => Err(refusal),
        };
        let Err(refusal) = stored else {
            let there = if is_from_settings { "/account" } else { "/preferences" };
            return visit.see_other(there, Some(Flash::PreferencesKept));
        };
        let page = PreferencesPage {
            frame: visit.frame("Notifications"),
            is_from_settings,
            low_balance: typed.to_owned(),
            wants_notices,
            refusal: Some(refusal.words.clone()),
        };
        visit.refused(&refusal, &page)
    })
    .await
}
