//! One request of a browser: who looks, whether a form is one of ours, and what every answer
//! carries.
//!
//! A visitor is a person, by the session in a cookie, or nobody in particular. Forms of both send
//! along a CSRF token: a word that follows from a cookie which other sites can neither read nor, on
//! https, set. The cookie is the session's, or a stranger's that serves for nothing else.

mod answer;
mod cookies;
mod origin;

use std::borrow::Cow;

use actix_web::cookie::Cookie;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use bytes::Bytes;
use subtle::ConstantTimeEq;

use super::Site;
use super::fields::FormFields;
use super::flash::Flash;
use super::layout::Frame;
use super::page_error::{FormError, PageError};
use crate::accounts::identity::AuthError;
use crate::accounts::identity::sessions::{LiveSession, OpenedSession};
use crate::accounts::identity::throttle::ClientAddress;
use crate::api::caller::cookie_token;
use crate::domain::secret_token::{SecretToken, TokenKind};
use crate::domain::unprintable::unprintable;
use crate::http::body;
use crate::http::client_address::client_address;
use crate::http::standing::{self, ClientStanding};

pub(super) use answer::{answer, without_session};

/// The field with the word.
const WORD: &str = "csrf";

const HTML: &str = "text/html; charset=utf-8";

/// See the module.
pub(super) struct PageRequest<'a> {
    pub(super) site: &'a Site,
    pub(super) http: &'a HttpRequest,
    payload: &'a mut Payload,
    person: Option<Person>,
    /// What forms of somebody who is not logged in follow from.
    guest: Option<SecretToken>,
    note: Option<Flash>,
    /// To be set with the answer.
    cookies: Vec<Cookie<'static>>,
}

/// Somebody who is logged in.
struct Person {
    session: LiveSession,
    word: String,
}

unprintable!(PageRequest<'static>, Person);

impl PageRequest<'_> {
    /// Finds out who looks.
    async fn recognise(&mut self) -> Result<(), PageError> {
        let settings = self.site.settings();
        let Some(token) = cookie_token(self.http, &settings.site) else { return Ok(()) };
        let session = self.site.people().find_session(&token).await?;
        if session.is_some() {
            standing::recognise(self.http, ClientStanding::Account);
        }
        self.person = session.map(|session| Person { session, word: token.csrf_token() });
        Ok(())
    }

    /// Finds out once more who looks: whoever was logged in must still be, and may do no less.
    async fn recognise_again(&mut self) -> Result<(), PageError> {
        let Some(before) = self.person.take() else { return Ok(()) };
        self.recognise().await?;
        let now = self.person.as_ref().ok_or(PageError::LogIn)?;
        Ok(now.session.stands_as(&before.session)?)
    }

    /// Who is logged in.
    ///
    /// # Errors
    /// [`PageError::LogIn`], which leads to the log-in and back; [`PageError::Closing`], which
    /// leads to where an account that is being deleted can be kept.
    pub(super) fn person(&self) -> Result<LiveSession, PageError> {
        let session = self.any_session()?;
        if session.closing_at.is_some() { Err(PageError::Closing) } else { Ok(session) }
    }

    /// The same, where something of the account's is to change.
    ///
    /// # Errors
    /// As [`PageRequest::person`], and [`PageError::Suspended`].
    pub(super) fn actor(&self) -> Result<LiveSession, PageError> {
        let session = self.person()?;
        session.may_change()?;
        Ok(session)
    }

    /// The same, where an account that is being deleted has its pages too.
    ///
    /// # Errors
    /// [`PageError::LogIn`].
    pub(super) fn any_session(&self) -> Result<LiveSession, PageError> {
        self.person.as_ref().map(|person| person.session.clone()).ok_or(PageError::LogIn)
    }

    /// Where the visitor is, for throttles.
    pub(super) fn client(&self) -> ClientAddress {
        client_address(self.http, &self.site.settings().server)
    }

    pub(super) fn is_logged_in(&self) -> bool {
        self.person.is_some()
    }

    /// What stands around a page. Forms of people who are logged in have their word by it.
    pub(super) fn frame(&self, title: impl Into<Cow<'static, str>>) -> Frame {
        let word = self.person.as_ref().map(|person| person.word.clone());
        let guest = || self.guest.as_ref().map(SecretToken::csrf_token);
        Frame {
            site: std::sync::Arc::clone(&self.site.layout),
            title: title.into(),
            path: self.http.path().to_owned(),
            is_logged_in: self.person.is_some(),
            is_suspended: self.person.as_ref().is_some_and(|person| person.session.is_suspended),
            csrf: word.or_else(guest),
            note: self.note,
        }
    }

    /// The same around a page with a form for people who are not logged in.
    ///
    /// # Errors
    /// [`PageError::Unavailable`] without randomness.
    pub(super) fn form_frame(
        &mut self,
        title: impl Into<Cow<'static, str>>,
    ) -> Result<Frame, PageError> {
        if self.person.is_none() && self.guest.is_none() {
            let token =
                SecretToken::random(TokenKind::Session).map_err(|_| PageError::Unavailable)?;
            self.cookies.push(cookies::guest(&self.site.settings().site, &token));
            self.guest = Some(token);
        }
        Ok(self.frame(title))
    }

    /// The query's fields. One with a control character asks for nothing that there is.
    pub(super) fn query(&self) -> FormFields {
        FormFields::parse(self.http.query_string()).unwrap_or_default().printable()
    }

    /// A part of the path; empty if nothing is called so.
    pub(super) fn part(&self, name: &str) -> &str {
        let part = self.http.match_info().get(name).unwrap_or_default();
        if part.contains(char::is_control) { "" } else { part }
    }

    /// The form that was sent, once it is certain that a page of ours made the browser send it. The
    /// sender decides how long it takes; so who looks is found out once more when it is there.
    ///
    /// # Errors
    /// [`PageError::Origin`], [`PageError::LogIn`] and others of somebody who may not any more, or
    /// why it could not be read.
    pub(super) async fn form(&mut self) -> Result<FormFields, PageError> {
        if !origin::is_ours(self.http, &self.site.settings().site) {
            return Err(PageError::Origin);
        }
        if !self.is_of_type("application/x-www-form-urlencoded") {
            return Err(PageError::Form);
        }
        let bytes = body::read(self.http, self.payload, &self.site.form).await?;
        self.recognise_again().await?;
        let text = std::str::from_utf8(&bytes).map_err(|_| PageError::Form)?;
        let fields = FormFields::parse(text).ok_or(PageError::Form)?;
        let word = match (&self.person, cookies::guest_token(self.http, &self.site.settings().site))
        {
            (Some(person), _) => person.word.clone(),
            (None, Some(token)) => token.csrf_token(),
            (None, None) => return Err(PageError::Origin),
        };
        let is_ours: bool = fields.text(WORD).as_bytes().ct_eq(word.as_bytes()).into();
        if is_ours { Ok(fields) } else { Err(PageError::Origin) }
    }

    /// Makes sure that a body says `List-Unsubscribe=One-Click`, which RFC 8058 has mail programs
    /// post, as a form of either kind.
    ///
    /// It is the one form that is taken from anybody, without a word and without a cookie. Nothing
    /// is done by who the visitor is: the token in the address is all that counts, which no other
    /// site knows, and all that it can do is turn notices off.
    ///
    /// # Errors
    /// [`PageError::Form`] if it says something else, or why it could not be read.
    pub(super) async fn one_click(&mut self) -> Result<(), PageError> {
        let bytes = body::read(self.http, self.payload, &self.site.form).await?;
        let text = std::str::from_utf8(&bytes).map_err(|_| PageError::Form)?;
        let is_said = if self.is_of_type("multipart/form-data") {
            text.contains("List-Unsubscribe") && text.contains("One-Click")
        } else {
            let fields = FormFields::parse(text).ok_or(PageError::Form)?;
            fields.text("List-Unsubscribe") == "One-Click"
        };
        if is_said { Ok(()) } else { Err(PageError::Form) }
    }

    /// Whether the body says that it is of a type.
    fn is_of_type(&self, wanted: &str) -> bool {
        let content_type = self.http.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(wanted)
    }

    /// 200 with a page.
    ///
    /// # Errors
    /// [`PageError::Internal`] if the template fails.
    #[expect(clippy::unused_self, reason = "it ends handlers, beside `see_other`")]
    pub(super) fn page(&self, page: &impl Template) -> Result<HttpResponse, PageError> {
        html(StatusCode::OK, page)
    }

    /// 200 with a page that says the same to everybody, compressed unless somebody is logged in.
    /// It must have no form: see [`CompressedBodies`](super::compression::CompressedBodies).
    ///
    /// # Errors
    /// As [`PageRequest::page`].
    pub(super) fn public_page(&self, page: &impl Template) -> Result<HttpResponse, PageError> {
        if self.person.is_some() || self.note.is_some() {
            return self.page(page);
        }
        let body = Bytes::from(page.render()?);
        let mut response = HttpResponse::Ok();
        response.insert_header((CONTENT_TYPE, HTML));
        Ok(self.site.compressed.respond(self.http, response, body))
    }

    /// 422 with the form's page again: what was sent, and what is wrong with it.
    ///
    /// # Errors
    /// As [`PageRequest::page`].
    #[expect(clippy::unused_self, reason = "it ends handlers, beside `see_other`")]
    pub(super) fn page_again(&self, page: &impl Template) -> Result<HttpResponse, PageError> {
        html(StatusCode::UNPROCESSABLE_ENTITY, page)
    }

    /// The form's page again, with the status of what was refused.
    ///
    /// # Errors
    /// As [`PageRequest::page`].
    #[expect(clippy::unused_self, reason = "it ends handlers, beside `see_other`")]
    pub(super) fn refused(
        &self,
        refusal: &FormError,
        page: &impl Template,
    ) -> Result<HttpResponse, PageError> {
        let mut response = html(refusal.status, page)?;
        if let Some(seconds) = refusal.retry_after_secs {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        Ok(response)
    }

    /// Ends a form: goes on if it was taken, and shows its page again if it was not.
    ///
    /// # Errors
    /// What [`FormError::of`] has no page for, and as [`PageRequest::page`].
    pub(super) fn submitted<T, P: Template>(
        &mut self,
        taken: Result<T, AuthError>,
        go_on: impl FnOnce(&mut Self, T) -> Result<HttpResponse, PageError>,
        page: impl FnOnce(&mut Self, Option<String>) -> Result<P, PageError>,
    ) -> Result<HttpResponse, PageError> {
        match taken {
            Ok(done) => go_on(self, done),
            Err(error) => {
                let refusal = FormError::of(error)?;
                let page = page(self, Some(refusal.words.clone()))?;
                self.refused(&refusal, &page)
            }
        }
    }

    /// 303 to a page of ours, which says what was done.
    #[expect(clippy::unnecessary_wraps, reason = "it ends handlers, as a page does")]
    pub(super) fn see_other(
        &mut self,
        location: &str,
        note: Option<Flash>,
    ) -> Result<HttpResponse, PageError> {
        if let Some(note) = note {
            self.cookies.push(cookies::note(&self.site.settings().site, note));
        }
        Ok(HttpResponse::SeeOther().insert_header((LOCATION, location)).finish())
    }

    /// Gives the browser a session that has just begun, in place of whatever it had.
    pub(super) fn begin_session(&mut self, session: &OpenedSession) {
        let now = self.site.now();
        let site = &self.site.settings().site;
        self.cookies.push(cookies::session(site, session, now));
        self.cookies.push(cookies::no_guest(site));
        self.cookies.push(cookies::no_step(site));
    }

    /// Remembers that the password was right, until the second factor is.
    pub(super) fn begin_step(&mut self, step: &SecretToken) {
        self.cookies.push(cookies::step(&self.site.settings().site, step));
    }

    /// The log-in that waits for its second factor.
    pub(super) fn step(&self) -> Option<SecretToken> {
        cookies::step_token(self.http, &self.site.settings().site)
    }

    /// Gives the browser a sealed key for the page that shows it.
    pub(super) fn carry_key(&mut self, sealed: &str) {
        self.cookies.push(cookies::new_key(&self.site.settings().site, sealed));
    }

    /// The sealed key that the browser carries to the page that shows it.
    pub(super) fn carried_key(&self) -> Option<String> {
        let site = &self.site.settings().site;
        cookies::carried_key(self.http, site).filter(|_| *self.http.method() == Method::GET)
    }

    /// Takes it away, once the page that shows it is written.
    pub(super) fn forget_key(&mut self) {
        self.cookies.push(cookies::no_new_key(&self.site.settings().site));
    }

    /// Takes the session's cookie away.
    pub(super) fn forget_session(&mut self) {
        self.cookies.push(cookies::no_session(&self.site.settings().site));
    }
}

/// A page with a status.
fn html(status: StatusCode, page: &impl Template) -> Result<HttpResponse, PageError> {
    let text = page.render()?;
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, HTML));
    Ok(response.body(text))
}
