//! An account's rows as JSON: every column but row numbers, hashes and secrets. Amounts are dollars
//! as decimal text, moments RFC 3339 in UTC, bytes hexadecimal.

use serde_json::{Value, json};

use crate::db::archive::OtherColumns;
use crate::db::books::{PassRow, ReservationRow};
use crate::db::models::accounts::AccountRow;
use crate::db::models::api_keys::ApiKeyRow;
use crate::db::models::arrivals::ArrivalRow;
use crate::db::models::audit::AuditRow;
use crate::db::models::deposit_addresses::AddressRow;
use crate::db::models::deposit_claims::ClaimRow;
use crate::db::models::deposit_refunds::RefundRow;
use crate::db::models::deposits::DepositRow;
use crate::db::models::outbox::OutboxRow;
use crate::db::models::refused_requests::RefusedRow;
use crate::db::models::sessions::SessionRow;
use crate::db::models::wallets::{ChallengeRow, EVERY_CHAIN, WalletRow};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::evm::to_hex;
use crate::domain::money::NanoUsd;

pub(super) fn account(
    row: &AccountRow,
    other: &OtherColumns,
    (has_password, codes_left): (bool, i64),
) -> Value {
    json!({
        "id": row.public_id,
        "email": row.email,
        "status": row.status,
        "available": usd(row.available_nanousd),
        "reserved": usd(row.reserved_nanousd),
        "created_at": moment(row.created_at),
        "has_password": has_password,
        "totp_enabled_at": other.totp_enabled_at.map(moment),
        "totp_last_step": other.totp_last_step,
        "recovery_codes_left": codes_left,
        "preferences": {
            "low_balance": other.low_balance_nanousd.map(usd),
            "wants_notices": other.wants_notices,
        },
        "closing_at": other.closing_at.map(moment),
        "closing_waives_balance": other.closing_waives_balance,
        "spend_notified_at": other.spend_notified_at.map(moment),
        "low_balance_notified_at": other.low_balance_notified_at.map(moment),
        "deposit_notified_at": other.deposit_notified_at.map(moment),
        "deposit_trouble_notified_at": other.deposit_trouble_notified_at.map(moment),
        "log_in_expected_at": other.log_in_expected_at.map(moment),
        "at_risk": usd(row.at_risk_nanousd),
        "first_charged_at": other.first_charged_at.map(moment),
        "wrong_codes": other.wrong_codes,
        "wrong_codes_began_at": other.wrong_codes_began_at.map(moment),
        "wrong_codes_pardoned_at": other.wrong_codes_pardoned_at.map(moment),
        "credentials_epoch": other.credentials_epoch,
    })
}

pub(super) fn refusal((row, key_id): &(RefusedRow, String)) -> Value {
    json!({
        "key_id": key_id,
        "day": UtcDay::from_number(row.day).to_string(),
        "reason": row.reason.as_str(),
        "requests": row.requests,
    })
}

pub(super) fn session(row: &SessionRow) -> Value {
    json!({
        "id": row.public_id,
        "created_at": moment(row.created_at),
        "last_seen_at": moment(row.last_seen_at),
        "expires_at": moment(row.expires_at),
    })
}

pub(super) fn log_in((expires_at, wrong_codes): &(UnixMillis, i64)) -> Value {
    json!({ "expires_at": moment(*expires_at), "wrong_codes": wrong_codes })
}

pub(super) fn link(
    (purpose, email, created_at, expires_at): &(String, String, UnixMillis, UnixMillis),
) -> Value {
    json!({
        "purpose": purpose,
        "email": email,
        "created_at": moment(*created_at),
        "expires_at": moment(*expires_at),
    })
}

pub(super) fn key(row: &ApiKeyRow) -> Value {
    let (limits, spending) = (row.limits(), row.spending());
    json!({
        "id": row.public_id,
        "name": row.name,
        "created_at": moment(row.created_at),
        "revoked_at": row.revoked_at.map(moment),
        "last_used_at": row.last_used_at.map(moment),
        "scopes": limits.scopes.names().collect::<Vec<_>>(),
        "models": limits.models,
        "monthly_budget": limits.monthly_budget.map(|amount| amount.to_string()),
        "total_budget": limits.total_budget.map(|amount| amount.to_string()),
        "requests_per_minute": limits.requests_per_minute,
        "max_streams": limits.max_streams,
        "expires_at": limits.expires_at.map(|at| at.to_string()),
        "spent": spending.spent.to_string(),
        "month_begins_at": spending.month.begin().to_string(),
        "month_spent": spending.month_spent.to_string(),
        "paused_until": spending.paused_until.map(|at| at.to_string()),
        "pause_notified_at": row.pause_notified_at.map(moment),
        "hint": row.hint,
        "paused_at": row.paused_at.map(moment),
        "rotated_at": row.rotated_at.map(moment),
        "previous_hint": row.previous_hint,
        "previous_expires_at": row.previous_expires_at.map(moment),
    })
}

pub(super) fn running((row, key): &(ReservationRow, String)) -> Value {
    // It is JSON of ours; where it does not read back, it is shown as it stands.
    let mut record = serde_json::from_str::<Value>(&row.record);
    // What the operator calls an upstream is for the operator.
    if let Ok(Value::Object(fields)) = &mut record {
        fields.remove("upstream");
    }
    json!({
        "id": row.id,
        "key_id": key,
        "held": usd(row.amount_nanousd),
        "risk": usd(row.risk_nanousd),
        "created_at": moment(row.created_at),
        "record": record.unwrap_or_else(|_| Value::String(row.record.clone())),
    })
}

pub(super) fn pass(row: &PassRow) -> Value {
    json!({
        "usage_id": row.usage_id,
        "ordinal": row.ordinal,
        "kind": row.kind,
        "model": row.model,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cache_write_5m_tokens": row.cache_write_5m_tokens,
        "cache_write_1h_tokens": row.cache_write_1h_tokens,
        "cache_read_tokens": row.cache_read_tokens,
        "waiver": row.waiver,
        "is_credit_redeemed": row.is_credit_redeemed,
    })
}

pub(super) fn wallet(row: &WalletRow) -> Value {
    json!({
        "id": row.public_id,
        "kind": row.kind,
        "chain_id": (row.chain_id != EVERY_CHAIN).then_some(row.chain_id),
        "address": row.address.to_string(),
        "proof_hash": row.proof_hash.as_deref().map(to_hex),
        "proof_signature": row.proof_signature.as_deref().map(to_hex),
        "proven_at": moment(row.proven_at),
        "ended_at": row.ended_at.map(moment),
        "end_reason": row.end_reason,
        "label": row.label,
    })
}

pub(super) fn challenge(row: &ChallengeRow) -> Value {
    json!({
        "nonce": row.nonce,
        "chain_id": row.chain_id,
        "address": row.address.to_string(),
        "issued_at": moment(row.issued_at),
        "expires_at": moment(row.expires_at),
        "used_at": row.used_at.map(moment),
    })
}

pub(super) fn address(row: &AddressRow) -> Value {
    json!({
        "address": row.address.to_string(),
        "derivation_index": row.derivation_index,
        "created_at": moment(row.created_at),
    })
}

pub(super) fn arrival(row: &ArrivalRow) -> Value {
    json!({
        "chain_id": row.chain_id,
        "address": row.address.to_string(),
        "token": row.token.map(|one| one.to_string()),
        "after_number": row.after_number,
        "block_number": row.block_number,
        "raw_amount": row.raw_amount,
        "tx_hash": row.tx_hash.map(|one| one.to_string()),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    })
}

pub(super) fn deposit(row: &DepositRow) -> Value {
    json!({
        "id": row.public_id,
        "chain_id": row.chain_id,
        "tx_hash": row.tx_hash.to_string(),
        "ordinal": row.ordinal,
        "token": row.token.map(|one| one.to_string()),
        "payer": row.payer.to_string(),
        "payee": row.payee.to_string(),
        "raw_amount": row.raw_amount,
        "block_number": row.block_number,
        "block_hash": row.block_hash.to_string(),
        "block_time": moment(row.block_time),
        "state": row.state,
        "reason": row.reason,
        "value": row.value_nanousd.map(usd),
        "price_feed": row.price_feed.map(|one| one.to_string()),
        "price_round": row.price_round,
        "price_answer": row.price_answer,
        "credit_number": row.credit_number,
        "early_credit_at": row.early_credit_at.map(moment),
        "early_value": row.early_value_nanousd.map(usd),
        "is_provisional": row.is_provisional,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    })
}

pub(super) fn claim(row: &ClaimRow) -> Value {
    json!({
        "id": row.public_id,
        "chain_id": row.chain_id,
        "tx_hash": row.tx_hash.to_string(),
        "state": row.state,
        "reason": row.reason,
        "tries": row.tries,
        "check_at": row.check_at.map(moment),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    })
}

pub(super) fn refund((row, deposit): &(RefundRow, String)) -> Value {
    json!({
        "id": row.public_id,
        "deposit_id": deposit,
        "state": row.state,
        "amount": usd(row.amount_nanousd),
        "tx_hash": row.tx_hash.map(|one| one.to_string()),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    })
}

pub(super) fn mail(row: &OutboxRow) -> Value {
    json!({
        "message_id": row.message_id,
        "kind": row.kind,
        "recipient": row.recipient,
        "params": serde_json::from_str(&row.params)
            .unwrap_or_else(|_| Value::String(row.params.clone())),
        "tries": row.tries,
        "due_at": moment(row.due_at),
        "created_at": moment(row.created_at),
    })
}

pub(super) fn decision(row: &AuditRow) -> Value {
    json!({
        "created_at": moment(row.created_at),
        "action": row.action,
        "subject": row.subject,
        "detail": row.detail,
    })
}

fn moment(at: UnixMillis) -> String {
    at.to_string()
}

fn usd(amount: NanoUsd) -> String {
    amount.to_string()
}
