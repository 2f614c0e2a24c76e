//! What providers cannot read or agree on: how a doubt becomes a case, and what a person decides
//! about one.

use super::{DepositError, notices};
use crate::db::models::audit::{self, Decision};
use crate::db::models::chains;
use crate::db::models::deposit_cases::{self, CaseRow, Subject};
use crate::db::models::deposit_claims::{self, ClaimRow};
use crate::db::models::deposits::{self, DepositRow};
use crate::db::{AnyConnection, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState};
use crate::domain::deposit_case::{CaseKind, CaseState};
use crate::domain::evm::ChainId;
use crate::domain::ids::public_id;
use crate::domain::money::NanoUsd;

/// Open cases that may come of one account's claims: what people ask about may be anything.
const OF_A_CLAIMANT: i64 = 10;

/// Writes down that something is in doubt, or still is; how that stands now. After
/// `patience_millis` it is a case.
pub fn doubt(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    about: (Subject, Option<i64>),
    detail: &str,
    patience_millis: i64,
    now: UnixMillis,
) -> Result<CaseRow, DepositError> {
    transaction::write(conn, |conn| {
        doubt_within(conn, chain_id, about, detail, patience_millis, now)
    })
}

fn doubt_within(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    (subject, block_number): (Subject, Option<i64>),
    detail: &str,
    patience_millis: i64,
    now: UnixMillis,
) -> Result<CaseRow, DepositError> {
    let (tx_hash, kind, ordinal) = subject;
    let new = CaseRow {
        id: 0,
        public_id: public_id("case_")?,
        chain_id,
        tx_hash,
        kind,
        ordinal,
        state: CaseState::Doubted,
        block_number,
        detail: detail.to_owned(),
        doubted_at: now,
        opened_at: None,
        updated_at: now,
    };
    deposit_cases::insert(conn, &new)?;
    let Some(row) = deposit_cases::about(conn, chain_id, subject)? else { return Ok(new) };
    let state = row.state;
    let age = now.millis_since(row.doubted_at);
    let next = match state {
        // Decided while it was being looked at. In another block it is a new doubt.
        CaseState::Dismissed if row.block_number == block_number => return Ok(row),
        CaseState::Dismissed => CaseRow { id: row.id, public_id: row.public_id.clone(), ..new },
        CaseState::Doubted if age >= patience_millis => CaseRow {
            state: CaseState::Open,
            opened_at: Some(now),
            detail: detail.to_owned(),
            ..row.clone()
        },
        _ if row.detail != detail => CaseRow { detail: detail.to_owned(), ..row.clone() },
        _ => return Ok(row),
    };
    deposit_cases::change(conn, &next, state, now)?;
    Ok(next)
}

/// Makes a case of something at once.
pub fn open(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    about: (Subject, Option<i64>),
    detail: &str,
    now: UnixMillis,
) -> Result<CaseRow, DepositError> {
    // New, if it was dismissed; then without patience.
    transaction::write(conn, |conn| {
        doubt_within(conn, chain_id, about, detail, i64::MAX, now)?;
        doubt_within(conn, chain_id, about, detail, 0, now)
    })
}

/// Makes a case of a claim that could not be read for as long as claims are kept open. Must run in
/// a write transaction.
pub fn of_claim(
    conn: &mut AnyConnection,
    chain_id: ChainId,
    claim: &ClaimRow,
    open_millis: i64,
    (detail, now): (&str, UnixMillis),
) -> Result<(), DepositError> {
    let tx_hash = claim.tx_hash;
    let age = now.millis_since(claim.created_at);
    let by_scan = (tx_hash, CaseKind::Transaction, 0);
    if age < open_millis || deposit_cases::about(conn, chain_id, by_scan)?.is_some() {
        return Ok(());
    }
    if deposit_cases::count_of_claimant(conn, claim.account_id)? >= OF_A_CLAIMANT {
        return Ok(());
    }
    let about = ((tx_hash, CaseKind::Claim, 0), None);
    doubt_within(conn, chain_id, about, detail, i64::MAX, now)?;
    doubt_within(conn, chain_id, about, detail, 0, now)?;
    Ok(())
}

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseDecision {
    /// Done, and written down.
    Done,
    /// It is not in a state in which this can be decided.
    NotNow,
}

/// Lets a case go: it is not looked at any more, unless it is included in a block anew. A deposit
/// is held then, for `review`, `reject` or `refund`.
pub fn dismiss(
    conn: &mut AnyConnection,
    row: &CaseRow,
    reason: &str,
    now: UnixMillis,
) -> Result<CaseDecision, DepositError> {
    if row.state == CaseState::Dismissed {
        return Ok(CaseDecision::NotNow);
    }
    transaction::write(conn, |conn| {
        lock_candidate(conn, row)?;
        let dismissed = CaseRow { state: CaseState::Dismissed, ..row.clone() };
        if !deposit_cases::change(conn, &dismissed, row.state, now)? {
            return Ok(CaseDecision::NotNow);
        }
        let chain_id = row.chain_id;
        match row.subject() {
            (tx_hash, CaseKind::Transaction, _) => {
                chains::forget_candidate(conn, chain_id, tx_hash)?;
            }
            (_, CaseKind::Deposit, _) => {
                let deposit = deposit(conn, row)?;
                let waits = |one: &DepositRow| one.state == DepositState::Confirming;
                if let Some(deposit) = deposit.filter(waits) {
                    let held = DepositRow {
                        state: DepositState::Held,
                        reason: Some(DepositReason::Unreadable),
                        ..deposit
                    };
                    // A person decides one by one, so each is told.
                    notices::change_within(conn, &held, NanoUsd::ZERO, now)?;
                }
            }
            (_, CaseKind::Claim, _) => {}
        }
        write_down(conn, "case_dismissed", row, reason, now)
    })
}

/// Has a case looked at again as if it were new.
pub fn retry(
    conn: &mut AnyConnection,
    row: &CaseRow,
    reason: &str,
    now: UnixMillis,
) -> Result<CaseDecision, DepositError> {
    transaction::write(conn, |conn| {
        lock_candidate(conn, row)?;
        let doubted =
            CaseRow { state: CaseState::Doubted, doubted_at: now, opened_at: None, ..row.clone() };
        if !deposit_cases::change(conn, &doubted, row.state, now)? {
            return Ok(CaseDecision::NotNow);
        }
        let chain_id = row.chain_id;
        match row.subject() {
            (tx_hash, CaseKind::Transaction, _) => {
                let number = row.block_number.unwrap_or(0);
                chains::forget_candidate(conn, chain_id, tx_hash)?;
                chains::note_candidates(conn, chain_id, &[(tx_hash, number)], now)?;
            }
            (_, CaseKind::Deposit, _) => {
                if let Some(deposit) = deposit(conn, row)? {
                    look_again(conn, deposit, now)?;
                }
            }
            (tx_hash, CaseKind::Claim, _) => {
                deposit_claims::reopen_unreadable(conn, chain_id, tx_hash, now)?;
            }
        }
        write_down(conn, "case_retried", row, reason, now)
    })
}

/// Locks the transaction that a case is about before the case itself, as whoever reads that
/// transaction does it.
fn lock_candidate(conn: &mut AnyConnection, row: &CaseRow) -> Result<(), DepositError> {
    if let (tx_hash, CaseKind::Transaction, _) = row.subject() {
        chains::lock_candidate(conn, row.chain_id, tx_hash)?;
    }
    Ok(())
}

/// The deposit that a case is about.
pub fn deposit(
    conn: &mut AnyConnection,
    row: &CaseRow,
) -> Result<Option<DepositRow>, DepositError> {
    let (tx_hash, CaseKind::Deposit, ordinal) = row.subject() else { return Ok(None) };
    let mut rows = deposits::of_transaction(conn, row.chain_id, tx_hash)?;
    rows.retain(|deposit| deposit.ordinal == ordinal);
    Ok(rows.pop())
}

fn look_again(
    conn: &mut AnyConnection,
    deposit: DepositRow,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let was_dismissed =
        deposit.state == DepositState::Held && deposit.reason == Some(DepositReason::Unreadable);
    let state = match deposit.state {
        DepositState::Confirming => DepositState::Confirming,
        _ if was_dismissed && deposit.account_id.is_some() => DepositState::Confirming,
        _ if was_dismissed => DepositState::Seen,
        // It has moved on.
        _ => return Ok(()),
    };
    let reason = deposit.reason.filter(|_| !was_dismissed);
    let next = DepositRow { state, reason, check_at: now, ..deposit };
    deposits::change(conn, &next, now)?;
    Ok(())
}

fn write_down(
    conn: &mut AnyConnection,
    action: &str,
    row: &CaseRow,
    reason: &str,
    now: UnixMillis,
) -> Result<CaseDecision, DepositError> {
    let account_id = deposit(conn, row)?.and_then(|deposit| deposit.account_id);
    let decision = Decision { action, subject: &row.public_id, account_id, detail: reason };
    audit::write(conn, &decision, now)?;
    Ok(CaseDecision::Done)
}
