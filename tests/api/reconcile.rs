//! What the usage log says of a day is compared with the upstream's usage report, over real HTTP:
//! by the command line, and by the server itself.

use std::sync::{Arc, Mutex};

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::db::AnyConnection;
use sluice::db::models::chores;
use sluice::db::schema::{api_keys, usage_logs, usage_passes};
use sluice::domain::clock::{Clock, UnixMillis, UtcDay};
use sluice::jobs::job::{Job, RunJob};
use sluice::jobs::reconcile::Reconcile;

use crate::support::alerting::Watched;
use crate::support::app::{Builder, TestApp, open_account};
use crate::support::process::{Ran, run};
use crate::support::sandbox::body;
use crate::support::sse::MODEL;
use crate::support::upstream::{Upstream, json_response, message};
use crate::support::usage_rows;
use crate::support::wait::eventually;

const ADMIN_KEY: &str = "sk-admin-of-the-operator-55e1";
const HOUR: i64 = 60 * 60 * 1000;

/// What the report server answers, question by question; the last answer stays.
type Answers = Arc<Mutex<Vec<Option<(u16, String)>>>>;

/// An upstream that answers messages, and questions for its report as told; with the questions.
fn report_server() -> (Upstream, Answers, Arc<Mutex<Vec<String>>>) {
    let mut upstream = Upstream::start();
    let (answers, asked) = (Answers::default(), Arc::<Mutex<Vec<String>>>::default());
    let (told, noted) = (Arc::clone(&answers), Arc::clone(&asked));
    upstream.answer_all(move |mut exchange| {
        if exchange.request.line.starts_with("POST /v1/messages") {
            let usage = json!({ "input_tokens": 1000, "output_tokens": 50 });
            return exchange.answer_json(&message(&usage));
        }
        let key = exchange.request.header("x-api-key").unwrap();
        assert_eq!((key, exchange.request.header("authorization")), (ADMIN_KEY, None));
        assert_eq!(exchange.request.header("anthropic-version"), Some("2023-06-01"));
        noted.lock().unwrap().push(exchange.request.line.clone());
        let mut told = told.lock().unwrap();
        let answer = if told.len() > 1 { told.remove(0) } else { told[0].clone() };
        drop(told);
        match answer {
            Some((status, body)) => drop(exchange.try_send(json_response(status, &body))),
            None => exchange.wait_until_left(),
        }
    });
    (upstream, answers, asked)
}

/// The sums of one model: input, output, cache writes of 5 minutes and 1 hour, cache reads.
fn sums(model: &str, counts: [u64; 5]) -> Value {
    let [input, output, short, long, read] = counts;
    json!({
        "model": model, "uncached_input_tokens": input, "output_tokens": output,
        "cache_creation": {
            "ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long,
        },
        "cache_read_input_tokens": read, "server_tool_use": { "web_search_requests": 0 },
    })
}

fn page(day: UtcDay, results: &[Value], next: Option<&str>) -> String {
    let bucket = json!({
        "starting_at": format!("{day}T00:00:00Z"),
        "ending_at": format!("{}T00:00:00Z", day.plus(1)),
        "results": results,
    });
    json!({ "data": [bucket], "has_more": next.is_some(), "next_page": next }).to_string()
}

fn reporting(upstream: &Upstream) -> Builder {
    let lines = format!("report_credential = \"{ADMIN_KEY}\"\nreport_workspace = \"wrkspc_1\"");
    Builder::new()
        .set("reconcile.drift_min_tokens", 100)
        .set("reconcile.late_hours", 48)
        .set("reconcile.timeout_secs", 1)
        .upstream_with("primary", &format!("http://{}", upstream.address), &lines)
}

/// Requests of that day at the upstream: one plain, one that names a dated model, and one of two
/// passes of which one is free. Together: see [`all`].
fn spend(conn: &mut AnyConnection, day: UtcDay) {
    let account = open_account(conn, "10");
    let keys = api_keys::table.filter(api_keys::public_id.eq(&account.key_id));
    let key: i64 = keys.select(api_keys::id).first(conn).unwrap();
    let (begin, end) = (day.begin().as_millis(), day.plus(1).begin().as_millis());
    let moments = [("first", begin), ("dated", end - 1), ("passes", begin + 1)];
    for (id, at) in moments.into_iter().chain([("before", begin - 1), ("after", end)]) {
        usage_rows::insert(conn, &format!("{id}{}", day.number()), (account.id.0, key), at, 1);
    }
    let of_day = usage_logs::table.filter(usage_logs::id.like(format!("%{}", day.number())));
    let tokens = (
        usage_logs::upstream.eq("primary"),
        usage_logs::input_tokens.eq(10_000),
        usage_logs::output_tokens.eq(2_000),
        usage_logs::cache_write_5m_tokens.eq(3_000),
        usage_logs::cache_write_1h_tokens.eq(4_000),
        usage_logs::cache_read_tokens.eq(50_000),
    );
    diesel::update(of_day).set(tokens).execute(conn).unwrap();
    let dated = usage_logs::table.find(format!("dated{}", day.number()));
    let name = usage_logs::served_model.eq("claude-haiku-4-5-20251001");
    diesel::update(dated).set(name).execute(conn).unwrap();
    for (ordinal, model, waiver) in [(0, Some("claude-opus-5"), Some("declined")), (1, None, None)]
    {
        let row = (
            usage_passes::usage_id.eq(format!("passes{}", day.number())),
            usage_passes::ordinal.eq(ordinal),
            usage_passes::kind.eq(if ordinal == 0 { "attempt" } else { "answer" }),
            usage_passes::model.eq(model),
            usage_passes::input_tokens.eq(700),
            usage_passes::output_tokens.eq(300),
            usage_passes::cache_write_5m_tokens.eq(0),
            usage_passes::cache_write_1h_tokens.eq(0),
            usage_passes::cache_read_tokens.eq(0),
            usage_passes::waiver.eq(waiver),
            usage_passes::is_credit_redeemed.eq(false),
        );
        diesel::insert_into(usage_passes::table).values(row).execute(conn).unwrap();
    }
}

/// What [`spend`] comes to, under one name.
const fn all() -> [u64; 5] {
    [20_700, 4_300, 6_000, 8_000, 100_000]
}

/// A command beside a report server, and the days: one that may still be late, one that may not.
struct Desk {
    _builder: Builder,
    file: String,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
    _upstream: Upstream,
    new: UtcDay,
    old: UtcDay,
}

impl Desk {
    fn new() -> Self {
        let (upstream, answers, asked) = report_server();
        let builder = reporting(&upstream);
        let today = Clock::System.now().day();
        let (new, old) = (today.plus(-1), today.plus(-5));
        let mut conn = builder.migrated();
        spend(&mut conn, new);
        spend(&mut conn, old);
        let file = builder.write().to_str().unwrap().to_owned();
        Self { _builder: builder, file, answers, asked, _upstream: upstream, new, old }
    }

    fn run(&self, day: UtcDay, answers: &[Option<(u16, String)>]) -> Ran {
        self.asked.lock().unwrap().clear();
        *self.answers.lock().unwrap() = answers.to_vec();
        let day = day.to_string();
        let ran = run(&["--config", &self.file, "reconcile", "--json", "--day", &day], &[]);
        assert!(!ran.out.contains(ADMIN_KEY) && !ran.err.contains(ADMIN_KEY), "{}", ran.err);
        ran
    }

    /// The exit code, and the result of the one upstream.
    fn result(&self, day: UtcDay, answers: &[Option<(u16, String)>]) -> (i32, Value) {
        let ran = self.run(day, answers);
        let document: Value = serde_json::from_str(&ran.out)
            .unwrap_or_else(|error| panic!("{error}: {} {}", ran.out, ran.err));
        (ran.code, document[0].clone())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of several answers, of which some never come")]
fn ok(body: String) -> Option<(u16, String)> {
    Some((200, body))
}

#[test]
fn a_day_that_the_report_confirms_is_right_over_two_pages_and_names() {
    let desk = Desk::new();
    let [input, output, short, long, read] = all();
    let first = sums(MODEL, [input - 5_000, output, 0, long, read]);
    let second = sums("claude-haiku-4-5-20251001", [5_000, 0, short, 0, 0]);
    let answers =
        [ok(page(desk.old, &[first], Some("page_2+/="))), ok(page(desk.old, &[second], None))];
    let (code, result) = desk.result(desk.old, &answers);
    assert_eq!((code, result["result"].as_str()), (0, Some("right")), "{result}");
    assert_eq!(result["differences"], json!([]));
    let path = format!(
        "GET /v1/organizations/usage_report/messages?starting_at={}T00:00:00Z\
         &ending_at={}T00:00:00Z&bucket_width=1d&group_by%5B%5D=model\
         &workspace_ids%5B%5D=wrkspc%5F1",
        desk.old,
        desk.old.plus(1)
    );
    let asked = desk.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [format!("{path} HTTP/1.1"), format!("{path}&page=page%5F2%2B%2F%3D HTTP/1.1")]
    );
}

#[test]
fn a_day_is_late_missing_or_drifted_and_the_exit_code_says_so() {
    let desk = Desk::new();
    let [input, output, short, long, read] = all();
    let partial = [input / 2, output / 2, short, long, read];
    let more = [input, output + 1_000, short, long, read];
    let nothing = json!({ "data": [], "has_more": false, "next_page": null }).to_string();
    let cases = [
        (desk.new, ok(nothing.clone()), 0, "late"),
        (desk.new, ok(page(desk.new, &[sums(MODEL, partial)], None)), 0, "late"),
        (desk.new, ok(page(desk.new, &[sums(MODEL, more)], None)), 1, "drifted"),
        (desk.old, ok(nothing), 1, "missing"),
        (desk.old, ok(page(desk.old, &[sums(MODEL, partial)], None)), 1, "drifted"),
    ];
    for (day, answer, code, verdict) in cases {
        let (ended, result) = desk.result(day, std::slice::from_ref(&answer));
        assert_eq!(
            (ended, result["result"].as_str()),
            (code, Some(verdict)),
            "{answer:?} {result}"
        );
    }
    let unknown = [sums(MODEL, all()), sums("claude-unheard-of", [0, 0, 0, 101, 0])];
    let (code, result) = desk.result(desk.old, &[ok(page(desk.old, &unknown, None))]);
    let expected = json!([{
        "model": "claude-unheard-of", "class": "cache_write_1h", "ours": 0, "theirs": 101,
        "percent": "100.000",
    }]);
    assert_eq!((code, &result["differences"]), (1, &expected), "{result}");
}

#[test]
fn what_is_no_report_is_refused_with_a_reason_and_without_the_credential() {
    let desk = Desk::new();
    let day = desk.old;
    let nameless = json!({
        "model": null, "uncached_input_tokens": 1, "output_tokens": 1,
        "cache_creation": { "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0 },
        "cache_read_input_tokens": 0,
    });
    let negative = page(day, &[sums(MODEL, all())], None).replace("20700", "-1");
    let refusal = Some((401, format!("{{\"error\":\"{ADMIN_KEY} is bad\"}}")));
    let cases = [
        (vec![refusal], "refuses report_credential (status 401)"),
        (vec![Some((500, "no".to_owned()))], "status 500"),
        (vec![ok("<html>".to_owned())], "not the JSON that was expected"),
        (vec![ok("{}".to_owned())], "not the JSON that was expected"),
        (vec![ok(negative)], "not the JSON that was expected"),
        (vec![ok(page(day.plus(1), &[], None))], "another day"),
        (vec![ok(page(day, &[nameless], None))], "names no model"),
        (vec![ok(page(day, &[], Some("again")))], "more follows"),
        (vec![None], "reconcile.timeout_secs"),
    ];
    for (answers, words) in cases {
        let (code, result) = desk.result(day, &answers);
        let error = result["error"].as_str().unwrap();
        assert_eq!((code, result["result"].as_str()), (1, Some("missing")), "{words}");
        assert!(error.contains(words) && !error.contains("is bad"), "{error}");
    }
    // While a report may be late, a refusal is a failure of the command all the same.
    let (code, result) = desk.result(desk.new, &[Some((403, "no".to_owned()))]);
    assert_eq!((code, result["result"].as_str()), (1, Some("late")));
    let today = Clock::System.now().day();
    for (day, words) in [(today, "not over yet"), (today.plus(-4_000), "not in the usage log")] {
        let ran = desk.run(day, &[None]);
        assert!(ran.code == 1 && ran.err.contains(words), "{}", ran.err);
    }
    let shown = run(&["--config", &desk.file, "config", "show"], &[]);
    assert!(shown.out.contains("report_credential = \"********\""), "{}", shown.out);
    let file = Builder::new().upstream("primary", Upstream::nowhere());
    file.migrated();
    let ran = run(&["--config", file.write().to_str().unwrap(), "reconcile"], &[]);
    assert!(ran.code == 1 && ran.err.contains("report_credential_env"), "{}", ran.err);
}

/// Has the server look until it has asked so many times. It does not begin while it still ends its
/// last look, and within half an hour it asks once.
fn look(app: &TestApp, asked: &Mutex<Vec<String>>, count: usize) {
    eventually("the server to ask", || {
        app.scheduler.try_send(RunJob::of::<Reconcile>()).unwrap();
        (asked.lock().unwrap().len() == count).then_some(())
    });
}

fn compared_at(app: &TestApp) -> Option<i64> {
    app.db(|conn| chores::finished_at(conn, Reconcile::NAME).unwrap()).map(UnixMillis::as_millis)
}

#[test]
fn a_server_compares_each_day_once_and_tells_of_drift_and_of_what_is_missing() {
    let (upstream, answers, asked) = report_server();
    let tell = |answer: (u16, String)| *answers.lock().unwrap() = vec![Some(answer)];
    let alerts =
        |app: &TestApp, what: &str| app.metric(&format!("sluice_alerts_total{{what=\"{what}\"}}"));
    let nothing = json!({ "data": [], "has_more": false }).to_string();
    tell((200, nothing.clone()));
    let app = reporting(&upstream).start();
    // The day before has no usage on either side.
    eventually("the first day", || compared_at(&app));
    assert_eq!(asked.lock().unwrap().len(), 1);
    let account = app.account("10");
    assert_eq!(app.messages(&account, &body(MODEL, false, "text")).status, 200);
    app.settled(&account, 1);
    let day = app.clock.now().day();

    app.clock.advance(24 * HOUR);
    look(&app, &asked, 2);
    // Late: nothing is told, and within half an hour nobody asks again.
    app.clock.advance(HOUR);
    let watched = Watched::new(app.admin_address);
    tell((200, page(day, &[sums(MODEL, [1000, 250, 0, 0, 0])], None)));
    look(&app, &asked, 3);
    eventually("the drift", || (alerts(&app, "reconcile_drift") == 1).then_some(()));
    watched.fires(&["SluiceReconcileDrift"]);
    eventually("its end", || compared_at(&app).filter(|at| *at == app.clock.now().as_millis()));
    let gauge = "sluice_reconcile_drift_ratio{upstream=\"primary\"} 0.8";
    let metrics = app.admin("/metrics").text();
    assert!(metrics.contains(gauge), "{metrics}");
    let seconds = day.begin().as_millis() / 1000;
    let line = format!("sluice_reconcile_day_timestamp_seconds{{upstream=\"primary\"}} {seconds}");
    assert!(metrics.contains(&line), "{metrics}");

    // What has been compared is not asked for again.
    app.clock.advance(HOUR);
    app.scheduler.try_send(RunJob::of::<Reconcile>()).unwrap();
    let watched = Watched::new(app.admin_address);
    tell((503, "no".to_owned()));
    app.clock.advance(24 * HOUR);
    look(&app, &asked, 4);
    app.clock.advance(48 * HOUR);
    // Three days are open by now: the first is over, the others may still come.
    look(&app, &asked, 7);
    eventually("the alert", || (alerts(&app, "reconcile_missing") == 1).then_some(()));
    assert_eq!(alerts(&app, "reconcile_drift"), 1);
    watched.fires(&["SluiceReconcileMissing"]);
}
