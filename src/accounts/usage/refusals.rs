//! Requests that this program refused itself, counted per key, UTC day and reason. A refusal costs
//! an addition in memory; what has come together is written in batches now and then. So a client
//! that is refused again and again costs the database nothing more than one that is refused once.
//! Nothing of a request is kept, and a request of an unknown key is not counted at all.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::db::models::api_keys::{self, KeyHolder};
use crate::db::models::refused_requests::{self, RefusedOfKey, RefusedRow};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UtcDay;
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::refusal_cause::RefusalCause;

/// Counts in memory. What is refused beyond that, until some are written, is not counted.
const COUNTS_MAX: usize = 20_000;
/// Counts that one transaction writes.
const BATCH: usize = 200;

/// A key of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KnownKey {
    /// The account.
    pub account_id: AccountId,
    /// The key.
    pub api_key_id: ApiKeyId,
}

impl From<&KeyHolder> for KnownKey {
    fn from(holder: &KeyHolder) -> Self {
        Self { account_id: holder.account_id, api_key_id: holder.api_key_id }
    }
}

type RefusalKey = (KnownKey, UtcDay, RefusalCause);

/// What this node has counted and not written yet.
#[derive(Default)]
pub struct RefusalCounts(Mutex<HashMap<RefusalKey, i64>>);

impl RefusalCounts {
    /// Counts a refusal.
    pub fn count(&self, key: KnownKey, cause: RefusalCause, day: UtcDay) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = counts.len() >= COUNTS_MAX;
        if let Some(count) = counts.get_mut(&(key, day, cause)) {
            *count = count.saturating_add(1);
        } else if !is_full {
            counts.insert((key, day, cause), 1);
        }
    }

    /// Writes what was counted so far.
    ///
    /// # Errors
    /// Storage's. What could not be written is kept for the next time.
    pub fn write(&self, conn: &mut AnyConnection) -> Result<(), DbError> {
        loop {
            let batch = self.take();
            if batch.is_empty() {
                return Ok(());
            }
            let written = transaction::write(conn, |conn| {
                for ((key, day, reason), requests) in &batch {
                    let row = RefusedRow {
                        api_key_id: key.api_key_id,
                        day: day.number(),
                        reason: *reason,
                        requests: *requests,
                    };
                    refused_requests::add(conn, &row)?;
                }
                Ok(())
            });
            if written.is_err() {
                self.put_back(batch);
                return written;
            }
        }
    }

    /// Some of them, in the order in which every node writes them: so none waits for another that
    /// waits for it.
    fn take(&self) -> Vec<(RefusalKey, i64)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<RefusalKey> = counts.keys().copied().take(BATCH).collect();
        keys.sort_by_key(|(key, day, cause)| (key.api_key_id, *day, *cause));
        keys.into_iter().filter_map(|key| counts.remove_entry(&key)).collect()
    }

    fn put_back(&self, batch: Vec<(RefusalKey, i64)>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, requests) in batch {
            let count = counts.entry(key).or_default();
            *count = count.saturating_add(requests);
        }
    }

    /// What is in memory of an account.
    fn waiting(&self, account_id: AccountId) -> Vec<(RefusalKey, i64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = counts.iter().filter(|((key, ..), _)| key.account_id == account_id);
        mine.map(|(key, count)| (*key, *count)).collect()
    }

    /// The counts of an account, or of one key of it, from one UTC day to another, both included:
    /// what is stored and what this node has not written yet. Latest day first.
    pub fn read(
        &self,
        conn: &mut AnyConnection,
        (account_id, key): (AccountId, Option<ApiKeyId>),
        (first, last): (UtcDay, UtcDay),
    ) -> Result<Vec<RefusedOfKey>, DbError> {
        let waiting = self.waiting(account_id);
        let mut rows = refused_requests::of_account(conn, (account_id, key), (first, last))?;
        let waiting: Vec<(RefusalKey, i64)> = waiting
            .into_iter()
            .filter(|((of, day, _), _)| {
                key.is_none_or(|key| key == of.api_key_id) && (first..=last).contains(day)
            })
            .collect();
        let names =
            if waiting.is_empty() { Vec::new() } else { api_keys::of_account(conn, account_id)? };
        for ((of, day, reason), requests) in waiting {
            let known = rows.iter_mut().find(|row| {
                (row.row.api_key_id, row.row.day, row.row.reason)
                    == (of.api_key_id, day.number(), reason)
            });
            if let Some(known) = known {
                known.row.requests = known.row.requests.saturating_add(requests);
            } else if let Some(name) = names.iter().find(|name| name.id == of.api_key_id) {
                rows.push(RefusedOfKey {
                    row: RefusedRow {
                        api_key_id: of.api_key_id,
                        day: day.number(),
                        reason,
                        requests,
                    },
                    key_id: name.public_id.clone(),
                    key_name: name.name.clone(),
                });
            }
        }
        rows.sort_by_key(|of| (std::cmp::Reverse(of.row.day), of.row.api_key_id, of.row.reason));
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_counts_that_are_there_go_on() {
        let counts = RefusalCounts::default();
        let day = UtcDay::from_number(20_779);
        let key = |number| KnownKey { account_id: AccountId(1), api_key_id: ApiKeyId(number) };
        for number in 0..=i64::try_from(COUNTS_MAX).unwrap() {
            counts.count(key(number), RefusalCause::Balance, day);
        }
        counts.count(key(0), RefusalCause::Balance, day);
        let waiting = counts.waiting(AccountId(1));
        assert_eq!(waiting.len(), COUNTS_MAX);
        let first = waiting.iter().find(|((key, ..), _)| key.api_key_id == ApiKeyId(0));
        assert_eq!(first.map(|(_, count)| *count), Some(2));
        assert!(counts.waiting(AccountId(2)).is_empty());
        let batch = counts.take();
        assert_eq!(batch.len(), BATCH);
        counts.put_back(batch);
        assert_eq!(counts.waiting(AccountId(1)).len(), COUNTS_MAX);
    }
}
