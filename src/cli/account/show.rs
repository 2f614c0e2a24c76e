//! How an account and its requests are printed.

use serde_json::{Value, json};

use crate::cli::{CliError, Output};
use crate::db::books::{ReservationRow, UsageRow};
use crate::db::models::accounts::AccountRow;
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::UsageRecord;

pub(super) fn show(
    account: &AccountRow,
    (usage, running): (&[UsageRow], &[ReservationRow]),
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    if json {
        let mut shown = document(account);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("running".to_owned(), running.iter().map(running_document).collect());
            fields.insert("usage".to_owned(), usage.iter().map(usage_document).collect());
        }
        output.json(&shown)?;
        return Ok(());
    }
    let AccountRow { public_id, email, status, .. } = account;
    let (available, reserved) = (account.available_nanousd, account.reserved_nanousd);
    let fields = [
        ("account", public_id.clone()),
        ("email", email.clone()),
        ("status", status.to_string()),
        ("available", format!("{available} USD")),
        ("reserved", format!("{reserved} USD")),
        ("at risk", format!("{} USD", account.at_risk_nanousd)),
    ];
    output.table(&[], fields.map(|(name, value)| vec![name.to_owned(), value]))?;
    if !running.is_empty() {
        let header = ["running", "since", "model", "held USD", "at risk USD", "prompt"];
        output.table(&header, running.iter().map(running_row))?;
    }
    if !usage.is_empty() {
        let header = ["request", "time", "model", "in", "out", "status", "ending", "cost USD"];
        output.table(&header, usage.iter().map(usage_row))?;
    }
    Ok(())
}

pub(super) fn document(account: &AccountRow) -> Value {
    json!({
        "id": account.public_id,
        "email": account.email,
        "status": account.status,
        "available": account.available_nanousd.to_string(),
        "reserved": account.reserved_nanousd.to_string(),
        "at_risk": account.at_risk_nanousd.to_string(),
        "created_at": account.created_at.to_string(),
    })
}

/// Whether the hold for a running request is an estimate, or what its prompt costs for certain and
/// a slice of output.
fn prompt_is(row: &ReservationRow) -> (&'static str, String) {
    let record: Option<UsageRecord> = serde_json::from_str(&row.record).ok();
    let is_counted = record
        .as_ref()
        .is_some_and(|record| row.risk_nanousd == NanoUsd::ZERO && record.cost > NanoUsd::ZERO);
    let model = record.map(|record| record.requested_model).unwrap_or_default();
    (if is_counted { "counted" } else { "estimated" }, model)
}

fn running_row(row: &ReservationRow) -> Vec<String> {
    let (prompt, model) = prompt_is(row);
    vec![
        row.id.clone(),
        row.created_at.to_string(),
        model,
        row.amount_nanousd.to_string(),
        row.risk_nanousd.to_string(),
        prompt.to_owned(),
    ]
}

pub(super) fn running_document(row: &ReservationRow) -> Value {
    let (prompt, model) = prompt_is(row);
    json!({
        "id": row.id,
        "created_at": row.created_at.to_string(),
        "requested_model": model,
        "held": row.amount_nanousd.to_string(),
        "at_risk": row.risk_nanousd.to_string(),
        "prompt": prompt,
    })
}

pub(super) fn usage_document(row: &UsageRow) -> Value {
    json!({
        "id": row.id,
        "created_at": row.created_at.to_string(),
        "endpoint": row.endpoint.as_str(),
        "requested_model": row.requested_model,
        "served_model": row.served_model,
        "upstream": row.upstream,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cache_write_5m_tokens": row.cache_write_5m_tokens,
        "cache_write_1h_tokens": row.cache_write_1h_tokens,
        "cache_read_tokens": row.cache_read_tokens,
        "web_searches": row.web_searches,
        "service_tier": row.service_tier,
        "inference_geo": row.inference_geo,
        "speed": row.speed,
        "price_version": row.price_version,
        "cost": row.cost_nanousd.to_string(),
        "first_byte_ms": row.first_byte_ms,
        "latency_ms": row.latency_ms,
        "http_status": row.http_status,
        "ending": row.ending.code(),
        "is_estimated": row.is_estimated,
    })
}

fn usage_row(row: &UsageRow) -> Vec<String> {
    let estimated = if row.is_estimated { " (estimated)" } else { "" };
    vec![
        row.id.clone(),
        row.created_at.to_string(),
        row.served_model.clone().unwrap_or_else(|| row.requested_model.clone()),
        row.input_tokens.to_string(),
        row.output_tokens.to_string(),
        row.http_status.to_string(),
        format!("{}{estimated}", row.ending.code()),
        row.cost_nanousd.to_string(),
    ]
}
