//! `sluice key …`

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::account::wanted;
use super::{CliError, Desk, Output};
use crate::accounts;
use crate::db::api_keys::{self, ApiKeyRow};
use crate::domain::clock::UnixMillis;

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Issue a key. It is shown this once and cannot be shown again.
    Create {
        /// The account's id or e-mail address.
        account: String,
        /// What to call the key.
        #[arg(long, default_value = "default")]
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List an account's keys.
    List {
        /// The account's id or e-mail address.
        account: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key for good. It fails on its next request, on every node.
    Revoke {
        /// The key's id, `key_…`.
        key: String,
    },
}

pub(super) fn run(
    command: &KeyCommand,
    desk: &Desk,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let now = desk.clock.now();
    match command {
        KeyCommand::Create { account, name, json } => {
            let account = wanted(desk, account)?;
            let issued =
                desk.with(|conn| accounts::issue_key(conn, account.account_id(), name, now))?;
            let key = issued.key.reveal();
            if *json {
                output.json(&json!({ "id": issued.public_id, "name": name, "key": key }))?;
            } else {
                output.line(&format!("{}\n{key}", issued.public_id))?;
                output.line("Keep it safe: it is not stored and cannot be shown again.")?;
            }
        }
        KeyCommand::List { account, json } => {
            let account = wanted(desk, account)?;
            let keys = desk.with(|conn| api_keys::of_account(conn, account.account_id()))?;
            if *json {
                output.json(&Value::Array(keys.iter().map(document).collect()))?;
            } else {
                output.table(&["key", "name", "created", "revoked"], keys.iter().map(row))?;
            }
        }
        KeyCommand::Revoke { key } => match desk.with(|conn| api_keys::revoke(conn, key, now))? {
            Some(true) => output.line(&format!("{key} is revoked"))?,
            Some(false) => output.line(&format!("{key} had been revoked before"))?,
            None => return Err(CliError::Refused(format!("there is no key \"{key}\""))),
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn document(key: &ApiKeyRow) -> Value {
    json!({
        "id": key.public_id,
        "name": key.name,
        "created_at": UnixMillis::from_millis(key.created_at).to_string(),
        "revoked_at": key.revoked_at.map(|at| UnixMillis::from_millis(at).to_string()),
    })
}

fn row(key: &ApiKeyRow) -> Vec<String> {
    vec![
        key.public_id.clone(),
        key.name.clone(),
        UnixMillis::from_millis(key.created_at).to_string(),
        key.revoked_at.map_or_else(|| "-".to_owned(), |at| UnixMillis::from_millis(at).to_string()),
    ]
}
