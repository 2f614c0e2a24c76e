//! Who is asked first: tiers, weights, conversations that stay, and what each upstream is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::{Kind, Pair, answer, expect_answer, json_answer, send};
use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::Request;
use crate::support::sandbox::{body, body_with};
use crate::support::sse;
use crate::support::upstream::Upstream;
use crate::support::wait::eventually;

/// Sends a request and answers it, wherever it comes.
fn place(pair: &Pair, request: &Request) -> &'static str {
    let connection = pair.app.connect().send(request);
    let (exchange, place) = eventually("a request at either", || {
        let at = |upstream: &Upstream| upstream.next_within(Duration::from_millis(20));
        let first = at(&pair.first).map(|exchange| (exchange, "first"));
        first.or_else(|| at(&pair.second).map(|exchange| (exchange, "second")))
    });
    exchange.answer_json(&json_answer());
    connection.answer(false).finish().expect_ok();
    place
}

fn of_session(account: &Account, name: &str, session: &str) -> Request {
    let request = Request::post("/v1/messages", body(sse::MODEL, false, "text"));
    request.key(&account.key).header(name, session)
}

#[test]
fn a_conversation_stays_with_one_upstream_of_its_tier_and_comes_back_to_it() {
    let pair = Pair::with(|builder| builder, "priority = 1");
    let account = pair.app.account("5.00");
    let mut places = BTreeMap::new();
    let ask =
        |session: &str| place(&pair, &of_session(&account, "x-claude-code-session-id", session));
    for session in 0..20 {
        let session = session.to_string();
        places.insert(session.clone(), ask(&session));
    }
    let firsts = places.values().filter(|place| **place == "first").count();
    assert!((3..=17).contains(&firsts), "{firsts} of 20");
    for (session, before) in &places {
        assert_eq!(ask(session), *before);
    }
    // The one that rests passes its conversations on, and gets them back; the others stay.
    pair.first.answer_probes(Some((401, "no")));
    let own = places.iter().find(|(_, place)| **place == "first").unwrap().0.clone();
    let connection =
        pair.app.connect().send(&of_session(&account, "x-claude-code-session-id", &own));
    pair.first.next().refuse(401, "no");
    expect_answer(Kind::Json, pair.second.next(), connection);
    let resting = "sluice_upstream_resting{upstream=\"first\"}";
    eventually("the first to rest", || (pair.app.metric(resting) == 1).then_some(()));
    assert!(places.keys().all(|session| ask(session) == "second"));
    pair.app.clock.advance(31_000);
    for (session, before) in &places {
        assert_eq!(ask(session), *before);
    }
    assert_eq!(pair.app.metric(resting), 0);
}

#[test]
fn a_session_is_known_by_header_body_or_key_and_goes_no_further() {
    let pair = Pair::with(|builder| builder, "priority = 1");
    let account = pair.app.account("5.00");
    let in_body = |session: usize| {
        let user_id = json!({ "session_id": format!("s{session}") }).to_string();
        let more = json!({ "metadata": { "user_id": user_id } });
        let text = body_with(sse::MODEL, false, "text", &more);
        Request::post("/v1/messages", text).key(&account.key)
    };
    let agents = |agent: usize| {
        of_session(&account, "x-claude-code-session-id", "same")
            .header("x-claude-code-agent-id", &agent.to_string())
    };
    let by_header = |session: usize| of_session(&account, "x-session-id", &session.to_string());
    let kinds: [&dyn Fn(usize) -> Request; 3] = [&in_body, &agents, &by_header];
    for request in kinds {
        let places: Vec<_> = (0..16).map(|at| place(&pair, &request(at))).collect();
        assert!(places.contains(&"first") && places.contains(&"second"), "{places:?}");
        assert!((0..16).all(|at| place(&pair, &request(at)) == places[at]));
    }
    // Without one, all of a key's requests are together.
    let plain = Request::post("/v1/messages", body(sse::MODEL, false, "text")).key(&account.key);
    let first = place(&pair, &plain);
    assert!((0..8).all(|_| place(&pair, &plain) == first));
    let connection = pair.app.connect().send(&agents(1));
    let exchange = [&pair.first, &pair.second]
        .into_iter()
        .find_map(|upstream| upstream.next_within(Duration::from_secs(2)))
        .unwrap();
    let sent = &exchange.request.headers;
    assert!(!sent.iter().any(|(name, _)| name.contains("session") || name.contains("agent-id")));
    exchange.answer_json(&json_answer());
    connection.answer(false).finish().expect_ok();
}

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
    upstream.next().answer_json(&crate::support::upstream::message(&usage));
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
