//! The job that puts notices of a significant version into the outbox, to everybody who had an
//! account when it was published. How far it is is committed with the mails of each batch, so that
//! it continues there after whatever end.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::job::{Batch, Job, JobError};
use super::pacer::{BatchTime, Pacer};
use super::plan::Plan;
use crate::context::AppContext;
use crate::db::models::outbox::{self, NewMail};
use crate::db::models::policies::{self as rows, PolicyRow};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::mail::{MailKind, PolicyChanged};
use crate::metrics::Metrics;

/// Puts notices into the outbox.
pub(super) struct Notices {
    pacer: Pacer,
    metrics: Arc<Metrics>,
}

/// When [`super::policy_check`] finds that notices are left.
pub(super) fn plan(context: &AppContext) -> Plan {
    let metrics = Arc::clone(&context.metrics);
    Plan::of(move |_| Notices { pacer: Pacer::default(), metrics: Arc::clone(&metrics) })
}

impl Job for Notices {
    const NAME: &'static str = "notices";

    /// Puts the next ones in, of the oldest version that has notices left.
    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError> {
        let size = self.pacer.size();
        let (put, locked_at, worked) = transaction::write(conn, |conn| {
            let locked_at = Instant::now();
            let put = match rows::next_to_notice(conn)? {
                None => None,
                Some(row) => Some((row.kind, put(conn, &row, size, now)?)),
            };
            Ok::<_, DbError>((put, locked_at, locked_at.elapsed()))
        })?;
        let held = locked_at.elapsed();
        let rest = self.pacer.note(conn, BatchTime { worked, held });
        if let Some((kind, mails)) = put {
            self.metrics.policies.count_notices(kind.as_str(), mails);
        }
        Ok(Batch {
            rows: put.map_or(0, |(_, mails)| mails),
            held,
            rest,
            is_last: put.is_none(),
            ..Batch::default()
        })
    }
}

/// How many mails were put in.
fn put(
    conn: &mut AnyConnection,
    row: &PolicyRow,
    size: i64,
    now: UnixMillis,
) -> Result<usize, DbError> {
    let accounts = rows::accounts_to_notice(conn, row, size)?;
    let (policy, number) = (row.kind, row.number);
    let params = serde_json::to_value(PolicyChanged { policy, number }).unwrap_or(json!({}));
    let mut mails = 0_usize;
    for (id, email, closing_at) in &accounts {
        // Who is leaving need not be told.
        if closing_at.is_some() {
            continue;
        }
        let mail = NewMail {
            kind: MailKind::PolicyChanged,
            reference: format!("{policy}/{number}/{}", id.0),
            account_id: Some(*id),
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
