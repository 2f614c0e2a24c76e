//! Review, attribution, rejection: what is done, what is refused, and that it is written down.

use diesel::prelude::*;
use serde_json::json;
use sluice::db::models::deposits::DepositRow;
use sluice::db::schema::audit_log;
use sluice::domain::deposit::{DepositReason, DepositState};

use super::Desk;

const REASON: [&str; 2] = ["--reason", "I have looked at it"];

fn approve(id: &str) -> Vec<&str> {
    [&["review", id, "--approve"][..], &REASON].concat()
}

#[test]
fn a_held_deposit_is_credited_once_with_the_proposed_value_or_another() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    desk.held(&account);
    desk.held(&account);
    let document = desk.json(&approve("dep_1"));
    assert_eq!((&document["state"], &document["reason"]), (&json!("credited"), &json!(null)));
    assert_eq!((&document["value"], &document["credit_number"]), (&json!("1.00"), &json!(1)));
    assert_eq!(document["entries"][0]["reference"], "dep_1:1");
    let decision = &document["decisions"][0];
    assert_eq!((&decision["action"], &decision["detail"]), (&json!("approved"), &json!(REASON[1])));
    assert_eq!(desk.available(&account), 1_000_000_000);
    desk.refused(&approve("dep_1"), &["dep_1 is credited: only a deposit that is held"]);

    let said = desk.ok(&[&approve("dep_2")[..], &["--value", "0.5"]].concat());
    assert_eq!(said, "dep_2 is credited with 0.50 USD\n");
    assert_eq!(desk.available(&account), 1_500_000_000);
    assert_eq!(desk.entries(&["dep_1:1", "dep_2:1"]).len(), 2);
    desk.verify();
}

#[test]
fn what_cannot_be_approved_says_why() {
    let mut desk = Desk::new();
    desk.chain(|_| {});
    let account = desk.account("0");
    let hold = |row: &mut DepositRow| row.state = DepositState::Held;
    desk.deposit(|row| {
        hold(row);
        row.account_id = Some(account.id);
    });
    desk.refused(&approve("dep_1"), &["the value of dep_1 is unknown", "--value USD"]);
    desk.deposit(hold);
    desk.refused(
        &approve("dep_2"),
        &["dep_2 belongs to no account", "sluice deposit attribute dep_2"],
    );
    desk.deposit(|_| {});
    desk.refused(&approve("dep_3"), &["dep_3 is seen"]);
    desk.refused(&approve("dep_nobody"), &["no deposit \"dep_nobody\""]);
    desk.ok(&["refund", "dep_1", REASON[0], REASON[1]]);
    desk.refused(&approve("dep_1"), &["held for a refund", "--cancel"]);
    desk.refused(&["reject", "dep_1", REASON[0], REASON[1]], &["held for a refund", "--cancel"]);
    for value in ["0", "-1", "1e3", "0.0000000001"] {
        desk.wrong(&[&approve("dep_1")[..], &[&format!("--value={value}")]].concat(), "--value");
    }
    desk.wrong(&["review", "dep_1", REASON[0], REASON[1]], "--approve");
    assert_eq!(desk.available(&account), 0);
}

#[test]
fn a_reason_has_1_to_500_characters() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    desk.held(&account);
    for command in
        [&["review", "dep_1", "--approve"][..], &["reject", "dep_1"], &["refund", "dep_1"]]
    {
        desk.wrong(command, "--reason");
        for reason in ["", " \t\n", &"x".repeat(501)] {
            desk.wrong(&[command, &["--reason", reason]].concat(), "1 to 500 characters");
        }
    }
    // Nothing that is written down steers the terminal of whoever reads it, or hides from him.
    desk.held(&account);
    for hidden in ["red \u{1b}[31m", "a\u{202e}b", "a\u{200b}b"] {
        desk.wrong(&["reject", "dep_2", "--reason", hidden], "not contain invisible characters");
    }
    desk.ok(&["reject", "dep_2", "--reason", "one line\nand another"]);
    // As an earlier version took it.
    let stored =
        diesel::update(audit_log::table).set(audit_log::detail.eq("red \u{1b}[31m \u{202e}"));
    stored.execute(&mut desk.conn).unwrap();
    assert!(desk.ok(&["show", "dep_2"]).contains("red \\u{1b}[31m \\u{202e}"));
    // Characters, not bytes.
    let long = "ü".repeat(500);
    let document = desk.json(&["reject", "dep_1", "--reason", &format!(" {long} ")]);
    assert_eq!(document["decisions"][0]["detail"], long.as_str());
}

#[test]
fn an_unproven_deposit_is_given_to_an_account_and_confirms() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    desk.deposit(|row| row.state = DepositState::Unattributed);
    let attribute = ["attribute", "dep_1", &account.public_id, REASON[0], REASON[1]];
    desk.refused(&["attribute", "dep_1", "acct_nobody", REASON[0], REASON[1]], &["no account"]);
    let document = desk.json(&attribute);
    assert_eq!(
        (&document["state"], &document["account"]),
        (&json!("confirming"), &json!(account.public_id))
    );
    assert_eq!(document["decisions"][0]["action"], "attributed");
    desk.refused(&attribute, &["dep_1 is confirming", "unlinked wallet"]);
    // Nothing is credited before the watcher finds it final.
    assert_eq!(desk.available(&account), 0);

    desk.deposit(|row| {
        row.state = DepositState::Held;
        row.reason = Some(DepositReason::ErasedAccount);
    });
    let said = desk.ok(&["attribute", "dep_2", &account.public_id, REASON[0], REASON[1]]);
    assert!(said.contains(&account.public_id), "{said}");
    desk.held(&account);
    let other = ["attribute", "dep_3", &account.public_id, REASON[0], REASON[1]];
    desk.refused(&other, &["dep_3 is held (above_review_limit)"]);
}

#[test]
fn a_rejection_is_for_good() {
    let mut desk = Desk::new();
    desk.chain(|_| {});
    let account = desk.account("0");
    desk.held(&account);
    assert_eq!(desk.ok(&["reject", "dep_1", REASON[0], REASON[1]]), "dep_1 is rejected\n");
    let reject = ["reject", "dep_1", REASON[0], REASON[1]];
    desk.refused(&reject, &["dep_1 is rejected (operator_decision)"]);
    desk.refused(&approve("dep_1"), &["dep_1 is rejected"]);
    let credited = desk.credited(&account, 1);
    desk.refused(&["reject", &credited.public_id, REASON[0], REASON[1]], &["is credited"]);

    // A refund that is cancelled leaves it as it was: rejected, and not on its way to a credit.
    desk.ok(&["refund", "dep_1", REASON[0], REASON[1]]);
    let said = desk.ok(&["refund", "dep_1", "--cancel", REASON[0], REASON[1]]);
    assert!(said.contains("rejected (operator_decision) again"), "{said}");
    let actions = desk.json(&["show", "dep_1"])["decisions"].clone();
    let actions: Vec<&str> =
        actions.as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["rejected", "refund_held", "refund_cancelled"]);
}
