//! `[privacy]`: how long things are kept, and when what is over goes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::secret::SecretKeys;
use super::{DatabaseUrl, LoadPurpose, value};
use crate::domain::tombstone::TombstoneKey;

/// Why a secret has to be given there.
const ON_POSTGRES: &str = "is missing: on PostgreSQL all nodes need one secret to remember the \
    deposits of erased accounts by; give tombstone_secret_env, tombstone_secret_file or \
    tombstone_secret";

/// How long things are kept, and when what is over goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// Days for which a row of the usage log is kept.
    #[serde(deserialize_with = "value::whole::<1, 90, _, _>")]
    pub usage_log_days: u32,
    /// Time of day at which what is over goes.
    #[serde(deserialize_with = "value::parsed")]
    pub purge_at: TimeOfDay,
    /// Time of day at which the pages that were freed are emptied.
    #[serde(deserialize_with = "value::parsed")]
    pub compact_at: TimeOfDay,
    /// Days between two compactions.
    #[serde(deserialize_with = "value::whole::<1, 90, _, _>")]
    pub compact_every_days: u32,
    /// Days for which the operator keeps backups.
    #[serde(deserialize_with = "value::whole::<0, 3_650, _, _>")]
    pub backup_days: u32,
    /// Days between the announcement of a significant change of policy and its coming into force,
    /// unless others are named.
    #[serde(deserialize_with = "value::whole::<1, 365, _, _>")]
    pub policy_notice_days: u32,
    #[serde(default, deserialize_with = "value::optional_secret")]
    tombstone_secret: Option<SecretString>,
    #[serde(default, deserialize_with = "value::optional_text")]
    tombstone_secret_file: Option<String>,
    #[serde(default, deserialize_with = "value::optional_text")]
    tombstone_secret_env: Option<String>,
    /// Where the secret is that the deposits of erased accounts are hashed with.
    #[serde(skip)]
    pub tombstones: TombstoneSecret,
}

/// Where the secret of tombstones is.
#[derive(Clone, Debug)]
pub enum TombstoneSecret {
    /// In the operator's hands.
    Given(SecretString),
    /// In a file beside the SQLite database, which is made when it is first needed.
    Beside(PathBuf),
    /// It cannot be had, for this reason. Commands that need none do without.
    Missing(String),
}

impl Default for TombstoneSecret {
    fn default() -> Self {
        Self::Missing("the tombstone secret was not read".to_owned())
    }
}

impl Privacy {
    /// Finds the secret of tombstones. A server must have it; a command may do without.
    pub(super) fn find_secret(
        &mut self,
        at: &KeyPath,
        url: &DatabaseUrl,
        (env, purpose): (&[(String, String)], LoadPurpose),
        problems: &mut Problems,
    ) {
        let keys = SecretKeys {
            key: "tombstone_secret",
            written: self.tombstone_secret.as_ref(),
            file: self.tombstone_secret_file.as_deref(),
            env: self.tombstone_secret_env.as_deref(),
        };
        let is_written = keys.written.is_some() || keys.file.is_some() || keys.env.is_some();
        if let (DatabaseUrl::Sqlite(path), false) = (url, is_written) {
            self.tombstones = TombstoneSecret::Beside(path.with_added_extension("secret"));
            return;
        }
        let (at, found) = keys.find(at, env);
        let found = found.and_then(|secret| match TombstoneKey::of(&secret) {
            Ok(_) => Ok(secret),
            Err(reason) => Err(reason.to_string()),
        });
        self.tombstones = match found {
            Ok(secret) => TombstoneSecret::Given(secret),
            Err(reason) if is_written => TombstoneSecret::Missing(format!("{at} {reason}")),
            Err(_) => TombstoneSecret::Missing(format!("{at} {ON_POSTGRES}")),
        };
        if let (TombstoneSecret::Missing(reason), LoadPurpose::Serve) = (&self.tombstones, purpose)
        {
            let reason = reason.strip_prefix(&format!("{at} ")).unwrap_or(reason);
            problems.add(&at, reason);
        }
    }

    /// For how long a row of the usage log is kept.
    #[must_use]
    pub fn usage_log(&self) -> Duration {
        Duration::from_hours(u64::from(self.usage_log_days).saturating_mul(24))
    }

    /// Days after which nothing of what was over is in the database's files any more: a day until
    /// the purge, and the time until the next compaction. Backups outlive that by their own days,
    /// as does what PostgreSQL's log reuses.
    #[must_use]
    pub const fn gone_after_days(&self) -> u32 {
        self.compact_every_days.saturating_add(1)
    }
}

/// Hour and minute in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

/// Not a time of day.
#[derive(Debug, thiserror::Error)]
#[error("must be a time of day in UTC, such as \"03:30\"")]
pub struct NotATimeOfDay;

impl FromStr for TimeOfDay {
    type Err = NotATimeOfDay;

    fn from_str(text: &str) -> Result<Self, NotATimeOfDay> {
        let (hour, minute) = text.split_once(':').ok_or(NotATimeOfDay)?;
        let digits = |part: &str, end: u8| {
            let is_plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|number| is_plain && *number < end).ok_or(NotATimeOfDay)
        };
        Ok(Self { hour: digits(hour, 24)?, minute: digits(minute, 60)? })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_read_back_and_nothing_else_is_one() {
        for text in ["00:00", "03:30", "23:59"] {
            assert_eq!(text.parse::<TimeOfDay>().unwrap().to_string(), text);
        }
        for text in ["", "3:30", "24:00", "12:60", "1230", "+1:00", "12:3O", "12:30:00"] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }
}
