//! Rows of wallets that nobody has proven.

use sluice::db::models::wallets::{EVERY_CHAIN, WalletRow};
use sluice::domain::clock::UnixMillis;
use sluice::domain::evm::EvmAddress;
use sluice::domain::ids::AccountId;

/// `wal_NUMBER`, a key pair that is linked to an account; every byte of its address is the number.
pub(crate) fn row(account_id: AccountId, number: u8) -> WalletRow {
    WalletRow {
        id: 0,
        public_id: format!("wal_{number}"),
        account_id,
        kind: "eoa".to_owned(),
        chain_id: EVERY_CHAIN,
        address: EvmAddress([number; 20]),
        proof_hash: None,
        proof_signature: None,
        proven_at: UnixMillis::from_millis(0),
        ended_at: None,
        end_reason: None,
        label: None,
    }
}
