//! Refunds: held, posted, released; guarded against what is spent, undone or decided meanwhile.

use std::sync::Barrier;

use serde_json::json;
use sluice::db::models::chains::{self, ChainRow};
use sluice::db::models::deposits::{self, DepositRow};
use sluice::deposits::credit;
use sluice::deposits::refund::{self, Refunded};
use sluice::domain::deposit::DepositState;
use sluice::domain::evm::{ChainId, TxHash};
use sluice::domain::ids::RequestId;
use sluice::domain::money::NanoUsd;
use sluice::domain::usage_record::UsageRecord;
use sluice::ledger::{self, Command, Effect, Hold};

use super::{BASE, Desk, NOON};
use crate::support::app::Account;

const DOLLAR: i64 = 1_000_000_000;
const REASON: [&str; 2] = ["--reason", "asked for it"];

fn hold<'a>(id: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["refund", id][..], &REASON, more].concat()
}

fn paid_by() -> String {
    format!("0x{}", "fe".repeat(32))
}

#[test]
fn a_credited_deposit_is_held_and_posted_and_paid_back_once() {
    let mut desk = Desk::new();
    let account = desk.account("1");
    let row = desk.credited(&account, 5 * DOLLAR);
    let hash = paid_by();
    desk.refused(
        &["refund", "dep_1", "--tx", &hash],
        &["no refund of dep_1 is held, which is credited"],
    );
    desk.refused(
        &["refund", "dep_1", "--cancel", REASON[0], REASON[1]],
        &["no refund of dep_1 is held"],
    );
    let said = desk.ok(&hold("dep_1", &["--amount", "4.25"]));
    assert!(said.contains("4.25 USD was taken") && said.contains("--tx HASH"), "{said}");
    assert_eq!(desk.available(&account), 1_750_000_000);
    desk.verify();
    desk.refused(&hold("dep_1", &[]), &["is already held"]);
    let own = format!("0x{}", "01".repeat(32));
    desk.refused(&["refund", "dep_1", "--tx", &own], &["is the transaction of dep_1 itself"]);

    let document = desk.json(&["refund", "dep_1", "--tx", &hash]);
    let refund = &document["refunds"][0];
    assert_eq!((&refund["state"], &refund["amount"]), (&json!("posted"), &json!("4.25")));
    assert_eq!((&refund["tx_hash"], &document["state"]), (&json!(hash), &json!("credited")));
    assert_eq!(document["entries"].as_array().unwrap().len(), 2);
    assert_eq!(document["decisions"][1]["detail"], hash.as_str());
    desk.verify();
    let done = ["was posted with 0xfefe", "refunded only once"];
    desk.refused(&["refund", "dep_1", "--tx", &hash], &done);
    desk.refused(&["refund", "dep_1", "--cancel", REASON[0], REASON[1]], &done);
    desk.refused(&hold("dep_1", &[]), &done);
    assert_eq!(desk.available(&account), 1_750_000_000);
    assert_eq!(desk.standing(&row).0, "credited");
    assert!(desk.ok(&["show", "dep_1"]).contains("refund_posted"));
}

#[test]
fn what_was_paid_back_is_not_told_as_credited() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    for _ in 0..3 {
        desk.credited(&account, 5 * DOLLAR);
    }
    let states = |desk: &Desk, args: &[&str]| {
        let listed = desk.json(&[&["list"], args].concat());
        let one = |one: &serde_json::Value| format!("{} {}", one["id"], one["state"]);
        let all: Vec<String> = listed.as_array().unwrap().iter().map(one).collect();
        all.join(", ").replace('"', "")
    };
    // The first whole, the second in part, the third on its way.
    desk.ok(&hold("dep_1", &[]));
    assert_eq!(states(&desk, &["--state", "refunded"]), "", "it is not paid yet");
    assert!(desk.ok(&["list"]).contains("credited (refund of 5.00 held)"));
    let shown = desk.ok(&["show", "dep_1"]);
    assert!(shown.contains("$5.00 of it was removed again for a refund"), "{shown}");
    desk.ok(&["refund", "dep_1", "--tx", &paid_by()]);
    desk.ok(&hold("dep_2", &["--amount", "4.25"]));
    desk.ok(&["refund", "dep_2", "--tx", &paid_by()]);
    desk.ok(&hold("dep_3", &[]));
    desk.ok(&["refund", "dep_3", "--cancel", REASON[0], REASON[1]]);
    let all = "dep_1 refunded, dep_2 credited, dep_3 credited";
    assert_eq!(states(&desk, &[]), all);
    assert_eq!(states(&desk, &["--state", "refunded"]), "dep_1 refunded");
    assert_eq!(states(&desk, &["--state", "credited"]), "dep_2 credited, dep_3 credited");
    let table = desk.ok(&["list"]);
    assert!(table.contains("credited (4.25 refunded)") && table.contains(" refunded"), "{table}");
    let shown = desk.json(&["show", "dep_1"]);
    let words = shown["sentence"].as_str().unwrap();
    assert!(words.starts_with("Refunded $5.00 on 20") && words.contains(&paid_by()), "{words}");
    assert_eq!((&shown["refunded"], &shown["refund_state"]), (&json!("5.00"), &json!("posted")));
    assert!(!desk.ok(&["show", "dep_1"]).contains("Credited to your balance"));
    let part = desk.ok(&["show", "dep_2"]);
    assert!(part.contains("Credited to your balance. Refunded $4.25 of it on 20"), "{part}");
    let export = desk.ok(&["export"]);
    assert!(export.lines().nth(1).unwrap().contains(",refunded,"), "{export}");
    assert!(export.lines().nth(2).unwrap().contains(",credited,"), "{export}");
    // The books hold by the rows, which say that it was credited.
    let row = desk.read("dep_1");
    assert_eq!(row.state.as_str(), "credited");
    desk.verify();
    // A chain that is rewritten still takes the credit back.
    assert!(credit::reverse(&mut desk.conn, &row, NOON).unwrap());
    assert_eq!(desk.json(&["show", "dep_1"])["state"], "reversed");
}

#[test]
fn a_cancelled_refund_gives_everything_back_and_another_may_follow() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    desk.credited(&account, 5 * DOLLAR);
    desk.ok(&hold("dep_1", &[]));
    assert_eq!(desk.available(&account), 0);
    let said = desk.ok(&["refund", "dep_1", "--cancel", REASON[0], REASON[1]]);
    assert!(said.contains("5.00 USD is back on the balance"), "{said}");
    assert_eq!(desk.available(&account), 5 * DOLLAR);
    desk.verify();
    desk.ok(&hold("dep_1", &["--amount", "1"]));
    let refunds = desk.json(&["show", "dep_1"])["refunds"].clone();
    assert_eq!((&refunds[0]["state"], &refunds[1]["state"]), (&json!("cancelled"), &json!("held")));
    assert_eq!(desk.available(&account), 4 * DOLLAR);
}

#[test]
fn the_books_notice_a_refund_without_its_entry() {
    use diesel::RunQueryDsl;
    let mut desk = Desk::new();
    let account = desk.account("0");
    desk.credited(&account, 5 * DOLLAR);
    desk.ok(&hold("dep_1", &[]));
    let mut rules = |set: &str| {
        let sql = format!("UPDATE deposit_refunds SET {set}");
        diesel::sql_query(sql).execute(&mut desk.conn).unwrap();
        let found = ledger::verify(&mut desk.conn).unwrap().discrepancies;
        found.into_iter().map(|one| one.rule).collect::<Vec<_>>()
    };
    assert_eq!(rules("state = 'cancelled'"), ["refund = refund entry"]);
    let both = ["refund = refund entry", "refund entries = refunds of credits"];
    assert_eq!(rules("state = 'held', amount_nanousd = 0"), both);
    assert_eq!(rules("amount_nanousd = 5000000000"), Vec::<String>::new());
}

#[test]
fn no_more_is_paid_back_than_was_credited_and_is_left() {
    let mut desk = Desk::new();
    let account = desk.account("10");
    desk.credited(&account, 5 * DOLLAR);
    desk.refused(
        &hold("dep_1", &["--amount", "5.000000001"]),
        &["credited with 5.00 USD: no more"],
    );
    desk.wrong(&hold("dep_1", &["--amount", "0"]), "above 0");
    spend(&mut desk, &account, 11 * DOLLAR);
    let left = [
        account.public_id.as_str(),
        "4.00 USD available",
        "5.00 USD to hold for dep_1",
        "--amount",
    ];
    desk.refused(&hold("dep_1", &[]), &left);
    assert_eq!(desk.available(&account), 4 * DOLLAR);
    desk.ok(&hold("dep_1", &["--amount", "4"]));
    assert_eq!(desk.available(&account), 0);
}

#[test]
fn an_uncredited_deposit_is_paid_back_whole_and_never_credited() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    desk.deposit(|row| row.state = DepositState::Unattributed);
    desk.refused(
        &hold("dep_1", &["--amount", "1"]),
        &["dep_1 is unattributed and not credited", "without --amount"],
    );
    // Nobody has read the chain so far, so nobody knows that the coins are there for good.
    let not_final = ["the block of dep_1 is not final yet", "sluice deposit show dep_1"];
    desk.refused(&hold("dep_1", &[]), &not_final);
    desk.chain(|chain| chain.final_number = 99);
    desk.refused(&hold("dep_1", &[]), &not_final);
    let chain = chains::find(&mut desk.conn, ChainId(BASE)).unwrap().unwrap();
    let final_now = ChainRow { final_number: 100, ..chain };
    assert!(chains::change(&mut desk.conn, &final_now, NOON).unwrap());
    let said = desk.ok(&hold("dep_1", &[]));
    assert!(said.contains("1 USDC will not be credited"), "{said}");
    let row = desk.read("dep_1");
    assert_eq!(desk.standing(&row), ("held".to_owned(), Some("refund_pending".to_owned())));
    let said = desk.ok(&["refund", "dep_1", "--cancel", REASON[0], REASON[1]]);
    assert!(said.contains("seen again"), "{said}");
    desk.ok(&hold("dep_1", &[]));
    let document = desk.json(&["refund", "dep_1", "--tx", &paid_by()]);
    assert_eq!((&document["state"], &document["reason"]), (&json!("refunded"), &json!(null)));
    desk.refused(&hold("dep_1", &[]), &["dep_1 is refunded: it was already refunded"]);
    desk.refused(
        &["attribute", "dep_1", &account.public_id, REASON[0], REASON[1]],
        &["is refunded"],
    );
    assert_eq!(desk.available(&account), 0);
}

#[test]
fn what_left_the_chain_is_not_paid_back() {
    let mut desk = Desk::new();
    let account = desk.account("10");
    desk.deposit(|row| row.state = DepositState::Orphaned);
    desk.refused(&hold("dep_1", &[]), &["dep_1 is orphaned", "left the chain"]);
    let row = desk.credited(&account, DOLLAR);
    assert!(credit::reverse(&mut desk.conn, &row, NOON).unwrap());
    desk.refused(&hold("dep_2", &[]), &["dep_2 is reversed", "left the chain"]);
    assert_eq!(desk.available(&account), 10 * DOLLAR);
}

#[test]
fn a_reversal_that_came_first_is_noticed() {
    let mut desk = Desk::new();
    let account = desk.account("10");
    let row = desk.credited(&account, DOLLAR);
    assert!(credit::reverse(&mut desk.conn, &row, NOON).unwrap());
    // The operator has read the deposit before it was reversed.
    let held = refund::hold(&mut desk.conn, &Desk::key(), &row, None, "late", NOON).unwrap();
    assert_eq!(held, Refunded::NotNow);
    assert_eq!(desk.available(&account), 10 * DOLLAR);
}

#[test]
fn a_reversed_deposit_keeps_its_refund_and_may_be_credited_again() {
    let mut desk = Desk::new();
    let (account, other) = (desk.account("0"), desk.account("0"));
    let row = desk.credited(&account, 2 * DOLLAR);
    desk.ok(&hold("dep_1", &[]));
    let row = desk.read(&row.public_id);
    assert!(credit::reverse(&mut desk.conn, &row, NOON).unwrap());
    assert_eq!(desk.available(&account), -2 * DOLLAR);
    desk.verify();

    // Mined again, and another's by now: what is released belongs to whom it was taken from.
    let again = DepositRow {
        state: DepositState::Confirming,
        account_id: Some(other.id),
        ..desk.read(&row.public_id)
    };
    assert!(deposits::change(&mut desk.conn, &again, NOON).unwrap());
    desk.ok(&["refund", "dep_1", "--cancel", REASON[0], REASON[1]]);
    assert_eq!((desk.available(&account), desk.available(&other)), (0, 0));
    let row = desk.read(&row.public_id);
    assert_eq!(row.state.as_str(), "confirming");
    assert!(
        credit::credit(
            &mut desk.conn,
            &Desk::key(),
            &row,
            sluice::domain::money::NanoUsd::ZERO,
            NOON
        )
        .unwrap()
    );
    assert_eq!(desk.available(&other), 2 * DOLLAR);
    assert_eq!(desk.entries(&["dep_1:1", "dep_1:2"]).len(), 3);
    desk.verify();

    // A refund that was paid does not end a deposit that was credited: the chain may still bring it
    // back.
    desk.ok(&hold("dep_1", &[]));
    let row = desk.read(&row.public_id);
    assert!(credit::reverse(&mut desk.conn, &row, NOON).unwrap());
    desk.ok(&["refund", "dep_1", "--tx", &paid_by()]);
    assert_eq!(desk.standing(&row).0, "reversed");
}

/// Reserves dollar by dollar, as exchanges do; how many were granted.
fn spend(desk: &mut Desk, account: &Account, nanos: i64) -> i64 {
    let mut conn = desk.database.connect();
    let dollars = nanos / DOLLAR;
    reserve(&mut conn, account, dollars)
}

fn reserve(conn: &mut sluice::db::AnyConnection, account: &Account, dollars: i64) -> i64 {
    let keys = sluice::db::models::api_keys::of_account(conn, account.id).unwrap();
    let granted = (0..dollars).filter(|_| {
        let id = RequestId::new(NOON).unwrap();
        let command = Command::Reserve {
            record: UsageRecord::blank(id, account.id, keys[0].id, NOON),
            hold: Hold::exactly(NanoUsd::from_nanos(DOLLAR)),
            node_id: "node_a".into(),
        };
        let amount = NanoUsd::from_nanos(DOLLAR);
        ledger::apply(conn, &[command], NOON).unwrap() == [Effect::Reserved { amount }]
    });
    i64::try_from(granted.count()).unwrap()
}

#[test]
fn a_refund_that_is_raced_by_spending_leaves_no_debt() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    desk.credited(&account, 12 * DOLLAR);
    let mut spender = desk.database.connect();
    let start = Barrier::new(2);
    let (granted, ran) = std::thread::scope(|scope| {
        let spending = scope.spawn(|| {
            start.wait();
            reserve(&mut spender, &account, 12)
        });
        start.wait();
        let ran = desk.run(&hold("dep_1", &["--amount", "6"]));
        (spending.join().unwrap(), ran)
    });
    let taken = if ran.code == 0 { 6 } else { 0 };
    assert!(ran.code == 0 || ran.err.contains("USD available"), "{}", ran.err);
    assert_eq!(granted, 12 - taken);
    assert_eq!(desk.available(&account), 0);
    desk.verify();
}

#[test]
fn two_who_end_a_refund_at_once_end_it_once() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    for _ in 0..12 {
        let row = desk.credited(&account, DOLLAR);
        let held = refund::hold(&mut desk.conn, &Desk::key(), &row, None, "test", NOON).unwrap();
        assert!(matches!(held, Refunded::Done(_)), "{held:?}");
        let row = desk.read(&row.public_id);
        let (mut one, mut two) = (desk.database.connect(), desk.database.connect());
        let start = Barrier::new(2);
        let (posted, cancelled) = std::thread::scope(|scope| {
            let posting = scope.spawn(|| {
                start.wait();
                refund::post(&mut one, &row, TxHash([0xfe; 32]), NOON).unwrap()
            });
            start.wait();
            let cancelled = refund::cancel(&mut two, &row, "test", NOON).unwrap();
            (posting.join().unwrap(), cancelled)
        });
        let is_posted = matches!(posted, Refunded::Done(_));
        assert_ne!(is_posted, matches!(cancelled, Refunded::Done(_)), "{posted:?} {cancelled:?}");
        let state = desk.json(&["show", &row.public_id])["refunds"][0]["state"].clone();
        assert_eq!(state, if is_posted { "posted" } else { "cancelled" });
        desk.verify();
    }
}
