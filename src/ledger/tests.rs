//! The ledger on a real database, command by command; `model` holds it against a small model.

mod budgets;
mod model;
mod risk;

use diesel::prelude::*;

use super::{BalanceCache, Busy, Command, Effect, EntryKind, Hold, Shortage, apply_unless, verify};
use crate::accounts;
use crate::accounts::keys::{self, NewKey};
use crate::db::models::{accounts as account_rows, api_keys};
use crate::db::schema::{api_keys as api_keys_table, outbox, usage_logs};
use crate::db::{AnyConnection, migrate};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::{AccountId, ApiKeyId, RequestId};
use crate::domain::money::NanoUsd;
use crate::domain::price_list::{Markup, PriceList};
use crate::domain::usage_record::{Outcome, UsageRecord};

const NOW: UnixMillis = UnixMillis::from_millis(1_000_000);

/// A database with accounts and a live key for each.
struct Books {
    conn: AnyConnection,
    memory: BalanceCache,
    holders: Vec<(AccountId, ApiKeyId)>,
}

impl Books {
    fn new(accounts: usize) -> Self {
        let sqlite = diesel::SqliteConnection::establish(":memory:").unwrap();
        let mut conn = AnyConnection::Sqlite(sqlite);
        migrate::run_pending(&mut conn).unwrap();
        let holders = (0..accounts).map(|n| holder(&mut conn, n)).collect();
        Self { conn, memory: BalanceCache::default(), holders }
    }

    /// What somebody else does. His connection would be another one; so nothing is remembered.
    fn execute(&mut self, sql: &str) {
        use diesel::connection::SimpleConnection;
        self.conn.batch_execute(sql).unwrap();
        self.memory.clear();
    }

    /// The same with a budget for some of the keys.
    fn with_budgets([monthly, total]: [i64; 2]) -> Self {
        let mut books = Self::new(ACCOUNTS);
        books.execute(&format!(
            "UPDATE api_keys SET monthly_budget_nanousd = {monthly} WHERE id = 1;
             UPDATE api_keys SET total_budget_nanousd = {total} WHERE id = 2;"
        ));
        books
    }

    /// What the account's key has cost: in its life, in this month; and how often its owner was
    /// told of its end.
    fn key(&mut self, account: usize) -> (i64, i64, i64) {
        let key_id = self.holders[account].1.0;
        let (name, spent, month_spent): (String, i64, i64) = api_keys_table::table
            .find(key_id)
            .select((
                api_keys_table::public_id,
                api_keys_table::spent_nanousd,
                api_keys_table::month_spent_nanousd,
            ))
            .first(&mut self.conn)
            .unwrap();
        let told = outbox::table
            .filter(outbox::kind.eq("key_paused").and(outbox::reference.like(format!("{name}:%"))))
            .count()
            .get_result(&mut self.conn)
            .unwrap();
        (spent, month_spent, told)
    }

    /// As a server does, with what its connection remembers.
    fn apply(&mut self, commands: &[Command]) -> Vec<Effect> {
        let session = (&mut self.conn, &mut self.memory);
        apply_unless(session, commands.iter().collect(), Busy::Skip, NOW, &|| false).unwrap()
    }

    fn balance(&mut self, account: usize) -> (i64, i64) {
        let id = self.holders[account].0;
        let before = AccountId(id.0 - 1);
        let row = account_rows::page(&mut self.conn, before, 1).unwrap().remove(0);
        (row.available_nanousd.as_nanos(), row.reserved_nanousd.as_nanos())
    }

    fn record(&self, account: usize, exchange: usize, cost: i64) -> UsageRecord {
        let (account_id, api_key_id) = self.holders[account];
        let id = RequestId::from_stored(format!("req_{account}_{exchange}"));
        UsageRecord {
            cost: NanoUsd::from_nanos(cost),
            ending: Outcome::Complete,
            ..UsageRecord::blank(id, account_id, api_key_id, NOW)
        }
    }
}

fn holder(conn: &mut AnyConnection, number: usize) -> (AccountId, ApiKeyId) {
    let account = accounts::open(conn, &format!("a{number}@example.org"), NOW).unwrap();
    let no_prices = PriceList::new(Vec::new(), Markup::ONE, 0).unwrap();
    let new = NewKey::named("k");
    let issued =
        keys::issue(conn, &keys::KeyActor::Operator(account.id), &new, (&no_prices, 10), NOW)
            .unwrap();
    let key = api_keys::holder(conn, &issued.key.hash()).unwrap().unwrap();
    (key.account_id, key.api_key_id)
}

/// What a test does, in small numbers so that ids meet.
#[derive(Clone, Copy, Debug)]
enum Act {
    Credit {
        account: usize,
        reference: usize,
        amount: i64,
    },
    Withdraw {
        account: usize,
        reference: usize,
        amount: i64,
    },
    Reserve {
        account: usize,
        exchange: usize,
        amount: i64,
    },
    /// From `least` to `amount`, with `risk` beyond.
    Lean {
        account: usize,
        exchange: usize,
        least: i64,
        amount: i64,
        risk: i64,
    },
    Extend {
        account: usize,
        exchange: usize,
        amount: i64,
    },
    Checkpoint {
        account: usize,
        exchange: usize,
        cost: i64,
    },
    /// The same, and so much is held from now on.
    Count {
        account: usize,
        exchange: usize,
        cost: i64,
        amount: i64,
    },
    Post {
        account: usize,
        exchange: usize,
        cost: i64,
    },
    Recover {
        account: usize,
        exchange: usize,
    },
    Resume {
        account: usize,
        exchange: usize,
        least: i64,
        amount: i64,
    },
}

const ACCOUNTS: usize = 3;
/// What an account that has paid may owe in the worst case.
const SHORTFALL: i64 = 50;

fn command(books: &Books, act: Act) -> Command {
    let node_id = "n".into();
    let id = |account, exchange| books.record(account, exchange, 0).id;
    let account_id = |account: usize| books.holders[account].0;
    match act {
        Act::Credit { account, reference, amount } => Command::Credit {
            account_id: account_id(account),
            kind: EntryKind::Adjustment,
            reference: format!("{account}-{reference}"),
            amount: NanoUsd::from_nanos(amount),
        },
        Act::Withdraw { account, reference, amount } => Command::Withdraw {
            account_id: account_id(account),
            // Of the kinds that no other table has to know of.
            kind: EntryKind::CarryForward,
            reference: format!("{account}-{reference}"),
            amount: NanoUsd::from_nanos(amount),
        },
        Act::Reserve { account, exchange, amount } => Command::Reserve {
            record: books.record(account, exchange, 0),
            hold: Hold::exactly(NanoUsd::from_nanos(amount)),
            node_id,
        },
        Act::Lean { account, exchange, least, amount, risk } => Command::Reserve {
            record: books.record(account, exchange, 0),
            hold: Hold {
                amount: NanoUsd::from_nanos(amount),
                least: NanoUsd::from_nanos(least),
                risk: NanoUsd::from_nanos(risk),
                shortfall_max: NanoUsd::from_nanos(SHORTFALL),
                charged_before: NOW,
            },
            node_id,
        },
        Act::Extend { account, exchange, amount } => Command::Extend {
            id: id(account, exchange),
            account_id: account_id(account),
            hold: Hold {
                shortfall_max: NanoUsd::from_nanos(SHORTFALL),
                charged_before: NOW,
                ..Hold::exactly(NanoUsd::from_nanos(amount))
            },
        },
        Act::Checkpoint { account, exchange, cost } => {
            Command::Checkpoint { record: books.record(account, exchange, cost), amount: None }
        }
        Act::Count { account, exchange, cost, amount } => Command::Checkpoint {
            record: books.record(account, exchange, cost),
            amount: Some(NanoUsd::from_nanos(amount)),
        },
        Act::Post { account, exchange, cost } => {
            Command::Post { record: books.record(account, exchange, cost) }
        }
        Act::Recover { account, exchange } => Command::Recover {
            id: id(account, exchange),
            account_id: account_id(account),
            ending: Outcome::Killed,
            judged_at: None,
        },
        Act::Resume { account, exchange, least, amount } => Command::Resume {
            record: books.record(account, exchange, 0),
            hold: Hold {
                amount: NanoUsd::from_nanos(amount),
                least: NanoUsd::from_nanos(least),
                shortfall_max: NanoUsd::from_nanos(SHORTFALL),
                charged_before: NOW,
                ..Hold::exactly(NanoUsd::ZERO)
            },
            node_id,
        },
    }
}

fn reserved(nanos: i64) -> Effect {
    Effect::Reserved { amount: NanoUsd::from_nanos(nanos) }
}

fn extended(nanos: i64) -> Effect {
    Effect::Extended { amount: NanoUsd::from_nanos(nanos) }
}

#[test]
fn e16_a_post_that_was_not_heard_in_time_changes_the_row_and_not_the_money() {
    let mut books = Books::new(1);
    let act = |act| [act];
    let credit = command(&books, Act::Credit { account: 0, reference: 0, amount: 1000 });
    let reserve = command(&books, Act::Reserve { account: 0, exchange: 0, amount: 400 });
    let post = Command::Post { record: books.record(0, 0, 70) };
    books.apply(&act(credit));
    books.apply(&act(reserve));
    assert_eq!(books.apply(&act(post.clone())), [Effect::Posted]);
    let unheard = UsageRecord { ending: Outcome::NotDurable, ..books.record(0, 0, 70) };
    let raised = books.apply(&act(Command::Post { record: unheard }));
    assert_eq!(raised, [Effect::Replaced]);
    assert_eq!(books.balance(0), (930, 0));
    let dearer = UsageRecord { ending: Outcome::NotDurable, ..books.record(0, 0, 71) };
    let refused = books.apply(&act(Command::Post { record: dearer }));
    assert_eq!(refused, [Effect::AlreadyPosted]);
    assert_eq!(books.apply(&act(post)), [Effect::AlreadyPosted]);
    assert!(verify(&mut books.conn).unwrap().discrepancies.is_empty());
}

#[test]
fn a_revoked_key_a_suspended_or_closing_account_and_a_negative_balance_reserve_nothing() {
    let mut books = Books::new(4);
    for account in 0..4 {
        let credit = command(&books, Act::Credit { account, reference: 0, amount: 100 });
        books.apply(&[credit]);
    }
    books.execute(
        "UPDATE api_keys SET revoked_at = 1 WHERE account_id = 1;
         UPDATE accounts SET status = 'suspended' WHERE id = 2;
         UPDATE accounts SET available_nanousd = -1 WHERE id = 3;
         UPDATE accounts SET closing_at = 1 WHERE id = 4;",
    );
    let mut reserve = |account| {
        let act = Act::Reserve { account, exchange: 0, amount: 0 };
        let command = command(&books, act);
        books.apply(&[command]).remove(0)
    };
    assert_eq!(reserve(0), Effect::KeyRevoked);
    assert_eq!(reserve(1), Effect::AccountSuspended);
    assert_eq!(reserve(3), Effect::KeyRevoked);
    let Effect::Insufficient(shortage) = reserve(2) else { panic!("it reserves") };
    assert_eq!(shortage.available, NanoUsd::from_nanos(-1));
}

#[test]
fn only_what_closes_an_exchange_is_a_settlement() {
    let books = Books::new(1);
    let (account, exchange, amount) = (0, 0, 5);
    let is_settlement = |act| command(&books, act).is_settlement();
    assert!(is_settlement(Act::Post { account, exchange, cost: 5 }));
    assert!(is_settlement(Act::Recover { account, exchange }));
    assert!(!is_settlement(Act::Reserve { account, exchange, amount }));
    assert!(!is_settlement(Act::Extend { account, exchange, amount }));
    assert!(!is_settlement(Act::Checkpoint { account, exchange, cost: 5 }));
    assert!(!is_settlement(Act::Credit { account, reference: 0, amount }));
}

#[test]
fn what_costs_nothing_leaves_a_row_and_no_entry() {
    let mut books = Books::new(1);
    let credit = command(&books, Act::Credit { account: 0, reference: 0, amount: 100 });
    let reserve = command(&books, Act::Reserve { account: 0, exchange: 0, amount: 40 });
    let post = command(&books, Act::Post { account: 0, exchange: 0, cost: 0 });
    books.apply(&[credit, reserve, post]);
    let report = verify(&mut books.conn).unwrap();
    assert_eq!((report.entries, report.usage_rows), (1, 1));
    assert_eq!(books.balance(0), (100, 0));
}

#[test]
fn a_cost_of_all_that_was_held_leaves_what_is_available_as_it_is() {
    let mut books = Books::new(1);
    let credit = command(&books, Act::Credit { account: 0, reference: 0, amount: 100 });
    let reserve = command(&books, Act::Reserve { account: 0, exchange: 0, amount: 40 });
    books.apply(&[credit, reserve]);
    let post = command(&books, Act::Post { account: 0, exchange: 0, cost: 40 });
    assert_eq!(books.apply(&[post]), [Effect::Posted]);
    assert_eq!(books.balance(0), (60, 0));
}

#[test]
fn commands_are_answered_by_what_became_of_them() {
    let mut books = Books::new(1);
    let (account, exchange) = (0, 0);
    let extend = |amount| Act::Extend { account, exchange, amount };
    let checkpoint = Act::Checkpoint { account, exchange, cost: 30 };
    let credit = Act::Credit { account, reference: 0, amount: 100 };
    let insufficient = |available, held| {
        let (available, held) = (NanoUsd::from_nanos(available), NanoUsd::from_nanos(held));
        let attainable = available.plus(held).unwrap();
        Effect::Insufficient(Shortage { available, spendable: available, attainable, held })
    };
    for (act, outcome) in [
        (extend(5), Effect::NotOpen),
        (checkpoint, Effect::NotOpen),
        (Act::Recover { account, exchange }, Effect::NotOpen),
        (Act::Post { account, exchange, cost: 5 }, Effect::NotOpen),
        (Act::Reserve { account, exchange, amount: 1 }, insufficient(0, 0)),
        (credit, Effect::Credited),
        (credit, Effect::AlreadyCredited),
        (Act::Reserve { account, exchange, amount: 101 }, insufficient(100, 0)),
        (Act::Reserve { account, exchange, amount: 40 }, reserved(40)),
        (Act::Reserve { account, exchange, amount: 40 }, reserved(40)),
        (extend(101), insufficient(60, 40)),
        (extend(100), extended(100)),
        (extend(100), extended(100)),
        (extend(40), extended(100)),
        (checkpoint, Effect::Checkpointed),
        (Act::Recover { account, exchange }, Effect::Posted),
        (Act::Recover { account, exchange }, Effect::NotOpen),
        // What the upstream has counted is the truth, also where it is less.
        (Act::Post { account, exchange, cost: 29 }, Effect::Replaced),
        (Act::Post { account, exchange, cost: 29 }, Effect::AlreadyPosted),
        (Act::Post { account, exchange, cost: 32 }, Effect::AlreadyPosted),
    ] {
        let command = command(&books, act);
        assert_eq!(books.apply(&[command]), [outcome], "{act:?}");
    }
    assert_eq!(books.balance(0), (71, 0));
    assert!(verify(&mut books.conn).unwrap().discrepancies.is_empty());
}

#[test]
fn e12_a_record_of_another_version_costs_nothing_and_lets_the_money_go() {
    let mut books = Books::new(1);
    let credit = command(&books, Act::Credit { account: 0, reference: 0, amount: 100 });
    let reserve = command(&books, Act::Reserve { account: 0, exchange: 0, amount: 40 });
    books.apply(&[credit, reserve]);
    books.execute("UPDATE reservations SET record = '{}'");
    let recover = command(&books, Act::Recover { account: 0, exchange: 0 });
    assert_eq!(books.apply(&[recover]), [Effect::Posted]);
    assert_eq!(books.balance(0), (100, 0));
    let report = verify(&mut books.conn).unwrap();
    assert!(report.discrepancies.is_empty() && report.usage_rows == 1);
    let row: (String, String, bool) = usage_logs::table
        .select((usage_logs::requested_model, usage_logs::price_version, usage_logs::is_estimated))
        .first(&mut books.conn)
        .unwrap();
    assert_eq!(row, ("unknown".to_owned(), "unknown".to_owned(), true));
}
