//! The operator's word that an account may do nothing for a while: its keys are refused wherever
//! money would be held, on every node, and it may look but change nothing. What is running goes on
//! to its end.

use serde_json::json;

use super::identity::people;
use crate::db::{AnyConnection, DbError, accounts};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::mail::{MailKind, StandingChanged};

/// How an account stands by the operator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may do what its credit covers.
    Active,
    /// It may look.
    Suspended,
}

impl Standing {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// Suspends an account or resumes it, and tells its owner; `false` if it stands so already. Must
/// run in a write transaction.
///
/// # Errors
/// [`DbError`].
pub fn set(
    conn: &mut AnyConnection,
    id: AccountId,
    standing: Standing,
    now: UnixMillis,
) -> Result<bool, DbError> {
    if !accounts::set_status(conn, id, standing.as_str())? {
        return Ok(false);
    }
    let Some(row) = accounts::get(conn, id)? else { return Ok(false) };
    let params = StandingChanged { is_suspended: standing == Standing::Suspended };
    people::send(conn, MailKind::StandingChanged, (Some(id), &row.email), json!(params), now)?;
    Ok(true)
}
