//! The process edge: arguments and environment in, exit code out.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Decision 35 says what it gives.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    sluice::cli::main(std::env::args_os(), std::env::vars().collect())
}
