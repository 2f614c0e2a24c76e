//! `sluice reload`: has the running server read its settings again.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use awc::Client;
use serde::Deserialize;
use serde_json::json;

use super::CliError;
use super::operator_listener::ListenerArgs;
use super::output::Output;
use crate::config::Sources;

/// A server answers within this time, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks by the operator's listener. SIGHUP does the same, and says in the log what came of it.
#[derive(clap::Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    listener: ListenerArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    applied: Vec<String>,
    #[serde(default)]
    waiting_for_restart: Vec<String>,
    #[serde(default)]
    problems: Vec<String>,
}

pub(super) fn run(
    args: &ReloadArgs,
    sources: &Sources,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let address = args.listener.find(sources)?;
    let (is_applied, answer) = actix_web::rt::System::new().block_on(ask(address))?;
    if args.json {
        output.json(&json!({
            "applied": answer.applied,
            "waiting_for_restart": answer.waiting_for_restart,
            "problems": answer.problems,
        }))?;
    } else if is_applied {
        if answer.applied.is_empty() {
            output.line("nothing has changed that a reload takes up")?;
        }
        for key in &answer.applied {
            output.line(&format!("applied: {key}"))?;
        }
        for key in &answer.waiting_for_restart {
            output.line(&format!("needs a restart: {key}"))?;
        }
    } else {
        for problem in &answer.problems {
            output.line(problem)?;
        }
        output.line("refused: the settings in force stay as they are")?;
    }
    Ok(if is_applied { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask(address: SocketAddr) -> Result<(bool, Answer), CliError> {
    let silent = |reason: &dyn std::fmt::Display| {
        CliError::Refused(format!(
            "no server answers on {address} (server.admin_listen): {reason}; is it running?"
        ))
    };
    let client = Client::builder().timeout(PATIENCE).finish();
    let sent = client.post(format!("http://{address}/reload")).send().await;
    let mut answer = sent.map_err(|error| silent(&error))?;
    let status = answer.status();
    let body = answer.body().await.map_err(|error| silent(&error))?;
    match serde_json::from_slice(&body) {
        Ok(read) if status.is_success() || status.as_u16() == 422 => {
            Ok((status.is_success(), read))
        }
        _ => Err(silent(&String::from_utf8_lossy(&body).trim())),
    }
}
