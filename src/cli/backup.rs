//! `sluice backup`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde_json::json;

use super::{CliError, CommandContext, Output};
use crate::backups::BackupError;
use crate::backups::journal::Journal;
use crate::backups::make::{self, MadeBackup};
use crate::config::TombstoneSecret;
use crate::db::backup_copy;
use crate::domain::clock::UnixMillis;

/// How often a long backup says how far it is.
const PROGRESS: Duration = Duration::from_secs(2);

/// Back up a live SQLite database into a new folder in DIRECTORY. The copy is checked, and the
/// server goes on meanwhile. Exits 1 if the books of the copy do not balance.
#[derive(clap::Args)]
pub(super) struct BackupArgs {
    /// Where the backup's own folder `sluice-YYYYMMDDTHHMMSSZ` is made.
    directory: PathBuf,
    /// Copy the secret (`sluice.db.secret`) as well, into this folder. Keep it apart from the
    /// backups: together they tell which deposits belonged to erased accounts.
    #[arg(long, value_name = "DIRECTORY")]
    secret_dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    args: &BackupArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let secret = args.secret_dir.as_ref().map(|into| Ok((secret_file(desk)?, into)));
    let secret: Option<(PathBuf, &PathBuf)> = secret.transpose().map_err(CliError::Backup)?;
    let begun_at = desk.clock.now();
    if let Some(path) = &desk.settings.backup.journal_file {
        desk.with(|conn| Journal::at(path).drain(conn, begun_at).map_err(BackupError::from))?;
    }
    let made = with_progress(desk, &args.directory, begun_at, output)?;
    let secret = match &secret {
        Some((file, into)) => Some(make::copy_secret(file, into, &made)?),
        None => None,
    };
    let MadeBackup { path, manifest } = &made;
    let bytes: u64 = manifest.files.iter().map(|entry| entry.bytes).sum();
    if args.json {
        output.json(&json!({ "path": path, "secret": secret, "manifest": manifest }))?;
    } else {
        output.line(&format!("{}: {bytes} bytes", path.display()))?;
        if let Some(secret) = &secret {
            output.line(&format!("the secret is in {}", secret.display()))?;
        }
        let (entries, accounts) = (manifest.proof.entries, manifest.proof.accounts);
        if manifest.proof.balances {
            let text = format!("its books balance: {entries} entries of {accounts} accounts");
            output.line(&text)?;
        }
    }
    if !manifest.proof.balances {
        return Err(CliError::Refused(format!(
            "the backup is complete, but its books do not balance ({} rules are broken): see \
             `sluice books verify`",
            manifest.proof.discrepancies
        )));
    }
    Ok(ExitCode::SUCCESS)
}

fn secret_file(desk: &CommandContext) -> Result<PathBuf, BackupError> {
    match &desk.settings.privacy.tombstones {
        TombstoneSecret::Beside(path) => Ok(path.clone()),
        TombstoneSecret::Given(_) | TombstoneSecret::Missing(_) => Err(BackupError::NoSecretFile),
    }
}

/// Makes it on a thread of its own, and tells how large the copy has become.
fn with_progress(
    desk: &CommandContext,
    directory: &Path,
    begun_at: UnixMillis,
    output: &mut Output,
) -> Result<MadeBackup, CliError> {
    let whole = desk.with(backup_copy::size)?.ok_or(BackupError::NotSqlite)?;
    let growing = make::growing(directory, begun_at);
    desk.with(|conn| {
        std::thread::scope(|scope| {
            let (done, wait) = mpsc::channel();
            let clock = &desk.clock;
            let work = scope.spawn(move || {
                let made = make::make(conn, directory, begun_at, clock);
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the backup");
                }
                made
            });
            while wait.recv_timeout(PROGRESS) == Err(RecvTimeoutError::Timeout) {
                let bytes = std::fs::metadata(&growing).map_or(0, |file| file.len());
                output.progress(&format!("{bytes} of {whole} bytes copied"))?;
            }
            let made = work.join().map_err(|_| CliError::Refused("it has panicked".to_owned()))?;
            Ok::<_, CliError>(made?)
        })
    })
}
