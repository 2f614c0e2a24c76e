//! Somebody's whole life with the service by its pages and forms.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sluice::accounts::identity::unsubscribe;
use sluice::domain::clock::Clock;
use sluice::domain::policy::PolicyKind;
use sluice::policies::{PolicyDraft, publish};
use sluice::site;

use super::by_api::{code_now, converse};
use super::stage::{EMAIL, KEY_NAME, PASSWORD, Stage};
use crate::privacy::canaries::Place;
use crate::support::api::{checksummed, hex};
use crate::support::app::credit;
use crate::support::chain::wallet::Wallet;
use crate::support::client::{Request, Response};
use crate::support::forms::{encoded, forms, tags};
use crate::support::people::authenticator;

/// Goes through everything.
pub(super) fn live(stage: &Stage) {
    let mut person = Person::sign_up(stage);
    let codes = person.protect();
    person.log_in_again(&codes[1]);
    person.spend();
    person.pay();
    person.look();
    person.unsubscribe();
    person.change(&codes[2]);
    person.leave();
}

/// Cookies, and whose they are.
struct Person<'a> {
    stage: &'a Stage,
    cookies: RefCell<BTreeMap<String, String>>,
    email: String,
    password: String,
}

impl<'a> Person<'a> {
    fn sign_up(stage: &'a Stage) -> Self {
        let (email, password) = (format!("{EMAIL}bea@example.org"), format!("{PASSWORD}four-8263"));
        let person = Self { stage, cookies: RefCell::default(), email, password };
        person.sends_on("/sign-up", "/sign-up", &[("email", &person.email)]);
        let token = stage.mailed(&person.email, "/sign-up/confirm");
        let page = format!("/sign-up/confirm?token={token}");
        let fields = [("token", token.as_str()), ("password", &person.password)];
        person.sends_on(&page, "/sign-up/confirm", &fields);
        person.plant_session();
        person
    }

    fn plant_session(&self) {
        let token = self.cookies.borrow()["sluice_session"].clone();
        self.stage.plant_token("a session", &token);
    }

    /// Asks, and keeps cookies as a browser does.
    fn ask(&self, request: Request) -> Response {
        let cookies: Vec<String> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header("accept", "text/html");
        let response = self.stage.ask(request.header("cookie", &cookies.join("; ")));
        let sent = response.headers.iter().filter(|(name, _)| name == "set-cookie");
        for (name, value) in
            sent.filter_map(|(_, cookie)| cookie.split(';').next()?.split_once('='))
        {
            if value.is_empty() {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    /// A page that is there, its head asked for too.
    fn page(&self, path: &str) -> String {
        assert_eq!(self.ask(Request::new("HEAD", path)).status, 200, "{path}");
        let response = self.ask(Request::get(path));
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.text()
    }

    /// Sends a form with the word that is in the forms of a page.
    fn send(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Response {
        let forms = forms(&self.page(page));
        let mut words = forms.iter().flat_map(|form| &form.fields);
        let word = words.find(|(name, _)| name == "csrf").expect("a form").1.clone();
        let fields = fields.iter().copied().chain([("csrf", word.as_str())]);
        let body: Vec<String> =
            fields.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        self.ask(Request::form(action, body.join("&")))
    }

    /// The same, and is led on.
    fn sends_on(&self, page: &str, action: &str, fields: &[(&str, &str)]) {
        let response = self.send(page, action, fields);
        assert_eq!(response.status, 303, "{action}: {}", response.text());
    }

    /// The same, and is shown something.
    fn sends(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> String {
        let response = self.send(page, action, fields);
        assert_eq!(response.status, 200, "{action}: {}", response.text());
        response.text()
    }

    /// Turns the second factor on; its recovery codes.
    fn protect(&self) -> Vec<String> {
        let canaries = &self.stage.canaries;
        let page = "/account/totp";
        self.sends_on(page, "/account/totp/key", &[("password", &self.password)]);
        let secret = between(&self.page(page), "id=\"secret\">", "<").replace(' ', "");
        canaries.plant("the key of a second factor", &secret);
        let code = code_now(&authenticator(&secret));
        let first = recovery_codes(&self.sends(page, page, &[("code", &code)]));
        self.sends(page, "/account/totp/codes/file", &[("code", &first[0])]);
        let both = [("password", self.password.as_str()), ("code", &first[0])];
        let codes = recovery_codes(&self.sends(page, "/account/totp/codes", &both));
        for code in first.iter().chain(&codes) {
            canaries.plant("a recovery code", code);
            canaries.plant("a recovery code", &code.replace('-', ""));
        }
        codes
    }

    fn log_in(&self) {
        let fields = [("email", self.email.as_str()), ("password", &self.password)];
        self.sends_on("/log-in", "/log-in", &fields);
        self.plant_session();
    }

    fn log_in_again(&self, code: &str) {
        self.sends_on("/account", "/log-out", &[]);
        let fields = [("email", self.email.as_str()), ("password", &self.password)];
        self.sends_on("/log-in", "/log-in", &fields);
        let step = self.cookies.borrow().values().find(|value| value.starts_with("step_")).cloned();
        self.stage.plant_token("a step of a log-in", &step.expect("a second step"));
        self.sends_on("/log-in/code", "/log-in/code", &[("code", code)]);
        self.plant_session();
    }

    /// A key and what it is used for.
    fn spend(&self) {
        let mut conn = self.stage.process.database.connect();
        let known =
            sluice::db::models::credentials::of_address(&mut conn, &self.email).unwrap().unwrap();
        credit(&mut conn, known.id, 5_000_000_000);
        let made = self.send("/keys", "/keys", &[("name", KEY_NAME), ("scopes", "inference")]);
        let key = self.new_key(&made);
        let usage = converse(self.stage, &key);
        self.page(&format!("/usage/{usage}"));
        let path = link(&self.page("/keys"), "/keys/");
        let name = format!("{KEY_NAME} again");
        self.sends_on(
            &path,
            &path,
            &[("name", &name), ("scopes", "inference"), ("monthly_budget", "4.00")],
        );
        self.sends_on(&path, &format!("{path}/pause"), &[]);
        self.sends_on(&path, &format!("{path}/resume"), &[]);
        let rotated = self.send(&path, &format!("{path}/rotate"), &[("overlap", "1h")]);
        converse(self.stage, &self.new_key(&rotated));
        self.sends_on(&path, &format!("{path}/revoke"), &[("sure", "yes")]);
    }

    /// The key on the page that a form leads to.
    fn new_key(&self, made: &Response) -> String {
        assert_eq!(made.status, 303, "{}", made.text());
        let page = self.page(made.header("location").unwrap());
        let key = between(&page, "id=\"secret\" class=\"secret\">", "<");
        self.stage.plant_key(&key);
        key
    }

    fn pay(&self) {
        let canaries = &self.stage.canaries;
        let (wallet, tx_hash) = (Wallet::numbered(78), [0xcb; 32]);
        let address = wallet.address();
        let may = &[Place::Store];
        canaries.plant_bytes("a wallet's address", address.as_bytes(), may);
        canaries.plant_bytes("a transaction's hash", &tx_hash, may);
        let fields = [("address", &*checksummed(address)), ("chain", "base")];
        let page = self.sends("/wallets", "/wallets/challenge", &fields);
        let area = between(&page, "<textarea id=\"message\"", "</textarea>");
        let message = area.split_once('>').unwrap().1.replace("&#38;", "&");
        let signature = hex(&wallet.sign_message(&message));
        let sent = message.replace('\n', "\r\n");
        self.sends_on(
            "/wallets",
            "/wallets/link",
            &[("message", &sent), ("signature", &signature)],
        );
        let action = forms(&self.page("/wallets")).into_iter().map(|form| form.action);
        let label = action.clone().find(|action| action.ends_with("/label")).unwrap();
        self.sends_on("/wallets", &label, &[("label", "my wallet")]);
        let unlink = action.into_iter().find(|action| action.ends_with("/unlink")).unwrap();
        self.sends_on("/wallets", &unlink, &[]);
        self.sends_on("/deposits", "/deposits/address", &[]);
        let claim = [("chain", "base"), ("tx_hash", &*hex(&tx_hash))];
        self.sends_on("/deposits", "/deposits", &claim);
        self.page(&link(&self.page("/deposits"), "/deposits/"));
    }

    /// Every page whose path has no name in it; those that mail leads to stay as they are without a
    /// token.
    fn look(&self) {
        let routes = site::routes::table().routes();
        let pages = routes.iter().filter(|(method, path)| method == "GET" && !path.contains('{'));
        for (_, path) in pages {
            for method in ["GET", "HEAD"] {
                let response = self.ask(Request::new(method, path));
                assert!(response.status < 400, "{path}: {}", response.text());
            }
        }
        let home = self.page("/");
        let style = tags(&home).into_iter().find(|tag| tag.get("rel") == Some("stylesheet"));
        self.page(style.unwrap().get("href").unwrap());
    }

    /// Turns notices off as a mail program does, and looks at what was published.
    fn unsubscribe(&self) {
        let mut conn = self.stage.process.database.connect();
        let known =
            sluice::db::models::credentials::of_address(&mut conn, &self.email).unwrap().unwrap();
        let (day, now) = (std::time::Duration::from_hours(24), Clock::System.now());
        let token = unsubscribe::issue(&mut conn, known.id, day, now).unwrap();
        self.stage.plant_token("a link that turns notices off", token.reveal());
        let path = format!("/unsubscribe?token={}", token.reveal());
        self.page(&path);
        let done = self.ask(Request::form(&path, "List-Unsubscribe=One-Click".to_owned()));
        assert_eq!(done.status, 200, "{}", done.text());
        for kind in [PolicyKind::Privacy, PolicyKind::Terms] {
            let body = site::policies::text(kind, &self.stage.settings).unwrap();
            let words = "It begins.";
            let (in_force, is_significant, notice_days) = (None, false, 30);
            let draft =
                PolicyDraft { kind, words, body: &body, in_force, is_significant, notice_days };
            publish(&mut conn, &draft, now).unwrap();
            self.page(&format!("/{kind}/versions/1"));
        }
    }

    fn change(&mut self, code: &str) {
        let wishes = [("low_balance", "2.50"), ("wants_notices", "on")];
        self.sends_on("/preferences", "/preferences", &wishes);
        let both = [("password", self.password.as_str()), ("code", code)];
        self.sends_on("/account/totp", "/account/totp/off", &both);
        let new = format!("{PASSWORD}five-0738");
        let fields = [("password", self.password.as_str()), ("new_password", &new)];
        self.sends_on("/account/password", "/account/password", &fields);
        self.password = new;
        let email = format!("{EMAIL}eva@example.org");
        let fields = [("email", email.as_str()), ("password", &self.password)];
        self.sends_on("/account/email", "/account/email", &fields);
        let token = self.stage.mailed(&email, "/email/confirm");
        let page = format!("/email/confirm?token={token}");
        self.sends_on(&page, "/email/confirm", &[("token", &token)]);
        self.email = email;
        self.sends_on("/reset", "/reset", &[("email", &self.email)]);
        let token = self.stage.mailed(&self.email, "/reset/confirm");
        let password = format!("{PASSWORD}six-1945");
        let page = format!("/reset/confirm?token={token}");
        let fields = [("token", token.as_str()), ("password", &password)];
        self.sends_on(&page, "/reset/confirm", &fields);
        self.password = password;
    }

    fn leave(&self) {
        self.log_in();
        let own = self.page("/account/sessions");
        let end = forms(&own).into_iter().map(|form| form.action);
        let end = end.into_iter().find(|action| action.contains("/session_")).unwrap();
        self.sends_on("/account/sessions", &end, &[]);
        self.cookies.borrow_mut().clear();
        self.log_in();
        self.sends_on("/account/sessions", "/account/sessions/end", &[]);
        self.cookies.borrow_mut().clear();
        self.log_in();
        let wish = [("password", self.password.as_str()), ("waive_balance", "yes")];
        self.sends_on("/account/closing", "/account/closing", &wish);
        self.log_in();
        self.sends_on("/account/closing", "/account/closing/undo", &[]);
    }
}

/// What stands between two texts.
fn between(page: &str, before: &str, behind: &str) -> String {
    let (_, rest) = page.split_once(before).unwrap_or_else(|| panic!("no {before} in {page}"));
    rest.split(behind).next().unwrap().to_owned()
}

/// Where the first link leads that begins so, and goes on.
fn link(page: &str, start: &str) -> String {
    let links = tags(page).into_iter().filter(|tag| tag.name == "a");
    let mut links = links.filter_map(|tag| tag.get("href").map(str::to_owned));
    let found = links.find(|link| link.len() > start.len() && link.starts_with(start));
    found.unwrap_or_else(|| panic!("no link to {start}… in {page}"))
}

fn recovery_codes(page: &str) -> Vec<String> {
    let codes: Vec<String> =
        page.split("<li>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect();
    let codes: Vec<String> = codes.into_iter().filter(|code| code.len() == 19).collect();
    assert_eq!(codes.len(), 10, "{page}");
    codes
}
