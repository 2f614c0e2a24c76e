//! `sluice purge`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, NaiveTime};
use serde_json::json;

use super::{CliError, Desk, Output};
use crate::db::chores;
use crate::domain::clock::UnixMillis;
use crate::jobs::compaction::{self, Compaction};
use crate::jobs::purge::Purge;
use crate::jobs::retention::{self, Limits};

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
    desk: &Desk,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let now = desk.clock.now();
    let as_of = args.as_of.map(|day| {
        UnixMillis::from_millis(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
    });
    if as_of.is_some_and(|as_of| as_of > now) {
        return Err(CliError::Refused("--as-of lies in the future".to_owned()));
    }
    let limits = Limits::at(&desk.settings.privacy, as_of.unwrap_or(now));
    if args.dry_run {
        let due = desk.with(|conn| retention::due(conn, &limits))?;
        return report(&due, "would go", args.json, output);
    }
    let gone = purge(desk, limits, output)?;
    desk.with(|conn| chores::finish(conn, "purge", now))?;
    if args.compact {
        compact(desk)?;
        desk.with(|conn| chores::finish(conn, "compact", now))?;
    }
    report(&gone, "gone", args.json, output)
}

/// Piece by piece, resting as the server does: others may be working.
fn purge(
    desk: &Desk,
    limits: Limits,
    output: &mut Output,
) -> Result<Vec<(&'static str, i64)>, CliError> {
    let mut purge = Purge::new(limits);
    let mut gone: Vec<(&'static str, i64)> = Vec::new();
    let mut said = Instant::now();
    loop {
        let piece = desk.with(|conn| purge.step(conn))?;
        for (table, rows) in piece.gone {
            let rows = i64::try_from(rows).unwrap_or(i64::MAX);
            match gone.iter_mut().find(|(known, _)| *known == table) {
                Some((_, sum)) => *sum = sum.saturating_add(rows),
                None => gone.push((table, rows)),
            }
        }
        if piece.is_last {
            return Ok(gone);
        }
        if said.elapsed() >= PROGRESS {
            said = Instant::now();
            let rows: i64 = gone.iter().map(|(_, rows)| rows).sum();
            output.progress(&format!("{rows} rows have gone so far"))?;
        }
        std::thread::park_timeout(piece.rest);
    }
}

fn compact(desk: &Desk) -> Result<(), CliError> {
    for _ in 0..TRIES {
        if desk.with(compaction::compact)? == Compaction::Done {
            return Ok(());
        }
        std::thread::park_timeout(AGAIN);
    }
    Err(CliError::Refused(
        "the database was written anew, but somebody keeps its log in use: run it again".to_owned(),
    ))
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
