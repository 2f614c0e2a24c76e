//! What arrived at an account's own address and is no deposit: coins that no known transaction
//! explains, and tokens that are not accepted. It is told to the account, and credits nothing.
//! Coins at a treasury are told to the operator alone.
//!
//! The rule for coins: between two looks at a final block, what an address has may change by the
//! transfers that are known, and by nothing else. If it has more, something arrived that the scan
//! could not see. If it has less, the address has sent something, and what arrived meanwhile may be
//! hidden behind that. Both are looked for block by block: a block in which the address has sent
//! nothing tells exactly what came in by it, beside the block's own plain transfers. (In a block in
//! which it has sent something, only a trace tells.)

use super::DepositError;
use crate::db::models::arrivals::{self, AddressBalanceRow, ArrivalRow, KnownTransfer};
use crate::db::models::{chains, deposit_addresses};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{ChainId, EvmAddress, RawAmount};
use crate::domain::ids::AccountId;

/// Something that arrived, as its account is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountArrival {
    /// As it is stored.
    pub row: ArrivalRow,
    /// What is not explained, in the smallest unit. Of a token what the first transfer carried.
    pub raw: RawAmount,
}

/// The sum of known transfers in the blocks above `after` up to `to`. Stops at the largest number.
#[must_use]
pub fn sum(known: &[KnownTransfer], (after, to): (i64, i64)) -> u128 {
    let within = known.iter().filter(|(number, ..)| *number > after && *number <= to);
    let amounts = within.filter_map(|(_, _, raw)| raw.to_u128());
    amounts.fold(0, u128::saturating_add)
}

/// What one look at the balance of an address says. `since` is the block up to which it was seen
/// unchanged and whether it is known to have sent something after that: then the same balance is no
/// sign that nothing came in.
pub fn look(
    conn: &mut AnyConnection,
    before: Option<&AddressBalanceRow>,
    now_row: &AddressBalanceRow,
    (since, has_sent): (i64, bool),
    most: i64,
    now: UnixMillis,
) -> Result<(), DbError> {
    let Some(before) = before else {
        // What it had when it was first looked at is taken as it is.
        return arrivals::set_balance(conn, now_row);
    };
    let number = |text: &str| text.parse::<u128>().unwrap_or(0);
    let (was, is) = (number(&before.balance), number(&now_row.balance));
    let after = before.block_number.max(since);
    if (is == was && !has_sent) || after >= now_row.block_number {
        return Ok(());
    }
    let (chain_id, address) = (now_row.chain_id, now_row.address);
    let known = arrivals::known(conn, chain_id, address, (after, now_row.block_number))?;
    let known = sum(&known, (after, now_row.block_number));
    let expected = was.saturating_add(known);
    if is != expected || has_sent {
        let raw = if is > expected { is.saturating_sub(was) } else { 0 };
        let range = (after, now_row.block_number);
        let row = of_coins(chain_id, address, range, raw, now);
        let is_full = arrivals::count_of(conn, chain_id, address)? >= most;
        match arrivals::last_of(conn, chain_id, address)?.filter(|_| is_full) {
            // Whoever sends many small ones must not hide what comes after them.
            Some(last) => widen(conn, &last, &row, now)?,
            None => arrivals::note(conn, &row)?,
        }
    }
    arrivals::set_balance(conn, now_row)
}

/// Makes the last row of an address stand for a later one too.
fn widen(
    conn: &mut AnyConnection,
    last: &ArrivalRow,
    row: &ArrivalRow,
    now: UnixMillis,
) -> Result<(), DbError> {
    let address = row.address;
    let range = (last.after_number.min(row.after_number), last.block_number.max(row.block_number));
    let mut raw = unexplained(conn, last)?.saturating_add(unexplained(conn, row)?);
    if raw > 0 {
        let known = arrivals::known(conn, row.chain_id, address, range)?;
        raw = raw.saturating_add(sum(&known, range));
    }
    let wider = of_coins(row.chain_id, address, range, raw, now);
    arrivals::replace(conn, &ArrivalRow { id: last.id, tries: last.tries.max(1), ..wider })
}

/// A row for coins that came in within a range of blocks.
#[must_use]
pub fn of_coins(
    chain_id: ChainId,
    address: EvmAddress,
    (after, to): (i64, i64),
    raw: u128,
    now: UnixMillis,
) -> ArrivalRow {
    ArrivalRow {
        id: 0,
        chain_id,
        address,
        token: None,
        after_number: after,
        block_number: to,
        raw_amount: RawAmount::from(raw),
        tx_hash: None,
        tries: 0,
        check_at: Some(now),
        created_at: now,
        updated_at: now,
    }
}

/// What of a row of coins no known transfer explains.
pub fn unexplained(conn: &mut AnyConnection, row: &ArrivalRow) -> Result<u128, DbError> {
    let range = (row.after_number, row.block_number);
    let known = arrivals::known(conn, row.chain_id, row.address, range)?;
    let all = row.raw_amount.to_u128();
    Ok(all.unwrap_or(0).saturating_sub(sum(&known, range)))
}

/// Forgets the coins at these addresses that have become deposits. Must run in the write
/// transaction that stored them.
pub fn forget_explained(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    payees: impl Iterator<Item = EvmAddress>,
) -> Result<(), DbError> {
    for payee in payees {
        for row in arrivals::of_address(conn, payee, SHOWN)? {
            let is_meant = row.chain_id == chain_id && row.token.is_none() && row.tries > 0;
            // Of what a sweep may hide nobody knows how much it is.
            if is_meant && !row.raw_amount.is_zero() && unexplained(conn, &row)? == 0 {
                arrivals::forget(conn, row.id)?;
            }
        }
    }
    Ok(())
}

/// Lines that are shown at most.
const SHOWN: i64 = 200;

/// What arrived at the own address of an account, newest first.
pub fn of_account(
    conn: &mut AnyConnection,
    account_id: AccountId,
) -> Result<Vec<AccountArrival>, DepositError> {
    let Some(own) = deposit_addresses::of_account(conn, account_id)? else { return Ok(Vec::new()) };
    let mut told = Vec::new();
    for row in arrivals::of_address(conn, own.address, SHOWN)? {
        let raw = if row.token.is_some() {
            row.raw_amount
        } else if row.is_told() {
            unexplained(conn, &row)?.into()
        } else {
            // It is being looked into at this moment.
            RawAmount::ZERO
        };
        if row.token.is_some() || !raw.is_zero() {
            told.push(AccountArrival { row, raw });
        }
    }
    Ok(told)
}

/// Notes that an address which is issued now has nothing yet, as of what is final on each chain:
/// whatever it gets from now on is noticed. Must run in the transaction that issues it.
pub fn begin(conn: &mut AnyConnection, address: EvmAddress) -> Result<(), DbError> {
    for chain in chains::all(conn)? {
        let row = AddressBalanceRow {
            chain_id: chain.chain_id,
            address,
            block_number: chain.final_number,
            balance: "0".to_owned(),
        };
        arrivals::set_balance(conn, &row)?;
    }
    Ok(())
}
