//! The cookies that this server sets, and there are five: a session, what a stranger's forms follow
//! from, a log-in that waits for its second factor, a note for the next page, and a new API key,
//! sealed, for the page that shows it. None of them is for scripts, for other sites, or for telling
//! people apart who are not logged in. A sixth has the reader's zone, and a script sets it: `zone`.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};

use crate::accounts::identity::sessions::OpenedSession;
use crate::accounts::keys::sealed_key::LIFETIME;
use crate::api::caller::session_cookie;
use crate::config::SiteSettings;
use crate::domain::clock::UnixMillis;
use crate::domain::secret_token::{SecretToken, TokenKind};
use crate::site::flash::Flash;

/// Time for which a form stays good that somebody has opened and not sent.
const GUEST: Duration = Duration::hours(12);
/// As long as a log-in waits for its second factor.
const STEP: Duration = Duration::minutes(10);
/// A note is for the very next page.
const NOTE: Duration = Duration::minutes(1);

pub(super) fn session(
    site: &SiteSettings,
    session: &OpenedSession,
    now: UnixMillis,
) -> Cookie<'static> {
    let left = Duration::milliseconds(session.expires_at.millis_since(now));
    of_ours(site, session_cookie(site), session.token.reveal().to_owned(), left)
}

pub(super) fn no_session(site: &SiteSettings) -> Cookie<'static> {
    of_ours(site, session_cookie(site), String::new(), Duration::ZERO)
}

pub(super) fn guest(site: &SiteSettings, token: &SecretToken) -> Cookie<'static> {
    of_ours(site, guest_name(site), token.reveal().to_owned(), GUEST)
}

pub(super) fn no_guest(site: &SiteSettings) -> Cookie<'static> {
    of_ours(site, guest_name(site), String::new(), Duration::ZERO)
}

pub(super) fn guest_token(http: &HttpRequest, site: &SiteSettings) -> Option<SecretToken> {
    SecretToken::parse(TokenKind::Session, http.cookie(guest_name(site))?.value())
}

pub(super) fn step(site: &SiteSettings, token: &SecretToken) -> Cookie<'static> {
    of_ours(site, step_name(site), token.reveal().to_owned(), STEP)
}

pub(super) fn no_step(site: &SiteSettings) -> Cookie<'static> {
    of_ours(site, step_name(site), String::new(), Duration::ZERO)
}

pub(super) fn step_token(http: &HttpRequest, site: &SiteSettings) -> Option<SecretToken> {
    SecretToken::parse(TokenKind::LogInStep, http.cookie(step_name(site))?.value())
}

pub(super) fn note(site: &SiteSettings, note: Flash) -> Cookie<'static> {
    of_ours(site, note_name(site), note.word().to_owned(), NOTE)
}

pub(super) fn no_note(site: &SiteSettings) -> Cookie<'static> {
    of_ours(site, note_name(site), String::new(), Duration::ZERO)
}

pub(super) fn noted(http: &HttpRequest, site: &SiteSettings) -> Option<Flash> {
    Flash::parse(http.cookie(note_name(site))?.value())
}

/// A new key on its way to its page.
pub(super) fn new_key(site: &SiteSettings, sealed: &str) -> Cookie<'static> {
    let left = Duration::try_from(LIFETIME).unwrap_or(NOTE);
    of_ours(site, new_key_name(site), sealed.to_owned(), left)
}

pub(super) fn no_new_key(site: &SiteSettings) -> Cookie<'static> {
    of_ours(site, new_key_name(site), String::new(), Duration::ZERO)
}

pub(super) fn carried_key(http: &HttpRequest, site: &SiteSettings) -> Option<String> {
    Some(http.cookie(new_key_name(site))?.value().to_owned())
}

/// The prefix makes browsers take it by TLS from this host alone.
fn guest_name(site: &SiteSettings) -> &'static str {
    if site.base_url.is_https() { "__Host-sluice_form" } else { "sluice_form" }
}

fn step_name(site: &SiteSettings) -> &'static str {
    if site.base_url.is_https() { "__Host-sluice_step" } else { "sluice_step" }
}

fn new_key_name(site: &SiteSettings) -> &'static str {
    if site.base_url.is_https() { "__Host-sluice_key" } else { "sluice_key" }
}

fn note_name(site: &SiteSettings) -> &'static str {
    if site.base_url.is_https() { "__Host-sluice_note" } else { "sluice_note" }
}

fn of_ours(
    site: &SiteSettings,
    name: &'static str,
    value: String,
    left: Duration,
) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .http_only(true)
        .secure(site.base_url.is_https())
        .same_site(SameSite::Lax)
        .max_age(left)
        .finish()
}
