//! `sluice migrate-to`: from SQLite to PostgreSQL.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use secrecy::SecretString;

use super::{CliError, Output};
use crate::config::{self, DatabaseUrl, LoadPurpose, Sources, TombstoneSecret};
use crate::db::copying::{self, CopyError, CopySource, TableTally};
use crate::db::{self, AnyConnection, Manager};
use crate::domain::money::NanoUsd;
use crate::ledger;

/// Copies the SQLite database of the settings into an empty PostgreSQL, with the server stopped.
/// The source is not changed. An interrupted copy goes on where it was when the same is run again.
/// The books are proven before and after, and in the end every row is compared.
#[derive(Args)]
pub(super) struct MigrateToArgs {
    /// `postgres://USER:PASSWORD@HOST/NAME`. A password given here is visible in the process list:
    /// use a file or a variable instead.
    #[arg(required_unless_present_any = ["url_file", "url_env"])]
    url: Option<SecretString>,
    /// File that holds the URL.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "url_env"])]
    url_file: Option<PathBuf>,
    /// Environment variable that holds the URL.
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    url_env: Option<String>,
    /// Most rows to copy in one transaction.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = batch_rows)]
    batch_rows: usize,
}

fn batch_rows(text: &str) -> Result<usize, String> {
    let rows = text.parse().ok().filter(|rows| (1..=100_000).contains(rows));
    rows.ok_or_else(|| "must be from 1 to 100000".to_owned())
}

pub(super) fn run(
    args: &MigrateToArgs,
    sources: &Sources,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let settings = config::load_for(sources, LoadPurpose::Command)?;
    let DatabaseUrl::Sqlite(path) = &settings.database.url else {
        return Err(CopyError::NotSqlite.into());
    };
    let url = target_url(args, sources)?;
    let mut source = CopySource::open(path, || db::connect(&settings.database))?;
    let mut tell = |text: &str| drop(output.progress(text));
    // Before the target is touched: it may take hours until it is whole.
    prove(
        source.conn(),
        "SQLite",
        "nothing was copied. Keep a copy of the file and report this; `sluice books verify` lists \
         all",
    )?;
    let mut target = connect(&url, &settings)?;
    copying::copy(&mut source, &mut target, args.batch_rows, &mut tell)?;
    let tallies = copying::compare(&mut source, &mut target, &mut tell)?;
    prove(
        &mut target,
        "PostgreSQL",
        "the copy is incomplete. Drop the target, create it again and start over",
    )?;
    copying::finish(&source, &mut target)?;
    print(&tallies, output)?;
    output.line("the copy is complete: all rows are equal, and the books balance on both sides")?;
    output.line("now set database.url or url_file to the new database")?;
    if let TombstoneSecret::Beside(file) = &settings.privacy.tombstones {
        output.line(&format!(
            "and privacy.tombstone_secret_file = {:?}, without which the server does not start",
            file.display().to_string()
        ))?;
    }
    output.line("the SQLite file was not changed, and the settings still refer to it")?;
    output.line("Do not start a server on the SQLite file again: move it away now.")?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses books that do not balance, with what has and is to be done then.
fn prove(conn: &mut AnyConnection, of: &str, then: &str) -> Result<(), CliError> {
    let report = ledger::verify(conn)?;
    let Some(first) = report.discrepancies.first() else { return Ok(()) };
    let (rule, subject) = (&first.rule, &first.subject);
    Err(CliError::Refused(format!(
        "the books in {of} do not balance ({rule} of {subject}): {then}"
    )))
}

fn target_url(args: &MigrateToArgs, sources: &Sources) -> Result<DatabaseUrl, CliError> {
    let url = match (&args.url, &args.url_file, &args.url_env) {
        (Some(url), ..) => Ok(url.clone()),
        (None, Some(file), _) => config::secret_in_file(file),
        (None, None, Some(name)) => config::secret_in_env(name, &sources.env),
        (None, None, None) => Err("is missing".to_owned()),
    };
    let parsed = url.and_then(|url| DatabaseUrl::parse(&url).map_err(|error| error.to_string()));
    parsed.map_err(|reason| CliError::Refused(format!("the URL of the target: {reason}")))
}

fn connect(url: &DatabaseUrl, settings: &config::Settings) -> Result<AnyConnection, CliError> {
    if matches!(url, DatabaseUrl::Sqlite(_)) {
        return Err(CopyError::NotPostgres.into());
    }
    let manager = Manager::new(url.clone(), settings.database.lock_timeout);
    let conn = diesel::r2d2::ManageConnection::connect(&manager);
    Ok(conn.map_err(db::DbError::from)?)
}

fn print(tallies: &[(&'static str, TableTally)], output: &mut Output) -> std::io::Result<()> {
    let lines = tallies.iter().filter(|(_, tally)| tally.rows > 0).map(|(table, tally)| {
        let sums = tally.sums.iter().filter(|(_, sum)| **sum != 0).map(|(name, sum)| {
            let name = name.trim_end_matches("_nanousd");
            let shown = i64::try_from(*sum).map_or_else(
                |_| format!("{sum} billionths"),
                |nanos| NanoUsd::from_nanos(nanos).to_string(),
            );
            format!("{name} {shown}")
        });
        vec![(*table).to_owned(), tally.rows.to_string(), sums.collect::<Vec<_>>().join(", ")]
    });
    output.table(&["table", "rows", "sums in USD"], lines.collect::<Vec<_>>())
}
