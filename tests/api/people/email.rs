//! A new address for an account.

use serde_json::json;
use sluice::accounts::identity::email_tokens::LinkPurpose;

use crate::support::app::{Builder, TestApp};
use crate::support::client::Response;
use crate::support::people::{PASSWORD, Person};
use crate::support::upstream::Upstream;

const CONFIRM: &str = "/api/v1/account/email/confirm";

fn app() -> TestApp {
    Builder::new().upstream("primary", Upstream::nowhere()).start()
}

fn ask(app: &TestApp, person: &Person, email: &str, password: &str) -> Response {
    let body = json!({ "email": email, "password": password });
    app.by_with(&person.token, "POST", "/api/v1/account/email", &body)
}

#[test]
fn the_new_address_is_proven_and_the_old_one_told() {
    let app = app();
    let person = app.person();
    let old_link = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
    ask(&app, &person, "New@example.org", "wrong password").expect_refusal(403, "wrong_password");
    assert_eq!(ask(&app, &person, "New@example.org", PASSWORD).status, 202);
    let token = app.mails_to("new@example.org", 1).remove(0).token();
    let email = || app.by(&person.token, "GET", "/api/v1/account").json()["email"].clone();
    assert_eq!(email(), person.email.as_str(), "nothing has changed so far");
    app.post(CONFIRM, &json!({ "token": token })).expect_done();
    assert_eq!(email(), "new@example.org");
    app.mails_to(&person.email, 1);
    assert!(app.has_password("new@example.org", PASSWORD));
    assert!(!app.has_password(&person.email, PASSWORD));
    app.post(CONFIRM, &json!({ "token": token })).expect_refusal(400, "invalid_token");
    // Whoever reads the old address's mail has no way in any more.
    app.post(
        "/api/v1/password-resets/confirm",
        &json!({ "token": old_link, "password": "another password" }),
    )
    .expect_refusal(400, "invalid_token");
}

#[test]
fn an_address_that_has_an_account_is_told_so_only_to_who_reads_its_mail() {
    let app = app();
    let (person, other) = (app.person(), app.person());
    let taken = ask(&app, &person, &other.email, PASSWORD);
    let free = ask(&app, &person, "free@example.org", PASSWORD);
    assert_eq!((taken.status, taken.text()), (202, free.text()));
    let link = app.link(LinkPurpose::Change, Some(person.id), &other.email);
    app.post(CONFIRM, &json!({ "token": link })).expect_refusal(409, "email_taken");
    assert!(app.is_logged_in(&other.token));
    assert!(app.has_password(&person.email, PASSWORD));
}

#[test]
fn what_is_no_other_address_is_refused() {
    let app = app();
    let person = app.person();
    ask(&app, &person, "nothing", PASSWORD).expect_refusal(400, "invalid_email");
    let same = person.email.to_uppercase();
    ask(&app, &person, &same, PASSWORD).expect_refusal(409, "same_email");
    assert_eq!(app.waiting_mails(), 0);
}

#[test]
fn two_accounts_that_want_one_address_at_once_do_not_share_it() {
    let app = app();
    let people = [app.person(), app.person()];
    let tokens =
        people.each_ref().map(|one| app.link(LinkPurpose::Change, Some(one.id), "new@example.org"));
    let mut statuses = std::thread::scope(|scope| {
        let confirm = |token: &String| {
            let (app, body) = (&app, json!({ "token": token }));
            scope.spawn(move || app.post(CONFIRM, &body).status)
        };
        tokens.each_ref().map(confirm).map(|one| one.join().unwrap())
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
}
