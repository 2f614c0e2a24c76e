//! P8: what is left of an erased account's deposits, and the secret without which it is worth
//! nothing. A secret that is lost is noticed, and what an earlier version left is buried.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use diesel::prelude::*;
use sluice::accounts::deletion::tombstones::{self, TombstoneError};
use sluice::app::{ShutdownSignals, StartError};
use sluice::config::{self, Sources};
use sluice::db::AnyConnection;
use sluice::db::models::{deposits as deposit_rows, tombstones as stones};
use sluice::db::schema::{deposit_tombstones, deposits};
use sluice::deposits::DepositError;
use sluice::deposits::{credit, review};
use sluice::domain::evm::{ChainId, EvmAddress, RawAmount};
use sluice::domain::tombstone::TombstoneKey;

use crate::support::app::{Account, Builder, TOMBSTONE_SECRET, open_account, serve};
use crate::support::deposit_rows::row;
use crate::support::process::run;
use crate::support::upstream::Upstream;

fn builder() -> Builder {
    Builder::new().upstream("primary", Upstream::nowhere())
}

/// Starts a server and stops it at once; what it said.
fn start(builder: &Builder) -> Result<(), StartError> {
    let stop = ShutdownSignals::default();
    let clock = sluice::domain::clock::Clock::manual(1_795_348_800_000);
    let (thread, addresses) = serve(Arc::new(builder.settings()), clock, stop.clone());
    stop.in_order.cancel();
    thread.join().unwrap();
    addresses.map(drop)
}

fn refusal(builder: &Builder) -> TombstoneError {
    match start(builder) {
        Err(StartError::Tombstones(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("it started"),
    }
}

fn secret_file(builder: &Builder) -> PathBuf {
    builder.folder.path().join("sluice.db.secret")
}

fn key(builder: &Builder, conn: &mut AnyConnection) -> TombstoneKey {
    tombstones::unlock(conn, &builder.settings().privacy).unwrap()
}

/// A deposit that was credited to somebody, as a row that an earlier version has emptied, or as it
/// was before.
fn insert(conn: &mut AnyConnection, account: &Account, number: u8, state: &str, is_empty: bool) {
    let mut row = row(account, number, state, None);
    if is_empty {
        row.account_id = None;
        row.payer = EvmAddress::ZERO;
        row.raw_amount = RawAmount::from(0);
    }
    deposit_rows::insert(conn, &row).unwrap();
}

fn stone(key: &TombstoneKey, number: u8) -> [u8; 32] {
    key.tombstone(ChainId(1), &[number; 32], 0)
}

#[test]
fn p8_what_an_earlier_version_has_emptied_is_buried_with_the_next_start_and_only_once() {
    let builder = builder();
    let mut conn = builder.migrated();
    let account = open_account(&mut conn, "0");
    insert(&mut conn, &account, 1, "erased", true);
    insert(&mut conn, &account, 2, "reversed", true);
    insert(&mut conn, &account, 3, "credited", false);
    insert(&mut conn, &account, 4, "reversed", false);
    for _ in 0..2 {
        start(&builder).unwrap();
        let left: Vec<String> = deposits::table
            .order(deposits::public_id)
            .select(deposits::public_id)
            .load(&mut conn)
            .unwrap();
        assert_eq!(left, ["dep_3", "dep_4"]);
        let count: i64 = deposit_tombstones::table.count().get_result(&mut conn).unwrap();
        assert_eq!(count, 1);
    }
    let key = key(&builder, &mut conn);
    assert!(stones::is_buried(&mut conn, &stone(&key, 1)).unwrap());
}

#[test]
fn p8_a_secret_that_is_lost_or_another_one_is_refused_until_it_is_given_up_for_good() {
    let builder = builder();
    let mut conn = builder.migrated();
    let account = open_account(&mut conn, "0");
    insert(&mut conn, &account, 1, "erased", true);
    start(&builder).unwrap();
    let file = secret_file(&builder);
    let is_sqlite = file.exists();
    let builder = if is_sqlite {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let secret = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let lost = refusal(&builder);
        assert!(matches!(lost, TombstoneError::Lost(_)), "{lost}");
        assert!(lost.to_string().contains("sluice.db.secret with"), "{lost}");
        assert!(!file.exists(), "no other one is made in its place");
        std::fs::write(&file, secret).unwrap();
        start(&builder).unwrap();
        std::fs::remove_file(&file).unwrap();
        builder
    } else {
        builder
    };
    // Any other, wherever it comes from.
    let builder = builder.set("privacy.tombstone_secret", "\"another-secret-than-it-was-before\"");
    let other = refusal(&builder);
    assert!(matches!(other, TombstoneError::Other), "{other}");
    let config = builder.write();
    let sluice =
        |words: &[&str]| run(&[&["--config", config.to_str().unwrap()], words].concat(), &[]);
    let refused = sluice(&["deposit", "review", "dep_1", "--approve", "--reason", "why not"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("forget-tombstones"), "{}", refused.err);

    let forgotten = sluice(&["deposit", "forget-tombstones", "--reason", "the disk is gone"]);
    assert_eq!(forgotten.code, 0, "{}", forgotten.err);
    assert!(forgotten.out.starts_with("1 tombstones were deleted"), "{}", forgotten.out);
    start(&builder).unwrap();
    start(&builder).unwrap();
}

#[test]
fn a_secret_of_which_nothing_was_made_so_far_may_be_made_anew_beside_sqlite() {
    let builder = builder();
    let mut conn = builder.migrated();
    start(&builder).unwrap();
    let file = secret_file(&builder);
    if !file.exists() {
        return;
    }
    let first = key(&builder, &mut conn);
    std::fs::remove_file(&file).unwrap();
    start(&builder).unwrap();
    let second = key(&builder, &mut conn);
    assert_ne!(stone(&first, 1), stone(&second, 1));
    // A server that still has the first one buries nothing with it.
    let account = open_account(&mut conn, "0");
    let row = row(&account, 1, "credited", None);
    let error = stones::bury(&mut conn, &first, std::slice::from_ref(&row)).unwrap_err();
    assert!(matches!(error, sluice::db::DbError::OtherSecret), "{error}");
    stones::bury(&mut conn, &second, &[row]).unwrap();
}

#[test]
fn on_postgres_a_server_asks_for_the_secret_and_commands_do_without() {
    let text = |secret: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sluice.toml");
        let toml = format!(
            "database.url = \"postgres://localhost/sluice\"\n{secret}\n\
             [[upstreams]]\nname = \"a\"\nbase_url = \"http://127.0.0.1:1\"\ncredential = \"x\"\n"
        );
        std::fs::write(&file, toml).unwrap();
        (Sources { file: Some(file), env: Vec::new() }, folder)
    };
    let (sources, _folder) = text("");
    let errors = config::load(&sources).unwrap_err().to_string();
    assert!(errors.contains("privacy.tombstone_secret_env: is missing: on PostgreSQL"), "{errors}");
    assert!(config::load_for(&sources, config::LoadPurpose::Command).is_ok());
    let (sources, _folder) = text("privacy.tombstone_secret = \"too-short\"");
    let errors = config::load(&sources).unwrap_err().to_string();
    assert!(errors.contains("privacy.tombstone_secret: must have at least 32"), "{errors}");
    let (sources, _folder) = text(&format!("privacy.tombstone_secret = \"{TOMBSTONE_SECRET}\""));
    let settings = config::load(&sources).unwrap();
    assert!(
        !settings.render().contains(TOMBSTONE_SECRET)
            && !format!("{settings:?}").contains(TOMBSTONE_SECRET)
    );
}

#[test]
fn p8_nobody_credits_what_is_buried_whatever_the_row_says() {
    let builder = builder();
    let mut conn = builder.migrated();
    let account = open_account(&mut conn, "0");
    let key = key(&builder, &mut conn);
    let now = sluice::domain::clock::UnixMillis::from_millis(0);
    for (number, state, reason) in
        [(1, "held", "above_review_limit"), (2, "confirming", ""), (3, "held", "erased_account")]
    {
        let reason = (!reason.is_empty()).then_some(reason);
        let row = row(&account, number, state, reason);
        deposit_rows::insert(&mut conn, &row).unwrap();
        stones::bury(&mut conn, &key, &[row]).unwrap();
    }
    let read = |conn: &mut AnyConnection, name| deposit_rows::find(conn, name).unwrap().unwrap();
    let one = read(&mut conn, "dep_1");
    let approved = review::approve(&mut conn, &key, &one, None, "why", now);
    let two = read(&mut conn, "dep_2");
    let credited = credit::credit(&mut conn, &key, &two, sluice::domain::money::NanoUsd::ZERO, now)
        .map(|_| review::ReviewDecision::Done);
    let three = read(&mut conn, "dep_3");
    let attributed = review::attribute(&mut conn, &key, &three, account.id, "why", now);
    for outcome in [approved, credited, attributed] {
        assert!(matches!(outcome, Err(DepositError::Buried(_))), "{outcome:?}");
    }
    assert_eq!(read(&mut conn, "dep_1"), one);
}
