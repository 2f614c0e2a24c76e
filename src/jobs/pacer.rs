//! How many rows a batch has, and how long to rest after it: found out on the way, so that a job
//! goes as fast as the database and those who use it bear.

use std::time::{Duration, Instant};

use crate::db::AnyConnection;

/// For how long nobody may have used the database until a job counts as alone with it.
const ALONE_AFTER: Duration = Duration::from_secs(10);
/// No rest is shorter than this.
const REST_MIN: Duration = Duration::from_millis(1);
/// Rows in the first batch.
const FIRST_SIZE: i64 = 32;
/// Rows in a batch, at least and at most.
const SIZES: (i64, i64) = (16, 4096);

/// What batches may take, on one database and beside others or alone.
#[derive(Clone, Copy, Debug)]
struct BatchAllowance {
    /// For how long a batch may work under its lock, beside its commit.
    work: Duration,
    /// The same where a commit takes more than three times as long as that.
    work_max: Duration,
    /// Rests are as many times as long as others could not write.
    rest_factor: u32,
}

impl BatchAllowance {
    /// On `SQLite`, whose one writer everybody waits for. A commit writes a page or two for each
    /// row and takes longer than the work. Somebody who meets a lock looks again after 1 ms,
    /// then 2, then 5 and so on: alone too, a rest has to be as long as the pause between two
    /// looks.
    const fn sqlite(is_alone: bool) -> Self {
        let long = Duration::from_millis(5);
        if is_alone {
            Self { work: long, work_max: long, rest_factor: 1 }
        } else {
            Self { work: Duration::from_millis(1), work_max: long, rest_factor: 3 }
        }
    }

    /// On PostgreSQL, where only those wait whose accounts are in the batch, and are woken.
    const fn postgres(is_alone: bool) -> Self {
        let work = Duration::from_millis(if is_alone { 40 } else { 5 });
        Self { work, work_max: work, rest_factor: if is_alone { 0 } else { 1 } }
    }

    const fn of(conn: &AnyConnection, is_alone: bool) -> Self {
        match conn {
            AnyConnection::Sqlite(_) => Self::sqlite(is_alone),
            AnyConnection::Postgres(_) => Self::postgres(is_alone),
        }
    }

    /// For how long a batch may work whose commit takes so long. On a disk that is slow to sync a
    /// commit takes as long for few rows as for many, and no size would ever be small enough.
    fn work_beside(self, commit: Duration) -> Duration {
        self.work.max(commit / 3).min(self.work_max)
    }
}

/// How long others could not write because of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BatchTime {
    /// Until its commit began.
    pub(super) worked: Duration,
    /// Until its commit was done.
    pub(super) held: Duration,
}

/// Paces one run of a job.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    /// Rows that a batch may have beside others, and alone.
    sizes: [i64; 2],
    is_alone: bool,
    newest: Option<String>,
    /// Since when nobody has used the database, as far as is known.
    unused_since: Option<Instant>,
}

impl Default for Pacer {
    fn default() -> Self {
        Self { sizes: [FIRST_SIZE; 2], is_alone: false, newest: None, unused_since: None }
    }
}

impl Pacer {
    /// Notes what the newest exchange of the database is: while it stays the same, nobody seems to
    /// use it.
    pub(super) fn look(&mut self, newest: Option<String>, now: Instant) {
        if self.unused_since.is_none() || self.newest != newest {
            self.unused_since = Some(now);
            self.newest = newest;
        }
        let unused = self.unused_since.map(|since| now.saturating_duration_since(since));
        self.is_alone = unused.is_some_and(|unused| unused >= ALONE_AFTER);
    }

    /// Rows that the next batch may have.
    #[must_use]
    pub(super) const fn size(&self) -> i64 {
        let [beside, alone] = self.sizes;
        if self.is_alone { alone } else { beside }
    }

    /// Notes how long the last batch took, and says how long to leave the database to others. The
    /// next batch has half as many rows where it worked for too long, and a quarter more where it
    /// was short.
    pub(super) fn note(&mut self, conn: &AnyConnection, time: BatchTime) -> Duration {
        let allowed = BatchAllowance::of(conn, self.is_alone);
        let [beside, alone] = &mut self.sizes;
        let size = if self.is_alone { alone } else { beside };
        let limit = allowed.work_beside(time.held.saturating_sub(time.worked));
        *size = next_size(*size, time.worked, limit);
        rest(time.held, allowed.rest_factor)
    }
}

fn next_size(size: i64, worked: Duration, limit: Duration) -> i64 {
    let next = if worked > limit {
        size / 2
    } else if worked < limit / 2 {
        size.saturating_add(size / 4).saturating_add(1)
    } else {
        size
    };
    next.clamp(SIZES.0, SIZES.1)
}

fn rest(held: Duration, factor: u32) -> Duration {
    held.saturating_mul(factor).max(REST_MIN)
}

/// How long to leave the database to others after a batch of a job that takes no notice of them.
#[must_use]
pub(super) fn rest_after(conn: &AnyConnection, took: Duration) -> Duration {
    rest(took, BatchAllowance::of(conn, false).rest_factor)
}

#[cfg(test)]
mod tests {
    use diesel::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn batches_find_the_size_that_fits() {
        let next = |size, worked| next_size(size, worked, 5 * MS);
        assert_eq!(next(100, 6 * MS), 50);
        assert_eq!(next(100, 4 * MS), 100);
        assert_eq!(next(100, MS), 126);
        assert_eq!(next(16, Duration::from_secs(1)), 16);
        assert_eq!(next(4096, Duration::ZERO), 4096);
    }

    #[test]
    fn a_slow_sync_allows_longer_work_up_to_a_limit() {
        let allowed = BatchAllowance::sqlite(false);
        assert_eq!(allowed.work_beside(2 * MS), MS);
        assert_eq!(allowed.work_beside(12 * MS), 4 * MS);
        assert_eq!(allowed.work_beside(Duration::from_secs(1)), 5 * MS);
    }

    #[test]
    fn batches_grow_when_nobody_else_writes_and_are_as_before_when_somebody_does() {
        let (mut pacer, start) = (Pacer::default(), Instant::now());
        let conn = AnyConnection::Sqlite(SqliteConnection::establish(":memory:").unwrap());
        let quick = BatchTime { worked: 2 * MS, held: 4 * MS };
        let look = |pacer: &mut Pacer, newest: &str, secs| {
            pacer.look(Some(newest.to_owned()), start + Duration::from_secs(secs));
        };
        look(&mut pacer, "req_1", 0);
        assert_eq!(pacer.note(&conn, quick), 12 * MS);
        let beside = pacer.size();
        look(&mut pacer, "req_1", 9);
        assert_eq!(pacer.size(), beside);
        look(&mut pacer, "req_1", 10);
        assert_eq!(pacer.note(&conn, quick), 4 * MS);
        assert!(pacer.size() > beside);
        look(&mut pacer, "req_2", 11);
        assert_eq!(pacer.size(), beside);
        assert_eq!(pacer.note(&conn, quick), 12 * MS);
        look(&mut pacer, "req_2", 20);
        assert_eq!(pacer.note(&conn, quick), 12 * MS);
    }
}
