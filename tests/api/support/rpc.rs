//! A provider of JSON-RPC that stands before a real node and does on command what providers do and
//! a node on the same machine does not: refuse, lie, lag behind, cut short, keep silent, be gone.
//!
//! It takes single calls and batches, keeps connections, and remembers everything it was asked.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ethers_core::types::Address;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use super::chain::node::{Node, number};
use super::upstream::{Exchange, receive};
use super::wait::eventually;

mod desk;
pub(crate) mod fault;
mod lag;

use desk::{Desk, Reply};
use fault::{Fault, Mutation, Rule};

/// Longer than any test keeps a connection idle.
const IDLE: Duration = Duration::from_mins(10);

/// Any method.
pub(crate) const ANY: &str = "*";

/// A provider. It answers as its node does until it is told otherwise.
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    desk: Arc<Desk>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    door: Mutex<Option<Door>>,
}

/// Whether anyone listens at the address.
enum Door {
    Open {
        is_over: Arc<AtomicBool>,
        thread: JoinHandle<()>,
    },
    /// Keeps the port from others: bound, and nobody listens, so that it refuses.
    Shut(Socket),
}

/// One POST, as it came.
#[derive(Clone)]
pub(crate) struct Post {
    /// `POST /v2/key HTTP/1.1`
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Methods with their parameters; more than one in a batch.
    pub(crate) calls: Vec<(String, Value)>,
}

impl Provider {
    /// Before a node.
    pub(crate) fn before(node: Node) -> Self {
        Self::start(Some(node))
    }

    /// Before nothing: every method that the test does not answer is unknown.
    pub(crate) fn alone() -> Self {
        Self::start(None)
    }

    fn start(node: Option<Node>) -> Self {
        let socket = bound(([127, 0, 0, 1], 0).into());
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let (desk, connections) = (Arc::new(Desk::new(node)), Arc::default());
        let provider =
            Self { address, desk, connections, door: Mutex::new(Some(Door::Shut(socket))) };
        provider.revive();
        provider
    }

    /// As an operator's settings name it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The provider as a node, to ask it as a gateway would.
    pub(crate) const fn node(&self) -> Node {
        Node { address: self.address }
    }

    /// Ends every connection; from now on the port refuses.
    pub(crate) fn die(&self) {
        self.close();
        *self.door.lock().unwrap() = Some(Door::Shut(bound(self.address)));
    }

    /// Ends everything that runs. In `drop` too, so it does not mind what has failed before.
    fn close(&self) {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Door::Open { is_over, thread }) = door {
            is_over.store(true, Ordering::SeqCst);
            // Wakes the listener, which then sees that it is over.
            drop(TcpStream::connect(self.address));
            thread.join().ok();
        }
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in connections.drain(..) {
            connection.shutdown(Shutdown::Both).ok();
        }
        self.desk.release();
    }

    /// Listens again, at the same address.
    pub(crate) fn revive(&self) {
        let mut door = self.door.lock().unwrap();
        let Some(Door::Shut(socket)) = door.take() else { panic!("it is alive") };
        socket.listen(128).unwrap();
        let (listener, is_over) = (TcpListener::from(socket), Arc::new(AtomicBool::new(false)));
        let (desk, connections) = (Arc::clone(&self.desk), Arc::clone(&self.connections));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || accept(&listener, &desk, &connections, &over));
        *door = Some(Door::Open { is_over, thread });
    }
}

/// What it is told to do. Of several rules the newest one that applies counts.
impl Provider {
    /// Does this whenever the method is called.
    pub(crate) fn on(&self, method: &str, fault: Fault) {
        self.when(method, move |_| Some(fault.clone()));
    }

    /// Does this for the next so many calls of the method.
    pub(crate) fn times(&self, count: usize, method: &str, fault: Fault) {
        self.desk.script().rules.push(Rule::new(method, Some(count), move |_| Some(fault.clone())));
    }

    /// Decides by the parameters.
    pub(crate) fn when(
        &self,
        method: &str,
        decide: impl Fn(&Value) -> Option<Fault> + Send + 'static,
    ) {
        self.desk.script().rules.push(Rule::new(method, None, decide));
    }

    /// Changes the node's results of the method, given its parameters: a lie.
    pub(crate) fn mutate(
        &self,
        method: &str,
        mutation: impl Fn(&Value, &mut Value) + Send + Sync + 'static,
    ) {
        let mutation: Mutation = Arc::new(mutation);
        self.desk.script().mutations.push((method.to_owned(), mutation));
    }

    /// Lies about the price in every round of a feed.
    pub(crate) fn misprice(&self, feed: Address) {
        let feed = serde_json::json!(feed);
        self.mutate("eth_call", move |params, answer| {
            let Some(rounds) = answer.as_str().filter(|_| params[0]["to"] == feed) else { return };
            // The second word.
            let digits = rounds.char_indices().map(|(place, digit)| match place {
                66..129 => '0',
                129 => '7',
                _ => digit,
            });
            *answer = digits.collect::<String>().into();
        });
    }

    /// Stays that many blocks behind its node in everything: heads, blocks, receipts, logs, state.
    pub(crate) fn set_lag(&self, blocks: u64) {
        self.desk.script().lag_blocks = blocks;
    }

    /// Refuses `eth_getLogs` over more blocks than that, as if it had found too much.
    pub(crate) fn limit_logs(&self, blocks_max: u64) {
        let desk = Arc::downgrade(&self.desk);
        self.when("eth_getLogs", move |params| {
            let head = || {
                let node = desk.upgrade().and_then(|desk| desk.node).expect("a node");
                number(&node.rpc("eth_blockNumber", &serde_json::json!([])))
            };
            let block = |name: &str| match &params[0][name] {
                Value::String(text) if text.starts_with("0x") => number(&params[0][name]),
                _ => head(),
            };
            let blocks = 1 + block("toBlock").saturating_sub(block("fromBlock"));
            let is_by_hash = params[0].get("blockHash").is_some();
            (!is_by_hash && blocks > blocks_max).then(Fault::too_many_results)
        });
    }

    /// Refuses batches of more calls than that as a whole.
    pub(crate) fn limit_batches(&self, calls_max: usize) {
        self.desk.script().batch_max = calls_max;
    }

    /// The same in other words.
    pub(crate) fn refuse_batches(&self, calls_max: usize, fault: Fault) {
        let mut script = self.desk.script();
        script.batch_max = calls_max;
        script.batch_fault = Some(fault);
    }

    /// Answers the last call of a batch first.
    pub(crate) fn reverse_batches(&self) {
        self.desk.script().reverses_batches = true;
    }

    /// Lets all answers go that are held.
    pub(crate) fn release(&self) {
        self.desk.release();
    }

    /// Forgets everything it was told to do; not what it was asked.
    pub(crate) fn heal(&self) {
        self.desk.script().heal();
        self.desk.release();
    }
}

/// What it was asked.
impl Provider {
    /// Every POST since the start or the last [`Self::forget`].
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.desk.script().posts.clone()
    }

    /// The parameters of every call of a method.
    pub(crate) fn calls(&self, method: &str) -> Vec<Value> {
        let calls = self.posts().into_iter().flat_map(|post| post.calls);
        calls
            .filter(|(name, _)| name == method || method == ANY)
            .map(|(_, params)| params)
            .collect()
    }

    pub(crate) fn count(&self, method: &str) -> usize {
        let script = self.desk.script();
        let calls = script.posts.iter().flat_map(|post| &post.calls);
        calls.filter(|(name, _)| name == method || method == ANY).count()
    }

    /// How often it was asked for its newest block.
    pub(crate) fn looks(&self) -> usize {
        let script = self.desk.script();
        let calls = script.posts.iter().flat_map(|post| &post.calls);
        calls
            .filter(|(name, params)| name == "eth_getBlockByNumber" && params[0] == "latest")
            .count()
    }

    /// Waits until a method was called so often.
    pub(crate) fn wait_for(&self, count: usize, method: &str) {
        eventually(method, || (self.count(method) >= count).then_some(()));
    }

    pub(crate) fn forget(&self) {
        self.desk.script().posts.clear();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.close();
    }
}

/// A socket that has its address and does not listen yet. What is left of earlier connections does
/// not keep it from the address.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

fn accept(
    listener: &TcpListener,
    desk: &Arc<Desk>,
    connections: &Mutex<Vec<TcpStream>>,
    is_over: &AtomicBool,
) {
    for stream in listener.incoming() {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        connections.lock().unwrap().push(stream.try_clone().unwrap());
        let desk = Arc::clone(desk);
        std::thread::spawn(move || serve(stream, &desk));
    }
}

/// Answers what comes on one connection until it ends.
fn serve(stream: TcpStream, desk: &Desk) {
    let mut next = receive(stream);
    while let Some(exchange) = next {
        next = answer(exchange, desk);
    }
}

fn answer(mut exchange: Exchange, desk: &Desk) -> Option<Exchange> {
    match desk.reply(&exchange.request) {
        Reply::Whole { status, headers, body } => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}\
                 content-length: {length}\r\n\r\n"
            );
            let is_taken = exchange.try_send(head + &body);
            if is_taken { exchange.next_on_connection(IDLE) } else { None }
        }
        Reply::Cut(body) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            exchange.try_send([head.as_bytes(), &body[..body.len() / 2]].concat());
            exchange.close();
            None
        }
        Reply::Nothing => {
            exchange.close();
            None
        }
    }
}
