//! The interface describes itself: what `/openapi.json` says is what is served, by paths, methods,
//! and who may ask.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::support::app::{Builder, TestApp};
use crate::support::client::{Request, Response};
use crate::support::sandbox::sandbox;

const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];

/// One operation of the document.
pub(crate) struct Operation {
    pub(crate) path: String,
    pub(crate) method: String,
    pub(crate) tree: Value,
}

impl Operation {
    /// Whether its answer goes on until its reader leaves.
    pub(crate) fn is_stream(&self) -> bool {
        self.tree["responses"]["200"]["content"].get("text/event-stream").is_some()
    }

    /// The names of the schemes by any of which one may ask; none for what is open to anybody.
    pub(crate) fn schemes(&self) -> BTreeSet<&str> {
        let required = self.tree["security"].as_array().unwrap();
        required
            .iter()
            .flat_map(|one| one.as_object().unwrap().keys())
            .map(String::as_str)
            .collect()
    }

    pub(crate) fn request(&self, path: &str) -> Request {
        Request::new(&self.method.to_uppercase(), path)
    }
}

/// The document.
pub(crate) fn document(app: &TestApp) -> Value {
    let response = app.ask(&Request::get("/openapi.json"));
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// Everything that is offered.
pub(crate) fn operations(app: &TestApp) -> Vec<Operation> {
    operations_of(&document(app))
}

/// Everything that a document describes.
pub(crate) fn operations_of(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let item: Map<String, Value> = item.as_object().unwrap().clone();
        let path = path.clone();
        item.into_iter().map(move |(method, tree)| Operation { path: path.clone(), method, tree })
    };
    paths.iter().flat_map(of_path).collect()
}

/// A path whose parameters are filled with something that nobody has.
pub(crate) fn filled(path: &str) -> String {
    path.replace('{', "none-").replace('}', "")
}

fn without_body(app: &TestApp, method: &str, path: &str) -> Response {
    app.ask(&Request::new(&method.to_uppercase(), path))
}

#[test]
fn what_is_described_is_served_and_every_other_method_is_refused_by_name() {
    let app = TestApp::sandboxed();
    let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Operation { path, method, .. } in operations(&app) {
        assert!(METHODS.contains(&method.as_str()), "{path} has {method}");
        paths.entry(path).or_default().insert(method);
    }
    assert!(paths.len() > 5);
    for (path, offered) in &paths {
        for method in METHODS {
            let response = without_body(&app, method, &filled(path));
            let is_refused = response.status == 405;
            assert_eq!(is_refused, !offered.contains(method), "{method} {path}");
            assert_ne!(response.status, 404, "{method} {path}");
            if is_refused {
                let names: Vec<String> = offered.iter().map(|name| name.to_uppercase()).collect();
                assert_eq!(response.header("allow"), Some(names.join(", ").as_str()), "{path}");
            }
        }
    }
    without_body(&app, "get", "/api/v1/nothing").expect_refusal(404, "not_found");
}

#[test]
fn the_document_is_whole() {
    let app = Builder::new()
        .set("site.name", "\"Test Gateway\"")
        .set("site.base_url", "\"https://gateway.test\"")
        .set("site.support_email", "\"help@gateway.test\"")
        .upstream("sandbox", sandbox())
        .start();
    let document = document(&app);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["title"], "Test Gateway");
    assert_eq!(document["servers"][0]["url"], "https://gateway.test");
    let tags: BTreeSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    let mut ids = BTreeSet::new();
    for Operation { path, method, tree } in operations(&app) {
        let name = format!("{method} {path}");
        let id = tree["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{name}: {id} is taken");
        assert!(tree["summary"].as_str().is_some_and(|words| words.ends_with('.')), "{name}");
        for tag in tree["tags"].as_array().unwrap() {
            assert!(tags.contains(tag.as_str().unwrap()), "{name}: {tag} has no words");
        }
        let answers = tree["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{name}");
        for (status, answer) in answers {
            // What a handler's type says and its attribute does not, or the other way round.
            let is_named = answer.get("$ref").is_some();
            let has_words = answer["description"].as_str().is_some_and(|words| !words.is_empty());
            assert!(is_named || has_words, "{name}: {status} has no words");
            let has_content = is_named || answer.get("content").is_some();
            let is_empty = ["204", "304"].contains(&status.as_str());
            assert_eq!(has_content, !is_empty, "{name}: {status}");
        }
        let written = tree["parameters"]
            .as_array()
            .map_or(0, |all| all.iter().filter(|parameter| parameter["in"] == "path").count());
        assert_eq!(written, path.matches('{').count(), "{name}: its path parameters");
    }
    // Whatever is referred to is there.
    let text = document.to_string();
    for reference in text.split("\"#/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(&format!("/{reference}")).is_some(), "{reference} is missing");
    }
}

#[test]
fn the_document_may_be_kept_and_asked_for_again() {
    let app = TestApp::sandboxed();
    let first = app.ask(&Request::get("/openapi.json"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("cache-control"), Some("public, max-age=300"));
    let etag = first.header("etag").unwrap();
    let again = app.ask(&Request::get("/openapi.json").header("if-none-match", etag));
    assert_eq!((again.status, again.body.len()), (304, 0));
    let other = app.ask(&Request::get("/openapi.json").header("if-none-match", "\"other\""));
    assert_eq!((other.status, &other.body), (200, &first.body));
}
