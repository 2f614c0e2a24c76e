//! `sluice deposit cases`: what providers could not read or agree on for so long that a person
//! decides.

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};

use super::list::moment;
use super::names::SettingNames;
use super::{PAGE, each_page, reason};
use crate::cli::{CliError, CommandContext, Output};
use crate::db::models::audit::{self, AuditRow};
use crate::db::models::deposit_cases::{self, CaseRow};
use crate::db::models::deposit_claims;
use crate::db::{AnyConnection, transaction};
use crate::deposits::DepositError;
use crate::deposits::cases::{self, CaseDecision};
use crate::domain::deposit_case::CaseState;

const HEADER: [&str; 7] =
    ["case", "since", "chain", "about", "transaction", "state", "latest reason"];

#[derive(Subcommand)]
pub(in crate::cli) enum CasesCommand {
    /// List cases, oldest first.
    List {
        /// Only cases in this state: `open` waits for you; `doubted` may still resolve by itself;
        /// `dismissed` is ignored.
        #[arg(long, default_value = "open", value_parser = states())]
        state: CaseState,
        /// Only this chain: its name, or the number of one that is no longer configured.
        #[arg(long, value_name = "NAME")]
        chain: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a case with its latest reason, the deposit or claims concerned, and decisions.
    Show {
        /// Its id, `case_…`.
        case: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Dismiss a case. Its transaction is ignored, unless another block includes it. A deposit is
    /// then held: use `deposit review`, `reject` or `refund`.
    Dismiss {
        /// Its id, `case_…`.
        case: String,
        /// Reason, in 1 to 500 characters.
        #[arg(long, value_parser = reason)]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Examine a case again as if it were new, even if it was dismissed.
    Retry {
        /// Its id, `case_…`.
        case: String,
        /// Reason, in 1 to 500 characters.
        #[arg(long, value_parser = reason)]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What is known of a case beside its row.
struct CaseContext {
    deposit: Option<String>,
    claims: Vec<String>,
    decisions: Vec<AuditRow>,
}

pub(super) fn run(
    command: &CasesCommand,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let now = desk.clock.now();
    match command {
        CasesCommand::List { state, chain, json } => {
            list(*state, chain.as_deref(), *json, desk, output)
        }
        CasesCommand::Show { case, json } => show(&wanted(desk, case)?, *json, desk, output),
        CasesCommand::Dismiss { case, reason, json } => {
            decide(desk, case, "it is already dismissed", |conn, row| {
                cases::dismiss(conn, row, reason, now)
            })?;
            afterwards(case, "is dismissed", *json, desk, output)
        }
        CasesCommand::Retry { case, reason, json } => {
            let rule = "it has changed; review it again";
            decide(desk, case, rule, |conn, row| cases::retry(conn, row, reason, now))?;
            afterwards(case, "will be examined again by the server", *json, desk, output)
        }
    }
}

fn list(
    state: CaseState,
    chain: Option<&str>,
    is_json: bool,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let names = SettingNames::of(desk);
    let chain_id = chain.map(|name| names.chain_id(name)).transpose()?;
    let mut listing = output.listing(&HEADER, is_json);
    each_page(
        desk,
        |conn, after| Ok(deposit_cases::page(conn, state, chain_id, after, PAGE)?),
        |row| row.id,
        |rows| {
            let item = |row| (document(row, &names), line(row, &names));
            Ok(listing.page(rows.iter().map(item).collect())?)
        },
    )?;
    Ok(listing.end()?)
}

fn show(
    row: &CaseRow,
    is_json: bool,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let around = desk.with(|conn| transaction::snapshot(conn, |conn| surroundings(conn, row)))?;
    let names = SettingNames::of(desk);
    if is_json {
        let mut shown = document(row, &names);
        let decisions = around.decisions.iter().map(|one| {
            json!({ "created_at": moment(one.created_at), "action": one.action,
                "detail": one.detail })
        });
        let more = json!({
            "deposit": around.deposit,
            "claims": around.claims,
            "decisions": decisions.collect::<Vec<_>>(),
        });
        if let (Some(fields), Value::Object(more)) = (shown.as_object_mut(), more) {
            fields.extend(more);
        }
        return Ok(output.json(&shown)?);
    }
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let fields = [
        ("case", row.public_id.clone()),
        ("state", row.state.to_string()),
        ("about", row.kind.to_string()),
        ("chain", names.chain(row.chain_id)),
        ("transaction", row.tx_hash.to_string()),
        ("block", or_none(row.block_number.map(|number| number.to_string()))),
        ("latest reason", row.detail.clone()),
        ("in doubt since", moment(row.doubted_at)),
        ("case since", or_none(row.opened_at.map(moment))),
        ("last changed", moment(row.updated_at)),
        ("deposit", or_none(around.deposit)),
        ("claims", or_none(Some(around.claims.join(", ")).filter(|ids| !ids.is_empty()))),
    ];
    output.table(&[], fields.into_iter().map(|(name, value)| vec![name.to_owned(), value]))?;
    if !around.decisions.is_empty() {
        output.line("")?;
        let decisions = around
            .decisions
            .iter()
            .map(|one| vec![moment(one.created_at), one.action.clone(), one.detail.clone()]);
        output.table(&["decision of", "what", "why"], decisions)?;
    }
    Ok(())
}

fn surroundings(conn: &mut AnyConnection, row: &CaseRow) -> Result<CaseContext, DepositError> {
    let claims = deposit_claims::of_hash(conn, row.chain_id, row.tx_hash)?;
    Ok(CaseContext {
        deposit: cases::deposit(conn, row)?.map(|deposit| deposit.public_id),
        claims: claims.into_iter().map(|claim| claim.public_id).collect(),
        decisions: audit::of(conn, &row.public_id)?,
    })
}

fn wanted(desk: &CommandContext, name: &str) -> Result<CaseRow, CliError> {
    let found = desk.with(|conn| deposit_cases::find(conn, name))?;
    found.ok_or_else(|| {
        CliError::Refused(format!(
            "there is no case \"{name}\": it may be settled because enough providers agree"
        ))
    })
}

fn decide(
    desk: &CommandContext,
    name: &str,
    rule: &str,
    decide: impl Fn(&mut AnyConnection, &CaseRow) -> Result<CaseDecision, DepositError>,
) -> Result<(), CliError> {
    let row = wanted(desk, name)?;
    match desk.with(|conn| decide(conn, &row))? {
        CaseDecision::Done => Ok(()),
        CaseDecision::NotNow => {
            Err(CliError::Refused(format!("{name} is {}: {rule}; nothing was done", row.state)))
        }
    }
}

fn afterwards(
    name: &str,
    said: &str,
    is_json: bool,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    if is_json {
        return show(&wanted(desk, name)?, true, desk, output);
    }
    Ok(output.line(&format!("{name} {said}"))?)
}

fn document(row: &CaseRow, names: &SettingNames<'_>) -> Value {
    json!({
        "id": row.public_id,
        "chain": names.chain(row.chain_id),
        "chain_id": row.chain_id,
        "tx_hash": row.tx_hash.to_string(),
        "about": row.kind,
        "state": row.state,
        "block_number": row.block_number,
        "detail": row.detail,
        "doubted_at": moment(row.doubted_at),
        "opened_at": row.opened_at.map(moment),
        "updated_at": moment(row.updated_at),
    })
}

fn line(row: &CaseRow, names: &SettingNames<'_>) -> Vec<String> {
    vec![
        row.public_id.clone(),
        row.doubted_at.to_rfc3339_secs(),
        names.chain(row.chain_id),
        row.kind.to_string(),
        row.tx_hash.to_string(),
        row.state.to_string(),
        row.detail.clone(),
    ]
}

fn states() -> impl TypedValueParser<Value = CaseState> {
    PossibleValuesParser::new(CaseState::ALL.map(CaseState::as_str))
        .try_map(|word| CaseState::parse(&word).ok_or("not a case state"))
}
