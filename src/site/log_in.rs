//! `/log-in`: address and password, then the second factor where there is one, then the page that
//! one came from.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use secrecy::SecretString;

use super::layout::Frame;
use super::page_error::{FormError, PageError};
use super::page_request::PageRequest;
use super::{Site, page_request, return_to};
use crate::accounts::identity::AuthError;
use crate::accounts::identity::log_in::FirstStep;

#[derive(Template)]
#[template(path = "log_in.html")]
struct LogInPage {
    frame: Frame,
    email: String,
    /// Where one goes from here.
    next: String,
    refusal: Option<String>,
}

#[derive(Template)]
#[template(path = "log_in_code.html")]
struct CodePage {
    frame: Frame,
    next: String,
    refusal: Option<String>,
}

/// `GET /log-in?next=…`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let query = visit.query();
        let next = return_to::page_or_start(query.text("next"));
        if visit.is_logged_in() {
            return visit.see_other(next, None);
        }
        let page = log_in_page(visit, "", next, None)?;
        visit.page(&page)
    })
    .await
}

/// `POST /log-in`
pub(super) async fn send(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let form = visit.form().await?;
        let (email, next) = (form.word("email"), return_to::page_or_start(form.text("next")));
        let password = SecretString::from(form.text("password"));
        let begun = visit.site.people().begin_log_in(email, password, visit.client()).await;
        match begun.map_err(FormError::of) {
            Ok(FirstStep::LoggedIn(session)) => {
                visit.begin_session(&session);
                visit.see_other(next, None)
            }
            Ok(FirstStep::CodeWanted(step)) => {
                visit.begin_step(&step);
                visit.see_other(&format!("/log-in/code?next={}", return_to::as_value(next)), None)
            }
            Err(refusal) => {
                let refusal = refusal?;
                let page = log_in_page(visit, email, next, Some(&refusal))?;
                visit.refused(&refusal, &page)
            }
        }
    })
    .await
}

/// `GET /log-in/code?next=…`
pub(super) async fn ask_code(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let query = visit.query();
        let next = return_to::page_or_start(query.text("next"));
        if visit.step().is_none() {
            return visit.see_other(&format!("/log-in?next={}", return_to::as_value(next)), None);
        }
        let frame = visit.form_frame("Two-factor authentication")?;
        visit.page(&CodePage { frame, next: next.to_owned(), refusal: None })
    })
    .await
}

/// `POST /log-in/code`
pub(super) async fn send_code(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let form = visit.form().await?;
        let next = return_to::page_or_start(form.text("next"));
        let code = form.word("code").to_owned();
        let finished = match visit.step() {
            Some(step) => visit.site.people().finish_log_in(&step, code, visit.client()).await,
            None => Err(AuthError::BadLink),
        };
        match finished {
            Ok(session) => {
                visit.begin_session(&session);
                visit.see_other(next, None)
            }
            Err(AuthError::BadLink) => {
                let refusal = FormError::new("That took too long. Please log in again.");
                let page = log_in_page(visit, "", next, Some(&refusal))?;
                visit.refused(&refusal, &page)
            }
            Err(error) => {
                let refusal = FormError::of(error)?;
                let page = CodePage {
                    frame: visit.form_frame("Two-factor authentication")?,
                    next: next.to_owned(),
                    refusal: Some(refusal.words.clone()),
                };
                visit.refused(&refusal, &page)
            }
        }
    })
    .await
}

fn log_in_page(
    visit: &mut PageRequest<'_>,
    email: &str,
    next: &str,
    refusal: Option<&FormError>,
) -> Result<LogInPage, PageError> {
    Ok(LogInPage {
        frame: visit.form_frame("Log in")?,
        email: email.to_owned(),
        next: next.to_owned(),
        refusal: refusal.map(|refusal| refusal.words.clone()),
    })
}
