//! Promises of `[deposits]` and `[[chains]]`.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::{Folder, SECRET, UPSTREAM, load_text};
use crate::config::*;
use crate::domain::evm::{ChainId, EvmAddress};

/// BIP-44's account 0 of "test test … junk".
const XPUB: &str = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7\
    V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP";
const TREASURY: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const OTHER: &str = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";
const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

/// Five lines of a chain, and seven of its providers.
const CHAIN: &str =
    "[[chains]]\nname = \"base\"\ndisplay_name = \"Base\"\nchain_id = 8453\ntreasury = \"{T}\"\n";
const PROVIDERS: &str = "[[chains.providers]]\nname = \"a\"\nurl = \"https://a.example/{S}\"\n\
    [[chains.providers]]\nname = \"b\"\nurl_env = \"RPC_B\"\n";
const TOKEN: &str = "[[chains.tokens]]\nsymbol = \"USDC\"\naddress = \"{A}\"\ndecimals = 6\n";

/// A tier, and the head of a second one.
const TIERS: &str = "[[chains.tiers]]\nconfirmations = 3\nup_to_usd = \"5\"\ntotal_usd = \"50\"\n\
    [[chains.tiers]]\n";

const ENV: [(&str, &str); 4] = [
    ("RPC_A", "https://a.example/sk-canary-5f1d"),
    ("RPC_B", "https://b.example/?key=sk-canary-5f1d"),
    ("RPC_HTTP", "http://b.example/sk-canary-5f1d"),
    ("LOCAL", "http://127.0.0.1:8545"),
];

fn filled(text: &str) -> String {
    let parts =
        [("{C}", CHAIN), ("{P}", PROVIDERS), ("{K}", TOKEN), ("{T2}", TIERS), ("{U}", UPSTREAM)];
    let values = [("{T}", TREASURY), ("{O}", OTHER), ("{A}", USDC), ("{S}", SECRET), ("{X}", XPUB)];
    let all = parts.into_iter().chain(values);
    all.fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value))
}

#[test]
fn a_chain_has_sensible_defaults() {
    let settings = load_text(&filled("{C}{P}{K}{U}"), &ENV).unwrap();
    let [chain] = settings.chains.as_slice() else { panic!("{:?}", settings.chains) };
    assert_eq!((chain.name.as_str(), chain.chain_id), ("base", ChainId(8453)));
    assert_eq!(chain.treasury, EvmAddress::parse_written(TREASURY).ok());
    assert_eq!((chain.finality, chain.quorum), (Finality::Finalized, 2));
    assert_eq!((chain.start_block, chain.native.is_none()), (None, true));
    assert_eq!(chain.explorer, None);
    let token = &chain.tokens[0];
    assert_eq!((token.decimals, token.minimum.to_string()), (6, "1.00".to_owned()));
    assert_eq!(
        (token.band_low.to_string(), token.band_high.to_string()),
        ("0.98".to_owned(), "1.02".to_owned())
    );
    let urls: Vec<_> = chain.providers.iter().map(|p| p.url.secret().expose_secret()).collect();
    assert_eq!(urls, ["https://a.example/sk-canary-5f1d", "https://b.example/?key=sk-canary-5f1d"]);
    assert_eq!(chain.providers[1].timeout, Duration::from_secs(10));
    assert!(settings.deposits.account_xpub.is_none() && settings.deposits.review_above.is_none());
    assert_eq!(settings.deposits.challenge, Duration::from_mins(10));
}

#[test]
fn dust_is_at_most_the_smallest_minimum() {
    let with = |dust: &str, minimum: &str| {
        let text = format!(
            "[deposits]\ndust_usd = \"{dust}\"\n{{C}}{{P}}{{K}}minimum = \"{minimum}\"\n{{U}}"
        );
        load_text(&filled(&text), &ENV)
    };
    assert_eq!(with("0.5", "0.5").unwrap().deposits.dust.to_string(), "0.50");
    let error = with("0.51", "0.5").unwrap_err().to_string();
    assert!(error.contains("deposits.dust_usd") && error.contains("at most 0.50"), "{error}");
    assert!(with("0", "1").is_err());
}

#[test]
fn one_provider_is_enough_on_the_loopback() {
    let one = "{C}quorum = 1\nconfirmations = 3\n[[chains.providers]]\nname = \"anvil\"\nurl_env \
        = \"LOCAL\"\n{U}";
    let settings = load_text(&filled(one), &ENV).unwrap();
    assert_eq!(settings.chains[0].finality, Finality::Confirmations(3));
    assert!(settings.chains[0].providers[0].url.is_loopback());
}

#[test]
fn tiers_are_read_in_their_order() {
    let text = "{C}{T2}confirmations = 12\nup_to_usd = \"25\"\ntotal_usd = \"200\"\n{P}{U}";
    let settings = load_text(&filled(text), &ENV).unwrap();
    let tiers = &settings.chains[0].tiers;
    let read: Vec<_> = tiers.iter().map(|one| (one.confirmations, one.up_to.to_string())).collect();
    assert_eq!(read, [(3, "5.00".to_owned()), (12, "25.00".to_owned())]);
    assert_eq!(tiers[1].total.to_string(), "200.00");
}

#[test]
fn a_key_for_derived_addresses_stands_in_for_the_treasury() {
    let text = "[deposits]\naccount_xpub = \"{X}\"\n[[chains]]\nname = \"base\"\ndisplay_name = \
        \"Base\"\nchain_id = 8453\n{P}{U}";
    let settings = load_text(&filled(text), &ENV).unwrap();
    assert!(settings.deposits.account_xpub.is_some() && settings.chains[0].treasury.is_none());
}

#[test]
fn commands_need_no_provider_but_know_the_chains() {
    let folder = Folder::new();
    let mut sources = folder.sources(&filled("{C}{P}{K}"), &[]);
    sources.env.clear();
    let shown = load(&sources).unwrap_err().to_string();
    assert!(shown.contains("RPC_B is not set"), "{shown}");
    let settings = load_for(&sources, LoadPurpose::Command).unwrap();
    assert!(settings.chains[0].providers.is_empty());
    assert_eq!(settings.chains[0].tokens[0].symbol, "USDC");
}

#[test]
fn what_is_shown_of_chains_masks_every_secret() {
    let text = filled(
        "[deposits]\naccount_xpub = \"{X}\"\n{C}{P}{K}[chains.native]\nsymbol = \"ETH\"\nfeed = \
         \"{O}\"\nfeed_description = \"ETH / USD\"\nheartbeat_secs = 1200\n{U}",
    );
    let settings = load_text(&text, &ENV).unwrap();
    let shown = settings.render();
    assert!(shown.contains("account_xpub = \"********\"\n"), "{shown}");
    assert!(
        shown.contains("url = \"********\"\n") && shown.contains("url_env = \"RPC_B\""),
        "{shown}"
    );
    assert!(!shown.contains(SECRET) && !shown.contains(XPUB), "{shown}");
    let debug = format!("{settings:?}");
    assert!(!debug.contains(SECRET) && !debug.contains("xpub6"), "{debug}");
    // With the secrets put back it loads again, nested tables and all.
    let again = shown.replace("url = \"********\"", "url = \"https://a.example/x\"");
    let again = again.replace("account_xpub = \"********\"", &format!("account_xpub = \"{XPUB}\""));
    let again = load_text(&again, &ENV).unwrap();
    assert_eq!(again.render(), shown);
    assert_eq!(again.chains[0].native.as_ref().unwrap().feed.heartbeat, Duration::from_mins(20));
}

/// Mistake, line, key, part of the reason.
const MISTAKES: [(&str, usize, &str, &str); 46] = [
    (
        "[[chains]]\nname = \"b\"\ndisplay_name = \"B\"\nchain_id = 1\nexplorer = \
         \"http://scan.example\"\ntreasury = \"{T}\"\n{P}{U}",
        5,
        "chains[0].explorer",
        "https",
    ),
    (
        "[[chains]]\nname = \"b\"\ndisplay_name = \"B\"\nchain_id = 1\nexplorer = \
         \"javascript:alert(1)\"\ntreasury = \"{T}\"\n{P}{U}",
        5,
        "chains[0].explorer",
        "https",
    ),
    (
        "{C}{P}[[chains]]\nname = \"base\"\ndisplay_name = \"B\"\nchain_id = 1\ntreasury = \
         \"{T}\"\n{P}{U}",
        13,
        "chains[1].name",
        "\"base\" already names chains[0]",
    ),
    (
        "{C}{P}[[chains]]\nname = \"b\"\ndisplay_name = \"B\"\nchain_id = 8453\ntreasury = \
         \"{T}\"\n{P}{U}",
        15,
        "chains[1].chain_id",
        "\"8453\" already names chains[0]",
    ),
    (
        "[[chains]]\nname = \"Base\"\ndisplay_name = \"B\"\nchain_id = 1\ntreasury = \"{T}\"\n\
         {P}{U}",
        2,
        "chains[0].name",
        "a-z 0-9 -",
    ),
    (
        "[[chains]]\nname = \"b\"\ndisplay_name = \"B\"\nchain_id = 0\ntreasury = \"{T}\"\n{P}{U}",
        4,
        "chains[0].chain_id",
        "whole number from 1",
    ),
    (
        "[[chains]]\nname = \"b\"\ndisplay_name = \"B\"\nchain_id = 1\n{P}{U}",
        1,
        "chains[0].treasury",
        "deposits.account_xpub",
    ),
    (
        "[[chains]]\nname = \"b\"\ndisplay_name = \"B\"\nchain_id = 1\ntreasury = \
         \"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed\"\n[deposits]\naccount_xpub = \"{X}\"\n\
         [[chains.providers]]\nname = \"a\"\nurl_env = \"RPC_A\"\n[[chains.providers]]\nname = \
         \"b\"\nurl_env = \"RPC_B\"\n{U}",
        5,
        "chains[0].treasury",
        "wrong checksum",
    ),
    (
        "[deposits]\naccount_xpub = \"{X}\"\n[[chains]]\nname = \"b\"\ndisplay_name = \"B\"\n\
         chain_id = 1\ntreasury = \"0x0000000000000000000000000000000000000000\"\n{P}{U}",
        7,
        "chains[0].treasury",
        "zero address",
    ),
    (
        "{C}{P}[[chains.tokens]]\nsymbol = \"X\"\naddress = \"{T}\"\ndecimals = 6\n{U}",
        5,
        "chains[0].treasury",
        "is a token's contract",
    ),
    (
        "{C}quorum = 3\n{P}{U}",
        6,
        "chains[0].quorum",
        "needs 3 providers that agree, but 2 are given",
    ),
    ("{C}{U}", 1, "chains[0].quorum", "but 0 are given"),
    ("{C}quorum = 1\n{P}{U}", 6, "chains[0].quorum", "for development"),
    ("{C}quorum = 0\n{P}{U}", 6, "chains[0].quorum", "from 1 to"),
    ("{C}confirmations = 300\n{P}{U}", 6, "chains[0].confirmations", "above reorg_window_blocks"),
    (
        "{C}[[chains.tiers]]\nconfirmations = 300\nup_to_usd = \"5\"\ntotal_usd = \"50\"\n{P}{U}",
        7,
        "chains[0].tiers[0].confirmations",
        "above reorg_window_blocks",
    ),
    (
        "{C}confirmations = 6\n[[chains.tiers]]\nconfirmations = 6\nup_to_usd = \"5\"\ntotal_usd \
         = \"50\"\n{P}{U}",
        8,
        "chains[0].tiers[0].confirmations",
        "less than the chain's own",
    ),
    (
        "{C}[[chains.tiers]]\nconfirmations = 3\nup_to_usd = \"0\"\ntotal_usd = \"50\"\n{P}{U}",
        8,
        "chains[0].tiers[0].up_to_usd",
        "above 0",
    ),
    (
        "{C}[[chains.tiers]]\nconfirmations = 3\nup_to_usd = \"5\"\ntotal_usd = \"4\"\n{P}{U}",
        9,
        "chains[0].tiers[0].total_usd",
        "at least up_to_usd",
    ),
    (
        "{C}[[chains.tiers]]\nconfirmations = 3\nup_to_usd = \"5\"\n{P}{U}",
        6,
        "chains[0].tiers[0].total_usd",
        "is missing",
    ),
    (
        "{C}{T2}confirmations = 3\nup_to_usd = \"6\"\ntotal_usd = \"50\"\n{P}{U}",
        11,
        "chains[0].tiers[1].confirmations",
        "more than in the previous tier",
    ),
    (
        "{C}{T2}confirmations = 4\nup_to_usd = \"5\"\ntotal_usd = \"50\"\n{P}{U}",
        12,
        "chains[0].tiers[1].up_to_usd",
        "more than in the previous tier",
    ),
    (
        "{C}{T2}confirmations = 4\nup_to_usd = \"6\"\ntotal_usd = \"40\"\n{P}{U}",
        13,
        "chains[0].tiers[1].total_usd",
        "at least that of the previous tier",
    ),
    ("{C}finality = \"safe\"\n{P}{U}", 6, "chains[0].finality", "unknown key"),
    ("{C}poll_milis = 5\n{P}{U}", 6, "chains[0].poll_milis", "did you mean \"poll_millis\"?"),
    (
        "{C}{P}[[chains.providers]]\nname = \"a\"\nurl_env = \"LOCAL\"\n{U}",
        13,
        "chains[0].providers[2].name",
        "already names chains[0].providers[0]",
    ),
    (
        "{C}{P}[[chains.providers]]\nname = \"c\"\nurl_env = \"RPC_A\"\n{U}",
        12,
        "chains[0].providers[2]",
        "same host as chains[0].providers[0]",
    ),
    (
        "{C}{P}[[chains.providers]]\nname = \"c\"\nurl = \"http://c.example/{S}\"\n{U}",
        14,
        "chains[0].providers[2].url",
        "must be https",
    ),
    (
        "{C}{P}[[chains.providers]]\nname = \"c\"\nurl_env = \"RPC_HTTP\"\n{U}",
        14,
        "chains[0].providers[2].url_env",
        "must be https",
    ),
    (
        "{C}{P}[[chains.providers]]\nname = \"c\"\nurl = \"wss://c.example/{S}\"\n{U}",
        14,
        "chains[0].providers[2].url",
        "must be an address",
    ),
    (
        "{C}{P}[[chains.providers]]\nname = \"c\"\nurl = \"https://c.example/#{S}\"\n{U}",
        14,
        "chains[0].providers[2].url",
        "must be an address",
    ),
    (
        "{C}{P}[[chains.providers]]\nname = \"c\"\nurl_env = \"ABSENT\"\n{U}",
        14,
        "chains[0].providers[2].url_env",
        "ABSENT is not set",
    ),
    (
        "{C}{P}[[chains.providers]]\nname = \"c\"\nurl_file = \"/nowhere/url\"\n{U}",
        14,
        "chains[0].providers[2].url_file",
        "/nowhere/url cannot be read",
    ),
    (
        "{C}{P}[[chains.providers]]\nname = \"c\"\n{U}",
        12,
        "chains[0].providers[2].url_env",
        "is missing: give url_env, url_file or url",
    ),
    ("{C}{P}url = \"https://c.example/{S}\"\n{U}", 12, "chains[0].providers[1].url", "only one of"),
    (
        "{C}{P}{K}[[chains.tokens]]\nsymbol = \"USDC\"\naddress = \"{O}\"\ndecimals = 6\n{U}",
        17,
        "chains[0].tokens[1].symbol",
        "already names chains[0].tokens[0]",
    ),
    (
        "{C}{P}{K}[[chains.tokens]]\nsymbol = \"USDX\"\naddress = \"{A}\"\ndecimals = 6\n{U}",
        18,
        "chains[0].tokens[1].address",
        "already names chains[0].tokens[0]",
    ),
    ("{C}{P}{K}heartbeat_secs = 5\n{U}", 12, "chains[0].tokens[0].feed", "is missing"),
    (
        "{C}{P}{K}feed = \"{O}\"\nheartbeat_secs = 5\n{U}",
        12,
        "chains[0].tokens[0].feed_description",
        "is missing",
    ),
    (
        "{C}{P}{K}feed = \"{O}\"\nfeed_description = \"USDC / USD\"\nheartbeat_secs = 5\nband_low \
         = \"1.01\"\n{U}",
        19,
        "chains[0].tokens[0].band_low",
        "within the band",
    ),
    (
        "{C}{P}{K}feed = \"{O}\"\nfeed_description = \"USDC / USD\"\nheartbeat_secs = 5\nband_low \
         = 0.98\n{U}",
        19,
        "chains[0].tokens[0].band_low",
        "in quotes",
    ),
    (
        "{C}{P}[[chains.tokens]]\nsymbol = \"X\"\naddress = \
         \"833589fCD6eDb6E08f4c7C32D4f71b54bdA02913\"\ndecimals = 6\n{U}",
        14,
        "chains[0].tokens[0].address",
        "must begin with 0x",
    ),
    (
        "{C}{P}[chains.native]\nsymbol = \"ETH\"\nminimum = \"0\"\nfeed = \"{O}\"\n\
         feed_description = \"ETH / USD\"\nheartbeat_secs = 9\n{U}",
        14,
        "chains[0].native.minimum",
        "above 0",
    ),
    (
        "[deposits]\nown_addresses = [\"{T}\", \"{T}\"]\n{U}",
        2,
        "deposits.own_addresses",
        "listed twice",
    ),
    (
        "[deposits]\naccount_xpub = \
         \"xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiC\
         hkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi\"\n\
         {U}",
        2,
        "deposits.account_xpub",
        "this is a private key",
    ),
    (
        "[deposits]\nown_addresses = \
         [\"0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d\"]\n{U}",
        2,
        "deposits.own_addresses",
        "looks like a private key",
    ),
];

#[test]
fn every_mistake_of_a_chain_is_named_with_file_line_key_and_reason() {
    let mut faults = Vec::new();
    for (text, line, key, reason) in MISTAKES {
        let text = filled(text);
        let folder = Folder::new();
        let sources = folder.sources(&text, &ENV);
        let shown = load(&sources).expect_err(&text).to_string();
        let start = format!("{}:{line}: {key}: ", sources.file.unwrap().display());
        let is_named = shown.starts_with(&start) && shown.contains(reason);
        if !is_named
            || shown.lines().count() != 1
            || shown.contains(SECRET)
            || shown.contains("xprv9")
            || shown.contains("59c6")
        {
            faults.push(format!("wanted {start}{reason}\nfound  {shown}\n"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn all_mistakes_of_a_chain_come_at_once() {
    let text = filled(
        "[[chains]]\nname = \"b\"\nchain_id = 1\n[[chains.providers]]\nurl = \"x\"\n\
         [[chains.tokens]]\nsymbol = \"USDC\"\ndecimals = 99\n[chains.native]\nsymbol = \"\"\n{U}",
    );
    let errors = load_text(&text, &[]).unwrap_err();
    let keys: Vec<_> = errors.problems.iter().map(|problem| problem.key.as_str()).collect();
    let wanted = [
        "display_name",
        "providers[0].name",
        "tokens[0].address",
        "tokens[0].decimals",
        "native.symbol",
    ];
    let wanted = wanted.map(|key| format!("chains[0].{key}"));
    for key in &wanted {
        assert!(keys.contains(&key.as_str()), "{key}\n{errors}");
    }
}
