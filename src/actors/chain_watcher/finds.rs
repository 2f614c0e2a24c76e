//! Transactions that may pay us, as the scan comes upon them, and the queries for logs that find them. Each provider
//! has a range of its own: one that takes short ranges only does not slow the others, and none is asked for more than
//! it takes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;

use crate::chain::logs::{LogsError, TransferLog, transfer_logs};
use crate::chain::{Provider, ProviderError};
use crate::domain::evm::{EvmAddress, TxHash};

/// Successes at a provider's supposed limit after which a little more is tried.
const TRY_MORE_AFTER: u32 = 64;

/// Transactions with their blocks, and who shows them.
#[derive(Debug, Default)]
pub(super) struct Finds(BTreeMap<TxHash, Find>);

#[derive(Debug)]
struct Find {
    block_number: u64,
    /// Bit by bit, in the order of the providers.
    witnesses: u64,
}

impl Finds {
    /// A transaction that the provider at that place shows in a block.
    pub(super) fn add(&mut self, tx_hash: TxHash, block_number: u64, witness: usize) {
        let find = self.0.entry(tx_hash).or_insert(Find { block_number, witnesses: 0 });
        // Beyond 64 providers some would count as one, which errs to the side of caution.
        let bit = u32::try_from(witness % 64).unwrap_or(0);
        find.witnesses |= 1_u64.checked_shl(bit).unwrap_or(0);
    }

    /// All, with their blocks: first those that at least `quorum` show, then the others.
    pub(super) fn split(self, quorum: usize) -> [Vec<(TxHash, u64)>; 2] {
        let quorum = u32::try_from(quorum).unwrap_or(u32::MAX);
        let (shown, lone): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|(_, find)| find.witnesses.count_ones() >= quorum);
        [shown, lone].map(|finds| {
            finds.into_iter().map(|(tx_hash, find)| (tx_hash, find.block_number)).collect()
        })
    }
}

/// How many blocks each provider takes in one query for logs, as far as is known.
#[derive(Debug)]
pub(super) struct LogRanges {
    most: u64,
    by_provider: HashMap<Arc<str>, LogRange>,
}

#[derive(Clone, Copy, Debug)]
struct LogRange {
    blocks: u64,
    /// So many were refused.
    refused: u64,
    successes: u32,
}

impl LogRanges {
    /// Nothing is known yet.
    pub(super) fn new(most: u64) -> Self {
        Self { most: most.max(1), by_provider: HashMap::new() }
    }

    /// What a bulk of blocks may span, so that no provider is asked more than ten times for it.
    pub(super) fn bulk(&self) -> u64 {
        let least = self.by_provider.values().map(|range| range.blocks).min();
        least.map_or(self.most, |least| least.saturating_mul(10).min(self.most))
    }

    /// Asks every provider for the transfers in the blocks `from..=to`, each in pieces that it takes.
    pub(super) async fn ask(
        &mut self,
        providers: &[Provider],
        (from, to): (u64, u64),
        tokens: &[EvmAddress],
        payees: &[EvmAddress],
    ) -> Vec<Result<Vec<TransferLog>, ProviderError>> {
        let most = self.most;
        let unknown = LogRange { blocks: most, refused: u64::MAX, successes: 0 };
        let asked = providers.iter().map(|provider| {
            let range = self.by_provider.get(provider.name()).copied().unwrap_or(unknown);
            async move {
                let pieces = Pieces { range, most, provider, tokens, payees };
                pieces.ask(from, to).await
            }
        });
        let answers = join_all(asked).await;
        let mut all = Vec::with_capacity(answers.len());
        for (provider, (range, answer)) in providers.iter().zip(answers) {
            self.by_provider.insert(Arc::clone(provider.name()), range);
            all.push(answer);
        }
        all
    }
}

impl LogRange {
    fn is_refused(&mut self, span: u64, suggested: Option<(u64, u64)>) {
        let suggested = suggested.map(|(low, high)| high.saturating_sub(low).saturating_add(1));
        let half = (span / 2).max(1);
        self.refused = span;
        self.successes = 0;
        self.blocks = suggested.unwrap_or(half).clamp(1, span.saturating_sub(1).max(1));
    }

    fn is_taken(&mut self, most: u64) {
        self.successes = self.successes.saturating_add(1);
        if self.successes >= TRY_MORE_AFTER {
            self.successes = 0;
            self.refused = self.refused.saturating_add(self.refused / 2).saturating_add(1);
        }
        let more = self.blocks.saturating_add(self.blocks / 4).saturating_add(1);
        let below = self.refused.saturating_sub(1).max(1);
        self.blocks = self.blocks.max(more.min(below)).min(most);
    }
}

/// One provider's way through a range.
struct Pieces<'a> {
    range: LogRange,
    most: u64,
    provider: &'a Provider,
    tokens: &'a [EvmAddress],
    payees: &'a [EvmAddress],
}

impl Pieces<'_> {
    async fn ask(
        mut self,
        from: u64,
        to: u64,
    ) -> (LogRange, Result<Vec<TransferLog>, ProviderError>) {
        let (mut at, mut found) = (from, Vec::new());
        while at <= to {
            let end = at.saturating_add(self.range.blocks).saturating_sub(1).min(to);
            let span = end.saturating_sub(at).saturating_add(1);
            match transfer_logs(self.provider, at, end, self.tokens, self.payees).await {
                Ok(logs) => {
                    found.extend(logs);
                    if span >= self.range.blocks {
                        self.range.is_taken(self.most);
                    }
                    at = end.saturating_add(1);
                }
                Err(LogsError::TooMany { suggested }) if span > 1 => {
                    self.range.is_refused(span, suggested);
                }
                Err(LogsError::TooMany { .. }) => {
                    return (self.range, Err(ProviderError::TooLarge));
                }
                Err(LogsError::Provider(error)) => return (self.range, Err(error)),
            }
        }
        (self.range, Ok(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_settles_below_what_is_refused_and_tries_more_now_and_then() {
        let mut range = LogRange { blocks: 1000, refused: u64::MAX, successes: 0 };
        let mut refusals = 0;
        for _ in 0..500 {
            if range.blocks > 10 {
                refusals += 1;
                range.is_refused(range.blocks, None);
            } else {
                range.is_taken(1000);
            }
        }
        assert!((8..=20).contains(&refusals), "{refusals}");
        // What is taken again is used again.
        for _ in 0..2000 {
            range.is_taken(1000);
        }
        assert_eq!(range.blocks, 1000);
        range.is_refused(1000, Some((5, 104)));
        assert_eq!(range.blocks, 100);
        range.is_refused(2, Some((1, 900)));
        assert_eq!(range.blocks, 1);
    }

    #[test]
    fn what_enough_providers_show_is_told_from_what_one_shows() {
        let mut finds = Finds::default();
        let hash = |byte| TxHash([byte; 32]);
        for (byte, witness) in [(1, 0), (1, 1), (2, 1), (2, 1), (3, 2), (3, 0)] {
            finds.add(hash(byte), u64::from(byte), witness);
        }
        let [shown, lone] = finds.split(2);
        assert_eq!(shown, [(hash(1), 1), (hash(3), 3)]);
        assert_eq!(lone, [(hash(2), 2)]);
    }
}
