//! `sluice deposit …`: the operator's side of deposits. Reads rows and hands decisions to
//! `deposits`; what may be decided is said there.

mod addresses;
mod arrivals;
mod cases;
mod chains;
mod csv;
mod decide;
mod export;
mod find;
mod list;
mod names;
mod refund;
mod show;

use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::account::wanted as wanted_account;
use super::{CliError, CommandContext, Output};
use crate::accounts::deletion::tombstones;
use crate::db::AnyConnection;
use crate::db::models::deposit_refunds::RefundRow;
use crate::db::models::deposits::{self, DepositRow};
use crate::deposits::standing::{RefundedShare, share, state};
use crate::domain::deposit::{DepositState, RefundState};
use crate::domain::evm::{EvmAddress, TxHash};
use crate::domain::money::NanoUsd;
use crate::operator::{BadReason, Reason};

/// Rows read at once.
const PAGE: i64 = 500;
/// Times that a decision is begun anew because the deposit changed under it.
const TRIES: u32 = 3;

#[derive(Subcommand)]
pub(super) enum DepositCommand {
    /// List deposits, oldest first.
    List(list::ListArgs),
    /// Show all details of a deposit: transfer, price, entries, refunds, decisions.
    Show {
        /// Its id, `dep_…`.
        deposit: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Find a transaction: its deposits and the claims of it, on every chain, with their accounts.
    Find {
        /// Its hash, `0x…`.
        tx: TxHash,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show how far each chain has been read, its health, and what waits on it.
    Chains {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the transaction hashes that accounts have submitted, oldest first.
    Claims {
        /// Only this account: its id or email address.
        #[arg(long)]
        account: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List arrivals that are not deposits: coins without a known transaction, and tokens that are
    /// not accepted.
    Arrivals {
        /// Only this account: its id or email address.
        #[arg(long)]
        account: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Credit a deposit that is held for review. Use `deposit reject` to refuse it.
    Review(decide::ReviewArgs),
    /// Assign an unattributed deposit to an account. It is then credited like any other.
    Attribute(decide::AttributeArgs),
    /// Reject a deposit permanently. This does not refund it: see `deposit refund`.
    Reject(decide::RejectArgs),
    /// Refund a deposit: hold the amount, send the coins from your own wallet, then record the
    /// transaction.
    #[command(after_help = refund::STEPS)]
    Refund(refund::RefundArgs),
    /// Print deposits as CSV, oldest first.
    Export(export::ExportArgs),
    /// Accept a new tombstone secret after the old one was lost for good. Deposits of accounts that
    /// were erased before can then be credited again, to the account that links the wallet.
    ForgetTombstones {
        /// Reason, in 1 to 500 characters.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Allow a wallet to be linked again after an erased account's debt is paid.
    SettleDebt {
        /// The wallet's address, `0x…`.
        #[arg(value_parser = EvmAddress::parse_written)]
        wallet: EvmAddress,
        /// Reason, in 1 to 500 characters. Do not name a person.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Review cases: transactions that providers cannot read or do not agree on.
    #[command(subcommand)]
    Cases(cases::CasesCommand),
    /// Manage the addresses that are derived for accounts.
    #[command(subcommand)]
    Addresses(addresses::AddressesCommand),
}

pub(super) fn run(
    command: &DepositCommand,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    match command {
        DepositCommand::List(args) => list::deposits(args, desk, output)?,
        DepositCommand::Show { deposit, json } => {
            let row = wanted(desk, deposit)?;
            show::run(&row, desk, *json, output)?;
        }
        DepositCommand::Find { tx, json } => find::run(*tx, desk, *json, output)?,
        DepositCommand::Chains { json } => chains::run(desk, *json, output)?,
        DepositCommand::Claims { account, json } => {
            list::claims(account.as_deref(), desk, *json, output)?;
        }
        DepositCommand::Arrivals { account, json } => {
            arrivals::run(account.as_deref(), desk, *json, output)?;
        }
        DepositCommand::Review(args) => decide::review(args, desk, output)?,
        DepositCommand::Attribute(args) => decide::attribute(args, desk, output)?,
        DepositCommand::Reject(args) => decide::reject(args, desk, output)?,
        DepositCommand::Refund(args) => refund::run(args, desk, output)?,
        DepositCommand::Export(args) => export::run(args, desk, output)?,
        DepositCommand::ForgetTombstones { reason } => {
            let now = desk.clock.now();
            let forgotten = desk.with(|conn| tombstones::forget(conn, reason, now))?;
            output.line(&format!(
                "{} tombstones were deleted; the next start accepts the configured secret. Restart \
                 every server.",
                forgotten.tombstones
            ))?;
            if forgotten.second_factors > 0 {
                output.line(&format!(
                    "{} accounts now need a recovery code to log in: their two-factor keys could \
                     not be decrypted.",
                    forgotten.second_factors
                ))?;
            }
        }
        DepositCommand::SettleDebt { wallet, reason } => {
            let (key, now) = (desk.tombstones()?, desk.clock.now());
            let settled = desk.with(|conn| tombstones::settle(conn, &key, *wallet, reason, now))?;
            if !settled {
                return Err(CliError::Refused(
                    "no account with this wallet was erased with a debt".to_owned(),
                ));
            }
            output.line("The wallet can be linked again.")?;
        }
        DepositCommand::Cases(command) => cases::run(command, desk, output)?,
        DepositCommand::Addresses(command) => addresses::run(command, desk, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The deposit of an id, or a refusal that repeats it.
fn wanted(desk: &CommandContext, name: &str) -> Result<DepositRow, CliError> {
    let found = desk.with(|conn| deposits::find(conn, name))?;
    found.ok_or_else(|| CliError::Refused(format!("there is no deposit \"{name}\"")))
}

/// Where a deposit stands, in its stored words: `held (depegged)`.
fn standing(row: &DepositRow) -> String {
    match &row.reason {
        Some(reason) => format!("{} ({reason})", row.state),
        None => row.state.to_string(),
    }
}

/// The same with its refund, as its owner is told it: `credited (4.25 refunded)`.
fn standing_with(row: &DepositRow, refund: Option<&RefundRow>) -> String {
    let Some((refund, share)) = refund.and_then(|one| Some((one, share(row, one)?))) else {
        return standing(row);
    };
    let amount = refund.amount_nanousd;
    match (refund.state, share) {
        (RefundState::Posted, RefundedShare::Whole) => state(row, Some(refund)).to_owned(),
        (RefundState::Posted, RefundedShare::Part) => format!("{} ({amount} refunded)", row.state),
        _ => format!("{} (refund of {amount} held)", row.state),
    }
}

/// Reads rows page by page, each behind the last row of the one before, and hands them on.
fn each_page<Row>(
    desk: &CommandContext,
    mut read: impl FnMut(&mut AnyConnection, i64) -> Result<Vec<Row>, CliError>,
    id: impl Fn(&Row) -> i64,
    mut print: impl FnMut(Vec<Row>) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut after = 0;
    loop {
        let rows = desk.with(|conn| read(conn, after))?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = id(last);
        print(rows)?;
    }
}

/// A reason as it is written down.
pub(super) fn reason(text: &str) -> Result<String, BadReason> {
    Reason::parse(text).map(|reason| reason.as_str().to_owned())
}

/// An amount above zero.
fn positive(text: &str) -> Result<NanoUsd, String> {
    let amount: NanoUsd = text.parse().map_err(|error| format!("{error}"))?;
    if amount > NanoUsd::ZERO { Ok(amount) } else { Err("must be above 0".to_owned()) }
}

/// Reads a state by its word, and lists all of them in the help.
fn states() -> impl TypedValueParser<Value = DepositState> {
    let words = DepositState::ALL.iter().map(|state| state.as_str());
    PossibleValuesParser::new(words)
        .try_map(|word| DepositState::parse(&word).ok_or("not a deposit state"))
}
