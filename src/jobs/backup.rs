//! The jobs that keep the database: the journal, which is written every second, and backups on
//! schedule, of which the newest are kept.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::job::{Batch, Job, JobError, Turn};
use super::plan::Plan;
use crate::backups::journal::Journal;
use crate::backups::{BackupError, folder, make};
use crate::config::BackupSettings;
use crate::context::AppContext;
use crate::db::AnyConnection;
use crate::domain::clock::{Clock, UnixMillis};
use crate::metrics::Metrics;
use crate::telemetry::Causes;

/// Between two looks whether something is to be written into the journal.
const DRAIN: Duration = Duration::from_secs(1);
/// Between two looks whether a backup is due.
const LOOK: Duration = Duration::from_mins(1);
/// Until a backup that failed is tried again.
const AGAIN: Duration = Duration::from_hours(1);

/// Writes the journal.
#[derive(Clone)]
pub struct JournalWriter {
    journal: Journal,
    metrics: Arc<Metrics>,
}

/// Every second; `None` where there is no journal.
pub(super) fn journal(context: &AppContext) -> Option<Plan> {
    let path = context.settings.backup.journal_file.as_ref()?;
    let writer =
        JournalWriter { journal: Journal::at(path), metrics: Arc::clone(&context.metrics) };
    Some(Plan::of(move |_| writer.clone()).at_start().every(DRAIN))
}

impl Job for JournalWriter {
    const NAME: &'static str = "journal";
    const TURN: Turn = Turn::Beside;

    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError> {
        if let Err(error) = self.journal.drain(conn, now)
            && self.metrics.alert_daily("journal_failed", "", now)
        {
            let error = Causes(&error);
            tracing::error!(%error, "the journal cannot be written; events wait for it");
        }
        Ok(Batch { is_last: true, ..Batch::default() })
    }
}

/// Makes a backup when one is due.
#[derive(Clone)]
pub struct ScheduledBackup {
    settings: BackupSettings,
    into: PathBuf,
    /// Backups that are kept elsewhere may need lines of the journal for so long.
    backups_live: Duration,
    clock: Clock,
    metrics: Arc<Metrics>,
    failed_at: Arc<Mutex<Option<UnixMillis>>>,
}

/// Every minute it is looked whether one is due; `None` if none are made.
pub(super) fn plan(context: &AppContext) -> Option<Plan> {
    let settings = context.settings.backup.clone();
    if settings.into.is_some() {
        context.metrics.backups.set_interval(settings.every);
    }
    let days = u64::from(context.settings.privacy.backup_days);
    let backup = ScheduledBackup {
        into: settings.into.clone()?,
        settings,
        backups_live: Duration::from_hours(days.saturating_mul(24)),
        clock: context.clock.clone(),
        metrics: Arc::clone(&context.metrics),
        failed_at: Arc::default(),
    };
    Some(Plan::of(move |_| backup.clone()).at_start().every(LOOK))
}

impl Job for ScheduledBackup {
    const NAME: &'static str = "backup";
    const TURN: Turn = Turn::Beside;

    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError> {
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        let rests = failed_at.is_some_and(|at| at.plus(AGAIN) > now);
        if !rests && let Err(error) = self.make_if_due(conn, now) {
            *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
            self.metrics.backups.count_failure();
            self.metrics.count_alert("backup_failed");
            let error = Causes(&error);
            tracing::error!(%error, "no backup was made; trying again in an hour");
        }
        Ok(Batch { is_last: true, ..Batch::default() })
    }
}

impl ScheduledBackup {
    fn make_if_due(&self, conn: &mut AnyConnection, now: UnixMillis) -> Result<(), BackupError> {
        let newest = folder::newest(&self.into, now)?;
        if let Some(at) = newest {
            self.metrics.backups.set_finished(at);
        }
        if newest.is_some_and(|at| at.plus(self.settings.every) > now) {
            return Ok(());
        }
        let journal = self.settings.journal_file.as_deref().map(Journal::at);
        if let Some(journal) = &journal {
            journal.drain(conn, now)?;
        }
        let made = make::make(conn, &self.into, now, &self.clock)?;
        self.metrics.backups.set_finished(now);
        if !made.manifest.proof.balances {
            self.metrics.count_alert("backup_failed");
            let backup = made.path.display();
            tracing::error!(%backup, "the books of a backup do not balance: run books verify");
        }
        let (deleted, oldest) = folder::prune(&self.into, self.settings.keep)?;
        if let (Some(journal), Some(oldest)) = (&journal, oldest) {
            let before = now.minus(self.backups_live);
            journal.prune(oldest.manifest.journal_sequence, before)?;
        }
        tracing::info!(backup = %made.path.display(), deleted, "made a backup");
        Ok(())
    }
}
