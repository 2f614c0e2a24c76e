//! Keys as the person to whom they belong handles them.

use diesel::prelude::*;
use serde_json::Value;
use sluice::accounts::identity::sessions;
use sluice::db::models::api_keys::{self, ApiKeyRow};
use sluice::db::schema::accounts;

use super::app::{Account, TestApp};
use super::client::{Request, Response};

impl Account {
    /// The last characters of the key, which its hint shows.
    pub(crate) fn key_end(&self) -> &str {
        self.key.get(52..).unwrap()
    }
}

impl TestApp {
    /// Asks as the person, by a session that has just begun.
    pub(crate) fn as_person(
        &self,
        account: &Account,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Response {
        let (now, settings) = (self.clock.now(), &self.settings.accounts);
        let opened = self.db(|conn| sessions::open(conn, account.id, settings, now).unwrap());
        let request = match body {
            Some(body) => Request::new(method, path).json(body),
            None => Request::new(method, path),
        };
        let token = format!("Bearer {}", opened.token.reveal());
        self.ask(&request.header("authorization", &token))
    }

    /// The account with another key of its own, made with these limits.
    pub(crate) fn limited(&self, account: &Account, limits: &Value) -> Account {
        let mut body = limits.clone();
        body["name"] = "limited".into();
        let made = self.as_person(account, "POST", "/api/v1/keys", Some(&body));
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Account { key: text("key"), key_id: text("id"), ..account.clone() }
    }

    /// Changes the key.
    pub(crate) fn change_key(&self, account: &Account, change: &Value) -> Value {
        let path = format!("/api/v1/keys/{}", account.key_id);
        let changed = self.as_person(account, "PATCH", &path, Some(change));
        assert_eq!(changed.status, 200, "{}", changed.text());
        changed.json()
    }

    /// The key as its owner sees it.
    pub(crate) fn shown_key(&self, account: &Account) -> Value {
        let path = format!("/api/v1/keys/{}", account.key_id);
        let shown = self.as_person(account, "GET", &path, None);
        assert_eq!(shown.status, 200, "{}", shown.text());
        shown.json()
    }

    /// The key as it is stored.
    pub(crate) fn stored_key(&self, account: &Account) -> ApiKeyRow {
        self.db(|conn| api_keys::find(conn, &account.key_id).unwrap().unwrap())
    }

    /// Where the account's mail goes.
    pub(crate) fn address_of(&self, account: &Account) -> String {
        let of = accounts::table.find(account.id.0).select(accounts::email);
        self.db(|conn| of.first(conn).unwrap())
    }
}
