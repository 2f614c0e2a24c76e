//! `/sign-up`: an address first, and behind the link that is mailed to it a password. What is said
//! is the same whether or not the address has an account.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use secrecy::SecretString;

use super::fault::Refusal;
use super::layout::Frame;
use super::note::Note;
use super::{Site, next, visit};
use crate::accounts::identity::email_tokens::Purpose;

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
struct ConfirmPage {
    frame: Frame,
    token: String,
    /// Whether the link still works.
    works: bool,
    password_min_chars: usize,
    refusal: Option<String>,
}

/// `GET /sign-up`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    visit::answer(http, payload, &site, async |visit| {
        if visit.is_logged_in() {
            return visit.see_other(next::START, None);
        }
        let is_sent = visit.query().has("sent");
        let page = SignUpPage {
            frame: visit.form_frame("Sign up")?,
            is_open: visit.site.settings().accounts.sign_up_open,
            is_sent,
            email: String::new(),
            refusal: None,
        };
        visit.page(&page)
    })
    .await
}

/// `POST /sign-up`
pub(super) async fn send(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    visit::answer(http, payload, &site, async |visit| {
        let form = visit.form().await?;
        let email = form.word("email");
        let asked = visit.site.people().ask_to_sign_up(email, visit.client()).await;
        match asked.map_err(Refusal::of) {
            Ok(()) => visit.see_other("/sign-up?sent", None),
            Err(refusal) => {
                let refusal = refusal?;
                let page = SignUpPage {
                    frame: visit.form_frame("Sign up")?,
                    is_open: visit.site.settings().accounts.sign_up_open,
                    is_sent: false,
                    email: email.to_owned(),
                    refusal: Some(refusal.words.clone()),
                };
                visit.refused(&refusal, &page)
            }
        }
    })
    .await
}

/// `GET /sign-up/confirm?token=…`. Looking at it uses nothing up: programs that read mail open
/// links.
pub(super) async fn choose(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    visit::answer(http, payload, &site, async |visit| {
        let token = visit.query().word("token").to_owned();
        let works = visit.site.link_works(Purpose::SignUp, &token).await?;
        let page = ConfirmPage {
            frame: visit.form_frame("Choose a password")?,
            token,
            works,
            password_min_chars: visit.site.settings().accounts.password_min_chars,
            refusal: None,
        };
        visit.page(&page)
    })
    .await
}

/// `POST /sign-up/confirm`
pub(super) async fn confirm(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    visit::answer(http, payload, &site, async |visit| {
        let form = visit.form().await?;
        let token = form.word("token");
        let password = SecretString::from(form.text("password"));
        let signed_up = visit.site.people().sign_up(token, password, visit.client()).await;
        match signed_up.map_err(Refusal::of) {
            Ok(session) => {
                visit.begin_session(&session);
                visit.see_other(next::START, Some(Note::Welcome))
            }
            Err(refusal) => {
                let refusal = refusal?;
                let page = ConfirmPage {
                    frame: visit.form_frame("Choose a password")?,
                    token: token.to_owned(),
                    works: true,
                    password_min_chars: visit.site.settings().accounts.password_min_chars,
                    refusal: Some(refusal.words.clone()),
                };
                visit.refused(&refusal, &page)
            }
        }
    })
    .await
}
