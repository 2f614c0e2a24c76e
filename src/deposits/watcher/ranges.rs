//! Queries for logs, in pieces that each provider takes: one that takes short ranges only does not
//! slow the others, and none is asked for more than it takes. Whatever the words of a refusal, and
//! where no answer comes at all, half as many blocks are asked for; at one block it is the
//! provider's trouble, and its reason is kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;

use super::part_end;
use crate::chain::logs::{
    LogFilter, LogQuery, LogsError, PAYEES_MAX, TransferLog, logs_by_receipts, transfer_logs,
};
use crate::chain::provider::limit::LearnedLimit;
use crate::chain::{Provider, ProviderError};

/// Pauses in a row that a provider may ask for before it is asked for less as well.
const PAUSES_MAX: u32 = 3;
/// Blocks whose transfers to everybody are asked for at first.
const EVERYBODY_AT_FIRST: u64 = 32;
/// Transfers to everybody that an answer should have at most.
const EVERYBODY_MAX: usize = 5_000;

/// How many blocks each provider takes in one query, as far as is known.
#[derive(Debug)]
pub(super) struct LogRanges {
    most: u64,
    by_provider: HashMap<Arc<str>, Reach>,
}

/// What one provider takes.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// Blocks, where payees are named.
    by_payees: LearnedLimit,
    /// Blocks, where they are not.
    of_everybody: LearnedLimit,
    /// Payees in one call.
    payees: LearnedLimit,
    /// Whether it has refused the transfers of a single block to everybody.
    wants_payees: bool,
    /// Pauses that it asked for in a row.
    pauses: u32,
}

/// A range of blocks to read, and those before it that are read once more for providers that index
/// late.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSpan {
    /// First block, and the last.
    pub(super) new: (u64, u64),
    /// How many blocks are read once more.
    pub(super) rescan: u64,
    /// Whether all of it is final, so that it is read once more in any case: there is little of it.
    pub(super) is_bulk: bool,
}

impl LogRanges {
    /// Nothing is known yet.
    pub(super) fn new(most: u64) -> Self {
        Self { most: most.max(1), by_provider: HashMap::new() }
    }

    /// What a bulk of blocks may span, so that no provider is asked more than ten times for it.
    pub(super) fn bulk(&self) -> u64 {
        let least = self.by_provider.values().map(|reach| reach.by_payees.now()).min();
        least.map_or(self.most, |least| least.saturating_mul(10).min(self.most))
    }

    /// Asks every provider for the wanted transfers; in place of them, why there are none, in a
    /// sentence.
    pub(super) async fn ask(
        &mut self,
        providers: &[Provider],
        span: BlockSpan,
        wanted: &LogFilter,
    ) -> Vec<Result<Vec<TransferLog>, String>> {
        let unknown = Reach::new(self.most);
        let end = part_end();
        let asked = providers.iter().map(|provider| {
            let reach = self.by_provider.get(provider.name()).copied().unwrap_or(unknown);
            let mut pieces = RangeReader { reach, provider, wanted, end };
            async move {
                let answer = pieces.ask_span(span).await;
                (pieces.reach, answer)
            }
        });
        let answers = join_all(asked).await;
        let mut all = Vec::with_capacity(answers.len());
        for (provider, (reach, answer)) in providers.iter().zip(answers) {
            provider.standing().set_log_blocks(reach.blocks_shown());
            self.by_provider.insert(Arc::clone(provider.name()), reach);
            all.push(answer);
        }
        all
    }
}

impl Reach {
    const fn new(most: u64) -> Self {
        Self {
            by_payees: LearnedLimit::new(most),
            of_everybody: LearnedLimit::starting_at(most, EVERYBODY_AT_FIRST),
            payees: LearnedLimit::new(PAYEES_MAX),
            wants_payees: false,
            pauses: 0,
        }
    }

    /// The way that costs fewer calls; where both cost the same, the one with the shorter answers.
    fn way(&self, blocks: u64, payees: usize) -> LogQuery {
        let payees = u64::try_from(payees).unwrap_or(u64::MAX);
        let calls = payees
            .div_ceil(self.payees.now())
            .saturating_mul(blocks.div_ceil(self.by_payees.now()));
        if self.wants_payees || calls <= blocks.div_ceil(self.of_everybody.now()) {
            LogQuery::Payees(usize::try_from(self.payees.now()).unwrap_or(usize::MAX))
        } else {
            LogQuery::Everybody
        }
    }

    fn limit(&mut self, way: LogQuery) -> &mut LearnedLimit {
        match way {
            LogQuery::Payees(_) => &mut self.by_payees,
            LogQuery::Everybody => &mut self.of_everybody,
        }
    }

    fn blocks_shown(&self) -> u64 {
        self.by_payees.now()
    }
}

/// One provider's way through a range.
struct RangeReader<'a> {
    reach: Reach,
    provider: &'a Provider,
    wanted: &'a LogFilter,
    /// When smaller pieces are left to the next round.
    end: Instant,
}

impl RangeReader<'_> {
    async fn ask_span(&mut self, span: BlockSpan) -> Result<Vec<TransferLog>, String> {
        if self.wanted.is_empty() {
            return Ok(Vec::new());
        }
        let BlockSpan { new: (from, to), rescan, is_bulk } = span;
        let before = from.saturating_sub(rescan);
        let all = to.saturating_sub(before).saturating_add(1);
        let way = self.reach.way(all, self.wanted.payees());
        let fits = self.reach.limit(way).now() >= all;
        // Transfers to everybody are many: blocks are read once more with each query only where
        // they are few.
        let are_few =
            way != LogQuery::Everybody || rescan <= all.saturating_sub(rescan).saturating_mul(2);
        let is_one_call = fits && are_few;
        if is_bulk || is_one_call {
            return self.ask(before, to).await;
        }
        // Each block once more, and not with every round: a while after it was first read.
        let mut found = self.ask(from, to).await?;
        if let Some((first, last)) = once_more((from, to), rescan) {
            found.extend(self.ask(first, last).await?);
        }
        Ok(found)
    }

    async fn ask(&mut self, from: u64, to: u64) -> Result<Vec<TransferLog>, String> {
        let (mut at, mut found) = (from, Vec::new());
        // Up to there an answer may have been cut off: asked again in pieces of at most so many
        // blocks.
        let mut doubted = (0, u64::MAX);
        while at <= to {
            let left = to.saturating_sub(at).saturating_add(1);
            let way = self.reach.way(left, self.wanted.payees());
            let most = if at <= doubted.0 { doubted.1 } else { u64::MAX };
            let span = self.reach.limit(way).now().min(left).min(most);
            let end = at.saturating_add(span).saturating_sub(1);
            match transfer_logs(self.provider, (at, end), self.wanted, way).await {
                Ok(logs) if logs.may_be_cut && span > 1 => doubted = (end, span / 2),
                Ok(logs) => {
                    self.is_taken(way, span, logs.given);
                    found.extend(logs.found);
                    if logs.may_be_cut {
                        found.extend(self.by_receipts(at, logs.given).await);
                    }
                    at = end.saturating_add(1);
                }
                Err(LogsError::TooMany { suggested, error }) => {
                    let proposed = suggested.map(|(low, high)| high.saturating_sub(low) + 1);
                    self.is_refused(way, span, proposed, error)?;
                }
                Err(LogsError::Provider(error)) => self.is_refused(way, span, None, error)?,
            }
        }
        Ok(found)
    }

    fn is_taken(&mut self, way: LogQuery, span: u64, given: usize) {
        self.reach.pauses = 0;
        if let LogQuery::Payees(at_once) = way
            && self.wanted.payees() >= at_once
        {
            self.reach.payees.take(u64::try_from(at_once).unwrap_or(u64::MAX));
        }
        let limit = self.reach.limit(way);
        if way == LogQuery::Everybody && given > EVERYBODY_MAX && span > 1 {
            limit.refuse(span, None);
        } else {
            limit.take(span);
        }
    }

    /// Learns from a refusal, or from silence. The error is why it is not asked again at once.
    fn is_refused(
        &mut self,
        way: LogQuery,
        span: u64,
        proposed: Option<u64>,
        error: ProviderError,
    ) -> Result<(), String> {
        let standing = self.provider.standing();
        let plural = if span == 1 { "" } else { "s" };
        let what = format!("logs of {span} block{plural}");
        let why = Err(standing.sentence(&what, error));
        // It was not asked at all, and what it last refused is something else.
        if matches!(
            error,
            ProviderError::BreakerOpen | ProviderError::Overloaded | ProviderError::Stopped
        ) {
            return why;
        }
        standing.refused(&what, error);
        if matches!(error, ProviderError::RateLimited { .. }) {
            self.reach.pauses = self.reach.pauses.saturating_add(1);
            // More than it ever gave is not insisted on.
            let is_enough = self.reach.pauses >= PAUSES_MAX || self.reach.limit(way).is_tried();
            if is_enough && span > 1 {
                self.reach.limit(way).refuse(span, proposed);
            }
            return why;
        }
        let payees = u64::try_from(self.wanted.payees()).unwrap_or(u64::MAX);
        let at_once = self.reach.payees.now().min(payees);
        let is_named = way != LogQuery::Everybody;
        if is_named && at_once > 1 && self.reach.payees.is_tried() {
            self.reach.payees.refuse(at_once, None);
        } else if span > 1 {
            self.reach.limit(way).refuse(span, proposed);
        } else if !is_named {
            self.reach.wants_payees = true;
        } else if at_once > 1 {
            // It was not the number of blocks.
            self.reach.by_payees.fail_alone();
            self.reach.payees.refuse(at_once, None);
        } else {
            self.reach.by_payees.fail_alone();
            self.reach.payees = LearnedLimit::new(PAYEES_MAX);
            self.reach.wants_payees = false;
            return why;
        }
        if Instant::now() > self.end { why } else { Ok(()) }
    }

    /// What the receipts of a block have beyond its logs, where a round number of them was given.
    async fn by_receipts(&self, number: u64, given: usize) -> Vec<TransferLog> {
        let (standing, what) = (self.provider.standing(), "the receipts of a block");
        match logs_by_receipts(self.provider, number, self.wanted).await {
            Ok(Some(logs)) => logs.found,
            Ok(None) => Vec::new(),
            Err(error) => {
                let name = self.provider.name();
                let why = standing.sentence(what, error);
                tracing::warn!(provider = %name, number, given, why, "logs may have been cut off");
                Vec::new()
            }
        }
    }
}

/// The blocks that are read once more with a range: with each multiple of `rescan` those from twice
/// as far back on, up to `rescan` before it. So each has its turn once, however long the ranges
/// are.
fn once_more((from, to): (u64, u64), rescan: u64) -> Option<(u64, u64)> {
    let multiple = |turns: u64| turns.saturating_mul(rescan);
    let newest = multiple(to.checked_div(rescan)?);
    let oldest = multiple(from.checked_next_multiple_of(rescan)?.checked_div(rescan)?);
    let last = newest.checked_sub(rescan)?.checked_sub(1)?;
    (oldest <= newest).then(|| (oldest.saturating_sub(multiple(2)), last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_is_read_once_more_whatever_the_ranges_are() {
        assert_eq!(once_more((61, 80), 16), Some((32, 63)));
        assert_eq!((once_more((65, 79), 16), once_more((1, 80), 0)), (None, None));
        for (span, rescan) in [(1, 16), (20, 16), (16, 16), (7, 3), (1000, 240), (5, 1)] {
            let mut next = 0;
            for from in (1..10_000).step_by(span) {
                let to = from + u64::try_from(span).unwrap() - 1;
                if let Some((first, last)) = once_more((from, to), rescan) {
                    assert_eq!(first, next, "{span} {rescan}");
                    next = last + 1;
                }
            }
            assert!(next + 2 * rescan + u64::try_from(span).unwrap() > 9_000, "{next}");
        }
    }

    #[test]
    fn the_way_that_costs_fewer_calls_is_taken() {
        let mut reach = Reach::new(1000);
        assert_eq!(reach.way(1, 1), LogQuery::Payees(500));
        assert_eq!(reach.way(30, 500), LogQuery::Payees(500));
        for payees in [501, 5_000, 20_000] {
            assert_eq!(reach.way(1, payees), LogQuery::Everybody);
            assert_eq!(reach.way(30, payees), LogQuery::Everybody);
        }
        // Where blocks are many, and full of transfers of others.
        assert_eq!(reach.way(1000, 1_000), LogQuery::Payees(500));
        reach.of_everybody.refuse(32, Some(2));
        assert_eq!(reach.way(30, 5_000), LogQuery::Payees(500));
        assert_eq!(reach.way(30, 20_000), LogQuery::Everybody);
        // And where the provider takes few blocks, whoever is paid.
        reach.by_payees.refuse(1000, Some(2));
        assert_eq!(reach.way(30, 5_000), LogQuery::Everybody);
    }
}
