//! An upstream that does nothing by itself: the test holds each exchange in its hand and writes
//! the bytes that it wants to be answered. Only the gateway's own requests for the list of models
//! are answered as the test has said beforehand, and counted apart.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::client::{find, header};
use super::kernel::Ports;
use super::wait::PATIENCE;

/// A listener; each request that arrives becomes an [`Exchange`].
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    exchanges: Receiver<Exchange>,
    count: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    probes: Arc<Probes>,
    /// Where nobody listens yet, and what will be sent each exchange.
    silent: Option<(Socket, Sender<Exchange>)>,
}

/// The gateway's own requests.
struct Probes {
    count: AtomicUsize,
    /// Status and body; `None` leaves them without an answer.
    answer: Mutex<Option<(u16, String)>>,
}

/// One request, and the connection to answer it on.
pub(crate) struct Exchange {
    pub(crate) request: Received,
    stream: TcpStream,
}

/// A request as it arrived.
pub(crate) struct Received {
    /// `POST /v1/messages?beta=true HTTP/1.1`
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let mut upstream = Self::dead();
        upstream.listen();
        upstream
    }

    /// One that has an address and does not listen yet.
    pub(crate) fn dead() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let (sender, exchanges) = channel();
        let answer = Mutex::new(Some((200, r#"{"data":[]}"#.to_owned())));
        Self {
            address,
            exchanges,
            count: Arc::new(AtomicUsize::new(0)),
            is_over: Arc::new(AtomicBool::new(false)),
            probes: Arc::new(Probes { count: AtomicUsize::new(0), answer }),
            silent: Some((socket, sender)),
        }
    }

    /// Begins to listen.
    pub(crate) fn listen(&mut self) {
        let (socket, sender) = self.silent.take().expect("it does not listen yet");
        socket.listen(128).unwrap();
        let listener = TcpListener::from(socket);
        let (count, is_over) = (Arc::clone(&self.count), Arc::clone(&self.is_over));
        let probes = Arc::clone(&self.probes);
        std::thread::spawn(move || accept(&listener, &sender, (&count, &probes), &is_over));
    }

    /// Answers all further requests so, one after the other and without the test.
    pub(crate) fn answer_all(&mut self, answer: impl FnMut(Exchange) + Send + 'static) {
        let exchanges = std::mem::replace(&mut self.exchanges, channel().1);
        std::thread::spawn(move || exchanges.into_iter().for_each(answer));
    }

    /// What the gateway's own requests are answered with from now on; `None` is nothing at all.
    pub(crate) fn answer_probes(&self, answer: Option<(u16, &str)>) {
        let answer = answer.map(|(status, body)| (status, body.to_owned()));
        *self.probes.answer.lock().unwrap() = answer;
    }

    /// The gateway's own requests that have come.
    pub(crate) fn probes(&self) -> usize {
        self.probes.count.load(Ordering::SeqCst)
    }

    /// The next request.
    pub(crate) fn next(&self) -> Exchange {
        self.exchanges.recv_timeout(PATIENCE).expect("a request reaches the upstream")
    }

    /// The next request, if one comes soon.
    pub(crate) fn next_within(&self, limit: Duration) -> Option<Exchange> {
        self.exchanges.recv_timeout(limit).ok()
    }

    /// Requests that have come on fresh connections.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// An address where nobody listens.
    pub(crate) fn nowhere() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }
}

impl Probes {
    fn answer(&self, mut exchange: Exchange) {
        self.count.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer.lock().unwrap().clone();
        match answer {
            Some((status, body)) => drop(exchange.try_send(json_response(status, &body))),
            None => exchange.wait_until_left(),
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        drop(TcpStream::connect(self.address));
    }
}

fn accept(
    listener: &TcpListener,
    sender: &Sender<Exchange>,
    (count, probes): (&Arc<AtomicUsize>, &Arc<Probes>),
    is_over: &AtomicBool,
) {
    for stream in listener.incoming() {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let stream = stream.unwrap();
        let (sender, count, probes) = (sender.clone(), Arc::clone(count), Arc::clone(probes));
        std::thread::spawn(move || {
            stream.set_nodelay(true).unwrap();
            if let Some(exchange) = receive(stream) {
                if exchange.request.line.starts_with("GET /v1/models?limit=1 ") {
                    return probes.answer(exchange);
                }
                count.fetch_add(1, Ordering::SeqCst);
                drop(sender.send(exchange));
            }
        });
    }
}

/// Reads a request; `None` if the connection ends first.
pub(crate) fn receive(mut stream: TcpStream) -> Option<Exchange> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0_u8; 65_536];
    let mut read = |bytes: &mut Vec<u8>| {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        Some(())
    };
    let head_end = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at;
        }
        read(&mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut body = bytes.split_off(head_end + 4);
    let mut lines = head.split("\r\n").map(str::to_owned);
    let line = lines.next().unwrap();
    let headers: Vec<_> = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let length = header(&headers, "content-length").map_or(0, |length| length.parse().unwrap());
    while body.len() < length {
        read(&mut body)?;
    }
    Some(Exchange { request: Received { line, headers, body }, stream })
}

impl Exchange {
    /// Bytes, as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the gateway reads");
        self
    }

    /// Whether the gateway still took the bytes.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// The head of a stream in chunks.
    pub(crate) fn stream_head(&mut self) -> &mut Self {
        self.send(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
             transfer-encoding: chunked\r\nrequest-id: req_upstream_0001\r\n\
             anthropic-organization-id: org-of-the-operator\r\n\r\n",
        )
    }

    /// One chunk.
    pub(crate) fn chunk(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        self.send(framed)
    }

    /// One chunk, if the gateway still takes it.
    pub(crate) fn try_chunk(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        self.try_send(framed)
    }

    /// The last chunk.
    pub(crate) fn end_chunks(&mut self) -> &mut Self {
        self.send("0\r\n\r\n")
    }

    /// A whole stream in one go.
    pub(crate) fn answer_stream(mut self, events: &str) {
        self.stream_head().chunk(events).end_chunks();
    }

    /// A whole JSON answer.
    pub(crate) fn answer_json(mut self, body: &str) {
        self.send(json_response(200, body));
    }

    /// A refusal with a JSON body.
    pub(crate) fn refuse(mut self, status: u16, body: &str) {
        self.send(json_response(status, body));
    }

    /// Ends the connection in order.
    pub(crate) fn close(self) {
        self.stream.shutdown(Shutdown::Both).ok();
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Another handle of the connection, for what comes behind this exchange.
    pub(crate) fn connection(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Our end of the connection.
    pub(crate) fn ports(&self) -> Ports {
        Ports::of(&self.stream)
    }

    /// Waits until the gateway has closed the connection.
    pub(crate) fn wait_until_left(mut self) {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0_u8; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("the gateway did not leave")
                }
                Err(_) => return,
            }
        }
    }

    /// Whether the gateway holds the connection open, as far as is known now.
    pub(crate) fn is_open(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let mut byte = [0_u8; 1];
        let read = self.stream.read(&mut byte);
        self.stream.set_nonblocking(false).unwrap();
        matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// The next request on the same connection, if one comes within the limit.
    pub(crate) fn next_on_connection(self, limit: Duration) -> Option<Self> {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let exchange = receive(self.stream)?;
        exchange.stream.set_read_timeout(None).unwrap();
        Some(exchange)
    }
}

/// A JSON response with its length.
pub(crate) fn json_response(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         request-id: req_upstream_0001\r\nanthropic-organization-id: org-of-the-operator\r\n\r\n\
         {body}",
        body.len()
    )
}

/// A message as JSON with that usage.
pub(crate) fn message(usage: &serde_json::Value) -> String {
    serde_json::json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": super::sse::MODEL,
        "content": [{ "type": "text", "text": "Hello" }],
        "stop_reason": "end_turn", "stop_sequence": null, "usage": usage,
    })
    .to_string()
}
