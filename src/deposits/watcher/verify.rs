//! Looks at a final deposit: everything that enters a credit is asked again, and its value is found
//! out.

use std::collections::HashMap;

use super::lookup::Sighted;
use super::observe::View;
use super::price::{Appraisal, Rounds, Valued};
use super::step::{Read, Step};
use super::{State, Trouble, millis};
use crate::chain::facts::Sighting;
use crate::chain::provider::BlockId;
use crate::chain::quorum::Agreement;
use crate::chain::signature::{SIGNATURE_GAS, is_valid_signature};
use crate::db::deposits::DepositRow;
use crate::db::wallets;
use crate::deposits::ours::Ours;
use crate::deposits::parcels::stands;
use crate::deposits::{DepositError, credit};
use crate::domain::deposit::{Asset, DepositReason, DepositState};
use crate::domain::evm::BlockHash;
use crate::domain::money::NanoUsd;

/// What was found out about a transaction, for all its deposits that are looked at together.
#[derive(Default)]
pub(super) struct Look {
    plain: Option<Sighted>,
    traced: Option<Sighted>,
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
    Not(Step),
}

impl State {
    /// Everything that enters a credit, asked again of all providers; and whether it is enough.
    pub(super) async fn examine(
        &self,
        view: &View,
        ours: &Ours,
        look: &mut Look,
        read: &Read,
    ) -> Result<Step, Trouble> {
        let (row, minimum) = match self.weigh(view, ours, look, read).await? {
            Weighed::Worth(row, minimum) => (row, minimum),
            Weighed::Not(step) => return Ok(step),
        };
        let (small, now) = (row.clone(), self.now());
        let reached = self
            .write(move |conn| credit::hold_against_minimum(conn, &small, minimum, now))
            .await?;
        Ok(match reached {
            credit::Reached::Yes => Step::Credit(row),
            credit::Reached::NotYet | credit::Reached::Changed => Step::Later,
        })
    }

    /// The same, but for its minimum. Nothing is written.
    pub(super) async fn weigh(
        &self,
        view: &View,
        ours: &Ours,
        look: &mut Look,
        read: &Read,
    ) -> Result<Weighed, Trouble> {
        match self.verify(view, ours, look, read).await? {
            None => self.appraise(view, look, read).await,
            Some(step) => Ok(Weighed::Not(step)),
        }
    }

    /// Whether the deposit stands on the chain as its row says: then nothing.
    async fn verify(
        &self,
        view: &View,
        ours: &Ours,
        look: &mut Look,
        read: &Read,
    ) -> Result<Option<Step>, Trouble> {
        let is_coin = read.row.ordinal < 0;
        // Coins at the top of a transaction need no trace; others are found with one only.
        for wants_trace in [false, true] {
            let sighted = if wants_trace { &mut look.traced } else { &mut look.plain };
            if sighted.is_none() {
                *sighted = Some(self.sight(view, read.tx_hash, wants_trace).await.sighted);
            }
            let facts = match sighted {
                Some(Sighted::Agreed(Sighting::Mined(facts))) => facts,
                Some(Sighted::Agreed(_)) | None => {
                    return self.examine_block(view, read).await.map(Some);
                }
                Some(Sighted::Doubt(_) | Sighted::TooLarge) if wants_trace => {
                    return Ok(Some(self.give_up_in_time(read, DepositReason::Untraceable)));
                }
                Some(Sighted::Doubt(why)) => return Ok(Some(Step::Doubt(why.clone()))),
                Some(Sighted::TooLarge) => {
                    return Ok(Some(Step::Wait("its transaction is too large")));
                }
            };
            let is_there = facts.block_hash == read.block_hash && facts.is_success;
            if is_there && stands(&read.row, facts, ours) {
                return Ok(None);
            }
            if !is_there || !is_coin || wants_trace {
                return Ok(Some(Step::Renew(facts.clone())));
            }
        }
        Ok(Some(Step::Later))
    }

    /// The transaction is in no block that enough know. If its own block is not on the chain, it is
    /// gone: it was seen at the head, before the block was read and left again.
    async fn examine_block(&self, view: &View, read: &Read) -> Result<Step, Trouble> {
        let is_there = view.has_block(read.row.block_number, read.block_hash.as_bytes()).await;
        Ok(if is_there == Some(false) {
            Step::Gone
        } else {
            Step::Doubt(format!(
                "too few providers show the transaction {} in its block",
                read.tx_hash
            ))
        })
    }

    /// Waits for what providers may not keep; then a person decides.
    fn give_up_in_time(&self, read: &Read, reason: DepositReason) -> Step {
        let patience = millis(self.parts.deposits.case_after);
        if self.now().millis_since(read.mined_at) <= patience {
            return Step::Wait("providers do not show how it was made, or proven");
        }
        held(reason, read.row.clone())
    }

    async fn appraise(
        &self,
        view: &View,
        look: &mut Look,
        read: &Read,
    ) -> Result<Weighed, Trouble> {
        match self.is_proven_at_block(view, look, read).await? {
            Some(true) => {}
            Some(false) => {
                let step = held(DepositReason::ProofInvalidAtBlock, read.row.clone());
                return Ok(Weighed::Not(step));
            }
            None => {
                let step = self.give_up_in_time(read, DepositReason::ProofInvalidAtBlock);
                return Ok(Weighed::Not(step));
            }
        }
        let asset = Asset::from_column(read.row.token.as_deref());
        let raw = read.row.raw_amount.parse().ok();
        let (Some(asset), Some(raw)) = (asset, raw) else {
            return Err(DepositError::Unreadable(read.row.public_id.clone()).into());
        };
        let Appraisal { value, hold, minimum, source } =
            match self.value(view, &mut look.rounds, (asset, raw), read.mined_at).await {
                Valued::As(appraisal) => appraisal,
                Valued::Doubt(why) => return Ok(Weighed::Not(Step::Doubt(why))),
                Valued::Wait(why) => return Ok(Weighed::Not(Step::Wait(why))),
            };
        let (feed, round, answer) = match source {
            Some((feed, round, answer)) => {
                (Some(feed.as_bytes().to_vec()), Some(round), Some(answer))
            }
            None => (None, None, None),
        };
        let row = DepositRow {
            value_nanousd: value.map(NanoUsd::as_nanos),
            price_feed: feed,
            price_round: round,
            price_answer: answer,
            ..read.row.clone()
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
        look: &mut Look,
        read: &Read,
    ) -> Result<Option<bool>, Trouble> {
        let Some(id) = read.row.wallet_id else { return Ok(Some(true)) };
        if let Some(said) = look.proofs.get(&(id, read.block_hash)) {
            return Ok(*said);
        }
        let said = self.ask_for_proof(view, read, id).await?;
        look.proofs.insert((id, read.block_hash), said);
        Ok(said)
    }

    async fn ask_for_proof(
        &self,
        view: &View,
        read: &Read,
        id: i64,
    ) -> Result<Option<bool>, Trouble> {
        let wallet = self.parts.database.run(move |conn| wallets::get(conn, id)).await?;
        let Some(wallet) = wallet else { return Ok(Some(false)) };
        let (Some(hash), Some(signature)) = (wallet.proof_hash, wallet.proof_signature) else {
            // A key pair's signature holds for ever.
            return Ok(Some(wallet.kind == "eoa"));
        };
        let Ok(hash) = <[u8; 32]>::try_from(hash.as_slice()) else { return Ok(Some(false)) };
        let at = BlockId::Hash(read.block_hash);
        let verdict = is_valid_signature(
            &view.providers,
            view.quorum,
            read.payer,
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

fn held(reason: DepositReason, row: DepositRow) -> Step {
    Step::Change(DepositRow {
        state: DepositState::Held.as_str().to_owned(),
        reason: Some(reason.as_str().to_owned()),
        ..row
    })
}
