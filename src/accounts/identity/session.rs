//! A session, and what it may do.

use super::AuthError;
use crate::db::AnyConnection;
use crate::db::models::accounts;
use crate::db::models::sessions::{self, SessionRow};
use crate::domain::account_status::AccountStatus;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::secret_token::SecretToken;
use crate::domain::unprintable::unprintable;

/// A session that has just begun: the only time that its token is known in clear.
pub struct OpenedSession {
    /// What its holder shows from now on.
    pub token: SecretToken,
    /// Its public name.
    pub public_id: String,
    /// When it ends at the latest.
    pub expires_at: UnixMillis,
}

unprintable!(OpenedSession);

/// A session in force.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// The session.
    pub row: SessionRow,
    /// The account has been suspended: it may look, and ask why.
    pub is_suspended: bool,
    /// Since when the account is about to be deleted: it may be kept after all, and nothing else.
    pub closing_at: Option<UnixMillis>,
}

impl LiveSession {
    /// Who is logged in.
    #[must_use]
    pub const fn account_id(&self) -> AccountId {
        self.row.account_id
    }

    /// Whether it may see what is the account's.
    ///
    /// # Errors
    /// [`AuthError::Closing`].
    pub const fn may_look(&self) -> Result<(), AuthError> {
        if self.closing_at.is_some() { Err(AuthError::Closing) } else { Ok(()) }
    }

    /// Whether it may change what is the account's.
    ///
    /// # Errors
    /// [`AuthError::Closing`] or [`AuthError::Suspended`].
    pub fn may_change(&self) -> Result<(), AuthError> {
        self.may_look()?;
        if self.is_suspended { Err(AuthError::Suspended) } else { Ok(()) }
    }

    /// The same once more for one that was recognised again: what it might change before, it may
    /// still.
    ///
    /// # Errors
    /// As [`LiveSession::may_change`].
    pub fn stands_as(&self, before: &Self) -> Result<(), AuthError> {
        if before.may_change().is_ok() { self.may_change() } else { Ok(()) }
    }

    /// Makes sure that it is still in force and may change what is the account's, and holds the
    /// account. Belongs into the transaction that makes the change: between recognition and that, a
    /// request may take long.
    ///
    /// # Errors
    /// [`AuthError::SessionEnded`], and as [`LiveSession::may_change`].
    pub fn hold(&self, conn: &mut AnyConnection) -> Result<(), AuthError> {
        accounts::lock(conn, self.account_id())?;
        let standing = sessions::standing(conn, &self.row)?;
        let (status, closing_at) = standing.ok_or(AuthError::SessionEnded)?;
        live(self.row.clone(), status, closing_at).may_change()
    }
}

pub(super) fn live(
    row: SessionRow,
    status: AccountStatus,
    closing_at: Option<UnixMillis>,
) -> LiveSession {
    LiveSession { row, is_suspended: !status.is_active(), closing_at }
}
