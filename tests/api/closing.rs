//! P8: an account goes when its owner wants it to: what it could do ends at once, and everything
//! that says whose it was ends once its grace is over and nothing of it is under way.

mod stuck;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::{Value, json};
use sluice::accounts::deletion::closing::Closed;
use sluice::db::AnyConnection;
use sluice::db::models::audit::{self, Decision};
use sluice::db::models::credentials_epoch::Kept;
use sluice::db::models::deposits::{self as deposit_rows, DepositRow};
use sluice::db::models::{accounts, credentials, tombstones as stones};
use sluice::db::schema::{
    accounts as accounts_table, audit_log, deposits as deposits_table, outbox, wallets,
};
use sluice::deposits::claims::{self, Submitted};
use sluice::deposits::{credit, refund};
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::{DepositReason, DepositState};
use sluice::domain::evm::{BlockHash, ChainId, EvmAddress, RawAmount, TxHash};
use sluice::domain::ids::AccountId;
use sluice::domain::mail::MailKind;
use sluice::domain::money::NanoUsd;

use crate::support::app::{Account, Builder, TestApp, tombstones};
use crate::support::client::{Request, Response};
use crate::support::leaving::{self, close};
use crate::support::process::run;
use crate::support::upstream::Upstream;
use crate::support::wait::eventually;

const PASSWORD: &str = "correct horse 47 battery";
const HOUR_MILLIS: i64 = 3_600_000;
/// `accounts.closing_grace_hours` of the reference.
const GRACE_HOURS: i64 = 168;
const WALLET: [u8; 20] = [0xab; 20];
const TX: [u8; 32] = [0xcd; 32];
const USDC: u8 = 0xcc;

/// Somebody who is logged in.
struct Person {
    account: Account,
    email: String,
    session: String,
}

impl Person {
    fn new(app: &TestApp, dollars: &str) -> Self {
        let account = app.account(dollars);
        let email = app.db(|conn| {
            let hash = bcrypt::hash(PASSWORD, 12).unwrap();
            credentials::renew_hash(conn, account.id, &hash).unwrap();
            accounts::get(conn, account.id).unwrap().unwrap().email
        });
        let session = log_in(app, &account);
        Self { account, email, session }
    }

    fn ask(&self, app: &TestApp, method: &str, body: &Value) -> Response {
        let mut request = Request::new(method, "/api/v1/account/closing")
            .header("authorization", &format!("Bearer {}", self.session));
        if method == "POST" {
            request = Request::post("/api/v1/account/closing", body.to_string())
                .header("authorization", &format!("Bearer {}", self.session));
        }
        app.ask(&request)
    }
}

fn log_in(app: &TestApp, account: &Account) -> String {
    let (settings, now) = (&app.settings.accounts, app.clock.now());
    let opened = app.db(|conn| {
        sluice::accounts::identity::sessions::open(conn, account.id, settings, now).unwrap()
    });
    opened.token.reveal().to_owned()
}

fn is_there(app: &TestApp, account: &Account) -> bool {
    app.db(|conn| accounts::get(conn, account.id).unwrap().is_some())
}

/// Erases what is due, as the node's beat does.
fn erase(app: &TestApp) -> usize {
    leaving::erase(app, app.settings.accounts.closing_grace)
}

fn deposit(
    conn: &mut AnyConnection,
    number: u8,
    change: impl FnOnce(&mut DepositRow),
) -> DepositRow {
    let mut row = DepositRow {
        id: 0,
        public_id: format!("dep_{number}"),
        chain_id: ChainId(8453),
        tx_hash: TxHash(TX.map(|byte| byte ^ number)),
        ordinal: 0,
        token: Some(EvmAddress([USDC; 20])),
        payer: EvmAddress(WALLET),
        payee: EvmAddress([0xee; 20]),
        raw_amount: RawAmount::from(1_000_000),
        block_number: 7,
        block_hash: BlockHash([7; 32]),
        block_time: UnixMillis::from_millis(1_795_000_000_000),
        state: DepositState::Confirming,
        reason: None,
        account_id: None,
        wallet_id: None,
        value_nanousd: Some(NanoUsd::from_nanos(1_000_000_000)),
        price_feed: None,
        price_round: None,
        price_answer: None,
        credit_number: 0,
        revision: 0,
        check_at: UnixMillis::from_millis(0),
        created_at: UnixMillis::from_millis(0),
        updated_at: UnixMillis::from_millis(0),
        early_credit_at: None,
        early_value_nanousd: None,
        is_provisional: false,
    };
    change(&mut row);
    deposit_rows::insert(conn, &row).unwrap();
    deposit_rows::find(conn, &row.public_id).unwrap().unwrap()
}

/// A wallet, a credited deposit of it that was paid back in part, a small one, one that the chain
/// undid, and an operator's word about it.
fn make_deposits(app: &TestApp, account: &Account) {
    let now = app.clock.now();
    app.db(|conn| {
        let key = tombstones(conn, &app.settings);
        let id = account.id.0;
        diesel::insert_into(wallets::table)
            .values((
                wallets::public_id.eq(format!("wal_{id}")),
                wallets::account_id.eq(id),
                wallets::kind.eq("eoa"),
                wallets::chain_id.eq(0),
                wallets::address.eq(WALLET.to_vec()),
                wallets::proven_at.eq(0),
            ))
            .execute(conn)
            .unwrap();
        let wallet_id: i64 = wallets::table.select(wallets::id).first(conn).unwrap();
        let mine = |row: &mut DepositRow| {
            row.account_id = Some(AccountId(id));
            row.wallet_id = Some(wallet_id);
        };
        let row = deposit(conn, 0, mine);
        assert!(
            credit::credit(conn, &key, &row, sluice::domain::money::NanoUsd::ZERO, now).unwrap()
        );
        deposit(conn, 1, |row| {
            mine(row);
            row.state = DepositState::BelowMinimum;
        });
        let row = deposit(conn, 2, mine);
        assert!(
            credit::credit(conn, &key, &row, sluice::domain::money::NanoUsd::ZERO, now).unwrap()
        );
        let row = deposit_rows::find(conn, "dep_2").unwrap().unwrap();
        assert!(credit::reverse(conn, &row, now).unwrap());
        let row = deposit_rows::find(conn, "dep_0").unwrap().unwrap();
        let half = "0.50".parse().unwrap();
        let held = refund::hold(conn, &key, &row, Some(half), "asked for", now).unwrap();
        assert!(matches!(held, refund::Refunded::Done(_)), "{held:?}");
        let (action, subject, detail) = ("approved", "dep_0", "a reason");
        let word = Decision { action, subject, account_id: Some(account.id), detail };
        audit::write(conn, &word, now).unwrap();
    });
}

fn post_refund(conn: &mut AnyConnection) {
    use sluice::db::schema::deposit_refunds as table;
    diesel::update(table::table).set(table::state.eq("posted")).execute(conn).unwrap();
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Rows of an account in every table that says whose its rows are.
fn rows_of(app: &TestApp, account: &Account) -> Vec<(&'static str, i64)> {
    const TABLES: [&str; 15] = [
        "api_keys",
        "ledger_entries",
        "reservations",
        "usage_logs",
        "wallets",
        "wallet_challenges",
        "deposit_addresses",
        "deposits",
        "deposit_claims",
        "audit_log",
        "sessions",
        "log_in_steps",
        "email_tokens",
        "recovery_codes",
        "outbox",
    ];
    app.db(|conn| {
        TABLES
            .map(|table| {
                let sql = format!(
                    "SELECT COUNT(*) AS count FROM {table} WHERE account_id = {}",
                    account.id.0
                );
                (table, diesel::sql_query(sql).get_result::<Count>(conn).unwrap().count)
            })
            .into()
    })
}

#[test]
fn whoever_deletes_an_account_shows_the_password_and_says_what_becomes_of_the_rest() {
    let app = TestApp::sandboxed();
    let person = Person::new(&app, "1");
    let wish = |password: &str, waives: bool| {
        person.ask(&app, "POST", &json!({ "password": password, "waive_balance": waives }))
    };
    let code = |response: &Response| response.json()["error"]["code"].clone();
    assert_eq!(code(&wish("another password", true)), "wrong_password");
    let left = wish(PASSWORD, false);
    assert_eq!((left.status, code(&left)), (409, json!("balance_left")));
    assert!(left.text().contains("1.00 dollars"), "{}", left.text());
    let not_closing = person.ask(&app, "DELETE", &Value::Null);
    assert_eq!((not_closing.status, code(&not_closing)), (409, json!("not_closing")));
    // A key may not do that, whoever holds it.
    let body = json!({ "password": PASSWORD, "waive_balance": true }).to_string();
    let by_key = Request::post("/api/v1/account/closing", body).key(&person.account.key);
    assert_eq!(app.ask(&by_key).status, 403);
    assert_eq!(app.models(&person.account).status, 200);

    let begun = wish(PASSWORD, true);
    assert_eq!(begun.status, 202, "{}", begun.text());
    let erased_at = app.clock.now().plus_millis(GRACE_HOURS * HOUR_MILLIS).to_string();
    assert_eq!(begun.json(), json!({ "erased_at": erased_at }));
    let mail = app.mails_to(&person.email, 1).remove(0);
    assert!(mail.header("Subject").unwrap().contains("deletion"), "{}", mail.headers);
}

#[test]
fn a_second_factor_is_asked_for_before_an_account_is_deleted() {
    let app = TestApp::sandboxed();
    let person = Person::new(&app, "0.5");
    app.db(|conn| {
        let id = person.account.id;
        let sealed = tombstones(conn, &app.settings).sealing().seal(&[7; 20], id).unwrap();
        let (kept, now) = (Kept::All, app.clock.now());
        credentials::enable_totp(conn, id, (&sealed, 0), kept, now).unwrap();
    });
    let without = json!({ "password": PASSWORD, "waive_balance": true });
    let response = person.ask(&app, "POST", &without);
    assert_eq!(
        (response.status, &response.json()["error"]["code"]),
        (401, &json!("code_required"))
    );
    let wrong = json!({ "password": PASSWORD, "code": "000000", "waive_balance": true });
    let response = person.ask(&app, "POST", &wrong);
    assert_eq!((response.status, &response.json()["error"]["code"]), (401, &json!("wrong_code")));
    assert!(is_there(&app, &person.account));
}

#[test]
fn p8_keys_sessions_and_wallets_end_at_once_and_the_owner_may_think_better_of_it() {
    let app = TestApp::sandboxed();
    let mut person = Person::new(&app, "0.25");
    make_deposits(&app, &person.account);
    let wish = json!({ "password": PASSWORD, "waive_balance": true });
    assert_eq!(person.ask(&app, "POST", &wish).status, 202);
    assert_eq!(app.models(&person.account).status, 401);
    assert_eq!(person.ask(&app, "POST", &wish).status, 401);
    let in_force: i64 = app.db(|conn| {
        wallets::table.filter(wallets::ended_at.is_null()).count().get_result(conn).unwrap()
    });
    assert_eq!(in_force, 0);

    person.session = log_in(&app, &person.account);
    let closing = person.ask(&app, "POST", &wish);
    assert_eq!(
        (closing.status, &closing.json()["error"]["code"]),
        (403, &json!("account_closing"))
    );
    assert_eq!(person.ask(&app, "DELETE", &Value::Null).status, 204);
    app.clock.advance(GRACE_HOURS * HOUR_MILLIS + 1);
    assert_eq!(erase(&app), 0);
    assert!(is_there(&app, &person.account));
    app.db(post_refund);
}

/// What an account leaves besides usage and deposits.
fn make_code_and_claim(app: &TestApp, account: &Account) {
    app.db(|conn| {
        sluice::db::models::recovery_codes::replace(conn, account.id, &[[1; 32]]).unwrap();
        let (limits, now) = (&app.settings.deposits, app.clock.now());
        let hash = TxHash::from_slice(&TX).unwrap();
        let claimed = claims::submit(conn, account.id, ChainId(8453), hash, limits, now).unwrap();
        assert!(matches!(claimed, Submitted::Kept(_)));
    });
}

#[test]
fn p8_nothing_of_an_erased_account_is_left_and_its_address_can_begin_anew() {
    let app = TestApp::sandboxed();
    let person = Person::new(&app, "1");
    let body = json!({
        "model": "claude-haiku-4-5", "max_tokens": 16,
        "messages": [{ "role": "user", "content": "hello" }],
    });
    assert_eq!(app.messages(&person.account, &body.to_string()).status, 200);
    make_deposits(&app, &person.account);
    make_code_and_claim(&app, &person.account);
    assert!(matches!(close(&app, &person.account, true), Closed::Begun { .. }));
    app.all_mail_is_gone();
    // One mail that could not be sent so far.
    let later = app.clock.now().plus_millis(10 * GRACE_HOURS * HOUR_MILLIS);
    app.put_mail(MailKind::PasswordChanged, &person.email, Some(person.account.id));
    app.db(|conn| {
        diesel::update(outbox::table)
            .set(outbox::due_at.eq(later.as_millis()))
            .execute(conn)
            .unwrap();
    });

    app.clock.advance(GRACE_HOURS * HOUR_MILLIS - 1);
    assert_eq!(erase(&app), 0, "its grace is not over");
    app.clock.advance(1);
    assert_eq!(erase(&app), 0, "a refund is held");
    app.db(post_refund);
    // The node's own beat finds it.
    eventually("the account to be erased", || (!is_there(&app, &person.account)).then_some(()));

    for (table, count) in rows_of(&app, &person.account) {
        assert_eq!(count, 0, "{table}");
    }
    app.db(|conn| {
        let words: i64 = audit_log::table.count().get_result(conn).unwrap();
        assert_eq!(words, 2, "decisions stay, without a name");
        let named: i64 =
            audit_log::table.filter(audit_log::detail.ne("")).count().get_result(conn).unwrap();
        assert_eq!(named, 0, "and without the words that somebody typed");
        // Of what was on the chain a keyed hash is left; what had left it is nobody's.
        assert_eq!(deposits_table::table.count().get_result::<i64>(conn).unwrap(), 0);
        let key = tombstones(conn, &app.settings);
        for (number, is_buried) in [(0, true), (1, true), (2, false)] {
            let stone = key.tombstone(ChainId(8453), &TX.map(|byte| byte ^ number), 0);
            assert_eq!(stones::is_buried(conn, &stone).unwrap(), is_buried, "{number}");
        }
        let now = app.clock.now();
        let again = sluice::accounts::open(conn, &person.email, now).unwrap();
        assert_ne!(again.public_id, person.account.public_id);
    });
}

#[test]
fn p8_erasing_waits_for_what_is_under_way_and_for_what_is_left() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let busy = app.account("1");
    let waiting = app.account("0");
    let rich = app.account("0");
    let body = json!({
        "model": "claude-haiku-4-5", "max_tokens": 16,
        "messages": [{ "role": "user", "content": "hello" }],
    });
    let connection = app.send(&busy, &body.to_string());
    let exchange = upstream.next();
    app.db(|conn| {
        deposit(conn, 3, |row| row.account_id = Some(waiting.id));
        deposit(conn, 4, |row| {
            row.account_id = Some(waiting.id);
            row.state = DepositState::Held;
            row.reason = Some(DepositReason::AboveReviewLimit);
        });
    });
    assert!(matches!(close(&app, &busy, true), Closed::Begun { .. }));
    assert!(matches!(close(&app, &waiting, false), Closed::Begun { .. }));
    assert!(matches!(close(&app, &rich, false), Closed::Begun { .. }));
    // What arrives behind the wish was not waived.
    app.db(|conn| crate::support::app::credit(conn, rich.id, 5));
    app.clock.advance(GRACE_HOURS * HOUR_MILLIS);
    assert_eq!(erase(&app), 0);

    exchange.answer_json(&crate::support::upstream::message(&json!({
        "input_tokens": 3, "output_tokens": 2,
    })));
    assert_eq!(connection.answer(false).finish().status, 200);
    eventually("the answer to be settled", || (app.open_reservations() == 0).then_some(()));
    eventually("the busy one to go", || {
        erase(&app);
        (!is_there(&app, &busy)).then_some(())
    });
    for (name, next) in [("dep_3", "orphaned"), ("dep_4", "rejected")] {
        assert!(is_there(&app, &waiting), "{name}");
        app.db(|conn| {
            use sluice::db::schema::deposits as table;
            let row = table::table.filter(table::public_id.eq(name));
            diesel::update(row).set(table::state.eq(next)).execute(conn).unwrap();
        });
    }
    erase(&app);
    assert!(!is_there(&app, &waiting) && is_there(&app, &rich));
    assert!(matches!(close(&app, &rich, false), Closed::BalanceLeft(_)));
    assert!(matches!(close(&app, &rich, true), Closed::Begun { .. }));
    erase(&app);
    assert!(!is_there(&app, &rich));
}

#[test]
fn the_operator_deletes_an_account_for_somebody_and_keeps_it_after_all() {
    let mut builder = Builder::new();
    let mut conn = builder.migrated();
    let account = crate::support::app::open_account(&mut conn, "2");
    let file = builder.write();
    let database = builder.database.take().unwrap();
    let config = file.to_str().unwrap();
    let sluice = |words: &[&str]| run(&[&["--config", config], words].concat(), &[]);
    let id = account.public_id.as_str();
    let refused = sluice(&["account", "delete", id]);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("still has 2.00 USD"), "{}", refused.err);
    let begun = sluice(&["account", "delete", id, "--waive-balance", "--json"]).json();
    assert_eq!(begun["id"], id);
    assert!(begun["erased_at"].is_string());
    let kept = sluice(&["account", "keep", id]);
    assert_eq!((kept.code, kept.out.as_str()), (0, "The deletion is cancelled.\n"), "{}", kept.err);
    assert_ne!(sluice(&["account", "keep", id]).code, 0);
    let words: Vec<(String, String, Option<i64>, String)> = audit_log::table
        .order(audit_log::id)
        .select((audit_log::action, audit_log::subject, audit_log::account_id, audit_log::detail))
        .load(&mut conn)
        .unwrap();
    let word = |action: &str, detail: &str| {
        (action.to_owned(), "account".to_owned(), Some(account.id.0), detail.to_owned())
    };
    assert_eq!(words, [word("account_closed", "balance waived"), word("account_kept", "")]);
    let (closing_at, waives): (Option<i64>, bool) = accounts_table::table
        .find(account.id.0)
        .select((accounts_table::closing_at, accounts_table::closing_waives_balance))
        .first(&mut conn)
        .unwrap();
    assert_eq!((closing_at, waives), (None, false));
    drop(database);
}
