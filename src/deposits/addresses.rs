//! An address for one account alone, derived from the operator's watch-only key. An index is issued
//! once, whatever happens to its account.

use super::{DepositError, arrivals};
use crate::db::models::audit::{self, Decision};
use crate::db::models::deposit_addresses::{self, AddressRow};
use crate::db::{AnyConnection, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{EvmAddress, to_hex};
use crate::domain::ids::AccountId;
use crate::domain::xpub::Xpub;

/// The account's address, issued now if it has none.
pub fn of_account(
    conn: &mut AnyConnection,
    xpub: &Xpub,
    account_id: AccountId,
    now: UnixMillis,
) -> Result<EvmAddress, DepositError> {
    let stored = match deposit_addresses::of_account(conn, account_id)? {
        Some(row) => row,
        None => issue(conn, xpub, account_id, now)?,
    };
    Ok(stored.address)
}

/// The account's address, if it was issued before.
pub fn issued(
    conn: &mut AnyConnection,
    account_id: AccountId,
) -> Result<Option<EvmAddress>, DepositError> {
    let stored = deposit_addresses::of_account(conn, account_id)?;
    Ok(stored.map(|row| row.address))
}

fn issue(
    conn: &mut AnyConnection,
    xpub: &Xpub,
    account_id: AccountId,
    now: UnixMillis,
) -> Result<AddressRow, DepositError> {
    transaction::write(conn, |conn| {
        // The counter's row is the lock: whoever was faster has stored an address by now.
        let fingerprint = to_hex(&xpub.fingerprint());
        let index = deposit_addresses::next_index(conn, &fingerprint)?;
        if let Some(row) = deposit_addresses::of_account(conn, account_id)? {
            return Ok(row);
        }
        let unreadable = || DepositError::Unreadable("address".to_owned());
        let place = u32::try_from(index).map_err(|_| unreadable())?;
        let address = xpub.address(place).map_err(|_| unreadable())?;
        let row = AddressRow::issued(address, &fingerprint, index, account_id, now);
        deposit_addresses::insert(conn, &row)?;
        arrivals::begin(conn, address)?;
        Ok(row)
    })
}

/// How far the counter of a key was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// From there to where it should be.
    From(i64),
    /// Not at all: it stands there already, or beyond, and never goes back.
    Not(i64),
}

/// Moves the counter of a key past a gap: after a restore, indexes that were issued since the
/// backup must not be issued again. It cannot be taken back.
pub fn advance(
    conn: &mut AnyConnection,
    xpub: &Xpub,
    index: u32,
    now: UnixMillis,
) -> Result<Advanced, DepositError> {
    let fingerprint = to_hex(&xpub.fingerprint());
    transaction::write(conn, |conn| {
        let before = deposit_addresses::counter(conn, &fingerprint)?;
        if before >= index.into() {
            return Ok(Advanced::Not(before));
        }
        let after = deposit_addresses::advance(conn, &fingerprint, index.into())?;
        if after != i64::from(index) {
            return Ok(Advanced::Not(after));
        }
        let range = format!("from {before} to {index}");
        let decision = Decision::of_nobodys("addresses_advanced", &fingerprint, &range);
        audit::write(conn, &decision, now)?;
        Ok(Advanced::From(before))
    })
}
