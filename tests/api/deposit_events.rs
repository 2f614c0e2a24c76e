//! A deposit followed live: what is told, when it ends, and how many may follow.

use diesel::prelude::*;
use serde_json::Value;
use sluice::db::models::chains::{self, ChainRow};
use sluice::db::models::{deposit_claims, deposits};
use sluice::db::schema::chains as chains_table;
use sluice::db::schema::deposits as table;
use sluice::domain::clock::UnixMillis;
use sluice::domain::evm::{BlockHash, ChainId};

use crate::support::app::{Account, Builder, TestApp};
use crate::support::client::{Answer, Connection, End, Request, Response};
use crate::support::deposit_rows::{claim, row};
use crate::support::sandbox::sandbox;
use crate::support::sse;
use crate::support::wait::eventually;

/// The books know nothing of these deposits, so they go before the books are proven.
struct Stage {
    app: TestApp,
    account: Account,
}

impl Stage {
    fn open(change: impl FnOnce(Builder) -> Builder) -> Self {
        let app = change(Builder::new().upstream("sandbox", sandbox())).start();
        let account = app.account("0");
        Self { app, account }
    }

    fn deposit(&self, number: u8, state: &str) -> String {
        let row = row(&self.account, number, state, None);
        self.app.db(|conn| deposits::insert(conn, &row).unwrap());
        row.public_id
    }

    fn becomes(&self, id: &str, state: &str) {
        let row = table::table.filter(table::public_id.eq(id));
        let change = (table::state.eq(state), table::revision.eq(table::revision + 1));
        let changed = self.app.db(|conn| diesel::update(row).set(change).execute(conn).unwrap());
        assert_eq!(changed, 1);
    }

    fn request(account: &Account, id: &str) -> Request {
        Request::get(&format!("/api/v1/deposits/{id}/events")).key(&account.key)
    }

    fn follow(&self, id: &str) -> Answer {
        self.app.connect().ask(&Self::request(&self.account, id))
    }

    fn forget(&self) {
        self.app.db(|conn| diesel::delete(table::table).execute(conn).unwrap());
    }
}

fn states(response: &Response) -> Vec<Value> {
    sse::read(&response.body).iter().map(|event| event.json()["state"].clone()).collect()
}

#[test]
fn a_stream_tells_every_state_and_ends_with_the_last() {
    let stage = Stage::open(|builder| builder);
    let id = stage.deposit(1, "seen");
    let mut answer = stage.follow(&id);
    answer.read_until("\"state\":\"seen\"");
    stage.becomes(&id, "confirming");
    answer.read_until("\"state\":\"confirming\"");
    stage.becomes(&id, "credited");
    let response = answer.finish();
    assert_eq!(response.end, End::Whole);
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(response.header("cache-control"), Some("no-store, no-transform"));
    assert_eq!(response.header("x-accel-buffering"), Some("no"));
    assert!(response.header("request-id").unwrap().starts_with("req_"));
    assert!(response.text().starts_with("retry: 3000\n\n"), "{}", response.text());
    assert_eq!(states(&response), ["seen", "confirming", "credited"]);
    let events = sse::read(&response.body);
    assert!(events.iter().all(|event| event.name == "deposit"));
    // The event is the document itself.
    let shown = stage.app.api_get(&stage.account, &format!("/api/v1/deposits/{id}"));
    assert_eq!(events[2].json(), shown.json());

    // A reader that comes again without the last event is told it; one that has it is sent home.
    assert_eq!(states(&stage.follow(&id).finish()), ["credited"]);
    let again = Stage::request(&stage.account, &id).header("last-event-id", "last");
    assert_eq!(stage.app.ask(&again).status, 204);
    stage.becomes(&id, "reversed");
    let mut answer = stage.app.connect().ask(&again);
    answer.read_until("\"state\":\"reversed\"");
    answer.leave_seen();
    stage.forget();
}

#[test]
fn the_list_tells_a_new_deposit_and_every_change_of_it() {
    let stage = Stage::open(|builder| builder);
    let request = Request::get("/api/v1/deposits/events").key(&stage.account.key);
    let mut answer = stage.app.connect().ask(&request);
    assert_eq!(answer.status, 200);
    answer.read_until("\"data\":[]");
    let id = stage.deposit(1, "seen");
    answer.read_until("\"state\":\"seen\"");
    stage.becomes(&id, "credited");
    answer.read_until("\"state\":\"credited\"");
    // Of a list there is no last word.
    stage.becomes(&id, "reversed");
    answer.read_until("\"state\":\"reversed\"");
    let claim = claim(&stage.account, 7);
    stage.app.db(|conn| deposit_claims::submit(conn, &claim).unwrap());
    answer.read_until("claim_7");
    answer.leave_seen();
    // The first event of a stream is the list itself.
    let mut again = stage.app.connect().ask(&request);
    again.read_until("claim_7").read_until("}\n\n");
    let events = sse::read(&again.body);
    assert_eq!(events[0].name, "deposits");
    let list = stage.app.api_get(&stage.account, "/api/v1/deposits?limit=20");
    assert_eq!(events[0].json(), list.json());
    again.leave_seen();
    // Nobody hears of another's.
    let other = stage.app.account("0");
    let request = Request::get("/api/v1/deposits/events").key(&other.key);
    let mut theirs = stage.app.connect().ask(&request);
    theirs.read_until("\"data\":[]");
    stage.deposit(2, "seen");
    stage.app.db(|conn| deposits::insert(conn, &row(&other, 3, "seen", None)).unwrap());
    theirs.read_until("dep_3");
    let heard = String::from_utf8_lossy(&theirs.body).into_owned();
    assert!(!heard.contains("dep_1") && !heard.contains("dep_2"), "{heard}");
    theirs.leave_seen();
    stage.app.ask(&Request::get("/api/v1/deposits/events")).expect_refusal(401, "unauthenticated");
    stage.forget();
}

#[test]
fn a_new_block_alone_does_not_send_a_list_again() {
    let stage = Stage::open(|builder| builder);
    let chain = ChainRow {
        first_number: 0,
        chain_id: ChainId(1),
        revision: 0,
        scanned_number: 10,
        scanned_hash: BlockHash([1; 32]),
        final_number: 10,
        head_number: 10,
        status: "ok".to_owned(),
        status_detail: None,
        node_id: "node_a".to_owned(),
        lease_expires_at: UnixMillis::from_millis(i64::MAX),
        updated_at: UnixMillis::from_millis(0),
        block_millis: None,
    };
    stage.app.db(|conn| chains::create(conn, &chain).unwrap());
    let id = stage.deposit(1, "credited");
    let request = Request::get("/api/v1/deposits/events").key(&stage.account.key);
    let mut list = stage.app.connect().ask(&request);
    list.read_until("\"state\":\"credited\"");
    // Somebody else's deposit, which waits for blocks, shows when the new one has been looked at.
    let other = stage.app.account("0");
    stage.app.db(|conn| deposits::insert(conn, &row(&other, 2, "confirming", None)).unwrap());
    let mut single = stage.app.connect().ask(&Stage::request(&other, "dep_2"));
    single.read_until("\"head\":10");
    let head = chains_table::head_number.eq(11);
    stage.app.db(|conn| diesel::update(chains_table::table).set(head).execute(conn).unwrap());
    single.read_until("\"head\":11");
    stage.becomes(&id, "reversed");
    list.read_until("\"state\":\"reversed\"");
    let told = String::from_utf8_lossy(&list.body).into_owned();
    assert_eq!(told.matches("event: deposits").count(), 2, "{told}");
    list.leave_seen();
    single.leave_seen();
    stage.forget();
}

#[test]
fn several_readers_of_one_deposit_hear_the_same() {
    let stage = Stage::open(|builder| builder);
    let id = stage.deposit(1, "confirming");
    let mut answers: Vec<Answer> = (0..4).map(|_| stage.follow(&id)).collect();
    for answer in &mut answers {
        answer.read_until("\"state\":\"confirming\"");
    }
    stage.becomes(&id, "refunded");
    for answer in answers {
        assert_eq!(states(&answer.finish()), ["confirming", "refunded"]);
    }
    stage.forget();
}

#[test]
fn nobody_follows_what_is_another_accounts() {
    let stage = Stage::open(|builder| builder);
    let id = stage.deposit(1, "seen");
    let other = stage.app.account("0");
    stage.app.ask(&Stage::request(&other, &id)).expect_refusal(404, "not_found");
    stage.app.ask(&Stage::request(&other, "dep_none")).expect_refusal(404, "not_found");
    let path = format!("/api/v1/deposits/{id}/events");
    stage.app.ask(&Request::get(&path)).expect_refusal(401, "unauthenticated");
    stage.forget();
}

#[test]
fn s13_forty_free_accounts_leave_places_for_whoever_has_paid() {
    let stage = Stage::open(|builder| builder);
    let id = stage.deposit(1, "confirming");
    let claims = (1..=40_u8).map(|number| {
        let free = stage.app.account("0");
        let claim = claim(&free, number);
        stage.app.db(|conn| deposit_claims::submit(conn, &claim).unwrap());
        (free, claim.public_id)
    });
    let (mut open, mut refused) = (Vec::new(), 0);
    for (free, claim) in claims {
        for _ in 0..5 {
            let answer = stage.app.connect().ask(&Stage::request(&free, &claim));
            if answer.status == 200 {
                open.push(answer);
            } else {
                let full = answer.finish();
                full.expect_refusal(503, "streams_full");
                assert_eq!(full.header("retry-after"), Some("30"));
                // What is left to do, as the refusal says.
                let path = format!("/api/v1/deposits/{claim}");
                assert_eq!(stage.app.api_get(&free, &path).status, 200);
                refused += 1;
            }
        }
    }
    assert_eq!((open.len(), refused), (100, 100));
    let mut paid: Vec<Answer> = (0..5).map(|_| stage.follow(&id)).collect();
    for answer in &mut paid {
        assert_eq!(answer.status, 200);
        answer.read_until("\"state\":\"confirming\"");
    }
    stage.follow(&id).finish().expect_refusal(429, "too_many_streams");
    drop((open, paid));
    stage.forget();
}

#[test]
fn streams_are_limited_for_each_account_and_for_all_and_places_come_back() {
    let stage = Stage::open(|builder| {
        builder
            .set("deposits.event_streams_max", 3)
            .set("deposits.event_streams_max_per_account", 2)
    });
    let (id, other) = (stage.deposit(1, "seen"), stage.app.account("0"));
    let foreign = row(&other, 2, "seen", None);
    stage.app.db(|conn| deposits::insert(conn, &foreign).unwrap());
    let open = |account: &Account, id: &str| {
        let mut answer = stage.app.connect().ask(&Stage::request(account, id));
        answer.read_until("\"state\":\"seen\"");
        answer
    };
    let (one, two) = (open(&stage.account, &id), open(&stage.account, &id));
    let third = stage.follow(&id).finish();
    third.expect_refusal(429, "too_many_streams");
    assert_eq!(third.header("retry-after"), Some("10"));
    let three = open(&other, "dep_2");
    let full = stage.app.ask(&Stage::request(&other, "dep_2"));
    full.expect_refusal(503, "streams_full");
    // Refusals and streams of what is not there take no place.
    one.leave_seen();
    eventually("a place", || {
        let answer = stage.follow(&id);
        (answer.status == 200).then(|| answer.leave_seen())
    });
    drop((two, three));
    stage.forget();
}

#[test]
fn a_stop_ends_streams_at_once() {
    let stage = Stage::open(|builder| builder.set("server.drain_secs", 3600));
    let id = stage.deposit(1, "seen");
    let mut answer = stage.follow(&id);
    answer.read_until("\"state\":\"seen\"");
    stage.app.tell_to_stop();
    let response = answer.finish();
    assert_eq!((response.end, states(&response).len()), (End::Whole, 1));
    stage.forget();
    stage.app.finish();
}

#[test]
fn an_old_client_gets_a_stream_that_ends_with_its_connection() {
    let stage = Stage::open(|builder| builder);
    let id = stage.deposit(1, "credited");
    let request = Stage::request(&stage.account, &id).http_10();
    let response = Connection::open(stage.app.address).ask(&request).finish();
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(states(&response), ["credited"]);
    stage.forget();
}
