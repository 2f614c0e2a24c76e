//! `/api/v1` as a script asks it.

use ethers_core::types::{Address, H256};
use serde_json::{Value, json};

use super::app::{Account, TestApp};
use super::client::{Request, Response};

impl TestApp {
    pub(crate) fn api_get(&self, account: &Account, path: &str) -> Response {
        self.ask(&Request::get(path).key(&account.key))
    }

    pub(crate) fn api_post(&self, account: &Account, path: &str, body: &Value) -> Response {
        self.ask(&Request::post(path, body.to_string()).key(&account.key))
    }

    /// A message to sign, of an address on the chain `base`.
    pub(crate) fn challenge(&self, account: &Account, address: Address) -> String {
        let body = json!({ "chain": "base", "address": checksummed(address) });
        let response = self.api_post(account, "/api/v1/wallets/challenge", &body);
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()["message"].as_str().unwrap().to_owned()
    }

    /// Sends a message with its signature.
    pub(crate) fn prove(&self, account: &Account, message: &str, signature: &[u8]) -> Response {
        let body = json!({ "message": message, "signature": hex(signature) });
        self.api_post(account, "/api/v1/wallets", &body)
    }

    /// Claims a transaction on the chain `base`.
    pub(crate) fn claim(&self, account: &Account, tx: H256) -> Response {
        let body = json!({ "chain": "base", "tx_hash": hex(tx.as_bytes()) });
        self.api_post(account, "/api/v1/deposits", &body)
    }

    /// The wallets that an account is told of.
    pub(crate) fn wallets(&self, account: &Account) -> Vec<Value> {
        let response = self.api_get(account, "/api/v1/wallets");
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()["data"].as_array().unwrap().clone()
    }
}

impl Response {
    /// Asserts a refusal in this interface's shape.
    pub(crate) fn expect_refusal(&self, status: u16, code: &str) {
        let text = self.text();
        assert_eq!(self.status, status, "{code}: {text}");
        let document = self.json();
        assert_eq!(document["error"]["code"], code, "{text}");
        assert!(!document["error"]["message"].as_str().unwrap().is_empty(), "{text}");
        assert_eq!(document.as_object().unwrap().len(), 1, "{text}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert!(self.header("request-id").unwrap().starts_with("req_"));
    }
}

pub(crate) fn checksummed(address: Address) -> String {
    ethers_core::utils::to_checksum(&address, None)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    format!("0x{}", ethers_core::utils::hex::encode(bytes))
}
