//! P7 under attack: who fills what counts first, and guesses then. The sizes are those at which it
//! once worked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Range;

use serde_json::json;

use crate::support::app::{Builder, TestApp};
use crate::support::client::{Request, Response};
use crate::support::people::PASSWORD;
use crate::support::upstream::Upstream;

/// Attempts that the attack begins with: as many clients as fit, twice each.
const ATTEMPTS: u32 = 140_000;
const CONNECTIONS: u32 = 4;
/// Requests that are sent before their answers are read.
const BATCH: usize = 500;

fn app() -> TestApp {
    Builder::new()
        .upstream("primary", Upstream::nowhere())
        .set("server.behind_tls_proxy", true)
        .start()
}

/// Asks for a mail to what is no address, one client after another, and counts the statuses.
fn flood(app: &TestApp, client: impl Fn(u32) -> String + Sync) -> BTreeMap<u16, u32> {
    let share = ATTEMPTS / CONNECTIONS;
    let client = &client;
    let statuses = std::thread::scope(|scope| {
        let part = |first| scope.spawn(move || ask(app, first..first + share, client));
        let parts: Vec<_> = (0..CONNECTIONS).map(|number| part(number * share)).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect::<Vec<u16>>()
    });
    let mut counts = BTreeMap::new();
    for status in statuses {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

/// The same over one connection after another, as many requests at a time as the kernel holds.
fn ask(app: &TestApp, clients: Range<u32>, client: &(impl Fn(u32) -> String + Sync)) -> Vec<u16> {
    let mut statuses = Vec::new();
    let mut stream = TcpStream::connect(app.address).unwrap();
    let mut left = clients.collect::<Vec<_>>();
    while !left.is_empty() {
        let batch = left.len().min(BATCH);
        let requests = left.iter().take(batch).flat_map(|number| {
            let request = Request::new("POST", "/api/v1/password-resets");
            let from = request.header("x-forwarded-for", &client(*number));
            from.json(&json!({ "email": "x" })).to_bytes()
        });
        stream.write_all(&requests.collect::<Vec<_>>()).unwrap();
        let answered = read_statuses(&mut stream, batch);
        // actix closes a connection where the body behind an answer has not come; what it has not
        // answered by then is asked again (RFC 9112, 9.3.2).
        if answered.len() < batch {
            stream = TcpStream::connect(app.address).unwrap();
        }
        left.drain(..answered.len());
        statuses.extend(answered);
    }
    statuses
}

/// The statuses of the next answers, fewer if the server ends the connection.
fn read_statuses(stream: &mut TcpStream, count: usize) -> Vec<u16> {
    let mut stream = BufReader::new(stream);
    let mut statuses = Vec::new();
    while statuses.len() < count {
        let (mut line, mut bytes) = (String::new(), 0);
        if stream.read_line(&mut line).unwrap() == 0 {
            break;
        }
        statuses.push(line.get(9..12).unwrap().parse().unwrap());
        while line != "\r\n" {
            if let Some(length) = line.strip_prefix("content-length: ") {
                bytes = length.trim().parse().unwrap();
            }
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        std::io::copy(&mut stream.by_ref().take(bytes), &mut std::io::sink()).unwrap();
    }
    statuses
}

fn from(app: &TestApp, client: &str, path: &str, body: &serde_json::Value) -> Response {
    let request = Request::new("POST", path).json(body);
    app.ask(&request.header("x-forwarded-for", client))
}

/// Of 160 wrong passwords by one client, how many were looked at.
fn guesses(app: &TestApp, client: &str, email: &str) -> usize {
    let body = json!({ "email": email, "password": "wrong password" });
    let statuses: Vec<u16> =
        (0..160).map(|_| from(app, client, "/api/v1/sessions", &body).status).collect();
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    statuses.iter().filter(|status| **status == 401).count()
}

/// Of 30 mails to one address, how many were accepted.
fn mails(app: &TestApp, client: &str, email: &str) -> usize {
    let body = json!({ "email": email });
    let ask = |_| from(app, client, "/api/v1/password-resets", &body).status;
    (0..30).map(ask).filter(|status| *status == 202).count()
}

fn log_in(app: &TestApp, client: &str, email: &str) -> Response {
    let body = json!({ "email": email, "password": PASSWORD });
    from(app, client, "/api/v1/sessions", &body)
}

#[test]
fn p7_a_network_that_fills_what_counts_has_its_share_and_no_more() {
    let app = app();
    let person = app.person();
    // 65,536 clients are in a network of 48 bits, as anybody can have one.
    let counts = flood(&app, |number| format!("2001:db8:1:{:x}::1", number / 2 % 65_536));
    assert_eq!(counts, BTreeMap::from([(400, 400), (429, ATTEMPTS - 400)]), "four times a client");
    assert_eq!(guesses(&app, "2001:db8:1:ffff::2", &person.email), 0);
    assert_eq!(guesses(&app, "2001:db8:2::1", &person.email), 10);
    assert_eq!(mails(&app, "2001:db8:3::1", &person.email), 5);
    log_in(&app, "2001:db8:4::1", &person.email).session();
}

#[test]
fn p7_who_fills_what_counts_from_everywhere_guesses_no_more_often_then() {
    let app = app();
    let person = app.person();
    let counts = flood(&app, |number| {
        let [_, a, b, c] = (number / 2).to_be_bytes();
        format!("10.{a}.{b}.{c}")
    });
    assert_eq!(counts, BTreeMap::from([(400, ATTEMPTS)]));
    assert_eq!(guesses(&app, "192.0.2.1", &person.email), 10);
    assert_eq!(mails(&app, "192.0.2.2", &person.email), 5);
    // The client itself has come to its limit too, give or take what it shares with others.
    let body = json!({ "email": "x" });
    let one = |_| from(&app, "192.0.2.3", "/api/v1/password-resets", &body).status;
    let taken = (0..160).map(one).filter(|status| *status == 400).count();
    assert!((90..=100).contains(&taken), "{taken}");
    // Somebody who has done nothing is not kept out.
    log_in(&app, "198.51.100.1", &person.email).session();
}

/// Log-ins at once, as many as once filled the line on two cores; each with a password that is
/// tried in two spellings.
const AT_ONCE: usize = 66;

#[test]
fn p7_a_client_that_logs_in_often_at_once_does_not_keep_the_others_waiting() {
    let app = &app();
    let person = app.person();
    let (answered, answers) = std::sync::mpsc::channel();
    let guess = move |number: usize, answered: std::sync::mpsc::Sender<u16>| {
        let email = format!("nobody-{number}@example.org");
        let body =
            json!({ "email": email, "password": format!("u\u{308} wrong password {number}") });
        answered.send(from(app, "192.0.2.1", "/api/v1/sessions", &body).status).unwrap();
    };
    std::thread::scope(|scope| {
        for number in 0..AT_ONCE {
            let answered = answered.clone();
            scope.spawn(move || guess(number, answered));
        }
        drop(answered);
        // With the first answer all are in.
        let first = answers.recv().unwrap();
        log_in(app, "192.0.2.2", &person.email).session();
        let checked =
            std::iter::once(first).chain(answers.try_iter()).filter(|status| *status == 401);
        assert!(checked.count() <= 16, "it has waited for the others");
        // What the client has left open is answered in time too.
        let later: Vec<u16> = answers.iter().collect();
        assert!(later.iter().all(|status| [401, 503].contains(status)), "{later:?}");
    });
    log_in(app, "192.0.2.1", &person.email).session();
}
