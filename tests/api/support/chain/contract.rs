//! The mock contracts of `tests/chain/contracts`: put on a chain, sent to and asked.

use ethers_core::abi::{Abi, Detokenize, Tokenize};
use ethers_core::types::{Address, Bytes, H256, U256};
use serde_json::{Value, json};

use super::{BlockName, TestChain, hex, node};

const ARTIFACTS: &str = include_str!("../../../chain/contracts/artifacts.json");

/// Enough for the largest of them.
const DEPLOY_GAS: u64 = 5_000_000;

/// A contract on a chain.
#[derive(Clone)]
pub(crate) struct Contract {
    pub(crate) address: Address,
    abi: Abi,
}

impl Contract {
    /// One that stands at an address already: an account that has delegated to it.
    pub(crate) fn at(name: &str, address: Address) -> Self {
        Self { address, abi: artifact(name).0 }
    }

    /// The input of a call.
    pub(crate) fn input(&self, function: &str, args: impl Tokenize) -> Bytes {
        let function = self.abi.function(function).unwrap();
        function.encode_input(&args.into_tokens()).unwrap().into()
    }
}

fn artifact(name: &str) -> (Abi, Bytes) {
    let mut artifacts: Value = serde_json::from_str(ARTIFACTS).unwrap();
    let mut artifact = artifacts["contracts"][name].take();
    assert!(artifact.is_object(), "no contract {name}");
    (node::parse(artifact["abi"].take()), node::parse(artifact["bytecode"].take()))
}

/// The code that creates a contract.
pub(crate) fn creation(name: &str, args: impl Tokenize) -> Bytes {
    let (abi, code) = artifact(name);
    match &abi.constructor {
        Some(constructor) => {
            constructor.encode_input(code.to_vec(), &args.into_tokens()).unwrap().into()
        }
        None => code,
    }
}

impl TestChain {
    /// Puts a contract on the chain, sent by the first dev account, in a block of its own.
    pub(crate) fn deploy(&self, name: &str, args: impl Tokenize) -> Contract {
        let (abi, code) = (artifact(name).0, creation(name, args));
        let from = self.account(0);
        let hash = self.transact(json!({ "from": from, "data": code, "gas": hex(DEPLOY_GAS) }));
        let receipt = self.receipt(hash);
        assert_eq!(receipt["status"], "0x1", "{name} needs a chain that mines: {receipt}");
        Contract { address: node::parse(receipt["contractAddress"].clone()), abi }
    }

    /// Sends a call from an unlocked account.
    pub(crate) fn send(
        &self,
        from: Address,
        contract: &Contract,
        function: &str,
        args: impl Tokenize,
    ) -> H256 {
        self.send_paying(from, contract, function, args, U256::zero())
    }

    /// The same with native coin, in wei.
    pub(crate) fn send_paying(
        &self,
        from: Address,
        contract: &Contract,
        function: &str,
        args: impl Tokenize,
        wei: impl Into<U256>,
    ) -> H256 {
        let data = contract.input(function, args);
        let value: U256 = wei.into();
        self.transact(json!({ "from": from, "to": contract.address, "data": data, "value": value }))
    }

    /// What a function answers at the head.
    pub(crate) fn ask<T: Detokenize>(
        &self,
        contract: &Contract,
        function: &str,
        args: impl Tokenize,
    ) -> T {
        self.ask_at(contract, function, args, "latest")
    }

    /// What a function answers at a block.
    pub(crate) fn ask_at<T: Detokenize>(
        &self,
        contract: &Contract,
        function: &str,
        args: impl Tokenize,
        block: impl Into<BlockName>,
    ) -> T {
        let call = json!({ "to": contract.address, "data": contract.input(function, args) });
        let output: Bytes = node::parse(self.rpc("eth_call", &json!([call, block.into().0])));
        let tokens = contract.abi.function(function).unwrap().decode_output(&output).unwrap();
        T::from_tokens(tokens).unwrap()
    }
}
