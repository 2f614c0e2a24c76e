//! Holds of a likely cost, what is at risk beyond them, and the passes that a charge is made of.

use super::*;
use crate::db::books::{PassRow, passes_of};
use crate::domain::usage::{Pass, PassKind, TokenCounts, Waiver};

#[test]
fn what_is_at_risk_must_be_covered_but_for_the_shortfall_of_whoever_has_paid() {
    let mut books = Books::new(1);
    let (account, least) = (0, 10);
    let mut apply = |act| {
        let command = command(&books, act);
        books.apply(&[command]).remove(0)
    };
    let lean = |exchange, amount, risk| Act::Lean { account, exchange, least, amount, risk };
    apply(Act::Credit { account, reference: 0, amount: 100 });
    // Nothing has been paid for yet: hold and risk together are no more than there is.
    assert_eq!(apply(lean(0, 30, 60)), reserved(30));
    let Effect::Insufficient(shortage) = apply(lean(1, 30, 60)) else { panic!("it holds") };
    let nanos = NanoUsd::from_nanos;
    let (available, held) = (nanos(70), nanos(30));
    let expected = Shortage { available, spendable: nanos(-50), attainable: nanos(40), held };
    assert_eq!(shortage, expected);
    // Between least and amount, what the funds allow.
    assert_eq!(apply(lean(1, 30, 0)), reserved(10));
    assert_eq!(
        apply(Act::Extend { account, exchange: 1, amount: 11 }),
        Effect::Insufficient(Shortage {
            available: nanos(60),
            spendable: nanos(0),
            attainable: nanos(100),
            held: nanos(40)
        })
    );
    // The prompt is counted: nothing is at risk any more, and what it costs is held.
    let count = Act::Count { account, exchange: 0, cost: 5, amount: 20 };
    assert_eq!(apply(count), Effect::Checkpointed);
    assert_eq!(apply(lean(2, 50, 20)), reserved(50));
    assert_eq!(apply(Act::Post { account, exchange: 0, cost: 5 }), Effect::Posted);
    // Now 35 are available, 20 at risk, and 50 may be owed.
    assert_eq!(apply(lean(3, 35, 50)), reserved(35 - 20 - 50 + 50));
}

#[test]
fn a_counted_prompt_is_held_even_where_that_is_more_than_is_available() {
    let mut books = Books::new(1);
    let (account, exchange) = (0, 0);
    let acts = [
        Act::Credit { account, reference: 0, amount: 100 },
        Act::Lean { account, exchange, least: 10, amount: 90, risk: 5 },
        Act::Count { account, exchange, cost: 120, amount: 120 },
    ];
    for act in acts {
        let command = command(&books, act);
        books.apply(&[command]);
    }
    assert_eq!(books.balance(0), (-20, 120));
    assert!(verify(&mut books.conn).unwrap().discrepancies.is_empty());
    let recover = command(&books, Act::Recover { account, exchange });
    assert_eq!(books.apply(&[recover]), [Effect::Posted]);
    assert_eq!(books.balance(0), (-20, 0));
    assert!(verify(&mut books.conn).unwrap().discrepancies.is_empty());
}

#[test]
fn a_budget_counts_what_is_at_risk_until_the_prompt_is_counted() {
    let mut books = Books::with_budgets([100, 1000]);
    let account = 0;
    let mut apply = |act| {
        let command = command(&books, act);
        books.apply(&[command]).remove(0)
    };
    let lean = |exchange, amount, risk| Act::Lean { account, exchange, least: 10, amount, risk };
    apply(Act::Credit { account, reference: 0, amount: 10_000 });
    assert_eq!(apply(lean(0, 60, 50)), reserved(50), "as much as the budget leaves");
    assert!(matches!(apply(lean(1, 10, 0)), Effect::KeyBudget(_)));
    apply(Act::Count { account, exchange: 0, cost: 1, amount: 60 });
    assert_eq!(apply(lean(1, 100, 0)), reserved(40));
}

#[test]
fn the_passes_of_an_answer_come_and_go_with_its_row() {
    let mut books = Books::new(1);
    let credit = command(&books, Act::Credit { account: 0, reference: 0, amount: 100 });
    let reserve = command(&books, Act::Reserve { account: 0, exchange: 0, amount: 40 });
    let pass = |kind, output| Pass {
        kind,
        model: Some("m".to_owned()),
        tokens: TokenCounts { input: 1, output, ..TokenCounts::default() },
        waiver: (output == 0).then_some(Waiver::Declined),
        is_credit_redeemed: output == 0,
    };
    let passes = vec![pass(PassKind::Attempt, 0), pass(PassKind::Answer, 7)];
    let record = UsageRecord { passes: passes.clone(), ..books.record(0, 0, 5) };
    let id = record.id.as_str().to_owned();
    let checkpoint = Command::Checkpoint { record: record.clone(), amount: None };
    let recover = command(&books, Act::Recover { account: 0, exchange: 0 });
    books.apply(&[credit, reserve, checkpoint, recover]);
    let stored = |books: &mut Books| -> Vec<Pass> {
        let rows = passes_of(&mut books.conn, &id).unwrap();
        rows.iter().map(PassRow::read).collect()
    };
    assert_eq!(stored(&mut books), passes);
    // A later post has the true ones.
    let late = UsageRecord {
        passes: vec![pass(PassKind::Answer, 9)],
        cost: NanoUsd::from_nanos(9),
        ..record
    };
    assert_eq!(books.apply(&[Command::Post { record: late }]), [Effect::Replaced]);
    assert_eq!(stored(&mut books), [pass(PassKind::Answer, 9)]);
    books.execute("PRAGMA foreign_keys = ON; DELETE FROM usage_logs");
    assert_eq!(stored(&mut books), []);
}
