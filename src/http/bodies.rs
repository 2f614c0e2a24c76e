//! How many bytes of request bodies are in memory: on this node, and of each account. They are
//! counted as they arrive and until the last of a body is let go, which is when its answer begins.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use prometheus::IntGauge;

use crate::config;
use crate::domain::api_error::ApiError;
use crate::domain::ids::AccountId;
use crate::domain::unprintable::unprintable;
use crate::places::shares::Tally;

/// See the module.
pub struct Bodies {
    max: AtomicUsize,
    max_each: AtomicUsize,
    taken: Mutex<Taken>,
    gauge: IntGauge,
}

#[derive(Default)]
struct Taken {
    all: usize,
    accounts: Tally<AccountId>,
}

/// What one body has taken; given back when it is dropped.
pub struct BodyShare {
    bodies: Arc<Bodies>,
    account_id: AccountId,
    bytes: usize,
}

/// A whole body with its share.
struct BufferedBody {
    body: BytesMut,
    _share: BodyShare,
}

unprintable!(BufferedBody);

impl AsRef<[u8]> for BufferedBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Bodies {
    /// None so far.
    #[must_use]
    pub fn new(limits: &config::Limits, gauge: IntGauge) -> Arc<Self> {
        Arc::new(Self {
            max: AtomicUsize::new(limits.bodies_total_bytes),
            max_each: AtomicUsize::new(limits.bodies_bytes_per_account),
            taken: Mutex::default(),
            gauge,
        })
    }

    /// Takes up other limits. What is in memory stays there.
    pub fn take_up(&self, limits: &config::Limits) {
        self.max.store(limits.bodies_total_bytes, Ordering::Relaxed);
        self.max_each.store(limits.bodies_bytes_per_account, Ordering::Relaxed);
    }

    /// The share of a body of which nothing has arrived.
    #[must_use]
    pub fn share(self: &Arc<Self>, account_id: AccountId) -> BodyShare {
        BodyShare { bodies: Arc::clone(self), account_id, bytes: 0 }
    }

    fn take(&self, account_id: AccountId, bytes: usize) -> Result<(), ApiError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.accounts.of(&account_id).saturating_add(bytes)
            > self.max_each.load(Ordering::Relaxed)
        {
            return Err(ApiError::rate_limit(
                "This account is sending too many request bytes at once.",
                1,
            ));
        }
        let all = taken.all.saturating_add(bytes);
        if all > self.max.load(Ordering::Relaxed) {
            let message = "The server is receiving too many request bytes. Please try again.";
            return Err(ApiError::new(529, "overloaded_error", message));
        }
        taken.all = all;
        taken.accounts.add_many(account_id, bytes);
        self.gauge.set(i64::try_from(all).unwrap_or(i64::MAX));
        Ok(())
    }

    fn give_back(&self, account_id: AccountId, bytes: usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(bytes);
        self.gauge.set(i64::try_from(taken.all).unwrap_or(i64::MAX));
        taken.accounts.remove_many(&account_id, bytes);
    }
}

impl BodyShare {
    /// Counts bytes that have arrived.
    ///
    /// # Errors
    /// 429 beyond what the account may have, 529 beyond what the node has.
    pub fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.bodies.take(self.account_id, bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Counts on until the last part of the body is let go.
    #[must_use]
    pub fn keep_with(self, body: BytesMut) -> Bytes {
        Bytes::from_owner(BufferedBody { body, _share: self })
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.bodies.give_back(self.account_id, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(max: usize, max_each: usize) -> Arc<Bodies> {
        let gauge = IntGauge::new("bytes", "of bodies").unwrap();
        let (max, max_each) = (AtomicUsize::new(max), AtomicUsize::new(max_each));
        Arc::new(Bodies { max, max_each, taken: Mutex::default(), gauge })
    }

    #[test]
    fn one_account_takes_no_more_than_its_own_and_all_no_more_than_the_nodes() {
        let bodies = bodies(10, 6);
        let (mut one, mut again) = (bodies.share(AccountId(1)), bodies.share(AccountId(1)));
        assert!(one.grow(4).is_ok());
        assert_eq!(again.grow(3).err().map(|error| error.status), Some(429));
        assert!(again.grow(2).is_ok());
        let mut other = bodies.share(AccountId(2));
        assert_eq!(other.grow(5).err().map(|error| error.status), Some(529));
        assert!(other.grow(4).is_ok());
        assert_eq!(bodies.gauge.get(), 10);
        drop(one);
        assert!(other.grow(2).is_ok());
        drop((again, other));
        assert_eq!(bodies.gauge.get(), 0);
        assert!(bodies.taken.lock().unwrap().accounts.is_empty());
    }

    #[test]
    fn a_body_counts_until_its_last_part_is_let_go() {
        let bodies = bodies(10, 10);
        let mut share = bodies.share(AccountId(1));
        assert!(share.grow(5).is_ok());
        let body = share.keep_with(BytesMut::from(&b"hello"[..]));
        let part = body.slice(1..3);
        assert_eq!((&body[..], &part[..]), (&b"hello"[..], &b"el"[..]));
        drop(body);
        assert_eq!(bodies.gauge.get(), 5);
        drop(part);
        assert_eq!(bodies.gauge.get(), 0);
    }
}
