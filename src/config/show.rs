//! The settings in force as TOML. Every secret is masked, whichever layer it came from.

use serde_json::{Map, Value};

/// What stands for a secret.
const MASK: &str = "********";

/// The tree as TOML that loads again once secrets are put back.
pub(super) fn toml(tree: &Value) -> String {
    let mut masked = tree.clone();
    if let Some(Value::String(url)) = masked.pointer_mut("/database/url") {
        *url = masked_url(url);
    }
    mask_each(masked.get_mut("upstreams"), "credential");
    mask_each(masked.get_mut("upstreams"), "report_credential");
    mask_each(masked.get_mut("upstreams"), "egress_proxy");
    let chains = masked.get_mut("chains").and_then(Value::as_array_mut);
    for chain in chains.into_iter().flatten() {
        mask_each(chain.get_mut("providers"), "url");
    }
    for secret in ["/mail/password", "/privacy/tombstone_secret"] {
        if let Some(secret) = masked.pointer_mut(secret) {
            *secret = Value::String(MASK.to_owned());
        }
    }
    // Together with the private key of one address it gives away all of them.
    if let Some(xpub) = masked.pointer_mut("/deposits/account_xpub") {
        *xpub = Value::String(MASK.to_owned());
    }
    let mut text = String::new();
    if let Some(table) = masked.as_object() {
        write_table(&mut text, table, "");
    }
    text.trim_start().to_owned()
}

/// Masks a key of every table of an array.
fn mask_each(tables: Option<&mut Value>, key: &str) {
    let tables = tables.and_then(Value::as_array_mut);
    for secret in tables.into_iter().flatten().filter_map(|table| table.get_mut(key)) {
        *secret = Value::String(MASK.to_owned());
    }
}

/// A database URL without its password, be it before the `@` or among the options.
fn masked_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    let (location, query) =
        rest.split_once('?').map_or((rest, None), |(location, query)| (location, Some(query)));
    let location = match location.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:{MASK}@{host}"),
            None => location.to_owned(),
        },
        None => location.to_owned(),
    };
    let options = query.map(|query| {
        let masked = query.split('&').map(|option| match option.split_once('=') {
            Some((name, _)) if name.contains("password") => format!("{name}={MASK}"),
            _ => option.to_owned(),
        });
        format!("?{}", masked.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{location}{}", options.unwrap_or_default())
}

/// A tree without secrets to mask, as TOML.
pub(super) fn table(tree: &Map<String, Value>) -> String {
    let mut text = String::new();
    write_table(&mut text, tree, "");
    text
}

/// Plain keys first, as TOML counts what follows a header to that table.
fn write_table(text: &mut String, table: &Map<String, Value>, path: &str) {
    let below = |name: &str| {
        let name = key(name);
        if path.is_empty() { name } else { format!("{path}.{name}") }
    };
    for (name, value) in table.iter().filter(|(_, value)| !is_tables(value)) {
        push_line(text, &format!("{} = {}", key(name), inline(value)));
    }
    for (name, value) in table {
        let path = below(name);
        match value {
            Value::Object(table) => {
                let has_plain_keys =
                    table.is_empty() || table.values().any(|value| !is_tables(value));
                if has_plain_keys {
                    push_line(text, &format!("\n[{path}]"));
                }
                write_table(text, table, &path);
            }
            Value::Array(entries) if is_tables(value) => {
                for entry in entries.iter().filter_map(Value::as_object) {
                    push_line(text, &format!("\n[[{path}]]"));
                    write_table(text, entry, &path);
                }
            }
            _ => {}
        }
    }
}

fn is_tables(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(entries) => !entries.is_empty() && entries.iter().all(Value::is_object),
        _ => false,
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { quoted(name) }
}

/// A value on one line.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let entries =
                table.iter().map(|(name, value)| format!("{} = {}", key(name), inline(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Array(entries) => {
            format!("[{}]", entries.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A basic string of TOML. Its escapes are those of JSON, which leaves only DEL to be escaped.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string().replace('\u{7f}', "\\u007F")
}
