//! `sluice books …`

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{CliError, Desk, Output};
use crate::ledger::{self, Report};

#[derive(Subcommand)]
pub(super) enum BooksCommand {
    /// Prove that the books balance, in one snapshot of a live database. Exits 1 if they do not.
    Verify {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(
    command: &BooksCommand,
    desk: &Desk,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let BooksCommand::Verify { json } = command;
    let report = desk.with(ledger::verify)?;
    if *json {
        output.json(&document(&report))?;
    } else {
        print(&report, output)?;
    }
    let is_balanced = report.discrepancies.is_empty();
    Ok(if is_balanced { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report, output: &mut Output) -> Result<(), CliError> {
    let Report { accounts, entries, usage_rows, open_reservations, discrepancies } = report;
    output.line(&format!(
        "{accounts} accounts, {entries} entries, {usage_rows} usage rows, \
         {open_reservations} open reservations"
    ))?;
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
    json!({
        "balanced": report.discrepancies.is_empty(),
        "accounts": report.accounts,
        "entries": report.entries,
        "usage_rows": report.usage_rows,
        "open_reservations": report.open_reservations,
        "discrepancies": discrepancies.collect::<Vec<_>>(),
    })
}
