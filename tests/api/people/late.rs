//! A session that ends while the body of its request is under way changes nothing: the sender
//! decides how long a body takes, so a request that was recognised is recognised once more, and
//! what makes or changes a key looks again where it writes.

use diesel::prelude::*;
use serde_json::{Value, json};
use sluice::accounts::identity::AuthError;
use sluice::accounts::identity::sessions::{self, LiveSession};
use sluice::accounts::keys::{self, KeyActor, KeyChange, KeyError, NewKey};
use sluice::db::models::api_keys::ApiKeyRow;
use sluice::db::models::{accounts, sessions as session_rows};
use sluice::domain::account_status::AccountStatus;
use sluice::domain::ids::AccountId;
use sluice::domain::key_overlap::KeyOverlap;
use sluice::domain::money::NanoUsd;
use sluice::domain::price_list::{Markup, PriceList};
use sluice::domain::secret_token::{SecretToken, TokenKind};

use crate::support::app::{Builder, TestApp};
use crate::support::client::{Connection, Request, Response};
use crate::support::people::{PASSWORD, Person, by};
use crate::support::upstream::Upstream;
use crate::support::wait::eventually;

const NEW: &str = "another 83 password";
/// After so long the next use of a session is noted, which shows that a request was recognised.
const UNTIL_NOTED: i64 = 11 * 60 * 1000;
/// Bytes of a body that come with its head.
const EARLY: usize = 5;

fn app() -> TestApp {
    Builder::new().upstream("primary", Upstream::nowhere()).start()
}

/// What comes in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Password,
    LogOut,
    Closing,
    Suspension,
}

impl End {
    const ALL: [Self; 4] = [Self::Password, Self::LogOut, Self::Closing, Self::Suspension];

    fn come(self, app: &TestApp, person: &Person) {
        let (method, path, body) = match self {
            Self::Password => {
                let body = json!({ "password": PASSWORD, "new_password": NEW });
                ("PUT", "/api/v1/account/password", body)
            }
            Self::LogOut => ("DELETE", "/api/v1/sessions", Value::Null),
            Self::Closing => {
                let body = json!({ "password": PASSWORD, "waive_balance": true });
                ("POST", "/api/v1/account/closing", body)
            }
            Self::Suspension => {
                let id = person.id;
                let status = AccountStatus::Suspended;
                assert!(app.db(|conn| accounts::set_status(conn, id, status).unwrap()));
                return;
            }
        };
        let done = app.by_with(&person.token, method, path, &body);
        assert!(done.status < 300, "{self:?}: {}", done.text());
    }

    /// How late requests are answered by JSON, and by a page.
    const fn answers(self) -> (u16, u16) {
        match self {
            Self::Password | Self::LogOut | Self::Closing => (401, 303),
            Self::Suspension => (403, 403),
        }
    }
}

/// A request whose body is under way.
struct Late {
    connection: Connection,
    rest: Vec<u8>,
}

impl Late {
    /// Sends the beginning, and waits until the server knows who asks.
    fn begin(app: &TestApp, token: &str, request: &Request) -> Self {
        app.clock.advance(UNTIL_NOTED);
        let now = app.clock.now();
        let mut bytes = request.to_bytes();
        let rest = bytes.split_off(request.head_bytes().len() + EARLY);
        let mut connection = Connection::open(app.address);
        connection.write(&bytes);
        let hash = SecretToken::parse(TokenKind::Session, token).unwrap().hash();
        eventually("the session to be recognised", || {
            let found = app.db(|conn| session_rows::by_hash(conn, &hash).unwrap());
            (found.unwrap().0.last_seen_at == now).then_some(())
        });
        Self { connection, rest }
    }

    fn end(mut self) -> Response {
        self.connection.write(&self.rest);
        self.connection.answer(false).finish()
    }
}

/// The keys that the account has, and what it wants to be told.
fn state(app: &TestApp, id: AccountId) -> (Vec<(String, Option<i64>)>, bool) {
    app.db(|conn| {
        let rows: Vec<ApiKeyRow> = keys::list(conn, id).unwrap();
        let budget = |row: &ApiKeyRow| row.limits().total_budget.map(NanoUsd::as_nanos);
        let keys = rows.iter().map(|row| (row.name.clone(), budget(row))).collect();
        (keys, accounts::preferences(conn, id).unwrap().unwrap().wants_notices)
    })
}

/// A person with a key that has a budget, and the key's name.
fn person_with_key(app: &TestApp) -> (Person, String) {
    let person = app.person();
    let wanted = json!({ "name": "kept", "total_budget": "1" });
    let made = app.by_with(&person.token, "POST", "/api/v1/keys", &wanted);
    assert_eq!(made.status, 201, "{}", made.text());
    (person, made.json()["id"].as_str().unwrap().to_owned())
}

fn form(token: &str, path: &str, fields: &str) -> Request {
    let word = SecretToken::parse(TokenKind::Session, token).unwrap().csrf_token();
    let request = Request::form(path, format!("{fields}&csrf={word}"));
    request.header("cookie", &format!("sluice_session={token}"))
}

/// How the end of a request is answered behind an `end` of the session that has begun it; nothing
/// has changed.
fn answer_behind(app: &TestApp, end: End, request: impl FnOnce(&str, &str) -> Request) -> Response {
    let (person, key) = person_with_key(app);
    let intruder = app.session_of(person.id);
    let before = state(app, person.id);
    let request = request(&intruder, &key);
    let late = Late::begin(app, &intruder, &request);
    end.come(app, &person);
    let answer = late.end();
    assert_eq!(state(app, person.id), before, "{end:?} {:?}", request.target());
    answer
}

#[test]
fn a_late_body_does_nothing_once_its_session_has_ended_or_may_not_any_more() {
    let app = app();
    for end in End::ALL {
        for (method, path, body) in [
            ("POST", "/api/v1/keys", json!({ "name": "late" })),
            ("PATCH", "/api/v1/keys/{key}", json!({ "total_budget": null })),
            (
                "PUT",
                "/api/v1/preferences",
                json!({ "low_balance_usd": null, "wants_notices": false }),
            ),
        ] {
            let answer = answer_behind(&app, end, |intruder, key| {
                by(intruder, method, &path.replace("{key}", key)).json(&body)
            });
            assert_eq!(answer.status, end.answers().0, "{end:?} {path}: {}", answer.text());
        }
    }
}

#[test]
fn a_late_form_does_nothing_once_its_session_has_ended_or_may_not_any_more() {
    let app = app();
    for end in End::ALL {
        for (path, fields) in [
            ("/keys", "name=late&scopes=inference"),
            ("/keys/{key}", "name=kept&scopes=inference&total_budget="),
            ("/preferences", "low_balance="),
        ] {
            let answer = answer_behind(&app, end, |intruder, key| {
                form(intruder, &path.replace("{key}", key), fields)
            });
            assert_eq!(answer.status, end.answers().1, "{end:?} {path}: {}", answer.text());
            if answer.status == 303 {
                assert_eq!(answer.header("location"), Some("/log-in"), "{end:?} {path}");
            }
        }
    }
}

#[test]
fn a_body_that_takes_its_time_is_taken_while_the_session_is_in_force() {
    let app = app();
    let person = app.person();
    let wanted = by(&person.token, "POST", "/api/v1/keys").json(&json!({ "name": "slow" }));
    assert_eq!(Late::begin(&app, &person.token, &wanted).end().status, 201);
    let wanted = form(&person.token, "/keys", "name=slower&scopes=inference");
    assert_eq!(Late::begin(&app, &person.token, &wanted).end().status, 303);
    let names: Vec<String> = state(&app, person.id).0.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["slow", "slower"]);
}

#[test]
fn what_makes_or_changes_a_key_looks_at_the_session_where_it_writes() {
    let app = app();
    for end in End::ALL {
        let (person, key) = person_with_key(&app);
        let token = SecretToken::parse(TokenKind::Session, &app.session_of(person.id)).unwrap();
        let (settings, now) = (&app.settings.accounts, app.clock.now());
        let session: LiveSession = app.db(|conn| {
            sessions::find_session(conn, &token.hash(), settings, now).unwrap().unwrap()
        });
        let before = state(&app, person.id);
        end.come(&app, &person);

        let by = KeyActor::Person(session);
        let prices = PriceList::new(Vec::new(), Markup::ONE, 0).unwrap();
        let change = KeyChange { total_budget: Some(None), ..KeyChange::default() };
        let refused = app.db(|conn| {
            let new = NewKey::named("late");
            [
                keys::issue(conn, &by, &new, (&prices, 100), now).err(),
                keys::change(conn, &by, &key, &change, &prices, now).err(),
                keys::rotate(conn, &by, &key, KeyOverlap::Day, now).err(),
                keys::revoke(conn, &by, &key, now).err(),
            ]
        });

        for error in refused {
            let is_told = match error {
                Some(KeyError::Person(AuthError::SessionEnded)) => end != End::Suspension,
                Some(KeyError::Person(AuthError::Suspended)) => end == End::Suspension,
                _ => false,
            };
            assert!(is_told, "{end:?}: {error:?}");
        }
        assert_eq!(state(&app, person.id), before, "{end:?}");
    }
}

#[test]
fn an_account_that_is_being_deleted_has_no_keys_in_force() {
    let app = app();
    let account = app.account("5");
    assert_eq!(app.models(&account).status, 200);
    let person_key = app.account("5");
    // As if a key had been put in meanwhile: the account closes, its key is not revoked.
    let sql = format!("UPDATE accounts SET closing_at = 1 WHERE id = {}", person_key.id.0);
    assert_eq!(app.db(|conn| diesel::sql_query(sql).execute(conn).unwrap()), 1);

    assert_eq!(app.models(&person_key).status, 401);
    let body = r#"{"model":"claude-sonnet-4-5","max_tokens":5,"messages":[{"role":"user",
        "content":"x"}]}"#;
    let asked = app.ask(&Request::post("/v1/messages", body).key(&person_key.key));
    assert_eq!(asked.status, 401, "{}", asked.text());
    assert_eq!(app.models(&account).status, 200, "others are as they were");
}
