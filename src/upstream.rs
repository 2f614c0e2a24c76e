//! The other side: where requests go, how they are sent, and what counts as an answer.

use crate::domain::unprintable::unprintable;

pub mod client;
pub mod count;
pub mod health;
pub mod refusal;

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::{Bytes, BytesMut};
use secrecy::ExposeSecret;

use crate::config;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use health::Health;
use refusal::Refusal;

/// An upstream as the operator configured it, with its health on this node.
pub struct Upstream {
    /// Name, address, credential.
    pub settings: config::Upstream,
    /// Whether its credential works, as far as this node knows.
    pub health: Health,
}

impl Upstream {
    /// An upstream that nothing is known against.
    #[must_use]
    pub fn new(settings: config::Upstream) -> Self {
        Self { settings, health: Health::default() }
    }

    /// Whether it serves the model of that priced id.
    #[must_use]
    pub fn serves(&self, model_id: &str) -> bool {
        self.settings.serves(model_id)
    }

    /// What a refusal that `account` has met means. A 403 is the operator's where several accounts
    /// have met one of late, and else like any other refusal.
    #[must_use]
    pub fn sort(
        &self,
        status: StatusCode,
        body: &[u8],
        account: AccountId,
        now: UnixMillis,
    ) -> Refusal {
        let settings = &self.settings;
        let (accounts, window) = (settings.forbidden_accounts, settings.forbidden_window);
        match refusal::sort(status, body) {
            Refusal::Forbidden if self.health.note_forbidden(account, now, accounts, window) => {
                Refusal::Credential
            }
            sorted => sorted,
        }
    }

    /// The header that carries the operator's credential, marked as sensitive.
    #[must_use]
    pub fn credential_header(&self) -> Option<(HeaderName, HeaderValue)> {
        let credential = self.settings.credential.expose_secret();
        let (name, text) = match self.settings.auth {
            config::UpstreamAuth::XApiKey => {
                (HeaderName::from_static("x-api-key"), credential.to_owned())
            }
            config::UpstreamAuth::Bearer => {
                (actix_web::http::header::AUTHORIZATION, format!("Bearer {credential}"))
            }
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

/// A client's request as it goes up: its body byte for byte, the headers that may pass.
///
/// The body is content: this type has no `Debug`.
#[derive(Clone)]
pub struct UpstreamRequest {
    /// Path and query string as the client sent them.
    pub path_and_query: String,
    /// Allowed headers of the client.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The client's body.
    pub body: Bytes,
    /// Where the model's name stands in the body.
    pub model_span: std::ops::Range<usize>,
    /// The priced id of the model.
    pub model_id: String,
}

impl UpstreamRequest {
    /// The body for one upstream: the client's own, or with the model's name replaced in place
    /// where that upstream calls it otherwise.
    #[must_use]
    pub fn body_for(&self, upstream: &Upstream) -> Bytes {
        let Some(name) = upstream.settings.models.get(&self.model_id) else {
            return self.body.clone();
        };
        let quoted = serde_json::Value::from(name.as_str()).to_string();
        let before = self.body.get(..self.model_span.start);
        let after = self.body.get(self.model_span.end..);
        let (Some(before), Some(after)) = (before, after) else { return self.body.clone() };
        let mut body = BytesMut::with_capacity(self.body.len().saturating_add(quoted.len()));
        body.extend_from_slice(before);
        body.extend_from_slice(quoted.as_bytes());
        body.extend_from_slice(after);
        body.freeze()
    }
}

/// A body that goes out in small pieces. awc copies each piece into the connection's write buffer
/// and keeps that buffer for as long as the answer streams: a whole prompt at once would stay in
/// memory until its answer has ended.
pub(crate) struct PiecewiseBody(Bytes);

unprintable!(UpstreamRequest, PiecewiseBody);

/// Small beside the write buffer's own limit.
const BODY_PIECE: usize = 4096;

impl PiecewiseBody {
    pub(crate) const fn new(body: Bytes) -> Self {
        Self(body)
    }
}

impl MessageBody for PiecewiseBody {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(u64::try_from(self.0.len()).unwrap_or(u64::MAX))
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let len = self.0.len().min(BODY_PIECE);
        Poll::Ready((len > 0).then(|| Ok(self.0.split_to(len))))
    }
}
