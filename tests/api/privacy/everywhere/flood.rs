//! Whatever a route may refuse, with words that must not be found in all of it: every credential,
//! every kind of body, every field that the interface's document or a form knows, other methods,
//! and connections that stall or go away.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use sluice::domain::secret_token::{SecretToken, TokenKind};

use super::routes::{Roof, Route};
use super::stage::{EMAIL, FIELD, KEY_NAME, PASSWORD, PATH, PROMPT, Stage};
use crate::support::app::open_account;
use crate::support::client::{Connection, Request};
use crate::support::sse;

/// Threads that ask at once. They mostly wait: a connection with a body that nobody wants is closed
/// only after a while.
const AT_ONCE: usize = 24;
/// Methods that hardly any route takes.
const METHODS: [&str; 3] = ["DELETE", "OPTIONS", "CANARY"];

/// Floods every route.
pub(super) fn over(stage: &Stage, routes: &[Route]) {
    let document = Connection::open(stage.process.address).ask(&Request::get("/openapi.json"));
    let flood = Flood { stage, document: document.finish().json(), fields: form_fields() };
    std::thread::scope(|scope| {
        for number in 0..AT_ONCE {
            let part = routes.iter().skip(number).step_by(AT_ONCE);
            scope.spawn(|| part.for_each(|route| flood.route(route)));
        }
        scope.spawn(|| flood.stall());
        scope.spawn(|| flood.upstreams());
    });
}

/// What all routes are flooded with.
struct Flood<'a> {
    stage: &'a Stage,
    /// What the interface says of itself.
    document: Value,
    /// The names of all fields of all forms.
    fields: Vec<String>,
}

impl Flood<'_> {
    fn route(&self, route: &Route) {
        let path = format!("{}?{}", route.filled(PATH), self.query(route));
        let credentials = self.credentials();
        let mut bodies = self.bodies(route);
        if route.method == "GET" || route.method == "HEAD" {
            bodies.truncate(1);
        }
        for credential in &credentials {
            self.send(route, credential.of(&route.method, &path, &credential.form));
        }
        // Whoever may ask at all.
        let best = &credentials[match route.roof {
            Roof::Operator => 0,
            Roof::Gateway => 2,
            Roof::Interface => 4,
            Roof::Site => 6,
        }];
        for body in &bodies {
            self.send(route, best.of(&route.method, &path, body));
        }
        for method in METHODS {
            self.send(route, best.of(method, &path, &bodies[0]));
        }
        self.break_off(route, &path);
    }

    /// Sends a request, and reads whatever comes. Who refuses a body need not read it to its end.
    fn send(&self, route: &Route, request: Request) {
        let (method, path) = request.target();
        let place = format!("{method} {path}");
        let request = Stage::decorated(request).header("connection", "close");
        let connection = match route.roof {
            Roof::Operator => Connection::open(route.address(self.stage)),
            _ => self.stage.connect(),
        };
        let (mut stream, mut heard) = (connection.writer(), Vec::new());
        stream.write_all(&request.to_bytes()).ok();
        if place.contains("/api/v1/deposits/events") {
            // That one goes on until its reader leaves.
            let mut first = [0; 4096];
            let length = stream.read(&mut first).unwrap_or(0);
            heard.extend_from_slice(&first[..length]);
        } else {
            stream.read_to_end(&mut heard).ok();
        }
        let heard = String::from_utf8_lossy(&heard);
        let status = heard.split(' ').nth(1).unwrap_or("none");
        assert!(!["500", "501", "502"].contains(&status), "{place}: {heard:.300}");
    }

    /// Half a head, half a body, and a body that never comes, with a connection that is reset.
    fn break_off(&self, route: &Route, path: &str) {
        let request = Stage::decorated(Request::new(&route.method, path).key(FIELD));
        let request = request.header("content-type", "application/json");
        let head = request.header("content-length", "5000").head_bytes();
        let half = &head[..head.len() / 2];
        for bytes in [half.to_vec(), head.clone(), [&head, FIELD.as_bytes()].concat()] {
            let mut connection = self.stage.connect();
            connection.write(&bytes);
            connection.reset();
        }
    }

    /// Clients that stop in the middle, one for each way in, and wait until they are told so.
    fn stall(&self) {
        let slow = ["/v1/messages", "/api/v1/accounts", "/api/v1/sessions", "/log-in"];
        let begun = slow.map(|path| {
            let request = Request::post(path, "").key(&self.stage.flooder.key);
            let request = Stage::decorated(request).header("content-length", "5000");
            let mut connection = self.stage.connect();
            connection.write(&[request.head_bytes(), FIELD.as_bytes().to_vec()].concat());
            connection
        });
        let mut head = self.stage.connect();
        head.write(format!("GET /{PATH} HTTP/1.1\r\nx-canary: {FIELD}").as_bytes());
        let mut broken = self.stage.connect();
        broken.write(format!("{PATH} / HTTP/9\r\n{FIELD}\r\n\r\n").as_bytes());
        for connection in begun {
            let status = connection.answer(false).finish().status;
            assert!((400..500).contains(&status), "{status}");
        }
        assert_eq!(head.answer(false).finish().status, 408);
        assert_eq!(broken.answer(false).finish().status, 400);
    }

    /// Upstreams that say nothing, refuse, fail, or stop; and clients that do not wait for an
    /// answer.
    fn upstreams(&self) {
        for is_stream in [true, false] {
            let body = json!({
                "model": sse::MODEL, "max_tokens": 50, "stream": is_stream,
                "messages": [{ "role": "user", "content": PROMPT }],
            });
            for how in ["silence", "refusal", "trouble", "cut", "none"] {
                let request = Request::post("/v1/messages", body.to_string());
                let request = request.key(&self.stage.flooder.key).header("anthropic-beta", how);
                let sent = self.stage.connect().send(&Stage::decorated(request));
                if how == "none" {
                    sent.reset();
                } else {
                    sent.answer(false).finish();
                }
            }
        }
    }

    /// Every parameter that the document has, and one that nobody knows.
    fn query(&self, route: &Route) -> String {
        let operation = route.operation.as_ref().map(|operation| &operation.tree);
        let parameters = operation.and_then(|tree| tree["parameters"].as_array());
        let names = parameters.into_iter().flatten().filter(|one| one["in"] == "query");
        let names = names.filter_map(|one| one["name"].as_str());
        let known: Vec<String> = match route.roof {
            Roof::Site => self.fields.clone(),
            _ => names.map(str::to_owned).collect(),
        };
        let pairs = known.iter().map(String::as_str).chain([PATH, "token", "next"]);
        pairs.map(|name| format!("{name}={PATH}")).collect::<Vec<_>>().join("&")
    }

    fn bodies(&self, route: &Route) -> Vec<Body> {
        let json = |value: &Value| Body::of(JSON, value.to_string());
        let mut bodies = vec![
            json(&json!({ FIELD: FIELD })),
            json(&json!([FIELD])),
            Body::of(JSON, format!("{{\"{FIELD}\": {FIELD}")),
            Body::of(JSON, [FIELD.as_bytes(), b"\xff\xfe\0"].concat()),
            Body::of(JSON, FIELD.repeat(7_000)),
            Body::of("text/plain", FIELD),
            Body::of(FIELD, FIELD),
            Body::of("multipart/form-data; boundary=x", multipart()),
            Body::of(FORM, [FIELD.as_bytes(), b"=%ff\xff"].concat()),
            Body::of(FORM, format!("{FIELD}={}", FIELD.repeat(3_000))),
        ];
        if route.roof == Roof::Gateway {
            let whole = json!({
                "model": sse::MODEL, "max_tokens": 50, FIELD: FIELD,
                "messages": [{ "role": "user", "content": FIELD }],
            });
            let mut model = whole.clone();
            model["model"] = FIELD.into();
            bodies.extend([json(&whole), json(&model)]);
        }
        if let Some(operation) = &route.operation {
            let schema = &operation.tree["requestBody"]["content"][JSON]["schema"];
            if !schema.is_null() {
                let filled = self.filled("", schema);
                assert!(filled.is_object(), "{}: {filled}", route.path);
                let mut wrong = filled.clone();
                for value in wrong.as_object_mut().unwrap().values_mut() {
                    *value = json!({ FIELD: [FIELD] });
                }
                bodies.extend([json(&filled), json(&wrong)]);
            }
        }
        bodies
    }

    /// A value as a schema wants it, with words wherever there is room for some.
    fn filled(&self, name: &str, schema: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.filled(
                name,
                self.document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
            );
        }
        for choice in ["oneOf", "anyOf", "allOf"] {
            if let Some(choices) = schema[choice].as_array() {
                let real = choices.iter().find(|one| one["type"] != "null").unwrap();
                return self.filled(name, real);
            }
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").unwrap(),
            kind => kind,
        };
        match kind.as_str().unwrap_or_default() {
            "object" => {
                let properties = schema["properties"].as_object().cloned().unwrap_or_default();
                let fill = |(name, schema): (String, Value)| {
                    let value = self.filled(&name, &schema);
                    (name, value)
                };
                Value::Object(properties.into_iter().map(fill).collect::<Map<_, _>>())
            }
            "array" => json!([self.filled(name, &schema["items"])]),
            "integer" | "number" => json!(7),
            "boolean" => json!(true),
            _ => word_for(name).into(),
        }
    }

    /// Nothing, and all that may go for a proof, good and bad; an account for each route, since
    /// some routes end it all.
    fn credentials(&self) -> Vec<Credential> {
        let account = open_account(&mut self.stage.process.database.connect(), "5.00");
        let token = self.stage.session_of(account.id);
        let word = SecretToken::parse(TokenKind::Session, &token).unwrap().csrf_token();
        let stale = format!("sess_{}", FIELD.replace('-', "0").repeat(4));
        let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let bearer = |token: &str| header("authorization", &format!("Bearer {token}"));
        let cookie = |token: &str, word: &str| {
            let cookies =
                format!("sluice_session={token}; sluice_form={FIELD}; sluice_step={FIELD}");
            [header("cookie", &cookies), header("x-csrf-token", word)].concat()
        };
        let all = [
            (Vec::new(), ""),
            (header("x-api-key", &format!("sluice_{FIELD}")), ""),
            (header("x-api-key", &account.key), ""),
            (bearer(&stale), ""),
            (bearer(&token), ""),
            (cookie(&stale, FIELD), FIELD),
            (cookie(&token, &word), &*word),
        ];
        let fields = self.fields.iter().filter(|name| *name != "csrf");
        let fields: Vec<String> = fields.map(|name| format!("{name}={}", word_for(name))).collect();
        let form = |word: &str| Body::of(FORM, format!("{}&csrf={word}", fields.join("&")));
        all.into_iter().map(|(headers, word)| Credential { headers, form: form(word) }).collect()
    }
}

/// A body, and what it calls itself.
struct Body {
    kind: &'static str,
    bytes: Vec<u8>,
}

/// What somebody asks with, and a form with all fields that there are and the word that goes with
/// it.
struct Credential {
    headers: Vec<(String, String)>,
    form: Body,
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

impl Body {
    fn of(kind: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { kind, bytes: bytes.into() }
    }
}

impl Credential {
    fn of(&self, method: &str, path: &str, body: &Body) -> Request {
        let request = Request::new(method, path).header("accept", "text/html, */*");
        let request = match method {
            "GET" | "HEAD" => request,
            _ => request.header("content-type", body.kind).body(body.bytes.as_slice()),
        };
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

/// What stands in a field.
fn word_for(name: &str) -> String {
    match name {
        "email" => format!("{EMAIL}flood@example.org"),
        "name" => KEY_NAME.to_owned(),
        _ if name.contains("password") => format!("{PASSWORD}flood-6604"),
        _ => FIELD.to_owned(),
    }
}

fn multipart() -> String {
    format!(
        "--x\r\ncontent-disposition: form-data; name=\"{FIELD}\"; filename=\"{FIELD}\"\r\n\r\n\
         {FIELD}\r\n--x--\r\n"
    )
}

/// The names of all fields of all forms, as the templates have them.
fn form_fields() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/site/templates");
    let mut names = BTreeSet::new();
    for template in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(template.unwrap().path()).unwrap();
        let found = text.split("name=\"").skip(1).filter_map(|rest| rest.split('"').next());
        names.extend(found.filter(|name| !name.contains('{')).map(str::to_owned));
    }
    assert!(names.len() > 20, "{names:?}");
    names.into_iter().collect()
}
