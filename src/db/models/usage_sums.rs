//! The usage log, summed up by what an upstream bills for: tokens of a day by model and class.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UtcDay;
use crate::domain::usage::TokenCounts;

#[derive(QueryableByName)]
struct ModelSumsRow {
    #[diesel(sql_type = Text)]
    model: String,
    #[diesel(sql_type = BigInt)]
    input_tokens: i64,
    #[diesel(sql_type = BigInt)]
    output_tokens: i64,
    #[diesel(sql_type = BigInt)]
    cache_write_5m_tokens: i64,
    #[diesel(sql_type = BigInt)]
    cache_write_1h_tokens: i64,
    #[diesel(sql_type = BigInt)]
    cache_read_tokens: i64,
}

/// What requests admitted on a UTC day have used at an upstream, by the name of the model that
/// served. An answer of several passes counts pass by pass, without those that are free.
pub fn of_upstream(
    conn: &mut AnyConnection,
    upstream: &str,
    day: UtcDay,
) -> Result<Vec<(String, TokenCounts)>, DbError> {
    let rows: Vec<ModelSumsRow> = diesel::sql_query(
        "WITH asked AS (
             SELECT id, requested_model, COALESCE(served_model, requested_model) AS served,
                    input_tokens, output_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
                    cache_read_tokens
             FROM usage_logs WHERE upstream = $1 AND created_at >= $2 AND created_at < $3),
         passes AS (
             SELECT served AS model, input_tokens, output_tokens, cache_write_5m_tokens,
                    cache_write_1h_tokens, cache_read_tokens
             FROM asked
             WHERE NOT EXISTS (SELECT 1 FROM usage_passes WHERE usage_id = asked.id)
             UNION ALL
             SELECT COALESCE(pass.model,
                        CASE WHEN pass.kind = 'attempt' THEN requested_model ELSE served END),
                    pass.input_tokens, pass.output_tokens, pass.cache_write_5m_tokens,
                    pass.cache_write_1h_tokens, pass.cache_read_tokens
             FROM asked JOIN usage_passes AS pass ON pass.usage_id = asked.id
             WHERE pass.waiver IS NULL)
         SELECT model, CAST(SUM(input_tokens) AS BIGINT) AS input_tokens,
                CAST(SUM(output_tokens) AS BIGINT) AS output_tokens,
                CAST(SUM(cache_write_5m_tokens) AS BIGINT) AS cache_write_5m_tokens,
                CAST(SUM(cache_write_1h_tokens) AS BIGINT) AS cache_write_1h_tokens,
                CAST(SUM(cache_read_tokens) AS BIGINT) AS cache_read_tokens
         FROM passes GROUP BY model ORDER BY model",
    )
    .bind::<Text, _>(upstream)
    .bind::<BigInt, _>(day.begin())
    .bind::<BigInt, _>(day.plus(1).begin())
    .load(conn)?;
    let count = |stored: i64| u64::try_from(stored).unwrap_or(0);
    let sums = rows.into_iter().map(|row| {
        let tokens = TokenCounts {
            input: count(row.input_tokens),
            output: count(row.output_tokens),
            cache_write_5m: count(row.cache_write_5m_tokens),
            cache_write_1h: count(row.cache_write_1h_tokens),
            cache_read: count(row.cache_read_tokens),
        };
        (row.model, tokens)
    });
    Ok(sums.collect())
}
