//! Rate limits: how many requests of an account and of a key may be open at once, and come in a
//! minute. Kept in memory: each node has its share of what all nodes together may give. A place
//! that is taken is waited for. An account without credit gets none.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::places::{OpenExchanges, Requester};
use crate::config::{self, Settings};
use crate::context::LeaseState;
use crate::db::models::api_keys::KeyHolder;
use crate::domain::api_error::ApiError;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::money::NanoUsd;
use crate::metrics::Metrics;
use crate::places::shares::{SharedPlace, SharedPlaces, Shares};
use crate::places::{Place, Places};

/// Accounts, and keys, remembered before those that have not asked for a minute are forgotten: they
/// have all requests of a minute again.
const CAPACITY: usize = 65_536;
/// The part of all places that accounts without credit have together, and what each has of it.
const UNPAID_PART: usize = 16;
const UNPAID_EACH: usize = 8;
/// Long reads of one account at once, those that may wait for that, and how long.
const READS_EACH: usize = 2;
const READS_WAITING: usize = 8;
const READ_WAIT: Duration = Duration::from_secs(10);
const BUSY: &str = "Too many requests are open at once.";

/// See the module.
pub struct AccountLimits {
    max_open_per_account: AtomicU32,
    per_minute: AtomicU32,
    standing: Arc<LeaseState>,
    places: Arc<Places<OpenExchanges>>,
    /// Requests of accounts without credit, which take no place from those with.
    unpaid: Arc<SharedPlaces>,
    /// Reads over all that an account has used, which take a connection to the database for a
    /// while.
    reads: Arc<SharedPlaces>,
    state: Mutex<LimitsState>,
}

/// Room for one exchange; given back when it is dropped.
pub type Permit = Place<OpenExchanges>;

#[derive(Default)]
struct LimitsState {
    accounts: HashMap<AccountId, Use>,
    /// Only of keys with limits of their own.
    keys: HashMap<ApiKeyId, Use>,
}

/// A token bucket that holds a minute's requests, in millionths so that it fills smoothly.
struct Use {
    tokens_micro: u64,
    filled_at: Instant,
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
const MINUTE: Duration = Duration::from_mins(1);

impl AccountLimits {
    /// Limits without any use so far.
    #[must_use]
    pub fn new(
        settings: &Settings,
        standing: &Arc<LeaseState>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let pool = usize::try_from(settings.database.pool_size).unwrap_or(1);
        let settings = &settings.server;
        let max_open_per_account =
            u32::try_from(settings.max_streams_per_account).unwrap_or(u32::MAX);
        let standing_of_open = Arc::clone(standing);
        let open = OpenExchanges::new(
            settings.max_streams,
            max_open_per_account,
            standing_of_open,
            metrics,
        );
        let unpaid = Shares::new(settings.max_streams.div_ceil(UNPAID_PART), UNPAID_EACH);
        // The other half of the connections is for keys, log-ins, and whatever is done in a moment.
        let reads = Shares::new((pool / 2).max(1), READS_EACH);
        Arc::new(Self {
            max_open_per_account: AtomicU32::new(max_open_per_account),
            per_minute: AtomicU32::new(settings.requests_per_minute_per_account),
            standing: Arc::clone(standing),
            places: Places::new(open),
            unpaid: Places::new(unpaid),
            reads: Places::new(reads),
            state: Mutex::default(),
        })
    }

    /// Takes up other limits of an account. What it has open stays open.
    pub fn take_up(&self, settings: &config::Server) {
        let max = u32::try_from(settings.max_streams_per_account).unwrap_or(u32::MAX);
        self.max_open_per_account.store(max, Ordering::Relaxed);
        self.per_minute.store(settings.requests_per_minute_per_account, Ordering::Relaxed);
        self.places.change(|open| open.set_max_per_account(max));
    }

    /// This node's share of an account's requests in a minute.
    fn per_minute(&self) -> u32 {
        self.standing.share(self.per_minute.load(Ordering::Relaxed))
    }

    /// Counts a request against the account's minute.
    ///
    /// # Errors
    /// 429 with the seconds until the next may come.
    pub fn count(&self, account_id: AccountId) -> Result<Allowance, ApiError> {
        let per_minute = self.per_minute();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let account = of(&mut state.accounts, account_id, per_minute);
        account.fill(per_minute);
        account.check(per_minute, "Too many requests for this account.")?;
        Ok(account.take(per_minute))
    }

    /// Counts a request against the minute of a key, if it has a limit of its own, and of its
    /// account. What one of them refuses is not counted against the other.
    ///
    /// # Errors
    /// 429 with the seconds until the next may come.
    pub fn count_of_key(&self, holder: &KeyHolder) -> Result<Allowance, ApiError> {
        let Some(of_key) = holder.limits.requests_per_minute else {
            return self.count(holder.account_id);
        };
        let (per_minute, of_key) = (self.per_minute(), self.standing.share(of_key));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let LimitsState { accounts, keys } = &mut *state;
        let account = of(accounts, holder.account_id, per_minute);
        let key = of(keys, holder.api_key_id, of_key);
        account.fill(per_minute);
        key.fill(of_key);
        key.check(of_key, "Too many requests for this API key.")?;
        account.check(per_minute, "Too many requests for this account.")?;
        let (whole, own) = (account.take(per_minute), key.take(of_key));
        Ok(if own.remaining < whole.remaining { own } else { whole })
    }

    /// What is left of an account's or a key's requests; none of them is taken.
    #[must_use]
    pub fn allowance(&self, holder: &KeyHolder) -> Allowance {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let LimitsState { accounts, keys } = &mut *state;
        let per_minute = self.per_minute();
        let whole = of(accounts, holder.account_id, per_minute).left(per_minute);
        let Some(of_key) = holder.limits.requests_per_minute else { return whole };
        let of_key = self.standing.share(of_key);
        let own = of(keys, holder.api_key_id, of_key).left(of_key);
        if own.remaining < whole.remaining { own } else { whole }
    }

    /// A place for a request of an account without credit, waited for until then.
    ///
    /// # Errors
    /// 429.
    pub async fn unpaid(
        &self,
        account_id: AccountId,
        until: Instant,
    ) -> Result<SharedPlace, ApiError> {
        let busy = || ApiError::rate_limit(BUSY, 1);
        self.unpaid.wait(&account_id, until).await.ok_or_else(busy)
    }

    /// A turn to read over all that an account has used, waited for a few seconds.
    ///
    /// # Errors
    /// 429 where the account has too many such reads.
    pub async fn read(&self, account_id: AccountId) -> Result<SharedPlace, ApiError> {
        let busy = || ApiError::rate_limit(BUSY, 5);
        if self.reads.waiting(|other| *other == account_id) >= READS_WAITING {
            return self.reads.take(&account_id).ok_or_else(busy);
        }
        self.reads.wait(&account_id, Instant::now() + READ_WAIT).await.ok_or_else(busy)
    }

    /// A place for an exchange, waited for until then. Of one account as many wait as it may have
    /// open.
    ///
    /// # Errors
    /// 429 for the limit of the key or its account, 529 for the node's.
    pub async fn place(&self, holder: &KeyHolder, until: Instant) -> Result<Permit, ApiError> {
        let who = Requester::from(holder);
        let waiting = self.places.waiting(|other| other.account_id == who.account_id);
        let most = self.max_open_per_account.load(Ordering::Relaxed);
        let most = usize::try_from(self.standing.share(most));
        let found = if waiting < most.unwrap_or(usize::MAX) {
            self.places.wait(&who, until).await
        } else {
            self.places.take(&who)
        };
        let refusal = || self.places.with(|open| open.refusal(&who));
        // One that has come free at the last moment is for whoever asks next.
        found.ok_or_else(|| refusal().unwrap_or_else(|| ApiError::rate_limit(BUSY, 1)))
    }
}

/// Refuses who certainly has no credit, before his body is read: he would be refused behind it.
///
/// # Errors
/// 402.
pub(super) fn refuse_without_credit(
    settings: &Settings,
    holder: &KeyHolder,
) -> Result<(), ApiError> {
    if has_credit(settings, holder) { Ok(()) } else { Err(no_credit(settings, holder, "")) }
}

/// The limits of a request for a count of tokens by somebody without credit, and what he hears
/// beyond them.
pub(super) fn limit_without_credit(
    settings: &Settings,
    holder: &KeyHolder,
) -> Option<(config::Limits, ApiError)> {
    if has_credit(settings, holder) {
        return None;
    }
    let mut limits = settings.limits.clone();
    limits.body_bytes = limits.body_bytes_without_credit.min(limits.body_bytes);
    let beyond = format!(" except token counts of up to {} bytes", limits.body_bytes);
    Some((limits, no_credit(settings, holder, &beyond)))
}

/// Whether something may be left of an account's funds. Where something is sold for nothing,
/// nothing may do.
fn has_credit(settings: &Settings, holder: &KeyHolder) -> bool {
    let is_zero = holder.funds == NanoUsd::ZERO;
    holder.funds > NanoUsd::ZERO || (is_zero && settings.prices.has_free())
}

fn no_credit(settings: &Settings, holder: &KeyHolder, beyond: &str) -> ApiError {
    let (funds, site) = (holder.funds, settings.site.base_url.as_str());
    let may_know = holder.limits.scopes.tell_the_balance();
    let of_funds = if may_know { format!(" of {funds} USD") } else { String::new() };
    ApiError::billing(format!(
        "Your credit{of_funds} does not cover any request{beyond}. Add credit at {site}/deposits"
    ))
}

/// What somebody may still ask; whoever is seen for the first time has a whole minute's requests.
fn of<Id: Eq + Hash>(uses: &mut HashMap<Id, Use>, id: Id, per_minute: u32) -> &mut Use {
    if uses.len() >= CAPACITY {
        uses.retain(|_, one| one.filled_at.elapsed() < MINUTE);
    }
    uses.entry(id)
        .or_insert_with(|| Use { tokens_micro: full(per_minute), filled_at: Instant::now() })
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
        // Micro-tokens come at `per_minute` in 60 microseconds, that is `per_minute` millions in 60
        // seconds.
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
