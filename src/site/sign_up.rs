//! `/sign-up`: an address first, and behind the link that is mailed to it a password. What is said
//! is the same whether or not the address has an account.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use secrecy::SecretString;

use super::flash::Flash;
use super::layout::Frame;
use super::page_error::PageError;
use super::page_request::PageRequest;
use super::{Site, page_request, return_to};
use crate::accounts::identity::email_tokens::LinkPurpose;

#[derive(Template)]
#[template(path = "sign_up.html")]
struct SignUpPage {
    frame: Frame,
    is_open: bool,
    /// The mail is on its way.
    is_sent: bool,
    email: String,
    refusal: Option<String>,
}

#[derive(Template)]
#[template(path = "sign_up_confirm.html")]
struct SignUpConfirmPage {
    frame: Frame,
    token: String,
    /// Whether the link still works.
    works: bool,
    password_min_chars: usize,
    refusal: Option<String>,
}

/// `GET /sign-up`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        if visit.is_logged_in() {
            return visit.see_other(return_to::START, None);
        }
        let is_sent = visit.query().has("sent");
        let page = sign_up_page(visit, "", None)?;
        visit.page(&SignUpPage { is_sent, ..page })
    })
    .await
}

/// `POST /sign-up`
pub(super) async fn send(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let form = visit.form().await?;
        let email = form.word("email");
        let asked = visit.site.people().ask_to_sign_up(email, visit.client()).await;
        visit.submitted(
            asked,
            |visit, ()| visit.see_other("/sign-up?sent", None),
            |visit, refusal| sign_up_page(visit, email, refusal),
        )
    })
    .await
}

/// `GET /sign-up/confirm?token=…`. Looking at it uses nothing up: programs that read mail open
/// links.
pub(super) async fn choose(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let query = visit.query();
        let token = query.word("token");
        let works = visit.site.link_works(LinkPurpose::SignUp, token).await?;
        let page = confirm_page(visit, token, None)?;
        visit.page(&SignUpConfirmPage { works, ..page })
    })
    .await
}

/// `POST /sign-up/confirm`
pub(super) async fn confirm(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let form = visit.form().await?;
        let token = form.word("token");
        let password = SecretString::from(form.text("password"));
        let signed_up = visit.site.people().sign_up(token, password, visit.client()).await;
        visit.submitted(
            signed_up,
            |visit, session| {
                visit.begin_session(&session);
                visit.see_other(return_to::START, Some(Flash::Welcome))
            },
            |visit, refusal| confirm_page(visit, token, refusal),
        )
    })
    .await
}

fn sign_up_page(
    visit: &mut PageRequest<'_>,
    email: &str,
    refusal: Option<String>,
) -> Result<SignUpPage, PageError> {
    Ok(SignUpPage {
        frame: visit.form_frame("Sign up")?,
        is_open: visit.site.settings().accounts.sign_up_open,
        is_sent: false,
        email: email.to_owned(),
        refusal,
    })
}

fn confirm_page(
    visit: &mut PageRequest<'_>,
    token: &str,
    refusal: Option<String>,
) -> Result<SignUpConfirmPage, PageError> {
    Ok(SignUpConfirmPage {
        frame: visit.form_frame("Choose a password")?,
        token: token.to_owned(),
        works: true,
        password_min_chars: visit.site.settings().accounts.password_min_chars,
        refusal,
    })
}
