//! Which addresses and coins of a chain are ours to credit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::chain::facts::{Transfer, TxFacts};
use crate::config::{Chain, Deposits};
use crate::domain::deposit::{Asset, FeedPrice, value_of};
use crate::domain::evm::EvmAddress;
use crate::domain::money::NanoUsd;

/// The addresses that are paid to, the ones that never pay in, and the coins that count on one
/// chain.
#[derive(Clone, Debug, Default)]
pub struct Recipients {
    treasury: Option<EvmAddress>,
    /// Shared: there may be many.
    derived: Arc<HashSet<EvmAddress>>,
    /// Sweeps and gas money come from these.
    own: HashSet<EvmAddress>,
    /// With their decimals.
    tokens: HashMap<EvmAddress, u8>,
    takes_native: bool,
    /// What a payer sends to one address in one transaction makes no deposit below this.
    dust: NanoUsd,
}

/// What a transfer is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferKind {
    /// It pays one of our addresses in a coin that counts.
    Deposit,
    /// It pays one of our addresses, from one of our addresses.
    OwnTransfer,
    /// It pays one of our addresses in a token that does not count.
    UnsupportedToken,
    /// It has nothing to do with us.
    None,
}

impl Recipients {
    /// What the config says, with the addresses that were derived so far.
    #[must_use]
    pub fn new(chain: &Chain, limits: &Deposits, derived: Arc<HashSet<EvmAddress>>) -> Self {
        Self {
            treasury: chain.treasury,
            derived,
            own: limits.own_addresses.iter().copied().collect(),
            tokens: chain.tokens.iter().map(|token| (token.address, token.decimals)).collect(),
            takes_native: chain.native.is_some(),
            dust: limits.dust,
        }
    }

    /// One address, tokens with their decimals, and coins.
    #[cfg(test)]
    pub(super) fn of(treasury: EvmAddress, tokens: &[(EvmAddress, u8)], dust: NanoUsd) -> Self {
        Self {
            treasury: Some(treasury),
            tokens: tokens.iter().copied().collect(),
            takes_native: true,
            dust,
            ..Self::default()
        }
    }

    /// Whether a transfer of a token is too little for a deposit of its own: at one dollar a piece,
    /// as they count at most.
    #[must_use]
    pub fn is_dust(&self, transfer: &Transfer) -> bool {
        let Asset::Token(token) = transfer.asset else { return false };
        let Some(&decimals) = self.tokens.get(&token) else { return false };
        value_of(transfer.raw, decimals, FeedPrice::ONE).is_some_and(|value| value < self.dust)
    }

    /// Whether an address is one that deposits are paid to.
    #[must_use]
    pub fn is_payee(&self, address: EvmAddress) -> bool {
        self.treasury == Some(address) || self.derived.contains(&address)
    }

    /// Whether money from there is the operator's own.
    #[must_use]
    pub fn is_own(&self, address: EvmAddress) -> bool {
        self.own.contains(&address) || self.is_payee(address)
    }

    /// Whether a token counts.
    #[must_use]
    pub fn is_token(&self, address: EvmAddress) -> bool {
        self.tokens.contains_key(&address)
    }

    /// Every address that deposits are paid to.
    #[must_use]
    pub fn payees(&self) -> Vec<EvmAddress> {
        self.treasury.iter().chain(&*self.derived).copied().collect()
    }

    /// Whether a transaction is nothing but a payment of a listed token by who has signed it. Such
    /// a token calls nobody, so no coins can have moved inside.
    #[must_use]
    pub fn is_plain_payment(&self, facts: &TxFacts) -> bool {
        let [transfer] = facts.transfers.as_slice() else { return false };
        match transfer.asset {
            Asset::Token(token) => {
                self.tokens.contains_key(&token) && transfer.from == facts.sender
            }
            Asset::Native => false,
        }
    }

    /// What a transfer is to us.
    #[must_use]
    pub fn bearing(&self, transfer: &Transfer) -> TransferKind {
        let counts = match transfer.asset {
            Asset::Native => self.takes_native,
            Asset::Token(token) => self.tokens.contains_key(&token),
        };
        if !self.is_payee(transfer.to) || transfer.raw.is_zero() {
            TransferKind::None
        } else if !counts {
            TransferKind::UnsupportedToken
        } else if self.is_own(transfer.from) {
            TransferKind::OwnTransfer
        } else {
            TransferKind::Deposit
        }
    }
}
