//! A lost second factor, a forgotten password, sessions that have to end.

use serde_json::json;
use sluice::accounts::identity::email_tokens::LinkPurpose;
use sluice::db::models::{credentials_epoch, recovery_codes};

use super::{decision, decisions, sandboxed};
use crate::support::people::PASSWORD;

#[test]
fn a_lost_second_factor_is_turned_off_with_its_codes_and_sessions_and_its_owner_told() {
    let (app, desk) = sandboxed();
    let (person, other) = (app.person(), app.person());
    app.enable_totp(&person);
    app.enable_totp(&other);
    app.log_in(&person.email, PASSWORD).expect_refusal(401, "code_required");
    let link = app.link(LinkPurpose::Reset, Some(person.id), &person.email);
    let epoch = |id| app.db(|conn| credentials_epoch::current(conn, id).unwrap().unwrap());
    let before = epoch(person.id);

    let command = ["account", "reset-second-factor", &person.email];
    assert_eq!(desk.run(&command).code, 2, "a reason is needed");
    assert_eq!(desk.run(&[&command[..], &["--reason", " "]].concat()).code, 2);
    assert_eq!(decisions(&app), []);
    let with_reason = [&command[..], &["--reason", "phone lost, ticket 7"]].concat();
    let done = desk.json(&with_reason);
    assert_eq!(done["has_second_factor"], json!(false));

    assert_eq!(epoch(person.id), before + 1);
    assert!(!app.is_logged_in(&person.token) && app.is_logged_in(&other.token));
    assert_eq!(app.db(|conn| recovery_codes::left(conn, person.id).unwrap()), 0);
    let reset = json!({ "token": link, "password": "another horse 48 battery" });
    let stale = app.post("/api/v1/password-resets/confirm", &reset);
    assert!(stale.status >= 400, "a link from before opens nothing: {}", stale.text());
    assert!(app.has_password(&person.email, PASSWORD), "the password alone is asked for");
    app.log_in(&other.email, PASSWORD).expect_refusal(401, "code_required");

    let again = desk.refused(&with_reason);
    assert!(again.contains("has no second factor"), "{again}");
    let expected = decision("second_factor_reset", person.id, "phone lost, ticket 7");
    assert_eq!(decisions(&app), [expected]);
    app.clock.advance(60_000);
    let mails = app.mails_to(&person.email, 2);
    let is_off = |subject: &str| subject.starts_with("Two-factor authentication is off");
    let told: Vec<_> =
        mails.iter().filter(|mail| mail.header("Subject").is_some_and(is_off)).collect();
    assert_eq!(told.len(), 1);
    assert!(!told[0].body.contains("ticket 7"));
}

#[test]
fn a_reset_is_queued_however_many_were_asked_for_and_no_link_is_printed() {
    let (app, desk) = sandboxed();
    let person = app.person();
    let most = usize::try_from(app.settings.accounts.mails_per_address_max).unwrap();
    let mut sent = 0;
    for _ in 0..most + 2 {
        let ran = desk.run(&["account", "send-reset", &person.email, "--reason", "on the phone"]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert!(ran.out.contains("queued") && !ran.out.contains("token"), "{}", ran.out);
        sent += 1;
    }
    app.clock.advance(60_000);
    let mails = app.mails_to(&person.email, sent);
    let token = mails[0].token();
    assert!(app.is_logged_in(&person.token), "nothing has changed so far");
    let reset = json!({ "token": token, "password": "another horse 48 battery" });
    let done = app.post("/api/v1/password-resets/confirm", &reset);
    assert!(done.status < 300, "{}", done.text());
    assert!(app.has_password(&person.email, "another horse 48 battery"));
    let expected = decision("password_reset_sent", person.id, "on the phone");
    assert_eq!(decisions(&app), vec![expected; sent]);
    desk.refused(&["account", "send-reset", "nobody@example.org"]);
}

#[test]
fn all_sessions_of_an_account_end_and_its_keys_go_on() {
    let (app, desk) = sandboxed();
    let (account, other) = (app.account("5"), app.person());
    let tokens = [app.session_of(account.id), app.session_of(account.id)];
    let command = ["account", "end-sessions", &account.public_id, "--reason", "laptop stolen"];
    assert_eq!(desk.json(&command)["sessions_ended"], json!(2));
    assert!(tokens.iter().all(|token| !app.is_logged_in(token)) && app.is_logged_in(&other.token));
    let body = crate::support::sandbox::body(crate::support::sse::MODEL, false, "text");
    assert_eq!(app.messages(&account, &body).status, 200);
    assert!(desk.run(&command).out.contains("Sessions ended: 0."));
    assert_eq!(desk.run(&["account", "end-sessions", &account.public_id]).code, 2);
    let expected = decision("sessions_ended", account.id, "laptop stolen");
    assert_eq!(decisions(&app), [expected.clone(), expected]);
}
