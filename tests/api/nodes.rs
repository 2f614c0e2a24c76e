//! Who serves from a database, by the database's clock: `sluice node list`, and what nodes share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use serde_json::Value;
use sluice::app::ShutdownSignals;
use sluice::db::compatibility::{GENERATION, VERSION};
use sluice::db::schema::nodes;

use crate::support::app::{Account, Builder, open_account, serve};
use crate::support::client::{Connection, Request};
use crate::support::database::TestDatabase;
use crate::support::desk::Cli;
use crate::support::process::Process;
use crate::support::sandbox::{body, sandbox};
use crate::support::sse;
use crate::support::wait::within;

fn builder(name: &str) -> Builder {
    Builder::new()
        .upstream("sandbox", sandbox())
        .set("server.node_id", format!("\"{name}\""))
        .set("server.max_streams", 77)
        .set("server.max_streams_per_account", 77)
}

fn list(desk: &Cli) -> Vec<Value> {
    desk.json(&["node", "list"]).as_array().unwrap().clone()
}

#[test]
fn a_node_says_who_it_is_and_goes_from_the_list_when_it_stops() {
    let mut process = Process::start(builder("west"), &[]);
    let desk = Cli::at_database(&process.database.url);
    let found = list(&desk);
    assert_eq!(found.len(), 1, "{found:?}");
    let node = &found[0];
    assert!(node["id"].as_str().unwrap().starts_with("west_"), "{node}");
    assert_eq!((&node["version"], &node["generation"]), (&VERSION.into(), &GENERATION.into()));
    assert_eq!((&node["is_alive"], &node["lapses"]), (&true.into(), &0.into()));
    assert_eq!((&node["max_streams"], &node["open_exchanges"]), (&77.into(), &0.into()));
    assert_eq!(node["open_reservations"], 0);
    let left = node["lease_seconds"].as_i64().unwrap();
    assert!((0..=30).contains(&left), "{node}");
    assert!(node["drift_ms"].as_i64().unwrap().abs() < 5_000, "{node}");
    assert!(node["started_at"].is_string() && node["lease_expires_at"].is_string());
    let text = desk.run(&["node", "list"]).out;
    let header = ["clock ahead", "requests", "reservations"];
    for word in header.into_iter().chain(["west_", VERSION, "s left", "0 of 77", " ms"]) {
        assert!(text.contains(word), "{word}: {text}");
    }
    // Nothing of a machine's address.
    assert!(!text.contains("127.0.0.1"), "{text}");
    process.signal("TERM");
    assert_eq!(process.wait(), Some(0));
    assert!(list(&desk).is_empty());
}

#[test]
fn what_dead_and_older_nodes_left_is_listed_as_what_is_known_of_it() {
    let desk = Cli::new();
    assert_eq!(desk.run(&["migrate"]).code, 0);
    let mut conn = desk.database().connect();
    open_account(&mut conn, "5");
    // An older program's row has a name and a lease alone.
    let dead = (nodes::id.eq("dead_1"), nodes::lease_expires_at.eq(1_000));
    diesel::insert_into(nodes::table).values(dead).execute(&mut conn).unwrap();
    for (id, node) in [("req_1", "dead_1"), ("req_2", "gone_1"), ("req_3", "gone_1")] {
        let sql = format!(
            "INSERT INTO reservations (id, account_id, api_key_id, node_id, amount_nanousd,
                record, created_at)
             SELECT '{id}', account_id, id, '{node}', 0, '{{}}', 0 FROM api_keys"
        );
        conn.batch_execute(&sql).unwrap();
    }
    let found = list(&desk);
    assert_eq!(found.len(), 2, "{found:?}");
    let (dead, gone) = (&found[0], &found[1]);
    assert_eq!((&dead["id"], &dead["is_alive"]), (&"dead_1".into(), &false.into()));
    assert_eq!((&dead["version"], &dead["max_streams"]), (&Value::Null, &Value::Null));
    assert_eq!(dead["open_reservations"], 1);
    assert!(dead["lease_seconds"].as_i64().unwrap() < -1_000_000, "{dead}");
    assert_eq!((&gone["id"], &gone["is_alive"]), (&"gone_1".into(), &false.into()));
    assert_eq!((&gone["lease_seconds"], &gone["open_reservations"]), (&Value::Null, &2.into()));
    let text = desk.run(&["node", "list"]).out;
    assert!(text.contains("over for ") && text.contains("forgotten"), "{text}");
}

#[test]
fn each_node_of_one_database_is_listed() {
    let Some(database) = TestDatabase::postgres() else { return };
    let (mut first, mut second) = (builder("west"), builder("east"));
    second.database = Some(database.beside());
    first.database = Some(database);
    let (first, second) = (Process::start(first, &[]), Process::start(second, &[]));
    let found = list(&Cli::at_database(&first.database.url));
    let names: Vec<&str> = found.iter().map(|node| node["id"].as_str().unwrap()).collect();
    assert!(names[0].starts_with("east_") && names[1].starts_with("west_"), "{names:?}");
    assert_eq!(names.len(), 2);
    drop(second);
}

#[test]
fn what_an_account_may_ask_in_a_minute_is_shared_by_the_nodes() {
    let Some(database) = TestDatabase::postgres() else { return };
    let mut builder = builder("a").set("server.requests_per_minute_per_account", 10);
    builder.database = Some(database);
    let first = builder.start();
    let stop = ShutdownSignals::default();
    let (thread, second) = serve(Arc::clone(&first.settings), first.clock.clone(), stop.clone());
    let second = second.unwrap().clients;
    let ask = |address: SocketAddr, account: &Account| {
        let request = Request::post("/v1/messages", body(sse::MODEL, false, "text"));
        Connection::open(address).ask(&request.key(&account.key)).finish()
    };
    // The first hears of the second with its next renewal.
    within(Duration::from_secs(30), || {
        let answer = ask(first.address, &first.account("1.00"));
        (answer.header("anthropic-ratelimit-requests-limit") == Some("5")).then_some(())
    })
    .expect("it has half of them");
    let account = first.account("1.00");
    for address in [first.address, second] {
        let statuses: Vec<u16> = (0..10).map(|_| ask(address, &account).status).collect();
        // One more comes back every twelve seconds.
        let served = statuses.iter().filter(|status| **status == 200).count();
        assert!((5..=6).contains(&served), "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    }
    stop.in_order.cancel();
    assert!(thread.join().unwrap());
}
