//! `sluice doctor`: a set-up that is in order, and such as are broken for real, each in one place.
//! Providers of chains are in `chain::doctor`. The mail server needs aiosmtpd.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::app::{Builder, CREDENTIAL};
use crate::support::certificates::Certificates;
use crate::support::mail::{MailServer, PASSWORD, USER};
use crate::support::process::{Process, Ran, give_to_nobody, run, unprivileged};
use crate::support::upstream::Upstream;

/// A set-up with which everything is in order.
struct Desk {
    folder: TempDir,
    upstream: Upstream,
    /// Sections that replace the usual ones, by their headers.
    sections: Vec<(&'static str, String)>,
}

/// A port that nobody has.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Desk {
    fn new() -> Self {
        let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
        let path = folder.path().display();
        let sections = vec![
            ("[server]", format!("listen = \"{}\"\nadmin_listen = \"{}\"\n", free(), free())),
            ("[database]", format!("url = \"sqlite://{path}/sluice.db\"\n")),
            ("[mail]", format!("folder = \"{path}/mail\"\n")),
            ("[[upstreams]]", entry(upstream.address)),
        ];
        Self { folder, upstream, sections }
    }

    fn set(&mut self, header: &'static str, lines: &str) -> &mut Self {
        self.sections.retain(|(known, _)| *known != header);
        self.sections.push((header, lines.to_owned()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self) -> String {
        let text = self.sections.iter().map(|(header, lines)| format!("{header}\n{lines}"));
        std::fs::write(self.path("sluice.toml"), text.collect::<String>()).unwrap();
        self.path("sluice.toml").to_str().unwrap().to_owned()
    }

    fn migrate(&self) {
        let ran = run(&["--config", &self.file(), "migrate"], &[]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }

    fn doctor(&self, args: &[&str]) -> Ran {
        run(&[&["--config", &self.file(), "doctor"], args].concat(), &[])
    }

    /// What is broken: the doctor ends with 1, and one check alone fails, with this cause and this
    /// mend.
    fn fails(&self, name: &str, found: &str, mend: &str) {
        assert_fails(&self.doctor(&["--json"]), (name, found, mend));
    }
}

fn entry(address: SocketAddr) -> String {
    format!("name = \"primary\"\nbase_url = \"http://{address}\"\ncredential = \"{CREDENTIAL}\"\n")
}

fn checks(ran: &Ran) -> Vec<Value> {
    let document: Value = serde_json::from_str(&ran.out)
        .unwrap_or_else(|error| panic!("{error}\n{}\n{}", ran.out, ran.err));
    document["checks"].as_array().unwrap().clone()
}

fn assert_fails(ran: &Ran, (name, found, mend): (&str, &str, &str)) {
    let failed: Vec<Value> =
        checks(ran).into_iter().filter(|check| check["state"] == "fail").collect();
    assert_eq!((ran.code, failed.len()), (1, 1), "{}", ran.out);
    let check = &failed[0];
    assert_eq!(check["name"], name, "{check:#}");
    for (key, part) in [("found", found), ("mend", mend)] {
        assert!(check[key].as_str().unwrap().contains(part), "{part}\n{check:#}");
    }
}

#[test]
fn what_is_in_order_is_ok_all_through_before_and_beside_a_running_server() {
    let mut desk = Desk::new();
    let mail = MailServer::start_guarded();
    std::fs::write(desk.path("password"), PASSWORD).unwrap();
    let (root, password) = (mail.certificate(), desk.path("password"));
    desk.set(
        "[mail]",
        &format!(
            "transport = \"smtp\"\nfrom = \"Sluice <mail@example.org>\"\nhost = \"localhost\"\n\
             port = {}\ntls = \"starttls\"\ntls_ca_file = {root:?}\nuser = \"{USER}\"\n\
             password_file = {password:?}\n",
            mail.address.port()
        ),
    );
    let now = sluice::backups::folder::name(sluice::domain::clock::Clock::System.now());
    let backup = desk.path(&format!("backups/{now}"));
    std::fs::create_dir_all(&backup).unwrap();
    std::fs::write(backup.join("manifest.json"), "{}").unwrap();
    let backups = desk.path("backups");
    desk.set("[backup]", &format!("directory = {backups:?}\n"));
    let all_ok = |ran: &Ran, parts: &[&str]| {
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        assert!(ran.out.lines().all(|line| line.starts_with("ok    ")), "{}", ran.out);
        for part in parts {
            assert!(ran.out.contains(part), "{part}\n{}", ran.out);
        }
    };
    // Before the first start: nothing is made.
    let before = desk.doctor(&[]);
    all_ok(&before, &["the first start makes it", "is free", "no server runs here yet"]);
    assert!(!desk.path("sluice.db").exists() && mail.lines() == 0);
    desk.migrate();
    let parts = [
        "settings: in order",
        "file descriptors: ",
        "disk: ",
        "database: answers, and has this version's schema",
        "mail: the server lets us in: 235",
        "upstream primary: answers, and takes the credential",
        "backups: the newest backup",
    ];
    all_ok(&desk.doctor(&["--backups", backups.to_str().unwrap()]), &parts);

    let (clients, operator) = (free(), free());
    let builder = Builder::new()
        .upstream("primary", desk.upstream.address)
        .set("server.listen", format!("\"{clients}\""))
        .set("server.admin_listen", format!("\"{operator}\""))
        .set("site.base_url", format!("\"http://{clients}\""));
    let process = Process::start(builder, &[]);
    let file = process.config.to_str().unwrap();
    let beside = run(&["--config", file, "doctor"], &[]);
    let answers = format!("base_url: http://{clients} answers");
    all_ok(&beside, &["is served by a running Sluice", &answers, "is the one that the database"]);
}

#[test]
fn a_certificate_that_cannot_be_served_says_why() {
    let mut desk = Desk::new();
    desk.migrate();
    let (one, other) = (Certificates::new(), Certificates::new());
    one.issue("ec");
    other.issue("ec");
    let listen = format!("listen = \"{}\"\nadmin_listen = \"{}\"\n", free(), free());
    let server = |certificate: &Path, key: &Path| {
        format!("{listen}tls_certificate_file = {certificate:?}\ntls_key_file = {key:?}\n")
    };
    let (certificate, key) = (one.path("certificate.pem"), one.path("key.pem"));
    let site = "base_url = \"https://127.0.0.1\"\n";
    desk.set("[site]", site).set("[server]", &server(&certificate, &key));
    // Two days are few, and nobody knows its authority; it can be served.
    let ran = desk.doctor(&[]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    for part in [
        "warn  certificate: it expires in ",
        "ok    certificate: it is for 127.0.0.1",
        "warn  certificate: it does not lead to an authority",
    ] {
        assert!(ran.out.contains(part), "{part}\n{}", ran.out);
    }

    desk.set("[server]", &server(&certificate, &other.path("key.pem")));
    desk.fails("certificate", "does not fit the certificate", "the key that belongs to it");

    desk.set("[server]", &server(&certificate, &key))
        .set("[site]", "base_url = \"https://[::1]\"\n");
    desk.fails("certificate", "it is not for ::1", "correct site.base_url");

    let expired = desk.path("expired.pem");
    expire(&key, &expired, desk.folder.path());
    desk.set("[site]", site).set("[server]", &server(&expired, &key));
    desk.fails("certificate", "it expired ", "renew it");
}

/// A certificate of that key for the loopback, which was over long ago.
fn expire(key: &Path, certificate: &Path, folder: &Path) {
    std::fs::write(folder.join("index.txt"), "").unwrap();
    let ca = "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\n\
        default_md=sha256\npolicy=any\nx509_extensions=for\n[any]\ncommonName=supplied\n\
        [for]\nsubjectAltName=IP:127.0.0.1\n";
    std::fs::write(folder.join("ca.cnf"), ca).unwrap();
    let openssl = |args: &[&str]| {
        let ran = Command::new("openssl").args(args).current_dir(folder).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    openssl(&["req", "-new", "-key", key, "-subj", "/CN=sluice.test", "-out", "request.pem"]);
    openssl(&[
        "ca",
        "-config",
        "ca.cnf",
        "-batch",
        "-selfsign",
        "-keyfile",
        key,
        "-in",
        "request.pem",
        "-notext",
        "-startdate",
        "20240101000000Z",
        "-enddate",
        "20240201000000Z",
        "-out",
        certificate,
    ]);
}

#[test]
fn a_mail_server_that_refuses_the_log_in_or_is_not_there_is_named() {
    let mut desk = Desk::new();
    desk.migrate();
    let mail = MailServer::start_guarded();
    let root = mail.certificate();
    let smtp = |port: u16, password: &str| {
        format!(
            "transport = \"smtp\"\nfrom = \"mail@example.org\"\nhost = \"localhost\"\n\
             port = {port}\ntls_ca_file = {root:?}\nuser = \"{USER}\"\npassword = \"{password}\"\n"
        )
    };
    desk.set("[mail]", &smtp(mail.address.port(), "wrong"));
    desk.fails("mail", "refused the log-in: ", "mail.user and its password");
    desk.set("[mail]", &smtp(free().port(), PASSWORD));
    desk.fails("mail", "cannot be reached", "mail.port");
}

#[test]
fn an_upstream_that_refuses_the_credential_or_is_not_there_is_named() {
    let mut desk = Desk::new();
    desk.migrate();
    desk.upstream.answer_probes(Some((401, "no")));
    desk.fails("upstream primary", "refuses the credential (status 401", "credential_file");
    desk.set("[[upstreams]]", &entry(Upstream::nowhere()));
    desk.fails("upstream primary", "cannot be reached", "check base_url");
}

#[test]
fn a_folder_that_the_user_may_not_write_is_named() {
    let mut desk = Desk::new();
    let folder = desk.path("data");
    std::fs::create_dir(&folder).unwrap();
    desk.set("[database]", &format!("url = \"sqlite://{}/sluice.db\"\n", folder.display()));
    let file = PathBuf::from(desk.file());
    give_to_nobody(&[desk.folder.path(), &file]);
    let mode = |bits| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(bits);
        std::fs::set_permissions(&folder, permissions).unwrap();
    };
    mode(0o555);
    let program = desk.path("sluice");
    std::fs::copy(env!("CARGO_BIN_EXE_sluice"), &program).unwrap();
    let told = unprivileged(&program)
        .args(["--config", file.to_str().unwrap(), "doctor", "--json"])
        .output()
        .unwrap();
    mode(0o755);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = told.status.code().unwrap();
    let ran = Ran { code, out: text(&told.stdout), err: text(&told.stderr) };
    assert_fails(&ran, ("database", "cannot write in ", "chown"));
    let missing =
        format!("url = \"sqlite://{}/nowhere/sluice.db\"\n", desk.folder.path().display());
    desk.set("[database]", &missing);
    desk.fails("database", "does not exist", "mkdir -p");
}

#[test]
fn a_database_of_a_newer_program_and_a_secret_that_is_gone_are_named() {
    use diesel::connection::SimpleConnection as _;
    let desk = Desk::new();
    desk.migrate();
    let path = desk.path("sluice.db");
    let sql = |statement: &str| {
        use diesel::Connection as _;
        let mut conn = diesel::SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        conn.batch_execute(statement).unwrap();
    };
    sql("INSERT INTO deposit_tombstones VALUES (zeroblob(32))");
    let mend = "docs/operating.md#the-secret-outside-the-database";
    desk.fails("secret", "sluice.db.secret with the tombstone secret is missing", mend);
    sql("UPDATE schema_compatibility SET oldest_generation = 99");
    desk.fails("database", "is too old for the database", "start the version that migrated it");
}

#[test]
fn a_port_that_another_program_has_is_named() {
    let mut desk = Desk::new();
    desk.migrate();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    desk.set("[server]", &format!("listen = \"{address}\"\nadmin_listen = \"{}\"\n", free()));
    let mend = format!("ss -ltnp 'sport = :{}'", address.port());
    desk.fails("server.listen", "is taken by another program", &mend);
}

#[test]
fn too_few_descriptors_are_named() {
    let desk = Desk::new();
    desk.migrate();
    let script = "ulimit -n 1024; exec \"$0\" \"$@\"";
    let told = Command::new("/bin/sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_sluice")])
        .args(["--config", &desk.file(), "doctor", "--json"])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = told.status.code().unwrap();
    let ran = Ran { code, out: text(&told.stdout), err: text(&told.stderr) };
    assert_fails(&ran, ("file descriptors", "the hard limit is 1024", "LimitNOFILE"));
}

#[test]
fn wrong_settings_and_backups_that_are_too_old_are_named() {
    let mut desk = Desk::new();
    desk.migrate();
    let backups = desk.path("backups");
    let old = backups.join("sluice-20240101T000000Z");
    std::fs::create_dir_all(&old).unwrap();
    // One that is not complete does not count.
    std::fs::create_dir_all(backups.join("sluice-29991231T235959Z")).unwrap();
    std::fs::write(old.join("manifest.json"), "{}").unwrap();
    let ran = desk.doctor(&["--json", "--backups", backups.to_str().unwrap()]);
    assert_fails(&ran, ("backups", "hours old", "sluice backup"));
    desk.set("[server]", "listen = \"nowhere\"\n");
    desk.fails("settings", "server.listen: must be an IP address", "docs/configuration.md#server");
}
