//! `sluice mail …`

use std::process::ExitCode;

use clap::Subcommand;
use lettre::Address;

use super::{CliError, CommandContext, Output};
use crate::config::{self, Settings, Sources};
use crate::domain::clock::Clock;
use crate::domain::ids::public_id;
use crate::mail::Letterhead;
use crate::mail::mailer::held_for;
use crate::mail::transport::Transport;
use crate::mail::trial::{self, Tried};
use crate::operator::{self, Act, OperatorError, Reason};

#[derive(Subcommand)]
pub(super) enum MailCommand {
    /// Send mail now that was put off after a failure, instead of when it is due. A running server
    /// sends it, at its usual pace.
    Retry {
        /// Reason, for the audit log.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Send one test email by these settings, and print what the mail server answers. Exits with 1
    /// if it refuses.
    Test {
        /// Whom to send it to.
        address: Address,
    },
}

pub(super) fn run(
    command: &MailCommand,
    sources: &Sources,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    match command {
        MailCommand::Retry { reason } => {
            let desk = CommandContext::open(sources)?;
            let reason = Reason::optional(reason).map_err(OperatorError::from)?;
            let act = Act { reason: &reason, now: desk.clock.now() };
            let held = held_for(&desk.settings);
            let hastened = desk.with(|conn| operator::mail::retry(conn, held, act))?;
            output.line(&format!("Mails that are due now: {hastened}."))?;
        }
        MailCommand::Test { address } => test(address, &config::load(sources)?, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn test(address: &Address, settings: &Settings, output: &mut Output) -> Result<(), CliError> {
    let refused = |error: &dyn std::error::Error| CliError::Refused(error.to_string());
    let transport = Transport::new(&settings.mail).map_err(|error| refused(&error))?;
    let id = public_id("test_").map_err(|error| refused(&error))?;
    let head = Letterhead::new(settings);
    let now = Clock::System.now();
    let message = trial::test_mail(&head, address.clone(), (&id, now));
    let message = message.map_err(|error| refused(&error))?;
    let system = actix_web::rt::System::new();
    match system.block_on(transport.try_send(&message, &id)).map_err(|error| refused(&error))? {
        Tried::File(file) => {
            output.line(&format!("written to {}", file.display()))?;
            output.line("With mail.transport = \"file\" nobody gets it.")?;
        }
        Tried::Server(said) => {
            let said = super::output::printable(&said);
            output.line(&format!("the mail server has taken it: {said}"))?;
        }
    }
    Ok(())
}
