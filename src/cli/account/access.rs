//! `sluice account reset-second-factor`, `send-reset` and `end-sessions`.

use clap::Args;
use serde_json::json;

use super::wanted;
use crate::cli::{CliError, CommandContext, Output};
use crate::operator::access;
use crate::operator::{Act, OperatorError, Reason};

#[derive(Args)]
pub(in crate::cli) struct AccessArgs {
    /// Its id or email address.
    account: String,
    /// Reason, in 1 to 500 characters, for the audit log. Do not name a person.
    #[arg(long, value_parser = Reason::parse)]
    reason: Reason,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(in crate::cli) struct SendResetArgs {
    /// Its id or email address.
    account: String,
    /// Reason, for the audit log. Do not name a person.
    #[arg(long, default_value = "")]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn reset_second_factor(
    args: &AccessArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let account = wanted(desk, &args.account)?;
    let act = Act { reason: &args.reason, now: desk.clock.now() };
    desk.with(|conn| access::reset_second_factor(conn, account.id, act))?;
    if args.json {
        return Ok(output.json(&json!({ "id": account.public_id, "has_second_factor": false }))?);
    }
    Ok(output.line(
        "The second factor and its recovery codes are gone, and all sessions have ended. The \
         owner logs in with the password alone, and is told by mail.",
    )?)
}

pub(super) fn send_reset(
    args: &SendResetArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let account = wanted(desk, &args.account)?;
    let reason = Reason::optional(&args.reason).map_err(OperatorError::from)?;
    let act = Act { reason: &reason, now: desk.clock.now() };
    desk.with(|conn| access::send_reset(conn, account.id, act))?;
    if args.json {
        return Ok(output.json(&json!({ "id": account.public_id, "is_queued": true }))?);
    }
    Ok(output.line(&format!(
        "A password reset is queued for {}. A running server sends it.",
        account.email
    ))?)
}

pub(super) fn end_sessions(
    args: &AccessArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let account = wanted(desk, &args.account)?;
    let act = Act { reason: &args.reason, now: desk.clock.now() };
    let ended = desk.with(|conn| access::end_sessions(conn, account.id, act))?;
    if args.json {
        return Ok(output.json(&json!({ "id": account.public_id, "sessions_ended": ended }))?);
    }
    Ok(output.line(&format!("Sessions ended: {ended}."))?)
}
