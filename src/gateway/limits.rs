//! How much each account and each key may ask: exchanges open at once, requests in a minute. Kept in memory,
//! for this node. A place that is taken is waited for.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::config::Settings;
use crate::db::api_keys::KeyHolder;
use crate::domain::api_error::ApiError;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::line::Lines;
use crate::metrics::Metrics;

/// Accounts, and keys, remembered before those without a running exchange are forgotten.
const CAPACITY: usize = 65_536;
/// A place may come free by another key or account, which does not tell.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// See the module.
pub struct AccountLimits {
    max_open: usize,
    max_open_per_account: usize,
    per_minute: u32,
    wait: Duration,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// Requests that wait for a place, by key: one with a limit of its own holds up no other.
    lines: Lines<ApiKeyId>,
}

#[derive(Default)]
struct State {
    open: usize,
    accounts: HashMap<AccountId, Use>,
    /// Only of keys with limits of their own.
    keys: HashMap<ApiKeyId, Use>,
}

/// What is going on, and a token bucket that holds a minute's requests, in millionths so that it fills smoothly.
struct Use {
    open: usize,
    tokens_micro: u64,
    filled_at: Instant,
}

/// Room for one exchange; given back when it is dropped.
pub struct Permit {
    limits: Arc<AccountLimits>,
    account_id: AccountId,
    api_key_id: ApiKeyId,
    /// Whether it counts against a limit of the key's own.
    is_limited: bool,
}

/// What is left of an account's or a key's requests, for the rate-limit headers.
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
    pub fn new(settings: &Settings, metrics: Arc<Metrics>) -> Arc<Self> {
        let server = &settings.server;
        Arc::new(Self {
            max_open: server.max_streams,
            max_open_per_account: server.max_streams_per_account,
            per_minute: server.requests_per_minute_per_account,
            wait: settings.limits.wait,
            metrics,
            state: Mutex::default(),
            lines: Lines::default(),
        })
    }

    /// Counts a request against the account's minute.
    ///
    /// # Errors
    /// 429 with the seconds until the next may come.
    pub fn count(&self, account_id: AccountId) -> Result<Allowance, ApiError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let account = of(&mut state.accounts, account_id, self.per_minute);
        account.fill(self.per_minute);
        account.check(self.per_minute, "Too many requests for this account.")?;
        Ok(account.take(self.per_minute))
    }

    /// Counts a request against the minute of a key, if it has a limit of its own, and of its account. What one of them
    /// refuses is not counted against the other.
    ///
    /// # Errors
    /// 429 with the seconds until the next may come.
    pub fn count_of_key(&self, holder: &KeyHolder) -> Result<Allowance, ApiError> {
        let Some(of_key) = holder.limits.requests_per_minute else {
            return self.count(holder.account_id);
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { accounts, keys, .. } = &mut *state;
        let account = of(accounts, holder.account_id, self.per_minute);
        let key = of(keys, holder.api_key_id, of_key);
        account.fill(self.per_minute);
        key.fill(of_key);
        key.check(of_key, "Too many requests for this API key.")?;
        account.check(self.per_minute, "Too many requests for this account.")?;
        let (whole, own) = (account.take(self.per_minute), key.take(of_key));
        Ok(if own.remaining < whole.remaining { own } else { whole })
    }

    /// What is left of an account's or a key's requests; none of them is taken.
    #[must_use]
    pub fn allowance(&self, holder: &KeyHolder) -> Allowance {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { accounts, keys, .. } = &mut *state;
        let whole = of(accounts, holder.account_id, self.per_minute).left(self.per_minute);
        let Some(of_key) = holder.limits.requests_per_minute else { return whole };
        let own = of(keys, holder.api_key_id, of_key).left(of_key);
        if own.remaining < whole.remaining { own } else { whole }
    }

    /// Makes room for an exchange, and waits for it for as long as `limits.wait_secs` says. Of one key as many wait as its
    /// account may have open.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn wait(self: &Arc<Self>, holder: &KeyHolder) -> Result<Permit, ApiError> {
        let waiting = self.lines.waiting(holder.api_key_id);
        // Whoever waits already comes first.
        if waiting == 0
            && let Ok(permit) = self.open(holder)
        {
            return Ok(permit);
        }
        if self.wait.is_zero() || waiting >= self.max_open_per_account {
            return self.open(holder);
        }
        let deadline = Instant::now() + self.wait;
        let place = self.lines.join(holder.api_key_id);
        let turn = timeout_at(deadline, place.turn()).await;
        loop {
            let opened = self.open(holder);
            let Some(turn) = turn.as_ref().ok().filter(|_| Instant::now() < deadline) else {
                return opened;
            };
            if opened.is_ok() {
                return opened;
            }
            let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
            drop(timeout_at(look_again, turn.freed()).await);
        }
    }

    /// Makes room for an exchange.
    ///
    /// # Errors
    /// 429 for the limit of the key or its account, 529 for the node's.
    pub fn open(self: &Arc<Self>, holder: &KeyHolder) -> Result<Permit, ApiError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.open >= self.max_open {
            let message = "All places are taken. Please try again.";
            return Err(ApiError::new(529, "overloaded_error", message));
        }
        let State { open, accounts, keys } = &mut *state;
        let account = of(accounts, holder.account_id, self.per_minute);
        if account.open >= self.max_open_per_account {
            let message = "This account has too many requests open at once.";
            return Err(ApiError::rate_limit(message, 1));
        }
        if let Some(most) = holder.limits.max_streams {
            let per_minute = holder.limits.requests_per_minute.unwrap_or(self.per_minute);
            let key = of(keys, holder.api_key_id, per_minute);
            if key.open >= usize::try_from(most).unwrap_or(usize::MAX) {
                let message = "This API key has too many requests open at once.";
                return Err(ApiError::rate_limit(message, 1));
            }
            key.open = key.open.saturating_add(1);
        }
        account.open = account.open.saturating_add(1);
        *open = open.saturating_add(1);
        self.metrics.open_exchanges.inc();
        Ok(Permit {
            limits: Arc::clone(self),
            account_id: holder.account_id,
            api_key_id: holder.api_key_id,
            is_limited: holder.limits.max_streams.is_some(),
        })
    }
}

/// What somebody has in use; whoever is seen for the first time has a whole minute's requests.
fn of<Id: Eq + Hash>(uses: &mut HashMap<Id, Use>, id: Id, per_minute: u32) -> &mut Use {
    if uses.len() >= CAPACITY {
        uses.retain(|_, one| one.open > 0);
    }
    uses.entry(id).or_insert_with(|| Use {
        open: 0,
        tokens_micro: full(per_minute),
        filled_at: Instant::now(),
    })
}

fn full(per_minute: u32) -> u64 {
    u64::from(per_minute).saturating_mul(MICRO)
}

impl Use {
    fn fill(&mut self, per_minute: u32) {
        let now = Instant::now();
        let micros = now.duration_since(self.filled_at).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        let more = micros.saturating_mul(u64::from(per_minute)) / 60;
        self.tokens_micro = self.tokens_micro.saturating_add(more).min(full(per_minute));
        self.filled_at = now;
    }

    /// Whether a request is left.
    fn check(&self, per_minute: u32, message: &'static str) -> Result<(), ApiError> {
        if self.tokens_micro >= MICRO {
            return Ok(());
        }
        let missing = MICRO.saturating_sub(self.tokens_micro);
        // Micro-tokens come at `per_minute` in 60 microseconds, that is `per_minute` millions in 60 seconds.
        let wait = missing.saturating_mul(60).checked_div(full(per_minute)).unwrap_or(59);
        Err(ApiError::rate_limit(message, wait.saturating_add(1)))
    }

    /// Takes a request that is left.
    fn take(&mut self, per_minute: u32) -> Allowance {
        self.tokens_micro = self.tokens_micro.saturating_sub(MICRO);
        self.allowance(per_minute)
    }

    /// What is left now.
    fn left(&mut self, per_minute: u32) -> Allowance {
        self.fill(per_minute);
        self.allowance(per_minute)
    }

    fn allowance(&self, per_minute: u32) -> Allowance {
        let full = full(per_minute);
        let missing = full.saturating_sub(self.tokens_micro);
        let full_in_secs = missing.saturating_mul(60).checked_div(full).unwrap_or(0);
        Allowance { limit: per_minute, remaining: self.tokens_micro / MICRO, full_in_secs }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limits.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open = state.open.saturating_sub(1);
        if let Some(account) = state.accounts.get_mut(&self.account_id) {
            account.open = account.open.saturating_sub(1);
        }
        if let Some(key) = state.keys.get_mut(&self.api_key_id).filter(|_| self.is_limited) {
            key.open = key.open.saturating_sub(1);
        }
        drop(state);
        self.limits.lines.free(self.api_key_id);
        self.limits.metrics.open_exchanges.dec();
    }
}
