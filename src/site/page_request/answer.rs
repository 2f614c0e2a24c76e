//! From a request to its answer, and the headers of every one of them.

use actix_web::cookie::Cookie;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};

use super::{PageRequest, cookies, html};
use crate::gateway::respond::unread;
use crate::site::page_error::{FaultPage, PageError};
use crate::site::{Site, return_to};

/// Nothing is loaded, sent or framed but from and to this site, and nothing runs that stands in a
/// page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src \
    'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// With every answer. Addresses of this site may hold a token, so that no other site is told of
/// them.
const SECURITY: [(&str, &str); 5] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Finds out who looks, and answers with what `work` makes of the request.
pub(in crate::site) async fn answer(
    http: HttpRequest,
    mut payload: Payload,
    site: &Site,
    work: impl AsyncFnOnce(&mut PageRequest<'_>) -> Result<HttpResponse, PageError>,
) -> HttpResponse {
    let tracker = &site.parts.api.context.tracker;
    // Held until the answer is made, so that a stop waits for what was begun.
    let token = tracker.token();
    let mut visit = PageRequest {
        site,
        http: &http,
        payload: &mut payload,
        person: None,
        guest: cookies::guest_token(&http, &site.settings().site),
        note: cookies::noted(&http, &site.settings().site),
        cookies: Vec::new(),
    };
    let answered = async {
        visit.recognise().await?;
        if tracker.is_draining() {
            return Err(PageError::Unavailable);
        }
        if let Some(person) = &visit.person {
            site.parts.api.limits.count(person.session.account_id())?;
        }
        work(&mut visit).await
    };
    let answered = answered.await;
    let response = match answered {
        Ok(response) => response,
        Err(PageError::LogIn) => to_log_in(&visit),
        Err(PageError::Closing) => {
            HttpResponse::SeeOther().insert_header((LOCATION, "/account/closing")).finish()
        }
        Err(fault) => fault_page(&mut visit, fault),
    };
    if visit.note.is_some() && !response.status().is_redirection() {
        visit.cookies.insert(0, cookies::no_note(&site.settings().site));
    }
    let cookies = std::mem::take(&mut visit.cookies);
    let response = finished(response, cookies);
    drop(token);
    unread(response, payload)
}

/// An answer for which it does not matter who looks.
pub(in crate::site) fn without_session(response: HttpResponse, payload: Payload) -> HttpResponse {
    unread(finished(response, Vec::new()), payload)
}

/// The way to the log-in, and back to where the visitor was going.
fn to_log_in(visit: &PageRequest<'_>) -> HttpResponse {
    let wanted = visit.http.uri().path_and_query().map_or("/", |wanted| wanted.as_str());
    let is_look = matches!(*visit.http.method(), Method::GET | Method::HEAD);
    let location = match return_to::page(wanted).filter(|_| is_look) {
        Some(page) => format!("/log-in?next={}", return_to::as_value(page)),
        None => "/log-in".to_owned(),
    };
    HttpResponse::SeeOther().insert_header((LOCATION, location)).finish()
}

fn fault_page(visit: &mut PageRequest<'_>, fault: PageError) -> HttpResponse {
    let (heading, advice) = fault.words();
    let page =
        FaultPage { frame: visit.frame(heading), status: fault.status().as_u16(), heading, advice };
    // The page of a fault says nothing but the fault.
    visit.note = None;
    let mut response = html(fault.status(), &page)
        .unwrap_or_else(|_| HttpResponse::new(PageError::Internal.status()));
    if let PageError::TooMany { retry_after_secs } = fault {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_secs));
    }
    response
}

fn finished(mut response: HttpResponse, cookies: Vec<Cookie<'static>>) -> HttpResponse {
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    for cookie in cookies {
        // Its value is a token or a word of ours, which fits a header.
        if response.add_cookie(&cookie).is_err() {
            return HttpResponse::new(PageError::Internal.status());
        }
    }
    response
}
