//! Keys by forms: made, shown once, limited, revoked.

use serde_json::Value;

use crate::support::app::{Account, TestApp};

const NAMELESS: [(&str, &str); 0] = [];

fn keys(app: &TestApp, account: &Account) -> Vec<Value> {
    let token = account.log_in(app);
    let response = app.by(&token, "GET", "/api/v1/keys");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["data"].as_array().unwrap().clone()
}

/// The secret on the page that shows it.
fn secret(page: &str) -> String {
    let rest = page.split("id=\"secret\"").nth(1).unwrap_or_else(|| panic!("no secret: {page}"));
    let text = rest.split('>').nth(1).unwrap();
    text.split('<').next().unwrap().trim().to_owned()
}

#[test]
fn a_key_is_made_shown_once_limited_and_revoked() {
    let app = TestApp::sandboxed();
    let account = app.account("10");
    let browser = app.browser(&account);
    let made = browser.send(
        "/keys",
        &[
            ("name", "laptop"),
            ("scopes", "inference"),
            ("scopes", "billing"),
            ("monthly_budget", "12.5"),
            ("total_budget", ""),
            ("requests_per_minute", "60"),
            ("max_streams", ""),
            ("expires_at", "2026-12-31T23:59"),
            ("models", "claude-haiku-5-5"),
            ("models", "claude-opus-5-5"),
        ],
    );
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let secret = secret(&made.text());
    assert!(secret.starts_with("sluice_"), "{secret}");
    let asked = Account { key: secret.clone(), ..account.clone() };
    assert_eq!(app.models(&asked).status, 200);

    let stored = keys(&app, &account).into_iter().find(|key| key["name"] == "laptop").unwrap();
    assert_eq!(stored["scopes"], serde_json::json!(["inference", "billing"]), "{stored}");
    assert_eq!(stored["monthly_budget"], "12.50", "{stored}");
    assert_eq!(stored["total_budget"], Value::Null, "{stored}");
    assert_eq!(stored["requests_per_minute"], 60, "{stored}");
    assert_eq!(stored["expires_at"], "2026-12-31T23:59:00.000Z", "{stored}");
    assert_eq!(stored["models"].as_array().unwrap().len(), 2, "{stored}");

    let path = format!("/keys/{}", stored["id"].as_str().unwrap());
    let (list, page) = (browser.page("/keys"), browser.page(&path));
    for text in [&list, &page] {
        assert!(!text.contains(&secret), "shown twice");
        assert!(text.contains("laptop") && text.contains("$0.00 of $12.50"), "{text}");
    }
    assert!(
        page.contains("value=\"12.50\"") && page.contains("value=\"2026-12-31T23:59\""),
        "{page}"
    );

    // What the form says alike stays, what it says otherwise changes, what is empty is no limit.
    let changed = browser.send(
        &path,
        &[
            ("name", "desk"),
            ("scopes", "read"),
            ("monthly_budget", "12.50"),
            ("expires_at", ""),
            ("max_streams", "3"),
        ],
    );
    assert_eq!(changed.sends_to(), path);
    let stored = keys(&app, &account).into_iter().find(|key| key["name"] == "desk").unwrap();
    assert_eq!((&stored["monthly_budget"], &stored["max_streams"]), (&"12.50".into(), &3.into()));
    assert_eq!((&stored["expires_at"], &stored["models"]), (&Value::Null, &Value::Null));
    assert_eq!(stored["requests_per_minute"], Value::Null);
    assert_eq!(stored["scopes"], serde_json::json!(["read"]), "{stored}");
    let page = browser.page(&path);
    let is_ticked = |scope: &str| page.contains(&format!("value=\"{scope}\" checked"));
    assert_eq!(["inference", "read", "billing"].map(is_ticked), [false, true, false], "{page}");
    browser.send(&path, &[("name", "desk"), ("scopes", "inference")]).sends_to();

    let revoke = format!("{path}/revoke");
    assert_eq!(browser.send(&revoke, &NAMELESS).status, 422, "without being sure");
    assert_eq!(app.models(&asked).status, 200);
    assert_eq!(browser.send(&revoke, &[("sure", "yes")]).sends_to(), "/keys");
    assert_eq!(app.models(&asked).status, 401, "from the next request on");
    let page = browser.page(&path);
    assert!(page.contains("Revoked") && !page.contains("action=\"/keys/"), "{page}");
}

#[test]
fn what_cannot_be_read_is_said_on_the_form_with_what_was_written() {
    let app = TestApp::sandboxed();
    let account = app.account("0");
    let browser = app.browser(&account);
    let own = format!("/keys/{}", account.key_id);
    let cases = [
        (("monthly_budget", "1,5"), "budget in dollars"),
        (("total_budget", "-1"), "not be below zero"),
        (("requests_per_minute", "many"), "whole numbers"),
        (("max_streams", "0"), "at least 1"),
        (("expires_at", "soon"), "2026-12-31T23:59"),
        (("expires_at", "2026-11-22T11:59"), "in the future"),
        (("models", "gpt-nothing"), "no model"),
    ];
    for (field, words) in cases {
        for path in ["/keys", own.as_str()] {
            let refused = browser.send(path, &[("name", "my key"), ("scopes", "read"), field]);
            let page = refused.text();
            assert_eq!(refused.status, 422, "{field:?}: {page}");
            let said = page.split("role=\"alert\">").nth(1).unwrap().split('<').next().unwrap();
            assert!(said.contains(words), "{field:?}: {said}");
            assert!(page.contains("value=\"my key\""), "{field:?}: {page}");
            assert!(page.contains(&format!("value=\"{}\"", field.1)), "{field:?}: {page}");
        }
    }
    assert_eq!(browser.send("/keys", &[("name", " "), ("scopes", "read")]).status, 422);
    for path in ["/keys", own.as_str()] {
        let refused = browser.send(path, &[("name", "for nothing")]);
        assert_eq!(refused.status, 422);
        assert!(refused.text().contains("at least one scope"), "{}", refused.text());
    }
    assert_eq!(keys(&app, &account).len(), 1);
    assert_eq!(keys(&app, &account)[0]["name"], "default");
}

#[test]
fn a_key_that_a_budget_has_paused_says_so() {
    let app = TestApp::sandboxed();
    let account = app.account("10");
    let browser = app.browser(&account);
    let path = format!("/keys/{}", account.key_id);
    browser
        .send(&path, &[("name", "default"), ("scopes", "read"), ("total_budget", "0")])
        .sends_to();
    let page = browser.page(&path);
    assert!(page.contains("Paused") && page.contains("Total budget reached"), "{page}");
}
