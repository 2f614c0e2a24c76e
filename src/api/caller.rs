//! Who asks, and whether he may: the table of operations names the scopes that a key needs.
//!
//! Somebody is known by an API key, a session's token, or a browser's cookie. A cookie comes by
//! itself with whatever another site makes a browser send, so with a cookie whatever changes
//! something must carry the word that only our pages know.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web::Data;
use subtle::ConstantTimeEq;

use super::Api;
use super::offer::{Access, AllowedMethods};
use super::refusal::Refusal;
use crate::accounts::identity::sessions::LiveSession;
use crate::config::SiteSettings;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::key_scopes::{Scope, Scopes};
use crate::domain::secret_token::{SecretToken, TokenKind};
use crate::gateway::auth;
use crate::http::standing::{self, ClientStanding};

/// Header with the word of [`SecretToken::csrf_token`].
const FORM_WORD_HEADER: &str = "x-csrf-token";

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) account_id: AccountId,
    pub(super) credential: CallerCredential,
}

/// By what they are known.
#[derive(Clone, Debug)]
pub(super) enum CallerCredential {
    /// An API key: does what its scopes say.
    ApiKey(ApiKeyId, Scopes),
    /// A session: does whatever its person may do.
    Session(LiveSession),
}

impl Principal {
    /// The session, where only a person may do it.
    ///
    /// # Errors
    /// [`Refusal::SessionRequired`].
    pub(super) const fn session(&self) -> Result<&LiveSession, Refusal> {
        match &self.credential {
            CallerCredential::Session(session) => Ok(session),
            CallerCredential::ApiKey(..) => Err(Refusal::SessionRequired),
        }
    }

    /// Makes sure that whoever was identified again may still change what they might before.
    ///
    /// # Errors
    /// As [`LiveSession::may_change`].
    pub(super) fn stands_as(&self, before: &Self) -> Result<(), Refusal> {
        match (&self.credential, &before.credential) {
            (CallerCredential::Session(now), CallerCredential::Session(before)) => {
                Ok(now.stands_as(before)?)
            }
            _ => Ok(()),
        }
    }

    /// What is shown to it of all that the account's keys have done.
    pub(super) const fn sees(&self) -> Sees {
        match &self.credential {
            CallerCredential::ApiKey(id, scopes) if !scopes.has(Scope::Read) => Sees::Key(*id),
            CallerCredential::ApiKey(..) | CallerCredential::Session(_) => Sees::All,
        }
    }
}

/// Of which keys somebody sees limits and usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sees {
    /// Of all.
    All,
    /// Of the one that asks.
    Key(ApiKeyId),
}

impl Sees {
    /// Whether it is one of those.
    pub(super) fn key(self, id: ApiKeyId) -> bool {
        self.only().is_none_or(|only| only == id)
    }

    /// The only one, if it is one.
    pub(super) const fn only(self) -> Option<ApiKeyId> {
        match self {
            Self::All => None,
            Self::Key(id) => Some(id),
        }
    }
}

/// The name of the cookie that carries a session's token. The prefix makes browsers refuse it from
/// anywhere but this host itself, by TLS.
#[must_use]
pub fn session_cookie(site: &SiteSettings) -> &'static str {
    if site.base_url.is_https() { "__Host-sluice_session" } else { "sluice_session" }
}

/// The token in a browser's cookie.
#[must_use]
pub fn cookie_token(http: &HttpRequest, site: &SiteSettings) -> Option<SecretToken> {
    let cookie = http.cookie(session_cookie(site))?;
    SecretToken::parse(TokenKind::Session, cookie.value())
}

/// Finds out who asks, and whether he may ask for this: the one place where the table's line is
/// looked at.
pub(super) async fn identify(api: &Api, http: &HttpRequest) -> Result<Principal, Refusal> {
    if let Some(token) = bearer_session(http.headers()) {
        return of_session(api, http, token).await;
    }
    let carries_key =
        http.headers().contains_key("x-api-key") || http.headers().contains_key(AUTHORIZATION);
    if !carries_key && let Some(token) = cookie_token(http, &api.parts.context.settings.site) {
        if is_change(http.method()) && !carries_form_word(http.headers(), &token) {
            return Err(Refusal::FormWord);
        }
        return of_session(api, http, token).await;
    }
    if !carries_key {
        return Err(Refusal::Unauthenticated);
    }
    let holder = auth::identify_any(&api.parts.keys, http, auth::ALONE, api.now()).await?;
    let scopes = holder.limits.scopes;
    // What the table does not know is for people.
    match http.app_data::<Data<AllowedMethods>>().and_then(|offer| offer.access(http.method())) {
        Some(Access::Key(needed)) if needed.iter().any(|scope| scopes.has(*scope)) => {}
        Some(Access::Key(needed)) => return Err(Refusal::InsufficientScope(needed)),
        Some(Access::Anyone | Access::Session) | None => return Err(Refusal::SessionRequired),
    }
    let credential = CallerCredential::ApiKey(holder.api_key_id, scopes);
    Ok(Principal { account_id: holder.account_id, credential })
}

async fn of_session(
    api: &Api,
    http: &HttpRequest,
    token: SecretToken,
) -> Result<Principal, Refusal> {
    let found = api.parts.people.find_session(&token).await?;
    let session = found.ok_or(Refusal::Unauthenticated)?;
    standing::recognise(http, ClientStanding::Account);
    Ok(Principal {
        account_id: session.account_id(),
        credential: CallerCredential::Session(session),
    })
}

/// A session's token sent as a script sends it.
fn bearer_session(headers: &HeaderMap) -> Option<SecretToken> {
    headers
        .get_all(AUTHORIZATION)
        .filter_map(|value| value.to_str().ok()?.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .find_map(|(_, token)| SecretToken::parse(TokenKind::Session, token.trim()))
}

pub(super) fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn carries_form_word(headers: &HeaderMap, token: &SecretToken) -> bool {
    let given = headers.get(FORM_WORD_HEADER).map_or(&[][..], |value| value.as_bytes());
    given.ct_eq(token.csrf_token().as_bytes()).into()
}
