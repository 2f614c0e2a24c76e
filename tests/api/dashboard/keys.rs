//! Keys by forms: made, shown once, limited, revoked.

use serde_json::Value;

use crate::support::app::{Account, TestApp};
use crate::support::browser::Browser;
use crate::support::client::Response;
use crate::support::sandbox::body;

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

/// The key on the page that its form leads to, which shows it once.
fn shown_once(browser: &Browser<'_>, made: &Response) -> String {
    let shown = browser.led_on(made);
    assert_eq!((shown.status, shown.header("cache-control")), (200, Some("no-store")));
    let cleared = shown.headers.iter().any(|(name, cookie)| {
        name == "set-cookie" && cookie.starts_with("sluice_key=;") && cookie.contains("Max-Age=0")
    });
    assert!(cleared, "{:?}", shown.headers);
    let secret = secret(&shown.text());
    assert!(secret.starts_with("sluice_"), "{secret}");
    assert_eq!(shown.text().matches(&secret).count(), 5, "itself, and in each client's lines");
    assert!(!browser.page(made.sends_to()).contains(&secret), "reloaded");
    secret
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
    let secret = shown_once(&browser, &made);
    assert_eq!(keys(&app, &account).len(), 2, "a reload makes no other key");
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
        assert!(text.contains("laptop") && text.contains(secret.get(52..).unwrap()), "{text}");
        assert!(text.contains("$0.00</data> of") && text.contains("$12.50</data>"), "{text}");
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
        (("monthly_budget", "1,500"), "separators between thousands"),
        (("total_budget", "-1"), "not be below zero"),
        (("requests_per_minute", "many"), "a whole number"),
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
            assert!(page.contains("role=\"alert\">Nothing was saved."), "{field:?}: {page}");
            // Beside the field, and tied to it.
            let id = format!("{}-error", field.0);
            let said = page.split(&format!("id=\"{id}\">")).nth(1).unwrap();
            let said = said.split('<').next().unwrap();
            assert!(said.contains(words), "{field:?}: {said}");
            assert!(page.contains(&format!("{id}\"")), "{field:?}: {page}");
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
    assert!(page.contains("Paused: the total budget is used up"), "{page}");
}

#[test]
fn a_key_is_paused_resumed_and_rotated_by_forms() {
    let app = TestApp::sandboxed();
    let account = app.account("10");
    let browser = app.browser(&account);
    let path = format!("/keys/{}", account.key_id);
    let act = |verb: &str, fields: &[(&str, &str)]| browser.send(&format!("{path}/{verb}"), fields);
    assert_eq!(act("pause", &NAMELESS).sends_to(), "/keys");
    assert_eq!(app.models(&account).status, 403);
    let page = browser.page("/keys");
    assert!(page.contains("Paused") && page.contains(&format!("{path}/resume")), "{page}");
    assert_eq!(act("resume", &NAMELESS).sends_to(), "/keys");
    assert_eq!(app.models(&account).status, 200);

    assert_eq!(act("rotate", &[("overlap", "soon")]).status, 400);
    let rotated = act("rotate", &[("overlap", "7d")]);
    assert_eq!(rotated.sends_to(), format!("{path}/created"));
    let new = Account { key: secret(&browser.led_on(&rotated).text()), ..account.clone() };
    assert_eq!([&account, &new].map(|account| app.models(account).status), [200, 200]);
    let page = browser.page(&path);
    assert!(page.contains(new.key_end()) && page.contains(account.key_end()), "{page}");
    assert!(page.contains("2026-11-29 12:00 UTC"), "{page}");
}

#[test]
fn a_new_key_is_shown_to_the_session_that_made_it_alone_and_for_minutes() {
    let app = TestApp::sandboxed();
    let account = app.account("10");
    let (maker, other) = (app.browser(&account), app.browser(&account));
    let made = maker.send("/keys", &[("name", "ci"), ("scopes", "inference")]);
    let has_key = |browser: &Browser<'_>| {
        let page = browser.led_on(&made);
        assert_eq!(page.status, 200, "{}", page.text());
        page.text().contains("id=\"secret\"")
    };
    assert!(!has_key(&other), "another session of the same person");
    assert!(has_key(&maker));
    app.clock.advance(5 * 60_000);
    assert!(!has_key(&maker), "too late");
    let stranger = app.browser(&app.account("1"));
    assert_eq!(stranger.led_on(&made).status, 404);
}

#[test]
fn revoked_keys_are_in_a_list_of_their_own_and_the_first_request_is_noticed() {
    let app = TestApp::sandboxed();
    let account = app.account("10");
    let browser = app.browser(&account);
    let created = format!("/keys/{}/created", account.key_id);
    assert!(browser.page(&created).contains("data-state=\"waiting\""));
    app.messages(&account, &body("claude-haiku-4-5", false, "text"));
    app.settled(&account, 1);
    assert!(browser.page(&created).contains("data-state=\"done\""));
    assert!(!browser.page("/keys").contains("show=revoked"), "there is none");
    let revoke = format!("/keys/{}/revoke", account.key_id);
    browser.send(&revoke, &[("sure", "yes")]).sends_to();
    let row = format!("href=\"/keys/{}\"", account.key_id);
    assert!(!browser.page("/keys").contains(&row));
    assert!(browser.page("/keys?show=revoked").contains(&row));
}
