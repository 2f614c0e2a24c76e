//! A usage row as it leaves the house, in answers and in exports: what is kept of an exchange. The
//! operator's name of the upstream is not in it: that is for the operator's eyes.

use serde::Serialize;
use utoipa::ToSchema;

use crate::db::models::usage_logs::UsageOfKey;
use crate::domain::spreadsheet::defused;

/// One request, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Usage)]
pub struct UsageDocument {
    /// The answer's `request-id`.
    pub id: String,
    /// When it was admitted, RFC 3339.
    pub created_at: String,
    /// The key that asked.
    pub key_id: String,
    /// What its owner calls it.
    pub key_name: String,
    /// `messages` or `messages_stream`.
    pub endpoint: String,
    /// The model that was asked for.
    pub requested_model: String,
    /// The model that the upstream says served.
    pub served_model: Option<String>,
    /// Uncached input tokens.
    pub input_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
    /// Tokens written to the 5-minute cache.
    pub cache_write_5m_tokens: i64,
    /// Tokens written to the 1-hour cache.
    pub cache_write_1h_tokens: i64,
    /// Tokens read from the cache.
    pub cache_read_tokens: i64,
    /// Web searches run by the upstream.
    pub web_searches: i64,
    /// As the upstream reported it.
    pub service_tier: Option<String>,
    /// As the upstream reported it.
    pub inference_geo: Option<String>,
    /// As the upstream reported it.
    pub speed: Option<String>,
    /// The price list that counted.
    pub price_version: String,
    /// What was charged, in dollars.
    pub cost: String,
    /// Milliseconds to the upstream's first content.
    pub first_byte_ms: Option<i64>,
    /// Milliseconds to the end.
    pub latency_ms: i64,
    /// The status of the answer.
    pub http_status: i32,
    /// How it ended, `E1` for complete.
    pub ending: String,
    /// Whether a count was estimated.
    pub is_estimated: bool,
}

impl From<&UsageOfKey> for UsageDocument {
    fn from(UsageOfKey { row, key_id, key_name, .. }: &UsageOfKey) -> Self {
        Self {
            id: row.id.clone(),
            created_at: row.created_at.to_string(),
            key_id: key_id.clone(),
            key_name: key_name.clone(),
            endpoint: row.endpoint.as_str().to_owned(),
            requested_model: row.requested_model.clone(),
            served_model: row.served_model.clone(),
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            cache_write_5m_tokens: row.cache_write_5m_tokens,
            cache_write_1h_tokens: row.cache_write_1h_tokens,
            cache_read_tokens: row.cache_read_tokens,
            web_searches: row.web_searches,
            service_tier: row.service_tier.clone(),
            inference_geo: row.inference_geo.clone(),
            speed: row.speed.clone(),
            price_version: row.price_version.clone(),
            cost: row.cost_nanousd.to_string(),
            first_byte_ms: row.first_byte_ms,
            latency_ms: row.latency_ms,
            http_status: row.http_status,
            ending: row.ending.code().to_owned(),
            is_estimated: row.is_estimated,
        }
    }
}

impl UsageDocument {
    /// The same with its words safe in a spreadsheet's cells.
    #[must_use]
    pub fn for_spreadsheet(mut self) -> Self {
        let words = [&mut self.key_name, &mut self.requested_model, &mut self.price_version];
        let reported = [
            &mut self.served_model,
            &mut self.service_tier,
            &mut self.inference_geo,
            &mut self.speed,
        ];
        for word in words.into_iter().chain(reported.into_iter().flatten()) {
            *word = defused(word).into_owned();
        }
        self
    }
}
