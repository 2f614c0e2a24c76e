//! The exchanges that may be open at once: on this node, for an account, and for a key with a limit
//! of its own. Kept in memory: what an account or a key may have on all nodes is shared among them.

use std::sync::Arc;

use crate::context::LeaseState;
use crate::db::models::api_keys::KeyHolder;
use crate::domain::api_error::{ApiError, RefusalReason};
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::metrics::Metrics;
use crate::places::Rules;
use crate::places::shares::Tally;

/// Who asks for a place.
#[derive(Clone, Copy, Debug)]
pub struct Requester {
    /// Whose it is.
    pub account_id: AccountId,
    api_key_id: ApiKeyId,
    /// What the key may have open, if it has a limit of its own.
    key_max: Option<u32>,
}

/// What is open.
pub struct OpenExchanges {
    max: usize,
    max_per_account: u32,
    standing: Arc<LeaseState>,
    all: usize,
    accounts: Tally<AccountId>,
    /// Only of keys with limits of their own.
    keys: Tally<ApiKeyId>,
    metrics: Arc<Metrics>,
}

impl From<&KeyHolder> for Requester {
    fn from(holder: &KeyHolder) -> Self {
        Self {
            account_id: holder.account_id,
            api_key_id: holder.api_key_id,
            key_max: holder.limits.max_streams,
        }
    }
}

impl OpenExchanges {
    /// Nothing yet, of so many on this node, and for each account on all nodes together.
    #[must_use]
    pub fn new(
        max: usize,
        max_per_account: u32,
        standing: Arc<LeaseState>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (accounts, keys) = (Tally::default(), Tally::default());
        Self { max, max_per_account, standing, all: 0, accounts, keys, metrics }
    }

    /// From now on so many for each account, on all nodes together.
    pub const fn set_max_per_account(&mut self, max: u32) {
        self.max_per_account = max;
    }

    /// Why there is no place for somebody now: 429 for the limit of the key or its account, 529 for
    /// the node's.
    #[must_use]
    pub fn refusal(&self, who: &Requester) -> Option<ApiError> {
        if self.all >= self.max {
            let message = "The server is at capacity. Please retry.";
            return Some(ApiError::new(529, "overloaded_error", message));
        }
        if self.accounts.of(&who.account_id) >= self.share(self.max_per_account) {
            let message = "This account has too many requests open at once.";
            return Some(ApiError::rate_limit(message, 1).because(RefusalReason::OpenRequests));
        }
        let open = self.keys.of(&who.api_key_id);
        if who.key_max.is_some_and(|most| open >= self.share(most)) {
            let message = "This API key has too many requests open at once.";
            return Some(ApiError::rate_limit(message, 1).because(RefusalReason::OpenRequests));
        }
        None
    }
}

impl OpenExchanges {
    fn share(&self, whole: u32) -> usize {
        usize::try_from(self.standing.share(whole)).unwrap_or(usize::MAX)
    }
}

impl Rules for OpenExchanges {
    type Who = Requester;

    fn fits(&mut self, who: &Requester) -> bool {
        self.refusal(who).is_none()
    }

    fn take(&mut self, who: &Requester) {
        self.all = self.all.saturating_add(1);
        self.accounts.add(who.account_id);
        if who.key_max.is_some() {
            self.keys.add(who.api_key_id);
        }
        self.metrics.open_exchanges.inc();
    }

    fn give_back(&mut self, who: &Requester) {
        self.all = self.all.saturating_sub(1);
        self.accounts.remove(&who.account_id);
        if who.key_max.is_some() {
            self.keys.remove(&who.api_key_id);
        }
        self.metrics.open_exchanges.dec();
    }
}
