//! `[stream]`: how long an exchange may take and what happens when one side is gone.

use std::time::Duration;

use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::value;

/// How long an exchange may take and what happens when one side is gone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Pieces that wait between upstream and client.
    #[serde(deserialize_with = "value::whole::<1, 1_024, _, _>")]
    pub channel_chunks: usize,
    /// Time for the head of a streamed answer.
    #[serde(rename = "first_byte_secs", deserialize_with = "value::secs::<1, 3_600, _>")]
    pub first_byte: Duration,
    /// Time for the head of any other answer.
    #[serde(rename = "json_head_secs", deserialize_with = "value::secs::<1, 7_200, _>")]
    pub json_head: Duration,
    /// Silence after which an upstream counts as gone.
    #[serde(rename = "idle_secs", deserialize_with = "value::secs::<1, 7_200, _>")]
    pub idle: Duration,
    /// Silence after which a client is sent a ping; `None` is never.
    #[serde(rename = "ping_secs", deserialize_with = "ping")]
    pub ping: Option<Duration>,
    /// Time that our head waits for the first event.
    #[serde(rename = "hold_head_max_secs", deserialize_with = "value::secs::<0, 600, _>")]
    pub hold_head_max: Duration,
    /// Longest duration of a stream.
    #[serde(rename = "max_secs", deserialize_with = "value::secs::<1, 86_400, _>")]
    pub max_duration: Duration,
    /// Time that the end of an answer waits for its charge.
    #[serde(rename = "settle_wait_secs", deserialize_with = "value::secs::<1, 600, _>")]
    pub settle_wait: Duration,
    /// Time between two checkpoints of the meter.
    #[serde(rename = "checkpoint_secs", deserialize_with = "value::secs::<1, 600, _>")]
    pub checkpoint: Duration,
    /// Time from the first usage to the first checkpoint; an exchange that is over by then needs
    /// none.
    #[serde(rename = "checkpoint_first_ms", deserialize_with = "value::millis::<0, 60_000, _>")]
    pub checkpoint_first: Duration,
    /// An answer is ended that is estimated to be so many times as long as its request allows.
    #[serde(deserialize_with = "value::whole::<1, 1_000_000, _, _>")]
    pub output_factor_max: u64,
    /// What happens upstream when a client leaves a stream.
    pub client_gone: ClientGone,
    /// Time for which a stream is read on whose client has left, in case it ends.
    #[serde(rename = "client_gone_grace_secs", deserialize_with = "value::secs::<0, 600, _>")]
    pub client_gone_grace: Duration,
    /// Streams drained at once.
    #[serde(deserialize_with = "value::whole::<0, 1_000_000, _, _>")]
    pub drains_max: usize,
    /// Of them, for one account.
    #[serde(deserialize_with = "value::whole::<0, 1_000_000, _, _>")]
    pub drains_max_per_account: usize,
    /// Longest duration of a drain.
    #[serde(rename = "drain_secs_max", deserialize_with = "value::secs::<1, 7_200, _>")]
    pub drain_max: Duration,
}

/// What happens upstream when a client leaves a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientGone {
    /// Drain once hidden output was seen, else read on for the grace, and to the end once every
    /// block has closed.
    Auto,
    /// Close, and charge what was delivered.
    Abort,
    /// Read to the end, and charge what was reported.
    Drain,
}

/// 0 is never.
fn ping<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let ping = value::secs::<0, 600, _>(from)?;
    Ok((!ping.is_zero()).then_some(ping))
}

impl Stream {
    /// Rules that span keys.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems) {
        if self.hold_head_max > self.first_byte {
            problems.add(&at.key("hold_head_max_secs"), "must not be above first_byte_secs");
        }
        if self.idle > self.max_duration {
            problems.add(&at.key("idle_secs"), "must not be above max_secs");
        }
    }
}
