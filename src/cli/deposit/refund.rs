//! `sluice deposit refund`: holds what is paid back, notes what paid it, or releases it. The coins
//! themselves are sent from the operator's own wallet.

use clap::Args;

use super::decide::busy;
use super::show::afterwards;
use super::{TRIES, names, positive, reason, standing, wanted};
use crate::cli::{CliError, CommandContext, Output};
use crate::db::models::accounts;
use crate::db::models::deposit_refunds::{self, RefundRow};
use crate::db::models::deposits::DepositRow;
use crate::deposits::refund::{self, Refunded};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::DepositState;
use crate::domain::evm::TxHash;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;

pub(super) const STEPS: &str = "\
The steps:
  sluice deposit refund ID --reason TEXT            holds the amount from the balance, or blocks the
                                                    credit of a deposit that was not credited yet
  (send the coins from your own wallet)
  sluice deposit refund ID --tx HASH                records the transaction that paid it
  sluice deposit refund ID --cancel --reason TEXT   instead: releases the amount or the deposit

Ask the depositor where to send the coins: an exchange withdraws from its own wallet.";

#[derive(Args)]
pub(in crate::cli) struct RefundArgs {
    /// The deposit's id, `dep_…`.
    deposit: String,
    /// Amount of a credited deposit to hold, in dollars such as 12.50. Default: all of it.
    #[arg(long, value_name = "USD", value_parser = positive)]
    amount: Option<NanoUsd>,
    /// Record this transaction as the payment of the held refund.
    #[arg(long, value_name = "HASH", conflicts_with_all = ["amount", "cancel", "reason"])]
    tx: Option<TxHash>,
    /// Cancel the held refund.
    #[arg(long, conflicts_with = "amount")]
    cancel: bool,
    /// Reason, in 1 to 500 characters.
    #[arg(long, value_parser = reason, required_unless_present = "tx")]
    reason: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    args: &RefundArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let row = wanted(desk, &args.deposit)?;
    let now = desk.clock.now();
    let reason = args.reason.as_deref().unwrap_or_default();
    let said = match args.tx {
        Some(tx_hash) => post(desk, &row, tx_hash, now)?,
        None if args.cancel => cancel(desk, &row, reason, now)?,
        None => hold(desk, row, args.amount, reason, now)?,
    };
    afterwards(&args.deposit, &said, desk, args.json, output)
}

fn hold(
    desk: &CommandContext,
    mut row: DepositRow,
    amount: Option<NanoUsd>,
    reason: &str,
    now: UnixMillis,
) -> Result<String, CliError> {
    let key = desk.tombstones()?;
    for _ in 0..TRIES {
        if amount.is_some() && row.state != DepositState::Credited {
            return Err(CliError::Refused(format!(
                "{} is {} and not credited: it can only be refunded in full, without --amount; \
                 nothing was held",
                row.public_id,
                standing(&row)
            )));
        }
        match desk.with(|conn| refund::hold(conn, &key, &row, amount, reason, now))? {
            Refunded::Done(refund) => return Ok(held(desk, &row, &refund)),
            Refunded::NotNow => {
                let current = wanted(desk, &row.public_id)?;
                if current.revision == row.revision {
                    return Err(CliError::Refused(not_now(&row)));
                }
                row = current;
            }
            refused => return Err(CliError::Refused(refusal(desk, &row, amount, &refused)?)),
        }
    }
    Err(CliError::Refused(busy(&row)))
}

/// What was held, and what to do next.
fn held(desk: &CommandContext, row: &DepositRow, refund: &RefundRow) -> String {
    let (id, refund_id) = (&row.public_id, &refund.public_id);
    let amount = refund.amount_nanousd;
    let coins = names::SettingNames::of(desk).coins(row).shown();
    let what = if amount > NanoUsd::ZERO {
        format!("{amount} USD was taken from the balance")
    } else {
        format!("{coins} will not be credited")
    };
    format!(
        "refund {refund_id} of {id} is held: {what}.\n\
         Next: send the coins, then \"sluice deposit refund {id} --tx HASH\"."
    )
}

fn post(
    desk: &CommandContext,
    row: &DepositRow,
    tx_hash: TxHash,
    now: UnixMillis,
) -> Result<String, CliError> {
    let id = &row.public_id;
    if tx_hash == row.tx_hash {
        return Err(CliError::Refused(format!(
            "{tx_hash} is the transaction of {id} itself, not of its refund; nothing was recorded"
        )));
    }
    match desk.with(|conn| refund::post(conn, row, tx_hash, now))? {
        Refunded::Done(refund) => {
            Ok(format!("refund {} of {id} is posted with {tx_hash}", refund.public_id))
        }
        _ => Err(CliError::Refused(none_held(desk, row)?)),
    }
}

fn cancel(
    desk: &CommandContext,
    row: &DepositRow,
    reason: &str,
    now: UnixMillis,
) -> Result<String, CliError> {
    let id = &row.public_id;
    match desk.with(|conn| refund::cancel(conn, row, reason, now))? {
        Refunded::Done(refund) => {
            let amount = refund.amount_nanousd;
            let then = if amount > NanoUsd::ZERO {
                format!("{amount} USD is back on the balance")
            } else {
                let current = wanted(desk, id)?;
                format!("the deposit is {} again", standing(&current))
            };
            Ok(format!("refund {} of {id} is cancelled: {then}", refund.public_id))
        }
        _ => Err(CliError::Refused(none_held(desk, row)?)),
    }
}

fn refusal(
    desk: &CommandContext,
    row: &DepositRow,
    amount: Option<NanoUsd>,
    refused: &Refunded,
) -> Result<String, CliError> {
    let id = &row.public_id;
    let value = row.value_nanousd.unwrap_or_default();
    Ok(match refused {
        Refunded::Already(refund) => already(row, refund),
        Refunded::Insufficient { available } => {
            let wanted = amount.unwrap_or(value);
            let ids: Vec<AccountId> = row.account_id.into_iter().collect();
            let account = desk.with(|conn| accounts::of_ids(conn, &ids))?.pop();
            let account = account.map_or_else(|| "the account".to_owned(), |one| one.public_id);
            format!(
                "{account} has only {available} USD available of the {wanted} USD to hold for \
                 {id}: the rest is spent or reserved. Give a smaller --amount; nothing was held"
            )
        }
        Refunded::TooMuch => {
            format!("{id} was credited with {value} USD: no more can be refunded; nothing was held")
        }
        Refunded::NotFinal => format!(
            "the block of {id} is not final yet, and may still leave the chain: wait until \
             \"sluice deposit show {id}\" says that it is final; nothing was held"
        ),
        _ => not_now(row),
    })
}

fn not_now(row: &DepositRow) -> String {
    let why = match row.state {
        DepositState::Orphaned | DepositState::Reversed => {
            "its transfer has left the chain, so there is nothing to refund"
        }
        DepositState::Refunded => "it was already refunded",
        _ => "it cannot be refunded",
    };
    format!("{} is {}: {why}; nothing was held", row.public_id, standing(row))
}

fn already(row: &DepositRow, refund: &RefundRow) -> String {
    let (id, refund_id) = (&row.public_id, &refund.public_id);
    match &refund.tx_hash {
        Some(tx_hash) => format!(
            "refund {refund_id} of {id} was posted with {tx_hash}: a deposit can be refunded \
             only once"
        ),
        None => {
            format!("refund {refund_id} of {id} is already held: post it with --tx, or --cancel it")
        }
    }
}

/// Why there is no refund to post or release.
fn none_held(desk: &CommandContext, row: &DepositRow) -> Result<String, CliError> {
    let refund = desk.with(|conn| deposit_refunds::of_deposit(conn, row.id))?;
    Ok(refund.map_or_else(
        || format!("no refund of {} is held, which is {}", row.public_id, standing(row)),
        |refund| already(row, &refund),
    ))
}
