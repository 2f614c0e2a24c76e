//! `[limits]`: bytes and times of one request and its answer.

use std::time::Duration;

use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::value;

/// Bytes and times of one request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request body.
    #[serde(deserialize_with = "value::whole::<1_024, 1_073_741_824, _, _>")]
    pub body_bytes: usize,
    /// Bytes of request bodies in memory, over all accounts.
    #[serde(deserialize_with = "value::whole::<1_024, 1_099_511_627_776, _, _>")]
    pub bodies_total_bytes: usize,
    /// Bytes of request bodies in memory for one account.
    #[serde(deserialize_with = "value::whole::<1_024, 1_099_511_627_776, _, _>")]
    pub bodies_bytes_per_account: usize,
    /// Bytes of a request body of an account that has no credit.
    #[serde(deserialize_with = "value::whole::<0, 1_073_741_824, _, _>")]
    pub body_bytes_without_credit: usize,
    /// Time in which a request body must be complete.
    #[serde(rename = "body_total_secs", deserialize_with = "value::secs::<1, 3_600, _>")]
    pub body_total: Duration,
    /// Time between two pieces of a request body.
    #[serde(rename = "body_idle_secs", deserialize_with = "value::secs::<1, 3_600, _>")]
    pub body_idle: Duration,
    /// Time for which a request waits for a place.
    #[serde(rename = "wait_secs", deserialize_with = "value::secs::<0, 600, _>")]
    pub wait: Duration,
    /// Bytes of an answer that is not streamed.
    #[serde(deserialize_with = "value::whole::<65_536, 1_073_741_824, _, _>")]
    pub json_answer_max_bytes: usize,
    /// Bytes that the meter holds of one server-sent event.
    #[serde(deserialize_with = "value::whole::<4_096, 67_108_864, _, _>")]
    pub sse_event_bytes: usize,
    /// Bytes of the end of a stream held until it is paid for, and of its beginning until its
    /// first event.
    #[serde(deserialize_with = "value::whole::<4_096, 67_108_864, _, _>")]
    pub held_bytes: usize,
}

impl Limits {
    /// Of a body that has so few bytes that it comes in one piece, as of a form: whoever has no
    /// account may send one.
    #[must_use]
    pub fn of_small_body(&self, bytes: usize) -> Self {
        let body_total = self.body_total.min(self.body_idle);
        Self { body_bytes: bytes, body_total, ..self.clone() }
    }

    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems) {
        if self.bodies_bytes_per_account < self.body_bytes {
            problems.add(&at.key("bodies_bytes_per_account"), "must not be below body_bytes");
        }
        if self.bodies_total_bytes < self.bodies_bytes_per_account {
            let key = at.key("bodies_total_bytes");
            problems.add(&key, "must not be below bodies_bytes_per_account");
        }
    }
}
