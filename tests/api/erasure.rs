//! P8: after an account was erased, and the database written anew by the command that operators
//! run, no byte of what says whose it was is left in the database's files, while the server goes
//! on.

use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use serde_json::json;
use sluice::accounts;
use sluice::accounts::deletion::tombstones;
use sluice::accounts::identity::sessions;
use sluice::accounts::keys::{self, NewKey};
use sluice::config::Settings;
use sluice::db::AnyConnection;
use sluice::db::models::wallets::{self, WalletRow};
use sluice::db::models::{credentials, deposits};
use sluice::db::schema::{
    accounts as accounts_table, api_keys, recovery_codes, sessions as sessions_table, usage_logs,
};
use sluice::deposits::credit;
use sluice::domain::clock::Clock;
use sluice::domain::evm::EvmAddress;
use sluice::domain::ids::AccountId;
use sluice::domain::price_list::{Markup, PriceList};

use crate::support::app::{Account, Builder};
use crate::support::client::{Connection, Request, Response, find};
use crate::support::cluster::Cluster;
use crate::support::database::TestDatabase;
use crate::support::deposit_rows::row;
use crate::support::people::{PASSWORD, authenticator, by};
use crate::support::process::{Process, run};
use crate::support::sandbox::{body, sandbox};
use crate::support::wait::eventually;
use crate::support::wallet_rows;

const WALLET: [u8; 20] = [0xab; 20];

/// Somebody with one of everything, who came by the ways that people come by.
struct Person {
    account: Account,
    token: String,
    recovery_codes: Vec<String>,
}

fn ask(process: &Process, request: &Request) -> Response {
    Connection::open(process.address).ask(request).finish()
}

/// Opens an account with a password, a session, a key and money.
fn open(conn: &mut AnyConnection, settings: &Settings) -> (Account, String) {
    let now = Clock::System.now();
    let row = accounts::open(conn, "erika.mustermann@example.org", now).unwrap();
    let id = row.id;
    credentials::renew_hash(conn, id, &bcrypt::hash(PASSWORD, 12).unwrap()).unwrap();
    let prices = PriceList::new(Vec::new(), Markup::ONE, 0).unwrap();
    let issued = keys::issue(
        conn,
        &keys::KeyActor::Operator(id),
        &NewKey::named("Erikas key"),
        (&prices, 9),
        now,
    )
    .unwrap();
    let opened = sessions::open(conn, id, &settings.accounts, now).unwrap();
    let account = Account {
        id,
        public_id: row.public_id,
        key: issued.key.reveal().to_owned(),
        key_id: issued.row.public_id,
    };
    (account, opened.token.reveal().to_owned())
}

/// A wallet, and a deposit of it that was credited.
fn pay(conn: &mut AnyConnection, settings: &Settings, account: &Account) {
    let now = Clock::System.now();
    let wallet = WalletRow {
        address: EvmAddress(WALLET),
        proven_at: now,
        ..wallet_rows::row(account.id, 1)
    };
    wallets::link(conn, &wallet).unwrap();
    let mut paid = row(account, 0xcd, "confirming", None);
    paid.payer = EvmAddress(WALLET);
    deposits::insert(conn, &paid).unwrap();
    let key = tombstones::unlock(conn, &settings.privacy).unwrap();
    let stored = deposits::find(conn, &paid.public_id).unwrap().unwrap();
    assert!(
        credit::credit(conn, &key, &stored, sluice::domain::money::NanoUsd::ZERO, now).unwrap()
    );
}

impl Person {
    fn settle(process: &Process, settings: &Settings) -> Self {
        let mut conn = process.database.connect();
        let (account, token) = open(&mut conn, settings);
        pay(&mut conn, settings, &account);
        let asked = Request::post("/v1/messages", body("claude-haiku-4-5", false, ""));
        assert_eq!(ask(process, &asked.key(&account.key)).status, 200);
        // The second factor, as a browser sets it up.
        let proof = json!({ "password": PASSWORD });
        let setup = ask(process, &by(&token, "POST", "/api/v1/account/totp").json(&proof));
        let app = authenticator(setup.json()["secret"].as_str().unwrap());
        let seconds = Clock::System.now().as_millis() / 1000;
        let code = json!({ "code": app.generate(seconds.unsigned_abs()).to_string() });
        let enabled = ask(process, &by(&token, "PUT", "/api/v1/account/totp").json(&code));
        assert_eq!(enabled.status, 200, "{}", enabled.text());
        let codes = enabled.json()["recovery_codes"].as_array().unwrap().clone();
        let recovery_codes = codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect();
        Self { account, token, recovery_codes }
    }

    /// What must not be found any more, each by its name.
    fn traces(&self, conn: &mut AnyConnection) -> Vec<(&'static str, Vec<u8>)> {
        let AccountId(id) = self.account.id;
        let (email, password, totp): (String, Option<String>, Option<Vec<u8>>) =
            accounts_table::table
                .find(id)
                .select((
                    accounts_table::email,
                    accounts_table::password_hash,
                    accounts_table::totp_secret,
                ))
                .first(conn)
                .unwrap();
        let key: Vec<u8> = api_keys::table
            .filter(api_keys::account_id.eq(id))
            .select(api_keys::hash)
            .first(conn)
            .unwrap();
        let session: Vec<u8> = sessions_table::table
            .filter(sessions_table::account_id.eq(id))
            .select(sessions_table::token_hash)
            .first(conn)
            .unwrap();
        let code: Vec<u8> = recovery_codes::table
            .filter(recovery_codes::account_id.eq(id))
            .select(recovery_codes::code_hash)
            .first(conn)
            .unwrap();
        let request: String = usage_logs::table.select(usage_logs::id).first(conn).unwrap();
        vec![
            ("e-mail address", email.into_bytes()),
            ("public id", self.account.public_id.clone().into_bytes()),
            ("password's hash", password.unwrap().into_bytes()),
            ("second factor", totp.unwrap()),
            ("key's hash", key),
            ("key's id", self.account.key_id.clone().into_bytes()),
            ("key's name", b"Erikas key".to_vec()),
            ("session's hash", session),
            ("recovery code's hash", code),
            ("wallet", WALLET.to_vec()),
            ("deposit's transaction", vec![0xcd; 32]),
            ("request's id", request.into_bytes()),
        ]
    }
}

/// Every file of the database, whatever it is there for.
fn files(process: &Process, cluster: Option<&Cluster>) -> Vec<PathBuf> {
    let Some(cluster) = cluster else {
        let all = std::fs::read_dir(process.folder.path()).unwrap().map(|entry| entry.unwrap());
        let of_database = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("sluice.db") && !name.ends_with(".secret")
        };
        return all.map(|entry| entry.path()).filter(of_database).collect();
    };
    let (mut found, mut open) = (Vec::new(), vec![cluster.data()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

/// Where traces are found, as file and name.
fn search(files: &[PathBuf], traces: &[(&'static str, Vec<u8>)]) -> Vec<(PathBuf, &'static str)> {
    let mut found = Vec::new();
    for path in files {
        // It may go while this looks.
        let Ok(bytes) = std::fs::read(path) else { continue };
        for (name, trace) in traces {
            if find(&bytes, trace).is_some() {
                found.push((path.clone(), *name));
            }
        }
    }
    found
}

fn names(found: &[(PathBuf, &'static str)]) -> Vec<&'static str> {
    let mut names: Vec<&str> = found.iter().map(|(_, name)| *name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn sluice(config: &Path, words: &[&str]) {
    let ran = run(&[&["--config", config.to_str().unwrap()], words].concat(), &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn p8_no_byte_of_an_erased_account_is_left_once_the_database_was_compacted() {
    let mut builder =
        Builder::new().upstream("sandbox", sandbox()).set("accounts.closing_grace_hours", 0);
    // A cluster that throws its log's segments away, as docs/operating.md tells operators.
    let cluster = TestDatabase::in_own_cluster().map(|(database, cluster)| {
        builder.database = Some(database);
        let mut conn =
            <PgConnection as diesel::Connection>::establish(&cluster.admin_url()).unwrap();
        conn.batch_execute("ALTER SYSTEM SET wal_recycle = off").unwrap();
        conn.batch_execute("SELECT pg_reload_conf()").unwrap();
        cluster
    });
    let settings = builder.settings();
    let process = Process::start(builder, &[]);
    let person = Person::settle(&process, &settings);
    let mut conn = process.database.connect();
    let traces = person.traces(&mut conn);
    let there = search(&files(&process, cluster.as_ref()), &traces);
    assert_eq!(names(&there).len(), traces.len(), "they are where this looks: {there:?}");

    let wish = json!({
        "password": PASSWORD, "code": person.recovery_codes[0], "waive_balance": true,
    });
    let closing = by(&person.token, "POST", "/api/v1/account/closing").json(&wish);
    let closed = ask(&process, &closing);
    assert_eq!(closed.status, 202, "{}", closed.text());
    let id = person.account.id;
    eventually("the node to erase it", || {
        sluice::db::models::accounts::get(&mut conn, id).unwrap().is_none().then_some(())
    });
    drop(conn);
    sluice(&process.config, &["purge", "--compact"]);
    let left = search(&files(&process, cluster.as_ref()), &traces);
    assert!(left.is_empty(), "{left:?}");
    // Its deposit is known all the same, and the books balance.
    sluice(&process.config, &["books", "verify"]);
    let mut conn = process.database.connect();
    let key = tombstones::unlock(&mut conn, &settings.privacy).unwrap();
    let stone = key.tombstone(sluice::domain::evm::ChainId(1), &[0xcd; 32], 0);
    assert!(sluice::db::models::tombstones::is_buried(&mut conn, &stone).unwrap());
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

#[test]
fn p9_postgres_keeps_no_samples_of_columns_that_say_whose_a_row_is() {
    let Some(database) = TestDatabase::postgres() else { return };
    let mut conn = database.connect();
    sluice::db::migrate::run_pending(&mut conn).unwrap();
    let sampled: Vec<Column> = diesel::sql_query(
        "SELECT attrelid::regclass::text || '.' || attname AS name
         FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
         WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT
         attisdropped
         AND COALESCE(attstattarget, -1) <> 0 AND (atttypid = 'bytea'::regtype
             OR attname IN ('email', 'public_id', 'recipient', 'params', 'password_hash',
             'detail', 'reference'))
         AND attname NOT IN ('token', 'block_hash', 'price_feed', 'scanned_hash')
         AND relname NOT IN ('chain_blocks', 'deposit_tombstones', 'policy_versions',
         'secret_checks')",
    )
    .load(&mut conn)
    .unwrap();
    let names: Vec<&str> = sampled.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, Vec::<&str>::new(), "ALTER COLUMN … SET STATISTICS 0 in their migration");
}
