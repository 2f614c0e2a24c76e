//! `sluice mail …`

use std::process::ExitCode;

use clap::Subcommand;
use lettre::Address;

use super::{CliError, Output};
use crate::config::Settings;
use crate::domain::clock::Clock;
use crate::domain::ids::public_id;
use crate::mail::Letterhead;
use crate::mail::transport::Transport;
use crate::mail::trial::{self, Tried};

#[derive(Subcommand)]
pub(super) enum MailCommand {
    /// Send one test email by these settings, and print what the mail server answers. Exits with 1
    /// if it refuses.
    Test {
        /// Whom to send it to.
        address: Address,
    },
}

pub(super) fn run(
    command: &MailCommand,
    settings: &Settings,
    output: &mut Output,
) -> Result<ExitCode, CliError> {
    let MailCommand::Test { address } = command;
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
    Ok(ExitCode::SUCCESS)
}
