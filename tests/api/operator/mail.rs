//! Mail that was put off goes out sooner.

use diesel::prelude::*;
use serde_json::json;
use sluice::db::models::outbox::{self, NewMail};
use sluice::db::schema::{audit_log, outbox as rows};
use sluice::domain::clock::{Clock, UnixMillis};
use sluice::domain::mail::MailKind;

use crate::support::desk::Cli;

#[test]
fn mail_that_was_put_off_is_due_now_and_what_may_be_on_its_way_stays() {
    let desk = Cli::new();
    assert_eq!(desk.run(&["migrate"]).code, 0);
    let mut conn = desk.database().connect();
    let now = Clock::System.now();
    let dues = [("put off", 3_600_000), ("held", 30_000), ("due", -1_000)];
    for (reference, later) in dues {
        let mail = NewMail {
            kind: MailKind::PasswordChanged,
            reference: reference.to_owned(),
            account_id: None,
            recipient: "ada@example.org",
            params: json!({}),
        };
        assert!(outbox::enqueue(&mut conn, &mail, now.plus_millis(later)).unwrap());
    }
    let ran = desk.run(&["mail", "retry", "--reason", "the server is back"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, "Mails that are due now: 1.\n");
    let due: Vec<(String, UnixMillis)> = rows::table
        .order(rows::id)
        .select((rows::reference, rows::due_at))
        .load(&mut conn)
        .unwrap();
    let after = Clock::System.now();
    assert!(due[0].1 >= now && due[0].1 <= after, "{due:?}");
    assert_eq!(
        due[1..],
        [("held".to_owned(), now.plus_millis(30_000)), ("due".to_owned(), now.plus_millis(-1_000)),]
    );
    assert_eq!(desk.run(&["mail", "retry"]).out, "Mails that are due now: 0.\n");
    let written: Vec<(String, String)> =
        audit_log::table.select((audit_log::action, audit_log::detail)).load(&mut conn).unwrap();
    let expected = ("mail_retried".to_owned(), "1 mails: the server is back".to_owned());
    assert_eq!(written, [expected]);
}
