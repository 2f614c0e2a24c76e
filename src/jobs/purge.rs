//! The job that deletes what is over: usage rows first, then leftovers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::job::{Batch, Job, JobError};
use super::pacer::{self, Pacer};
use super::plan::Plan;
use super::retention::Cutoffs;
use crate::context::AppContext;
use crate::db::books::Busy;
use crate::db::retention::{self as rows, Expirable};
use crate::db::{AnyConnection, DbError, books, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;

/// Leftovers of each kind that go in one batch.
const LEFTOVERS_AT_ONCE: i64 = 200;

/// A purge under way.
#[derive(Clone, Debug)]
pub struct Purge {
    limits: Cutoffs,
    pacer: Pacer,
    stage: PurgeStage,
    /// When the last usage row that went was made: the next ones
    /// are looked for from there on, and not among the places of those that have gone, which
    /// PostgreSQL's index keeps until it is vacuumed.
    from: Option<UnixMillis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PurgeStage {
    Usage,
    Leftovers,
    Done,
}

/// At the start and each day.
pub(super) fn plan(context: &AppContext) -> Plan {
    let settings = context.settings.privacy.clone();
    let at = settings.purge_at;
    Plan::of(move |now| Purge::new(Cutoffs::at(&settings, now))).at_start().daily(at)
}

impl Purge {
    /// A purge of what is over by `limits`.
    #[must_use]
    pub fn new(limits: Cutoffs) -> Self {
        Self { limits, pacer: Pacer::default(), stage: PurgeStage::Usage, from: None }
    }

    /// Deletes a batch of usage rows; with how many went, and how long others could not write.
    fn usage(&mut self, conn: &mut AnyConnection) -> Result<(usize, Duration), JobError> {
        let size = self.pacer.size();
        let deleted = usage(conn, &self.limits, self.from, size)?;
        if usize::try_from(size).is_ok_and(|size| deleted.found < size) {
            // Rows from before the last place are looked for once more.
            if self.from.take().is_none() {
                self.stage = PurgeStage::Leftovers;
            }
        } else {
            self.from = deleted.last;
        }
        self.pacer.note(deleted.worked);
        Ok((deleted.rows, deleted.held))
    }
}

impl Job for Purge {
    const NAME: &'static str = "purge";

    fn step(&mut self, conn: &mut AnyConnection, _: UnixMillis) -> Result<Batch, JobError> {
        let began = Instant::now();
        let mut held = None;
        let deleted = match self.stage {
            PurgeStage::Usage => {
                let (rows, usage_held) = self.usage(conn)?;
                held = Some(usage_held);
                vec![("usage_logs", rows)]
            }
            PurgeStage::Leftovers => {
                let deleted = leftovers(conn, &self.limits)?;
                if deleted.iter().all(|(_, rows)| *rows == 0) {
                    self.stage = PurgeStage::Done;
                }
                deleted
            }
            PurgeStage::Done => Vec::new(),
        };
        let took = began.elapsed();
        Ok(Batch {
            rows: deleted.iter().map(|(_, rows)| *rows).sum(),
            deleted,
            held: held.unwrap_or(took),
            rest: pacer::rest_after(conn, took),
            is_last: self.stage == PurgeStage::Done,
            ..Batch::default()
        })
    }
}

/// What a batch of usage rows came to.
#[derive(Default)]
struct Deleted {
    /// How many were there to go; fewer than were asked for means that none are left.
    found: usize,
    /// How many of them went here, and not on another node meanwhile.
    rows: usize,
    /// When the last of them was made.
    last: Option<UnixMillis>,
    /// How long others could not write, without the commit, which takes as long for few rows as for
    /// many: on a disk that is slow to sync no size would ever be small enough.
    worked: Duration,
    /// The same with the commit. Neither the search nor the wait for one's turn is in it.
    held: Duration,
}

/// Deletes one batch of old usage rows, at most `size`, with their ledger lines, whose sum becomes
/// part of each account's one carry-forward. Balances are not touched, and the books balance before
/// and after.
fn usage(
    conn: &mut AnyConnection,
    limits: &Cutoffs,
    from: Option<UnixMillis>,
    size: i64,
) -> Result<Deleted, JobError> {
    let old = rows::old_usage(conn, (from, limits.usage_before), size)?;
    if old.is_empty() {
        return Ok(Deleted::default());
    }
    let mut account_ids: Vec<AccountId> = old.iter().map(|row| row.account_id).collect();
    account_ids.sort_unstable();
    account_ids.dedup();
    let last = old.last().map(|row| row.created_at);
    let ids: Vec<String> = old.into_iter().map(|row| row.id).collect();
    let (rows, since, worked) = transaction::write(conn, |conn| {
        let since = Instant::now();
        // Whoever settles for these accounts waits, so that no line is changed while it goes.
        books::lock(conn, &account_ids, Busy::Wait)?;
        let mut sums: BTreeMap<AccountId, NanoUsd> = BTreeMap::new();
        for (account_id, amount) in rows::delete_usage_entries(conn, &ids)? {
            let sum = sums.entry(account_id).or_insert(NanoUsd::ZERO);
            *sum = sum.plus(amount)?;
        }
        let sums: Vec<_> = sums.into_iter().collect();
        rows::carry_forward(conn, &sums, limits.now)?;
        // Another node may have come first.
        let rows = rows::delete_usage(conn, &ids)?;
        Ok::<_, JobError>((rows, since, since.elapsed()))
    })?;
    Ok(Deleted { found: ids.len(), rows, last, worked, held: since.elapsed() })
}

/// Deletes one batch of leftovers; says how many of each kind went. All zero means that none are
/// left.
fn leftovers(
    conn: &mut AnyConnection,
    limits: &Cutoffs,
) -> Result<Vec<(&'static str, usize)>, DbError> {
    let mut gone = Vec::with_capacity(Expirable::ALL.len());
    for kind in Expirable::ALL {
        let count = rows::delete_leftovers(conn, kind, limits.of(kind), LEFTOVERS_AT_ONCE)?;
        gone.push((kind.as_str(), count));
    }
    Ok(gone)
}
