//! Rows of the usage log that nobody has asked for.

use diesel::prelude::*;
use sluice::db::AnyConnection;
use sluice::db::schema::usage_logs;

/// A request of a key that was settled at a moment for so much, without its ledger entry.
pub(crate) fn insert(
    conn: &mut AnyConnection,
    id: &str,
    (account, key): (i64, i64),
    at: i64,
    cost_nanousd: i64,
) {
    let row = (
        usage_logs::id.eq(id),
        usage_logs::account_id.eq(account),
        usage_logs::api_key_id.eq(key),
        usage_logs::created_at.eq(at),
        usage_logs::endpoint.eq("messages"),
        usage_logs::requested_model.eq("claude-haiku-4-5"),
        (
            usage_logs::input_tokens.eq(1),
            usage_logs::output_tokens.eq(1),
            usage_logs::cache_write_5m_tokens.eq(0),
            usage_logs::cache_write_1h_tokens.eq(0),
            usage_logs::cache_read_tokens.eq(0),
            usage_logs::web_searches.eq(0),
            usage_logs::price_version.eq("test"),
            usage_logs::cost_nanousd.eq(cost_nanousd),
            usage_logs::latency_ms.eq(1),
            usage_logs::http_status.eq(200),
            usage_logs::ending.eq("E1"),
            usage_logs::is_estimated.eq(false),
        ),
    );
    diesel::insert_into(usage_logs::table).values(row).execute(conn).unwrap();
}
