//! The plaintext address beside TLS: it sends browsers over, and serves nothing.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

use super::StartError;
use super::listening::ListenRefusal;
use crate::config::Settings;

/// Connections at once; each is answered and closed.
const CONNECTIONS_MAX: usize = 256;

/// Binds the address and begins to answer.
///
/// # Errors
/// [`StartError::Listen`].
pub(super) fn serve(
    settings: &Arc<Settings>,
    address: SocketAddr,
) -> Result<(SocketAddr, Server), StartError> {
    let data = Data::from(Arc::clone(settings));
    let refused = |error| ListenRefusal::new("server.redirect_listen", address, error);
    let listener = TcpListener::bind(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    let factory =
        move || App::new().app_data(data.clone()).default_service(web::route().to(send_over));
    let server = HttpServer::new(factory)
        .disable_signals()
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(settings.server.head)
        .shutdown_timeout(1)
        .listen(listener)
        .map_err(refused)?;
    Ok((bound, server.run()))
}

/// A page is asked for again by TLS. Anything else has already sent what it carries, so that it is
/// told instead of being sent on in silence: a key that came this way is no secret any more.
async fn send_over(http: HttpRequest, settings: Data<Settings>) -> HttpResponse {
    if !matches!(*http.method(), Method::GET | Method::HEAD) {
        return HttpResponse::Forbidden().force_close().json(serde_json::json!({
            "type": "error",
            "error": {
                "type": "permission_error",
                "message": "This address takes no plaintext. Use https, and revoke the key that \
                    was sent.",
            },
        }));
    }
    let target = http.uri().path_and_query().map_or("/", |target| target.as_str());
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, format!("{}{target}", settings.site.base_url)))
        .insert_header((CACHE_CONTROL, "no-store"))
        .force_close()
        .finish()
}
