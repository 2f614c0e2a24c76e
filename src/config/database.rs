//! `[database]`: which database, and how long to wait for it. A URL with a password never prints.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::{is_loopback_host, secret, value};

/// Which database, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Where it is.
    pub url: DatabaseUrl,
    /// Connections kept open.
    pub pool_size: u32,
    /// Connections of the ledger to PostgreSQL, which share the accounts among them.
    pub ledger_connections: u32,
    /// Time to wait for a free connection.
    pub acquire: Duration,
    /// Time that a statement waits for a lock.
    pub lock_timeout: Duration,
    /// Time within which a server of PostgreSQL must be connected to, take what is sent, and answer
    /// the ledger.
    pub answer: Duration,
    /// Time that a statement of a request may take on PostgreSQL.
    pub statement: Duration,
    /// Whether a server runs migrations that are missing.
    pub migrate_at_start: bool,
}

/// Where the database is.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// A file, made when it is missing.
    Sqlite(PathBuf),
    /// A whole `postgres://` URL, as libpq reads it.
    Postgres(SecretString),
}

/// Why a database URL is refused. No variant repeats the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// Another scheme.
    #[error("has an unknown scheme: allowed are sqlite://, postgres:// and postgresql://")]
    Scheme,
    /// Not one file.
    #[error(
        "must name a file, such as sqlite://sluice.db; in-memory databases and options are refused"
    )]
    SqlitePath,
    /// A server elsewhere, without a checked certificate.
    #[error("must end in ?sslmode=verify-full, as PostgreSQL is on another host")]
    Plaintext,
    /// Characters in the user's name or password that have a meaning in a URL: libpq would repeat
    /// parts of it in its refusal.
    #[error(
        "has a user name or password that is not percent-encoded: write % as %25, / as %2F, @ as \
         %40, ? as %3F and # as %23"
    )]
    Encoding,
}

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`DatabaseUrlError`] for an unknown scheme, a path that is not one file, or a way to another
    /// host that is not protected.
    pub fn parse(url: &SecretString) -> Result<Self, DatabaseUrlError> {
        let text = url.expose_secret();
        if let Some(path) = text.strip_prefix("sqlite://") {
            if path.is_empty() || path.contains([':', '?', '#']) || path.ends_with('/') {
                return Err(DatabaseUrlError::SqlitePath);
            }
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or(DatabaseUrlError::Scheme)?;
        if !is_encoded(rest) {
            return Err(DatabaseUrlError::Encoding);
        }
        if is_protected(rest) {
            Ok(Self::Postgres(url.clone()))
        } else {
            Err(DatabaseUrlError::Plaintext)
        }
    }
}

/// Whether the part before the hosts can be read without doubt. An `@` behind the first `/`, `?` or
/// `#` means that one of these stands in a password.
fn is_encoded(rest: &str) -> bool {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let user = match authority.rsplit_once('@') {
        Some((user, _)) => user,
        None if behind.split(['?', '#']).next().is_some_and(|path| path.contains('@')) => {
            return false;
        }
        None => "",
    };
    let is_octet =
        |text: &str| text.len() >= 2 && text.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    user.split('%').skip(1).all(is_octet)
}

/// Whether every host is this one, or TLS with a checked name is demanded. `rest` is
/// `USER@HOST,…/NAME?OPTIONS`.
fn is_protected(rest: &str) -> bool {
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = location.split('/').next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let options = || query.split('&').filter_map(|option| option.split_once('='));
    let values = |wanted: &'static str| {
        options().filter(move |(name, _)| *name == wanted).map(|(_, value)| value)
    };

    // libpq lets the options replace the host, so each must be local by itself.
    let mut all_hosts = hosts
        .split(',')
        .map(without_port)
        .chain(values("host").flat_map(|hosts| hosts.split(',')))
        .chain(values("hostaddr").flat_map(|hosts| hosts.split(',')));
    let is_local = |host: &str| {
        let is_socket = host.is_empty()
            || host.starts_with('/')
            || host.to_ascii_lowercase().starts_with("%2f");
        is_socket || is_loopback_host(host)
    };
    let is_verified = values("sslmode").next_back() == Some("verify-full");
    is_verified || all_hosts.all(is_local)
}

fn without_port(host: &str) -> &str {
    if let Some(end) = host.find(']') {
        return host.get(..=end).unwrap_or(host);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatabaseSection {
    #[serde(deserialize_with = "value::secret")]
    url: SecretString,
    #[serde(default, deserialize_with = "value::optional_text")]
    url_file: Option<String>,
    #[serde(deserialize_with = "value::whole::<1, 1_000, _, _>")]
    pool_size: u32,
    #[serde(deserialize_with = "value::whole::<1, 64, _, _>")]
    ledger_connections: u32,
    #[serde(rename = "acquire_secs", deserialize_with = "value::secs::<1, 600, _>")]
    acquire: Duration,
    #[serde(rename = "lock_timeout_ms", deserialize_with = "value::millis::<1, 600_000, _>")]
    lock_timeout: Duration,
    #[serde(rename = "answer_secs", deserialize_with = "value::secs::<2, 600, _>")]
    answer: Duration,
    #[serde(rename = "statement_secs", deserialize_with = "value::secs::<1, 3_600, _>")]
    statement: Duration,
    migrate_at_start: bool,
}

impl DatabaseSection {
    /// The section with its URL in hand. `is_default_url` says that nobody wrote a `url`.
    pub(super) fn resolve(
        self,
        at: &KeyPath,
        is_default_url: bool,
        problems: &mut Problems,
    ) -> Option<DatabaseSettings> {
        if self.answer <= self.lock_timeout {
            let reason = "must be more than lock_timeout_ms, which may pass before an answer comes";
            problems.add(&at.key("answer_secs"), reason);
        }
        if self.statement <= self.lock_timeout {
            let reason = "must be more than lock_timeout_ms, of which a statement may wait all";
            problems.add(&at.key("statement_secs"), reason);
        }
        let (at, url) = match &self.url_file {
            None => (at.key("url"), Ok(self.url)),
            Some(_) if !is_default_url => {
                problems.add(&at.key("url_file"), "give either url or url_file");
                return None;
            }
            Some(file) => (at.key("url_file"), secret::read(Path::new(file))),
        };
        let parsed =
            url.and_then(|url| DatabaseUrl::parse(&url).map_err(|reason| reason.to_string()));
        match parsed {
            Ok(url) => Some(DatabaseSettings {
                url,
                pool_size: self.pool_size,
                ledger_connections: self.ledger_connections,
                acquire: self.acquire,
                lock_timeout: self.lock_timeout,
                answer: self.answer,
                statement: self.statement,
                migrate_at_start: self.migrate_at_start,
            }),
            Err(reason) => {
                problems.add(&at, reason);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
        DatabaseUrl::parse(&SecretString::from(url))
    }

    #[test]
    fn a_password_that_libpq_would_misread_is_refused_without_a_word_of_it() {
        for url in [
            "postgres://u:pa%zz@localhost/db",
            "postgres://u:half%2@localhost/db",
            "postgres://u:pa/ss@localhost/db",
            "postgres://u:100%@127.0.0.1/db",
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error, DatabaseUrlError::Encoding, "{url}");
            assert!(!error.to_string().contains("pa%zz"));
        }
        for url in ["postgres://u:pa%2Fss%25@localhost/db", "postgres:///db?host=/run/postgresql"] {
            assert!(parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_way_to_another_host_must_be_protected() {
        let local = [
            "postgres://u:p@localhost/db",
            "postgresql://u@127.0.0.1:5433/db",
            "postgres://u:p@[::1]:5432/db",
            "postgres:///db?host=/run/postgresql",
            "postgres://u@%2Frun%2Fpostgresql/db",
            "postgres://u:a@b@localhost/db",
        ];
        for url in local {
            assert!(matches!(parse(url), Ok(DatabaseUrl::Postgres(_))), "{url}");
        }
        let open = [
            "postgres://u:p@db.example.org/db",
            "postgres://u:p@db.example.org/db?sslmode=require",
            "postgres://localhost,db.example.org/db",
            "postgres://localhost/db?host=db.example.org",
            "postgres://localhost@db.example.org/db",
            "postgres://db.example.org/db?sslmode=verify-full&sslmode=disable",
        ];
        for url in open {
            assert_eq!(parse(url).unwrap_err(), DatabaseUrlError::Plaintext, "{url}");
        }
        assert!(
            parse("postgres://u:p@db.example.org:5432/db?application_name=x&sslmode=verify-full")
                .is_ok()
        );
    }

    #[test]
    fn sqlite_is_one_file() {
        let path = |url| match parse(url) {
            Ok(DatabaseUrl::Sqlite(path)) => path,
            other => panic!("{other:?}"),
        };
        assert_eq!(path("sqlite://sluice.db"), PathBuf::from("sluice.db"));
        assert_eq!(
            path("sqlite:///var/lib/sluice/sluice.db"),
            PathBuf::from("/var/lib/sluice/sluice.db")
        );
        for url in ["sqlite://", "sqlite://:memory:", "sqlite://a.db?mode=ro", "sqlite://dir/"] {
            assert_eq!(parse(url).unwrap_err(), DatabaseUrlError::SqlitePath, "{url}");
        }
        assert_eq!(parse("mysql://u:secret@h/db").unwrap_err(), DatabaseUrlError::Scheme);
    }
}
