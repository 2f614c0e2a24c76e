//! The extractors: who asks, and the body. `middleware` has found out who asks before any of them
//! runs.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::Api;
use super::caller::{self, Principal};
use super::middleware::{SharedPayload, check_open};
use super::refusal::Refusal;
use super::signature::{Argument, Asker, ForAnyone, ForKeys, ForSessions, Signature};
use crate::accounts::identity::AuthError;
use crate::accounts::identity::sessions::LiveSession;
use crate::accounts::identity::throttle::ClientAddress;
use crate::http::body;
use crate::http::client_address::client_address;

/// Anybody: nobody asks who it is.
pub(super) struct Visitor {
    /// Whom attempts are counted against.
    pub(super) client: ClientAddress,
}

/// Who asks with a key or a session, if the account's standing allows it.
pub(super) struct AccountCaller<S = GoodStanding> {
    principal: Principal,
    standing: PhantomData<S>,
}

/// Who asks with a session, if the account's standing allows it.
pub(super) struct SessionCaller<S = GoodStanding> {
    pub(super) session: LiveSession,
    /// Whom attempts are counted against.
    pub(super) client: ClientAddress,
    standing: PhantomData<S>,
}

/// What an account's standing must be.
pub(super) trait StandingRule: 'static {
    /// Checks a session against it.
    fn check(session: &LiveSession, method: &Method) -> Result<(), AuthError>;
}

/// A suspended account may only read, and one that is being deleted may not even read.
pub(super) struct GoodStanding;

/// Suspended accounts and those being deleted may ask too.
pub(super) struct AnyStanding;

impl StandingRule for GoodStanding {
    fn check(session: &LiveSession, method: &Method) -> Result<(), AuthError> {
        if caller::is_change(method) { session.may_change() } else { session.may_look() }
    }
}

impl StandingRule for AnyStanding {
    fn check(_: &LiveSession, _: &Method) -> Result<(), AuthError> {
        Ok(())
    }
}

impl<S> Deref for AccountCaller<S> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl FromRequest for Visitor {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(api_of(http).and_then(|api| {
            check_open(api)?;
            Ok(Self { client: client_of(api, http) })
        }))
    }
}

impl Asker for Visitor {
    type Line = ForAnyone;
}

impl<S: StandingRule> FromRequest for AccountCaller<S> {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        let principal = admitted::<S>(http);
        ready(principal.map(|principal| Self { principal, standing: PhantomData }))
    }
}

impl<S: StandingRule> Asker for AccountCaller<S> {
    type Line = ForKeys;
}

impl<S: StandingRule> FromRequest for SessionCaller<S> {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admitted::<S>(http).and_then(|principal| {
            let session = principal.session()?.clone();
            Ok(Self { session, client: client_of(api_of(http)?, http), standing: PhantomData })
        }))
    }
}

impl<S: StandingRule> Asker for SessionCaller<S> {
    type Line = ForSessions;
}

/// Who was admitted, if the account stands well enough.
fn admitted<S: StandingRule>(http: &HttpRequest) -> Result<Principal, Refusal> {
    let principal = http.extensions().get::<Principal>().cloned();
    let principal = principal.ok_or(Refusal::Unauthenticated)?;
    if let Ok(session) = principal.session() {
        S::check(session, http.method())?;
    }
    Ok(principal)
}

fn api_of(http: &HttpRequest) -> Result<&Data<Api>, Refusal> {
    http.app_data().ok_or(Refusal::Unavailable)
}

fn client_of(api: &Api, http: &HttpRequest) -> ClientAddress {
    client_address(http, &api.parts.context.settings.server)
}

/// The type of a body. It must have exactly these fields.
pub(super) trait Fields: DeserializeOwned + ToSchema + 'static {
    /// The names of the fields, for the refusal of anything else.
    const FIELDS: &'static str;
}

/// The request's body. Its sender decides how long it takes, so once it has arrived, who asks is
/// checked again.
pub(super) struct Body<T>(pub(super) T);

impl<T: Fields> FromRequest for Body<T> {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(http: &HttpRequest, _: &mut Payload) -> Self::Future {
        let http = http.clone();
        Box::pin(async move { read(&http).await.map(Self) })
    }
}

impl<T: Fields> Argument for Body<T> {
    fn describe(signature: &mut Signature) {
        signature.body::<T>();
    }
}

async fn read<T: Fields>(http: &HttpRequest) -> Result<T, Refusal> {
    let api = api_of(http)?;
    let shared = http.extensions().get::<SharedPayload>().cloned();
    let shared = shared.ok_or(Refusal::Unavailable)?;
    let mut payload = shared.take().ok_or(Refusal::Unavailable)?;
    let bytes = body::read(http, &mut payload, &api.body).await;
    shared.put(payload);
    let bytes = bytes?;
    let before = http.extensions().get::<Principal>().cloned();
    if let Some(before) = before {
        caller::identify(api, http).await?.stands_as(&before)?;
    }
    serde_json::from_slice(&bytes).map_err(|_| Refusal::Body(T::FIELDS))
}
