//! `sluice completions`.

use std::process::ExitCode;

use clap_complete::{Shell, generate};

use super::{CliError, Output};

/// Print the completions of a shell: the Debian package installs those of bash, fish and zsh.
#[derive(clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, output: &mut Output) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    generate(args.shell, &mut super::command(), "sluice", &mut script);
    output.text(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
