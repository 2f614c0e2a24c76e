//! The composition root: `Application::build` wires everything, `run` owns the order of a graceful
//! shutdown.

pub(crate) mod chains;
mod clients;
mod handlers;
mod listening;
mod parts;
mod plaintext;
mod probe;
mod reload;
mod status_days;
mod upkeep;
mod worker_data;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_web::dev::{Server, ServerHandle};
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use futures_util::future::join_all;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::accounts::deletion::tombstones::{self, TombstoneError};
use crate::accounts::identity::totp_key;
use crate::admin::{self, Admin, Entrance};
use crate::config::{self, Settings, Sources};
use crate::context::{AppContext, ReloadRequests};
use crate::db::models::nodes;
use crate::db::{AnyConnection, Database, DbError, file, migrate};
use crate::domain::clock::Clock;
use crate::domain::ids::NoRandomness;
use crate::domain::tombstone::TombstoneKey;
use crate::jobs::alarm::CronTrigger;
use crate::jobs::scheduler::Scheduler;
use crate::jobs::{self, node};
use crate::ledger::actor::LedgerThreads;
use crate::mail::mailer::{Mailer, MailerParts};
use crate::mail::transport::Transport;
use crate::site;
use crate::telemetry::Causes;
use crate::upstream::client::tls_config;
use chains::ChainWatchers;
use handlers::Handlers;
use listening::ListenRefusal;
pub use probe::reachable;
use reload::Reloader;

/// After a stop's own time, settlements get this long to reach the database.
const SETTLE: Duration = Duration::from_secs(15);
/// How long a stop waits for the last traces.
const LAST_TRACES: Duration = Duration::from_secs(1);
/// How often a stop says what it waits for.
const PROGRESS: Duration = Duration::from_secs(5);
/// Descriptors besides those of clients and upstreams: listeners, database, probes, logs.
const SPARE_DESCRIPTORS: usize = 256;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The secret of tombstones.
    #[error(transparent)]
    Tombstones(#[from] TombstoneError),
    /// Another process serves from this file, or copies it.
    #[error("another process has this SQLite file: a server or `sluice migrate-to`; end it first")]
    SecondServer,
    /// The lock file beside the database.
    #[error("the lock file beside the database cannot be used")]
    Lock(#[source] std::io::Error),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenRefusal),
    /// Descriptors.
    #[error(
        "server.max_streams = {streams} and idle_connections_max = {idle} need {needed} file \
         descriptors, but the hard limit is {limit}"
    )]
    Descriptors {
        /// As configured.
        streams: usize,
        /// The same.
        idle: usize,
        /// What that takes.
        needed: u64,
        /// What the system gives.
        limit: u64,
    },
    /// TLS.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// Headers for the collector of traces.
    #[error("otlp.headers_file: {0}")]
    Traces(String),
    /// The certificate for clients.
    #[error("server.tls_certificate_file and server.tls_key_file cannot be served")]
    Certificate(#[from] crate::http::tls::CertificateError),
    /// The way to the mail server.
    #[error("the connection to the mail server cannot be set up")]
    Mail(#[source] lettre::transport::smtp::Error),
    /// A provider's address; the config has looked at it before.
    #[error("a provider's address cannot be used")]
    Provider(#[from] crate::chain::endpoint::NotAProviderUrl),
    /// The clock of jobs.
    #[error("cron cannot be started")]
    Alarm(#[from] tokio_cron_scheduler::JobSchedulerError),
    /// The policy or the terms.
    #[error("the privacy policy or the terms cannot be rendered")]
    Policies(#[from] askama::Error),
    /// Randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// Metrics.
    #[error("metrics cannot be registered")]
    Metrics(#[source] prometheus::Error),
    /// Recovery.
    #[error("reservations of an earlier run cannot be settled")]
    Recovery(#[source] DbError),
}

/// How a server is told to stop.
#[derive(Clone, Debug, Default)]
pub struct ShutdownSignals {
    /// Running exchanges may finish.
    pub in_order: CancellationToken,
    /// They end now, and are settled.
    pub at_once: CancellationToken,
}

/// A server that is ready to run.
pub struct Application {
    /// Where clients reach it.
    pub client_address: SocketAddr,
    /// Where the operator reaches it.
    pub admin_address: SocketAddr,
    /// Where to ask for the settings to be read again.
    pub reloads: ReloadRequests,
    /// Where plaintext is sent over to TLS, if anywhere.
    pub redirect_address: Option<SocketAddr>,
    redirect: Option<Server>,
    context: Arc<AppContext>,
    gateway: Server,
    admin: Server,
    ledger_threads: LedgerThreads,
    chains: Arc<Mutex<ChainWatchers>>,
    /// What is due now and then.
    pub scheduler: Addr<Scheduler>,
    alarm: CronTrigger,
    lock: Option<std::fs::File>,
    probe: Option<Arbiter>,
}

impl Application {
    /// Migrates, recovers, binds. Must run inside an actix system.
    /// `sources` is where a reload reads the settings again.
    pub async fn build(
        settings: Arc<Settings>,
        sources: Sources,
        clock: Clock,
    ) -> Result<Self, StartError> {
        raise_descriptor_limit(&settings.server)?;
        let database = Database::open(&settings.database)?;
        let lock = lock_sqlite(&database)?;
        let is_alone = lock.is_some();
        let tombstones = prepare(&settings, &mut database.connect()?)?;

        let tls = tls_config().map_err(StartError::Tls)?;
        let parts = (settings, database, tombstones, clock);
        let (context, ledger_threads, reload_queue) = parts::assemble(parts, &tls)?;
        // Settles what an earlier run left open, and takes the lease.
        let begun = node::begin(Arc::clone(&context), is_alone).await;
        begun.map_err(StartError::Recovery)?;

        let shown = site::policies::shown(&context.settings)?;
        let plans = jobs::plans(&context, shown.clone());
        let (scheduler, alarm) = Scheduler::start(Arc::clone(&context), plans).await?;
        let chains = ChainWatchers::start(&context, &tls)?;
        // Actors begin when they are first polled, which must be while there is a runtime.
        tokio::task::yield_now().await;
        let handlers = Arc::new(Handlers::new(&context, &tls, &chains)?);
        let (handlers, watched_handlers) = watch::channel(handlers);
        let (door, gateway) = clients::serve(&context, &handlers)?;
        let client_address = door.address;
        let entrance = Entrance::default();
        let (admin_address, admin) = serve_operator(&context, &entrance)?;
        let redirect = context.settings.server.redirect_listen;
        let redirect =
            redirect.map(|address| plaintext::serve(&context.settings, address)).transpose()?;
        let (redirect_address, redirect) = redirect.unzip();
        // Last: where a listener cannot be had, no actor is left behind that has not begun.
        let mailer = send_mail(&context)?;
        let (started, chains) = (Arc::clone(&context.settings), Arc::new(Mutex::new(chains)));
        let watched = Arc::clone(&chains);
        let reloader = Reloader { sources, started, handlers, chains: watched, tls, mailer, shown };
        shared_spawn(reloader.run(reload_queue));
        upkeep::forget_in_time(&context);
        upkeep::keep_log_short(&context);
        upkeep::write_refusals(&context);
        status_days::keep(&context, watched_handlers);
        let probe = probe::start(&context, door, &entrance)?;
        Ok(Self {
            client_address,
            admin_address,
            reloads: context.reloads.clone(),
            redirect_address,
            redirect,
            context,
            gateway,
            admin,
            ledger_threads,
            chains,
            scheduler,
            alarm,
            lock,
            probe,
        })
    }

    /// Within which a stop ends, whatever the database says: exchanges, settlements, and then what
    /// holds a connection.
    #[must_use]
    pub fn stop_max(settings: &Settings) -> Duration {
        let exchanges = settings.server.drain + settings.stream.settle_wait + SETTLE;
        exchanges + settings.database.answer * 2
    }

    /// Serves until it is told to stop, then stops in order. Whether everything was settled.
    pub async fn run(self, stop: ShutdownSignals) -> bool {
        let Self { context, gateway, admin, redirect, .. } = self;
        let Self { ledger_threads, chains, lock, alarm, probe, .. } = self;
        let servers: Vec<Server> = [gateway, admin].into_iter().chain(redirect).collect();
        let handles = servers.iter().map(Server::handle).collect();
        let (ended, all_ended) = tokio::sync::oneshot::channel();
        shared_spawn(async move {
            drop(join_all(servers).await);
            if ended.send(()).is_err() {
                tracing::debug!("the servers ended after the stop");
            }
        });
        let was_alive = watch_over(&context, &chains, &stop.in_order).await;
        let is_settled = stop_in_order(&context, &stop.at_once, handles).await;
        context.traces.flush(LAST_TRACES).await;
        drop(all_ended.await);
        alarm.stop().await;
        chains.lock().await.stop();
        if probe.is_some_and(|arbiter| !arbiter.stop()) {
            tracing::error!("the probe's thread has panicked");
        }
        if let Err(error) = write_last_refusals(&context) {
            tracing::warn!(error = %Causes(&error), "counts of refused requests are lost");
        }
        if let Err(error) = give_lease_back(&context) {
            tracing::warn!(
                error = %Causes(&error),
                "the lease could not be given back; it will run out"
            );
        }
        // Its connections must be closed before the process ends.
        ledger_threads.end();
        drop(lock);
        was_alive && is_settled
    }
}

fn write_last_refusals(context: &AppContext) -> Result<(), DbError> {
    context.refusals.write(&mut context.database.connect()?)
}

fn give_lease_back(context: &AppContext) -> Result<(), DbError> {
    nodes::release(&mut context.database.connect()?, &context.node_id)
}

/// The servers' own futures end with their handles, not with the tracker.
#[expect(clippy::disallowed_methods, reason = "the stop awaits these through their handles")]
fn shared_spawn(servers: impl std::future::Future<Output = ()> + 'static) {
    drop(actix_web::rt::spawn(servers));
}

/// Waits for the word to stop, or for the ledger's end: without it nothing can be served.
async fn watch_over(
    context: &AppContext,
    chains: &Mutex<ChainWatchers>,
    stop: &CancellationToken,
) -> bool {
    loop {
        tokio::select! {
            () = stop.cancelled() => return true,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        if !context.ledger.is_alive() {
            tracing::error!("the ledger has ended; stopping");
            return false;
        }
        if context.standing.is_superseded() {
            tracing::error!("the database no longer matches this program; stopping");
            return false;
        }
        if !chains.lock().await.are_alive() {
            tracing::error!("a chain's watcher has ended; stopping");
            return false;
        }
    }
}

/// 1. Nothing new. 2. Running exchanges may finish. 3. Then they end (E11). 4. Settlements land.
/// 5. Only then the listeners and workers go: a worker's tasks die with it.
async fn stop_in_order(
    context: &AppContext,
    at_once: &CancellationToken,
    handles: Vec<ServerHandle>,
) -> bool {
    let tracker = &context.tracker;
    tracing::info!(running = tracker.running(), "stopping: no new work");
    tracker.drain();
    let deadline = tokio::time::Instant::now() + context.settings.server.drain;
    loop {
        let is_over = tokio::select! {
            is_done = tracker.wait(PROGRESS) => is_done,
            () = tokio::time::sleep_until(deadline) => true,
            () = at_once.cancelled() => true,
        };
        if is_over {
            break;
        }
        tracing::info!(running = tracker.running(), "waiting for running exchanges");
    }
    tracker.cut();
    let is_settled = tracker.wait(context.settings.stream.settle_wait + SETTLE).await;
    if !is_settled {
        let running = tracker.running();
        tracing::error!(running, "exchanges are left unsettled; the next start recovers them");
    }
    for handle in handles {
        handle.stop(true).await;
    }
    is_settled
}

/// Migrates, finds the secret of tombstones, and uses it where an earlier version had none.
fn prepare(settings: &Settings, conn: &mut AnyConnection) -> Result<TombstoneKey, StartError> {
    migrate::prepare(conn, settings.database.migrate_at_start)?;
    let key = tombstones::unlock(conn, &settings.privacy)?;
    let buried = tombstones::bury_marked(conn, &key)?;
    if buried > 0 {
        tracing::info!(count = buried, "turned deposits of erased accounts into tombstones");
    }
    let sealed = totp_key::seal_plain(conn, &key)?;
    if sealed > 0 {
        tracing::info!(count = sealed, "encrypted two-factor keys that were stored in plain text");
    }
    Ok(key)
}

fn serve_operator(
    context: &Arc<AppContext>,
    entrance: &Entrance,
) -> Result<(SocketAddr, Server), StartError> {
    let address = context.settings.server.admin_listen;
    let data = Data::new(Admin { context: Arc::clone(context), entrance: entrance.clone() });
    let factory = move || App::new().app_data(data.clone()).configure(admin::configure);
    let refused = |error| ListenRefusal::new("server.admin_listen", address, error);
    let listener = std::net::TcpListener::bind(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    let server = HttpServer::new(factory)
        .disable_signals()
        .workers(1)
        .shutdown_timeout(1)
        .listen(listener)
        .map_err(refused)?;
    Ok((bound, server.run()))
}

/// A second server on one SQLite file would recover the first one's running exchanges.
fn lock_sqlite(database: &Database) -> Result<Option<std::fs::File>, StartError> {
    let Some(path) = database.sqlite_path() else { return Ok(None) };
    match file::lock_alone(path) {
        Ok(lock) => Ok(Some(lock)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::SecondServer),
        Err(std::fs::TryLockError::Error(error)) => Err(StartError::Lock(error)),
    }
}

/// File descriptors that a server with these settings needs. A stream costs two: one to the client,
/// one upstream.
#[must_use]
pub fn descriptors_needed(settings: &config::Server) -> u64 {
    let needed = clients::descriptors(settings).saturating_add(settings.max_streams);
    u64::try_from(needed.saturating_add(SPARE_DESCRIPTORS)).unwrap_or(u64::MAX)
}

fn raise_descriptor_limit(settings: &config::Server) -> Result<(), StartError> {
    let (streams, idle) = (settings.max_streams, settings.idle_connections_max);
    let needed = descriptors_needed(settings);
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(needed);
    if limit < needed {
        return Err(StartError::Descriptors { streams, idle, needed, limit });
    }
    Ok(())
}

/// Starts the mailer, which then looks for mail by itself.
fn send_mail(context: &AppContext) -> Result<Addr<Mailer>, StartError> {
    let parts = MailerParts {
        transport: Arc::new(Transport::new(&context.settings.mail).map_err(StartError::Mail)?),
        settings: Arc::clone(&context.settings),
        bell: context.mail.clone(),
        database: context.database.clone(),
        clock: context.clock.clone(),
        tracker: context.tracker.clone(),
        metrics: Arc::clone(&context.metrics),
    };
    Ok(Mailer::start(parts))
}
