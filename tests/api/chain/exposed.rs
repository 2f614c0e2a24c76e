//! `docs/metrics.md` beside what a running server shows: all of the one is in the other. On a
//! server that has everything there is a metric of, among it a chain.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sluice::jobs::figures::Figures;
use sluice::jobs::job::RunJob;
use sluice::jobs::purge::Purge;

use crate::support::app::Builder;
use crate::support::client::Request;
use crate::support::deposits::{Mint, Shop, USDC};
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::{Upstream, message};
use crate::support::wait::eventually;

/// Nano-dollars in one dollar.
const DOLLAR: u64 = 1_000_000_000;

/// Names with their types, as the page has them.
fn documented() -> BTreeMap<String, String> {
    let page = include_str!("../../../docs/metrics.md");
    let rows = page.split("| metric |").nth(1).unwrap().lines().skip(2);
    let rows = rows.filter_map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        Some((cells.next()?.trim_matches('`').to_owned(), cells.next()?.to_owned()))
    });
    rows.collect()
}

/// The same of what a server shows, and of each all names of its labels.
fn exposed(text: &str) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let types = types.map(|line| line.split_once(' ').unwrap());
    let values = text.lines().filter(|line| !line.starts_with('#'));
    let labels = values.filter_map(|line| line.split_once('{')).flat_map(|(_, rest)| {
        let labels = rest.rsplit_once('}').unwrap().0.split("\",");
        labels.map(|label| label.split('=').next().unwrap().to_owned()).collect::<Vec<_>>()
    });
    (types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect(), labels.collect())
}

#[test]
fn a_running_server_shows_every_documented_metric_and_no_other() {
    let upstream = Upstream::start();
    let address = format!("http://{}", upstream.address);
    let mint = Mint::open();
    // The second is not asked for answers, but for a usage report, in vain.
    let builder = Builder::new()
        .upstream_with("limited", &address, "max_streams = 9\n")
        .upstream_with("reported", "http://127.0.0.1:1", "report_credential = \"r\"\n");
    let server = builder.section(&mint.toml("")).start();
    let shop = Shop::of(server, mint);
    let app = &shop.app;
    let account = shop.holder_of(1);
    let paid = shop.pay_usdc(1, 30 * USDC);
    shop.finalize();
    shop.credited(paid);
    shop.well();

    let connection = app.send(&account, &body(sse::MODEL, true, "text"));
    let mut exchange = upstream.next();
    exchange.stream_head().chunk(sse::start());
    eventually("the stream", || (app.metric("sluice_open_streams") == 1).then_some(()));
    assert_eq!(app.metric("sluice_upstream_open{upstream=\"limited\"}"), 1);
    assert_eq!(app.metric("sluice_holds"), 1);
    let held = app.metric("sluice_held_nanousd");
    assert_eq!(i64::try_from(held).unwrap(), app.balance(&account).reserved);
    exchange.chunk([sse::end(3), sse::message_stop()].concat()).end_chunks();
    connection.answer(false).finish().expect_ok();
    let connection = app.send(&account, &body(sse::MODEL, false, "text"));
    upstream.next().answer_json(&message(&json!({ "input_tokens": 7, "output_tokens": 9 })));
    connection.answer(false).finish().expect_ok();
    app.ask(&Request::post("/v1/messages", "{")).expect_error(401, "authentication_error");

    // What is kept for 90 days goes.
    app.clock.advance(100 * 24 * 60 * 60 * 1000);
    app.scheduler.try_send(RunJob::of::<Purge>()).unwrap();
    eventually("the purge", || (app.metric("sluice_purged_rows_total") > 0).then_some(()));
    let (shown, labels) = exposed(&app.admin("/metrics").text());
    assert_eq!(shown, documented());
    let personal = ["account", "key", "address", "email", "path", "request_id", "id", "ip"];
    assert!(personal.iter().all(|name| !labels.contains(*name)), "{labels:?}");

    let of = |line: &str| app.metric(line);
    assert_eq!(of("sluice_holds") + of("sluice_held_nanousd") + of("sluice_open_streams"), 0);
    let model = |kind: &str| {
        let model = sse::MODEL;
        of(&format!("sluice_tokens_total{{kind=\"{kind}\",model=\"{model}\"}}"))
    };
    assert_eq!((model("input"), model("output")), (1007, 12));
    let spent = 30 * DOLLAR - u64::try_from(app.balance(&account).available).unwrap();
    assert_eq!(of("sluice_model_billed_nanousd_total"), spent);
    let ended = "sluice_upstream_exchanges_total{ending=\"E1\",upstream=\"limited\"}";
    assert_eq!((of(ended), of("sluice_first_byte_seconds_count")), (2, 2));
    assert_eq!(of("sluice_stream_gap_seconds_count"), 1);
    app.scheduler.try_send(RunJob::of::<Figures>()).unwrap();
    let credited = "sluice_deposits{chain=\"base\",state=\"credited\"}";
    eventually("the sums", || (of(credited) == 1).then_some(()));
}
