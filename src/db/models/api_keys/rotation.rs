//! Another secret for a key: the columns of the one it has and of the one it had before.

use diesel::prelude::*;

use crate::db::models::journal;
use crate::db::schema::api_keys;
use crate::db::{AnyConnection, DbError};
use crate::domain::api_key::ApiKeyHash;
use crate::domain::clock::UnixMillis;
use crate::domain::journal_event::{HashText, JournalEvent};

/// The secret that a key is to have from now on.
pub struct NewSecret {
    /// Its hash.
    pub hash: ApiKeyHash,
    /// Its hint.
    pub hint: String,
    /// Until when the one so far goes on working; `None` if it ends at once.
    pub previous_expires_at: Option<UnixMillis>,
}

/// Gives a key another secret. Whatever was still in an overlap ends.
pub fn rotate(
    conn: &mut AnyConnection,
    public_id: &str,
    secret: &NewSecret,
    now: UnixMillis,
) -> Result<(), DbError> {
    let hash = secret.hash.as_bytes().as_slice();
    let key = api_keys::table.filter(api_keys::public_id.eq(public_id));
    diesel::update(key)
        .set((
            api_keys::previous_hash.eq(api_keys::hash.nullable()),
            api_keys::previous_hint.eq(api_keys::hint),
            api_keys::previous_expires_at.eq(secret.previous_expires_at),
            api_keys::hash.eq(hash),
            api_keys::hint.eq(secret.hint.as_str()),
            api_keys::rotated_at.eq(now),
        ))
        .execute(conn)?;
    if secret.previous_expires_at.is_none() {
        diesel::update(key)
            .set((
                api_keys::previous_hash.eq(None::<Vec<u8>>),
                api_keys::previous_hint.eq(None::<String>),
            ))
            .execute(conn)?;
    }
    let event = JournalEvent::KeyRotated {
        key: public_id.to_owned(),
        hash: HashText(*secret.hash.as_bytes()),
        hint: secret.hint.clone(),
        previous_expires_at: secret.previous_expires_at.map(UnixMillis::as_millis),
        rotated_at: now.as_millis(),
    };
    journal::note(conn, &event)
}
