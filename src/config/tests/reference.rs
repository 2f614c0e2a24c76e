//! The reference has every key that the program reads, and no other.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::super::chains::{ChainEntry, NativeEntry, TokenEntry};
use super::super::database::DatabaseSection;
use super::super::mail::MailSection;
use super::super::pricing::{ModelSection, PricingSection};
use super::super::providers::ProviderEntry;
use super::super::upstream::UpstreamEntry;
use super::super::*;
use super::{Folder, SECRET};

/// The commented-out keys must exist too: the reference with each of them in force.
#[test]
fn every_optional_key_of_the_reference_is_known() {
    let folder = Folder::new();
    let mut text = String::new();
    let mut is_entry = false;
    for line in REFERENCE.lines() {
        let Some(bare) = line.strip_prefix("# ") else {
            is_entry = false;
            continue;
        };
        let begins = |starts: &[&str]| starts.iter().any(|start| bare.starts_with(start));
        is_entry |= begins(&["[[upstreams]]", "[[chains]]", "[models."]);
        let files = [
            "credential =",
            "credential_file =",
            "report_credential =",
            "report_credential_file =",
            "ca_file =",
            "url_env =",
            "url_file =",
        ];
        if is_entry && !begins(&files) {
            text.push_str(bare);
            text.push('\n');
        }
    }
    let text = text.replace("models.\"ID\"", "models.\"new-model\"");
    assert!(text.contains("user_agent = ") && text.contains("\nlong_prompt = "), "{text}");
    let url_file = folder.write("url", "sqlite://elsewhere.db\n");
    let env = [
        ("ANTHROPIC_API_KEY", SECRET),
        ("ANTHROPIC_ADMIN_KEY", SECRET),
        ("SLUICE__DEPOSITS__REVIEW_ABOVE", "10000"),
        ("SLUICE__SERVER__NODE_ID", "node-1"),
        ("SLUICE__DATABASE__URL_FILE", url_file.to_str().unwrap()),
        ("SLUICE__SITE__SUPPORT_EMAIL", "support@example.org"),
        ("SLUICE__SITE__OPERATOR", "Example Ltd"),
        ("SLUICE__SITE__JURISDICTION", "the law of Exampleland"),
    ];
    let settings = load(&folder.sources(&text, &env)).unwrap();
    assert!(settings.prices.find("new-model").is_some());
    assert_eq!(settings.upstreams[0].credential.expose_secret(), SECRET);
    let upstream = &settings.upstreams[0];
    assert_eq!(upstream.forbidden_accounts, 3);
    assert_eq!(upstream.forbidden_window, Duration::from_mins(1));
    assert_eq!(settings.server.node_id.as_deref(), Some("node-1"));
    let ids: Vec<_> = settings.chains.iter().map(|chain| chain.chain_id.0).collect();
    assert_eq!(ids, [1, 8453, 42161, 10, 137, 56]);
    let decimals = |chain: &Chain| chain.tokens.iter().map(|token| token.decimals).max();
    assert_eq!(
        settings.chains.iter().filter_map(decimals).collect::<Vec<_>>(),
        [6, 6, 6, 6, 6, 18]
    );
}

/// The keys of a section, as serde names them where it meets another.
fn keys<T: DeserializeOwned>() -> Vec<String> {
    let refused = serde_json::from_value::<T>(json!({ "no such key": 1 })).err().unwrap();
    let refused = refused.to_string();
    let (_, known) = refused.split_once(", expected").unwrap();
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_that_is_read_stands_in_the_reference() {
    let sections = [
        ("[server]", keys::<Server>()),
        ("[database]", keys::<DatabaseSection>()),
        ("[limits]", keys::<Limits>()),
        ("[stream]", keys::<Stream>()),
        ("[reservation]", keys::<ReservationSettings>()),
        ("[tools]", keys::<Tools>()),
        ("[requests]", keys::<Requests>()),
        ("[[upstreams]]", keys::<UpstreamEntry>()),
        ("[deposits]", keys::<Deposits>()),
        ("[[chains]]", keys::<ChainEntry>()),
        ("[[chains.providers]]", keys::<ProviderEntry>()),
        ("[chains.native]", keys::<NativeEntry>()),
        ("[[chains.tokens]]", keys::<TokenEntry>()),
        ("[[chains.tiers]]", keys::<Tier>()),
        ("[accounts]", keys::<Accounts>()),
        ("[abuse]", keys::<Abuse>()),
        ("[mail]", keys::<MailSection>()),
        ("[privacy]", keys::<Privacy>()),
        ("[site]", keys::<SiteSettings>()),
        ("[log]", keys::<Log>()),
        ("[pricing]", keys::<PricingSection>()),
        ("[models.\"ID\"]", keys::<ModelSection>()),
    ];
    let mut missing = Vec::new();
    for (section, keys) in sections {
        let (_, text) = REFERENCE.split_once(section).unwrap_or_else(|| panic!("no {section}"));
        // Up to the next section of this file, or the next example.
        let shown = text.lines().take_while(|line| !is_another(line));
        let shown: Vec<&str> = shown.map(|line| line.trim_start_matches(['#', ' '])).collect();
        for key in keys {
            let is_table = REFERENCE.contains(&format!("[chains.{key}]"))
                || REFERENCE.contains(&format!("{}.{key}]]", section.trim_matches(['[', ']'])));
            let begin = format!("{key} = ");
            if !is_table && !shown.iter().any(|line| line.starts_with(&begin)) {
                missing.push(format!("{section} {key}"));
            }
        }
    }
    assert!(missing.is_empty(), "config/default.toml does not show {missing:?}");
}

fn is_another(line: &str) -> bool {
    line.trim_start_matches(['#', ' ']).starts_with('[')
}
