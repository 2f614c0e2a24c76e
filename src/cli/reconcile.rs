//! `sluice reconcile`

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::{CliError, CommandContext, Output};
use crate::config::{self, Sources};
use crate::domain::clock::{Clock, UtcDay};
use crate::domain::reconciliation::Verdict;
use crate::jobs::reconciler::{DayResult, Reconciler};
use crate::metrics::Metrics;
use crate::tracker::Tracker;
use crate::upstream::node::CallContext;

/// Compare the tokens of a day in the usage log with the usage reports of the upstreams that have a
/// `report_credential_env` or `report_credential_file`. Exits 1 if a sum has drifted, or a report
/// is missing or cannot be had. A report that is late, and may still come or grow, is no failure.
#[derive(clap::Args)]
pub(super) struct ReconcileArgs {
    /// The day (UTC), which must be over. Default: yesterday.
    #[arg(long, value_name = "YYYY-MM-DD")]
    day: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    args: &ReconcileArgs,
    sources: &Sources,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let settings = config::load(sources)?;
    let desk = CommandContext::open(sources)?;
    let refused = |why: &str| CliError::Refused(why.to_owned());
    let now = desk.clock.now();
    let day = match &args.day {
        None => now.day().plus(-1),
        Some(text) => {
            let unclear = || refused("--day is no day: write it as 2026-11-09");
            UtcDay::parse(text).ok_or_else(unclear)?
        }
    };
    if day >= now.day() {
        return Err(refused("that day is not over yet (UTC)"));
    }
    if day.begin() < now.minus(settings.privacy.usage_log()) {
        return Err(refused(
            "that day is not in the usage log any more: see privacy.usage_log_days",
        ));
    }
    let metrics = Metrics::new().map_err(|error| CliError::Refused(error.to_string()))?;
    let (metrics, tracker) = (Arc::new(metrics), Tracker::default());
    let node = CallContext { metrics, tracker, clock: Clock::System };
    let reconciler = Reconciler::new(&settings, node);
    if reconciler.is_idle() {
        return Err(refused(
            "no upstream has a report_credential_env or report_credential_file under [[upstreams]]",
        ));
    }
    let reports = actix_web::rt::System::new().block_on(reconciler.fetch(&[day]));
    let mut results = Vec::new();
    for report in reports {
        results.push(desk.with(|conn| reconciler.judge(conn, report, now))?);
    }
    if args.json {
        output.json(&json!(results.iter().map(document).collect::<Vec<_>>()))?;
    } else {
        let header = ["upstream", "day", "result", "model", "class", "ours", "theirs", "percent"];
        output.table(&header, results.iter().flat_map(lines))?;
    }
    for (upstream, error) in
        results.iter().filter_map(|one| Some((&one.upstream, one.error.as_ref()?)))
    {
        output.progress(&format!("{upstream}: {error}"))?;
    }
    let is_fine = |one: &DayResult| {
        one.error.is_none() && matches!(one.comparison.verdict, Verdict::Right | Verdict::Late)
    };
    Ok(if results.iter().all(is_fine) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One for each difference, or one that says that there is none.
fn lines(result: &DayResult) -> Vec<Vec<String>> {
    let verdict = result.comparison.verdict.as_str();
    let begin = [result.upstream.clone(), result.day.to_string(), verdict.to_owned()];
    let differences = result.comparison.differences.iter().map(|one| {
        let mut line = begin.to_vec();
        line.extend([one.model.clone(), one.class.to_owned()]);
        line.extend([one.ours.to_string(), one.theirs.to_string(), percent(one.milli_percent())]);
        line
    });
    let lines: Vec<_> = differences.collect();
    if !lines.is_empty() {
        return lines;
    }
    let mut line = begin.to_vec();
    line.resize(8, String::new());
    vec![line]
}

fn document(result: &DayResult) -> serde_json::Value {
    let differences = result.comparison.differences.iter().map(|one| {
        json!({
            "model": one.model,
            "class": one.class,
            "ours": one.ours,
            "theirs": one.theirs,
            "percent": percent(one.milli_percent()),
        })
    });
    json!({
        "upstream": result.upstream,
        "day": result.day.to_string(),
        "result": result.comparison.verdict.as_str(),
        "error": result.error.as_ref().map(ToString::to_string),
        "differences": differences.collect::<Vec<_>>(),
    })
}

/// Thousandths of a percent as a decimal.
fn percent(thousandths: u64) -> String {
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}
