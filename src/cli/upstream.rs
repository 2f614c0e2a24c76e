//! `sluice upstream …`

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{CliError, Output};
use crate::config::{self, Settings};
use crate::domain::clock::Clock;
use crate::metrics::Metrics;
use crate::tracker::Tracker;
use crate::upstream::call::CallContext;
use crate::upstream::client::{UpstreamClient, tls_config};
use crate::upstream::health::Probed;
use crate::upstream::{Upstream, probe};

/// Time for one upstream.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Subcommand)]
pub(super) enum UpstreamCommand {
    /// List upstreams in the order of the file, and ask each for its list of models, from this
    /// machine. Whether a running server can use them is in its metrics.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// An upstream, and what it said.
struct ProbeResult {
    settings: config::UpstreamSettings,
    probed: Probed,
    took: Duration,
}

pub(super) fn run(
    command: &UpstreamCommand,
    settings: Settings,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let UpstreamCommand::List { json } = command;
    let asked = actix_web::rt::System::new().block_on(ask_all(settings))?;
    if *json {
        let documents: Vec<_> = asked.iter().map(document).collect();
        output.json(&json!(documents))?;
    } else {
        output.table(&["name", "address", "models", "now", "ms"], asked.iter().map(line))?;
    }
    let is_fine = asked.iter().all(|one| matches!(one.probed, Probed::Fine | Probed::Unclear));
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask_all(settings: Settings) -> Result<Vec<ProbeResult>, CliError> {
    let refused = |error: &dyn std::error::Error| CliError::Refused(error.to_string());
    let tls = tls_config().map_err(|error| refused(&error))?;
    let metrics = Metrics::new().map_err(|error| refused(&error))?;
    let (metrics, tracker) = (Arc::new(metrics), Tracker::default());
    let node = CallContext { metrics, tracker, clock: Clock::System };
    let mut all = Vec::new();
    for settings in settings.upstreams {
        let upstream = Upstream::new(settings.clone(), &tls).map_err(|error| refused(&error))?;
        let client = UpstreamClient::new(Arc::new(upstream));
        let began = Instant::now();
        let probed = timeout(PATIENCE, probe::ask(&node, &client)).await.unwrap_or(Probed::Broken);
        all.push(ProbeResult { settings, probed, took: began.elapsed() });
    }
    Ok(all)
}

const fn words(probed: Probed) -> &'static str {
    match probed {
        Probed::Fine => "answers",
        Probed::Refused => "refuses the credential",
        Probed::Broken => "does not answer",
        Probed::Unclear => "answers, but has no list of models",
    }
}

fn serves(settings: &config::UpstreamSettings) -> Vec<String> {
    settings.serves.iter().map(ToString::to_string).collect()
}

fn line(asked: &ProbeResult) -> Vec<String> {
    let ProbeResult { settings, probed, took } = asked;
    let serves = serves(settings);
    let models = if serves.is_empty() { "all".to_owned() } else { serves.join(" ") };
    let (name, address) = (settings.name.clone(), settings.base_url.to_string());
    vec![name, address, models, words(*probed).to_owned(), took.as_millis().to_string()]
}

fn document(asked: &ProbeResult) -> serde_json::Value {
    let ProbeResult { settings, probed, took } = asked;
    json!({
        "name": settings.name,
        "base_url": settings.base_url.to_string(),
        "serves": serves(settings),
        "now": words(*probed),
        "ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    })
}
