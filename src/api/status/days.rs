//! The history of the service, in minutes of UTC days: how it is counted, and what is known of it.
//! Nothing is known of time in which nobody looked, and it is never called well.

use crate::db::models::nodes;
use crate::db::models::status_days::{self, StatusDay};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::{UnixMillis, UtcDay};

/// Days that are shown, today included.
pub const DAYS_SHOWN: i64 = 90;
/// Days after which rows are deleted.
const DAYS_KEPT: i64 = 100;

/// A part of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusPart {
    /// Requests for messages.
    Api,
    /// The pages, and everything on them.
    Pages,
    /// Email.
    Mail,
    /// Deposits on a chain, by its name.
    Chain(String),
}

impl StatusPart {
    /// As the database has it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Api => "api".to_owned(),
            Self::Pages => "pages".to_owned(),
            Self::Mail => "mail".to_owned(),
            Self::Chain(name) => format!("chain:{name}"),
        }
    }
}

/// Minutes that could not be written down when they passed, by their day.
#[derive(Clone, Debug, Default)]
pub struct MissedMinutes(Vec<(UtcDay, i64)>);

impl MissedMinutes {
    /// Adds one.
    pub fn add(&mut self, day: UtcDay) {
        match self.0.last_mut() {
            Some((last, minutes)) if *last == day => *minutes = minutes.saturating_add(1),
            _ => self.0.push((day, 1)),
        }
    }
}

/// Counts a minute for each part, well or not, and those that were missed for the parts that need
/// the database. One node of several counts.
///
/// # Errors
/// Storage's; then nothing was counted.
pub fn count(
    conn: &mut AnyConnection,
    node_id: &str,
    (parts, missed): (&[(StatusPart, bool)], &MissedMinutes),
    now: UnixMillis,
) -> Result<(), DbError> {
    if nodes::first(conn, now)?.is_some_and(|first| first != node_id) {
        return Ok(());
    }
    transaction::write(conn, |conn| {
        for (part, is_well) in parts {
            let bad = i64::from(!is_well);
            status_days::add(conn, now.day(), &part.name(), (1, bad))?;
        }
        for part in [StatusPart::Api, StatusPart::Pages] {
            for (day, minutes) in &missed.0 {
                status_days::add(conn, *day, &part.name(), (*minutes, *minutes))?;
            }
        }
        status_days::forget(conn, now.day().plus(-DAYS_KEPT))
    })
}

/// What is known of one part on the days that are shown, the oldest first; `None` for a day on
/// which nobody looked.
#[must_use]
pub fn history(rows: &[StatusDay], part: &StatusPart, today: UtcDay) -> Vec<Option<StatusDay>> {
    let name = part.name();
    (0..DAYS_SHOWN)
        .rev()
        .map(|ago| {
            let day = today.plus(-ago).number();
            let of = |row: &&StatusDay| row.part == name && row.day == day && row.minutes_seen > 0;
            rows.iter().find(of).cloned()
        })
        .collect()
}
