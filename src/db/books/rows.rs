//! The rows themselves, as the tables hold them. On `SQLite` an insert that leaves out what is
//! `None` is prepared anew each time (`treat_none_as_default_value`).

use diesel::prelude::*;

use crate::db::schema::{ledger_entries, reservations, usage_logs};
use crate::domain::clock::UnixMillis;
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::{Endpoint, Outcome, UsageRecord};

/// An open reservation.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = reservations, treat_none_as_default_value = false)]
pub struct ReservationRow {
    /// The exchange's name.
    pub id: String,
    /// Whose money is held.
    pub account_id: AccountId,
    /// Which key asked.
    pub api_key_id: ApiKeyId,
    /// The node that runs the exchange.
    pub node_id: String,
    /// How much is held.
    pub amount_nanousd: NanoUsd,
    /// The usage row to write if the node dies, as JSON of counts and names.
    pub record: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// What it may cost beyond what is held.
    pub risk_nanousd: NanoUsd,
}

/// A ledger entry.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = ledger_entries, treat_none_as_default_value = false)]
pub struct EntryRow {
    /// Whose books.
    pub account_id: AccountId,
    /// What it is for.
    pub kind: EntryKind,
    /// Unique within its kind.
    pub reference: String,
    /// A charge is negative.
    pub amount_nanousd: NanoUsd,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// A usage row as the table holds it.
#[derive(Clone, Debug, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = usage_logs, treat_none_as_null = true)]
#[diesel(treat_none_as_default_value = false)]
#[expect(missing_docs, reason = "each field is documented on `UsageRecord`")]
pub struct UsageRow {
    pub id: String,
    pub account_id: AccountId,
    pub api_key_id: ApiKeyId,
    pub created_at: UnixMillis,
    pub endpoint: Endpoint,
    pub requested_model: String,
    pub served_model: Option<String>,
    pub upstream: Option<String>,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cache_write_5m_tokens: i64,
    pub cache_write_1h_tokens: i64,
    pub cache_read_tokens: i64,
    pub web_searches: i64,
    pub service_tier: Option<String>,
    pub inference_geo: Option<String>,
    pub speed: Option<String>,
    pub price_version: String,
    pub cost_nanousd: NanoUsd,
    pub first_byte_ms: Option<i64>,
    pub latency_ms: i64,
    pub http_status: i32,
    pub ending: Outcome,
    pub is_estimated: bool,
}

impl From<&UsageRecord> for UsageRow {
    fn from(record: &UsageRecord) -> Self {
        Self {
            id: record.id.as_str().to_owned(),
            account_id: record.account_id,
            api_key_id: record.api_key_id,
            created_at: record.created_at,
            endpoint: record.endpoint,
            requested_model: record.requested_model.clone(),
            served_model: record.served_model.clone(),
            upstream: record.upstream.clone(),
            input_tokens: record.input_tokens,
            output_tokens: record.output_tokens,
            cache_write_5m_tokens: record.cache_write_5m_tokens,
            cache_write_1h_tokens: record.cache_write_1h_tokens,
            cache_read_tokens: record.cache_read_tokens,
            web_searches: record.web_searches,
            service_tier: record.service_tier.clone(),
            inference_geo: record.inference_geo.clone(),
            speed: record.speed.clone(),
            price_version: record.price_version.clone(),
            cost_nanousd: record.cost,
            first_byte_ms: record.first_byte_ms,
            latency_ms: record.latency_ms,
            http_status: record.http_status,
            ending: record.ending,
            is_estimated: record.is_estimated,
        }
    }
}
