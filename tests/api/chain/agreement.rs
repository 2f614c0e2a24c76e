//! What several providers must say alike, and what happens where one of them lies, lags or is gone.

use ethers_core::types::{Address, H256, U256};
use serde_json::json;
use sluice::chain::ProviderError;
use sluice::chain::facts::TxStatus;
use sluice::chain::head::{BlockRef, Further, further, newest};
use sluice::chain::quorum::{self, Agreement, QuorumResult};
use sluice::domain::evm::TxHash;

use crate::support::chain::asking::ask;
use crate::support::chain::{FINALITY_BLOCKS, TestChain};
use crate::support::rpc::Provider;
use crate::support::rpc::fault::Fault;

const ALICE: Address = Address::repeat_byte(0xa1);

/// A method, and what is changed in its result; a hash that is not the right one is at hand.
type Lie = (&'static str, fn(&mut serde_json::Value, &serde_json::Value));

fn verdict(providers: &[&Provider], quorum: usize, hash: H256) -> QuorumResult<TxStatus> {
    let hash = TxHash(hash.0);
    ask(providers, async |providers| quorum::facts(&providers, quorum, hash, true).await)
}

fn is_mined(verdict: &QuorumResult<TxStatus>) -> bool {
    matches!(verdict.agreement, Agreement::Agreed(TxStatus::Mined(_)))
}

fn names(verdict: &QuorumResult<TxStatus>) -> Vec<&str> {
    verdict.dissenting.iter().map(|name| &**name).collect()
}

#[test]
fn a_lie_about_any_field_that_enters_a_credit_stops_two_and_is_outvoted_by_three() {
    let chain = TestChain::start();
    let (from, args) = (chain.account(0), ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, 0_u16));
    let token = chain.deploy("Token", args);
    let hash = chain.send(from, &token, "mint", (ALICE, U256::from(5)));
    let (one, two, liar) =
        (Provider::before(chain.node), Provider::before(chain.node), Provider::before(chain.node));
    let other = json!(H256::repeat_byte(9));

    let lies: [(&str, &[Lie]); 6] = [
        (
            "status",
            &[
                ("eth_getTransactionReceipt", |receipt, _| {
                    receipt["status"] = json!("0x0");
                    receipt["logs"] = json!([]);
                }),
                ("debug_traceTransaction", |trace, _| trace["error"] = json!("reverted")),
            ],
        ),
        (
            "block hash",
            &[
                ("eth_getTransactionReceipt", |receipt, hash| {
                    receipt["blockHash"] = hash.clone();
                    receipt["logs"][0]["blockHash"] = hash.clone();
                }),
                ("eth_getTransactionByHash", |tx, hash| tx["blockHash"] = hash.clone()),
                ("eth_getBlockByNumber", |block, hash| block["hash"] = hash.clone()),
            ],
        ),
        ("block time", &[("eth_getBlockByNumber", |block, _| block["timestamp"] = json!("0x1"))]),
        (
            "transfers",
            &[("eth_getTransactionReceipt", |receipt, hash| {
                receipt["logs"][0]["data"] = hash.clone();
            })],
        ),
        (
            "transfers",
            &[("debug_traceTransaction", |trace, _| {
                trace["calls"] =
                    json!([{ "type": "CALL", "from": ALICE, "to": ALICE, "value": "0x1" }]);
            })],
        ),
        (
            "sender",
            &[
                ("eth_getTransactionByHash", |tx, _| tx["from"] = json!(ALICE)),
                ("debug_traceTransaction", |trace, _| trace["from"] = json!(ALICE)),
            ],
        ),
    ];
    assert!(is_mined(&verdict(&[&one, &two, &liar], 3, hash)));
    for (what, parts) in lies {
        for (method, lie) in parts {
            let (lie, other) = (*lie, other.clone());
            liar.mutate(method, move |_, result| lie(result, &other));
        }
        let two_of_two = verdict(&[&one, &liar], 2, hash);
        assert_eq!(two_of_two.agreement, Agreement::Disagree { what });
        assert_eq!(names(&two_of_two), ["a", "b"]);
        let two_of_three = verdict(&[&one, &liar, &two], 2, hash);
        assert!(is_mined(&two_of_three), "{what}: {two_of_three:?}");
        assert_eq!(names(&two_of_three), ["b"], "{what}");
        liar.heal();
    }
}

#[test]
fn one_provider_is_never_enough_where_two_are_needed() {
    let chain = TestChain::start();
    let hash = chain.pay(chain.account(0), ALICE, 5);
    let (one, two) = (Provider::before(chain.node), Provider::before(chain.node));
    let both = [&one, &two];
    assert!(is_mined(&verdict(&both, 2, hash)));

    two.die();
    let alone = verdict(&both, 2, hash);
    assert_eq!(alone.agreement, Agreement::TooFew { answered: 1, needed: 2 });
    assert_eq!(alone.silent[0], ("b".into(), ProviderError::Unreachable));
    two.revive();
    // One who lags is nobody's opponent: the transaction waits for it.
    two.set_lag(1);
    let lagging = verdict(&both, 2, hash);
    assert_eq!(lagging.agreement, Agreement::Agreed(TxStatus::Pending));
    assert_eq!((names(&lagging), lagging.silent.len()), (vec![], 0));
    two.set_lag(0);
    two.on("debug_traceTransaction", Fault::unknown_method());
    let untraced = verdict(&both, 2, hash);
    assert_eq!(untraced.agreement, Agreement::TooFew { answered: 1, needed: 2 });
    let unknown = verdict(&both, 2, H256::repeat_byte(3));
    assert_eq!(unknown.agreement, Agreement::Agreed(TxStatus::Unknown));
}

/// The newest block and the newest final one.
async fn head(
    provider: &sluice::chain::Provider,
) -> Result<(BlockRef, Option<BlockRef>), ProviderError> {
    let latest = newest(provider, false).await?.at;
    let finalized = further(provider, Further { chain_id: true, finalized: true }).await?;
    Ok((latest, finalized))
}

#[test]
fn blocks_and_heads_are_agreed_on_too() {
    let chain = TestChain::start();
    let (one, two) = (Provider::before(chain.node), Provider::before(chain.node));
    chain.mine(20);
    ask(&[&one, &two], async |providers| {
        let (latest, finalized) = head(&providers[0]).await.unwrap();
        assert_eq!((latest.number, finalized.unwrap().number), (20, 20 - FINALITY_BLOCKS));
        let at = |number| quorum::block_ref(&providers, 2, number);
        assert_eq!(at(20).await.agreement, Agreement::Agreed(Some(latest)));
        assert_eq!(at(21).await.agreement, Agreement::Agreed(None));
        let parent = at(19).await.agreement.agreed().flatten().unwrap();
        assert_eq!(parent.hash, latest.parent_hash);

        two.set_lag(3);
        let what = "whether the block exists";
        assert_eq!(at(20).await.agreement, Agreement::Disagree { what });
        two.set_lag(0);
        two.mutate("eth_getBlockByNumber", |_, block| block["hash"] = json!(H256::repeat_byte(1)));
        assert_eq!(at(20).await.agreement, Agreement::Disagree { what: "block hash" });
    });
    one.forget();
    ask(&[&one], async |providers| head(&providers[0]).await.unwrap());
    assert_eq!(one.posts().len(), 2, "the newest block, and one batch");
}

#[test]
fn a_head_without_finality_is_told_and_one_of_another_chain_refused() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    chain.mine(20);
    let stands = || ask(&[&provider], async |providers| head(&providers[0]).await);
    for fault in [Fault::error(-32602, "invalid block tag"), Fault::Null] {
        let fault = fault.clone();
        provider.when("eth_getBlockByNumber", move |params| {
            (params[0] == "finalized").then(|| fault.clone())
        });
        let (latest, finalized) = stands().unwrap();
        assert_eq!((latest.number, finalized), (20, None));
    }
    provider.heal();
    provider.when("eth_getBlockByNumber", |params| (params[0] == "latest").then_some(Fault::Null));
    assert!(matches!(stands(), Err(ProviderError::BadAnswer(_))));
    provider.heal();
    chain.set_chain_id(1);
    assert_eq!(stands(), Err(ProviderError::WrongChain { told: 1 }));
}
