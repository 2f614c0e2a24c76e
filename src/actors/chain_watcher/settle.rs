//! Moves deposits on: attributes what was seen, and credits what is final, each field of it read afresh and agreed on.

use std::time::Instant;

use super::lookup::{Sighted, is_final};
use super::observe::View;
use super::value::{Appraisal, Valued};
use super::{State, Trouble, height, part_end};
use crate::chain::contract::{SIGNATURE_GAS, is_valid_signature};
use crate::chain::facts::{Sighting, Transfer, TxFacts};
use crate::chain::quorum::{Agreement, block_ref};
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
/// The same where it is nobody's fault: old state and traces are not kept by every provider.
const LONG_PAUSE: i64 = 60_000;
/// How often unattributed deposits are held against the wallets once more, in milliseconds.
const SWEEP: i64 = 60_000;
/// A contract's proof that nobody can check, or a transfer that nobody can trace any more, is left to a person after
/// a day.
const PATIENCE: i64 = 86_400_000;

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
    /// Its block is not on the chain.
    Gone,
    /// Its value is known; it may be credited.
    Credit(DepositRow),
    /// It has moved on.
    Done,
    /// Somebody has changed it, or it goes on by itself.
    Later,
    /// Providers do not agree on it, and the chain is in trouble until they do.
    Doubt(String),
    /// It waits for something that says nothing about the chain's state.
    Wait(&'static str),
}

impl State {
    /// Moves on what can be.
    pub(super) async fn settle(&mut self, view: &View, ours: &Ours) -> Result<(), Trouble> {
        self.sweep().await?;
        // What was just attributed may be final already.
        for state in [DepositState::Seen, DepositState::Confirming] {
            let (chain_id, now) = (self.chain_id(), self.now());
            let final_number = super::column(view.final_number);
            let due = self
                .parts
                .database
                .run(move |conn| deposits::due(conn, chain_id, final_number, now, DEPOSITS))
                .await?;
            let end = part_end();
            for row in due.into_iter().filter(|row| row.state() == Some(state)) {
                if Instant::now() > end {
                    break;
                }
                self.settle_one(view, ours, row).await?;
            }
        }
        Ok(())
    }

    /// Finds deposits again whose payer was proven in the moment in which they were found to be nobody's.
    async fn sweep(&mut self) -> Result<(), Trouble> {
        let (chain_id, now) = (self.chain_id(), self.now());
        if self.swept_at.is_some_and(|at| now.millis_since(at) < SWEEP) {
            return Ok(());
        }
        self.swept_at = Some(now);
        self.write(move |conn| {
            for row in deposits::overlooked(conn, chain_id, DEPOSITS)? {
                let seen = DepositRow {
                    state: DepositState::Seen.as_str().to_owned(),
                    check_at: now.as_millis(),
                    ..row
                };
                deposits::change(conn, &seen, now)?;
            }
            Ok(())
        })
        .await?;
        Ok(())
    }

    async fn settle_one(
        &mut self,
        view: &View,
        ours: &Ours,
        row: DepositRow,
    ) -> Result<(), Trouble> {
        let about = TxHash::from_slice(&row.tx_hash).map(|tx_hash| (tx_hash, Some(row.ordinal)));
        let kept = row.clone();
        let step = match self.next_step(view, ours, row).await {
            // Its own trouble must not hold up the others.
            Err(Trouble::Deposit(
                error @ (DepositError::Unreadable(_) | DepositError::Contradiction(_)),
            )) => Step::Doubt(super::whole(&error)),
            other => other?,
        };
        let now = self.now();
        let mut check_at = now.plus_millis(PAUSE);
        if let Step::Wait(why) = &step {
            let (chain, deposit) = (&self.parts.chain.name, &kept.public_id);
            tracing::warn!(chain, deposit, why, "a deposit waits");
            check_at = now.plus_millis(LONG_PAUSE);
        }
        if let Some(about) = about {
            match &step {
                Step::Doubt(why) => self.doubts.raise(about, why.clone(), check_at),
                _ => self.doubts.settle(about),
            }
        }
        if matches!(step, Step::Doubt(_) | Step::Wait(_) | Step::Later) {
            let waiting = DepositRow { check_at: check_at.as_millis(), ..kept };
            self.write(move |conn| Ok(deposits::change(conn, &waiting, now)?)).await?;
        }
        Ok(())
    }

    /// Takes the next step of a deposit, as far as it can be taken.
    async fn next_step(&self, view: &View, ours: &Ours, row: DepositRow) -> Result<Step, Trouble> {
        let read = Read::try_from(row)?;
        let now = self.now();
        if read.row.state() == Some(DepositState::Seen) {
            self.attribute(&read).await?;
            return Ok(Step::Done);
        }
        if !is_final(view, read.row.block_number) {
            return Ok(Step::Later);
        }
        match self.examine(view, &read).await? {
            Step::Change(row) => {
                self.write(move |conn| Ok(deposits::change(conn, &row, now)?)).await?;
            }
            Step::Renew(facts) => self.orphan_then_keep(read.row, facts, ours).await?,
            Step::Gone => {
                let row = read.row;
                self.write(move |conn| Ok(record::orphan(conn, &row, now)?)).await?;
            }
            Step::Credit(row) => self.credit(row).await?,
            step => return Ok(step),
        }
        Ok(Step::Done)
    }

    /// Whose it is, by what was known at its inclusion or is known by now.
    async fn attribute(&self, read: &Read) -> Result<(), Trouble> {
        let (chain_id, ends, at) = (self.chain_id(), (read.payer, read.payee), read.mined_at);
        let (row, tx_hash, now) = (read.row.clone(), read.tx_hash, self.now());
        // In one transaction: a wallet that is proven meanwhile either is seen here or sees the deposit.
        let decide = move |conn: &mut AnyConnection| {
            let (state, reason, account_id, wallet_id) = match attribute(conn, chain_id, ends, at)?
            {
                Attribution::Account { account_id, wallet_id } => {
                    (DepositState::Confirming, None, Some(account_id.0), wallet_id)
                }
                Attribution::Nobody => (DepositState::Unattributed, None, None, None),
                Attribution::ErasedAccount => {
                    (DepositState::Held, Some(DepositReason::ErasedAccount), None, None)
                }
            };
            let next = DepositRow {
                state: state.as_str().to_owned(),
                reason: reason.map(|reason| reason.as_str().to_owned()),
                account_id,
                wallet_id,
                check_at: now.as_millis(),
                ..row
            };
            if deposits::change(conn, &next, now)? {
                claims::refuse_others(conn, chain_id, tx_hash, now)?;
            }
            Ok(())
        };
        Ok(self.write(move |conn| transaction::write(conn, decide)).await?)
    }

    /// Everything that enters a credit, asked again of all providers.
    async fn examine(&self, view: &View, read: &Read) -> Result<Step, Trouble> {
        let stands = |facts: &TxFacts| facts.transfers.iter().any(|one| is_same(one, &read.row));
        let is_coin = read.row.ordinal < 0;
        // Coins at the top of a transaction need no trace; others are found with one only.
        for wants_trace in [false, true] {
            let facts = match self.sight(view, read.tx_hash, wants_trace).await.sighted {
                Sighted::Agreed(Sighting::Mined(facts)) => facts,
                Sighted::Agreed(_) => return self.examine_block(view, read).await,
                Sighted::Doubt(_) | Sighted::TooLarge if wants_trace => {
                    return Ok(self.give_up_after_a_day(read, DepositReason::Untraceable));
                }
                Sighted::Doubt(why) => return Ok(Step::Doubt(why)),
                Sighted::TooLarge => return Ok(Step::Wait("its transaction is too large")),
            };
            let is_there = facts.block_hash == read.block_hash && facts.is_success;
            if is_there && stands(&facts) {
                return self.appraise(view, read).await;
            }
            if !is_there || !is_coin || wants_trace {
                return Ok(Step::Renew(facts));
            }
        }
        Ok(Step::Later)
    }

    /// The transaction is in no block that enough know. If its own block is not on the chain, it is gone: it was seen
    /// at the head, before the block was read and left again.
    async fn examine_block(&self, view: &View, read: &Read) -> Result<Step, Trouble> {
        let number = height(read.row.block_number);
        let verdict = block_ref(&view.providers, view.quorum, number).await;
        Ok(match verdict.agreement {
            Agreement::Agreed(Some(block)) if block.hash != read.block_hash => Step::Gone,
            _ => Step::Doubt(format!(
                "too few providers show the transaction {} in its block",
                read.tx_hash
            )),
        })
    }

    /// Waits for what providers may not keep; then a person decides.
    fn give_up_after_a_day(&self, read: &Read, reason: DepositReason) -> Step {
        if self.now().millis_since(read.mined_at) <= PATIENCE {
            return Step::Wait("providers do not show how it was made, or proven");
        }
        held(reason, read.row.clone())
    }

    async fn appraise(&self, view: &View, read: &Read) -> Result<Step, Trouble> {
        match self.is_proven_at_block(view, read).await? {
            Some(true) => {}
            Some(false) => return Ok(held(DepositReason::ProofInvalidAtBlock, read.row.clone())),
            None => {
                return Ok(self.give_up_after_a_day(read, DepositReason::ProofInvalidAtBlock));
            }
        }
        let asset = Asset::from_column(read.row.token.as_deref());
        let raw = read.row.raw_amount.parse().ok();
        let (Some(asset), Some(raw)) = (asset, raw) else {
            return Err(DepositError::Unreadable(read.row.public_id.clone()).into());
        };
        let Appraisal { value, hold, minimum, source } =
            match self.value(view, asset, raw, read.mined_at).await {
                Valued::As(appraisal) => appraisal,
                Valued::Doubt(why) => return Ok(Step::Doubt(why)),
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
            credit::Reached::NotYet | credit::Reached::Changed => Step::Later,
        })
    }

    /// A contract's proof holds only where its own chain said so at the deposit's block. `None` is not known yet.
    async fn is_proven_at_block(&self, view: &View, read: &Read) -> Result<Option<bool>, Trouble> {
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
        // A contract of the user's choice may answer each provider differently.
        Ok(None)
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

fn held(reason: DepositReason, row: DepositRow) -> Step {
    Step::Change(DepositRow {
        state: DepositState::Held.as_str().to_owned(),
        reason: Some(reason.as_str().to_owned()),
        ..row
    })
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
