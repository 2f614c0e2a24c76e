//! Looks into transactions: those that the scan has found, and those that accounts claim. The claims' share is a
//! constant number for each block, whatever their number.

use super::observe::View;
use super::{State, Trouble, column, height};
use crate::chain::facts::{Sighting, TxFacts};
use crate::chain::quorum::{Agreement, Verdict, facts};
use crate::chain::{Priority, Provider};
use crate::db::chains::{self, ChainRow};
use crate::db::deposit_claims::{self, ClaimRow};
use crate::db::transaction;
use crate::deposits::ours::{Bearing, Ours};
use crate::deposits::{DepositError, claims, record};
use crate::domain::deposit::ClaimReason;
use crate::domain::evm::TxHash;

/// Candidates that are looked into in one round.
const CANDIDATES: i64 = 50;

impl State {
    /// Turns candidates into deposits. Returns what providers could not agree on.
    pub(super) async fn look_into_candidates(
        &mut self,
        view: &View,
        ours: &Ours,
    ) -> Result<Vec<String>, Trouble> {
        let (chain_id, now) = (self.chain_id(), self.now());
        let due = self
            .parts
            .database
            .run(move |conn| chains::due_candidates(conn, chain_id, now, CANDIDATES))
            .await?;
        let mut doubts = Vec::new();
        for (tx_hash, tries) in due {
            let Some(tx_hash) = TxHash::from_slice(&tx_hash) else { continue };
            let verdict = facts(&view.providers, view.quorum, tx_hash, false).await;
            match self.weigh(verdict, tx_hash, &mut doubts) {
                Some(Sighting::Mined(facts)) => {
                    self.looked_into.entry(facts.block_number).or_default().insert(tx_hash);
                    self.keep(facts, ours).await?;
                }
                // Not on the chain: were it there again, the scan would find it again.
                Some(Sighting::Unknown) if tries > 3 => {
                    self.write(move |conn| Ok(chains::forget_candidate(conn, chain_id, tx_hash)?))
                        .await?;
                }
                _ => {
                    let doubled = u32::try_from(tries.clamp(0, 8)).unwrap_or(8);
                    let until =
                        now.plus_millis(1000_i64.saturating_mul(2_i64.saturating_pow(doubled)));
                    self.parts
                        .database
                        .run(move |conn| chains::put_off_candidate(conn, chain_id, tx_hash, until))
                        .await?;
                }
            }
        }
        Ok(doubts)
    }

    /// Stores the deposits of agreed facts, and tells the claims of the transaction. Whether there are any.
    pub(super) async fn keep(&self, facts: TxFacts, ours: &Ours) -> Result<bool, DepositError> {
        let (chain_id, now, ours) = (self.chain_id(), self.now(), ours.clone());
        self.write(move |conn| {
            transaction::write(conn, |conn| {
                let rows = record::record(conn, chain_id, &facts, &ours, now)?;
                chains::forget_candidate(conn, chain_id, facts.tx_hash)?;
                if !rows.is_empty() {
                    deposit_claims::match_all(conn, chain_id, facts.tx_hash, now)?;
                }
                Ok(!rows.is_empty())
            })
        })
        .await
    }

    /// What providers agree to know of a transaction. A disagreement is noted.
    pub(super) fn weigh(
        &self,
        verdict: Verdict<Sighting>,
        tx_hash: TxHash,
        doubts: &mut Vec<String>,
    ) -> Option<Sighting> {
        self.note_dissent(&verdict.dissenting, "transaction");
        match verdict.agreement {
            Agreement::Agreed(sighting) => Some(sighting),
            Agreement::Disagree { what } => {
                doubts.push(format!("providers disagree about the transaction {tx_hash}: {what}"));
                None
            }
            Agreement::TooFew { answered, needed } => {
                doubts.push(format!(
                    "{answered} providers answer about the transaction {tx_hash} and {needed} are needed"
                ));
                None
            }
        }
    }

    /// Looks up as many claims as the budget allows, fairly between accounts.
    pub(super) async fn look_up_claims(
        &mut self,
        view: &View,
        ours: &Ours,
        row: &ChainRow,
    ) -> Result<Vec<String>, Trouble> {
        let (chain_id, now, budget) = (self.chain_id(), self.now(), self.claim_budget);
        if budget == 0 {
            return Ok(Vec::new());
        }
        let due = self
            .parts
            .database
            .run(move |conn| deposit_claims::due(conn, chain_id, now, budget.into()))
            .await?;
        let mut doubts = Vec::new();
        for claim in due {
            self.claim_budget = self.claim_budget.saturating_sub(1);
            self.look_up(view, ours, row, claim, &mut doubts).await?;
        }
        Ok(doubts)
    }

    async fn look_up(
        &self,
        view: &View,
        ours: &Ours,
        row: &ChainRow,
        claim: ClaimRow,
        doubts: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        let now = self.now();
        let known = claim.clone();
        let is_known = self.write(move |conn| claims::settle_by_rows(conn, &known, now)).await?;
        let Some(tx_hash) = TxHash::from_slice(&claim.tx_hash) else { return Ok(()) };
        if is_known {
            return Ok(());
        }
        let providers = at_claim_priority(&view.providers);
        let verdict = facts(&providers, view.quorum, tx_hash, false).await;
        let sighting = self.weigh(verdict, tx_hash, doubts);
        let Some(Sighting::Mined(mined)) = sighting else {
            return self.wait(claim, sighting == Some(Sighting::Unknown)).await;
        };
        let bears = |facts: &TxFacts, bearing: Bearing| {
            facts.transfers.iter().any(|transfer| ours.bearing(transfer) == bearing)
        };
        let start = self.parts.chain.start_block.unwrap_or(0);
        if mined.block_number < start {
            return self.refuse(claim, ClaimReason::TooOld).await;
        }
        if !mined.is_success {
            // Until it is final it may yet be mined again, and succeed.
            if mined.block_number > view.final_number {
                return self.wait(claim, false).await;
            }
            return self.refuse(claim, ClaimReason::TransactionFailed).await;
        }
        if bears(&mined, Bearing::Deposit) {
            self.keep(mined, ours).await?;
            return Ok(());
        }
        if mined.block_number > height(row.scanned_number) {
            return self.wait(claim, false).await;
        }
        self.look_inside(view, ours, claim, mined, doubts).await
    }

    /// The last resort for a claim: coins that contracts moved inside the transaction.
    async fn look_inside(
        &self,
        view: &View,
        ours: &Ours,
        claim: ClaimRow,
        mined: TxFacts,
        doubts: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        let bears = |facts: &TxFacts, bearing: Bearing| {
            facts.transfers.iter().any(|transfer| ours.bearing(transfer) == bearing)
        };
        let tracing = view.providers.iter().filter(|provider| provider.has_traces()).count();
        let may_hide_coins = self.parts.chain.native.is_some() && !mined.is_system;
        let mut seen = mined;
        if may_hide_coins && tracing >= view.quorum {
            let providers = at_claim_priority(&view.providers);
            let verdict = facts(&providers, view.quorum, seen.tx_hash, true).await;
            match self.weigh(verdict, seen.tx_hash, doubts) {
                Some(Sighting::Mined(traced)) if bears(&traced, Bearing::Deposit) => {
                    self.keep(traced, ours).await?;
                    return Ok(());
                }
                Some(Sighting::Mined(traced)) => seen = traced,
                _ => return self.wait(claim, false).await,
            }
        }
        let reason = if bears(&seen, Bearing::OwnTransfer) {
            ClaimReason::OwnTransfer
        } else if bears(&seen, Bearing::UnsupportedToken) {
            ClaimReason::UnsupportedToken
        } else if may_hide_coins && tracing < view.quorum {
            ClaimReason::InternalNotSupported
        } else {
            ClaimReason::NotOurAddress
        };
        self.refuse(claim, reason).await
    }

    async fn wait(&self, claim: ClaimRow, is_unknown: bool) -> Result<(), Trouble> {
        let now = self.now();
        let open_millis = super::millis(self.parts.deposits.claim_open);
        self.write(move |conn| claims::put_off(conn, &claim, is_unknown, open_millis, now)).await?;
        Ok(())
    }

    async fn refuse(&self, claim: ClaimRow, reason: ClaimReason) -> Result<(), Trouble> {
        let now = self.now();
        self.write(move |conn| claims::reject(conn, &claim, reason, now)).await?;
        Ok(())
    }
}

fn at_claim_priority(providers: &[Provider]) -> Vec<Provider> {
    providers.iter().map(|provider| provider.at(Priority::Claim)).collect()
}

/// Whether a block may be credited.
pub(super) fn is_final(view: &View, block_number: i64) -> bool {
    block_number <= column(view.final_number)
}
