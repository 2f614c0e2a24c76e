//! Beginnings of prompts that an upstream was asked to cache, as keyed hashes with the number of
//! their tokens.
//!
//! In memory only, under a key that is made at each start, for as long as the upstream's cache
//! lives. The account is part of each hash: what one account sends is never compared with what
//! another does.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Mutex, PoisonError};

use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::messages_request::prefix::{Beginning, PromptPrefix, beginnings};

/// A cache is not relied on in its last seconds: the request has yet to get there.
const SAFETY_MILLIS: i64 = 15_000;

/// See the module.
pub struct Prefixes {
    keys: RandomState,
    known: Mutex<HashMap<u64, CachedPrefix>>,
    max: usize,
}

/// What is known of a beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CachedPrefix {
    tokens: u64,
    is_exact: bool,
    expires_at: UnixMillis,
}

/// A beginning that was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownPrefix {
    /// As many tokens.
    pub tokens: u64,
    /// They were counted, not a share by bytes of what was.
    pub is_exact: bool,
    /// The upstream's cache should still have it.
    pub is_alive: bool,
}

impl Prefixes {
    /// Room for so many beginnings; 0 turns the memory off.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { keys: RandomState::new(), known: Mutex::default(), max }
    }

    /// Whether anything is kept.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.max > 0
    }

    /// The beginnings of an account's prompt for a model.
    #[must_use]
    pub fn beginnings(&self, body: &[u8], account_id: AccountId, model_id: &str) -> PromptPrefix {
        beginnings(body, &self.keys, (account_id.0, model_id))
    }

    /// The longest beginning that is known.
    #[must_use]
    pub fn find<'a>(
        &self,
        prefix: &'a PromptPrefix,
        now: UnixMillis,
    ) -> Option<(&'a Beginning, KnownPrefix)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (beginning, found) = prefix
            .beginnings
            .iter()
            .rev()
            .filter(|beginning| beginning.is_found)
            .find_map(|beginning| Some((beginning, *known.get(&beginning.hash)?)))?;
        let is_alive = found.expires_at.millis_since(now) > SAFETY_MILLIS;
        Some((beginning, KnownPrefix { tokens: found.tokens, is_exact: found.is_exact, is_alive }))
    }

    /// Notes that a beginning of so many tokens, counted or not, was written or read just now.
    pub fn remember(
        &self,
        hash: u64,
        (tokens, is_exact): (u64, bool),
        lifetime_secs: u64,
        now: UnixMillis,
    ) {
        let lifetime = i64::try_from(lifetime_secs.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let expires_at = now.plus_millis(lifetime);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.max && !known.contains_key(&hash) {
            known.retain(|_, entry| entry.expires_at > now);
            // Still full: whatever ends within the next half of a lifetime.
            if known.len() >= self.max {
                let soon = now.plus_millis(lifetime / 2);
                known.retain(|_, entry| entry.expires_at > soon);
            }
            if known.len() >= self.max {
                known.clear();
            }
        }
        let entry = known.entry(hash).or_insert(CachedPrefix { tokens, is_exact, expires_at });
        // A share does not replace a count.
        if is_exact || !entry.is_exact {
            (entry.tokens, entry.is_exact) = (tokens, is_exact);
        }
        entry.expires_at = expires_at.max(entry.expires_at);
    }

    /// Forgets what no cache holds any more.
    pub fn forget(&self, now: UnixMillis) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, entry| entry.expires_at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> UnixMillis {
        UnixMillis::from_millis(secs * 1_000)
    }

    const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"a"},
        {"text":"b","cache_control":{"type":"ephemeral"}}]}]}"#;

    #[test]
    fn the_longest_known_beginning_is_found_while_its_cache_lives() {
        let prefixes = Prefixes::new(10);
        let prompt = prefixes.beginnings(BODY.as_bytes(), AccountId(1), "m");
        assert_eq!(prefixes.find(&prompt, at(0)), None);
        prefixes.remember(prompt.beginnings[0].hash, (10, false), 300, at(0));
        prefixes.remember(prompt.beginnings[1].hash, (25, true), 300, at(0));
        let tokens = |now| prefixes.find(&prompt, now).map(|(_, found)| found);
        assert_eq!(
            tokens(at(284)),
            Some(KnownPrefix { tokens: 25, is_exact: true, is_alive: true })
        );
        assert_eq!(
            tokens(at(285)),
            Some(KnownPrefix { tokens: 25, is_exact: true, is_alive: false })
        );
        prefixes.remember(prompt.beginnings[1].hash, (3, false), 300, at(0));
        assert_eq!(tokens(at(0)).map(|found| found.tokens), Some(25), "a count stays");
        // Nobody else's, and no other model's.
        for (account, model) in [(2, "m"), (1, "n")] {
            let other = prefixes.beginnings(BODY.as_bytes(), AccountId(account), model);
            assert_eq!(prefixes.find(&other, at(0)), None);
        }
        prefixes.forget(at(300));
        assert_eq!(tokens(at(0)), None);
    }

    #[test]
    fn the_memory_is_bounded_and_may_be_off() {
        let prefixes = Prefixes::new(100);
        for hash in 0..10_000 {
            prefixes.remember(hash, (1, true), 300 + hash % 3_000, at(0));
            assert!(prefixes.known.lock().unwrap().len() <= 100);
        }
        assert!(!Prefixes::new(0).is_on() && prefixes.is_on());
    }
}
