//! A server in this process on a database of its own, its upstream in another process, and a client
//! on one connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command as Program, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use sluice::accounts;
use sluice::accounts::keys::{self, KeyActor, NewKey};
use sluice::app::{Application, ShutdownSignals};
use sluice::config::{self, Settings, Sources};
use sluice::db::{AnyConnection, Database};
use sluice::domain::clock::{Clock, UnixMillis};
use sluice::domain::key_limits::KeyLimits;
use sluice::domain::price_list::{Markup, PriceList};
use sluice::ledger::{self, Command, EntryKind};
use tempfile::TempDir;

use super::wait::eventually;

/// 2026-11-22, noon.
const NOON: UnixMillis = UnixMillis::from_millis(1_795_348_800_000);

/// A server with one worker, as the benchmarks have it.
pub(crate) struct Server {
    address: SocketAddr,
    key: String,
    stop: ShutdownSignals,
    thread: Option<JoinHandle<bool>>,
    upstream: Child,
    _folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (upstream, upstream_address) = start_upstream(folder.path());
        let settings = Arc::new(settings(folder.path(), upstream_address));
        let stop = ShutdownSignals::default();
        let (announce, announced) = mpsc::channel();
        let (theirs, stopped) = (Arc::clone(&settings), stop.clone());
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let clock = Clock::manual(NOON.as_millis());
                let app = Application::build(theirs, Sources::default(), clock).await.unwrap();
                announce.send(app.client_address).unwrap();
                app.run(stopped).await
            })
        });
        let address = announced.recv().expect("the server starts");
        let mut conn = Database::open(&settings.database).unwrap().connect().unwrap();
        let key = open_account(&mut conn);
        Self { address, key, stop, thread: Some(thread), upstream, _folder: folder }
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { stream, read: vec![0; 1 << 16] }
    }

    /// The bytes of a request that the sandbox answers by `script`.
    pub(crate) fn request(&self, is_stream: bool, script: &str) -> Vec<u8> {
        let body = serde_json::json!({
            "model": "claude-haiku-4-5",
            "max_tokens": 64_000,
            "stream": is_stream,
            "metadata": { "user_id": format!("sandbox:{script}") },
            "messages": [{ "role": "user", "content": "Say something." }],
        })
        .to_string();
        format!(
            "POST /v1/messages HTTP/1.1\r\nhost: {}\r\nx-api-key: {}\r\n\
             anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        )
        .into_bytes()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.in_order.cancel();
        let is_settled = self.thread.take().map(JoinHandle::join);
        drop(self.upstream.kill());
        drop(self.upstream.wait());
        if !std::thread::panicking() {
            assert!(is_settled.unwrap().expect("it does not panic"), "something is not settled");
        }
    }
}

/// A kept connection. Asking allocates nothing.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    /// Sends a request and reads the response to its end; how many bytes it had.
    pub(crate) fn ask(&mut self, request: &[u8]) -> usize {
        self.stream.write_all(request).unwrap();
        let (mut whole, mut kept) = (0, 0);
        let mut whole_bytes = None;
        loop {
            // The end of one piece may be the beginning of what is looked for.
            let count = self.stream.read(&mut self.read[kept..]).unwrap();
            assert!(count > 0, "the connection ended");
            let filled = kept + count;
            let text = &self.read[..filled];
            if whole == 0 {
                assert!(text.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(text));
                whole_bytes = content_length(text);
            }
            whole += count;
            let has_ended = whole_bytes
                .map_or_else(|| text.ends_with(b"\r\n0\r\n\r\n"), |bytes| whole >= bytes);
            if has_ended {
                return whole;
            }
            kept = filled.min(16);
            self.read.copy_within(filled - kept..filled, 0);
        }
    }
}

/// The length of a response with its head, if the head says one.
fn content_length(text: &[u8]) -> Option<usize> {
    let text = str::from_utf8(text).ok()?;
    let (head, _) = text.split_once("\r\n\r\n")?;
    let (_, behind) = head.split_once("content-length: ")?;
    let length: usize = behind.split("\r\n").next()?.parse().ok()?;
    Some(head.len() + 4 + length)
}

fn start_upstream(folder: &Path) -> (Child, SocketAddr) {
    let file = folder.join("upstream");
    let child = Program::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["sandbox", "--listen", "127.0.0.1:0", "--address-file"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = eventually("the upstream to listen", || {
        std::fs::read_to_string(&file).ok().map(|text| text.trim().parse().unwrap())
    });
    (child, address)
}

fn settings(folder: &Path, upstream: SocketAddr) -> Settings {
    let file = folder.join("sluice.toml");
    let toml = format!(
        "[server]
         listen = \"127.0.0.1:0\"
         admin_listen = \"127.0.0.1:0\"
         workers = 1
         requests_per_minute_per_account = 1000000
         [database]
         url = \"sqlite://{}\"
         [[upstreams]]
         name = \"sandbox\"
         base_url = \"http://{upstream}\"
         credential = \"sandbox\"",
        folder.join("sluice.db").display(),
    );
    std::fs::write(&file, toml).unwrap();
    config::load(&Sources { file: Some(file), env: Vec::new() })
        .unwrap_or_else(|errors| panic!("{errors}"))
}

/// The key of an account with a thousand dollars.
fn open_account(conn: &mut AnyConnection) -> String {
    let account = accounts::open(conn, "someone@example.org", NOON).unwrap();
    let prices = PriceList::new(Vec::new(), Markup::ONE, 0).unwrap();
    let new = NewKey { name: "default".to_owned(), limits: KeyLimits::default() };
    let actor = KeyActor::Operator(account.id);
    let issued = keys::issue(conn, &actor, &new, (&prices, 100), NOON).unwrap();
    let command = Command::Credit {
        account_id: account.id,
        kind: EntryKind::Adjustment,
        reference: "test".to_owned(),
        amount: "1000".parse().unwrap(),
    };
    ledger::apply(conn, &[command], NOON).unwrap();
    issued.key.reveal().to_owned()
}
