//! A purge: usage rows first, then leftovers, piece by piece. How large a piece may be is found out
//! on the way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::retention::{Limits, RetentionError};
use crate::db::books::Busy;
use crate::db::retention::{self as rows, Leftover};
use crate::db::{AnyConnection, DbError, books, transaction};
use crate::domain::money::NanoUsd;

/// Writer's time that one piece may take, beside its commit.
const PIECE: Duration = Duration::from_millis(5);
/// Rests are as many times as long as the piece before them: so a purge takes at most a fifth of
/// SQLite's one writer, and half of the time on PostgreSQL, where only those wait whose accounts
/// are in the piece.
const REST_FACTORS: (u32, u32) = (4, 1);
/// And no shorter than this.
const REST_MIN: Duration = Duration::from_millis(1);
/// Usage rows in the first piece.
const FIRST_SIZE: i64 = 32;
/// At least and at most.
const SIZES: (i64, i64) = (16, 4096);
/// Leftovers of each kind that go in one piece.
const LEFTOVERS_AT_ONCE: i64 = 200;

/// A purge under way. It may be given up between any two pieces, and another begins where it was.
#[derive(Clone, Debug)]
pub struct Purge {
    limits: Limits,
    size: i64,
    stage: Stage,
    /// When the last usage row that went was made, in milliseconds since the epoch: the next ones
    /// are looked for from there on, and not among the places of those that have gone, which
    /// PostgreSQL's index keeps until it is vacuumed.
    from: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Usage,
    Leftovers,
    Done,
}

/// What one piece came to.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Rows that went, by table.
    pub gone: Vec<(&'static str, usize)>,
    /// How long others could not write.
    pub held: Duration,
    /// How long it is to be left to others.
    pub rest: Duration,
    /// Nothing is left.
    pub is_last: bool,
}

impl Purge {
    /// A purge of what is over by `limits`.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, size: FIRST_SIZE, stage: Stage::Usage, from: None }
    }

    /// Does the next piece.
    ///
    /// # Errors
    /// [`RetentionError`]; nothing of the piece was done.
    pub fn step(&mut self, conn: &mut AnyConnection) -> Result<Piece, RetentionError> {
        let began = Instant::now();
        let mut held = None;
        let gone = match self.stage {
            Stage::Usage => {
                let Deleted { found, rows, last, worked, held: usage_held } =
                    usage(conn, &self.limits, self.from, self.size)?;
                if usize::try_from(self.size).is_ok_and(|size| found < size) {
                    // Rows from before the last place are looked for once more.
                    if self.from.take().is_none() {
                        self.stage = Stage::Leftovers;
                    }
                } else {
                    self.from = last;
                }
                self.size = next_size(self.size, worked);
                held = Some(usage_held);
                vec![("usage_logs", rows)]
            }
            Stage::Leftovers => {
                let gone = leftovers(conn, &self.limits)?;
                if gone.iter().all(|(_, rows)| *rows == 0) {
                    self.stage = Stage::Done;
                }
                gone
            }
            Stage::Done => Vec::new(),
        };
        let took = began.elapsed();
        let (rest, held) = (rest_after(conn, took), held.unwrap_or(took));
        Ok(Piece { gone, held, rest, is_last: self.stage == Stage::Done })
    }
}

/// What a piece of usage rows came to.
#[derive(Default)]
struct Deleted {
    /// How many were there to go; fewer than were asked for means that none are left.
    found: usize,
    /// How many of them went here, and not on another node meanwhile.
    rows: usize,
    /// When the last of them was made.
    last: Option<i64>,
    /// How long others could not write, without the commit, which takes as long for few rows as for
    /// many: on a disk that is slow to sync no size would ever be small enough.
    worked: Duration,
    /// The same with the commit. Neither the search nor the wait for one's turn is in it.
    held: Duration,
}

/// Deletes one piece of old usage rows, at most `size`, with their ledger lines, whose sum becomes
/// part of each account's one carry-forward. Balances are not touched, and the books balance before
/// and after.
///
/// # Errors
/// [`RetentionError`].
fn usage(
    conn: &mut AnyConnection,
    limits: &Limits,
    from: Option<i64>,
    size: i64,
) -> Result<Deleted, RetentionError> {
    let old = rows::old_usage(conn, (from, limits.usage_before), size)?;
    if old.is_empty() {
        return Ok(Deleted::default());
    }
    let mut account_ids: Vec<i64> = old.iter().map(|row| row.account_id).collect();
    account_ids.sort_unstable();
    account_ids.dedup();
    let last = old.last().map(|row| row.created_at);
    let ids: Vec<String> = old.into_iter().map(|row| row.id).collect();
    let (rows, since, worked) = transaction::write(conn, |conn| {
        let since = Instant::now();
        // Whoever settles for these accounts waits, so that no line is changed while it goes.
        books::lock(conn, &account_ids, Busy::Wait)?;
        let mut sums: BTreeMap<i64, NanoUsd> = BTreeMap::new();
        for (account_id, amount) in rows::delete_usage_entries(conn, &ids)? {
            let sum = sums.entry(account_id).or_insert(NanoUsd::ZERO);
            *sum = sum.plus(NanoUsd::from_nanos(amount))?;
        }
        let sums: Vec<_> = sums.into_iter().map(|(id, sum)| (id, sum.as_nanos())).collect();
        rows::carry_forward(conn, &sums, limits.now)?;
        // Another node may have come first.
        let rows = rows::delete_usage(conn, &ids)?;
        Ok::<_, RetentionError>((rows, since, since.elapsed()))
    })?;
    Ok(Deleted { found: ids.len(), rows, last, worked, held: since.elapsed() })
}

/// Deletes one piece of leftovers; says how many of each kind went. All zero means that none are
/// left.
///
/// # Errors
/// [`DbError`].
fn leftovers(
    conn: &mut AnyConnection,
    limits: &Limits,
) -> Result<Vec<(&'static str, usize)>, DbError> {
    let mut gone = Vec::with_capacity(Leftover::ALL.len());
    for kind in Leftover::ALL {
        let count = rows::delete_leftovers(conn, kind, limits.of(kind), LEFTOVERS_AT_ONCE)?;
        gone.push((kind.as_str(), count));
    }
    Ok(gone)
}

/// How long the database is left to others after a piece.
#[must_use]
pub fn rest_after(conn: &AnyConnection, took: Duration) -> Duration {
    let factor = match conn {
        AnyConnection::Sqlite(_) => REST_FACTORS.0,
        AnyConnection::Postgres(_) => REST_FACTORS.1,
    };
    took.saturating_mul(factor).max(REST_MIN)
}

/// How many rows the next piece has. Half as many where a piece took too long, a quarter more where
/// it took little.
#[must_use]
pub fn next_size(size: i64, took: Duration) -> i64 {
    let next = if took > PIECE {
        size / 2
    } else if took < PIECE / 2 {
        size.saturating_add(size / 4).saturating_add(1)
    } else {
        size
    };
    next.clamp(SIZES.0, SIZES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_find_the_size_that_fits() {
        assert_eq!(next_size(100, Duration::from_millis(6)), 50);
        assert_eq!(next_size(100, Duration::from_millis(4)), 100);
        assert_eq!(next_size(100, Duration::from_millis(1)), 126);
        assert_eq!(next_size(16, Duration::from_secs(1)), 16);
        assert_eq!(next_size(4096, Duration::ZERO), 4096);
    }
}
