//! Rows of deposits, and of claims, that no chain has made.

use sluice::db::deposit_claims::ClaimRow;
use sluice::db::deposits::DepositRow;

use super::app::Account;

/// Noon of the tests' day.
const NOON: i64 = 1_795_348_800_000;

/// `dep_NUMBER`, a deposit of five and a half dollars, on a chain that is not configured.
pub(crate) fn row(account: &Account, number: u8, state: &str, reason: Option<&str>) -> DepositRow {
    DepositRow {
        id: 0,
        public_id: format!("dep_{number}"),
        chain_id: 1,
        tx_hash: vec![number; 32],
        ordinal: 0,
        token: Some(vec![1; 20]),
        payer: vec![2; 20],
        payee: vec![3; 20],
        raw_amount: "5000000".to_owned(),
        block_number: 1,
        block_hash: vec![4; 32],
        block_time: NOON,
        state: state.to_owned(),
        reason: reason.map(str::to_owned),
        account_id: Some(account.id.0),
        wallet_id: None,
        value_nanousd: Some(5_500_000_000),
        price_feed: None,
        price_round: None,
        price_answer: None,
        credit_number: 0,
        revision: 0,
        check_at: 0,
        created_at: NOON,
        updated_at: NOON,
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
        account_id: account.id.0,
        chain_id: 1,
        tx_hash: vec![number; 32],
        state: "submitted".to_owned(),
        reason: None,
        tries: 0,
        check_at: None,
        created_at: 0,
        updated_at: 0,
    }
}
