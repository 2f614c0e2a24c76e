//! A server in the making: its settings, its upstreams, its clock.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sluice::app::ShutdownSignals;
use sluice::config::{self, Settings, Sources};
use sluice::db::AnyConnection;
use sluice::domain::clock::Clock;
use tempfile::TempDir;

use super::super::database::TestDatabase;
use super::{Addresses, CREDENTIAL, NOON, TOMBSTONE_SECRET, TestApp, serve_from};

/// A server in the making.
pub(crate) struct Builder {
    pub(crate) folder: TempDir,
    pub(crate) database: Option<TestDatabase>,
    keys: Vec<(String, String)>,
    upstreams: Vec<String>,
    clock: Clock,
    change: Option<Change>,
}

type Change = Box<dyn FnOnce(&mut Settings)>;

impl Builder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::create(folder.path());
        let mail = folder.path().join("mail");
        Self {
            folder,
            database: Some(database),
            keys: Vec::new(),
            upstreams: Vec::new(),
            clock: Clock::manual(NOON),
            change: None,
        }
        .set("server.listen", "\"127.0.0.1:0\"")
        .set("server.admin_listen", "\"127.0.0.1:0\"")
        .set("server.workers", 2)
        .set("server.max_streams", 1000)
        .set("server.max_streams_per_account", 1000)
        .set("server.requests_per_minute_per_account", 100_000)
        .set("server.drain_secs", 5)
        // What is not covered is refused at once, and the upstream counts messages alone; tests of
        // the line say otherwise.
        .set("reservation.wait_secs", 0)
        .set("limits.wait_secs", 0)
        .set("reservation.count_tokens_secs", 0)
        .set("stream.checkpoint_first_ms", 0)
        .set("reservation.reserve_output_tokens", 4096)
        .set("reservation.counted_output_tokens", 4096)
        .set("database.pool_size", 4)
        .set("mail.folder", format!("\"{}\"", mail.display()))
        .set("site.support_email", "\"help@sluice.test\"")
    }

    /// Sets a key to a value as TOML writes it.
    pub(crate) fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.keys.retain(|(known, _)| known != key);
        self.keys.push((key.to_owned(), value.to_string()));
        self
    }

    /// Adds an upstream; they are asked in the order in which they are added.
    pub(crate) fn upstream(self, name: &str, address: SocketAddr) -> Self {
        self.upstream_with(name, &format!("http://{address}"), "")
    }

    /// Adds an upstream with further lines.
    pub(crate) fn upstream_with(mut self, name: &str, base_url: &str, lines: &str) -> Self {
        self.upstreams.extend([
            format!("[[upstreams]]\nname = \"{name}\"\nbase_url = \"{base_url}\"\n"),
            format!("credential = \"{CREDENTIAL}\"\n{lines}\n"),
        ]);
        self
    }

    /// Adds tables as they stand in a file.
    pub(crate) fn section(mut self, toml: &str) -> Self {
        self.upstreams.push(toml.to_owned());
        self
    }

    /// A clock that stands at another moment.
    pub(crate) fn clock_at(mut self, millis: i64) -> Self {
        self.clock = Clock::manual(millis);
        self
    }

    /// A change to the settings behind the loader's back: to what no file could say.
    pub(crate) fn change(mut self, change: impl FnOnce(&mut Settings) + 'static) -> Self {
        self.change = Some(Box::new(change));
        self
    }

    /// What stands in the operator's file.
    pub(crate) fn toml(&self) -> String {
        let url = &self.database.as_ref().unwrap().url;
        let keys = self.keys.iter().map(|(key, value)| format!("{key} = {value}\n"));
        // SQLite has a file of its own for it.
        let has_secret =
            self.keys.iter().any(|(key, _)| key.starts_with("privacy.tombstone_secret"));
        let secret = (url.starts_with("postgres") && !has_secret)
            .then(|| format!("privacy.tombstone_secret = \"{TOMBSTONE_SECRET}\"\n"));
        let all: Vec<String> = std::iter::once(format!("database.url = \"{url}\"\n"))
            .chain(secret)
            .chain(keys)
            .chain(self.upstreams.clone())
            .collect();
        all.concat()
    }

    /// Writes the operator's file.
    pub(crate) fn write(&self) -> PathBuf {
        let file = self.folder.path().join("sluice.toml");
        std::fs::write(&file, self.toml()).unwrap();
        file
    }

    /// Settings from a real file through the real loader.
    pub(crate) fn settings(&self) -> Settings {
        let file = self.write();
        config::load(&Sources { file: Some(file), env: Vec::new() })
            .unwrap_or_else(|errors| panic!("{errors}\n{}", self.toml()))
    }

    /// The database before the server has it, with its tables.
    pub(crate) fn migrated(&self) -> AnyConnection {
        let mut conn = self.database.as_ref().unwrap().connect();
        sluice::db::migrate::run_pending(&mut conn).unwrap();
        conn
    }

    pub(crate) fn start(mut self) -> TestApp {
        let mut settings = self.settings();
        if let Some(change) = self.change.take() {
            change(&mut settings);
        }
        let settings = Arc::new(settings);
        let stop = ShutdownSignals::default();
        let file = Some(self.folder.path().join("sluice.toml"));
        let sources = Sources { file, env: Vec::new() };
        let (clock, theirs) = (self.clock.clone(), Arc::clone(&settings));
        let (thread, addresses) = serve_from((theirs, sources), clock, stop.clone());
        let Addresses {
            clients: address,
            operator: admin_address,
            redirect: redirect_address,
            scheduler,
        } = addresses.expect("the server starts");
        TestApp {
            address,
            admin_address,
            redirect_address,
            scheduler,
            clock: self.clock,
            settings,
            database: self.database,
            folder: Some(self.folder),
            stop,
            thread: Some(thread),
        }
    }
}
