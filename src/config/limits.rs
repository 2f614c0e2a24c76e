//! `[limits]`: bytes and times of one request and its answer.

use std::time::Duration;

use serde::Deserialize;

use super::value;

/// Bytes and times of one request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request body.
    #[serde(deserialize_with = "value::whole::<1_024, 1_073_741_824, _, _>")]
    pub body_bytes: usize,
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
