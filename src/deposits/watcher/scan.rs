//! Reads blocks forward and notes every transaction in them that may pay us. Where the chain's coin
//! is taken, block by block, each linked to the one before; where only tokens are, in ranges as
//! large as providers allow. Each provider is asked, so that one that leaves something out hides
//! nothing.

use futures_util::future::join_all;

use super::candidates::Candidates;
use super::observe::{Tip, View};
use super::ranges::BlockSpan;
use super::rewind::continue_if;
use super::{RoundError, WatcherState, column, height, part_end};
use crate::chain::blocks::{ScannedBlock, blocks};
use crate::chain::head::BlockRef;
use crate::chain::logs::LogFilter;
use crate::chain::{Provider, ProviderError};
use crate::db::models::chains::{self, ChainRow};
use crate::db::transaction;
use crate::deposits::recipients::Recipients;
use crate::domain::evm::{BlockHash, TxHash};

/// Blocks that are read one by one in one piece, at most.
pub(super) const PIECE: u64 = 20;
/// Pieces in one round; then what was found is looked into.
const PIECES: usize = 10;
/// Of what only a minority shows in one piece, where others are enough to agree, so much is looked
/// into: a liar must not keep everybody busy.
const LONE_MAX: usize = 8;
/// Beyond this, where every provider is needed, nothing is noted: one of them is out of its mind.
const LONE_BEYOND: usize = 1_000;

/// What one piece of reading came to.
enum ScanResult {
    /// The cursor has moved.
    Moved,
    /// The same once more, with less at once.
    Again,
    /// Not now, and why.
    Hitch(String),
}

impl WatcherState {
    /// Reads up to the head, at most some pieces. Answers why it stopped short of that, if
    /// something was in the way.
    pub(super) async fn scan(
        &mut self,
        view: &View,
        ours: &Recipients,
        row: &mut ChainRow,
    ) -> Result<Option<String>, RoundError> {
        let is_news =
            row.head_number != column(view.head) || row.final_number != column(view.final_number);
        row.head_number = column(view.head);
        row.final_number = column(view.final_number);
        // It goes along with the rest: nothing is written for its sake.
        row.block_millis = self.pulse.block_millis().or(row.block_millis);
        let (before, end, mut hitch) = (row.revision, part_end(), None);
        for _ in 0..PIECES {
            let from = height(row.scanned_number).saturating_add(1);
            if from > view.head || std::time::Instant::now() > end {
                break;
            }
            if let ScanResult::Hitch(why) = self.scan_piece(view, ours, row, from).await? {
                hitch = Some(why);
                break;
            }
        }
        // With the cursor they were written as well.
        if is_news && row.revision == before {
            let (now, next) = (self.now(), row.clone());
            let is_ours =
                self.parts.database.run(move |conn| chains::change(conn, &next, now)).await?;
            continue_if(is_ours, row)?;
        }
        let chain = &self.parts.chain.name;
        self.parts.metrics.chains.set_blocks(
            chain,
            row.head_number,
            row.final_number,
            row.scanned_number,
        );
        Ok(hitch)
    }

    async fn scan_piece(
        &mut self,
        view: &View,
        ours: &Recipients,
        row: &mut ChainRow,
        from: u64,
    ) -> Result<ScanResult, RoundError> {
        let with_transactions = self.parts.chain.reads_whole_blocks();
        let is_bulk = !with_transactions && from <= view.final_number;
        let span = if with_transactions { self.piece } else { self.log_ranges.bulk() };
        let most = if is_bulk { view.final_number } else { view.head };
        let to = from.saturating_add(span.max(1)).saturating_sub(1).min(most);
        let numbers: Vec<u64> = if with_transactions { (from..=to).collect() } else { vec![to] };
        let mut finds = Candidates::default();
        let read = match read_blocks(view, ours, numbers, with_transactions, &mut finds).await {
            Ok(read) => read,
            Err(Unread::TooLarge) => {
                self.piece = (to.saturating_sub(from).saturating_add(1) / 2).max(1);
                return Ok(ScanResult::Again);
            }
            Err(Unread::Because(why)) => return Ok(ScanResult::Hitch(why)),
        };
        self.piece = self.piece.saturating_add(1).min(PIECE);
        let Some(tip) = read.last().copied() else {
            return Ok(ScanResult::Hitch(format!("too few providers show block {from}")));
        };
        let links_on = |block: &BlockRef| block.parent_hash == row.scanned_hash;
        let first = read.first().filter(|block| block.number == from);
        if first.is_some_and(|first| !links_on(first)) {
            // The chain has changed: the next round goes back.
            self.must_compare = true;
            return Ok(ScanResult::Hitch(format!("block {from} does not follow the one before")));
        }
        let span =
            BlockSpan { new: (from, tip.number), rescan: self.parts.chain.rescan_blocks, is_bulk };
        if let Some(hitch) = self.find_logs(view, ours, span, &mut finds).await {
            return Ok(ScanResult::Hitch(hitch));
        }
        self.note(view, row, &read, finds).await
    }

    /// Adds the transactions with logs of ours; or why they cannot be had.
    async fn find_logs(
        &mut self,
        view: &View,
        ours: &Recipients,
        span: BlockSpan,
        finds: &mut Candidates,
    ) -> Option<String> {
        let tokens = self.parts.chain.tokens.iter().map(|token| token.address).collect();
        let wanted = LogFilter::new(tokens, ours.payees());
        let answers = self.log_ranges.ask(&view.providers, span, &wanted).await;
        let (mut answered, mut reasons) = (0_usize, Vec::new());
        for (witness, (provider, answer)) in view.providers.iter().zip(answers).enumerate() {
            let logs = match answer {
                Ok(logs) => logs,
                Err(why) => {
                    reasons.push(format!("{}: {why}", provider.name()));
                    continue;
                }
            };
            answered = answered.saturating_add(1);
            for log in logs {
                finds.add(log.tx_hash, log.block_number, witness);
            }
        }
        let ((_, to), quorum, reasons) = (span.new, view.quorum, reasons.join("; "));
        (answered < quorum).then(|| {
            format!(
                "{answered} providers give logs of the blocks up to {to} and {quorum} are needed \
                 ({reasons})"
            )
        })
    }

    /// Commits the cursor together with what was found.
    async fn note(
        &mut self,
        view: &View,
        row: &mut ChainRow,
        read: &[BlockRef],
        finds: Candidates,
    ) -> Result<ScanResult, RoundError> {
        let Some(tip) = read.last().copied() else { return Ok(ScanResult::Again) };
        let rescanned = self.parts.chain.rescan_blocks.saturating_mul(3);
        self.looked_into = self.looked_into.split_off(&tip.number.saturating_sub(rescanned));
        let is_new = |(tx_hash, number): &(TxHash, u64)| {
            !self.looked_into.get(number).is_some_and(|looked| looked.contains(tx_hash))
        };
        let [shown, mut lone] = finds.split(view.quorum);
        lone.retain(is_new);
        if lone.len() > LONE_BEYOND {
            let count = lone.len();
            return Ok(ScanResult::Hitch(format!(
                "{count} transactions are shown by too few providers"
            )));
        }
        if view.providers.len() > view.quorum && lone.len() > LONE_MAX {
            tracing::error!(
                chain = self.parts.chain.name,
                count = lone.len(),
                "a provider shows many transactions that the others do not; most are not looked \
                 into"
            );
            self.parts.metrics.count_alert("chain_dissent");
            lone.truncate(LONE_MAX);
        }
        let candidates: Vec<(TxHash, i64)> = shown
            .into_iter()
            .filter(is_new)
            .chain(lone)
            .map(|(tx_hash, number)| (tx_hash, column(number)))
            .collect();
        let blocks: Vec<(i64, BlockHash)> =
            read.iter().map(|block| (column(block.number), block.hash)).collect();
        row.scanned_number = column(tip.number);
        row.scanned_hash = tip.hash;
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
        continue_if(is_ours, row)?;
        Ok(ScanResult::Moved)
    }
}

/// Why blocks could not be read.
enum Unread {
    /// They are too much for one answer.
    TooLarge,
    /// Too few providers agree.
    Because(String),
}

/// Reads blocks from every provider: the ones that enough agree on, from the first on and without a
/// gap, and all their plain transfers to us that any provider shows.
async fn read_blocks(
    view: &View,
    ours: &Recipients,
    numbers: Vec<u64>,
    with_transactions: bool,
    finds: &mut Candidates,
) -> Result<Vec<BlockRef>, Unread> {
    let asked = view.providers.iter().zip(&view.tips);
    let asked = asked.map(|(provider, tip)| ask_beside(provider, tip, &numbers, with_transactions));
    let said = join_all(asked).await;
    let is_too_large = |answer: &Result<_, _>| matches!(answer, Err(ProviderError::TooLarge));
    if said.iter().any(is_too_large) && numbers.len() > 1 {
        return Err(Unread::TooLarge);
    }
    let (mut answers, mut reasons) = (Vec::<(usize, Vec<Option<ScannedBlock>>)>::new(), Vec::new());
    for (witness, (provider, answer)) in view.providers.iter().zip(said).enumerate() {
        match answer {
            Ok(blocks) => answers.push((witness, blocks)),
            Err(error) => {
                let why = provider.standing().sentence("whole blocks", error);
                reasons.push(format!("{}: {why}", provider.name()));
            }
        }
    }
    if answers.len() < view.quorum {
        let (count, needed, reasons) = (answers.len(), view.quorum, reasons.join("; "));
        return Err(Unread::Because(format!(
            "{count} providers give blocks and {needed} are needed ({reasons})"
        )));
    }
    let mut read = Vec::<BlockRef>::new();
    for (place, number) in numbers.iter().enumerate() {
        let versions: Vec<(usize, &ScannedBlock)> = answers
            .iter()
            .filter_map(|(witness, blocks)| Some((*witness, blocks.get(place)?.as_ref()?)))
            .collect();
        let Some(tip) = agreed_tip(&versions, view.quorum) else {
            // Behind the head they may differ for a moment; what is agreed on goes on.
            if read.is_empty() && versions.len() >= view.quorum {
                return Err(Unread::Because(format!("providers disagree about block {number}")));
            }
            break;
        };
        if read.last().is_some_and(|before| before.hash != tip.parent_hash) {
            break;
        }
        read.push(tip);
        for (witness, block) in versions {
            let is_ours = |to, from| ours.is_payee(to) && !ours.is_own(from);
            let paying = block.transfers.iter().filter(|one| is_ours(one.to, one.from));
            for transfer in paying {
                finds.add(transfer.tx_hash, tip.number, witness);
            }
        }
    }
    Ok(read)
}

/// Asks a provider for blocks, but for the one that it has just shown.
async fn ask_beside(
    provider: &Provider,
    tip: &Tip,
    numbers: &[u64],
    with_transactions: bool,
) -> Result<Vec<Option<ScannedBlock>>, ProviderError> {
    let is_shown =
        |number: &u64| *number == tip.block.at.number && (tip.is_whole || !with_transactions);
    let missing: Vec<u64> = numbers.iter().filter(|number| !is_shown(number)).copied().collect();
    let read = match missing.as_slice() {
        [] => Vec::new(),
        _ => blocks(provider, missing, with_transactions).await?,
    };
    let mut read = read.into_iter();
    let block = |number| {
        if is_shown(number) { Some(tip.block.clone()) } else { read.next().flatten() }
    };
    Ok(numbers.iter().map(block).collect())
}

/// The block that enough show in the same words, its parent and time among them.
fn agreed_tip(versions: &[(usize, &ScannedBlock)], quorum: usize) -> Option<BlockRef> {
    let count = |at: BlockRef| versions.iter().filter(|(_, block)| block.at == at).count();
    let agreed = |at: &BlockRef| count(*at) >= quorum;
    let tip = versions.iter().map(|(_, block)| block.at).find(agreed)?;
    let is_rival = |at: BlockRef| at != tip && count(at) >= quorum;
    let has_rival = versions.iter().any(|(_, block)| is_rival(block.at));
    (!has_rival).then_some(tip)
}
