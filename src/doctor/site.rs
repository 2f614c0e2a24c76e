//! The settings themselves, and whether the service answers where people look for it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use awc::{Client, Connector};

use super::{Check, host};
use crate::config::Settings;
use crate::telemetry::Causes;
use crate::upstream::client::tls_config;

/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Settings that are in order, and what the public would miss.
pub(super) fn settings(settings: &Settings) -> Vec<Check> {
    let unready = settings.unready();
    if unready.is_empty() {
        return vec![Check::ok("settings", "in order")];
    }
    let check = |missing: crate::config::Unready| {
        let found = format!("{}: {}", missing.key, missing.reason);
        Check::warn("settings", found, format!("see {}", missing.page))
    };
    unready.into_iter().map(check).collect()
}

/// Asks the site's own address, if a server runs here.
pub(super) async fn reach(settings: &Arc<Settings>) -> Vec<Check> {
    let (name, admin) = ("base_url", settings.server.admin_listen);
    let running = tokio::task::spawn_blocking(move || host::is_running(admin)).await;
    if !running.unwrap_or(false) {
        return vec![Check::ok(name, "not asked: no server runs here yet")];
    }
    let url = settings.site.base_url.to_string();
    let Ok(tls) = tls_config() else { return Vec::new() };
    let connector = Connector::new().rustls_0_23(tls).timeout(PATIENCE);
    let client =
        Client::builder().connector(connector).timeout(PATIENCE).disable_redirects().finish();
    let mend = "see that DNS, proxy and certificate lead from site.base_url to server.listen \
                (docs/operating.md#tls-and-reachability)";
    vec![match client.get(format!("{url}/")).send().await {
        Ok(answer) if answer.status() == StatusCode::OK => {
            Check::ok(name, format!("{url} answers"))
        }
        Ok(answer) => {
            Check::warn(name, format!("{url} answers with status {}", answer.status()), mend)
        }
        Err(error) => Check::warn(name, format!("{url} does not answer: {}", Causes(&error)), mend),
    }]
}
