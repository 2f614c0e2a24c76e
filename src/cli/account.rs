//! `sluice account …`

mod access;
mod list;
mod request;
mod show;

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use self::show::show;
use super::{CliError, CommandContext, Output};
use crate::accounts;
use crate::db::models::accounts::AccountRow;
use crate::db::models::usage_logs;
use crate::db::{AnyConnection, archive};
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::operator::accounts::{self as verbs, Adjustment};
use crate::operator::{Act, OperatorError, Reason};

/// Running requests that are shown.
const RUNNING_MAX: i64 = 1_000;

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
    /// List accounts in the order in which they were opened.
    List(list::AccountListArgs),
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
    /// Show one request of any account by its id: model, ending, tokens, cost, upstream.
    Request {
        /// Its id, `req_…`.
        request: String,
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
        /// Reason, for the audit log. Do not name a person.
        #[arg(long, default_value = "")]
        reason: String,
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
    /// Turn off a second factor that its owner has lost, with its recovery codes. Ends all
    /// sessions; API keys go on. Its owner is notified.
    ResetSecondFactor(access::AccessArgs),
    /// Queue the mail that leads to a new password, as "Forgot your password?" does. The limit on
    /// mails to one address does not apply.
    SendReset(access::SendResetArgs),
    /// Log an account's owner out everywhere. API keys go on.
    EndSessions(access::AccessArgs),
    /// Start the deletion of an account, as its owner could. It is erased when the grace period
    /// ends.
    Delete {
        /// Its id or email address.
        account: String,
        /// Erase it even if it still has a balance.
        #[arg(long)]
        waive_balance: bool,
        /// Reason, for the audit log. Do not name a person.
        #[arg(long, default_value = "")]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Cancel the deletion of an account. Its keys and wallets are not restored.
    Keep {
        /// Its id or email address.
        account: String,
        /// Reason, for the audit log. Do not name a person.
        #[arg(long, default_value = "")]
        reason: String,
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
        AccountCommand::List(args) => list::run(args, desk, output)?,
        AccountCommand::Show { account, usage, json } => {
            let account = wanted(desk, account)?;
            let id = account.id;
            let rows = desk.with(|conn| usage_logs::latest(conn, id, *usage))?;
            let running = desk.with(|conn| archive::reservations_of(conn, id, "", RUNNING_MAX))?;
            let running: Vec<_> = running.into_iter().map(|(_, (row, _))| row).collect();
            show(&account, (&rows, &running), *json, output)?;
        }
        AccountCommand::Request { request, json } => {
            request::run(request, desk, *json, output)?;
        }
        AccountCommand::Credit { account, amount, reference, reason, json } => {
            let adjustment = Adjustment { amount: *amount, reference };
            let credit = |conn: &mut _, id, act: Act<'_>| verbs::credit(conn, id, adjustment, act);
            act((desk, account), reason, credit, (*json, output))?;
        }
        AccountCommand::Suspend { account, reason, json } => {
            act((desk, account), reason, verbs::suspend, (*json, output))?;
        }
        AccountCommand::Resume { account, reason, json } => {
            act((desk, account), reason, verbs::resume, (*json, output))?;
        }
        AccountCommand::ResetSecondFactor(args) => {
            access::reset_second_factor(args, desk, output)?;
        }
        AccountCommand::SendReset(args) => access::send_reset(args, desk, output)?,
        AccountCommand::EndSessions(args) => access::end_sessions(args, desk, output)?,
        AccountCommand::Delete { account, waive_balance, reason, json } => {
            let account = wanted(desk, account)?;
            let how = (*waive_balance, desk.settings.accounts.closing_grace);
            let delete = |conn: &mut _, id, act: Act<'_>| verbs::delete(conn, id, how, act);
            let erased_at = decide(desk, account.id, reason, delete)?;
            let id = account.public_id;
            if *json {
                output.json(&json!({ "id": id, "erased_at": erased_at.to_string() }))?;
            } else {
                output.line(&format!(
                    "{id} is being deleted. A running server erases it after {erased_at}, unless \
                     the deletion is cancelled."
                ))?;
            }
        }
        AccountCommand::Keep { account, reason } => {
            decide(desk, wanted(desk, account)?.id, reason, verbs::keep)?;
            output.line("The deletion is cancelled.")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The account of an id or address, or a refusal that repeats it.
pub(super) fn wanted(desk: &CommandContext, name: &str) -> Result<AccountRow, CliError> {
    desk.with(|conn| verbs::find(conn, name))
}

/// Carries a decision out, and prints how the account stands then.
fn act(
    (desk, account): (&CommandContext, &str),
    reason: &str,
    verb: impl FnOnce(&mut AnyConnection, AccountId, Act<'_>) -> Result<(), OperatorError>,
    (json, output): (bool, &mut Output),
) -> Result<(), CliError> {
    let account = wanted(desk, account)?;
    decide(desk, account.id, reason, verb)?;
    show(&wanted(desk, &account.public_id)?, (&[], &[]), json, output)
}

fn decide<T>(
    desk: &CommandContext,
    id: AccountId,
    reason: &str,
    verb: impl FnOnce(&mut AnyConnection, AccountId, Act<'_>) -> Result<T, OperatorError>,
) -> Result<T, CliError> {
    let reason = Reason::optional(reason).map_err(OperatorError::from)?;
    let act = Act { reason: &reason, now: desk.clock.now() };
    desk.with(|conn| verb(conn, id, act))
}
