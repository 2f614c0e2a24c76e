//! Exports and the ledger: every row once, readable by other programs, cut rather than short.

use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use super::{NOON, clear, get, insert, row, row_of};
use crate::support::app::{Account, TestApp, credit};
use crate::support::client::{Connection, End, Request, Response};
use crate::support::sandbox::body;
use crate::support::sse::MODEL;

fn export(app: &TestApp, account: &Account, path: &str) -> Response {
    let response = app.api_get(account, path);
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response
}

/// CSV as the `csv` crate reads it: names to values.
fn records(response: &Response) -> Vec<Value> {
    let mut reader = csv::Reader::from_reader(response.body.as_slice());
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let record = |record: csv::StringRecord| {
        let fields = names.iter().zip(record.iter());
        Value::Object(fields.map(|(name, value)| (name.clone(), json!(value))).collect())
    };
    reader.records().map(|one| record(one.unwrap())).collect()
}

fn json_lines(response: &Response) -> Vec<Value> {
    response.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn p14_an_export_has_every_row_once_in_either_format() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    // More than two pieces, many of them in the same milliseconds.
    let key = app.stored_key(&account).id;
    let row = |number| row_of(key, &account, number, NOON - 1000 + number / 100, "m");
    let rows: Vec<_> = (0..1234).map(row).collect();
    insert(&app, &rows);
    let response = export(&app, &account, "/api/v1/usage/export");
    assert_eq!(response.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(
        response.header("content-disposition"),
        Some("attachment; filename=\"usage-2026-11-22.csv\"")
    );
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let found = records(&response);
    assert_eq!(found.len(), 1234);
    for (number, record) in found.iter().enumerate() {
        assert_eq!(record["id"], format!("req_{number:04}"));
        assert_eq!(record["input_tokens"], number.to_string());
        assert_eq!(
            (&record["first_byte_ms"], &record["is_estimated"]),
            (&json!(""), &json!("false"))
        );
    }
    let response = export(&app, &account, "/api/v1/usage/export?format=jsonl");
    assert_eq!(
        response.header("content-disposition"),
        Some("attachment; filename=\"usage-2026-11-22.jsonl\"")
    );
    let lines = json_lines(&response);
    assert_eq!(lines.len(), 1234);
    for (line, record) in lines.iter().zip(&found) {
        let fields = line.as_object().unwrap();
        assert_eq!(fields.len(), record.as_object().unwrap().len(), "the same columns");
        assert_eq!((&line["id"], &line["cost"]), (&record["id"], &record["cost"]));
    }
    // The same document as in a list.
    assert_eq!(lines[1233], get(&app, &account, "/api/v1/usage?limit=1")["data"][0]);
    let span = "/api/v1/usage/export?from=2026-11-22T11:59:59.001Z&to=2026-11-22T11:59:59.002Z";
    assert_eq!(records(&export(&app, &account, span)).len(), 100);
    for query in ["format=xml", "limit=5", "from=x"] {
        let path = format!("/api/v1/usage/export?{query}");
        app.api_get(&account, &path).expect_refusal(400, "invalid_query");
    }
    clear(&app);
    assert_eq!(records(&export(&app, &account, "/api/v1/usage/export")), [Value::Null; 0]);
    assert!(export(&app, &account, "/api/v1/usage/export").text().starts_with("id,created_at,"));
    assert_eq!(export(&app, &account, "/api/v1/usage/export?format=jsonl").text(), "");
}

#[test]
fn a_client_of_http_1_0_gets_an_export_that_ends_with_its_connection() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    insert(&app, &[row(&app, &account, 1, NOON, "m")]);
    let request = Request::get("/api/v1/usage/export").key(&account.key).http_10();
    let response = app.ask(&request);
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(records(&response).len(), 1);
    clear(&app);
}

#[test]
fn words_in_an_export_are_no_formulas_and_numbers_stay_numbers() {
    let app = TestApp::sandboxed();
    let account = app.account("1.00");
    app.change_key(&account, &json!({ "name": "=HYPERLINK(\"http://x\",\"a,b\")" }));
    insert(&app, &[row(&app, &account, 1, NOON, "+m")]);
    let found = records(&export(&app, &account, "/api/v1/usage/export"));
    assert_eq!(found[0]["key_name"], "'=HYPERLINK(\"http://x\",\"a,b\")");
    assert_eq!(
        (&found[0]["requested_model"], &found[0]["served_model"]),
        (&json!("'+m"), &json!("'+m"))
    );
    let lines = json_lines(&export(&app, &account, "/api/v1/usage/export?format=jsonl"));
    assert_eq!(lines[0]["key_name"], "=HYPERLINK(\"http://x\",\"a,b\")");
    clear(&app);
    app.db(|conn| credit(conn, account.id, -250_000_000));
    let found = records(&export(&app, &account, "/api/v1/ledger/export"));
    assert_eq!((&found[1]["amount"], &found[1]["balance"]), (&json!("-0.25"), &json!("0.75")));
}

#[test]
fn the_ledger_tells_each_change_and_what_the_account_came_to() {
    let app = TestApp::sandboxed();
    let account = app.account("1.00");
    for _ in 0..3 {
        assert_eq!(
            app.messages(&account, &body(MODEL, false, "text;input=100;output=10")).status,
            200
        );
    }
    app.settled(&account, 3);
    app.db(|conn| credit(conn, account.id, -500_000_000));
    let all = get(&app, &account, "/api/v1/ledger");
    let entries = all["data"].as_array().unwrap();
    let column =
        |name: &str| entries.iter().map(|entry| entry[name].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(column("kind"), ["adjustment", "usage", "usage", "usage", "adjustment"]);
    assert_eq!(column("amount"), ["-0.50", "-0.00015", "-0.00015", "-0.00015", "1.00"]);
    assert_eq!(column("balance"), ["0.49955", "0.99955", "0.9997", "0.99985", "1.00"]);
    let requests: Vec<String> = app.usage(&account).into_iter().map(|row| row.id).collect();
    assert!(requests.iter().any(|id| entries[1]["about"] == json!(id)), "{:#}", entries[1]);
    assert_eq!(entries[1]["reference"], entries[1]["about"]);
    assert_eq!(entries[0]["meaning"], "Debit by the operator.");

    let mut paged: Vec<Value> = Vec::new();
    let mut path = "/api/v1/ledger?limit=2".to_owned();
    loop {
        let page = get(&app, &account, &path);
        paged.extend(page["data"].as_array().unwrap().clone());
        if page["has_more"] == json!(false) {
            break;
        }
        path = format!("/api/v1/ledger?limit=2&before={}", paged.last().unwrap()["id"]);
    }
    assert_eq!(&paged, entries);
    let mut exported = json_lines(&export(&app, &account, "/api/v1/ledger/export?format=jsonl"));
    exported.reverse();
    assert_eq!(&exported, entries);
    let usage = get(&app, &account, "/api/v1/ledger?kind=usage");
    assert_eq!(usage["data"].as_array().unwrap().len(), 3);
    assert_eq!(usage["data"][0]["balance"], Value::Null);
    for query in ["kind=colour", "limit=0", "before=x", "after=1"] {
        let path = format!("/api/v1/ledger?{query}");
        app.api_get(&account, &path).expect_refusal(400, "invalid_query");
    }
}

#[test]
fn an_export_that_cannot_go_on_is_cut_rather_than_short() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    let key = app.stored_key(&account).id;
    let row = |number| row_of(key, &account, number, NOON - 9000 + number, "m");
    let rows: Vec<_> = (0..8000).map(row).collect();
    insert(&app, &rows);
    let request = Request::get("/api/v1/usage/export").key(&account.key);
    let mut answer = Connection::open_narrow(app.address).ask(&request);
    answer.read_until("req_0000");
    let rename = |from: &str, to: &str| {
        app.db(|conn| conn.batch_execute(&format!("ALTER TABLE {from} RENAME TO {to}")).unwrap());
    };
    rename("usage_logs", "usage_gone");
    let response = answer.finish();
    rename("usage_gone", "usage_logs");
    assert_eq!(response.status, 200);
    assert_ne!(response.end, End::Whole);
    assert!(!response.text().contains("req_7999"));
    clear(&app);
}

#[test]
fn a_csv_file_for_excel_begins_with_a_mark_and_no_other_does() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    let key = app.stored_key(&account).id;
    insert(&app, &[row_of(key, &account, 1, NOON - 1000, "m")]);
    for path in ["usage", "ledger"] {
        let file =
            |query: &str| export(&app, &account, &format!("/api/v1/{path}/export?{query}")).body;
        let marked = file("format=csv&bom=true");
        assert_eq!(marked.strip_prefix(b"\xEF\xBB\xBF"), Some(&file("format=csv")[..]));
        assert_eq!(file("format=jsonl&bom=true"), file("format=jsonl"));
    }
    let none = export(&app, &account, "/api/v1/usage/export?result=error&format=jsonl");
    assert!(none.body.is_empty());
    let all = export(&app, &account, "/api/v1/usage/export?result=ok&format=jsonl");
    assert_eq!(json_lines(&all).len(), 1);
    app.api_get(&account, "/api/v1/usage?result=fine").expect_refusal(400, "invalid_query");
    clear(&app);
}
