//! What is kept of what people log in with: nothing that logs in.

use diesel::prelude::*;
use diesel::sql_types::Text;
use serde_json::json;
use sluice::db::models::credentials;
use sluice::domain::evm::to_hex;

use crate::support::app::{Builder, open_account};
use crate::support::client::{Connection, Request, Response, find};
use crate::support::people::by;
use crate::support::process::Process;
use crate::support::upstream::Upstream;
use crate::support::wait::eventually;

const FIRST: &str = "canary-first-password-55d0";
const SECOND: &str = "canary-second-password-c812";
const WRONG: &str = "canary-wrong-password-09aa";
const EMAIL: &str = "canary@example.org";

/// Tables that people's own verbs write.
const TABLES: [&str; 6] =
    ["accounts", "sessions", "email_tokens", "log_in_steps", "recovery_codes", "outbox"];

struct Stage(Process);

impl Stage {
    fn ask(&self, request: &Request) -> Response {
        Connection::open(self.0.address).ask(request).finish()
    }

    fn post(&self, path: &str, body: &serde_json::Value) -> Response {
        self.ask(&Request::new("POST", path).json(body))
    }

    /// The words of the links that were mailed, oldest first.
    fn mailed(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} links"), || {
            let Ok(folder) = std::fs::read_dir(self.0.folder.path().join("mail")) else {
                return None;
            };
            let mut files: Vec<_> = folder.map(|file| file.unwrap().path()).collect();
            files.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
            files.sort();
            let texts = files.iter().map(|path| std::fs::read_to_string(path).unwrap());
            let tokens: Vec<String> = texts.filter_map(|text| token(&text)).collect();
            (tokens.len() == count).then_some(tokens)
        })
    }

    /// Every byte of the database.
    fn stored(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(self.0.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("sluice.db") {
                bytes.extend(std::fs::read(&path).unwrap());
            }
        }
        if self.0.database.is_postgres() {
            let mut conn = self.0.database.connect();
            for table in TABLES {
                let sql = format!("SELECT {table}::text AS row FROM {table}");
                for Row { row } in diesel::sql_query(sql).load::<Row>(&mut conn).unwrap() {
                    bytes.extend(row.into_bytes());
                }
            }
        }
        bytes
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    row: String,
}

fn token(mail: &str) -> Option<String> {
    let text = mail.replace("=\r\n", "").replace("=3D", "=");
    let (_, rest) = text.split_once("?token=")?;
    Some(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
}

#[test]
fn p2_neither_a_password_nor_anything_else_that_opens_an_account_is_stored_or_logged() {
    let builder = Builder::new().upstream("primary", Upstream::nowhere());
    let stage = Stage(Process::start(builder, &[("SLUICE__LOG__FILTER", "trace")]));
    stage.post("/api/v1/accounts", &json!({ "email": EMAIL }));
    let sign_up = stage.mailed(1).remove(0);
    let body = json!({ "token": sign_up, "password": FIRST });
    let session = stage.post("/api/v1/accounts/confirm", &body).session();
    let log_in = |password: &str, code: &str| {
        let body = json!({ "email": EMAIL, "password": password, "code": code });
        stage.post("/api/v1/sessions", &body)
    };
    log_in(WRONG, "").expect_refusal(401, "wrong_credentials");
    let second = log_in(FIRST, "").session();
    let change = json!({ "password": FIRST, "new_password": SECOND });
    stage.ask(&by(&second, "PUT", "/api/v1/account/password").json(&change)).expect_done();
    let password = json!({ "password": SECOND });
    let setup = by(&second, "POST", "/api/v1/account/totp").json(&password);
    let setup = stage.ask(&setup).json();
    let secret = setup["secret"].as_str().unwrap().to_owned();
    stage.post("/api/v1/password-resets", &json!({ "email": EMAIL }));
    let reset = stage.mailed(2).remove(1);
    let stored = stage.stored();
    assert!(find(&stored, EMAIL.as_bytes()).is_some(), "the search finds what is kept");
    let log = stage.0.log();
    assert!(log.contains("TRACE"), "the log is at its finest");
    for word in [FIRST, SECOND, WRONG, &session, &second, &sign_up, &reset, &secret] {
        // Without what tokens begin with, in case they were kept in parts.
        let core = word.trim_start_matches("sess_").trim_start_matches("mail_");
        assert!(find(&stored, core.as_bytes()).is_none(), "{word} is stored");
        assert!(!log.contains(core), "{word} is logged");
    }
    // The key of the second factor, which is used as bytes.
    let secret = totp_rs::Secret::try_from_base32(&secret).unwrap();
    let bytes: Vec<u8> = secret.as_bytes().to_vec();
    let hex = to_hex(&bytes);
    let hex = hex.trim_start_matches("0x");
    assert!(find(&stored, &bytes).is_none() && find(&stored, hex.as_bytes()).is_none());
    assert!(!log.contains(EMAIL), "an address is logged");
}

#[test]
fn p2_a_password_is_kept_as_bcrypt_at_the_cost_in_force() {
    let app = Builder::new().upstream("primary", Upstream::nowhere()).start();
    let link = app.link(
        sluice::accounts::identity::email_tokens::LinkPurpose::SignUp,
        None,
        "new@example.org",
    );
    let body = json!({ "token": link, "password": FIRST });
    app.post("/api/v1/accounts/confirm", &body).session();
    let known = app.db(|conn| {
        sluice::db::models::credentials::of_address(conn, "new@example.org").unwrap().unwrap()
    });
    let hash = known.password_hash.unwrap();
    assert!(hash.starts_with("$2b$12$") && hash.len() == 60, "{hash}");
    assert!(bcrypt::verify(FIRST, &hash).unwrap());
    // Who was opened by an operator has none.
    let account = app.db(|conn| open_account(conn, "1.00"));
    let known = app.db(|conn| credentials::get(conn, account.id).unwrap().unwrap());
    assert!(known.password_hash.is_none());
}
