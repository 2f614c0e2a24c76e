//! What people call the chains and coins of rows. The config says so; what it no longer has is
//! shown by number and address.

use std::collections::HashMap;

use crate::cli::{CliError, CommandContext};
use crate::config::Chain;
use crate::db::models::accounts;
use crate::db::models::deposits::DepositRow;
use crate::domain::deposit::{Asset, NATIVE_DECIMALS};
use crate::domain::evm::{ChainId, EvmAddress, RawAmount};
use crate::domain::ids::AccountId;

/// The names that the settings give.
pub(super) struct SettingNames<'a> {
    chains: &'a [Chain],
}

/// What was transferred, in words.
pub(super) struct CoinWords {
    /// The coin's symbol; `None` where the config no longer has it.
    pub(super) symbol: Option<String>,
    /// The token's contract, checksummed; `None` for the chain's own coin.
    pub(super) token: Option<String>,
    /// Digits behind the point, where they are known.
    pub(super) decimals: Option<u8>,
    /// The exact amount in whole coins, where the decimals are known.
    pub(super) amount: Option<String>,
    raw: RawAmount,
}

impl<'a> SettingNames<'a> {
    pub(super) fn of(desk: &'a CommandContext) -> Self {
        Self { chains: &desk.settings.chains }
    }

    /// The name of a chain, or its number.
    pub(super) fn chain(&self, chain_id: ChainId) -> String {
        let chain = self.chains.iter().find(|chain| chain.chain_id == chain_id);
        chain.map_or_else(|| chain_id.to_string(), |chain| chain.name.clone())
    }

    /// The chain that a person named, or gave the number of: rows may be of one that is no longer
    /// configured.
    pub(super) fn chain_id(&self, name: &str) -> Result<ChainId, CliError> {
        if let Some(chain) = self.chains.iter().find(|chain| chain.name == name) {
            return Ok(chain.chain_id);
        }
        name.parse().map(ChainId).map_err(|_| {
            let known: Vec<&str> = self.chains.iter().map(|chain| chain.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            CliError::Refused(format!(
                "there is no chain \"{name}\". Configured: {known}. Others are named by their \
                 number"
            ))
        })
    }

    /// What a deposit transferred.
    pub(super) fn coins(&self, row: &DepositRow) -> CoinWords {
        let chain = self.chains.iter().find(|chain| chain.chain_id == row.chain_id);
        let (symbol, decimals) = match Asset::from_column(row.token) {
            Asset::Native => {
                let coin = chain.and_then(|chain| chain.native.as_ref());
                (coin.map(|coin| coin.symbol.clone()), Some(NATIVE_DECIMALS))
            }
            Asset::Token(address) => {
                let mut tokens = chain.iter().flat_map(|chain| &chain.tokens);
                let token = tokens.find(|token| token.address == address);
                (token.map(|token| token.symbol.clone()), token.map(|token| token.decimals))
            }
        };
        CoinWords {
            symbol,
            token: row.token.map(address),
            decimals,
            amount: decimals.map(|decimals| row.raw_amount.in_coins(decimals)),
            raw: row.raw_amount,
        }
    }
}

impl CoinWords {
    /// The coin: its symbol, else what tells it apart.
    pub(super) fn asset(&self) -> String {
        let unnamed = || self.token.clone().unwrap_or_else(|| "native coin".to_owned());
        self.symbol.clone().unwrap_or_else(unnamed)
    }

    /// `1.5 USDC`; of a token whose decimals are unknown its smallest units.
    pub(super) fn shown(&self) -> String {
        match &self.amount {
            Some(amount) => format!("{amount} {}", self.asset()),
            None => format!("{} units of {}", self.raw, self.asset()),
        }
    }
}

/// An address as people compare it.
pub(super) fn address(address: EvmAddress) -> String {
    address.checksummed()
}

/// The public ids of the accounts of some rows.
pub(super) fn accounts_of(
    desk: &CommandContext,
    ids: impl Iterator<Item = Option<AccountId>>,
) -> Result<HashMap<AccountId, String>, CliError> {
    let mut ids: Vec<AccountId> = ids.flatten().collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = desk.with(|conn| accounts::of_ids(conn, &ids))?;
    Ok(rows.into_iter().map(|row| (row.id, row.public_id)).collect())
}
