//! Which providers make sense at the moment, and where they agree that the chain stands. While the
//! newest block is the one that was seen before, nothing else is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::{RoundError, WatcherState, height, millis};
use crate::chain::blocks::ScannedBlock;
use crate::chain::head::{BlockRef, Further, further, newest};
use crate::chain::quorum::{Agreement, block_ref, final_height};
use crate::chain::{Provider, ProviderError};
use crate::config::Finality;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::BlockHash;

/// A block's time may be ahead of our clock by this much.
const AHEAD: Duration = Duration::from_mins(2);
/// How long it counts that a provider speaks for its chain, in milliseconds. After a failure it is
/// asked again at once: it may be another one behind the same address.
const CHAIN_ID_HOLDS: i64 = 300_000;
/// How old the final block may be while nothing waits for it, in milliseconds.
const FINAL_HOLDS: i64 = 120_000;

/// The chain as enough providers see it.
pub(super) struct View {
    /// Those that make sense, at least a quorum.
    pub(super) providers: Vec<Provider>,
    /// The newest block of each of them.
    pub(super) tips: Vec<Tip>,
    /// How many must agree.
    pub(super) quorum: usize,
    /// The newest block that enough of them have.
    pub(super) head: u64,
    /// The newest block that counts as final.
    pub(super) final_number: u64,
}

/// A provider's newest block.
#[derive(Clone, Debug)]
pub(super) struct Tip {
    pub(super) block: ScannedBlock,
    /// Whether its transfers are there.
    pub(super) is_whole: bool,
}

/// What a provider has said before, by its name.
#[derive(Debug, Default)]
pub(super) struct ProviderReports(HashMap<Arc<str>, ProviderReport>);

#[derive(Clone, Copy, Debug, Default)]
struct ProviderReport {
    newest: Option<BlockRef>,
    finalized: Option<BlockRef>,
    chain_id_at: Option<UnixMillis>,
    finalized_at: Option<UnixMillis>,
    /// Its newest block when it was asked for the final one.
    finalized_of: Option<BlockRef>,
    /// Its newest block is asked for without transactions for a while, since it did not come with
    /// them.
    is_light: bool,
}

impl View {
    /// Whether the block of that height is this one; nothing where enough providers do not say.
    pub(super) async fn has_block(&self, number: i64, hash: BlockHash) -> Option<bool> {
        let verdict = block_ref(&self.providers, self.quorum, height(number)).await;
        match verdict.agreement {
            Agreement::Agreed(Some(block)) => Some(block.hash == hash),
            _ => None,
        }
    }

    /// The block at the head that enough providers show in the same words, where that is known
    /// without asking.
    pub(super) fn agreed_head(&self) -> Option<BlockRef> {
        let at_head = || {
            let blocks = self.tips.iter().map(|tip| tip.block.at);
            blocks.filter(|block| block.number == self.head)
        };
        let count = |block: BlockRef| at_head().filter(|other| *other == block).count();
        let agreed = at_head().find(|block| count(*block) >= self.quorum)?;
        let has_rival = at_head().any(|block| block != agreed && count(block) >= self.quorum);
        (!has_rival).then_some(agreed)
    }
}

impl WatcherState {
    /// Asks every provider where the chain stands, and leaves out those whose answer makes no
    /// sense. `wants_final` is whether something waits for the final block.
    pub(super) async fn observe(&mut self, wants_final: bool) -> Result<View, RoundError> {
        let now = self.now();
        let mut complaints = Vec::new();
        let mut told: Vec<(Provider, Tip)> = Vec::new();
        for (provider, answer) in self.ask_for_tips().await {
            match answer {
                Ok(tip) => told.push((provider, tip)),
                Err(why) => complaints.push(why),
            }
        }
        let mut sane = Vec::new();
        for (provider, tip, checked) in self.ask_further(told, wants_final, now).await {
            let said = checked.and_then(|()| self.check(tip.block.at, now));
            match said {
                Ok(()) => sane.push((provider, tip)),
                Err(why) => complaints.push(format!("{}: {why}", provider.name())),
            }
        }
        self.view(sane, complaints)
    }

    async fn ask_for_tips(&mut self) -> Vec<(Provider, Result<Tip, String>)> {
        let with_transactions = self.parts.chain.reads_whole_blocks();
        let asked = self.parts.providers.iter().map(|provider| {
            let is_whole = with_transactions && !self.known.of(provider).is_light;
            async move { (provider.clone(), is_whole, tip(provider, is_whole).await) }
        });
        let answers = join_all(asked).await;
        let mut tips = Vec::with_capacity(answers.len());
        for (provider, was_whole, answer) in answers {
            let said = self.known.0.entry(Arc::clone(provider.name())).or_default();
            said.is_light |= was_whole && !answer.as_ref().is_ok_and(|tip| tip.is_whole);
            let tip = answer.map_err(|error| {
                said.chain_id_at = None;
                let why = provider.standing().sentence("the newest block", error);
                format!("{}: {why}", provider.name())
            });
            tips.push((provider, tip));
        }
        tips
    }

    /// Asks those for more whose newest block has moved: the final block, and now and then which
    /// chain it is.
    async fn ask_further(
        &mut self,
        told: Vec<(Provider, Tip)>,
        wants_final: bool,
        now: UnixMillis,
    ) -> Vec<(Provider, Tip, Result<(), String>)> {
        let by_tag = self.parts.chain.finality == Finality::Finalized;
        let asked = told.into_iter().map(|(provider, tip)| {
            let said = self.known.of(&provider);
            let has_moved = said.newest != Some(tip.block.at);
            let is_old = |at: Option<UnixMillis>, holds: i64| {
                at.is_none_or(|at| !(0..holds).contains(&now.millis_ahead_of(at)))
            };
            let is_due = wants_final || is_old(said.finalized_at, FINAL_HOLDS);
            let is_asked = said.finalized_of == Some(tip.block.at);
            let finalized = by_tag && (said.finalized.is_none() || (is_due && !is_asked));
            let chain_id = said.chain_id_at.is_none()
                || (has_moved && is_old(said.chain_id_at, CHAIN_ID_HOLDS));
            let wanted = Further { chain_id, finalized };
            async move {
                let answer = match wanted {
                    Further { chain_id: false, finalized: false } => Ok(None),
                    wanted => further(&provider, wanted).await,
                };
                (provider, tip, wanted, answer)
            }
        });
        let answers = join_all(asked).await;
        let mut checked = Vec::with_capacity(answers.len());
        for (provider, tip, wanted, answer) in answers {
            let outcome = self.known.note(&provider, &tip, (wanted, answer), now);
            checked.push((provider, tip, outcome));
        }
        checked
    }

    fn view(
        &self,
        mut sane: Vec<(Provider, Tip)>,
        mut complaints: Vec<String>,
    ) -> Result<View, RoundError> {
        let chain = &self.parts.chain;
        let (quorum, gap) = (chain.quorum, chain.head_gap_max_blocks);
        let heights = |sane: &[(Provider, Tip)]| -> Vec<Option<u64>> {
            sane.iter().map(|(_, tip)| Some(tip.block.at.number)).collect()
        };
        // Held against what enough have reached: one that tells of a height beyond it throws nobody
        // else out.
        let reached = final_height(&heights(&sane), quorum);
        sane.retain(|(provider, tip)| {
            let Some(reached) = reached else { return true };
            let number = tip.block.at.number;
            let is_near = number.abs_diff(reached) <= gap;
            if !is_near {
                let where_to = if number < reached { "behind" } else { "ahead of" };
                let name = provider.name();
                complaints.push(format!("{name}: more than {gap} blocks {where_to} the others"));
            }
            is_near
        });
        self.count_alerts(&complaints);
        let alive = sane.len();
        if alive < quorum {
            let why = complaints.join("; ");
            return Err(RoundError::Chain(format!(
                "{alive} providers make sense and {quorum} are needed ({why})"
            )));
        }
        // As many as needed say this height or a higher one.
        let head = final_height(&heights(&sane), quorum).unwrap_or(0);
        let final_number = match chain.finality {
            Finality::Finalized => {
                let finalized = |(provider, _): &(Provider, Tip)| self.known.of(provider).finalized;
                let told: Vec<Option<u64>> =
                    sane.iter().map(|one| finalized(one).map(|block| block.number)).collect();
                final_height(&told, quorum).ok_or_else(|| {
                    RoundError::Chain("too few providers tell which block is final".to_owned())
                })?
            }
            // A block with one confirmation is the head itself.
            Finality::Confirmations(count) => head.saturating_add(1).saturating_sub(count),
        };
        let (providers, tips) = sane.into_iter().unzip();
        Ok(View { providers, tips, quorum, head, final_number: final_number.min(head) })
    }

    fn check(&self, newest: BlockRef, now: UnixMillis) -> Result<(), String> {
        let most = self.parts.chain.head_age_max;
        if now.millis_since(newest.time) > millis(most) {
            // Without the age itself, which would be another one at every look.
            return Err(format!("its newest block is more than {} s old", most.as_secs()));
        }
        if newest.time.millis_since(now) > millis(AHEAD) {
            return Err("its newest block is of the future".to_owned());
        }
        Ok(())
    }

    fn count_alerts(&self, complaints: &[String]) {
        for _ in complaints {
            self.parts.metrics.count_alert("chain_provider");
        }
    }

    /// Tells the operator which providers said something else than the others.
    pub(super) fn note_dissent(&self, dissenting: &[Arc<str>], what: &str) {
        for provider in dissenting {
            let chain = &self.parts.chain.name;
            tracing::error!(chain, %provider, what, "a provider contradicts the others");
            self.parts.metrics.count_alert("chain_dissent");
        }
    }
}

/// The newest block of a provider; without its transactions where it does not come with them.
async fn tip(provider: &Provider, is_whole: bool) -> Result<Tip, ProviderError> {
    let answer = newest(provider, is_whole).await;
    let may_be_too_much = matches!(
        answer,
        Err(ProviderError::TooLarge | ProviderError::BadAnswer(_) | ProviderError::Call(_))
    );
    if is_whole && may_be_too_much {
        return Ok(Tip { block: newest(provider, false).await?, is_whole: false });
    }
    Ok(Tip { block: answer?, is_whole })
}

impl ProviderReports {
    fn of(&self, provider: &Provider) -> ProviderReport {
        self.0.get(provider.name()).copied().unwrap_or_default()
    }

    /// Notes what a provider has said; or why it makes no sense.
    fn note(
        &mut self,
        provider: &Provider,
        tip: &Tip,
        (wanted, answer): (Further, Result<Option<BlockRef>, ProviderError>),
        now: UnixMillis,
    ) -> Result<(), String> {
        let said = self.0.entry(Arc::clone(provider.name())).or_default();
        let finalized = match answer {
            Ok(finalized) => finalized,
            Err(error) => {
                *said = ProviderReport { is_light: said.is_light, ..ProviderReport::default() };
                return Err(error.to_string());
            }
        };
        said.newest = Some(tip.block.at);
        if wanted.chain_id {
            said.chain_id_at = Some(now);
            said.is_light = false;
        }
        if wanted.finalized {
            said.finalized_at = Some(now);
            said.finalized_of = Some(tip.block.at);
            said.finalized = finalized;
        }
        if wanted.finalized && finalized.is_some_and(|block| block.number > tip.block.at.number) {
            said.finalized = None;
            return Err("contradicts itself: a final block above the newest".to_owned());
        }
        Ok(())
    }
}
