//! P10: TLS in its strong versions only, taken up anew when the certificate is renewed, and no
//! plaintext beside it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use sluice::app::{ShutdownSignals, StartError};
use sluice::domain::clock::Clock;

use crate::support::app::{Builder, TestApp, serve};
use crate::support::certificates::Certificates;
use crate::support::client::{Connection, Request, Response};
use crate::support::sse;
use crate::support::upstream::Upstream;
use crate::support::wait::{PATIENCE, eventually};

pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Shakes hands, trusting one certificate.
pub(crate) fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
) -> Result<TlsStream, String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("sluice.test").unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).map_err(|error| error.to_string())?;
    }
    Ok(StreamOwned::new(tls, stream))
}

/// Reads until `end` has come.
pub(crate) fn read_until(stream: &mut TlsStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0_u8; 4096];
    while !text.contains(end) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the stream ended early: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

/// `openssl s_client` against the server, until it hangs up.
fn s_client(address: SocketAddr, options: &[&str]) -> Output {
    Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &address.to_string(),
            "-servername",
            "sluice.test",
            "-brief",
        ])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn start(certificates: &Certificates, upstream: &Upstream) -> TestApp {
    certificates.configure(Builder::new().upstream("primary", upstream.address)).start()
}

#[test]
fn p10_only_strong_versions_and_suites_of_tls_are_served() {
    let upstream = Upstream::start();
    for kind in ["ec", "rsa:2048"] {
        let certificates = Certificates::new();
        let app = start(certificates.issue(kind), &upstream);
        let signed_by = if kind == "ec" { "ECDSA" } else { "RSA" };
        let suite = |cipher: &str| format!("ECDHE-{signed_by}-{cipher}");
        let served = [
            (["-tls1_3", "-ciphersuites"], "TLS_AES_256_GCM_SHA384".to_owned()),
            (["-tls1_3", "-ciphersuites"], "TLS_AES_128_GCM_SHA256".to_owned()),
            (["-tls1_3", "-ciphersuites"], "TLS_CHACHA20_POLY1305_SHA256".to_owned()),
            (["-tls1_2", "-cipher"], suite("AES256-GCM-SHA384")),
            (["-tls1_2", "-cipher"], suite("AES128-GCM-SHA256")),
            (["-tls1_2", "-cipher"], suite("CHACHA20-POLY1305")),
        ];
        for ([version, option], suite) in &served {
            let output = s_client(app.address, &[version, option, suite]);
            assert!(output.status.success(), "{suite}: {}", told(&output));
            assert!(told(&output).contains(suite.as_str()), "{suite}: {}", told(&output));
        }
        // Weak ones must be offered for real, or openssl itself refuses and proves nothing.
        let cbc = format!("{}:@SECLEVEL=0", suite("AES128-SHA256"));
        let refused = [
            ["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
            ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            ["-tls1_2", "-cipher", "AES128-GCM-SHA256:@SECLEVEL=0"],
            ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"],
            ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
            ["-tls1_2", "-cipher", "NULL:aNULL:@SECLEVEL=0"],
            ["-tls1_2", "-cipher", &cbc],
        ];
        for options in refused {
            let output = s_client(app.address, &options);
            assert!(!output.status.success(), "{options:?}: {}", told(&output));
            assert!(told(&output).contains("alert"), "{options:?}: {}", told(&output));
        }
    }
}

#[test]
fn p10_a_renewed_certificate_is_served_while_a_hundred_streams_run() {
    const STREAMS: usize = 100;
    let certificates = Certificates::new();
    let upstream = Upstream::start();
    let builder = Builder::new().upstream("primary", upstream.address);
    let builder = builder.set("server.max_streams_per_account", 200);
    let app = certificates.issue("ec").configure(builder).start();
    let before = certificates.served();
    let account = app.account("1000");
    let body = json!({
        "model": sse::MODEL, "max_tokens": 16, "stream": true,
        "messages": [{ "role": "user", "content": "hi" }],
    });
    let request = Request::post("/v1/messages", body.to_string()).key(&account.key);
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = connect(app.address, &before).unwrap();
        stream.write_all(&request.to_bytes()).unwrap();
        let mut exchange = upstream.next();
        exchange.stream_head().chunk(sse::start());
        let head = read_until(&mut stream, "message_start");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("strict-transport-security: max-age="), "{head}");
        streams.push((stream, exchange));
    }
    certificates.issue("ec");
    let renewed = certificates.served();
    assert_ne!(before, renewed);
    eventually("the renewed certificate is served", || connect(app.address, &renewed).ok());
    assert!(connect(app.address, &before).is_err(), "the old certificate is still served");
    for (mut stream, mut exchange) in streams {
        let rest = [sse::block_start("text"), sse::text("still here"), sse::block_stop()].concat();
        exchange.chunk(rest).chunk(sse::end(2) + &sse::message_stop()).end_chunks();
        let text = read_until(&mut stream, "0\r\n\r\n");
        assert!(text.contains("still here") && text.contains("message_stop"), "{text}");
    }
    app.settled(&account, STREAMS);
}

#[test]
fn p10_half_a_renewal_leaves_the_certificate_that_is_served() {
    let certificates = Certificates::new();
    let upstream = Upstream::start();
    let app = start(certificates.issue("ec"), &upstream);
    let before = certificates.served();
    std::fs::write(certificates.path("key.pem"), "-----BEGIN PRIVATE KEY-----\nnone\n").unwrap();
    // Longer than it takes to look twice.
    let over = Instant::now() + Duration::from_secs(5);
    let (_never, pause) = channel::<()>();
    while Instant::now() < over {
        assert!(connect(app.address, &before).is_ok());
        assert!(pause.recv_timeout(Duration::from_millis(200)).is_err());
    }
    certificates.issue("rsa:2048");
    let renewed = certificates.served();
    eventually("the whole renewal is served", || connect(app.address, &renewed).ok());
}

#[test]
fn p10_plaintext_is_sent_over_and_never_served() {
    let certificates = Certificates::new();
    let upstream = Upstream::start();
    let builder = Builder::new().upstream("primary", upstream.address);
    let builder = builder.set("server.redirect_listen", "\"127.0.0.1:0\"");
    let app = certificates.issue("ec").configure(builder).start();
    let redirect = app.redirect_address.expect("it was configured");
    let ask_plain =
        |request: &Request| -> Response { Connection::open(redirect).ask(request).finish() };
    let page = ask_plain(&Request::get("/docs?a=b"));
    assert_eq!(page.status, 308);
    assert_eq!(page.header("location"), Some("https://sluice.test/docs?a=b"));
    let elsewhere = ask_plain(&Request::get("//evil.example/"));
    assert_eq!(elsewhere.header("location"), Some("https://sluice.test//evil.example/"));
    let sent = ask_plain(&Request::post("/v1/messages", "{}").key("sluice_secret"));
    assert_eq!(sent.status, 403);
    assert!(sent.text().contains("revoke"), "{}", sent.text());
    // Plaintext at the address of TLS gets no answer.
    let mut plain = TcpStream::connect(app.address).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: sluice.test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer));
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn p10_a_certificate_that_cannot_be_served_is_refused_at_the_start() {
    let (one, other) = (Certificates::new(), Certificates::new());
    one.issue("ec");
    other.issue("ec");
    std::fs::copy(other.path("key.pem"), one.path("key.pem")).unwrap();
    let upstream = Upstream::start();
    let builder = one.configure(Builder::new().upstream("primary", upstream.address));
    let settings = Arc::new(builder.settings());
    let (_, started) = serve(settings, Clock::System, ShutdownSignals::default());
    assert!(matches!(started, Err(StartError::Certificate(_))));
}
