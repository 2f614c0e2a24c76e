//! Moves deposits on: attributes what was seen, and credits what is final, each field of it read afresh and agreed on.

use super::lookup::is_final;
use super::observe::View;
use super::value::Appraisal;
use super::{State, Trouble};
use crate::chain::contract::{SIGNATURE_GAS, is_valid_signature};
use crate::chain::facts::{Sighting, Transfer, TxFacts};
use crate::chain::quorum::{Agreement, facts};
use crate::chain::rpc::BlockId;
use crate::db::deposits::{self, DepositRow};
use crate::db::{AnyConnection, transaction, wallets};
use crate::deposits::attribution::{Attribution, attribute};
use crate::deposits::ours::Ours;
use crate::deposits::{DepositError, claims, credit, record};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{Asset, DepositReason, DepositState};
use crate::domain::evm::{BlockHash, EvmAddress, TxHash};
use crate::domain::money::NanoUsd;

/// Deposits that are moved on in one round.
const DEPOSITS: i64 = 50;
/// Pause before a deposit that could not be settled is looked at again, in milliseconds.
const PAUSE: i64 = 5_000;
/// A contract's proof that nobody can check is left to a person after a day.
const PROOF_WAIT: i64 = 86_400_000;

/// A deposit's row, read into what its columns mean.
struct Read {
    row: DepositRow,
    tx_hash: TxHash,
    payer: EvmAddress,
    payee: EvmAddress,
    block_hash: BlockHash,
    mined_at: UnixMillis,
}

/// What a look at a deposit says.
enum Step {
    /// The row as it should be now.
    Change(DepositRow),
    /// Its facts have changed: they are stored anew.
    Renew(TxFacts),
    /// Its value is known; it may be credited.
    Credit(DepositRow),
    /// Later.
    Wait,
}

impl State {
    /// Moves on what can be. Returns what providers could not agree on.
    pub(super) async fn settle(&self, view: &View, ours: &Ours) -> Result<Vec<String>, Trouble> {
        let mut doubts = Vec::new();
        // What was just attributed may be final already.
        for state in [DepositState::Seen, DepositState::Confirming] {
            let (chain_id, now) = (self.chain_id(), self.now());
            let final_number = super::column(view.final_number);
            let due = self
                .parts
                .database
                .run(move |conn| deposits::due(conn, chain_id, final_number, now, DEPOSITS))
                .await?;
            for row in due.into_iter().filter(|row| row.state() == Some(state)) {
                self.settle_one(view, ours, row, &mut doubts).await?;
            }
        }
        Ok(doubts)
    }

    async fn settle_one(
        &self,
        view: &View,
        ours: &Ours,
        row: DepositRow,
        doubts: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        let read = Read::try_from(row)?;
        let step = if read.row.state() == Some(DepositState::Seen) {
            self.attribute(&read).await?
        } else if is_final(view, read.row.block_number) {
            self.examine(view, &read, doubts).await?
        } else {
            Step::Wait
        };
        let now = self.now();
        match step {
            Step::Change(row) => {
                let turns_out = row.account_id.is_some() && row.account_id != read.row.account_id;
                let change = move |conn: &mut AnyConnection| {
                    if deposits::change(conn, &row, now)? && turns_out {
                        claims::settle_others(conn, &row, now)?;
                    }
                    Ok(())
                };
                self.write(|conn| transaction::write(conn, change)).await?;
            }
            Step::Renew(facts) => {
                self.orphan_then_keep(read.row, facts, ours).await?;
            }
            Step::Credit(row) => self.credit(row).await?,
            Step::Wait => {
                let check_at = now.plus_millis(PAUSE).as_millis();
                let waiting = DepositRow { check_at, ..read.row };
                self.write(move |conn| Ok(deposits::change(conn, &waiting, now)?)).await?;
            }
        }
        Ok(())
    }

    /// Whose it is, by what was known at its inclusion or is known by now.
    async fn attribute(&self, read: &Read) -> Result<Step, Trouble> {
        let (chain_id, ends, at) = (self.chain_id(), (read.payer, read.payee), read.mined_at);
        let whose = self.write(move |conn| Ok(attribute(conn, chain_id, ends, at)?)).await?;
        let (state, reason, account_id, wallet_id) = match whose {
            Attribution::Account { account_id, wallet_id } => {
                (DepositState::Confirming, None, Some(account_id.0), wallet_id)
            }
            Attribution::Nobody => (DepositState::Unattributed, None, None, None),
            Attribution::ErasedAccount => {
                (DepositState::Held, Some(DepositReason::ErasedAccount), None, None)
            }
        };
        Ok(Step::Change(DepositRow {
            state: state.as_str().to_owned(),
            reason: reason.map(|reason| reason.as_str().to_owned()),
            account_id,
            wallet_id,
            check_at: self.now().as_millis(),
            ..read.row.clone()
        }))
    }

    /// Everything that enters a credit, asked again of all providers.
    async fn examine(
        &self,
        view: &View,
        read: &Read,
        doubts: &mut Vec<String>,
    ) -> Result<Step, Trouble> {
        let stands = |facts: &TxFacts| facts.transfers.iter().any(|one| is_same(one, &read.row));
        let is_coin = read.row.ordinal < 0;
        // Coins at the top of a transaction need no trace; others are found with one only.
        for wants_trace in [false, true] {
            let verdict = facts(&view.providers, view.quorum, read.tx_hash, wants_trace).await;
            let Some(sighting) = self.weigh(verdict, read.tx_hash, doubts) else {
                return Ok(Step::Wait);
            };
            let Sighting::Mined(facts) = sighting else {
                doubts.push(format!("the transaction {} is not in its block", read.tx_hash));
                return Ok(Step::Wait);
            };
            let is_there = facts.block_hash == read.block_hash && facts.is_success;
            if is_there && stands(&facts) {
                return self.appraise(view, read, doubts).await;
            }
            if !is_there || !is_coin || wants_trace {
                return Ok(Step::Renew(facts));
            }
        }
        Ok(Step::Wait)
    }

    async fn appraise(
        &self,
        view: &View,
        read: &Read,
        doubts: &mut Vec<String>,
    ) -> Result<Step, Trouble> {
        let held = |reason: DepositReason, row: DepositRow| {
            Step::Change(DepositRow {
                state: DepositState::Held.as_str().to_owned(),
                reason: Some(reason.as_str().to_owned()),
                ..row
            })
        };
        match self.is_proven_at_block(view, read, doubts).await? {
            Some(true) => {}
            Some(false) => return Ok(held(DepositReason::ProofInvalidAtBlock, read.row.clone())),
            None => return Ok(Step::Wait),
        }
        let asset = Asset::from_column(read.row.token.as_deref());
        let raw = read.row.raw_amount.parse().ok();
        let (Some(asset), Some(raw)) = (asset, raw) else {
            return Err(DepositError::Unreadable(read.row.public_id.clone()).into());
        };
        let Some(appraisal) = self.value(view, asset, raw, read.mined_at, doubts).await? else {
            return Ok(Step::Wait);
        };
        let Appraisal { value, hold, minimum, source } = appraisal;
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
            return Ok(held(reason, row));
        }
        let is_large = |limit: NanoUsd| value.is_some_and(|value| value > limit);
        if self.parts.deposits.review_above.is_some_and(is_large) {
            return Ok(held(DepositReason::AboveReviewLimit, row));
        }
        let (small, now) = (row.clone(), self.now());
        let reached = self
            .write(move |conn| credit::hold_against_minimum(conn, &small, minimum, now))
            .await?;
        Ok(match reached {
            credit::Reached::Yes => Step::Credit(row),
            credit::Reached::NotYet | credit::Reached::Changed => Step::Wait,
        })
    }

    /// A contract's proof holds only where its own chain said so at the deposit's block. `None` is not known yet.
    async fn is_proven_at_block(
        &self,
        view: &View,
        read: &Read,
        doubts: &mut Vec<String>,
    ) -> Result<Option<bool>, Trouble> {
        let Some(id) = read.row.wallet_id else { return Ok(Some(true)) };
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
        doubts.push(format!("the proof of {} cannot be checked", read.payer.checksummed()));
        let is_old = self.now().millis_since(read.mined_at) > PROOF_WAIT;
        Ok(is_old.then_some(false))
    }

    async fn credit(&self, row: DepositRow) -> Result<(), Trouble> {
        let (now, public_id) = (self.now(), row.public_id.clone());
        let value = NanoUsd::from_nanos(row.value_nanousd.unwrap_or_default());
        if self.write(move |conn| credit::credit(conn, &row, now)).await? {
            let chain = &self.parts.chain.name;
            tracing::info!(chain, deposit = public_id, usd = %value, "credited");
            self.parts.metrics.count_deposit(chain, value);
        }
        Ok(())
    }

    /// The row's transfer is not where it was: it goes, and whatever is there now is stored.
    async fn orphan_then_keep(
        &self,
        row: DepositRow,
        facts: TxFacts,
        ours: &Ours,
    ) -> Result<(), Trouble> {
        let (chain_id, now, ours) = (self.chain_id(), self.now(), ours.clone());
        self.write(move |conn| {
            transaction::write(conn, |conn| {
                record::orphan(conn, &row, now)?;
                record::record(conn, chain_id, &facts, &ours, now).map(drop)
            })
        })
        .await?;
        Ok(())
    }
}

fn is_same(transfer: &Transfer, row: &DepositRow) -> bool {
    i64::from(transfer.ordinal) == row.ordinal
        && transfer.asset.to_column() == row.token
        && transfer.from.as_bytes() == row.payer
        && transfer.to.as_bytes() == row.payee
        && transfer.raw.to_string() == row.raw_amount
}

impl TryFrom<DepositRow> for Read {
    type Error = DepositError;

    fn try_from(row: DepositRow) -> Result<Self, DepositError> {
        let unreadable = || DepositError::Unreadable(row.public_id.clone());
        Ok(Self {
            tx_hash: TxHash::from_slice(&row.tx_hash).ok_or_else(unreadable)?,
            payer: EvmAddress::from_slice(&row.payer).ok_or_else(unreadable)?,
            payee: EvmAddress::from_slice(&row.payee).ok_or_else(unreadable)?,
            block_hash: BlockHash::from_slice(&row.block_hash).ok_or_else(unreadable)?,
            mined_at: UnixMillis::from_millis(row.block_time),
            row,
        })
    }
}
