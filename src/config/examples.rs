//! The examples that the reference shows commented out, as values: the one source of the chains'
//! addresses, which nothing in the code repeats.

use std::sync::LazyLock;

use config::{Config, File, FileFormat};
use serde_json::{Map, Value};

use super::REFERENCE;

/// The examples of `[[upstreams]]` and `[[chains]]`; empty if the reference had none.
static EXAMPLES: LazyLock<Value> = LazyLock::new(|| {
    let of = |header| table(header).unwrap_or_default();
    Value::Object(Map::from_iter([
        ("upstreams".to_owned(), of("[[upstreams]]")),
        ("chains".to_owned(), of("[[chains]]")),
    ]))
});

/// Names of the chains that the reference has an entry for.
#[must_use]
pub fn chain_names() -> Vec<&'static str> {
    chains().iter().filter_map(|chain| chain.get("name")?.as_str()).collect()
}

/// The shortest entry of a chain that works, but for its treasury and its providers. The first
/// entry of the reference shows every key; what no other entry needs is left out of it.
pub(super) fn chain(name: &str) -> Option<Map<String, Value>> {
    let all = chains();
    let wanted =
        all.iter().find(|chain| chain.get("name").and_then(Value::as_str) == Some(name))?;
    let others: Vec<&Value> = all.iter().skip(1).collect();
    let mut table = shortest(wanted, &others);
    for key in ["treasury", "providers"] {
        table.remove(key);
    }
    Some(table)
}

/// The address of the upstream that the reference shows.
pub(super) fn upstream_url() -> Option<&'static str> {
    EXAMPLES.pointer("/upstreams/0/base_url")?.as_str()
}

/// What the reference itself says at a pointer, such as `/site/privacy_in_force`.
pub(super) fn default_of(pointer: &str) -> Option<Value> {
    parse(REFERENCE)?.pointer(pointer).cloned()
}

fn chains() -> &'static [Value] {
    EXAMPLES.get("chains").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The keys of a table that one of the others has too, and the same of the tables below.
fn shortest(table: &Value, others: &[&Value]) -> Map<String, Value> {
    let mut kept = Map::new();
    for (key, value) in table.as_object().into_iter().flatten() {
        let theirs: Vec<&Value> = others.iter().filter_map(|other| other.get(key)).collect();
        if theirs.is_empty() {
            continue;
        }
        let value = match value {
            Value::Object(_) => Value::Object(shortest(value, &theirs)),
            Value::Array(entries) => {
                let theirs: Vec<&Value> =
                    theirs.iter().filter_map(|array| array.as_array()).flatten().collect();
                let entries = entries.iter().map(|entry| match entry {
                    Value::Object(_) => Value::Object(shortest(entry, &theirs)),
                    plain => plain.clone(),
                });
                entries.collect()
            }
            plain => plain.clone(),
        };
        kept.insert(key.clone(), value);
    }
    kept
}

/// The array of tables that stands commented out under a header.
fn table(header: &str) -> Option<Value> {
    let begin = format!("# {header}");
    let lines = REFERENCE.lines().skip_while(|line| *line != begin);
    let lines = lines.take_while(|line| line.starts_with('#'));
    let text: Vec<&str> = lines.map(|line| line.strip_prefix("# ").unwrap_or_default()).collect();
    let name = header.trim_matches(['[', ']']);
    parse(&text.join("\n"))?.get(name).cloned()
}

fn parse(text: &str) -> Option<Value> {
    let config = Config::builder().add_source(File::from_str(text, FileFormat::Toml)).build();
    config.ok()?.try_deserialize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_entry_of_each_chain_comes_from_the_reference() {
        assert_eq!(chain_names(), ["ethereum", "base", "arbitrum", "optimism", "polygon", "bnb"]);
        assert_eq!(upstream_url(), Some("https://api.anthropic.com"));
        for name in chain_names() {
            let table = chain(name).unwrap();
            assert!(REFERENCE.contains(table["native"]["feed"].as_str().unwrap()), "{name}");
            for token in table["tokens"].as_array().unwrap() {
                assert!(REFERENCE.contains(token["address"].as_str().unwrap()), "{name}");
            }
            for key in ["treasury", "providers", "confirmations", "tiers", "start_block"] {
                assert!(!table.contains_key(key), "{name} {key}");
            }
        }
        assert!(chain("sidechain").is_none());
    }
}
