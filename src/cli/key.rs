//! `sluice key …`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::account::wanted;
use super::{CliError, CommandContext, Output};
use crate::accounts::keys::leaked_keys::{self, LeakedKey};
use crate::accounts::keys::{self, KeyActor, KeyChange, KeyError, NewKey};
use crate::db::models::accounts;
use crate::db::models::api_keys::{self, ApiKeyRow};
use crate::db::models::audit::{self, Decision};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::key_limits::{KeyLimits, KeyState};
use crate::domain::key_scopes::{NoScope, Scopes};
use crate::domain::mail::BudgetPeriod;
use crate::domain::money::NanoUsd;

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

/// What a key may do.
#[derive(Args, Clone)]
pub(super) struct LimitArgs {
    /// Scopes, comma-separated: inference (send requests to models, and read its own usage and
    /// limits), read (read the account's data), billing (make deposits). Default for a new key:
    /// inference.
    #[arg(long, value_name = "SCOPES")]
    scopes: Option<ScopeList>,
    /// Models that it may use, comma-separated, or "none" for no such limit.
    #[arg(long, value_name = "MODELS")]
    models: Option<LimitArgument<Models>>,
    /// Most that it may cost in a calendar month (UTC), in dollars, or "none".
    #[arg(long, value_name = "USD")]
    monthly_budget: Option<LimitArgument<NanoUsd>>,
    /// Most that it may cost in total, in dollars, or "none".
    #[arg(long, value_name = "USD")]
    total_budget: Option<LimitArgument<NanoUsd>>,
    /// Requests per minute, or "none" for the account's limit only.
    #[arg(long, value_name = "COUNT")]
    requests_per_minute: Option<LimitArgument<u32>>,
    /// Requests open at once, or "none" for the account's limit only.
    #[arg(long, value_name = "COUNT")]
    max_streams: Option<LimitArgument<u32>>,
    /// When it expires: at the start of a day (UTC) such as 2027-01-31, at an RFC 3339 time, or
    /// "none".
    #[arg(long, value_name = "WHEN")]
    expires_at: Option<LimitArgument<TimeArgument>>,
}

/// A value, or none.
#[derive(Clone)]
struct LimitArgument<T>(Option<T>);

impl<T: FromStr> FromStr for LimitArgument<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

#[derive(Clone)]
struct Models(Vec<String>);

impl FromStr for Models {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.split(',').map(|name| name.trim().to_owned()).collect()))
    }
}

#[derive(Clone, Copy)]
struct ScopeList(Scopes);

impl FromStr for ScopeList {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        Scopes::named(text.split(',').map(str::trim)).map(Self)
    }
}

#[derive(Clone, Copy)]
struct TimeArgument(UnixMillis);

impl FromStr for TimeArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = UtcDay::parse(text).map(UtcDay::begin);
        let moment = moment.or_else(|| UnixMillis::parse_rfc3339(text));
        moment.map(Self).ok_or("neither a day, 2027-01-31, nor a time, 2027-01-31T12:00:00Z")
    }
}

impl LimitArgs {
    fn change(self) -> KeyChange {
        KeyChange {
            name: None,
            scopes: self.scopes.map(|list| list.0),
            models: self.models.map(|setting| setting.0.map(|models| models.0)),
            monthly_budget: self.monthly_budget.map(|setting| setting.0),
            total_budget: self.total_budget.map(|setting| setting.0),
            requests_per_minute: self.requests_per_minute.map(|setting| setting.0),
            max_streams: self.max_streams.map(|setting| setting.0),
            expires_at: self.expires_at.map(|setting| setting.0.map(|moment| moment.0)),
        }
    }

    fn limits(self) -> KeyLimits {
        let change = self.change();
        KeyLimits {
            scopes: change.scopes.unwrap_or_default(),
            models: change.models.flatten(),
            monthly_budget: change.monthly_budget.flatten(),
            total_budget: change.total_budget.flatten(),
            requests_per_minute: change.requests_per_minute.flatten(),
            max_streams: change.max_streams.flatten(),
            expires_at: change.expires_at.flatten(),
        }
    }
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
            let key = issued.key.reveal();
            if *json {
                let mut shown = document(&issued.row, now);
                if let Some(fields) = shown.as_object_mut() {
                    fields.insert("key".to_owned(), json!(key));
                }
                output.json(&shown)?;
            } else {
                output.line(&format!("id: {}\n\n{key}\n", issued.row.public_id))?;
                output.line("Keep it safe: it is not stored and cannot be shown again.")?;
            }
        }
        KeyCommand::List { account, json } => {
            let account = wanted(desk, account)?;
            let keys = desk.with(|conn| keys::list(conn, account.id))?;
            show(&keys, *json, now, output)?;
        }
        KeyCommand::Limit { key, limits, json } => {
            let change = limits.clone().change();
            let limit = |conn: &mut AnyConnection| {
                let row = api_keys::find(conn, key)?.ok_or(KeyError::NotFound)?;
                let id = row.account_id;
                let changed =
                    keys::change_within(conn, &KeyActor::Operator(id), key, &change, prices, now)?;
                audit::write(conn, &Decision::of_key("key_limited", id, key), now)?;
                Ok::<_, KeyError>(changed)
            };
            let changed = desk.with(|conn| transaction::write(conn, limit))?;
            show(&[changed], *json, now, output)?;
        }
        KeyCommand::Revoke(args) => revoke(args, desk, output)?,
    }
    Ok(ExitCode::SUCCESS)
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
            leaked_keys::known(conn, &hashes)
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
    let header = ["key", "name", "state", "scopes", "limits", "spent USD", "last used", "created"];
    output.table(&header, keys.iter().map(|key| row(key, now)))?;
    Ok(())
}

fn document(key: &ApiKeyRow, now: UnixMillis) -> Value {
    let moment = |at: UnixMillis| at.to_string();
    let (limits, spending) = (key.limits(), key.spending());
    json!({
        "id": key.public_id,
        "name": key.name,
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
    })
}

fn row(key: &ApiKeyRow, now: UnixMillis) -> Vec<String> {
    let moment = UnixMillis::to_rfc3339_secs;
    let state = match key.state(now) {
        KeyState::Paused(BudgetPeriod::Month) => "paused (monthly budget)".to_owned(),
        KeyState::Paused(BudgetPeriod::Total) => "paused (total budget)".to_owned(),
        KeyState::Revoked => {
            key.revoked_at.map_or_else(String::new, |at| format!("revoked {}", moment(at)))
        }
        other => other.as_str().to_owned(),
    };
    vec![
        key.public_id.clone(),
        key.name.clone(),
        state,
        key.limits().scopes.to_string(),
        limits_line(&key.limits()),
        key.spending().spent.to_string(),
        key.last_used_at.map_or_else(|| "-".to_owned(), moment),
        moment(key.created_at),
    ]
}

fn limits_line(limits: &KeyLimits) -> String {
    let parts = [
        limits.models.as_ref().map(|models| models.join(" ")),
        limits.monthly_budget.map(|budget| format!("{budget} USD per month")),
        limits.total_budget.map(|budget| format!("{budget} USD in total")),
        limits.requests_per_minute.map(|count| format!("{count} requests per minute")),
        limits.max_streams.map(|count| format!("{count} at once")),
        limits.expires_at.map(|at| format!("until {}", at.to_rfc3339_secs())),
    ];
    let line = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if line.is_empty() { "-".to_owned() } else { line }
}
