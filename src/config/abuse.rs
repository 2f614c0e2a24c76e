//! `[abuse]`: when an account's owner is told that something is unusual.

use std::time::Duration;

use serde::Deserialize;

use super::value;
use crate::domain::money::NanoUsd;

/// When an account's owner is told that something is unusual.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abuse {
    /// How many times its busiest hour so far an account spends within an hour before that is
    /// unusual. 0: never.
    #[serde(deserialize_with = "value::whole::<0, 1_000, _, _>")]
    pub spend_notice_factor: u32,
    /// What an account has to spend within an hour at least for that to be unusual.
    #[serde(rename = "spend_notice_min_usd", deserialize_with = "value::usd")]
    pub spend_notice_min: NanoUsd,
    /// Days that tell what an account used to spend.
    #[serde(rename = "spend_habit_days", deserialize_with = "value::whole::<1, 90, _, _>")]
    pub habit_days: u32,
    /// Time between two looks.
    #[serde(rename = "spend_check_secs", deserialize_with = "value::secs::<10, 3_600, _>")]
    pub spend_check: Duration,
}

impl Abuse {
    /// Whether spending is watched at all.
    #[must_use]
    pub const fn watches_spending(&self) -> bool {
        self.spend_notice_factor > 0
    }

    /// The time that tells what an account used to spend.
    #[must_use]
    pub fn habit(&self) -> Duration {
        Duration::from_hours(u64::from(self.habit_days).saturating_mul(24))
    }
}
