//! `sluice deposit cases`: what a person sees of a case, and decides.

use serde_json::json;
use sluice::db::models::deposit_cases::{self, CaseRow};
use sluice::db::models::{audit, chains};
use sluice::deposits::cases;
use sluice::domain::deposit::DepositState;
use sluice::domain::deposit_case::{CaseKind, CaseState};
use sluice::domain::evm::{ChainId, TxHash};

use super::{BASE, Desk, NOON};

const DAY: i64 = 86_400_000;

impl Desk {
    /// A case about the transaction of that number, or the deposit in it.
    fn case(&mut self, kind: CaseKind, tx: u8, days: i64) -> CaseRow {
        let about = ((TxHash([tx; 32]), kind, 0), Some(17));
        let mut last = None;
        for now in [NOON, NOON.plus_millis(days * DAY)] {
            let said = format!("nobody reads {tx}");
            let row = cases::doubt(&mut self.conn, ChainId(BASE), about, &said, DAY, now).unwrap();
            last = Some(row);
        }
        last.unwrap()
    }

    fn candidates(&mut self) -> Vec<i64> {
        let now = NOON.plus_millis(1000 * DAY * 365);
        let due = chains::due_candidates(&mut self.conn, ChainId(BASE), now, 10).unwrap();
        due.iter().map(|row| row.block_number).collect()
    }
}

#[test]
fn cases_are_listed_shown_dismissed_and_looked_at_again() {
    let mut desk = Desk::new();
    let noted = [(TxHash([1; 32]), 17)];
    chains::note_candidates(&mut desk.conn, ChainId(BASE), &noted, NOON).unwrap();
    let case = desk.case(CaseKind::Transaction, 1, 1);
    let young = desk.case(CaseKind::Transaction, 2, 0);
    let list = desk.json(&["cases", "list"]);
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["id"], case.public_id.as_str());
    let listed = (&list[0]["chain"], &list[0]["about"], &list[0]["state"], &list[0]["detail"]);
    let expected = ("base", "transaction", "open", "nobody reads 1");
    assert_eq!(
        listed,
        (&json!(expected.0), &json!(expected.1), &json!(expected.2), &json!(expected.3))
    );
    assert_eq!(desk.json(&["cases", "list", "--chain", "777"]), json!([]));
    let doubted = desk.json(&["cases", "list", "--state", "doubted"]);
    assert_eq!(doubted[0]["id"], young.public_id.as_str());
    let text = desk.ok(&["cases", "list"]);
    assert!(text.contains(&case.public_id) && !text.contains(&young.public_id), "{text}");
    let text = desk.ok(&["cases", "show", &case.public_id]);
    assert!(text.contains("nobody reads 1") && text.contains("2026-11-23"), "{text}");

    let id = case.public_id.as_str();
    desk.wrong(&["cases", "dismiss", id], "--reason");
    desk.wrong(&["cases", "retry", id, "--reason", " "], "1 to 500 characters");
    let shown = desk.json(&["cases", "dismiss", id, "--reason", "a bridged unit"]);
    assert_eq!((&shown["state"], &shown["block_number"]), (&json!("dismissed"), &json!(17)));
    assert_eq!(shown["decisions"][0]["action"], "case_dismissed");
    assert_eq!(shown["decisions"][0]["detail"], "a bridged unit");
    assert!(desk.candidates().is_empty());
    assert_eq!(desk.json(&["cases", "list"]), json!([]));
    desk.refused(&["cases", "dismiss", id, "--reason", "again"], &[id, "already dismissed"]);
    // A look that was under way changes nothing, and the scan that finds it where it was leaves it
    // alone.
    assert_eq!(desk.case(CaseKind::Transaction, 1, 1).state, CaseState::Dismissed);
    chains::note_candidates(&mut desk.conn, ChainId(BASE), &noted, NOON).unwrap();
    assert!(desk.candidates().is_empty());

    let said = desk.ok(&["cases", "retry", id, "--reason", "another node"]);
    assert!(said.contains("examined again"), "{said}");
    assert_eq!(desk.candidates(), [17]);
    let shown = desk.json(&["cases", "show", id]);
    assert_eq!((&shown["state"], &shown["opened_at"]), (&json!("doubted"), &json!(null)));
    assert_eq!(shown["decisions"][1]["action"], "case_retried");
    desk.refused(&["cases", "show", "case_none"], &["no case \"case_none\""]);
}

#[test]
fn a_deposit_whose_case_is_dismissed_is_held_and_decided_by_hand() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    let row = desk.deposit(|row| {
        row.account_id = Some(account.id);
        row.state = DepositState::Confirming;
    });
    let case = desk.case(CaseKind::Deposit, row.tx_hash.0[0], 2);
    let shown = desk.json(&["cases", "dismiss", &case.public_id, "--reason", "nodes differ"]);
    assert_eq!(shown["deposit"], row.public_id.as_str());
    assert_eq!(desk.standing(&row), ("held".to_owned(), Some("unreadable".to_owned())));
    // Of whom it was about, there is the account's number, which goes with the account.
    let decided = audit::of(&mut desk.conn, &case.public_id).unwrap();
    assert_eq!(decided[0].account_id, Some(account.id));
    desk.ok(&["cases", "retry", &case.public_id, "--reason", "mended"]);
    assert_eq!(desk.standing(&row), ("confirming".to_owned(), None));
    desk.ok(&["cases", "dismiss", &case.public_id, "--reason", "nodes differ still"]);
    let by_hand = ["--approve", "--value", "1", "--reason", "seen in an explorer"];
    desk.ok(&[&["review", &row.public_id][..], &by_hand].concat());
    assert_eq!(desk.available(&account), 1_000_000_000);
    // Decided, it is not brought back.
    desk.ok(&["cases", "retry", &case.public_id, "--reason", "once more"]);
    assert_eq!(desk.standing(&row).0, "credited");
    let left = deposit_cases::of_chain(&mut desk.conn, ChainId(BASE)).unwrap();
    assert_eq!(left.len(), 1);
    desk.verify();
}
