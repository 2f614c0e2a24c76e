//! `sluice node …`

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CliError, CommandContext, Output};
use crate::db::models::nodes::{self, NodeRow};
use crate::db::time;
use crate::domain::clock::UnixMillis;

#[derive(Subcommand)]
pub(super) enum NodeCommand {
    /// List the processes that serve from this database, and those that died. A running server
    /// removes a dead one an hour after its lease has expired, once none of its requests is open.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(
    command: &NodeCommand,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let NodeCommand::List { json } = command;
    let now = desk.with(|conn| time::now(conn, &desk.clock))?;
    let rows = desk.with(nodes::list)?;
    if *json {
        output.json(&rows.iter().map(|row| document(row, now)).collect())?;
    } else {
        let header = [
            "node",
            "version",
            "started",
            "lease",
            "lapses",
            "clock ahead",
            "requests",
            "reservations",
        ];
        output.table(&header, rows.iter().map(|row| line(row, now)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Seconds that the lease still runs, or for which it has been over, below zero.
fn lease_secs(row: &NodeRow, now: UnixMillis) -> Option<i64> {
    Some(row.lease_expires_at?.millis_ahead_of(now).div_euclid(1000))
}

fn line((row, open): &(NodeRow, i64), now: UnixMillis) -> Vec<String> {
    let unknown = || "-".to_owned();
    let number = |value: Option<i64>| value.map_or_else(unknown, |value| value.to_string());
    let lease = match lease_secs(row, now) {
        None => "forgotten".to_owned(),
        Some(secs) if secs >= 0 => format!("{secs} s left"),
        Some(secs) => format!("over for {} s", secs.unsigned_abs()),
    };
    let streams = match (row.open_exchanges, row.max_streams) {
        (Some(open), Some(most)) => format!("{open} of {most}"),
        _ => unknown(),
    };
    vec![
        row.id.clone(),
        row.version.clone().unwrap_or_else(unknown),
        row.started_at.map_or_else(unknown, UnixMillis::to_rfc3339_secs),
        lease,
        number(row.lapses),
        row.drift_ms.map_or_else(unknown, |drift| format!("{drift} ms")),
        streams,
        open.to_string(),
    ]
}

fn document((row, open): &(NodeRow, i64), now: UnixMillis) -> Value {
    let moment = |at: Option<UnixMillis>| at.map(UnixMillis::to_rfc3339_secs);
    json!({
        "id": row.id,
        "version": row.version,
        "generation": row.generation,
        "started_at": moment(row.started_at),
        "is_alive": lease_secs(row, now).is_some_and(|secs| secs >= 0),
        "lease_expires_at": moment(row.lease_expires_at),
        "lease_seconds": lease_secs(row, now),
        "lapses": row.lapses,
        "drift_ms": row.drift_ms,
        "open_exchanges": row.open_exchanges,
        "max_streams": row.max_streams,
        "open_reservations": open,
    })
}
