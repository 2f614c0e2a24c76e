//! `[[chains]]` from the merged tree: table by table, so that a mistake in one hides none in
//! another.

use std::collections::BTreeMap;

use serde_json::Value;

use super::section::{ReadTable, read, read_table};
use crate::config::chains::{Chain, ChainEntry, NativeEntry, Token, TokenEntry};
use crate::config::problems::{KeyPath, Problems};
use crate::config::providers::{ProviderEntry, RpcProvider};
use crate::config::tiers::{self, Tier};
use crate::config::{Finality, LoadPurpose};

/// What the reading of a chain depends on beside its own table.
pub(super) struct Context<'a> {
    pub(super) env: &'a [(String, String)],
    pub(super) purpose: LoadPurpose,
    /// Whether a key for derived addresses was written, be it a good one or not.
    pub(super) has_xpub: bool,
}

/// All chains that could be read.
pub(super) fn chains(tree: &Value, context: &Context<'_>, problems: &mut Problems) -> Vec<Chain> {
    let root = KeyPath::default().key("chains");
    let mut chains = Vec::new();
    let mut names = UniqueNames::default();
    let mut ids = UniqueNames::default();
    for (at, table) in tables(tree.get("chains"), &root, "[[chains]]", problems) {
        let entry = read_table::<ChainEntry>(table.clone(), &at, None, problems);
        let native = native(table, &at, problems);
        let tokens = tokens(table, &at, native.as_ref().map(|coin| &*coin.symbol), problems);
        let tiers = early(table, &at, problems);
        let (written, providers) = providers(table, &at, context, problems);
        let Some(ReadTable { entry, is_whole }) = entry else { continue };
        if table.get("name").is_some() {
            names.claim(&at, "name", &entry.name, problems);
        }
        if table.get("chain_id").is_some() {
            ids.claim(&at, "chain_id", &entry.chain_id.to_string(), problems);
        }
        entry.check(&at, context.has_xpub, problems);
        if tokens.iter().any(|token| Some(token.address) == entry.treasury) {
            problems.add(&at.key("treasury"), "is a token's contract: coins sent to it are lost");
        }
        check_quorum(entry.quorum, written, &providers, &at, problems);
        if !is_whole {
            continue;
        }
        let written = tiers;
        let tiers = written.iter().map(|(_, tier)| *tier).collect();
        let chain = entry.into_chain(tiers, native, tokens, providers);
        let depth = match chain.finality {
            Finality::Confirmations(depth) => Some(depth),
            Finality::Finalized => None,
        };
        tiers::check(&written, (depth, chain.reorg_window_blocks), problems);
        chains.push(chain);
    }
    chains
}

/// The tables of an array, each with the way to it.
fn tables<'a>(
    value: Option<&'a Value>,
    root: &KeyPath,
    header: &str,
    problems: &mut Problems,
) -> Vec<(KeyPath, &'a Value)> {
    match value {
        None => Vec::new(),
        Some(Value::Array(entries)) => entries
            .iter()
            .enumerate()
            .map(|(position, entry)| (root.index(position), entry))
            .collect(),
        Some(_) => {
            problems.add(root, format!("must be an array of tables: write {header}"));
            Vec::new()
        }
    }
}

fn native(
    table: &Value,
    at: &KeyPath,
    problems: &mut Problems,
) -> Option<crate::config::NativeCoin> {
    let value = table.get("native")?.clone();
    read::<NativeEntry>(value, &at.key("native"), None, problems).map(NativeEntry::into_coin)
}

fn tokens(
    table: &Value,
    at: &KeyPath,
    native_symbol: Option<&str>,
    problems: &mut Problems,
) -> Vec<Token> {
    let root = at.key("tokens");
    let mut symbols = UniqueNames::default();
    if let Some(symbol) = native_symbol {
        symbols.0.insert(symbol.to_owned(), at.key("native"));
    }
    let mut addresses = UniqueNames::default();
    let mut tokens = Vec::new();
    for (at, table) in tables(table.get("tokens"), &root, "[[chains.tokens]]", problems) {
        let entry = read::<TokenEntry>(table.clone(), &at, None, problems);
        let Some(token) = entry.and_then(|entry| entry.into_token(&at, problems)) else { continue };
        symbols.claim(&at, "symbol", &token.symbol, problems);
        addresses.claim(&at, "address", &token.address.checksummed(), problems);
        tokens.push(token);
    }
    tokens
}

/// Deposits that are credited early.
fn early(table: &Value, at: &KeyPath, problems: &mut Problems) -> Vec<(KeyPath, Tier)> {
    let root = at.key("tiers");
    let written = tables(table.get("tiers"), &root, "[[chains.tiers]]", problems);
    let read = written.into_iter().filter_map(|(at, table)| {
        let tier = read::<Tier>(table.clone(), &at, None, problems)?;
        Some((at, tier))
    });
    read.collect()
}

/// How many providers are written, and those that were wanted and could be read.
fn providers(
    table: &Value,
    at: &KeyPath,
    context: &Context<'_>,
    problems: &mut Problems,
) -> (usize, Vec<RpcProvider>) {
    let root = at.key("providers");
    let written = tables(table.get("providers"), &root, "[[chains.providers]]", problems);
    let count = written.len();
    let mut names = UniqueNames::default();
    let mut providers: Vec<(KeyPath, RpcProvider)> = Vec::new();
    for (at, table) in written {
        let read = read_table::<ProviderEntry>(table.clone(), &at, None, problems);
        let Some(ReadTable { entry, is_whole }) = read else { continue };
        if is_whole {
            names.claim(&at, "name", &entry.name, problems);
        }
        if context.purpose == LoadPurpose::Command {
            entry.check(&at, problems);
            continue;
        }
        let resolved = entry.resolve(&at, context.env, problems);
        let Some(provider) = resolved.filter(|_| is_whole) else { continue };
        let is_same = |other: &RpcProvider| {
            !provider.url.is_loopback() && provider.url.has_same_host(&other.url)
        };
        if let Some((first, _)) = providers.iter().find(|(_, other)| is_same(other)) {
            let reason =
                format!("is on the same host as {first}: one operator must not count twice");
            problems.add(&at, reason);
        }
        providers.push((at, provider));
    }
    (count, providers.into_iter().map(|(_, provider)| provider).collect())
}

fn check_quorum(
    quorum: usize,
    written: usize,
    providers: &[RpcProvider],
    at: &KeyPath,
    problems: &mut Problems,
) {
    if quorum > written {
        let reason = format!("needs {quorum} providers that agree, but {written} are given");
        problems.add(&at.key("quorum"), reason);
    } else if quorum == 1 && providers.iter().any(|provider| !provider.url.is_loopback()) {
        problems.add(
            &at.key("quorum"),
            "1 is for development, with every provider on the loopback: otherwise whoever runs \
             the one provider can credit any sum, so at least 2 must agree",
        );
    }
}

/// Who has a name that must be unique.
#[derive(Default)]
struct UniqueNames(BTreeMap<String, KeyPath>);

impl UniqueNames {
    fn claim(&mut self, at: &KeyPath, key: &str, name: &str, problems: &mut Problems) {
        match self.0.get(name) {
            Some(first) => {
                problems.add(&at.key(key), format!("\"{name}\" already names {first}"));
            }
            None => {
                self.0.insert(name.to_owned(), at.clone());
            }
        }
    }
}
