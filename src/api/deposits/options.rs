//! `GET /api/v1/deposits/options`: every chain and coin that is taken, and the address to pay to.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::document::Chains;
use crate::api::Api;
use crate::api::answer::{Answer, answer};
use crate::config::{Chain, Finality};
use crate::db::chains;
use crate::deposits::payment_uri::payment_uri;
use crate::deposits::{DepositError, addresses};
use crate::domain::deposit::{Asset, NATIVE_DECIMALS};
use crate::domain::evm::EvmAddress;
use crate::domain::money::NanoUsd;

/// Answers with what the account may pay in. Issues its own address, where the operator derives them.
pub(in crate::api) async fn options(
    http: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let (account_id, now) = (call.principal.account_id, call.api.now());
        let xpub = call.api.deposits().account_xpub.clone();
        let has_chains = !call.api.chains().is_empty();
        let read = call.api.run(move |conn| {
            let own = match xpub.filter(|_| has_chains) {
                Some(xpub) => Some(addresses::of_account(conn, &xpub, account_id, now)?),
                None => None,
            };
            Ok::<_, DepositError>((own, chains::all(conn)?))
        });
        let (own, stands) = read.await?;
        let chains = Chains::new(call.api.chains(), stands);
        let offered = call.api.chains().iter().map(|chain| offer(chain, own, &chains));
        Ok(Answer::Document(json!({ "data": offered.collect::<Vec<_>>() })))
    })
    .await
}

fn offer(chain: &Chain, own: Option<EvmAddress>, chains: &Chains<'_>) -> Value {
    // An address of one's own needs no proof; the common one needs a proven wallet.
    let own = own.map(|address| ("own", address, false));
    let treasury = chain.treasury.map(|address| ("treasury", address, true));
    let payees: Vec<(&str, EvmAddress, bool)> = own.into_iter().chain(treasury).collect();
    let addresses = payees.iter().map(|(kind, address, needs_proof)| {
        json!({
            "kind": kind,
            "address": address.checksummed(),
            "needs_wallet_proof": needs_proof,
        })
    });
    let first = payees.first().map(|(_, address, _)| *address);
    json!({
        "chain": chain.name,
        "display_name": chain.display_name,
        "chain_id": chain.chain_id.0,
        "chain_status": chains.status(chain.chain_id.0),
        "finality": match chain.finality {
            Finality::Finalized => json!({ "kind": "finalized" }),
            Finality::Confirmations(count) => json!({ "kind": "confirmations", "needed": count }),
        },
        "addresses": addresses.collect::<Vec<_>>(),
        "assets": assets(chain, first),
    })
}

fn assets(chain: &Chain, payee: Option<EvmAddress>) -> Vec<Value> {
    let asset = |asset: Asset, symbol: &str, decimals: u8, minimum: NanoUsd| {
        json!({
            "symbol": symbol,
            "token": match asset {
                Asset::Native => None,
                Asset::Token(token) => Some(token.checksummed()),
            },
            "decimals": decimals,
            "minimum": minimum.to_string(),
            "payment_uri": payee.map(|payee| payment_uri(chain.chain_id, asset, payee)),
        })
    };
    let native = chain
        .native
        .iter()
        .map(|native| asset(Asset::Native, &native.symbol, NATIVE_DECIMALS, native.minimum));
    let tokens = chain.tokens.iter().map(|token| {
        asset(Asset::Token(token.address), &token.symbol, token.decimals, token.minimum)
    });
    native.chain(tokens).collect()
}
