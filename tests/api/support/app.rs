//! The server under test, in this process, on a thread of its own. When it goes, it is stopped in
//! order, and the books have to balance.

mod builder;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use diesel::prelude::*;
use sluice::accounts;
use sluice::accounts::keys::{self, NewKey};
use sluice::app::{Application, ShutdownSignals, StartError};
use sluice::config::{Settings, Sources};
use sluice::db::AnyConnection;
use sluice::db::books::UsageRow;
use sluice::db::models::{api_keys, usage_logs};
use sluice::db::schema::{accounts as accounts_table, ledger_entries, reservations};
use sluice::domain::clock::{Clock, UnixMillis};
use sluice::domain::ids::AccountId;
use sluice::domain::key_limits::KeyLimits;
use sluice::domain::key_scopes::Scopes;
use sluice::domain::money::NanoUsd;
use sluice::domain::price_list::{Markup, PriceList};
use sluice::domain::tombstone::TombstoneKey;
use sluice::jobs::scheduler::Scheduler;
use sluice::ledger::{self, Command, Effect, EntryKind};
use tempfile::TempDir;

pub(crate) use builder::Builder;

use super::client::{Connection, Request, Response};
use super::database::TestDatabase;
use super::upstream::Upstream;
use super::wait::eventually;

/// 2026-11-22, noon: every price that the tests use is in force.
const NOON: i64 = 1_795_348_800_000;

/// What our own upstreams know us by. Must never be seen anywhere else.
pub(crate) const CREDENTIAL: &str = "sk-operator-credential-71c3";

/// A server.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    pub(crate) admin_address: SocketAddr,
    pub(crate) redirect_address: Option<SocketAddr>,
    pub(crate) scheduler: actix::Addr<Scheduler>,
    pub(crate) clock: Clock,
    pub(crate) settings: Arc<Settings>,
    database: Option<TestDatabase>,
    folder: Option<TempDir>,
    stop: ShutdownSignals,
    thread: Option<JoinHandle<bool>>,
}

/// Someone with a key.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) public_id: String,
    pub(crate) key: String,
    pub(crate) key_id: String,
}

/// Everything that is known of an account's money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) available: i64,
    pub(crate) reserved: i64,
}

/// Where a server listens.
pub(crate) struct Addresses {
    pub(crate) clients: SocketAddr,
    pub(crate) operator: SocketAddr,
    pub(crate) redirect: Option<SocketAddr>,
    pub(crate) scheduler: actix::Addr<Scheduler>,
}

/// Starts a server on a thread of its own.
pub(crate) fn serve(
    settings: Arc<Settings>,
    clock: Clock,
    stop: ShutdownSignals,
) -> (JoinHandle<bool>, Result<Addresses, StartError>) {
    serve_from((settings, Sources::default()), clock, stop)
}

/// The same with the file that a reload reads.
fn serve_from(
    (settings, sources): (Arc<Settings>, Sources),
    clock: Clock,
    stop: ShutdownSignals,
) -> (JoinHandle<bool>, Result<Addresses, StartError>) {
    let (announce, announced) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            match Application::build(settings, sources, clock).await {
                Ok(app) => {
                    let addresses = Addresses {
                        clients: app.client_address,
                        operator: app.admin_address,
                        redirect: app.redirect_address,
                        scheduler: app.scheduler.clone(),
                    };
                    announce.send(Ok(addresses)).unwrap();
                    app.run(stop).await
                }
                Err(error) => {
                    announce.send(Err(error)).unwrap();
                    false
                }
            }
        })
    });
    let addresses = announced.recv().expect("the server says how it started");
    (thread, addresses)
}

impl TestApp {
    /// A server in front of one scripted upstream.
    pub(crate) fn with(upstream: &Upstream) -> Self {
        Builder::new().upstream("primary", upstream.address).start()
    }

    /// A server in front of the sandbox.
    pub(crate) fn sandboxed() -> Self {
        Builder::new().upstream("sandbox", super::sandbox::sandbox()).start()
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// Sends a request and reads the answer to its end.
    pub(crate) fn ask(&self, request: &Request) -> Response {
        self.connect().ask(request).finish()
    }

    /// `POST /v1/messages`, read to its end.
    pub(crate) fn messages(&self, account: &Account, body: &str) -> Response {
        self.ask(&messages(account, body))
    }

    /// `POST /v1/messages`, sent and not waited for.
    pub(crate) fn send(&self, account: &Account, body: &str) -> Connection {
        self.connect().send(&messages(account, body))
    }

    /// `GET /v1/models`.
    pub(crate) fn models(&self, account: &Account) -> Response {
        self.ask(&Request::get("/v1/models").key(&account.key))
    }

    /// `POST /v1/messages/count_tokens`.
    pub(crate) fn count_tokens(&self, account: &Account, body: &str) -> Response {
        self.ask(&Request::post("/v1/messages/count_tokens", body).key(&account.key))
    }

    /// Does something with the database, beside the server.
    pub(crate) fn db<T>(&self, work: impl FnOnce(&mut AnyConnection) -> T) -> T {
        work(&mut self.database().connect())
    }

    pub(crate) fn database(&self) -> &TestDatabase {
        self.database.as_ref().unwrap()
    }

    /// The folder with the settings and, on SQLite, the database.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().to_owned()
    }

    /// Opens an account with a key and that many dollars.
    pub(crate) fn account(&self, dollars: &str) -> Account {
        self.db(|conn| open_account(conn, dollars))
    }

    pub(crate) fn revoke(&self, account: &Account) {
        let now = UnixMillis::from_millis(NOON);
        self.db(|conn| {
            assert_eq!(api_keys::revoke(conn, &account.key_id, now).unwrap(), Some(true));
        });
    }

    pub(crate) fn set_status(&self, account: &Account, status: &str) {
        let changed = self.db(|conn| {
            diesel::update(accounts_table::table.find(account.id.0))
                .set(accounts_table::status.eq(status))
                .execute(conn)
                .unwrap()
        });
        assert_eq!(changed, 1);
    }

    pub(crate) fn balance(&self, account: &Account) -> Balance {
        self.db(|conn| {
            let (available, reserved) = accounts_table::table
                .find(account.id.0)
                .select((accounts_table::available_nanousd, accounts_table::reserved_nanousd))
                .first(conn)
                .unwrap();
            Balance { available, reserved }
        })
    }

    /// All usage rows of an account, newest first.
    pub(crate) fn usage(&self, account: &Account) -> Vec<UsageRow> {
        self.db(|conn| usage_logs::latest(conn, account.id, 10_000).unwrap())
    }

    /// Sums of an account's entries of one kind, with their number.
    pub(crate) fn entries(&self, account: &Account, kind: &str) -> Vec<i64> {
        self.db(|conn| {
            ledger_entries::table
                .filter(ledger_entries::account_id.eq(account.id.0))
                .filter(ledger_entries::kind.eq(kind))
                .order(ledger_entries::id)
                .select(ledger_entries::amount_nanousd)
                .load(conn)
                .unwrap()
        })
    }

    /// Open reservations, of all accounts.
    pub(crate) fn open_reservations(&self) -> i64 {
        self.db(|conn| reservations::table.count().get_result(conn).unwrap())
    }

    /// Waits until an account has that many usage rows and nothing reserved.
    pub(crate) fn settled(&self, account: &Account, count: usize) -> Vec<UsageRow> {
        eventually(&format!("{count} settled exchanges"), || {
            let rows = self.usage(account);
            assert!(rows.len() <= count, "too many usage rows: {rows:#?}");
            (rows.len() == count && self.balance(account).reserved == 0).then_some(rows)
        })
    }

    /// Waits for the one exchange of an account to be settled; its row, and what it has cost.
    pub(crate) fn only_row(&self, account: &Account) -> UsageRow {
        self.settled(account, 1).remove(0)
    }

    /// What the operator's listener answers.
    pub(crate) fn admin(&self, path: &str) -> Response {
        let request = Request::get(path).header("connection", "close");
        Connection::open(self.admin_address).ask(&request).finish()
    }

    /// Writes other settings, and has the server read them. The change is made to the text that the
    /// server has started with.
    pub(crate) fn reload(&self, change: impl FnOnce(&str) -> String) -> Response {
        let file = self.folder().join("sluice.toml");
        let first = file.with_extension("first");
        if !first.exists() {
            std::fs::copy(&file, &first).unwrap();
        }
        std::fs::write(&file, change(&std::fs::read_to_string(&first).unwrap())).unwrap();
        let request = Request::post("/reload", "").header("connection", "close");
        Connection::open(self.admin_address).ask(&request).finish()
    }

    /// A number from `/metrics`, the sum of all lines of one metric that start so; 0 where there is
    /// none.
    pub(crate) fn metric(&self, line_start: &str) -> u64 {
        let response = Connection::open(self.admin_address)
            .ask(&Request::get("/metrics").header("connection", "close"))
            .finish();
        let text = response.text();
        let name = line_start.split(['{', ' ']).next().unwrap();
        let is_it = |line: &&str| {
            line.starts_with(line_start) && line.split(['{', ' ']).next() == Some(name)
        };
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        text.lines().filter(is_it).map(value).sum()
    }

    /// Tells it to stop in order, without waiting.
    pub(crate) fn tell_to_stop(&self) {
        self.stop.in_order.cancel();
    }

    /// Tells it to end running exchanges.
    pub(crate) fn tell_to_end(&self) {
        self.stop.at_once.cancel();
    }

    /// Stops in order; everything must be settled and the books must balance. What is left.
    pub(crate) fn finish(mut self) -> (TestDatabase, TempDir) {
        self.stop_and_verify();
        (self.database.take().unwrap(), self.folder.take().unwrap())
    }

    fn stop_and_verify(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.stop.in_order.cancel();
        let is_settled = thread.join().expect("the server does not panic");
        assert!(is_settled, "the stop left something unsettled");
        verify_books(&mut self.database().connect());
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop_and_verify();
            return;
        }
        // The test has failed already; only make an end.
        self.stop.in_order.cancel();
        self.stop.at_once.cancel();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Asserts that the books balance and nothing is open.
pub(crate) fn verify_books(conn: &mut AnyConnection) {
    let report = ledger::verify(conn).unwrap();
    assert!(report.discrepancies.is_empty(), "{:#?}", report.discrepancies);
    assert_eq!(report.open_reservations, 0, "a reservation is left open");
}

/// Opens an account with a key and that many dollars.
pub(crate) fn open_account(conn: &mut AnyConnection, dollars: &str) -> Account {
    let now = UnixMillis::from_millis(NOON);
    let name = sluice::domain::ids::public_id("someone-").unwrap();
    let row = accounts::open(conn, &format!("{name}@example.org"), now).unwrap();
    let prices = PriceList::new(Vec::new(), Markup::ONE, 0).unwrap();
    let limits = KeyLimits { scopes: Scopes::ALL, ..KeyLimits::default() };
    let new = NewKey { name: "default".to_owned(), limits };
    let issued =
        keys::issue(conn, &keys::KeyActor::Operator(row.id), &new, (&prices, 100), now).unwrap();
    let amount: NanoUsd = dollars.parse().unwrap();
    credit(conn, row.id, amount.as_nanos());
    Account {
        id: row.id,
        public_id: row.public_id,
        key: issued.key.reveal().to_owned(),
        key_id: issued.row.public_id,
    }
}

/// The secret of tombstones wherever a test writes one down.
pub(crate) const TOMBSTONE_SECRET: &str = "the-secret-of-tombstones-in-tests";

/// What hashes with that secret.
pub(crate) fn tombstone_key() -> TombstoneKey {
    TombstoneKey::of(&TOMBSTONE_SECRET.into()).unwrap()
}

/// What the server hashes with that was started with these settings.
pub(crate) fn tombstones(conn: &mut AnyConnection, settings: &Settings) -> TombstoneKey {
    sluice::accounts::deletion::tombstones::unlock(conn, &settings.privacy).unwrap()
}

/// Adds nano-dollars to an account, or takes them.
pub(crate) fn credit(conn: &mut AnyConnection, account_id: AccountId, nanos: i64) {
    let command = Command::Credit {
        account_id,
        kind: EntryKind::Adjustment,
        reference: sluice::domain::ids::public_id("test-").unwrap(),
        amount: NanoUsd::from_nanos(nanos),
    };
    let outcomes = ledger::apply(conn, &[command], UnixMillis::from_millis(NOON)).unwrap();
    assert_eq!(outcomes, [Effect::Credited]);
}

fn messages(account: &Account, body: &str) -> Request {
    Request::post("/v1/messages", body).key(&account.key)
}
