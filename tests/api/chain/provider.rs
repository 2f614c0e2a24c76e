//! What a provider does on command, seen by one who asks it as a gateway would.

use ethers_core::types::{Address, U256};
use serde_json::{Value, json};

use crate::support::chain::node::{RpcError, number, parse};
use crate::support::chain::{FINALITY_BLOCKS, TestChain, hex};
use crate::support::client::{Connection, End, Request, Response};
use crate::support::rpc::fault::Fault;
use crate::support::rpc::{ANY, Provider};

const ALICE: Address = Address::repeat_byte(0xa1);

fn call(id: u64, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn head_call() -> Value {
    call(1, "eth_blockNumber", &json!([]))
}

/// The answer over HTTP, whatever it is.
fn post(provider: &Provider, body: &Value) -> Response {
    let request = Request::post("/", body.to_string());
    Connection::open(provider.address).ask(&request).finish()
}

#[test]
fn without_a_fault_it_answers_as_its_node_in_batches_too() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    chain.mine(3);
    let batch = json!([
        call(7, "eth_blockNumber", &json!([])),
        call(8, "eth_nonsense", &json!([])),
        call(9, "eth_chainId", &json!([])),
    ]);
    let (first, last) = (json!({ "jsonrpc": "2.0", "id": 7, "result": "0x3" }), hex(8453));
    let answers = provider.node().post(&batch);
    assert_eq!(answers[0], first);
    assert_eq!((&answers[1]["id"], &answers[1]["error"]["code"]), (&json!(8), &json!(-32601)));
    assert_eq!(answers[2]["result"], last);

    provider.reverse_batches();
    assert_eq!(provider.node().post(&batch)[2], first);
    provider.limit_batches(2);
    assert_eq!(provider.node().post(&batch)["error"]["code"], -32600);
    provider.heal();
    assert_eq!(provider.node().post(&batch), answers);
    assert_eq!(provider.posts().len(), 4);
    assert_eq!((provider.count("eth_chainId"), provider.count(ANY)), (4, 12));
    assert_eq!(provider.posts()[0].line, "POST / HTTP/1.1");
    assert!(!provider.posts()[0].headers.is_empty());
    provider.forget();
    assert_eq!(provider.count(ANY), 0);
}

#[test]
fn it_keeps_a_connection_for_the_next_call() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let request = Request::post("/", head_call().to_string());
    let (first, connection) = Connection::open(provider.address).ask(&request).finish_keeping();
    let second = connection.ask(&request).finish();
    assert_eq!(first.json(), second.json());
}

#[test]
fn an_answer_is_null_an_error_another_ones_or_the_tests_own() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let node = provider.node();
    provider.times(1, "eth_blockNumber", Fault::Null);
    assert_eq!(node.rpc("eth_blockNumber", &json!([])), Value::Null);
    assert_eq!(node.rpc("eth_blockNumber", &json!([])), "0x0");

    provider.on("eth_getLogs", Fault::too_many_results());
    let code = |error: RpcError| error.code;
    assert_eq!(node.try_rpc("eth_getLogs", &json!([{}])).map_err(code), Err(-32005));
    provider.on("eth_getLogs", Fault::unknown_method());
    assert_eq!(node.try_rpc("eth_getLogs", &json!([{}])).map_err(code), Err(-32601));

    let is_alice = |params: &Value| params[0] == json!(ALICE);
    provider.when("eth_getBalance", move |params| {
        is_alice(params).then(|| Fault::Result(json!("0x7")))
    });
    assert_eq!(node.rpc("eth_getBalance", &json!([ALICE, "latest"])), "0x7");
    assert_ne!(node.rpc("eth_getBalance", &json!([chain.account(0), "latest"])), "0x7");

    provider.on(ANY, Fault::WrongId);
    assert_ne!(node.post(&head_call())["id"], 1);
    assert_eq!(node.post(&head_call())["result"], "0x0");
}

#[test]
fn http_itself_refuses_is_cut_short_or_silent() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    provider.times(1, ANY, Fault::too_many_requests(Some(7)));
    let refused = post(&provider, &json!([head_call(), head_call()]));
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("7")));
    provider.times(1, ANY, Fault::too_many_requests(None));
    assert_eq!(post(&provider, &head_call()).header("retry-after"), None);
    let page = "<html>Bad gateway</html>".to_owned();
    provider.times(1, ANY, Fault::Http { status: 502, headers: String::new(), body: page });
    assert_eq!(post(&provider, &head_call()).text(), "<html>Bad gateway</html>");

    provider.times(1, ANY, Fault::Truncated);
    let truncated = post(&provider, &head_call());
    assert_eq!((truncated.status, truncated.end), (200, End::Whole));
    assert!(serde_json::from_slice::<Value>(&truncated.body).is_err());
    provider.times(1, ANY, Fault::Cut);
    assert_eq!(post(&provider, &head_call()).end, End::Cut);
    provider.times(1, ANY, Fault::Close);
    let mut connection = std::net::TcpStream::connect(provider.address).unwrap();
    let bytes = Request::post("/", head_call().to_string()).to_bytes();
    std::io::Write::write_all(&mut connection, &bytes).unwrap();
    assert_eq!(std::io::Read::read(&mut connection, &mut [0; 8]).unwrap_or(0), 0);
    assert_eq!(post(&provider, &head_call()).status, 200);
}

#[test]
fn an_answer_comes_when_the_test_lets_it_go() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    provider.times(1, "eth_blockNumber", Fault::Held);
    let request = Request::post("/", head_call().to_string());
    let waiting = Connection::open(provider.address).send(&request);
    provider.wait_for(1, "eth_blockNumber");
    // Others are answered meanwhile, and the answer is made when it goes, not when it was asked.
    assert_eq!(provider.node().rpc("eth_blockNumber", &json!([])), "0x0");
    chain.mine(4);
    provider.release();
    assert_eq!(waiting.answer(false).finish().json()["result"], "0x4");
}

#[test]
fn it_can_be_gone_and_come_back() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let request = Request::post("/", head_call().to_string());
    let (_, kept) = Connection::open(provider.address).ask(&request).finish_keeping();
    provider.die();
    let refused = std::net::TcpStream::connect(provider.address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let read = std::io::Read::read(&mut kept.writer(), &mut [0; 8]);
    // Neither a byte nor a wait: an end.
    let is_over = read.is_ok_and(|count| count == 0);
    assert!(is_over, "the connection is kept");
    provider.revive();
    assert_eq!(provider.url(), format!("http://{}", provider.address));
    assert_eq!(provider.node().rpc("eth_blockNumber", &json!([])), "0x0");
}

#[test]
fn behind_by_some_blocks_it_knows_nothing_newer() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let (node, from) = (provider.node(), chain.account(0));
    let token = chain.deploy("Token", ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, 0_u16));
    let old = chain.send(from, &token, "mint", (ALICE, U256::from(1)));
    chain.mine(20);
    let new = chain.send(from, &token, "mint", (ALICE, U256::from(2)));
    let block = chain.receipt(new)["blockHash"].clone();
    let head = chain.head();
    chain.mine(2);
    provider.set_lag(3);

    assert_eq!(number(&node.rpc("eth_blockNumber", &json!([]))), head - 1);
    let by_number = |name: Value| node.rpc("eth_getBlockByNumber", &json!([name, false]));
    assert_eq!(number(&by_number(json!("latest"))["number"]), head - 1);
    assert_eq!(number(&by_number(json!("finalized"))["number"]), head - 1 - FINALITY_BLOCKS);
    assert_eq!(by_number(json!(hex(head))), Value::Null);
    assert_eq!(number(&by_number(json!(hex(2)))["number"]), 2);
    assert_eq!(node.rpc("eth_getBlockByHash", &json!([block, false])), Value::Null);
    assert_eq!(node.rpc("eth_getBlockReceipts", &json!([hex(head)])), Value::Null);
    assert_eq!(node.rpc("eth_getTransactionReceipt", &json!([new])), Value::Null);
    assert_eq!(node.rpc("eth_getTransactionByHash", &json!([new])), Value::Null);
    assert_eq!(node.rpc("eth_getTransactionReceipt", &json!([old]))["status"], "0x1");
    let trace =
        |hash| node.try_rpc("debug_traceTransaction", &json!([hash, { "tracer": "callTracer" }]));
    assert!(trace(new).is_err() && trace(old).is_ok());

    let logs = |filter: Value| node.try_rpc("eth_getLogs", &json!([filter]));
    let seen = logs(json!({ "fromBlock": "0x0", "toBlock": "latest" })).unwrap();
    assert_eq!(seen.as_array().unwrap().len(), 1);
    assert_eq!(logs(json!({ "fromBlock": hex(head) })).unwrap(), json!([]));
    assert!(logs(json!({ "blockHash": block })).is_err());

    let input = token.input("balanceOf", (ALICE,));
    let balance = |block: Value| {
        let call = json!({ "to": token.address, "data": input });
        node.try_rpc("eth_call", &json!([call, block])).map(parse::<U256>)
    };
    assert_eq!(balance(json!("latest")).unwrap(), 1.into());
    assert!(balance(json!(hex(head))).is_err());
    assert!(balance(json!({ "blockHash": block })).is_err());
    provider.set_lag(0);
    assert_eq!(balance(json!({ "blockHash": block })).unwrap(), 3.into());
}

#[test]
fn logs_over_too_many_blocks_are_refused() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    chain.mine(20);
    provider.limit_logs(10);
    let logs = |from: u64, to: Value| {
        let filter = json!([{ "fromBlock": hex(from), "toBlock": to }]);
        provider.node().try_rpc("eth_getLogs", &filter).map_err(|error| error.code)
    };
    assert_eq!(logs(1, json!(hex(10))), Ok(json!([])));
    assert_eq!(logs(1, json!(hex(11))), Err(-32005));
    assert_eq!(logs(10, json!("latest")), Err(-32005));
    assert_eq!(logs(11, json!("latest")), Ok(json!([])));
}

#[test]
fn a_lie_is_told_about_any_field_and_only_where_the_test_wants_it() {
    let chain = TestChain::start();
    let (liar, honest) = (Provider::before(chain.node), Provider::before(chain.node));
    let paid = chain.pay(chain.account(0), ALICE, 5);
    liar.mutate("eth_getTransactionReceipt", move |params, receipt| {
        if params[0] == json!(paid) {
            receipt["status"] = json!("0x0");
            receipt["blockHash"] = json!(ethers_core::types::H256::repeat_byte(1));
        }
    });
    liar.mutate("eth_getTransactionByHash", |_, transaction| {
        transaction["value"] = json!(U256::MAX);
        transaction["type"] = json!("0x7e");
        for field in ["nonce", "v", "r", "s", "yParity", "gasPrice"] {
            transaction.as_object_mut().unwrap().remove(field);
        }
    });
    liar.mutate("eth_blockNumber", |_, result| *result = json!(U256::MAX));

    let receipt =
        |provider: &Provider| provider.node().rpc("eth_getTransactionReceipt", &json!([paid]));
    assert_eq!(
        (&receipt(&liar)["status"], &receipt(&honest)["status"]),
        (&json!("0x0"), &json!("0x1"))
    );
    assert_ne!(receipt(&liar)["blockHash"], receipt(&honest)["blockHash"]);
    let strange = liar.node().rpc("eth_getTransactionByHash", &json!([paid]));
    assert_eq!((&strange["type"], strange.get("v")), (&json!("0x7e"), None));
    assert_eq!(parse::<U256>(strange["value"].clone()), U256::MAX);
    assert_eq!(parse::<U256>(liar.node().rpc("eth_blockNumber", &json!([]))), U256::MAX);
    liar.heal();
    assert_eq!(receipt(&liar), receipt(&honest));
}

#[test]
fn before_no_node_it_knows_only_what_the_test_tells_it() {
    let provider = Provider::alone();
    provider.on("eth_chainId", Fault::Result(json!("0x1")));
    assert_eq!(provider.node().rpc("eth_chainId", &json!([])), "0x1");
    assert!(provider.node().try_rpc("eth_blockNumber", &json!([])).is_err());
    let garbage = Request::post("/", "{");
    let answer = Connection::open(provider.address).ask(&garbage).finish().json();
    assert_eq!(answer["error"]["code"], -32700);
}
