//! `sluice policy publish`: a version comes about. A repeated command changes nothing.

use super::{PolicyError, PolicyVersions, hash_of};
use crate::db::models::policies::{self as rows, NewPolicy, PolicyRow};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::policy::{PolicyKind, PolicyVersion};

/// Characters of the operator's words at most: they stand in a mail.
pub const WORDS_CHARS_MAX: usize = 10_000;
/// Days from today to a version's day at most.
const DAYS_AHEAD_MAX: i64 = 366;

/// What is to be published.
pub struct PolicyDraft<'a> {
    /// Which text.
    pub kind: PolicyKind,
    /// The operator's words on what changes.
    pub words: &'a str,
    /// The whole text.
    pub body: &'a str,
    /// From which day on; `None` is today, or after `notice_days` for what is significant.
    pub in_force: Option<UtcDay>,
    /// Whether everybody is told by mail.
    pub is_significant: bool,
    /// Days from the announcement of what is significant to its coming into force.
    pub notice_days: u32,
}

/// What came of it.
pub enum Published {
    /// A new version.
    Now(PolicyRow),
    /// It was published before.
    Before(PolicyRow),
}

/// Publishes a version.
///
/// # Errors
/// [`PolicyError`]; then nothing was published.
pub fn publish(
    conn: &mut AnyConnection,
    draft: &PolicyDraft<'_>,
    now: UnixMillis,
) -> Result<Published, PolicyError> {
    let words = plain(draft.words)?;
    let body_hash = hash_of(draft.body);
    transaction::write(conn, |conn| {
        let known = rows::all(conn, draft.kind)?;
        let next = known.iter().map(|row| row.number).max().unwrap_or(0).saturating_add(1);
        let is_same = |row: &&PolicyRow| row.words == words && row.body_hash == body_hash;
        if let Some(row) = known.iter().find(is_same) {
            let is_other_day = draft.in_force.is_some_and(|day| day != row.in_force());
            if is_other_day || draft.is_significant != row.is_significant {
                return Err(PolicyError::SaidAlready(draft.version(row.number)));
            }
            return Ok(Published::Before(row.clone()));
        }
        let in_force = day(draft, PolicyVersions::of(known, now).in_force.as_ref(), now)?;
        let version = draft.version(next);
        let is_significant = draft.is_significant;
        let (words, body, body_hash) = (words.as_str(), draft.body, &body_hash);
        let new = NewPolicy { version, in_force, is_significant, words, body, body_hash };
        rows::create(conn, &new, now)?;
        let row = rows::get(conn, version)?.ok_or(DbError::Query(diesel::NotFound))?;
        Ok(Published::Now(row))
    })
}

impl PolicyDraft<'_> {
    const fn version(&self, number: i64) -> PolicyVersion {
        PolicyVersion { kind: self.kind, number }
    }
}

/// The day from which it is in force, if it can be.
fn day(
    draft: &PolicyDraft<'_>,
    in_force: Option<&PolicyRow>,
    now: UnixMillis,
) -> Result<UtcDay, PolicyError> {
    let today = now.day();
    let usual = today.plus(if draft.is_significant { draft.notice_days.into() } else { 0 });
    let day = draft.in_force.unwrap_or(usual);
    if draft.is_significant && day <= today {
        return Err(PolicyError::TooSoon(today));
    }
    if day.days_since(today) > DAYS_AHEAD_MAX {
        return Err(PolicyError::TooFar(day));
    }
    match in_force {
        Some(row) if day < row.in_force() => Err(PolicyError::NeverInForce {
            version: draft.version(row.number),
            in_force: row.in_force(),
        }),
        _ => Ok(day),
    }
}

/// The words with line ends of one kind and nothing around them.
fn plain(words: &str) -> Result<String, PolicyError> {
    let words = words.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    for (number, line) in words.lines().enumerate() {
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(PolicyError::Control(number.saturating_add(1)));
        }
    }
    let words = words.trim();
    if words.is_empty() {
        return Err(PolicyError::NoWords);
    }
    if words.chars().count() > WORDS_CHARS_MAX {
        return Err(PolicyError::TooManyWords);
    }
    Ok(words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_plain_text_of_some_length() {
        assert_eq!(plain("\u{feff} One.\r\n\r\nTwo.\n").unwrap(), "One.\n\nTwo.");
        assert!(matches!(plain(" \n\t\r\n"), Err(PolicyError::NoWords)));
        assert!(matches!(plain("One.\n\u{1b}[31mTwo."), Err(PolicyError::Control(2))));
        assert!(matches!(plain("One.\rTwo."), Err(PolicyError::Control(1))));
        assert!(plain(&"ä".repeat(WORDS_CHARS_MAX)).is_ok());
        let many = "ä".repeat(WORDS_CHARS_MAX + 1);
        assert!(matches!(plain(&many), Err(PolicyError::TooManyWords)));
    }
}
