//! Events on their way down: none is kept waiting, pings fill a silence, and the end is held until
//! it is paid for.

use sluice::domain::money::NanoUsd;

use crate::support::app::{Builder, TestApp};
use crate::support::client::find;
use crate::support::prices::haiku;
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::Upstream;

#[test]
fn the_first_content_is_not_kept_waiting() {
    let upstream = Upstream::start();
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .set("stream.output_factor_max", 1_000_000)
        .start();
    let account = app.account("5.00");
    let waiting = app.send(&account, &body("claude-haiku-4-5", true, "text"));
    let mut exchange = upstream.next();
    exchange.stream_head().chunk(sse::start()).chunk(sse::block_start("text"));
    let mut answer = waiting.answer(false);
    answer.read_until("content_block_start");
    // Each delta arrives before the upstream writes the next one; of an event that is too long to
    // be held, its first half does.
    for word in ["one", "two", "three"] {
        exchange.chunk(sse::text(word));
        answer.read_until(word);
    }
    let event = sse::text(&"long ".repeat(20_000));
    let (first, second) = event.split_at(80_000);
    exchange.chunk(first);
    answer.read_until("long long");
    exchange.chunk(second);
    exchange.chunk([sse::block_stop(), sse::end(3), sse::message_stop()].concat()).end_chunks();
    answer.finish().expect_ok();
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), haiku(1000, 3));
}

#[test]
fn a_silence_is_filled_with_pings_between_two_events_and_nowhere_else() {
    const OURS: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    let upstream = Upstream::start();
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .set("stream.ping_secs", 1)
        .set("stream.output_factor_max", 1_000_000)
        .start();
    let account = app.account("5.00");
    let waiting = app.send(&account, &body("claude-haiku-4-5", true, "text"));
    let mut exchange = upstream.next();
    let event = sse::text(&"long ".repeat(20_000));
    let (half, rest) = event.split_at(80_000);
    let (stop, end) = (sse::block_stop(), sse::end(3));
    let (begun, rest_of_end) = end.split_at(20);
    // Where the upstream pauses, what goes out of it, and whether a ping may follow that. The
    // beginning of an event that is held waits for its rest, the end until it is paid for.
    let pieces = [
        (sse::ping(), sse::ping(), true),
        (sse::start(), sse::start(), true),
        (half.to_owned(), half.to_owned(), false),
        (rest.to_owned(), rest.to_owned(), true),
        (format!("{stop}{begun}"), stop, true),
        (rest_of_end.to_owned(), String::new(), true),
    ];
    exchange.stream_head().chunk(sse::block_start("text"));
    let mut answer = waiting.answer(false);
    let (mut sent, mut seen) = (sse::block_start("text"), sse::block_start("text").len());
    for (piece, passed, is_between) in &pieces {
        exchange.chunk(piece.as_str());
        sent.push_str(piece);
        seen += passed.len() + if *is_between { OURS.len() } else { 0 };
        answer.read_to(seen);
        if !is_between {
            assert!(upstream.next_within(std::time::Duration::from_millis(2_500)).is_none());
        }
    }
    exchange.chunk(sse::message_stop()).end_chunks();
    let response = answer.finish();
    let text = response.text();
    assert!(text.contains(&event), "a ping stands within an event");
    assert!(text.contains(&sse::ping()), "the upstream's own goes through");
    assert!(text.replace(OURS, "") == sent + &sse::message_stop());
    let count = text.matches(OURS).count();
    assert!((5..=9).contains(&count), "{count}");
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), haiku(1000, 3));
}

#[test]
fn pings_that_come_before_an_answer_are_not_kept_from_its_client() {
    for before in [sse::ping(), ": at work\n\n".to_owned()] {
        let upstream = Upstream::start();
        let app = TestApp::with(&upstream);
        let account = app.account("5.00");
        let waiting = app.send(&account, &body("claude-haiku-4-5", true, "text"));
        let mut exchange = upstream.next();
        exchange.stream_head().chunk(before.as_str());
        let mut answer = waiting.answer(false);
        answer.read_until(&before);
        exchange.chunk(sse::whole("Hello").as_str()).end_chunks();
        assert_eq!(answer.finish().text(), before + &sse::whole("Hello"));
        assert_eq!(app.only_row(&account).ending.code(), "E1");
    }
}

#[test]
fn the_end_of_an_answer_is_held_until_it_is_paid_for() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let waiting = app.send(&account, &body("claude-haiku-4-5", true, "text"));
    let mut exchange = upstream.next();
    exchange
        .stream_head()
        .chunk([sse::start(), sse::block_start("text"), sse::text("Hi")].concat());
    exchange.chunk(sse::block_stop()).chunk(sse::end(42));
    let mut answer = waiting.answer(false);
    answer.read_until("content_block_stop");
    // The final message_delta is with the gateway, and the client has not got it.
    exchange.chunk(": a comment that comes later\n\n");
    assert!(find(&answer.body, b"message_delta").is_none());
    assert!(app.usage(&account).is_empty());
    exchange.chunk(sse::message_stop()).end_chunks();
    answer.read_until("message_delta");
    // Whoever has it, has paid for it.
    assert_eq!(app.usage(&account).len(), 1);
    answer.finish().expect_ok();
    let amount = NanoUsd::from_nanos(app.only_row(&account).cost_nanousd.as_nanos());
    assert_eq!(amount.to_string(), "0.00121");
}
