//! Payment requests that wallets read from a link or a picture (EIP-681). The chain is always named, for without it a
//! wallet would pay on whichever it is on; an amount never is, for people choose it.

use crate::domain::deposit::Asset;
use crate::domain::evm::{ChainId, EvmAddress};

/// The request to pay `asset` to `payee`.
#[must_use]
pub fn payment_uri(chain_id: ChainId, asset: Asset, payee: EvmAddress) -> String {
    let payee = payee.checksummed();
    match asset {
        Asset::Native => format!("ethereum:{payee}@{chain_id}"),
        // The target of a token's request is the token.
        Asset::Token(token) => {
            format!("ethereum:{}@{chain_id}/transfer?address={payee}", token.checksummed())
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
        assert_eq!(
            payment_uri(ChainId(8453), Asset::Native, payee),
            "ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed@8453"
        );
        assert_eq!(
            payment_uri(ChainId(8453), Asset::Token(token), payee),
            "ethereum:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913@8453/transfer\
             ?address=0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
        );
    }
}
