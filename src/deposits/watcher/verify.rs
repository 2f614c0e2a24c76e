//! Looks at a final deposit: everything that enters a credit is asked again, and its value is found
//! out.

use std::collections::HashMap;

use super::lookup::LookupResult;
use super::observe::View;
use super::price::{Appraisal, Rounds, Valued};
use super::step::DepositStep;
use super::{RoundError, WatcherState, millis};
use crate::chain::facts::TxStatus;
use crate::chain::provider::BlockId;
use crate::chain::quorum::Agreement;
use crate::chain::signature::{SIGNATURE_GAS, is_valid_signature};
use crate::db::models::deposits::DepositRow;
use crate::db::models::wallets;
use crate::deposits::credit;
use crate::deposits::parcels::stands;
use crate::deposits::recipients::Recipients;
use crate::domain::deposit::{Asset, DepositReason, DepositState};
use crate::domain::evm::BlockHash;
use crate::domain::money::NanoUsd;

/// What was found out about a transaction, for all its deposits that are looked at together.
#[derive(Default)]
pub(super) struct TxEvidence {
    plain: Option<LookupResult>,
    traced: Option<LookupResult>,
    /// By what depends on the deposit.
    pub(super) rounds: Rounds,
    /// By link and block.
    proofs: HashMap<(i64, BlockHash), Option<bool>>,
}

/// What a deposit turned out to be.
pub(super) enum Weighed {
    /// It may be credited: the row with its value, and what its kind must reach.
    Worth(DepositRow, NanoUsd),
    /// Not so.
    Not(DepositStep),
}

impl WatcherState {
    /// Everything that enters a credit, asked again of all providers; and whether it is enough.
    pub(super) async fn examine(
        &self,
        view: &View,
        ours: &Recipients,
        look: &mut TxEvidence,
        row: &DepositRow,
    ) -> Result<DepositStep, RoundError> {
        let (row, minimum) = match self.weigh(view, ours, look, row).await? {
            Weighed::Worth(row, minimum) => (row, minimum),
            Weighed::Not(step) => return Ok(step),
        };
        let (small, now) = (row.clone(), self.now());
        let reached = self
            .write(move |conn| credit::hold_against_minimum(conn, &small, minimum, now))
            .await?;
        Ok(match reached {
            credit::Reached::Yes => DepositStep::Credit(row),
            credit::Reached::NotYet | credit::Reached::Changed => DepositStep::Later,
        })
    }

    /// The same, but for its minimum. Nothing is written.
    pub(super) async fn weigh(
        &self,
        view: &View,
        ours: &Recipients,
        look: &mut TxEvidence,
        row: &DepositRow,
    ) -> Result<Weighed, RoundError> {
        match self.verify(view, ours, look, row).await? {
            None => self.appraise(view, look, row).await,
            Some(step) => Ok(Weighed::Not(step)),
        }
    }

    /// Whether the deposit stands on the chain as its row says: then nothing.
    async fn verify(
        &self,
        view: &View,
        ours: &Recipients,
        look: &mut TxEvidence,
        row: &DepositRow,
    ) -> Result<Option<DepositStep>, RoundError> {
        let is_coin = row.ordinal < 0;
        // Coins at the top of a transaction need no trace; others are found with one only.
        for wants_trace in [false, true] {
            let sighted = if wants_trace { &mut look.traced } else { &mut look.plain };
            if sighted.is_none() {
                *sighted =
                    Some(self.fetch_transaction(view, row.tx_hash, wants_trace).await.sighted);
            }
            let facts = match sighted {
                Some(LookupResult::Agreed(TxStatus::Mined(facts))) => facts,
                Some(LookupResult::Agreed(_)) | None => {
                    return self.examine_block(view, row).await.map(Some);
                }
                Some(LookupResult::Doubt(_) | LookupResult::TooLarge) if wants_trace => {
                    return Ok(Some(self.give_up_in_time(row, DepositReason::Untraceable)));
                }
                Some(LookupResult::Doubt(why)) => return Ok(Some(DepositStep::Doubt(why.clone()))),
                Some(LookupResult::TooLarge) => {
                    return Ok(Some(DepositStep::Wait("its transaction is too large")));
                }
            };
            let is_there = facts.block_hash == row.block_hash && facts.is_success;
            if is_there && stands(row, facts, ours) {
                return Ok(None);
            }
            if !is_there || !is_coin || wants_trace {
                return Ok(Some(DepositStep::Renew(facts.clone())));
            }
        }
        Ok(Some(DepositStep::Later))
    }

    /// The transaction is in no block that enough know. If its own block is not on the chain, it is
    /// gone: it was seen at the head, before the block was read and left again.
    async fn examine_block(
        &self,
        view: &View,
        row: &DepositRow,
    ) -> Result<DepositStep, RoundError> {
        let is_there = view.has_block(row.block_number, row.block_hash).await;
        Ok(if is_there == Some(false) {
            DepositStep::Gone
        } else {
            DepositStep::Doubt(format!(
                "too few providers show the transaction {} in its block",
                row.tx_hash
            ))
        })
    }

    /// Waits for what providers may not keep; then a person decides.
    fn give_up_in_time(&self, row: &DepositRow, reason: DepositReason) -> DepositStep {
        let patience = millis(self.parts.deposits.case_after);
        if self.now().millis_since(row.block_time) <= patience {
            return DepositStep::Wait("providers do not show how it was made, or proven");
        }
        held(reason, row.clone())
    }

    async fn appraise(
        &self,
        view: &View,
        look: &mut TxEvidence,
        row: &DepositRow,
    ) -> Result<Weighed, RoundError> {
        match self.is_proven_at_block(view, look, row).await? {
            Some(true) => {}
            Some(false) => {
                let step = held(DepositReason::ProofInvalidAtBlock, row.clone());
                return Ok(Weighed::Not(step));
            }
            None => {
                let step = self.give_up_in_time(row, DepositReason::ProofInvalidAtBlock);
                return Ok(Weighed::Not(step));
            }
        }
        let asset = Asset::from_column(row.token);
        let Appraisal { value, hold, minimum, source } =
            match self.value(view, &mut look.rounds, (asset, row.raw_amount), row.block_time).await
            {
                Valued::As(appraisal) => appraisal,
                Valued::Doubt(why) => return Ok(Weighed::Not(DepositStep::Doubt(why))),
                Valued::Wait(why) => return Ok(Weighed::Not(DepositStep::Wait(why))),
            };
        let (feed, round, answer) = match source {
            Some((feed, round, answer)) => (Some(feed), Some(round), Some(answer)),
            None => (None, None, None),
        };
        let row = DepositRow {
            value_nanousd: value,
            price_feed: feed,
            price_round: round,
            price_answer: answer,
            ..row.clone()
        };
        if let Some(reason) = hold {
            return Ok(Weighed::Not(held(reason, row)));
        }
        let is_large = |limit: NanoUsd| value.is_some_and(|value| value > limit);
        if self.parts.deposits.review_above.is_some_and(is_large) {
            return Ok(Weighed::Not(held(DepositReason::AboveReviewLimit, row)));
        }
        Ok(Weighed::Worth(row, minimum))
    }

    /// A contract's proof holds only where its own chain said so at the deposit's block. `None` is
    /// not known yet.
    async fn is_proven_at_block(
        &self,
        view: &View,
        look: &mut TxEvidence,
        row: &DepositRow,
    ) -> Result<Option<bool>, RoundError> {
        let Some(id) = row.wallet_id else { return Ok(Some(true)) };
        if let Some(said) = look.proofs.get(&(id, row.block_hash)) {
            return Ok(*said);
        }
        let said = self.ask_for_proof(view, row, id).await?;
        look.proofs.insert((id, row.block_hash), said);
        Ok(said)
    }

    async fn ask_for_proof(
        &self,
        view: &View,
        row: &DepositRow,
        id: i64,
    ) -> Result<Option<bool>, RoundError> {
        let wallet = self.parts.database.run(move |conn| wallets::get(conn, id)).await?;
        let Some(wallet) = wallet else { return Ok(Some(false)) };
        let (Some(hash), Some(signature)) = (wallet.proof_hash, wallet.proof_signature) else {
            // A key pair's signature holds for ever.
            return Ok(Some(wallet.kind == "eoa"));
        };
        let Ok(hash) = <[u8; 32]>::try_from(hash.as_slice()) else { return Ok(Some(false)) };
        let at = BlockId::Hash(row.block_hash);
        let verdict = is_valid_signature(
            &view.providers,
            view.quorum,
            row.payer,
            (&hash, &signature),
            (SIGNATURE_GAS, at),
        )
        .await;
        self.note_dissent(&verdict.dissenting, "signature of a contract");
        if let Agreement::Agreed(is_valid) = verdict.agreement {
            return Ok(Some(is_valid));
        }
        // A contract of the user's choice may answer each provider differently.
        Ok(None)
    }
}

fn held(reason: DepositReason, row: DepositRow) -> DepositStep {
    DepositStep::Change(DepositRow { state: DepositState::Held, reason: Some(reason), ..row })
}
