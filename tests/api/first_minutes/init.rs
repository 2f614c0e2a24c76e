//! `sluice config init`: options and answers become a file that works, or none.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::process::{Ran, run, run_typed};

const KEY: (&str, &str) = ("UPSTREAM_KEY", "sk-canary-5f1d");
const XPUB: &str = "xpub6DCoCpSuQZB2jawqnGMEPS63ePKWkwWPH4TU45Q7LPXWuNd8TMtVxRrg\
    jtEshuqpK3mdhaWHPFsBngh5GFZaM6si3yZdUsT8ddYM3PwnATt";
const TREASURY: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

struct Desk {
    folder: TempDir,
    file: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sluice.toml");
        Self { folder, file }
    }

    fn path(&self) -> &str {
        self.file.to_str().unwrap()
    }

    fn init(&self, options: &[&str]) -> Ran {
        run(&[&["config", "init", self.path()], options].concat(), &[KEY])
    }

    fn type_in(&self, lines: &[&str]) -> Ran {
        let typed: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
        run_typed(&["config", "init", self.path(), "--ask"], &[KEY], &typed)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    /// Checks the file as an operator would, with nothing to warn of if that is wanted.
    fn check(&self, args: &[&str]) -> Ran {
        run(&[&["config", "check", self.path()], args].concat(), &[KEY])
    }
}

const PUBLIC: [&str; 17] = [
    "--domain",
    "llm.example.org",
    "--support-email",
    "help@example.org",
    "--operator",
    "Example Ltd",
    "--jurisdiction",
    "the law of Exampleland",
    "--behind-proxy",
    "--mail-server",
    "smtp.example.org",
    "--mail-from",
    "Example <mail@example.org>",
    "--upstream",
    "anthropic",
    "--credential-env=UPSTREAM_KEY",
    "--backup-folder=/var/backups/sluice",
];

#[test]
fn options_make_a_file_for_the_public_that_works_and_is_never_overwritten() {
    let desk = Desk::new();
    let chains = [
        "--chain=base",
        "--chain=ethereum",
        "--account-xpub",
        XPUB,
        "--provider=base=https://one.example/k1",
        "--provider=base=https://two.example/k2",
        "--provider=ethereum=https://one.example/k3",
        "--provider=ethereum=https://two.example/k4",
    ];
    let options = [&PUBLIC[..], &chains[..]].concat();
    let ran = desk.init(&options);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("doctor --config"), "{}", ran.out);
    assert!(!ran.out.contains("missing"), "{}", ran.out);
    let found = std::fs::metadata(&desk.file).unwrap();
    assert_eq!(found.mode() & 0o777, 0o600);

    let text = desk.text();
    let database = format!("url = \"sqlite://{}/sluice.db\"", desk.folder.path().display());
    for part in [
        "base_url = \"https://llm.example.org\"",
        "behind_tls_proxy = true",
        "base_url = \"https://api.anthropic.com\"",
        "address = \"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913\"",
        "url = \"https://two.example/k4\"",
        &database,
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("treasury") && !text.contains("confirmations"), "{text}");
    let checked = desk.check(&["--strict"]);
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);

    let again = desk.init(&["--upstream=http://127.0.0.1:1", "--credential-env=UPSTREAM_KEY"]);
    assert_eq!(again.code, 1, "{}", again.out);
    assert!(again.err.contains("exists") && again.err.contains("--force"), "{}", again.err);
    assert_eq!(desk.text(), text);
    let forced =
        desk.init(&["--upstream=http://127.0.0.1:1", "--credential-env=UPSTREAM_KEY", "--force"]);
    assert_eq!(forced.code, 0, "{}", forced.err);
    assert!(desk.text().contains("http://127.0.0.1:1"), "{}", desk.text());
    assert_eq!(desk.check(&["--strict"]).code, 0);
    assert_eq!(std::fs::read_dir(desk.folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn every_wrong_option_is_named_and_nothing_is_written() {
    let desk = Desk::new();
    let ran = desk.init(&[
        "--domain=ftp://llm.example.org",
        "--support-email=nobody",
        "--mail-server=smtp.example.org",
        "--mail-from=nobody",
        "--upstream=http://elsewhere.example",
        "--credential-env=NOT_SET",
        "--chain=base",
        "--treasury=0x12",
        "--provider=http://rpc.example",
        "--database=mysql://h/d",
    ]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    for part in [
        "--domain: site.base_url: must be an address",
        "--support-email: site.support_email: must be an email address",
        "--mail-from: mail.from: must be an email address",
        "--upstream: upstreams[0].base_url: must be https",
        "--credential-file: upstreams[0].credential_env: the environment variable NOT_SET",
        "--treasury: chains[0].treasury: ",
        "--provider: chains[0].providers[0].url: must be https",
        "database.url: has an unknown scheme",
    ] {
        assert!(ran.err.contains(part), "{part}\n{}", ran.err);
    }
    let chain = desk.init(&["--chain=sidechain"]);
    assert!(chain.err.contains("ethereum, base, arbitrum"), "{}", chain.err);
    let shared = desk.init(&["--chain=base", "--chain=polygon", "--provider=https://a.example"]);
    assert!(shared.err.contains("CHAIN=ADDRESS"), "{}", shared.err);
    assert!(!desk.file.exists());
}

#[test]
fn answers_are_checked_one_by_one_and_asked_for_again() {
    let desk = Desk::new();
    let ran = desk.type_in(&[
        "llm.example.org",
        "nobody",
        "help@example.org",
        "Example Ltd",
        "",
        "proxy",
        "",
        "anthropic",
        "/nowhere/key",
        "env:UPSTREAM_KEY",
        "sidechain",
        "base",
        "not an xpub",
        "",
        TREASURY,
        "https://one.example/k1",
        "https://one.example/k1 https://two.example/k2",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in [
        "must be an email address",
        "the file /nowhere/key cannot be read: no such file",
        "\"sidechain\" is not in the reference",
        "at least 2 must agree",
    ] {
        assert!(ran.err.contains(part), "{part}\n{}", ran.err);
    }
    // What was left out is said at the end, with the page that explains it.
    for key in ["site.jurisdiction", "mail.transport", "deposits.account_xpub"] {
        assert!(ran.out.contains(&format!("  {key}: ")), "{key}\n{}", ran.out);
    }
    assert!(desk.text().contains("# jurisdiction = "), "{}", desk.text());
    let checked = desk.check(&[]);
    assert_eq!(checked.code, 0, "{}", checked.err);
    assert!(checked.out.contains("warning: mail.transport: "), "{}", checked.out);
    assert_eq!(desk.check(&["--strict"]).code, 1);
}

#[test]
fn an_end_of_the_input_and_five_wrong_answers_write_nothing() {
    let desk = Desk::new();
    let ended = desk.type_in(&["llm.example.org"]);
    assert!(ended.code == 1 && !desk.file.exists(), "{}", ended.err);
    let wrong = desk.type_in(&["ftp://a", "ftp://b", "ftp://c", "ftp://d", "ftp://e"]);
    assert!(wrong.code == 1 && !desk.file.exists(), "{}", wrong.err);
    assert!(wrong.err.contains("no usable answer for --domain"), "{}", wrong.err);
}
