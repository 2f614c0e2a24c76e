//! Credits what is small before its block is final, as far as the operator's tiers allow. A deposit
//! is looked at as if it were final; only a credit comes of that look, everything else waits for
//! finality. Then its block is looked at again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use super::observe::View;
use super::verify::{TxEvidence, Weighed};
use super::{RoundError, WatcherState, column, height};
use crate::config::Tier;
use crate::db::AnyConnection;
use crate::db::models::chains::ChainRow;
use crate::db::models::deposit_turns;
use crate::db::models::deposits::{self, DepositRow};
use crate::deposits::recipients::Recipients;
use crate::deposits::{DepositError, credit};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{BlockHash, TxHash};
use crate::domain::money::NanoUsd;
use crate::telemetry::Causes;

/// Deposits that are considered in one round, in the order of their turns.
const CONSIDERED: i64 = 500;
/// Those of them whose transactions are asked about.
const LOOKS: usize = 50;

/// Blocks that are compared in one round, once they are final.
const COMPARED: i64 = 50;
/// Pause before such a block is asked for again that cannot be told, in milliseconds.
const PAUSE: i64 = 5_000;

/// Deposits that were looked at in vain: by row, the confirmations from which on another look may
/// help.
#[derive(Debug, Default)]
pub(super) struct Passed(HashMap<i64, u64>);

impl Passed {
    /// The blocks may be others.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl WatcherState {
    /// Credits what the tiers let through, until `end`.
    pub(super) async fn credit_early(
        &mut self,
        view: &View,
        ours: &Recipients,
        chain: &ChainRow,
        end: Instant,
    ) -> Result<(), RoundError> {
        let Some(first) = self.parts.chain.tiers.first().copied() else { return Ok(()) };
        // Only in blocks that were read: what was read is held against the chain, so that a credit
        // is taken back with it.
        let top = view.head.saturating_add(1).saturating_sub(first.confirmations);
        let top = top.min(height(chain.scanned_number));
        let (chain_id, now) = (self.chain_id(), self.now());
        let blocks = (column(view.final_number), column(top));
        let rows = self
            .parts
            .database
            .run(move |conn| deposit_turns::confirming(conn, chain_id, blocks, now, CONSIDERED))
            .await?;
        self.passed.0.retain(|id, _| rows.iter().any(|row| row.id == *id));
        let worth_a_look = rows.into_iter().filter(|row| self.may_be_early(view, row));
        let mut looks: HashMap<TxHash, TxEvidence> = HashMap::new();
        for row in worth_a_look.take(LOOKS).collect::<Vec<_>>() {
            if Instant::now() > end {
                break;
            }
            let (id, public_id) = (row.id, row.public_id.clone());
            let look = looks.entry(row.tx_hash).or_default();
            let next = match self.look_early(view, ours, look, (&row, chain)).await {
                // Its own trouble is told when it is final, and holds up nobody.
                Err(RoundError::Deposit(
                    error @ (DepositError::Unreadable(_) | DepositError::Contradiction(_)),
                )) => {
                    tracing::warn!(
                        deposit = public_id,
                        error = %Causes(&error),
                        "not credited early"
                    );
                    Some(u64::MAX)
                }
                other => other?,
            };
            if let Some(next) = next {
                self.passed.0.insert(id, next);
            }
        }
        Ok(())
    }

    /// Looks at the blocks of what was credited early, once they are final: what is on the chain
    /// stays, what is not is taken back. It may have been found in a block that was never read.
    pub(super) async fn look_at_provisional(&mut self, view: &View) -> Result<(), RoundError> {
        let (chain_id, now) = (self.chain_id(), self.now());
        let until = (column(view.final_number), now);
        let due =
            move |conn: &mut AnyConnection| deposits::provisional(conn, chain_id, until, COMPARED);
        let mut blocks: HashMap<(i64, BlockHash), Option<bool>> = HashMap::new();
        for row in self.parts.database.run(due).await? {
            let is_there = match blocks.entry((row.block_number, row.block_hash)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => {
                    *unknown.insert(view.has_block(row.block_number, row.block_hash).await)
                }
            };
            self.write(move |conn| {
                match is_there {
                    Some(true) => {
                        let stays = DepositRow { is_provisional: false, ..row };
                        deposits::change(conn, &stays, now)?;
                    }
                    Some(false) => take_back(conn, &row, now)?,
                    None => {
                        let check_at = now.plus_millis(PAUSE);
                        deposits::change(conn, &DepositRow { check_at, ..row }, now)?;
                    }
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Whether a look may help, as far as that is known without asking anybody.
    fn may_be_early(&self, view: &View, row: &DepositRow) -> bool {
        let chain = &self.parts.chain;
        let confirmations = confirmations(view, row);
        let is_passed = self.passed.0.get(&row.id).is_some_and(|from| confirmations < *from);
        let most = reached(&chain.tiers, confirmations).map_or(NanoUsd::ZERO, |tier| tier.up_to);
        let value = chain.dollars(row.token, row.raw_amount);
        row.early_credit_at.is_none() && !is_passed && value.is_none_or(|value| value <= most)
    }

    /// Looks at a deposit, and credits it if a tier lets it through. Otherwise the confirmations
    /// from which on it is looked at again.
    async fn look_early(
        &self,
        view: &View,
        ours: &Recipients,
        look: &mut TxEvidence,
        (row, chain): (&DepositRow, &ChainRow),
    ) -> Result<Option<u64>, RoundError> {
        let confirmations = confirmations(view, row);
        let (row, minimum) = match self.weigh(view, ours, look, row).await? {
            Weighed::Worth(row, minimum) => (row, minimum),
            // For a moment providers differ near the head. What stays so is looked at a few times
            // only until it is final.
            Weighed::Not(_) => return Ok(Some(confirmations.saturating_mul(2))),
        };
        if row.value_nanousd.unwrap_or_default() < minimum {
            return Ok(Some(u64::MAX));
        }
        let tiers = &self.parts.chain.tiers;
        let next = tiers.iter().map(|tier| tier.confirmations).find(|from| *from > confirmations);
        let Some(tier) = reached(tiers, confirmations) else { return Ok(next) };
        let is_credited = self.credit(row, Some((tier, chain.clone()))).await?;
        Ok((!is_credited).then(|| next.unwrap_or(u64::MAX)))
    }
}

/// Undoes a credit whose block is gone.
pub(super) fn take_back(
    conn: &mut AnyConnection,
    row: &DepositRow,
    now: UnixMillis,
) -> Result<(), DepositError> {
    tracing::error!(deposit = row.public_id, "a credited deposit was undone by its chain");
    credit::reverse(conn, row, now).map(drop)
}

/// Blocks upon a deposit, its own counted.
fn confirmations(view: &View, row: &DepositRow) -> u64 {
    view.head.saturating_add(1).saturating_sub(height(row.block_number))
}

/// The tier that so many confirmations reach.
fn reached(tiers: &[Tier], confirmations: u64) -> Option<Tier> {
    tiers.iter().rev().find(|tier| tier.confirmations <= confirmations).copied()
}
