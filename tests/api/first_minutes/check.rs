//! `sluice config check`: every mistake at once, and what the public would miss.

use crate::support::process::run;

const UPSTREAM: &str = "[[upstreams]]\nname = \"a\"\nbase_url = \"https://api.example.com\"\n\
    credential_env = \"KEY\"\n";

fn check(text: &str, args: &[&str]) -> crate::support::process::Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.toml");
    std::fs::write(&file, text).unwrap();
    run(&[&["config", "check", file.to_str().unwrap()], args].concat(), &[("KEY", "x")])
}

#[test]
fn every_missing_key_of_every_table_is_named_at_once() {
    let ran = check(
        "[mail]\ntransport = \"smtp\"\npassword_env = \"NOT_SET\"\n\
         [[upstreams]]\nweight = 2\n[[upstreams]]\nname = \"b\"\n\
         [[chains]]\nname = \"one\"\n[[chains]]\nname = \"two\"\n\
         [[chains.providers]]\ntraces = true\n[[chains.tokens]]\nsymbol = \"USDC\"\n\
         [chains.native]\nsymbol = \"ETH\"\n\
         [models.\"new\"]\nprices = []\n",
        &[],
    );
    assert_eq!(ran.code, 2, "{}", ran.out);
    for key in [
        "mail.host",
        "mail.user",
        "upstreams[0].name",
        "upstreams[0].base_url",
        "upstreams[0].credential_env",
        "upstreams[1].base_url",
        "upstreams[1].credential_env",
        "chains[0].display_name",
        "chains[0].chain_id",
        "chains[0].treasury",
        "chains[0].quorum",
        "chains[1].display_name",
        "chains[1].chain_id",
        "chains[1].treasury",
        "chains[1].providers[0].name",
        "chains[1].providers[0].url_env",
        "chains[1].tokens[0].address",
        "chains[1].tokens[0].decimals",
        "chains[1].native.feed",
        "chains[1].native.feed_description",
        "chains[1].native.heartbeat_secs",
        "models.new.display_name",
        "models.new.context_tokens",
        "models.new.max_output_tokens",
    ] {
        assert!(ran.err.contains(&format!(" {key}: ")), "{key}\n{}", ran.err);
    }
    assert!(!ran.err.contains("stand-in"), "{}", ran.err);
    let pages = ran.err.lines().last().unwrap();
    for page in ["#mail", "#upstreams", "#chainsproviders", "#chainsnative", "#modelsid"] {
        let page = format!("docs/configuration.md{page}");
        assert!(pages.contains(&page), "{page}\n{pages}");
    }
}

#[test]
fn what_the_public_would_miss_is_warned_of_with_the_page_of_the_manual() {
    let site = "[site]\nbase_url = \"http://llm.example.org\"\nsupport_email = \"a@example.org\"\n";
    let ran = check(&format!("{site}{UPSTREAM}"), &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for key in [
        "mail.transport",
        "site.operator",
        "site.jurisdiction",
        "site.privacy_in_force",
        "site.terms_in_force",
        "site.base_url",
        "chains",
        "database.url",
    ] {
        let line = ran.out.lines().find(|line| line.starts_with(&format!("warning: {key}: ")));
        assert!(line.is_some_and(|line| line.contains("(docs/")), "{key}\n{}", ran.out);
    }
    assert_eq!(check(&format!("{site}{UPSTREAM}"), &["--strict"]).code, 1);
    // A service on this host alone owes the public nothing.
    let own = check(UPSTREAM, &["--strict"]);
    assert!(own.code == 0 && !own.out.contains("warning"), "{}", own.out);
}

#[test]
fn a_policy_that_nobody_published_is_warned_of_once_there_is_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.toml");
    let url = format!("sqlite://{}/sluice.db", folder.path().display());
    let text = format!(
        "[site]\nbase_url = \"https://llm.example.org\"\nsupport_email = \"a@example.org\"\n\
         [database]\nurl = \"{url}\"\n{UPSTREAM}"
    );
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let told = |wanted: bool| {
        let ran = run(&["config", "check", path], &[("KEY", "x")]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        for kind in ["privacy", "terms"] {
            let line = format!("warning: policy: no version of the {kind} is published");
            assert_eq!(ran.out.contains(&line), wanted, "{kind}\n{}", ran.out);
        }
    };
    told(false);
    assert!(!folder.path().join("sluice.db").exists(), "checking makes no database");
    assert_eq!(run(&["--config", path, "migrate"], &[]).code, 0);
    told(true);
    let words = folder.path().join("words");
    std::fs::write(&words, "The first version.\n").unwrap();
    for kind in ["privacy", "terms"] {
        let words = words.to_str().unwrap();
        let args = ["--config", path, "policy", "publish", words, "--kind", kind];
        let ran = run(&args, &[]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    told(false);
}

#[test]
fn a_file_that_is_not_there_is_called_that() {
    let ran = run(&["config", "check", "/nowhere/sluice.toml"], &[]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("/nowhere/sluice.toml: the file cannot be read: no such file"));
}
