//! Models, rates and the end of a key: refused before anything is held, and at once after a change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::MODEL;
use crate::support::app::{Account, TestApp};
use crate::support::client::{Connection, Request, Response};
use crate::support::sandbox::{body, body_with};
use crate::support::upstream::{Upstream, message};
use crate::support::wait::eventually;

const OTHER: &str = "claude-sonnet-4-6";

fn ask(app: &TestApp, account: &Account, model: &str) -> Response {
    app.messages(account, &body(model, false, "text"))
}

/// The answers to so many requests at once.
fn at_once(app: &TestApp, account: &Account, count: usize, model: &str) -> Vec<Response> {
    let body = body(model, false, "text");
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let request = Request::post("/v1/messages", body.clone()).key(&account.key);
            let address = app.address;
            std::thread::spawn(move || Connection::open(address).ask(&request).finish())
        })
        .collect();
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

#[test]
fn a_key_asks_for_the_models_on_its_list_and_sees_no_others() {
    let app = TestApp::sandboxed();
    let account = app.limited(&app.account("100.00"), &json!({ "models": [MODEL] }));
    assert_eq!(ask(&app, &account, MODEL).status, 200);
    assert_eq!(ask(&app, &account, "claude-haiku-4-5-20251001").status, 200, "its dated id");
    for response in at_once(&app, &account, 100, OTHER) {
        let message = response.expect_error(403, "permission_error");
        assert_eq!(message, "This API key may not use the model claude-sonnet-4-6.");
    }
    ask(&app, &account, "nothing").expect_error(404, "not_found_error");
    let advisor =
        json!({ "tools": [{ "type": "advisor_20260301", "name": "advisor", "model": OTHER }] });
    let hidden = body_with(MODEL, false, "text", &advisor);
    app.messages(&account, &hidden).expect_error(403, "permission_error");
    app.count_tokens(&account, &body(OTHER, false, "text")).expect_error(403, "permission_error");
    assert_eq!(app.count_tokens(&account, &body(MODEL, false, "text")).status, 200);

    let listed = app.models(&account).json();
    let ids: Vec<&Value> =
        listed["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, [MODEL]);
    let show = |id: &str| app.ask(&Request::get(&format!("/v1/models/{id}")).key(&account.key));
    assert_eq!(show(MODEL).status, 200);
    show(OTHER).expect_error(404, "not_found_error");
    app.settled(&account, 2);

    // A change counts for the next request.
    app.change_key(&account, &json!({ "models": [OTHER] }));
    assert_eq!(ask(&app, &account, OTHER).status, 200);
    ask(&app, &account, MODEL).expect_error(403, "permission_error");
    app.change_key(&account, &json!({ "models": null }));
    assert_eq!(ask(&app, &account, MODEL).status, 200);
}

#[test]
fn a_key_that_has_expired_is_refused_everywhere_until_its_end_is_moved() {
    let app = TestApp::sandboxed();
    let rich = app.account("100.00");
    let account = app.limited(&rich, &json!({ "expires_at": "2026-11-22T12:00:10Z" }));
    assert_eq!(ask(&app, &account, MODEL).status, 200);
    app.clock.advance(9_999);
    assert_eq!(ask(&app, &account, MODEL).status, 200);
    app.clock.advance(1);
    for response in at_once(&app, &account, 100, MODEL) {
        let message = response.expect_error(401, "authentication_error");
        assert_eq!(message, "This API key has expired.");
    }
    app.models(&account).expect_error(401, "authentication_error");
    app.count_tokens(&account, &body(MODEL, false, "text"))
        .expect_error(401, "authentication_error");
    app.api_get(&account, "/api/v1/usage").expect_refusal(401, "unauthenticated");
    assert_eq!(app.shown_key(&account)["state"], "expired");
    assert_eq!(app.settled(&account, 2).len(), 2);
    assert_eq!(ask(&app, &rich, MODEL).status, 200, "the account's other key");

    app.change_key(&account, &json!({ "expires_at": "2026-11-23T00:00:00Z" }));
    assert_eq!(ask(&app, &account, MODEL).status, 200);
}

#[test]
fn an_end_that_another_node_has_set_holds_at_the_reservation() {
    let app = TestApp::sandboxed();
    let account = app.account("100.00");
    assert_eq!(ask(&app, &account, MODEL).status, 200);
    // Behind this node's back: its memory still says that the key may ask.
    app.db(|conn| {
        use diesel::prelude::*;
        use sluice::db::schema::api_keys;
        diesel::update(api_keys::table.filter(api_keys::public_id.eq(&account.key_id)))
            .set(api_keys::expires_at.eq(app.clock.now().as_millis()))
            .execute(conn)
            .unwrap();
    });
    ask(&app, &account, MODEL).expect_error(401, "authentication_error");
    app.db(|conn| {
        use diesel::prelude::*;
        use sluice::db::schema::api_keys;
        diesel::update(api_keys::table.filter(api_keys::public_id.eq(&account.key_id)))
            .set((api_keys::expires_at.eq(None::<i64>), api_keys::total_budget_nanousd.eq(1)))
            .execute(conn)
            .unwrap();
    });
    ask(&app, &account, MODEL).expect_error(402, "billing_error");
    assert_eq!(app.settled(&account, 1).len(), 1);
}

#[test]
fn of_100_requests_at_once_a_key_gets_as_many_as_its_minute_has() {
    let app = TestApp::sandboxed();
    let rich = app.account("100.00");
    let account = app.limited(&rich, &json!({ "requests_per_minute": 5 }));
    let responses = at_once(&app, &account, 100, MODEL);
    let (through, refused): (Vec<_>, Vec<_>) =
        responses.into_iter().partition(|response| response.status == 200);
    // A token comes every twelve seconds.
    assert!((5..=6).contains(&through.len()), "{}", through.len());
    for response in refused {
        let message = response.expect_error(429, "rate_limit_error");
        assert_eq!(message, "Too many requests for this API key.");
        let wait: u64 = response.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=13).contains(&wait), "{wait}");
    }
    app.count_tokens(&account, &body(MODEL, false, "text")).expect_error(429, "rate_limit_error");
    let other = ask(&app, &rich, MODEL);
    assert_eq!(other.status, 200, "the account's other key");
    assert_eq!(other.header("anthropic-ratelimit-requests-limit"), Some("100000"));
    assert_eq!(through[0].header("anthropic-ratelimit-requests-limit"), Some("5"));
}

#[test]
fn of_100_requests_at_once_a_key_has_as_many_open_as_it_may() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let rich = app.account("100.00");
    let account = app.limited(&rich, &json!({ "max_streams": 3 }));
    let refused = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let request =
                Request::post("/v1/messages", body(MODEL, false, "text")).key(&account.key);
            let (address, refused) = (app.address, Arc::clone(&refused));
            std::thread::spawn(move || {
                let response = Connection::open(address).ask(&request).finish();
                if response.status != 200 {
                    let message = response.expect_error(429, "rate_limit_error");
                    assert_eq!(message, "This API key has too many requests open at once.");
                    refused.fetch_add(1, Ordering::SeqCst);
                }
                response.status
            })
        })
        .collect();
    let open: Vec<_> = (0..3).map(|_| upstream.next()).collect();
    // The other key is not in its way.
    let beside = app.send(&rich, &body(MODEL, false, "text"));
    upstream.next().refuse(400, "{}");
    assert_eq!(beside.answer(false).finish().status, 400);
    eventually("the rest to be refused", || (refused.load(Ordering::SeqCst) == 97).then_some(()));
    for exchange in open {
        exchange.answer_json(&message(&json!({ "input_tokens": 10, "output_tokens": 2 })));
    }
    let statuses: Vec<u16> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3);
    app.settled(&account, 4);
    let connection = app.send(&account, &body(MODEL, false, "text"));
    upstream.next().refuse(400, "{}");
    assert_eq!(connection.answer(false).finish().status, 400, "there is room again");
}
