//! nginx in front, as `config/nginx.conf` has it: what clients get through it is what they get
//! without.

use std::time::{Duration, Instant};

use crate::support::app::{Builder, TestApp};
use crate::support::client::{Connection, Request};
use crate::support::nginx::Nginx;
use crate::support::prices::haiku;
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::Upstream;

/// What the gateway fills a silence with. The scripted upstream's own pings are written otherwise.
const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";

/// How long an upstream is silent, and how soon nginx cuts an answer without a byte.
struct Silence {
    between_events: Duration,
    within_event: Duration,
    nginx_secs: u64,
}

/// A server behind nginx.
fn behind(builder: Builder, nginx_secs: u64) -> (TestApp, Nginx) {
    let app = builder.set("server.behind_tls_proxy", true).start();
    let nginx = Nginx::before(app.address, nginx_secs);
    (app, nginx)
}

/// Asserts that the events are there, each in one piece, with pings of the gateway's between them
/// and nothing else. How many pings stand before each.
fn pings_before(text: &str, events: &[String]) -> Vec<usize> {
    let mut rest = text;
    let mut counts = Vec::new();
    for event in events {
        let mut count = 0;
        while let Some(behind) = rest.strip_prefix(PING) {
            (rest, count) = (behind, count + 1);
        }
        counts.push(count);
        rest = rest.strip_prefix(event.as_str()).unwrap_or_else(|| panic!("{event:?}: {rest:?}"));
    }
    assert_eq!(rest, "");
    counts
}

fn expect_unbroken(silence: &Silence, builder: Builder) {
    let upstream = Upstream::start();
    let (app, nginx) = behind(builder.upstream("primary", upstream.address), silence.nginx_secs);
    let account = app.account("5.00");
    let request = Request::post("/v1/messages", body(sse::MODEL, true, "text")).key(&account.key);
    let connection = Connection::open(nginx.address).send(&request);
    let mut exchange = upstream.next();
    let events = [
        sse::start(),
        sse::ping(),
        sse::block_start("text"),
        sse::text("Hello"),
        sse::block_stop(),
        sse::end(200),
        sse::message_stop(),
    ];
    let (half, other_half) = events[3].split_at(40);
    exchange.stream_head().chunk(&events[0]);
    let mut answer = connection.answer(false);
    // Its pings are all that the client hears, and all that it waits for.
    let mut wait = |silence: Duration| {
        let began = Instant::now();
        while began.elapsed() < silence {
            let length = answer.body.len();
            answer.read_to(length + 1);
        }
    };
    wait(silence.between_events);
    exchange.chunk([&events[1], &events[2], half].concat());
    wait(silence.within_event);
    exchange.chunk([other_half, &events[4..].concat()].concat()).end_chunks();
    let response = answer.finish();
    let pings = pings_before(&response.expect_ok().text(), &events);
    assert!(pings[1] > 1 && pings[3] > 1, "{pings:?}");
    assert_eq!(pings.iter().sum::<usize>(), pings[1] + pings[3], "{pings:?}");
    let row = app.only_row(&account);
    assert_eq!(
        (row.ending.code(), row.cost_nanousd.as_nanos()),
        ("E1", haiku(1000, 200)),
        "{row:#?}"
    );
    assert_eq!(app.entries(&account, "usage"), [-row.cost_nanousd.as_nanos()]);
    assert_eq!((upstream.count(), nginx.log()), (1, String::new()));
}

#[test]
fn a_silence_longer_than_nginxs_read_timeout_does_not_break_a_stream() {
    let silence = Silence {
        between_events: Duration::from_secs(5),
        within_event: Duration::from_secs(3),
        nginx_secs: 2,
    };
    expect_unbroken(&silence, Builder::new().set("stream.ping_secs", 1));
}

#[test]
#[ignore = "takes minutes"]
fn two_minutes_of_silence_do_not_break_a_stream_behind_nginxs_default_read_timeout() {
    let silence = Silence {
        between_events: Duration::from_mins(2),
        within_event: Duration::from_secs(70),
        nginx_secs: 60,
    };
    expect_unbroken(&silence, Builder::new());
}

#[test]
fn a_refusal_before_the_end_of_a_large_body_comes_through() {
    let upstream = Upstream::start();
    let (_app, nginx) = behind(Builder::new().upstream("primary", upstream.address), 10);
    let large = "x".repeat(8_000_000);
    let request = Request::post("/v1/messages", large).key("sk-sluice-that-nobody-has-made");
    let response = Connection::open(nginx.address).ask(&request).finish();
    response.expect_error(401, "authentication_error");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn every_header_that_names_a_conversation_comes_through() {
    let upstreams = ["one", "two"].map(|name| {
        let mut upstream = Upstream::start();
        upstream.answer_all(|exchange| exchange.answer_json(r#"{"input_tokens":17}"#));
        (name, upstream)
    });
    let builder = upstreams.iter().fold(Builder::new(), |builder, (name, upstream)| {
        builder.upstream_with(name, &format!("http://{}", upstream.address), "priority = 1")
    });
    let (app, nginx) = behind(builder, 10);
    let account = app.account("5.00");
    for name in ["x-claude-code-session-id", "session_id"] {
        let before = upstreams.each_ref().map(|(_, upstream)| upstream.count());
        for session in 0..16 {
            let request = Request::post("/v1/messages/count_tokens", body(sse::MODEL, false, ""));
            let request = request.key(&account.key).header(name, &session.to_string());
            Connection::open(nginx.address).ask(&request).finish().expect_ok();
        }
        let after = upstreams.each_ref().map(|(_, upstream)| upstream.count());
        assert!((0..2).all(|at| after[at] > before[at]), "{name}: {before:?} {after:?}");
    }
}
