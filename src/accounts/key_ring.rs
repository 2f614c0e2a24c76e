//! Who a key speaks for, remembered. The binding of a key to its account never changes; whether
//! it still counts does, so callers say how old that answer may be. A memory only ever refuses
//! faster: the reservation asks the database again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::db::api_keys::KeyHolder;
use crate::db::{Database, DbError, api_keys};
use crate::domain::api_key::ApiKeyHash;

/// Keys remembered at most; beyond that the memory starts anew.
const CAPACITY: usize = 65_536;

/// See the module.
pub struct KeyRing {
    database: Database,
    known: Mutex<HashMap<ApiKeyHash, Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    holder: KeyHolder,
    seen: Instant,
}

impl KeyRing {
    /// An empty ring.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, known: Mutex::new(HashMap::new()) }
    }

    /// The holder of a key, as of at most `max_age` ago; `None` if there is no such key.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn holder(
        &self,
        hash: ApiKeyHash,
        max_age: Duration,
    ) -> Result<Option<KeyHolder>, DbError> {
        if let Some(holder) = self.recall(&hash, max_age) {
            return Ok(Some(holder));
        }
        let found = self.database.run(move |conn| api_keys::holder(conn, &hash)).await?;
        if let Some(holder) = found {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= CAPACITY {
                known.clear();
            }
            known.insert(hash, Known { holder, seen: Instant::now() });
        }
        Ok(found)
    }

    fn recall(&self, hash: &ApiKeyHash, max_age: Duration) -> Option<KeyHolder> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(hash)?;
        (known.seen.elapsed() <= max_age).then_some(known.holder)
    }
}
