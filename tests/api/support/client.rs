//! A client that writes and reads bytes: no pool, no retry, nothing smoothed over.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use super::kernel::Ports;
use super::wait::{PATIENCE, eventually};

/// A request as bytes in the making.
#[derive(Clone)]
pub(crate) struct Request {
    method: String,
    path: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            version: "HTTP/1.1",
            headers: vec![("host".to_owned(), "sluice.test".to_owned())],
            body: Vec::new(),
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A POST with a JSON body and the headers that every client sends.
    pub(crate) fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        let request = Self { body: body.into(), ..Self::new("POST", path) };
        request.header("content-type", "application/json").header("anthropic-version", "2023-06-01")
    }

    /// A POST as a browser sends a form.
    pub(crate) fn form(path: &str, body: impl Into<Vec<u8>>) -> Self {
        let request = Self { body: body.into(), ..Self::new("POST", path) };
        request.header("content-type", "application/x-www-form-urlencoded")
    }

    /// With a body of whatever type.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With a JSON body.
    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self.header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("x-api-key", key)
    }

    /// Method and path, the query aside.
    pub(crate) fn target(&self) -> (&str, &str) {
        (&self.method, self.path.split('?').next().unwrap_or_default())
    }

    pub(crate) fn http_10(mut self) -> Self {
        self.version = "HTTP/1.0";
        self
    }

    /// Head and body; the length is added unless a header speaks of it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub(crate) fn head_bytes(&self) -> Vec<u8> {
        let line = format!("{} {} {}\r\n", self.method, self.path, self.version);
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let mut head: Vec<String> = std::iter::once(line).chain(headers).collect();
        let has = |wanted: &str| self.headers.iter().any(|(name, _)| name == wanted);
        if !has("content-length") && !has("transfer-encoding") && self.method != "GET" {
            head.push(format!("content-length: {}\r\n", self.body.len()));
        }
        head.push("\r\n".to_owned());
        head.concat().into_bytes()
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As its framing says.
    Whole,
    /// The connection went first.
    Cut,
}

/// An answer that is complete, one way or the other.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {} {}", self.status, self.text()))
    }

    /// Asserts an error in the wire's shape and gives its message.
    pub(crate) fn expect_error(&self, status: u16, kind: &str) -> String {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.end, End::Whole, "{text}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{text}");
        let document = self.json();
        assert_eq!(document["type"], "error", "{text}");
        assert_eq!(document["error"]["type"], kind, "{text}");
        let id = self.header("request-id").expect("every answer has a request-id");
        assert!(id.starts_with("req_"), "{id}");
        assert_eq!(document["request_id"], id, "{text}");
        let message = document["error"]["message"].as_str().expect("a message");
        assert!(!message.is_empty());
        message.to_owned()
    }

    /// Asserts an answer that is whole and successful.
    pub(crate) fn expect_ok(&self) -> &Self {
        assert_eq!(self.status, 200, "{}", self.text());
        assert_eq!(self.end, End::Whole, "{}", self.text());
        self
    }
}

pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// One connection to a server.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Our end of it; a connection that was reset does not tell any more.
    ports: Ports,
    unread: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the server accepts"))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { ports: Ports::of(&stream), stream, unread: Vec::new() }
    }

    /// A connection from an address of ours.
    pub(crate) fn open_from(ours: IpAddr, address: SocketAddr) -> Self {
        use socket2::{Domain, Protocol, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.bind(&SocketAddr::new(ours, 0).into()).unwrap();
        socket.connect(&address.into()).expect("the server accepts");
        Self::over(TcpStream::from(socket))
    }

    /// A connection whose receive buffer is as small as the kernel allows.
    pub(crate) fn open_narrow(address: SocketAddr) -> Self {
        use socket2::{Domain, Protocol, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&address.into()).expect("the server accepts");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { ports: Ports::of(&stream), stream, unread: Vec::new() }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> &mut Self {
        self.stream.write_all(bytes).expect("the server reads");
        self
    }

    /// Whether the server still took the bytes.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub(crate) fn finish_writing(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// A second handle, to write while another thread reads.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Whether the server has its end of it.
    pub(crate) fn is_held(&self) -> bool {
        self.ports.peer().is_held()
    }

    /// Leaves in order, and waits until the server has closed its side too.
    pub(crate) fn leave_seen(self) {
        let server = self.ports.peer();
        drop(self);
        eventually("the server to notice", || (!server.is_held()).then_some(()));
    }

    /// Leaves with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) fn ask(self, request: &Request) -> Answer {
        self.send(request).answer(request.method == "HEAD")
    }

    pub(crate) fn send(mut self, request: &Request) -> Self {
        self.write(&request.to_bytes());
        self
    }

    /// Waits for the head of an answer.
    pub(crate) fn answer(mut self, is_head: bool) -> Answer {
        let head = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                let rest = self.unread.split_off(at + 4);
                break std::mem::replace(&mut self.unread, rest);
            }
            let more = self.read().expect("the head of an answer");
            assert!(more, "closed before an answer: {}", String::from_utf8_lossy(&self.unread));
        };
        let head = String::from_utf8(head).expect("a head in ASCII");
        let (status, headers) = parse_head(&head);
        let framing = Framing::of(status, &headers, is_head);
        let mut answer =
            Answer { status, headers, connection: self, framing, body: Vec::new(), end: None };
        answer.decode();
        answer
    }

    /// Whether there was more; an error is a connection that was cut.
    fn read(&mut self) -> Result<bool, ErrorKind> {
        let mut buffer = vec![0_u8; 65_536];
        match self.stream.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came in time; so far: {}", String::from_utf8_lossy(&self.unread));
            }
            Err(error) => Err(error.kind()),
        }
    }
}

fn parse_head(head: &str) -> (u16, Vec<(String, String)>) {
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).expect("a status");
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    (status.parse().expect("a status"), headers)
}

/// Where `needle` begins.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

enum Framing {
    Chunked,
    Length(usize),
    Close,
}

impl Framing {
    fn of(status: u16, headers: &[(String, String)], is_head: bool) -> Self {
        if is_head || status == 204 || status == 304 || status < 200 {
            return Self::Length(0);
        }
        if header(headers, "transfer-encoding").is_some_and(|coding| coding == "chunked") {
            return Self::Chunked;
        }
        match header(headers, "content-length") {
            Some(length) => Self::Length(length.parse().expect("a length")),
            None => Self::Close,
        }
    }
}

/// An answer that has begun.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    connection: Connection,
    framing: Framing,
    /// The body so far, without its framing.
    pub(crate) body: Vec<u8>,
    end: Option<End>,
}

impl Answer {
    /// Reads on until the body contains `needle`.
    pub(crate) fn read_until(&mut self, needle: &str) -> &mut Self {
        while find(&self.body, needle.as_bytes()).is_none() {
            let so_far = || String::from_utf8_lossy(&self.body).into_owned();
            assert!(self.end.is_none(), "ended before {needle:?}: {}", so_far());
            self.read_some();
        }
        self
    }

    /// Reads on until the body has so many bytes.
    pub(crate) fn read_to(&mut self, length: usize) {
        while self.body.len() < length {
            assert!(self.end.is_none(), "ended at {} of {length} bytes", self.body.len());
            self.read_some();
        }
    }

    /// Reads to the end of the body.
    pub(crate) fn finish(self) -> Response {
        self.finish_keeping().0
    }

    /// Reads to the end of the body, and gives the connection back for another request.
    pub(crate) fn finish_keeping(mut self) -> (Response, Connection) {
        loop {
            if let Some(end) = self.end {
                let Self { status, headers, body, connection, .. } = self;
                return (Response { status, headers, body, end }, connection);
            }
            self.read_some();
        }
    }

    /// Leaves without reading on.
    pub(crate) fn leave(self) {
        drop(self);
    }

    /// Waits, without reading, until the server has let go of the connection.
    pub(crate) fn expect_closed_by_server(&self) {
        let server = self.ports().peer();
        eventually("the server to let go", || (!server.is_held()).then_some(()));
    }

    /// Our end of the connection.
    pub(crate) const fn ports(&self) -> Ports {
        self.connection.ports
    }

    /// Leaves, and waits until the server has noticed.
    pub(crate) fn leave_seen(self) {
        self.connection.leave_seen();
    }

    /// Leaves with a reset.
    pub(crate) fn reset(self) {
        self.connection.reset();
    }

    fn read_some(&mut self) {
        match self.connection.read() {
            Ok(true) => self.decode(),
            Ok(false) if matches!(self.framing, Framing::Close) => self.end = Some(End::Whole),
            Ok(false) | Err(_) => self.end = Some(End::Cut),
        }
    }

    fn decode(&mut self) {
        let unread = &mut self.connection.unread;
        match self.framing {
            Framing::Close => self.body.append(unread),
            Framing::Length(length) => {
                let take = unread.len().min(length - self.body.len());
                self.body.extend(unread.drain(..take));
                if self.body.len() == length {
                    self.end = Some(End::Whole);
                }
            }
            Framing::Chunked => {
                let mut used = 0;
                while let Some((data, next)) = chunk(&unread[used..]) {
                    self.body.extend_from_slice(data);
                    let is_last = data.is_empty();
                    used += next;
                    if is_last {
                        self.end = Some(End::Whole);
                        break;
                    }
                }
                unread.drain(..used);
            }
        }
    }
}

/// The first chunk and where the next begins, once it is complete.
fn chunk(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let line_end = find(bytes, b"\r\n")?;
    let size = std::str::from_utf8(&bytes[..line_end]).expect("a chunk size");
    let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
    let start = line_end + 2;
    let next = start + size + 2;
    (bytes.len() >= next).then(|| (&bytes[start..start + size], next))
}
