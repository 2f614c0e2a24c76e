//! Claims of transaction hashes, as an account makes them, and proofs of wallets that are
//! contracts.

use ethers_core::types::{Address, H256};
use sluice::db::models::deposit_claims::{self, ClaimRow};
use sluice::db::models::wallets::{self, WalletRow};
use sluice::deposits::claims::{self, Submitted};
use sluice::domain::deposit::{ClaimReason, ClaimState};
use sluice::domain::evm::{ChainId, EvmAddress, TxHash};

use super::app::Account;
use super::chain::CHAIN_ID;
use super::deposits::Shop;
use super::wait::eventually;
use super::wallet_rows;

const CHAIN: ChainId = ChainId(CHAIN_ID.cast_signed());

impl Shop {
    /// Submits a hash.
    pub(crate) fn claim(&self, account: &Account, tx: H256) -> ClaimRow {
        let (hash, now) = (TxHash(tx.0), self.app.clock.now());
        let limits = self.app.settings.deposits.clone();
        let submitted = self
            .app
            .db(|conn| claims::submit(conn, account.id, CHAIN, hash, &limits, now).unwrap());
        match submitted {
            Submitted::Kept(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    /// A claim as it stands.
    pub(crate) fn claim_of(&self, account: &Account, tx: H256) -> ClaimRow {
        let hash = TxHash(tx.0);
        self.db(|conn| deposit_claims::of_transaction(conn, account.id, CHAIN, hash).unwrap())
            .expect("a claim")
    }

    /// Waits for a claim to get somewhere, with blocks for the look-ups and time for the pauses.
    pub(crate) fn claim_reaches(
        &self,
        account: &Account,
        tx: H256,
        state: ClaimState,
        reason: Option<ClaimReason>,
    ) -> ClaimRow {
        let mut last = None;
        let mut looks = 0;
        let found = super::wait::within(super::wait::PATIENCE, || {
            looks += 1;
            if looks % 5 == 0 {
                self.mine(1);
                self.app.clock.advance(10_000);
            }
            let claim = self.claim_of(account, tx);
            let is_there = claim.state == state && claim.reason == reason;
            last = Some(claim);
            is_there.then(|| last.clone()).flatten()
        });
        found.unwrap_or_else(|| {
            panic!("in vain: waited for {state:?} {reason:?}: {last:#?}\n{:#?}", self.cursor())
        })
    }

    /// Submits a hash that must be refused.
    pub(crate) fn is_refused(&self, account: &Account, tx: H256, reason: ClaimReason) {
        self.claim(account, tx);
        self.claim_reaches(account, tx, ClaimState::Rejected, Some(reason));
    }

    /// Links a contract, with the signature that it accepts for the hash.
    pub(crate) fn link_contract(
        &self,
        account: &Account,
        address: Address,
        (hash, signature): ([u8; 32], &[u8]),
        chain_id: i64,
    ) {
        let row = WalletRow {
            public_id: sluice::domain::ids::public_id("wal_").unwrap(),
            kind: "contract".to_owned(),
            chain_id: ChainId(chain_id),
            address: EvmAddress(address.0),
            proof_hash: Some(hash.to_vec()),
            proof_signature: Some(signature.to_vec()),
            proven_at: self.app.clock.now(),
            ..wallet_rows::row(account.id, 1)
        };
        self.app.db(|conn| wallets::link(conn, &row).unwrap());
    }

    /// Waits for an alert to have been counted more than `before` times.
    pub(crate) fn alerts(&self, what: &str, before: u64) {
        eventually(&format!("the alert {what}"), || {
            (self.alert_count(what) > before).then_some(())
        });
    }

    /// How often an alert was counted.
    pub(crate) fn alert_count(&self, what: &str) -> u64 {
        self.app.metric(&format!("sluice_alerts_total{{what=\"{what}\"}}"))
    }
}
