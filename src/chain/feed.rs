//! The price of a coin at a moment: the round of its price feed (an oracle) that was in force. The
//! feed's contract keeps all rounds, so that no archive node is needed. Each provider looks for
//! itself, and enough of them must find the same round.
//!
//! A round's id has the phase of the feed, which changes with the contract behind it, in its upper
//! bits; within a phase rounds count up by one, and their times with them.

use super::contract::outcome;
use super::provider::{BlockId, Provider, ProviderError, RpcCall};
use super::quorum::{QuorumResult, agree, ask_each};
use super::types::{self, RoundData};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::FeedPrice;
use crate::domain::evm::EvmAddress;

/// Gas for one question to a feed.
const GAS: u64 = 1_000_000;
/// How far a feed's clock may be ahead of ours.
const AHEAD_MAX_MILLIS: i64 = 5 * 60 * 1000;
/// Rounds before the latest that are asked for first, as deposits are seldom older than a few
/// rounds.
const NEAR: u64 = 8;
/// Phases that are looked into, the latest among them.
const PHASES_MAX: u128 = 3;
/// Places probed at once between two bounds.
const PROBES: u64 = 15;
/// Narrowings at most; each divides what is left by sixteen.
const NARROWINGS_MAX: usize = 10;
/// Bits of a round's number within its phase.
const PHASE_SHIFT: u32 = 64;

/// A round with a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceRound {
    /// Phase and number; names the price in the books.
    pub round_id: u128,
    /// Positive; in units of the feed's decimals.
    pub answer: u128,
    /// When it came into force.
    pub updated_at: UnixMillis,
}

impl PriceRound {
    /// The price, given the feed's decimals.
    #[must_use]
    pub const fn price(self, decimals: u8) -> FeedPrice {
        FeedPrice { answer: self.answer, decimals }
    }

    /// Whether the round was older at `at` than a feed that is alive lets its rounds become.
    #[must_use]
    pub fn is_stale(self, at: UnixMillis, heartbeat_millis: i64) -> bool {
        at.millis_since(self.updated_at) > heartbeat_millis
    }
}

/// The round in force at `at`: the last one not after it. `None` if there is none among the feed's
/// last phases, or if its price is not positive. Ask once `at` is well past, or the round may not
/// have been written yet.
pub async fn price_at(
    providers: &[Provider],
    quorum: usize,
    feed: EvmAddress,
    at: UnixMillis,
    now: UnixMillis,
) -> QuorumResult<Option<PriceRound>> {
    let said = ask_each(providers, |provider| search(provider, feed, at, now)).await;
    agree(said, quorum, |one, other| match (one, other) {
        (Some(one), Some(other)) if one.round_id == other.round_id => "price of a round",
        (Some(_), Some(_)) => "round in force",
        _ => "whether a round was in force",
    })
}

async fn search(
    provider: &Provider,
    feed: EvmAddress,
    at: UnixMillis,
    now: UnixMillis,
) -> Result<Option<PriceRound>, ProviderError> {
    let latest = contract(feed, &types::LATEST_ROUND);
    let [latest] = provider.ask_all([latest]).await?;
    let Some(latest) = outcome(latest)?.returned().and_then(types::read_round) else {
        return Ok(None);
    };
    if latest.updated_at > now.plus_millis(AHEAD_MAX_MILLIS) {
        return Err(ProviderError::Implausible("a price of the future"));
    }
    if is_in_force(&latest, at) {
        return Ok(priced(latest));
    }
    let phase = latest.round_id >> PHASE_SHIFT;
    let number = latest.round_id & u128::from(u64::MAX);
    let Ok(last) = u32::try_from(number).map(u64::from) else {
        return Err(ProviderError::Implausible("a feed with more rounds than there can be"));
    };
    for back in 0..PHASES_MAX {
        // There is no phase 0, except for a feed that has none and counts from there.
        let Some(phase) = phase.checked_sub(back).filter(|&phase| phase > 0 || back == 0) else {
            break;
        };
        let in_phase = Search { provider, feed, phase, at };
        let found = match back {
            0 => in_phase.search_below(last).await?,
            _ => in_phase.search_all().await?,
        };
        if let Some(round) = found {
            return Ok(priced(round));
        }
    }
    Ok(None)
}

fn is_in_force(round: &RoundData, at: UnixMillis) -> bool {
    round.updated_at > UnixMillis::from_millis(0) && round.updated_at <= at
}

fn priced(round: RoundData) -> Option<PriceRound> {
    let RoundData { round_id, answer, updated_at } = round;
    answer.map(|answer| PriceRound { round_id, answer, updated_at })
}

fn contract(feed: EvmAddress, data: &[u8]) -> RpcCall {
    RpcCall::contract(feed, data, GAS, BlockId::Latest)
}

/// One phase of a feed, and the moment that is looked for.
struct Search<'a> {
    provider: &'a Provider,
    feed: EvmAddress,
    phase: u128,
    at: UnixMillis,
}

impl Search<'_> {
    /// The last round not after the moment, below the round `last` that is.
    async fn search_below(&self, last: u64) -> Result<Option<RoundData>, ProviderError> {
        let near: Vec<u64> = (1..=NEAR.min(last.saturating_sub(1)))
            .filter_map(|back| last.checked_sub(back))
            .rev()
            .collect();
        let (low, _) = self.narrow(&near, last).await?;
        if low.is_some() {
            return Ok(low);
        }
        let far = (0..u64::BITS).filter_map(|doubling| (2 * NEAR).checked_shl(doubling));
        // Beyond the highest bit a shift gives zero.
        let far = far.take_while(|&back| back > 0 && back < last);
        let mut far: Vec<u64> = far.filter_map(|back| last.checked_sub(back)).collect();
        far.push(1);
        far.reverse();
        far.dedup();
        self.bisect(&far, near.first().copied().unwrap_or(last)).await
    }

    /// The last round not after the moment, of all of the phase.
    async fn search_all(&self) -> Result<Option<RoundData>, ProviderError> {
        // A feed's contract counts its rounds in 32 bits.
        let probes: Vec<u64> = (0..u32::BITS).map(|doubling| 1 << doubling).collect();
        self.bisect(&probes, 1 << u32::BITS).await
    }

    /// From ascending probes, and a bound that is after the moment, to two neighbours.
    async fn bisect(&self, first: &[u64], high: u64) -> Result<Option<RoundData>, ProviderError> {
        let (mut low, mut high) = self.narrow(first, high).await?;
        for _ in 0..NARROWINGS_MAX {
            let Some(round) = low else { break };
            let number = u64::try_from(round.round_id & u128::from(u64::MAX)).unwrap_or(high);
            let gap = high.saturating_sub(number);
            if gap <= 1 {
                break;
            }
            let step = gap.div_ceil(PROBES.saturating_add(1)).max(1);
            let probes =
                (1..=PROBES).map(|place| number.saturating_add(step.saturating_mul(place)));
            let probes: Vec<u64> = probes.take_while(|&probe| probe < high).collect();
            let (higher, bound) = self.narrow(&probes, high).await?;
            (low, high) = (higher.or(low), bound);
        }
        Ok(low)
    }

    /// The highest of the ascending probes that is not after the moment, and the probe above it, or
    /// `high`.
    async fn narrow(
        &self,
        probes: &[u64],
        high: u64,
    ) -> Result<(Option<RoundData>, u64), ProviderError> {
        let id = |number: u64| (self.phase << PHASE_SHIFT) | u128::from(number);
        let call = |&number: &u64| contract(self.feed, &types::round_call(id(number)));
        let answers = self.provider.ask(probes.iter().map(call).collect()).await?;
        let mut low = None;
        let mut bound = high;
        for (&number, answer) in probes.iter().zip(answers).rev() {
            // A round that is not there reverts, or has no time.
            let round = outcome(answer)?.returned().and_then(types::read_round);
            let fits =
                |round: &RoundData| round.round_id == id(number) && is_in_force(round, self.at);
            low = round.filter(fits);
            if low.is_some() {
                break;
            }
            bound = number;
        }
        Ok((low, bound))
    }
}

#[cfg(test)]
mod tests;
