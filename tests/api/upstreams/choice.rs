//! Who is asked first where there are tiers, and what each upstream is sent.

use serde_json::json;

use super::{Kind, answer, expect_answer, send};
use crate::support::app::{Builder, TestApp};
use crate::support::upstream::{Upstream, message};
use crate::support::wait::eventually;

#[test]
fn what_caches_did_for_prompts_is_counted_for_each_upstream() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let usage = json!({
        "input_tokens": 10, "output_tokens": 1,
        "cache_creation_input_tokens": 300, "cache_read_input_tokens": 4000,
    });
    let connection = send(&app, &account, Kind::Json);
    upstream.next().answer_json(&message(&usage));
    connection.answer(false).finish().expect_ok();
    for (class, tokens) in [("uncached", 10), ("written", 300), ("read", 4000)] {
        let labels = format!("{{class=\"{class}\",upstream=\"primary\"}}");
        let line = format!("sluice_upstream_prompt_tokens_total{labels}");
        assert_eq!(app.metric(&line), tokens, "{class}");
    }
}

#[test]
fn a_lower_tier_is_asked_first_wherever_it_stands() {
    let (spare, main) = (Upstream::start(), Upstream::start());
    let at = |upstream: &Upstream| format!("http://{}", upstream.address);
    let app = Builder::new()
        .upstream_with("spare", &at(&spare), "priority = 5")
        .upstream_with("main", &at(&main), "priority = 2")
        .start();
    let account = app.account("5.00");
    for kind in super::KINDS {
        let connection = send(&app, &account, kind);
        expect_answer(kind, main.next(), connection);
    }
    let connection = send(&app, &account, Kind::Stream);
    main.next().refuse(529, "no");
    expect_answer(Kind::Stream, spare.next(), connection);
    assert_eq!((main.count(), spare.count()), (4, 1));
}

#[test]
fn fixed_headers_go_with_every_request() {
    let upstream = Upstream::start();
    let lines = "headers = { \"x-workspace\" = \"w1\" }";
    let base_url = format!("http://{}", upstream.address);
    let app = Builder::new().upstream_with("primary", &base_url, lines).start();
    let account = app.account("5.00");
    for kind in super::KINDS {
        let connection = send(&app, &account, kind);
        let exchange = upstream.next();
        assert_eq!(exchange.request.header("x-workspace"), Some("w1"));
        answer(kind, exchange);
        connection.answer(false).finish().expect_ok();
    }
}

#[test]
fn a_credential_whose_file_changes_is_used_from_then_on() {
    let upstream = Upstream::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credential");
    std::fs::write(&file, "old-key\n").unwrap();
    let section = format!(
        "[[upstreams]]\nname = \"primary\"\nbase_url = \"http://{}\"\ncredential_file = \"{}\"\n",
        upstream.address,
        file.display()
    );
    let app: TestApp = Builder::new().section(&section).start();
    let account = app.account("5.00");
    let sent = || {
        let connection = send(&app, &account, Kind::Count);
        let exchange = upstream.next();
        let sent = exchange.request.header("x-api-key").unwrap().to_owned();
        answer(Kind::Count, exchange);
        connection.answer(false).finish().expect_ok();
        sent
    };
    assert_eq!(sent(), "old-key");
    std::fs::write(folder.path().join("new"), "new-key-of-another-length\n").unwrap();
    std::fs::rename(folder.path().join("new"), &file).unwrap();
    eventually("the new credential", || (sent() == "new-key-of-another-length").then_some(()));
}
