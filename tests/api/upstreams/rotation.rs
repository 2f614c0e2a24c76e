//! A credential that is exchanged in its file while many requests run.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::answering::Answering;
use super::{KINDS, Kind, answer, error_body, expect_words, send, send_script};
use crate::support::app::{Account, Builder, TestApp};
use crate::support::upstream::{Exchange, Upstream, json_response};
use crate::support::wait::{PATIENCE, eventually};

const OLD: &str = "the-old-key";
const NEW: &str = "the-new-key";
const RESTING: &str = "sluice_upstream_resting{upstream=\"primary\"}";
const ALERT: &str = "sluice_alerts_total{what=\"upstream refuses our credential\"}";

/// The file of a credential.
struct CredentialFile {
    folder: tempfile::TempDir,
}

impl CredentialFile {
    fn with(key: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        file.replace(key);
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("credential")
    }

    /// As one ought to: a reader sees the old file or the new one.
    fn replace(&self, key: &str) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, format!("{key}\n")).unwrap();
        std::fs::rename(next, self.path()).unwrap();
    }

    fn section(&self, name: &str, address: std::net::SocketAddr) -> String {
        format!(
            "[[upstreams]]\nname = \"{name}\"\nbase_url = \"http://{address}\"\n\
             credential_file = \"{}\"\n",
            self.path().display()
        )
    }
}

/// Which keys a vendor takes.
#[derive(Default)]
struct Keys {
    valid: Mutex<Vec<&'static str>>,
    /// Requests that came with the new one.
    new: AtomicUsize,
    refused: AtomicUsize,
}

impl Keys {
    fn set(&self, valid: &[&'static str]) {
        *self.valid.lock().unwrap() = valid.to_vec();
    }

    fn judge(&self, kind: Kind, exchange: Exchange) {
        let key = exchange.request.header("x-api-key").unwrap_or_default().to_owned();
        self.new.fetch_add(usize::from(key == NEW), Ordering::SeqCst);
        let is_valid = self.valid.lock().unwrap().contains(&key.as_str());
        if is_valid {
            answer(kind, exchange);
        } else {
            self.refused.fetch_add(1, Ordering::SeqCst);
            exchange.refuse(401, &error_body("authentication_error", "invalid x-api-key"));
        }
    }
}

/// A server before one vendor, and clients that keep asking.
struct Stage {
    app: TestApp,
    file: CredentialFile,
    keys: Arc<Keys>,
    upstream: Answering,
}

impl Stage {
    fn new() -> Self {
        let (file, keys) = (CredentialFile::with(OLD), Arc::new(Keys::default()));
        keys.set(&[OLD]);
        let judge = Arc::clone(&keys);
        let upstream = Answering::start(Upstream::start(), move |kind, _, exchange| {
            judge.judge(kind, exchange);
            None
        });
        let app = Builder::new().section(&file.section("primary", upstream.address)).start();
        Self { app, file, keys, upstream }
    }

    /// Rotates while four clients keep asking, each for everything in turn. All are served, each
    /// with one answer, and with the new key in the end.
    fn under_load(&self, rotate: impl FnOnce(&Keys)) {
        let accounts: Vec<Account> = (0..4).map(|_| self.app.account("5.00")).collect();
        let is_over = AtomicBool::new(false);
        let asked: Vec<usize> = thread::scope(|scope| {
            let (app, is_over) = (&self.app, &is_over);
            let ask =
                |(number, account)| scope.spawn(move || keep_asking(app, account, number, is_over));
            let clients: Vec<_> = accounts.iter().enumerate().map(ask).collect();
            rotate(&self.keys);
            is_over.store(true, Ordering::SeqCst);
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        for (account, asked) in accounts.iter().zip(asked) {
            let paid = (0..asked).filter(|at| KINDS[at % 3] != Kind::Count).count();
            let rows = self.app.settled(account, paid);
            assert!(rows.iter().all(|row| row.ending.code() == "E1"), "{rows:#?}");
            assert_eq!(self.app.entries(account, "usage").len(), paid);
        }
        assert_eq!((self.app.metric(RESTING), self.app.metric(ALERT)), (0, 0));
    }
}

/// Asks until it is over; how often.
fn keep_asking(app: &TestApp, account: &Account, number: usize, is_over: &AtomicBool) -> usize {
    let mut asked = 0;
    while !is_over.load(Ordering::SeqCst) {
        let kind = KINDS[asked % 3];
        let script = format!("{number}-{asked}");
        let response = send_script(app, account, kind, &script).answer(false).finish();
        assert_eq!(response.status, 200, "{script}: {}", response.text());
        expect_words(kind, &response);
        asked += 1;
    }
    asked
}

fn seen_with_new(keys: &Keys, count: usize) {
    eventually("requests with the new key", || {
        (keys.new.load(Ordering::SeqCst) >= count).then_some(())
    });
}

#[test]
fn a_key_that_stays_valid_until_the_new_one_is_in_use_is_exchanged_without_a_refusal() {
    let stage = Stage::new();
    stage.under_load(|keys| {
        keys.set(&[OLD, NEW]);
        stage.file.replace(NEW);
        seen_with_new(keys, 20);
        keys.set(&[NEW]);
        seen_with_new(keys, 60);
    });
    assert_eq!(stage.keys.refused.load(Ordering::SeqCst), 0);
    // Nothing was asked for twice.
    let mut seen = stage.upstream.seen();
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn a_key_that_dies_as_its_file_changes_is_exchanged_without_a_client_noticing() {
    let stage = Stage::new();
    stage.under_load(|keys| {
        keys.set(&[OLD, NEW]);
        stage.file.replace(NEW);
        keys.set(&[NEW]);
        seen_with_new(keys, 60);
    });
    // What was refused was asked for once more, with the new key.
    let refused = stage.keys.refused.load(Ordering::SeqCst);
    assert!(refused <= 4, "{refused}: one of each client at most");
    let seen = stage.upstream.seen();
    let twice = seen.iter().filter(|script| stage.upstream.count_of(script) == 2).count();
    assert_eq!(twice, 2 * refused);
}

#[test]
fn a_refusal_is_not_repeated_with_the_credential_that_it_refuses() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let file = CredentialFile::with(OLD);
    let app = Builder::new()
        .section(&file.section("first", first.address))
        .upstream("second", second.address)
        .start();
    for kind in KINDS {
        let account = app.account("5.00");
        let connection = send(&app, &account, kind);
        first.next().refuse(401, "no");
        super::expect_answer(kind, second.next(), connection);
        super::expect_billed_once(&app, &account, kind);
    }
    // The new one is refused too: once more is enough.
    let account = app.account("5.00");
    let connection = send(&app, &account, Kind::Stream);
    let mut exchange = first.next();
    file.replace(NEW);
    exchange.send(json_response(401, "no"));
    let again = exchange.next_on_connection(PATIENCE).expect("it is asked again");
    assert_eq!(again.request.header("x-api-key"), Some(NEW));
    again.refuse(401, "no");
    super::expect_answer(Kind::Stream, second.next(), connection);
    super::expect_billed_once(&app, &account, Kind::Stream);
    assert_eq!((first.count(), second.count()), (4, 4));
}

#[test]
fn what_was_known_of_a_refused_credential_is_over_with_the_next_one() {
    let upstream = Upstream::start();
    upstream.answer_probes(Some((401, "no")));
    let file = CredentialFile::with(OLD);
    let app = Builder::new().section(&file.section("primary", upstream.address)).start();
    let account = app.account("5.00");
    let connection = send(&app, &account, Kind::Json);
    upstream.next().refuse(401, "no");
    connection.answer(false).finish().expect_error(503, "api_error");
    eventually("the upstream to rest", || (app.metric(RESTING) == 1).then_some(()));
    file.replace(NEW);
    eventually("the upstream to serve", || (app.metric(RESTING) == 0).then_some(()));
    let connection = send(&app, &account, Kind::Json);
    super::expect_answer(Kind::Json, upstream.next(), connection);
}
