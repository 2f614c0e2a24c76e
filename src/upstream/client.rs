//! Sending a request over awc. One pair of clients lives on each worker: awc's are not `Send`.
//!
//! awc would offer h2 by ALPN as soon as a connector has roots, follow redirects with our
//! credential, and give up after five seconds: all of that is set otherwise here.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_service::{Service, fn_service};
use actix_tls::connect::ConnectInfo;
use actix_web::error::ParseError;
use actix_web::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
    TRANSFER_ENCODING, USER_AGENT,
};
use actix_web::http::{Method, StatusCode, Uri};
use awc::error::{ConnectError, PayloadError, SendRequestError};
use awc::{Client, Connector};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use socket2::SockRef;

use super::{PiecewiseBody, Upstream, UpstreamRequest};
use crate::domain::unprintable::unprintable;

/// Idle connections to an upstream are kept this long.
const KEEP_ALIVE: Duration = Duration::from_secs(55);
/// No connection is used for longer.
const LIFETIME: Duration = Duration::from_hours(1);

/// The clients of one worker for one upstream.
#[derive(Clone)]
pub struct UpstreamClient {
    /// Which upstream.
    pub upstream: Arc<Upstream>,
    tls: Arc<rustls::ClientConfig>,
    /// Shared by this worker's exchanges, so that all of them see it replaced.
    pooled: Rc<RefCell<Client>>,
    /// Never reuses a connection: for the one retry after a stale one.
    fresh: Client,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection, or it broke before the head.
    #[error("the upstream cannot be reached")]
    Unreachable,
    /// What came back is not HTTP that we accept.
    #[error("the upstream's answer is not acceptable: {0}")]
    BadAnswer(&'static str),
}

/// An answer's head, and its body still to come.
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// `content-length`, if it has one.
    pub content_length: Option<u64>,
    /// The body's pieces.
    pub body: std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>,
}

unprintable!(Answer);

/// A rustls configuration with the web's roots that offers HTTP/1.1 only.
///
/// # Errors
/// rustls' own, if the provider lacks the default protocol versions.
pub fn tls_config() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
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
    pub fn new(upstream: Arc<Upstream>, tls: &Arc<rustls::ClientConfig>) -> Self {
        let pooled = Rc::new(RefCell::new(client(&upstream, tls, KEEP_ALIVE)));
        let fresh = client(&upstream, tls, Duration::ZERO);
        Self { upstream, tls: Arc::clone(tls), pooled, fresh }
    }

    /// Uses none of the pooled connections again; running answers are read on. awc takes an interim
    /// head (1xx) for the final one and pools its connection, on which the real answer then comes:
    /// to whoever asks next.
    fn forget_connections(&self) {
        self.pooled.replace(client(&self.upstream, &self.tls, KEEP_ALIVE));
    }

    /// Sends the request and waits for the head; once more on a fresh connection if a pooled one
    /// turned out to be closed before a byte came back.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, request: &UpstreamRequest) -> Result<Answer, SendError> {
        let body = request.body_for(&self.upstream);
        let pooled = self.pooled.borrow().clone();
        match self.send_by(&pooled, request, body.clone()).await {
            Err(error) if is_stale(&error) => {
                self.send_by(&self.fresh, request, body).await.map_err(|error| refuse(&error))
            }
            Err(error) => Err(refuse(&error)),
            Ok(answer) => Ok(answer),
        }
    }

    async fn send_by(
        &self,
        client: &Client,
        request: &UpstreamRequest,
        body: Bytes,
    ) -> Result<Answer, SendRequestError> {
        let settings = &self.upstream.settings;
        let url = format!("{}{}", settings.base_url.as_str(), request.path_and_query);
        let mut outgoing = client.request(Method::POST, url).no_decompress();
        let headers = outgoing.headers_mut();
        for (name, value) in &request.headers {
            headers.insert(name.clone(), value.clone());
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Ok(agent) = HeaderValue::from_str(&settings.user_agent) {
            headers.insert(USER_AGENT, agent);
        }
        if let Some((name, value)) = self.upstream.credential_header() {
            headers.insert(name, value);
        }
        let response = outgoing.send_body(PiecewiseBody::new(body)).await?;
        let status = response.status();
        if status.is_informational() {
            // Before anything else runs on this thread.
            self.forget_connections();
        }
        let headers = response.headers().clone();
        let content_length = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        Ok(Answer { status, headers, content_length, body: response.boxed_local() })
    }
}

fn client(upstream: &Upstream, tls: &Arc<rustls::ClientConfig>, keep_alive: Duration) -> Client {
    let (tcp, buffer) = (
        actix_tls::connect::Connector::default().service(),
        upstream.settings.receive_buffer_bytes,
    );
    let tcp = fn_service(move |to: ConnectInfo<Uri>| {
        let connecting = tcp.call(to);
        async move {
            let connection = connecting.await?;
            // Behind the handshake, so that the window can still be scaled.
            if let Err(error) = SockRef::from(connection.io_ref()).set_recv_buffer_size(buffer) {
                tracing::debug!(%error, "SO_RCVBUF could not be set");
            }
            Ok(connection)
        }
    });
    let connector = Connector::new()
        .connector(tcp)
        .rustls_0_23(Arc::clone(tls))
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

/// A connection that was closed while it lay in the pool: in order, or by the reset that answers
/// what is written to it.
fn is_stale(error: &SendRequestError) -> bool {
    match error {
        SendRequestError::Connect(ConnectError::Disconnected) | SendRequestError::Send(_) => true,
        SendRequestError::Response(ParseError::Io(error)) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
        ),
        _ => false,
    }
}

fn refuse(error: &SendRequestError) -> SendError {
    match error {
        SendRequestError::Response(why) if !matches!(why, ParseError::Io(_)) => {
            SendError::BadAnswer("not HTTP")
        }
        _ => SendError::Unreachable,
    }
}

impl Answer {
    /// Whether a successful answer of the wanted kind may follow this head (E3x otherwise).
    ///
    /// # Errors
    /// [`SendError::BadAnswer`] with the reason, in words that may be logged.
    pub fn check(&self, wants_stream: bool) -> Result<(), SendError> {
        if self.status != StatusCode::OK {
            return Err(SendError::BadAnswer("a status that no answer can have"));
        }
        // awc gives an empty body for an answer that only its end delimits.
        let is_chunked = self.headers.contains_key(TRANSFER_ENCODING);
        if self.content_length.is_none() && !is_chunked {
            return Err(SendError::BadAnswer("neither a length nor chunks"));
        }
        let is_encoded =
            self.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
        if is_encoded {
            return Err(SendError::BadAnswer("an encoding that was not asked for"));
        }
        let wanted = if wants_stream { "text/event-stream" } else { "application/json" };
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_wanted = content_type.is_some_and(|given| {
            let kind = given.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case(wanted)
        });
        if is_wanted { Ok(()) } else { Err(SendError::BadAnswer("an unexpected content type")) }
    }

    /// Reads at most `limit` bytes of the body; for refusals, which are short.
    pub async fn read_short(mut self, limit: usize) -> Bytes {
        let mut body = bytes::BytesMut::new();
        while let Some(Ok(piece)) = self.body.next().await {
            let room = limit.saturating_sub(body.len());
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if body.len() >= limit {
                break;
            }
        }
        body.freeze()
    }
}
