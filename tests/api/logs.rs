//! The log at its default level: quiet where all is well, and where it is not, each line about a
//! request has the request's id.

use serde_json::{Value, json};

use crate::support::app::{Builder, open_account};
use crate::support::client::{Connection, Request};
use crate::support::process::Process;
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::{Upstream, message};

#[test]
fn requests_that_go_well_leave_no_line_and_lines_about_a_request_have_its_id() {
    let upstream = Upstream::start();
    let builder = Builder::new().upstream("primary", upstream.address);
    let builder = builder.set("log.format", "\"json\"");
    let process = Process::start(builder, &[]);
    let account = open_account(&mut process.database.connect(), "50.00");
    let send = |wants_stream| {
        let request = Request::post("/v1/messages", body(sse::MODEL, wants_stream, "text"));
        Connection::open(process.address).send(&request.key(&account.key))
    };
    let lines = || -> Vec<Value> {
        let log = process.log();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let answer = message(&json!({ "input_tokens": 7, "output_tokens": 9 }));
    let answered = |answer: &str| {
        let connection = send(false);
        upstream.next().answer_json(answer);
        connection.answer(false).finish()
    };
    answered(&answer).expect_ok();
    let before = lines().len();
    for _ in 0..10 {
        answered(&answer).expect_ok();
        let connection = send(true);
        let events = [sse::start(), sse::end(3), sse::message_stop()].concat();
        upstream.next().answer_stream(&events);
        connection.answer(false).finish().expect_ok();
    }
    // A job that is due at the start may end meanwhile.
    let mut new = lines().split_off(before);
    new.retain(|line| line["fields"]["chore"].is_null());
    assert!(new.is_empty(), "{new:#?}");
    for line in lines() {
        let target = line["target"].as_str().unwrap();
        assert!(target.starts_with("sluice"), "a library speaks: {line}");
    }

    // An alert of the bill, and a call that fails.
    let strange = answered(&answer.replace(sse::MODEL, "nobody-knows-9"));
    let connection = send(false);
    upstream.next().refuse(503, "no");
    let failed = connection.answer(false).finish();
    let new = lines().split_off(before);
    for (response, words) in [(strange, "alert; it is"), (failed, "an upstream did not answer")] {
        let id = response.header("request-id").unwrap();
        let is_about = |line: &&Value| line["fields"]["message"].as_str().unwrap().contains(words);
        let line = new.iter().find(is_about).unwrap_or_else(|| panic!("no {words}: {new:#?}"));
        assert_eq!(line["span"]["request_id"], id, "{line}");
    }
}
