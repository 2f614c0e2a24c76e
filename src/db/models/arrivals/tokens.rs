//! Tokens that arrived and are not accepted, and how far they were looked for: queries.

use diesel::prelude::*;

use super::{ArrivalRow, note};
use crate::db::schema::{deposit_arrivals, token_looks};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::ChainId;

/// Notes a token that arrived; of each address and token the first time. Beyond `most` tokens of an
/// address the oldest go, so that nobody fills it up by sending many.
pub fn note_token(conn: &mut AnyConnection, row: &ArrivalRow, most: i64) -> Result<(), DbError> {
    note(conn, row)?;
    let too_many: Vec<i64> = deposit_arrivals::table
        .filter(deposit_arrivals::chain_id.eq(row.chain_id))
        .filter(deposit_arrivals::address.eq(row.address))
        .filter(deposit_arrivals::token.is_not_null())
        .order(deposit_arrivals::id.desc())
        .offset(most)
        .limit(1_000)
        .select(deposit_arrivals::id)
        .load(conn)?;
    diesel::delete(deposit_arrivals::table.filter(deposit_arrivals::id.eq_any(too_many)))
        .execute(conn)?;
    Ok(())
}

/// How far tokens were looked for on a chain, and when: block and moment.
pub fn token_look(
    conn: &mut AnyConnection,
    chain_id: ChainId,
) -> Result<Option<(i64, UnixMillis)>, DbError> {
    let row = token_looks::table
        .find(chain_id)
        .select((token_looks::block_number, token_looks::looked_at))
        .first(conn)
        .optional()?;
    Ok(row)
}

/// Notes how far tokens were looked for.
pub fn set_token_look(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    block_number: i64,
    now: UnixMillis,
) -> Result<(), DbError> {
    let set = (token_looks::block_number.eq(block_number), token_looks::looked_at.eq(now));
    on_either!(conn => diesel::insert_into(token_looks::table)
        .values((token_looks::chain_id.eq(chain_id), set))
        .on_conflict(token_looks::chain_id)
        .do_update()
        .set(set)
        .execute(conn))?;
    Ok(())
}
