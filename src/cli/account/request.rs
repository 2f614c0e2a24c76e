//! `sluice account request`: one request by its id.

use serde_json::json;

use super::show::{running_document, usage_document};
use crate::cli::{CliError, CommandContext, Output};
use crate::domain::money::NanoUsd;
use crate::operator::lookup::{self, RequestState};

pub(super) fn run(
    id: &str,
    desk: &CommandContext,
    is_json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let found = desk.with(|conn| lookup::request(conn, id.trim()))?;
    let (state, mut shown) = match &found.state {
        RequestState::Running(row) => ("running", running_document(row)),
        RequestState::Ended(usage) => ("ended", usage_document(&usage.row)),
    };
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("state".to_owned(), json!(state));
        fields.insert("account".to_owned(), json!(found.account.public_id));
        if let RequestState::Ended(usage) = &found.state {
            fields.insert("key".to_owned(), json!(usage.key_id));
        }
    }
    if is_json {
        return Ok(output.json(&shown)?);
    }
    let account = format!("{} ({})", found.account.public_id, found.account.email);
    let mut fields = vec![("request", id.trim().to_owned()), ("account", account)];
    match &found.state {
        RequestState::Running(row) => {
            fields.extend([
                ("state", "running".to_owned()),
                ("since", row.created_at.to_string()),
                ("held", usd(row.amount_nanousd)),
                ("at risk", usd(row.risk_nanousd)),
                ("node", row.node_id.clone()),
            ]);
        }
        RequestState::Ended(usage) => fields.extend(ended(usage)),
    }
    Ok(output.table(&[], fields.into_iter().map(|(name, value)| vec![name.to_owned(), value]))?)
}

fn ended(usage: &crate::db::models::usage_logs::UsageOfKey) -> Vec<(&'static str, String)> {
    let row = &usage.row;
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let estimated = if row.is_estimated { " (estimated)" } else { "" };
    vec![
        ("key", format!("{} ({})", usage.key_id, usage.key_name)),
        ("time", row.created_at.to_string()),
        ("endpoint", row.endpoint.as_str().to_owned()),
        ("model", row.requested_model.clone()),
        ("served by", dash(&row.served_model)),
        ("upstream", dash(&row.upstream)),
        ("ending", format!("{}{estimated}", row.ending.code())),
        ("status", row.http_status.to_string()),
        ("input tokens", row.input_tokens.to_string()),
        ("output tokens", row.output_tokens.to_string()),
        ("cache write tokens, 5 min", row.cache_write_5m_tokens.to_string()),
        ("cache write tokens, 1 h", row.cache_write_1h_tokens.to_string()),
        ("cache read tokens", row.cache_read_tokens.to_string()),
        ("web searches", row.web_searches.to_string()),
        ("cost", usd(row.cost_nanousd)),
        ("prices", row.price_version.clone()),
        ("first byte", row.first_byte_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"))),
        ("latency", format!("{} ms", row.latency_ms)),
    ]
}

fn usd(amount: NanoUsd) -> String {
    format!("{amount} USD")
}
