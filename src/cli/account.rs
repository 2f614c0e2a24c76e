//! `sluice account …`

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CliError, CommandContext, Output};
use crate::accounts;
use crate::accounts::deletion::closing::{self, Closed};
use crate::accounts::suspension;
use crate::db::books::{ReservationRow, UsageRow};
use crate::db::models::accounts::{AccountRow, find, get, page};
use crate::db::models::audit::{self, Decision};
use crate::db::models::{credentials, usage_logs};
use crate::db::{AnyConnection, DbError, archive, transaction};
use crate::domain::account_status::AccountStatus;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::plain_text::{is_plain, shown};
use crate::domain::usage_record::UsageRecord;
use crate::ledger::{self, Command, Effect, EntryKind, LedgerError};

/// Accounts read at once for a list.
const PAGE: i64 = 500;
/// Running requests that are shown.
const RUNNING_MAX: i64 = 1_000;
/// Bytes of the reason for a decision.
const REASON_BYTES: usize = 500;

#[derive(Subcommand)]
pub(super) enum AccountCommand {
    /// Create an account. Its owner sets a password by "Forgot your password?" on the website.
    Create {
        /// Its email address.
        email: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List all accounts.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show an account with its balance and latest usage.
    Show {
        /// Its id or email address.
        account: String,
        /// Usage rows to show.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(0..=1000))]
        usage: i64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add to a balance, or subtract from it with a negative amount.
    Credit {
        /// Its id or email address.
        account: String,
        /// Dollars, such as 12.50.
        #[arg(allow_negative_numbers = true)]
        amount: NanoUsd,
        /// What it is for. Unique: the same reference is never booked twice.
        #[arg(long)]
        reference: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Suspend an account: read-only until resumed. Running requests finish. Its owner is notified.
    Suspend {
        /// Its id or email address.
        account: String,
        /// Reason, for the audit log. Do not name a person.
        #[arg(long, default_value = "")]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Resume a suspended account. Its owner is notified.
    Resume {
        /// Its id or email address.
        account: String,
        /// Reason, for the audit log. Do not name a person.
        #[arg(long, default_value = "")]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Start the deletion of an account, as its owner could. It is erased when the grace period
    /// ends.
    Delete {
        /// Its id or email address.
        account: String,
        /// Erase it even if it still has a balance.
        #[arg(long)]
        waive_balance: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Cancel the deletion of an account. Its keys and wallets are not restored.
    Keep {
        /// Its id or email address.
        account: String,
    },
}

pub(super) fn run(
    command: &AccountCommand,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    match command {
        AccountCommand::Create { email, json } => {
            let now = desk.clock.now();
            let account = desk.with(|conn| accounts::open(conn, email, now))?;
            show(&account, (&[], &[]), *json, output)?;
        }
        AccountCommand::List { json } => list(desk, *json, output)?,
        AccountCommand::Show { account, usage, json } => {
            let account = wanted(desk, account)?;
            let id = account.id;
            let rows = desk.with(|conn| usage_logs::latest(conn, id, *usage))?;
            let running = desk.with(|conn| archive::reservations_of(conn, id, "", RUNNING_MAX))?;
            let running: Vec<_> = running.into_iter().map(|(_, (row, _))| row).collect();
            show(&account, (&rows, &running), *json, output)?;
        }
        AccountCommand::Credit { account, amount, reference, json } => {
            let account = wanted(desk, account)?;
            credit(desk, &account, *amount, reference)?;
            show(&wanted(desk, &account.public_id)?, (&[], &[]), *json, output)?;
        }
        AccountCommand::Suspend { account, reason, json } => {
            let account = wanted(desk, account)?;
            stand(desk, &account, AccountStatus::Suspended, reason)?;
            show(&wanted(desk, &account.public_id)?, (&[], &[]), *json, output)?;
        }
        AccountCommand::Resume { account, reason, json } => {
            let account = wanted(desk, account)?;
            stand(desk, &account, AccountStatus::Active, reason)?;
            show(&wanted(desk, &account.public_id)?, (&[], &[]), *json, output)?;
        }
        AccountCommand::Delete { account, waive_balance, json } => {
            delete(desk, &wanted(desk, account)?, *waive_balance, *json, output)?;
        }
        AccountCommand::Keep { account } => {
            let id = wanted(desk, account)?.id;
            let now = desk.clock.now();
            let keep = |conn: &mut AnyConnection| {
                let is_kept = closing::keep(conn, id)?;
                if is_kept {
                    audit::write(conn, &Decision::of_account("account_kept", id, ""), now)?;
                }
                Ok::<_, DbError>(is_kept)
            };
            if !desk.with(|conn| transaction::write(conn, keep))? {
                return Err(CliError::Refused("the account is not being deleted".to_owned()));
            }
            output.line("The deletion is cancelled.")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The account of an id or address, or a refusal that repeats it.
pub(super) fn wanted(desk: &CommandContext, name: &str) -> Result<AccountRow, CliError> {
    let lower = name.trim().to_lowercase();
    let found = desk.with(|conn| match find(conn, &lower)? {
        Some(found) => Ok(Some(found)),
        // An address may be spelled in another way.
        None => match credentials::of_address(conn, name)? {
            Some(known) => get(conn, known.id),
            None => Ok(None),
        },
    })?;
    found.ok_or_else(|| CliError::Refused(format!("there is no account \"{name}\"")))
}

fn credit(
    desk: &CommandContext,
    account: &AccountRow,
    amount: NanoUsd,
    reference: &str,
) -> Result<(), CliError> {
    if reference.trim().is_empty() || reference.len() > 200 {
        return Err(CliError::Refused("a reference must have 1 to 200 characters".to_owned()));
    }
    // Two that look alike would count twice.
    if !is_plain(reference) {
        return Err(CliError::Refused(
            "a reference must not contain invisible characters".to_owned(),
        ));
    }
    if amount == NanoUsd::ZERO {
        return Err(CliError::Refused("an amount of 0 changes nothing".to_owned()));
    }
    let (id, now) = (account.id, desk.clock.now());
    let command = Command::Credit {
        account_id: id,
        kind: EntryKind::Adjustment,
        reference: reference.to_owned(),
        amount,
    };
    // The reference stands in the ledger.
    let sum = format!("{amount} USD");
    let credit = |conn: &mut AnyConnection| {
        let outcomes = ledger::apply_within(conn, &[command], now)?;
        if outcomes.first() == Some(&Effect::Credited) {
            audit::write(conn, &Decision::of_account("account_credited", id, &sum), now)?;
        }
        Ok::<_, LedgerError>(outcomes)
    };
    let outcomes = desk.with(|conn| transaction::write(conn, credit))?;
    match outcomes.first() {
        Some(Effect::Credited) => Ok(()),
        Some(Effect::AlreadyCredited) => Err(CliError::Refused(format!(
            "the reference \"{reference}\" was already used; nothing was changed"
        ))),
        _ => Err(CliError::Refused("the account no longer exists".to_owned())),
    }
}

fn stand(
    desk: &CommandContext,
    account: &AccountRow,
    status: AccountStatus,
    reason: &str,
) -> Result<(), CliError> {
    if reason.len() > REASON_BYTES {
        return Err(CliError::Refused(format!("a reason can have at most {REASON_BYTES} bytes")));
    }
    if shown(reason) != reason {
        return Err(CliError::Refused("a reason must not contain invisible characters".to_owned()));
    }
    let (id, now) = (account.id, desk.clock.now());
    let (action, already) = match status {
        AccountStatus::Suspended => ("account_suspended", "the account is already suspended"),
        AccountStatus::Active => ("account_resumed", "the account is not suspended"),
    };
    let is_new = desk.with(|conn| {
        transaction::write(conn, |conn| {
            let is_new = suspension::set(conn, id, status, now)?;
            if is_new {
                audit::write(conn, &Decision::of_account(action, id, reason), now)?;
            }
            Ok::<_, DbError>(is_new)
        })
    })?;
    if is_new { Ok(()) } else { Err(CliError::Refused(already.to_owned())) }
}

fn delete(
    desk: &CommandContext,
    account: &AccountRow,
    waives_balance: bool,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let (id, now) = (account.id, desk.clock.now());
    let grace = desk.settings.accounts.closing_grace;
    let close = |conn: &mut AnyConnection| {
        let closed = closing::close(conn, id, waives_balance, grace, now)?;
        if matches!(closed, Closed::Begun { .. }) {
            let detail = if waives_balance { "balance waived" } else { "" };
            audit::write(conn, &Decision::of_account("account_closed", id, detail), now)?;
        }
        Ok::<_, DbError>(closed)
    };
    let closed = desk.with(|conn| transaction::write(conn, close))?;
    match closed {
        Closed::Begun { erased_at } if json => {
            output.json(&json!({ "id": account.public_id, "erased_at": erased_at.to_string() }))?;
        }
        Closed::Begun { erased_at } => output.line(&format!(
            "{} is being deleted. A running server erases it after {erased_at}, unless the \
             deletion is cancelled.",
            account.public_id
        ))?,
        Closed::BalanceLeft(left) => {
            return Err(CliError::Refused(format!(
                "the account still has {left} USD: refund it first, or use --waive-balance; \
                 nothing was changed"
            )));
        }
        Closed::NoAccount => {
            return Err(CliError::Refused("the account no longer exists".to_owned()));
        }
    }
    Ok(())
}

fn list(desk: &CommandContext, json: bool, output: &mut Output) -> Result<(), CliError> {
    let mut all = Vec::new();
    let mut after = AccountId(0);
    loop {
        let rows = desk.with(|conn| page(conn, after, PAGE))?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        all.extend(rows);
    }
    if json {
        let documents: Vec<Value> = all.iter().map(document).collect();
        output.json(&Value::Array(documents))?;
        return Ok(());
    }
    let rows = all.iter().map(|one| {
        vec![
            one.public_id.clone(),
            one.email.clone(),
            one.status.to_string(),
            one.available_nanousd.to_string(),
            one.reserved_nanousd.to_string(),
        ]
    });
    output.table(&["account", "email", "status", "available USD", "reserved USD"], rows)?;
    Ok(())
}

fn show(
    account: &AccountRow,
    (usage, running): (&[UsageRow], &[ReservationRow]),
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    if json {
        let mut shown = document(account);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("running".to_owned(), running.iter().map(running_document).collect());
            fields.insert("usage".to_owned(), usage.iter().map(usage_document).collect());
        }
        output.json(&shown)?;
        return Ok(());
    }
    let AccountRow { public_id, email, status, .. } = account;
    let (available, reserved) = (account.available_nanousd, account.reserved_nanousd);
    let fields = [
        ("account", public_id.clone()),
        ("email", email.clone()),
        ("status", status.to_string()),
        ("available", format!("{available} USD")),
        ("reserved", format!("{reserved} USD")),
        ("at risk", format!("{} USD", account.at_risk_nanousd)),
    ];
    output.table(&[], fields.map(|(name, value)| vec![name.to_owned(), value]))?;
    if !running.is_empty() {
        let header = ["running", "since", "model", "held USD", "at risk USD", "prompt"];
        output.table(&header, running.iter().map(running_row))?;
    }
    if !usage.is_empty() {
        let header = ["request", "time", "model", "in", "out", "status", "ending", "cost USD"];
        output.table(&header, usage.iter().map(usage_row))?;
    }
    Ok(())
}

fn document(account: &AccountRow) -> Value {
    json!({
        "id": account.public_id,
        "email": account.email,
        "status": account.status,
        "available": account.available_nanousd.to_string(),
        "reserved": account.reserved_nanousd.to_string(),
        "at_risk": account.at_risk_nanousd.to_string(),
        "created_at": account.created_at.to_string(),
    })
}

/// Whether the hold for a running request is an estimate, or what its prompt costs for certain and
/// a slice of output.
fn prompt_is(row: &ReservationRow) -> (&'static str, String) {
    let record: Option<UsageRecord> = serde_json::from_str(&row.record).ok();
    let is_counted = record
        .as_ref()
        .is_some_and(|record| row.risk_nanousd == NanoUsd::ZERO && record.cost > NanoUsd::ZERO);
    let model = record.map(|record| record.requested_model).unwrap_or_default();
    (if is_counted { "counted" } else { "estimated" }, model)
}

fn running_row(row: &ReservationRow) -> Vec<String> {
    let (prompt, model) = prompt_is(row);
    vec![
        row.id.clone(),
        row.created_at.to_string(),
        model,
        row.amount_nanousd.to_string(),
        row.risk_nanousd.to_string(),
        prompt.to_owned(),
    ]
}

fn running_document(row: &ReservationRow) -> Value {
    let (prompt, model) = prompt_is(row);
    json!({
        "id": row.id,
        "created_at": row.created_at.to_string(),
        "requested_model": model,
        "held": row.amount_nanousd.to_string(),
        "at_risk": row.risk_nanousd.to_string(),
        "prompt": prompt,
    })
}

fn usage_document(row: &UsageRow) -> Value {
    json!({
        "id": row.id,
        "created_at": row.created_at.to_string(),
        "endpoint": row.endpoint.as_str(),
        "requested_model": row.requested_model,
        "served_model": row.served_model,
        "upstream": row.upstream,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cache_write_5m_tokens": row.cache_write_5m_tokens,
        "cache_write_1h_tokens": row.cache_write_1h_tokens,
        "cache_read_tokens": row.cache_read_tokens,
        "web_searches": row.web_searches,
        "service_tier": row.service_tier,
        "inference_geo": row.inference_geo,
        "speed": row.speed,
        "price_version": row.price_version,
        "cost": row.cost_nanousd.to_string(),
        "first_byte_ms": row.first_byte_ms,
        "latency_ms": row.latency_ms,
        "http_status": row.http_status,
        "ending": row.ending.code(),
        "is_estimated": row.is_estimated,
    })
}

fn usage_row(row: &UsageRow) -> Vec<String> {
    let estimated = if row.is_estimated { " (estimated)" } else { "" };
    vec![
        row.id.clone(),
        row.created_at.to_string(),
        row.served_model.clone().unwrap_or_else(|| row.requested_model.clone()),
        row.input_tokens.to_string(),
        row.output_tokens.to_string(),
        row.http_status.to_string(),
        format!("{}{estimated}", row.ending.code()),
        row.cost_nanousd.to_string(),
    ]
}
