//! `sluice prices …`: the price list in force, and what another list has otherwise. Needs no
//! database.

mod diff;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CliError, Output};
use crate::config::{self, LoadPurpose, Sources};
use crate::domain::clock::{Clock, UnixMillis, UtcDay};
use crate::domain::money::NanoUsd;
use crate::domain::price_list::{Model, Multiplier, PriceList, Rates, TokenPrices};
use diff::PriceDifference;

#[derive(Subcommand)]
pub(super) enum PricesCommand {
    /// Print every model with all its prices, before the markup.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare the list in force with that of a settings file, of which only `[models."ID"]` is
    /// read. Exits 0 if they are the same, 1 if not, 2 if the file cannot be read.
    Diff {
        /// The file. Keys that a model leaves out are as in the reference.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(
    command: &PricesCommand,
    sources: &Sources,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let settings = config::load_for(sources, LoadPurpose::Command)?;
    match command {
        PricesCommand::List { json: true } => {
            let now = Clock::System.now();
            let models = settings.prices.models().map(|model| document(model, now));
            output.json(&json!({ "currency": "USD", "models": models.collect::<Vec<_>>() }))?;
            Ok(ExitCode::SUCCESS)
        }
        PricesCommand::List { json: false } => {
            print(&settings.prices, output)?;
            Ok(ExitCode::SUCCESS)
        }
        PricesCommand::Diff { file, json } => {
            let other = config::prices_of(file)?;
            let found = diff::differences(&settings.prices, &other);
            print_differences(&found, *json, output)?;
            Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// The names of the classes of tokens, in the order of the settings, and their prices.
fn classes(prices: &TokenPrices) -> [(&'static str, NanoUsd); 5] {
    [
        ("input", prices.input),
        ("output", prices.output),
        ("cache_write_5m", prices.cache_write_5m),
        ("cache_write_1h", prices.cache_write_1h),
        ("cache_read", prices.cache_read),
    ]
    .map(|(class, nanos)| (class, NanoUsd::from_nanos(nanos)))
}

/// A factor in thousandths, such as `1.1`.
fn factor(thousandths: u32) -> String {
    let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn day(moment: UnixMillis) -> UtcDay {
    moment.day()
}

fn print(prices: &PriceList, output: &mut Output) -> Result<(), CliError> {
    let header =
        ["model", "from", "until", "input", "output", "write 5m", "write 1h", "read", "factors"];
    let mut rows = Vec::new();
    for model in prices.models() {
        for (from, rates) in model.periods() {
            let until = model.retires_at.map_or_else(String::new, |day| day.to_string());
            let line = |prefix: String, until: String, prices: &TokenPrices, factors: String| {
                let amounts = classes(prices).map(|(_, amount)| amount.to_string());
                let start = [prefix, day(from).to_string(), until];
                start.into_iter().chain(amounts).chain([factors]).collect::<Vec<_>>()
            };
            let id = model.id.as_str().to_owned();
            rows.push(line(id, until.clone(), &rates.base, factors(rates)));
            if let Some(long) = &rates.long_prompt {
                let prefix = format!("  above {} tokens", long.above_tokens);
                rows.push(line(prefix, until, &long.prices, String::new()));
            }
        }
    }
    output.table(&header, rows)?;
    Ok(())
}

fn factors(rates: &Rates) -> String {
    let named = rates.geo.iter().chain(&rates.speed).map(|(name, factor)| (name.as_str(), *factor));
    let all = named.chain([("batch", rates.batch)]);
    let texts = all.map(|(name, by)| format!("{name} {}", factor(by.as_thousandths())));
    texts.collect::<Vec<_>>().join(", ")
}

fn document(model: &Model, now: UnixMillis) -> Value {
    let prices = |prices: &TokenPrices| {
        let named =
            classes(prices).map(|(class, amount)| (class.to_owned(), json!(amount.to_string())));
        Value::Object(named.into_iter().collect())
    };
    let factors = |named: &BTreeMap<String, Multiplier>| {
        let texts =
            named.iter().map(|(name, by)| (name.clone(), json!(factor(by.as_thousandths()))));
        Value::Object(texts.collect())
    };
    let in_force = model.rates_at(now).map(|rates| rates.version.as_str());
    let periods = model.periods().map(|(from, rates)| {
        json!({
            "from": day(from).to_string(),
            "version": rates.version,
            "is_in_force": in_force == Some(rates.version.as_str()),
            "per_million_tokens": prices(&rates.base),
            "long_prompt": rates.long_prompt.as_ref().map(|long| json!({
                "above_tokens": long.above_tokens,
                "per_million_tokens": prices(&long.prices),
            })),
            "geo": factors(&rates.geo),
            "speed": factors(&rates.speed),
            "batch": factor(rates.batch.as_thousandths()),
        })
    });
    json!({
        "id": model.id.as_str(),
        "display_name": model.display_name,
        "released_at": day(model.created_at).to_string(),
        "retires_at": model.retires_at.map(|day| day.to_string()),
        "successor": model.successor,
        "context_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "periods": periods.collect::<Vec<_>>(),
    })
}

fn print_differences(
    found: &[PriceDifference],
    is_json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    if is_json {
        let rows = found.iter().map(|one| {
            json!({ "model": one.model, "from": one.from.map(|day| day.to_string()),
                    "what": one.what, "ours": one.ours, "theirs": one.theirs })
        });
        let rows = rows.collect::<Vec<_>>();
        output.json(&json!({ "is_same": found.is_empty(), "differences": rows }))?;
        return Ok(());
    }
    if found.is_empty() {
        output.line("the lists are equal")?;
        return Ok(());
    }
    let rows = found.iter().map(|one| {
        let or_missing = |side: &Option<String>| side.clone().unwrap_or_else(|| "missing".into());
        let from = one.from.map_or_else(String::new, |day| day.to_string());
        let (ours, theirs) = (or_missing(&one.ours), or_missing(&one.theirs));
        vec![one.model.clone(), from, one.what.clone(), ours, theirs]
    });
    output.table(&["model", "from", "what", "in force", "file"], rows)?;
    Ok(())
}
