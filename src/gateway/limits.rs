//! How much each account may ask: exchanges open at once, requests in a minute. Kept in memory,
//! for this node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::domain::api_error::ApiError;
use crate::domain::ids::AccountId;
use crate::metrics::Metrics;

/// Accounts remembered before those without a running exchange are forgotten.
const CAPACITY: usize = 65_536;

/// See the module.
pub struct AccountLimits {
    max_open: usize,
    max_open_per_account: usize,
    per_minute: u32,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: usize,
    accounts: HashMap<AccountId, Account>,
}

/// A token bucket that holds a minute's requests, in millionths so that it fills smoothly.
struct Account {
    open: usize,
    tokens_micro: u64,
    filled_at: Instant,
}

/// Room for one exchange; given back when it is dropped.
pub struct Permit {
    limits: Arc<AccountLimits>,
    account_id: AccountId,
}

/// What is left of an account's requests, for the rate-limit headers.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Requests in a minute.
    pub limit: u32,
    /// Requests left now.
    pub remaining: u64,
    /// Seconds until all are there again.
    pub full_in_secs: u64,
}

const MICRO: u64 = 1_000_000;

impl AccountLimits {
    /// Limits without any use so far.
    #[must_use]
    pub fn new(settings: &crate::config::Server, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            max_open: settings.max_streams,
            max_open_per_account: settings.max_streams_per_account,
            per_minute: settings.requests_per_minute_per_account,
            metrics,
            state: Mutex::default(),
        })
    }

    /// Counts a request against the account's minute.
    ///
    /// # Errors
    /// 429 with the seconds until the next may come.
    pub fn count(&self, account_id: AccountId) -> Result<Allowance, ApiError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let full = u64::from(self.per_minute).saturating_mul(MICRO);
        let account = state.account(account_id, full);
        account.fill(self.per_minute, full);
        let Some(left) = account.tokens_micro.checked_sub(MICRO) else {
            let missing = MICRO.saturating_sub(account.tokens_micro);
            let per_second = u64::from(self.per_minute).saturating_mul(MICRO) / 60;
            let wait = missing.checked_div(per_second).unwrap_or(59).saturating_add(1);
            return Err(ApiError::rate_limit("Too many requests for this account.", wait));
        };
        account.tokens_micro = left;
        let missing = full.saturating_sub(left);
        let full_in_secs = missing.saturating_mul(60).checked_div(full).unwrap_or(0);
        Ok(Allowance { limit: self.per_minute, remaining: left / MICRO, full_in_secs })
    }

    /// Makes room for an exchange.
    ///
    /// # Errors
    /// 429 for the account's own limit, 529 for the node's.
    pub fn open(self: &Arc<Self>, account_id: AccountId) -> Result<Permit, ApiError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.open >= self.max_open {
            let message = "All places are taken. Please try again.";
            return Err(ApiError::new(529, "overloaded_error", message));
        }
        let full = u64::from(self.per_minute).saturating_mul(MICRO);
        let account = state.account(account_id, full);
        if account.open >= self.max_open_per_account {
            let message = "This account has too many requests open at once.";
            return Err(ApiError::rate_limit(message, 1));
        }
        account.open = account.open.saturating_add(1);
        state.open = state.open.saturating_add(1);
        self.metrics.open_exchanges.inc();
        Ok(Permit { limits: Arc::clone(self), account_id })
    }
}

impl State {
    fn account(&mut self, id: AccountId, full: u64) -> &mut Account {
        if self.accounts.len() >= CAPACITY {
            self.accounts.retain(|_, account| account.open > 0);
        }
        self.accounts.entry(id).or_insert_with(|| Account {
            open: 0,
            tokens_micro: full,
            filled_at: Instant::now(),
        })
    }
}

impl Account {
    fn fill(&mut self, per_minute: u32, full: u64) {
        let now = Instant::now();
        let micros = now.duration_since(self.filled_at).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        let more = micros.saturating_mul(u64::from(per_minute)) / 60;
        self.tokens_micro = self.tokens_micro.saturating_add(more).min(full);
        self.filled_at = now;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limits.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open = state.open.saturating_sub(1);
        if let Some(account) = state.accounts.get_mut(&self.account_id) {
            account.open = account.open.saturating_sub(1);
        }
        self.limits.metrics.open_exchanges.dec();
    }
}
