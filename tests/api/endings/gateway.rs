//! Endings that the gateway brings about itself: E11, E12, E16, E17 and E18.

use std::sync::Arc;

use diesel::prelude::*;
use serde_json::json;
use sluice::db::schema::reservations;
use sluice::domain::clock::UnixMillis;
use sluice::domain::ids::{ApiKeyId, RequestId};
use sluice::domain::money::NanoUsd;
use sluice::domain::usage_record::{Ending, Endpoint, UsageRecord};
use sluice::ledger::{self, Command, Hold, Outcome};

use super::{Stage, expect_end, json_answer, json_body, stream_body, usage};
use crate::support::app::{Account, Builder, open_account};
use crate::support::client::{End, Request};
use crate::support::prices::{estimated_tokens, haiku};
use crate::support::sandbox::{body_with, sandbox};
use crate::support::sse;
use crate::support::upstream::Upstream;
use crate::support::wait::eventually;

#[test]
fn e11_a_stop_lets_running_exchanges_finish() {
    let stage = Stage::with(|builder| builder.set("server.drain_secs", 60));
    let (mut exchange, answer) = stage.begun("Half");
    let (json_exchange, json_connection) = stage.json();
    stage.app.tell_to_stop();
    eventually("the server to say that it stops", || {
        let response = crate::support::client::Connection::open(stage.app.admin_address)
            .ask(&Request::get("/readyz"))
            .finish();
        (response.status == 503).then_some(())
    });
    // Nothing new begins.
    let refused = stage.app.messages(&stage.account, &stream_body());
    refused.expect_error(503, "api_error");
    exchange.chunk([sse::block_stop(), sse::end(200), sse::message_stop()].concat()).end_chunks();
    let response = answer.finish();
    assert!(response.expect_ok().text().ends_with(&sse::message_stop()));
    json_exchange.answer_json(&json_answer(10, 20));
    json_connection.answer(false).finish().expect_ok();
    let rows = stage.app.settled(&stage.account, 2);
    assert!(rows.iter().all(|row| row.ending == "E1"), "{rows:#?}");
}

#[test]
fn e11_what_has_not_finished_in_time_ends_with_an_error_and_costs_what_was_delivered() {
    let stage = Stage::with(|builder| builder.set("server.drain_secs", 1));
    let words = "word ".repeat(140);
    let (exchange, answer) = stage.begun(&words);
    stage.app.tell_to_stop();
    let before = [sse::start(), sse::block_start("text"), sse::text(&words)].concat();
    expect_end(&answer.finish(), &before, "api_error");
    exchange.wait_until_left();
    stage.delivered("E11", 1000, words.len());
}

#[test]
fn e11_the_second_word_ends_everything_at_once() {
    let stage = Stage::with(|builder| builder.set("server.drain_secs", 600));
    let (exchange, answer) = stage.begun("Half");
    let (json_exchange, json_connection) = stage.json();
    let (head_exchange, head_connection) = stage.stream();
    stage.app.tell_to_stop();
    stage.app.tell_to_end();
    let before = [sse::start(), sse::block_start("text"), sse::text("Half")].concat();
    expect_end(&answer.finish(), &before, "api_error");
    json_connection.answer(false).finish().expect_error(503, "api_error");
    head_connection.answer(false).finish().expect_error(503, "api_error");
    for exchange in [exchange, json_exchange, head_exchange] {
        exchange.wait_until_left();
    }
    let rows = stage.app.settled(&stage.account, 3);
    assert!(rows.iter().all(|row| row.ending == "E11"), "{rows:#?}");
    let costs: i64 = rows.iter().map(|row| row.cost_nanousd).sum();
    assert_eq!(costs, haiku(1000, estimated_tokens(4).max(1)));
}

#[test]
fn e11_a_drain_of_a_departed_client_is_waited_for_too() {
    let stage = Stage::with(|builder| {
        builder.set("stream.client_gone", "\"drain\"").set("server.drain_secs", 60)
    });
    let (mut exchange, answer) = stage.begun("Half");
    answer.leave_seen();
    stage.app.tell_to_stop();
    exchange.chunk(sse::text("more"));
    exchange.chunk([sse::block_stop(), sse::end(200), sse::message_stop()].concat()).end_chunks();
    stage.reported("E8", 1000, 200);
}

#[test]
fn e11_a_json_answer_whose_client_left_survives_the_stop() {
    let stage = Stage::with(|builder| builder.set("server.drain_secs", 60));
    let (exchange, connection) = stage.json();
    connection.leave_seen();
    stage.app.tell_to_stop();
    exchange.answer_json(&json_answer(1000, 200));
    stage.reported("E9", 1000, 200);
}

/// A row as it stands at admission.
fn record(id: &str, account: &Account, key: i64) -> UsageRecord {
    UsageRecord {
        id: RequestId::from_stored(id.to_owned()),
        account_id: account.id,
        api_key_id: ApiKeyId(key),
        created_at: UnixMillis::from_millis(1_795_348_000_000),
        endpoint: Endpoint::MessagesStream,
        requested_model: sse::MODEL.to_owned(),
        served_model: None,
        upstream: Some("primary".to_owned()),
        input_tokens: 0,
        output_tokens: 0,
        cache_write_5m_tokens: 0,
        cache_write_1h_tokens: 0,
        cache_read_tokens: 0,
        web_searches: 0,
        service_tier: None,
        inference_geo: None,
        speed: None,
        price_version: "v".to_owned(),
        cost: NanoUsd::ZERO,
        first_byte_ms: None,
        latency_ms: 0,
        http_status: 0,
        ending: Ending::E12,
        is_estimated: false,
        passes: Vec::new(),
    }
}

#[test]
fn e12_what_a_killed_process_left_open_is_settled_at_its_last_checkpoint() {
    let builder = Builder::new().upstream("sandbox", sandbox());
    let mut conn = builder.migrated();
    let account = open_account(&mut conn, "5.00");
    let now = UnixMillis::from_millis(1_795_348_000_000);
    let node_id: Arc<str> = "node_that_died".into();
    let amount = NanoUsd::from_nanos(1_000_000_000);
    let reserve = |id: &str| Command::Reserve {
        record: record(id, &account, 1),
        hold: Hold::exactly(amount),
        node_id: Arc::clone(&node_id),
    };
    let mut checkpoint = record("req_checkpointed", &account, 1);
    (checkpoint.input_tokens, checkpoint.output_tokens) = (1000, 50);
    checkpoint.cost = NanoUsd::from_nanos(haiku(1000, 50));
    checkpoint.is_estimated = true;
    let commands = [
        reserve("req_checkpointed"),
        reserve("req_never_counted"),
        Command::Checkpoint { record: checkpoint, amount: None },
    ];
    let outcomes = ledger::apply(&mut conn, &commands, now).unwrap();
    assert_eq!(
        outcomes,
        [Outcome::Reserved { amount }, Outcome::Reserved { amount }, Outcome::Checkpointed]
    );
    drop(conn);

    let app = builder.start();
    let rows = app.settled(&account, 2);
    for row in rows {
        assert_eq!(row.ending, "E12");
        let expected = if row.id == "req_checkpointed" { haiku(1000, 50) } else { 0 };
        assert_eq!(row.cost_nanousd, expected, "{row:#?}");
        assert_eq!(row.is_estimated, expected > 0);
    }
    assert_eq!(app.balance(&account).available, 5_000_000_000 - haiku(1000, 50));
    // A node that was only thought dead comes with its post: the row is raised, once.
    let mut late = record("req_checkpointed", &account, 1);
    (late.input_tokens, late.output_tokens, late.http_status) = (1000, 200, 200);
    late.ending = Ending::E1;
    late.cost = NanoUsd::from_nanos(haiku(1000, 200));
    let post = Command::Post { record: late };
    let apply = |command: &Command| {
        app.db(|conn| ledger::apply(conn, std::slice::from_ref(command), now).unwrap())
    };
    assert_eq!(apply(&post), [Outcome::Replaced]);
    assert_eq!(apply(&post), [Outcome::AlreadyPosted]);
    assert_eq!(app.balance(&account).available, 5_000_000_000 - haiku(1000, 200));
    assert_eq!(app.settled(&account, 2).len(), 2);
}

#[test]
fn e12_the_first_usage_is_a_checkpoint_before_the_client_has_much_of_the_answer() {
    let stage = Stage::with(|builder| builder.set("stream.checkpoint_secs", 600));
    let (mut exchange, answer) = stage.begun("Half");
    let stored = eventually("the checkpoint", || {
        let records: Vec<String> = stage
            .app
            .db(|conn| reservations::table.select(reservations::record).load(conn).unwrap());
        assert_eq!(records.len(), 1);
        let record: UsageRecord = serde_json::from_str(&records[0]).unwrap();
        (record.input_tokens > 0).then_some(record)
    });
    assert_eq!(stored.input_tokens, 1000);
    assert!(stored.cost >= NanoUsd::from_nanos(haiku(1000, 1)), "{stored:#?}");
    exchange.chunk([sse::block_stop(), sse::end(200), sse::message_stop()].concat()).end_chunks();
    answer.finish().expect_ok();
    stage.reported("E1", 1000, 200);
}

#[test]
fn e12_later_checkpoints_follow_what_was_delivered() {
    let stage = Stage::with(|builder| builder.set("stream.checkpoint_secs", 1));
    let (mut exchange, mut answer) = stage.begun("Half");
    let words = "many more words ".repeat(100);
    exchange.chunk(sse::text(&words));
    answer.read_until(&words);
    let least = estimated_tokens(words.len());
    eventually("a checkpoint with all of it", || {
        let records: Vec<String> = stage
            .app
            .db(|conn| reservations::table.select(reservations::record).load(conn).unwrap());
        let record: UsageRecord = serde_json::from_str(&records[0]).unwrap();
        (record.output_tokens >= least).then_some(())
    });
    exchange.chunk([sse::block_stop(), sse::end(2000), sse::message_stop()].concat()).end_chunks();
    answer.finish().expect_ok();
    stage.reported("E1", 1000, 2000);
}

/// The post lands first, and then the word that the client was not told of it in time.
fn named_e16(stage: &Stage) {
    eventually("the row to say so", || {
        (stage.app.only_row(&stage.account).ending == "E16").then_some(())
    });
}

#[test]
fn e16_what_cannot_be_posted_in_time_is_not_let_go_and_is_billed_when_it_lands() {
    let stage = Stage::with(|builder| {
        builder.set("stream.settle_wait_secs", 1).set("database.lock_timeout_ms", 200)
    });
    let (mut exchange, mut answer) = stage.begun("All of it");
    exchange.chunk(sse::block_stop());
    answer.read_until("content_block_stop");
    let lock = stage.app.database().lock();
    exchange.chunk([sse::end(200), sse::message_stop()].concat()).end_chunks();
    let before =
        [sse::start(), sse::block_start("text"), sse::text("All of it"), sse::block_stop()]
            .concat();
    expect_end(&answer.finish(), &before, "api_error");
    drop(lock);
    named_e16(&stage);
    stage.reported("E16", 1000, 200);
}

#[test]
fn e16_a_json_answer_that_cannot_be_posted_is_503_and_billed_when_it_lands() {
    let stage = Stage::with(|builder| {
        builder.set("stream.settle_wait_secs", 1).set("database.lock_timeout_ms", 200)
    });
    let (exchange, connection) = stage.json();
    let lock = stage.app.database().lock();
    exchange.answer_json(&json_answer(1000, 200));
    let response = connection.answer(false).finish();
    response.expect_error(503, "api_error");
    assert!(!response.text().contains("Hello"));
    drop(lock);
    named_e16(&stage);
    assert_eq!(stage.reported("E16", 1000, 200).http_status, 503);
}

#[test]
fn e16_a_short_wait_for_the_database_is_not_noticed_by_anyone() {
    let stage = Stage::with(|builder| {
        builder.set("stream.settle_wait_secs", 30).set("database.lock_timeout_ms", 100)
    });
    let (exchange, connection) = stage.json();
    let lock = stage.app.database().lock();
    exchange.answer_json(&json_answer(1000, 200));
    let waiting = std::thread::spawn(move || connection.answer(false).finish());
    // Long enough for the ledger to have failed at least once.
    std::thread::park_timeout(std::time::Duration::from_millis(600));
    assert!(!waiting.is_finished(), "an answer was let go unpaid");
    drop(lock);
    waiting.join().unwrap().expect_ok();
    stage.reported("E1", 1000, 200);
}

#[test]
fn a_reservation_that_cannot_be_made_durable_is_503_and_nothing_is_dispatched() {
    let stage = Stage::with(|builder| builder.set("database.lock_timeout_ms", 200));
    // The key is known, so that only the reservation needs the database.
    let (exchange, connection) = stage.json();
    exchange.answer_json(&json_answer(1, 1));
    connection.answer(false).finish().expect_ok();
    stage.app.settled(&stage.account, 1);
    let lock = stage.app.database().lock();
    for body in [json_body(), stream_body()] {
        stage.app.messages(&stage.account, &body).expect_error(503, "api_error");
    }
    drop(lock);
    assert_eq!(stage.upstream.count(), 1);
    // Service resumes by itself, and nothing is left of the refused ones.
    let (exchange, connection) = stage.json();
    exchange.answer_json(&json_answer(2, 2));
    connection.answer(false).finish().expect_ok();
    stage.app.settled(&stage.account, 2);
    eventually("no reservation", || (stage.app.open_reservations() == 0).then_some(()));
}

#[test]
fn e17_the_longest_duration_ends_a_stream_that_never_pauses() {
    let stage = Stage::with(|builder| builder.set("stream.max_secs", 2).set("stream.idle_secs", 2));
    let (mut exchange, connection) = stage.stream();
    exchange.stream_head().chunk([sse::start(), sse::block_start("text")].concat());
    let reader = std::thread::spawn(move || connection.answer(false).finish());
    let mut bytes = 0;
    while exchange.try_chunk(sse::text("on and on")) && exchange.is_open() {
        bytes += "on and on".len();
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    let response = reader.join().unwrap();
    assert_eq!(response.end, End::Whole);
    let events = sse::read(&response.body);
    let last = events.last().unwrap();
    assert_eq!(
        (last.name.as_str(), last.json()["error"]["type"].as_str()),
        ("error", Some("timeout_error"))
    );
    let seen = events.iter().filter(|event| event.name == "content_block_delta").count();
    let row = stage.row("E17");
    assert!(row.is_estimated);
    assert_eq!(row.output_tokens, estimated_tokens(seen * "on and on".len()), "of {bytes}");
}

#[test]
fn e17_goes_for_json_answers_with_504() {
    let stage = Stage::with(|builder| builder.set("stream.max_secs", 2).set("stream.idle_secs", 2));
    let (mut exchange, connection) = stage.json();
    exchange.send(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    let reader = std::thread::spawn(move || connection.answer(false).finish());
    while exchange.try_chunk(" ") && exchange.is_open() {
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    reader.join().unwrap().expect_error(504, "timeout_error");
    stage.free("E17", 504);
}

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
    assert_eq!(row.ending, "E18");
    assert!(row.output_tokens >= estimated_tokens(seen * 5), "{row:#?}, seen {seen}");
    assert!(row.output_tokens <= 100, "{row:#?}");
    assert_eq!(row.cost_nanousd, haiku(i64::try_from(prompt).unwrap(), row.output_tokens));
    let balance = stage.app.balance(&account).available;
    assert_eq!(balance, reserved - row.cost_nanousd);
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
    assert_eq!(row.ending, "E18");
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
    // Seven bytes are two tokens. Once a ping behind them is there, they have been looked at. From three quarters of what
    // is held on, twice the output is.
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
    assert_eq!(stage.row("E1").cost_nanousd, haiku(200_000, 120));
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

#[test]
fn a_node_that_stops_in_order_gives_its_lease_back() {
    let upstream = Upstream::start();
    let app = Builder::new()
        .upstream("primary", upstream.address)
        .set("server.node_id", "\"n1\"")
        .start();
    let leases = |conn: &mut sluice::db::AnyConnection| -> Vec<String> {
        use sluice::db::schema::nodes;
        nodes::table.select(nodes::id).load(conn).unwrap()
    };
    let held = app.db(leases);
    assert!(held.len() == 1 && held[0].starts_with("n1_"), "{held:?}");
    let (database, _folder) = app.finish();
    assert!(leases(&mut database.connect()).is_empty());
}

#[test]
fn usage_reported_late_replaces_what_was_guessed_first() {
    let stage = Stage::new();
    let tools = json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] });
    let connection = stage.app.send(&stage.account, &body_with(sse::MODEL, true, "", &tools));
    let exchange = stage.upstream.next();
    let late = json!({
        "input_tokens": 5000, "output_tokens": 77, "cache_read_input_tokens": 300,
        "cache_creation_input_tokens": 100,
        "cache_creation": { "ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 50 },
        "server_tool_use": { "web_search_requests": 2 },
    });
    let answer = [
        sse::message_start(sse::MODEL, &usage(1000, 1)),
        sse::message_delta(&late),
        sse::message_stop(),
    ];
    exchange.answer_stream(&answer.concat());
    connection.answer(false).finish().expect_ok();
    let row = stage.row("E1");
    // The remainder of the writes beyond their split is taken as the 5-minute kind.
    assert_eq!((row.cache_write_5m_tokens, row.cache_write_1h_tokens), (50, 50));
    assert_eq!(row.cost_nanousd, crate::support::prices::cost_of(&row));
    let by_hand = 5000 * 1000 + 77 * 5000 + 300 * 100 + 50 * 1250 + 50 * 2000 + 20_000_000;
    assert_eq!(row.cost_nanousd, by_hand);
}

#[test]
fn compactions_come_on_top_and_advisors_are_priced_by_their_own_model() {
    let stage = Stage::new();
    let (exchange, connection) = stage.json();
    let iterations = json!([
        { "type": "message", "input_tokens": 1000, "output_tokens": 200 },
        { "type": "compaction", "input_tokens": 300, "output_tokens": 40 },
        { "type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 7, "output_tokens": 5 },
    ]);
    let usage = json!({ "input_tokens": 1000, "output_tokens": 200, "iterations": iterations });
    exchange.answer_json(&crate::support::upstream::message(&usage));
    connection.answer(false).finish().expect_ok();
    let row = stage.row("E1");
    assert_eq!((row.input_tokens, row.output_tokens), (1307, 245));
    let expected = haiku(1000, 200) + haiku(300, 40);
    // Of a model that the request did not name, a pass costs what it would have of the one that served.
    assert_eq!(row.cost_nanousd, expected + haiku(7, 5));
    let stage = Stage::new();
    let advisor = json!({ "tools": [{ "type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5-5" }] });
    let asked = body_with(sse::MODEL, false, "", &advisor);
    let connection = stage.app.send(&stage.account, &asked);
    stage.upstream.next().answer_json(&crate::support::upstream::message(&usage));
    connection.answer(false).finish().expect_ok();
    assert_eq!(stage.row("E1").cost_nanousd, expected + 7 * 4000 + 5 * 20_000);
}

#[test]
fn a_postgres_that_drops_every_connection_is_found_again_and_nothing_is_lost() {
    let stage = Stage::new();
    if !stage.app.database().is_postgres() {
        return;
    }
    let drop_all = || {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()";
        stage.app.db(|conn| diesel::sql_query(sql).execute(conn).unwrap());
    };
    let (mut exchange, answer) = stage.begun("All of it");
    drop_all();
    exchange.chunk([sse::block_stop(), sse::end(200), sse::message_stop()].concat()).end_chunks();
    assert!(answer.finish().expect_ok().text().ends_with(&sse::message_stop()));
    stage.reported("E1", 1000, 200);
    drop_all();
    // New work is refused at worst, and resumes by itself.
    let connection = eventually("service to resume", || {
        let connection = stage.app.send(&stage.account, &json_body());
        if let Some(exchange) = stage.upstream.next_within(std::time::Duration::from_millis(500)) {
            exchange.answer_json(&json_answer(1000, 200));
            return Some(connection);
        }
        connection.answer(false).finish().expect_error(503, "api_error");
        None
    });
    connection.answer(false).finish().expect_ok();
    let rows = stage.app.settled(&stage.account, 2);
    assert!(rows.iter().all(|row| row.cost_nanousd == haiku(1000, 200)), "{rows:#?}");
}
