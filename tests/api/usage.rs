//! Usage as its account sees it: pages that stand still, receipts that add up, sums that are those
//! of the rows, exports that are all of them, and nothing of anybody else.

mod export;
mod receipts;
mod refused;

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::db::AnyConnection;
use sluice::db::books::UsageRow;
use sluice::db::schema::usage_logs;
use sluice::domain::clock::UnixMillis;
use sluice::domain::ids::{ApiKeyId, RequestId};
use sluice::domain::money::NanoUsd;
use sluice::domain::usage_record::{Outcome, UsageRecord};

use crate::support::app::{Account, TestApp, open_account};

/// 2026-11-22, noon.
const NOON: i64 = 1_795_348_800_000;
const DAY: i64 = 86_400_000;

/// A row of a key, admitted at a moment; its counts follow from its number.
fn row(app: &TestApp, account: &Account, number: i64, created_at: i64, model: &str) -> UsageRow {
    row_of(app.stored_key(account).id, account, number, created_at, model)
}

fn row_of(
    api_key_id: ApiKeyId,
    account: &Account,
    number: i64,
    created_at: i64,
    model: &str,
) -> UsageRow {
    let id = RequestId::from_stored(format!("req_{number:04}"));
    let at = UnixMillis::from_millis(created_at);
    UsageRow::from(&UsageRecord {
        requested_model: model.to_owned(),
        served_model: Some(model.to_owned()),
        input_tokens: number,
        output_tokens: 2 * number,
        cache_write_5m_tokens: 3,
        cache_write_1h_tokens: 4,
        cache_read_tokens: 5,
        cost: NanoUsd::from_nanos(1000 + number),
        price_version: "2020-01-01-00000000".to_owned(),
        http_status: 200,
        ending: Outcome::Complete,
        ..UsageRecord::blank(id, account.id, api_key_id, at)
    })
}

/// Puts rows in beside the books, which are not looked at in these tests.
fn insert(app: &TestApp, rows: &[UsageRow]) {
    app.db(|conn| {
        let put = |conn: &mut AnyConnection| {
            for row in rows {
                diesel::insert_into(usage_logs::table).values(row).execute(conn)?;
            }
            diesel::QueryResult::Ok(())
        };
        conn.transaction(put).unwrap();
    });
}

/// Takes them out again, so that the books balance.
fn clear(app: &TestApp) {
    app.db(|conn| diesel::delete(usage_logs::table).execute(conn).unwrap());
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

fn get(app: &TestApp, account: &Account, path: &str) -> Value {
    let response = app.api_get(account, path);
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response.json()
}

#[test]
fn pages_stand_still_while_rows_come_in_and_rows_of_one_millisecond_are_told_apart() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    // Seven at once in the middle, in no order of insertion.
    let mut rows: Vec<UsageRow> = (0..20)
        .map(|number| {
            let at = if (6..13).contains(&number) { 6 } else { number };
            row(&app, &account, number, NOON - 100_000 + at, "m")
        })
        .collect();
    rows.reverse();
    insert(&app, &rows[7..]);
    insert(&app, &rows[..7]);
    let mut seen = Vec::new();
    let mut path = "/api/v1/usage?limit=3".to_owned();
    for turn in 0.. {
        let page = get(&app, &account, &path);
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        // Newer ones, and one that was admitted in the very millisecond of the middle, come in
        // behind.
        insert(&app, &[row(&app, &account, 100 + turn, NOON - 50_000, "m")]);
        if !page["has_more"].as_bool().unwrap() {
            break;
        }
        path = format!("/api/v1/usage?limit=3&before={}", seen.last().unwrap());
    }
    let expected: Vec<String> = (0..20).rev().map(|number| format!("req_{number:04}")).collect();
    assert_eq!(seen, expected);
    clear(&app);
}

#[test]
fn a_page_has_what_its_filter_lets_pass() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    let second = app.limited(&account, &json!({}));
    insert(
        &app,
        &[
            row(&app, &account, 1, NOON - 2 * DAY, "claude-haiku-4-5"),
            row(&app, &account, 2, NOON - DAY, "claude-sonnet-4-6"),
            row(&app, &second, 3, NOON - DAY, "claude-haiku-4-5"),
            row(&app, &second, 4, NOON, "claude-haiku-4-5"),
        ],
    );
    let key = format!("key={}", second.key_id);
    for (query, expected) in [
        ("", vec!["req_0004", "req_0003", "req_0002", "req_0001"]),
        ("model=claude-haiku-4-5", vec!["req_0004", "req_0003", "req_0001"]),
        // By any name of the model's.
        ("model=claude-haiku-4-5-20251001", vec!["req_0004", "req_0003", "req_0001"]),
        (key.as_str(), vec!["req_0004", "req_0003"]),
        ("from=2026-11-21", vec!["req_0004", "req_0003", "req_0002"]),
        ("to=2026-11-21", vec!["req_0003", "req_0002", "req_0001"]),
        ("from=2026-11-21&to=2026-11-21", vec!["req_0003", "req_0002"]),
        ("from=2026-11-22T12:00:00Z", vec!["req_0004"]),
        ("to=2026-11-22T12:00:00Z", vec!["req_0003", "req_0002", "req_0001"]),
        ("from=2026-11-23&to=2026-11-24", vec![]),
        ("before=req_0003&limit=1", vec!["req_0002"]),
    ] {
        let page = get(&app, &account, &format!("/api/v1/usage?{query}"));
        assert_eq!(ids(&page), expected, "{query}");
    }
    let shown = &get(&app, &account, "/api/v1/usage?limit=1")["data"][0];
    assert_eq!((&shown["key_id"], &shown["key_name"]), (&json!(second.key_id), &json!("limited")));
    assert_eq!(shown["cost"], "0.000001004");
    for query in [
        "limit=0",
        "limit=501",
        "limit=x",
        "from=x",
        "to=2026-13-01",
        "order=up",
        "from=2026-11-22&to=2026-11-20",
    ] {
        app.api_get(&account, &format!("/api/v1/usage?{query}"))
            .expect_refusal(400, "invalid_query");
    }
    app.api_get(&account, "/api/v1/usage?before=req_9").expect_refusal(404, "not_found");
    clear(&app);
}

#[test]
fn nobody_sees_anybody_elses_usage() {
    let app = TestApp::sandboxed();
    let (account, other) = (app.account("0"), app.account("0"));
    insert(&app, &[row(&app, &account, 1, NOON, "m")]);
    assert_eq!(get(&app, &account, "/api/v1/usage/req_0001")["id"], "req_0001");
    for path in [
        "/api/v1/usage/req_0001".to_owned(),
        "/api/v1/usage?before=req_0001".to_owned(),
        format!("/api/v1/usage?key={}", account.key_id),
        format!("/api/v1/usage/export?key={}", account.key_id),
    ] {
        app.api_get(&other, &path).expect_refusal(404, "not_found");
        app.as_person(&other, "GET", &path, None).expect_refusal(404, "not_found");
    }
    assert_eq!(get(&app, &other, "/api/v1/usage")["data"], json!([]));
    assert_eq!(get(&app, &other, "/api/v1/usage/series")["lines"], json!([]));
    let own = get(&app, &other, "/api/v1/ledger");
    assert_eq!(own["data"].as_array().unwrap().len(), 1, "what it was opened with: {own}");
    let mine = app.as_person(&account, "GET", "/api/v1/usage/req_0001", None);
    assert_eq!(mine.json(), get(&app, &account, "/api/v1/usage/req_0001"));
    clear(&app);
}

/// A sum over the rows, as the series has it.
fn sums<'a>(rows: impl Iterator<Item = &'a UsageRow>) -> Value {
    let (mut cost, mut sums) = (0, [0; 5]);
    for row in rows {
        cost += row.cost_nanousd.as_nanos();
        let counts = [
            row.input_tokens,
            row.output_tokens,
            row.cache_write_5m_tokens + row.cache_write_1h_tokens,
            row.cache_read_tokens,
            1,
        ];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    json!({
        "cost": NanoUsd::from_nanos(cost).to_string(), "input_tokens": sums[0],
            "output_tokens": sums[1],
        "cache_write_tokens": sums[2], "cache_read_tokens": sums[3], "requests": sums[4],
    })
}

#[test]
fn a_series_is_the_sum_of_the_rows_by_day_and_what_is_small_is_one_line() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    let other = app.db(|conn| open_account(conn, "0"));
    // Fifteen models over five days, at both ends of each day; later ones cost more.
    let midnight = NOON - DAY / 2;
    let mut rows = Vec::new();
    for number in 0..150_i64 {
        let day = midnight - DAY * (number % 5);
        let at = if number % 2 == 0 { day } else { day + DAY - 1 };
        rows.push(row(&app, &account, number, at, &format!("m{:02}", number % 15)));
    }
    rows.push(row(&app, &account, 900, midnight - 5 * DAY - 1, "early"));
    insert(&app, &rows);
    insert(&app, &[row(&app, &other, 901, NOON, "m00")]);

    let days: Vec<i64> = (0..5).rev().map(|ago| midnight - DAY * ago).collect();
    let at = |row: &UsageRow| row.created_at.as_millis();
    let on = |rows: &[&UsageRow], day: i64| {
        sums(rows.iter().copied().filter(|row| (day..day + DAY).contains(&at(row))))
    };
    let within: Vec<&UsageRow> = rows.iter().filter(|row| row.requested_model != "early").collect();
    let span = "from=2026-11-18&to=2026-11-22";
    let total = get(&app, &account, &format!("/api/v1/usage/series?{span}"));
    assert_eq!(
        (&total["from"], &total["to"], &total["by"]),
        (&json!("2026-11-18"), &json!("2026-11-22"), &json!("total"))
    );
    assert_eq!(total["lines"].as_array().unwrap().len(), 1);
    let expected: Vec<Value> = days.iter().map(|day| on(&within, *day)).collect();
    assert_eq!(total["lines"][0]["days"], Value::Array(expected));
    assert_eq!(total["lines"][0]["total"], sums(within.iter().copied()));

    let models = get(&app, &account, &format!("/api/v1/usage/series?{span}&by=model"));
    let lines = models["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 13);
    let (rest, largest) = lines.split_last().unwrap();
    let names: Vec<&str> = largest.iter().map(|line| line["name"].as_str().unwrap()).collect();
    let costly: Vec<String> = (3..15).rev().map(|number| format!("m{number:02}")).collect();
    assert_eq!(names, costly, "what cost most comes first");
    for line in largest {
        let own: Vec<&UsageRow> =
            within.iter().copied().filter(|row| line["id"] == row.requested_model).collect();
        let expected: Vec<Value> = days.iter().map(|day| on(&own, *day)).collect();
        assert_eq!(line["days"], Value::Array(expected), "{}", line["id"]);
        assert_eq!(line["total"], sums(own.into_iter()));
    }
    let small: Vec<&UsageRow> = within
        .iter()
        .copied()
        .filter(|row| ["m00", "m01", "m02"].contains(&row.requested_model.as_str()))
        .collect();
    assert_eq!((&rest["name"], &rest["id"]), (&json!("other"), &Value::Null));
    assert_eq!(rest["total"], sums(small.into_iter()));

    let keys = get(&app, &account, &format!("/api/v1/usage/series?{span}&by=key"));
    assert_eq!(keys["lines"][0]["id"], account.key_id);
    assert_eq!(keys["lines"][0]["total"], sums(within.iter().copied()));
    let month = get(&app, &account, "/api/v1/usage/series");
    assert_eq!((&month["from"], &month["to"]), (&json!("2026-10-24"), &json!("2026-11-22")));
    assert_eq!(month["lines"][0]["days"].as_array().unwrap().len(), 30);
    let longest = get(&app, &account, "/api/v1/usage/series?from=2025-10-19&to=2026-11-22");
    assert_eq!(longest["lines"][0]["days"].as_array().unwrap().len(), 400);
    for query in [
        "from=2025-10-18&to=2026-11-22",
        "from=2026-11-23",
        "by=colour",
        "from=x",
        "to=2026-11-22T00:00:00Z",
    ] {
        let path = format!("/api/v1/usage/series?{query}");
        app.api_get(&account, &path).expect_refusal(400, "invalid_query");
    }
    clear(&app);
}
