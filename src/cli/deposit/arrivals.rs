//! `sluice deposit arrivals`: what arrived at accounts' own addresses, and at treasuries, and is no
//! deposit.

use serde_json::{Value, json};

use super::list::moment;
use super::names::{SettingNames, accounts_of, address};
use super::{PAGE, each_page, wanted_account};
use crate::cli::{CliError, CommandContext, Output};
use crate::db::models::arrivals::{self as rows, ArrivalRow};
use crate::deposits::arrivals::unexplained;
use crate::domain::deposit::NATIVE_DECIMALS;
use crate::domain::evm::RawAmount;
use crate::domain::ids::AccountId;

const HEADER: [&str; 7] =
    ["noticed", "account", "chain", "address", "what", "blocks", "transaction"];

pub(super) fn run(
    account: Option<&str>,
    desk: &CommandContext,
    json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let names = SettingNames::of(desk);
    let account = account.map(|name| wanted_account(desk, name)).transpose()?;
    let account_id = account.map(|account| account.id);
    let mut listing = output.listing(&HEADER, json);
    each_page(
        desk,
        |conn, after| {
            let page = rows::page(conn, account_id, after, PAGE)?;
            let mut found = Vec::with_capacity(page.len());
            for (row, owner) in page {
                let rest = match row.token {
                    Some(_) => row.raw_amount,
                    None => unexplained(conn, &row)?.into(),
                };
                found.push((row, owner, rest));
            }
            Ok(found)
        },
        |(row, ..)| row.id,
        |found| {
            let accounts = accounts_of(desk, found.iter().map(|(_, owner, _)| *owner))?;
            let whose = |owner: &Option<AccountId>| owner.and_then(|id| accounts.get(&id));
            let item = |(row, owner, rest): &(ArrivalRow, Option<AccountId>, RawAmount)| {
                (document(row, whose(owner), *rest, &names), line(row, whose(owner), *rest, &names))
            };
            Ok(listing.page(found.iter().map(item).collect())?)
        },
    )?;
    Ok(listing.end()?)
}

fn document(
    row: &ArrivalRow,
    owner: Option<&String>,
    rest: RawAmount,
    names: &SettingNames<'_>,
) -> Value {
    json!({
        "kind": if row.token.is_some() { "unaccepted_token" } else { "coins" },
        "account": owner,
        "chain": names.chain(row.chain_id),
        "chain_id": row.chain_id,
        "address": address(row.address),
        "token": row.token.map(address),
        "raw_amount": rest.to_string(),
        "tx_hash": row.tx_hash.map(|hash| hash.to_string()),
        "from_block": row.after_number.saturating_add(1),
        "to_block": row.block_number,
        "tries": row.tries,
        "check_at": row.check_at.map(moment),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    })
}

fn line(
    row: &ArrivalRow,
    owner: Option<&String>,
    rest: RawAmount,
    names: &SettingNames<'_>,
) -> Vec<String> {
    let first = row.after_number.saturating_add(1);
    vec![
        row.created_at.to_rfc3339_secs(),
        owner.map_or("-", String::as_str).to_owned(),
        names.chain(row.chain_id),
        address(row.address),
        match row.token {
            Some(token) => format!("{rest} of the token {}", address(token)),
            None => format!("{} coins", rest.in_coins(NATIVE_DECIMALS)),
        },
        if first == row.block_number {
            first.to_string()
        } else {
            format!("{first} to {}", row.block_number)
        },
        row.tx_hash.map_or_else(|| "-".to_owned(), |hash| hash.to_string()),
    ]
}
