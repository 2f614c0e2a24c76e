//! Where reading begins, and how it goes back after a reorganisation of the chain: to the newest
//! block that is still there, never by patching.

use std::collections::{BTreeMap, HashSet};

use super::assets::agreed;
use super::early::take_back;
use super::observe::View;
use super::{RoundError, WatcherState, column, height};
use crate::chain::blocks::blocks;
use crate::chain::head::BlockRef;
use crate::chain::quorum::{agree, ask_each, block_ref};
use crate::db::models::chains::{self, ChainRow};
use crate::db::models::{arrivals, deposits};
use crate::db::{AnyConnection, transaction};
use crate::deposits::{DepositError, record};
use crate::domain::deposit::DepositState;
use crate::domain::evm::BlockHash;

/// How old the final block may be where reading begins at it, in milliseconds: a chain that says
/// nothing of finality would be read from its first block on.
const FINAL_AGE_MAX: i64 = 86_400_000;
/// Blocks that are compared at once.
const STEP: usize = 20;

impl WatcherState {
    /// Sets the cursor of a chain that was never read.
    pub(super) async fn begin(&self, view: &View, row: &mut ChainRow) -> Result<(), RoundError> {
        if row.scanned_number >= 0 {
            return Ok(());
        }
        let first = self.parts.chain.start_block.unwrap_or(view.final_number.saturating_add(1));
        let number = first.saturating_sub(1).min(view.head);
        let verdict = block_ref(&view.providers, view.quorum, number).await;
        let block = agreed(verdict, &format!("block {number}"))?;
        let Some(block) = block else {
            return Err(RoundError::Chain(format!("no provider has block {number}")));
        };
        let age = self.now().millis_since(block.time);
        if self.parts.chain.start_block.is_none() && age > FINAL_AGE_MAX {
            return Err(RoundError::Chain(format!(
                "the final block {number} is older than a day, so that reading cannot begin there \
                 (start_block is not set)"
            )));
        }
        row.first_number = column(number.saturating_add(1));
        row.scanned_number = column(number);
        row.scanned_hash = block.hash;
        let treasury = self.treasury_at(view, number).await;
        let (chain_id, now, mut next) = (self.chain_id(), self.now(), row.clone());
        let is_ours = self
            .write(move |conn| {
                transaction::write(conn, |conn| {
                    if let Some((balance, _)) = &treasury {
                        // From here on whatever it gets is noticed.
                        arrivals::set_balance(conn, balance)?;
                    }
                    chains::note_blocks(conn, chain_id, &[(next.scanned_number, block.hash)])?;
                    next.final_number = next.scanned_number;
                    Ok(chains::change(conn, &next, now)?)
                })
            })
            .await?;
        continue_if(is_ours, row)
    }

    /// Goes back if what was read is not on the chain any more. Providers that are behind it say
    /// nothing against it: then the last block is compared that they can know. Answers why it
    /// cannot be told, if it cannot: near the head providers differ for a moment.
    pub(super) async fn rewind(
        &mut self,
        view: &View,
        row: &mut ChainRow,
    ) -> Result<Option<String>, RoundError> {
        let number = row.scanned_number.min(column(view.head));
        let shown = view.agreed_head();
        let is_plain = self.will_link(view, row, shown) || stands_at_head(view, row);
        if !self.must_compare && is_plain {
            return Ok(None);
        }
        let Some((number, known)) = self.block_read(row, number).await? else { return Ok(None) };
        let number = height(number);
        let block = match shown.filter(|block| block.number == number) {
            Some(block) => block,
            None => match self.block_at(view, number).await? {
                Ok(block) => block,
                Err(why) => return Ok(Some(why)),
            },
        };
        self.must_compare = false;
        if block.hash == known {
            return Ok(None);
        }
        self.must_compare = true;
        let Some((ancestor, hash)) = self.common_ancestor(view, column(number)).await? else {
            return Err(RoundError::Chain(format!(
                "the chain was rewritten below block {number} by more than reorg_window_blocks = \
                 {}",
                self.parts.chain.reorg_window_blocks
            )));
        };
        let chain = &self.parts.chain.name;
        tracing::warn!(chain, from = number, to = ancestor, "the chain was rewritten: going back");
        self.parts.metrics.count_alert("chain_reorganisation");
        self.looked_into.clear();
        self.doubts.clear();
        self.passed.clear();
        let intact = self.intact_credits(view, ancestor).await?;
        row.scanned_number = ancestor;
        row.scanned_hash = hash;
        let (chain_id, now, next) = (self.chain_id(), self.now(), row.clone());
        let is_ours = self
            .write(move |conn| {
                undo_above(conn, chain_id, (ancestor, &intact), now)?;
                transaction::write(conn, |conn| {
                    chains::keep_blocks(conn, chain_id, 0, ancestor)?;
                    chains::forget_candidates_above(conn, chain_id, ancestor)?;
                    Ok(chains::change(conn, &next, now)?)
                })
            })
            .await?;
        continue_if(is_ours, row)?;
        self.must_compare = false;
        Ok(None)
    }

    /// Whether blocks are read next of which the first shows what stands below it.
    fn will_link(&self, view: &View, row: &ChainRow, shown: Option<BlockRef>) -> bool {
        let next = row.scanned_number.saturating_add(1);
        let is_next = |block: BlockRef| column(block.number) == next;
        let is_block_by_block = self.parts.chain.reads_whole_blocks();
        next <= column(view.head) && (is_block_by_block || shown.is_some_and(is_next))
    }

    /// The block of that height; or why it cannot be told.
    async fn block_at(
        &self,
        view: &View,
        number: u64,
    ) -> Result<Result<BlockRef, String>, RoundError> {
        let verdict = block_ref(&view.providers, view.quorum, number).await;
        match agreed(verdict, &format!("block {number}")) {
            Ok(Some(block)) => Ok(Ok(block)),
            Ok(None) => Ok(Err(format!("providers no longer show block {number}"))),
            Err(RoundError::Chain(why)) => Ok(Err(why)),
            Err(other) => Err(other),
        }
    }

    /// The newest block up to `number` that was read and is remembered, with its hash.
    async fn block_read(
        &self,
        row: &ChainRow,
        number: i64,
    ) -> Result<Option<(i64, BlockHash)>, RoundError> {
        if number == row.scanned_number {
            return Ok(Some((number, row.scanned_hash)));
        }
        let chain_id = self.chain_id();
        let newest =
            move |conn: &mut AnyConnection| chains::blocks_up_to(conn, chain_id, number, 1);
        Ok(self.parts.database.run(newest).await?.pop())
    }

    /// The blocks of credited deposits above `ancestor` that are on the chain all the same: where
    /// not every block is read, it is not known where exactly the chain parted.
    async fn intact_credits(
        &self,
        view: &View,
        ancestor: i64,
    ) -> Result<HashSet<BlockHash>, RoundError> {
        let chain_id = self.chain_id();
        let above = move |conn: &mut AnyConnection| deposits::above(conn, chain_id, ancestor);
        let credited = self.parts.database.run(above).await?.into_iter();
        let credited = credited.filter(|row| row.state == DepositState::Credited);
        let blocks: BTreeMap<i64, BlockHash> =
            credited.map(|row| (row.block_number, row.block_hash)).collect();
        let mut intact = HashSet::new();
        for (number, hash) in blocks {
            if view.has_block(number, hash).await == Some(true) {
                intact.insert(hash);
            }
        }
        Ok(intact)
    }

    /// The newest block up to `top` that was read and is still on the chain.
    async fn common_ancestor(
        &self,
        view: &View,
        top: i64,
    ) -> Result<Option<(i64, BlockHash)>, RoundError> {
        let chain_id = self.chain_id();
        let window = column(self.parts.chain.reorg_window_blocks);
        let stored = self
            .parts
            .database
            .run(move |conn| chains::blocks_up_to(conn, chain_id, top, window))
            .await?;
        for step in stored.chunks(STEP) {
            let numbers: Vec<u64> = step.iter().map(|(number, _)| height(*number)).collect();
            let ask = |provider| {
                let numbers = numbers.clone();
                async move {
                    let blocks = blocks(provider, numbers, false).await?;
                    let hash =
                        |block: Option<crate::chain::blocks::ScannedBlock>| Some(block?.at.hash);
                    Ok(blocks.into_iter().map(hash).collect::<Vec<_>>())
                }
            };
            let said = ask_each(&view.providers, ask).await;
            let verdict = agree(said, view.quorum, |_, _| "hashes");
            let hashes = agreed(verdict, "the blocks before a reorganisation")?;
            for ((number, stored), hash) in step.iter().zip(hashes) {
                if let Some(hash) = hash.filter(|hash| hash == stored) {
                    return Ok(Some((*number, hash)));
                }
            }
        }
        Ok(None)
    }
}

/// Whether the last block that was read is the newest that enough providers have, and none of them
/// shows another one in its place: some may be ahead for a moment.
fn stands_at_head(view: &View, row: &ChainRow) -> bool {
    let next = row.scanned_number.saturating_add(1);
    let contradicts = |block: BlockRef| {
        let number = column(block.number);
        (number == row.scanned_number && block.hash != row.scanned_hash)
            || (number == next && block.parent_hash != row.scanned_hash)
    };
    let is_at_head = column(view.head) == row.scanned_number;
    is_at_head && !view.tips.iter().any(|tip| contradicts(tip.block.at))
}

/// Goes on with the row's next revision, unless another node has written it meanwhile.
pub(super) fn continue_if(is_ours: bool, row: &mut ChainRow) -> Result<(), RoundError> {
    if !is_ours {
        return Err(RoundError::Overtaken);
    }
    row.revision = row.revision.saturating_add(1);
    Ok(())
}

/// Undoes everything above a block. Each deposit by itself: a crash in between leaves the rest to
/// the next round, which finds the cursor where it was.
fn undo_above(
    conn: &mut AnyConnection,
    chain_id: crate::domain::evm::ChainId,
    (ancestor, intact): (i64, &HashSet<BlockHash>),
    now: crate::domain::clock::UnixMillis,
) -> Result<(), DepositError> {
    for row in deposits::above(conn, chain_id, ancestor)? {
        if row.state == DepositState::Credited {
            if !intact.contains(&row.block_hash) {
                take_back(conn, &row, now)?;
            }
        } else {
            record::orphan(conn, &row, now)?;
        }
    }
    Ok(())
}
