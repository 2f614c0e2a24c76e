//! Backups of SQLite: made while requests run, restored elsewhere with what must not be undone, and
//! refused when they are damaged.

mod damage;
mod schedule;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use sluice::accounts::deletion::erasure;
use sluice::db::AnyConnection;
use sluice::db::models::deposits::{self, DepositRow};
use sluice::db::models::{accounts, api_keys, deposit_addresses, tombstones as stones, wallets};
use sluice::deposits::credit;
use sluice::deposits::refund::{self, Refunded};
use sluice::domain::api_key::PlainApiKey;
use sluice::domain::deposit::RefundState;
use sluice::domain::evm::{EvmAddress, TxHash};
use sluice::domain::money::NanoUsd;

use crate::support::app::{Account, Builder, TestApp, tombstones, verify_books};
use crate::support::database::TestDatabase;
use crate::support::deposit_rows;
use crate::support::desk::Cli;
use crate::support::leaving::{close, erase};
use crate::support::process::run;
use crate::support::sandbox::{body, sandbox};
use crate::support::wait::eventually;
use crate::support::wallet_rows;

const SHORT: &str = "tokens=5,gap=0ms";
const PAID_BY: TxHash = TxHash([0xfe; 32]);

fn served() -> Builder {
    let mut builder = Builder::new().upstream("sandbox", sandbox());
    builder.database = Some(TestDatabase::sqlite(builder.folder.path()));
    builder
}

/// Makes a backup by the command; its folder.
fn back_up(desk: &Cli, into: &Path) -> PathBuf {
    let made = desk.json(&["backup", into.to_str().unwrap()]);
    assert_eq!(made["manifest"]["proof"]["balances"], true, "{made}");
    PathBuf::from(made["path"].as_str().unwrap())
}

/// A deposit that was credited.
fn paid(app: &TestApp, account: &Account, number: u8) -> DepositRow {
    app.db(|conn| {
        let row = deposit_rows::row(account, number, "confirming", None);
        deposits::insert(conn, &row).unwrap();
        let row = deposits::find(conn, &row.public_id).unwrap().unwrap();
        let key = tombstones(conn, &app.settings);
        assert!(credit::credit(conn, &key, &row, NanoUsd::ZERO, app.clock.now()).unwrap());
        deposits::find(conn, &row.public_id).unwrap().unwrap()
    })
}

/// Pays a deposit back, as far as `amount` says.
fn pay_back(app: &TestApp, row: &DepositRow, amount: Option<NanoUsd>) -> String {
    app.db(|conn| {
        let (key, now) = (tombstones(conn, &app.settings), app.clock.now());
        let held = refund::hold(conn, &key, row, amount, "asked for", now).unwrap();
        let Refunded::Done(held) = held else { panic!("{held:?}") };
        let row = deposits::get(conn, row.id).unwrap().unwrap();
        let posted = refund::post(conn, &row, PAID_BY, now).unwrap();
        assert!(matches!(posted, Refunded::Done(_)), "{posted:?}");
        held.public_id
    })
}

fn journal(app: &TestApp) -> PathBuf {
    app.folder().join("sluice.db.journal")
}

/// Waits until the server has written that many events.
fn written(app: &TestApp, word: &str) {
    eventually(&format!("{word} in the journal"), || {
        let text = std::fs::read_to_string(journal(app)).unwrap_or_default();
        text.contains(word).then_some(())
    });
}

fn connect(path: &Path) -> AnyConnection {
    let url = format!("sqlite://{}", path.display());
    sluice::db::backup_copy::open(path).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// `sluice restore` to another path, as the settings of a server say.
fn drill(app: &TestApp, backup: &Path, to: &Path) -> Value {
    let settings = app.folder().join("sluice.toml");
    let words = ["restore", backup.to_str().unwrap(), "--to", to.to_str().unwrap(), "--json"];
    run(&[&words, &["--config", settings.to_str().unwrap()][..]].concat(), &[]).json()
}

/// A backup while requests of an account run, and an account is opened beside it.
fn back_up_under_load(app: &TestApp, desk: &Cli, busy: &Account) -> PathBuf {
    let stop = AtomicBool::new(false);
    let backup = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    app.messages(busy, &body("claude-haiku-4-5", true, SHORT));
                }
            });
        }
        eventually("some requests", || (app.usage(busy).len() > 5).then_some(()));
        let backup = back_up(desk, &app.folder().join("backups"));
        let made = desk.json(&["account", "create", "later@example.org"]);
        assert!(made["id"].is_string(), "{made}");
        stop.store(true, Ordering::SeqCst);
        backup
    });
    eventually("an end", || (app.open_reservations() == 0).then_some(()));
    backup
}

/// Rotates an account's key, whose secret so far ends; the new one.
fn rotated(desk: &Cli, account: &Account) -> PlainApiKey {
    let rotated = desk.json(&["key", "rotate", &account.key_id, "--overlap", "now"]);
    PlainApiKey::parse(rotated["key"].as_str().unwrap()).unwrap()
}

/// Makes sure that a key has the secret that it got after the backup, and no other.
fn assert_rotated(conn: &mut AnyConnection, done: &Value, keys: (&Account, &PlainApiKey)) {
    assert_eq!(done["keys rotated"], 1, "{done}");
    let (account, new_key) = keys;
    let old_key = PlainApiKey::parse(&account.key).unwrap();
    let mut holder = |key: &PlainApiKey| api_keys::holder(conn, &key.hash()).unwrap();
    assert!(holder(&old_key).is_none() && holder(new_key).is_some());
}

#[test]
fn what_happened_after_a_backup_under_load_is_done_again_where_it_must_not_be_undone() {
    let app = served().start();
    let desk = Cli::beside(&app);
    let (busy, leaked, gone) = (app.account("50"), app.account("5"), app.account("0"));
    let (bad, unlinked) = (app.account("5"), app.account("1"));
    let early = paid(&app, &busy, 1);
    let partly = paid(&app, &busy, 2);
    app.db(|conn| wallets::link(conn, &wallet_rows::row(unlinked.id, 1)).unwrap());
    let backup = back_up_under_load(&app, &desk, &busy);

    // What a restore must not undo.
    assert_eq!(desk.run(&["key", "revoke", &leaked.key_id]).code, 0);
    let new_key = rotated(&desk, &unlinked);
    let suspend = ["account", "suspend", &bad.public_id, "--reason", "abuse"];
    assert_eq!(desk.run(&suspend).code, 0);
    close(&app, &gone, true);
    assert_eq!(erase(&app, Duration::ZERO), 1);
    let late = paid(&app, &busy, 3);
    let refunds = [
        pay_back(&app, &early, None),
        pay_back(&app, &partly, Some("1.25".parse().unwrap())),
        pay_back(&app, &late, None),
    ];
    let row = app.db(|conn| wallets::named(conn, "wal_1").unwrap().unwrap());
    app.db(|conn| wallets::end(conn, row.id, "unlinked", app.clock.now()).unwrap());
    let xpub = "abcdef01";
    app.db(|conn| {
        let index = deposit_addresses::next_index(conn, xpub).unwrap();
        let (address, now) = (EvmAddress([9; 20]), app.clock.now());
        let row = deposit_addresses::AddressRow::issued(address, xpub, index, busy.id, now);
        deposit_addresses::insert(conn, &row).unwrap();
    });
    written(&app, "address_issued");
    let content = std::fs::read_to_string(journal(&app)).unwrap();
    for account in [&busy, &leaked, &gone, &bad] {
        assert!(!content.contains(&account.public_id), "an id that leads to somebody");
    }
    let place = sluice::domain::evm::to_hex(late.tx_hash.as_bytes());
    assert!(!content.contains(&place), "a deposit's place on the chain");

    let to = app.folder().join("restored.db");
    let said = drill(&app, &backup, &to);
    let done = &said["replayed"];
    assert_eq!(done["keys revoked"], 1, "{said}");
    assert_eq!(done["accounts suspended"], 1, "{said}");
    assert_eq!(done["accounts erased"], 1, "{said}");
    assert_eq!(done["wallets unlinked"], 1, "{said}");
    assert_eq!(done["address numbers skipped"], 1, "{said}");
    assert_eq!((&done["refunds held"], &done["refunds posted"]), (&2.into(), &2.into()), "{said}");
    assert_eq!(done["refunded deposits that are not credited again"], 1, "{said}");

    let mut conn = connect(&to);
    assert!(sluice::ledger::verify(&mut conn).unwrap().discrepancies.is_empty());
    let key = api_keys::find(&mut conn, &leaked.key_id).unwrap().unwrap();
    assert!(key.revoked_at.is_some());
    assert_rotated(&mut conn, done, (&unlinked, &new_key));
    assert!(accounts::get(&mut conn, gone.id).unwrap().is_none());
    assert!(!accounts::get(&mut conn, bad.id).unwrap().unwrap().status.is_active());
    assert!(wallets::named(&mut conn, "wal_1").unwrap().unwrap().ended_at.is_some());
    assert_eq!(deposit_addresses::counter(&mut conn, xpub).unwrap(), 1);
    for refund in &refunds[..2] {
        let row = sluice::db::models::deposit_refunds::find(&mut conn, refund).unwrap().unwrap();
        assert_eq!((row.state, row.tx_hash), (RefundState::Posted, Some(PAID_BY)));
    }
    // The deposit after the backup is found again, and credited to nobody.
    assert!(deposits::find(&mut conn, "dep_3").unwrap().is_none());
    let key = tombstones(&mut conn, &app.settings);
    assert!(stones::is_buried(&mut conn, &stones::of(&key, &late)).unwrap());
    // Nothing of it is an event of its own, and no number is used twice.
    assert!(sluice::db::models::journal::pending(&mut conn).unwrap().is_empty());
    let next = sluice::accounts::open(&mut conn, "new@example.org", app.clock.now()).unwrap();
    assert!(next.id.0 > gone.id.0, "the number of an erased account");
    let again = app.folder().join("again.db");
    assert_eq!(drill(&app, &backup, &again)["replayed"], *done, "a second time");
}

#[test]
fn a_restore_in_place_moves_the_database_aside_and_a_server_goes_on_from_there() {
    let app = served().start();
    let desk = Cli::beside(&app);
    let account = app.account("5");
    let into = app.folder().join("backups");
    let backup = back_up(&desk, &into);
    let words = ["restore", backup.to_str().unwrap()];
    let refusal = desk.refused(&[&words[..], &["--force"]].concat());
    assert!(refusal.contains("a server or `sluice migrate-to` has"), "{refusal}");
    app.revoke(&account);
    let (database, folder) = app.finish();
    // Not in the journal yet, perhaps: it is taken from the database that is there.
    let desk = Cli::at_database(&database.url);
    let refusal = desk.refused(&words);
    assert!(refusal.contains("add --force to move it aside"), "{refusal}");
    let said = desk.json(&[&words[..], &["--force"]].concat());
    assert_eq!(said["replayed"]["keys revoked"], 1, "{said}");
    let aside = PathBuf::from(said["moved_aside"].as_str().unwrap());
    assert!(aside.exists() && aside.to_str().unwrap().contains("sluice.db.before-"), "{aside:?}");
    let mut builder = Builder::new().upstream("sandbox", sandbox());
    builder.database = Some(database);
    let app = builder.start();
    let answer = app.messages(&account, &body("claude-haiku-4-5", false, SHORT));
    assert_eq!(answer.status, 401, "{}", answer.text());
    // The journal goes on with numbers of its own.
    let other = app.account("1");
    app.revoke(&other);
    let file = folder.path().join("sluice.db.journal");
    eventually("the next event", || {
        let text = std::fs::read_to_string(&file).unwrap();
        text.contains(&other.key_id).then_some(())
    });
    let content = sluice::backups::journal::Journal::at(&file).read().unwrap();
    let numbers: Vec<i64> = content.lines.iter().map(|line| line.sequence).collect();
    assert_eq!(numbers, (1..=2).collect::<Vec<i64>>());
}

/// An account whose request was running when the backup was made is erased by the next server.
#[test]
fn an_erased_account_with_an_open_request_goes_once_a_server_runs() {
    let app = served().start();
    let account = app.account("5");
    app.db(|conn| {
        diesel::connection::SimpleConnection::batch_execute(
            conn,
            "INSERT INTO reservations
                 (id, account_id, api_key_id, node_id, amount_nanousd, record, created_at)
             SELECT 'req_1', account_id, id, 'node', 0, '{}', 0 FROM api_keys",
        )
        .unwrap();
    });
    let desk = Cli::beside(&app);
    let backup = back_up(&desk, &app.folder().join("backups"));
    app.db(|conn| {
        diesel::connection::SimpleConnection::batch_execute(conn, "DELETE FROM reservations")
            .unwrap();
    });
    close(&app, &account, true);
    let terms = (Duration::ZERO, app.settings.deposits.debt_forgiven);
    let now = app.clock.now();
    let erased = app.db(|conn| {
        let key = tombstones(conn, &app.settings);
        erasure::erase_due(conn, &key, terms, now).unwrap()
    });
    assert_eq!(erased, 1);
    written(&app, "account_erased");
    let to = app.folder().join("restored.db");
    let said = drill(&app, &backup, &to);
    assert_eq!(said["replayed"]["accounts that a server erases"], 1, "{said}");
    let mut conn = connect(&to);
    let row = sluice::db::closing::get(&mut conn, account.id).unwrap().unwrap();
    assert!(row.closing_at.is_some() && row.closing_waives_balance);
    let key = api_keys::find(&mut conn, &account.key_id).unwrap().unwrap();
    assert!(key.revoked_at.is_some(), "it spends nothing meanwhile");
    verify(&mut conn);
}

fn verify(conn: &mut AnyConnection) {
    assert!(sluice::ledger::verify(conn).unwrap().discrepancies.is_empty());
    diesel::connection::SimpleConnection::batch_execute(conn, "DELETE FROM reservations").unwrap();
    verify_books(conn);
}
