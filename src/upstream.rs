//! The other side: where requests go, how they are sent, and what counts as an answer.

use crate::domain::unprintable::unprintable;

pub mod body;
pub mod call;
pub mod client;
pub mod count;
pub mod credential;
pub mod fault;
pub mod headers;
pub mod health;
pub mod node;
pub mod order;
pub mod probe;
pub mod refusal;
mod socket;
mod tunnel;
pub mod usage_report;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::{Bytes, BytesMut};

use crate::config;
use crate::places::Places;
use crate::places::shares::{SharedPlaces, Shares};
use client::tls_config_of;
use credential::UpstreamCredential;
use health::{Health, Limits};

/// An upstream as the operator configured it, with its health on this node.
pub struct Upstream {
    /// Name, address, credential.
    pub settings: config::UpstreamSettings,
    /// Whether it is asked, as far as this node knows.
    pub health: Health,
    /// How many requests for messages it has at once from this node.
    pub places: Arc<SharedPlaces>,
    /// Whom its certificate must be of.
    tls: Arc<rustls::ClientConfig>,
    /// What it knows us by.
    pub credential: UpstreamCredential,
}

impl Upstream {
    /// An upstream that nothing is known against; `tls` is for those without authorities of their
    /// own.
    ///
    /// # Errors
    /// rustls' own, if the provider lacks the default protocol versions.
    pub fn new(
        settings: config::UpstreamSettings,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<Self, rustls::Error> {
        let credential = UpstreamCredential::new(settings.credential.clone());
        let places = Places::new(Shares::half_each(settings.max_streams));
        let tls = match &settings.authorities {
            Some(authorities) => tls_config_of(authorities.clone())?,
            None => Arc::clone(tls),
        };
        Ok(Self { settings, health: Health::default(), places, tls, credential })
    }

    /// The same with other settings. What it has open counts on; what is known against it is
    /// forgotten, since that may have been mended.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn with_settings(
        &self,
        settings: config::UpstreamSettings,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<Self, rustls::Error> {
        let made = Self::new(settings, tls)?;
        self.places.change(|shares| shares.set_half_each(made.settings.max_streams));
        Ok(Self { places: Arc::clone(&self.places), ..made })
    }

    /// Whether it serves the model of that priced id.
    #[must_use]
    pub fn serves(&self, model_id: &str) -> bool {
        self.settings.serves(model_id)
    }

    /// From when on its failures count.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        let settings = &self.settings;
        Limits {
            rest: settings.rest,
            failures_max: settings.failures_max,
            timeouts_max: settings.timeouts_max,
            forbidden_accounts: settings.forbidden_accounts,
            forbidden_window: settings.forbidden_window,
        }
    }

    /// The header that carries the operator's credential, marked as sensitive.
    #[must_use]
    pub fn credential_header(&self) -> Option<(HeaderName, HeaderValue)> {
        let (name, text) = self.credential.with(|credential| match self.settings.auth {
            config::UpstreamAuth::XApiKey => {
                (HeaderName::from_static("x-api-key"), credential.to_owned())
            }
            config::UpstreamAuth::Bearer => {
                (actix_web::http::header::AUTHORIZATION, format!("Bearer {credential}"))
            }
        });
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
        let Some(name) = upstream.settings.name_of(&self.model_id) else {
            return self.body.clone();
        };
        let quoted = serde_json::Value::from(name).to_string();
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
