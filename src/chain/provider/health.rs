//! How a provider stands: how much it was asked, what it takes at once, and what it last refused,
//! in a sentence of ours. Who asks it writes, and the operator's list reads. Kept while the process
//! runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::{CallError, ProviderError};

/// See the module.
#[derive(Debug)]
pub struct ProviderHealth {
    timeout: Duration,
    asked: AtomicU64,
    takes_no_hashes: AtomicBool,
    told: Mutex<ProviderSnapshot>,
}

/// What is known of a provider at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSnapshot {
    /// What it last refused or left unanswered, and when.
    pub refusal: Option<(String, Instant)>,
    /// Blocks of a query for logs; `None` before the first.
    pub log_blocks: Option<u64>,
    /// Calls of a request.
    pub batch_calls: u64,
    /// Calls a second.
    pub calls_per_second: u32,
}

impl ProviderHealth {
    /// Of a provider that was never asked.
    #[must_use]
    pub const fn new(timeout: Duration, batch_calls: u64, calls_per_second: u32) -> Self {
        let told =
            ProviderSnapshot { refusal: None, log_blocks: None, batch_calls, calls_per_second };
        Self {
            timeout,
            asked: AtomicU64::new(0),
            takes_no_hashes: AtomicBool::new(false),
            told: Mutex::new(told),
        }
    }

    /// Counts calls that went out.
    pub fn count(&self, calls: usize) {
        let calls = u64::try_from(calls).unwrap_or(u64::MAX);
        self.asked.fetch_add(calls, Ordering::Relaxed);
    }

    /// Calls that went out since the start.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether it refuses questions about the state at a block's hash (EIP-1898), as far as is
    /// known.
    #[must_use]
    pub fn takes_no_hashes(&self) -> bool {
        self.takes_no_hashes.load(Ordering::Relaxed)
    }

    /// It refused a block's hash and took its number.
    pub fn set_takes_no_hashes(&self) {
        self.takes_no_hashes.store(true, Ordering::Relaxed);
    }

    /// Everything else that is known.
    #[must_use]
    pub fn told(&self) -> ProviderSnapshot {
        self.lock().clone()
    }

    /// What it takes in one request, and in a second.
    pub fn set_limits(&self, batch_calls: u64, calls_per_second: u32) {
        let mut told = self.lock();
        told.batch_calls = batch_calls;
        told.calls_per_second = calls_per_second;
    }

    /// Over how many blocks it gives logs.
    pub fn set_log_blocks(&self, blocks: u64) {
        self.lock().log_blocks = Some(blocks);
    }

    /// Notes what it has refused, or not answered.
    pub fn refused(&self, what: &str, error: ProviderError) {
        let sentence = self.sentence(what, error);
        self.lock().refusal = Some((sentence, Instant::now()));
    }

    /// What came of asking it for `what`. The provider's own words are in none of these: they may
    /// have its address.
    #[must_use]
    pub fn sentence(&self, what: &str, error: ProviderError) -> String {
        match error {
            ProviderError::Call(CallError { code, .. }) => format!("refused {what} (code {code})"),
            ProviderError::Timeout => {
                format!("did not answer {what} within {} s", self.timeout.as_secs_f64())
            }
            ProviderError::RateLimited { .. } => format!("asked for a pause at {what}"),
            ProviderError::Status(status) => format!("answered {what} with HTTP status {status}"),
            error => format!("{error}, asked for {what}"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ProviderSnapshot> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_said_in_words_of_ours() {
        let standing = ProviderHealth::new(Duration::from_secs(5), 20, 20);
        let said = |error| standing.sentence("logs of 10 blocks", error);
        let call = CallError::sort(-32005, "key path-key at 127.0.0.1 is over its limit", None);
        assert_eq!(said(ProviderError::Call(call)), "refused logs of 10 blocks (code -32005)");
        assert_eq!(said(ProviderError::Timeout), "did not answer logs of 10 blocks within 5 s");
        assert_eq!(
            said(ProviderError::Status(502)),
            "answered logs of 10 blocks with HTTP status 502"
        );
        assert_eq!(
            said(ProviderError::BadAnswer("an answer that is not JSON-RPC")),
            "gave an answer that is not JSON-RPC, asked for logs of 10 blocks"
        );
        assert_eq!(standing.told().refusal, None);
        standing.refused("a block", ProviderError::Unreachable);
        let (sentence, _) = standing.told().refusal.unwrap();
        assert_eq!(sentence, "cannot be reached, asked for a block");
        standing.count(3);
        standing.count(2);
        assert_eq!(standing.asked(), 5);
    }
}
