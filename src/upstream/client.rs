//! Sending a request over awc. One pair of clients lives on each worker: awc's are not `Send`.
//!
//! awc would offer h2 by ALPN as soon as a connector has roots, follow redirects with our
//! credential, and give up after five seconds: all of that is set otherwise here.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_service::{Service, fn_service};
use actix_tls::connect::{
    ConnectError as Unconnected, ConnectInfo, Connection as TcpConnection, Host,
};
use actix_web::HttpMessage;
use actix_web::error::ParseError;
use actix_web::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, TRANSFER_ENCODING, USER_AGENT,
};
use actix_web::http::{Method, StatusCode, Uri};
use awc::error::{ConnectError, PayloadError, SendRequestError};
use awc::{Client, ClientRequest, ClientResponse, Connector};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use socket2::SockRef;

use super::socket::{Socket, Trace};
use super::{PiecewiseBody, Upstream, UpstreamRequest, tunnel};
use crate::config;
use crate::domain::unprintable::unprintable;
use crate::places::shares::SharedPlace;
use crate::telemetry::Causes;

/// Idle connections to an upstream are kept this long.
const KEEP_ALIVE: Duration = Duration::from_secs(55);
/// No connection is used for longer.
const LIFETIME: Duration = Duration::from_hours(1);

/// The longest time that any of these upstreams has for the head of an answer.
#[must_use]
pub fn longest_head(
    upstreams: &[UpstreamClient],
    stream: &config::Stream,
    is_stream: bool,
) -> Duration {
    let own = upstreams.iter().map(|one| one.upstream.settings.head(stream, is_stream));
    own.max().unwrap_or(stream.first_byte)
}

/// The clients of one worker for one upstream.
#[derive(Clone)]
pub struct UpstreamClient {
    /// Which upstream.
    pub upstream: Arc<Upstream>,
    /// Shared by this worker's exchanges, so that all of them see it replaced.
    pooled: Rc<RefCell<Client>>,
    /// Never reuses a connection: for the one retry after a pooled one that was closed.
    fresh: Client,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection came about, and why.
    #[error("the upstream cannot be reached: {0}")]
    Unreachable(String),
    /// It broke before the head, and how; the request may have been read.
    #[error("the connection broke before an answer began: {0}")]
    Broken(String),
    /// What came back is not HTTP that we accept.
    #[error("the upstream's answer is not acceptable: {0}")]
    BadAnswer(&'static str),
}

/// An answer's head, and its body still to come.
pub struct UpstreamResponse {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// `content-length`, if it has one.
    pub content_length: Option<u64>,
    /// The place that the request has at its upstream, until the answer is over.
    pub place: Option<SharedPlace>,
    /// The body's pieces.
    pub body: std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>,
}

unprintable!(UpstreamResponse);

/// A rustls configuration with the web's roots that offers HTTP/1.1 only.
///
/// # Errors
/// rustls' own, if the provider lacks the default protocol versions.
pub fn tls_config() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    tls_config_of(rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
}

/// The same with other roots.
///
/// # Errors
/// As [`tls_config`].
pub(super) fn tls_config_of(
    roots: rustls::RootCertStore,
) -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl UpstreamClient {
    /// The clients of this worker for `upstream`.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>) -> Self {
        let pooled = Rc::new(RefCell::new(client(&upstream, KEEP_ALIVE)));
        let fresh = client(&upstream, Duration::ZERO);
        Self { upstream, pooled, fresh }
    }

    /// Uses none of the pooled connections again; running answers are read on. awc takes an interim
    /// head (1xx) for the final one and pools its connection, on which the real answer then comes:
    /// to whoever asks next.
    fn forget_connections(&self) {
        self.pooled.replace(client(&self.upstream, KEEP_ALIVE));
    }

    /// Sends the request and waits for the head; once more on a fresh connection if a pooled one
    /// turned out to be closed before a byte of the request had left. It is never sent twice where
    /// the upstream may have read any of it: each time it would make and bill an answer.
    pub async fn send(&self, request: &UpstreamRequest) -> Result<UpstreamResponse, UpstreamError> {
        let pooled = self.pooled.borrow().clone();
        let (sent, trace) = Trace::of(self.post(&pooled, request)).await;
        match sent.map_err(|error| refuse(&error)) {
            Err(UpstreamError::Broken(_)) if trace.is_unread() => {
                self.post(&self.fresh, request).await.map_err(|error| refuse(&error))
            }
            sent => sent,
        }
    }

    /// Asks for a page of its own accord, with the credential and nothing of a client.
    pub async fn get(&self, path_and_query: &str) -> Result<UpstreamResponse, UpstreamError> {
        let mut outgoing = self.begin(&self.fresh, Method::GET, path_and_query);
        let version = HeaderValue::from_static("2023-06-01");
        outgoing.headers_mut().insert(HeaderName::from_static("anthropic-version"), version);
        let sent = outgoing.send().await.map_err(|error| refuse(&error))?;
        Ok(Self::answer(sent))
    }

    async fn post(
        &self,
        client: &Client,
        request: &UpstreamRequest,
    ) -> Result<UpstreamResponse, SendRequestError> {
        let mut outgoing = self.begin(client, Method::POST, &request.path_and_query);
        for (name, value) in &request.headers {
            outgoing.headers_mut().insert(name.clone(), value.clone());
        }
        self.sign(outgoing.headers_mut());
        let body = PiecewiseBody::new(request.body_for(&self.upstream));
        let response = outgoing.send_body(body).await?;
        if response.status().is_informational() {
            // Before anything else runs on this thread.
            self.forget_connections();
        }
        Ok(Self::answer(response))
    }

    fn begin(&self, client: &Client, method: Method, path_and_query: &str) -> ClientRequest {
        let url = format!("{}{path_and_query}", self.upstream.settings.base_url.as_str());
        let mut outgoing = client.request(method, url).no_decompress();
        self.sign(outgoing.headers_mut());
        outgoing
    }

    /// Our own headers, over whatever a client has sent.
    fn sign(&self, headers: &mut HeaderMap) {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Ok(agent) = HeaderValue::from_str(&self.upstream.settings.user_agent) {
            headers.insert(USER_AGENT, agent);
        }
        for (name, value) in &self.upstream.settings.headers {
            headers.insert(name.clone(), value.clone());
        }
        if let Some((name, value)) = self.upstream.credential_header() {
            headers.insert(name, value);
        }
    }

    /// What is kept of a response is its body alone, so that awc has its head back for another.
    fn answer<S>(mut response: ClientResponse<S>) -> UpstreamResponse
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
    {
        let (status, headers) = (response.status(), response.headers().clone());
        let content_length = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        UpstreamResponse {
            status,
            headers,
            content_length,
            place: None,
            body: response.take_payload().boxed_local(),
        }
    }
}

fn client(upstream: &Arc<Upstream>, keep_alive: Duration) -> Client {
    let tcp = actix_tls::connect::Connector::default().service();
    let of = Arc::clone(upstream);
    let tcp = fn_service(move |to: ConnectInfo<Uri>| {
        let of = Arc::clone(&of);
        let proxied = of.settings.egress_proxy.as_ref().map(|_| to.request().clone());
        let connecting = tcp.call(match &of.settings.egress_proxy {
            Some(proxy) => ConnectInfo::new(proxy.address().clone()),
            None => to,
        });
        async move {
            let (buffer, proxy) = (of.settings.receive_buffer_bytes, &of.settings.egress_proxy);
            let connection = connecting.await?;
            // Behind the handshake, so that the window can still be scaled.
            if let Err(error) = SockRef::from(connection.io_ref()).set_recv_buffer_size(buffer) {
                tracing::debug!(error = %Causes(&error), "SO_RCVBUF could not be set");
            }
            let (io, reached) = connection.into_parts();
            let (io, to) = match (proxy, proxied) {
                (Some(proxy), Some(to)) => {
                    let port = Host::port(&to).unwrap_or(443);
                    let io = tunnel::open(io, proxy, (to.hostname(), port)).await;
                    (io.map_err(Unconnected::Io)?, to)
                }
                _ => (io, reached),
            };
            Ok::<_, Unconnected>(TcpConnection::new(to, Socket::opened(io)))
        }
    });
    let connector = Connector::new()
        .connector(tcp)
        .rustls_0_23(Arc::clone(&upstream.tls))
        .limit(upstream.settings.connections_max)
        .timeout(upstream.settings.connect)
        .handshake_timeout(upstream.settings.connect)
        .conn_keep_alive(keep_alive)
        .conn_lifetime(LIFETIME);
    Client::builder()
        .connector(connector)
        .no_default_headers()
        .disable_redirects()
        // The limits on heads are ours, since they depend on the kind of call.
        .disable_timeout()
        .finish()
}

fn refuse(error: &SendRequestError) -> UpstreamError {
    match error {
        SendRequestError::Response(why) if !matches!(why, ParseError::Io(_)) => {
            UpstreamError::BadAnswer("not HTTP")
        }
        // This one comes of a connection that was made, and ended without a head.
        SendRequestError::Connect(ConnectError::Disconnected) => {
            UpstreamError::Broken("it was closed".to_owned())
        }
        SendRequestError::Connect(_) | SendRequestError::Url(_) => {
            UpstreamError::Unreachable(Causes(error).to_string())
        }
        _ => UpstreamError::Broken(Causes(error).to_string()),
    }
}

impl UpstreamResponse {
    /// Whether a successful answer of the wanted kind may follow this head (E3x otherwise).
    ///
    /// # Errors
    /// [`UpstreamError::BadAnswer`] with the reason, in words that may be logged.
    pub fn check(&self, wants_stream: bool) -> Result<(), UpstreamError> {
        if self.status != StatusCode::OK {
            return Err(UpstreamError::BadAnswer("a status that no answer can have"));
        }
        // awc gives an empty body for an answer that only its end delimits.
        let is_chunked = self.headers.contains_key(TRANSFER_ENCODING);
        if self.content_length.is_none() && !is_chunked {
            return Err(UpstreamError::BadAnswer("neither a length nor chunks"));
        }
        let is_encoded =
            self.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
        if is_encoded {
            return Err(UpstreamError::BadAnswer("an encoding that was not asked for"));
        }
        let wanted = if wants_stream { "text/event-stream" } else { "application/json" };
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_wanted = content_type.is_some_and(|given| {
            let kind = given.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case(wanted)
        });
        if is_wanted { Ok(()) } else { Err(UpstreamError::BadAnswer("an unexpected content type")) }
    }
}
