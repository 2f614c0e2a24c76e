//! P16: what the policy and the terms said can be proven for every day, and a change of theirs is
//! told.

use sluice::domain::policy::PolicyKind::{Privacy, Terms};
use sluice::policies::{PolicyError, hash_of, hex};
use sluice::site;

use crate::support::alerting::Watched;
use crate::support::app::{Builder, TestApp};
use crate::support::client::Request;
use crate::support::desk::Cli;
use crate::support::sandbox::sandbox;
use crate::support::wait::eventually;

const DAY: i64 = 24 * 60 * 60 * 1000;

fn app() -> TestApp {
    Builder::new()
        .upstream("sandbox", sandbox())
        .set("site.privacy_in_force", "\"2026-01-01\"")
        .set("site.terms_in_force", "\"2026-02-01\"")
        .start()
}

fn page(app: &TestApp, path: &str) -> String {
    let page = app.ask(&Request::get(path).header("accept", "text/html"));
    assert_eq!(page.status, 200, "{path}: {}", page.text());
    page.text()
}

fn since(app: &TestApp, path: &str, day: &str) -> bool {
    page(app, path).contains(&format!("In force since <time datetime=\"{day}\">"))
}

/// A page without what its contents lead to.
fn without_places(page: &str) -> String {
    let mut pieces = page.split("<h2 id=\"part-");
    let mut text = pieces.next().unwrap().to_owned();
    for piece in pieces {
        text.push_str("<h2");
        text.push_str(piece.split_once('"').unwrap().1);
    }
    text
}

#[test]
fn p16_a_page_is_in_force_since_its_newest_version_and_announces_the_next() {
    let app = app();
    assert!(since(&app, "/privacy", "2026-01-01") && since(&app, "/terms", "2026-02-01"));
    assert!(page(&app, "/privacy/versions").contains("datetime=\"2026-01-01\""));
    app.publish(Privacy, "It begins.", None, false).unwrap();
    assert!(since(&app, "/privacy", "2026-11-22") && since(&app, "/terms", "2026-02-01"));
    let next = ("Logs are kept for 30 days.", "<p>Thirty days.</p>");
    app.publish_text(Privacy, next, Some("2026-12-01"), true).unwrap();
    let now = page(&app, "/privacy");
    assert!(now.contains("takes effect on <time datetime=\"2026-12-01\">"), "{now}");
    assert!(now.contains("href=\"/privacy/versions/2\"") && !now.contains("Thirty days"), "{now}");
    assert!(since(&app, "/privacy", "2026-11-22"));
    app.clock.advance(9 * DAY);
    assert!(since(&app, "/privacy", "2026-12-01"));
    assert!(!page(&app, "/privacy").contains("/privacy/versions/2"));
}

#[test]
fn p16_every_version_can_be_read_as_it_was() {
    let app = app();
    let text = site::policies::text(Terms, &app.settings).unwrap();
    app.publish(Terms, "One & two.\r\n\r\nThree < four.", None, false).unwrap();
    app.publish_text(Terms, ("Less.", "<p>Nothing is allowed.</p>"), None, false).unwrap();
    let list = page(&app, "/terms/versions");
    let (second, first) =
        (list.find("/terms/versions/2").unwrap(), list.find("/terms/versions/1").unwrap());
    assert!(second < first, "the newest first");
    let version = page(&app, "/terms/versions/1");
    assert!(version.contains(&text), "the whole text");
    assert!(version.contains(&hex(&hash_of(&text))));
    assert!(version.contains("<p>One &#38; two.</p>\n\n<p>Three &#60; four.</p>"), "{version}");
    let shown = without_places(&page(&app, "/terms"));
    assert!(shown.contains(&text), "what the page shows is what is published");
    for path in
        ["/terms/versions/3", "/terms/versions/0", "/terms/versions/x", "/privacy/versions/1"]
    {
        let missing = app.ask(&Request::get(path).header("accept", "text/html"));
        assert_eq!(missing.status, 404, "{path}");
    }
}

#[test]
fn p16_nothing_is_published_twice_and_nothing_that_could_not_be_kept() {
    let app = app();
    let (first, is_new) = app.publish(Privacy, "Words.", None, false).unwrap();
    assert!(is_new && first.number == 1);
    app.clock.advance(DAY);
    let (again, is_new) = app.publish(Privacy, "Words.\n", None, false).unwrap();
    assert_eq!((is_new, again.number, again.in_force_at), (false, 1, first.in_force_at));
    let refused = |words: &str, day: Option<&str>, is_significant| {
        app.publish(Privacy, words, day, is_significant).err()
    };
    let same = Some("2026-12-01");
    assert!(matches!(refused("Words.", same, false), Some(PolicyError::SaidAlready(_))));
    assert!(matches!(refused("Words.", None, true), Some(PolicyError::SaidAlready(_))));
    let early = Some("2026-11-21");
    assert!(matches!(refused("Other.", early, false), Some(PolicyError::NeverInForce { .. })));
    let today = Some("2026-11-23");
    assert!(matches!(refused("Other.", today, true), Some(PolicyError::TooSoon(_))));
    let far = Some("2028-01-01");
    assert!(matches!(refused("Other.", far, true), Some(PolicyError::TooFar(_))));
    assert!(matches!(refused(" ", None, false), Some(PolicyError::NoWords)));
    // The terms count for themselves.
    assert_eq!(app.publish(Terms, "Words.", None, false).unwrap().0.number, 1);
    let (second, _) = app.publish(Privacy, "Other.", None, true).unwrap();
    assert_eq!((second.number, second.in_force().to_string().as_str()), (2, "2026-12-23"));
}

#[test]
fn p16_the_operator_hears_of_a_page_that_says_something_else_and_nobody_else_does() {
    let app = app();
    let differs = || app.metric("sluice_policy_differs{policy=\"privacy\"}");
    let alerts = || app.metric("sluice_alerts_total{what=\"policy_differs\"}");
    let watched = Watched::new(app.admin_address);
    app.publish_text(Privacy, ("Words.", "<p>Other.</p>"), None, false).unwrap();
    eventually("the difference", || (differs() == 1).then_some(()));
    watched.fires(&["SluicePolicyDiffers"]);
    assert_eq!((alerts(), app.metric("sluice_policy_differs{policy=\"terms\"}")), (1, 0));
    assert!(!page(&app, "/privacy").contains("differ"));
    app.publish(Privacy, "Words.", None, false).unwrap();
    eventually("no difference", || (differs() == 0).then_some(()));
    // What is announced differs only from its day on.
    let next = ("Next.", "<p>Next.</p>");
    app.publish_text(Privacy, next, Some("2026-11-24"), false).unwrap();
    app.clock.advance(2 * DAY);
    eventually("the next difference", || (differs() == 1).then_some(()));
    assert_eq!(alerts(), 2);
}

#[test]
fn the_pages_are_compared_once_for_each_change_of_what_counts() {
    let app = app();
    let shown = site::policies::shown(&app.settings).unwrap();
    let compare = |before| {
        let now = app.clock.now();
        app.db(|conn| shown.compare(conn, before, now).unwrap())
    };
    let nothing = compare(None).unwrap();
    assert!(nothing.differences.iter().all(|one| one.number.is_none()));
    assert_eq!(compare(Some(nothing.validity)), None);
    app.publish(Privacy, "Words.", None, false).unwrap();
    let published = compare(Some(nothing.validity)).unwrap();
    assert_eq!(compare(Some(published.validity)), None);
    // Of the other text too, and of what is only announced.
    let next = ("Next.", "<p>Next.</p>");
    app.publish_text(Terms, next, Some("2026-11-24"), false).unwrap();
    let announced = compare(Some(published.validity)).unwrap();
    assert_eq!(compare(Some(announced.validity)), None);
    app.clock.advance(2 * DAY);
    let in_force = compare(Some(announced.validity)).unwrap();
    let differing: Vec<_> = in_force.differences.iter().filter_map(|one| one.number).collect();
    assert_eq!(differing, [1]);
    assert_eq!(compare(Some(in_force.validity)), None);
}

#[test]
fn p9_the_policy_says_where_old_bytes_may_stay_beyond_the_longest_delay() {
    let app = app();
    let text = page(&app, "/privacy");
    let delay = "may remain in free pages of our database for up to 8 more days.";
    let (_, rest) = text.split_once(delay).expect("the longest delay");
    let sentence = rest.split("</li>").next().unwrap();
    assert_eq!(sentence.contains("wal_recycle"), app.database().is_postgres(), "{sentence}");
    assert!(
        sentence.trim_start().starts_with("After that it is no longer in the database files"),
        "{sentence}"
    );
}

#[test]
fn p16_an_operator_publishes_lists_and_shows_versions() {
    let desk = Cli::new();
    assert_eq!(desk.json(&["policy", "list"]), serde_json::json!([]));
    let file = desk.put("Logs are kept for 90 days.\n");
    let first = desk.json(&["policy", "publish", &file]);
    assert_eq!((&first["version"], &first["is_new"]), (&"privacy/1".into(), &true.into()));
    assert_eq!((&first["state"], &first["is_significant"]), (&"in force".into(), &false.into()));
    let again = desk.run(&["policy", "publish", &file]);
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(again.out.contains("privacy/1 is already published"), "{}", again.out);
    // Other settings, another text.
    let mut settings = std::fs::read_to_string(&desk.file).unwrap();
    settings.push_str("[privacy]\nusage_log_days = 30\n");
    std::fs::write(&desk.file, settings).unwrap();
    let file = desk.put("Logs are kept for 30 days.\n");
    let told = desk.run(&["policy", "publish", &file, "--significant"]);
    assert!(told.out.contains("privacy/2 is published"), "{}{}", told.out, told.err);
    assert!(told.out.contains("emails everyone"), "{}", told.out);
    let terms = desk.put("They begin.");
    let terms = desk.json(&["policy", "publish", &terms, "--kind", "terms"]);
    assert_eq!(terms["version"], "terms/1");
    let list = desk.json(&["policy", "list", "--kind", "privacy"]);
    let states: Vec<&str> =
        list.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["announced", "in force"]);
    assert_ne!(list[0]["sha256"], list[1]["sha256"]);
    assert_eq!(desk.json(&["policy", "list"]).as_array().unwrap().len(), 3);
    let shown = desk.json(&["policy", "show", "privacy/2"]);
    let text = shown["text"].as_str().unwrap();
    assert!(text.contains("one log line per request for 30 days"), "{text}");
    assert_eq!(shown["sha256"], hex(&hash_of(text)));
    let shown = desk.run(&["policy", "show", "privacy/1"]);
    assert!(shown.out.contains("Logs are kept for 90 days.") && shown.out.contains("<h2>"));
}

#[test]
fn p16_what_cannot_be_published_is_refused_in_words() {
    let desk = Cli::new();
    let refuse = |words: &[u8], reason: &str| {
        let file = desk.put(words);
        let said = desk.refused(&["policy", "publish", &file]);
        assert!(said.contains(reason), "{said}");
    };
    refuse(b"", "the summary is empty");
    refuse(b"\xff\xfe", "is not text in UTF-8");
    refuse("a".repeat(10_001).as_bytes(), "more than 10000 characters");
    refuse("a".repeat(100_000).as_bytes(), "has far more than 10000 characters");
    refuse(b"One.\nTwo\x07.", "control character in line 2");
    let said = desk.refused(&["policy", "publish", "/nonexistent/words"]);
    assert!(said.contains("cannot be read"), "{said}");
    let file = desk.put("Words.");
    let said =
        desk.refused(&["policy", "publish", &file, "--significant", "--in-force", "2026-01-01"]);
    assert!(said.contains("before it is in force"), "{said}");
    let said = desk.refused(&["policy", "show", "privacy/1"]);
    assert!(said.contains("there is no version privacy/1"), "{said}");
    for args in [
        &["policy", "publish", &file, "--kind", "cookies"][..],
        &["policy", "publish", &file, "--in-force", "tomorrow"],
        &["policy", "show", "1"],
    ] {
        assert_eq!(desk.run(args).code, 2, "{args:?}");
    }
    assert_eq!(desk.json(&["policy", "list"]), serde_json::json!([]));
}
