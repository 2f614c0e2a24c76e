//! `sluice doctor`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::{CliError, Output};
use crate::config::{self, Sources};
use crate::doctor::{Check, CheckState, Doctor, of_errors};
use crate::domain::clock::Clock;

/// Check everything that a server needs, from this machine: settings, ports, descriptors, database,
/// certificate, mail server, upstreams, providers of chains, backups. Changes nothing. The server
/// may run beside it. Exits with 1 if a check fails.
#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    /// Folder of backups to look at.
    #[arg(long, value_name = "DIR")]
    backups: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    args: &DoctorArgs,
    sources: &Sources,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let checks = match config::load(sources) {
        Err(errors) => of_errors(&errors),
        Ok(settings) => {
            let backups = args.backups.clone().or_else(|| settings.backup.into.clone());
            let doctor = Doctor { settings: Arc::new(settings), backups, clock: Clock::System };
            actix_web::rt::System::new().block_on(doctor.examine())
        }
    };
    if args.json {
        output.json(&json!({ "checks": checks }))?;
    } else {
        for check in &checks {
            print(check, output)?;
        }
    }
    let is_well = checks.iter().all(|check| check.state != CheckState::Fail);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(check: &Check, output: &mut Output) -> std::io::Result<()> {
    let state = match check.state {
        CheckState::Ok => "ok  ",
        CheckState::Warn => "warn",
        CheckState::Fail => "FAIL",
    };
    output.line(&super::output::printable(&format!("{state}  {}: {}", check.name, check.found)))?;
    match &check.mend {
        Some(mend) => output.line(&format!("      {mend}")),
        None => Ok(()),
    }
}
