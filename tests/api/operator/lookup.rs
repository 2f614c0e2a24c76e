//! Accounts by a part of their address, and a request by its id.

use serde_json::json;
use sluice::db::models::{accounts, api_keys};

use super::{decisions, ids, sandboxed};
use crate::support::sandbox::body;
use crate::support::{sse, usage_rows};

const DAY: i64 = 86_400_000;

#[test]
fn accounts_are_searched_and_listed_in_pages_with_what_they_spent() {
    let (app, desk) = sandboxed();
    let opened: Vec<String> = ["ada@one.example", "a_b@two.example", "axb@two.example"]
        .iter()
        .map(|email| desk.json(&["account", "create", email])["id"].as_str().unwrap().to_owned())
        .collect();
    let list = |more: &[&str]| desk.json(&[&["account", "list"], more].concat());
    assert_eq!(ids(&list(&[])), opened);
    assert_eq!(ids(&list(&["--search", "TWO.example"])), opened[1..]);
    // It is text, not a pattern.
    assert_eq!(ids(&list(&["--search", "a_b"])), opened[1..2]);
    assert_eq!(list(&["--search", "%"]), json!([]));
    assert_eq!(ids(&list(&["--limit", "2"])), opened[..2]);
    assert_eq!(ids(&list(&["--limit", "2", "--after", "a_b@two.example"])), opened[2..]);
    assert_eq!(desk.run(&["account", "list", "--limit", "0"]).code, 2);
    desk.refused(&["account", "list", "--after", "acct_nobody"]);

    let spender = app.account("5");
    let (key, now) =
        (app.db(|conn| api_keys::find(conn, &spender.key_id).unwrap().unwrap()), app.clock.now());
    app.db(|conn| {
        let of = (spender.id.0, key.id.0);
        let at = |days: i64| now.plus_millis(-days * DAY).as_millis();
        usage_rows::insert(conn, "req_new", of, at(1), 1_500_000_000);
        usage_rows::insert(conn, "req_newer", of, at(0), 500_000_000);
        usage_rows::insert(conn, "req_old", of, at(31), 7_000_000_000);
    });
    let email = app.db(|conn| accounts::get(conn, spender.id).unwrap().unwrap().email);
    let found = list(&["--search", &email]);
    assert_eq!(ids(&found), [spender.public_id.as_str()]);
    assert_eq!(found[0]["spent_30_days"], json!("2.00"));
    assert_eq!(found[0]["last_used_at"], json!(null));
    for field in ["email", "status", "available", "reserved", "at_risk", "created_at"] {
        assert!(found[0][field].is_string(), "{field}");
    }
    let table = desk.run(&["account", "list"]).out;
    assert!(table.contains("spent USD, 30 days") && table.contains("2.00"), "{table}");
    // Nothing was asked for, so that the rows alone need not balance.
    app.db(|conn| {
        use diesel::prelude::*;
        diesel::delete(sluice::db::schema::usage_logs::table).execute(conn).unwrap();
    });
    assert_eq!(decisions(&app), []);
}

#[test]
fn a_request_is_found_by_its_id_alone() {
    let (app, desk) = sandboxed();
    let account = app.account("5");
    let response = app.messages(&account, &body(sse::MODEL, false, "text"));
    assert_eq!(response.status, 200, "{}", response.text());
    let shown = desk.json(&["account", "show", &account.public_id]);
    let id = shown["usage"][0]["id"].as_str().unwrap();
    let found = desk.json(&["account", "request", id]);
    for (field, expected) in [
        ("state", json!("ended")),
        ("account", json!(account.public_id)),
        ("key", json!(account.key_id)),
        ("upstream", json!("sandbox")),
        ("ending", json!("E1")),
        ("cost", shown["usage"][0]["cost"].clone()),
        ("output_tokens", shown["usage"][0]["output_tokens"].clone()),
    ] {
        assert_eq!(found[field], expected, "{field}");
    }
    let text = desk.run(&["account", "request", id]).out;
    assert!(text.contains(&account.public_id) && text.contains("sandbox"), "{text}");
    let none = desk.refused(&["account", "request", "req_nobody"]);
    assert!(none.contains("no request \"req_nobody\""), "{none}");
}

#[test]
fn a_running_request_is_found_by_its_id() {
    use crate::support::app::Builder;
    use crate::support::client::{Connection, Request};
    use crate::support::desk::Cli;
    use crate::support::upstream::Upstream;
    let upstream = Upstream::start();
    let app = Builder::new().upstream("primary", upstream.address).start();
    let (desk, account) = (Cli::beside(&app), app.account("5"));
    let request = Request::post("/v1/messages", body(sse::MODEL, true, "text")).key(&account.key);
    let connection = Connection::open(app.address).send(&request);
    let mut exchange = upstream.next();
    exchange.stream_head().chunk(sse::start());
    let mut answer = connection.answer(false);
    answer.read_until("message_start");
    let shown = desk.json(&["account", "show", &account.public_id]);
    let found = desk.json(&["account", "request", shown["running"][0]["id"].as_str().unwrap()]);
    assert_eq!(
        (&found["state"], &found["account"]),
        (&json!("running"), &json!(account.public_id))
    );
    assert_eq!(found["held"], shown["running"][0]["held"]);
    drop(exchange);
    answer.finish();
}
