//! Payment requests that wallets read from a link or a picture (EIP-681). The chain is always
//! named, for without it a wallet would pay on whichever it is on. A token's request names an
//! amount too: it is one of the two arguments by which a wallet finds the function, and some refuse
//! a request that has only one.

use crate::domain::deposit::Asset;
use crate::domain::evm::{ChainId, EvmAddress, RawAmount};

/// The request to pay `raw` of `asset` to `payee`; without an amount, people choose it in the
/// wallet.
#[must_use]
pub fn payment_uri(
    chain_id: ChainId,
    asset: Asset,
    payee: EvmAddress,
    raw: Option<RawAmount>,
) -> String {
    let payee = payee.checksummed();
    match (asset, raw) {
        (Asset::Native, None) => format!("ethereum:{payee}@{chain_id}"),
        (Asset::Native, Some(raw)) => format!("ethereum:{payee}@{chain_id}?value={raw}"),
        // The target of a token's request is the token.
        (Asset::Token(token), raw) => {
            let (token, raw) = (token.checksummed(), raw.unwrap_or(RawAmount::ZERO));
            format!("ethereum:{token}@{chain_id}/transfer?address={payee}&uint256={raw}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coins_are_paid_to_the_payee_and_tokens_through_their_contract() {
        let payee = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().unwrap();
        let token = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".parse().unwrap();
        let uri = |asset, raw: Option<u128>| {
            payment_uri(ChainId(8453), asset, payee, raw.map(RawAmount::from))
        };
        let coins = "ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed@8453";
        assert_eq!(uri(Asset::Native, None), coins);
        assert_eq!(uri(Asset::Native, Some(5)), format!("{coins}?value=5"));
        let tokens = "ethereum:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913@8453/transfer\
                      ?address=0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed&uint256=";
        assert_eq!(uri(Asset::Token(token), Some(25_000_000)), format!("{tokens}25000000"));
        assert_eq!(uri(Asset::Token(token), None), format!("{tokens}0"));
    }
}
