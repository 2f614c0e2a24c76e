//! `sluice sandbox`: an upstream emulator that speaks the wire without an account anywhere.
//!
//! It serves demos, tests and benchmarks, and says so in its answers. It shares no code with the
//! gateway beyond the domain, so that neither can hide a mistake of the other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};

use crate::domain::clock::Clock;

mod answer;
mod args;
mod caches;
mod content;
mod events;
mod head;
mod iterations;
mod models;
mod passage;
mod playback;
mod prompt;
mod refusal;
mod request;
mod routes;
mod script;
mod usage;

pub use args::SandboxArgs;

/// Connections wait this long for their next request. Longer than a gateway's pool keeps them, so
/// that the gateway decides.
const KEEP_ALIVE: Duration = Duration::from_secs(90);

/// What a sandbox needs to know before it starts.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Worker threads, at least one.
    pub workers: usize,
    /// Whether it keeps prompt caches, as upstream does, and reports reads and writes by them.
    /// Otherwise it keeps nothing between requests.
    pub caches: bool,
    /// Whether SIGINT and SIGTERM stop it. Not in tests, where they are for the whole process.
    pub handle_signals: bool,
}

/// Binds, and returns the bound address with the server to await.
///
/// # Errors
/// Where the address cannot be bound.
pub fn start(settings: &SandboxSettings) -> io::Result<(SocketAddr, Server)> {
    // One for all workers.
    let caches = settings.caches.then(|| Arc::new(caches::Caches::new(Clock::System)));
    let app = move || {
        let app = App::new().configure(routes::configure);
        match &caches {
            Some(caches) => app.app_data(web::Data::from(Arc::clone(caches))),
            None => app,
        }
    };
    let server = HttpServer::new(app)
        .workers(settings.workers.max(1))
        .keep_alive(KEEP_ALIVE)
        // A client that leaves ends its stream at once.
        .h1_allow_half_closed(false)
        .shutdown_timeout(1)
        .bind(settings.listen)?;
    let address = server.addrs().first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let server = if settings.handle_signals { server } else { server.disable_signals() };
    Ok((address, server.run()))
}
