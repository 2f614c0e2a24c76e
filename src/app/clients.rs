//! The server that clients reach: what their connections are, and which routes there are.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, Payload, Server, ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::STRICT_TRANSPORT_SECURITY;
use actix_web::middleware::{Condition, DefaultHeaders, Next, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::{App, Error};
use tokio::sync::watch;

use super::StartError;
use super::handlers::Handlers;
use super::listening::ListenRefusal;
use super::worker_data::WorkerData;
use crate::api;
use crate::config;
use crate::context::AppContext;
use crate::gateway::{respond, routes};
use crate::http::client_io::ClientIo;
use crate::http::connection::Connection;
use crate::http::heads::Heads;
use crate::http::registry::{self, ConnectionEntry, ConnectionRegistry};
use crate::http::{listener, tls};
use crate::site;

/// A connection that is being closed gets this long to write what it has; actix-web's default.
const DISCONNECT: Duration = Duration::from_secs(1);
/// Connections that have been accepted and are not in yet, or were not let in and have not gone
/// yet.
const IN_TRANSIT: usize = 256;

/// Where clients get in.
pub(super) struct ClientServer {
    pub(super) address: SocketAddr,
    pub(super) registry: Arc<ConnectionRegistry>,
    pub(super) has_tls: bool,
    /// Threads that serve them.
    pub(super) workers: usize,
}

/// Descriptors of the most connections that there may be at once.
pub(super) const fn descriptors(settings: &config::Server) -> usize {
    let open = registry::connections_max(settings).saturating_add(registry::LEAVING_MAX);
    open.saturating_add(IN_TRANSIT)
}

/// Binds the clients' address and begins to serve.
pub(super) fn serve(
    context: &Arc<AppContext>,
    handlers: &watch::Sender<Arc<Handlers>>,
) -> Result<(ClientServer, Server), StartError> {
    let settings = &context.settings;
    let (changes, started) = (handlers.subscribe(), Arc::clone(settings));
    let app = move || {
        let (settings, worker) = (&started, Rc::new(WorkerData::new(changes.clone())));
        App::new()
            .wrap(Condition::new(settings.site.base_url.is_https(), strict_transport()))
            .wrap(from_fn(decline_upgrade))
            .wrap(from_fn(move |mut request: ServiceRequest, next| {
                request.add_data_container(worker.current());
                mark_running(request, next)
            }))
            .configure(api::configure)
            .configure(|config| routes::configure(config, &settings.server.cors_origins))
            .configure(site::routes::configure)
    };
    let address = settings.server.listen;
    let refused = |error| ListenRefusal::new("server.listen", address, error);
    let listener = listener::bind(&settings.server).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    let workers = workers(&settings.server);
    let server = Server::build()
        .disable_signals()
        // The registry decides first: at this number nobody is accepted any more. actix counts for
        // each worker.
        .max_concurrent_connections(descriptors(&settings.server).div_ceil(workers))
        .workers(workers)
        .shutdown_timeout(5);
    let stopping = server.graceful_shutdown_signal();
    // What actix-web's `HttpServer` does, over connections of ours.
    let (head, keep_alive) = (settings.server.head, settings.server.keep_alive);
    let stall = settings.server.client_stall;
    let acceptor = settings.server.tls().map(|files| tls::acceptor(context, &files)).transpose()?;
    let has_tls = acceptor.is_some();
    let registry = ConnectionRegistry::new(&settings.server, context.metrics.connections.clone());
    let door = ClientServer { address: bound, registry: Arc::clone(&registry), has_tls, workers };
    let service = move || {
        let stopping = stopping.clone();
        let app = app().into_factory().map_err(|error: Error| error.error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            // A departed client must not pass for one that has merely finished writing.
            .h1_allow_half_closed(false)
            .client_request_timeout(head)
            .client_disconnect_timeout(DISCONNECT)
            .keep_alive(keep_alive)
            .on_connect_ext(ClientIo::introduce)
            .finish(map_config(app, |()| AppConfig::default()));
        let (acceptor, registry) = (acceptor.clone(), Arc::clone(&registry));
        fn_service(move |io: TcpStream| {
            let (acceptor, registry) = (acceptor.clone(), Arc::clone(&registry));
            async move {
                let peer = io.peer_addr().map_err(DispatchError::Io)?;
                let refused = || DispatchError::Io(io::ErrorKind::ConnectionRefused.into());
                let member = registry.enter(peer).ok_or_else(refused)?;
                let connection = Connection::new(io, stall);
                let heads = Heads::new(head, keep_alive);
                let io = ClientIo::open((connection, member), acceptor, (head, heads)).await?;
                Ok((io, Protocol::Http1, Some(peer)))
            }
        })
        .and_then(http)
    };
    let server = server.listen("clients", listener, service);
    let server = server.map_err(refused)?;
    Ok((door, server.run()))
}

/// Threads that serve clients.
fn workers(settings: &config::Server) -> usize {
    let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    settings.workers.unwrap_or_else(all).get()
}

/// The connection hears that a head is whole, and when its request has been answered.
async fn mark_running<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let has_body = !matches!(request.parts().1, Payload::None);
    let running = request.conn_data::<ConnectionEntry>().map(|entry| entry.begin(has_body));
    let response = next.call(request).await?.map_into_boxed_body();
    Ok(match running {
        Some(running) => response.map_body(|_, body| respond::keeping(body, running)),
        None => response,
    })
}

/// Who offers another protocol, as h2c, is served in this one. actix would say
/// `connection: upgrade` in its answer and end the connection; so that is said instead.
async fn decline_upgrade<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let is_offered = request.head().connection_type() == ConnectionType::Upgrade;
    let mut response = next.call(request).await?;
    if is_offered {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// Browsers that were here once come by TLS only (RFC 6797).
fn strict_transport() -> DefaultHeaders {
    DefaultHeaders::new().add((STRICT_TRANSPORT_SECURITY, "max-age=31536000"))
}
