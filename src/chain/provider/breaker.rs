//! The circuit breaker of a provider: one that keeps failing is left alone, then tried with one
//! request.

use std::time::{Duration, Instant};

use crate::domain::backoff::Backoff;

/// The longest pause is so many times the first.
const PAUSE_FACTOR_MAX: u32 = 16;

/// One provider's breaker.
#[derive(Debug)]
pub struct Breaker {
    failures_max: u32,
    backoff: Backoff,
    failures: u32,
    openings: u32,
    opens_until: Option<Instant>,
    is_trying: bool,
}

/// Whether a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerDecision {
    /// As any.
    Closed,
    /// As the one that finds out.
    Trial,
    /// Not now.
    Open,
}

impl Breaker {
    /// A closed one that opens after `failures_max` failures in a row, at first for `pause`.
    #[must_use]
    pub fn new(failures_max: u32, pause: Duration) -> Self {
        let failures_max = failures_max.max(1);
        let backoff = Backoff::new(pause, pause.saturating_mul(PAUSE_FACTOR_MAX));
        Self {
            failures_max,
            backoff,
            failures: 0,
            openings: 0,
            opens_until: None,
            is_trying: false,
        }
    }

    /// Asks for leave to send; a [`BreakerDecision::Trial`] must be followed by one of the three
    /// words below.
    pub fn enter(&mut self, now: Instant) -> BreakerDecision {
        match self.opens_until {
            None => BreakerDecision::Closed,
            Some(until) if now < until || self.is_trying => BreakerDecision::Open,
            Some(_) => {
                self.is_trying = true;
                BreakerDecision::Trial
            }
        }
    }

    /// Whether it would let nothing pass.
    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        self.opens_until.is_some_and(|until| now < until || self.is_trying)
    }

    /// A request was answered.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
        self.openings = 0;
        self.opens_until = None;
        self.is_trying = false;
    }

    /// A request ended in a way that says nothing about the provider.
    pub const fn abstained(&mut self) {
        self.is_trying = false;
    }

    /// A request failed. `random` shortens the pause a little, as [`Backoff::jittered`] does, so
    /// that nodes do not come back all at once. Answers whether this opened it.
    pub fn failed(&mut self, now: Instant, random: u8) -> bool {
        self.failures = self.failures.saturating_add(1);
        let was_trying = std::mem::replace(&mut self.is_trying, false);
        let is_due =
            was_trying || (self.opens_until.is_none() && self.failures >= self.failures_max);
        if is_due {
            self.openings = self.openings.saturating_add(1);
            self.opens_until = now.checked_add(self.backoff.jittered(self.openings, random));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(4);
    const NEARLY: Duration = Duration::from_millis(3999);

    #[test]
    fn it_opens_after_failures_in_a_row_and_tries_with_one_request() {
        let now = Instant::now();
        let mut breaker = Breaker::new(3, PAUSE);
        assert!(!breaker.failed(now, 0) && !breaker.failed(now, 0));
        breaker.succeeded();
        assert!(!breaker.failed(now, 0) && !breaker.failed(now, 0));
        assert_eq!(breaker.enter(now), BreakerDecision::Closed);
        assert!(breaker.failed(now, 0));
        // Requests that were already under way change nothing.
        assert!(!breaker.failed(now, 0));
        assert_eq!(breaker.enter(now + NEARLY), BreakerDecision::Open);
        assert_eq!(breaker.enter(now + PAUSE), BreakerDecision::Trial);
        assert_eq!(breaker.enter(now + PAUSE), BreakerDecision::Open);
        breaker.succeeded();
        assert_eq!(breaker.enter(now + PAUSE), BreakerDecision::Closed);
        assert!(!breaker.is_open(now + PAUSE));
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_differ_a_little() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(1, PAUSE);
        breaker.failed(now, 0);
        for factor in [1, 2, 4, 8, 16, 16] {
            assert_eq!(breaker.enter(now + NEARLY * factor), BreakerDecision::Open);
            now += PAUSE * factor;
            assert_eq!(breaker.enter(now), BreakerDecision::Trial);
            assert!(breaker.failed(now, 0));
        }
        let mut breaker = Breaker::new(1, PAUSE);
        breaker.failed(now, 255);
        assert_eq!(breaker.enter(now + PAUSE * 7 / 8), BreakerDecision::Open);
        assert_eq!(breaker.enter(now + NEARLY), BreakerDecision::Trial);
        breaker.abstained();
        assert_eq!(breaker.enter(now + NEARLY), BreakerDecision::Trial);
    }
}
