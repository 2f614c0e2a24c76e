//! Rows of deposits, and of claims, that no chain has made.

use sluice::db::models::deposit_claims::ClaimRow;
use sluice::db::models::deposits::DepositRow;
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::{ClaimState, DepositReason, DepositState};
use sluice::domain::evm::{BlockHash, ChainId, EvmAddress, RawAmount, TxHash};
use sluice::domain::money::NanoUsd;

use super::app::Account;

/// Noon of the tests' day.
const NOON: i64 = 1_795_348_800_000;

/// `dep_NUMBER`, a deposit of five and a half dollars, on a chain that is not configured.
pub(crate) fn row(account: &Account, number: u8, state: &str, reason: Option<&str>) -> DepositRow {
    DepositRow {
        id: 0,
        public_id: format!("dep_{number}"),
        chain_id: ChainId(1),
        tx_hash: TxHash([number; 32]),
        ordinal: 0,
        token: Some(EvmAddress([1; 20])),
        payer: EvmAddress([2; 20]),
        payee: EvmAddress([3; 20]),
        raw_amount: RawAmount::from(5_000_000),
        block_number: 1,
        block_hash: BlockHash([4; 32]),
        block_time: UnixMillis::from_millis(NOON),
        state: DepositState::parse(state).unwrap(),
        reason: reason.map(|reason| DepositReason::parse(reason).unwrap()),
        account_id: Some(account.id),
        wallet_id: None,
        value_nanousd: Some(NanoUsd::from_nanos(5_500_000_000)),
        price_feed: None,
        price_round: None,
        price_answer: None,
        credit_number: 0,
        revision: 0,
        check_at: UnixMillis::from_millis(0),
        created_at: UnixMillis::from_millis(NOON),
        updated_at: UnixMillis::from_millis(NOON),
        early_credit_at: None,
        early_value_nanousd: None,
        is_provisional: false,
    }
}

/// `claim_NUMBER`, of a transaction that nobody has looked for.
pub(crate) fn claim(account: &Account, number: u8) -> ClaimRow {
    ClaimRow {
        id: 0,
        public_id: format!("claim_{number}"),
        account_id: account.id,
        chain_id: ChainId(1),
        tx_hash: TxHash([number; 32]),
        state: ClaimState::Submitted,
        reason: None,
        tries: 0,
        check_at: None,
        created_at: UnixMillis::from_millis(0),
        updated_at: UnixMillis::from_millis(0),
    }
}
