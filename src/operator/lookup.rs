//! Finding what support is asked about: accounts by a part of their address, a request by its id, a
//! transaction by its hash. Reads only.

use std::collections::HashMap;

use super::OperatorError;
use crate::db::books::ReservationRow;
use crate::db::models::accounts::{self, AccountRow};
use crate::db::models::api_keys;
use crate::db::models::deposit_claims::{self, ClaimRow};
use crate::db::models::deposit_refunds::{self, RefundRow};
use crate::db::models::deposits::{self, DepositRow};
use crate::db::models::usage_logs::{self, UsageOfKey};
use crate::db::{AnyConnection, books, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::TxHash;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;

/// How far back an account's spending is summed.
pub const SPENT_DAYS: i64 = 30;

const DAY_MILLIS: i64 = 86_400_000;

/// Which accounts are wanted.
#[derive(Clone, Copy, Debug)]
pub struct AccountSearch<'a> {
    /// A part of the email address; `None` is any.
    pub email: Option<&'a str>,
    /// Opened after this one.
    pub after: AccountId,
    /// At most so many.
    pub limit: i64,
}

/// An account in a list.
#[derive(Clone, Debug)]
pub struct AccountSummary {
    /// The account.
    pub account: AccountRow,
    /// What its requests of the last [`SPENT_DAYS`] days cost, as far as their rows are kept.
    pub spent: NanoUsd,
    /// When one of its keys was last used.
    pub last_used_at: Option<UnixMillis>,
}

/// A page of accounts in the order in which they were opened.
///
/// # Errors
/// Storage.
pub fn accounts(
    conn: &mut AnyConnection,
    search: &AccountSearch<'_>,
    now: UnixMillis,
) -> Result<Vec<AccountSummary>, OperatorError> {
    let rows = match search.email {
        None => accounts::page(conn, search.after, search.limit)?,
        Some(part) => accounts::search(conn, part, search.after, search.limit)?,
    };
    let ids: Vec<AccountId> = rows.iter().map(|row| row.id).collect();
    let since = now.plus_millis(-SPENT_DAYS.saturating_mul(DAY_MILLIS));
    let spent = usage_logs::spent_since(conn, &ids, since)?;
    let spent: HashMap<AccountId, NanoUsd> = spent.into_iter().collect();
    let used = api_keys::last_used(conn, &ids)?;
    let used: HashMap<AccountId, Option<UnixMillis>> = used.into_iter().collect();
    let summary = |account: AccountRow| AccountSummary {
        spent: spent.get(&account.id).copied().unwrap_or(NanoUsd::ZERO),
        last_used_at: used.get(&account.id).copied().flatten(),
        account,
    };
    Ok(rows.into_iter().map(summary).collect())
}

/// A request with its account.
#[derive(Clone, Debug)]
pub struct RequestFound {
    /// Whose.
    pub account: AccountRow,
    /// How far it is.
    pub state: RequestState,
}

/// How far a request is.
#[derive(Clone, Debug)]
pub enum RequestState {
    /// It holds money.
    Running(ReservationRow),
    /// Its usage row.
    Ended(Box<UsageOfKey>),
}

/// The request of an id.
///
/// # Errors
/// [`OperatorError::NoRequest`] and storage.
pub fn request(conn: &mut AnyConnection, id: &str) -> Result<RequestFound, OperatorError> {
    // Of one moment: a request is running or has ended.
    transaction::snapshot(conn, |conn| {
        let ended = usage_logs::of_request(conn, id)?;
        let state = match ended {
            Some(usage) => RequestState::Ended(Box::new(usage)),
            None => match books::open_reservation(conn, id)? {
                Some(row) => RequestState::Running(row),
                None => return Err(OperatorError::NoRequest(id.to_owned())),
            },
        };
        let account_id = match &state {
            RequestState::Running(row) => row.account_id,
            RequestState::Ended(usage) => usage.row.account_id,
        };
        let account = accounts::get(conn, account_id)?.ok_or(OperatorError::AccountGone)?;
        Ok(RequestFound { account, state })
    })
}

/// What is known of a transaction, on every chain.
#[derive(Clone, Debug)]
pub struct TransactionFound {
    /// Deposits, each with its refund that was not cancelled.
    pub deposits: Vec<(DepositRow, Option<RefundRow>)>,
    /// Claims of accounts, oldest first.
    pub claims: Vec<ClaimRow>,
}

/// The deposits and claims of a transaction hash.
///
/// # Errors
/// Storage.
pub fn transaction(
    conn: &mut AnyConnection,
    hash: TxHash,
) -> Result<TransactionFound, OperatorError> {
    transaction::snapshot(conn, |conn| {
        let rows = deposits::of_hash(conn, hash)?;
        let mut refunds = deposit_refunds::standing(conn, &rows)?;
        let with_refund = |row: DepositRow| {
            let refund = refunds.remove(&row.id);
            (row, refund)
        };
        let deposits = rows.into_iter().map(with_refund).collect();
        Ok(TransactionFound { deposits, claims: deposit_claims::of_any_chain(conn, hash)? })
    })
}
