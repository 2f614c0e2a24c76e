//! Single exchanges, from answers that succeed to processes that are killed: nothing of what was
//! said is left.

use serde_json::json;

use super::canaries::{Canaries, Place};
use super::search;
use crate::support::app::{Account, Builder, CREDENTIAL, open_account, verify_books};
use crate::support::client::{Connection, Request, Response};
use crate::support::process::Process;
use crate::support::sse;
use crate::support::upstream::{Upstream, json_response, message};
use crate::support::wait::eventually;

/// Markers of what must not stay. Each is sent through several places.
const PROMPT: &str = "canary-prompt-7f3a";
const ANSWER: &str = "canary-answer-52cd";
const HEADER: &str = "canary-header-91be";
const UPSTREAM: &str = "canary-upstream-e0d4";
const MARKERS: [&str; 4] = [PROMPT, ANSWER, HEADER, UPSTREAM];

/// A server of its own process, everything logged, and what was seen of it.
struct Stage {
    process: Process,
    upstream: Upstream,
    account: Account,
    count: usize,
}

impl Stage {
    fn new() -> Self {
        let upstream = Upstream::start();
        let builder = Builder::new()
            .upstream("primary", upstream.address)
            .set("stream.idle_secs", 1)
            .set("limits.body_idle_secs", 1)
            .set("stream.checkpoint_secs", 1)
            .set("server.drain_secs", 1);
        let process = Process::start(builder, &[("SLUICE__LOG__FILTER", "trace")]);
        let account = open_account(&mut process.database.connect(), "50.00");
        Self { process, upstream, account, count: 0 }
    }

    fn request(&self, is_stream: bool) -> Request {
        let content = json!([
            { "type": "text", "text": format!("{PROMPT} text") },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png",
                "data": PROMPT } },
        ]);
        let body = json!({
            "model": sse::MODEL,
            "max_tokens": 100,
            "stream": is_stream,
            "system": format!("{PROMPT} system"),
            "metadata": { "user_id": PROMPT },
            "stop_sequences": [PROMPT],
            "tools": [{ "name": PROMPT, "description": PROMPT, "input_schema": { "type": "object",
                "title": PROMPT } }],
            "x_unknown": PROMPT,
            "messages": [{ "role": "user", "content": content }],
        });
        self.decorate(Request::post(&format!("/v1/messages?tag={HEADER}"), body.to_string()))
    }

    fn decorate(&self, request: Request) -> Request {
        request
            .key(&self.account.key)
            .header("user-agent", HEADER)
            .header("cookie", &format!("session={HEADER}"))
            .header("x-forwarded-for", HEADER)
            .header("referer", &format!("https://{HEADER}.example/"))
            .header("anthropic-beta", HEADER)
            .header(&format!("x-{HEADER}"), HEADER)
    }

    fn send(&mut self, is_stream: bool) -> Connection {
        self.count += 1;
        Connection::open(self.process.address).send(&self.request(is_stream))
    }

    fn ask(&self, request: &Request) -> Response {
        Connection::open(self.process.address).ask(request).finish()
    }

    /// Waits until every exchange that was begun is settled.
    fn settle(&self) {
        let mut conn = self.process.database.connect();
        eventually("every exchange to be settled", || {
            let rows =
                sluice::db::models::usage_logs::latest(&mut conn, self.account.id, 1000).unwrap();
            (rows.len() == self.count).then_some(())
        });
    }
}

/// A whole answer that says the marker in every kind of block.
fn answer() -> String {
    let input =
        json!({ "type": "input_json_delta", "partial_json": format!("{{\"x\":\"{ANSWER}\"}}") });
    [
        sse::start(),
        sse::block_start("thinking"),
        sse::thinking(ANSWER),
        sse::block_stop(),
        sse::block_start("text"),
        sse::text(ANSWER),
        sse::event(
            "content_block_delta",
            &json!({ "type": "content_block_delta", "index": 1, "delta": input }),
        ),
        sse::block_stop(),
        sse::end(200),
        sse::message_stop(),
    ]
    .concat()
}

fn refusal(kind: &str) -> String {
    json!({ "type": "error", "error": { "type": kind, "message": UPSTREAM,
        "details": { "x": UPSTREAM } } })
    .to_string()
}

/// Asserts that nothing was kept: the markers, the key in any part and by its hash, the credential.
fn assert_clean(stage: &Stage) {
    let canaries = Canaries::default();
    for marker in MARKERS {
        canaries.plant("what was said", marker);
    }
    canaries.plant("an upstream's credential", CREDENTIAL);
    canaries.plant("an API key", stage.account.key.get(7..50).unwrap());
    canaries.plant_for("an account", &stage.account.public_id, &[Place::Store]);
    let hash = sluice::domain::api_key::PlainApiKey::parse(&stage.account.key).unwrap().hash();
    canaries.plant_bytes("an API key's hash", hash.as_bytes(), &[Place::Store]);
    search::nothing(&search::search(&stage.process, &canaries));
    canaries.were_found(&["an account", "an API key's hash"]);
}

#[test]
fn p5_answers_that_succeed_leave_nothing_of_what_was_said() {
    let mut stage = Stage::new();
    for _ in 0..3 {
        let connection = stage.send(true);
        stage.upstream.next().answer_stream(&answer());
        let response = connection.answer(false).finish();
        assert_eq!(response.expect_ok().text(), answer());
        let connection = stage.send(false);
        let whole =
            message(&json!({ "input_tokens": 5, "output_tokens": 7 })).replace("Hello", ANSWER);
        stage.upstream.next().answer_json(&whole);
        connection.answer(false).finish().expect_ok();
    }
    let counted = stage.request(false);
    let count = Connection::open(stage.process.address).send(
        &Request::post(
            "/v1/messages/count_tokens",
            counted.to_bytes().split_off(counted.head_bytes().len()),
        )
        .key(&stage.account.key),
    );
    stage.upstream.next().answer_json(r#"{"input_tokens":17}"#);
    count.answer(false).finish().expect_ok();
    stage.settle();
    assert_clean(&stage);
}

#[test]
fn p5_refusals_leave_nothing_and_repeat_nothing() {
    let stage = Stage::new();
    let post = |body: String| stage.decorate(Request::post("/v1/messages", body));
    let prompt = |more: &str| {
        format!(
            r#"{{"model":"{}","max_tokens":5,"messages":[{{"role":"user",
                "content":"{PROMPT}"}}]{more}}}"#,
            sse::MODEL
        )
    };
    let unended = Request::post("/v1/messages", prompt(""))
        .key(&stage.account.key)
        .header("content-length", "5000");
    let refused = [
        post(prompt(",")),
        post(prompt(&format!(r#","x":"{PROMPT}","x":"{PROMPT}""#))),
        post(prompt(&format!(r#","container":"{PROMPT}""#))),
        post(prompt(&format!(r#","stream":"{PROMPT}""#))),
        post(prompt(&format!(r#","tools":"{PROMPT}""#))),
        post(prompt(&format!(r#","fallbacks":["{PROMPT}"]"#))),
        post(prompt(&format!(r#","speed":"{PROMPT}""#))),
        post(prompt(&format!(r#","inference_geo":"{PROMPT}""#))),
        post(format!("\"{PROMPT}\"")),
        post(PROMPT.to_owned()),
        post(prompt(r#","max_tokens":999999999999"#)),
        post(prompt("")).header("content-encoding", HEADER),
        Request::post("/v1/messages", prompt("")).key(&format!("sluice_{HEADER}")),
        Request::post("/v1/messages", prompt(""))
            .header("authorization", &format!("Bearer {HEADER}")),
        stage.decorate(Request::get(&format!("/v1/{HEADER}"))),
        stage.decorate(Request::new("DELETE", "/v1/messages")),
        stage.decorate(Request::get(&format!("/v1/models?limit={HEADER}"))),
        unended,
    ];
    for request in &refused {
        let response = stage.ask(request);
        assert!((400..500).contains(&response.status), "{}", response.status);
        for marker in MARKERS {
            assert!(!response.text().contains(marker), "{}", response.text());
        }
        assert!(!response.text().contains(&stage.account.key));
    }
    // The one word of a client that is repeated to it is the name of a model that is not offered.
    let response = stage.ask(&post(prompt("").replace(sse::MODEL, PROMPT)));
    assert_eq!(response.expect_error(404, "not_found_error"), format!("model: {PROMPT}"));
    // A head that is not HTTP.
    for raw in
        [format!("{HEADER} / HTTP/1.1\r\n\r\n"), format!("GET / HTTP/1.1\r\n{HEADER} x\r\n\r\n")]
    {
        let mut connection = Connection::open(stage.process.address);
        connection.write(raw.as_bytes());
        connection.answer(false).finish();
    }
    assert_clean(&stage);
}

#[test]
fn p5_what_an_upstream_says_in_trouble_goes_to_the_one_client_or_to_nobody() {
    let mut stage = Stage::new();
    for (status, kind, is_for_client) in [
        (400, "invalid_request_error", true),
        (413, "request_too_large", true),
        (403, "permission_error", false),
        (429, "rate_limit_error", false),
        (500, "api_error", false),
        (529, "overloaded_error", false),
    ] {
        let connection = stage.send(status % 2 == 0);
        stage.upstream.next().refuse(status, &refusal(kind));
        let response = connection.answer(false).finish();
        assert_eq!(response.text().contains(UPSTREAM), is_for_client, "{}", response.text());
    }
    // The first event, an event in the middle, and heads that no answer can follow.
    let connection = stage.send(true);
    stage.upstream.next().answer_stream(&sse::error("overloaded_error", UPSTREAM));
    assert!(!connection.answer(false).finish().text().contains(UPSTREAM));
    let connection = stage.send(true);
    let half = [sse::start(), sse::text(ANSWER), sse::error("api_error", UPSTREAM)].concat();
    stage.upstream.next().answer_stream(&half);
    assert!(connection.answer(false).finish().text().contains(UPSTREAM));
    let heads = [
        format!(
            "HTTP/1.1 302 {UPSTREAM}\r\nlocation: http://{UPSTREAM}/\r\ncontent-length: 0\r\n\r\n"
        ),
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/{UPSTREAM}\r\ncontent-length: 5\r\n\r\nhello"
        ),
        format!("{UPSTREAM}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nx-{UPSTREAM}: {UPSTREAM}\r\ncontent-length: 3\r\n\r\nabc"),
        json_response(200, &format!("{{\"x\":\"{UPSTREAM}\"")),
    ];
    for head in heads {
        let connection = stage.send(false);
        let mut exchange = stage.upstream.next();
        exchange.send(head);
        exchange.close();
        let response = connection.answer(false).finish();
        assert_eq!(response.status, 502, "{}", response.text());
        assert!(!response.text().contains(UPSTREAM));
    }
    // Usage and events that make no sense.
    let odd = [
        sse::message_start(sse::MODEL, &json!({ "input_tokens": UPSTREAM, "output_tokens": 1 })),
        format!("event: {UPSTREAM}\ndata: {UPSTREAM}\n\n"),
        format!("event: content_block_start\ndata: {ANSWER}\n\n"),
        format!("event: message_delta\ndata: {{\"{ANSWER}\n\n"),
        sse::end(5),
        sse::message_stop(),
    ];
    let connection = stage.send(true);
    stage.upstream.next().answer_stream(&odd.concat());
    connection.answer(false).finish().expect_ok();
    stage.settle();
    assert_clean(&stage);
}

#[test]
fn p5_cuts_silence_and_departures_leave_nothing() {
    let mut stage = Stage::new();
    let half = [sse::start(), sse::block_start("text"), sse::text(ANSWER)].concat();
    for how in ["cut", "reset", "silence", "left", "partial"] {
        let connection = stage.send(true);
        let mut exchange = stage.upstream.next();
        exchange.stream_head().chunk(&half);
        let mut answer = connection.answer(false);
        answer.read_until(ANSWER);
        match how {
            "cut" => exchange.close(),
            "reset" => exchange.reset(),
            "left" => {
                answer.leave();
                exchange.wait_until_left();
                continue;
            }
            "partial" => {
                exchange.chunk(format!("event: content_block_delta\ndata: {{\"{ANSWER}"));
                exchange.close();
            }
            _ => {
                answer.finish();
                continue;
            }
        }
        answer.finish();
    }
    let connection = stage.send(false);
    let mut exchange = stage.upstream.next();
    exchange.send(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: \
        500\r\n\r\n{{\"x\":\"{ANSWER}"
    ));
    exchange.close();
    connection.answer(false).finish();
    // A credential that is refused.
    let connection = stage.send(true);
    stage.upstream.next().refuse(401, &refusal("authentication_error"));
    assert!(!connection.answer(false).finish().text().contains(UPSTREAM));
    stage.settle();
    assert_clean(&stage);
}

#[test]
fn p5_a_kill_in_the_middle_leaves_a_checkpoint_without_a_word() {
    let mut stage = Stage::new();
    let connection = stage.send(true);
    let mut exchange = stage.upstream.next();
    exchange.stream_head().chunk([sse::start(), sse::text(ANSWER)].concat());
    let mut begun = connection.answer(false);
    begun.read_until(ANSWER);
    stage.process.signal("KILL");
    stage.process.wait();
    assert_clean(&stage);
}

#[test]
fn p5_a_stop_in_the_middle_leaves_nothing_either() {
    let mut stage = Stage::new();
    let connection = stage.send(true);
    let mut exchange = stage.upstream.next();
    exchange.stream_head().chunk([sse::start(), sse::text(ANSWER)].concat());
    let mut begun = connection.answer(false);
    begun.read_until(ANSWER);
    stage.process.signal("TERM");
    assert!(begun.finish().text().contains("event: error"));
    assert_eq!(stage.process.wait(), Some(0), "{}", stage.process.log());
    verify_books(&mut stage.process.database.connect());
    assert_clean(&stage);
}
