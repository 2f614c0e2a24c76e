//! `sluice purge`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use actix_web::rt::System;
use chrono::{NaiveDate, NaiveTime};
use serde_json::json;

use super::{CliError, CommandContext, Output};
use crate::domain::clock::UnixMillis;
use crate::jobs::compaction::Compaction;
use crate::jobs::job::{Batch, Job};
use crate::jobs::purge::Purge;
use crate::jobs::retention::{self, Cutoffs};
use crate::jobs::run::JobRun;

/// How often a long purge says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);
/// Until a compaction is tried again that a reader kept from its end, and how often.
const AGAIN: Duration = Duration::from_secs(1);
const TRIES: u32 = 30;

/// Delete expired rows: usage rows that are older than `privacy.usage_log_days`, whose cost is
/// carried forward, and sessions, links, challenges and claims whose time is up. The server may run
/// beside it, and it may be broken off.
#[derive(clap::Args)]
pub(super) struct PurgeArgs {
    /// Only print what would be deleted.
    #[arg(long)]
    dry_run: bool,
    /// Delete only rows that had expired before this day (UTC).
    #[arg(long, value_name = "YYYY-MM-DD")]
    as_of: Option<NaiveDate>,
    /// Then rewrite the database, so that its files keep nothing of the deleted rows. Writers wait
    /// until it finishes.
    #[arg(long, conflicts_with = "dry_run")]
    compact: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    args: &PurgeArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let now = desk.clock.now();
    let as_of = args.as_of.map(|day| {
        UnixMillis::from_millis(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
    });
    if as_of.is_some_and(|as_of| as_of > now) {
        return Err(CliError::Refused("--as-of is in the future".to_owned()));
    }
    let limits = Cutoffs::at(&desk.settings.privacy, as_of.unwrap_or(now));
    if args.dry_run {
        let due = desk.with(|conn| retention::due(conn, &limits))?;
        return report(&due, "would be deleted", args.json, output);
    }
    let deleted = System::new().block_on(async {
        let deleted = purge(desk, limits, output).await?;
        if args.compact {
            compact(desk).await?;
        }
        Ok::<_, CliError>(deleted)
    })?;
    report(&deleted, "gone", args.json, output)
}

/// Says how many rows of each table it deleted.
async fn purge(
    desk: &CommandContext,
    limits: Cutoffs,
    output: &mut Output,
) -> Result<Vec<(&'static str, i64)>, CliError> {
    let mut deleted: Vec<(&'static str, i64)> = Vec::new();
    let mut said = Instant::now();
    let note = |run: &JobRun, batch: &Batch| {
        for (table, rows) in &batch.deleted {
            let rows = i64::try_from(*rows).unwrap_or(i64::MAX);
            match deleted.iter_mut().find(|(known, _)| known == table) {
                Some((_, sum)) => *sum = sum.saturating_add(rows),
                None => deleted.push((table, rows)),
            }
        }
        if said.elapsed() >= PROGRESS && !batch.is_last {
            said = Instant::now();
            output.progress(&format!("{} rows deleted so far", run.rows))?;
        }
        Ok(())
    };
    to_end(desk, Purge::new(limits), note).await?;
    Ok(deleted)
}

async fn compact(desk: &CommandContext) -> Result<(), CliError> {
    let mut tries = 0_u32;
    let note = |_: &JobRun, batch: &Batch| {
        tries = tries.saturating_add(1);
        if tries < TRIES || batch.is_last {
            return Ok(());
        }
        let words = "the database was rewritten, but another process keeps its log in use: run \
                     this again";
        Err(CliError::Refused(words.to_owned()))
    };
    to_end(desk, Compaction::at_once(AGAIN), note).await
}

/// Runs a job as the server does, on this command's connection.
async fn to_end<J: Job>(
    desk: &CommandContext,
    job: J,
    note: impl FnMut(&JobRun, &Batch) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let step = async |run: JobRun| desk.with(|conn| run.step(conn, desk.clock.now()));
    JobRun::new(job, desk.clock.now()).to_end(step, note).await.map(drop)
}

fn report(
    rows: &[(&'static str, i64)],
    verb: &str,
    is_json: bool,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    if is_json {
        let tables: serde_json::Map<_, _> =
            rows.iter().map(|(table, rows)| ((*table).to_owned(), json!(rows))).collect();
        output.json(&tables.into())?;
    } else {
        let cells = rows.iter().map(|(table, rows)| vec![(*table).to_owned(), rows.to_string()]);
        output.table(&["table", verb], cells)?;
    }
    Ok(ExitCode::SUCCESS)
}
