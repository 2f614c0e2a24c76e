//! `/reset`: a new password for whoever reads the account's mail. What is said is the same whether
//! or not the address has an account.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use secrecy::SecretString;

use super::flash::Flash;
use super::layout::Frame;
use super::page_error::PageError;
use super::page_request::PageRequest;
use super::{Site, page_request};
use crate::accounts::identity::email_tokens::LinkPurpose;

#[derive(Template)]
#[template(path = "reset.html")]
struct ResetPage {
    frame: Frame,
    /// The mail is on its way, if there is an account.
    is_sent: bool,
    email: String,
    refusal: Option<String>,
}

#[derive(Template)]
#[template(path = "reset_confirm.html")]
struct ResetConfirmPage {
    frame: Frame,
    token: String,
    /// Whether the link still works.
    works: bool,
    password_min_chars: usize,
    refusal: Option<String>,
}

/// `GET /reset`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let is_sent = visit.query().has("sent");
        let page = reset_page(visit, "", None)?;
        visit.page(&ResetPage { is_sent, ..page })
    })
    .await
}

/// `POST /reset`
pub(super) async fn send(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let form = visit.form().await?;
        let email = form.word("email");
        let asked = visit.site.people().ask_to_reset(email, visit.client()).await;
        visit.submitted(
            asked,
            |visit, ()| visit.see_other("/reset?sent", None),
            |visit, refusal| reset_page(visit, email, refusal),
        )
    })
    .await
}

/// `GET /reset/confirm?token=…`
pub(super) async fn choose(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let query = visit.query();
        let token = query.word("token");
        let works = visit.site.link_works(LinkPurpose::Reset, token).await?;
        let page = confirm_page(visit, token, None)?;
        visit.page(&ResetConfirmPage { works, ..page })
    })
    .await
}

/// `POST /reset/confirm`
pub(super) async fn confirm(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let form = visit.form().await?;
        let token = form.word("token");
        let password = SecretString::from(form.text("password"));
        let reset = visit.site.people().reset(token, password, visit.client()).await;
        visit.submitted(
            reset,
            |visit, ()| {
                visit.forget_session();
                visit.see_other("/log-in", Some(Flash::PasswordReset))
            },
            |visit, refusal| confirm_page(visit, token, refusal),
        )
    })
    .await
}

fn reset_page(
    visit: &mut PageRequest<'_>,
    email: &str,
    refusal: Option<String>,
) -> Result<ResetPage, PageError> {
    let frame = visit.form_frame("Reset your password")?;
    Ok(ResetPage { frame, is_sent: false, email: email.to_owned(), refusal })
}

fn confirm_page(
    visit: &mut PageRequest<'_>,
    token: &str,
    refusal: Option<String>,
) -> Result<ResetConfirmPage, PageError> {
    Ok(ResetConfirmPage {
        frame: visit.form_frame("Choose a new password")?,
        token: token.to_owned(),
        works: true,
        password_min_chars: visit.site.settings().accounts.password_min_chars,
        refusal,
    })
}
