//! `sluice deposit chains`: whether deposits are taken at this moment, and what waits.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::list::moment;
use super::names::SettingNames;
use crate::cli::{CliError, CommandContext, Output};
use crate::db::models::chain_providers::{self, ProviderRow};
use crate::db::models::chains::{self, ChainRow};
use crate::db::models::{deposit_claims, deposits};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::DepositState;
use crate::domain::evm::ChainId;

/// States in which a deposit waits for something, each of which has a column.
const WAITING: [DepositState; 5] = [
    DepositState::Seen,
    DepositState::Confirming,
    DepositState::Held,
    DepositState::Unattributed,
    DepositState::BelowMinimum,
];

const HEADER: [&str; 14] = [
    "chain",
    "id",
    "status",
    "head",
    "final",
    "scanned",
    "lag",
    "last word",
    "claims",
    "seen",
    "confirming",
    "held",
    "unattributed",
    "small",
];

/// One chain, configured or read before.
struct ChainReport {
    chain_id: ChainId,
    name: String,
    is_configured: bool,
    row: Option<ChainRow>,
    /// Whether a server reads it now.
    is_read: bool,
    open_claims: i64,
    deposits: HashMap<DepositState, i64>,
    providers: Vec<ProviderRow>,
}

/// What the database says about all chains.
struct ChainTables {
    rows: Vec<ChainRow>,
    claims: Vec<(ChainId, i64)>,
    deposits: Vec<(ChainId, DepositState, i64)>,
    providers: Vec<ProviderRow>,
}

pub(super) fn run(
    desk: &CommandContext,
    is_json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let told = desk.with(|conn| transaction::snapshot(conn, read))?;
    let standings = standings(desk, &told);
    if is_json {
        return Ok(
            output.json(&Value::Array(standings.iter().map(ChainReport::document).collect()))?
        );
    }
    output.table(&HEADER, standings.iter().map(ChainReport::line))?;
    for standing in &standings {
        if let Some(complaint) = standing.complaint() {
            output.line(&crate::cli::output::printable(&complaint))?;
        }
    }
    for standing in standings.iter().filter(|standing| standing.is_configured) {
        for provider in &standing.providers {
            let sentence = format!("{}: {}", standing.name, usage(provider));
            output.line(&crate::cli::output::printable(&sentence))?;
        }
    }
    Ok(())
}

fn read(conn: &mut AnyConnection) -> Result<ChainTables, DbError> {
    Ok(ChainTables {
        rows: chains::all(conn)?,
        claims: deposit_claims::open_counts(conn)?,
        deposits: deposits::counts(conn)?,
        providers: chain_providers::all(conn)?,
    })
}

fn standings(desk: &CommandContext, told: &ChainTables) -> Vec<ChainReport> {
    let names = SettingNames::of(desk);
    let now = desk.clock.now();
    let configured: BTreeSet<ChainId> =
        desk.settings.chains.iter().map(|chain| chain.chain_id).collect();
    let known = told.rows.iter().map(|row| row.chain_id);
    let known = known.chain(told.deposits.iter().map(|(chain_id, ..)| *chain_id));
    let known = known.chain(told.claims.iter().map(|(chain_id, _)| *chain_id));
    let all: BTreeSet<ChainId> = configured.iter().copied().chain(known).collect();
    let standing = |chain_id: ChainId| {
        let row = told.rows.iter().find(|row| row.chain_id == chain_id).cloned();
        let mut claims = told.claims.iter().filter(|(of, _)| *of == chain_id);
        let deposits = told.deposits.iter().filter(|(of, ..)| *of == chain_id);
        let providers = told.providers.iter().filter(|row| row.chain_id == chain_id);
        ChainReport {
            chain_id,
            name: names.chain(chain_id),
            is_configured: configured.contains(&chain_id),
            is_read: row.as_ref().is_some_and(|row| row.lease_expires_at >= now),
            open_claims: claims.next().map_or(0, |(_, count)| *count),
            deposits: deposits.map(|(_, state, count)| (*state, *count)).collect(),
            providers: providers.cloned().collect(),
            row,
        }
    };
    all.into_iter().map(standing).collect()
}

impl ChainReport {
    /// The stored status, unless nobody is there to keep it true.
    fn status(&self) -> &str {
        match &self.row {
            _ if !self.is_configured => "not_configured",
            None => "unread",
            Some(_) if !self.is_read => "unread",
            Some(row) => &row.status,
        }
    }

    /// What is wrong, in a sentence.
    fn complaint(&self) -> Option<String> {
        let name = &self.name;
        match (self.status(), &self.row) {
            ("ok", Some(row)) => {
                // A remark that stops no chain, such as one about a coin.
                row.status_detail.as_deref().map(|detail| format!("{name}: {detail}"))
            }
            ("ok", None) => None,
            ("not_configured", _) => {
                Some(format!("{name}: not in the settings; it is not read and nothing is credited"))
            }
            ("unread", None) => Some(format!("{name}: no server has read it yet")),
            ("unread", Some(row)) => {
                let since = row.updated_at.to_rfc3339_secs();
                Some(format!("{name}: no server reads it; last update at {since}"))
            }
            (status, row) => {
                let detail = row.as_ref().and_then(|row| row.status_detail.as_deref());
                Some(format!("{name}: {status}: {}", detail.unwrap_or("no reason was given")))
            }
        }
    }

    fn count(&self, state: DepositState) -> i64 {
        self.deposits.get(&state).copied().unwrap_or(0)
    }

    /// Blocks between the head and what has been read.
    fn lag(&self) -> Option<i64> {
        let row = self.row.as_ref().filter(|row| row.scanned_number >= 0)?;
        Some(row.head_number.saturating_sub(row.scanned_number).max(0))
    }

    /// A height of the row; `None` where there is none yet.
    fn height(&self, of: fn(&ChainRow) -> i64) -> Option<i64> {
        self.row.as_ref().map(of).filter(|&height| height >= 0)
    }

    fn document(&self) -> Value {
        let deposits: serde_json::Map<String, Value> = DepositState::ALL
            .iter()
            .map(|&state| (state.as_str().to_owned(), self.count(state).into()))
            .collect();
        json!({
            "chain": self.name,
            "chain_id": self.chain_id,
            "status": self.status(),
            "detail": self.row.as_ref().and_then(|row| row.status_detail.as_deref()),
            "is_configured": self.is_configured,
            "is_read": self.is_read,
            "node": self.row.as_ref().map(|row| &row.node_id),
            "head": self.height(|row| row.head_number),
            "final": self.height(|row| row.final_number),
            "scanned": self.height(|row| row.scanned_number),
            "lag": self.lag(),
            "updated_at": self.row.as_ref().map(|row| moment(row.updated_at)),
            "open_claims": self.open_claims,
            "deposits": deposits,
            "providers": self.providers.iter().map(provider_document).collect::<Vec<_>>(),
        })
    }

    fn line(&self) -> Vec<String> {
        let shown = |height: Option<i64>| height.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let last_word = self.row.as_ref().map(|row| row.updated_at);
        let mut line = vec![
            self.name.clone(),
            self.chain_id.to_string(),
            self.status().to_owned(),
            shown(self.height(|row| row.head_number)),
            shown(self.height(|row| row.final_number)),
            shown(self.height(|row| row.scanned_number)),
            shown(self.lag()),
            last_word.map_or_else(|| "-".to_owned(), UnixMillis::to_rfc3339_secs),
            self.open_claims.to_string(),
        ];
        line.extend(WAITING.map(|state| self.count(state).to_string()));
        line
    }
}

/// What a provider is asked and takes, in a sentence.
fn usage(row: &ProviderRow) -> String {
    let count = |count: i64, what: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {what}{plural}")
    };
    let asked = row
        .asked_per_day
        .map_or_else(|| "not measured yet".to_owned(), |calls| format!("some {calls} calls a day"));
    let logs = row.log_blocks.map(|blocks| format!("logs of {}, ", count(blocks, "block")));
    let (batch, rate) = (count(row.batch_calls, "call"), count(row.calls_per_second, "call"));
    let takes = format!("{}{batch} a request, {rate} a second", logs.unwrap_or_default());
    let refusal = row.refusal.as_ref().map(|refusal| {
        let at = row.refused_at.unwrap_or(UnixMillis::from_millis(0)).to_rfc3339_secs();
        format!("; last {refusal} at {at}")
    });
    format!("{}: {asked}; takes {takes}{}", row.name, refusal.unwrap_or_default())
}

fn provider_document(row: &ProviderRow) -> Value {
    json!({
        "name": row.name,
        "asked_per_day": row.asked_per_day,
        "last_refusal": row.refusal,
        "last_refusal_at": row.refused_at.map(moment),
        "log_blocks": row.log_blocks,
        "batch_calls": row.batch_calls,
        "calls_per_second": row.calls_per_second,
        "updated_at": moment(row.updated_at),
    })
}
