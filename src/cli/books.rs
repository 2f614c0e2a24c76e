//! `sluice books …`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::deposit::reason;
use super::{CliError, CommandContext, Output};
use crate::db::models::parked::{self, ParkedRow};
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::UsageRecord;
use crate::ledger::parked::{Repair, repair};
use crate::ledger::{self, Report};

#[derive(Subcommand)]
pub(super) enum BooksCommand {
    /// Verify that the books balance, in one snapshot of the live database. Exits 1 if they do not.
    Verify {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Settle requests whose charge the database refused; `books verify` lists them. Exits 1 if one
    /// is refused again.
    Settle(SettleArgs),
}

#[derive(Args)]
pub(super) struct SettleArgs {
    /// Request ids, `req_…`.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    requests: Vec<String>,
    /// All requests that wait.
    #[arg(long)]
    all: bool,
    /// Charge nothing, and release what is held.
    #[arg(long)]
    waive: bool,
    /// Reason, in 1 to 500 characters.
    #[arg(long, value_parser = reason)]
    reason: String,
}

pub(super) fn run(
    command: &BooksCommand,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    match command {
        BooksCommand::Verify { json } => verify(*json, desk, output),
        BooksCommand::Settle(args) => settle(args, desk, output),
    }
}

fn verify(is_json: bool, desk: &CommandContext, output: &mut Output) -> Result<ExitCode, CliError> {
    let report = desk.with(ledger::verify)?;
    if is_json {
        output.json(&document(&report))?;
    } else {
        print(&report, output)?;
    }
    let is_balanced = report.discrepancies.is_empty();
    Ok(if is_balanced { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn settle(
    args: &SettleArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let ids = (!args.all).then_some(args.requests.as_slice());
    let rows = desk.with(|conn| parked::list(conn, ids))?;
    let known = |id: &&String| !rows.iter().any(|row| row.id == **id);
    if let Some(unknown) = args.requests.iter().find(known) {
        let message = format!("{unknown} has no parked settlement: see `sluice books verify`");
        return Err(CliError::Refused(message));
    }
    let how = if args.waive { Repair::Waive } else { Repair::Post };
    let (mut settled, mut refused) = (0_usize, 0_usize);
    for row in &rows {
        let now = desk.clock.now();
        match desk.with(|conn| repair(conn, row, (how, &args.reason), now)) {
            Ok(None) => output.line(&format!("{}: already settled", row.id))?,
            Ok(Some(record)) => {
                settled = settled.saturating_add(1);
                output.line(&format!("{}: settled, {} USD", row.id, record.cost))?;
            }
            Err(error) => {
                refused = refused.saturating_add(1);
                output.complain(&error);
                output.line(&format!("{}: refused again, and still parked", row.id))?;
            }
        }
    }
    output.line(&format!("{settled} settled, {refused} refused"))?;
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a parked settlement would charge; `None` if its record cannot be read.
fn cost_of(row: &ParkedRow) -> Option<NanoUsd> {
    serde_json::from_str(&row.record).ok().map(|record: UsageRecord| record.cost)
}

fn print_parked(rows: &[ParkedRow], output: &mut Output) -> Result<(), CliError> {
    if rows.is_empty() {
        return Ok(());
    }
    let cells = rows.iter().map(|row| {
        vec![
            row.id.clone(),
            row.account.clone(),
            cost_of(row).map_or_else(|| "unreadable".to_owned(), |cost| cost.to_string()),
            row.held_nanousd.to_string(),
            row.parked_at.to_rfc3339_secs(),
            row.reason.clone(),
        ]
    });
    output.line("settlements that the database refused; their amounts stay on hold:")?;
    output.table(&["request", "account", "cost", "held", "since", "reason"], cells)?;
    output.line("fix the cause, then run `sluice books settle --all --reason …`")?;
    Ok(())
}

fn print(report: &Report, output: &mut Output) -> Result<(), CliError> {
    let Report { accounts, entries, usage_rows, open_reservations, parked, discrepancies } = report;
    output.line(&format!(
        "{accounts} accounts, {entries} entries, {usage_rows} usage rows, \
         {open_reservations} open reservations"
    ))?;
    print_parked(parked, output)?;
    if discrepancies.is_empty() {
        output.line("the books balance")?;
        return Ok(());
    }
    let rows = discrepancies.iter().map(|one| {
        vec![one.rule.clone(), one.subject.clone(), one.expected.to_string(), one.found.to_string()]
    });
    output.table(&["rule", "subject", "expected", "found"], rows)?;
    output.line(&format!("the books do NOT balance: {} discrepancies", discrepancies.len()))?;
    Ok(())
}

fn document(report: &Report) -> serde_json::Value {
    let discrepancies = report.discrepancies.iter().map(|one| {
        json!({ "rule": one.rule, "subject": one.subject,
                "expected": one.expected, "found": one.found })
    });
    let parked = report.parked.iter().map(|row| {
        json!({ "request": row.id, "account": row.account,
            "cost": cost_of(row).map(|cost| cost.to_string()),
                "held": row.held_nanousd.to_string(),
                "parked_at": row.parked_at.to_rfc3339_secs(),
                "reason": row.reason })
    });
    json!({
        "balanced": report.discrepancies.is_empty(),
        "accounts": report.accounts,
        "entries": report.entries,
        "usage_rows": report.usage_rows,
        "open_reservations": report.open_reservations,
        "parked_settlements": parked.collect::<Vec<_>>(),
        "discrepancies": discrepancies.collect::<Vec<_>>(),
    })
}
