//! Promises of the settings: complete defaults, every mistake with its place, no secret in any
//! text.

mod chains;
mod mail;
mod reference;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::domain::clock::UnixMillis;
use crate::domain::money::NanoUsd;

const UPSTREAM: &str = "[[upstreams]]\nname = \"primary\"\nbase_url = \
    \"https://api.example.com\"\ncredential_env = \"UPSTREAM_KEY\"\n";
const SECRET: &str = "sk-canary-5f1d";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn sources(&self, text: &str, env: &[(&str, &str)]) -> Sources {
        let own = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let key = ("UPSTREAM_KEY".to_owned(), SECRET.to_owned());
        Sources { file: Some(self.write("sluice.toml", text)), env: own.chain([key]).collect() }
    }
}

fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    load(&Folder::new().sources(text, env))
}

#[test]
fn the_reference_alone_is_complete_but_for_an_upstream() {
    let settings = load_for(&Sources::default(), LoadPurpose::Command).unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.server.workers, None);
    assert_eq!(settings.stream.json_head, Duration::from_secs(610));
    assert!(matches!(&settings.database.url,
            DatabaseUrl::Sqlite(path) if path == &PathBuf::from("sluice.db")));
    assert_eq!(settings.prices.models().count(), 18);
    let errors = load(&Sources::default()).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "settings: upstreams: is missing: requests need at least one [[upstreams]] to go to"
    );
}

#[test]
fn nothing_is_lent_with_a_shortfall_of_zero() {
    for zero in ["\"0\"", "\"0.00\"", "0"] {
        let text = format!("[reservation]\nshortfall_max_usd = {zero}\n{UPSTREAM}");
        let settings = load(&Folder::new().sources(&text, &[])).unwrap();
        assert_eq!(settings.reservation.shortfall_max, NanoUsd::ZERO, "{zero}");
    }
}

#[test]
fn file_wins_over_reference_and_environment_over_file() {
    let text = format!("[server]\nmax_streams = 500\ndrain_secs = 5\n{UPSTREAM}");
    let env = [
        ("SLUICE__SERVER__DRAIN_SECS", "7"),
        ("SLUICE__REQUESTS__DENIED_BETAS", "one, two"),
        ("SLUICE__UPSTREAMS__0__AUTH", "bearer"),
        ("SLUICE__PRICING__MARKUP", "1.10"),
        ("UNRELATED", "x"),
    ];
    let settings = load_text(&text, &env).unwrap();
    assert_eq!(settings.server.max_streams, 500);
    assert_eq!(settings.server.drain, Duration::from_secs(7));
    assert_eq!(settings.requests.denied_betas, ["one", "two"]);
    assert_eq!(settings.upstreams[0].auth, UpstreamAuth::Bearer);
    assert_eq!(settings.upstreams[0].base_url.as_str(), "https://api.example.com");
    let day = UnixMillis::from_millis(1_795_000_000_000);
    let rates = settings.prices.rates("claude-sonnet-5", day).unwrap();
    assert_eq!(rates.markup.as_millionths(), 1_100_000);
}

#[test]
fn a_model_is_overridden_by_naming_what_differs() {
    let text = format!("{UPSTREAM}[models.\"claude-haiku-4-5\"]\naliases = [\"small\"]\n");
    let settings = load_text(&text, &[]).unwrap();
    let model = settings.prices.find("small").unwrap();
    assert_eq!((model.id.as_str(), model.context_tokens), ("claude-haiku-4-5", 200_000));
    assert!(settings.prices.find("claude-haiku-4-5-20251001").is_some());
}

/// Mistake, line, key, part of the reason. `{U}` stands for a good upstream of four lines.
const MISTAKES: [(&str, usize, &str, &str); 68] = [
    ("[server]\nmax_stream = 5\n{U}", 2, "server.max_stream", "did you mean \"max_streams\"?"),
    ("[sever]\nx = 1\n{U}", 1, "sever", "unknown key; did you mean \"server\"?"),
    ("[server]\nmax_streams = 0\n{U}", 2, "server.max_streams", "from 1 to"),
    ("[server]\n\ndrain_secs = -1\n{U}", 3, "server.drain_secs", "from 0 to"),
    ("[server]\nmax_streams = 1.5\n{U}", 2, "server.max_streams", "must be a whole number"),
    ("server.listen = \"localhost\"\n{U}", 1, "server.listen", "must be an IP address with a port"),
    ("[server]\nlisten = \"0.0.0.0:8080\"\n{U}", 2, "server.listen", "behind_tls_proxy"),
    ("[server]\nadmin_listen = \"127.0.0.1:8080\"\n{U}", 2, "server.admin_listen", "must differ"),
    ("[server]\nbehind_tls_proxy = \"yes\"\n{U}", 2, "server.behind_tls_proxy", "true or false"),
    ("[server]\ncors_origins = [\"app\"]\n{U}", 2, "server.cors_origins", "each entry is"),
    ("[server]\nnode_id = \"a b\"\n{U}", 2, "server.node_id", "at most 64"),
    (
        "[reservation]\nshortfall_max_usd = \"-1\"\n{U}",
        2,
        "reservation.shortfall_max_usd",
        "USD from 0",
    ),
    ("server = 5\n{U}", 1, "server", "must be a table"),
    ("[database]\nurl = \"mysql://u:{S}@h/d\"\n{U}", 2, "database.url", "sqlite://, postgres://"),
    (
        "[database]\nurl = \"postgres://u:{S}@db.example.org/d\"\n{U}",
        2,
        "database.url",
        "verify-full",
    ),
    ("[database]\nurl = 5\n{U}", 2, "database.url", "must be text in quotes"),
    (
        "[database]\nurl_file = \"/nowhere/url\"\n{U}",
        2,
        "database.url_file",
        "/nowhere/url cannot be read",
    ),
    (
        "[stream]\nclient_gone = \"{S}\"\n{U}",
        2,
        "stream.client_gone",
        "must be \"auto\", \"abort\", \"drain\"",
    ),
    (
        "[stream]\nhold_head_max_secs = 500\n{U}",
        2,
        "stream.hold_head_max_secs",
        "above first_byte_secs",
    ),
    ("[log]\nfilter = \"sluice=loud\"\n{U}", 2, "log.filter", "must be a level"),
    (
        "[database]\nurl = \"postgres://u@localhost/d\"\n[privacy]\ntombstone_secret = \
         \"{S}{S}{S}\"\n[backup]\ndirectory = \"b\"\n{U}",
        6,
        "backup.directory",
        "PostgreSQL is backed up with its own tools",
    ),
    ("[backup]\nevery_hours = 0\n{U}", 2, "backup.every_hours", "1"),
    ("[backup]\nkeep = 0\n{U}", 2, "backup.keep", "1"),
    ("[site]\nsupport_email = \"nobody\"\n{U}", 2, "site.support_email", "email address"),
    ("[site]\nbase_url = \"https://a.example\"\n{U}", 1, "site.support_email", "is missing"),
    ("[site]\naccent = \"green\"\n{U}", 2, "site.accent", "such as \"#0d5c75\""),
    ("[site]\naccent = \"#7fd4c1\"\n{U}", 2, "site.accent", "too light"),
    ("[site]\ntagline = \" \"\n{U}", 2, "site.tagline", "must not be empty"),
    ("[site]\ndescription = 1\n{U}", 2, "site.description", "text in quotes"),
    ("[site]\nprivacy_in_force = \"soon\"\n{U}", 2, "site.privacy_in_force", "not a day"),
    ("[site]\nterms_in_force = \"22.11.2026\"\n{U}", 2, "site.terms_in_force", "not a day"),
    ("[site]\noperator = \"\"\n{U}", 2, "site.operator", "must not be empty"),
    ("[site]\njurisdiction = \"\"\n{U}", 2, "site.jurisdiction", "must not be empty"),
    ("[pricing]\nmarkup = 1.1\n{U}", 2, "pricing.markup", "in quotes"),
    ("[pricing]\nmarkup = \"-1\"\n{U}", 2, "pricing.markup", "from 0 to 1000"),
    ("{U}base_url2 = \"x\"\n", 5, "upstreams[0].base_url2", "did you mean \"base_url\"?"),
    ("{U}{U}", 6, "upstreams[1].name", "\"primary\" already names upstreams[0]"),
    (
        "[[upstreams]]\nname = \"a\"\ncredential = \"{S}\"\n",
        1,
        "upstreams[0].base_url",
        "is missing",
    ),
    (
        "[[upstreams]]\nname = \"a\"\nbase_url = \"http://api.example.com\"\ncredential = \
         \"{S}\"\n",
        3,
        "upstreams[0].base_url",
        "must be https",
    ),
    (
        "[[upstreams]]\nname = \"a\"\nbase_url = \"http://[::1]:1/v1\"\ncredential = \"{S}\"\n",
        3,
        "upstreams[0].base_url",
        "must not end in /v1",
    ),
    (
        "[[upstreams]]\nname = \"a\"\nbase_url = \"https://h/v1/messages\"\ncredential = \"{S}\"\n",
        3,
        "upstreams[0].base_url",
        "must not end in /v1",
    ),
    (
        "[[upstreams]]\nname = \"a\"\nbase_url = \"https://h\"\ncredential = \"{S}\"\n\
         headers.Host = \"x\"\n",
        5,
        "upstreams[0].headers.Host",
        "does not set itself",
    ),
    (
        "[[upstreams]]\nname = \"a\"\nbase_url = \"https://h\"\n",
        1,
        "upstreams[0].credential_env",
        "is missing",
    ),
    (
        "[[upstreams]]\nname = \"a\"\nbase_url = \"https://h\"\ncredential_env = \"ABSENT\"\n",
        4,
        "upstreams[0].credential_env",
        "ABSENT is not set",
    ),
    (
        "[[upstreams]]\nname = \"a\"\nbase_url = \"https://h\"\ncredential_file = \
         \"/nowhere/key\"\n",
        4,
        "upstreams[0].credential_file",
        "/nowhere/key cannot be read",
    ),
    ("{U}credential = \"{S}\"\n", 5, "upstreams[0].credential", "only one of"),
    ("{U}serves = [\"gpt\"]\n", 5, "upstreams[0].serves", "\"gpt\" has no price"),
    ("{U}serves = [\"gpt-*\"]\n", 5, "upstreams[0].serves", "\"gpt-*\" has no price"),
    ("{U}serves = [\"*-opus-*\"]\n", 5, "upstreams[0].serves", "has more than one *"),
    (
        "{U}models = { \"gpt*\" = \"x\" }\n",
        5,
        "upstreams[0].models.\"gpt*\"",
        "\"gpt*\" has no price",
    ),
    (
        "{U}models = { \"claude-opus-5\" = \"x*\" }\n",
        5,
        "upstreams[0].models.claude-opus-5",
        "only if the id",
    ),
    (
        "{U}models = { \"claude-*\" = \"*x*\" }\n",
        5,
        "upstreams[0].models.\"claude-*\"",
        "at most one *",
    ),
    ("{U}max_streams = 0\n", 5, "upstreams[0].max_streams", "from 1 to"),
    ("{U}ca_file = \"/nowhere/ca\"\n", 5, "upstreams[0].ca_file", "/nowhere/ca cannot be read"),
    ("{U}egress_proxy = \"http://{S}\"\n", 5, "upstreams[0].egress_proxy", "proxy.example:3128"),
    ("{U}egress_proxy = \"https://u:{S}@h:1\"\n", 5, "upstreams[0].egress_proxy", "proxy.example"),
    (
        "[[upstreams]]\nname = \"a\"\nbase_url = \"http://h\"\nallow_plaintext = true\nca_file = \
         \"x\"\ncredential = \"{S}\"\n",
        5,
        "upstreams[0].ca_file",
        "has no effect",
    ),
    (
        "{U}[models.\"m-1.0\"]\ndisplay_name = \"M\"\ncreated_at = \"2026-01-01\"\ncontext_tokens \
         = 9\nmax_output_tokens = 9\n",
        5,
        "models.\"m-1.0\".prices",
        "is missing",
    ),
    (
        "{U}[models.\"claude-opus-5\"]\ncreated_at = \"July 2026\"\n",
        6,
        "models.claude-opus-5.created_at",
        "is not a day",
    ),
    (
        "{U}[models.\"claude-opus-5\"]\naliases = [\"claude-sonnet-5\"]\n",
        6,
        "models.claude-opus-5.aliases",
        "already names claude-sonnet-5",
    ),
    (
        "{U}[[models.\"claude-opus-5\".prices]]\nfrom = \"2026-02-30\"\ninput = \"1\"\noutput = \
         \"1\"\ncache_write_5m = \"1\"\ncache_write_1h = \"1\"\ncache_read = \"1\"\n",
        6,
        "models.claude-opus-5.prices[0].from",
        "is not a day",
    ),
    (
        "{U}[[models.\"claude-opus-5\".prices]]\nfrom = \"2026-02-03\"\ninput = \"1,5\"\noutput = \
         \"1\"\ncache_write_5m = \"1\"\ncache_write_1h = \"1\"\ncache_read = \"1\"\n",
        7,
        "models.claude-opus-5.prices[0].input",
        "is not a price",
    ),
    (
        "{U}[models.\"claude-opus-5\"]\nspeed = { fast = \"0\" }\n",
        6,
        "models.claude-opus-5.speed.fast",
        "above 0",
    ),
    (
        "{U}[models.\"claude-opus-5\"]\nretires_at = \"2026-07-23\"\n",
        6,
        "models.claude-opus-5.retires_at",
        "must not be before created_at",
    ),
    (
        "{U}[models.\"claude-opus-5\"]\nretires_at = \"never\"\n",
        6,
        "models.claude-opus-5.retires_at",
        "is not a day",
    ),
    (
        "{U}[models.\"claude-opus-5\"]\nsuccessor = \"claude-opus-9\"\n",
        6,
        "models.claude-opus-5.successor",
        "\"claude-opus-9\" is no model of this list",
    ),
    ("{U}[requests]\nfields_max = 31\n", 6, "requests.fields_max", "from 32 to 4096"),
    ("{U}[requests]\ntools_max = -1\n", 6, "requests.tools_max", "whole number"),
];

#[test]
fn every_mistake_is_named_with_file_line_key_and_reason() {
    for (text, line, key, reason) in MISTAKES {
        let text = text.replace("{U}", UPSTREAM).replace("{S}", SECRET);
        let folder = Folder::new();
        let sources = folder.sources(&text, &[]);
        let errors = load(&sources).expect_err(&text);
        let shown = errors.to_string();
        let file = sources.file.unwrap();
        assert_eq!(errors.problems.len(), 1, "{text}\n{shown}");
        let start = format!("{}:{line}: {key}: ", file.display());
        assert!(shown.starts_with(&start), "{text}\nwanted {start}\nfound  {shown}");
        assert!(shown.contains(reason), "{text}\nwanted {reason}\nfound  {shown}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn all_mistakes_of_a_file_come_at_once_in_its_order() {
    let text = "[limits]\nbody_bytes = 1\nbody_idle = 5\n[server]\nlisten = \"x\"\nworkers = \
        \"many\"\n[[upstreams]]\nname = \"a\"\nauth = \"basic\"\n";
    let errors = load_text(text, &[]).unwrap_err();
    let lines: Vec<_> = errors
        .problems
        .iter()
        .map(|problem| match &problem.place {
            SettingLocation::File { line, .. } => (line.unwrap_or(0), problem.key.as_str()),
            other => panic!("{other}"),
        })
        .collect();
    let wanted = [
        (2, "limits.body_bytes"),
        (3, "limits.body_idle"),
        (5, "server.listen"),
        (6, "server.workers"),
        (7, "upstreams[0].base_url"),
        (7, "upstreams[0].credential_env"),
        (9, "upstreams[0].auth"),
    ];
    assert_eq!(lines, wanted, "{errors}");
    assert!(errors.to_string().contains("did you mean \"body_idle_secs\"?"), "{errors}");
}

#[test]
fn mistakes_of_the_environment_name_the_variable() {
    let cases = [
        ("SLUICE__SERVER__LISTEN", "0.0.0.0:80", "server.listen: would carry keys"),
        ("SLUICE__SERVER__MAX_STREAMS", "many", "server.max_streams: must be a whole number"),
        ("SLUICE__SERVER__MAX_STREEMS", "5", "unknown key; did you mean \"max_streams\"?"),
        ("SLUICE__SERVER", "5", "does not name a setting"),
        (
            "SLUICE__DATABASE__URL",
            "oracle://u:sk-canary-5f1d@h",
            "database.url: has an unknown scheme",
        ),
        ("SLUICE__UPSTREAMS__99999999__NAME", "x", "does not name a setting"),
        ("SLUICE__UPSTREAMS__0__NAME__X", "x", "upstreams[0].name: must be text"),
    ];
    for (variable, value, reason) in cases {
        let shown = load_text(UPSTREAM, &[(variable, value)]).expect_err(variable).to_string();
        assert!(shown.starts_with(&format!("{variable}: ")), "{shown}");
        assert!(shown.contains(reason), "{shown}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn a_broken_or_missing_file_is_named_with_line_and_column() {
    let folder = Folder::new();
    let sources = folder.sources("[server]\nmax_streams = = 5\n", &[]);
    let shown = load(&sources).unwrap_err().to_string();
    assert!(shown.starts_with(&format!("{}:2:15: ", sources.file.unwrap().display())), "{shown}");
    let absent = Sources { file: Some(PathBuf::from("/nowhere/sluice.toml")), env: Vec::new() };
    let shown = load(&absent).unwrap_err().to_string();
    assert_eq!(shown, "/nowhere/sluice.toml: the file cannot be read: no such file");
}

#[test]
fn commands_need_no_secret_of_an_upstream() {
    let folder = Folder::new();
    let mut sources = folder.sources(UPSTREAM, &[]);
    sources.env.clear();
    assert!(load(&sources).unwrap_err().to_string().contains("UPSTREAM_KEY is not set"));
    assert!(load_for(&sources, LoadPurpose::Command).unwrap().upstreams.is_empty());
}

#[test]
fn what_is_shown_masks_secrets_and_loads_again() {
    let folder = Folder::new();
    let text = format!(
        "[database]\nurl = \"postgres://u:{SECRET}@localhost/d?sslpassword={SECRET}&x=1\"\n\
         [privacy]\ntombstone_secret_env = \"TOMBSTONES\"\n[[upstreams]]\nname = \"a \\\"b\\\"\"\n\
         base_url = \"https://h/x/\"\ncredential = \"{SECRET}\"\nmodels = {{ \"claude-opus-5\" = \
         \"o\" }}\n"
    );
    let tombstones = SECRET.repeat(3);
    let env = [("TOMBSTONES", tombstones.as_str())];
    let settings = load(&folder.sources(&text, &env)).unwrap();
    let shown = settings.render();
    assert!(!shown.contains(SECRET) && !format!("{settings:?}").contains(SECRET), "{shown}");
    assert!(
        shown.contains("postgres://u:********@localhost/d?sslpassword=********&x=1"),
        "{shown}"
    );
    assert!(shown.contains("credential = \"********\""), "{shown}");
    let again = load(&folder.sources(shown, &env)).unwrap();
    assert_eq!(again.render(), shown);
    assert_eq!(again.upstreams[0].base_url.as_str(), "https://h/x");
    assert_eq!(again.prices.models().count(), settings.prices.models().count());
}
