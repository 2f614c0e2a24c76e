//! What a reload takes up, what waits for a restart, and which keys two loads differ in. No value
//! is kept for this: a key is compared by a keyed hash, so that secrets count as well.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use serde_json::Value;

use super::{Accounts, Chain, Log, ReservationSettings, Server, Settings, SiteSettings, Stream};
use crate::domain::evm::ChainId;

/// Keys that a reload takes up: a section, or one key, or one key of each entry. Every other key is
/// read at the start only.
const RELOADED: [&str; 15] = [
    "pricing",
    "models",
    "upstreams",
    "limits",
    "requests",
    "tools",
    "stream",
    "reservation",
    "server.requests_per_minute_per_account",
    "server.max_streams_per_account",
    "accounts.sign_up_open",
    "chains[].quorum",
    "chains[].providers",
    "site",
    "log.filter",
];

/// Keys of those sections that are read at the start all the same.
const KEPT: [&str; 9] = [
    "stream.drains_max",
    "stream.drains_max_per_account",
    "stream.settle_wait_secs",
    "reservation.known_prefixes_max",
    "site.base_url",
    "upstreams[].report_credential",
    "upstreams[].report_credential_env",
    "upstreams[].report_credential_file",
    "upstreams[].report_workspace",
];

/// What entries of an array are called by.
const NAMES: [&str; 3] = ["name", "symbol", "id"];

/// A hash of every key in force.
#[derive(Clone, Default)]
pub(super) struct KeyHashes(BTreeMap<String, u64>);

impl fmt::Debug for KeyHashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHashes")
    }
}

/// What a reload has come to. Keys only, no values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsChanges {
    /// Keys that count from now on.
    pub applied: Vec<String>,
    /// Keys whose new values need a restart.
    pub waiting: Vec<String>,
}

impl KeyHashes {
    /// Of the merged layers.
    pub(super) fn of(tree: &Value) -> Self {
        static STATE: OnceLock<RandomState> = OnceLock::new();
        let mut hashes = Self::default();
        hashes.add(tree, "", STATE.get_or_init(RandomState::new));
        hashes
    }

    fn add(&mut self, value: &Value, path: &str, state: &RandomState) {
        match value {
            Value::Object(table) => {
                for (name, value) in table {
                    let below =
                        if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.add(value, &below, state);
                }
            }
            Value::Array(entries) if entries.iter().any(Value::is_object) => {
                for (index, entry) in entries.iter().enumerate() {
                    let name = NAMES.iter().find_map(|key| entry.get(key)?.as_str());
                    let name = name.map_or_else(|| index.to_string(), str::to_owned);
                    self.add(entry, &format!("{path}[{name}]"), state);
                }
                // Their order may count.
                let names = entries.iter().map(|entry| entry.get("name").map(ToString::to_string));
                let order = state.hash_one(names.collect::<Vec<_>>());
                self.0.insert(path.to_owned(), order);
            }
            leaf => {
                self.0.insert(path.to_owned(), state.hash_one(leaf.to_string()));
            }
        }
    }

    /// The keys that differ.
    fn differing(&self, other: &Self) -> Vec<String> {
        let all = self.0.keys().chain(other.0.keys().filter(|key| !self.0.contains_key(*key)));
        let mut differing: Vec<String> =
            all.filter(|key| self.0.get(*key) != other.0.get(*key)).cloned().collect();
        differing.sort_unstable();
        differing
    }

    /// Whether the keys below `path` are the same.
    fn is_same_below(&self, other: &Self, path: &str) -> bool {
        let below = |hashes: &Self| {
            let of = hashes.0.iter().filter(|(key, _)| key.starts_with(path));
            of.map(|(key, hash)| (key.clone(), *hash)).collect::<Vec<_>>()
        };
        below(self) == below(other)
    }
}

/// Whether a reload takes up this key, such as `chains[base].providers[one].url`.
fn is_reloaded(key: &str) -> bool {
    let key = without_names(key);
    let covers = |pattern: &str| {
        let rest = key.strip_prefix(pattern);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    RELOADED.iter().any(|pattern| covers(pattern)) && !KEPT.contains(&key.as_str())
}

/// `chains[base].quorum` as `chains[].quorum`.
fn without_names(key: &str) -> String {
    let mut kept = String::with_capacity(key.len());
    let mut rest = key;
    while let Some((before, after)) = rest.split_once('[') {
        kept.push_str(before);
        kept.push_str("[]");
        rest = after.split_once(']').map_or("", |(_, rest)| rest);
    }
    kept.push_str(rest);
    kept
}

impl Settings {
    /// These settings, which are in force, with what a reload takes up of `read`; and which keys
    /// differ. `started` are those that the program began with: what differs from them, and is not
    /// taken up, waits for a restart.
    #[must_use]
    pub fn reloaded(&self, read: Self, started: &Self) -> (Self, SettingsChanges) {
        let applied = self.hashes.differing(&read.hashes);
        let is_taken_up = |key: &String| is_reloaded(key) && !self.is_of_another_chain(key);
        let applied = applied.into_iter().filter(is_taken_up).collect();
        let waiting = started.hashes.differing(&read.hashes);
        let waiting = waiting.into_iter().filter(|key| !is_taken_up(key)).collect();
        let changes = SettingsChanges { applied, waiting };
        (self.taking_up(read), changes)
    }

    /// Whether a key is of a chain that the program does not watch.
    fn is_of_another_chain(&self, key: &str) -> bool {
        let name = key.strip_prefix("chains[").and_then(|rest| rest.split(']').next());
        name.is_some_and(|name| self.chains.iter().all(|chain| chain.name != name))
    }

    fn taking_up(&self, read: Self) -> Self {
        let kept = self.clone();
        let providers = |chain: &Chain| {
            let read = read.chains.iter().find(|one| one.chain_id == chain.chain_id);
            let own = (chain.quorum, chain.providers.clone());
            let (quorum, providers) =
                read.map_or(own, |read| (read.quorum, read.providers.clone()));
            Chain { quorum, providers, ..chain.clone() }
        };
        let chains = kept.chains.iter().map(providers).collect();
        Self {
            server: Server {
                requests_per_minute_per_account: read.server.requests_per_minute_per_account,
                max_streams_per_account: read.server.max_streams_per_account,
                ..kept.server
            },
            stream: Stream {
                drains_max: kept.stream.drains_max,
                drains_max_per_account: kept.stream.drains_max_per_account,
                settle_wait: kept.stream.settle_wait,
                ..read.stream
            },
            reservation: ReservationSettings {
                known_prefixes_max: kept.reservation.known_prefixes_max,
                ..read.reservation
            },
            accounts: Accounts { sign_up_open: read.accounts.sign_up_open, ..kept.accounts },
            site: SiteSettings { base_url: kept.site.base_url, ..read.site },
            log: Log { filter: read.log.filter, ..kept.log },
            chains,
            limits: read.limits,
            requests: read.requests,
            tools: read.tools,
            upstreams: read.upstreams,
            prices: read.prices,
            shown: read.shown,
            hashes: read.hashes,
            ..kept
        }
    }

    /// Whether the upstream of that name is the same in both, its authorities included.
    #[must_use]
    pub fn has_same_upstream(&self, other: &Self, name: &str) -> bool {
        let of = |settings: &Self| {
            let mut all = settings.upstreams.iter();
            all.find(|one| one.name == name).map(|one| one.authorities.clone().map(|all| all.roots))
        };
        of(self) == of(other)
            && self.hashes.is_same_below(&other.hashes, &format!("upstreams[{name}]."))
    }

    /// Whether the chain of that number has the same providers and quorum in both.
    #[must_use]
    pub fn has_same_providers(&self, other: &Self, chain_id: ChainId) -> bool {
        let of = |settings: &Self| {
            let chain = settings.chains.iter().find(|chain| chain.chain_id == chain_id)?;
            Some((chain.quorum, chain.providers.clone()))
        };
        of(self) == of(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn settings(toml: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sluice.toml");
        std::fs::write(&file, format!("database.url = \"sqlite://sluice.db\"\n{toml}")).unwrap();
        load(&Sources { file: Some(file), env: Vec::new() }).unwrap()
    }

    fn with(upstream: &str) -> String {
        format!("[[upstreams]]\nname = \"one\"\nbase_url = \"http://127.0.0.1:1\"\n{upstream}\n")
    }

    #[test]
    fn what_is_taken_up_counts_and_what_is_not_stays_and_is_named() {
        let before = settings(&format!("{}[server]\nworkers = 1\n", with("credential = \"a\"")));
        let text = "[server]\nworkers = 2\nmax_streams_per_account = 7\n[site]\nname = \"Other\"\n\
                    base_url = \"https://other.example\"\nsupport_email = \"a@other.example\"\n";
        let read = settings(&format!("{}{text}", with("credential = \"b\"")));
        let (now, changes) = before.reloaded(read.clone(), &before);
        assert_eq!((now.site.name.as_str(), now.server.max_streams_per_account), ("Other", 7));
        assert_eq!(now.server.workers, before.server.workers);
        assert_eq!(now.site.base_url.as_str(), before.site.base_url.as_str());
        assert_eq!(
            changes.applied,
            [
                "server.max_streams_per_account",
                "site.name",
                "site.support_email",
                "upstreams[one].credential"
            ]
        );
        assert_eq!(changes.waiting, ["server.workers", "site.base_url"]);
        assert!(!before.has_same_upstream(&now, "one"));
        // What waits is said again; what counts already is not.
        let (_, again) = now.reloaded(read, &before);
        assert_eq!((again.applied.len(), again.waiting), (0, changes.waiting));
    }

    #[test]
    fn every_pattern_is_a_key_of_the_reference() {
        let reference: toml_edit::DocumentMut = crate::config::REFERENCE.parse().unwrap();
        for pattern in RELOADED.iter().chain(&KEPT).filter(|key| !key.contains("[]")) {
            let mut item = reference.as_item();
            for part in pattern.split('.').filter(|part| *part != "upstreams") {
                item = item.get(part).unwrap_or_else(|| panic!("{pattern} is no key"));
            }
        }
        assert!(is_reloaded("chains[base].providers[one].url"));
        assert!(is_reloaded("stream.idle_secs") && !is_reloaded("stream.drains_max"));
        assert!(!is_reloaded("chains[base].treasury") && !is_reloaded("limits_of_another"));
    }

    #[test]
    fn an_upstream_is_the_same_whatever_changes_beside_it() {
        let before = settings(&with("credential = \"a\""));
        let other = "[[upstreams]]\nname = \"two\"\nbase_url = \"http://127.0.0.1:2\"\n\
                     credential = \"c\"\n";
        let after = settings(&format!("{other}{}", with("credential = \"a\"")));
        assert!(before.has_same_upstream(&after, "one"));
        assert!(!before.has_same_upstream(&after, "two"));
        let weighed = settings(&with("credential = \"a\"\nweight = 5"));
        assert!(!before.has_same_upstream(&weighed, "one"));
    }
}
