//! The RPC providers of each chain: which chain they speak for, how old their head is, and whether
//! they take what the settings ask of them at once.

use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::timeout;

use super::Check;
use crate::app::chains::endpoint;
use crate::chain::head::{self, Further};
use crate::chain::logs::{LogFilter, LogQuery, LogsError, transfer_logs};
use crate::chain::provider::{RpcActor, RpcCall};
use crate::chain::{Provider, ProviderError};
use crate::config::{Chain, RpcProvider, Settings};
use crate::domain::clock::Clock;
use crate::domain::evm::EvmAddress;
use crate::metrics::Metrics;
use crate::upstream::client::tls_config;

/// Time for one provider.
const PATIENCE: Duration = Duration::from_secs(25);

pub(super) async fn examine(settings: &Settings, clock: &Clock) -> Vec<Check> {
    if settings.chains.is_empty() {
        return Vec::new();
    }
    let (Ok(tls), Ok(metrics)) = (tls_config(), Metrics::new()) else {
        return vec![Check::fail("chains", "TLS cannot be set up", "install this program anew")];
    };
    let metrics = Arc::new(metrics);
    let arbiter = Arbiter::new();
    let asked = settings.chains.iter().map(|chain| async {
        let providers = chain.providers.iter().map(|provider| {
            let started = endpoint(chain, provider).map(|endpoint| {
                let (tls, metrics) = (Arc::clone(&tls), Arc::clone(&metrics));
                RpcActor::start(&arbiter.handle(), endpoint, tls, metrics)
            });
            ask(chain, provider, started.ok(), clock)
        });
        let mut checks: Vec<Check> = join_all(providers).await;
        checks.extend(quorum(chain, &checks));
        checks
    });
    let checks = join_all(asked).await.into_iter().flatten().collect();
    arbiter.stop();
    checks
}

/// Whether enough of them answer.
fn quorum(chain: &Chain, checks: &[Check]) -> Option<Check> {
    let well = checks.iter().filter(|check| check.state != super::CheckState::Fail).count();
    (well < chain.quorum).then(|| {
        let found = format!(
            "{well} of its providers are fit, but {} must agree: nothing is credited",
            chain.quorum
        );
        Check::fail(format!("chain {}", chain.name), found, "mend the providers, or add others")
    })
}

async fn ask(
    chain: &Chain,
    settings: &RpcProvider,
    provider: Option<Provider>,
    clock: &Clock,
) -> Check {
    let name = format!("chain {}: {}", chain.name, settings.name);
    let reach = "check its address and key, and whether your plan with it is used up";
    let Some(provider) = provider else {
        return Check::fail(name, "its address cannot be used", reach);
    };
    let asked = timeout(PATIENCE, questions(chain, settings, &provider, clock)).await;
    match asked {
        Err(_) => Check::fail(name, format!("no answer within {} s", PATIENCE.as_secs()), reach),
        Ok(Err(ProviderError::WrongChain { told })) => Check::fail(
            name,
            format!("speaks for chain {told}, but chain_id is {}", chain.chain_id.0),
            "take the provider's address for this chain",
        ),
        Ok(Err(error)) => Check::fail(name, error.to_string(), reach),
        Ok(Ok(found)) => Check { name, ..found },
    }
}

/// Asks everything; the first answer that is no good ends it.
async fn questions(
    chain: &Chain,
    settings: &RpcProvider,
    provider: &Provider,
    clock: &Clock,
) -> Result<Check, ProviderError> {
    head::further(provider, Further { chain_id: true, finalized: false }).await?;
    let newest = head::newest(provider, false).await?.at;
    let age = clock.now().millis_since(newest.time) / 1_000;
    let found = format!("block {}, {age} s old", newest.number);
    if u64::try_from(age).is_ok_and(|age| age > chain.head_age_max.as_secs()) {
        let mend = "its node is behind, or this machine's clock is off: ask the provider, or take \
                    another";
        return Ok(Check::warn("", format!("its newest block is old: {found}"), mend));
    }
    let batch = vec![RpcCall::new("eth_chainId", json!([])); settings.batch_max];
    let answers = provider.ask(batch).await;
    if !answers.is_ok_and(|answers| answers.iter().all(Result::is_ok)) {
        let found = format!("takes no batch of {} calls", settings.batch_max);
        let mend = "lower batch_max; without that, batches are halved until it takes them";
        return Ok(Check::warn("", found, mend));
    }
    let from = newest.number.saturating_sub(chain.log_range_max.saturating_sub(1));
    let tokens = chain.tokens.iter().map(|token| token.address).collect();
    let wanted = LogFilter::new(tokens, vec![chain.treasury.unwrap_or(EvmAddress::ZERO)]);
    match transfer_logs(provider, (from, newest.number), &wanted, LogQuery::Payees(1)).await {
        Ok(_) => {}
        Err(LogsError::Provider(error)) => return Err(error),
        Err(LogsError::TooMany { .. }) => {
            let found = format!("gives no logs of {} blocks at once", chain.log_range_max);
            let mend = "lower log_range_max; without that, ranges are halved until it answers";
            return Ok(Check::warn("", found, mend));
        }
    }
    Ok(Check::ok("", found))
}
