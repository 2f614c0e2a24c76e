//! The website as a browser asks it: with a session's cookie, and forms with the word that our
//! pages put into them.

use sluice::domain::secret_token::{SecretToken, TokenKind};

use super::app::{Account, TestApp};
use super::client::{Request, Response};

/// Somebody who is logged in, without a script.
pub(crate) struct Browser<'a> {
    app: &'a TestApp,
    cookie: String,
    word: String,
}

impl TestApp {
    /// The browser of an account's person.
    pub(crate) fn browser(&self, account: &Account) -> Browser<'_> {
        self.browser_with(&account.log_in(self))
    }

    /// The browser of whoever has a session's token.
    pub(crate) fn browser_with(&self, token: &str) -> Browser<'_> {
        let word = SecretToken::parse(TokenKind::Session, token).unwrap().csrf_token();
        Browser { app: self, cookie: format!("sluice_session={token}"), word }
    }
}

impl Browser<'_> {
    /// The same with a time zone, as our script notes it.
    pub(crate) fn reading_in(&self, zone: &str) -> Self {
        let cookie = format!("{}; sluice_zone={zone}", self.cookie);
        Self { app: self.app, cookie, word: self.word.clone() }
    }

    /// A page as it comes.
    pub(crate) fn look(&self, path: &str) -> Response {
        self.app.ask(&Request::get(path).header("cookie", &self.cookie))
    }

    /// The page that a form leads to, with the cookies that its answer has set.
    pub(crate) fn led_on(&self, answer: &Response) -> Response {
        let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
        let carried = set.filter_map(|(_, cookie)| cookie.split(';').next());
        let cookies: Vec<&str> = std::iter::once(self.cookie.as_str()).chain(carried).collect();
        self.app.ask(&Request::get(answer.sends_to()).header("cookie", &cookies.join("; ")))
    }

    /// The text of a page that is there, and that has nothing in it which our policy forbids.
    pub(crate) fn page(&self, path: &str) -> String {
        let response = self.look(path);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let text = response.text();
        for forbidden in ["<script>", " style=", " onclick=", " onload=", "<style", "javascript:"] {
            assert!(!text.contains(forbidden), "{path} has {forbidden}");
        }
        assert_eq!(response.header("cache-control"), Some("no-store"), "{path}");
        text
    }

    /// Sends a form of one of our pages.
    pub(crate) fn send(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.send_with(path, fields, &self.word)
    }

    /// Sends a form with a word that may be none of ours.
    pub(crate) fn send_with(&self, path: &str, fields: &[(&str, &str)], word: &str) -> Response {
        let fields = fields.iter().copied().chain([("csrf", word)]);
        let body: Vec<String> =
            fields.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = Request::form(path, body.join("&")).header("cookie", &self.cookie);
        self.app.ask(&request)
    }
}

impl Response {
    /// Asserts that the browser is sent on, and says where.
    pub(crate) fn sends_to(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.text());
        self.header("location").unwrap()
    }
}

fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
