//! Receipts: lines that come to the very amount that was charged, and silence where they would not.

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::db::schema::usage_logs;

use super::get;
use crate::support::app::{Account, TestApp};
use crate::support::prices::cost_of;
use crate::support::sandbox::body_with;
use crate::support::upstream::{Upstream, message};

/// Dollars with any number of decimals as units of which 10^30 are one.
fn units(text: &Value) -> i128 {
    let text = text.as_str().unwrap();
    let (whole, fraction) = text.split_once('.').unwrap();
    assert!(fraction.len() <= 30 && !text.starts_with('-'), "{text}");
    format!("{whole}{fraction:0<30}").parse().unwrap()
}

/// Asserts that lines and rounding are the cost, and that each line is count × price × factors.
fn assert_adds_up(receipt: &Value) {
    assert_eq!(receipt["explanation"], "itemised", "{receipt:#}");
    let mut thousandths = 1_i128;
    let mut scale = 1_i128;
    for factor in receipt["factors"].as_array().unwrap() {
        let text = format!("{:.3}", factor["factor"].as_str().unwrap().parse::<f64>().unwrap());
        thousandths *= text.replace('.', "").parse::<i128>().unwrap();
        scale *= 1000;
    }
    let mut sum = 0;
    for line in receipt["lines"].as_array().unwrap() {
        let (count, per) = (line["count"].as_i64().unwrap(), line["per"].as_i64().unwrap());
        let mut amount = units(&line["price"]) * i128::from(count) / i128::from(per);
        if line["item"] != "web_search" {
            amount = amount * thousandths / scale;
        }
        assert_eq!(units(&line["amount"]), amount, "{line}");
        sum += amount;
    }
    let rounding = units(&receipt["rounding"]);
    assert!(rounding < 10_i128.pow(21), "less than a nano-dollar");
    assert_eq!(sum + rounding, units(&receipt["cost"]), "{receipt:#}");
}

fn ask(app: &TestApp, upstream: &Upstream, account: &Account, model: &str, usage: &Value) -> Value {
    let tools = json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search",
        "max_uses": 9 }] });
    let connection = app.send(account, &body_with(model, false, "text", &tools));
    let exchange = upstream.next();
    let mut answered: Value = serde_json::from_slice(message(usage).as_ref()).unwrap();
    answered["model"] = model.into();
    exchange.answer_json(&answered.to_string());
    let response = connection.answer(false).finish();
    assert_eq!(response.status, 200, "{}", response.text());
    get(app, account, &format!("/api/v1/usage/{}", response.header("request-id").unwrap()))
}

#[test]
fn a_receipt_adds_up_for_every_class_of_tokens_and_every_factor() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("100.00");
    let write = |short: i64, long: i64| {
        json!({ "cache_creation_input_tokens": short + long,
                "cache_creation": { "ephemeral_5m_input_tokens": short,
                    "ephemeral_1h_input_tokens": long } })
    };
    let classes = [
        (json!({ "input_tokens": 7, "output_tokens": 0 }), vec!["input"]),
        (json!({ "input_tokens": 0, "output_tokens": 11 }), vec!["output"]),
        (write(13, 0), vec!["cache_write_5m"]),
        (write(0, 17), vec!["cache_write_1h"]),
        (json!({ "cache_read_input_tokens": 19 }), vec!["cache_read"]),
        (
            json!({ "output_tokens": 1, "server_tool_use": { "web_search_requests": 3 } }),
            vec!["output", "web_search"],
        ),
        (
            json!({ "input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3,
                    "inference_geo": "us", "service_tier": "standard" }),
            vec!["input", "output", "cache_read"],
        ),
    ];
    for model in ["claude-haiku-4-5", "claude-sonnet-5-5", "claude-opus-5-5"] {
        for (more, items) in &classes {
            let mut usage = json!({ "input_tokens": 0, "output_tokens": 0 });
            usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let receipt = ask(&app, &upstream, &account, model, &usage);
            assert_adds_up(&receipt);
            let found: Vec<&str> = receipt["lines"]
                .as_array()
                .unwrap()
                .iter()
                .map(|line| line["item"].as_str().unwrap())
                .collect();
            assert_eq!(found, *items, "{model}: {receipt:#}");
            if usage["inference_geo"] == "us" && model != "claude-haiku-4-5" {
                assert_eq!(
                    receipt["factors"],
                    json!([{ "of": "inference_geo", "value": "us", "factor": "1.1" }])
                );
            }
        }
    }
    for row in app.usage(&account) {
        assert_eq!(row.cost_nanousd.as_nanos(), cost_of(&row), "{row:#?}");
    }
}

#[test]
fn a_receipt_says_where_it_cannot_add_up() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("100.00");
    let usage = json!({ "input_tokens": 10, "output_tokens": 20 });
    let receipt = ask(&app, &upstream, &account, "claude-haiku-4-5", &usage);
    let id = receipt["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/usage/{id}");
    let set_version = |version: &str| {
        app.db(|conn| {
            diesel::update(usage_logs::table.find(&id))
                .set(usage_logs::price_version.eq(version))
                .execute(conn)
                .unwrap()
        })
    };
    set_version("2025-01-01-00000000");
    let gone = get(&app, &account, &path);
    assert_eq!(gone["explanation"], "prices_gone");
    assert!(gone["message"].as_str().unwrap().contains("price list"));
    assert_eq!((&gone["lines"], &gone["cost"]), (&json!([]), &receipt["cost"]));
    set_version(receipt["price_version"].as_str().unwrap());
    assert_eq!(get(&app, &account, &path), receipt);

    // A pass on another model is summed up in the row, at prices that the row does not tell apart.
    let passes = json!({ "input_tokens": 10, "output_tokens": 20, "iterations": [
        { "type": "message", "input_tokens": 10, "output_tokens": 20 },
        { "type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 30,
            "output_tokens": 40 }] });
    let mixed = ask(&app, &upstream, &account, "claude-haiku-4-5", &passes);
    assert_eq!(mixed["explanation"], "itemised", "{mixed:#}");
    let kinds: Vec<&Value> =
        mixed["passes"].as_array().unwrap().iter().map(|pass| &pass["kind"]).collect();
    assert_eq!(kinds, ["answer", "advisor"]);
    let of: Vec<&Value> =
        mixed["lines"].as_array().unwrap().iter().map(|line| &line["pass"]).collect();
    assert_eq!(of, [&json!(1), &json!(1), &json!(2), &json!(2)]);
    // A row from before passes were kept apart says that its counts do not explain it.
    let mixed_id = mixed["id"].as_str().unwrap().to_owned();
    app.db(|conn| {
        use sluice::db::schema::usage_passes;
        diesel::delete(usage_passes::table.filter(usage_passes::usage_id.eq(&mixed_id)))
            .execute(conn)
            .unwrap();
        diesel::update(usage_logs::table.find(&mixed_id))
            .set(usage_logs::input_tokens.eq(99))
            .execute(conn)
            .unwrap();
    });
    let old = get(&app, &account, &format!("/api/v1/usage/{mixed_id}"));
    assert_eq!(old["explanation"], "not_by_counts", "{old:#}");
    assert_eq!((&old["lines"], &old["rounding"]), (&json!([]), &Value::Null));

    let connection = app.send(&account, &body_with("claude-haiku-4-5", false, "text", &json!({})));
    upstream.next().refuse(400, "{}");
    let refused = connection.answer(false).finish();
    let free =
        get(&app, &account, &format!("/api/v1/usage/{}", refused.header("request-id").unwrap()));
    assert_eq!((&free["explanation"], &free["cost"]), (&json!("free"), &json!("0.00")));
    app.api_get(&account, "/api/v1/usage/req_nothing").expect_refusal(404, "not_found");
}
