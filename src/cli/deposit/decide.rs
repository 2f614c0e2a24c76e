//! `sluice deposit review`, `attribute` and `reject`: decisions by hand, each with a reason that is
//! written down.

use clap::Args;

use super::show::afterwards;
use super::{TRIES, positive, reason, standing, wanted, wanted_account};
use crate::cli::{CliError, CommandContext, Output};
use crate::db::AnyConnection;
use crate::db::models::deposits::DepositRow;
use crate::deposits::DepositError;
use crate::deposits::review::{self, ReviewDecision};
use crate::domain::deposit::{DepositReason, DepositState};
use crate::domain::money::NanoUsd;

#[derive(Args)]
pub(in crate::cli) struct ReviewArgs {
    /// The deposit's id, `dep_…`.
    deposit: String,
    /// Credit it.
    #[arg(long, required = true)]
    approve: bool,
    /// Value to credit, in dollars such as 12.50. Default: the value that `deposit show` prints.
    #[arg(long, value_name = "USD", value_parser = positive)]
    value: Option<NanoUsd>,
    /// Reason, in 1 to 500 characters.
    #[arg(long, value_parser = reason)]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(in crate::cli) struct AttributeArgs {
    /// The deposit's id, `dep_…`.
    deposit: String,
    /// The account's id or email address.
    account: String,
    /// Reason, in 1 to 500 characters.
    #[arg(long, value_parser = reason)]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(in crate::cli) struct RejectArgs {
    /// The deposit's id, `dep_…`.
    deposit: String,
    /// Reason, in 1 to 500 characters.
    #[arg(long, value_parser = reason)]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn review(
    args: &ReviewArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let (key, now) = (desk.tombstones()?, desk.clock.now());
    decide(
        desk,
        &args.deposit,
        "only a deposit that is held for review can be approved",
        |conn, row| review::approve(conn, &key, row, args.value, &args.reason, now),
    )?;
    let row = wanted(desk, &args.deposit)?;
    let value = row.value_nanousd.unwrap_or_default();
    let said = format!("{} is credited with {value} USD", row.public_id);
    afterwards(&row.public_id, &said, desk, args.json, output)
}

pub(super) fn attribute(
    args: &AttributeArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let account = wanted_account(desk, &args.account)?;
    let (key, account_id, now) = (desk.tombstones()?, account.id, desk.clock.now());
    let rule = "only deposits from unlinked wallets or to erased accounts can be attributed";
    decide(desk, &args.deposit, rule, |conn, row| {
        review::attribute(conn, &key, row, account_id, &args.reason, now)
    })?;
    let said = format!(
        "{} belongs to {}; the server credits it once it is final",
        args.deposit, account.public_id
    );
    afterwards(&args.deposit, &said, desk, args.json, output)
}

pub(super) fn reject(
    args: &RejectArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let now = desk.clock.now();
    let rule = "only a waiting deposit that was not credited can be rejected";
    decide(desk, &args.deposit, rule, |conn, row| review::reject(conn, row, &args.reason, now))?;
    let said = format!("{} is rejected", args.deposit);
    afterwards(&args.deposit, &said, desk, args.json, output)
}

/// Decides about a deposit as it is now. The server may be moving it on at the same time: then it
/// is read again.
fn decide(
    desk: &CommandContext,
    name: &str,
    rule: &str,
    decide: impl Fn(&mut AnyConnection, &DepositRow) -> Result<ReviewDecision, DepositError>,
) -> Result<(), CliError> {
    let mut row = wanted(desk, name)?;
    for _ in 0..TRIES {
        match desk.with(|conn| decide(conn, &row))? {
            ReviewDecision::Done => return Ok(()),
            ReviewDecision::Changed => row = wanted(desk, name)?,
            refused => return Err(CliError::Refused(refusal(&row, refused, rule))),
        }
    }
    Err(CliError::Refused(busy(&row)))
}

/// Somebody else is faster, again and again.
pub(super) fn busy(row: &DepositRow) -> String {
    format!(
        "another process is changing {}, which is {} now; nothing was done: review it again",
        row.public_id,
        standing(row)
    )
}

fn refusal(row: &DepositRow, refused: ReviewDecision, rule: &str) -> String {
    let id = &row.public_id;
    match refused {
        ReviewDecision::NoValue => {
            format!("the value of {id} is unknown: give it with --value USD; nothing was done")
        }
        ReviewDecision::NoAccount => format!(
            "{id} belongs to no account: run \"sluice deposit attribute {id} ACCOUNT\" first; \
             nothing was done"
        ),
        _ if is_refund(row) => format!(
            "{id} is held for a refund: run \"sluice deposit refund {id} --cancel\" first; \
             nothing was done"
        ),
        _ => format!("{id} is {}: {rule}; nothing was done", standing(row)),
    }
}

fn is_refund(row: &DepositRow) -> bool {
    row.state == DepositState::Held && row.reason == Some(DepositReason::RefundPending)
}
