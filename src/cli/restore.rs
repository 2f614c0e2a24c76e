//! `sluice restore`

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::{CliError, Output};
use crate::backups::BackupError;
use crate::backups::restore::{self, RestorePlan, RestoredDatabase};
use crate::config::{self, DatabaseUrl, LoadPurpose, Sources, TombstoneSecret};
use crate::domain::clock::Clock;

/// Restore a backup: check it, put it in place, and do again what happened after it and must not be
/// undone (revoked keys, erased accounts, refunds), as the journal has it. Stop the server first.
#[derive(clap::Args)]
pub(super) struct RestoreArgs {
    /// The backup's folder, `sluice-YYYYMMDDTHHMMSSZ`.
    backup: PathBuf,
    /// Restore to this path instead of the database of the settings, for a drill.
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
    /// Move a database that is there aside.
    #[arg(long)]
    force: bool,
    /// Read this journal instead of that of the settings.
    #[arg(long, value_name = "FILE", conflicts_with = "without_journal")]
    journal: Option<PathBuf>,
    /// Do nothing again: keys that were revoked since work, and accounts that were erased are back.
    #[arg(long)]
    without_journal: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    args: &RestoreArgs,
    sources: &Sources,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let settings = config::load_for(sources, LoadPurpose::Command)?;
    let DatabaseUrl::Sqlite(path) = &settings.database.url else {
        return Err(BackupError::NotSqlite.into());
    };
    let journal = args.journal.as_ref().or(settings.backup.journal_file.as_ref());
    let to = args.to.as_ref().unwrap_or(path);
    let is_in_place = to == path;
    let restored = restore::restore(&RestorePlan {
        backup: &args.backup,
        to,
        journal: journal.filter(|_| !args.without_journal).map(PathBuf::as_path),
        own_journal: settings.backup.journal_file.as_deref(),
        is_in_place,
        force: args.force,
        privacy: &settings.privacy,
        debt_forgiven: settings.deposits.debt_forgiven,
        now: Clock::System.now(),
    })?;
    let mut to_do = restored.replayed.to_do.clone();
    if let (TombstoneSecret::Beside(file), false) = (&settings.privacy.tombstones, is_in_place) {
        to_do.push(format!(
            "to serve from {}, copy the secret {} to {}",
            to.display(),
            file.display(),
            to.with_added_extension("secret").display()
        ));
    }
    to_do.extend(general(&settings, args.without_journal));
    if args.json {
        return report_json(&restored, &to_do, output);
    }
    let manifest = &restored.manifest;
    output.line(&format!("restored the backup of {} to {}", manifest.begun_at, to.display()))?;
    if let Some(aside) = &restored.aside {
        output.line(&format!("the database that was there is now {}", aside.display()))?;
    }
    output.line(&format!("{} events of the journal came after the backup", restored.events))?;
    for (what, count) in &restored.replayed.done {
        output.line(&format!("  {count} {what}"))?;
    }
    if restored.is_torn {
        output.line("the journal's last line was not written to its end, and was left out")?;
    }
    if let Some(why) = &restored.undrained {
        output
            .line(&format!("the newest events of the earlier database could not be read: {why}"))?;
    }
    output.line(&format!("{} sessions were ended: people log in again", restored.sessions))?;
    output.line(&format!("the books balance: {} entries", restored.entries))?;
    output.line("")?;
    output.line("Now, before you start the server:")?;
    for line in &to_do {
        output.line(&format!("- {line}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What no program knows.
fn general(settings: &config::Settings, is_without_journal: bool) -> Vec<String> {
    let mut lines = vec![
        "charges, credits by hand, new accounts and new keys since the backup are lost: tell the \
         people concerned"
            .to_owned(),
        "recovery codes that were used or renewed since count again, and who has turned off \
         notices since gets them again (docs/backups.md, What is lost)"
            .to_owned(),
    ];
    let takes_deposits = !settings.chains.is_empty();
    if takes_deposits {
        lines.push(
            "later deposits are found again by the server; those of wallets that were proven \
             since, and your own decisions, have to be made again (docs/deposits.md, Restoring a \
             backup)"
                .to_owned(),
        );
    }
    if takes_deposits && is_without_journal {
        lines.push(
            "without the journal, move the counter of derived addresses yourself: `sluice deposit \
             addresses advance`, and hold and post refunds again that were paid since"
                .to_owned(),
        );
    }
    lines
}

fn report_json(
    restored: &RestoredDatabase,
    to_do: &[String],
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    output.json(&json!({
        "backup": restored.manifest,
        "events": restored.events,
        "replayed": restored.replayed.done,
        "journal_torn": restored.is_torn,
        "undrained": restored.undrained,
        "sessions_ended": restored.sessions,
        "moved_aside": restored.aside,
        "entries": restored.entries,
        "to_do": to_do,
    }))?;
    Ok(ExitCode::SUCCESS)
}
