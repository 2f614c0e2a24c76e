//! What a killed process leaves open is settled at its last checkpoint: E12.

use std::sync::Arc;

use diesel::prelude::*;
use sluice::db::schema::reservations;
use sluice::domain::clock::UnixMillis;
use sluice::domain::ids::{ApiKeyId, RequestId};
use sluice::domain::money::NanoUsd;
use sluice::domain::usage_record::{Endpoint, Outcome, UsageRecord};
use sluice::ledger::{self, Command, Effect, Hold};

use super::Stage;
use crate::support::app::{Account, Builder, open_account};
use crate::support::prices::{estimated_tokens, haiku};
use crate::support::sandbox::sandbox;
use crate::support::sse;
use crate::support::wait::eventually;

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
        ending: Outcome::Killed,
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
        [Effect::Reserved { amount }, Effect::Reserved { amount }, Effect::Checkpointed]
    );
    drop(conn);

    let app = builder.start();
    let rows = app.settled(&account, 2);
    for row in rows {
        assert_eq!(row.ending.code(), "E12");
        let expected = if row.id == "req_checkpointed" { haiku(1000, 50) } else { 0 };
        assert_eq!(row.cost_nanousd.as_nanos(), expected, "{row:#?}");
        assert_eq!(row.is_estimated, expected > 0);
    }
    assert_eq!(app.balance(&account).available, 5_000_000_000 - haiku(1000, 50));
    // A node that was only thought dead comes with its post: the row is raised, once.
    let mut late = record("req_checkpointed", &account, 1);
    (late.input_tokens, late.output_tokens, late.http_status) = (1000, 200, 200);
    late.ending = Outcome::Complete;
    late.cost = NanoUsd::from_nanos(haiku(1000, 200));
    let post = Command::Post { record: late };
    let apply = |command: &Command| {
        app.db(|conn| ledger::apply(conn, std::slice::from_ref(command), now).unwrap())
    };
    assert_eq!(apply(&post), [Effect::Replaced]);
    assert_eq!(apply(&post), [Effect::AlreadyPosted]);
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
