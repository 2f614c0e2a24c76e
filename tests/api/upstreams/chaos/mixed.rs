//! Many requests at once over three upstreams that fail as a seed says: whatever happens to each of
//! them, the books know it once.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::thread;

use super::super::answering::Answering;
use super::super::{KINDS, Kind, answer, error_body, send_script};
use super::faults::{begin_and_fail, hang_in_refusal, refuse, refuse_with_time};
use super::{LOW, NAMES};
use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::Response;
use crate::support::prices::{cost_of, haiku};
use crate::support::upstream::{Exchange, Upstream};

const ACCOUNTS: usize = 6;
const EACH: usize = 10;

/// Requests for messages that an upstream has made an answer for, or the beginning of one.
type Made = Arc<Mutex<Vec<String>>>;

/// What an upstream does with a request: the same for the same seed, whenever it comes.
fn fate(seed: u64, name: &str, script: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, name, script).hash(&mut hasher);
    hasher.finish() % 30
}

fn play(fate: u64, kind: Kind, script: &str, exchange: Exchange, made: &Made) -> Option<Exchange> {
    let note = || made.lock().unwrap().push(script.to_owned());
    match fate {
        0 => refuse_with_time(kind, exchange),
        1 => refuse(exchange, 401, "no"),
        2 => refuse(exchange, 400, &error_body("invalid_request_error", LOW)),
        3 => refuse(exchange, 403, &error_body("permission_error", "no")),
        4 => refuse(exchange, 404, &error_body("not_found_error", "model: no")),
        5 => refuse(exchange, 522, "<html>no</html>"),
        6 => refuse(exchange, 200, &error_body("overloaded_error", "no")),
        7 => refuse(exchange, 400, &error_body("invalid_request_error", "prompt: no")),
        8 => {
            exchange.close();
            None
        }
        9 => {
            if kind != Kind::Count {
                note();
            }
            begin_and_fail(kind, exchange)
        }
        10 => Some(hang_in_refusal(exchange)),
        // A call for JSON would be waited for.
        11 if kind == Kind::Stream => Some(exchange),
        _ => {
            if kind != Kind::Count {
                note();
            }
            answer(kind, exchange);
            None
        }
    }
}

/// What an account has asked for and been answered.
fn ask_all(app: &TestApp, account: &Account, number: usize) -> Vec<(Kind, String, Response)> {
    let ask = |at: usize| {
        let (kind, script) = (KINDS[at % 3], format!("{number}-{at}"));
        let response = send_script(app, account, kind, &script).answer(false).finish();
        // Some rests are over in the middle of it.
        app.clock.advance(500);
        (kind, script, response)
    };
    (0..EACH).map(ask).collect()
}

fn run(seed: u64) {
    let made: Made = Arc::default();
    let upstreams = NAMES.map(|name| {
        let made = Arc::clone(&made);
        Answering::start(Upstream::start(), move |kind, script, exchange| {
            play(fate(seed, name, script), kind, script, exchange, &made)
        })
    });
    let mut builder = Builder::new()
        .set("stream.first_byte_secs", 2)
        .set("stream.hold_head_max_secs", 1)
        .set("stream.json_head_secs", 1);
    for (name, upstream) in NAMES.iter().zip(&upstreams) {
        builder = builder.upstream_with(name, &format!("http://{}", upstream.address), "");
    }
    let app = builder.start();
    let accounts: Vec<Account> = (0..ACCOUNTS).map(|_| app.account("5.00")).collect();
    let answered: Vec<_> = thread::scope(|scope| {
        let app = &app;
        let ask = |(number, account)| scope.spawn(move || ask_all(app, account, number));
        let clients: Vec<_> = accounts.iter().enumerate().map(ask).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for (upstream, name) in upstreams.iter().zip(NAMES) {
        let asked = upstream.seen();
        let distinct: BTreeSet<_> = asked.iter().collect();
        assert_eq!(distinct.len(), asked.len(), "{seed}: {name} was asked twice: {asked:?}");
    }
    let made = made.lock().unwrap().clone();
    let all = answered.iter().flatten();
    let refused = all.filter(|(.., response)| response.status == 502);
    let refused: BTreeSet<_> = refused.map(|(_, script, _)| script.clone()).collect();
    let mut paid_for = Vec::new();
    for (account, answers) in accounts.iter().zip(&answered) {
        paid_for.extend(expect_booked(&app, account, answers));
    }
    // What one upstream has made no other has, and it is paid for, but for documents that were cut.
    let distinct: BTreeSet<_> = made.iter().cloned().collect();
    assert_eq!(distinct.len(), made.len(), "{seed}: made twice: {made:?}");
    let mut served: Vec<_> = distinct.difference(&refused).cloned().collect();
    paid_for.sort();
    served.sort();
    assert_eq!(served, paid_for, "{seed}");
    assert!(served.len() >= ACCOUNTS * EACH / 3, "{seed}: {} were served", served.len());
    assert_eq!(app.open_reservations(), 0);
}

/// Compares the books of an account with what it was answered; the requests that it paid for.
fn expect_booked(
    app: &TestApp,
    account: &Account,
    answers: &[(Kind, String, Response)],
) -> Vec<String> {
    let messages: Vec<_> = answers.iter().filter(|(kind, ..)| *kind != Kind::Count).collect();
    let served: Vec<_> = messages.iter().filter(|(.., response)| response.status == 200).collect();
    // Where nobody could be asked nothing was held, and there is no row.
    let dispatched = |response: &Response| {
        let rows = app.usage(account);
        let id = response.header("request-id").unwrap();
        rows.iter().any(|row| row.id == id)
    };
    let known = messages.iter().filter(|(.., response)| dispatched(response)).count();
    let rows = app.settled(account, known);
    for (_, script, response) in &messages {
        assert!(dispatched(response) || response.status == 503, "{script} {}", response.status);
    }
    let mut costs = 0;
    for row in &rows {
        let of_row = |response: &Response| response.header("request-id") == Some(&row.id);
        let (_, script, response) =
            messages.iter().find(|(.., response)| of_row(response)).expect("an answer for a row");
        let expected = match response.status {
            200 if row.ending.code() == "E1" => haiku(1000, 200),
            200 => haiku(1000, 1),
            _ => 0,
        };
        assert_eq!(row.cost_nanousd.as_nanos(), expected, "{script} {row:#?}");
        assert_eq!(row.cost_nanousd.as_nanos(), cost_of(row));
        costs += row.cost_nanousd.as_nanos();
    }
    let entries = app.entries(account, "usage");
    assert_eq!((entries.len(), entries.iter().sum::<i64>()), (served.len(), -costs));
    let balance = app.balance(account);
    assert_eq!((balance.available, balance.reserved), (5_000_000_000 - costs, 0));
    served.into_iter().map(|(_, script, _)| script.clone()).collect()
}

#[test]
fn sixty_requests_over_three_that_fail_at_random_are_booked_once_each() {
    for seed in [1, 2] {
        run(seed);
    }
}
