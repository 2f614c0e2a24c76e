//! What each provider is asked and takes, written down for the operator's list
//! (`sluice deposit chains`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{WatcherState, millis};
use crate::chain::Provider;
use crate::db::DbError;
use crate::db::models::chain_providers::{self, ProviderRow};
use crate::domain::clock::UnixMillis;

/// How often it is written down.
const EVERY: Duration = Duration::from_mins(1);
/// How soon where something was refused that was not before.
const SOON: Duration = Duration::from_secs(2);
/// Counts that are remembered: an hour.
const COUNTS: usize = 60;

/// What was written down last.
#[derive(Debug, Default)]
pub(super) struct ProviderUsage {
    written_at: Option<Instant>,
    refusals: Vec<Option<String>>,
    /// Calls by provider, at a moment.
    counts: VecDeque<(Instant, Vec<u64>)>,
}

impl ProviderUsage {
    fn is_due(&self, providers: &[Provider]) -> bool {
        let Some(age) = self.written_at.map(|at| at.elapsed()) else { return true };
        age >= EVERY || (age >= SOON && refusals(providers) != self.refusals)
    }

    /// Calls a day of the provider at that place.
    fn per_day(&self, place: usize, asked: u64) -> Option<i64> {
        let (since, counts) = self.counts.front()?;
        let secs = since.elapsed().as_secs();
        let calls = asked.saturating_sub(*counts.get(place)?);
        (secs >= EVERY.as_secs() / 2)
            .then(|| i64::try_from(calls.saturating_mul(86_400) / secs.max(1)).unwrap_or(i64::MAX))
    }
}

impl WatcherState {
    /// Writes it down, where that is due.
    pub(super) async fn write_usage(&mut self) -> Result<(), DbError> {
        let providers = &self.parts.providers;
        if !self.usage.is_due(providers) {
            return Ok(());
        }
        let (chain_id, now) = (self.chain_id(), self.now());
        let row = |(place, provider): (usize, &Provider)| {
            let (standing, told) = (provider.standing(), provider.standing().told());
            let (refusal, refused_at) = told.refusal.map_or((None, None), |(sentence, at)| {
                (Some(sentence), Some(ago(now, at.elapsed())))
            });
            ProviderRow {
                chain_id,
                name: provider.name().to_string(),
                asked_per_day: self.usage.per_day(place, standing.asked()),
                refusal,
                refused_at,
                log_blocks: told.log_blocks.map(super::column),
                batch_calls: super::column(told.batch_calls),
                calls_per_second: told.calls_per_second.into(),
                updated_at: now,
            }
        };
        let rows: Vec<ProviderRow> = providers.iter().enumerate().map(row).collect();
        let asked = providers.iter().map(|provider| provider.standing().asked()).collect();
        let said = refusals(providers);
        self.parts.database.run(move |conn| chain_providers::note(conn, chain_id, &rows)).await?;
        let at = Instant::now();
        let is_next =
            self.usage.counts.back().is_none_or(|(before, _)| at.duration_since(*before) >= EVERY);
        if is_next {
            self.usage.counts.push_back((at, asked));
        }
        if self.usage.counts.len() > COUNTS {
            self.usage.counts.pop_front();
        }
        self.usage.written_at = Some(at);
        self.usage.refusals = said;
        Ok(())
    }
}

fn refusals(providers: &[Provider]) -> Vec<Option<String>> {
    let refusal = |provider: &Provider| Some(provider.standing().told().refusal?.0);
    providers.iter().map(refusal).collect()
}

fn ago(now: UnixMillis, age: Duration) -> UnixMillis {
    now.plus_millis(millis(age).saturating_neg())
}
