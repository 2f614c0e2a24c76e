//! `sluice deposit find`: what is known of a transaction, on every chain.

use serde_json::{Value, json};

use super::list::{CLAIMS_HEADER, HEADER};
use super::list::{claim_document, claim_line, document, line};
use super::names::{SettingNames, accounts_of};
use crate::cli::{CliError, CommandContext, Output};
use crate::domain::evm::TxHash;
use crate::operator::lookup;

pub(super) fn run(
    hash: TxHash,
    desk: &CommandContext,
    is_json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let found = desk.with(|conn| lookup::transaction(conn, hash))?;
    let names = SettingNames::of(desk);
    let payees = found.deposits.iter().map(|(row, _)| row.account_id);
    let claimants = found.claims.iter().map(|row| Some(row.account_id));
    let accounts = accounts_of(desk, payees.chain(claimants))?;
    let deposits = found.deposits.iter().map(|(row, refund)| (row, refund.as_ref()));
    if is_json {
        let deposits: Vec<Value> = deposits.map(|one| document(one, &names, &accounts)).collect();
        let claims = found.claims.iter().map(|row| claim_document(row, &names, &accounts));
        let claims: Vec<Value> = claims.collect();
        return Ok(output.json(&json!({ "deposits": deposits, "claims": claims }))?);
    }
    if found.deposits.is_empty() {
        output.line("No deposit has this transaction.")?;
    } else {
        output.table(&HEADER, deposits.map(|one| line(one, &names, &accounts)))?;
    }
    if !found.claims.is_empty() {
        let claims = found.claims.iter().map(|row| claim_line(row, &names, &accounts));
        output.table(&CLAIMS_HEADER, claims)?;
    }
    Ok(())
}
