//! What is offered, and to whom: paths, methods, models, and pages of other sites.

use super::{PATH, assert_unharmed};
use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{End, Request, Response};
use crate::support::sandbox::{body, sandbox};

#[test]
fn what_is_not_offered_is_404_or_405_and_says_what_is() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let elsewhere =
        ["/v1", "/v1/complete", "/v1/messages/batches", "/v1/files", "/metrics", "/healthz"];
    for path in elsewhere {
        let response = app.ask(&Request::get(path).key(&account.key));
        let message = response.expect_error(404, "not_found_error");
        assert!(message.contains("POST /v1/messages"), "{message}");
    }
    for (method, path) in [
        ("GET", PATH),
        ("PUT", PATH),
        ("DELETE", PATH),
        ("GET", "/v1/messages/count_tokens"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/claude-haiku-4-5"),
    ] {
        let response = app.ask(&Request::new(method, path).key(&account.key));
        response.expect_error(405, "invalid_request_error");
    }
    assert_unharmed(&app, &account);
}

#[test]
fn models_are_listed_as_the_wire_lists_them_and_head_follows_get() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    let list = app.models(&account);
    let document = list.expect_ok().json();
    let data = document["data"].as_array().unwrap();
    assert_eq!(data.len(), 18);
    assert_eq!(document["has_more"], false);
    assert_eq!(document["first_id"], data[0]["id"]);
    assert_eq!(document["last_id"], data[17]["id"]);
    for model in data {
        assert_eq!(model["type"], "model");
        assert!(model["created_at"].as_str().unwrap().ends_with('Z'), "{model}");
    }
    let get = |path: &str| app.ask(&Request::get(path).key(&account.key));
    // Page by page it is the same list.
    let (mut seen, mut query) = (Vec::new(), "limit=5".to_owned());
    loop {
        let page = get(&format!("/v1/models?{query}")).expect_ok().json();
        seen.extend(page["data"].as_array().unwrap().clone());
        if page["has_more"] == false {
            break;
        }
        query = format!("limit=5&after_id={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!(&seen, data);
    get("/v1/models?limit=0").expect_error(400, "invalid_request_error");
    get("/v1/models?limit=x").expect_error(400, "invalid_request_error");

    let by_dated_id = get("/v1/models/claude-haiku-4-5-20251001").expect_ok().json();
    assert_eq!(by_dated_id["id"], "claude-haiku-4-5");
    get("/v1/models/claude-9").expect_error(404, "not_found_error");

    for path in ["/v1/models", "/v1/models/claude-haiku-4-5"] {
        let response = app.ask(&Request::new("HEAD", path).key(&account.key));
        assert_eq!((response.status, response.end), (200, End::Whole));
        assert!(response.header("request-id").is_some());
        let got = get(path).body.len().to_string();
        assert_eq!(response.header("content-length"), Some(got.as_str()));
    }
    let head = app.ask(&Request::new("HEAD", "/v1/models/claude-9").key(&account.key));
    assert_eq!(head.status, 404);
    assert_unharmed(&app, &account);
}

#[test]
fn only_models_that_some_upstream_serves_are_offered() {
    let base_url = format!("http://{}", sandbox());
    let app =
        Builder::new().upstream_with("small", &base_url, "serves = [\"claude-haiku-4-5\"]").start();
    let account = app.account("5.00");
    let document = app.models(&account).expect_ok().json();
    assert_eq!(document["data"].as_array().unwrap().len(), 1);
    app.messages(&account, &body("claude-sonnet-4-5", true, "text")).expect_error(503, "api_error");
    assert_unharmed(&app, &account);
}

#[test]
fn browsers_are_answered_only_where_the_operator_says_so() {
    let closed = TestApp::sandboxed();
    let account = closed.account("5.00");
    let from = |app: &TestApp, account: &Account| {
        app.ask(&Request::get("/v1/models").key(&account.key).header("origin", "https://a.example"))
    };
    assert!(from(&closed, &account).header("access-control-allow-origin").is_none());
    let open = Builder::new()
        .upstream("sandbox", sandbox())
        .set("server.cors_origins", "[\"https://a.example\"]")
        .start();
    let account = open.account("5.00");
    let response = from(&open, &account);
    assert_eq!(response.header("access-control-allow-origin"), Some("https://a.example"));
    let exposed = response.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("request-id") && exposed.contains("retry-after"), "{exposed}");
}

#[test]
fn pages_of_other_sites_may_call_v1_and_nothing_else() {
    for origins in ["[\"https://a.example\"]", "[\"*\"]"] {
        let app = Builder::new()
            .upstream("sandbox", sandbox())
            .set("server.cors_origins", origins)
            .start();
        let account = app.account("5.00");
        let from = |request: Request| app.ask(&request.header("origin", "https://a.example"));
        let first_ask = |path: &str| {
            let asked = Request::new("OPTIONS", path);
            from(
                asked
                    .header("access-control-request-method", "POST")
                    .header("access-control-request-headers", "x-api-key"),
            )
        };
        let allowed = |response: &Response| {
            response.headers.iter().any(|(name, _)| name.starts_with("access-control-"))
        };
        for path in [PATH, "/v1/messages/count_tokens"] {
            let response = first_ask(path);
            assert_eq!(response.status, 200, "{path}");
            assert!(allowed(&response), "{path}");
        }
        let refused = from(Request::post(PATH, "{").key(&account.key));
        assert!(refused.status == 400 && allowed(&refused), "a page reads refusals too");
        for path in ["/api/v1/account", "/api/v1/prices", "/openapi.json", "/", "/log-in", "/v1"] {
            let response = from(Request::get(path).key(&account.key));
            assert!(!allowed(&response), "{path}");
            assert!(!allowed(&first_ask(path)), "{path}");
        }
        assert_eq!(first_ask("/api/v1/sessions").status, 405);
    }
}
