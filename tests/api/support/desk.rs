//! The command line as an operator has it: a folder with settings, and commands that work on their
//! database.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::app::TestApp;
use super::database::TestDatabase;
use super::process::{Ran, run};

/// See the module.
pub(crate) struct Cli {
    /// The settings.
    pub(crate) file: PathBuf,
    folder: TempDir,
    /// Goes with the desk; `None` if it is a server's.
    database: Option<TestDatabase>,
}

impl Cli {
    /// With a database of its own, which is still empty.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::create(folder.path());
        let url = database.url.clone();
        Self { database: Some(database), ..Self::at(folder, &url) }
    }

    /// Beside a running server.
    pub(crate) fn beside(app: &TestApp) -> Self {
        Self::at_database(&app.database().url)
    }

    /// On a database that goes with somebody else.
    pub(crate) fn at_database(url: &str) -> Self {
        Self::at(tempfile::tempdir().unwrap(), url)
    }

    fn at(folder: TempDir, url: &str) -> Self {
        let file = folder.path().join("sluice.toml");
        std::fs::write(&file, format!("[database]\nurl = \"{url}\"\n")).unwrap();
        Self { file, folder, database: None }
    }

    /// Its own database.
    pub(crate) const fn database(&self) -> &TestDatabase {
        self.database.as_ref().expect("a database of its own")
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        run(&[words, &["--config", self.file.to_str().unwrap()]].concat(), &[])
    }

    pub(crate) fn json(&self, words: &[&str]) -> Value {
        self.run(&[words, &["--json"]].concat()).json()
    }

    /// A refusal: exit 1, nothing printed, and a reason.
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{words:?}: {}", ran.err);
        assert!(ran.err.starts_with("sluice: "), "{}", ran.err);
        ran.err
    }

    /// A file that a command is to read; there is one at a time.
    pub(crate) fn put(&self, text: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join("input");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}
