//! The database of one test: a file of its own, or a PostgreSQL database of its own.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::ManageConnection;
use sluice::config;
use sluice::db::{AnyConnection, Manager};

/// A database that goes when the test does.
pub(crate) struct TestDatabase {
    /// As the settings name it.
    pub(crate) url: String,
    /// The administrator's address and the database's name, on PostgreSQL.
    postgres: Option<(String, String)>,
}

/// The administrator's PostgreSQL, if tests are to run there.
#[expect(clippy::disallowed_methods, reason = "the one word that the caller of the tests has")]
fn admin_url() -> Option<String> {
    std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty())
}

impl TestDatabase {
    /// On PostgreSQL if the environment names one, else in `folder`.
    pub(crate) fn create(folder: &Path) -> Self {
        match admin_url() {
            Some(admin) => Self::create_postgres(admin),
            None => Self::sqlite(folder),
        }
    }

    /// A file in `folder`, whatever the environment says.
    pub(crate) fn sqlite(folder: &Path) -> Self {
        let path = folder.join("sluice.db");
        Self { url: format!("sqlite://{}", path.display()), postgres: None }
    }

    /// A PostgreSQL database, if there is one to be had.
    pub(crate) fn postgres() -> Option<Self> {
        admin_url().map(Self::create_postgres)
    }

    /// A database in a cluster of the test's own, where tests run on PostgreSQL at all.
    pub(crate) fn in_own_cluster() -> Option<(Self, super::cluster::Cluster)> {
        admin_url()?;
        let cluster = super::cluster::Cluster::start();
        Some((Self::create_postgres(cluster.admin_url()), cluster))
    }

    fn create_postgres(admin: String) -> Self {
        let name = sluice::domain::ids::public_id("sluice_test_").unwrap();
        let mut conn = PgConnection::establish(&admin).expect("TEST_DATABASE_URL can be reached");
        conn.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let (base, options) = admin.split_once('?').unwrap_or((&admin, ""));
        let (scheme, rest) = base.split_once("://").expect("an address");
        let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
        let options = if options.is_empty() { String::new() } else { format!("?{options}") };
        let url = format!("{scheme}://{authority}/{name}{options}");
        Self { url, postgres: Some((admin, name)) }
    }

    /// The same database for a second server. It goes with the first one.
    pub(crate) fn beside(&self) -> Self {
        Self { url: self.url.clone(), postgres: None }
    }

    pub(crate) const fn is_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    /// A connection beside the server's.
    pub(crate) fn connect(&self) -> AnyConnection {
        let url = secrecy::SecretString::from(self.url.clone());
        let url = config::DatabaseUrl::parse(&url).unwrap();
        Manager::new(url, std::time::Duration::from_secs(20)).connect().unwrap()
    }

    /// Holds every writer up until the lock is dropped.
    pub(crate) fn lock(&self) -> Lock {
        let mut conn = self.connect();
        let sql = if self.is_postgres() {
            "BEGIN; SELECT 1 FROM accounts FOR UPDATE"
        } else {
            "BEGIN IMMEDIATE"
        };
        conn.batch_execute(sql).unwrap();
        Lock(conn)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some((admin, name)) = &self.postgres else { return };
        let Ok(mut conn) = PgConnection::establish(admin) else { return };
        drop(conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
    }
}

/// See [`TestDatabase::lock`].
pub(crate) struct Lock(AnyConnection);

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.0.batch_execute("ROLLBACK"));
    }
}
