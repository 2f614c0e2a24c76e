//! `sluice config init`: options and answers become a settings file that works, or none.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::ask::{self, QUESTIONS};
use super::place::Place;
use crate::cli::{CliError, Output};
use crate::config::{Draft, Settings};
use crate::domain::clock::Clock;

#[derive(clap::Args)]
pub(in crate::cli) struct InitArgs {
    /// The file to write.
    #[arg(default_value = "sluice.toml")]
    file: PathBuf,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
    /// Ask for what no option says, also where the input is no terminal.
    #[arg(long, conflicts_with = "no_ask")]
    ask: bool,
    /// Never ask.
    #[arg(long)]
    no_ask: bool,
    #[command(flatten)]
    draft: Draft,
}

pub(super) fn run(
    args: &InitArgs,
    env: &[(String, String)],
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let file = std::path::absolute(&args.file)?;
    if file.exists() && !args.force {
        let reason =
            format!("{} exists: nothing was written. Use --force to replace it", file.display());
        return Err(CliError::Refused(reason));
    }
    let folder = file.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    let today = Clock::System.now().day();
    let place = Place { file, folder, today, env };
    let mut draft = args.draft.clone();
    if args.ask || (!args.no_ask && io::stdin().is_terminal()) {
        ask::all(&mut draft, &place, &mut io::stdin().lock(), output)?;
    }
    let (text, settings) = place.check(&draft).map_err(|mistakes| refusal(&mistakes))?;
    write(&place.file, &text, args.force)?;
    output.line(&format!("{} is written, for its owner alone.", place.file.display()))?;
    report(&place.file, &settings, output)?;
    Ok(ExitCode::SUCCESS)
}

/// Every mistake by the option that it came from.
fn refusal(mistakes: &[(String, String)]) -> CliError {
    let line = |(key, reason): &(String, String)| {
        let option = QUESTIONS.iter().find(|question| question.is_about(key));
        match option {
            Some(question) => format!("--{}: {key}: {reason}", question.option),
            None if key.is_empty() => reason.clone(),
            None => format!("{key}: {reason}"),
        }
    };
    let lines: Vec<String> = mistakes.iter().map(line).collect();
    CliError::Refused(format!("nothing was written:\n{}", lines.join("\n")))
}

/// The file appears whole or not at all: it may hold addresses of providers with their keys.
fn write(file: &Path, text: &str, may_replace: bool) -> Result<(), CliError> {
    let shown = file.display();
    let failed = |error: &io::Error| {
        CliError::Refused(format!(
            "{shown} cannot be written: {error}. The folder must exist, and this user must be \
             allowed to write there"
        ))
    };
    let unfinished = file.with_added_extension("new");
    let written = (|| {
        let mut open = OpenOptions::new();
        let mut made =
            open.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        made.set_permissions(Permissions::from_mode(0o600))?;
        made.write_all(text.as_bytes())?;
        made.sync_all()?;
        if may_replace {
            return std::fs::rename(&unfinished, file);
        }
        // Unlike a rename, this never takes the place of a file.
        std::fs::hard_link(&unfinished, file)?;
        std::fs::remove_file(&unfinished)
    })();
    written.map_err(|error| {
        drop(std::fs::remove_file(&unfinished));
        failed(&error)
    })
}

fn report(file: &Path, settings: &Settings, output: &mut Output) -> io::Result<()> {
    for note in settings.notes() {
        output.line(&format!("note: {note}"))?;
    }
    let unready = super::warnings(settings);
    if !unready.is_empty() {
        output.line("Before the public can come, this is still missing:")?;
    }
    for missing in unready {
        output.line(&format!("  {missing}"))?;
    }
    let shown = file.display();
    output.line(&format!("Next: sluice doctor --config {shown}"))?;
    output.line(&format!("Then: sluice serve --config {shown}"))
}
