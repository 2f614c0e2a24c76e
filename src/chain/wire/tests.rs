//! Answers of any shape: none may panic, and none that is changed in what matters may pass.

use actix_web::rt::System;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chain::blocks::blocks;
use crate::chain::facts::{TxStatus, fetch_transaction};
use crate::chain::fixture::{ScriptedReply, provider};
use crate::chain::head::{Further, further, newest};
use crate::chain::logs::{LogFilter, LogQuery, transfer_logs};
use crate::chain::provider::RpcCall;

const HASH: TxHash = TxHash([7; 32]);

fn hash(byte: u8) -> Value {
    json!(crate::domain::evm::to_hex(&[byte; 32]))
}

fn address(byte: u8) -> Value {
    json!(crate::domain::evm::to_hex(&[byte; 20]))
}

/// The honest answer to any call.
fn honest(call: &RpcCall) -> Value {
    let log = json!({
        "address": address(3), "data": hash(1), "logIndex": "0x0", "removed": false,
        "topics": [crate::domain::evm::to_hex(&crate::chain::types::TRANSFER_TOPIC),
            format!("0x{}{}", "0".repeat(24), "11".repeat(20)),
            format!("0x{}{}", "0".repeat(24), "22".repeat(20))],
        "transactionHash": hash(7), "blockHash": hash(8), "blockNumber": "0x5",
    });
    let tx = json!({
        "hash": hash(7), "from": address(1), "to": address(2), "value": "0x9", "type": "0x2",
        "blockHash": hash(8), "blockNumber": "0x5", "chainId": "0x2105",
    });
    match call.method {
        "eth_chainId" => json!("0x2105"),
        "eth_getTransactionByHash" => tx,
        "eth_getTransactionReceipt" => json!({
            "transactionHash": hash(7), "blockHash": hash(8), "blockNumber": "0x5",
            "status": "0x1", "logs": [log],
        }),
        "eth_getBlockByNumber" => json!({
            "number": "0x5", "hash": hash(8), "parentHash": hash(9), "timestamp": "0x6700",
            "transactions": [tx],
        }),
        "eth_getLogs" => json!([log]),
        "debug_traceTransaction" => json!({
            "type": "CALL", "from": address(1), "to": address(2), "value": "0x9",
            "calls": [{ "type": "CALL", "from": address(2), "to": address(4), "value": "0x3" }],
        }),
        other => panic!("{other}"),
    }
}

/// Any JSON, with what chains say among it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "0x[0-9a-fA-F]{0,66}".prop_map(Value::from),
        "[0-9a-z]{0,8}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        any::<u8>().prop_map(hash),
        any::<u8>().prop_map(address),
        Just(json!(format!("0x{}", "f".repeat(64)))),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(
                "[a-z]{1,5}|hash|number|logs|topics|value|from|to|calls|type",
                inner,
                0..6
            )
            .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Every place in a value, by its pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                places(inner, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (place, inner) in items.iter().enumerate() {
                places(inner, &format!("{at}/{place}"), found);
            }
        }
        _ => {}
    }
}

const METHODS: [&str; 6] = [
    "eth_chainId",
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
    "eth_getBlockByNumber",
    "eth_getLogs",
    "debug_traceTransaction",
];

/// Asks everything of a provider that puts `value` at some place of its answers to one method.
fn ask(method: &'static str, place: usize, value: Value) -> Option<TxStatus> {
    System::new().block_on(async move {
        let script = move |call: &RpcCall| {
            let mut answer = honest(call);
            if call.method == method {
                let mut found = Vec::new();
                places(&answer, "", &mut found);
                let pointer = &found[place % found.len()];
                *answer.pointer_mut(pointer).unwrap() = value.clone();
            }
            ScriptedReply::Result(answer)
        };
        let (provider, _) = provider("one", script);
        drop(newest(&provider, true).await);
        further(&provider, Further { chain_id: true, finalized: true }).await.ok();
        drop(blocks(&provider, vec![5], true).await);
        drop(transfer_logs(&provider, (0, 9), &wanted(), LogQuery::Payees(500)).await);
        fetch_transaction(&provider, HASH, true).await.ok()
    })
}

fn wanted() -> LogFilter {
    LogFilter::new(vec![EvmAddress([3; 20])], vec![EvmAddress([0x22; 20])])
}

#[test]
fn the_honest_answer_is_read() {
    let Some(TxStatus::Mined(facts)) = ask("none", 0, Value::Null) else { panic!("not mined") };
    let ordinals: Vec<i32> = facts.transfers.iter().map(|transfer| transfer.ordinal).collect();
    assert_eq!((facts.is_success, ordinals), (true, vec![0, -1, -2]));
    System::new().block_on(async {
        let (provider, _) = provider("one", |call| ScriptedReply::Result(honest(call)));
        assert_eq!(newest(&provider, true).await.unwrap().at.number, 5);
        let found = blocks(&provider, vec![5], true).await.unwrap();
        assert_eq!(found[0].as_ref().unwrap().transfers.len(), 1);
        let logs =
            transfer_logs(&provider, (0, 9), &wanted(), LogQuery::Payees(500)).await.unwrap();
        assert_eq!((logs.found.len(), logs.given), (1, 1));
    });
}

#[test]
fn a_trace_that_is_nested_too_deep_is_refused_and_not_followed() {
    let nested = |depth: usize| {
        let (open, close) = (r#"{"type":"CALL","calls":["#, "]}");
        let text = open.repeat(depth) + &close.repeat(depth);
        crate::chain::provider::read::<FrameBody>(Ok(RawValue::from_string(text).unwrap()))
    };
    assert!(nested(60).is_ok());
    for depth in [65, 1024, 100_000] {
        assert!(matches!(nested(depth), Err(ProviderError::BadAnswer(_))), "{depth}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_answer_does_harm_and_none_changes_which_transaction_it_is(
        method in prop::sample::select(METHODS.to_vec()),
        place in 0_usize..40,
        value in any_json(),
    ) {
        if let Some(TxStatus::Mined(facts)) = ask(method, place, value) {
            prop_assert_eq!(facts.tx_hash, HASH);
            prop_assert_eq!(facts.block_hash, BlockHash([8; 32]));
            prop_assert!(facts.is_success);
        }
    }

    #[test]
    fn quantities_are_never_decimal(digits in "[0-9]{1,20}") {
        let read = |text: String| serde_json::from_value::<Hex<RawAmount>>(json!(text));
        prop_assert!(read(digits.clone()).is_err());
        let prefixed = format!("0x{digits}");
        prop_assert!(read(prefixed).is_ok());
        prop_assert!(serde_json::from_str::<Hex<RawAmount>>(&digits).is_err());
    }
}
