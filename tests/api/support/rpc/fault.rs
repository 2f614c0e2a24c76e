//! What a provider may do instead of answering as its node does.

use std::sync::Arc;

use serde_json::{Value, json};

use super::ANY;

/// Changes a result, given the parameters of its call.
pub(crate) type Mutation = Arc<dyn Fn(&Value, &mut Value) + Send + Sync>;

/// What happens to a call. In a batch, what concerns HTTP happens to the whole of it.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// `"result": null`, as for something unknown.
    Null,
    /// Any result.
    Result(Value),
    /// An error of JSON-RPC.
    Error { code: i64, message: String },
    /// The right answer to another question.
    WrongId,
    /// An answer of HTTP with any status and body, and further header lines that end in CRLF.
    Http { status: u16, headers: String, body: String },
    /// The right answer in an HTTP answer that is whole, but half of the JSON is missing.
    Truncated,
    /// The connection ends in the middle of the right answer.
    Cut,
    /// The connection ends without an answer.
    Close,
    /// The right answer, once the test lets it go.
    Held,
}

impl Fault {
    pub(crate) fn error(code: i64, message: &str) -> Self {
        Self::Error { code, message: message.to_owned() }
    }

    /// As the largest provider words it.
    pub(crate) fn too_many_results() -> Self {
        Self::error(-32005, "query returned more than 10000 results")
    }

    pub(crate) fn unknown_method() -> Self {
        Self::error(-32601, "the method does not exist/is not available")
    }

    /// HTTP 429, with the seconds after which to come again if the provider says so.
    pub(crate) fn too_many_requests(retry_after_secs: Option<u64>) -> Self {
        let header = |secs| format!("retry-after: {secs}\r\n");
        let error = json!({ "code": 429, "message": "Too Many Requests" });
        Self::Http {
            status: 429,
            headers: retry_after_secs.map(header).unwrap_or_default(),
            body: json!({ "jsonrpc": "2.0", "error": error }).to_string(),
        }
    }
}

type Decide = Box<dyn Fn(&Value) -> Option<Fault> + Send>;

/// When to do what.
pub(super) struct Rule {
    method: String,
    /// How often it still applies; `None` is always.
    left: Option<usize>,
    decide: Decide,
}

impl Rule {
    pub(super) fn new(
        method: &str,
        left: Option<usize>,
        decide: impl Fn(&Value) -> Option<Fault> + Send + 'static,
    ) -> Self {
        Self { method: method.to_owned(), left, decide: Box::new(decide) }
    }

    /// What it does to a call, if it applies.
    pub(super) fn apply(&mut self, method: &str, params: &Value) -> Option<Fault> {
        if !matches(&self.method, method) || self.left == Some(0) {
            return None;
        }
        let fault = (self.decide)(params)?;
        self.left = self.left.map(|left| left - 1);
        Some(fault)
    }
}

/// Whether a rule for `wanted` concerns `method`.
pub(super) fn matches(wanted: &str, method: &str) -> bool {
    wanted == ANY || wanted == method
}
