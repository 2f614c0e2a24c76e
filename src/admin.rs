//! The operator's listener: `/healthz`, `/readyz`, `/metrics`, `/reload`. Never on the clients'
//! address.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::ORIGIN;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Responder};
use serde_json::json;

use crate::config::{Chain, SettingsChanges};
use crate::context::AppContext;
use crate::db::DbError;
use crate::db::models::chains::{self, ChainRow};
use crate::http::table::{RouteTable, Served};

/// A database that takes longer than this to say "1" is not ready.
const PROBE: Duration = Duration::from_secs(2);

/// What the listener tells of.
#[derive(Clone)]
pub struct Admin {
    /// The main components of this node.
    pub context: Arc<AppContext>,
    /// Whether clients get in.
    pub entrance: Entrance,
}

/// Whether clients get in, as somebody has found out who tried. It is open until it is said to be
/// shut.
#[derive(Clone, Debug, Default)]
pub struct Entrance(Arc<AtomicBool>);

impl Entrance {
    /// Says whether nobody gets in any more.
    pub fn set_shut(&self, is_shut: bool) {
        self.0.store(is_shut, Ordering::Relaxed);
    }

    /// Whether nobody gets in any more.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Adds the routes.
pub fn configure(config: &mut ServiceConfig) {
    table().serve(config);
}

/// All of them.
#[must_use]
pub fn table() -> RouteTable {
    let mut table = RouteTable::default();
    table
        .service(Served::at("/healthz").on(Method::GET, health))
        .service(Served::at("/readyz").on(Method::GET, ready))
        .service(Served::at("/metrics").on(Method::GET, metrics))
        .service(Served::at("/reload").on(Method::POST, reload));
    table
}

/// The process runs.
async fn health() -> impl Responder {
    "ok\n"
}

/// Whether requests should come here: 503 with the reason otherwise.
async fn ready(admin: Data<Admin>) -> HttpResponse {
    let refuse = |reason: &'static str| HttpResponse::ServiceUnavailable().body(reason);
    if admin.context.tracker.is_draining() {
        return refuse("stopping\n");
    }
    if !admin.context.ledger.is_alive() {
        return refuse("the ledger has ended\n");
    }
    if admin.entrance.is_shut() {
        return refuse("clients do not get in\n");
    }
    let read = admin.context.database.run(chains::all);
    let rows = match tokio::time::timeout(PROBE, read).await {
        Ok(Ok(rows)) => rows,
        Ok(Err(DbError::Moved(_))) => return refuse("the database file is not in its place\n"),
        _ => return refuse("the database does not answer\n"),
    };
    // Behind what is under way there: a ledger that waits for ever answers nothing.
    match tokio::time::timeout(PROBE, admin.context.ledger.probe()).await {
        Ok(Ok(())) => HttpResponse::Ok().body(format!("ready\n{}", troubles(&admin, &rows))),
        Ok(Err(_)) => refuse("the database does not answer the ledger\n"),
        Err(_) => refuse("the ledger does not get on\n"),
    }
}

/// Has the settings read again. 422 with the reasons if they are refused.
async fn reload(http: HttpRequest, admin: Data<Admin>) -> HttpResponse {
    // A page in the operator's browser has no business here.
    if http.headers().contains_key(ORIGIN) || http.headers().contains_key("sec-fetch-site") {
        return HttpResponse::Forbidden().body("not from a browser\n");
    }
    match admin.context.reloads.ask().await {
        None => HttpResponse::ServiceUnavailable().body("stopping, or too many reloads wait\n"),
        Some(Ok(SettingsChanges { applied, waiting })) => {
            HttpResponse::Ok().json(json!({ "applied": applied, "waiting_for_restart": waiting }))
        }
        Some(Err(errors)) => {
            let problems: Vec<_> = errors.problems.iter().map(ToString::to_string).collect();
            HttpResponse::UnprocessableEntity().json(json!({ "problems": problems }))
        }
    }
}

/// A line for each chain whose deposits wait. Requests are served all the same.
fn troubles(admin: &Admin, rows: &[ChainRow]) -> String {
    let line = |chain: &Chain| {
        let row = rows.iter().find(|row| row.chain_id == chain.chain_id);
        let (status, detail) = match row {
            Some(row) if row.status == "ok" => return None,
            Some(row) => (row.status.as_str(), row.status_detail.as_deref().unwrap_or_default()),
            None => ("degraded", "starting"),
        };
        Some(format!("deposits on {} wait, {status}: {detail}\n", chain.name))
    };
    admin.context.settings.chains.iter().filter_map(line).collect()
}

async fn metrics(admin: Data<Admin>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(admin.context.metrics.render())
}
