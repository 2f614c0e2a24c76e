//! The passes of answers that took several, or one that is no ordinary one. They come with a usage
//! row and go with it.

use diesel::dsl::{delete, insert_into};
use diesel::prelude::*;

use crate::db::AnyConnection;
use crate::db::schema::usage_passes;
use crate::domain::usage::{Pass, PassKind, TokenCounts, Waiver};
use crate::domain::usage_record::UsageRecord;

/// A pass as the table holds it.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = usage_passes)]
pub struct PassRow {
    /// The exchange's name.
    pub usage_id: String,
    /// Its place, from 0.
    pub ordinal: i64,
    /// What it was: see [`PassKind`].
    pub kind: String,
    /// The priced id of the model that ran it.
    pub model: Option<String>,
    /// Uncached input tokens.
    pub input_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
    /// 5-minute cache writes.
    pub cache_write_5m_tokens: i64,
    /// 1-hour cache writes.
    pub cache_write_1h_tokens: i64,
    /// Cache reads.
    pub cache_read_tokens: i64,
    /// Why it is free, if it is: see [`Waiver`].
    pub waiver: Option<String>,
    /// Its cache writes cost what reads do.
    pub is_credit_redeemed: bool,
}

impl PassRow {
    /// The rows of an exchange; none for an ordinary answer.
    pub(crate) fn of(record: &UsageRecord) -> Vec<Self> {
        let stored = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        (0_i64..)
            .zip(&record.passes)
            .map(|(ordinal, pass)| Self {
                usage_id: record.id.as_str().to_owned(),
                ordinal,
                kind: pass.kind.as_str().to_owned(),
                model: pass.model.clone(),
                input_tokens: stored(pass.tokens.input),
                output_tokens: stored(pass.tokens.output),
                cache_write_5m_tokens: stored(pass.tokens.cache_write_5m),
                cache_write_1h_tokens: stored(pass.tokens.cache_write_1h),
                cache_read_tokens: stored(pass.tokens.cache_read),
                waiver: pass.waiver.map(|waiver| waiver.as_str().to_owned()),
                is_credit_redeemed: pass.is_credit_redeemed,
            })
            .collect()
    }

    /// The pass that it stands for.
    #[must_use]
    pub fn read(&self) -> Pass {
        let count = |stored: i64| u64::try_from(stored).unwrap_or(0);
        Pass {
            kind: PassKind::parse(&self.kind).unwrap_or(PassKind::Answer),
            model: self.model.clone(),
            tokens: TokenCounts {
                input: count(self.input_tokens),
                output: count(self.output_tokens),
                cache_write_5m: count(self.cache_write_5m_tokens),
                cache_write_1h: count(self.cache_write_1h_tokens),
                cache_read: count(self.cache_read_tokens),
            },
            waiver: self.waiver.as_deref().and_then(Waiver::parse),
            is_credit_redeemed: self.is_credit_redeemed,
        }
    }
}

/// Stores the passes of new usage rows, which must be there already.
pub(crate) fn insert_passes(conn: &mut AnyConnection, rows: &[PassRow]) -> QueryResult<()> {
    match conn {
        AnyConnection::Postgres(conn) if !rows.is_empty() => {
            insert_into(usage_passes::table).values(rows).execute(conn)?;
        }
        AnyConnection::Postgres(_) => {}
        AnyConnection::Sqlite(conn) => {
            for row in rows {
                insert_into(usage_passes::table).values(row).execute(conn)?;
            }
        }
    }
    Ok(())
}

/// Removes the passes of an exchange, whose true ones come.
pub(crate) fn delete_passes(conn: &mut AnyConnection, usage_id: &str) -> QueryResult<()> {
    delete(usage_passes::table.filter(usage_passes::usage_id.eq(usage_id))).execute(conn)?;
    Ok(())
}

/// The passes of an exchange in their order; none for an ordinary answer.
pub(crate) fn passes_of(conn: &mut AnyConnection, usage_id: &str) -> QueryResult<Vec<PassRow>> {
    usage_passes::table
        .filter(usage_passes::usage_id.eq(usage_id))
        .order(usage_passes::ordinal)
        .select(PassRow::as_select())
        .load(conn)
}
