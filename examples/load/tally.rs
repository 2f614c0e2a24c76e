//! What has come back so far, and how long it took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

/// Counts of all connections.
#[derive(Default)]
pub(crate) struct Tally {
    /// Server-sent events.
    pub(crate) events: AtomicU64,
    /// Bytes, heads included.
    pub(crate) bytes: AtomicU64,
    /// Responses of which a byte of the body has arrived.
    pub(crate) begun: AtomicU64,
    /// Responses that are complete.
    pub(crate) ended: AtomicU64,
}

impl Tally {
    pub(crate) fn to_json(&self) -> Value {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "events": read(&self.events),
            "bytes": read(&self.bytes),
            "begun": read(&self.begun),
            "ended": read(&self.ended),
        })
    }
}

/// The times of one exchange, from the moment at which it should have started.
pub(crate) struct Times {
    /// Until the first byte of the body.
    pub(crate) first_byte: Duration,
    /// Until the last byte.
    pub(crate) whole: Duration,
}

/// The times of all exchanges, as percentiles.
pub(crate) fn summary(tally: &Tally, times: &[Times], elapsed: Duration) -> Value {
    let mut value = tally.to_json();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("elapsed_us".to_owned(), micros(elapsed).into());
        fields.insert("first_byte_us".to_owned(), ranks(times.iter().map(|all| all.first_byte)));
        fields.insert("whole_us".to_owned(), ranks(times.iter().map(|all| all.whole)));
    }
    value
}

fn ranks(times: impl Iterator<Item = Duration>) -> Value {
    let mut sorted: Vec<u64> = times.map(micros).collect();
    sorted.sort_unstable();
    let at = |per_mille: usize| {
        let index = (sorted.len() * per_mille).div_ceil(1000).saturating_sub(1);
        sorted.get(index).copied().unwrap_or_default()
    };
    json!({ "p50": at(500), "p90": at(900), "p99": at(990), "p999": at(999), "max": at(1000) })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
