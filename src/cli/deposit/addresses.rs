//! `sluice deposit addresses`: the counter from which accounts' own addresses are numbered.

use clap::Subcommand;
use serde_json::json;

use crate::cli::{CliError, CommandContext, Output};
use crate::db::models::deposit_addresses;
use crate::deposits::addresses::{self, Advanced};
use crate::domain::evm::to_hex;

/// Indexes that may be left out at once without `--far`: what is left out is lost, and a typing
/// error would be too.
const FAR: i64 = 100_000;

#[derive(Subcommand)]
pub(in crate::cli) enum AddressesCommand {
    /// Continue at a later index. After a restore, addresses that were issued since the backup must
    /// not be issued again to somebody else. The counter never goes back.
    Advance {
        /// Next index to issue.
        #[arg(value_parser = clap::value_parser!(u32).range(1..=0x7fff_ffff))]
        index: u32,
        /// Allow a step of more than 100000 indexes.
        #[arg(long)]
        far: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(
    command: &AddressesCommand,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let AddressesCommand::Advance { index, far, json } = command;
    let Some(xpub) = &desk.settings.deposits.account_xpub else {
        return Err(CliError::Refused(
            "deposits.account_xpub is not set, so no addresses are derived".to_owned(),
        ));
    };
    let fingerprint = to_hex(&xpub.fingerprint());
    let current = desk.with(|conn| deposit_addresses::counter(conn, &fingerprint))?;
    let gap = i64::from(*index).saturating_sub(current);
    if gap > FAR && !far {
        return Err(CliError::Refused(format!(
            "the next index is {current}; {index} would skip {gap} permanently. Repeat with --far \
             to confirm"
        )));
    }
    let now = desk.clock.now();
    match desk.with(|conn| addresses::advance(conn, xpub, *index, now))? {
        Advanced::From(before) if *json => {
            let document = json!({ "xpub_fingerprint": fingerprint, "from": before, "to": index });
            output.json(&document)?;
        }
        Advanced::From(before) => {
            output.line(&format!("the next index is {index}; it was {before}"))?;
        }
        Advanced::Not(next) => {
            return Err(CliError::Refused(format!(
                "the next index is already {next}: the counter never goes back, and an index is \
                 issued once"
            )));
        }
    }
    Ok(())
}
