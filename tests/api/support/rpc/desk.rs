//! Where a provider makes up its answers: the script of the test, and the node behind it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::super::chain::node::{Node, RpcError};
use super::super::upstream::Received;
use super::fault::{Fault, Mutation, Rule, matches};
use super::{Post, lag};

/// Everything that connections share.
pub(super) struct Desk {
    pub(super) node: Option<Node>,
    script: Mutex<Script>,
    /// How often held answers were let go.
    releases: Mutex<u64>,
    released: Condvar,
}

/// What the test has said, and what it wants to know.
pub(super) struct Script {
    pub(super) rules: Vec<Rule>,
    pub(super) mutations: Vec<(String, Mutation)>,
    pub(super) lag_blocks: u64,
    pub(super) batch_max: usize,
    /// What happens to larger ones, where it is not the usual refusal.
    pub(super) batch_fault: Option<Fault>,
    pub(super) reverses_batches: bool,
    pub(super) posts: Vec<Post>,
}

/// What goes over the wire.
pub(super) enum Reply {
    Whole {
        status: u16,
        /// Lines that end in CRLF.
        headers: String,
        body: String,
    },
    /// Half of this, and the end of the connection.
    Cut(Vec<u8>),
    /// The end of the connection.
    Nothing,
}

/// A call of JSON-RPC.
struct Call {
    id: Value,
    method: String,
    params: Value,
}

impl Script {
    pub(super) fn heal(&mut self) {
        self.rules.clear();
        self.mutations.clear();
        self.lag_blocks = 0;
        self.batch_max = usize::MAX;
        self.batch_fault = None;
        self.reverses_batches = false;
    }

    /// How far behind it is, and what it changes in results of the method, the oldest first.
    fn bearing(&self, method: &str) -> (u64, Vec<Mutation>) {
        let concerned = self.mutations.iter().filter(|(wanted, _)| matches(wanted, method));
        (self.lag_blocks, concerned.map(|(_, mutation)| Arc::clone(mutation)).collect())
    }

    /// The newest rule that applies decides.
    fn fault(&mut self, call: &Call) -> Option<Fault> {
        self.rules.iter_mut().rev().find_map(|rule| rule.apply(&call.method, &call.params))
    }
}

impl Desk {
    pub(super) fn new(node: Option<Node>) -> Self {
        let mut script = Script {
            rules: Vec::new(),
            mutations: Vec::new(),
            lag_blocks: 0,
            batch_max: 0,
            batch_fault: None,
            reverses_batches: false,
            posts: Vec::new(),
        };
        script.heal();
        Self { node, script: Mutex::new(script), releases: Mutex::new(0), released: Condvar::new() }
    }

    /// A closure of the test that panics must not hide behind a poisoned lock.
    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn release(&self) {
        *self.releases.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.released.notify_all();
    }

    /// The answer to one POST.
    pub(super) fn reply(&self, request: &Received) -> Reply {
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
            return whole(&refusal(-32700, "parse error"));
        };
        let calls: Vec<Call> = match &body {
            Value::Array(calls) => calls.iter().map(Call::read).collect(),
            single => vec![Call::read(single)],
        };
        let releases = *self.releases.lock().unwrap();
        let (faults, batch_max, is_reversed) = self.note(request, &calls);
        if calls.len() > batch_max {
            return match self.script().batch_fault.clone() {
                None => whole(&refusal(-32600, "batch limit exceeded")),
                Some(Fault::Error { code, message }) => whole(&refusal(code, &message)),
                Some(fault) => on_the_wire("[{}]".to_owned(), std::iter::once(fault)),
            };
        }
        if faults.iter().flatten().any(|fault| matches!(fault, Fault::Held)) {
            let held = self.releases.lock().unwrap();
            drop(self.released.wait_while(held, |count| *count == releases).unwrap());
        }
        let mut answers: Vec<Value> = calls
            .iter()
            .zip(&faults)
            .map(|(call, fault)| self.answer(call, fault.as_ref()))
            .collect();
        if is_reversed {
            answers.reverse();
        }
        let answer = if body.is_array() { Value::Array(answers) } else { answers.remove(0) };
        on_the_wire(answer.to_string(), faults.into_iter().flatten())
    }

    /// Remembers a POST and decides on its calls, before anyone can ask whether it has come.
    fn note(&self, request: &Received, calls: &[Call]) -> (Vec<Option<Fault>>, usize, bool) {
        let mut script = self.script();
        let faults = calls.iter().map(|call| script.fault(call)).collect();
        script.posts.push(Post {
            line: request.line.clone(),
            headers: request.headers.clone(),
            calls: calls.iter().map(|call| (call.method.clone(), call.params.clone())).collect(),
        });
        (faults, script.batch_max, script.reverses_batches)
    }

    /// One call's answer as JSON.
    fn answer(&self, call: &Call, fault: Option<&Fault>) -> Value {
        let result = match fault {
            Some(Fault::Null) => Ok(Value::Null),
            Some(Fault::Result(result)) => Ok(result.clone()),
            Some(Fault::Error { code, message }) => {
                Err(RpcError { code: *code, message: message.clone(), data: None })
            }
            _ => self.honest(call),
        };
        let id = match fault {
            Some(Fault::WrongId) => json!(9_999_999),
            _ => call.id.clone(),
        };
        match result {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(RpcError { code, message, data }) => {
                let mut error = json!({ "code": code, "message": message });
                if let Some(data) = data {
                    error["data"] = data;
                }
                json!({ "jsonrpc": "2.0", "id": id, "error": error })
            }
        }
    }

    /// What the node says, as far behind as the provider is, with the test's lies.
    fn honest(&self, call: &Call) -> Result<Value, RpcError> {
        let Some(node) = self.node else {
            let message = format!("nobody answers {}", call.method);
            return Err(RpcError { code: -32601, message, data: None });
        };
        let (lag_blocks, mutations) = self.script().bearing(&call.method);
        let mut result = lag::ask(node, lag_blocks, &call.method, &call.params)?;
        for mutation in mutations {
            mutation(&call.params, &mut result);
        }
        Ok(result)
    }
}

impl Call {
    fn read(call: &Value) -> Self {
        Self {
            id: call["id"].clone(),
            method: call["method"].as_str().unwrap_or_default().to_owned(),
            params: call["params"].clone(),
        }
    }
}

/// What becomes of an answer under faults that concern HTTP.
fn on_the_wire(body: String, faults: impl Iterator<Item = Fault>) -> Reply {
    let mut reply = Reply::Whole { status: 200, headers: String::new(), body };
    for fault in faults {
        reply = match (fault, reply) {
            (Fault::Http { status, headers, body }, _) => Reply::Whole { status, headers, body },
            (Fault::Close, _) => Reply::Nothing,
            (Fault::Cut, Reply::Whole { body, .. }) => Reply::Cut(body.into_bytes()),
            (Fault::Truncated, Reply::Whole { status, headers, body }) => {
                let half = &body.as_bytes()[..body.len() / 2];
                let body = String::from_utf8_lossy(half).into_owned();
                Reply::Whole { status, headers, body }
            }
            (_, reply) => reply,
        };
    }
    reply
}

fn whole(answer: &Value) -> Reply {
    Reply::Whole { status: 200, headers: String::new(), body: answer.to_string() }
}

fn refusal(code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": message } })
}
