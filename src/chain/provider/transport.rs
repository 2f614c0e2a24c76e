//! Bytes to one provider and back, over awc. Nothing of its errors is passed on, for they may name
//! the address.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use actix_web::error::ParseError;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, USER_AGENT,
};
use awc::error::{ConnectError, PayloadError, SendRequestError};
use awc::{Client, Connector};
use bytes::Bytes;
use secrecy::ExposeSecret;

use super::ProviderError;
use crate::chain::endpoint::ProviderEndpoint;

/// Idle connections are kept this long.
const KEEP_ALIVE: Duration = Duration::from_secs(55);
/// No connection is used for longer.
const LIFETIME: Duration = Duration::from_hours(1);
const AGENT: &str = concat!("sluice/", env!("CARGO_PKG_VERSION"));

/// The clients for one provider. They are not `Send`.
pub(super) struct RpcTransport {
    endpoint: Arc<ProviderEndpoint>,
    tls: Arc<rustls::ClientConfig>,
    pooled: RefCell<Client>,
    /// Never reuses a connection: for the one retry after a stale one.
    fresh: Client,
}

/// An answer as HTTP has it.
pub(super) struct HttpAnswer {
    pub(super) status: StatusCode,
    /// The pause that it asks for, if it says so in seconds.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl RpcTransport {
    pub(super) fn new(endpoint: Arc<ProviderEndpoint>, tls: &Arc<rustls::ClientConfig>) -> Self {
        let pooled = RefCell::new(client(&endpoint, tls, KEEP_ALIVE));
        let fresh = client(&endpoint, tls, Duration::ZERO);
        Self { endpoint, tls: Arc::clone(tls), pooled, fresh }
    }

    /// Sends a body and waits for the whole answer; once more on a fresh connection if a pooled one
    /// turned out to be closed. A question may be asked twice.
    pub(super) async fn post(&self, body: Vec<u8>) -> Result<HttpAnswer, ProviderError> {
        let body = Bytes::from(body);
        let exchange = async {
            let pooled = self.pooled.borrow().clone();
            match self.post_by(&pooled, body.clone()).await {
                Err(TransportFailure::Stale) => self.post_by(&self.fresh, body).await,
                other => other,
            }
        };
        match tokio::time::timeout(self.endpoint.timeout, exchange).await {
            Err(_) => Err(ProviderError::Timeout),
            Ok(Err(TransportFailure::Stale)) => Err(ProviderError::Unreachable),
            Ok(Err(TransportFailure::Told(error))) => Err(error),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// Uses none of the pooled connections again: what came over one was not the answer to its
    /// request.
    pub(super) fn forget_connections(&self) {
        self.pooled.replace(client(&self.endpoint, &self.tls, KEEP_ALIVE));
    }

    async fn post_by(&self, client: &Client, body: Bytes) -> Result<HttpAnswer, TransportFailure> {
        let mut request = client
            .post(self.endpoint.url.address().expose_secret())
            .no_decompress()
            .insert_header((CONTENT_TYPE, "application/json"))
            .insert_header((ACCEPT_ENCODING, "identity"))
            .insert_header((USER_AGENT, AGENT));
        if let Some((name, password)) = self.endpoint.url.user() {
            request = request.basic_auth(name, password);
        }
        let mut response = request.send_body(body).await.map_err(|error| sort(&error))?;
        let status = response.status();
        if status.is_informational() {
            // awc takes it for the answer, which then comes to whoever asks next.
            self.forget_connections();
            return Err(TransportFailure::Told(ProviderError::BadAnswer("an interim answer")));
        }
        let number = |name| -> Option<u64> {
            response.headers().get(name)?.to_str().ok()?.trim().parse().ok()
        };
        let retry_after = number(RETRY_AFTER).map(Duration::from_secs);
        let length = number(CONTENT_LENGTH);
        let body = response.body().limit(self.endpoint.body_max_bytes).await;
        let body = body.map_err(|error| {
            TransportFailure::Told(match error {
                PayloadError::Overflow => ProviderError::TooLarge,
                _ => ProviderError::Unreachable,
            })
        })?;
        // awc takes a connection that ends early for the end of the body.
        let is_whole = length.is_none_or(|length| u64::try_from(body.len()) == Ok(length));
        if !is_whole {
            return Err(TransportFailure::Told(ProviderError::Unreachable));
        }
        Ok(HttpAnswer { status, retry_after, body })
    }
}

enum TransportFailure {
    /// The connection had been closed while it lay in the pool.
    Stale,
    Told(ProviderError),
}

fn sort(error: &SendRequestError) -> TransportFailure {
    match error {
        SendRequestError::Connect(ConnectError::Disconnected) | SendRequestError::Send(_) => {
            TransportFailure::Stale
        }
        SendRequestError::Response(ParseError::Io(error))
            if matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
            ) =>
        {
            TransportFailure::Stale
        }
        SendRequestError::Response(why) if !matches!(why, ParseError::Io(_)) => {
            TransportFailure::Told(ProviderError::BadAnswer("something that is not HTTP"))
        }
        _ => TransportFailure::Told(ProviderError::Unreachable),
    }
}

fn client(
    endpoint: &ProviderEndpoint,
    tls: &Arc<rustls::ClientConfig>,
    keep_alive: Duration,
) -> Client {
    let connector = Connector::new()
        .rustls_0_23(Arc::clone(tls))
        .limit(endpoint.in_flight_max.max(1))
        .timeout(endpoint.connect)
        .handshake_timeout(endpoint.connect)
        .conn_keep_alive(keep_alive)
        .conn_lifetime(LIFETIME);
    Client::builder()
        .connector(connector)
        .no_default_headers()
        // A key in the address must not follow a redirect to somebody else.
        .disable_redirects()
        .disable_timeout()
        .finish()
}
