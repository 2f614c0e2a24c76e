//! `sluice deposit export`: deposits as CSV, page by page, so that memory does not grow with them.

use std::collections::HashMap;

use chrono::{Days, NaiveDate, NaiveTime};
use clap::Args;

use super::csv::CsvRow;
use super::list::moment;
use super::names::{SettingNames, accounts_of, address};
use super::{PAGE, each_page};
use crate::cli::{CliError, CommandContext, Output};
use crate::db::models::audit::{self, AuditRow};
use crate::db::models::deposit_refunds::{self, RefundRow};
use crate::db::models::deposits::{self, DepositRow, Filter};
use crate::db::{AnyConnection, DbError, transaction};
use crate::deposits::standing;
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, RefundState};
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;

#[derive(Args)]
pub(in crate::cli) struct ExportArgs {
    /// First day, by the time of the block, such as 2026-11-01, UTC. Default: the beginning.
    #[arg(long, value_name = "DATE", value_parser = day)]
    from: Option<NaiveDate>,
    /// Last day, inclusive, UTC. Default: now.
    #[arg(long, value_name = "DATE", value_parser = day)]
    to: Option<NaiveDate>,
}

const HEADER: [&str; 32] = [
    "deposit",
    "time",
    "chain",
    "chain_id",
    "block",
    "block_hash",
    "tx_hash",
    "ordinal",
    "from",
    "to",
    "asset",
    "token",
    "raw_amount",
    "decimals",
    "amount",
    "price_feed",
    "price_round",
    "price_answer",
    "value_usd",
    "state",
    "reason",
    "account",
    "credit_number",
    "early_credit_time",
    "refund",
    "refund_state",
    "refund_usd",
    "refund_tx_hash",
    "refund_time",
    "decision",
    "decision_time",
    "decision_detail",
];

/// A deposit with its last refund and the last decision about it.
struct ExportItem {
    row: DepositRow,
    refund: Option<RefundRow>,
    decision: Option<AuditRow>,
}

pub(super) fn run(
    args: &ExportArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(CliError::Refused(format!("{from} is after {to}")));
    }
    let filter = Filter {
        from: args.from.map(midnight),
        before: args.to.and_then(|day| day.checked_add_days(Days::new(1))).map(midnight),
        ..Filter::default()
    };
    let names = SettingNames::of(desk);
    let mut header = CsvRow::default();
    for name in HEADER {
        header.plain(name);
    }
    output.text(&header.end())?;
    each_page(
        desk,
        // A page is of one moment, so that a deposit and its refund fit together.
        |conn, after| Ok(transaction::snapshot(conn, |conn| page(conn, &filter, after))?),
        |item| item.row.id,
        |items| {
            let accounts = accounts_of(desk, items.iter().map(|item| item.row.account_id))?;
            let lines = items.iter().map(|item| line(item, &names, &accounts));
            Ok(output.text(&lines.collect::<String>())?)
        },
    )
}

fn page(conn: &mut AnyConnection, filter: &Filter, after: i64) -> Result<Vec<ExportItem>, DbError> {
    let rows = deposits::page(conn, filter, after, PAGE)?;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let names: Vec<&str> = rows.iter().map(|row| row.public_id.as_str()).collect();
    // Both come oldest first, so that the last of each stays.
    let refunds = deposit_refunds::of_deposits(conn, &ids)?;
    let mut refunds: HashMap<i64, RefundRow> =
        refunds.into_iter().map(|refund| (refund.deposit_id, refund)).collect();
    let decisions = audit::of_all(conn, &names)?;
    let mut decisions: HashMap<String, AuditRow> =
        decisions.into_iter().map(|decision| (decision.subject.clone(), decision)).collect();
    let item = |row: DepositRow| ExportItem {
        refund: refunds.remove(&row.id),
        decision: decisions.remove(&row.public_id),
        row,
    };
    Ok(rows.into_iter().map(item).collect())
}

fn line(
    item: &ExportItem,
    names: &SettingNames<'_>,
    accounts: &HashMap<AccountId, String>,
) -> String {
    let ExportItem { row, refund, decision } = item;
    let coins = names.coins(row);
    let mut line = CsvRow::default();
    line.plain(&row.public_id)
        .plain(&moment(row.block_time))
        .words(&names.chain(row.chain_id))
        .plain(&row.chain_id.to_string())
        .plain(&row.block_number.to_string())
        .plain(&row.block_hash.to_string())
        .plain(&row.tx_hash.to_string())
        .plain(&row.ordinal.to_string())
        .plain(&address(row.payer))
        .plain(&address(row.payee))
        .words(&coins.asset())
        .plain(coins.token.as_deref().unwrap_or_default())
        .words(&row.raw_amount.to_string())
        .plain(&coins.decimals.map(|decimals| decimals.to_string()).unwrap_or_default())
        .plain(coins.amount.as_deref().unwrap_or_default())
        .plain(&row.price_feed.map(address).unwrap_or_default())
        .words(row.price_round.as_deref().unwrap_or_default())
        .words(row.price_answer.as_deref().unwrap_or_default())
        .plain(&row.value_nanousd.map(usd).unwrap_or_default())
        .words(standing::state(
            row,
            refund.as_ref().filter(|one| one.state != RefundState::Cancelled),
        ))
        .words(row.reason.map_or("", DepositReason::as_str))
        .words(row.account_id.and_then(|id| accounts.get(&id)).map_or("", String::as_str))
        .plain(&row.credit_number.to_string())
        .plain(&row.early_credit_at.map(moment).unwrap_or_default());
    let refund = refund.as_ref();
    let paid = refund.and_then(|refund| refund.tx_hash);
    line.plain(refund.map_or("", |refund| &refund.public_id))
        .plain(refund.map_or("", |refund| refund.state.as_str()))
        .plain(&refund.map(|refund| usd(refund.amount_nanousd)).unwrap_or_default())
        .plain(&paid.map(|hash| hash.to_string()).unwrap_or_default())
        .plain(&refund.map(|refund| moment(refund.updated_at)).unwrap_or_default());
    let decision = decision.as_ref();
    line.words(decision.map_or("", |decision| &decision.action))
        .plain(&decision.map(|decision| moment(decision.created_at)).unwrap_or_default())
        .words(decision.map_or("", |decision| &decision.detail));
    line.end()
}

fn usd(amount: NanoUsd) -> String {
    amount.to_string()
}

fn day(text: &str) -> Result<NaiveDate, String> {
    text.parse().map_err(|_| "must be a day such as 2026-11-01".to_owned())
}

fn midnight(day: NaiveDate) -> UnixMillis {
    UnixMillis::from_millis(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
}
