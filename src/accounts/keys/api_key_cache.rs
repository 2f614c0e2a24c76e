//! A cache of which account an API key belongs to. That never changes; whether the key still counts
//! does, so callers say how old the answer may be. The cache only ever refuses faster: the
//! reservation asks the database again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::db::models::api_keys::{self, KeyHolder};
use crate::db::{Database, DbError};
use crate::domain::api_key::ApiKeyHash;
use crate::domain::ids::{AccountId, ApiKeyId};

/// Keys remembered at most; beyond that the memory starts anew.
const CAPACITY: usize = 65_536;

/// See the module.
pub struct ApiKeyCache {
    database: Database,
    memory: Mutex<CachedKeys>,
}

#[derive(Default)]
struct CachedKeys {
    known: HashMap<ApiKeyHash, CachedKey>,
    /// How often something was forgotten: what was read before that must not be kept after it.
    forgotten: u64,
}

struct CachedKey {
    holder: KeyHolder,
    seen: Instant,
}

impl ApiKeyCache {
    /// An empty ring.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, memory: Mutex::default() }
    }

    /// The holder of a key, as of at most `max_age` ago; `None` if there is no such key.
    pub async fn holder(
        &self,
        hash: ApiKeyHash,
        max_age: Duration,
    ) -> Result<Option<KeyHolder>, DbError> {
        let forgotten = match self.recall(&hash, max_age) {
            Ok(holder) => return Ok(Some(holder)),
            Err(forgotten) => forgotten,
        };
        let found = self.database.run(move |conn| api_keys::holder(conn, &hash)).await?;
        if let Some(holder) = &found {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            if memory.known.len() >= CAPACITY {
                memory.known.clear();
            }
            if memory.forgotten == forgotten {
                let known = CachedKey { holder: holder.clone(), seen: Instant::now() };
                memory.known.insert(hash, known);
            }
        }
        Ok(found)
    }

    /// Forgets a key, whose limits have changed or which has been revoked: on this node that counts
    /// at once.
    pub fn forget(&self, id: ApiKeyId) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.forgotten = memory.forgotten.wrapping_add(1);
        memory.known.retain(|_, known| known.holder.api_key_id != id);
    }

    /// Forgets all keys of an account: when it is closed, or kept after all.
    pub fn forget_account(&self, id: AccountId) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.forgotten = memory.forgotten.wrapping_add(1);
        memory.known.retain(|_, known| known.holder.account_id != id);
    }

    /// What is remembered, or how often something was forgotten so far.
    fn recall(&self, hash: &ApiKeyHash, max_age: Duration) -> Result<KeyHolder, u64> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.known.get(hash) {
            Some(known) if known.seen.elapsed() <= max_age => Ok(known.holder.clone()),
            _ => Err(memory.forgotten),
        }
    }
}
