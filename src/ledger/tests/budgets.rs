//! Budgets and times of keys, in groups and one by one.

use super::*;
use crate::domain::key_limits::Exhausted;
use crate::domain::mail::BudgetPeriod;

#[test]
fn a_budget_counts_what_is_spent_and_held_in_one_group_as_in_many() {
    for is_one_group in [true, false] {
        let mut books = Books::with_budgets([700, 900]);
        let (account, reserve) =
            (0, |exchange, amount| Act::Reserve { account: 0, exchange, amount });
        let acts = [
            Act::Credit { account, reference: 0, amount: 10_000 },
            reserve(0, 400),
            reserve(1, 301),
            reserve(2, 300),
            Act::Extend { account, exchange: 0, amount: 401 },
            Act::Post { account, exchange: 0, cost: 100 },
            Act::Extend { account, exchange: 2, amount: 600 },
            Act::Extend { account, exchange: 2, amount: 601 },
            Act::Post { account, exchange: 2, cost: 0 },
            reserve(3, 600),
            // More than was held: an overrun is charged, and the budget is used up.
            Act::Post { account, exchange: 3, cost: 650 },
            reserve(4, 0),
        ];
        let commands: Vec<Command> = acts.into_iter().map(|act| command(&books, act)).collect();
        let outcomes: Vec<Effect> = if is_one_group {
            books.apply(&commands)
        } else {
            commands.iter().flat_map(|command| books.apply(std::slice::from_ref(command))).collect()
        };
        let over = |left| {
            Effect::KeyBudget(Exhausted {
                period: BudgetPeriod::Month,
                budget: NanoUsd::from_nanos(700),
                left: NanoUsd::from_nanos(left),
            })
        };
        let expected = [
            Effect::Credited,
            reserved(400),
            over(300),
            reserved(300),
            over(0),
            Effect::Posted,
            extended(600),
            over(0),
            Effect::Posted,
            reserved(600),
            Effect::Posted,
            over(0),
        ];
        assert_eq!(outcomes, expected);
        assert_eq!(books.key(0), (750, 750, 1));
        assert!(verify(&mut books.conn).unwrap().discrepancies.is_empty());
        books.execute("UPDATE api_keys SET spent_nanousd = 749 WHERE id = 1");
        let found = verify(&mut books.conn).unwrap().discrepancies;
        assert_eq!(found[0].rule, "spent by key >= its usage rows");
    }
}

#[test]
fn an_expired_key_reserves_nothing_and_settles_what_it_has() {
    let mut books = Books::new(1);
    let credit = command(&books, Act::Credit { account: 0, reference: 0, amount: 100 });
    let reserve = |exchange| Act::Reserve { account: 0, exchange, amount: 10 };
    let first = command(&books, reserve(0));
    books.apply(&[credit, first]);
    let expire = format!("UPDATE api_keys SET expires_at = {}", NOW.as_millis());
    books.execute(&expire);
    let second = command(&books, reserve(1));
    assert_eq!(books.apply(&[second]), [Effect::KeyExpired]);
    let post = command(&books, Act::Post { account: 0, exchange: 0, cost: 7 });
    assert_eq!(books.apply(&[post]), [Effect::Posted]);
    assert_eq!((books.balance(0), books.key(0)), ((93, 0), (7, 7, 0)));
}
