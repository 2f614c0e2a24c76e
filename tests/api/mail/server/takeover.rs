//! A mail server that puts mail off keeps nobody's way in open: what an intruder has asked for does
//! not go out after the owner has got the account back.

use serde_json::json;
use sluice::accounts::identity::email_tokens::LinkPurpose;

use super::{HOUR_MILLIS, builder};
use crate::support::mail::MailServer;
use crate::support::people::PASSWORD;
use crate::support::wait::eventually;

#[test]
fn a_change_of_address_that_was_put_off_does_not_outlive_the_owners_new_password() {
    let server = MailServer::start();
    let app = builder(&server).start();
    let owner = app.person();
    // Somebody else has the owner's password and a session.
    let intruder = app.session_of(owner.id);
    let evil = "put-off-1@evil.example";
    let wish = json!({ "email": evil, "password": PASSWORD });
    assert_eq!(app.by_with(&intruder, "POST", "/api/v1/account/email", &wish).status, 202);
    let put_off = "sluice_mails_total{kind=\"change_email\",outcome=\"put_off\"}";
    eventually("the mail to be put off", || (app.metric(put_off) == 1).then_some(()));

    let link = app.link(LinkPurpose::Reset, Some(owner.id), &owner.email);
    let reset = json!({ "token": link, "password": "another 83 password" });
    app.post("/api/v1/password-resets/confirm", &reset).expect_done();
    app.clock.advance(HOUR_MILLIS);
    app.all_mail_is_gone();

    let journal = server.journal();
    let told: Vec<&str> = journal.iter().filter_map(|mail| mail["to"].as_str()).collect();
    assert_eq!(told, [owner.email.as_str()], "{journal:#?}");
    assert!(app.has_password(&owner.email, "another 83 password"));
}
