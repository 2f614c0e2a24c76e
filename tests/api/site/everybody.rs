//! What everybody gets alike: compressed, described for search engines, and beside the pages the
//! files that programs look for. And the status page, which says nothing that it does not know.

use std::collections::BTreeSet;
use std::io::Read;

use sluice::api::status::days::{self, MissedMinutes, StatusPart};
use sluice::db::models::status_days;
use sluice::domain::clock::UnixMillis;

use super::{SUPPORT, app, builder};
use crate::support::client::{Request, Response};
use crate::support::forms::{Browser, tags};
use crate::support::sandbox::body;

/// Bytes of a page on the way, and of the longest.
const PAGE_BYTES_MAX: usize = 40 * 1024;
const REFERENCE_BYTES_MAX: usize = 25 * 1024;

const PUBLIC: [&str; 14] = [
    "/",
    "/docs",
    "/docs/clients",
    "/docs/models",
    "/docs/errors",
    "/docs/billing",
    "/docs/deposits",
    "/docs/account-api",
    "/docs/api",
    "/status",
    "/privacy",
    "/terms",
    "/privacy/versions",
    "/terms/versions",
];

fn as_browsers_ask(path: &str, accept: &str) -> Request {
    Request::get(path).header("accept-encoding", accept)
}

fn opened(response: &Response) -> String {
    let mut text = String::new();
    match response.header("content-encoding") {
        Some("br") => {
            brotli::Decompressor::new(&*response.body, 4096).read_to_string(&mut text).unwrap();
        }
        Some("gzip") => {
            flate2::read::GzDecoder::new(&*response.body).read_to_string(&mut text).unwrap();
        }
        other => panic!("{other:?}"),
    }
    text
}

#[test]
fn public_pages_and_files_are_compressed_and_small() {
    let app = app();
    let mut files = BTreeSet::new();
    for path in PUBLIC {
        let most = if path == "/docs/api" { REFERENCE_BYTES_MAX } else { PAGE_BYTES_MAX };
        let plain = app.ask(&Request::get(path));
        assert_eq!((plain.status, plain.header("content-encoding")), (200, None), "{path}");
        for (accept, coding) in [("gzip, deflate, br", "br"), ("gzip", "gzip")] {
            let sent = app.ask(&as_browsers_ask(path, accept));
            assert_eq!(sent.header("content-encoding"), Some(coding), "{path}");
            assert_eq!(sent.header("vary"), Some("accept-encoding"), "{path}");
            assert!(sent.body.len() <= most, "{path}: {} bytes by {coding}", sent.body.len());
            let text = opened(&sent);
            // The status says when.
            assert!(path == "/status" || text == plain.text(), "{path}: another page");
            for tag in tags(&text).iter().filter(|tag| matches!(&*tag.name, "link" | "script")) {
                let link = tag.get("href").or_else(|| tag.get("src")).unwrap_or_default();
                if link.starts_with("/assets/") {
                    files.insert(link.to_owned());
                }
            }
        }
    }
    assert!(files.len() > 4, "{files:?}");
    for path in files {
        let (plain, sent) =
            (app.ask(&Request::get(&path)), app.ask(&as_browsers_ask(&path, "br, gzip")));
        if plain.body.len() >= 1_000 {
            assert_eq!(sent.header("content-encoding"), Some("br"), "{path}");
            assert_eq!(opened(&sent), plain.text(), "{path}");
        }
    }
}

#[test]
fn what_has_a_secret_is_never_compressed_and_neither_is_a_response() {
    let app = app();
    let person = app.person();
    let mut browser = Browser::with_session(&app, &app.session_of(person.id));
    for path in PUBLIC.into_iter().chain(["/dashboard", "/account", "/keys"]) {
        let page = browser.ask(as_browsers_ask(path, "br, gzip"));
        assert_eq!((page.status, page.header("content-encoding")), (200, None), "{path}");
    }
    // Forms of strangers have a word too.
    for path in ["/log-in", "/sign-up", "/reset", "/unsubscribe?token=x"] {
        let page = app.ask(&as_browsers_ask(path, "br, gzip"));
        assert_eq!((page.status, page.header("content-encoding")), (200, None), "{path}");
    }
    let account = app.account("10");
    for is_stream in [false, true] {
        let body = body("claude-haiku-4-5", is_stream, "");
        let request = Request::post("/v1/messages", body).key(&account.key);
        let sent = app.ask(&request.header("accept-encoding", "br, gzip"));
        assert_eq!((sent.status, sent.header("content-encoding")), (200, None));
    }
}

#[test]
fn public_pages_describe_themselves_and_others_stay_out_of_search_engines() {
    let app = builder().set("site.base_url", "\"https://gateway.test\"").start();
    for path in PUBLIC {
        let text = app.ask(&Request::get(path)).text();
        let all = tags(&text);
        let meta = |name: &str| {
            let named = |tag: &&crate::support::forms::Tag| {
                tag.get("name") == Some(name) || tag.get("property") == Some(name)
            };
            all.iter().find(named).and_then(|tag| tag.get("content")).map(str::to_owned)
        };
        assert!(meta("description").is_some_and(|words| !words.is_empty()), "{path}");
        assert!(meta("og:title").is_some() && meta("og:description").is_some(), "{path}");
        assert_eq!((meta("og:image"), meta("robots")), (None, None), "{path}");
        assert!(meta("theme-color").is_some(), "{path}");
        let canonical = all.iter().find(|tag| tag.get("rel") == Some("canonical")).unwrap();
        assert_eq!(canonical.get("href"), Some(&*format!("https://gateway.test{path}")));
    }
    for path in ["/sign-up/confirm?token=x", "/unsubscribe?token=x", "/reset", "/nothing"] {
        let text = Browser::new(&app).get(path).text();
        assert!(text.contains("content=\"noindex\"") && !text.contains("canonical"), "{path}");
    }
}

#[test]
fn programs_find_the_files_that_they_look_for() {
    let app = app();
    let robots = app.ask(&Request::get("/robots.txt"));
    assert_eq!(robots.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(robots.text().contains("User-agent: *\nDisallow: /api/\n"), "{}", robots.text());
    let icon = app.ask(&Request::get("/favicon.ico"));
    assert_eq!((icon.status, icon.header("content-type")), (200, Some("image/x-icon")));
    assert_eq!(icon.body.get(..4), Some(&[0, 0, 1, 0][..]), "no icon");
    let security = app.ask(&Request::get("/.well-known/security.txt"));
    let text = security.text();
    assert!(text.contains(&format!("Contact: mailto:{SUPPORT}\n")), "{text}");
    let expires = text.lines().find_map(|line| line.strip_prefix("Expires: ")).unwrap();
    let days = UnixMillis::parse_rfc3339(expires).unwrap().day().days_since(app.clock.now().day());
    assert!((30..365).contains(&days), "{days} days");
}

#[test]
fn the_status_page_has_a_bar_for_each_day_and_calls_nothing_well_that_nobody_saw() {
    let app = app();
    let today = app.clock.now().day();
    app.db(|conn| {
        status_days::add(conn, today.plus(-1), "api", (1_440, 0)).unwrap();
        status_days::add(conn, today.plus(-2), "api", (1_440, 90)).unwrap();
        status_days::add(conn, today.plus(-3), "api", (1_440, 3)).unwrap();
    });
    let page = app.ask(&Request::get("/status")).text();
    assert!(page.contains("API: Operational"), "{page}");
    let bars = |class: &str| page.matches(&format!("height=\"30\" class=\"{class}\"")).count();
    // The API, the pages, and mail.
    assert_eq!((bars("good"), bars("warn"), bars("bad")), (1, 1, 1));
    assert_eq!(bars("unknown"), 3 * 90 - 3);
    assert!(page.contains("97.84% uptime") && page.contains("No data yet"), "{page}");
}

#[test]
fn minutes_are_counted_once_and_missed_ones_are_not_well() {
    let app = app();
    let now = app.clock.now();
    let mut missed = MissedMinutes::default();
    missed.add(now.day());
    missed.add(now.day());
    let parts = [(StatusPart::Api, true), (StatusPart::Mail, false)];
    let nothing = MissedMinutes::default();
    let rows = app.db(|conn| {
        let node = sluice::db::models::nodes::first(conn, now).unwrap().unwrap();
        days::count(conn, &node, (&parts, &nothing), now).unwrap();
        days::count(conn, &node, (&parts, &missed), now).unwrap();
        days::count(conn, "another node", (&parts, &missed), now).unwrap();
        status_days::since(conn, now.day()).unwrap()
    });
    let found: Vec<_> =
        rows.iter().map(|row| (&*row.part, row.minutes_seen, row.minutes_bad)).collect();
    assert_eq!(found, [("api", 4, 2), ("mail", 2, 2), ("pages", 2, 2)]);
}

#[test]
fn the_operators_sentence_is_on_the_status_page() {
    let sentence = "We are replacing a disk <today>.";
    let told = builder().set("site.status_message", format!("\"{sentence}\"")).start();
    let page = told.ask(&Request::get("/status")).text();
    assert!(page.contains("We are replacing a disk &#60;today&#62;."), "{page}");
    assert_eq!(told.ask(&Request::get("/api/v1/status")).json()["message"], sentence);
    let silent = app();
    assert!(!silent.ask(&Request::get("/status")).text().contains("From the operator"));
}
