//! `/account/email` and `/email/confirm`: another address, once a link has been followed that was
//! mailed to it.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use secrecy::SecretString;

use crate::accounts::identity::email_tokens::LinkPurpose;
use crate::site::flash::Flash;
use crate::site::layout::Frame;
use crate::site::{Site, page_request};

#[derive(Template)]
#[template(path = "account_email.html")]
struct EmailPage {
    frame: Frame,
    email: String,
    refusal: Option<String>,
}

#[derive(Template)]
#[template(path = "email_confirm.html")]
struct EmailConfirmPage {
    frame: Frame,
    token: String,
    /// Whether the link still works.
    works: bool,
    refusal: Option<String>,
}

/// `GET /account/email`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        visit.person()?;
        let frame = visit.frame("Change your email address");
        visit.page(&EmailPage { frame, email: String::new(), refusal: None })
    })
    .await
}

/// `POST /account/email`
pub(in crate::site) async fn send(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let form = visit.form().await?;
        let (email, password) = (form.word("email"), SecretString::from(form.text("password")));
        let asked = visit
            .site
            .people()
            .ask_to_change_email(&session, email, password, visit.client())
            .await;
        visit.submitted(
            asked,
            |visit, ()| visit.see_other("/account", Some(Flash::EmailPending)),
            |visit, refusal| {
                let frame = visit.frame("Change your email address");
                Ok(EmailPage { frame, email: email.to_owned(), refusal })
            },
        )
    })
    .await
}

/// `GET /email/confirm?token=…`. Whoever reads the new address's mail need not be logged in here.
pub(in crate::site) async fn look(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let token = visit.query().word("token").to_owned();
        let works = visit.site.link_works(LinkPurpose::Change, &token).await?;
        let frame = visit.form_frame("Confirm your email address")?;
        visit.page(&EmailConfirmPage { frame, token, works, refusal: None })
    })
    .await
}

/// `POST /email/confirm`
pub(in crate::site) async fn confirm(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let form = visit.form().await?;
        let token = form.word("token");
        let changed = visit.site.people().change_email(token, visit.client()).await;
        visit.submitted(
            changed,
            |visit, ()| {
                let there = if visit.is_logged_in() { "/account" } else { "/log-in" };
                visit.see_other(there, Some(Flash::EmailChanged))
            },
            |visit, refusal| {
                let frame = visit.form_frame("Confirm your email address")?;
                Ok(EmailConfirmPage { frame, token: token.to_owned(), works: true, refusal })
            },
        )
    })
    .await
}
