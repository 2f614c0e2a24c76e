//! Whose things are whose: the interface's own document is walked with two accounts. One of them
//! asks for everything of the other's by its real name, with every kind of credential, and finds
//! nothing and changes nothing.

use std::collections::BTreeMap;

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::db::models::{deposit_claims, deposits, sessions, wallets};
use sluice::db::schema::deposits as table;
use sluice::domain::secret_token::{SecretToken, TokenKind};

use crate::interface::{Operation, document, filled, operations};
use crate::support::app::{Account, TestApp};
use crate::support::client::{Request, Response};
use crate::support::deposit_rows::{claim, row};
use crate::support::sandbox::body;
use crate::support::wallet_rows;

/// An account with one of everything that has a name.
struct Owner {
    account: Account,
    token: String,
    /// By the path that leads to it.
    names: BTreeMap<&'static str, Vec<String>>,
}

/// What somebody asks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credential {
    Key,
    Session,
    Cookie,
}

const CREDENTIALS: [Credential; 3] = [Credential::Key, Credential::Session, Credential::Cookie];

impl Owner {
    fn settle(app: &TestApp, number: u8) -> Self {
        let account = app.account("5.00");
        app.messages(&account, &body("claude-haiku-4-5", false, "")).expect_ok();
        let request = app.only_row(&account).id;
        let token = app.session_of(account.id);
        let (deposit, claim) = (row(&account, number, "seen", None), claim(&account, number));
        let wallet = wallet_rows::row(account.id, number);
        let session = app.db(|conn| {
            deposits::insert(conn, &deposit).unwrap();
            deposit_claims::submit(conn, &claim).unwrap();
            wallets::link(conn, &wallet).unwrap();
            let all = sessions::of_account(conn, account.id, app.clock.now()).unwrap();
            all[0].public_id.clone()
        });
        let names = BTreeMap::from([
            ("/api/v1/deposits/{id}", vec![deposit.public_id, claim.public_id]),
            ("/api/v1/wallets/{id}", vec![wallet.public_id]),
            ("/api/v1/keys/{id}", vec![account.key_id.clone()]),
            ("/api/v1/usage/{id}", vec![request]),
            ("/api/v1/sessions/{id}", vec![session]),
        ]);
        Self { account, token, names }
    }

    /// Names for a path's parameter. A new one has to be given something here that somebody owns.
    fn names(&self, path: &str) -> &[String] {
        let owned = self.names.iter().find(|(known, _)| path.starts_with(**known));
        owned.unwrap_or_else(|| panic!("{path}: nobody owns anything that it could name")).1
    }

    fn ask(&self, app: &TestApp, credential: Credential, request: Request) -> Response {
        app.ask(&with(app, credential, (&self.account, &self.token), request))
    }

    /// Everything that the owner is shown without naming anything.
    fn sees(&self, app: &TestApp) -> BTreeMap<String, String> {
        let lists = operations(app).into_iter().filter(|operation| {
            operation.method == "get"
                && !operation.path.contains('{')
                && !operation.schemes().is_empty()
                // It shows the key that asks, and a session has none.
                && operation.path != "/api/v1/key"
                // It says what a list says.
                && !operation.is_stream()
        });
        let show = |operation: Operation| {
            let response = self.ask(app, Credential::Session, Request::get(&operation.path));
            assert_eq!(response.status, 200, "{}: {}", operation.path, response.text());
            (operation.path, response.text())
        };
        lists.map(show).collect()
    }
}

fn with(
    app: &TestApp,
    credential: Credential,
    (account, token): (&Account, &str),
    request: Request,
) -> Request {
    match credential {
        Credential::Key => request.key(&account.key),
        Credential::Session => request.header("authorization", &format!("Bearer {token}")),
        Credential::Cookie => {
            let word = SecretToken::parse(TokenKind::Session, token).unwrap().csrf_token();
            with_cookie(app, token, request).header("x-csrf-token", &word)
        }
    }
}

fn with_cookie(app: &TestApp, token: &str, request: Request) -> Request {
    let document = document(app);
    let name = document["components"]["securitySchemes"]["session_cookie"]["name"].clone();
    request.header("cookie", &format!("{}={token}", name.as_str().unwrap()))
}

/// A body that would be taken, so that nothing but the name is in the way.
fn good_body(operation: &Operation) -> Option<Value> {
    operation.tree.get("requestBody")?;
    Some(match operation.tree["operationId"].as_str().unwrap() {
        "change_key" => json!({ "name": "stolen" }),
        "rotate_key" => json!({ "overlap": "7d" }),
        other => panic!("{other}: what body would be taken?"),
    })
}

fn request(operation: &Operation, path: &str) -> Request {
    let request = operation.request(path);
    match good_body(operation) {
        Some(body) => request.json(&body),
        None => request,
    }
}

/// The path with a name in it.
fn named(path: &str, name: &str) -> String {
    let (before, rest) = path.split_once('{').unwrap();
    let (_, behind) = rest.split_once('}').unwrap();
    assert!(!behind.contains('{'), "{path}: one name at a time");
    format!("{before}{name}{behind}")
}

#[test]
fn nobody_reaches_what_is_anothers_by_its_name() {
    let app = TestApp::sandboxed();
    let (victim, thief) = (Owner::settle(&app, 1), Owner::settle(&app, 2));
    let before = victim.sees(&app);
    let named_operations: Vec<Operation> =
        operations(&app).into_iter().filter(|one| one.path.contains('{')).collect();
    assert!(named_operations.len() >= 8, "{}", named_operations.len());
    for operation in &named_operations {
        let may_key = operation.schemes().contains("api_key");
        for name in victim.names(&operation.path) {
            let path = named(&operation.path, name);
            for credential in CREDENTIALS {
                let response = thief.ask(&app, credential, request(operation, &path));
                if credential == Credential::Key && !may_key {
                    response.expect_refusal(403, "session_required");
                } else {
                    response.expect_refusal(404, "not_found");
                }
            }
        }
    }
    assert_eq!(victim.sees(&app), before);

    // The names are good: their owner gets there by them. What ends something comes last.
    let rank =
        |method: &str| ["get", "patch", "put", "post", "delete"].iter().position(|m| *m == method);
    let mut in_order: Vec<&Operation> = named_operations.iter().collect();
    in_order.sort_by_key(|one| (rank(&one.method), one.path.contains("sessions")));
    for operation in in_order {
        for name in victim.names(&operation.path) {
            let request = request(operation, &named(&operation.path, name));
            let own = (&victim.account, victim.token.as_str());
            // A stream goes on, so that only its head is looked at.
            let answer = app.connect().ask(&with(&app, Credential::Session, own, request));
            let place = format!("{} {}", operation.method, operation.path);
            assert!((200..300).contains(&answer.status), "{place} of {name}: {}", answer.status);
        }
    }
    app.db(|conn| diesel::delete(table::table).execute(conn).unwrap());
}

#[test]
fn a_name_behind_the_question_mark_leads_to_nobody_elses_things_either() {
    let app = TestApp::sandboxed();
    let (victim, thief) = (Owner::settle(&app, 1), Owner::settle(&app, 2));
    let secrets: Vec<&String> = victim.names.values().flatten().collect();
    let mut asked = 0;
    for operation in operations(&app) {
        let parameters = operation.tree["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            // Each name of the victim's in each parameter, whatever it is meant for.
            for secret in &secrets {
                let path = format!("{}?{name}={secret}", operation.path);
                let response = thief.ask(&app, Credential::Session, request(&operation, &path));
                assert!([200, 400, 404].contains(&response.status), "{path}: {}", response.text());
                let text = response.text();
                for other in &secrets {
                    assert!(!text.contains(other.as_str()), "{path} tells {other}: {text}");
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 50, "{asked}");
    app.db(|conn| diesel::delete(table::table).execute(conn).unwrap());
}

#[test]
fn who_may_ask_is_what_the_document_says() {
    let app = TestApp::sandboxed();
    let account = app.account("1.00");
    for operation in operations(&app) {
        let path = filled(&operation.path);
        let place = format!("{} {}", operation.method, operation.path);
        let ask = |request: Request| app.ask(&request);
        let bare = || operation.request(&path);
        if operation.schemes().is_empty() {
            let status = ask(bare()).status;
            assert!(![401, 403].contains(&status), "{place}: {status}");
            continue;
        }
        // A session for each, since some end it.
        let token = app.session_of(account.id);
        let own = (&account, token.as_str());
        if operation.is_stream() && !operation.path.contains('{') {
            ask(bare()).expect_refusal(401, "unauthenticated");
            for credential in CREDENTIALS {
                let request = with(&app, credential, own, bare());
                // It goes on, so that only its head is looked at.
                assert_eq!(app.connect().ask(&request).status, 200, "{place}");
            }
            continue;
        }
        ask(bare()).expect_refusal(401, "unauthenticated");
        ask(bare().key("sk-ant-none")).expect_refusal(401, "unauthenticated");
        let stranger = format!("Bearer sess_{}", "0".repeat(52));
        ask(bare().header("authorization", &stranger)).expect_refusal(401, "unauthenticated");
        let by_key = ask(with(&app, Credential::Key, own, bare()));
        if operation.schemes().contains("api_key") {
            assert!(![401, 403].contains(&by_key.status), "{place}: {}", by_key.text());
        } else {
            by_key.expect_refusal(403, "session_required");
        }
        let by_cookie = ask(with_cookie(&app, &token, bare()));
        if operation.method == "get" {
            assert!(![401, 403].contains(&by_cookie.status), "{place}: {}", by_cookie.text());
        } else {
            by_cookie.expect_refusal(403, "csrf_token");
            let forged = with_cookie(&app, &token, bare()).header("x-csrf-token", "forged");
            ask(forged).expect_refusal(403, "csrf_token");
        }
        for credential in [Credential::Cookie, Credential::Session] {
            let token = app.session_of(account.id);
            let response = ask(with(&app, credential, (&account, &token), bare()));
            assert!(![401, 403].contains(&response.status), "{place}: {}", response.text());
        }
    }
}
