//! What each provider of a chain is asked and takes, as the node that reads the chain has noted it.

use diesel::prelude::*;

use crate::db::schema::chain_providers;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::ChainId;

/// How a provider stands.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = chain_providers, treat_none_as_null = true)]
pub struct ProviderRow {
    /// The chain.
    pub chain_id: ChainId,
    /// The operator's name for it.
    pub name: String,
    /// Calls a day, by those of the last hour; none before the first minute is over.
    pub asked_per_day: Option<i64>,
    /// What it last refused or left unanswered, in a sentence of ours.
    pub refusal: Option<String>,
    /// When that was.
    pub refused_at: Option<UnixMillis>,
    /// Blocks over which it gives logs.
    pub log_blocks: Option<i64>,
    /// Calls that it takes in one request.
    pub batch_calls: i64,
    /// Calls that it bears within a second.
    pub calls_per_second: i64,
    /// When this was noted.
    pub updated_at: UnixMillis,
}

/// Notes how the providers of a chain stand; others of that chain are forgotten.
pub fn note(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    rows: &[ProviderRow],
) -> Result<(), DbError> {
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let gone = chain_providers::table
        .filter(chain_providers::chain_id.eq(chain_id))
        .filter(chain_providers::name.ne_all(names));
    diesel::delete(gone).execute(conn)?;
    for row in rows {
        on_either!(conn => diesel::insert_into(chain_providers::table)
            .values(row)
            .on_conflict((chain_providers::chain_id, chain_providers::name))
            .do_update()
            .set(row)
            .execute(conn))?;
    }
    Ok(())
}

/// All providers, by chain and name.
pub fn all(conn: &mut AnyConnection) -> Result<Vec<ProviderRow>, DbError> {
    let ordered = chain_providers::table.order((chain_providers::chain_id, chain_providers::name));
    Ok(ordered.select(ProviderRow::as_select()).load(conn)?)
}
