//! `sluice config …`

mod ask;
mod init;
mod place;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::{CliError, Output};
use crate::config::{self, DatabaseUrl, LoadPurpose, Settings, Sources, Unready};
use crate::db::{self, DbError, migrate};
use crate::domain::clock::Clock;
use crate::domain::policy::PolicyKind;
use crate::policies::PolicyVersions;

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Write a settings file to begin with. On a terminal, asks for what no option says. Every
    /// answer is checked as `config check` would; nothing is written before all of them are right.
    Init(Box<init::InitArgs>),
    /// Check a file as `serve` would, secrets included, and warn of what the public would miss.
    Check {
        /// The settings file.
        file: PathBuf,
        /// Exit with 1 if there is a warning.
        #[arg(long)]
        strict: bool,
    },
    /// Print the settings in force, secrets masked.
    Show,
}

pub(super) fn run(
    command: &ConfigCommand,
    sources: Sources,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    match command {
        ConfigCommand::Init(args) => init::run(args, &sources.env, output),
        ConfigCommand::Check { file, strict } => check(file, *strict, sources, output),
        ConfigCommand::Show => {
            let settings = config::load_for(&sources, LoadPurpose::Command)?;
            output.line(settings.render().trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(
    file: &Path,
    is_strict: bool,
    sources: Sources,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let settings = config::load(&Sources { file: Some(file.to_owned()), ..sources })?;
    output.line(&format!("{}: OK", file.display()))?;
    for note in settings.notes() {
        output.line(&format!("note: {note}"))?;
    }
    let warnings = warnings(&settings);
    for warning in &warnings {
        output.line(&format!("warning: {warning}"))?;
    }
    let is_refused = is_strict && !warnings.is_empty();
    Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What the public would miss, by the settings and by the database, if that is there.
fn warnings(settings: &Settings) -> Vec<Unready> {
    let mut warnings = settings.unready();
    if settings.is_public() {
        warnings.extend(unpublished(settings).unwrap_or_default());
    }
    warnings
}

/// The texts of which no version is published. Nothing where there is no database to ask: it is
/// neither made nor changed here.
fn unpublished(settings: &Settings) -> Result<Vec<Unready>, DbError> {
    if let DatabaseUrl::Sqlite(path) = &settings.database.url
        && !path.exists()
    {
        return Ok(Vec::new());
    }
    let mut conn = db::connect(&settings.database)?;
    migrate::newer(&mut conn)?;
    let now = Clock::System.now();
    let mut missing = Vec::new();
    for kind in PolicyKind::ALL {
        let versions = PolicyVersions::at(&mut conn, kind, now)?;
        if versions.in_force.is_none() && versions.announced.is_empty() {
            let reason = format!(
                "no version of the {kind} is published: users cannot be told of \
                changes. `sluice policy publish` does it"
            );
            missing.push(Unready::new("policy", reason, "docs/operating.md#policies"));
        }
    }
    Ok(missing)
}
