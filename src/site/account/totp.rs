//! `/account/totp`: a second factor, set up with a picture or by typing, and its recovery codes,
//! which are shown once.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use secrecy::SecretString;

use super::is_of_code;
use crate::accounts::identity::AuthError;
use crate::accounts::identity::sessions::LiveSession;
use crate::accounts::identity::totp::TotpSetup;
use crate::site::flash::Flash;
use crate::site::layout::Frame;
use crate::site::page_error::{FormError, PageError};
use crate::site::page_request::PageRequest;
use crate::site::qr::Qr;
use crate::site::{Site, page_request};

/// Codes of a file, and characters of a code, at most.
const CODES_MAX: usize = 20;
const CODE_MAX: usize = 40;

#[derive(Template)]
#[template(path = "account_totp.html")]
struct TotpPage {
    frame: Frame,
    is_on: bool,
    recovery_codes_left: i64,
    /// A key that waits for its first code.
    setup: Option<TotpSecret>,
    refusal: Option<String>,
    /// Whether the code is what was refused, rather than the password.
    is_code_refused: bool,
}

struct TotpSecret {
    /// In groups of four, for typing.
    secret: String,
    /// As a picture, unless it is too long for one.
    qr: Option<Qr>,
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct CodesPage {
    frame: Frame,
    codes: Vec<String>,
}

impl TotpSecret {
    fn of(setup: &TotpSetup) -> Self {
        let letters: Vec<char> = setup.secret.chars().collect();
        let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
        let label = "QR code with the key of this account, for an authenticator app";
        Self { secret: groups.join(" "), qr: Qr::new(&setup.uri, label.to_owned()) }
    }
}

/// `GET /account/totp`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let page = totp_page(visit, &session, None).await?;
        visit.page(&page)
    })
    .await
}

/// `POST /account/totp/key`: a new key.
pub(in crate::site) async fn begin(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let form = visit.form().await?;
        let password = SecretString::from(form.text("password"));
        match visit.site.people().set_up_totp(&session, password, visit.client()).await {
            // There is one already: the page says so.
            Ok(_) | Err(AuthError::TotpEnabled) => visit.see_other("/account/totp", None),
            Err(error) => again(visit, &session, error).await,
        }
    })
    .await
}

/// `POST /account/totp`: the first code, from which on a code is asked for.
pub(in crate::site) async fn enable(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let form = visit.form().await?;
        let code = form.word("code").to_owned();
        let enabled = visit.site.people().enable_totp(&session, code).await;
        codes_or_again(visit, &session, enabled).await
    })
    .await
}

/// `POST /account/totp/off`
pub(in crate::site) async fn disable(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let form = visit.form().await?;
        let password = SecretString::from(form.text("password"));
        let code = form.word("code").to_owned();
        match visit.site.people().disable_totp(&session, password, code, visit.client()).await {
            Ok(()) => visit.see_other("/account", Some(Flash::SecondFactorOff)),
            Err(error) => again(visit, &session, error).await,
        }
    })
    .await
}

/// `POST /account/totp/codes`: new recovery codes.
pub(in crate::site) async fn renew(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let form = visit.form().await?;
        let password = SecretString::from(form.text("password"));
        let code = form.word("code").to_owned();
        let renewed = visit
            .site
            .people()
            .renew_recovery_codes(&session, password, code, visit.client())
            .await;
        codes_or_again(visit, &session, renewed).await
    })
    .await
}

/// `POST /account/totp/codes/file`: the codes that a page has just shown, as a file. They are
/// nowhere else, so the page sends them along.
pub(in crate::site) async fn file(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        visit.person()?;
        let form = visit.form().await?;
        let codes: Vec<&str> = form.all("code").filter(|code| is_code(code)).collect();
        if codes.is_empty() || codes.len() > CODES_MAX {
            return Err(PageError::Form);
        }
        let site_name = visit.site.settings().site.name.as_str();
        let text = format!(
            "Recovery codes of your {site_name} account. Each works once.\n\n{}\n",
            codes.join("\n")
        );
        let name = "attachment; filename=\"recovery-codes.txt\"";
        Ok(HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"))
            .insert_header((CONTENT_DISPOSITION, name))
            .body(text))
    })
    .await
}

/// Whether it may be a recovery code: letters and digits in groups.
fn is_code(text: &str) -> bool {
    let is_of_codes = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.len() <= CODE_MAX && text.bytes().all(is_of_codes)
}

/// Codes are in the answer to the form itself: they are nowhere else, and no other page could show
/// them.
async fn codes_or_again(
    visit: &PageRequest<'_>,
    session: &LiveSession,
    codes: Result<Vec<String>, AuthError>,
) -> Result<HttpResponse, PageError> {
    match codes {
        Ok(codes) => visit.page(&CodesPage { frame: visit.frame("Recovery codes"), codes }),
        Err(error) => again(visit, session, error).await,
    }
}

async fn again(
    visit: &PageRequest<'_>,
    session: &LiveSession,
    error: AuthError,
) -> Result<HttpResponse, PageError> {
    let is_code_refused = is_of_code(&error);
    let refusal = FormError::of(error)?;
    let page = totp_page(visit, session, Some((&refusal, is_code_refused))).await?;
    visit.refused(&refusal, &page)
}

async fn totp_page(
    visit: &PageRequest<'_>,
    session: &LiveSession,
    refused: Option<(&FormError, bool)>,
) -> Result<TotpPage, PageError> {
    let people = visit.site.people();
    let profile = people.profile(session.account_id()).await?;
    let setup = people.pending_totp(session).await?;
    Ok(TotpPage {
        frame: visit.frame("Two-factor authentication"),
        is_on: profile.has_totp,
        recovery_codes_left: profile.recovery_codes_left,
        setup: setup.as_ref().map(TotpSecret::of),
        refusal: refused.map(|(refusal, _)| refusal.words.clone()),
        is_code_refused: refused.is_some_and(|(_, is_code)| is_code),
    })
}
