//! Claims of transaction hashes. A claim speeds up and explains; it never says whose a deposit is.

use std::time::Duration;

use super::DepositError;
use crate::config::Deposits;
use crate::db::models::deposit_claims::{self, ClaimRow};
use crate::db::models::deposits::{self, DepositRow};
use crate::db::models::{accounts, chains, deposit_addresses};
use crate::db::{AnyConnection, transaction};
use crate::domain::backoff::{self, Backoff};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{ClaimReason, ClaimState, DepositState};
use crate::domain::evm::{ChainId, TxHash};
use crate::domain::ids::{AccountId, public_id};

/// Milliseconds of the window in which claims are counted.
const HOUR: i64 = 3_600_000;
/// Pauses between two look-ups of an unknown hash.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(2_560));

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is kept; perhaps it was made before.
    Kept(ClaimRow),
    /// The account has as many open claims as it may have.
    TooManyOpen,
    /// The account has made as many claims within the hour as it may make.
    TooManyRecent,
}

/// Keeps a claim of an account. One that was made before is answered as it stands; one that was
/// refused is looked up again.
pub fn submit(
    conn: &mut AnyConnection,
    account_id: AccountId,
    chain_id: ChainId,
    tx_hash: TxHash,
    limits: &Deposits,
    now: UnixMillis,
) -> Result<Submitted, DepositError> {
    if let Some(claim) = standing(conn, account_id, chain_id, tx_hash)? {
        return Ok(Submitted::Kept(claim));
    }
    let row = ClaimRow {
        id: 0,
        public_id: public_id("claim_")?,
        account_id,
        chain_id,
        tx_hash,
        state: ClaimState::Submitted,
        reason: None,
        tries: 0,
        check_at: Some(now),
        created_at: now,
        updated_at: now,
    };
    transaction::write(conn, |conn| {
        // Those that come at once are counted one after the other.
        accounts::lock(conn, account_id)?;
        // A watcher that finds whose they are tells the claims that it sees. This one must be among
        // them, or see what the watcher has found. Before the claim's row, as the watcher does it.
        hold_deposits(conn, chain_id, tx_hash)?;
        if let Some(claim) = standing(conn, account_id, chain_id, tx_hash)? {
            return Ok(Submitted::Kept(claim));
        }
        let (open, recent) = deposit_claims::counts(conn, account_id, now.plus_millis(-HOUR))?;
        if open >= limits.open_claims_max_per_account.into() {
            return Ok(Submitted::TooManyOpen);
        }
        if recent >= limits.claims_per_hour_per_account.into() {
            return Ok(Submitted::TooManyRecent);
        }
        let claim = deposit_claims::submit(conn, &row)?;
        if claim.public_id != row.public_id {
            deposit_claims::reopen(conn, claim.id, now)?;
        }
        // What the scan has found already needs no look-up.
        if !settle_by_rows(conn, &claim, now)? {
            settle_by_other_chains(conn, &claim, now)?;
        }
        let claim = deposit_claims::of_transaction(conn, account_id, chain_id, tx_hash)?;
        Ok(claim.map_or(Submitted::TooManyOpen, Submitted::Kept))
    })
}

/// A claim that was made before and not refused.
fn standing(
    conn: &mut AnyConnection,
    account_id: AccountId,
    chain_id: ChainId,
    tx_hash: TxHash,
) -> Result<Option<ClaimRow>, DepositError> {
    let stored = deposit_claims::of_transaction(conn, account_id, chain_id, tx_hash)?;
    Ok(stored.filter(|claim| claim.state != ClaimState::Rejected))
}

/// The deposits of the claimed transaction, as far as the claiming account may see them.
pub fn deposits_of(
    conn: &mut AnyConnection,
    claim: &ClaimRow,
) -> Result<Vec<DepositRow>, DepositError> {
    let mut visible = Vec::new();
    let rows = if claim.reason == Some(ClaimReason::OtherChain) {
        on_other_chains(conn, claim)?
    } else {
        of_claim(conn, claim)?
    };
    for row in rows {
        if may_see(conn, &row, claim.account_id)? {
            visible.push(row);
        }
    }
    Ok(visible)
}

/// Whether an account that claims a deposit's transaction may see the deposit: it is its own, or
/// nobody's so far. What was paid to somebody's own address is nobody else's, whether that account
/// is still there or not.
pub fn may_see(
    conn: &mut AnyConnection,
    row: &DepositRow,
    account_id: AccountId,
) -> Result<bool, DepositError> {
    if let Some(owner) = row.account_id {
        return Ok(owner == account_id);
    }
    // Whose it was is nobody's business any more.
    if row.state == DepositState::Erased {
        return Ok(false);
    }
    let derived = deposit_addresses::find(conn, row.payee)?;
    Ok(derived.is_none_or(|address| address.account_id == Some(account_id)))
}

/// Settles a claim by deposits that are known already; whether there are any.
pub fn settle_by_rows(
    conn: &mut AnyConnection,
    claim: &ClaimRow,
    now: UnixMillis,
) -> Result<bool, DepositError> {
    let rows = of_claim(conn, claim)?;
    if rows.is_empty() {
        return Ok(false);
    }
    let mut is_others = true;
    for row in &rows {
        is_others &= !may_see(conn, row, claim.account_id)?;
    }
    let (state, reason) = if is_others {
        (ClaimState::Rejected, Some(ClaimReason::OtherAccount))
    } else {
        (ClaimState::Matched, None)
    };
    deposit_claims::set_state(conn, claim.id, state, reason, None, now)?;
    Ok(true)
}

/// Ends a claim whose transaction holds deposits on another chain than it names, and makes it there
/// instead; whether there are any that the account may see.
fn settle_by_other_chains(
    conn: &mut AnyConnection,
    claim: &ClaimRow,
    now: UnixMillis,
) -> Result<bool, DepositError> {
    for row in on_other_chains(conn, claim)? {
        if !may_see(conn, &row, claim.account_id)? {
            continue;
        }
        let there = ClaimRow {
            id: 0,
            public_id: public_id("claim_")?,
            chain_id: row.chain_id,
            state: ClaimState::Matched,
            reason: None,
            check_at: None,
            updated_at: now,
            ..claim.clone()
        };
        deposit_claims::submit(conn, &there)?;
        reject(conn, claim, ClaimReason::OtherChain, now)?;
        return Ok(true);
    }
    Ok(false)
}

/// Tells every claim of a transaction that deposits were found in it, on whichever chain it was
/// looked for.
pub fn match_all(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
    now: UnixMillis,
) -> Result<(), DepositError> {
    deposit_claims::match_all(conn, chain_id, tx_hash, now)?;
    for other in other_chains(conn, chain_id)? {
        for claim in deposit_claims::of_hash(conn, other, tx_hash)? {
            if claim.check_at.is_some() {
                settle_by_other_chains(conn, &claim, now)?;
            }
        }
    }
    Ok(())
}

/// The deposits of a claim's hash on all chains but its own.
fn on_other_chains(
    conn: &mut AnyConnection,
    claim: &ClaimRow,
) -> Result<Vec<DepositRow>, DepositError> {
    let mut rows = Vec::new();
    for chain_id in other_chains(conn, claim.chain_id)? {
        rows.extend(of_claim(conn, &ClaimRow { chain_id, ..claim.clone() })?);
    }
    Ok(rows)
}

/// Keeps the deposits of a hash as they are, on its chain and on all others, until the transaction
/// ends.
fn hold_deposits(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
) -> Result<(), DepositError> {
    deposits::lock_transaction(conn, chain_id, tx_hash)?;
    for other in other_chains(conn, chain_id)? {
        deposits::lock_transaction(conn, other, tx_hash)?;
    }
    Ok(())
}

/// Every chain that was ever read, but one.
fn other_chains(conn: &mut AnyConnection, chain_id: ChainId) -> Result<Vec<ChainId>, DepositError> {
    let known = chains::all(conn)?.into_iter().map(|chain| chain.chain_id);
    Ok(known.filter(|known| *known != chain_id).collect())
}

/// Refuses the claims of others, once it is known whose all deposits of a transaction are.
pub fn refuse_others(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    tx_hash: TxHash,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let rows = deposits::of_transaction(conn, chain_id, tx_hash)?;
    let owners: Option<Vec<AccountId>> = rows.iter().map(|row| row.account_id).collect();
    match owners {
        Some(owners) if !owners.is_empty() => {
            Ok(deposit_claims::refuse_others(conn, chain_id, tx_hash, &owners, now)?)
        }
        _ => Ok(()),
    }
}

/// Refuses a claim.
pub fn reject(
    conn: &mut AnyConnection,
    claim: &ClaimRow,
    reason: ClaimReason,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let rejected = ClaimState::Rejected;
    Ok(deposit_claims::set_state(conn, claim.id, rejected, Some(reason), None, now)?)
}

/// What a claim waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Any provider that knows the transaction.
    Sight,
    /// A block with it, or that block's finality.
    Block,
    /// The providers' agreement.
    Agreement,
}

/// Looks a claim up again later, or gives it up once it was open for `open_millis`. One of a
/// transaction that nobody knows here is held against the other chains' deposits before: the wrong
/// chain is chosen easily.
pub fn put_off(
    conn: &mut AnyConnection,
    claim: &ClaimRow,
    awaited: Awaited,
    open_millis: i64,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let settle = |conn: &mut AnyConnection| {
        hold_deposits(conn, claim.chain_id, claim.tx_hash)?;
        settle_by_other_chains(conn, claim, now)
    };
    if awaited == Awaited::Sight
        && !on_other_chains(conn, claim)?.is_empty()
        && transaction::write(conn, settle)?
    {
        return Ok(());
    }
    let age = now.millis_since(claim.created_at);
    let (state, reason) = match awaited {
        Awaited::Sight => (ClaimState::NotFound, ClaimReason::Expired),
        Awaited::Block => (ClaimState::Submitted, ClaimReason::Expired),
        Awaited::Agreement => (ClaimState::Submitted, ClaimReason::Unreadable),
    };
    if age >= open_millis {
        return reject(conn, claim, reason, now);
    }
    let failures = u32::try_from(claim.tries.saturating_add(1)).unwrap_or(u32::MAX);
    let next = Some(now.plus(BACKOFF.jittered(failures, backoff::jitter())));
    Ok(deposit_claims::set_state(conn, claim.id, state, None, next, now)?)
}

fn of_claim(conn: &mut AnyConnection, claim: &ClaimRow) -> Result<Vec<DepositRow>, DepositError> {
    Ok(deposits::of_transaction(conn, claim.chain_id, claim.tx_hash)?)
}
