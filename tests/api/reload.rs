//! Settings that are read again while requests run: what is in order counts from the next request
//! on, what is not changes nothing, and nobody's request notices.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::alerting::Watched;
use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Connection, Request, Response};
use crate::support::prices::haiku;
use crate::support::process::{Process, run};
use crate::support::sandbox::{body, sandbox};
use crate::support::sse::{self, MODEL};
use crate::support::upstream::{Upstream, message};
use crate::support::wait::eventually;

const DOUBLE: &str = "pricing.markup = \"2\"\n";

/// The settings with a line before all of them.
fn led_by(line: &str) -> impl Fn(&str) -> String {
    move |text: &str| format!("{line}{text}")
}

fn keys(response: &Response, name: &str) -> Vec<String> {
    serde_json::from_value(response.expect_ok().json()[name].clone()).unwrap()
}

/// What one more call costs, of 1,000 tokens in and 200 out.
fn cost_of_a_call(app: &TestApp, upstream: &Upstream) -> i64 {
    let account = app.account("50.00");
    let connection = app.send(&account, &body(MODEL, false, "text"));
    let usage = json!({ "input_tokens": 1000, "output_tokens": 200 });
    upstream.next().answer_json(&message(&usage));
    connection.answer(false).finish().expect_ok();
    app.only_row(&account).cost_nanousd.as_nanos()
}

#[test]
fn a_request_is_charged_by_the_prices_under_which_it_was_admitted() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let connection = app.send(&account, &body(MODEL, true, "text"));
    let exchange = upstream.next();
    assert_eq!(keys(&app.reload(led_by(DOUBLE)), "applied"), ["pricing.markup"]);
    assert_eq!(cost_of_a_call(&app, &upstream), 2 * haiku(1000, 200));
    exchange.answer_stream(&sse::whole("Hello"));
    connection.answer(false).finish().expect_ok();
    assert_eq!(app.only_row(&account).cost_nanousd.as_nanos(), haiku(1000, 200));
    let page = app.ask(&Request::get("/api/v1/prices")).json();
    assert!(page.to_string().contains("\"2.00"), "{page}");
}

#[test]
fn a_file_that_is_not_in_order_changes_nothing_and_says_where() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let watched = Watched::new(app.admin_address);
    let wrong = "pricing.markup = 1.5\nlimits.body_byte = 1\n";
    let refusal = app.reload(led_by(wrong));
    assert_eq!(refusal.status, 422, "{}", refusal.text());
    let problems = refusal.json()["problems"].clone();
    let lines: Vec<String> = serde_json::from_value(problems).unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("sluice.toml:1: pricing.markup"), "{lines:?}");
    assert!(lines[1].contains("sluice.toml:2: limits.body_byte"), "{lines:?}");
    let torn = app.reload(|text| text.replacen('=', "", 3));
    assert_eq!(torn.status, 422);
    assert!(torn.text().contains("sluice.toml:1:"), "{}", torn.text());
    assert_eq!(cost_of_a_call(&app, &upstream), haiku(1000, 200));
    assert_eq!(app.metric("sluice_settings_reloads_total{outcome=\"refused\"}"), 2);
    watched.fires(&["SluiceSettingsRefused"]);
    // The next one that is in order is taken up.
    app.reload(led_by(DOUBLE)).expect_ok();
    assert_eq!(app.metric("sluice_settings_refused"), 0);
    assert_eq!(cost_of_a_call(&app, &upstream), 2 * haiku(1000, 200));
}

#[test]
fn upstreams_come_and_go_and_what_runs_on_one_that_goes_ends_there() {
    let (before, after) = (Upstream::start(), Upstream::start());
    let app = TestApp::with(&before);
    let account = app.account("5.00");
    let connection = app.send(&account, &body(MODEL, true, "text"));
    let exchange = before.next();
    let moved =
        app.reload(|text| text.replace(&before.address.to_string(), &after.address.to_string()));
    assert_eq!(keys(&moved, "applied"), ["upstreams[primary].base_url"]);
    assert_eq!(cost_of_a_call(&app, &after), haiku(1000, 200));
    exchange.answer_stream(&sse::whole("Hello"));
    assert_eq!(connection.answer(false).finish().text(), sse::whole("Hello"));
    app.settled(&account, 1);
    assert_eq!(before.count(), 1);
    // And another name, with another credential.
    let renamed =
        app.reload(|text| text.replace("\"primary\"", "\"second\"").replace("71c3", "changed"));
    assert!(keys(&renamed, "applied").contains(&"upstreams[second].name".to_owned()));
    let connection = app.send(&account, &body(MODEL, false, "text"));
    let exchange = before.next();
    assert_eq!(exchange.request.header("x-api-key"), Some("sk-operator-credential-changed"));
    exchange.answer_json(&message(&json!({ "input_tokens": 1000, "output_tokens": 200 })));
    connection.answer(false).finish().expect_ok();
}

#[test]
fn an_upstream_that_stays_as_it_was_keeps_its_rest_and_one_that_was_mended_does_not() {
    const RESTING: &str = "sluice_upstream_resting{upstream=\"primary\"}";
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    upstream.answer_probes(Some((401, "{}")));
    let account = app.account("5.00");
    let connection = app.send(&account, &body(MODEL, false, "text"));
    upstream.next().refuse(401, "{}");
    connection.answer(false).finish().expect_error(503, "api_error");
    eventually("the rest", || (app.metric(RESTING) == 1).then_some(()));
    app.reload(led_by(DOUBLE)).expect_ok();
    app.messages(&account, &body(MODEL, false, "text")).expect_error(503, "api_error");
    assert_eq!((app.metric(RESTING), upstream.count()), (1, 1));
    app.reload(|text| text.replace("71c3", "mended")).expect_ok();
    assert_eq!(app.metric(RESTING), 0);
    assert_eq!(cost_of_a_call(&app, &upstream), haiku(1000, 200));
}

#[test]
fn limits_and_words_count_from_the_next_request_on_and_the_rest_is_named() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let name = |name: &str| app.ask(&Request::get("/")).text().contains(name);
    assert!(name("Sluice</title>") && !name("Weir"));
    let response = app.reload(|text| {
        let text = text.replace(
            "requests_per_minute_per_account = 100000",
            "requests_per_minute_per_account = 2",
        );
        let text = text.replace("server.workers = 2", "server.workers = 1");
        format!("site.name = \"Weir\"\nlimits.body_bytes = 1024\n{text}")
    });
    assert_eq!(
        keys(&response, "applied"),
        ["limits.body_bytes", "server.requests_per_minute_per_account", "site.name"]
    );
    assert_eq!(keys(&response, "waiting_for_restart"), ["server.workers"]);
    assert!(name("Weir</title>") && !name("Sluice</title>"));
    let long = body(MODEL, false, &"text ".repeat(500));
    app.messages(&account, &long).expect_error(413, "request_too_large");
    app.messages(&account, &long).expect_error(413, "request_too_large");
    app.messages(&account, &long).expect_error(429, "rate_limit_error");
}

#[test]
fn a_page_that_a_reload_changes_is_held_against_the_published_version() {
    let app = TestApp::with(&Upstream::start());
    let config = app.folder().join("sluice.toml");
    let words = app.folder().join("words.txt");
    std::fs::write(&words, "The first version.").unwrap();
    let (config, words) = (config.to_str().unwrap(), words.to_str().unwrap());
    let ran = run(&["--config", config, "policy", "publish", words], &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let differs = || app.metric("sluice_policy_differs{policy=\"privacy\"}");
    app.clock.advance(60 * 86_400_000);
    eventually("the check", || {
        app.admin("/metrics").text().contains("policy_differs{").then_some(())
    });
    assert_eq!(differs(), 0);
    app.reload(led_by("site.operator = \"Somebody else\"\n")).expect_ok();
    eventually("the difference", || (differs() == 1).then_some(()));
}

#[test]
fn no_page_of_a_browser_has_the_settings_read_again() {
    let app = TestApp::with(&Upstream::start());
    let request = Request::post("/reload", "").header("origin", "https://evil.example");
    let response = Connection::open(app.admin_address).ask(&request).finish();
    assert_eq!(response.status, 403);
    assert_eq!(app.metric("sluice_settings_reloads_total"), 0);
}

/// Streams one after the other until told to stop; how many there were.
fn stream_on(app: &TestApp, account: &Account, is_over: &AtomicBool) -> usize {
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        let response = app.messages(account, &body(MODEL, true, "text"));
        assert!(response.expect_ok().text().contains("message_stop"), "{}", response.text());
        count += 1;
    }
    count
}

#[test]
fn a_hundred_reloads_under_load_drop_no_stream_and_charge_no_wrong_price() {
    let app = &Builder::new().upstream("sandbox", sandbox()).start();
    let accounts: Vec<Account> = (0..4).map(|_| app.account("50.00")).collect();
    let is_over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = |account| scope.spawn(move || stream_on(app, account, is_over));
        let loads: Vec<_> = accounts.iter().map(load).collect();
        for round in 0..50 {
            let markup = if round % 2 == 0 { DOUBLE } else { "" };
            app.reload(led_by(markup)).expect_ok();
            let refused = app.reload(led_by("pricing.markup = \"none\"\n"));
            assert!(refused.status == 422 && refused.text().contains("sluice.toml:1:"));
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(loads.into_iter().map(|load| load.join().unwrap()).sum::<usize>() > 20);
    });
    // Every stream is the same, so that its cost is one of two.
    let mut costs: Vec<i64> = accounts
        .iter()
        .flat_map(|account| app.usage(account))
        .map(|row| row.cost_nanousd.as_nanos())
        .collect();
    costs.sort_unstable();
    costs.dedup();
    assert_eq!(costs, [costs[0], 2 * costs[0]]);
    assert_eq!(app.metric("sluice_settings_reloads_total{outcome=\"applied\"}"), 50);
}

#[test]
fn a_signal_and_a_command_have_the_program_read_its_file_again() {
    let upstream = Upstream::start();
    let builder = Builder::new().upstream("primary", upstream.address);
    let process = Process::start(builder, &[]);
    let text = std::fs::read_to_string(&process.config).unwrap();
    let reload = |lines: &str| {
        std::fs::write(&process.config, format!("{lines}{text}")).unwrap();
        let admin = process.admin_address.to_string();
        let config = process.config.to_str().unwrap();
        run(&["reload", "--config", config, "--address", &admin], &[])
    };
    let ran = reload("log.filter = \"warn\"\nserver.client_stall_secs = 77\n");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "applied: log.filter\nneeds a restart: server.client_stall_secs\n"),
        "{}",
        ran.err
    );
    let refused = reload("log.filter = 7\n");
    assert_eq!(refused.code, 1);
    assert!(refused.out.contains("sluice.toml:1: log.filter"), "{}", refused.out);
    // From `warn` on nothing of the next one is in the log, and from `info` on the one after it.
    std::fs::write(&process.config, &text).unwrap();
    process.signal("HUP");
    eventually("the signal", || process.log().contains("applied=\"log.filter\"").then_some(()));
    let nobody = run(&["reload", "--address", "127.0.0.1:1"], &[]);
    assert_eq!(nobody.code, 1);
    assert!(nobody.err.contains("server.admin_listen"), "{}", nobody.err);
}
