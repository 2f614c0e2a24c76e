//! Notices of a significant version, to everybody who had an account when it was published: put
//! into the outbox in pieces. How far they are is committed with the mails of each piece, so that
//! it goes on there after whatever end.

use std::time::{Duration, Instant};

use serde_json::json;

use super::purge::{next_size, rest_after};
use crate::db::outbox::{self, NewMail};
use crate::db::policies::{self as rows, PolicyRow};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::mail::{MailKind, PolicyChanged};
use crate::domain::policy::PolicyKind;

/// Accounts in the first piece.
const FIRST_SIZE: i64 = 32;

/// How large the next piece is.
#[derive(Clone, Copy, Debug)]
pub struct Notices {
    size: i64,
}

/// What one piece came to.
#[derive(Clone, Copy, Debug)]
pub struct Put {
    /// Of which text, if any was left to be told of.
    pub kind: Option<PolicyKind>,
    /// Mails that were put into the outbox.
    pub mails: usize,
    /// How long the database was kept busy.
    pub took: Duration,
    /// How long the database is to be left to others.
    pub rest: Duration,
    /// Nothing is left.
    pub is_last: bool,
}

impl Default for Notices {
    fn default() -> Self {
        Self { size: FIRST_SIZE }
    }
}

impl Notices {
    /// Puts the next piece in, of the oldest version that has notices left.
    ///
    /// # Errors
    /// [`DbError`]; nothing of the piece was put in.
    pub fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Put, DbError> {
        let began = Instant::now();
        let size = self.size;
        let put = transaction::write(conn, |conn| {
            let Some(row) = rows::next_to_notice(conn)? else { return Ok(None) };
            let kind = row.kind.parse();
            let kind = kind.map_err(|_| DbError::Unreadable { what: "policy's kind" })?;
            Ok::<_, DbError>(Some((kind, piece(conn, &row, kind, size, now)?)))
        })?;
        let took = began.elapsed();
        self.size = next_size(self.size, took);
        let rest = rest_after(conn, took);
        Ok(match put {
            Some((kind, mails)) => Put { kind: Some(kind), mails, took, rest, is_last: false },
            None => Put { kind: None, mails: 0, took, rest, is_last: true },
        })
    }
}

/// How many mails were put in.
fn piece(
    conn: &mut AnyConnection,
    row: &PolicyRow,
    policy: PolicyKind,
    size: i64,
    now: UnixMillis,
) -> Result<usize, DbError> {
    let accounts = rows::accounts_to_notice(conn, row, size)?;
    let number = row.number;
    let params = serde_json::to_value(PolicyChanged { policy, number }).unwrap_or(json!({}));
    let mut mails = 0_usize;
    for (id, email, closing_at) in &accounts {
        // Who is leaving need not be told.
        if closing_at.is_some() {
            continue;
        }
        let mail = NewMail {
            kind: MailKind::PolicyChanged,
            reference: format!("{policy}/{number}/{id}"),
            account_id: Some(AccountId(*id)),
            recipient: email,
            params: params.clone(),
        };
        if outbox::enqueue(conn, &mail, now)? {
            mails = mails.saturating_add(1);
        }
    }
    let is_last = usize::try_from(size).is_ok_and(|size| accounts.len() < size);
    let reached = accounts.last().map_or(row.noticed_account_id, |(id, ..)| *id);
    let put = i64::try_from(mails).unwrap_or(i64::MAX);
    rows::advance(conn, row.id, (reached, put), is_last.then_some(now))?;
    Ok(mails)
}
