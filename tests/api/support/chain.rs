//! A chain of the test's own: anvil, a real node without peers, on a free port.
//!
//! It mines a block for each transaction, two seconds after the last one, beginning at the moment
//! at which the tests' clock stands, so nothing on it depends on when the test runs. Its finalized
//! block is eight behind its head.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use ethers_core::types::{Address, H256, U256};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::wait::eventually;

pub(crate) mod asking;
pub(crate) mod contract;
pub(crate) mod node;
pub(crate) mod wallet;

use node::{Node, RpcError};

/// Base, unless the test wants another.
pub(crate) const CHAIN_ID: u64 = 8453;

/// Seconds between blocks.
pub(crate) const BLOCK_SECS: u64 = 2;

/// So far behind its head is what a chain calls finalized.
pub(crate) const FINALITY_BLOCKS: u64 = 8;

/// 2026-11-22, noon, in seconds: when the tests' clock stands still, and the genesis block's time.
pub(crate) const GENESIS_SECS: u64 = 1_795_348_800;

/// More than a mock's call needs, and little enough for many in a block.
const CALL_GAS: u64 = 1_000_000;

/// A chain that goes when the test does.
pub(crate) struct TestChain {
    pub(crate) node: Node,
    /// Whether each transaction gets a block at once.
    automines: AtomicBool,
    child: Child,
    folder: TempDir,
}

/// Anvil's program: where `scripts/test chain` says, or where it has put it before.
#[expect(clippy::disallowed_methods, reason = "the one word that the caller of the tests has")]
fn anvil() -> PathBuf {
    let given = std::env::var_os("ANVIL").filter(|path| !path.is_empty());
    let platform = if cfg!(target_arch = "aarch64") { "linux-arm64" } else { "linux-amd64" };
    let installed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools/anvil/node_modules/@foundry-rs")
        .join(format!("anvil-{platform}/bin/anvil"));
    let path = given.map_or(installed, PathBuf::from);
    assert!(path.exists(), "there is no anvil: `scripts/test chain` installs it, or set ANVIL");
    path
}

impl TestChain {
    pub(crate) fn start() -> Self {
        Self::start_with(CHAIN_ID, &[])
    }

    pub(crate) fn start_as(chain_id: u64) -> Self {
        Self::start_with(chain_id, &[])
    }

    /// With further words of anvil's command line.
    ///
    /// Where there is `setpriv`, the node ends with the thread that started it, even if that is
    /// killed: start it in the test's own thread.
    pub(crate) fn start_with(chain_id: u64, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("anvil.log");
        let mut command = if Path::new("/usr/bin/setpriv").exists() {
            let mut command = Command::new("/usr/bin/setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).arg(anvil());
            command
        } else {
            Command::new(anvil())
        };
        // It writes below HOME.
        command.env_clear().env("HOME", folder.path()).current_dir(folder.path());
        let child = command
            .args(["--host", "127.0.0.1", "--port", "0", "--hardfork", "prague"])
            .args(["--slots-in-an-epoch", &(FINALITY_BLOCKS / 2).to_string()])
            .args(["--timestamp", &GENESIS_SECS.to_string()])
            .args(["--chain-id", &chain_id.to_string()])
            .args(args)
            .stdin(Stdio::null())
            .stdout(File::create(&log).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .expect("anvil can be run");
        let nowhere = Node { address: ([0, 0, 0, 0], 0).into() };
        let automines = AtomicBool::new(true);
        let mut chain = Self { node: nowhere, automines, child, folder };
        chain.node.address = eventually("anvil to listen", || {
            let log = chain.log();
            if let Some(status) = chain.child.try_wait().unwrap() {
                panic!("anvil ended: {status}\n{log}");
            }
            let line = log.lines().find_map(|line| line.strip_prefix("Listening on "))?;
            // Half a line may be there already, but a port without the line's end is not whole.
            log.ends_with('\n').then(|| line.parse().expect("an address"))
        });
        chain.set_block_secs(BLOCK_SECS);
        chain
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        let path = self.folder.path().join("anvil.log");
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
    }

    /// The result of a call that succeeds.
    pub(crate) fn rpc(&self, method: &str, params: &Value) -> Value {
        self.node.rpc(method, params)
    }

    pub(crate) fn try_rpc(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        self.node.try_rpc(method, params)
    }
}

impl Drop for TestChain {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What only a test can do with a chain.
impl TestChain {
    /// Mines that many blocks.
    pub(crate) fn mine(&self, blocks: u64) {
        self.rpc("anvil_mine", &json!([hex(blocks)]));
    }

    /// Mines until the block that is the head now is finalized.
    pub(crate) fn finalize(&self) {
        self.mine(FINALITY_BLOCKS);
    }

    /// Replaces the last `depth` blocks by as many others. Their transactions are gone, but for
    /// those given: each is what `eth_sendTransaction` takes or a raw transaction as hex, with the
    /// block that gets it, counted from 0.
    pub(crate) fn reorg(&self, depth: u64, transactions: &[(Value, u64)]) {
        self.rpc("anvil_reorg", &json!([depth, transactions]));
    }

    /// Drops the last `blocks` blocks: the head is lower afterwards.
    pub(crate) fn rollback(&self, blocks: u64) {
        self.rpc("anvil_rollback", &json!([blocks]));
    }

    /// Remembers everything, for [`Self::revert`].
    pub(crate) fn snapshot(&self) -> Value {
        self.rpc("evm_snapshot", &json!([]))
    }

    pub(crate) fn revert(&self, snapshot: &Value) {
        assert_eq!(self.rpc("evm_revert", &json!([snapshot])), true);
    }

    /// Whether each transaction gets a block at once, or waits for [`Self::mine`].
    pub(crate) fn set_automine(&self, is_on: bool) {
        self.rpc("evm_setAutomine", &json!([is_on]));
        self.automines.store(is_on, Ordering::SeqCst);
    }

    /// The time of the next block alone, in seconds; later ones go on from there.
    pub(crate) fn set_next_timestamp(&self, secs: u64) {
        self.rpc("evm_setNextBlockTimestamp", &json!([secs]));
    }

    /// Seconds between blocks from now on.
    pub(crate) fn set_block_secs(&self, secs: u64) {
        self.rpc("anvil_setBlockTimestampInterval", &json!([secs]));
    }

    /// From now on the node says that it is another chain.
    pub(crate) fn set_chain_id(&self, chain_id: u64) {
        self.rpc("anvil_setChainId", &json!([chain_id]));
    }

    pub(crate) fn set_balance(&self, address: Address, wei: U256) {
        self.rpc("anvil_setBalance", &json!([address, wei]));
    }

    /// Lets [`Self::transact`] send as an address whose key nobody has.
    pub(crate) fn impersonate(&self, address: Address) {
        self.rpc("anvil_impersonateAccount", &json!([address]));
    }

    /// Sends a transaction of an unlocked account. Without a `gas` of its own it gets enough for a
    /// mock, so that one that reverts is mined all the same. Where each transaction gets a block at
    /// once, it has it when this returns.
    pub(crate) fn transact(&self, mut transaction: Value) -> H256 {
        let fields = transaction.as_object_mut().expect("an object");
        fields.entry("gas").or_insert_with(|| hex(CALL_GAS).into());
        self.mined(self.rpc("eth_sendTransaction", &json!([transaction])))
    }

    /// A plain payment of native coin.
    pub(crate) fn pay(&self, from: Address, to: Address, wei: impl Into<U256>) -> H256 {
        self.transact(json!({ "from": from, "to": to, "value": wei.into() }))
    }

    /// Sends a signed transaction, of the account's next nonce.
    pub(crate) fn send_raw(&self, transaction: &[u8]) -> H256 {
        let transaction = ethers_core::types::Bytes::from(transaction.to_vec());
        self.mined(self.rpc("eth_sendRawTransaction", &json!([transaction])))
    }

    /// The node answers before it mines.
    fn mined(&self, hash: Value) -> H256 {
        let hash = node::parse(hash);
        if self.automines.load(Ordering::SeqCst) {
            eventually("a block", || (!self.receipt(hash).is_null()).then_some(()));
        }
        hash
    }
}

/// What it says of itself.
impl TestChain {
    /// The dev accounts' addresses, whose transactions the node signs itself. The keys of the
    /// first of them are known: `Wallet::dev`.
    pub(crate) fn account(&self, index: usize) -> Address {
        node::parse(self.rpc("eth_accounts", &json!([]))[index].clone())
    }

    /// The number of its head.
    pub(crate) fn head(&self) -> u64 {
        node::number(&self.rpc("eth_blockNumber", &json!([])))
    }

    /// The number of its finalized block.
    pub(crate) fn finalized(&self) -> u64 {
        node::number(&self.block("finalized")["number"])
    }

    /// A block by a tag or a number, with hashes of its transactions.
    pub(crate) fn block(&self, block: impl Into<BlockName>) -> Value {
        self.rpc("eth_getBlockByNumber", &json!([block.into().0, false]))
    }

    /// The receipt, or null.
    pub(crate) fn receipt(&self, hash: H256) -> Value {
        self.rpc("eth_getTransactionReceipt", &json!([hash]))
    }

    /// The transaction, or null.
    pub(crate) fn transaction(&self, hash: H256) -> Value {
        self.rpc("eth_getTransactionByHash", &json!([hash]))
    }

    /// The frames of a transaction, as `callTracer` shows them.
    pub(crate) fn trace(&self, hash: H256) -> Value {
        self.rpc("debug_traceTransaction", &json!([hash, { "tracer": "callTracer" }]))
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        node::parse(self.rpc("eth_getBalance", &json!([address, "latest"])))
    }

    /// The next nonce of an account, transactions that wait among them.
    pub(crate) fn nonce(&self, address: Address) -> u64 {
        node::number(&self.rpc("eth_getTransactionCount", &json!([address, "pending"])))
    }

    pub(crate) fn code(&self, address: Address) -> String {
        node::parse(self.rpc("eth_getCode", &json!([address, "latest"])))
    }
}

/// `latest` and its kind, or a number.
pub(crate) struct BlockName(String);

impl From<&str> for BlockName {
    fn from(tag: &str) -> Self {
        Self(tag.to_owned())
    }
}

impl From<u64> for BlockName {
    fn from(number: u64) -> Self {
        Self(hex(number))
    }
}

/// A number as the wire has it.
pub(crate) fn hex(number: u64) -> String {
    format!("{number:#x}")
}
