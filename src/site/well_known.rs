//! Files that programs look for at fixed paths: `/robots.txt`, `/favicon.ico`, and
//! `/.well-known/security.txt` (RFC 9116).

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::page_error::PageError;
use super::{Site, page_request};

const TEXT: &str = "text/plain; charset=utf-8";
/// How long browsers keep them.
const KEPT: &str = "public, max-age=86400";
/// How long what `security.txt` says holds. The RFC advises less than a year.
const HOLDS: Duration = Duration::from_hours(24 * 180);

/// Everything but what is for everybody: the pages of an account answer with the log-in anyway.
const ROBOTS: &str = "\
User-agent: *
Disallow: /api/
Disallow: /v1/
Disallow: /account
Disallow: /dashboard
Disallow: /deposits
Disallow: /email/
Disallow: /keys
Disallow: /ledger
Disallow: /preferences
Disallow: /reset/confirm
Disallow: /sign-up/confirm
Disallow: /unsubscribe
Disallow: /usage
Disallow: /wallets
";

const ICON: &[u8] = include_bytes!("assets/favicon.ico");

/// `GET /robots.txt`
pub(super) fn robots(_: HttpRequest, payload: Payload, _: Data<Site>) -> Ready<HttpResponse> {
    ready(file(TEXT, ROBOTS.as_bytes().to_vec(), payload))
}

/// `GET /favicon.ico`, for whatever does not read the page's own link to a picture.
pub(super) fn icon(_: HttpRequest, payload: Payload, _: Data<Site>) -> Ready<HttpResponse> {
    ready(file("image/x-icon", ICON.to_vec(), payload))
}

/// `GET /.well-known/security.txt`: whom to tell of a weakness, where there is an address.
pub(super) async fn security(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    let settings = &site.settings().site;
    let Some(address) = settings.support_email.as_deref() else {
        return page_request::answer(http, payload, &site, async |_| Err(PageError::NotFound))
            .await;
    };
    // By whole days, so that it says the same all day.
    let expires = site.now().plus(HOLDS).day().begin().to_rfc3339_secs();
    let here = settings.base_url.as_str().trim_end_matches('/');
    let text = format!(
        "Contact: mailto:{address}\nExpires: {expires}\nPreferred-Languages: en\n\
         Canonical: {here}/.well-known/security.txt\n"
    );
    file(TEXT, text.into_bytes(), payload)
}

fn file(content_type: &'static str, content: Vec<u8>, payload: Payload) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, content_type));
    response.insert_header((CACHE_CONTROL, KEPT));
    page_request::without_session(response.body(content), payload)
}
