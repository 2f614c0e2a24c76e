//! What arrived at accounts' own addresses, and at treasuries, and is no deposit; and the balances
//! by which coins are noticed: rows and queries.

mod tokens;

use std::collections::HashMap;

use diesel::prelude::*;

use crate::db::schema::{address_balances, deposit_addresses, deposit_arrivals, deposits};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::DepositState;
use crate::domain::evm::{ChainId, EvmAddress, RawAmount, TxHash};
use crate::domain::ids::AccountId;

pub use tokens::{note_token, set_token_look, token_look};

/// The balance of an own address, or of a treasury, when it was last found changed.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = address_balances)]
pub struct AddressBalanceRow {
    /// The chain.
    pub chain_id: ChainId,
    /// The address.
    pub address: EvmAddress,
    /// At the end of which block.
    pub block_number: i64,
    /// In the smallest unit.
    pub balance: String,
}

/// Something that arrived at an own address, or at a treasury, and is no deposit.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = deposit_arrivals)]
pub struct ArrivalRow {
    /// Row number. 0 in a row that is to be inserted.
    #[diesel(skip_insertion)]
    pub id: i64,
    /// The chain.
    pub chain_id: ChainId,
    /// The own address, or the treasury.
    pub address: EvmAddress,
    /// A token that is not accepted; `None` for coins.
    pub token: Option<EvmAddress>,
    /// It arrived above this block,
    pub after_number: i64,
    /// and in this one at the latest.
    pub block_number: i64,
    /// All that came in between the two, in the smallest unit; of coins also what is known of it. 0
    /// where the address has sent something, so that nobody knows before the blocks were looked at.
    pub raw_amount: RawAmount,
    /// Of a token: the transaction.
    pub tx_hash: Option<TxHash>,
    /// How often it was looked into with traces that held nothing; at least 1 once anything was
    /// tried.
    pub tries: i64,
    /// When it is looked into again; `None` once that is over.
    pub check_at: Option<UnixMillis>,
    /// When it was noticed.
    pub created_at: UnixMillis,
    /// When the row was last changed.
    pub updated_at: UnixMillis,
}

impl ArrivalRow {
    /// Whether there is something to say of it: it was looked into, or others had their turn before
    /// it.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.tries > 0 || self.updated_at > self.created_at
    }
}

/// Rows among which addresses take turns.
const DUE_MAX: i64 = 2_000;

/// A known transfer of coins to an address: block, transaction, and amount in the smallest unit.
pub type KnownTransfer = (i64, TxHash, RawAmount);

/// The addresses that most likely receive something: those of the last deposits, and the newest
/// ones. Those of erased accounts are left out, since they credit nobody.
pub fn likely(conn: &mut AnyConnection, limit: i64) -> Result<Vec<EvmAddress>, DbError> {
    let mut addresses: Vec<EvmAddress> = deposits::table
        .inner_join(deposit_addresses::table.on(deposit_addresses::address.eq(deposits::payee)))
        .filter(deposit_addresses::account_id.is_not_null())
        .order(deposits::id.desc())
        .limit(limit / 2)
        .select(deposits::payee)
        .load(conn)?;
    addresses.sort_unstable();
    addresses.dedup();
    let newest: Vec<EvmAddress> = deposit_addresses::table
        .filter(deposit_addresses::account_id.is_not_null())
        .order(deposit_addresses::created_at.desc())
        .limit(limit)
        .select(deposit_addresses::address)
        .load(conn)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    for address in newest {
        if addresses.len() < most && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// The addresses behind one, in their order.
pub fn behind(
    conn: &mut AnyConnection,
    address: EvmAddress,
    limit: i64,
) -> Result<Vec<EvmAddress>, DbError> {
    let rows = deposit_addresses::table
        .filter(deposit_addresses::account_id.is_not_null())
        .filter(deposit_addresses::address.gt(address))
        .order(deposit_addresses::address)
        .limit(limit)
        .select(deposit_addresses::address)
        .load(conn)?;
    Ok(rows)
}

/// The balances that are known of some addresses.
pub fn balances(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    addresses: &[EvmAddress],
) -> Result<Vec<AddressBalanceRow>, DbError> {
    let rows = address_balances::table
        .filter(address_balances::chain_id.eq(chain_id))
        .filter(address_balances::address.eq_any(addresses))
        .select(AddressBalanceRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Whether rows about an address may be kept: those about an erased account's would never go. On
/// PostgreSQL it stays so until the transaction's end. A treasury is no derived address, and may
/// always have some.
fn may_be_kept(conn: &mut AnyConnection, address: EvmAddress) -> Result<bool, DbError> {
    let own = deposit_addresses::table
        .filter(deposit_addresses::address.eq(address))
        .select(deposit_addresses::account_id);
    let found: Vec<Option<i64>> = match conn {
        AnyConnection::Sqlite(conn) => own.load(conn)?,
        AnyConnection::Postgres(conn) => own.for_share().load(conn)?,
    };
    Ok(found.iter().all(Option::is_some))
}

/// Notes a balance, unless the address is an erased account's. Must run in a write transaction.
pub fn set_balance(conn: &mut AnyConnection, row: &AddressBalanceRow) -> Result<(), DbError> {
    if !may_be_kept(conn, row.address)? {
        return Ok(());
    }
    on_either!(conn => diesel::insert_into(address_balances::table)
        .values(row)
        .on_conflict((address_balances::chain_id, address_balances::address))
        .do_update()
        .set(row)
        .execute(conn))?;
    Ok(())
}

/// The known transfers of coins to an address in the blocks above `after` up to `to`.
pub fn known(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    address: EvmAddress,
    (after, to): (i64, i64),
) -> Result<Vec<KnownTransfer>, DbError> {
    let gone = [DepositState::Orphaned, DepositState::Reversed];
    let rows = deposits::table
        .filter(deposits::payee.eq(address))
        .filter(deposits::block_number.gt(after).and(deposits::block_number.le(to)))
        .filter(deposits::chain_id.eq(chain_id).and(deposits::token.is_null()))
        .filter(deposits::state.ne_all(gone))
        .select((deposits::block_number, deposits::tx_hash, deposits::raw_amount))
        .load(conn)?;
    Ok(rows)
}

/// Notes that something arrived, unless it is noted already, or the address is an erased account's.
/// Must run in a write transaction.
pub fn note(conn: &mut AnyConnection, row: &ArrivalRow) -> Result<(), DbError> {
    if !may_be_kept(conn, row.address)? {
        return Ok(());
    }
    on_either!(conn => diesel::insert_into(deposit_arrivals::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn))?;
    Ok(())
}

/// The coins that are to be looked into now, those first that were looked into least. Addresses
/// take turns, so that one with many of them keeps no other waiting.
pub fn due(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    now: UnixMillis,
    limit: i64,
) -> Result<Vec<ArrivalRow>, DbError> {
    let rows: Vec<ArrivalRow> = deposit_arrivals::table
        .filter(deposit_arrivals::chain_id.eq(chain_id))
        .filter(deposit_arrivals::check_at.le(now))
        .order((deposit_arrivals::tries, deposit_arrivals::check_at, deposit_arrivals::id))
        .limit(DUE_MAX)
        .select(ArrivalRow::as_select())
        .load(conn)?;
    let mut before: HashMap<EvmAddress, usize> = HashMap::new();
    let mut turns: Vec<(usize, ArrivalRow)> = Vec::new();
    for row in rows {
        let turn = before.entry(row.address).or_default();
        turns.push((*turn, row));
        *turn = turn.saturating_add(1);
    }
    turns.sort_by_key(|(turn, _)| *turn);
    let most = usize::try_from(limit).unwrap_or(0);
    Ok(turns.into_iter().take(most).map(|(_, row)| row).collect())
}

/// Says how often it was looked into, and when the next look is.
pub fn put_off(
    conn: &mut AnyConnection,
    id: i64,
    (tries, until): (i64, Option<UnixMillis>),
    now: UnixMillis,
) -> Result<(), DbError> {
    diesel::update(deposit_arrivals::table.find(id))
        .set((
            deposit_arrivals::tries.eq(tries),
            deposit_arrivals::check_at.eq(until),
            deposit_arrivals::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Notes that coins noticed before `now` still wait for their first look: others had their turn.
pub fn set_waiting(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    now: UnixMillis,
) -> Result<(), DbError> {
    let waiting = deposit_arrivals::table
        .filter(deposit_arrivals::chain_id.eq(chain_id).and(deposit_arrivals::token.is_null()))
        .filter(deposit_arrivals::check_at.le(now).and(deposit_arrivals::tries.eq(0)))
        .filter(deposit_arrivals::created_at.lt(now));
    diesel::update(waiting).set(deposit_arrivals::updated_at.eq(now)).execute(conn)?;
    Ok(())
}

/// Forgets an arrival: it is explained.
pub fn forget(conn: &mut AnyConnection, id: i64) -> Result<(), DbError> {
    diesel::delete(deposit_arrivals::table.find(id)).execute(conn)?;
    Ok(())
}

/// What arrived at an address, newest first.
pub fn of_address(
    conn: &mut AnyConnection,
    address: EvmAddress,
    limit: i64,
) -> Result<Vec<ArrivalRow>, DbError> {
    let rows = deposit_arrivals::table
        .filter(deposit_arrivals::address.eq(address))
        .order(deposit_arrivals::id.desc())
        .limit(limit)
        .select(ArrivalRow::as_select())
        .load(conn)?;
    Ok(rows)
}

/// How many lines an address has, of coins or of tokens, on a chain.
pub fn count_of(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    address: EvmAddress,
) -> Result<i64, DbError> {
    let rows = deposit_arrivals::table
        .filter(deposit_arrivals::chain_id.eq(chain_id))
        .filter(deposit_arrivals::address.eq(address).and(deposit_arrivals::token.is_null()));
    Ok(rows.count().get_result(conn)?)
}

/// The row of coins of an address whose blocks are the last.
pub fn last_of(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    address: EvmAddress,
) -> Result<Option<ArrivalRow>, DbError> {
    let row = deposit_arrivals::table
        .filter(deposit_arrivals::chain_id.eq(chain_id))
        .filter(deposit_arrivals::address.eq(address).and(deposit_arrivals::token.is_null()))
        .order((deposit_arrivals::block_number.desc(), deposit_arrivals::id.desc()))
        .select(ArrivalRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row)
}

/// Gives a row other blocks and another amount. Since when it is there stays.
pub fn replace(conn: &mut AnyConnection, row: &ArrivalRow) -> Result<(), DbError> {
    diesel::update(deposit_arrivals::table.find(row.id))
        .set((
            deposit_arrivals::after_number.eq(row.after_number),
            deposit_arrivals::block_number.eq(row.block_number),
            deposit_arrivals::raw_amount.eq(row.raw_amount),
            deposit_arrivals::tries.eq(row.tries),
            deposit_arrivals::check_at.eq(row.check_at),
            deposit_arrivals::updated_at.eq(row.updated_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// The coins on a chain that were looked into and are not explained, and those that still wait for
/// that.
pub fn count(conn: &mut AnyConnection, chain_id: ChainId) -> Result<i64, DbError> {
    let is_told = deposit_arrivals::tries
        .gt(0)
        .or(deposit_arrivals::updated_at.gt(deposit_arrivals::created_at));
    let rows = deposit_arrivals::table
        .filter(deposit_arrivals::chain_id.eq(chain_id).and(deposit_arrivals::token.is_null()))
        .filter(is_told)
        .filter(deposit_arrivals::raw_amount.ne(RawAmount::ZERO));
    Ok(rows.count().get_result(conn)?)
}

/// A page of all that arrived and is no deposit, of one account or of all, with the account unless
/// it arrived at a treasury, beginning above the row number `after`.
pub fn page(
    conn: &mut AnyConnection,
    account_id: Option<AccountId>,
    after: i64,
    limit: i64,
) -> Result<Vec<(ArrivalRow, Option<AccountId>)>, DbError> {
    let mut query = deposit_arrivals::table
        .left_join(
            deposit_addresses::table.on(deposit_addresses::address.eq(deposit_arrivals::address)),
        )
        .filter(deposit_arrivals::id.gt(after))
        .order(deposit_arrivals::id)
        .limit(limit)
        .select((ArrivalRow::as_select(), deposit_addresses::account_id.nullable()))
        .into_boxed();
    if let Some(id) = account_id {
        query = query.filter(deposit_addresses::account_id.eq(id));
    }
    Ok(query.load(conn)?)
}

/// Forgets everything about an address, whose account is erased.
pub fn forget_address(conn: &mut AnyConnection, address: EvmAddress) -> Result<(), DbError> {
    let arrived = deposit_arrivals::table.filter(deposit_arrivals::address.eq(address));
    diesel::delete(arrived).execute(conn)?;
    let balances = address_balances::table.filter(address_balances::address.eq(address));
    diesel::delete(balances).execute(conn)?;
    Ok(())
}
