//! `/v1`: the wire of the Messages API. A request goes through [`auth`],
//! [`body`](crate::http::body), [`admission`] and then becomes an exchange of the `StreamActor`;
//! what comes back is sent by [`respond`].

pub mod admission;
pub mod auth;
mod conversation;
mod count_tokens;
pub mod exchange;
pub mod intake;
pub mod limits;
mod messages;
mod models;
pub mod places;
pub mod respond;
pub mod routes;
pub mod unknown_fields;

use std::sync::Arc;

use actix_web::HttpRequest;

use crate::accounts::keys::ApiKeyCache;
use crate::accounts::usage::refusals::KnownKey;
use crate::config::Settings;
use crate::context::AppContext;
use crate::domain::api_error::ApiError;
use crate::domain::clock::Clock;
use crate::domain::ids::RequestId;
use crate::domain::refusal_cause::RefusalCause;
use crate::upstream::client::UpstreamClient;
use intake::Intake;
use limits::AccountLimits;
use unknown_fields::UnknownFields;

/// What handlers work with. One for each worker, since its clients belong to the worker's thread.
pub struct Gateway {
    /// What exchanges share.
    pub context: Arc<AppContext>,
    /// Who is asking.
    pub keys: Arc<ApiKeyCache>,
    /// How much each account may ask at once.
    pub limits: Arc<AccountLimits>,
    /// What reading bodies takes, over all workers.
    pub intake: Arc<Intake>,
    /// What was noted of fields that are not known.
    pub unknown_fields: Arc<UnknownFields>,
    /// This worker's way to each upstream, in the operator's order.
    pub upstreams: Vec<UpstreamClient>,
}

impl Gateway {
    /// Counts a refusal for the owner of a key that is known.
    fn count_refusal(&self, http: &HttpRequest, key: Option<KnownKey>, error: &ApiError) {
        let key = key.or_else(|| auth::refused_key(http));
        if let Some((key, cause)) = key.zip(RefusalCause::of(error)) {
            self.context.refusals.count(key, cause, self.context.clock.now().day());
        }
    }

    fn settings(&self) -> &Settings {
        &self.context.settings
    }
}

/// A fresh name for a request. Without randomness there is no safe exchange, and the refusal has
/// no name.
fn request_id(clock: &Clock) -> Result<RequestId, NoName> {
    RequestId::new(clock.now()).map_err(|_| NoName)
}

/// The answer to a request that cannot be named: a bare 503.
struct NoName;

impl From<NoName> for actix_web::HttpResponse {
    fn from(_: NoName) -> Self {
        Self::ServiceUnavailable().finish()
    }
}
