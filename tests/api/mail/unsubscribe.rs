//! P15: notices end by one click, for people and for the mail programs of theirs, without a log-in.

use diesel::prelude::*;
use serde_json::json;
use sluice::accounts::identity::unsubscribe;
use sluice::db::models::credentials_epoch::{self, Kept};
use sluice::db::schema::{accounts, unsubscribe_tokens};
use sluice::domain::mail::MailKind;

use super::address_of;
use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Request, Response};
use crate::support::forms::{Browser, form_to, forms};
use crate::support::sandbox::sandbox;

const BODY: &str = "List-Unsubscribe=One-Click";

fn builder() -> Builder {
    Builder::new()
        .upstream("sandbox", sandbox())
        .set("site.base_url", "\"https://gateway.test\"")
        .set("site.support_email", "\"support@gateway.test\"")
}

fn wants_notices(app: &TestApp, account: &Account) -> bool {
    app.db(|conn| {
        let row = accounts::table.find(account.id.0).select(accounts::wants_notices);
        row.first(conn).unwrap()
    })
}

/// The path of the link in the header of a notice that has just been sent.
fn link(app: &TestApp, account: &Account) -> String {
    let address = address_of(app, account);
    let before = app.mails().iter().filter(|mail| mail.header("To") == Some(&address)).count();
    let low = json!({ "balance_usd": "0.99", "threshold_usd": "1" });
    app.put_mail_with(MailKind::LowBalance, &address, Some(account.id), low);
    let mail = app.mails_to(&address, before + 1).pop().unwrap();
    let headers = mail.headers.replace("\r\n ", " ");
    let post = headers.lines().find_map(|line| line.strip_prefix("List-Unsubscribe-Post: "));
    assert_eq!(post, Some(BODY));
    let link = headers.lines().find_map(|line| line.strip_prefix("List-Unsubscribe: "));
    let link = link.unwrap().trim_start_matches('<').trim_end_matches('>');
    // It stands in the text as well, for people.
    let text = mail.text();
    assert!(text.contains(link), "{link}\n{text}");
    link.strip_prefix("https://gateway.test").unwrap().to_owned()
}

/// What a mail program posts: no cookie, nothing of a page.
fn click(app: &TestApp, link: &str) -> Response {
    app.ask(&Request::form(link, BODY))
}

#[test]
fn p15_a_mail_program_turns_notices_off_by_one_post() {
    let app = builder().start();
    let account = app.account("1");
    let link = link(&app, &account);
    for _ in 0..2 {
        let done = click(&app, &link);
        assert_eq!((done.status, done.header("location")), (200, None), "{}", done.text());
        assert!(done.text().contains("Notices are off"), "{}", done.text());
        assert!(!wants_notices(&app, &account));
    }
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\n\
        One-Click\r\n--b--\r\n";
    app.db(|conn| {
        let row = accounts::table.find(account.id.0);
        diesel::update(row).set(accounts::wants_notices.eq(true)).execute(conn).unwrap();
    });
    let multipart = Request::new("POST", &link)
        .header("content-type", "multipart/form-data; boundary=b")
        .header("origin", "https://mail.example")
        .body(multipart);
    assert_eq!(app.ask(&multipart).status, 200);
    assert!(!wants_notices(&app, &account));
}

#[test]
fn p15_looking_changes_nothing_and_the_button_needs_neither_script_nor_cookie() {
    let app = builder().start();
    let account = app.account("1");
    let link = link(&app, &account);
    let mut browser = Browser::new(&app);
    for _ in 0..3 {
        let page = browser.get(&link);
        assert_eq!(page.status, 200);
        assert_eq!(forms(&page.text()).iter().filter(|form| form.method == "post").count(), 1);
        let address = address_of(&app, &account);
        assert!(!page.text().contains(&address) && !page.text().contains(&account.public_id));
    }
    assert!(wants_notices(&app, &account));
    let form = form_to(&browser.get(&link).text(), &link);
    let done = browser.send(&form);
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);
    assert!(!wants_notices(&app, &account));
    // A page that says so is no log-in.
    assert_eq!(browser.get("/preferences").status, 303);
}

#[test]
fn p15_a_link_is_good_for_nothing_but_that_and_whoever_posts_something_else_does_nothing() {
    let app = builder().start();
    let account = app.account("1");
    let link = link(&app, &account);
    for body in ["", "List-Unsubscribe=No", "csrf=x", "list-unsubscribe=one-click"] {
        let refused = app.ask(&Request::form(&link, body));
        assert_eq!(refused.status, 400, "{body}: {}", refused.text());
    }
    assert!(wants_notices(&app, &account));
    let token = link.split_once("token=").unwrap().1;
    for path in ["/sign-up/confirm", "/reset/confirm", "/email/confirm"] {
        let page = Browser::new(&app).get(&format!("{path}?token={token}"));
        assert!(page.text().contains("no longer works"), "{path}");
    }
    // The password may change: the link stays, for it opens nothing.
    app.db(|conn| credentials_epoch::raise(conn, account.id, Kept::Nobodys).unwrap());
    assert_eq!(click(&app, &link).status, 200);
}

#[test]
fn p15_dead_links_all_look_the_same() {
    let app = builder().set("mail.unsubscribe_days", 30).start();
    let (account, moved, erased) = (app.account("1"), app.account("1"), app.account("0"));
    let links = [&account, &moved, &erased].map(|account| link(&app, account));
    app.db(|conn| {
        sluice::db::models::unsubscribe_tokens::remove_of_account(conn, moved.id).unwrap();
        sluice::db::models::unsubscribe_tokens::remove_of_account(conn, erased.id).unwrap();
    });
    app.clock.advance(30 * 24 * 60 * 60 * 1000);
    let invented = format!("/unsubscribe?token=mail_{}", "a".repeat(52));
    let mut said = Vec::new();
    for link in links.iter().chain([&invented, &"/unsubscribe?token=x".to_owned()]) {
        let answer = click(&app, link);
        assert_eq!(answer.status, 400);
        said.push(answer.text());
        let page = Browser::new(&app).get(link);
        assert_eq!(page.status, 200);
        assert!(forms(&page.text()).iter().all(|form| form.method == "get"), "{}", page.text());
    }
    assert!(said[0].contains("no longer works"), "{}", said[0]);
    said.dedup();
    assert_eq!(said.len(), 1);
    assert!(wants_notices(&app, &account));
}

#[test]
fn p15_whoever_guesses_is_slowed_down_and_who_unsubscribes_is_not() {
    let app = builder().set("accounts.attempts_per_client_max", 5).start();
    let account = app.account("1");
    let link = link(&app, &account);
    for _ in 0..10 {
        assert_eq!(click(&app, &link).status, 200);
    }
    let invented = format!("/unsubscribe?token=mail_{}", "a".repeat(52));
    let answers: Vec<u16> = (0..6).map(|_| click(&app, &invented).status).collect();
    assert_eq!(answers, [400, 400, 400, 400, 400, 429]);
    assert_eq!(click(&app, &link).header("retry-after"), Some("900"));
}

#[test]
fn p15_a_link_works_for_who_is_suspended_and_ends_with_the_address_and_the_account() {
    let app = builder().start();
    let account = app.account("1");
    let suspended = link(&app, &account);
    app.set_status(&account, "suspended");
    assert_eq!(click(&app, &suspended).status, 200);
    assert!(!wants_notices(&app, &account));
    let count = |app: &TestApp| -> i64 {
        app.db(|conn| unsubscribe_tokens::table.count().get_result(conn).unwrap())
    };
    let now = app.clock.now();
    app.db(|conn| {
        let day = std::time::Duration::from_hours(24);
        unsubscribe::issue(conn, account.id, day, now).unwrap();
    });
    assert_eq!(count(&app), 2);
    let address = address_of(&app, &account);
    app.db(|conn| {
        let key = crate::support::app::tombstones(conn, &app.settings);
        // What has not ended by itself goes with the account: nothing else refers to it here.
        sluice::db::transaction::write(conn, |conn| {
            sluice::db::erasure::erase(conn, &key, account.id, &address)
        })
        .unwrap();
    });
    assert_eq!(count(&app), 0);
}
