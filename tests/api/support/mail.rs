//! Mail from the test's side: a folder that it is written into, and a real mail server with a will
//! of its own (`tests/mail/server.py`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use sluice::db::models::outbox::{self, NewMail};
use sluice::domain::ids::AccountId;
use sluice::domain::mail::MailKind;
use tempfile::TempDir;

use super::app::TestApp;
use super::wait::eventually;

/// A mail server, gone with the test.
pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    child: Child,
}

/// Who may send through a server that asks.
pub(crate) const USER: &str = "sluice";
/// And how it is proven.
pub(crate) const PASSWORD: &str = "canary-mail-password-9d1e";

/// The Python that has aiosmtpd: where `scripts/test api` says, or where it has put it before.
#[expect(clippy::disallowed_methods, reason = "the one word that the caller of the tests has")]
fn python() -> PathBuf {
    let given = std::env::var_os("MAIL_PYTHON").filter(|path| !path.is_empty());
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/mail/bin/python");
    let path = given.map_or(installed, PathBuf::from);
    assert!(path.exists(), "there is no aiosmtpd: `scripts/test api` installs it");
    path
}

impl MailServer {
    /// One that takes mail from anybody, without TLS.
    pub(crate) fn start() -> Self {
        Self::launch(tempfile::tempdir().unwrap(), &[])
    }

    /// One that takes nothing before STARTTLS and a log-in; its certificate is its own root.
    pub(crate) fn start_guarded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", "key.pem", "-out", "certificate.pem"])
            .current_dir(folder.path())
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::launch(folder, &["certificate.pem", "key.pem", USER, PASSWORD])
    }

    fn launch(folder: TempDir, words: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail/server.py");
        let child = Command::new(python())
            .arg(script)
            .args(["journal", "address"])
            .args(words)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let nowhere: SocketAddr = ([0, 0, 0, 0], 0).into();
        let mut server = Self { address: nowhere, folder, child };
        server.address = eventually("the mail server to listen", || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("it ended: {status}");
            }
            std::fs::read_to_string(server.folder.path().join("address")).ok()?.parse().ok()
        });
        server
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// How many mails it has read to their end so far.
    pub(crate) fn lines(&self) -> usize {
        let text = std::fs::read_to_string(self.folder.path().join("journal")).unwrap_or_default();
        text.lines().count()
    }

    /// Everything that it has read to its end so far, whatever it answered.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("journal")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A mail as it was written into the folder.
pub(crate) struct Eml {
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Eml {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.headers.lines().find_map(|line| line.strip_prefix(start.as_str()))
    }

    /// The body with its lines whole: long ones of quoted-printable go on behind `=`.
    pub(crate) fn text(&self) -> String {
        self.body.replace("=\r\n", "").replace("=3D", "=")
    }

    /// The token of the link in it.
    pub(crate) fn token(&self) -> String {
        let text = self.text();
        let (_, rest) = text.split_once("?token=").expect("a link with a token");
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    }
}

impl TestApp {
    /// Has a mail written.
    pub(crate) fn put_mail(&self, kind: MailKind, to: &str, account: Option<AccountId>) {
        self.put_mail_with(kind, to, account, json!({}));
    }

    /// Has a mail written, with parameters.
    pub(crate) fn put_mail_with(
        &self,
        kind: MailKind,
        recipient: &str,
        account_id: Option<AccountId>,
        params: Value,
    ) {
        let reference = sluice::domain::ids::public_id("test-").unwrap();
        let mail = NewMail { kind, reference, account_id, recipient, params };
        let now = self.clock.now();
        self.db(|conn| assert!(outbox::enqueue(conn, &mail, now).unwrap()));
    }

    /// The mails in the folder, oldest first, but for those that each log-in and each new key
    /// bring.
    pub(crate) fn mails(&self) -> Vec<Eml> {
        let mut mails = self.all_mails();
        mails.retain(|mail| {
            let subject = mail.header("Subject").unwrap_or_default();
            !["New log-in to", "New API key for", "An API key of"]
                .iter()
                .any(|usual| subject.starts_with(usual))
        });
        mails
    }

    /// All mails in the folder, oldest first.
    pub(crate) fn all_mails(&self) -> Vec<Eml> {
        let Ok(folder) = std::fs::read_dir(self.folder().join("mail")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = folder.map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
        files.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
        files.sort();
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap();
            let (headers, body) = text.split_once("\r\n\r\n").unwrap();
            Eml { headers: headers.to_owned(), body: body.to_owned() }
        };
        files.iter().map(read).collect()
    }

    /// The mails to an address, once there are that many.
    pub(crate) fn mails_to(&self, address: &str, count: usize) -> Vec<Eml> {
        eventually(&format!("{count} mails to {address}"), || {
            let mut mails = self.mails();
            mails.retain(|mail| mail.header("To") == Some(address));
            (mails.len() == count).then_some(mails)
        })
    }

    /// How many mails wait.
    pub(crate) fn waiting_mails(&self) -> i64 {
        self.db(|conn| outbox::waiting(conn).unwrap())
    }

    /// Waits until no mail waits.
    pub(crate) fn all_mail_is_gone(&self) {
        eventually("the outbox to be empty", || (self.waiting_mails() == 0).then_some(()));
    }
}
