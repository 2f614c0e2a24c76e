//! `/account/closing`: having the account deleted, with what is left on it in view, and second
//! thoughts about it.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use secrecy::SecretString;

use super::is_of_code;
use crate::accounts::identity::AuthError;
use crate::accounts::identity::sessions::LiveSession;
use crate::domain::money::NanoUsd;
use crate::site::flash::Flash;
use crate::site::format::{SignedDollars, TimeElement};
use crate::site::layout::Frame;
use crate::site::page_error::{FormError, PageError};
use crate::site::page_request::PageRequest;
use crate::site::policies::span_of_hours;
use crate::site::{Site, page_request};

#[derive(Template)]
#[template(path = "account_closing.html")]
struct ClosingPage {
    frame: Frame,
    /// When the account is erased, if its deletion has been asked for.
    erased_at: Option<TimeElement>,
    /// What is left on it, if anything is.
    left: Option<SignedDollars>,
    has_totp: bool,
    /// For how long it can be kept, in words; empty if not at all.
    grace: String,
    waives_balance: bool,
    refusal: Option<String>,
    /// Whether the code is what was refused, rather than the password.
    is_code_refused: bool,
}

/// `GET /account/closing`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.any_session()?;
        let page = closing_page(visit, &session).await?;
        visit.page(&page)
    })
    .await
}

/// `POST /account/closing`
pub(in crate::site) async fn send(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let form = visit.form().await?;
        let password = SecretString::from(form.text("password"));
        let code = Some(form.word("code").to_owned()).filter(|code| !code.is_empty());
        let waives_balance = form.has("waive_balance");
        let people = visit.site.people();
        match people.close_account(&session, password, code, waives_balance, visit.client()).await {
            Ok(_) => {
                visit.forget_session();
                visit.see_other("/", Some(Flash::Closed))
            }
            Err(error) => {
                let is_code_refused = is_of_code(&error);
                let refusal = FormError::of(error)?;
                let page = ClosingPage {
                    waives_balance,
                    refusal: Some(refusal.words.clone()),
                    is_code_refused,
                    ..closing_page(visit, &session).await?
                };
                visit.refused(&refusal, &page)
            }
        }
    })
    .await
}

/// `POST /account/closing/undo`
pub(in crate::site) async fn undo(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.any_session()?;
        visit.form().await?;
        match visit.site.people().keep_account(&session).await {
            Ok(()) => visit.see_other("/account", Some(Flash::ClosingUndone)),
            // It is kept already.
            Err(AuthError::NotClosing) => visit.see_other("/account", None),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

async fn closing_page(
    visit: &PageRequest<'_>,
    session: &LiveSession,
) -> Result<ClosingPage, PageError> {
    let profile = visit.site.people().profile(session.account_id()).await?;
    let grace = visit.site.settings().accounts.closing_grace;
    // What is held comes back in part.
    let left =
        profile.row.available_nanousd.plus(profile.row.reserved_nanousd).unwrap_or(NanoUsd::ZERO);
    Ok(ClosingPage {
        frame: visit.frame("Delete your account"),
        erased_at: session.closing_at.map(|since| TimeElement(since.plus(grace))),
        left: Some(left).filter(|left| *left > NanoUsd::ZERO).map(SignedDollars),
        has_totp: profile.has_totp,
        grace: if grace.is_zero() {
            String::new()
        } else {
            span_of_hours(grace.as_secs().div_ceil(3_600))
        },
        waives_balance: false,
        refusal: None,
        is_code_refused: false,
    })
}
