//! Reads blocks forward and notes every transaction in them that may pay us. Near the head block by block, each
//! linked to the one before; below the final block, where only tokens are looked for, in ranges as large as providers
//! allow. Each provider is asked, so that one that leaves something out hides nothing.

use std::collections::{BTreeMap, HashSet};

use super::observe::View;
use super::rewind::continue_if;
use super::{State, Trouble, column, height};
use crate::chain::Provider;
use crate::chain::blocks::{Block, blocks};
use crate::chain::logs::{LogsError, transfer_logs};
use crate::chain::quorum::ask_each;
use crate::db::chains::{self, ChainRow};
use crate::db::transaction;
use crate::deposits::ours::Ours;
use crate::domain::evm::{BlockHash, EvmAddress, TxHash};

/// Blocks that are read one by one in one piece.
const PIECE: u64 = 20;
/// Pieces in one round; then what was found is looked into.
const PIECES: usize = 10;

impl State {
    /// Reads up to the head, at most some pieces.
    pub(super) async fn scan(
        &mut self,
        view: &View,
        ours: &Ours,
        row: &mut ChainRow,
    ) -> Result<(), Trouble> {
        for _ in 0..PIECES {
            let from = height(row.scanned_number).saturating_add(1);
            if from > view.head {
                break;
            }
            self.scan_piece(view, ours, row, from).await?;
        }
        if row.head_number != column(view.head) || row.final_number != column(view.final_number) {
            row.head_number = column(view.head);
            row.final_number = column(view.final_number);
            let (now, next) = (self.now(), row.clone());
            let is_ours =
                self.parts.database.run(move |conn| chains::change(conn, &next, now)).await?;
            continue_if(is_ours, row)?;
        }
        let chain = &self.parts.chain.name;
        self.parts.metrics.set_chain_blocks(
            chain,
            row.head_number,
            row.final_number,
            row.scanned_number,
        );
        Ok(())
    }

    async fn scan_piece(
        &mut self,
        view: &View,
        ours: &Ours,
        row: &mut ChainRow,
        from: u64,
    ) -> Result<(), Trouble> {
        let with_transactions = self.parts.chain.native.is_some();
        let is_bulk = !with_transactions && from <= view.final_number;
        let to = if is_bulk {
            let range = self.log_range.max(1);
            from.saturating_add(range).saturating_sub(1).min(view.final_number)
        } else {
            from.saturating_add(PIECE).saturating_sub(1).min(view.head)
        };
        let numbers = if is_bulk { vec![to] } else { (from..=to).collect() };
        let (read, mut found) = read_blocks(view, ours, numbers, with_transactions).await?;
        let Some(tip) = read.last().copied() else { return Ok(()) };
        let links_on = |block: &Tip| block.parent.as_bytes() == row.scanned_hash;
        if !is_bulk && !read.first().is_some_and(links_on) {
            // The chain changed between two questions: the next round goes back.
            return Err(Trouble::Chain(format!("block {from} does not follow the one before")));
        }
        let first = from.saturating_sub(self.parts.chain.rescan_blocks);
        if !self.find_logs(view, ours, first, to, &mut found).await? {
            // A smaller range next time.
            return Ok(());
        }
        self.note(row, &read, tip, found).await
    }

    /// Adds the transactions with logs of ours; `false` if the range has to be smaller.
    async fn find_logs(
        &mut self,
        view: &View,
        ours: &Ours,
        from: u64,
        to: u64,
        found: &mut BTreeMap<TxHash, u64>,
    ) -> Result<bool, Trouble> {
        let tokens: Vec<EvmAddress> =
            self.parts.chain.tokens.iter().map(|token| token.address).collect();
        let payees = ours.payees();
        let (tokens, payees) = (&tokens, &payees);
        let ask = |provider: &Provider| {
            let provider = provider.clone();
            async move {
                match transfer_logs(&provider, from, to, tokens, payees).await {
                    Ok(logs) => Ok(Ok(logs)),
                    Err(LogsError::TooMany { suggested }) => Ok(Err(suggested)),
                    Err(LogsError::Provider(error)) => Err(error),
                }
            }
        };
        let said = ask_each(&view.providers, ask).await;
        let span = to.saturating_sub(from).saturating_add(1);
        let mut answered = 0_usize;
        let mut is_too_many = false;
        for (_, answer) in said {
            match answer {
                Ok(Ok(logs)) => {
                    answered = answered.saturating_add(1);
                    found.extend(logs.into_iter().map(|log| (log.tx_hash, log.block_number)));
                }
                Ok(Err(suggested)) => {
                    is_too_many = true;
                    let proposed =
                        suggested.map(|(low, high)| high.saturating_sub(low).saturating_add(1));
                    self.log_range = proposed.unwrap_or(span / 2).clamp(1, (span / 2).max(1));
                }
                Err(_) => {}
            }
        }
        if is_too_many && span > 1 {
            return Ok(false);
        }
        if answered < view.quorum {
            let quorum = view.quorum;
            return Err(Trouble::Chain(format!(
                "{answered} providers give logs of the blocks {from} to {to} and {quorum} are needed"
            )));
        }
        let most = self.parts.chain.log_range_max;
        self.log_range =
            self.log_range.saturating_add(self.log_range / 4).saturating_add(1).min(most);
        Ok(true)
    }

    /// Commits the cursor together with what was found.
    async fn note(
        &mut self,
        row: &mut ChainRow,
        read: &[Tip],
        tip: Tip,
        found: BTreeMap<TxHash, u64>,
    ) -> Result<(), Trouble> {
        let oldest = tip.number.saturating_sub(self.parts.chain.rescan_blocks.saturating_mul(2));
        self.looked_into = self.looked_into.split_off(&oldest);
        let is_new = |(tx_hash, number): &(TxHash, u64)| {
            !self.looked_into.get(number).is_some_and(|looked| looked.contains(tx_hash))
        };
        let candidates: Vec<(TxHash, i64)> = found
            .into_iter()
            .filter(is_new)
            .map(|(tx_hash, number)| (tx_hash, column(number)))
            .collect();
        let blocks: Vec<(i64, BlockHash)> =
            read.iter().map(|block| (column(block.number), block.hash)).collect();
        row.scanned_number = column(tip.number);
        row.scanned_hash = tip.hash.as_bytes().to_vec();
        let keep_from = tip.number.saturating_sub(self.parts.chain.reorg_window_blocks);
        let (chain_id, now, next) = (self.chain_id(), self.now(), row.clone());
        let is_ours = self
            .write(move |conn| {
                transaction::write(conn, |conn| {
                    chains::note_candidates(conn, chain_id, &candidates, now)?;
                    chains::note_blocks(conn, chain_id, &blocks)?;
                    chains::keep_blocks(conn, chain_id, column(keep_from), next.scanned_number)?;
                    Ok(chains::change(conn, &next, now)?)
                })
            })
            .await?;
        continue_if(is_ours, row)
    }
}

/// A block as the cursor needs it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tip {
    number: u64,
    hash: BlockHash,
    parent: BlockHash,
}

/// Reads blocks from every provider: the ones that enough agree on, from the first on and without a gap, and all
/// their plain transfers to us that any provider shows.
async fn read_blocks(
    view: &View,
    ours: &Ours,
    numbers: Vec<u64>,
    with_transactions: bool,
) -> Result<(Vec<Tip>, BTreeMap<TxHash, u64>), Trouble> {
    let ask = |provider| blocks(provider, numbers.clone(), with_transactions);
    let said = ask_each(&view.providers, ask).await;
    let answers: Vec<Vec<Option<Block>>> =
        said.into_iter().filter_map(|(_, answer)| answer.ok()).collect();
    if answers.len() < view.quorum {
        return Err(Trouble::Chain(format!(
            "{} providers give blocks and {} are needed",
            answers.len(),
            view.quorum
        )));
    }
    let (mut read, mut found) = (Vec::<Tip>::new(), BTreeMap::new());
    for place in 0..numbers.len() {
        let versions = answers.iter().filter_map(|blocks| blocks.get(place)?.as_ref());
        let versions: Vec<&Block> = versions.collect();
        let Some(tip) = agreed_tip(&versions, view.quorum) else {
            // Behind the head they may differ for a moment; what is agreed on goes on.
            if read.is_empty() && versions.len() >= view.quorum {
                let number = versions.first().map_or(0, |block| block.at.number);
                return Err(Trouble::Chain(format!(
                    "providers disagree about block {number}: block hash"
                )));
            }
            break;
        };
        if read.last().is_some_and(|before| before.hash != tip.parent && numbers.len() > 1) {
            break;
        }
        read.push(tip);
        let transfers = versions.iter().flat_map(|block| &block.transfers);
        let ours = transfers.filter(|one| ours.is_payee(one.to) && !ours.is_own(one.from));
        found.extend(ours.map(|transfer| (transfer.tx_hash, tip.number)));
    }
    Ok((read, found))
}

fn agreed_tip(versions: &[&Block], quorum: usize) -> Option<Tip> {
    let hashes: HashSet<BlockHash> = versions.iter().map(|block| block.at.hash).collect();
    let mut agreed = hashes
        .into_iter()
        .filter(|hash| versions.iter().filter(|block| block.at.hash == *hash).count() >= quorum);
    let hash = agreed.next().filter(|_| agreed.next().is_none())?;
    let at = versions.iter().find(|block| block.at.hash == hash)?.at;
    Some(Tip { number: at.number, hash, parent: at.parent_hash })
}
