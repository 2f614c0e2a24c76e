//! What somebody does with an account who is logged in, by forms; and that no text of anybody's
//! becomes a part of a page.

use std::collections::BTreeSet;

use serde_json::json;
use sluice::db::models::wallets::{self, WalletRow};
use sluice::domain::clock::UnixMillis;

use super::{app, builder};
use crate::support::client::Request;
use crate::support::forms::{Browser, Form};
use crate::support::people::{PASSWORD, Person, authenticator};
use crate::support::wallet_rows;

/// Breaks out of text, attributes and scripts, wherever it is not escaped.
const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";

fn browser<'a>(app: &'a crate::support::app::TestApp, person: &Person) -> Browser<'a> {
    Browser::with_session(app, &person.token)
}

#[test]
fn p13_the_account_page_shows_what_is_held() {
    let app = app();
    let person = app.person();
    let page = browser(&app, &person).get("/account").text();
    for held in [person.email.as_str(), "acct_", "bcrypt", "Usage log", "Sessions", "$0.00"] {
        assert!(page.contains(held), "{held}: {page}");
    }
}

#[test]
fn p13_the_interface_tells_what_the_account_page_shows() {
    let app = app();
    let person = app.person();
    app.session_of(person.id);
    let wish = json!({ "low_balance_usd": "2.50", "wants_notices": false });
    assert_eq!(app.by_with(&person.token, "PUT", "/api/v1/preferences", &wish).status, 200);
    // One wallet that is linked, and two that were once.
    let link = |number: u8, end_reason: Option<&str>| {
        let row = WalletRow {
            ended_at: end_reason.map(|_| UnixMillis::from_millis(0)),
            end_reason: end_reason.map(str::to_owned),
            ..wallet_rows::row(person.id, number)
        };
        app.db(|conn| wallets::link(conn, &row).unwrap());
    };
    link(1, None);
    link(2, Some("moved"));
    link(3, Some("unlinked"));
    let told = app.by(&person.token, "GET", "/api/v1/account").json();
    assert_eq!((&told["email"], &told["preferences"]), (&json!(person.email), &wish));
    assert_eq!(
        (&told["sessions"], &told["wallets"], &told["usage_log_days"]),
        (&json!(2), &json!(1), &json!(90))
    );
    let page = browser(&app, &person).get("/account").text();
    for shown in ["2 active", "1 linked", "Email below $2.50", "notices off", "for 90 days"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // And it is described as it is told.
    let document = app.ask(&Request::get("/openapi.json")).json();
    let schema = &document["components"]["schemas"]["Account"];
    let described: BTreeSet<&str> =
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let fields: BTreeSet<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(described, fields);
    let required: BTreeSet<&str> =
        schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let by_key = [
        "id",
        "status",
        "at_risk_usd",
        "available_usd",
        "reserved_usd",
        "spent_today_usd",
        "spent_month_usd",
        "created_at",
    ];
    assert_eq!(required, BTreeSet::from(by_key), "a key is told no more");
    assert_eq!(schema["properties"]["preferences"]["$ref"], "#/components/schemas/Preferences");
}

#[test]
fn a_password_is_changed_by_whoever_knows_it() {
    let app = app();
    let person = app.person();
    let other = app.session_of(person.id);
    let mut browser = browser(&app, &person);
    let form = browser.form("/account/password", "/account/password");
    let form = form.with("new_password", "another battery 48 horse");
    let refused = browser.send(&form.clone().with("password", "not this one"));
    assert_eq!(refused.status, 403);
    assert!(!refused.text().contains("another battery"), "passwords are not shown again");
    assert!(refused.text().contains("role=\"alert\""));
    let done = browser.send(&form.with("password", PASSWORD));
    assert_eq!(done.header("location"), Some("/account"), "{}", done.text());
    assert!(app.is_logged_in(&person.token) && !app.is_logged_in(&other));
}

#[test]
fn an_address_is_changed_by_a_link_to_the_new_one() {
    let app = app();
    let person = app.person();
    let mut browser = browser(&app, &person);
    let form = browser.form("/account/email", "/account/email");
    let form = form.with("email", "new-address@example.org").with("password", PASSWORD);
    assert_eq!(browser.send(&form).header("location"), Some("/account"));
    let mail = app.mails_to("new-address@example.org", 1).remove(0);
    let mut elsewhere = Browser::new(&app);
    let page = format!("/email/confirm?token={}", mail.token());
    let form = elsewhere.form(&page, "/email/confirm");
    assert_eq!(elsewhere.send(&form).header("location"), Some("/log-in"));
    assert!(browser.get("/account").text().contains("new-address@example.org"));
}

#[test]
fn a_second_factor_is_set_up_shown_once_and_turned_off() {
    let app = app();
    let person = app.person();
    let mut browser = browser(&app, &person);
    let begin = browser.form("/account/totp", "/account/totp/key");
    let refused = browser.send(&begin.clone().with("password", "wrong password"));
    assert_eq!(refused.status, 403);
    assert!(!refused.text().contains("id=\"secret\""));
    assert_eq!(browser.send(&begin.with("password", PASSWORD)).status, 303);
    let page = browser.get("/account/totp").text();
    assert!(page.contains("<svg class=\"qr\""), "{page}");
    let secret = page.split("id=\"secret\">").nth(1).unwrap().split('<').next().unwrap();
    let app_on_phone = authenticator(&secret.replace(' ', ""));
    let form = browser.form("/account/totp", "/account/totp");
    assert_eq!(browser.send(&form.clone().with("code", "000000")).status, 401);
    let codes = browser.send(&form.with("code", &app.code_now(&app_on_phone)));
    assert_eq!(codes.status, 200, "{}", codes.text());
    assert_eq!(codes.text().matches("<li>").count(), 10);
    let file = crate::support::forms::forms(&codes.text())
        .into_iter()
        .find(|form| form.action == "/account/totp/codes/file")
        .unwrap();
    let file = browser.send(&file);
    assert_eq!((file.status, file.header("cache-control")), (200, Some("no-store")));
    assert!(file.header("content-disposition").unwrap().starts_with("attachment"));
    let text = file.text();
    let lines = text.lines().filter(|line| codes.text().contains(&format!("<li>{line}<")));
    assert_eq!(lines.count(), 10, "{text}");
    let page = browser.get("/account/totp").text();
    assert!(page.contains("10 recovery codes left") && !page.contains("id=\"secret\""));
    let recovery = codes.text().split("<li>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let off = browser.form("/account/totp", "/account/totp/off");
    let off = off.with("password", PASSWORD).with("code", &recovery);
    assert_eq!(browser.send(&off).header("location"), Some("/account"));
    assert!(browser.get("/account/totp").text().contains("Set up"));
}

#[test]
fn sessions_end_one_by_one_and_all_at_once() {
    let app = app();
    let person = app.person();
    let others: Vec<String> = (0..2).map(|_| app.session_of(person.id)).collect();
    let mut browser = browser(&app, &person);
    let page = browser.get("/account/sessions").text();
    let ends: Vec<Form> = crate::support::forms::forms(&page)
        .into_iter()
        .filter(|form| form.action.ends_with("/end") && form.action.contains("session_"))
        .collect();
    assert_eq!(ends.len(), 3);
    let done = browser.send(&ends[0]);
    assert_eq!(done.header("location"), Some("/account/sessions"), "{}", done.text());
    assert_eq!(others.iter().filter(|token| app.is_logged_in(token)).count(), 1);
    let stranger = app.person();
    let mut strangers = Browser::with_session(&app, &stranger.token);
    let own = strangers.form("/account/sessions", "/account/sessions/end");
    let theirs = Form { action: ends[1].action.clone(), ..own };
    assert_eq!(strangers.send(&theirs).status, 404, "another account's session");
    let all = browser.form("/account/sessions", "/account/sessions/end");
    assert_eq!(browser.send(&all).header("location"), Some("/"));
    assert!(!app.is_logged_in(&person.token) && app.is_logged_in(&stranger.token));
    assert!(others.iter().all(|token| !app.is_logged_in(token)));
}

#[test]
fn p15_preferences_are_kept_and_mistakes_are_told() {
    let app = app();
    let person = app.person();
    let mut browser = browser(&app, &person);
    let form = browser.form("/preferences", "/preferences");
    for bad in ["five", "-1", "0", "1.0000000001"] {
        let refused = browser.send(&form.clone().with("low_balance", bad));
        assert!((400..500).contains(&refused.status), "{bad}");
        assert!(refused.text().contains(&format!("value=\"{bad}\"")), "{bad}");
    }
    let kept = browser.send(&form.with("low_balance", "$2.5"));
    assert_eq!(kept.header("location"), Some("/preferences"));
    assert!(browser.get("/preferences").text().contains("value=\"2.50\""));
}

#[test]
fn p8_an_account_is_deleted_with_its_balance_in_view_and_kept_after_all() {
    let app = app();
    let person = app.person();
    app.db(|conn| crate::support::app::credit(conn, person.id, 1_500_000_001));
    let mut browser = browser(&app, &person);
    let page = browser.get("/account/closing").text();
    assert!(page.contains("still has $1.500000001"), "{page}");
    let form = browser.form("/account/closing", "/account/closing").with("password", PASSWORD);
    assert_eq!(browser.send(&form).status, 409, "nothing was waived");
    assert_eq!(browser.send(&form.clone().with("password", "wrong")).status, 403);
    let done = browser.send(&form.with("waive_balance", "yes"));
    assert_eq!(done.header("location"), Some("/"), "{}", done.text());
    assert!(!app.is_logged_in(&person.token));
    let mut again = Browser::new(&app);
    let form = again.form("/log-in", "/log-in");
    again.send(&form.with("email", &person.email).with("password", PASSWORD));
    assert_eq!(again.get("/dashboard").header("location"), Some("/account/closing"));
    assert_eq!(again.get("/keys").header("location"), Some("/account/closing"));
    let keep = again.form("/account/closing", "/account/closing/undo");
    assert_eq!(again.send(&keep).header("location"), Some("/account"));
    assert_eq!(again.get("/dashboard").status, 200);
}

#[test]
fn no_text_of_anybodys_becomes_a_part_of_a_page() {
    let name = HOSTILE.replace('"', "\\\"");
    let app = builder()
        .set("site.name", format!("\"{name}\""))
        .set("site.tagline", format!("\"{name}\""))
        .set("site.description", format!("\"{name}\""))
        .start();
    let person = app.person();
    let clean = |what: &str, text: &str| {
        assert!(!text.contains("<script>") && !text.contains("<img"), "{what}: {text}");
        for tag in crate::support::forms::tags(text) {
            assert!(tag.get("onerror").is_none(), "{what}");
        }
    };
    let query = crate::support::forms::encoded(HOSTILE);
    let mut browser = browser(&app, &person);
    for path in [
        "/",
        "/log-in",
        "/sign-up",
        "/account",
        "/keys",
        "/usage",
        "/deposits",
        "/wallets",
        "/nothing",
    ] {
        for parameter in
            ["next", "token", "model", "key", "from", "to", "by", "address", "q", "sent"]
        {
            let page = browser.get(&format!("{path}?{parameter}={query}"));
            assert!(page.status < 500, "{path} {parameter}");
            clean(path, &page.text());
        }
    }
    for path in ["/sign-up/confirm", "/reset/confirm", "/email/confirm"] {
        clean(path, &Browser::new(&app).get(&format!("{path}?token={query}")).text());
    }
    for path in ["/keys", "/usage", "/deposits"] {
        clean(path, &browser.get(&format!("{path}/{query}")).text());
    }
    let key = browser.form("/keys", "/keys").with("name", HOSTILE);
    let made = browser.send(&key);
    assert!(made.status < 400, "{}", made.text());
    clean("the key", &made.text());
    for path in ["/keys", "/usage", "/dashboard"] {
        clean(path, &browser.get(path).text());
    }
    let mut stranger = Browser::new(&app);
    for (page, field) in [("/log-in", "email"), ("/sign-up", "email"), ("/reset", "email")] {
        let form = stranger.form(page, page);
        clean(page, &stranger.send(&form.with(field, HOSTILE)).text());
    }
}
