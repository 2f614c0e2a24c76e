//! The command line. Every command takes the same layered settings; what a person reads as a table
//! a program gets with `--json`.

mod account;
mod backup;
mod books;
mod completions;
mod config_file;
mod deposit;
mod doctor;
mod health;
mod key;
mod mail;
mod man;
mod migrate_to;
mod node;
mod operator_listener;
mod output;
mod policy;
mod prices;
mod purge;
mod reconcile;
mod reload;
mod restore;
mod serve;
mod upstream;

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::accounts::AccountError;
use crate::accounts::deletion::tombstones::{self, TombstoneError};
use crate::accounts::keys::KeyError;
use crate::app::StartError;
use crate::backups::BackupError;
use crate::backups::journal::Journal;
use crate::config::{self, ConfigErrors, LoadPurpose, Settings, Sources};
use crate::db::copying::CopyError;
use crate::db::models::journal;
use crate::db::{self, AnyConnection, DbError, migrate};
use crate::deposits::DepositError;
use crate::domain::clock::Clock;
use crate::domain::tombstone::TombstoneKey;
use crate::jobs::job::JobError;
use crate::ledger::LedgerError;
use crate::operator::OperatorError;
use crate::policies::PolicyError;
use crate::sandbox::{self, SandboxArgs};
use output::Output;

/// A prepaid, metered, streaming gateway for LLM APIs.
#[derive(Parser)]
#[command(name = "sluice", version, about, after_help = AFTER_HELP)]
struct Cli {
    /// Settings file. Without it, Sluice uses the defaults and the environment.
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: CliCommand,
}

const AFTER_HELP: &str = "\
Settings come from the defaults, the file of --config, and SLUICE__SECTION__KEY in the environment.
Exit codes: 0 done, 1 failed, 2 wrong settings or arguments.";

#[derive(Subcommand)]
enum CliCommand {
    /// Run the server until it receives SIGTERM or SIGINT.
    Serve(serve::ServeArgs),
    /// Have the running server read its settings again. Exits 1 if they are refused.
    Reload(reload::ReloadArgs),
    /// Migrate the database to this version's schema.
    Migrate,
    /// Copy an SQLite database into an empty PostgreSQL.
    MigrateTo(migrate_to::MigrateToArgs),
    /// Write, check or print settings.
    #[command(subcommand)]
    Config(config_file::ConfigCommand),
    /// Back up a live SQLite database.
    Backup(backup::BackupArgs),
    /// Put a backup in place of the database.
    Restore(restore::RestoreArgs),
    Doctor(doctor::DoctorArgs),
    /// Try the mail server, and send what waits.
    #[command(subcommand)]
    Mail(mail::MailCommand),
    /// Verify the books, and settle charges that the database refused.
    #[command(subcommand)]
    Books(books::BooksCommand),
    /// Create, list, show, credit, suspend and delete accounts, and help their owners.
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Create, list, limit and revoke API keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// List, find, review and refund deposits.
    #[command(subcommand)]
    Deposit(deposit::DepositCommand),
    /// List the nodes that serve from this database.
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Publish and show versions of the privacy policy and the terms.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Print the price list, or compare it with another.
    #[command(subcommand)]
    Prices(prices::PricesCommand),
    /// List upstreams and check that they answer.
    #[command(subcommand)]
    Upstream(upstream::UpstreamCommand),
    /// Delete expired rows, as the server does by itself each day.
    Purge(purge::PurgeArgs),
    /// Compare a day's usage with the usage reports of upstreams.
    Reconcile(reconcile::ReconcileArgs),
    /// Ask the running server whether it is ready.
    Health(health::HealthArgs),
    /// Print the completions of a shell.
    Completions(completions::CompletionsArgs),
    /// Write the manual pages, one for each command.
    Man(man::ManArgs),
    /// Run an upstream emulator for demos and tests. It needs no model and no account.
    Sandbox(SandboxArgs),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Deposit(#[from] DepositError),
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error(transparent)]
    Job(#[from] JobError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("the text cannot be written")]
    Text(#[from] askama::Error),
    #[error(transparent)]
    Tombstones(#[from] TombstoneError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error("{0}")]
    Refused(String),
    #[error("input or output failed")]
    Io(#[from] std::io::Error),
}

/// Every command with its options and their help: `docs/commands.md` is made of it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command of `args` and says how the process ends. `env` is the whole environment.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>, env: Vec<(String, String)>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let is_help = !error.use_stderr();
            if error.print().is_err() {
                return ExitCode::FAILURE;
            }
            return if is_help { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    let mut output = Output::standard();
    match run(cli, env, &mut output) {
        Ok(code) => code,
        // Whoever reads has read enough.
        Err(CliError::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            output.complain(&error);
            let CliError::Config(errors) = error else { return ExitCode::FAILURE };
            output.remark(&errors.pages().join(", "));
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli, env: Vec<(String, String)>, output: &mut Output) -> Result<ExitCode, CliError> {
    let sources = Sources { file: cli.config, env };
    match cli.command {
        CliCommand::Serve(args) => serve::run(&args, sources),
        CliCommand::Reload(args) => reload::run(&args, &sources, output),
        CliCommand::Sandbox(args) => run_sandbox(&args),
        CliCommand::Upstream(command) => upstream::run(&command, config::load(&sources)?, output),
        CliCommand::Config(command) => config_file::run(&command, sources, output),
        CliCommand::Doctor(args) => doctor::run(&args, &sources, output),
        CliCommand::Mail(command) => mail::run(&command, &sources, output),
        CliCommand::Migrate => {
            let desk = CommandContext::open_as_it_is(&sources)?;
            for name in desk.with(migrate::run_pending)? {
                output.line(&format!("ran {name}"))?;
            }
            output.line("the database is up to date")?;
            Ok(ExitCode::SUCCESS)
        }
        CliCommand::MigrateTo(args) => migrate_to::run(&args, &sources, output),
        CliCommand::Restore(args) => restore::run(&args, &sources, output),
        CliCommand::Reconcile(args) => reconcile::run(&args, &sources, output),
        CliCommand::Prices(command) => prices::run(&command, &sources, output),
        CliCommand::Health(args) => health::run(&args, &sources, output),
        CliCommand::Completions(args) => completions::run(&args, output),
        CliCommand::Man(args) => man::run(&args, output),
        command => run_at_desk(command, &sources, output),
    }
}

/// A command that works on the database. What it did that a restore must not undo is in the journal
/// when it ends, or is written there by the server.
fn run_at_desk(
    command: CliCommand,
    sources: &Sources,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let desk = CommandContext::open(sources)?;
    let ended = match command {
        CliCommand::Backup(args) => backup::run(&args, &desk, output),
        CliCommand::Books(command) => books::run(&command, &desk, output),
        CliCommand::Account(command) => account::run(&command, &desk, output),
        CliCommand::Key(command) => key::run(&command, &desk, output),
        CliCommand::Node(command) => node::run(&command, &desk, output),
        CliCommand::Purge(args) => purge::run(&args, &desk, output),
        CliCommand::Policy(command) => policy::run(&command, &desk, output),
        CliCommand::Deposit(command) => deposit::run(&command, &desk, output),
        _ => return Err(CliError::Refused("this command has no database".to_owned())),
    };
    if let Err(error) = desk.write_journal() {
        output.complain(&error);
    }
    ended
}

fn run_sandbox(args: &SandboxArgs) -> Result<ExitCode, CliError> {
    actix_web::rt::System::new().block_on(async {
        let (address, server) = sandbox::start(&args.settings())?;
        args.announce(address)?;
        Output::standard().line(&format!("sandbox on http://{address}"))?;
        server.await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What a command that works on the database has before it. The server may run beside it.
struct CommandContext {
    settings: Settings,
    conn: RefCell<AnyConnection>,
    clock: Clock,
}

impl CommandContext {
    fn open(sources: &Sources) -> Result<Self, CliError> {
        let desk = Self::open_as_it_is(sources)?;
        desk.with(migrate::ensure)?;
        Ok(desk)
    }

    fn open_as_it_is(sources: &Sources) -> Result<Self, CliError> {
        let settings = config::load_for(sources, LoadPurpose::Command)?;
        let conn = db::connect(&settings.database)?;
        Ok(Self { settings, conn: RefCell::new(conn), clock: Clock::System })
    }

    /// Writes what this command has done into the journal, if there is something to write.
    fn write_journal(&self) -> Result<(), CliError> {
        let Some(path) = &self.settings.backup.journal_file else { return Ok(()) };
        self.with(|conn| {
            if journal::pending(conn)?.is_empty() {
                return Ok(());
            }
            let drained = Journal::at(path).drain(conn, self.clock.now());
            drained.map(drop).map_err(BackupError::from)
        })
    }

    /// What says which deposits were credited to accounts that are erased.
    fn tombstones(&self) -> Result<TombstoneKey, CliError> {
        self.with(|conn| tombstones::unlock(conn, &self.settings.privacy))
    }

    fn with<T, E: Into<CliError>>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, CliError> {
        work(&mut self.conn.borrow_mut()).map_err(Into::into)
    }
}
