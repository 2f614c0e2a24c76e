//! `sluice health`: whether the server of these settings is ready, for scripts and containers.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::http::StatusCode;
use tokio::time::timeout;

use super::operator_listener::ListenerArgs;
use super::{CliError, Output, output};
use crate::config::Sources;

/// Bytes of the answer that are read. It has a line, and one more for each chain that waits.
const ANSWER_MAX: usize = 65_536;

/// Ask the running server whether it is ready: exit code 0 if it is, 1 with the reason if not.
#[derive(clap::Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    listener: ListenerArgs,
    /// Seconds to wait for the answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

pub(super) fn run(
    args: &HealthArgs,
    sources: &Sources,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let address = args.listener.find(sources)?;
    let patience = Duration::from_secs(args.timeout);
    let asked = actix_web::rt::System::new().block_on(async {
        // The timer is made once the runtime is there.
        timeout(patience, ask(address)).await
    });
    let late = || format!("{address} did not answer within {} s", args.timeout);
    let (status, text) = asked.map_err(|_| late()).flatten().map_err(CliError::Refused)?;
    let text = output::printable_lines(&text);
    match status {
        StatusCode::OK => {
            output.line(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        StatusCode::SERVICE_UNAVAILABLE => Err(CliError::Refused(format!("not ready: {text}"))),
        other => Err(CliError::Refused(format!(
            "{address} answered {other}, which Sluice does not: is server.admin_listen another \
             program's?"
        ))),
    }
}

/// Status and body of `/readyz`, or why there are none.
async fn ask(address: SocketAddr) -> Result<(StatusCode, String), String> {
    let client = awc::Client::builder().disable_timeout().disable_redirects().finish();
    let failed = |error: &dyn std::fmt::Display| {
        format!("nothing is ready on {address} (server.admin_listen): {error}")
    };
    let url = format!("http://{address}/readyz");
    let mut response = client.get(url).send().await.map_err(|error| failed(&error))?;
    let body = response.body().limit(ANSWER_MAX).await.map_err(|error| failed(&error))?;
    Ok((response.status(), String::from_utf8_lossy(&body).into_owned()))
}
