//! `sluice man`: the manual pages, made of the same help as `--help`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap_mangen::{Man, generate_to};

use super::{CliError, Output};

/// Write the manual pages in roff, one for each command: `sluice.1`, `sluice-serve.1` and so on.
#[derive(clap::Args)]
pub(super) struct ManArgs {
    /// Folder to write them to. Without it, the page of the program itself is printed.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs, output: &mut Output) -> Result<ExitCode, CliError> {
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        Man::new(super::command().disable_help_subcommand(true)).render(&mut page)?;
        output.text(&String::from_utf8_lossy(&page))?;
        return Ok(ExitCode::SUCCESS);
    };
    let told = |error: std::io::Error| {
        let shown = folder.display();
        CliError::Refused(format!("{shown}: manual pages cannot be written there: {error}"))
    };
    std::fs::create_dir_all(folder).map_err(told)?;
    generate_to(super::command(), folder).map_err(told)?;
    Ok(ExitCode::SUCCESS)
}
