//! `[[chains.tiers]]`: which deposits are credited before their block is final, at the operator's
//! risk.

use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::value;
use crate::domain::money::NanoUsd;

/// Deposits that are credited before their block is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Blocks that must stand upon a deposit, its own counted: 1 is the head.
    #[serde(deserialize_with = "value::whole::<1, 1_000_000, _, _>")]
    pub confirmations: u64,
    /// What an account may be credited with early on the chain within 24 hours, by all tiers
    /// together, for this one to let more through.
    #[serde(rename = "up_to_usd", deserialize_with = "value::usd")]
    pub up_to: NanoUsd,
    /// The early credits of all accounts that are not final yet, or were undone within 24 hours:
    /// what the operator may lose.
    #[serde(rename = "total_usd", deserialize_with = "value::usd")]
    pub total: NanoUsd,
}

/// Rules of the tiers of a chain whose blocks are final at `depth`, where it says so, and are
/// compared in a `window`: each waits longer than the one before and lets more through, and none as
/// long as finality.
pub(super) fn check(
    tiers: &[(KeyPath, Tier)],
    (depth, window): (Option<u64>, u64),
    problems: &mut Problems,
) {
    let mut before: Option<&Tier> = None;
    for (at, tier) in tiers {
        if before.is_some_and(|before| tier.confirmations <= before.confirmations) {
            problems.add(&at.key("confirmations"), "must be more than in the previous tier");
        }
        if depth.is_some_and(|depth| tier.confirmations >= depth) {
            let reason = "must be less than the chain's own confirmations: from then on every \
                deposit is credited";
            problems.add(&at.key("confirmations"), reason);
        }
        if tier.confirmations > window {
            let reason =
                "must not be above reorg_window_blocks: deeper blocks are no longer compared";
            problems.add(&at.key("confirmations"), reason);
        }
        if before.is_some_and(|before| tier.up_to <= before.up_to) {
            problems.add(&at.key("up_to_usd"), "must be more than in the previous tier");
        }
        if tier.total < tier.up_to || before.is_some_and(|before| tier.total < before.total) {
            let reason = "must be at least up_to_usd, and at least that of the previous tier";
            problems.add(&at.key("total_usd"), reason);
        }
        before = Some(tier);
    }
}
