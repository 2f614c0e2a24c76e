//! `/account/password`: another password for whoever knows the one so far. All other sessions end.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use secrecy::SecretString;

use crate::site::flash::Flash;
use crate::site::layout::Frame;
use crate::site::{Site, page_request};

#[derive(Template)]
#[template(path = "account_password.html")]
struct PasswordPage {
    frame: Frame,
    password_min_chars: usize,
    refusal: Option<String>,
}

/// `GET /account/password`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        visit.person()?;
        let password_min_chars = visit.site.settings().accounts.password_min_chars;
        let frame = visit.frame("Change your password");
        visit.page(&PasswordPage { frame, password_min_chars, refusal: None })
    })
    .await
}

/// `POST /account/password`
pub(in crate::site) async fn send(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let form = visit.form().await?;
        let secret = |name| SecretString::from(form.text(name));
        let (old, new) = (secret("password"), secret("new_password"));
        let changed = visit.site.people().change_password(&session, old, new, visit.client()).await;
        visit.submitted(
            changed,
            |visit, ()| visit.see_other("/account", Some(Flash::PasswordChanged)),
            |visit, refusal| {
                let password_min_chars = visit.site.settings().accounts.password_min_chars;
                let frame = visit.frame("Change your password");
                Ok(PasswordPage { frame, password_min_chars, refusal })
            },
        )
    })
    .await
}
