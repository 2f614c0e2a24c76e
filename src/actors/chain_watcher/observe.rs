//! Which providers make sense at the moment, and where they agree that the chain stands.

use std::sync::Arc;
use std::time::Duration;

use super::{State, Trouble, millis};
use crate::chain::Provider;
use crate::chain::head::{Head, head};
use crate::chain::quorum::{ask_each, final_height};
use crate::config::Finality;
use crate::domain::clock::UnixMillis;

/// A block's time may be ahead of our clock by this much.
const AHEAD: Duration = Duration::from_mins(2);

/// The chain as enough providers see it.
pub(super) struct View {
    /// Those that make sense, at least a quorum.
    pub(super) providers: Vec<Provider>,
    /// How many must agree.
    pub(super) quorum: usize,
    /// The newest block that enough of them have.
    pub(super) head: u64,
    /// The newest block that counts as final.
    pub(super) final_number: u64,
}

impl State {
    /// Asks every provider where the chain stands, and leaves out those whose answer makes no sense.
    pub(super) async fn observe(&self) -> Result<View, Trouble> {
        let chain = &self.parts.chain;
        let said = ask_each(&self.parts.providers, head).await;
        let now = self.now();
        let mut complaints = Vec::new();
        let mut sane: Vec<(Provider, Head)> = Vec::new();
        for (provider, (name, answer)) in self.parts.providers.iter().zip(said) {
            match answer.map_err(|error| error.to_string()).and_then(|head| self.check(head, now)) {
                Ok(head) => sane.push((provider.clone(), head)),
                Err(why) => complaints.push(format!("{name}: {why}")),
            }
        }
        let (quorum, gap) = (chain.quorum, chain.head_gap_max_blocks);
        let heights = |sane: &[(Provider, Head)]| -> Vec<Option<u64>> {
            sane.iter().map(|(_, head)| Some(head.latest.number)).collect()
        };
        // Held against what enough have reached: one that tells of a height beyond it throws nobody else out.
        let reached = final_height(&heights(&sane), quorum);
        sane.retain(|(provider, head)| {
            let Some(reached) = reached else { return true };
            let is_near = head.latest.number.abs_diff(reached) <= gap;
            if !is_near {
                let where_to = if head.latest.number < reached { "behind" } else { "ahead of" };
                let name = provider.name();
                complaints.push(format!("{name}: more than {gap} blocks {where_to} the others"));
            }
            is_near
        });
        self.count_alerts(&complaints);
        let alive = sane.len();
        if alive < quorum {
            let why = complaints.join("; ");
            return Err(Trouble::Chain(format!(
                "{alive} providers make sense and {quorum} are needed ({why})"
            )));
        }
        // As many as needed say this height or a higher one.
        let head = final_height(&heights(&sane), quorum).unwrap_or(0);
        let final_number = match chain.finality {
            Finality::Finalized => {
                let told: Vec<Option<u64>> =
                    sane.iter().map(|(_, head)| head.finalized.map(|block| block.number)).collect();
                final_height(&told, quorum).ok_or_else(|| {
                    Trouble::Chain("too few providers tell which block is final".to_owned())
                })?
            }
            // A block with one confirmation is the head itself.
            Finality::Confirmations(count) => head.saturating_add(1).saturating_sub(count),
        };
        let providers = sane.into_iter().map(|(provider, _)| provider).collect();
        Ok(View { providers, quorum, head, final_number: final_number.min(head) })
    }

    fn check(&self, head: Head, now: UnixMillis) -> Result<Head, String> {
        let most = self.parts.chain.head_age_max;
        if now.millis_since(head.latest.time) > millis(most) {
            // Without the age itself, which would be another one at every look.
            return Err(format!("its newest block is more than {} s old", most.as_secs()));
        }
        if head.latest.time.millis_since(now) > millis(AHEAD) {
            return Err("its newest block is of the future".to_owned());
        }
        Ok(head)
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
