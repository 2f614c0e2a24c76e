//! `[backup]`: how often a copy of the database is made, and where the journal is.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::{DatabaseUrl, value};

/// Why nothing of it can be set there.
const ON_POSTGRES: &str = "is for SQLite only: PostgreSQL is backed up with its own tools; remove \
    the key (docs/backups.md, PostgreSQL)";

/// How a copy of the database is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSettings {
    #[serde(default, deserialize_with = "value::optional_text")]
    directory: Option<String>,
    /// Time between two backups.
    #[serde(rename = "every_hours", deserialize_with = "value::hours::<1, 720, _>")]
    pub every: Duration,
    /// How many are kept.
    #[serde(deserialize_with = "value::whole::<1, 1_000, _, _>")]
    pub keep: usize,
    #[serde(default, deserialize_with = "value::optional_text")]
    journal: Option<String>,
    /// Where backups are made on schedule, if they are.
    #[serde(skip)]
    pub into: Option<PathBuf>,
    /// Where the journal is; `None` on PostgreSQL, which has none.
    #[serde(skip)]
    pub journal_file: Option<PathBuf>,
}

impl BackupSettings {
    /// Finds the places. PostgreSQL has none.
    pub(super) fn resolve(&mut self, at: &KeyPath, url: &DatabaseUrl, problems: &mut Problems) {
        match url {
            DatabaseUrl::Sqlite(path) => {
                self.into = self.directory.as_ref().map(PathBuf::from);
                let beside = || path.with_added_extension("journal");
                self.journal_file = Some(self.journal.as_ref().map_or_else(beside, PathBuf::from));
            }
            DatabaseUrl::Postgres(_) => {
                let set = [("directory", &self.directory), ("journal", &self.journal)];
                for (key, _) in set.into_iter().filter(|(_, value)| value.is_some()) {
                    problems.add(&at.key(key), ON_POSTGRES);
                }
            }
        }
    }
}
