//! The keys of second factors are worth nothing without the secret outside the database.

use diesel::prelude::*;
use sluice::accounts::deletion::tombstones::TombstoneError;
use sluice::app::{ShutdownSignals, StartError};
use sluice::db::AnyConnection;
use sluice::db::models::credentials;
use sluice::db::schema::accounts;
use sluice::domain::clock::Clock;
use sluice::domain::ids::AccountId;

use crate::support::app::{Builder, TestApp, open_account, serve, tombstones};
use crate::support::people::PASSWORD;
use crate::support::process::run;
use crate::support::upstream::Upstream;

const PLAIN: [u8; 20] = [7; 20];

fn builder() -> Builder {
    Builder::new().upstream("primary", Upstream::nowhere())
}

fn stored(conn: &mut AnyConnection, id: AccountId) -> Option<Vec<u8>> {
    accounts::table.find(id.0).select(accounts::totp_secret).first(conn).unwrap()
}

fn store(conn: &mut AnyConnection, id: AccountId, secret: &[u8]) {
    diesel::update(accounts::table.find(id.0))
        .set((accounts::totp_secret.eq(secret), accounts::totp_enabled_at.eq(Some(1))))
        .execute(conn)
        .unwrap();
}

/// Starts a server and stops it at once; what it said.
fn start(builder: &Builder) -> Result<(), StartError> {
    let stop = ShutdownSignals::default();
    let (thread, addresses) =
        serve(builder.settings().into(), Clock::manual(1_795_348_800_000), stop.clone());
    stop.in_order.cancel();
    thread.join().unwrap();
    addresses.map(drop)
}

#[test]
fn p2_a_key_that_an_earlier_version_has_stored_plain_is_sealed_with_the_next_start() {
    let builder = builder();
    let mut conn = builder.migrated();
    // More than are sealed in one transaction.
    let ids: Vec<AccountId> = (0..103).map(|_| open_account(&mut conn, "0").id).collect();
    for id in &ids {
        store(&mut conn, *id, &PLAIN);
    }
    start(&builder).unwrap();
    let key = tombstones(&mut conn, &builder.settings());
    for id in &ids {
        let sealed = stored(&mut conn, *id).unwrap();
        assert!(!sealed.windows(4).any(|bytes| bytes == [7; 4]));
        assert_eq!(key.sealing().open(&sealed, *id).as_deref(), Some(&PLAIN[..]));
    }
    let before = stored(&mut conn, ids[0]);
    start(&builder).unwrap();
    assert_eq!(stored(&mut conn, ids[0]), before, "once is enough");
}

#[test]
fn a_key_does_not_work_in_another_accounts_row() {
    let app: TestApp = builder().start();
    let (person, other) = (app.person(), app.person());
    app.enable_totp(&person);
    let (authenticator, codes) = app.enable_totp(&other);
    app.db(|conn| {
        let sealed = stored(conn, other.id).unwrap();
        store(conn, person.id, &sealed);
    });
    app.clock.advance(30_000);
    let code = app.code_now(&authenticator);
    let refused = app.log_in_with(&person.email, &code);
    assert_eq!(refused.status, 503, "{}", refused.text());
    app.log_in_with(&other.email, &code).session();
    app.log_in_with(&other.email, &codes[0]).session();
}

#[test]
fn without_the_secret_a_server_does_not_start_until_second_factors_are_given_up_for_recovery_codes()
{
    let builder = builder();
    let mut conn = builder.migrated();
    let id = open_account(&mut conn, "0").id;
    let key = tombstones(&mut conn, &builder.settings());
    store(&mut conn, id, &key.sealing().seal(&PLAIN, id).unwrap());
    start(&builder).unwrap();
    let file = builder.folder.path().join("sluice.db.secret");
    if file.exists() {
        std::fs::remove_file(&file).unwrap();
        let Err(StartError::Tombstones(error)) = start(&builder) else { panic!("it started") };
        assert!(matches!(error, TombstoneError::Lost(_)), "{error}");
    }
    let builder = builder.set("privacy.tombstone_secret", "\"another-secret-than-it-was-before\"");
    let Err(StartError::Tombstones(error)) = start(&builder) else { panic!("it started") };
    assert!(matches!(error, TombstoneError::Other), "{error}");
    assert!(error.to_string().contains("two-factor codes"), "{error}");
    let config = builder.write();
    let words = ["deposit", "forget-tombstones", "--reason", "the disk is gone"];
    let forgotten = run(&[&["--config", config.to_str().unwrap()], &words[..]].concat(), &[]);
    assert_eq!(forgotten.code, 0, "{}", forgotten.err);
    assert!(forgotten.out.contains("1 accounts now need a recovery code"), "{}", forgotten.out);
    start(&builder).unwrap();
    // A second factor is asked for as before.
    let known = credentials::get(&mut conn, id).unwrap().unwrap();
    assert!(known.has_totp() && known.totp_secret.is_none());
}

#[test]
fn a_recovery_code_logs_in_where_the_key_was_given_up() {
    let app = builder().start();
    let person = app.person();
    let (authenticator, codes) = app.enable_totp(&person);
    app.db(|conn| credentials::forget_totps(conn).unwrap());
    app.clock.advance(30_000);
    let code = app.code_now(&authenticator);
    app.log_in_with(&person.email, &code).expect_refusal(401, "wrong_code");
    app.log_in(&person.email, PASSWORD).expect_refusal(401, "code_required");
    app.log_in_with(&person.email, &codes[0]).session();
    let both = serde_json::json!({ "password": PASSWORD, "code": codes[1] });
    app.by_with(&person.token, "DELETE", "/api/v1/account/totp", &both).expect_done();
    app.enable_totp(&person);
}
