//! How a provider is asked: in batches or not, at its pace, not while it fails, and never by its
//! name in public.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use sluice::chain::provider::{CallErrorKind, RpcCall};
use sluice::chain::{Priority, ProviderEndpoint, ProviderError};

use crate::support::chain::TestChain;
use crate::support::chain::asking::{ask, ask_at, endpoint};
use crate::support::rpc::fault::Fault;
use crate::support::rpc::{ANY, Provider};

fn chain_id() -> RpcCall {
    RpcCall::new("eth_chainId", json!([]))
}

fn balance(block: &str) -> RpcCall {
    let address = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
    RpcCall::new("eth_getBalance", json!([address, block]))
}

type Answer = Result<Vec<Result<String, CallErrorKind>>, ProviderError>;

async fn asked(provider: &sluice::chain::Provider, calls: Vec<RpcCall>) -> Answer {
    let answers = provider.ask(calls).await?;
    let shown = answers.into_iter().map(|answer| match answer {
        Ok(raw) => Ok(raw.get().trim_matches('"').to_owned()),
        Err(error) => Err(error.kind),
    });
    Ok(shown.collect())
}

/// One question to one endpoint, and what the metrics say.
fn asked_at(endpoint: ProviderEndpoint, calls: Vec<RpcCall>) -> (Answer, String) {
    ask_at(vec![endpoint], async |providers| asked(&providers[0], calls).await)
}

#[test]
fn a_batch_is_one_request_and_its_answers_come_back_in_order() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    provider.reverse_batches();
    let calls = vec![chain_id(), RpcCall::new("eth_nonsense", json!([])), balance("0x0")];
    let (answer, metrics) = asked_at(endpoint("first", &provider), calls);
    let balance = "0x21e19e0c9bab2400000".to_owned();
    assert_eq!(
        answer,
        Ok(vec![Ok("0x2105".to_owned()), Err(CallErrorKind::NoMethod), Ok(balance)])
    );
    let posts = provider.posts();
    assert_eq!((posts.len(), posts[0].calls.len()), (1, 3));
    assert_eq!(posts[0].line, "POST /v2/path-key?token=query-key HTTP/1.1");
    for (method, outcome) in [("eth_chainId", "ok"), ("eth_nonsense", "refused")] {
        let line = format!(
            "sluice_rpc_calls_total{{chain=\"8453\",method=\"{method}\",outcome=\"{outcome}\",\
             provider=\"first\"}} 1"
        );
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert!(
        metrics.contains("sluice_rpc_request_seconds_count{chain=\"8453\",provider=\"first\"} 1")
    );
}

#[test]
fn a_large_batch_goes_in_parts_and_one_by_one_where_batches_are_refused() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let calls = || vec![chain_id(); 45];
    let all = Ok(vec![Ok("0x2105".to_owned()); 45]);
    assert_eq!(asked_at(endpoint("a", &provider), calls()).0, all);
    let mut sizes: Vec<usize> = provider.posts().iter().map(|post| post.calls.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 20, 20]);

    provider.forget();
    provider.limit_batches(1);
    ask(&[&provider], async |providers| {
        assert_eq!(
            asked(&providers[0], vec![chain_id(); 3]).await,
            Ok(vec![Ok("0x2105".to_owned()); 3])
        );
        let sizes = provider.posts().iter().map(|post| post.calls.len()).collect::<Vec<_>>();
        assert_eq!(sizes, [3, 1, 2, 1, 1]);
        // It is not asked for a batch again.
        asked(&providers[0], vec![chain_id(); 2]).await.unwrap();
        assert_eq!(provider.posts().len(), 7);
    });

    provider.forget();
    provider.heal();
    let whole = Fault::Http { status: 400, headers: String::new(), body: "no".to_owned() };
    provider.times(2, "eth_chainId", whole);
    assert_eq!(
        asked_at(endpoint("a", &provider), vec![chain_id(); 2]).0,
        Ok(vec![Ok("0x2105".to_owned()); 2])
    );
    assert_eq!(provider.posts().len(), 3);
}

#[test]
fn a_batch_is_halved_whatever_is_said_of_a_larger_one_and_what_is_taken_is_remembered() {
    let chain = TestChain::start();
    let http =
        |status, body: &str| Fault::Http { status, headers: String::new(), body: body.to_owned() };
    let all = || Ok(vec![Ok("0x2105".to_owned()); 20]);
    for (words, is_sent_again) in [
        (Fault::error(-32600, "batch of more than 4 requests"), true),
        (Fault::error(-32000, "Unable to complete request at this time."), true),
        (http(400, "bad request"), true),
        (http(413, "<html>Request Entity Too Large</html>"), true),
        (http(500, "Internal Server Error"), false),
        (http(502, "<html>Bad Gateway</html>"), false),
        (Fault::Truncated, false),
        (Fault::Cut, false),
    ] {
        let provider = Provider::before(chain.node);
        provider.refuse_batches(4, words.clone());
        ask(&[&provider], async |providers| {
            let mut tries = 1;
            while asked(&providers[0], vec![chain_id(); 20]).await != all() {
                tries += 1;
                assert!(tries < 5, "{words:?}");
            }
            assert_eq!(tries == 1, is_sent_again, "{words:?}: {tries}");
            provider.forget();
            assert_eq!(asked(&providers[0], vec![chain_id(); 20]).await, all());
            let sizes: Vec<_> = provider.posts().iter().map(|post| post.calls.len()).collect();
            assert!(sizes.iter().all(|&size| size <= 4), "{words:?}: {sizes:?}");
            assert!(sizes.len() <= 8, "{words:?}: {sizes:?}");
            let told = providers[0].standing().told();
            assert!(told.batch_calls <= 4, "{words:?}: {told:?}");
        });
    }
}

#[test]
fn a_provider_that_asks_for_pauses_is_asked_more_slowly() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    provider.times(1, ANY, Fault::too_many_requests(Some(1)));
    ask(&[&provider], async |providers| {
        assert!(asked(&providers[0], vec![chain_id()]).await.is_err());
        assert_eq!(providers[0].standing().told().calls_per_second, 50_000);
        let (said, _) = providers[0].standing().told().refusal.unwrap();
        assert_eq!(said, "asked for a pause at eth_chainId");
    });
}

#[test]
fn what_is_no_answer_is_told_by_its_kind() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let bad = |fault: Fault| {
        provider.on(ANY, fault);
        let answer = asked_at(endpoint("a", &provider), vec![chain_id(), chain_id()]).0;
        provider.heal();
        answer.unwrap_err()
    };
    assert!(matches!(bad(Fault::Truncated), ProviderError::BadAnswer(_)));
    assert_eq!(bad(Fault::WrongId), ProviderError::WrongId);
    assert_eq!(bad(Fault::Cut), ProviderError::Unreachable);
    assert_eq!(bad(Fault::Close), ProviderError::Unreachable);
    let http =
        |status, body: &str| Fault::Http { status, headers: String::new(), body: body.to_owned() };
    assert_eq!(bad(http(502, "<html>")), ProviderError::Status(502));
    assert_eq!(bad(http(401, "")), ProviderError::Status(401));
    assert!(matches!(bad(http(200, "")), ProviderError::BadAnswer(_)));
    let redirect = format!("location: {}/elsewhere\r\n", provider.url());
    let redirect = Fault::Http { status: 307, headers: redirect, body: String::new() };
    provider.forget();
    assert_eq!(bad(redirect), ProviderError::Status(307));
    assert_eq!(provider.posts().len(), 1, "a redirect is not followed");

    let mut small = endpoint("a", &provider);
    small.body_max_bytes = 1000;
    provider.on("eth_chainId", Fault::Result(json!("x".repeat(2000))));
    assert_eq!(asked_at(small, vec![chain_id()]).0, Err(ProviderError::TooLarge));
    provider.heal();

    let mut hasty = endpoint("a", &provider);
    hasty.timeout = Duration::from_millis(50);
    provider.on("eth_chainId", Fault::Held);
    assert_eq!(asked_at(hasty, vec![chain_id()]).0, Err(ProviderError::Timeout));
    provider.heal();
    provider.die();
    assert_eq!(
        asked_at(endpoint("a", &provider), vec![chain_id()]).0,
        Err(ProviderError::Unreachable)
    );
}

#[test]
fn a_pause_that_a_provider_asks_for_is_kept() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    provider.times(1, ANY, Fault::too_many_requests(Some(1)));
    let limited = |secs| Err(ProviderError::RateLimited { retry_after: Duration::from_secs(secs) });
    ask(&[&provider], async |providers| {
        let started = Instant::now();
        assert_eq!(asked(&providers[0], vec![chain_id()]).await, limited(1));
        // What comes meanwhile waits, since it is not long.
        assert!(asked(&providers[0], vec![chain_id()]).await.is_ok());
        assert!(started.elapsed() >= Duration::from_secs(1));
        assert_eq!(provider.posts().len(), 2);

        provider.times(1, ANY, Fault::too_many_requests(Some(60)));
        assert_eq!(asked(&providers[0], vec![chain_id()]).await, limited(60));
        // Longer than anybody waits: it is not even asked.
        let refused = asked(&providers[0], vec![chain_id()]).await;
        assert!(matches!(refused, Err(ProviderError::RateLimited { .. })), "{refused:?}");
        assert_eq!(provider.posts().len(), 3);
    });
    // A limit that is said of a call, without a time, is assumed: a second, shortened by jitter.
    provider.times(1, ANY, Fault::error(-32016, "over rate limit"));
    let answer = asked_at(endpoint("a", &provider), vec![chain_id(), chain_id()]).0;
    let Err(ProviderError::RateLimited { retry_after }) = answer else { panic!("{answer:?}") };
    assert!(retry_after > Duration::from_millis(875) && retry_after <= Duration::from_secs(1));
}

#[test]
fn calls_go_at_the_pace_that_the_operator_allows() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let mut slow = endpoint("a", &provider);
    slow.calls_per_second = 100;
    slow.batch_max = 10;
    let started = Instant::now();
    let (answer, _) = asked_at(slow, vec![chain_id(); 130]);
    assert_eq!(answer.map(|answers| answers.len()), Ok(130));
    // A hundred at once, the other thirty at a hundred a second.
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
}

#[test]
fn what_enters_a_credit_goes_before_claims() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    provider.on("eth_chainId", Fault::Held);
    let mut narrow = endpoint("a", &provider);
    narrow.in_flight_max = 1;
    ask_at(vec![narrow], async |providers| {
        let (credit, claim) = (providers[0].clone(), providers[0].at(Priority::Claim));
        let first = claim.ask(vec![chain_id()]);
        let later = async {
            provider.wait_for(1, "eth_chainId");
            let claims = join_all((0..3).map(|_| claim.ask(vec![balance("0x0")])));
            let credits = join_all((0..3).map(|_| credit.ask(vec![balance("latest")])));
            // Both are in the queue before the one that is in flight is answered.
            let release = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                provider.release();
            };
            futures_util::join!(claims, credits, release);
        };
        let (first, ()) = futures_util::join!(first, async {
            // Lets the first one go out.
            tokio::time::sleep(Duration::from_millis(20)).await;
            later.await;
        });
        first.unwrap();
    });
    let order: Vec<_> =
        provider.calls("eth_getBalance").iter().map(|call| call[1].clone()).collect();
    assert_eq!(order, ["latest", "latest", "latest", "0x0", "0x0", "0x0"]);
}

#[test]
fn a_queue_has_an_end_and_nobody_waits_in_it_for_ever() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    provider.on("eth_chainId", Fault::Held);
    let mut narrow = endpoint("a", &provider);
    (narrow.in_flight_max, narrow.queue_max) = (1, 2);
    narrow.timeout = Duration::from_millis(300);
    narrow.patience = Duration::from_millis(100);
    let (answers, metrics) = ask_at(vec![narrow], async |providers| {
        join_all((0..5).map(|_| asked(&providers[0], vec![chain_id()]))).await
    });
    let count = |error| answers.iter().filter(|answer| **answer == Err(error)).count();
    assert_eq!((count(ProviderError::Timeout), count(ProviderError::Overloaded)), (1, 4));
    assert_eq!(provider.posts().len(), 1);
    assert!(metrics.contains("outcome=\"overloaded\",provider=\"a\"} 4"), "{metrics}");
}

#[test]
fn a_provider_that_fails_is_left_alone_and_tried_again() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let mut fragile = endpoint("a", &provider);
    fragile.breaker_failures = 3;
    fragile.breaker_pause = Duration::from_millis(400);
    ask_at(vec![fragile], async |providers| {
        let ask = || asked(&providers[0], vec![chain_id()]);
        provider.die();
        for _ in 0..3 {
            assert_eq!(ask().await, Err(ProviderError::Unreachable));
        }
        let opened = Instant::now();
        provider.revive();
        provider.forget();
        assert_eq!(ask().await, Err(ProviderError::BreakerOpen));
        assert_eq!(provider.posts().len(), 0);
        while ask().await.is_err() {
            assert!(opened.elapsed() < Duration::from_secs(20), "it is never tried again");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Jitter shortens the pause by less than an eighth.
        assert!(opened.elapsed() >= Duration::from_millis(340));
        assert!(ask().await.is_ok());
        // Refusals of calls and limits are words of a provider that works.
        provider.on(ANY, Fault::unknown_method());
        for _ in 0..5 {
            assert_eq!(ask().await, Ok(vec![Err(CallErrorKind::NoMethod)]));
        }
    });
}

#[test]
fn a_connection_that_was_closed_while_idle_costs_nothing() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    ask(&[&provider], async |providers| {
        assert!(asked(&providers[0], vec![chain_id()]).await.is_ok());
        provider.die();
        provider.revive();
        assert!(asked(&providers[0], vec![chain_id()]).await.is_ok());
    });
}

#[test]
fn no_error_and_no_metric_shows_a_providers_address() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let mut secret = endpoint("named", &provider);
    secret.connect = Duration::from_millis(200);
    let address = provider.address.to_string();
    let tells = |text: &str| {
        ["path-key", "query-key", "127.0.0.1", address.as_str()]
            .iter()
            .any(|part| text.contains(part))
    };
    let endpoint_shown = format!("{secret:?}");
    assert!(!tells(&endpoint_shown), "{endpoint_shown}");
    for fault in [
        Fault::error(-32000, &format!("invalid key path-key at {address}")),
        Fault::Http { status: 403, headers: String::new(), body: "path-key is unknown".to_owned() },
        Fault::Truncated,
        Fault::Close,
        Fault::Result(json!("path-key")),
    ] {
        provider.on(ANY, fault);
        let ((shown, debug), metrics) = ask_at(vec![secret.clone()], async |providers| {
            let answer = providers[0].ask_one::<u64>(chain_id()).await;
            let error = answer.unwrap_err();
            (format!("{error} {error:?}"), format!("{:?}", providers[0]))
        });
        for text in [shown, debug, metrics] {
            assert!(!tells(&text), "{text}");
        }
    }
}
