//! The server, with secrets in whatever its settings have, and everybody that it speaks with.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use sluice::accounts::identity::sessions;
use sluice::config::Settings;
use sluice::db::models::usage_logs;
use sluice::domain::clock::Clock;
use sluice::domain::ids::AccountId;

use super::super::canaries::{Canaries, Place};
use crate::support::app::{Account, Builder, CREDENTIAL, open_account};
use crate::support::client::{Answer, Connection, Request, Response};
use crate::support::process::Process;
use crate::support::rpc::fault::Fault;
use crate::support::rpc::{ANY, Provider};
use crate::support::sse;
use crate::support::upstream::{Exchange, Upstream, message};
use crate::support::wait::eventually;

pub(super) const PROMPT: &str = "canary-prompt-2d17";
pub(super) const ANSWER: &str = "canary-answer-a0c4";
pub(super) const UPSTREAM: &str = "canary-upstream-77e1";
pub(super) const HEADER: &str = "canary-header-0b92";
pub(super) const COOKIE: &str = "canary-cookie-e83f";
pub(super) const AGENT: &str = "canary-agent-41d5";
/// In paths and queries of the flood.
pub(super) const PATH: &str = "canary-path-f6a8";
/// In bodies of the flood.
pub(super) const FIELD: &str = "canary-field-93bc";
/// What people call their keys.
pub(super) const KEY_NAME: &str = "canary-key-name-5d20";
/// What people's addresses begin with.
pub(super) const EMAIL: &str = "canary-email-";
/// What their passwords begin with.
pub(super) const PASSWORD: &str = "canary-password-";

/// What providers of a chain say when they refuse.
const RPC_WORDS: &str = "canary-rpc-words-18fe";
/// What stands in their address.
const RPC_KEY: &str = "canary-rpc-key-c5a7";
/// How the mail server would know us.
const MAIL_PASSWORD: &str = "canary-mail-server-9e44";
/// Where the client sits.
const PEER: Ipv4Addr = Ipv4Addr::new(127, 77, 31, 5);
/// Where a proxy says that it sits.
const FORWARDED: &str = "203.0.113.177, 2001:db8:7731:ca4a::5";

/// Longer than the server waits for a head.
const SILENCE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Stage {
    pub(super) process: Process,
    pub(super) settings: Settings,
    pub(super) canaries: Canaries,
    /// Whoever floods the server.
    pub(super) flooder: Account,
    /// Methods and paths that were answered with success.
    pub(super) taken: Mutex<BTreeSet<(String, String)>>,
    used_links: Mutex<BTreeSet<String>>,
    is_over: Arc<AtomicBool>,
    upstream: Option<JoinHandle<()>>,
    _providers: [Provider; 2],
}

impl Stage {
    pub(super) fn open() -> Self {
        let upstream = Upstream::start();
        let providers = [Provider::alone(), Provider::alone()];
        for provider in &providers {
            provider.on(ANY, Fault::error(-32000, RPC_WORDS));
        }
        let builder = builder(&upstream).section(&chain(&providers));
        let settings = builder.settings();
        let process = Process::start(builder, &[("SLUICE__LOG__FILTER", "trace")]);
        let flooder = open_account(&mut process.database.connect(), "50.00");
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let answering = std::thread::spawn(move || answer_all(&upstream, &over));
        let stage = Self {
            process,
            settings,
            canaries: Canaries::default(),
            flooder,
            taken: Mutex::default(),
            used_links: Mutex::default(),
            is_over,
            upstream: Some(answering),
            _providers: providers,
        };
        stage.plant();
        stage
    }

    fn plant(&self) {
        let canaries = &self.canaries;
        for (what, word) in [
            ("a prompt", PROMPT),
            ("an answer", ANSWER),
            ("an upstream's words", UPSTREAM),
            ("a header", HEADER),
            ("a cookie", COOKIE),
            ("a user agent", AGENT),
            ("a path", PATH),
            ("a field", FIELD),
            ("a password", PASSWORD),
            ("a provider's words", RPC_WORDS),
            ("a provider's address", RPC_KEY),
            ("the mail server's password", MAIL_PASSWORD),
            ("an upstream's credential", CREDENTIAL),
            ("a client's address", "127.77.31.5"),
            ("a client's address", "127, 77, 31, 5"),
            ("a client's address", "203.0.113.177"),
            ("a client's address", "db8:7731:ca4a"),
        ] {
            canaries.plant(what, word);
        }
        canaries.plant_bytes("a client's address", &[0, 0, 255, 255, 127, 77, 31, 5], &[]);
        let network = [0x20, 0x01, 0x0d, 0xb8, 0x77, 0x31, 0xca, 0x4a];
        canaries.plant_bytes("a client's address", &network, &[]);
        canaries.plant_for(
            "an e-mail address",
            EMAIL,
            &[Place::Store, Place::Mail, Place::Archive],
        );
        // Its owner is told of a new key by its name.
        let told = &[Place::Store, Place::Mail, Place::Export, Place::Archive];
        canaries.plant_for("a key's name", KEY_NAME, told);
        canaries.plant_for("an account", &self.flooder.public_id, &[Place::Store]);
        self.plant_key(&self.flooder.key);
        let url = &self.process.database.url;
        if let Some(password) =
            url.split_once("://sluice:").and_then(|(_, rest)| rest.split('@').next())
        {
            canaries.plant("the database's password", password);
        }
    }

    /// A key may be nowhere, its hash in the database.
    pub(super) fn plant_key(&self, key: &str) {
        self.canaries.plant("an API key", key.get(7..50).unwrap());
        let hash = sluice::domain::api_key::PlainApiKey::parse(key).unwrap().hash();
        self.canaries.plant_bytes("an API key's hash", hash.as_bytes(), &[Place::Store]);
    }

    /// A token may be nowhere but in the mail that brings it.
    pub(super) fn plant_token(&self, what: &'static str, token: &str) {
        let may: &[Place] = if token.starts_with("mail_") { &[Place::Mail] } else { &[] };
        self.canaries.plant_for(what, token.get(5..).unwrap(), may);
    }

    /// The request with everything that a client says of itself.
    pub(super) fn decorated(request: Request) -> Request {
        request
            .header("user-agent", AGENT)
            .header("cookie", &format!("canary={COOKIE}"))
            .header("x-forwarded-for", FORWARDED)
            .header("referer", &format!("https://{HEADER}.example/"))
            .header("accept-language", HEADER)
            .header(&format!("x-{HEADER}"), HEADER)
    }

    pub(super) fn connect(&self) -> Connection {
        Connection::open_from(IpAddr::V4(PEER), self.process.address)
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) fn begin(&self, request: Request) -> Answer {
        let (method, path) = request.target();
        let taken = (method.to_owned(), path.to_owned());
        let answer = self.connect().ask(&Self::decorated(request));
        if answer.status < 400 {
            self.taken.lock().unwrap().insert(taken);
        }
        answer
    }

    pub(super) fn ask(&self, request: Request) -> Response {
        self.begin(request).finish()
    }

    /// Asks, and must be answered with that status.
    pub(super) fn must(&self, status: u16, request: Request) -> Response {
        let (method, path) = request.target();
        let place = format!("{method} {path}");
        let response = self.ask(request);
        assert_eq!(response.status, status, "{place}: {}", response.text());
        response
    }

    /// The token of the newest link that was mailed to an address and leads to a path.
    pub(super) fn mailed(&self, to: &str, path: &str) -> String {
        let link = format!("{path}?token=");
        let token = eventually(&format!("a link to {path} for {to}"), || {
            let folder = std::fs::read_dir(self.process.folder.path().join("mail")).ok()?;
            let files = folder.map(|file| file.unwrap().path());
            let files = files.filter(|path| path.extension().is_some_and(|kind| kind == "eml"));
            let texts = files.map(|path| std::fs::read_to_string(path).unwrap_or_default());
            let mut tokens =
                texts.filter(|text| text.contains(&format!("To: {to}\r\n"))).filter_map(|text| {
                    let text = text.replace("=\r\n", "").replace("=3D", "=");
                    let (_, rest) = text.split_once(&link)?;
                    Some(
                        rest.chars()
                            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                            .collect(),
                    )
                });
            tokens.find(|token: &String| self.used_links.lock().unwrap().insert(token.clone()))
        });
        self.plant_token("a link in mail", &token);
        token
    }

    /// A session of an account, put into the database without a log-in.
    pub(super) fn session_of(&self, id: AccountId) -> String {
        let mut conn = self.process.database.connect();
        let now = Clock::System.now();
        let opened = sessions::open(&mut conn, id, &self.settings.accounts, now).unwrap();
        opened.token.reveal().to_owned()
    }

    /// A key and a session of an account that has nothing to do with all of this.
    pub(super) fn somebody_else(&self) -> (String, String) {
        let account = open_account(&mut self.process.database.connect(), "1.00");
        (account.key, self.session_of(account.id))
    }

    /// Waits until nothing is under way, and all mail is out.
    pub(super) fn settle(&self) {
        let mut conn = self.process.database.connect();
        eventually("every exchange to be settled", || {
            sluice::ledger::verify(&mut conn)
                .is_ok_and(|report| report.open_reservations == 0)
                .then_some(())
        });
        eventually("the mail to be out", || {
            (sluice::db::models::outbox::waiting(&mut conn).unwrap() == 0).then_some(())
        });
        assert!(!usage_logs::latest(&mut conn, self.flooder.id, 10).unwrap().is_empty());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.upstream.take() {
            thread.join().ok();
        }
    }
}

/// `m/44'/60'/0'` of the mnemonic that every test chain knows.
const XPUB: &str = "xpub6DCoCpSuQZB2jawqnGMEPS63ePKWkwWPH4TU45Q7LPXWuNd8TMtVxRrg\
    jtEshuqpK3mdhaWHPFsBngh5GFZaM6si3yZdUsT8ddYM3PwnATt";

fn builder(upstream: &Upstream) -> Builder {
    Builder::new()
        .upstream("primary", upstream.address)
        .set("server.behind_tls_proxy", true)
        .set("server.head_secs", 1)
        .set("limits.body_bytes", 100_000)
        .set("limits.body_idle_secs", 1)
        .set("stream.hold_head_max_secs", 2)
        .set("stream.first_byte_secs", 3)
        .set("stream.json_head_secs", 3)
        .set("stream.idle_secs", 3)
        .set("deposits.account_xpub", format!("\"{XPUB}\""))
        .set("deposits.claims_per_hour_per_account", 100_000)
        .set("deposits.open_claims_max_per_account", 10_000)
        .set("accounts.keys_max_per_account", 10_000)
        .set("accounts.failed_logins_max", 1000)
        .set("accounts.failed_logins_max_from_all", 1000)
        .set("accounts.attempts_per_client_max", 100_000)
        .set("accounts.mails_per_address_max", 1000)
        .set("mail.per_minute", 60_000)
        .set("mail.user", "\"sluice\"")
        .set("mail.password", format!("\"{MAIL_PASSWORD}\""))
}

/// A chain with an address of everybody's, and providers whose addresses hold keys.
fn chain(providers: &[Provider]) -> String {
    let head = "[[chains]]\nname = \"base\"\ndisplay_name = \"Base\"\nchain_id = 8453\n\
                treasury = \"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\"\npoll_millis = 200\n";
    let providers = providers.iter().enumerate().map(|(number, provider)| {
        let url = format!("{}/v2/{RPC_KEY}?key={RPC_KEY}", provider.url());
        format!("[[chains.providers]]\nname = \"provider-{number}\"\nurl = \"{url}\"\n")
    });
    let token = "[[chains.tokens]]\nsymbol = \"USDC\"\ndecimals = 6\n\
                 address = \"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913\"\n";
    let parts = std::iter::once(head.to_owned()).chain(providers);
    parts.chain([token.to_owned()]).collect()
}

/// Answers as the request's beta header asks for, and well where it asks for nothing.
fn answer_all(upstream: &Upstream, is_over: &AtomicBool) {
    let mut silent: Vec<(Instant, Exchange)> = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        // A JSON answer is waited for although its client was told that it comes too late.
        silent.retain(|(since, _)| since.elapsed() < SILENCE);
        let Some(exchange) = upstream.next_within(Duration::from_millis(50)) else { continue };
        match exchange.request.header("anthropic-beta").unwrap_or_default() {
            "silence" => silent.push((Instant::now(), exchange)),
            "refusal" => exchange.refuse(400, &refusal("invalid_request_error")),
            "trouble" => exchange.refuse(500, &refusal("api_error")),
            "cut" => cut(exchange),
            _ => answer(exchange),
        }
    }
}

fn refusal(kind: &str) -> String {
    json!({ "type": "error", "error": { "type": kind, "message": UPSTREAM } }).to_string()
}

fn cut(mut exchange: Exchange) {
    let half = [sse::start(), sse::block_start("text"), sse::text(ANSWER)].concat();
    // Who has asked for JSON refuses the head of a stream, and reads no more.
    if exchange.stream_head().try_chunk(&half) {
        exchange.try_chunk(format!("event: content_block_delta\ndata: {ANSWER}"));
    }
    exchange.close();
}

fn answer(exchange: Exchange) {
    let body = String::from_utf8_lossy(&exchange.request.body).into_owned();
    if exchange.request.line.contains("count_tokens") {
        exchange.answer_json(r#"{"input_tokens":17}"#);
    } else if body.contains("\"stream\":true") {
        exchange.answer_stream(&sse::whole(ANSWER));
    } else {
        let usage = json!({ "input_tokens": 5, "output_tokens": 7 });
        exchange.answer_json(&message(&usage).replace("Hello", ANSWER));
    }
}
