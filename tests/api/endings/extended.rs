//! Holds that are extended while an answer is written, and E18 where the balance ends.

use serde_json::json;

use super::{Stage, stream_body};
use crate::support::app::Account;
use crate::support::prices::{estimated_tokens, haiku};
use crate::support::sandbox::body_with;
use crate::support::sse;
use crate::support::wait::eventually;

/// Enough money for so many reserved output tokens of the request that `body` is, and no more.
fn exact_credit(stage: &Stage, body: &str) -> (Account, i64) {
    let probe = stage.app.account("5.00");
    let connection = stage.app.send(&probe, body);
    let exchange = stage.upstream.next();
    let reserved = stage.app.balance(&probe).reserved;
    exchange.refuse(400, "{}");
    connection.answer(false).finish();
    stage.app.only_row(&probe);
    let account = stage.app.account("0");
    stage.app.db(|conn| crate::support::app::credit(conn, account.id, reserved));
    (account, reserved)
}

#[test]
fn e18_a_stream_that_the_balance_no_longer_covers_ends_and_costs_what_was_delivered() {
    let stage = Stage::with(|builder| {
        builder
            .set("reservation.reserve_output_tokens", 100)
            .set("reservation.extend_output_tokens", 100)
    });
    let (account, reserved) = exact_credit(&stage, &stream_body());
    let connection = stage.app.send(&account, &stream_body());
    let mut exchange = stage.upstream.next();
    assert_eq!(stage.app.balance(&account).available, 0);
    // As much as was held for the prompt, or a little more: nothing of it comes free.
    let prompt = u64::try_from((reserved - 100 * 5000) / 1000).unwrap();
    let usage = json!({ "input_tokens": prompt, "output_tokens": 1 });
    exchange.stream_head().chunk(sse::message_start(sse::MODEL, &usage));
    let mut answer = connection.answer(false);
    // Two hundred tokens' worth, of which a hundred are held.
    for _ in 0..140 {
        if !exchange.try_chunk(sse::text("fives")) {
            break;
        }
    }
    answer.read_until("event: error");
    let response = answer.finish();
    let events = sse::read(&response.body);
    let (last, before) = events.split_last().unwrap();
    assert_eq!(last.json()["error"]["type"], "billing_error");
    assert_eq!(last.json()["request_id"], response.header("request-id").unwrap());
    let seen = before.iter().filter(|event| event.name == "content_block_delta").count();
    exchange.wait_until_left();
    let row = stage.app.only_row(&account);
    assert_eq!(row.ending.code(), "E18");
    assert!(row.output_tokens >= estimated_tokens(seen * 5), "{row:#?}, seen {seen}");
    assert!(row.output_tokens <= 100, "{row:#?}");
    assert_eq!(
        row.cost_nanousd.as_nanos(),
        haiku(i64::try_from(prompt).unwrap(), row.output_tokens)
    );
    let balance = stage.app.balance(&account).available;
    assert_eq!(balance, reserved - row.cost_nanousd.as_nanos());
    assert!(balance >= 0);
}

#[test]
fn e18_one_long_delta_does_not_outrun_its_reservation() {
    let stage = Stage::with(|builder| {
        builder
            .set("reservation.reserve_output_tokens", 100)
            .set("reservation.extend_output_tokens", 100)
    });
    let (account, _) = exact_credit(&stage, &stream_body());
    let connection = stage.app.send(&account, &stream_body());
    let mut exchange = stage.upstream.next();
    exchange.stream_head().chunk(sse::start());
    let mut answer = connection.answer(false);
    answer.read_until("message_start");
    // 350 bytes are reserved, and the event never ends.
    let delta = sse::text(&"five ".repeat(200));
    for piece in delta.as_bytes()[..900].chunks(50) {
        if !exchange.try_chunk(piece) {
            break;
        }
    }
    let response = answer.finish();
    assert!(response.text().contains("billing_error"), "{}", response.text());
    exchange.wait_until_left();
    let row = stage.app.only_row(&account);
    assert_eq!(row.ending.code(), "E18");
    // What had come was not let go yet, and so is not charged.
    assert_eq!(row.output_tokens, 1, "{row:#?}");
}

#[test]
fn e18_a_stream_within_its_balance_extends_without_anyone_noticing() {
    let stage = Stage::with(|builder| {
        builder
            .set("reservation.reserve_output_tokens", 100)
            .set("reservation.extend_output_tokens", 100)
    });
    let (mut exchange, connection) = stage.stream();
    let first = stage.app.balance(&stage.account).reserved;
    exchange.stream_head().chunk([sse::start(), sse::block_start("text")].concat());
    let mut answer = connection.answer(false);
    for round in 0..100 {
        let words = format!("{round:3} thirty-five bytes of some text. ");
        exchange.chunk(sse::text(&words));
        answer.read_until(&words);
    }
    // A thousand tokens are out: ten times what was held at first.
    let later = stage.app.balance(&stage.account).reserved;
    assert!(later >= first + 800 * 5000, "{first} {later}");
    exchange.chunk([sse::block_stop(), sse::end(1020), sse::message_stop()].concat()).end_chunks();
    answer.finish().expect_ok();
    stage.reported("E1", 1000, 1020);
}

#[test]
fn e18_an_extension_comes_where_a_quarter_is_left_and_not_before() {
    let stage = Stage::with(|builder| {
        builder
            .set("reservation.reserve_output_tokens", 100)
            .set("reservation.extend_output_tokens", 30)
    });
    let (mut exchange, connection) = stage.stream();
    exchange.stream_head().chunk([sse::start(), sse::block_start("text")].concat());
    let mut answer = connection.answer(false);
    answer.read_until("content_block_start");
    let first = eventually("the prompt to be counted", || {
        let reserved = stage.app.balance(&stage.account).reserved;
        (reserved == haiku(1000, 100)).then_some(reserved)
    });
    // Seven bytes are two tokens. Once a ping behind them is there, they have been looked at. From
    // three quarters of what is held on, twice the output is.
    for (bytes, words, held) in [
        (259, "seventyfour", 100),
        (4, "more", 150),
        (129, "ahundredandtwelve", 150),
        (6, "ahundredandthirteen", 226),
    ] {
        let words = match bytes {
            4 => "more".to_owned(),
            _ => format!("{words:x<bytes$}").get(..bytes).unwrap().to_owned(),
        };
        exchange.chunk(sse::text(&words));
        answer.read_until(&sse::text(&words));
        let ping = sse::event("ping", &json!({ "type": "ping", "behind": bytes, "of": held }));
        exchange.chunk(ping.as_str());
        answer.read_until(&ping);
        let now = stage.app.balance(&stage.account).reserved;
        assert_eq!(now - first, (held - 100) * 5000, "{words:.30}");
    }
    // What no model could have counted costs what the model can read.
    let usage = json!({ "input_tokens": 1_u64 << 52, "output_tokens": 120 });
    let end = [sse::block_stop(), sse::message_delta(&usage), sse::message_stop()].concat();
    exchange.chunk(end).end_chunks();
    answer.finish().expect_ok();
    assert_eq!(stage.row("E1").cost_nanousd.as_nanos(), haiku(200_000, 120));
}

#[test]
fn e18_a_piece_beyond_the_next_extension_has_all_of_it_held() {
    let stage = Stage::with(|builder| {
        builder
            .set("reservation.reserve_output_tokens", 100)
            .set("reservation.extend_output_tokens", 60)
    });
    let (mut exchange, connection) = stage.stream();
    let words = "x".repeat(1820);
    exchange.stream_head().chunk([sse::start(), sse::text(&words)].concat());
    let mut answer = connection.answer(false);
    answer.read_until(&words);
    // 520 tokens have come, and twice as much is held.
    eventually("1,040 tokens to be held", || {
        (stage.app.balance(&stage.account).reserved == haiku(1000, 1040)).then_some(())
    });
    exchange.chunk([sse::end(520), sse::message_stop()].concat()).end_chunks();
    answer.finish().expect_ok();
    stage.reported("E1", 1000, 520);
}

#[test]
fn e18_no_more_is_held_than_max_tokens_may_cost() {
    let stage = Stage::with(|builder| {
        builder
            .set("reservation.reserve_output_tokens", 100)
            .set("reservation.extend_output_tokens", 1000)
    });
    let body = body_with(sse::MODEL, true, "", &json!({ "max_tokens": 150 }));
    let connection = stage.app.send(&stage.account, &body);
    let mut exchange = stage.upstream.next();
    exchange.stream_head().chunk([sse::start(), sse::text(&"x".repeat(350))].concat());
    let mut answer = connection.answer(false);
    answer.read_until("xxxx");
    eventually("the extension", || {
        (stage.app.balance(&stage.account).reserved == haiku(1000, 150)).then_some(())
    });
    exchange.chunk([sse::end(150), sse::message_stop()].concat()).end_chunks();
    answer.finish().expect_ok();
    stage.reported("E1", 1000, 150);
}
