//! A node as it was some blocks ago: what a provider knows that lags behind.

use serde_json::{Value, json};

use super::super::chain::hex;
use super::super::chain::node::{Node, RpcError, number};

/// Asks a node as if its last `lag` blocks had not been.
pub(super) fn ask(node: Node, lag: u64, method: &str, params: &Value) -> Result<Value, RpcError> {
    if lag == 0 {
        return node.try_rpc(method, params);
    }
    let head = number(&node.rpc("eth_blockNumber", &json!([]))).saturating_sub(lag);
    let view = View { node, lag, head };
    match method {
        "eth_blockNumber" => Ok(hex(head).into()),
        "eth_getLogs" => view.logs(params),
        "eth_getTransactionReceipt" | "eth_getTransactionByHash" | "eth_getBlockByHash" => {
            let found = node.try_rpc(method, params)?;
            let name = if method == "eth_getBlockByHash" { "number" } else { "blockNumber" };
            Ok(if view.is_known(&found[name]) { found } else { Value::Null })
        }
        "debug_traceTransaction" => {
            let found = node.rpc("eth_getTransactionByHash", &json!([params[0]]));
            if !view.is_known(&found["blockNumber"]) {
                return Err(unknown("transaction not found"));
            }
            node.try_rpc(method, params)
        }
        "eth_getBlockByNumber" | "eth_getBlockReceipts" => match view.block(&params[0]) {
            Some(block) => node.try_rpc(method, &with(params, 0, block)),
            None => Ok(Value::Null),
        },
        "eth_call" | "eth_getBalance" | "eth_getCode" | "eth_getTransactionCount" => {
            view.state(method, params, 1)
        }
        "eth_getStorageAt" => view.state(method, params, 2),
        _ => node.try_rpc(method, params),
    }
}

struct View {
    node: Node,
    lag: u64,
    head: u64,
}

impl View {
    /// Whether a block with that number is there; a null is a transaction that waits.
    fn is_known(&self, block_number: &Value) -> bool {
        block_number.is_string() && number(block_number) <= self.head
    }

    /// The block that a tag, a number or a hash (EIP-1898) names, unless it is not there yet.
    fn block(&self, name: &Value) -> Option<Value> {
        match name {
            Value::Null => Some(hex(self.head).into()),
            Value::String(tag) if tag == "latest" || tag == "pending" => {
                Some(hex(self.head).into())
            }
            Value::String(tag) if tag == "finalized" || tag == "safe" => {
                let block = self.node.rpc("eth_getBlockByNumber", &json!([tag, false]));
                Some(hex(number(&block["number"]).saturating_sub(self.lag)).into())
            }
            Value::String(text) if text.starts_with("0x") && text.len() < 66 => {
                self.is_known(name).then(|| name.clone())
            }
            Value::String(text) if text.starts_with("0x") => self.by_hash(name),
            Value::Object(fields) if fields.contains_key("blockHash") => {
                self.by_hash(&fields["blockHash"])
            }
            Value::Object(fields) => self.block(&fields["blockNumber"]),
            other => Some(other.clone()),
        }
    }

    fn by_hash(&self, hash: &Value) -> Option<Value> {
        let block = self.node.rpc("eth_getBlockByHash", &json!([hash, false]));
        self.is_known(&block["number"]).then(|| block["number"].clone())
    }

    fn state(&self, method: &str, params: &Value, position: usize) -> Result<Value, RpcError> {
        let block = self.block(&params[position]).ok_or_else(|| unknown("header not found"))?;
        self.node.try_rpc(method, &with(params, position, block))
    }

    /// Logs up to the head as it is seen from here.
    fn logs(&self, params: &Value) -> Result<Value, RpcError> {
        let mut filter = params[0].clone();
        if let Some(hash) = filter.get("blockHash") {
            self.by_hash(hash).ok_or_else(|| unknown("unknown block"))?;
            return self.node.try_rpc("eth_getLogs", params);
        }
        // A node that knows less says so by silence.
        let Some(from) = self.block(&filter["fromBlock"]) else { return Ok(json!([])) };
        filter["toBlock"] = self.block(&filter["toBlock"]).unwrap_or_else(|| hex(self.head).into());
        filter["fromBlock"] = from;
        self.node.try_rpc("eth_getLogs", &json!([filter]))
    }
}

fn with(params: &Value, position: usize, value: Value) -> Value {
    let mut params = params.as_array().cloned().unwrap_or_default();
    params.resize(params.len().max(position + 1), Value::Null);
    params[position] = value;
    Value::Array(params)
}

fn unknown(message: &str) -> RpcError {
    RpcError { code: -32000, message: message.to_owned(), data: None }
}
