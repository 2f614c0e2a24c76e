//! How each part of the service did on a UTC day, in minutes: rows and queries. A minute that
//! nobody looked at is in no row.

use diesel::prelude::*;

use crate::db::schema::status_days;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::UtcDay;

/// One part on one day.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = status_days)]
pub struct StatusDay {
    /// The part, such as `api` or `chain:base`.
    pub part: String,
    /// The number of the day: see [`UtcDay::number`].
    pub day: i64,
    /// Minutes in which it was looked at.
    pub minutes_seen: i64,
    /// Those among them in which it was not well.
    pub minutes_bad: i64,
}

/// Adds minutes of a part to a day.
pub fn add(
    conn: &mut AnyConnection,
    day: UtcDay,
    part: &str,
    (seen, bad): (i64, i64),
) -> Result<(), DbError> {
    let row = (
        status_days::part.eq(part),
        status_days::day.eq(day.number()),
        status_days::minutes_seen.eq(seen),
        status_days::minutes_bad.eq(bad),
    );
    let more = (
        status_days::minutes_seen.eq(status_days::minutes_seen + seen),
        status_days::minutes_bad.eq(status_days::minutes_bad + bad),
    );
    on_either!(conn => diesel::insert_into(status_days::table)
        .values(row)
        .on_conflict((status_days::part, status_days::day))
        .do_update()
        .set(more)
        .execute(conn))?;
    Ok(())
}

/// All rows from a day on, by part and day.
pub fn since(conn: &mut AnyConnection, day: UtcDay) -> Result<Vec<StatusDay>, DbError> {
    let rows = status_days::table
        .filter(status_days::day.ge(day.number()))
        .order((status_days::part, status_days::day))
        .select(StatusDay::as_select())
        .load(conn)?;
    Ok(rows)
}

/// Deletes what is from before a day.
pub fn forget(conn: &mut AnyConnection, before: UtcDay) -> Result<(), DbError> {
    diesel::delete(status_days::table.filter(status_days::day.lt(before.number())))
        .execute(conn)?;
    Ok(())
}
