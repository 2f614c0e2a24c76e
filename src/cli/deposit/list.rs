//! `sluice deposit list` and `claims`. Page by page: however many there are, only one page is held.

use std::collections::HashMap;

use clap::Args;
use serde_json::{Value, json};

use super::names::{SettingNames, accounts_of, address};
use super::{PAGE, each_page, standing_with, states, wanted_account};
use crate::cli::{CliError, CommandContext, Output};
use crate::db::models::deposit_claims::{self, ClaimRow};
use crate::db::models::deposit_refunds::{self, RefundRow};
use crate::db::models::deposits::{self as rows, DepositRow, Filter};
use crate::db::{DbError, transaction};
use crate::deposits;
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::DepositState;
use crate::domain::ids::AccountId;

#[derive(Args)]
pub(in crate::cli) struct ListArgs {
    /// Only deposits in this state.
    #[arg(long, value_parser = states())]
    state: Option<DepositState>,
    /// Only this account: its id or email address.
    #[arg(long)]
    account: Option<String>,
    /// Only this chain: its name, or the number of one that is no longer configured.
    #[arg(long, value_name = "NAME")]
    chain: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) const HEADER: [&str; 7] =
    ["deposit", "mined", "chain", "amount", "value USD", "state", "account"];
pub(super) const CLAIMS_HEADER: [&str; 8] =
    ["claim", "created", "account", "chain", "transaction", "state", "tries", "next check"];

pub(super) fn deposits(
    args: &ListArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let names = SettingNames::of(desk);
    let account = args.account.as_deref().map(|name| wanted_account(desk, name)).transpose()?;
    let filter = Filter {
        state: args.state,
        account_id: account.map(|account| account.id),
        chain_id: args.chain.as_deref().map(|name| names.chain_id(name)).transpose()?,
        ..Filter::default()
    };
    let mut listing = output.listing(&HEADER, args.json);
    each_page(
        desk,
        // Of one moment, so that a deposit and its refund fit together.
        |conn, after| {
            Ok(transaction::snapshot(conn, |conn| {
                let rows = rows::page(conn, &filter, after, PAGE)?;
                let mut refunds = deposit_refunds::standing(conn, &rows)?;
                let with_refund = |row: DepositRow| (refunds.remove(&row.id), row);
                Ok::<_, DbError>(rows.into_iter().map(with_refund).collect())
            })?)
        },
        |(_, row)| row.id,
        |rows: Vec<(Option<RefundRow>, DepositRow)>| {
            let accounts = accounts_of(desk, rows.iter().map(|(_, row)| row.account_id))?;
            let item = |(refund, row): &(Option<RefundRow>, DepositRow)| {
                let with_refund = (row, refund.as_ref());
                (document(with_refund, &names, &accounts), line(with_refund, &names, &accounts))
            };
            Ok(listing.page(rows.iter().map(item).collect())?)
        },
    )?;
    Ok(listing.end()?)
}

/// What a program gets of a deposit, in lists and alone.
pub(super) fn document(
    (row, refund): (&DepositRow, Option<&RefundRow>),
    names: &SettingNames<'_>,
    accounts: &HashMap<AccountId, String>,
) -> Value {
    let coins = names.coins(row);
    json!({
        "id": row.public_id,
        "state": deposits::standing::state(row, refund),
        "reason": row.reason,
        "refund_state": refund.map(|refund| refund.state.as_str()),
        "refunded": refund.map(|refund| refund.amount_nanousd.to_string()),
        "account": row.account_id.and_then(|id| accounts.get(&id)),
        "chain": names.chain(row.chain_id),
        "chain_id": row.chain_id,
        "tx_hash": row.tx_hash.to_string(),
        "ordinal": row.ordinal,
        "payer": address(row.payer),
        "payee": address(row.payee),
        "asset": coins.symbol,
        "token": coins.token,
        "raw_amount": row.raw_amount,
        "decimals": coins.decimals,
        "amount": coins.amount,
        "value": row.value_nanousd.map(|value| value.to_string()),
        "credit_number": row.credit_number,
        "early_credit_at": row.early_credit_at.map(moment),
        "block_number": row.block_number,
        "block_hash": row.block_hash.to_string(),
        "block_time": moment(row.block_time),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    })
}

pub(super) fn line(
    (row, refund): (&DepositRow, Option<&RefundRow>),
    names: &SettingNames<'_>,
    accounts: &HashMap<AccountId, String>,
) -> Vec<String> {
    let account = row.account_id.and_then(|id| accounts.get(&id));
    vec![
        row.public_id.clone(),
        row.block_time.to_rfc3339_secs(),
        names.chain(row.chain_id),
        names.coins(row).shown(),
        value(row),
        standing_with(row, refund),
        account.map_or("-", String::as_str).to_owned(),
    ]
}

/// What a deposit counts, as far as that is known.
pub(super) fn value(row: &DepositRow) -> String {
    row.value_nanousd.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

pub(super) fn moment(at: UnixMillis) -> String {
    at.to_string()
}

pub(super) fn claims(
    account: Option<&str>,
    desk: &CommandContext,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let names = SettingNames::of(desk);
    let account = account.map(|name| wanted_account(desk, name)).transpose()?;
    let account_id = account.map(|account| account.id);
    let mut listing = output.listing(&CLAIMS_HEADER, json);
    each_page(
        desk,
        |conn, after| Ok(deposit_claims::page(conn, account_id, after, PAGE)?),
        |row| row.id,
        |rows| {
            let accounts = accounts_of(desk, rows.iter().map(|row| Some(row.account_id)))?;
            let item =
                |row| (claim_document(row, &names, &accounts), claim_line(row, &names, &accounts));
            Ok(listing.page(rows.iter().map(item).collect())?)
        },
    )?;
    Ok(listing.end()?)
}

pub(super) fn claim_document(
    row: &ClaimRow,
    names: &SettingNames<'_>,
    accounts: &HashMap<AccountId, String>,
) -> Value {
    json!({
        "id": row.public_id,
        "account": accounts.get(&row.account_id),
        "chain": names.chain(row.chain_id),
        "chain_id": row.chain_id,
        "tx_hash": row.tx_hash.to_string(),
        "state": row.state,
        "reason": row.reason,
        "tries": row.tries,
        "check_at": row.check_at.map(moment),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    })
}

pub(super) fn claim_line(
    row: &ClaimRow,
    names: &SettingNames<'_>,
    accounts: &HashMap<AccountId, String>,
) -> Vec<String> {
    let state = match &row.reason {
        Some(reason) => format!("{} ({reason})", row.state),
        None => row.state.to_string(),
    };
    vec![
        row.public_id.clone(),
        row.created_at.to_rfc3339_secs(),
        accounts.get(&row.account_id).map_or("-", String::as_str).to_owned(),
        names.chain(row.chain_id),
        row.tx_hash.to_string(),
        state,
        row.tries.to_string(),
        row.check_at.map_or_else(|| "-".to_owned(), UnixMillis::to_rfc3339_secs),
    ]
}
