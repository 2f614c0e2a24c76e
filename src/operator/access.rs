//! What an owner logs in with, for support: a lost second factor, a forgotten password, sessions
//! that have to end. What a link or a code opens is shown to nobody.

use super::{Act, OperatorError};
use crate::accounts::identity::{reset, totp};
use crate::db::models::audit::{self, Decision};
use crate::db::models::{accounts, sessions};
use crate::db::{AnyConnection, transaction};
use crate::domain::ids::AccountId;

/// Turns off a second factor that its owner has lost, with its recovery codes. Ends all sessions
/// and whatever else was begun with it, and tells the owner.
///
/// # Errors
/// [`OperatorError::NoSecondFactor`] and storage.
pub fn reset_second_factor(
    conn: &mut AnyConnection,
    id: AccountId,
    act: Act<'_>,
) -> Result<(), OperatorError> {
    transaction::write(conn, |conn| {
        if !totp::remove_lost(conn, id, act.now)? {
            return Err(OperatorError::NoSecondFactor);
        }
        let decision = Decision::of_account("second_factor_reset", id, act.reason.as_str());
        Ok(audit::write(conn, &decision, act.now)?)
    })
}

/// Queues the mail that leads to a new password, whatever the limits on mails to one address say.
///
/// # Errors
/// [`OperatorError::AccountGone`] and storage.
pub fn send_reset(
    conn: &mut AnyConnection,
    id: AccountId,
    act: Act<'_>,
) -> Result<(), OperatorError> {
    transaction::write(conn, |conn| {
        let account = accounts::get(conn, id)?.ok_or(OperatorError::AccountGone)?;
        reset::send(conn, &account.email, act.now)?;
        let decision = Decision::of_account("password_reset_sent", id, act.reason.as_str());
        Ok(audit::write(conn, &decision, act.now)?)
    })
}

/// Logs an owner out everywhere, and says how many sessions were in force. API keys go on.
///
/// # Errors
/// Storage.
pub fn end_sessions(
    conn: &mut AnyConnection,
    id: AccountId,
    act: Act<'_>,
) -> Result<usize, OperatorError> {
    transaction::write(conn, |conn| {
        accounts::lock(conn, id)?;
        let in_force = sessions::of_account(conn, id, act.now)?.len();
        sessions::end_all(conn, id)?;
        let decision = Decision::of_account("sessions_ended", id, act.reason.as_str());
        audit::write(conn, &decision, act.now)?;
        Ok(in_force)
    })
}
