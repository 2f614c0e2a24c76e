//! Endings that the gateway brings about itself: E11, E16 and E17.

use diesel::prelude::*;
use serde_json::json;

use super::{Stage, expect_end, json_answer, json_body, stream_body, usage};
use crate::support::app::Builder;
use crate::support::client::{End, Request};
use crate::support::prices::{estimated_tokens, haiku};
use crate::support::sandbox::body_with;
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
    assert!(rows.iter().all(|row| row.ending.code() == "E1"), "{rows:#?}");
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
    assert!(rows.iter().all(|row| row.ending.code() == "E11"), "{rows:#?}");
    let costs: i64 = rows.iter().map(|row| row.cost_nanousd.as_nanos()).sum();
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

/// The post lands first, and then the word that the client was not told of it in time.
fn named_e16(stage: &Stage) {
    eventually("the row to say so", || {
        (stage.app.only_row(&stage.account).ending.code() == "E16").then_some(())
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
    assert_eq!(row.cost_nanousd.as_nanos(), crate::support::prices::cost_of(&row));
    let by_hand = 5000 * 1000 + 77 * 5000 + 300 * 100 + 50 * 1250 + 50 * 2000 + 20_000_000;
    assert_eq!(row.cost_nanousd.as_nanos(), by_hand);
}

#[test]
fn compactions_come_on_top_and_advisors_are_priced_by_their_own_model() {
    let stage = Stage::new();
    let (exchange, connection) = stage.json();
    let iterations = json!([
        { "type": "message", "input_tokens": 1000, "output_tokens": 200 },
        { "type": "compaction", "input_tokens": 300, "output_tokens": 40 },
        { "type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 7,
            "output_tokens": 5 },
    ]);
    let usage = json!({ "input_tokens": 1000, "output_tokens": 200, "iterations": iterations });
    exchange.answer_json(&crate::support::upstream::message(&usage));
    connection.answer(false).finish().expect_ok();
    let row = stage.row("E1");
    assert_eq!((row.input_tokens, row.output_tokens), (1307, 245));
    let expected = haiku(1000, 200) + haiku(300, 40);
    // Of a model that the request did not name, a pass costs what it would have of the one that
    // served.
    assert_eq!(row.cost_nanousd.as_nanos(), expected + haiku(7, 5));
    let stage = Stage::new();
    let advisor = json!({ "tools": [{ "type": "advisor_20260301", "name": "advisor",
        "model": "claude-opus-5-5" }] });
    let asked = body_with(sse::MODEL, false, "", &advisor);
    let connection = stage.app.send(&stage.account, &asked);
    stage.upstream.next().answer_json(&crate::support::upstream::message(&usage));
    connection.answer(false).finish().expect_ok();
    assert_eq!(stage.row("E1").cost_nanousd.as_nanos(), expected + 7 * 4000 + 5 * 20_000);
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
    assert!(rows.iter().all(|row| row.cost_nanousd.as_nanos() == haiku(1000, 200)), "{rows:#?}");
}
