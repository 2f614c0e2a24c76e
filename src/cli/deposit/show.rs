//! `sluice deposit show`: one deposit with everything that hangs on it.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::list::{claim_document, document, moment, value};
use super::names::{SettingNames, accounts_of, address};
use super::{standing_with, wanted};
use crate::cli::{CliError, CommandContext, Output};
use crate::db::books::{EntryRow, entries_of};
use crate::db::models::audit::{self, AuditRow};
use crate::db::models::chains::{self, ChainRow};
use crate::db::models::deposit_addresses::{self, AddressRow};
use crate::db::models::deposit_claims::{self, ClaimRow};
use crate::db::models::deposit_refunds::{self, RefundRow};
use crate::db::models::deposits::DepositRow;
use crate::db::models::wallets::{self, WalletRow};
use crate::db::{AnyConnection, DbError, transaction};
use crate::deposits::{credit, standing};
use crate::domain::deposit::{DepositReason, RefundState};
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;

/// What is known of a deposit beside its row.
struct DepositContext {
    entries: Vec<EntryRow>,
    refunds: Vec<RefundRow>,
    decisions: Vec<AuditRow>,
    claims: Vec<ClaimRow>,
    wallet: Option<WalletRow>,
    derived: Option<AddressRow>,
    chain: Option<ChainRow>,
}

pub(super) fn run(
    row: &DepositRow,
    desk: &CommandContext,
    is_json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    let around = desk.with(|conn| transaction::snapshot(conn, |conn| surroundings(conn, row)))?;
    let of_claims = around.claims.iter().map(|claim| Some(claim.account_id));
    let accounts = accounts_of(desk, std::iter::once(row.account_id).chain(of_claims))?;
    let names = SettingNames::of(desk);
    if is_json {
        return Ok(output.json(&whole(row, &around, &names, &accounts))?);
    }
    let fields = fields(row, &around, &names, &accounts);
    output.table(&[], fields.into_iter().map(|(name, value)| vec![name.to_owned(), value]))?;
    print_history(&around, &accounts, output)
}

/// Prints how a deposit stands after something was done to it: a sentence, or the document of
/// `show`.
pub(super) fn afterwards(
    public_id: &str,
    said: &str,
    desk: &CommandContext,
    is_json: bool,
    output: &mut Output,
) -> Result<(), CliError> {
    if is_json {
        return run(&wanted(desk, public_id)?, desk, true, output);
    }
    Ok(output.line(said)?)
}

fn surroundings(conn: &mut AnyConnection, row: &DepositRow) -> Result<DepositContext, DbError> {
    let refunds = deposit_refunds::of_deposits(conn, &[row.id])?;
    let numbered = (1..=row.credit_number)
        .map(|credit_number| credit::reference(&DepositRow { credit_number, ..row.clone() }));
    let references: Vec<String> =
        numbered.chain(refunds.iter().map(|refund| refund.public_id.clone())).collect();
    Ok(DepositContext {
        entries: entries_of(conn, &references)?,
        decisions: audit::of(conn, &row.public_id)?,
        claims: deposit_claims::of_hash(conn, row.chain_id, row.tx_hash)?,
        wallet: row.wallet_id.map(|id| wallets::get(conn, id)).transpose()?.flatten(),
        derived: deposit_addresses::find(conn, row.payee)?,
        chain: chains::find(conn, row.chain_id)?,
        refunds,
    })
}

/// Whether the block counts as final; `None` where nobody has read the chain.
fn is_final(row: &DepositRow, chain: Option<&ChainRow>) -> Option<bool> {
    chain.map(|chain| row.block_number <= chain.final_number)
}

/// The refund that is held or posted.
fn standing_refund(around: &DepositContext) -> Option<&RefundRow> {
    around.refunds.iter().find(|refund| refund.state != RefundState::Cancelled)
}

/// What its owner is told: of its state with its refund, and of its reason.
fn sentences(row: &DepositRow, around: &DepositContext) -> (String, Option<&'static str>) {
    let without_reason = DepositRow { reason: None, ..row.clone() };
    let refund = standing_refund(around);
    (standing::sentence(&without_reason, refund), row.reason.map(DepositReason::sentence))
}

fn whole(
    row: &DepositRow,
    around: &DepositContext,
    names: &SettingNames<'_>,
    accounts: &HashMap<AccountId, String>,
) -> Value {
    let mut shown = document((row, standing_refund(around)), names, accounts);
    let (sentence, reason_sentence) = sentences(row, around);
    let entries = around.entries.iter().map(|entry| {
        json!({ "created_at": entry.created_at.to_string(), "kind": entry.kind.as_str(),
                "reference": entry.reference, "amount": entry.amount_nanousd.to_string() })
    });
    let refunds = around.refunds.iter().map(|refund| {
        json!({ "id": refund.public_id, "state": refund.state,
                "amount": usd(refund.amount_nanousd),
                "tx_hash": refund.tx_hash.map(|hash| hash.to_string()),
                "created_at": moment(refund.created_at), "updated_at": moment(refund.updated_at) })
    });
    let decisions = around.decisions.iter().map(|one| {
        json!({ "created_at": moment(one.created_at), "action": one.action, "detail": one.detail })
    });
    let more = json!({
        "sentence": sentence,
        "reason_sentence": reason_sentence,
        "is_final": is_final(row, around.chain.as_ref()),
        "price_feed": row.price_feed.map(address),
        "price_round": row.price_round,
        "price_answer": row.price_answer,
        "wallet": around.wallet.as_ref().map(|wallet| &wallet.public_id),
        "derivation_index": around.derived.as_ref().map(|derived| derived.derivation_index),
        "entries": entries.collect::<Vec<_>>(),
        "refunds": refunds.collect::<Vec<_>>(),
        "decisions": decisions.collect::<Vec<_>>(),
        "claims": around.claims.iter().map(|claim| claim_document(claim, names, accounts))
            .collect::<Vec<_>>(),
    });
    if let (Some(fields), Value::Object(more)) = (shown.as_object_mut(), more) {
        fields.extend(more);
    }
    shown
}

fn fields(
    row: &DepositRow,
    around: &DepositContext,
    names: &SettingNames<'_>,
    accounts: &HashMap<AccountId, String>,
) -> Vec<(&'static str, String)> {
    let coins = names.coins(row);
    let account = row.account_id.and_then(|id| accounts.get(&id)).cloned();
    let (sentence, reason_sentence) = sentences(row, around);
    let mut fields = vec![
        ("deposit", row.public_id.clone()),
        ("state", standing_with(row, standing_refund(around))),
    ];
    fields.push(("", sentence));
    fields.extend(reason_sentence.map(|sentence| ("", sentence.to_owned())));
    fields.push(("account", account.unwrap_or_else(|| "-".to_owned())));
    fields.extend(around.wallet.as_ref().map(|wallet| ("by wallet", wallet.public_id.clone())));
    fields.extend([
        ("amount", coins.shown()),
        ("raw amount", row.raw_amount.to_string()),
        ("token", coins.token.clone().unwrap_or_else(|| "-".to_owned())),
        ("value", format!("{} USD", value(row))),
    ]);
    if let Some(feed) = row.price_feed {
        let unknown = || "-".to_owned();
        fields.extend([
            ("price feed", address(feed)),
            ("price round", row.price_round.clone().unwrap_or_else(unknown)),
            ("price answer", row.price_answer.clone().unwrap_or_else(unknown)),
        ]);
    }
    let payee = match &around.derived {
        Some(derived) => {
            format!("{} (derived, index {})", address(row.payee), derived.derivation_index)
        }
        None => address(row.payee),
    };
    let is_final = match is_final(row, around.chain.as_ref()) {
        Some(true) => "final",
        Some(false) => "not final yet",
        None => "finality unknown",
    };
    fields.extend([
        ("chain", names.chain(row.chain_id)),
        ("transaction", row.tx_hash.to_string()),
        ("ordinal", row.ordinal.to_string()),
        ("payer", address(row.payer)),
        ("payee", payee),
        ("block", format!("{} ({is_final})", row.block_number)),
        ("block hash", row.block_hash.to_string()),
        ("mined", moment(row.block_time)),
        ("first seen", moment(row.created_at)),
        ("last changed", moment(row.updated_at)),
        ("times credited", row.credit_number.to_string()),
    ]);
    fields.extend(row.early_credit_at.map(|at| ("credited early", moment(at))));
    fields
}

fn print_history(
    around: &DepositContext,
    accounts: &HashMap<AccountId, String>,
    output: &mut Output,
) -> Result<(), CliError> {
    let entries = around.entries.iter().map(|entry| {
        let (at, amount) = (entry.created_at.to_string(), entry.amount_nanousd.to_string());
        vec![at, entry.kind.as_str().to_owned(), entry.reference.clone(), amount]
    });
    section(&["entry of", "kind", "reference", "USD"], entries.collect(), output)?;
    let refunds = around.refunds.iter().map(|refund| {
        let paid = refund.tx_hash.map_or_else(|| "-".to_owned(), |hash| hash.to_string());
        let (at, amount) = (moment(refund.created_at), usd(refund.amount_nanousd));
        vec![at, refund.public_id.clone(), refund.state.to_string(), amount, paid]
    });
    section(&["refund of", "id", "state", "USD", "transaction"], refunds.collect(), output)?;
    let decisions = around
        .decisions
        .iter()
        .map(|one| vec![moment(one.created_at), one.action.clone(), one.detail.clone()]);
    section(&["decision of", "what", "why"], decisions.collect(), output)?;
    let claims = around.claims.iter().map(|claim| {
        let account = accounts.get(&claim.account_id).map_or("-", String::as_str).to_owned();
        vec![moment(claim.created_at), claim.public_id.clone(), account, claim.state.to_string()]
    });
    section(&["claim of", "id", "account", "state"], claims.collect(), output)
}

fn section(header: &[&str], rows: Vec<Vec<String>>, output: &mut Output) -> Result<(), CliError> {
    if !rows.is_empty() {
        output.line("")?;
        output.table(header, rows)?;
    }
    Ok(())
}

fn usd(amount: NanoUsd) -> String {
    amount.to_string()
}
