//! A browser as far as forms and cookies go: it keeps cookies, reads pages as tags with attributes,
//! and sends the forms that stand in them.

use std::collections::BTreeMap;

use super::app::TestApp;
use super::client::{Request, Response};

/// Cookies, and the server that they are from.
pub(crate) struct Browser<'a> {
    pub(crate) app: &'a TestApp,
    pub(crate) cookies: BTreeMap<String, String>,
}

/// A tag of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

/// A form of a page: where it is sent, and its fields as they stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) method: String,
    pub(crate) action: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Tag {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Form {
    /// With a field as somebody fills it in.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl<'a> Browser<'a> {
    pub(crate) fn new(app: &'a TestApp) -> Self {
        Self { app, cookies: BTreeMap::new() }
    }

    /// One in which somebody is logged in.
    pub(crate) fn with_session(app: &'a TestApp, token: &str) -> Self {
        let mut browser = Self::new(app);
        browser.cookies.insert("sluice_session".to_owned(), token.to_owned());
        browser
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.ask(Request::get(path))
    }

    /// Sends a form.
    pub(crate) fn send(&mut self, form: &Form) -> Response {
        let pairs: Vec<String> = form
            .fields
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        self.ask(Request::form(&form.action, pairs.join("&")))
    }

    /// The form of a page that is sent to `action`.
    pub(crate) fn form(&mut self, page: &str, action: &str) -> Form {
        let response = self.get(page);
        assert_eq!(response.status, 200, "{page}: {}", response.text());
        form_to(&response.text(), action)
    }

    pub(crate) fn ask(&mut self, request: Request) -> Response {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = request.header("accept", "text/html,*/*;q=0.8");
        if !cookies.is_empty() {
            request = request.header("cookie", &cookies.join("; "));
        }
        let response = self.app.ask(&request);
        for (name, value) in &response.headers {
            if name == "set-cookie" {
                self.keep(value);
            }
        }
        response
    }

    fn keep(&mut self, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').expect("a cookie has attributes");
        let (name, value) = pair.split_once('=').expect("a cookie has a value");
        if attributes.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// As a form has it.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The tags of a page, closing ones aside. It reads what our own templates write: attributes in
/// double quotes.
pub(crate) fn tags(page: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        rest = after;
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let (tag, after) = tag(rest);
        found.push(tag);
        rest = after;
    }
    found
}

fn tag(text: &str) -> (Tag, &str) {
    let end = text.find(|c: char| c.is_whitespace() || c == '>' || c == '/').unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            let name = name.to_ascii_lowercase();
            return (Tag { name, attributes }, after);
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || c == '=' || c == '>')
            .unwrap_or_else(|| panic!("a tag without an end: {text:.80}"));
        let (attribute, after) = rest.split_at(end);
        let attribute = attribute.to_ascii_lowercase();
        rest = after;
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix("=\"") {
            let (quoted, after) = after.split_once('"').expect("a quote that ends");
            value = decoded(quoted);
            rest = after;
        } else {
            assert!(!rest.starts_with('='), "an attribute without quotes: {text:.80}");
        }
        assert!(attributes.iter().all(|(known, _)| *known != attribute), "{attribute} twice");
        attributes.push((attribute, value));
    }
}

fn decoded(text: &str) -> String {
    text.replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}

/// The forms of a page with their hidden and filled-in fields.
pub(crate) fn forms(page: &str) -> Vec<Form> {
    let mut found: Vec<Form> = Vec::new();
    for part in page.split("<form").skip(1) {
        let inner = part.split("</form>").next().unwrap_or(part);
        let text = format!("<form{inner}");
        let all = tags(&text);
        let (form, fields) = all.split_first().expect("the form itself");
        let is_field = |tag: &&Tag| tag.name == "input" && tag.get("name").is_some();
        let is_sent = |tag: &&Tag| {
            !matches!(tag.get("type"), Some("checkbox" | "radio")) || tag.get("checked").is_some()
        };
        found.push(Form {
            method: form.get("method").unwrap_or("get").to_owned(),
            action: form.get("action").unwrap_or_default().to_owned(),
            fields: fields
                .iter()
                .filter(is_field)
                .filter(is_sent)
                .map(|tag| {
                    let value = tag.get("value").unwrap_or_default();
                    (tag.get("name").unwrap_or_default().to_owned(), value.to_owned())
                })
                .collect(),
        });
    }
    found
}

/// The form that is sent to `action`.
pub(crate) fn form_to(page: &str, action: &str) -> Form {
    let all = forms(page);
    let found = all.iter().find(|form| form.action == action);
    found.unwrap_or_else(|| panic!("no form to {action}: {all:?}\n{page}")).clone()
}
