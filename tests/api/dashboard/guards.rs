//! Who may see and do what: nobody without a session, nothing of others, no form but ours, and no
//! text as markup.

use serde_json::json;
use sluice::db::models::deposits;

use super::with_chain;
use crate::support::app::{Account, TestApp};
use crate::support::client::Request;
use crate::support::deposit_rows::row;

const PAGES: [&str; 6] = ["/dashboard", "/usage", "/keys", "/wallets", "/deposits", "/ledger"];

/// Every form of these pages, with what it needs to be taken.
fn forms(account: &Account) -> Vec<(String, Vec<(&'static str, String)>)> {
    let key = format!("/keys/{}", account.key_id);
    let hash = format!("0x{}", "ab".repeat(32));
    vec![
        ("/keys".to_owned(), vec![("name", "stolen".to_owned())]),
        (key.clone(), vec![("name", "stolen".to_owned())]),
        (format!("{key}/revoke"), vec![("sure", "yes".to_owned())]),
        (
            "/wallets/challenge".to_owned(),
            vec![("chain", "base".to_owned()), ("address", super::TREASURY.to_owned())],
        ),
        (
            "/wallets/link".to_owned(),
            vec![("message", "x".to_owned()), ("signature", "0x12".to_owned())],
        ),
        ("/wallets/wal_none/unlink".to_owned(), vec![]),
        ("/deposits/address".to_owned(), vec![]),
        ("/deposits".to_owned(), vec![("chain", "base".to_owned()), ("tx_hash", hash)]),
    ]
}

/// What the forms could have changed.
fn stand(app: &TestApp, account: &Account) -> String {
    let keys = app.by(&account.log_in(app), "GET", "/api/v1/keys").text();
    let claims = app.api_get(account, "/api/v1/deposits").text();
    keys + &claims
}

#[test]
fn forms_without_the_word_of_our_pages_change_nothing() {
    let app = with_chain(|builder| builder);
    let (account, other) = (app.account("0"), app.account("0"));
    let browser = app.browser(&account);
    let strange = app.browser(&other);
    let word = strange.page("/keys");
    let word = word.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let before = stand(&app, &account);
    for (path, fields) in forms(&account) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for word in ["", "0", word] {
            let refused = browser.send_with(&path, &fields, word);
            assert_eq!(refused.status, 403, "{path} with {word:?}: {}", refused.text());
        }
    }
    assert_eq!(stand(&app, &account), before);
}

#[test]
fn whoever_is_not_logged_in_is_led_to_the_log_in_and_back() {
    let app = with_chain(|builder| builder);
    let account = app.account("0");
    for path in PAGES {
        let answer = app.ask(&Request::get(path));
        assert_eq!(answer.sends_to(), format!("/log-in?next={path}"));
    }
    let before = stand(&app, &account);
    for (path, fields) in forms(&account) {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = app.ask(&Request::form(&path, body.join("&")));
        assert_eq!(answer.sends_to(), "/log-in", "{path}");
    }
    assert_eq!(stand(&app, &account), before);
}

#[test]
fn what_is_anothers_is_not_there() {
    let app = with_chain(|builder| builder);
    let (owner, thief) = (app.account("10"), app.account("10"));
    let messages = json!([{ "role": "user", "content": "hi" }]);
    let body = json!({ "model": "claude-haiku-5-5", "max_tokens": 5, "messages": messages });
    app.messages(&owner, &body.to_string()).expect_ok();
    let request = app.only_row(&owner).id;
    app.db(|conn| deposits::insert(conn, &row(&owner, 1, "held", None)).unwrap());
    let (own, strange) = (app.browser(&owner), app.browser(&thief));
    let key = format!("/keys/{}", owner.key_id);
    let claim =
        own.send("/deposits", &[("chain", "base"), ("tx_hash", &format!("0x{}", "1".repeat(64)))]);
    let claim = claim.sends_to();
    for path in [&format!("/usage/{request}"), &key, "/deposits/dep_1", claim] {
        own.page(path);
        assert_eq!(strange.look(path).status, 404, "{path}");
    }
    for path in [
        format!("/usage?key={}", owner.key_id),
        format!("/usage?before={request}"),
        "/deposits?before=dep_1".to_owned(),
    ] {
        assert_eq!(own.look(&path).status, 200, "{path}");
        assert_eq!(strange.look(&path).status, 404, "{path}");
    }
    assert_eq!(strange.send(&key, &[("name", "mine")]).status, 404);
    assert_eq!(strange.send(&format!("{key}/revoke"), &[("sure", "yes")]).status, 404);
    assert_eq!(app.models(&owner).status, 200);
    assert!(own.page(&key).contains("default"));
}

#[test]
fn no_text_of_anybodys_becomes_markup() {
    let app = with_chain(|builder| builder);
    let account = app.account("10");
    let browser = app.browser(&account);
    let hostile = "<script>alert(1)</script>\"'&";
    browser
        .send(&format!("/keys/{}", account.key_id), &[("name", hostile), ("scopes", "inference")])
        .sends_to();
    let messages = json!([{ "role": "user", "content": "hi" }]);
    let body = json!({ "model": "claude-haiku-5-5", "max_tokens": 5, "messages": messages });
    app.messages(&account, &body.to_string()).expect_ok();
    let request = app.only_row(&account).id;
    let escaped = "&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;";
    // `page` refuses any script of a page's own.
    for path in [
        "/dashboard",
        "/usage?by=key",
        "/keys",
        &format!("/keys/{}", account.key_id),
        &format!("/usage/{request}"),
    ] {
        let page = browser.page(path);
        assert!(page.contains(escaped), "{path}: {page}");
    }
    // And what comes with an address stays text as well.
    for query in ["/usage?model=", "/usage?from=", "/wallets?address=", "/wallets?chain="] {
        browser.page(&format!("{query}%3Cscript%3Ealert(1)%3C%2Fscript%3E"));
    }
    let refused =
        browser.send("/keys", &[("name", hostile), ("scopes", hostile), ("models", hostile)]);
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains(escaped) && !refused.text().contains("<script>"));
}

#[test]
fn a_suspended_person_looks_and_changes_nothing() {
    let app = with_chain(|builder| builder);
    let account = app.account("0");
    let browser = app.browser(&account);
    app.set_status(&account, "suspended");
    for path in PAGES {
        browser.page(path);
    }
    for (path, fields) in forms(&account) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = browser.send(&path, &fields);
        assert_eq!(refused.status, 403, "{path}: {}", refused.text());
    }
}
