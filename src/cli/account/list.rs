//! `sluice account list`. Page by page: however many there are, only one page is held.

use clap::Args;
use serde_json::json;

use super::show::document;
use super::wanted;
use crate::cli::{CliError, CommandContext, Output};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::operator::lookup::{self, AccountSearch, AccountSummary, SPENT_DAYS};

/// Accounts read at once.
const PAGE: i64 = 500;

#[derive(Args)]
pub(in crate::cli) struct AccountListArgs {
    /// Only accounts whose email address contains this text.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Begin after this account: the id or email address of the last one on the page before.
    #[arg(long, value_name = "ACCOUNT")]
    after: Option<String>,
    /// List at most so many.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const HEADER: [&str; 8] = [
    "account",
    "email",
    "status",
    "created",
    "available USD",
    "reserved USD",
    "spent USD, 30 days",
    "last used",
];

pub(super) fn run(
    args: &AccountListArgs,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let after = args.after.as_deref().map(|name| wanted(desk, name)).transpose()?;
    let mut after = after.map_or(AccountId(0), |account| account.id);
    let mut left = args.limit.unwrap_or(i64::MAX);
    let now = desk.clock.now();
    let mut listing = output.listing(&HEADER, args.json);
    while left > 0 {
        let search = AccountSearch { email: args.search.as_deref(), after, limit: left.min(PAGE) };
        let found = desk.with(|conn| lookup::accounts(conn, &search, now))?;
        let Some(last) = found.last() else { break };
        after = last.account.id;
        left = left.saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
        listing.page(found.iter().map(item).collect())?;
    }
    Ok(listing.end()?)
}

fn item(found: &AccountSummary) -> (serde_json::Value, Vec<String>) {
    let AccountSummary { account, spent, last_used_at } = found;
    let mut shown = document(account);
    if let Some(fields) = shown.as_object_mut() {
        let last_used_at = last_used_at.map(|at| at.to_string());
        fields.insert(format!("spent_{SPENT_DAYS}_days"), json!(spent.to_string()));
        fields.insert("last_used_at".to_owned(), json!(last_used_at));
    }
    let line = vec![
        account.public_id.clone(),
        account.email.clone(),
        account.status.to_string(),
        account.created_at.to_rfc3339_secs(),
        account.available_nanousd.to_string(),
        account.reserved_nanousd.to_string(),
        spent.to_string(),
        last_used_at.map_or_else(|| "-".to_owned(), UnixMillis::to_rfc3339_secs),
    ];
    (shown, line)
}
