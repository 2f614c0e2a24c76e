//! What belongs to an installation: health for scripts and containers, completions, manual pages,
//! a credential that systemd passes on, and a port that is taken.

use std::fs;
use std::net::TcpListener;

use crate::support::app::Builder;
use crate::support::process::{Process, run};
use crate::support::upstream::Upstream;

#[test]
fn health_says_ready_then_why_not() {
    let upstream = Upstream::start();
    let mut server = Process::start(Builder::new().upstream("a", upstream.address), &[]);
    let address = server.admin_address.to_string();
    let ask = || run(&["health", "--address", &address], &[]);
    let ran = ask();
    assert_eq!((ran.code, ran.out.trim()), (0, "ready"), "{}", ran.err);

    // By the settings alone.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.toml");
    fs::write(&file, format!("[server]\nadmin_listen = \"{address}\"\n")).unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(run(&["--config", path, "health"], &[]).code, 0);

    // Clients' address has no such page.
    let other = server.address.to_string();
    let ran = run(&["health", "--address", &other], &[]);
    assert!(ran.code == 1 && ran.err.contains("which Sluice does not"), "{}", ran.err);

    // The database file is moved away.
    let database = server.folder.path().join("sluice.db");
    if database.exists() {
        fs::rename(&database, server.folder.path().join("away.db")).unwrap();
        let ran = ask();
        assert_eq!(ran.code, 1);
        assert_eq!(ran.err, "sluice: not ready: the database file is not in its place\n");
        fs::rename(server.folder.path().join("away.db"), &database).unwrap();
        assert_eq!(ask().code, 0);
    }

    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let ran = run(&["--config", path, "health"], &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains(&format!("{address} (server.admin_listen)")), "{}", ran.err);
}

#[test]
fn health_does_not_wait_longer_than_it_is_told_to() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let ran = run(&["health", "--address", &address, "--timeout", "1"], &[]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.err, format!("sluice: {address} did not answer within 1 s\n"));
    let ran = run(&["health"], &[("SLUICE__SERVER__ADMIN_LISTEN", "127.0.0.1:0")]);
    assert!(ran.code == 1 && ran.err.contains("--address"), "{}", ran.err);
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = run(&["completions", shell], &[]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        for word in ["serve", "policy", "--address-file"] {
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(ran.out.contains(word), "{shell} lacks {word}");
        }
    }
    assert_eq!(run(&["completions", "cmd"], &[]).code, 2);

    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let ran = run(&["man", pages.to_str().unwrap()], &[]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    let mut program = sluice::cli::command();
    program.build();
    let mut count = 0;
    for command in program.get_subcommands().filter(|one| one.get_name() != "help") {
        let page = fs::read_to_string(pages.join(format!("sluice-{}.1", command.get_name())));
        assert!(page.unwrap().contains(".SH SYNOPSIS"), "{}", command.get_name());
        count += 1;
    }
    assert!(count > 10);
    let top = run(&["man"], &[]);
    assert_eq!(top.out, fs::read_to_string(pages.join("sluice.1")).unwrap());
    let ran = run(&["man", "/proc/nowhere"], &[]);
    assert!(ran.code == 1 && ran.err.contains("/proc/nowhere: "), "{}", ran.err);
}

#[test]
fn a_credential_of_systemd_is_found_by_the_service_and_by_root() {
    let folder = tempfile::tempdir().unwrap();
    let (file, beside) = (folder.path().join("sluice.toml"), folder.path().join("credentials"));
    let path = file.to_str().unwrap();
    let upstream = "[[upstreams]]\nname = \"a\"\nbase_url = \"https://api.example.com\"\n\
        credential_file = \"${CREDENTIALS_DIRECTORY}/upstream\"\n";
    fs::write(&file, upstream).unwrap();
    let check = |env: &[(&str, &str)]| run(&["config", "check", path], env);

    let ran = check(&[]);
    let wanted = format!("{}/upstream", beside.display());
    assert!(ran.code == 2 && ran.err.contains(":4: upstreams[0].credential_file: "));
    assert!(ran.err.contains(&wanted), "{}", ran.err);
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("upstream"), "sk-canary\n").unwrap();
    assert_eq!(check(&[]).code, 0);

    // The service has its own.
    let given = folder.path().join("given");
    let env = [("CREDENTIALS_DIRECTORY", given.to_str().unwrap())];
    let ran = check(&env);
    assert!(ran.code == 2 && ran.err.contains("/given/upstream cannot be read"), "{}", ran.err);
    fs::create_dir(&given).unwrap();
    fs::write(given.join("upstream"), "sk-other\n").unwrap();
    assert_eq!(check(&env).code, 0);
}

#[test]
fn a_port_that_is_taken_is_told_in_one_sentence_with_its_key() {
    let upstream = Upstream::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for key in ["server.listen", "server.admin_listen"] {
        let builder = Builder::new().upstream("a", upstream.address);
        let builder = builder.set(key, format!("\"{address}\""));
        let file = builder.write();
        let ran = run(&["serve", "--config", file.to_str().unwrap()], &[]);
        let wanted = format!(
            "sluice: {key}: cannot listen on {address}: another program uses this port; stop it, \
             or choose another port (docs/operating.md, \"Ports\")\n"
        );
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
        assert!(ran.err.ends_with(&wanted), "{}", ran.err);
        assert!(!ran.err.contains("panic") && !ran.err.contains("ERROR"), "{}", ran.err);
    }
}
