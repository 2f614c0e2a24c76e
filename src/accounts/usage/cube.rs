//! An account's usage by time, model and key: read once, and summed up as a page needs it.

use super::{LineOf, Sums};
use crate::db::models::api_keys::{self, ApiKeyRow};
use crate::db::models::usage_cube::{self, CubeRow};
use crate::db::models::usage_logs::{SumsBy, UsageFilter};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::reader_zone::ReaderZone;

/// Characters with which an id must begin, `req_` included, to be looked for by its beginning: the
/// requests of all accounts that share so many are of a few milliseconds.
pub const BEGINNING_MIN: usize = 12;

/// A row of local time: so many buckets, each of the same length on a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Length of one.
    pub millis: i64,
    /// Number of the first one since the epoch, by local clocks.
    pub first: i64,
    /// How many.
    pub length: i64,
}

impl Buckets {
    /// Those from one moment until before another.
    #[must_use]
    pub fn of(zone: ReaderZone, millis: i64, (from, to): (UnixMillis, UnixMillis)) -> Self {
        let number = |at| zone.local_millis(at).div_euclid(millis);
        let (first, last) = (number(from), number(to.plus_millis(-1)));
        Self { millis, first, length: last.saturating_sub(first).saturating_add(1) }
    }
}

/// One line of sums over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CubeLine {
    /// Whose.
    pub of: LineOf,
    /// Over all buckets.
    pub total: Sums,
    /// For each bucket, in their order.
    pub buckets: Vec<Sums>,
}

/// See the module.
pub struct UsageCube {
    rows: Vec<CubeRow>,
}

impl UsageCube {
    /// The usage that a filter lets pass, by local buckets of that length.
    pub fn read(
        conn: &mut AnyConnection,
        filter: &UsageFilter,
        zone: ReaderZone,
        bucket_millis: i64,
    ) -> Result<Self, DbError> {
        Ok(Self::of(usage_cube::sums(conn, filter, zone, bucket_millis)?))
    }

    /// A cube of these sums.
    #[must_use]
    pub const fn of(rows: Vec<CubeRow>) -> Self {
        Self { rows }
    }

    /// The sums of some buckets.
    #[must_use]
    pub fn total(&self, first: i64, last: i64) -> Sums {
        let mut total = Sums::default();
        for row in self.rows.iter().filter(|row| (first..=last).contains(&row.bucket)) {
            total.add_row(row);
        }
        total
    }

    /// The first bucket in which something was used.
    #[must_use]
    pub fn first_used(&self) -> Option<i64> {
        self.rows.iter().map(|row| row.bucket).min()
    }

    /// The sums of some buckets, told apart by model or key, in no order.
    #[must_use]
    pub fn lines(&self, by: SumsBy, buckets: Buckets, keys: &[ApiKeyRow]) -> Vec<CubeLine> {
        let mut lines: Vec<CubeLine> = Vec::new();
        for row in &self.rows {
            let place = row.bucket.saturating_sub(buckets.first);
            let Ok(place) = usize::try_from(place) else { continue };
            if row.bucket >= buckets.first.saturating_add(buckets.length) {
                continue;
            }
            let of = match by {
                SumsBy::Total => LineOf::Total,
                SumsBy::Model => LineOf::Model(row.model.clone()),
                SumsBy::Key => key_of(row, keys),
            };
            let at = lines.iter().position(|line| line.of == of).unwrap_or(lines.len());
            if at == lines.len() {
                let each = (0..buckets.length).map(|_| Sums::default()).collect();
                lines.push(CubeLine { of, total: Sums::default(), buckets: each });
            }
            let Some(line) = lines.get_mut(at) else { continue };
            line.total.add_row(row);
            if let Some(sums) = line.buckets.get_mut(place) {
                sums.add_row(row);
            }
        }
        lines
    }
}

fn key_of(row: &CubeRow, keys: &[ApiKeyRow]) -> LineOf {
    let known = keys.iter().find(|key| key.id == row.api_key_id);
    known.map_or(LineOf::Other, |key| LineOf::Key {
        id: key.public_id.clone(),
        name: key.name.clone(),
    })
}

/// What looking for a request by its id has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundId {
    /// There is one.
    One(String),
    /// Several begin so.
    Several,
    /// None does.
    Nothing,
    /// Too little to look for.
    TooShort,
}

/// Looks for an account's request by its id, or by how that begins.
pub fn find_id(
    conn: &mut AnyConnection,
    account_id: AccountId,
    text: &str,
) -> Result<FoundId, DbError> {
    let is_id =
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !is_id || text.len() > 64 {
        return Ok(FoundId::Nothing);
    }
    if let Some(found) = crate::db::models::usage_logs::find(conn, account_id, text)? {
        return Ok(FoundId::One(found.row.id));
    }
    if text.len() < BEGINNING_MIN || !text.starts_with("req_") {
        return Ok(FoundId::TooShort);
    }
    let mut ids = usage_cube::beginning_with(conn, account_id, text)?;
    Ok(match (ids.pop(), ids.pop()) {
        (Some(id), None) => FoundId::One(id),
        (Some(_), Some(_)) => FoundId::Several,
        (None, _) => FoundId::Nothing,
    })
}

/// The keys of an account, for the names of lines.
pub fn keys(conn: &mut AnyConnection, account_id: AccountId) -> Result<Vec<ApiKeyRow>, DbError> {
    api_keys::of_account(conn, account_id)
}
