//! `sluice key …`

mod limits;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::account::wanted;
use super::{CliError, CommandContext, Output};
use crate::accounts::keys::leaked_keys::{self, LeakedKey};
use crate::accounts::keys::{self, IssuedKey, KeyActor, KeyChange, KeyError, NewKey};
use crate::db::models::accounts;
use crate::db::models::api_keys::{self, ApiKeyRow};
use crate::db::models::audit::{self, Decision};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::key_limits::KeyState;
use crate::domain::mail::BudgetPeriod;
use limits::{LimitArgs, OverlapArgument, limits_line};

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Create a key. It is printed once and cannot be shown again.
    Create {
        /// The account's id or email address.
        account: String,
        /// Name of the key.
        #[arg(long, default_value = "default")]
        name: String,
        #[command(flatten)]
        limits: LimitArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List an account's keys.
    List {
        /// The account's id or email address.
        account: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change what a key may do. Options that you leave out stay as they are; "none" removes a
    /// limit.
    Limit {
        /// The key's id, `key_…`.
        key: String,
        #[command(flatten)]
        limits: LimitArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Pause a key: its requests are refused, on every node, until it is resumed.
    Pause {
        /// The key's id, `key_…`.
        key: String,
    },
    /// Resume a paused key.
    Resume {
        /// The key's id, `key_…`.
        key: String,
    },
    /// Give a key a new secret. It is printed once. Name, scopes, limits and budgets stay.
    Rotate {
        /// The key's id, `key_…`.
        key: String,
        /// When the previous secret stops working: now, 1h, 24h or 7d from now.
        #[arg(long, value_name = "WHEN", default_value = "24h")]
        overlap: OverlapArgument,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key permanently. Its next request fails, on every node.
    Revoke(RevokeArgs),
}

#[derive(Args)]
pub(super) struct RevokeArgs {
    /// The key's id, `key_…`.
    #[arg(required_unless_present = "leaked", conflicts_with = "leaked")]
    key: Option<String>,
    /// Instead of a key: a file with leaked keys, such as a scanner's report, a log or a diff; `-`
    /// reads standard input. Every Sluice key in it is revoked, and its owner notified by email.
    /// No key is printed.
    #[arg(long, value_name = "FILE")]
    leaked: Option<PathBuf>,
    /// With --leaked: only list the keys that would be revoked.
    #[arg(long, requires = "leaked", conflicts_with = "key")]
    dry_run: bool,
    /// With --leaked: print JSON.
    #[arg(long, requires = "leaked", conflicts_with = "key")]
    json: bool,
}

pub(super) fn run(
    command: &KeyCommand,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let now = desk.clock.now();
    let prices = &desk.settings.prices;
    match command {
        KeyCommand::Create { account, name, limits, json } => {
            let account = wanted(desk, account)?;
            let new = NewKey { name: name.clone(), limits: limits.clone().limits() };
            let rules = (prices.as_ref(), desk.settings.accounts.keys_max_per_account);
            let issued = desk.with(|conn| {
                keys::issue(conn, &KeyActor::Operator(account.id), &new, rules, now)
            })?;
            show_issued(&issued, *json, now, output)?;
        }
        KeyCommand::List { account, json } => {
            let account = wanted(desk, account)?;
            let keys = desk.with(|conn| keys::list(conn, account.id))?;
            show(&keys, *json, now, output)?;
        }
        KeyCommand::Limit { key, limits, json } => {
            let changed = change(desk, key, &limits.clone().change(), "key_limited")?;
            show(&[changed], *json, now, output)?;
        }
        KeyCommand::Pause { key } => {
            let paused = KeyChange { is_paused: Some(true), ..KeyChange::default() };
            change(desk, key, &paused, "key_paused")?;
            output.line(&format!("{key} is paused"))?;
        }
        KeyCommand::Resume { key } => {
            let resumed = KeyChange { is_paused: Some(false), ..KeyChange::default() };
            change(desk, key, &resumed, "key_resumed")?;
            output.line(&format!("{key} is resumed"))?;
        }
        KeyCommand::Rotate { key, overlap, json } => {
            let rotate = |conn: &mut AnyConnection| {
                let id = api_keys::find(conn, key)?.ok_or(KeyError::NotFound)?.account_id;
                let issued =
                    keys::rotate_within(conn, &KeyActor::Operator(id), key, overlap.0, now)?;
                audit::write(conn, &Decision::of_key("key_rotated", id, key), now)?;
                Ok::<_, KeyError>(issued)
            };
            let issued = desk.with(|conn| transaction::write(conn, rotate))?;
            show_issued(&issued, *json, now, output)?;
        }
        KeyCommand::Revoke(args) => revoke(args, desk, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Changes a key and writes that down.
fn change(
    desk: &CommandContext,
    key: &str,
    change: &KeyChange,
    decision: &'static str,
) -> Result<ApiKeyRow, CliError> {
    let (prices, now) = (&desk.settings.prices, desk.clock.now());
    let change = |conn: &mut AnyConnection| {
        let id = api_keys::find(conn, key)?.ok_or(KeyError::NotFound)?.account_id;
        let changed = keys::change_within(conn, &KeyActor::Operator(id), key, change, prices, now)?;
        audit::write(conn, &Decision::of_key(decision, id, key), now)?;
        Ok::<_, KeyError>(changed)
    };
    desk.with(|conn| transaction::write(conn, change))
}

/// A key in clear, the one time that it is known.
fn show_issued(
    issued: &IssuedKey,
    json: bool,
    now: UnixMillis,
    output: &mut Output,
) -> Result<(), CliError> {
    let key = issued.key.reveal();
    if json {
        let mut shown = document(&issued.row, now);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("key".to_owned(), json!(key));
        }
        output.json(&shown)?;
        return Ok(());
    }
    output.line(&format!("id: {}\n\n{key}\n", issued.row.public_id))?;
    output.line("Keep it safe: it is not stored and cannot be shown again.")?;
    if let Some(at) = issued.row.overlap_ends_at(now) {
        output.line(&format!("The previous secret works until {}.", at.to_rfc3339_secs()))?;
    }
    Ok(())
}

fn revoke(args: &RevokeArgs, desk: &CommandContext, output: &mut Output) -> Result<(), CliError> {
    let now = desk.clock.now();
    if let Some(key) = &args.key {
        return match desk
            .with(|conn| transaction::write(conn, |conn| revoke_one(conn, key, now)))?
        {
            Some(true) => Ok(output.line(&format!("{key} is revoked"))?),
            Some(false) => Ok(output.line(&format!("{key} was already revoked"))?),
            None => Err(CliError::Refused(format!("there is no key \"{key}\""))),
        };
    }
    let Some(path) = &args.leaked else { return Ok(()) };
    let hashes = if path == Path::new("-") {
        leaked_keys::read(std::io::stdin().lock())
    } else {
        std::fs::File::open(path).map_err(Into::into).and_then(leaked_keys::read)
    };
    let hashes = hashes.map_err(|error| {
        CliError::Refused(format!("{}: {error}; nothing was revoked", path.display()))
    })?;
    let keys = desk.with(|conn| {
        if args.dry_run {
            leaked_keys::known(conn, &hashes, now)
        } else {
            leaked_keys::revoke(conn, &hashes, now)
        }
    })?;
    let word = |key: &LeakedKey| match (key.was_revoked, args.dry_run) {
        (true, _) => "already revoked",
        (false, true) => "in force",
        (false, false) => "revoked",
    };
    let in_force = keys.iter().filter(|key| !key.was_revoked).count();
    if args.json {
        let shown: Vec<Value> =
            keys.iter().map(|key| json!({ "id": key.id, "state": word(key) })).collect();
        let revoked = if args.dry_run { 0 } else { in_force };
        output.json(&json!({ "found": hashes.len(), "revoked": revoked, "keys": shown }))?;
        return Ok(());
    }
    if !keys.is_empty() {
        let rows = keys.iter().map(|key| vec![key.id.clone(), word(key).to_owned()]);
        output.table(&["key", "state"], rows)?;
    }
    let done = if args.dry_run { "in force" } else { "revoked now" };
    let (found, known) = (hashes.len(), keys.len());
    output.line(&format!("{found} keys found, {known} of them issued here, {in_force} {done}"))?;
    Ok(())
}

/// Revokes a key and writes that down; as [`api_keys::revoke`] says. Must run in a write
/// transaction.
fn revoke_one(
    conn: &mut AnyConnection,
    key: &str,
    now: UnixMillis,
) -> Result<Option<bool>, DbError> {
    let Some(row) = api_keys::find(conn, key)? else { return Ok(None) };
    let id = row.account_id;
    accounts::lock(conn, id)?;
    let revoked = api_keys::revoke(conn, key, now)?;
    if revoked == Some(true) {
        audit::write(conn, &Decision::of_key("key_revoked", id, key), now)?;
    }
    Ok(revoked)
}

fn show(
    keys: &[ApiKeyRow],
    json: bool,
    now: UnixMillis,
    output: &mut Output,
) -> Result<(), CliError> {
    if json {
        output.json(&keys.iter().map(|key| document(key, now)).collect())?;
        return Ok(());
    }
    let header =
        ["key", "name", "hint", "state", "scopes", "limits", "spent USD", "last used", "created"];
    output.table(&header, keys.iter().map(|key| row(key, now)))?;
    Ok(())
}

fn document(key: &ApiKeyRow, now: UnixMillis) -> Value {
    let moment = |at: UnixMillis| at.to_string();
    let (limits, spending) = (key.limits(), key.spending());
    json!({
        "id": key.public_id,
        "name": key.name,
        "hint": key.hint,
        "state": key.state(now).as_str(),
        "scopes": limits.scopes.names().collect::<Vec<_>>(),
        "models": limits.models,
        "monthly_budget": limits.monthly_budget.map(|budget| budget.to_string()),
        "total_budget": limits.total_budget.map(|budget| budget.to_string()),
        "requests_per_minute": limits.requests_per_minute,
        "max_streams": limits.max_streams,
        "expires_at": limits.expires_at.map(|at| at.to_string()),
        "month_spent": spending.month_spent_at(now).to_string(),
        "spent": spending.spent.to_string(),
        "last_used_at": key.last_used_at.map(moment),
        "created_at": moment(key.created_at),
        "revoked_at": key.revoked_at.map(moment),
        "rotated_at": key.rotated_at.map(moment),
        "previous_expires_at": key.overlap_ends_at(now).map(moment),
    })
}

fn row(key: &ApiKeyRow, now: UnixMillis) -> Vec<String> {
    let moment = UnixMillis::to_rfc3339_secs;
    let state = match key.state(now) {
        KeyState::Paused(BudgetPeriod::Month) => "paused (monthly budget)".to_owned(),
        KeyState::Paused(BudgetPeriod::Total) => "paused (total budget)".to_owned(),
        KeyState::PausedByOwner => "paused (by its owner)".to_owned(),
        KeyState::Revoked => {
            key.revoked_at.map_or_else(String::new, |at| format!("revoked {}", moment(at)))
        }
        other => other.as_str().to_owned(),
    };
    vec![
        key.public_id.clone(),
        key.name.clone(),
        key.hint.clone().unwrap_or_else(|| "-".to_owned()),
        state,
        key.limits().scopes.to_string(),
        limits_line(&key.limits()),
        key.spending().spent.to_string(),
        key.last_used_at.map_or_else(|| "-".to_owned(), moment),
        moment(key.created_at),
    ]
}
