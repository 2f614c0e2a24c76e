//! `sluice policy …`

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{CliError, CommandContext, Output};
use crate::db::models::policies::{self as rows, PolicyRow};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::policy::{PolicyKind, PolicyVersion};
use crate::policies::{self, PolicyDraft, PolicyVersions, Published, WORDS_CHARS_MAX, hex};
use crate::site;

/// Bytes of a file that are read at most: more cannot be within the limit of characters.
const FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Subcommand)]
pub(super) enum PolicyCommand {
    /// Publish a version: the page as these settings make it, with your summary of what changes.
    /// Run it with the settings that the servers will have from that day on. Publishing the same
    /// text with the same summary again changes nothing.
    Publish {
        /// Your summary of what changes, as plain text in UTF-8. It appears in the email and beside
        /// the text.
        file: PathBuf,
        /// Which text: privacy or terms.
        #[arg(long, default_value = "privacy")]
        kind: PolicyKind,
        /// First day (UTC) on which it is in force. Default: today; with `--significant`, after
        /// `privacy.policy_notice_days`.
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
        in_force: Option<UtcDay>,
        /// Email everyone with an account now, whatever their preferences. A running server sends
        /// it.
        #[arg(long)]
        significant: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List versions, newest first.
    List {
        /// Only this text: privacy or terms.
        #[arg(long)]
        kind: Option<PolicyKind>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a version with its summary and its whole text.
    Show {
        /// Its name, such as privacy/2.
        version: PolicyVersion,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(
    command: &PolicyCommand,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    match command {
        PolicyCommand::Publish { file, kind, in_force, significant, json } => {
            let words = words(file)?;
            let body = site::policies::text(*kind, &desk.settings)?;
            let draft = PolicyDraft {
                kind: *kind,
                words: &words,
                body: &body,
                in_force: *in_force,
                is_significant: *significant,
                notice_days: desk.settings.privacy.policy_notice_days,
            };
            publish(&draft, *json, desk, output)?;
        }
        PolicyCommand::List { kind, json } => list(*kind, *json, desk, output)?,
        PolicyCommand::Show { version, json } => show(*version, *json, desk, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn publish(
    draft: &PolicyDraft<'_>,
    is_json: bool,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let now = desk.clock.now();
    let published = desk.with(|conn| policies::publish(conn, draft, now))?;
    let (row, is_new) = match &published {
        Published::Now(row) => (row, true),
        Published::Before(row) => (row, false),
    };
    let state = desk
        .with(|conn| PolicyVersions::at(conn, draft.kind, now))
        .map(|known| state(row, &known))?;
    if is_json {
        let mut document = document(row, state);
        if let Value::Object(fields) = &mut document {
            fields.insert("is_new".to_owned(), is_new.into());
        }
        output.json(&document)?;
        return Ok(());
    }
    let name = format!("{}/{}", row.kind, row.number);
    let day = row.in_force();
    if !is_new {
        output.line(&format!(
            "{name} is already published, in force from {day}: nothing was changed"
        ))?;
        return Ok(());
    }
    output.line(&format!("{name} is published, in force from {day}"))?;
    if row.is_significant {
        output.line("a running server emails everyone with an account")?;
    }
    Ok(())
}

fn list(
    kind: Option<PolicyKind>,
    is_json: bool,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let now = desk.clock.now();
    let mut items = Vec::new();
    for one in PolicyKind::ALL.into_iter().filter(|one| kind.is_none_or(|kind| kind == *one)) {
        let (known, rows) = desk.with(|conn| {
            Ok::<_, CliError>((PolicyVersions::at(conn, one, now)?, rows::all(conn, one)?))
        })?;
        for row in rows {
            let state = state(&row, &known);
            items.push((document(&row, state), cells(&row, state)));
        }
    }
    let header =
        ["version", "in force from", "state", "published", "significant", "notices", "told"];
    let mut listing = output.listing(&header, is_json);
    if !items.is_empty() {
        listing.page(items)?;
    }
    listing.end()?;
    Ok(())
}

fn show(
    version: PolicyVersion,
    is_json: bool,
    desk: &CommandContext,
    output: &mut Output,
) -> Result<(), CliError> {
    let now = desk.clock.now();
    let found = desk.with(|conn| {
        let Some(row) = rows::get(conn, version)? else { return Ok(None) };
        let body = rows::body(conn, row.id)?;
        Ok::<_, CliError>(Some((row, body, PolicyVersions::at(conn, version.kind, now)?)))
    })?;
    let Some((row, body, known)) = found else {
        return Err(CliError::Refused(format!("there is no version {version}")));
    };
    let state = state(&row, &known);
    if is_json {
        let mut document = document(&row, state);
        if let Value::Object(fields) = &mut document {
            fields.insert("text".to_owned(), body.into());
        }
        output.json(&document)?;
        return Ok(());
    }
    let header =
        ["version", "in force from", "state", "published", "significant", "notices", "told"];
    output.table(&header, [cells(&row, state)])?;
    output.line(&format!("SHA-256 of the text: {}", hex(&row.body_hash)))?;
    output.line(&format!("\n{}\n\n{body}", row.words))?;
    Ok(())
}

/// How a version stands among those that are known.
fn state(row: &PolicyRow, known: &PolicyVersions) -> &'static str {
    if known.in_force.as_ref().is_some_and(|other| other.number == row.number) {
        "in force"
    } else if known.announced.iter().any(|other| other.number == row.number) {
        "announced"
    } else {
        "earlier"
    }
}

fn cells(row: &PolicyRow, state: &str) -> Vec<String> {
    let moment = UnixMillis::to_rfc3339_secs;
    let told = match (row.is_significant, row.noticed_at) {
        (false, _) => String::new(),
        (true, Some(at)) => moment(at),
        (true, None) => "in progress".to_owned(),
    };
    vec![
        format!("{}/{}", row.kind, row.number),
        row.in_force().to_string(),
        state.to_owned(),
        moment(row.published_at),
        if row.is_significant { "yes" } else { "no" }.to_owned(),
        row.notices.to_string(),
        told,
    ]
}

fn document(row: &PolicyRow, state: &str) -> Value {
    let moment = UnixMillis::to_rfc3339_secs;
    json!({
        "version": format!("{}/{}", row.kind, row.number),
        "kind": row.kind,
        "number": row.number,
        "state": state,
        "in_force": row.in_force().to_string(),
        "is_significant": row.is_significant,
        "published_at": moment(row.published_at),
        "sha256": hex(&row.body_hash),
        "words": row.words,
        "notices": row.notices,
        "noticed_at": row.noticed_at.filter(|_| row.is_significant).map(moment),
    })
}

/// What stands in the operator's file.
fn words(file: &Path) -> Result<String, CliError> {
    let name = file.display();
    let refuse = |what: String| CliError::Refused(format!("{name} {what}"));
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(FILE_BYTES_MAX.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(refuse(format!("has far more than {WORDS_CHARS_MAX} characters")));
    }
    String::from_utf8(bytes).map_err(|_| refuse("is not text in UTF-8".to_owned()))
}

fn day(text: &str) -> Result<UtcDay, String> {
    UtcDay::parse(text).ok_or_else(|| "must be a day such as 2026-12-31".to_owned())
}
