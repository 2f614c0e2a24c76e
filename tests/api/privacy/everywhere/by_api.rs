//! Somebody's whole life with the service by its interfaces, from the sign-up to the wish to leave.

use std::io::{Cursor, Read};

use serde_json::{Value, json};
use totp_rs::Totp;
use zip::ZipArchive;

use super::stage::{ANSWER, EMAIL, HEADER, KEY_NAME, PASSWORD, PROMPT, Stage};
use crate::privacy::canaries::Place;
use crate::support::api::{checksummed, hex};
use crate::support::app::credit;
use crate::support::chain::wallet::Wallet;
use crate::support::client::{Request, Response};
use crate::support::people::{authenticator, by};
use crate::support::sse;

/// A transaction that nobody knows.
const TX_HASH: [u8; 32] = [0xca; 32];

/// Goes through everything.
pub(super) fn live(stage: &Stage) {
    let mut person = Person::sign_up(stage);
    person.look();
    let key = person.make_key();
    let usage = converse(stage, &key);
    person.read(&usage);
    person.pay();
    person.protect();
    person.take_archive();
    person.change();
    person.leave();
}

/// Somebody who is logged in.
struct Person<'a> {
    stage: &'a Stage,
    email: String,
    password: String,
    token: String,
    key_id: String,
}

/// What an authenticator app shows now.
pub(super) fn code_now(app: &Totp) -> String {
    let seconds = sluice::domain::clock::Clock::System.now().as_millis() / 1000;
    app.generate(seconds.unsigned_abs()).to_string()
}

impl<'a> Person<'a> {
    fn sign_up(stage: &'a Stage) -> Self {
        let (email, password) = (format!("{EMAIL}ada@example.org"), format!("{PASSWORD}one-4471"));
        let post = |status, path: &str, body: Value| {
            stage.must(status, Request::new("POST", path).json(&body))
        };
        post(202, "/api/v1/accounts", json!({ "email": email }));
        let link = stage.mailed(&email, "/sign-up/confirm");
        let body = json!({ "token": link, "password": password });
        let first = post(201, "/api/v1/accounts/confirm", body).json();
        stage.plant_token("a session", first["token"].as_str().unwrap());
        let wrong = json!({ "email": email, "password": format!("{PASSWORD}wrong") });
        post(401, "/api/v1/sessions", wrong);
        let log_in = json!({ "email": email, "password": password });
        let token =
            post(201, "/api/v1/sessions", log_in).json()["token"].as_str().unwrap().to_owned();
        stage.plant_token("a session", &token);
        Self { stage, email, password, token, key_id: String::new() }
    }

    fn must(&self, status: u16, method: &str, path: &str) -> Response {
        self.stage.must(status, by(&self.token, method, path))
    }

    fn must_with(&self, status: u16, method: &str, path: &str, body: &Value) -> Response {
        self.stage.must(status, by(&self.token, method, path).json(body))
    }

    fn log_in(&mut self) {
        let body = json!({ "email": self.email, "password": self.password });
        let response = self.stage.must(201, Request::new("POST", "/api/v1/sessions").json(&body));
        response.json()["token"].as_str().unwrap().clone_into(&mut self.token);
        self.stage.plant_token("a session", &self.token);
    }

    fn look(&self) {
        for path in ["/api/v1/prices", "/api/v1/status", "/api/v1/account", "/api/v1/sessions"] {
            self.must(200, "GET", path);
        }
        let wishes = self.must(200, "GET", "/api/v1/preferences").json();
        self.must_with(200, "PUT", "/api/v1/preferences", &wishes);
    }

    fn make_key(&mut self) -> String {
        let mut conn = self.stage.process.database.connect();
        let known =
            sluice::db::models::credentials::of_address(&mut conn, &self.email).unwrap().unwrap();
        credit(&mut conn, known.id, 5_000_000_000);
        let made = self.must_with(201, "POST", "/api/v1/keys", &json!({ "name": KEY_NAME })).json();
        let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
        self.stage.plant_key(key);
        id.clone_into(&mut self.key_id);
        self.must(200, "GET", "/api/v1/keys");
        let path = format!("/api/v1/keys/{id}");
        self.must(200, "GET", &path);
        let change = json!({ "name": format!("{KEY_NAME} again"), "monthly_budget": "4.00" });
        self.must_with(200, "PATCH", &path, &change);
        let rotate = format!("{path}/rotate");
        let rotated = self.must_with(201, "POST", &rotate, &json!({ "overlap": "now" })).json();
        let key = rotated["key"].as_str().unwrap();
        self.stage.plant_key(key);
        key.to_owned()
    }

    /// What a request has left, and the files that have it.
    fn read(&self, usage: &str) {
        self.must(200, "GET", "/api/v1/usage");
        self.must(200, "GET", &format!("/api/v1/usage/{usage}"));
        self.must(200, "GET", "/api/v1/usage/series");
        self.must(200, "GET", "/api/v1/usage/refusals");
        self.must(404, "GET", "/api/v1/key");
        self.must(200, "GET", "/api/v1/ledger");
        let mut faults = Vec::new();
        for path in ["/api/v1/usage/export", "/api/v1/ledger/export"] {
            for format in ["csv", "jsonl"] {
                let path = format!("{path}?format={format}");
                let file = self.must(200, "GET", &path);
                assert!(file.body.len() > 100, "{path}: {}", file.text());
                faults.extend(self.stage.canaries.found(Place::Export, &path, &file.body));
            }
        }
        crate::privacy::search::nothing(&faults);
    }

    /// Everything that is held on somebody, file by file.
    fn take_archive(&self) {
        let whole = self.must(200, "GET", "/api/v1/account/archive");
        let mut archive = ZipArchive::new(Cursor::new(whole.body)).unwrap();
        assert!(archive.len() > 10, "{}", archive.len());
        let mut faults = Vec::new();
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).unwrap();
            let (name, mut text) = (file.name().unwrap().into_owned(), Vec::new());
            file.read_to_end(&mut text).unwrap();
            faults.extend(self.stage.canaries.found(Place::Archive, &name, &text));
        }
        crate::privacy::search::nothing(&faults);
    }

    fn pay(&self) {
        let canaries = &self.stage.canaries;
        canaries.plant_bytes("a transaction's hash", &TX_HASH, &[Place::Store, Place::Archive]);
        let wallet = Wallet::numbered(77);
        let address = wallet.address();
        canaries.plant_bytes(
            "a wallet's address",
            address.as_bytes(),
            &[Place::Store, Place::Archive],
        );
        let ask = json!({ "chain": "base", "address": checksummed(address) });
        let challenge = self.must_with(200, "POST", "/api/v1/wallets/challenge", &ask).json();
        let message = challenge["message"].as_str().unwrap();
        let proof = json!({ "message": message, "signature": hex(&wallet.sign_message(message)) });
        let linked = self.must_with(201, "POST", "/api/v1/wallets", &proof).json();
        self.must(200, "GET", "/api/v1/wallets");
        self.must(200, "GET", "/api/v1/deposits/options");
        self.must(201, "POST", "/api/v1/deposits/address");
        let claim = json!({ "chain": "base", "tx_hash": hex(&TX_HASH) });
        let response = self.stage.ask(by(&self.token, "POST", "/api/v1/deposits").json(&claim));
        assert!([200, 201, 202].contains(&response.status), "{}", response.text());
        let id = response.json()["id"].as_str().unwrap().to_owned();
        self.must(200, "GET", "/api/v1/deposits");
        self.must(200, "GET", &format!("/api/v1/deposits/{id}"));
        let events = by(&self.token, "GET", &format!("/api/v1/deposits/{id}/events"));
        let mut events = self.stage.begin(events);
        assert_eq!(events.status, 200);
        events.read_until("data:");
        let events = by(&self.token, "GET", "/api/v1/deposits/events");
        let mut events = self.stage.begin(events);
        assert_eq!(events.status, 200);
        events.read_until("data:");
        let path = format!("/api/v1/wallets/{}", linked["id"].as_str().unwrap());
        self.must(204, "DELETE", &path);
    }

    /// The second factor, on and off.
    fn protect(&self) {
        let canaries = &self.stage.canaries;
        let proof = json!({ "password": self.password });
        let setup = self.must_with(201, "POST", "/api/v1/account/totp", &proof).json();
        let secret = setup["secret"].as_str().unwrap();
        canaries.plant("the key of a second factor", secret);
        let code = json!({ "code": code_now(&authenticator(secret)) });
        let enabled = self.must_with(200, "PUT", "/api/v1/account/totp", &code).json();
        let code = self.recovery_code(&enabled);
        let both = |code: &str| json!({ "password": self.password, "code": code });
        let path = "/api/v1/account/recovery-codes";
        let renewed = self.must_with(201, "POST", path, &both(&code)).json();
        let code = self.recovery_code(&renewed);
        self.must_with(204, "DELETE", "/api/v1/account/totp", &both(&code));
    }

    /// The first of some, all of which may be nowhere.
    fn recovery_code(&self, document: &Value) -> String {
        let codes = document["recovery_codes"].as_array().unwrap();
        for code in codes {
            let code = code.as_str().unwrap();
            self.stage.canaries.plant("a recovery code", code);
            self.stage.canaries.plant("a recovery code", &code.replace('-', ""));
        }
        codes[0].as_str().unwrap().to_owned()
    }

    /// Password and address.
    fn change(&mut self) {
        let new = format!("{PASSWORD}two-9902");
        let change = json!({ "password": self.password, "new_password": new });
        self.must_with(204, "PUT", "/api/v1/account/password", &change);
        self.password = new;
        let email = format!("{EMAIL}ida@example.org");
        let ask = json!({ "email": email, "password": self.password });
        self.must_with(202, "POST", "/api/v1/account/email", &ask);
        let link = json!({ "token": self.stage.mailed(&email, "/email/confirm") });
        self.must_with(204, "POST", "/api/v1/account/email/confirm", &link);
        self.email = email;
        let ask = json!({ "email": self.email });
        self.must_with(202, "POST", "/api/v1/password-resets", &ask);
        self.password = format!("{PASSWORD}three-3110");
        let token = self.stage.mailed(&self.email, "/reset/confirm");
        let body = json!({ "token": token, "password": self.password });
        self.must_with(204, "POST", "/api/v1/password-resets/confirm", &body);
        self.log_in();
    }

    fn leave(&mut self) {
        self.must(204, "DELETE", &format!("/api/v1/keys/{}", self.key_id));
        let wish = json!({ "password": self.password, "waive_balance": true });
        self.must_with(202, "POST", "/api/v1/account/closing", &wish);
        self.log_in();
        self.must(204, "DELETE", "/api/v1/account/closing");
        self.log_in();
        self.must(204, "DELETE", "/api/v1/sessions/current");
        self.log_in();
        self.must(204, "DELETE", "/api/v1/sessions");
    }
}

/// Requests of messages with the prompt in every field; the id of one that was billed.
pub(super) fn converse(stage: &Stage, key: &str) -> String {
    let body = |is_stream: bool| {
        let content = json!([
            { "type": "text", "text": format!("{PROMPT} text") },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png",
                "data": PROMPT } },
        ]);
        json!({
            "model": sse::MODEL, "max_tokens": 100, "stream": is_stream, "system": PROMPT,
            "metadata": { "user_id": PROMPT }, "stop_sequences": [PROMPT], "x_unknown": PROMPT,
            "tools": [{ "name": PROMPT, "description": PROMPT, "input_schema": { "type": "object",
                "title": PROMPT } }],
            "messages": [{ "role": "user", "content": content }],
        })
        .to_string()
    };
    let messages =
        |is_stream| Request::post(&format!("/v1/messages?tag={HEADER}"), body(is_stream)).key(key);
    let streamed = stage.must(200, messages(true));
    assert!(streamed.text().contains(ANSWER));
    let whole = stage.must(200, messages(false));
    assert!(whole.text().contains(ANSWER));
    stage.must(200, Request::post("/v1/messages/count_tokens", body(false)).key(key));
    for (method, path) in [
        ("GET", "/v1/models".to_owned()),
        ("HEAD", "/v1/models".to_owned()),
        ("GET", format!("/v1/models/{}", sse::MODEL)),
        ("HEAD", format!("/v1/models/{}", sse::MODEL)),
        ("GET", "/api/v1/key".to_owned()),
    ] {
        stage.must(200, Request::new(method, &path).key(key));
    }
    // What is refused leaves a count, and nothing of what was asked.
    let messages = json!([{ "role": "user", "content": PROMPT }]);
    let unknown = json!({ "model": PROMPT, "max_tokens": 1, "messages": messages }).to_string();
    stage.must(404, Request::post("/v1/messages", unknown).key(key));
    streamed.header("request-id").unwrap().to_owned()
}
