//! How many rows a batch has, and how long to rest after it: found out on the way, so that a job
//! goes as fast as the database bears and no faster.

use std::time::Duration;

use crate::db::AnyConnection;

/// Writer's time that one batch may take, beside its commit.
const BATCH: Duration = Duration::from_millis(5);
/// Rests are as many times as long as the batch before them: so a job takes at most a fifth of
/// SQLite's one writer, and half of the time on PostgreSQL, where only those wait whose accounts
/// are in the batch.
const REST_FACTORS: (u32, u32) = (4, 1);
/// And no shorter than this.
const REST_MIN: Duration = Duration::from_millis(1);
/// Rows in the first batch.
const FIRST_SIZE: i64 = 32;
/// At least and at most.
const SIZES: (i64, i64) = (16, 4096);

/// Paces one run of a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    size: i64,
}

impl Default for Pacer {
    fn default() -> Self {
        Self { size: FIRST_SIZE }
    }
}

impl Pacer {
    /// Rows that the next batch may have.
    #[must_use]
    pub(super) const fn size(self) -> i64 {
        self.size
    }

    /// Notes how long the last batch worked. The next one has half as many rows where that was too
    /// long, and a quarter more where it was short.
    pub(super) fn note(&mut self, worked: Duration) {
        let next = if worked > BATCH {
            self.size / 2
        } else if worked < BATCH / 2 {
            self.size.saturating_add(self.size / 4).saturating_add(1)
        } else {
            self.size
        };
        self.size = next.clamp(SIZES.0, SIZES.1);
    }
}

/// How long to leave the database to others after a batch that took this long.
#[must_use]
pub(super) fn rest_after(conn: &AnyConnection, took: Duration) -> Duration {
    let factor = match conn {
        AnyConnection::Sqlite(_) => REST_FACTORS.0,
        AnyConnection::Postgres(_) => REST_FACTORS.1,
    };
    took.saturating_mul(factor).max(REST_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_find_the_size_that_fits() {
        let next = |size, worked| {
            let mut pacer = Pacer { size };
            pacer.note(worked);
            pacer.size()
        };
        assert_eq!(next(100, Duration::from_millis(6)), 50);
        assert_eq!(next(100, Duration::from_millis(4)), 100);
        assert_eq!(next(100, Duration::from_millis(1)), 126);
        assert_eq!(next(16, Duration::from_secs(1)), 16);
        assert_eq!(next(4096, Duration::ZERO), 4096);
    }
}
