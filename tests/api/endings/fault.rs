//! E14: our own code panics. The server has no hook for that, so the tests use what is theirs: a
//! limit that no file could set, whose deadline lies beyond the end of time, and a log that fails
//! to write.

use std::fmt::Write;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use diesel::prelude::*;
use serde_json::json;
use sluice::db::schema::reservations;
use sluice::domain::usage_record::UsageRecord;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::{Stage, expect_end, json_body};
use crate::support::alerting::Watched;
use crate::support::prices::{estimated_tokens, haiku};
use crate::support::sse;
use crate::support::wait::eventually;

const CANARY: &str = "canaryinananswer";
/// The one alert at which the log below fails. No other test brings it about.
const FATAL: &str = "usage: unknown kind of iteration";

/// Everything logged, and a panic at the fatal alert.
struct FailingLog;

impl FailingLog {
    /// Logs of this process go here from now on.
    fn start() {
        static STARTED: OnceLock<()> = OnceLock::new();
        STARTED.get_or_init(|| {
            let subscriber = tracing_subscriber::registry().with(Self);
            tracing::subscriber::set_global_default(subscriber).expect("no other test logs");
        });
    }

    fn lines() -> &'static Mutex<String> {
        static LINES: Mutex<String> = Mutex::new(String::new());
        &LINES
    }
}

impl<S: tracing::Subscriber> Layer<S> for FailingLog {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = event.metadata().target().to_owned();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            write!(line, " {field}={value:?}").unwrap();
        });
        let is_fatal = line.contains(FATAL);
        writeln!(Self::lines().lock().unwrap(), "{line}").unwrap();
        assert!(!is_fatal, "what a careless message might say: {CANARY}");
    }
}

/// The process's panic hook while the server's own is in force.
struct Hook;

impl Hook {
    fn of_the_server() -> Self {
        sluice::telemetry::log_panics();
        Self
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(std::panic::take_hook());
        }
    }
}

/// The record in the one reservation that has output.
fn checkpoint(stage: &Stage, least_output: i64) -> UsageRecord {
    eventually("the checkpoint", || {
        let records: Vec<String> = stage
            .app
            .db(|conn| reservations::table.select(reservations::record).load(conn).unwrap());
        let records = records.iter().map(|record| serde_json::from_str(record).unwrap());
        let mut found = records.filter(|record: &UsageRecord| record.output_tokens >= least_output);
        found.next()
    })
}

#[test]
fn e14_a_panic_in_the_relay_ends_that_stream_at_its_checkpoint_and_no_other() {
    FailingLog::start();
    let _hook = Hook::of_the_server();
    // One worker, so that both streams live on one thread.
    let stage =
        Stage::with(|builder| builder.set("server.workers", 1).set("stream.checkpoint_secs", 600));
    let other = stage.app.account("5.00");
    let other_connection = stage.app.send(&other, &super::stream_body());
    let mut other_exchange = stage.upstream.next();
    other_exchange.stream_head().chunk(sse::start());
    let mut other_answer = other_connection.answer(false);
    other_answer.read_until("message_start");

    let watched = Watched::new(stage.app.admin_address);
    let words = format!("{CANARY} ").repeat(50);
    let (mut exchange, mut answer) = stage.begun(&words);
    let kept = checkpoint(&stage, estimated_tokens(words.len()));
    exchange.chunk(sse::text("behind the checkpoint"));
    answer.read_until("behind the checkpoint");
    let iterations = json!([{ "type": "of_tomorrow", "input_tokens": 1, "output_tokens": 1 }]);
    let usage = json!({ "output_tokens": 900, "iterations": iterations });
    exchange.chunk([sse::message_delta(&usage), sse::message_stop()].concat());

    let before = [
        sse::start(),
        sse::block_start("text"),
        sse::text(&words),
        sse::text("behind the checkpoint"),
    ];
    let message = expect_end(&answer.finish(), &before.concat(), "api_error");
    assert_eq!(message, "Internal server error");
    exchange.wait_until_left();
    let row = stage.delivered("E14", 1000, words.len());
    assert_eq!(row.cost_nanousd.as_nanos(), kept.cost.as_nanos());
    watched.fires(&["SluiceExchangePanicked", "SluiceUsageUnclear"]);

    other_exchange.chunk([sse::text("still here"), sse::end(200), sse::message_stop()].concat());
    other_exchange.end_chunks();
    other_answer.finish().expect_ok();
    assert_eq!(stage.app.only_row(&other).cost_nanousd.as_nanos(), haiku(1000, 200));

    let log = FailingLog::lines().lock().unwrap().clone();
    let panic = log.lines().find(|line| line.contains("message=panic")).expect("it is logged");
    assert!(panic.contains("fault.rs:"), "by its place: {panic}");
    assert!(!log.contains(CANARY), "and without its message");
}

#[test]
fn e14_a_panic_before_the_dispatch_is_500_and_free() {
    let stage =
        Stage::with(|builder| builder.change(|settings| settings.stream.json_head = Duration::MAX));
    let (mut exchange, answer) = stage.begun("Meanwhile");
    let refused = stage.app.account("5.00");
    let response = stage.app.messages(&refused, &json_body());
    response.expect_error(500, "api_error");
    assert_eq!(stage.upstream.count(), 1, "nothing was dispatched");
    let row = stage.app.only_row(&refused);
    assert_eq!((row.ending.code(), row.cost_nanousd.as_nanos()), ("E14", 0), "{row:#?}");
    assert_eq!(stage.app.balance(&refused).available, 5_000_000_000);

    exchange.chunk([sse::block_stop(), sse::end(200), sse::message_stop()].concat()).end_chunks();
    answer.finish().expect_ok();
    stage.reported("E1", 1000, 200);
    assert!(stage.app.metric("sluice_exchanges_total{ending=\"E14\"}") == 1);
}

#[test]
fn e14_a_panic_while_nobody_listens_costs_the_checkpoint() {
    let stage = Stage::with(|builder| {
        builder
            .set("stream.client_gone", "\"drain\"")
            .change(|settings| settings.stream.drain_max = Duration::MAX)
    });
    let (exchange, answer) = stage.begun("Half");
    checkpoint(&stage, 1);
    answer.leave();
    exchange.wait_until_left();
    let row = stage.row("E14");
    assert_eq!((row.input_tokens, row.output_tokens), (1000, 1), "{row:#?}");
}
