//! JSON-RPC over HTTP from the test's side: one connection for each call, nothing retried.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::client::{Connection, Request};

/// A node, or what stands before one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
}

/// An error as a node words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    /// What a call that reverts gave back, among others.
    pub(crate) data: Option<Value>,
}

impl Node {
    /// The result of a call that succeeds.
    pub(crate) fn rpc(&self, method: &str, params: &Value) -> Value {
        self.try_rpc(method, params).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    pub(crate) fn try_rpc(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut answer = self.post(&call);
        if let Some(error) = answer.get("error") {
            let message = error["message"].as_str().expect("a message").to_owned();
            let (code, data) =
                (error["code"].as_i64().expect("a code"), error.get("data").cloned());
            return Err(RpcError { code, message, data });
        }
        assert_eq!(answer["id"], 1, "{answer}");
        Ok(answer["result"].take())
    }

    /// The answer to any body, whatever it says.
    pub(crate) fn post(&self, body: &Value) -> Value {
        let request = Request::post("/", body.to_string());
        Connection::open(self.address).ask(&request).finish().expect_ok().json()
    }
}

/// A result as what it is.
pub(crate) fn parse<T: DeserializeOwned>(value: Value) -> T {
    let text = value.to_string();
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A number as the wire has it.
pub(crate) fn number(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let text = text.unwrap_or_else(|| panic!("not a number: {value}"));
    u64::from_str_radix(text, 16).unwrap_or_else(|error| panic!("{error}: {value}"))
}
