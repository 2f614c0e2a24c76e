//! Moves deposits on: attributes what was seen, and credits what is final, each field of it read
//! afresh and agreed on. Accounts and payers take turns, and a transaction is looked at once for
//! all that is due of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;

use super::observe::View;
use super::step::DepositStep;
use super::verify::TxEvidence;
use super::{RoundError, WatcherState, part_end};
use crate::chain::facts::TxFacts;
use crate::config::Tier;
use crate::db::models::chains::ChainRow;
use crate::db::models::deposit_turns;
use crate::db::models::deposits::{self, DepositRow};
use crate::db::{AnyConnection, transaction};
use crate::deposits::recipients::Recipients;
use crate::deposits::{DepositError, attribution, claims, credit, notices, record};
use crate::domain::deposit::DepositState;
use crate::domain::evm::TxHash;
use crate::domain::ids::AccountId;

/// Deposits that have their turn in one round.
const DEPOSITS: i64 = 50;
/// Deposits of one transaction that are looked at together with the one that has its turn.
const TOGETHER: i64 = 100;
/// Transactions that are asked about at once.
const AT_ONCE: usize = 8;
/// Transactions whose deposits get their owners in one round, for which nobody is asked.
const SEEN: i64 = 200;
/// Pause before a deposit that could not be settled is looked at again, in milliseconds.
const PAUSE: i64 = 5_000;
/// The same where it is nobody's fault: old state and traces are not kept by every provider.
const LONG_PAUSE: i64 = 60_000;
/// How often unattributed deposits are held against the wallets once more, in milliseconds.
const SWEEP: i64 = 60_000;

impl WatcherState {
    /// Moves on what can be. `read` says how far the chain was read, where that stands on it.
    pub(super) async fn settle(
        &mut self,
        view: &View,
        ours: &Recipients,
        read: Option<&ChainRow>,
    ) -> Result<(), RoundError> {
        self.sweep().await?;
        let (chain_id, now) = (self.chain_id(), self.now());
        let seen = move |conn: &mut AnyConnection| deposit_turns::seen(conn, chain_id, now, SEEN);
        let end = part_end();
        for tx_hash in self.parts.database.run(seen).await? {
            if Instant::now() > end {
                break;
            }
            self.attribute(tx_hash).await?;
        }
        // What was just attributed may be final already.
        let (now, final_number) = (self.now(), super::column(view.final_number));
        let due = move |conn: &mut AnyConnection| {
            let blocks = (i64::MIN, final_number);
            let turns = deposit_turns::confirming(conn, chain_id, blocks, now, DEPOSITS)?;
            let mut lots = Vec::new();
            for tx_hash in transactions(&turns) {
                let until = (final_number, now);
                lots.push(deposit_turns::confirming_of(conn, chain_id, tx_hash, until, TOGETHER)?);
            }
            Ok(lots)
        };
        let due = self.parts.database.run(due).await?;
        let end = part_end();
        for some in waves(due) {
            if Instant::now() > end {
                break;
            }
            self.settle_some(view, ours, some).await?;
        }
        self.look_at_provisional(view).await?;
        match read {
            Some(row) => self.credit_early(view, ours, row, end).await,
            None => Ok(()),
        }
    }

    /// Finds deposits again whose payer was proven in the moment in which they were found to be
    /// nobody's.
    async fn sweep(&mut self) -> Result<(), RoundError> {
        let (chain_id, now) = (self.chain_id(), self.now());
        if self.swept_at.is_some_and(|at| now.millis_since(at) < SWEEP) {
            return Ok(());
        }
        self.swept_at = Some(now);
        self.learn_cases().await?;
        self.write(move |conn| {
            for row in deposit_turns::overlooked(conn, chain_id, DEPOSITS)? {
                let seen = DepositRow { state: DepositState::Seen, check_at: now, ..row };
                deposits::change(conn, &seen, now)?;
            }
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// Moves on the deposits of some transactions at once.
    async fn settle_some(
        &mut self,
        view: &View,
        ours: &Recipients,
        some: Vec<Vec<DepositRow>>,
    ) -> Result<(), RoundError> {
        let steps = some.into_iter().map(|rows| self.next_steps(view, ours, rows));
        for (row, step) in join_all(steps).await.into_iter().flatten() {
            self.conclude(row, step).await?;
        }
        Ok(())
    }

    /// Takes the next step of deposits of one transaction, one after the other.
    async fn next_steps(
        &self,
        view: &View,
        ours: &Recipients,
        rows: Vec<DepositRow>,
    ) -> Vec<(DepositRow, Result<DepositStep, RoundError>)> {
        let (mut look, mut steps) = (TxEvidence::default(), Vec::new());
        for row in rows {
            let step = self.next_step(view, ours, &mut look, row.clone()).await;
            steps.push((row, step));
        }
        steps
    }

    /// Notes what a deposit waits for, if it has not moved on.
    async fn conclude(
        &mut self,
        kept: DepositRow,
        step: Result<DepositStep, RoundError>,
    ) -> Result<(), RoundError> {
        let about = (kept.tx_hash, Some(kept.ordinal));
        let step = match step {
            // Its own trouble must not hold up the others.
            Err(RoundError::Deposit(
                error @ (DepositError::Unreadable(_) | DepositError::Contradiction(_)),
            )) => DepositStep::Doubt(super::Causes(&error).to_string()),
            other => other?,
        };
        let now = self.now();
        let mut check_at = now.plus_millis(PAUSE);
        if let DepositStep::Wait(why) = &step {
            let (chain, deposit) = (&self.parts.chain.name, &kept.public_id);
            tracing::warn!(chain, deposit, why, "a deposit waits");
            check_at = now.plus_millis(LONG_PAUSE);
        }
        let number = kept.block_number;
        match &step {
            DepositStep::Doubt(why) => {
                let until = (check_at, true);
                check_at = self.doubt(about, number, why.clone(), until).await?;
            }
            DepositStep::Wait(why) => {
                let until = (check_at, false);
                check_at = self.doubt(about, number, (*why).to_owned(), until).await?;
            }
            _ => self.no_doubt(about).await?,
        }
        if matches!(step, DepositStep::Doubt(_) | DepositStep::Wait(_) | DepositStep::Later) {
            let waiting = DepositRow { check_at, ..kept };
            self.write(move |conn| Ok(deposits::change(conn, &waiting, now)?)).await?;
        }
        Ok(())
    }

    /// Takes the next step of a deposit, as far as it can be taken.
    async fn next_step(
        &self,
        view: &View,
        ours: &Recipients,
        look: &mut TxEvidence,
        row: DepositRow,
    ) -> Result<DepositStep, RoundError> {
        let now = self.now();
        match self.examine(view, ours, look, &row).await? {
            DepositStep::Change(row) => {
                let above = self.parts.deposits.mail_seen_above;
                self.write(move |conn| notices::change(conn, &row, above, now)).await?;
            }
            DepositStep::Renew(facts) => self.orphan_then_keep(row, facts, ours).await?,
            DepositStep::Gone => {
                self.write(move |conn| Ok(record::orphan(conn, &row, now)?)).await?;
            }
            DepositStep::Credit(row) => {
                self.credit(row, None).await?;
            }
            step => return Ok(step),
        }
        Ok(DepositStep::Done)
    }

    /// Whose the deposits of a transaction are, by what was known at its inclusion or is known by
    /// now. Who is sent a large one is told.
    async fn attribute(&self, tx_hash: TxHash) -> Result<(), RoundError> {
        let (chain_id, now, chain) = (self.chain_id(), self.now(), Arc::clone(&self.parts.chain));
        let above = self.parts.deposits.mail_seen_above;
        let attribute = move |conn: &mut AnyConnection| {
            let rows = attribution::attribute_all(conn, chain_id, tx_hash, now)?;
            if !rows.is_empty() {
                claims::refuse_others(conn, chain_id, tx_hash, now)?;
            }
            for row in &rows {
                let value = chain.dollars(row.token, row.raw_amount);
                if let Some(value) = value.filter(|value| *value >= above) {
                    notices::seen(conn, row, value, now)?;
                }
            }
            Ok(())
        };
        Ok(self.write(move |conn| transaction::write(conn, attribute)).await?)
    }

    /// Credits a deposit: one that is final, or one that a tier may let through before. Whether it
    /// was.
    pub(super) async fn credit(
        &self,
        row: DepositRow,
        early: Option<(Tier, ChainRow)>,
    ) -> Result<bool, RoundError> {
        let (now, public_id) = (self.now(), row.public_id.clone());
        let value = row.value_nanousd.unwrap_or_default();
        let key = self.parts.tombstones.clone();
        let kept = row.clone();
        let above = self.parts.deposits.mail_seen_above;
        let confirmations = early.as_ref().map(|(tier, _)| tier.confirmations);
        let credit = move |conn: &mut AnyConnection| match early {
            Some((tier, chain)) => {
                credit::credit_early(conn, &key, &row, (tier, &chain), above, now)
            }
            None => credit::credit(conn, &key, &row, above, now),
        };
        let credited = self.write(credit).await;
        let is_credited = match credited {
            Err(DepositError::Overtaken) => return Err(RoundError::Overtaken),
            Err(DepositError::Buried(_)) => {
                tracing::error!(deposit = public_id, "a deposit of an erased account came back");
                self.write(move |conn| Ok(record::set_erased(conn, &kept, now)?)).await?;
                false
            }
            other => other?,
        };
        if is_credited {
            let chain = &self.parts.chain.name;
            tracing::info!(chain, deposit = public_id, usd = %value, confirmations, "credited");
            self.parts.metrics.chains.count_deposit(chain, value);
        }
        Ok(is_credited)
    }

    /// The row's transfer is not where it was: it goes, and whatever is there now is stored.
    async fn orphan_then_keep(
        &self,
        row: DepositRow,
        facts: TxFacts,
        ours: &Recipients,
    ) -> Result<(), RoundError> {
        let (chain_id, now, ours) = (self.chain_id(), self.now(), ours.clone());
        let key = self.parts.tombstones.clone();
        self.write(move |conn| {
            transaction::write(conn, |conn| {
                record::orphan(conn, &row, now)?;
                record::record(conn, &key, chain_id, &facts, &ours, now).map(drop)
            })
        })
        .await?;
        Ok(())
    }
}

/// The transactions of some deposits, each once and in their order.
fn transactions(rows: &[DepositRow]) -> Vec<TxHash> {
    let mut known = HashSet::new();
    let hashes = rows.iter().map(|row| row.tx_hash);
    hashes.filter(|tx_hash| known.insert(*tx_hash)).collect()
}

/// Accounts, and the transactions that hold deposits of theirs.
type AccountBatch = (HashSet<Option<AccountId>>, Vec<Vec<DepositRow>>);

/// Transactions whose deposits may be moved on at once: of an account one at a time, for its small
/// ones are added up.
fn waves(due: Vec<Vec<DepositRow>>) -> Vec<Vec<Vec<DepositRow>>> {
    let mut waves: Vec<AccountBatch> = Vec::new();
    for rows in due {
        let accounts: HashSet<Option<AccountId>> = rows.iter().map(|row| row.account_id).collect();
        match waves.last_mut() {
            Some((busy, wave)) if wave.len() < AT_ONCE && busy.is_disjoint(&accounts) => {
                busy.extend(accounts);
                wave.push(rows);
            }
            _ => waves.push((accounts, vec![rows])),
        }
    }
    waves.into_iter().map(|(_, wave)| wave).collect()
}
