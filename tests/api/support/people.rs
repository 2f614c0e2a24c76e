//! People with an account: how they get one, and what they log in with.

use std::sync::OnceLock;

use serde_json::{Value, json};
use sluice::accounts;
use sluice::accounts::identity::email_tokens::{self, LinkPurpose, TokenHolder};
use sluice::accounts::identity::sessions;
use sluice::db::models::credentials;
use sluice::db::models::credentials_epoch::{self, Kept};
use sluice::domain::ids::{AccountId, public_id};
use totp_rs::{Builder, Totp};

use super::app::{Account, TestApp};
use super::client::{Request, Response};

/// What everybody here has for a password.
pub(crate) const PASSWORD: &str = "correct horse 47 battery";

/// Somebody who is logged in.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) id: AccountId,
    pub(crate) email: String,
    /// The session's token.
    pub(crate) token: String,
}

/// bcrypt's text of [`PASSWORD`], made once: it takes its time.
fn hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| bcrypt::hash(PASSWORD, 12).unwrap())
}

impl TestApp {
    /// An account with [`PASSWORD`] and a session, put into the database without a log-in.
    pub(crate) fn person(&self) -> Person {
        let email = format!("{}@example.org", public_id("someone-").unwrap());
        let now = self.clock.now();
        let id = self.db(|conn| {
            let id = accounts::open(conn, &email, now).unwrap().id;
            credentials::set_password(conn, id, hash(), Kept::Nobodys).unwrap();
            id
        });
        Person { id, token: self.session_of(id), email }
    }

    /// A session of an account, put into the database without a log-in.
    pub(crate) fn session_of(&self, id: AccountId) -> String {
        let (settings, now) = (&self.settings.accounts, self.clock.now());
        let opened = self.db(|conn| sessions::open(conn, id, settings, now).unwrap());
        opened.token.reveal().to_owned()
    }

    /// What is in a link that was mailed, without the mail.
    pub(crate) fn link(&self, purpose: LinkPurpose, id: Option<AccountId>, email: &str) -> String {
        let (lifetime, now) = (self.settings.accounts.mail_link, self.clock.now());
        let token = self.db(|conn| {
            let holder = id.map(|account_id| TokenHolder {
                account_id,
                credentials_epoch: credentials_epoch::current(conn, account_id).unwrap().unwrap(),
            });
            email_tokens::issue(conn, purpose, (holder, email), lifetime, now).unwrap()
        });
        token.reveal().to_owned()
    }

    /// Asks as nobody in particular.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        self.ask(&Request::new("POST", path).json(body))
    }

    /// Asks by a session's token.
    pub(crate) fn by(&self, token: &str, method: &str, path: &str) -> Response {
        self.ask(&by(token, method, path))
    }

    /// The same with a body.
    pub(crate) fn by_with(&self, token: &str, method: &str, path: &str, body: &Value) -> Response {
        self.ask(&by(token, method, path).json(body))
    }

    /// Logs in.
    pub(crate) fn log_in(&self, email: &str, password: &str) -> Response {
        self.post("/api/v1/sessions", &json!({ "email": email, "password": password }))
    }

    /// Logs in with a code.
    pub(crate) fn log_in_with(&self, email: &str, code: &str) -> Response {
        let body = json!({ "email": email, "password": PASSWORD, "code": code });
        self.post("/api/v1/sessions", &body)
    }

    /// Whether a session is in force.
    pub(crate) fn is_logged_in(&self, token: &str) -> bool {
        match self.by(token, "GET", "/api/v1/account").status {
            200 => true,
            401 => false,
            status => panic!("{status}"),
        }
    }

    /// Whether a password is an account's.
    pub(crate) fn has_password(&self, email: &str, password: &str) -> bool {
        match self.log_in(email, password).status {
            201 => true,
            401 => false,
            status => panic!("{status}"),
        }
    }

    /// Sets up a second factor: the authenticator app, and the recovery codes.
    pub(crate) fn enable_totp(&self, person: &Person) -> (Totp, Vec<String>) {
        let password = json!({ "password": PASSWORD });
        let setup = self.by_with(&person.token, "POST", "/api/v1/account/totp", &password);
        assert_eq!(setup.status, 201, "{}", setup.text());
        let app = authenticator(setup.json()["secret"].as_str().unwrap());
        let code = json!({ "code": self.code_now(&app) });
        let enabled = self.by_with(&person.token, "PUT", "/api/v1/account/totp", &code);
        assert_eq!(enabled.status, 200, "{}", enabled.text());
        let codes = enabled.json()["recovery_codes"].as_array().unwrap().clone();
        (app, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
    }

    /// What an authenticator app shows now.
    pub(crate) fn code_now(&self, app: &Totp) -> String {
        let seconds = self.clock.now().as_millis() / 1000;
        app.generate(seconds.unsigned_abs()).to_string()
    }
}

impl Account {
    /// As somebody who can log in.
    pub(crate) fn log_in(&self, app: &TestApp) -> String {
        app.session_of(self.id)
    }
}

/// An authenticator app with a key as people type it.
pub(crate) fn authenticator(secret: &str) -> Totp {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    Builder::new().with_secret(secret).build().unwrap()
}

/// A request by a session's token.
pub(crate) fn by(token: &str, method: &str, path: &str) -> Request {
    Request::new(method, path).header("authorization", &format!("Bearer {token}"))
}

impl Response {
    /// The token of the session that has begun.
    pub(crate) fn session(&self) -> String {
        assert_eq!(self.status, 201, "{}", self.text());
        self.json()["token"].as_str().unwrap().to_owned()
    }

    /// Asserts that something was done and nothing is said.
    pub(crate) fn expect_done(&self) {
        assert_eq!(self.status, 204, "{}", self.text());
        assert!(self.body.is_empty());
    }
}
