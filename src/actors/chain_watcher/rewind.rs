//! Where reading begins, and how it goes back when the chain does: to the newest block that is still there, never by
//! patching.

use super::assets::agreed;
use super::observe::View;
use super::{State, Trouble, column, height};
use crate::chain::blocks::blocks;
use crate::chain::quorum::{agree, ask_each, block_ref};
use crate::db::chains::{self, ChainRow};
use crate::db::{deposits, transaction};
use crate::deposits::{DepositError, credit, record};
use crate::domain::deposit::DepositState;
use crate::domain::evm::BlockHash;

/// Blocks that are compared at once.
const STEP: usize = 20;

impl State {
    /// Sets the cursor of a chain that was never read.
    pub(super) async fn begin(&self, view: &View, row: &mut ChainRow) -> Result<(), Trouble> {
        if row.scanned_number >= 0 {
            return Ok(());
        }
        let first = self.parts.chain.start_block.unwrap_or(view.final_number.saturating_add(1));
        let number = first.saturating_sub(1).min(view.head);
        let verdict = block_ref(&view.providers, view.quorum, number).await;
        let block = agreed(verdict.agreement, &format!("block {number}"))?;
        let Some(block) = block else {
            return Err(Trouble::Chain(format!("no provider has block {number}")));
        };
        row.scanned_number = column(number);
        row.scanned_hash = block.hash.as_bytes().to_vec();
        let (chain_id, now, mut next) = (self.chain_id(), self.now(), row.clone());
        let is_ours = self
            .write(move |conn| {
                transaction::write(conn, |conn| {
                    chains::note_blocks(conn, chain_id, &[(next.scanned_number, block.hash)])?;
                    next.final_number = next.scanned_number;
                    Ok(chains::change(conn, &next, now)?)
                })
            })
            .await?;
        continue_if(is_ours, row)
    }

    /// Goes back if the last block that was read is not on the chain any more.
    pub(super) async fn rewind(&mut self, view: &View, row: &mut ChainRow) -> Result<(), Trouble> {
        let number = height(row.scanned_number);
        let verdict = block_ref(&view.providers, view.quorum, number).await;
        let block = agreed(verdict.agreement, &format!("block {number}"))?;
        if block.is_some_and(|block| block.hash.as_bytes() == row.scanned_hash) {
            return Ok(());
        }
        let Some((ancestor, hash)) = self.common_ancestor(view, row).await? else {
            return Err(Trouble::Chain(format!(
                "the chain was rewritten below block {number} by more than reorg_window_blocks = {}",
                self.parts.chain.reorg_window_blocks
            )));
        };
        let chain = &self.parts.chain.name;
        tracing::warn!(chain, from = number, to = ancestor, "the chain was rewritten: going back");
        self.parts.metrics.count_alert("chain_reorganisation");
        self.looked_into.clear();
        row.scanned_number = ancestor;
        row.scanned_hash = hash.as_bytes().to_vec();
        let (chain_id, now, next) = (self.chain_id(), self.now(), row.clone());
        let is_ours = self
            .write(move |conn| {
                undo_above(conn, chain_id, ancestor, now)?;
                transaction::write(conn, |conn| {
                    chains::keep_blocks(conn, chain_id, 0, ancestor)?;
                    chains::forget_candidates_above(conn, chain_id, ancestor)?;
                    Ok(chains::change(conn, &next, now)?)
                })
            })
            .await?;
        continue_if(is_ours, row)
    }

    /// The newest block that was read and is still on the chain.
    async fn common_ancestor(
        &self,
        view: &View,
        row: &ChainRow,
    ) -> Result<Option<(i64, BlockHash)>, Trouble> {
        let (chain_id, top) = (self.chain_id(), row.scanned_number);
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
                    let hash = |block: Option<crate::chain::blocks::Block>| Some(block?.at.hash);
                    Ok(blocks.into_iter().map(hash).collect::<Vec<_>>())
                }
            };
            let said = ask_each(&view.providers, ask).await;
            let verdict = agree(said, view.quorum, |_, _| "hashes");
            let hashes = agreed(verdict.agreement, "the blocks before a reorganisation")?;
            for ((number, stored), hash) in step.iter().zip(hashes) {
                if let Some(hash) = hash.filter(|hash| hash.as_bytes() == stored.as_slice()) {
                    return Ok(Some((*number, hash)));
                }
            }
        }
        Ok(None)
    }
}

/// Goes on with the row's next revision, unless another node has written it meanwhile.
pub(super) fn continue_if(is_ours: bool, row: &mut ChainRow) -> Result<(), Trouble> {
    if !is_ours {
        return Err(Trouble::Overtaken);
    }
    row.revision = row.revision.saturating_add(1);
    Ok(())
}

/// Undoes everything above a block. Each deposit by itself: a crash in between leaves the rest to the next round,
/// which finds the cursor where it was.
fn undo_above(
    conn: &mut crate::db::AnyConnection,
    chain_id: crate::domain::evm::ChainId,
    ancestor: i64,
    now: crate::domain::clock::UnixMillis,
) -> Result<(), DepositError> {
    for row in deposits::above(conn, chain_id, ancestor)? {
        if row.state() == Some(DepositState::Credited) {
            tracing::error!(deposit = row.public_id, "a credited deposit was undone by its chain");
            credit::reverse(conn, &row, now)?;
        } else {
            record::orphan(conn, &row, now)?;
        }
    }
    Ok(())
}
