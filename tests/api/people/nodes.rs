//! P7: what is tried counts on all nodes together. Where two servers may share a database there are
//! two; with SQLite one is started after the other, and what the first has counted still counts.

use serde_json::{Value, json};
use sluice::accounts::identity::email_tokens::LinkPurpose;
use sluice::db::schema::{accounts, attempts};

use crate::support::app::{Builder, TestApp};
use crate::support::client::Request;
use crate::support::people::PASSWORD;
use crate::support::upstream::Upstream;
use diesel::prelude::*;
use tempfile::TempDir;

const NEW: &str = "another 83 password";

/// A server, and later another on the same database.
struct Nodes {
    first: Option<TestApp>,
    second: Option<TestApp>,
    folder: Option<TempDir>,
}

fn builder() -> Builder {
    Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("server.behind_tls_proxy", true)
        .set("accounts.failed_logins_max", 3)
        .set("accounts.failed_logins_max_from_all", 5)
}

impl Nodes {
    fn start() -> Self {
        Self { first: Some(builder().start()), second: None, folder: None }
    }

    /// The one that was asked last.
    fn app(&self) -> &TestApp {
        self.second.as_ref().or(self.first.as_ref()).unwrap()
    }

    /// From now on another one is asked.
    fn go_on_with_another(&mut self) {
        let first = self.first.take().unwrap();
        let mut other = builder().clock_at(first.clock.now().as_millis());
        if first.database().is_postgres() {
            other.database = Some(first.database().beside());
            self.first = Some(first);
        } else {
            let (database, folder) = first.finish();
            other.database = Some(database);
            self.folder = Some(folder);
        }
        self.second = Some(other.start());
    }

    fn advance(&self, millis: i64) {
        for app in self.first.iter().chain(&self.second) {
            app.clock.advance(millis);
        }
    }

    fn log_in(&self, client: &str, email: &str, password: &str) -> u16 {
        let body = json!({ "email": email, "password": password });
        self.ask(client, "/api/v1/sessions", &body)
    }

    fn ask(&self, client: &str, path: &str, body: &Value) -> u16 {
        let request = Request::new("POST", path).json(body).header("x-forwarded-for", client);
        self.app().ask(&request).status
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // The database is the first one's.
        self.second = None;
    }
}

#[test]
fn p7_wrong_passwords_count_on_all_nodes_and_after_a_restart() {
    let mut nodes = Nodes::start();
    let (person, other) = (nodes.app().person(), nodes.app().person());
    for guess in 0..3 {
        assert_eq!(nodes.log_in("192.0.2.1", &person.email, "wrong password"), 401, "{guess}");
    }
    nodes.go_on_with_another();
    // Another node has not seen this client; what was guessed at the mailbox it knows.
    for guess in 0..2 {
        assert_eq!(nodes.log_in("192.0.2.1", &person.email, "wrong password"), 401, "{guess}");
    }
    for client in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(nodes.log_in(client, &person.email, PASSWORD), 429, "{client}");
    }
    assert_eq!(nodes.log_in("192.0.2.1", &other.email, PASSWORD), 201);
    nodes.advance(899_999);
    assert_eq!(nodes.log_in("192.0.2.2", &person.email, PASSWORD), 429);
    nodes.advance(1);
    assert_eq!(nodes.log_in("192.0.2.2", &person.email, PASSWORD), 201);
}

#[test]
fn p7_a_refused_guess_is_not_counted_and_a_success_takes_back_its_own_on_all_nodes() {
    let mut nodes = Nodes::start();
    let person = nodes.app().person();
    for _ in 0..2 {
        assert_eq!(nodes.log_in("192.0.2.1", &person.email, "wrong password"), 401);
        assert_eq!(nodes.log_in("192.0.2.2", &person.email, "wrong password"), 401);
    }
    assert_eq!(made(nodes.app()), [4]);
    assert_eq!(nodes.log_in("192.0.2.1", &person.email, PASSWORD), 201);
    assert_eq!(made(nodes.app()), [2], "those of the other client stay");
    nodes.go_on_with_another();
    for _ in 0..3 {
        assert_eq!(nodes.log_in("192.0.2.3", &person.email, "wrong password"), 401);
    }
    for _ in 0..4 {
        assert_eq!(nodes.log_in("192.0.2.4", &person.email, PASSWORD), 429);
    }
    assert_eq!(made(nodes.app()), [5]);
}

#[test]
fn p7_a_session_guesses_on_all_nodes_and_a_reset_lifts_it() {
    let mut nodes = Nodes::start();
    let person = nodes.app().person();
    let change = |nodes: &Nodes, client: &str| {
        let body = json!({ "password": "wrong password", "new_password": NEW });
        let request = crate::support::people::by(&person.token, "PUT", "/api/v1/account/password");
        nodes.app().ask(&request.json(&body).header("x-forwarded-for", client)).status
    };
    for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3"] {
        assert_eq!(change(&nodes, client), 403, "{client}");
    }
    nodes.go_on_with_another();
    assert_eq!(change(&nodes, "192.0.2.4"), 429);
    assert_eq!(nodes.log_in("192.0.2.4", &person.email, PASSWORD), 429);
    let token = nodes.app().link(LinkPurpose::Reset, Some(person.id), &person.email);
    let reset = json!({ "token": token, "password": NEW });
    assert_eq!(nodes.ask("192.0.2.5", "/api/v1/password-resets/confirm", &reset), 204);
    assert_eq!(nodes.log_in("192.0.2.4", &person.email, NEW), 201);
}

#[test]
fn p7_a_mailbox_gets_so_many_mails_from_all_nodes_together() {
    let mut nodes = Nodes::start();
    let ask = |nodes: &Nodes, path: &str, email: &str| {
        nodes.ask("192.0.2.1", path, &json!({ "email": email }))
    };
    for email in ["flood@example.org", "FLOOD@example.org", "ｆｌｏｏｄ@example.org"] {
        assert_eq!(ask(&nodes, "/api/v1/accounts", email), 202, "{email}");
    }
    nodes.go_on_with_another();
    for path in ["/api/v1/accounts", "/api/v1/password-resets"] {
        assert_eq!(ask(&nodes, path, "flood@example.org"), 202, "{path}");
    }
    assert_eq!(ask(&nodes, "/api/v1/accounts", "Flood@Example.org"), 429);
    assert_eq!(ask(&nodes, "/api/v1/password-resets", "flood@example.org"), 429);
    assert_eq!(ask(&nodes, "/api/v1/accounts", "dry@example.org"), 202);
    assert_eq!(made(nodes.app()), [1, 5], "what was refused is not counted");
    nodes.advance(900_000);
    assert_eq!(ask(&nodes, "/api/v1/accounts", "flood@example.org"), 202);
}

#[test]
fn p7_an_account_asks_for_so_many_mails_from_all_nodes_together() {
    let mut nodes = Nodes::start();
    let person = nodes.app().person();
    let ask = |nodes: &Nodes, number: u32| {
        let body = json!({ "email": format!("new{number}@example.org"), "password": PASSWORD });
        let request = crate::support::people::by(&person.token, "POST", "/api/v1/account/email");
        nodes.app().ask(&request.json(&body)).status
    };
    for number in 0..3 {
        assert_eq!(ask(&nodes, number), 202, "{number}");
    }
    nodes.go_on_with_another();
    for number in 3..5 {
        assert_eq!(ask(&nodes, number), 202, "{number}");
    }
    assert_eq!(ask(&nodes, 5), 429);
    assert_eq!(made(nodes.app()), [1, 1, 1, 1, 1, 5], "nor is the sixth address");
}

#[test]
fn p7_what_is_counted_tells_nobody_whose_it_is_and_goes_when_its_time_is_up() {
    let nodes = Nodes::start();
    let person = nodes.app().person();
    nodes.log_in("192.0.2.1", &person.email, "wrong password");
    nodes.log_in("192.0.2.1", "nobody@example.org", "wrong password");
    let of_nobody = nodes.app().db(|conn| {
        let all: Vec<(Vec<u8>, i64, i64)> = attempts::table.load(conn).unwrap();
        let emails: Vec<String> = accounts::table.select(accounts::email).load(conn).unwrap();
        assert!(emails.contains(&person.email));
        all
    });
    assert_eq!(of_nobody.len(), 2, "an address without an account counts like any other");
    assert!(of_nobody.iter().all(|(hash, made, _)| hash.len() == 32 && *made == 1));
    nodes.advance(900_001);
    crate::retention::purge(nodes.app());
    assert!(made(nodes.app()).is_empty());
}

/// What is counted, whoever it is about.
fn made(app: &TestApp) -> Vec<i64> {
    app.db(|conn| attempts::table.select(attempts::made).order(attempts::made).load(conn).unwrap())
}
