//! A new key on its way from the form that made it to the page that shows it: sealed in a cookie,
//! under the secret outside the database, for one session, one key and a few minutes
//! ([decision 38](../../../docs/decisions/038-a-new-key-travels-sealed-in-a-cookie.md)).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::accounts::identity::AuthError;
use crate::accounts::identity::people::Identity;
use crate::accounts::identity::sessions::LiveSession;
use crate::domain::api_key::PlainApiKey;

/// Time from the form to its page: a redirect.
pub const LIFETIME: Duration = Duration::from_mins(5);

impl Identity {
    /// Seals a key for the page that shows it to this session.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] without randomness.
    pub fn seal_key(
        &self,
        session: &LiveSession,
        public_id: &str,
        key: &PlainApiKey,
    ) -> Result<String, AuthError> {
        let ends = self.now().plus(LIFETIME).as_millis();
        let text = format!("{ends} {} {public_id} {}", session.row.public_id, key.reveal());
        let sealed = self.key_sealing().seal(text.as_bytes(), session.account_id())?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The key that was sealed for this session under this id, unless that was too long ago.
    #[must_use]
    pub fn open_key(
        &self,
        session: &LiveSession,
        public_id: &str,
        sealed: &str,
    ) -> Option<PlainApiKey> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let plain = self.key_sealing().open(&sealed, session.account_id())?;
        let mut words = std::str::from_utf8(&plain).ok()?.split(' ');
        let ends: i64 = words.next()?.parse().ok()?;
        let is_theirs = words.next()? == session.row.public_id && words.next()? == public_id;
        let key = PlainApiKey::parse(words.next()?)?;
        (is_theirs && self.now().as_millis() < ends).then_some(key)
    }
}
