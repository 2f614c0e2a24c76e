//! The program on the command line: exit codes, words for people, JSON for programs.

use serde_json::{Value, json};
use sluice::db::models::usage_logs;

use crate::support::app::{Builder, CREDENTIAL, TestApp};
use crate::support::client::{Connection, Request};
use crate::support::desk::Cli;
use crate::support::process::{Process, run};
use crate::support::sandbox::{body, sandbox};
use crate::support::sse;
use crate::support::upstream::Upstream;

const UPSTREAM: &str = "[[upstreams]]\nname = \"a\"\nbase_url = \"https://api.example.com\"\n\
    credential_env = \"KEY\"\n";

/// Text, line, key, part of the reason.
const MISTAKES: [(&str, usize, &str, &str); 13] = [
    ("[server]\nmax_stream = 5\n", 2, "server.max_stream", "did you mean \"max_streams\"?"),
    ("[sever]\nx = 1\n", 1, "sever", "did you mean \"server\"?"),
    ("[server]\nlisten = \"0.0.0.0:80\"\n", 2, "server.listen", "behind_tls_proxy"),
    ("\n\n[server]\ndrain_secs = -1\n", 4, "server.drain_secs", "from 0 to"),
    ("[database]\nurl = \"mysql://u:sk-canary@h/d\"\n", 2, "database.url", "sqlite://"),
    (
        "[database]\nurl = \"postgres://u:sk-canary@db.example.org/d\"\n",
        2,
        "database.url",
        "verify-full",
    ),
    ("[stream]\nclient_gone = \"sometimes\"\n", 2, "stream.client_gone", "must be"),
    ("[stream]\nhold_head_max_secs = 500\n", 2, "stream.hold_head_max_secs", "above"),
    (
        "[accounts]\nfailed_logins_max_from_all = 9\n",
        2,
        "accounts.failed_logins_max_from_all",
        "must not be below failed_logins_max",
    ),
    ("[limits]\nbody_bytes = \"big\"\n", 2, "limits.body_bytes", "whole number"),
    ("[pricing]\nmarkup = 1.5\n", 2, "pricing.markup", "in quotes"),
    ("[log]\nfilter = \"sluice=loud\"\n", 2, "log.filter", "must be a level"),
    ("[site]\nsupport_email = \"nobody\"\n", 2, "site.support_email", "email"),
];

#[test]
fn a_mistake_in_the_settings_is_named_with_file_line_key_and_reason_and_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.toml");
    let path = file.to_str().unwrap();
    for (text, line, key, reason) in MISTAKES {
        std::fs::write(&file, format!("{text}{UPSTREAM}")).unwrap();
        for args in [["config", "check", path], ["serve", "--config", path]] {
            let ran = run(&args, &[("KEY", "sk-canary")]);
            assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{text}: {}", ran.err);
            let place = format!("{path}:{line}: {key}: ");
            assert!(ran.err.contains(&place), "{text}\nwanted {place}\nfound {}", ran.err);
            assert!(ran.err.contains(reason), "{text}\n{}", ran.err);
            assert!(!ran.err.contains("sk-canary"), "{}", ran.err);
        }
    }
}

#[test]
fn a_missing_secret_upstream_or_file_is_exit_2_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, UPSTREAM).unwrap();
    let ran = run(&["config", "check", path], &[]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains(":4: upstreams[0].credential_env: ") && ran.err.contains("KEY"));
    assert_eq!(run(&["config", "check", path], &[("KEY", "x")]).code, 0);
    let ran = run(&["config", "check", path], &[("KEY", "x"), ("SLUICE__SERVER__LISTEN", "x")]);
    assert!(ran.code == 2 && ran.err.contains("SLUICE__SERVER__LISTEN: server.listen: "));
    std::fs::write(&file, "[server]\n").unwrap();
    let ran = run(&["serve", "--config", path], &[]);
    assert!(ran.code == 2 && ran.err.contains("upstreams: is missing"), "{}", ran.err);
    let ran = run(&["serve", "--config", "/nowhere/sluice.toml"], &[]);
    assert!(ran.code == 2 && ran.err.contains("/nowhere/sluice.toml: "), "{}", ran.err);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.toml");
    std::fs::write(&file, "[server]\nlisten = \"x\"\nworkers = \"y\"\nz = 1\n").unwrap();
    let ran = run(&["config", "check", file.to_str().unwrap()], &[]);
    for key in [":2: server.listen: ", ":3: server.workers: ", ":4: server.z: ", "upstreams: "] {
        assert!(ran.err.contains(key), "{}", ran.err);
    }
}

#[test]
fn arguments_that_make_no_sense_are_exit_2_and_help_is_0() {
    for args in
        [&["nonsense"][..], &["account"], &["account", "credit", "a", "x", "--reference", "r"], &[]]
    {
        assert_eq!(run(args, &[]).code, 2, "{args:?}");
    }
    for args in [&["--help"][..], &["--version"], &["serve", "--help"], &["sandbox", "--help"]] {
        let ran = run(args, &[]);
        assert!(ran.code == 0 && !ran.out.is_empty(), "{args:?}");
    }
}

#[test]
fn settings_are_shown_without_their_secrets() {
    let builder = Builder::new().upstream("primary", Upstream::nowhere());
    let file = builder.write();
    let ran = run(&["config", "show", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("max_streams = 1000") && ran.out.contains("********"));
    assert!(!ran.out.contains(CREDENTIAL));
}

#[test]
fn a_first_account_is_opened_credited_and_given_a_key() {
    let desk = Cli::new();
    let ran = desk.run(&["migrate"]);
    assert!(ran.code == 0 && ran.out.contains("up to date"), "{}", ran.err);
    let account = desk.json(&["account", "create", "Ada@Example.org"]);
    assert_eq!(
        (&account["email"], &account["status"]),
        (&"ada@example.org".into(), &"active".into())
    );
    assert_eq!((&account["available"], &account["reserved"]), (&"0.00".into(), &"0.00".into()));
    let id = account["id"].as_str().unwrap();
    assert!(id.starts_with("acct_"), "{id}");
    assert!(desk.refused(&["account", "create", "ada@example.org"]).contains("already"));
    desk.refused(&["account", "create", "not an address"]);

    let credited = desk.json(&["account", "credit", id, "12.5", "--reference", "invoice 1"]);
    assert_eq!(credited["available"], "12.50");
    // The same reference never counts twice, and says so.
    let twice = desk.refused(&["account", "credit", id, "12.5", "--reference", "invoice 1"]);
    assert!(twice.contains("already used"), "{twice}");
    let taken = desk.json(&[
        "account",
        "credit",
        "ADA@example.org",
        "-0.000000001",
        "--reference",
        "a nano",
    ]);
    assert_eq!(taken["available"], "12.499999999");
    desk.refused(&["account", "credit", "nobody@example.org", "1", "--reference", "r"]);
    desk.refused(&["account", "credit", id, "1", "--reference", " "]);
    // It would look like one that counts already, and count again.
    desk.refused(&["account", "credit", id, "1", "--reference", "first\u{200b}"]);

    let key = desk.json(&["key", "create", id, "--name", "laptop"]);
    let (key_id, plain) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    assert!(plain.starts_with("sluice_") && plain.len() == 56);
    let listed = desk.json(&["key", "list", id]);
    assert_eq!((&listed[0]["id"], &listed[0]["name"]), (&key["id"], &"laptop".into()));
    assert!(listed[0]["revoked_at"].is_null());
    assert!(!desk.run(&["key", "list", id]).out.contains(plain), "a key is shown once");
    assert!(desk.run(&["key", "revoke", key_id]).out.contains("is revoked"));
    assert!(desk.run(&["key", "revoke", key_id]).out.contains("already"));
    assert!(desk.json(&["key", "list", id])[0]["revoked_at"].is_string());
    desk.refused(&["key", "revoke", "key_nobody"]);
    desk.refused(&["key", "create", id, "--name", ""]);

    limits_of_a_key(&desk, id);
    let all = desk.json(&["account", "list"]);
    assert_eq!(all.as_array().unwrap().len(), 1);
    let shown = desk.json(&["account", "show", id]);
    assert_eq!(
        (&shown["available"], &shown["usage"]),
        (&"12.499999999".into(), &Value::Array(vec![]))
    );
    let table = desk.run(&["account", "show", id]);
    assert!(table.out.contains("12.499999999 USD"), "{}", table.out);
    let books = desk.json(&["books", "verify"]);
    assert_eq!((&books["balanced"], &books["entries"]), (&true.into(), &2.into()));
}

/// An operator's way to the limits of a key.
fn limits_of_a_key(desk: &Cli, account: &str) {
    let limits =
        ["--models", "claude-haiku-4-5-20251001,claude-sonnet-4-6", "--monthly-budget", "5"];
    let created = desk.json(&[&["key", "create", account][..], &limits].concat());
    assert_eq!(created["scopes"], json!(["inference"]), "unless more is said");
    let id = created["id"].as_str().unwrap();
    assert_eq!(created["models"], json!(["claude-haiku-4-5", "claude-sonnet-4-6"]));
    assert_eq!((&created["monthly_budget"], &created["state"]), (&json!("5.00"), &json!("active")));
    let changes = [
        "--scopes",
        "billing, read",
        "--monthly-budget",
        "none",
        "--total-budget",
        "0",
        "--max-streams",
        "3",
        "--requests-per-minute",
        "60",
    ];
    let limited =
        desk.json(&[&["key", "limit", id][..], &changes, &["--expires-at", "2999-12-31"]].concat());
    let limited = &limited[0];
    assert_eq!(
        (&limited["monthly_budget"], &limited["total_budget"]),
        (&Value::Null, &json!("0.00"))
    );
    assert_eq!((&limited["max_streams"], &limited["state"]), (&json!(3), &json!("paused")));
    assert_eq!(limited["scopes"], json!(["read", "billing"]));
    assert_eq!(limited["models"], created["models"], "what is not named stays");
    assert_eq!(limited["expires_at"], "2999-12-31T00:00:00.000Z");
    let table = desk.run(&["key", "list", account]).out;
    assert!(table.contains("paused (total budget)") && table.contains("3 at once"), "{table}");
    desk.refused(&["key", "limit", id, "--models", "nothing"]);
    desk.refused(&["key", "limit", id, "--expires-at", "2020-01-01"]);
    assert_eq!(desk.run(&["key", "limit", id, "--scopes", "write"]).code, 2);
    desk.refused(&["key", "limit", "key_nobody", "--max-streams", "1"]);
    desk.run(&["key", "revoke", id]);
    desk.refused(&["key", "limit", id, "--max-streams", "1"]);
}

#[test]
fn books_that_do_not_balance_are_exit_1() {
    use diesel::RunQueryDsl;
    let desk = Cli::new();
    desk.json(&["account", "create", "ada@example.org"]);
    let mut conn = desk.database().connect();
    diesel::sql_query("UPDATE accounts SET available_nanousd = 5").execute(&mut conn).unwrap();
    let ran = desk.run(&["books", "verify"]);
    assert!(ran.code == 1 && ran.out.contains("NOT balance"), "{}", ran.out);
    let ran = desk.run(&["books", "verify", "--json"]);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &document["balanced"]), (1, &false.into()));
    assert_eq!(document["discrepancies"][0]["found"], 5);
}

#[test]
fn commands_work_beside_a_running_server() {
    let app = TestApp::sandboxed();
    let file = app.folder().join("sluice.toml");
    let desk = |args: &[&str]| run(&[args, &["--config", file.to_str().unwrap()]].concat(), &[]);
    let account = desk(&["account", "create", "ada@example.org", "--json"]).json();
    let id = account["id"].as_str().unwrap();
    assert_eq!(desk(&["account", "credit", id, "1", "--reference", "first"]).code, 0);
    let key = desk(&["key", "create", id, "--json"]).json();
    let key = key["key"].as_str().unwrap();
    let request = Request::post("/v1/messages", body(sse::MODEL, true, "text")).key(key);
    app.ask(&request).expect_ok();
    let shown = desk(&["account", "show", id, "--json"]).json();
    let usage = &shown["usage"][0];
    assert_eq!((&usage["ending"], &usage["http_status"]), (&"E1".into(), &200.into()));
    let (cost, left): (f64, f64) = (
        usage["cost"].as_str().unwrap().parse().unwrap(),
        shown["available"].as_str().unwrap().parse().unwrap(),
    );
    assert!(cost > 0.0 && left < 1.0);
    assert_eq!(desk(&["books", "verify"]).code, 0);
}

#[test]
fn a_server_stops_in_order_at_sigterm_and_at_once_at_the_second() {
    let upstream = Upstream::start();
    let builder =
        Builder::new().upstream("primary", upstream.address).set("server.drain_secs", 600);
    let mut process = Process::start(builder, &[]);
    let account = crate::support::app::open_account(&mut process.database.connect(), "1.00");
    let request = Request::post("/v1/messages", body(sse::MODEL, true, "text")).key(&account.key);
    let connection = Connection::open(process.address).send(&request);
    let mut exchange = upstream.next();
    exchange.stream_head().chunk(sse::start());
    let mut answer = connection.answer(false);
    answer.read_until("message_start");
    process.signal("TERM");
    crate::support::wait::eventually("the first word", || {
        process.log().contains("no new work").then_some(())
    });
    process.signal("TERM");
    let response = answer.finish();
    assert!(response.text().contains("event: error"), "{}", response.text());
    assert_eq!(process.wait(), Some(0), "{}", process.log());
    crate::support::app::verify_books(&mut process.database.connect());
}

#[test]
fn a_killed_server_is_settled_by_the_next_one() {
    let upstream = Upstream::start();
    let builder = Builder::new().upstream("primary", upstream.address);
    let mut process = Process::start(builder, &[]);
    let account = crate::support::app::open_account(&mut process.database.connect(), "1.00");
    let request = Request::post("/v1/messages", body(sse::MODEL, true, "text")).key(&account.key);
    let connection = Connection::open(process.address).send(&request);
    let mut exchange = upstream.next();
    exchange.stream_head().chunk([sse::start(), sse::text("words")].concat());
    let mut answer = connection.answer(false);
    answer.read_until("words");
    let is_kept = |conn: &mut sluice::db::AnyConnection| {
        use diesel::prelude::*;
        use sluice::db::schema::reservations::dsl;
        let records: Vec<String> = dsl::reservations.select(dsl::record).load(conn).unwrap();
        records.len() == 1 && records[0].contains("\"input_tokens\":1000")
    };
    crate::support::wait::eventually("the checkpoint", || {
        is_kept(&mut process.database.connect()).then_some(())
    });
    process.signal("KILL");
    process.wait();
    assert_eq!(answer.finish().end, crate::support::client::End::Cut);
    // The same file, by hand, as an operator would start it again.
    let file = process.folder.path().join("sluice.toml");
    let settings = sluice::config::load(&sluice::config::Sources { file: Some(file), env: vec![] });
    let stop = sluice::app::ShutdownSignals::default();
    let later = sluice::domain::clock::Clock::System;
    // On PostgreSQL the dead node's lease has to run out and be forgotten first.
    if process.database.is_postgres() {
        use diesel::connection::SimpleConnection as _;
        process.database.connect().batch_execute("DELETE FROM nodes").unwrap();
    }
    let settings = std::sync::Arc::new(settings.unwrap());
    let (thread, started) = crate::support::app::serve(settings, later, stop.clone());
    started.unwrap();
    let mut conn = process.database.connect();
    let rows = crate::support::wait::eventually("the row", || {
        Some(usage_logs::latest(&mut conn, account.id, 10).unwrap()).filter(|rows| !rows.is_empty())
    });
    assert_eq!((rows.len(), rows[0].ending.code()), (1, "E12"));
    assert!(rows[0].cost_nanousd.as_nanos() >= crate::support::prices::haiku(1000, 1));
    stop.in_order.cancel();
    assert!(thread.join().unwrap());
    crate::support::app::verify_books(&mut conn);
}

#[test]
fn the_sandbox_runs_from_the_command_line() {
    // Its address is written whole or not at all; the rest is the sandbox's own tests.
    assert!(sandbox().port() > 0);
    let ran = run(&["sandbox", "--listen", "not an address"], &[]);
    assert_eq!(ran.code, 2);
}

#[test]
fn the_price_list_is_printed_for_people_and_for_programs() {
    let desk = Cli::new();
    let ran = desk.run(&["prices", "list"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let line = ran.out.lines().find(|line| line.contains("claude-fable-5-2")).unwrap();
    for part in ["2026-11-09", "8.00", "40.00", "10.00", "16.00", "0.20", "us 1.1", "fast 2"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let line = ran.out.lines().find(|line| line.contains("claude-sonnet-4-5")).unwrap();
    assert!(line.contains("2026-11-30"), "{line}");
    assert!(ran.out.contains("above 100000 tokens"), "{}", ran.out);

    let list = desk.json(&["prices", "list"]);
    let models = list["models"].as_array().unwrap();
    let sonnet = models.iter().find(|model| model["id"] == "claude-sonnet-5-5").unwrap();
    let periods = sonnet["periods"].as_array().unwrap();
    assert_eq!(periods.len(), 2);
    assert_eq!(periods[1]["from"], "2026-10-07");
    assert_eq!(periods[1]["per_million_tokens"]["cache_read"], "0.10");
    assert_eq!(periods[0]["per_million_tokens"]["cache_read"], "0.20");
    assert_eq!(
        (&periods[0]["is_in_force"], &periods[1]["is_in_force"]),
        (&json!(false), &json!(true))
    );
}

#[test]
fn a_price_list_is_compared_with_that_of_a_file() {
    let desk = Cli::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.toml");
    let path = file.to_str().unwrap();

    std::fs::write(&file, sluice::config::REFERENCE).unwrap();
    let same = desk.run(&["prices", "diff", path]);
    assert_eq!((same.code, same.out.as_str()), (0, "the lists are equal\n"), "{}", same.err);

    let dearer =
        sluice::config::REFERENCE.replacen("\ncache_read = \"0.20\"", "\ncache_read = \"0.40\"", 1);
    std::fs::write(&file, dearer).unwrap();
    let differs = desk.run(&["prices", "diff", path]);
    assert_eq!(differs.code, 1, "{}", differs.err);
    let rows: Vec<Vec<&str>> =
        differs.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(
        rows.contains(&vec!["claude-fable-5-2", "2026-11-09", "cache_read", "0.20", "0.40"]),
        "{}",
        differs.out
    );
    let ran = desk.run(&["prices", "diff", path, "--json"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    let expected = json!({ "is_same": false, "differences": [{ "model": "claude-fable-5-2",
        "from": "2026-11-09", "what": "cache_read", "ours": "0.20", "theirs": "0.40" }] });
    assert_eq!(document, expected);

    // The list in force is that of the operator's own file.
    let own = "[models.\"claude-fable-5-2\"]\nspeed = { fast = \"2.5\" }\n";
    let text = std::fs::read_to_string(&desk.file).unwrap();
    std::fs::write(&desk.file, format!("{text}{own}")).unwrap();
    std::fs::write(&file, sluice::config::REFERENCE).unwrap();
    let differs = desk.run(&["prices", "diff", path]);
    assert!(differs.code == 1 && differs.out.contains("speed.fast"), "{}", differs.out);

    for (text, words) in [
        ("[models", "other.toml"),
        ("[models.\"claude-opus-5\"]\nspeed = { fast = \"0\" }\n", "speed"),
        ("[models.\"claude-opus-5\"]\nprice = 1\n", "unknown key"),
    ] {
        std::fs::write(&file, text).unwrap();
        let broken = desk.run(&["prices", "diff", path]);
        assert_eq!((broken.code, broken.out.as_str()), (2, ""), "{text}");
        assert!(broken.err.contains(words), "{}", broken.err);
    }
    assert_eq!(desk.run(&["prices", "diff", "/nowhere.toml"]).code, 2);
}

#[test]
fn upstreams_are_listed_with_what_each_answers_now() {
    let (well, refusing, gone) = (Upstream::start(), Upstream::start(), Upstream::nowhere());
    refusing.answer_probes(Some((401, "no")));
    let builder = Builder::new()
        .upstream("well", well.address)
        .upstream("refusing", refusing.address)
        .upstream("gone", gone);
    let file = builder.write();
    let path = file.to_str().unwrap();
    let ran = run(&["--config", path, "upstream", "list", "--json"], &[]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    let said: Vec<_> = (0..3).map(|at| document[at]["now"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said, ["answers", "refuses the credential", "does not answer"]);
    assert!(!ran.out.contains(CREDENTIAL));
    let ran = run(&["--config", path, "upstream", "list"], &[]);
    assert!(ran.out.contains("refuses the credential"), "{}", ran.out);
    assert_eq!((well.count(), well.probes()), (0, 2));
}
