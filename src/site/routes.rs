//! The URL table of the website, and what becomes of paths that nothing serves.

use actix_web::http::Method;
use actix_web::http::header::ACCEPT;
use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{Handler, HttpRequest, HttpResponse};

#[cfg(debug_assertions)]
use super::dev_style;
use super::page_error::PageError;
use super::{
    Site, account, assets, dashboard, deposits, docs, home, keys, ledger, log_in, log_out,
    page_request, policies, preferences, receipt, reset, sign_up, status, unsubscribe, usage,
    wallets, well_known,
};
use crate::gateway::{Gateway, respond};
use crate::http::table::{RouteTable, Served};

/// Adds the routes. The last of all tables: it has the answer to unknown paths.
pub fn configure(config: &mut ServiceConfig) {
    table().serve(config);
    config.default_service(web::route().to(unknown));
}

/// All of them.
#[must_use]
pub fn table() -> RouteTable {
    let mut table = RouteTable::default();
    table
        .service(page("/", home::show))
        .service(page("/assets/{name}", assets::show))
        .service(page("/robots.txt", well_known::robots))
        .service(page("/favicon.ico", well_known::icon))
        .service(page("/.well-known/security.txt", well_known::security))
        .service(page("/privacy", policies::privacy))
        .service(page("/terms", policies::terms))
        .service(page("/privacy/versions", policies::versions::of_privacy))
        .service(page("/privacy/versions/{number}", policies::versions::one_of_privacy))
        .service(page("/terms/versions", policies::versions::of_terms))
        .service(page("/terms/versions/{number}", policies::versions::one_of_terms))
        .service(page("/status", status::show))
        .service(page("/docs", docs::show))
        .service(page("/docs/clients", docs::clients))
        .service(page("/docs/models", docs::models))
        .service(page("/docs/errors", docs::errors::show))
        .service(page("/docs/billing", docs::billing))
        .service(page("/docs/account-api", docs::account_api))
        .service(page("/docs/api", docs::reference))
        .service(page("/docs/deposits", docs::paying::show))
        .configure(strangers)
        .configure(account)
        .configure(dashboard);
    #[cfg(debug_assertions)]
    table.service(page("/dev/style", dev_style::show));
    table
}

/// The way to an account.
fn strangers(table: &mut RouteTable) {
    table
        .service(form("/sign-up", sign_up::show, sign_up::send))
        .service(form("/sign-up/confirm", sign_up::choose, sign_up::confirm))
        .service(form("/log-in", log_in::show, log_in::send))
        .service(form("/log-in/code", log_in::ask_code, log_in::send_code))
        .service(action("/log-out", log_out::send))
        .service(form("/reset", reset::show, reset::send))
        .service(form("/reset/confirm", reset::choose, reset::confirm))
        // Mail programs post here as well, which have seen no page: `PageRequest::one_click`.
        .service(form("/unsubscribe", unsubscribe::show, unsubscribe::send))
        .service(form("/email/confirm", account::email::look, account::email::confirm));
}

/// What somebody does with an account who is logged in.
fn account(table: &mut RouteTable) {
    table
        .service(page("/account", account::show))
        .service(form("/account/password", account::password::show, account::password::send))
        .service(form("/account/email", account::email::show, account::email::send))
        .service(form("/account/totp", account::totp::show, account::totp::enable))
        .service(action("/account/totp/key", account::totp::begin))
        .service(action("/account/totp/off", account::totp::disable))
        .service(action("/account/totp/codes", account::totp::renew))
        .service(action("/account/totp/codes/file", account::totp::file))
        .service(form("/account/closing", account::closing::show, account::closing::send))
        .service(action("/account/closing/undo", account::closing::undo))
        .service(page("/account/sessions", account::sessions::show))
        .service(action("/account/sessions/end", account::sessions::end_all))
        .service(action("/account/sessions/{id}/end", account::sessions::end))
        .service(form("/preferences", preferences::show, preferences::send));
}

/// Usage, keys, and what is paid in.
fn dashboard(table: &mut RouteTable) {
    table
        .service(page("/dashboard", dashboard::show))
        .service(page("/usage", usage::show))
        .service(page("/usage/{id}", receipt::show))
        .service(form("/keys", keys::list, keys::create))
        .service(form("/keys/{id}", keys::show, keys::change))
        .service(page("/keys/{id}/created", keys::created))
        .service(action("/keys/{id}/pause", keys::pause))
        .service(action("/keys/{id}/resume", keys::resume))
        .service(action("/keys/{id}/rotate", keys::rotate))
        .service(action("/keys/{id}/revoke", keys::revoke))
        .service(page("/wallets", wallets::list))
        .service(action("/wallets/challenge", wallets::challenge))
        .service(action("/wallets/link", wallets::link))
        .service(action("/wallets/{id}/unlink", wallets::unlink))
        .service(action("/wallets/{id}/label", wallets::rename))
        .service(form("/deposits", deposits::list, deposits::claim))
        .service(action("/deposits/address", deposits::own_address::issue))
        .service(page("/deposits/{id}", deposits::detail::show))
        .service(page("/ledger", ledger::show))
        .service(page("/ledger/statement", ledger::statement::show));
}

/// A path with a page.
fn page<F, Args>(path: &'static str, show: F) -> Served
where
    F: Handler<Args, Output = HttpResponse> + Copy,
    Args: actix_web::FromRequest + 'static,
{
    Served::at(path).on(Method::GET, show).on(Method::HEAD, show).otherwise(wrong_method)
}

/// A path with a page whose form is sent back to it.
fn form<F, G, Args>(path: &'static str, show: F, send: G) -> Served
where
    F: Handler<Args, Output = HttpResponse> + Copy,
    G: Handler<Args, Output = HttpResponse>,
    Args: actix_web::FromRequest + 'static,
{
    page(path, show).on(Method::POST, send)
}

/// A path that only takes what a form sends.
fn action<F, Args>(path: &'static str, send: F) -> Served
where
    F: Handler<Args, Output = HttpResponse>,
    Args: actix_web::FromRequest + 'static,
{
    Served::at(path).on(Method::POST, send).otherwise(wrong_method)
}

async fn wrong_method(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |_| Err(PageError::Method)).await
}

/// A page for browsers; for programs, and below the interfaces, the error that they can read.
async fn unknown(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
    gateway: Data<Gateway>,
) -> HttpResponse {
    if is_browser(&http) {
        page_request::answer(http, payload, &site, async |_| Err(PageError::NotFound)).await
    } else {
        respond::not_found(&http, payload, &gateway)
    }
}

fn is_browser(http: &HttpRequest) -> bool {
    let path = http.path();
    let is_interface = ["/v1", "/api"].iter().any(|root| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let takes_pages = http
        .headers()
        .get_all(ACCEPT)
        .filter_map(|accept| accept.to_str().ok())
        .any(|accept| accept.contains("text/html"));
    !is_interface && takes_pages && *http.method() != Method::OPTIONS
}
