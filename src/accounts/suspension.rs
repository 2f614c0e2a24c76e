//! The operator's word that an account may do nothing for a while: its keys are refused wherever
//! money would be held, on every node, and it may look but change nothing. What is running goes on
//! to its end.

use serde_json::json;

use super::identity::people;
use crate::db::models::accounts;
use crate::db::{AnyConnection, DbError};
use crate::domain::account_status::AccountStatus;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::mail::{MailKind, StandingChanged};

/// Suspends an account or resumes it, and tells its owner; `false` if it stands so already. Must
/// run in a write transaction.
pub fn set(
    conn: &mut AnyConnection,
    id: AccountId,
    status: AccountStatus,
    now: UnixMillis,
) -> Result<bool, DbError> {
    if !accounts::set_status(conn, id, status)? {
        return Ok(false);
    }
    let Some(row) = accounts::get(conn, id)? else { return Ok(false) };
    let params = StandingChanged { is_suspended: status == AccountStatus::Suspended };
    people::send(conn, MailKind::StandingChanged, (Some(id), &row.email), json!(params), now)?;
    Ok(true)
}
