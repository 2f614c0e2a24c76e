//! Who asks: an API key, a session's token, or a browser's cookie. A cookie comes by itself with whatever another site
//! makes a browser send, so with a cookie whatever changes something must carry the word that only our pages know.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use subtle::ConstantTimeEq;

use super::Api;
use super::refusal::Refusal;
use crate::accounts::sessions::LiveSession;
use crate::config::Site;
use crate::domain::ids::AccountId;
use crate::domain::secret_token::{SecretToken, TokenKind};
use crate::gateway::auth;

/// Header with the word of [`SecretToken::form_word`].
const FORM_WORD_HEADER: &str = "x-csrf-token";

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) account_id: AccountId,
    pub(super) credential: Credential,
}

/// By what they are known.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    /// An API key: reads what is its account's, and pays in.
    ApiKey,
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
            Credential::Session(session) => Ok(session),
            Credential::ApiKey => Err(Refusal::SessionRequired),
        }
    }
}

/// The name of the cookie that carries a session's token. The prefix makes browsers refuse it from anywhere but this
/// host itself, by TLS.
#[must_use]
pub fn session_cookie(site: &Site) -> &'static str {
    if site.base_url.is_https() { "__Host-sluice_session" } else { "sluice_session" }
}

/// The token in a browser's cookie.
#[must_use]
pub fn cookie_token(http: &HttpRequest, site: &Site) -> Option<SecretToken> {
    let cookie = http.cookie(session_cookie(site))?;
    SecretToken::parse(TokenKind::Session, cookie.value())
}

/// Finds out who asks.
///
/// # Errors
/// [`Refusal`].
pub(super) async fn identify(api: &Api, http: &HttpRequest) -> Result<Principal, Refusal> {
    if let Some(token) = bearer_session(http.headers()) {
        return of_session(api, token).await;
    }
    let carries_key =
        http.headers().contains_key("x-api-key") || http.headers().contains_key(AUTHORIZATION);
    if !carries_key && let Some(token) = cookie_token(http, &api.parts.shared.settings.site) {
        if is_change(http.method()) && !carries_form_word(http.headers(), &token) {
            return Err(Refusal::FormWord);
        }
        return of_session(api, token).await;
    }
    if !carries_key {
        return Err(Refusal::Unauthenticated);
    }
    let holder = auth::identify(&api.parts.keys, http, auth::ALONE, api.now()).await?;
    let credential = Credential::ApiKey;
    Ok(Principal { account_id: holder.account_id, credential })
}

async fn of_session(api: &Api, token: SecretToken) -> Result<Principal, Refusal> {
    let found = api.parts.people.recognise(&token).await?;
    let session = found.ok_or(Refusal::Unauthenticated)?;
    Ok(Principal { account_id: session.account_id(), credential: Credential::Session(session) })
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
    given.ct_eq(token.form_word().as_bytes()).into()
}
