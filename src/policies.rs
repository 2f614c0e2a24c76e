//! Versions of the policy and the terms: published by the operator with words on what they change,
//! kept with the whole text, and told to everybody where they matter. How a text comes about is the
//! website's business.

mod publish;

use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::db::models::policies::{self as rows, PolicyRow};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::policy::{PolicyKind, PolicyVersion};

pub use publish::{PolicyDraft, Published, WORDS_CHARS_MAX, publish};

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// There are no words.
    #[error("the summary is empty: describe what changes")]
    NoWords,
    /// There are too many.
    #[error(
        "the summary has more than {WORDS_CHARS_MAX} characters and does not fit into an email"
    )]
    TooManyWords,
    /// They hold something that is no text.
    #[error("the summary has a control character in line {0}: write plain text")]
    Control(usize),
    /// Whoever has an account is told beforehand.
    #[error(
        "a significant change must be announced before it is in force: choose a day after today, \
         {0}"
    )]
    TooSoon(UtcDay),
    /// Probably a slip.
    #[error("{0} is more than a year away")]
    TooFar(UtcDay),
    /// A version that is in force is not overtaken from behind.
    #[error("{version} has been in force since {in_force}: an earlier version would never apply")]
    NeverInForce {
        /// What is in force.
        version: PolicyVersion,
        /// And since when.
        in_force: UtcDay,
    },
    /// The same text with the same words, otherwise.
    #[error(
        "{0} has the same text and the same summary, and differs only in its day or significance: \
         change the summary to publish it again"
    )]
    SaidAlready(PolicyVersion),
    /// Storage.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// For transactions, which begin and commit with it.
impl From<diesel::result::Error> for PolicyError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Which versions of a text count at a moment.
pub struct PolicyVersions {
    /// What is in force; `None` if no version is.
    pub in_force: Option<PolicyRow>,
    /// What is announced, the nearest first.
    pub announced: Vec<PolicyRow>,
    /// What was in force before, or never was, the newest first.
    pub earlier: Vec<PolicyRow>,
}

impl PolicyVersions {
    /// Reads it.
    pub fn at(
        conn: &mut AnyConnection,
        kind: PolicyKind,
        now: UnixMillis,
    ) -> Result<Self, DbError> {
        Ok(Self::of(rows::all(conn, kind)?, now))
    }

    /// Sorts all versions of a text. Of two for one day the later one counts.
    fn of(mut rows: Vec<PolicyRow>, now: UnixMillis) -> Self {
        rows.sort_by_key(|row| std::cmp::Reverse((row.in_force_at, row.number)));
        let (mut announced, mut past): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.in_force_at > now);
        announced.reverse();
        let earlier = past.split_off(past.len().min(1));
        Self { in_force: past.pop(), announced, earlier }
    }
}

/// SHA-256 of a text.
#[must_use]
pub fn hash_of(body: &str) -> [u8; 32] {
    Sha256::digest(body.as_bytes()).into()
}

/// A digest as people compare it.
#[must_use]
pub fn hex(hash: &[u8]) -> String {
    use std::fmt::Write;
    hash.iter().fold(String::new(), |mut text, byte| {
        // Writing into text does not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// The texts that this process shows, by their digests.
#[derive(Clone, Debug)]
pub struct Shown(Arc<Mutex<Digests>>);

#[derive(Debug)]
struct Digests {
    of: Vec<(PolicyKind, [u8; 32])>,
    /// How often they have changed.
    changes: u64,
}

/// A version that is in force and does not say what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpublishedText {
    /// Of which text.
    pub kind: PolicyKind,
    /// The version, if there is a difference.
    pub number: Option<i64>,
}

/// What is shown, held against what was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Of each text.
    pub differences: Vec<UnpublishedText>,
    /// For how long that holds.
    pub validity: Validity,
}

/// What a comparison depends on besides the texts themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// How many versions were published.
    versions: i64,
    /// How often the texts had changed.
    changes: u64,
    /// When the next one comes into force, if one is announced.
    until: Option<UnixMillis>,
}

impl Validity {
    fn holds(&self, (versions, changes): (i64, u64), now: UnixMillis) -> bool {
        (self.versions, self.changes) == (versions, changes)
            && self.until.is_none_or(|until| now < until)
    }
}

impl Shown {
    /// Of these texts.
    pub fn of<'a>(texts: impl IntoIterator<Item = (PolicyKind, &'a str)>) -> Self {
        let of = texts.into_iter().map(|(kind, text)| (kind, hash_of(text))).collect();
        Self(Arc::new(Mutex::new(Digests { of, changes: 0 })))
    }

    /// From now on other texts are shown.
    pub fn change_to(&self, other: &Self) {
        let (of, _) = other.read();
        let mut digests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if digests.of != of {
            *digests = Digests { of, changes: digests.changes.saturating_add(1) };
        }
    }

    fn read(&self) -> (Vec<(PolicyKind, [u8; 32])>, u64) {
        let digests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (digests.of.clone(), digests.changes)
    }

    /// Holds what is shown against what was published, unless that was done since anything has
    /// changed. Of what no version is in force, nothing can be said.
    pub fn compare(
        &self,
        conn: &mut AnyConnection,
        before: Option<Validity>,
        now: UnixMillis,
    ) -> Result<Option<Comparison>, DbError> {
        // Counted first, so that one that comes meanwhile is looked at next time.
        let versions = rows::count(conn)?;
        let (shown, changes) = self.read();
        if before.is_some_and(|before| before.holds((versions, changes), now)) {
            return Ok(None);
        }
        let mut differences = Vec::with_capacity(shown.len());
        let mut until = None;
        for (kind, hash) in &shown {
            let PolicyVersions { in_force, announced, .. } = PolicyVersions::at(conn, *kind, now)?;
            let other = in_force.filter(|row| row.body_hash != hash);
            differences.push(UnpublishedText { kind: *kind, number: other.map(|row| row.number) });
            let next = announced.first().map(|row| row.in_force_at);
            until = [until, next].into_iter().flatten().min();
        }
        Ok(Some(Comparison { differences, validity: Validity { versions, changes, until } }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::AccountId;

    fn row(number: i64, day: i64) -> PolicyRow {
        PolicyRow {
            id: number,
            kind: PolicyKind::Terms,
            number,
            in_force_at: UtcDay::from_number(day).begin(),
            is_significant: false,
            words: String::new(),
            body_hash: Vec::new(),
            published_at: UnixMillis::from_millis(0),
            last_account_id: AccountId(0),
            noticed_account_id: AccountId(0),
            notices: 0,
            noticed_at: Some(UnixMillis::from_millis(0)),
        }
    }

    #[test]
    fn the_newest_day_counts_and_of_one_day_the_newest_version() {
        let numbers = |rows: &[PolicyRow]| rows.iter().map(|row| row.number).collect::<Vec<_>>();
        let at = |day| {
            let rows = vec![row(1, 10), row(2, 30), row(3, 20), row(4, 20)];
            let standing = PolicyVersions::of(rows, UtcDay::from_number(day).begin());
            let in_force = standing.in_force.map(|row| row.number);
            (in_force, numbers(&standing.announced), numbers(&standing.earlier))
        };
        assert_eq!(at(9), (None, vec![1, 3, 4, 2], vec![]));
        assert_eq!(at(19), (Some(1), vec![3, 4, 2], vec![]));
        assert_eq!(at(20), (Some(4), vec![2], vec![3, 1]));
        assert_eq!(at(30), (Some(2), vec![], vec![4, 3, 1]));
    }
}
